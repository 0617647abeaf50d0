//! `enforcer dlq redrive`: retries what failed, once its cause is fixed.
//!
//! A message is deleted from the dead-letter queue only after its content is on another queue, or
//! after the handler has processed it here. If the command is killed in between, the message stays
//! and is processed twice, which is harmless.
//!
//! Messages are redriven one after the other and at a limited rate: the workers behind the queue
//! share the account's limits on Kinesis and KMS with everybody else.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use serde_json::Value;
use tokio::time::sleep_until;

use super::dead_letter::ShownDeadLetter;
use super::filter::Filter;
use super::progress::Progress;
use super::{CommandResult, Session, queue_name};
use crate::aws::Aws;
use crate::aws::dead_letters::VISIBILITY_TIMEOUT;
use crate::cli::input::whole_number;
use crate::cli::interrupt::{INTERRUPTED, Interrupt};
use crate::cli::paint::{
    BOLD, DIM, GREEN, RED, YELLOW, confirm, counted, print_line, print_text, print_warning, status_counts,
};
use crate::cli::progress::shown;
use crate::cli::visible::visible;
use crate::cli::{FAILED, SUCCESS};
use crate::domain::text::first_of;
use crate::event::VERSION;
use crate::handler::{Handler, Invocation};
use crate::settings::Settings;

/// How long the handler may take for one dead letter with `--here`.
const TIMEOUT: Duration = Duration::from_mins(5);

/// How long before the end of the visibility timeout no further message is redriven: afterwards
/// somebody else may have received it.
const MARGIN: Duration = Duration::from_mins(1);

/// How many reasons a line names for a dead letter that failed again.
const MOST_REASONS: usize = 3;

/// What Ctrl-C says.
const NOTES: [&str; 1] = ["interrupted: finishing the current message and making the others visible again; \
     press Ctrl-C again to exit now, then they become visible again in 15 minutes"];

#[derive(Debug, clap::Args)]
#[command(after_help = "A message is deleted from the dead-letter queue only after it is on the other queue, or \
processed with a result. After Ctrl-C no further message is redriven.\n\n\
Without a filter, the command redrives all messages, after a prompt. It moves at most 5000 messages in one run.\n\n\
Exit codes:\n  \
0  all selected messages were redriven\n  \
1  a message was not redriven, or failed again, or the filter matches none, or the prompt was declined\n  \
2  the usage or the settings are wrong, or AWS cannot be reached\n\
130  Ctrl-C was pressed")]
pub(super) struct Arguments {
    #[command(flatten)]
    filter: Filter,
    /// Send the messages to this queue instead of the one in `WORK_QUEUE_URL`: a name, a URL or an
    /// ARN.
    #[arg(long, value_name = "QUEUE", conflicts_with = "here")]
    to: Option<String>,
    /// Process the messages here, with the settings of this terminal, instead of sending them to a
    /// queue.
    #[arg(long)]
    here: bool,
    /// Print what would be done, without doing it.
    #[arg(long)]
    dry_run: bool,
    /// Redrive at most this many messages a second. The default uses half of the
    /// DescribeStreamSummary calls that an account may make.
    #[arg(long, value_name = "PER_SECOND", default_value_t = 10, value_parser = whole_number(1..=100_u32))]
    rate: u32,
    /// Redrive all messages without a prompt if no filter is given.
    #[arg(long)]
    yes: bool,
}

/// Where dead letters go.
enum Destination {
    /// The queue with this URL.
    Queue(String),
    /// The handler in this process.
    Handler(Box<Handler>),
}

