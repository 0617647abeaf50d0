//! `enforcer dlq`: shows an operator what is on the dead-letter queue, and redrives or deletes it.
//!
//! The queue has dead letters of the function, of Lambda, of `EventBridge` and of SQS; one command
//! reads them all. A run receives every message first, works on those that the filter selects, and
//! at the end makes the remaining ones visible again. Sources:
//! [`ReceiveMessage`], [`ChangeMessageVisibility`].
//!
//! [`ReceiveMessage`]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
//! [`ChangeMessageVisibility`]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html

mod dead_letter;
mod filter;
mod list;
mod progress;
mod purge;
mod queue_name;
mod redrive;
mod sample;
mod show;

use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::Subcommand;
use futures_util::StreamExt;
use futures_util::stream::iter;
use tokio::time::Instant;

use self::dead_letter::ShownDeadLetter;
use super::credentials::sdk_config;
use super::function_settings::{FunctionName, settings_of};
use super::input;
use super::paint::{counted, print_warning};
use super::progress::shown;
use super::visible::visible;
use crate::aws::dead_letters::DeadLetterQueue;
use crate::clock::Clock;
use crate::settings::Environment;

/// How many empty responses in a row end the reading of the queue. One is not enough: SQS can
/// return an empty response although there are messages.
///
/// Source:
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html>.
const EMPTY_RESPONSES: u32 = 2;

/// How many messages a run receives at most: those that `redrive` moves at its default rate before
/// their visibility timeout of 15 minutes ends, with some time for a prompt.
const MOST_MESSAGES: usize = 5_000;

/// How many bytes of bodies a run receives at most, so that it fits into the memory.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// How many messages are made visible again at the same time.
const RELEASED_AT_ONCE: usize = 10;

#[derive(Debug, clap::Args)]
#[command(after_help = "Listing does not remove messages. \
They become visible again when the command exits, or after 15 minutes if it is killed.\n\n\
Examples:\n  \
enforcer dlq list --sandbox\n  \
enforcer dlq list --function kinesis-enforcer --class retryable --older-than 1h\n  \
enforcer dlq show 3f1c\n  \
enforcer dlq redrive --code KeyDisabled\n  \
enforcer dlq redrive 3f1c --here\n  \
enforcer dlq redrive --rate 2 --yes\n  \
enforcer dlq purge --code UnknownPayload")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Use this dead-letter queue instead of the one in `FAILURE_QUEUE_URL`: a name, a URL or an
    /// ARN.
    #[arg(long, global = true, value_name = "QUEUE")]
    queue: Option<String>,
    /// Use the settings of this deployed function, by its name or ARN, instead of those in the
    /// environment.
    #[arg(long, global = true, value_name = "NAME")]
    function: Option<FunctionName>,
    /// Use this AWS profile.
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// Use this Region instead of the one of the profile or the environment.
    #[arg(long, global = true, value_parser = input::region)]
    region: Option<String>,
    /// Use a sandbox whose queue has one dead letter of every kind.
    #[arg(long, global = true, conflicts_with_all = ["profile", "queue", "function"])]
    sandbox: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List dead letters with their age, stream, code, class and remedy.
    List(list::Arguments),
    /// Show one dead letter in full.
    Show(show::Arguments),
    /// Send dead letters to the work queue, or process them here, and delete them afterwards.
    Redrive(redrive::Arguments),
    /// Delete dead letters permanently.
    Purge(purge::Arguments),
}

/// The dead-letter queue, and what a command needs to work with its messages.
struct Session {
    queue: DeadLetterQueue,
    queue_url: String,
    clock: Clock,
    environment: Environment,
    config: aws_types::SdkConfig,
    /// When this program began to receive messages.
    begun: Instant,
}

impl Arguments {
    /// The options that lead to the queue, for another command about the same messages.
    fn connection(&self) -> String {
        let Self { command: _, queue, function, profile, region, sandbox } = self;
        let region = function.as_ref().and_then(FunctionName::region).or(region.as_deref());
        let function = function.as_ref().map(ToString::to_string);
        let options = [
            ("--queue", queue.as_deref()),
            ("--function", function.as_deref()),
            ("--profile", profile.as_deref()),
            ("--region", region),
        ];
        let mut text = String::new();
        for (option, value) in options {
            text.extend(value.map(|value| format!(" {option} {}", quoted(value))));
        }
        if *sandbox {
            text.push_str(" --sandbox");
        }
        text
    }
}

/// An argument as it is typed into a shell.
fn quoted(argument: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_./:@%+=,".contains(character);
    let argument = visible(argument);
    if argument.chars().all(is_plain) { argument } else { format!("'{}'", argument.replace('\'', r"'\''")) }
}

/// What a command did.
struct CommandResult {
    exit_code: u8,
    /// The IDs of the messages that it deleted from the queue.
    deleted: Vec<String>,
}

impl CommandResult {
    /// A command that left every message on the queue.
    fn read_only(exit_code: u8) -> Self {
        Self { exit_code, deleted: Vec::new() }
    }
}

