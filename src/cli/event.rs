//! `enforcer event`: runs the handler on an event, as Lambda would, to reproduce what the function
//! does or to try a request.
//!
//! In AWS, the handler runs with the credentials of a profile, and changes streams unless the run
//! is dry. With `--sandbox` it runs on a sandbox account that contains what the event names.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::credentials::sdk_config;
use super::function_settings::{FunctionName, settings_in, settings_of};
use super::input::{self, parse_json, whole_number};
use super::paint::{self, BOLD, YELLOW, print_error, print_line, print_text};
use super::progress::shown;
use super::sandbox_account::{ACCOUNT, ALIAS, DEAD_LETTER_QUEUE, ENFORCER, REGION, SandboxAccount};
use super::{FAILED, PENDING, SUCCESS, exit_code, visible};
use crate::aws::Aws;
use crate::clock::Clock;
use crate::domain::arn::{is_account, is_region};
use crate::domain::key::KeyRef;
use crate::domain::key_event::StoreChange;
use crate::domain::stream::StreamRef;
use crate::event::{KeyEvent, Request, Scope, TriggerKind, read};
use crate::handler::{Handler, Invocation};
use crate::report::Report;
use crate::sandbox::{Account, KeyState, NewStream};
use crate::settings::{Environment, Settings};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
enforcer event events/stream-created.json --sandbox\n  \
enforcer event events/encryption-stopped.json --dry-run --function kinesis-enforcer --profile prod\n  \
echo '{\"stream\": \"orders\"}' | enforcer event - --key alias/streams")]
pub(super) struct Arguments {
    /// The file with an event as Lambda receives it, a dead letter, or a request such as {"stream":
    /// "orders"}; - reads standard input.
    file: String,
    /// Run in a sandbox that contains the resources that the event names.
    #[arg(long, conflicts_with_all = ["profile", "key", "region", "function"])]
    sandbox: bool,
    /// Decide without changing a stream or sending a dead letter.
    #[arg(long)]
    dry_run: bool,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
    /// Use this KMS key instead of the one in `KMS_KEY_ID`.
    #[arg(long)]
    key: Option<String>,
    /// Use the settings of this deployed function, by its name or ARN, instead of those in the
    /// environment.
    #[arg(long, value_name = "NAME")]
    function: Option<FunctionName>,
    /// Use this AWS profile.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Use this Region instead of the one of the profile or the environment.
    #[arg(long, value_parser = input::region)]
    region: Option<String>,
    /// Stop the handler after this many seconds, like the function's timeout in Lambda: 5 to 900.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = whole_number(5..=900_u64))]
    timeout: u64,
}

pub(super) async fn run(arguments: &Arguments) -> Result<u8> {
    let payload = parse_json(&arguments.file, &input::read(&arguments.file)?)?;
    let environment = Environment::of_process();
    let (handler, payload) = if arguments.sandbox {
        in_sandbox(environment, payload).await?
    } else {
        (Box::pin(in_aws(arguments, environment)).await?, payload)
    };
    let deadline = handler.clock.wall() + Duration::from_secs(arguments.timeout);
    let invocation = Invocation { request_id: "terminal".to_owned(), deadline };
    let grace = handler.settings.iac_grace.as_secs();
    let grace = if arguments.dry_run { 0 } else { grace };
    let handling = |waited: Duration| waiting(waited.as_secs(), arguments.timeout, grace);
    // The answer to a batch names only the messages that are to be delivered again.
    let messages: Mutex<Vec<(String, Value)>> = Mutex::default();
    let on_message = |id: &str, report: &Report| {
        messages.lock().unwrap_or_else(PoisonError::into_inner).push((id.to_owned(), report.to_json()));
    };
    let work = async { handler.handle_watched(&payload, &invocation, arguments.dry_run, &on_message).await };
    let result = shown(handler.clock.instant(), handling, work).await;
    let messages = messages.into_inner().unwrap_or_else(PoisonError::into_inner);
    match result {
        Ok(answer) if answer.get("batchItemFailures").is_some() => {
            print_batch(&answer, &messages, arguments.json);
            let codes = messages.iter().map(|(_, report)| exit_code(report)).collect::<Vec<_>>();
            Ok([FAILED, PENDING].into_iter().find(|code| codes.contains(code)).unwrap_or(SUCCESS))
        }
        Ok(answer) => {
            print(&answer, arguments.json);
            Ok(exit_code(&answer))
        }
        Err(error) => {
            // The message of a failed invocation is its answer, as JSON.
            match serde_json::from_str(&error.message) {
                Ok(answer) => print(&answer, arguments.json),
                Err(_) => print_text(&visible::visible(&error.message)),
            }
            print_error(&format!("the invocation failed with {}: Lambda would retry it", error.error_type.as_str()));
            Ok(FAILED)
        }
    }
}