pub(super) async fn run(
    session: &Session,
    Arguments { filter, to, here, dry_run, rate, yes }: &Arguments,
    dead_letters: &[ShownDeadLetter],
) -> Result<CommandResult> {
    let destination = if *here {
        Destination::Handler(Box::new(handler(session)?))
    } else {
        let queue = to.as_deref().or_else(|| session.environment.get("WORK_QUEUE_URL")).ok_or_else(|| {
            anyhow!("no queue to send to: pass --to QUEUE, set WORK_QUEUE_URL, or process the messages with --here")
        })?;
        let queue_url = queue_name::url_of(queue, &session.config, &session.clock).await?;
        if queue_name::is_same(&queue_url, &session.queue_url) {
            bail!(
                "{} is the dead-letter queue that the messages are on: pass the work queue with --to, or process the \
                 messages with --here",
                queue_of(&queue_url)
            );
        }
        Destination::Queue(queue_url)
    };
    let (selected, matches_nothing) = filter.select_some(dead_letters, session.clock.utc());
    if matches_nothing {
        return Ok(CommandResult::read_only(FAILED));
    }
    if *dry_run {
        for dead_letter in &selected {
            let action = match &destination {
                _ if dead_letter.other_version.is_some() => {
                    "would not be touched: ".to_owned() + &untouched(dead_letter)
                }
                Destination::Queue(queue_url) => format!("would be sent to {queue_url}"),
                Destination::Handler(_) => "would be processed here".to_owned(),
            };
            print_text(&format!("{YELLOW}•{YELLOW:#} {}: {action}", heading(dead_letter)));
        }
        let count = counted(selected.len(), "message");
        print_text(&format!("{DIM}dry run: {count} selected, nothing changed{DIM:#}"));
        return Ok(CommandResult::read_only(SUCCESS));
    }
    if filter.is_empty() && !selected.is_empty() && !yes {
        let messages = counted(selected.len(), "message");
        let action = match &destination {
            Destination::Queue(queue_url) => format!("send {messages} to the queue {}", queue_of(queue_url)),
            Destination::Handler(_) => format!("process {messages} here"),
        };
        if !confirm(&action, "No filter is given: this is everything on the dead-letter queue.")? {
            print_line("nothing was redriven");
            return Ok(CommandResult::read_only(FAILED));
        }
    }
    let mut interrupt = Interrupt::noting(&NOTES);
    interrupt.arm().await;
    let mut progress = if *here { Progress::in_lines(selected.len()) } else { Progress::of(selected.len()) };
    let mut deleted = Vec::new();
    let mut came_back = 0;
    let mut next = session.clock.instant();
    for (index, dead_letter) in selected.iter().enumerate() {
        tokio::select! {
            biased;
            () = interrupt.pressed(1) => break,
            () = sleep_until(next) => {}
        }
        let now = session.clock.instant();
        if now >= session.begun + VISIBILITY_TIMEOUT.saturating_sub(MARGIN) {
            let left = "stopped, because the messages become visible to others: run the command again for the rest";
            progress.suspend(|| print_warning(left));
            break;
        }
        next = now + Duration::from_secs(1) / *rate;
        let redriven = redrive_and_delete(session, dead_letter, &destination);
        let (line, result) = if *here {
            let processing = |waited: Duration| {
                let (id, waited) = (dead_letter.short_id(), waited.as_secs());
                format!("processing {id} ({waited} s), {} of {}", index + 1, counted(selected.len(), "message"))
            };
            Box::pin(shown(now, processing, redriven)).await
        } else {
            redriven.await
        };
        if let Some(has_failed) = result {
            came_back += usize::from(has_failed);
            deleted.push(dead_letter.id.clone());
        }
        progress.suspend(|| print_text(&line));
        progress.advance();
    }
    drop(progress);
    let left = selected.len() - deleted.len();
    let redriven = counted(deleted.len() - came_back, "message");
    let back = if *here { format!(", {came_back} came back") } else { String::new() };
    print_text(&format!("{DIM}redrove {redriven}{back}, {left} left{DIM:#}"));
    let exit_code = match left + came_back {
        0 => SUCCESS,
        _ if interrupt.is_pressed() => INTERRUPTED,
        _ => FAILED,
    };
    Ok(CommandResult { exit_code, deleted })
}

/// Redrives one dead letter, and then deletes it. Returns a line about it and, if it is deleted,
/// whether it failed again.
async fn redrive_and_delete(
    session: &Session,
    dead_letter: &ShownDeadLetter,
    destination: &Destination,
) -> (String, Option<bool>) {
    let heading = heading(dead_letter);
    let Redriven { result, failure } = match redrive(session, dead_letter, destination).await {
        Ok(redriven) => redriven,
        Err(reason) => return (format!("{RED}✘{RED:#} {heading}: not redriven: {}", visible(&reason)), None),
    };
    let result = visible(&result);
    match session.queue.delete(&dead_letter.received_message).await {
        Ok(()) => match failure {
            Some(failure) => {
                let failure = visible(&failure);
                (format!("{RED}✘{RED:#} {heading}: {result}, and is a new dead letter now: {failure}"), Some(true))
            }
            None => (format!("{GREEN}✔{GREEN:#} {heading}: {result}"), Some(false)),
        },
        Err(error) => {
            let failure = visible(&error.failure);
            (format!("{RED}✘{RED:#} {heading}: {result}, but still on the dead-letter queue: {failure}"), None)
        }
    }
}