pub(super) async fn run(arguments: &Arguments) -> Result<u8> {
    let session = if arguments.sandbox { sample::session().await? } else { Session::in_aws(arguments).await? };
    let reading = |waited: Duration| format!("reading the dead-letter queue ({} s)", waited.as_secs());
    let dead_letters = Box::pin(shown(session.begun, reading, session.receive_all())).await?;
    let connection = arguments.connection();
    let result = match &arguments.command {
        Command::List(arguments) => Ok(list::run(&session, arguments, &dead_letters)),
        Command::Show(arguments) => show::run(&session, arguments, &dead_letters, &connection),
        Command::Redrive(arguments) => Box::pin(redrive::run(&session, arguments, &dead_letters)).await,
        Command::Purge(arguments) => purge::run(&session, arguments, &dead_letters).await,
    };
    let deleted = result.as_ref().map(|result| result.deleted.as_slice()).unwrap_or_default();
    session.release(dead_letters.iter().filter(|dead_letter| !deleted.contains(&dead_letter.id))).await;
    result.map(|result| result.exit_code)
}

impl Session {
    async fn in_aws(Arguments { queue, function, profile, region, .. }: &Arguments) -> Result<Self> {
        let mut environment = Environment::of_process();
        let clock = Clock::system();
        let mut config = None;
        if let Some(function) = function {
            let region = function.region_or(region.as_deref())?;
            let of_function = sdk_config(profile.as_deref(), region, &environment, &clock).await?;
            environment = settings_of(function, &of_function, &clock, &environment).await?.environment;
            config = Some(of_function);
        }
        let queue = queue.as_deref().or_else(|| environment.get("FAILURE_QUEUE_URL"));
        let queue = queue.ok_or_else(|| match function {
            Some(function) => anyhow!("the function {function} has no dead-letter queue: pass --queue QUEUE"),
            None => anyhow!("no dead-letter queue: pass --queue QUEUE, pass --function NAME, or set FAILURE_QUEUE_URL"),
        })?;
        let config = if let Some(config) = config {
            config
        } else {
            let region = region.as_deref().or_else(|| queue_name::region_of(queue));
            sdk_config(profile.as_deref(), region, &environment, &clock).await?
        };
        let queue_url = queue_name::url_of(queue, &config, &clock).await?;
        let (queue, begun) = (DeadLetterQueue::new(&config, &clock, &queue_url), clock.instant());
        Ok(Self { queue, queue_url, clock, environment, config, begun })
    }

    /// Receives all messages that are on the queue now, oldest first, as far as they fit into one
    /// run. Later ones are left out, so that a redrive never redrives a dead letter that it has
    /// caused itself.
    async fn receive_all(&self) -> Result<Vec<ShownDeadLetter>> {
        let mut dead_letters: Vec<ShownDeadLetter> = Vec::new();
        let mut empty_responses = 0;
        let mut bytes = 0;
        while empty_responses < EMPTY_RESPONSES {
            let messages = match self.queue.receive().await {
                Ok(messages) => messages,
                Err(error) => {
                    self.release(dead_letters.iter()).await;
                    return Err(anyhow!("cannot read the dead-letter queue: {}", visible(&error.failure)));
                }
            };
            empty_responses = if messages.is_empty() { empty_responses + 1 } else { 0 };
            for message in messages {
                // Only the latest receipt handle of a message that SQS delivers twice is valid.
                dead_letters.retain(|earlier| earlier.id != message.id);
                bytes += message.body.len();
                dead_letters.push(ShownDeadLetter::read(message));
            }
            if dead_letters.len() >= MOST_MESSAGES || bytes >= MOST_BYTES {
                print_warning(&format!(
                    "received {}, which is all that one run can hold; if there are more, run the command again",
                    counted(dead_letters.len(), "message")
                ));
                break;
            }
        }
        dead_letters.sort_by_key(|dead_letter| dead_letter.sent);
        Ok(dead_letters)
    }

    /// Makes messages visible again to other consumers.
    async fn release(&self, dead_letters: impl Iterator<Item = &ShownDeadLetter>) {
        let release = async |dead_letter: &ShownDeadLetter| {
            if let Err(error) = self.queue.give_back(&dead_letter.received_message).await {
                print_warning(&format!(
                    "message {} becomes visible again only in 15 minutes: {}",
                    dead_letter.short_id(),
                    visible(&error.failure)
                ));
            }
        };
        iter(dead_letters).for_each_concurrent(RELEASED_AT_ONCE, release).await;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Dlq {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn the_options_that_lead_to_the_queue_can_be_typed_again() {
        for (given, again) in [
            (&[][..], ""),
            (&["--sandbox"], " --sandbox"),
            (&["--queue", "dead", "--region", "eu-west-1"], " --queue dead --region eu-west-1"),
            (&["--profile", "Jo's account"], r" --profile 'Jo'\''s account'"),
            (&["--function", "enforcer:live", "--profile", "prod"], " --function enforcer:live --profile prod"),
            (
                &["--function", "arn:aws:lambda:eu-west-1:111122223333:function:enforcer"],
                " --function enforcer --region eu-west-1",
            ),
        ] {
            let Dlq { arguments } = Dlq::parse_from([&["dlq", "list"], given].concat());
            assert_eq!(arguments.connection(), again);
        }
    }
}