/// What is waited for, in seconds. What matters comes first: a terminal cuts the line.
fn waiting(waited: u64, timeout: u64, grace: u64) -> String {
    let grace = match grace {
        0 => String::new(),
        grace => format!("; grace period {grace} s (for new streams; IAC_GRACE_SECONDS=0 turns it off)"),
    };
    format!("{waited} s of {timeout} s for ACTIVE streams{grace}")
}

fn print(answer: &Value, json: bool) {
    if json {
        print_line(&visible::json(answer));
    } else {
        for line in paint::answer(answer) {
            print_text(&line);
        }
    }
}

/// The answer to an SQS batch, and what became of each message.
fn print_batch(answer: &Value, messages: &[(String, Value)], json: bool) {
    if json {
        print_line(&visible::json(answer));
        return;
    }
    if messages.is_empty() {
        print_text(&format!("{YELLOW}• ignored{YELLOW:#}: the batch is empty"));
    }
    let failures = answer["batchItemFailures"].as_array();
    for (id, report) in messages {
        let is_delivered_again = failures.is_some_and(|failures| {
            failures.iter().any(|failure| failure["itemIdentifier"].as_str() == Some(id.as_str()))
        });
        let then = if is_delivered_again { ", which SQS delivers again" } else { "" };
        // The queue of denied calls is reported as one.
        if id.is_empty() {
            print_text(&format!("{BOLD}all messages{BOLD:#}, handled as one batch of denied calls"));
        } else {
            print_text(&format!("{BOLD}message {}{BOLD:#}{then}", visible::visible(id)));
        }
        for line in paint::answer(report) {
            print_text(&format!("  {line}"));
        }
    }
}

/// The handler on the account of the AWS profile or environment.
async fn in_aws(
    Arguments { function, key, profile, region, .. }: &Arguments,
    environment: Environment,
) -> Result<Handler> {
    let clock = Clock::system();
    let with_key = |environment: Environment| match key {
        Some(key) => environment.with("KMS_KEY_ID", key),
        None => environment,
    };
    let (settings, config) = if let Some(function) = function {
        let region = function.region_or(region.as_deref())?;
        let config = sdk_config(profile.as_deref(), region, &environment, &clock).await?;
        let of_function = settings_of(function, &config, &clock, &environment).await?;
        (settings_in(&with_key(of_function.environment), Some(function))?, config)
    } else {
        let settings = settings_in(&with_key(environment.clone()), None)?;
        (settings, sdk_config(profile.as_deref(), region.as_deref(), &environment, &clock).await?)
    };
    let aws = Aws::new(&config, &settings, &clock);
    Ok(Handler { settings, aws, clock, function: "enforcer".to_owned(), emit: |_| {} })
}