/// The name of the queue at this URL.
fn queue_of(queue_url: &str) -> &str {
    queue_url.rsplit('/').next().unwrap_or(queue_url)
}

/// What became of a dead letter that may be deleted.
struct Redriven {
    result: String,
    /// Why it failed again, so that there is a new dead letter; `None` if it did not.
    failure: Option<String>,
}

/// Why a dead letter of another version stays where it is: this program would not understand it,
/// and its dead letter would not name the stream.
fn untouched(dead_letter: &ShownDeadLetter) -> String {
    let what = dead_letter.other_version.as_deref().unwrap_or_default();
    format!("{what}, and this program reads version {VERSION}: use the program of that version")
}

fn heading(dead_letter: &ShownDeadLetter) -> String {
    format!("{BOLD}{}{BOLD:#} {}", visible(dead_letter.short_id()), dead_letter.subject())
}

/// A handler that writes the dead letters of new failures to the queue of this session.
fn handler(session: &Session) -> Result<Handler> {
    let environment = session.environment.clone().with("FAILURE_QUEUE_URL", &session.queue_url);
    let settings = Settings::from_environment(&environment)?;
    let aws = Aws::new(&session.config, &settings, &session.clock);
    Ok(Handler { settings, aws, clock: session.clock.clone(), function: "enforcer".to_owned(), emit: |_| {} })
}

/// Redrives one dead letter. After `Ok`, the message may be deleted: what it asks for is done, or
/// stored on another queue or in a new dead letter.
async fn redrive(
    session: &Session,
    dead_letter: &ShownDeadLetter,
    destination: &Destination,
) -> Result<Redriven, String> {
    if dead_letter.other_version.is_some() {
        return Err(untouched(dead_letter));
    }
    match destination {
        Destination::Queue(queue_url) => match session.queue.copy(&dead_letter.received_message, queue_url).await {
            Ok(()) => Ok(Redriven { result: format!("sent to {}", queue_of(queue_url)), failure: None }),
            Err(error) => Err(format!("cannot send the message to {queue_url}: {}", error.failure)),
        },
        Destination::Handler(_) if dead_letter.forgoes_dead_letter() => {
            Err("the request in it sets dryRun, or deadLetter to false, so a new failure would be lost".to_owned())
        }
        Destination::Handler(handler) => {
            let invocation = Invocation {
                request_id: format!("redrive-{}", dead_letter.short_id()),
                deadline: session.clock.wall() + TIMEOUT,
            };
            match Box::pin(handler.handle(&dead_letter.body, &invocation)).await {
                // A batch of SQS is always answered. The messages that it reports as failed are
                // stored nowhere else.
                Ok(answer) if answer["batchItemFailures"].as_array().is_some_and(|failures| !failures.is_empty()) => {
                    Err("messages of the batch in it have to be retried".to_owned())
                }
                Ok(answer) => Ok(processed(&answer)),
                Err(error) => Err(format!("the handler failed with {}; redrive it again", error.error_type.as_str())),
            }
        }
    }
}

/// What the handler did with a dead letter. It writes a new one for a stream that failed or is
/// contested.
fn processed(answer: &Value) -> Redriven {
    let count = |status: &str| answer["summary"][status].as_u64().unwrap_or_default();
    let failure = (count("failed") + count("contested") > 0).then(|| reasons_of_failures(answer));
    let result = match answer["trigger"]["reason"].as_str() {
        Some(reason) if failure.is_none() => format!("ignored: {reason}"),
        _ => status_counts(answer),
    };
    Redriven { result, failure }
}

/// Why streams failed or are contested, each reason once.
fn reasons_of_failures(answer: &Value) -> String {
    let outcomes = answer["outcomes"].as_array().into_iter().flatten();
    let failures = outcomes.filter(|outcome| matches!(outcome["status"].as_str(), Some("failed" | "contested")));
    let reasons: BTreeSet<_> = failures.filter_map(|outcome| outcome["reason"].as_str()).collect();
    let reasons: Vec<_> = reasons.into_iter().map(str::to_owned).collect();
    first_of(&reasons, MOST_REASONS)
}