/// The handler on a sandbox account that contains what the event names, and the event with the
/// sandbox's key in place of its own.
async fn in_sandbox(environment: Environment, payload: Value) -> Result<(Handler, Value)> {
    let delivery = read(&payload, &[]);
    let requests: Vec<_> = delivery.requests().cloned().collect();
    let (region, account_id) =
        requests.iter().find_map(region_and_account).unwrap_or((REGION.to_owned(), ACCOUNT.to_owned()));
    let sandbox = SandboxAccount::start(&region, &account_id).await?;
    let account = &sandbox.account;
    let mut key = account.create_key();
    let key_id = key.rsplit('/').next().unwrap_or_default().to_owned();
    let key_id = key_id.as_str();
    let mut text = payload.to_string();
    let mut alias = ALIAS.to_owned();
    let mut alias_exists = true;
    for request in &requests {
        match &request.scope {
            Scope::Streams(streams) => {
                for stream in streams {
                    let name = stream.name();
                    if account.snapshot(name).is_none() {
                        let stream = NewStream::named(name);
                        account.stream(if request.trigger.kind == TriggerKind::StreamCreated {
                            stream.creating()
                        } else {
                            stream
                        });
                    }
                }
            }
            Scope::Fleet { .. } => add_sample_streams(account),
            Scope::Key(signal) => {
                add_sample_streams(account);
                match signal {
                    KeyEvent::Rotated { key: named } | KeyEvent::Usable { key: named, .. } => {
                        text = with_key(&text, named, key_id);
                    }
                    KeyEvent::DeletionCancelled { key: named } => {
                        text = with_key(&text, named, key_id);
                        account.set_key_state(&key, KeyState::Disabled);
                    }
                    KeyEvent::Trouble { key: named, what } => {
                        text = with_key(&text, named, key_id);
                        let state = if what.contains("Material") {
                            KeyState::PendingImport
                        } else if what.contains("Deletion") {
                            KeyState::PendingDeletion
                        } else {
                            KeyState::Disabled
                        };
                        account.set_key_state(&key, state);
                    }
                    KeyEvent::StoreChanged { store, change } => {
                        key = account.create_key_in_store(store);
                        account.set_store_connected(store, *change != StoreChange::Disconnected);
                    }
                    KeyEvent::AliasPointed { alias: named, target } => {
                        text = with_key(&text, target, key_id);
                        named.as_str().clone_into(&mut alias);
                    }
                    KeyEvent::AliasDeleted { alias: named } => {
                        named.as_str().clone_into(&mut alias);
                        alias_exists = false;
                    }
                }
            }
            Scope::Nothing | Scope::Resume | Scope::Denied(_) | Scope::NotReached | Scope::Unknown { .. } => {}
        }
    }
    if alias_exists {
        account.alias(&alias, &key);
    }
    let queue = account.queue(DEAD_LETTER_QUEUE);
    let environment = sandbox.environment(environment.with("KMS_KEY_ID", &alias), &queue);
    let settings = Settings::from_environment(&environment)?;
    let aws = Aws::new(&sandbox.config(ENFORCER)?, &settings, &sandbox.clock);
    let handler =
        Handler { settings, aws, clock: sandbox.clock.clone(), function: "enforcer".to_owned(), emit: |_| {} };
    let payload = serde_json::from_str(&text).context("cannot put the key of the sandbox into the event")?;
    Ok((handler, payload))
}

/// The Region and account of a request: those of its first stream ARN, else those of its event.
fn region_and_account(request: &Request) -> Option<(String, String)> {
    let of_stream = match &request.scope {
        Scope::Streams(streams) => streams.iter().find_map(|stream| match stream {
            StreamRef::Arn(arn) => Some((arn.region().to_owned(), arn.account().to_owned())),
            StreamRef::Name(_) => None,
        }),
        _ => None,
    };
    let of_event = || Some((request.trigger.region.clone()?, request.trigger.account.clone()?));
    of_stream.or_else(of_event).filter(|(region, account)| is_region(region) && is_account(account))
}

fn add_sample_streams(account: &Account) {
    for name in ["audit-log", "clickstream", "orders", "payments"] {
        if account.snapshot(name).is_none() {
            account.stream(NewStream::named(name));
        }
    }
}

/// The text of an event with the key ID `key_id` in place of `key`.
fn with_key(text: &str, key: &KeyRef, key_id: &str) -> String {
    match key {
        KeyRef::Arn(arn) => text.replace(arn.id(), key_id),
        _ => text.replace(key.as_str(), key_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The columns of the narrowest terminal, without the spinner.
    const NARROWEST: usize = 60 - 2;

    #[test]
    fn a_narrow_terminal_shows_how_long_the_grace_period_is() {
        assert_eq!(waiting(3, 300, 0), "3 s of 300 s for ACTIVE streams");
        for (waited, timeout, grace) in [(3, 300, 60), (899, 900, 900)] {
            let line = waiting(waited, timeout, grace);
            let shown = line.get(..NARROWEST).expect("the line is longer");
            assert!(shown.contains(&format!("for ACTIVE streams; grace period {grace} s")), "{shown}");
        }
    }
}
