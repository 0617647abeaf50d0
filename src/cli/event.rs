//! `enforcer event`: the handler on an event, as Lambda would run it.

use std::fs;
use std::io::Read;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aws_config::BehaviorVersion;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_types::SdkConfig;
use aws_types::region::Region;
use serde_json::Value;

use super::local::{ALIAS, ENFORCER, Local};
use super::paint::{self, say, warn};
use super::{FAILED, exit_code};
use crate::aws::error::chain;
use crate::aws::http::http_client;
use crate::aws::{Aws, config};
use crate::clock::Clock;
use crate::domain::arn::{is_account, is_region};
use crate::domain::key::KeyRef;
use crate::domain::stream::StreamRef;
use crate::event::{KeyEvent, Request, Scope, TriggerKind, read};
use crate::handler::{Handler, Invocation};
use crate::sandbox::{KeyState, NewStream};
use crate::settings::{Environment, Settings};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A file with the event as Lambda receives it, a dead letter, or a request such as {"stream":
    /// "orders"}; - reads standard input.
    file: String,
    /// Run on an embedded AWS that holds what the event names.
    #[arg(long, conflicts_with_all = ["profile", "key", "region"])]
    sandbox: bool,
    /// Look and decide, but change nothing and write no dead letter.
    #[arg(long)]
    dry_run: bool,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
    /// The key, in place of `KMS_KEY_ID`.
    #[arg(long)]
    key: Option<String>,
    /// The AWS profile.
    #[arg(long)]
    profile: Option<String>,
    /// The Region, in place of the profile's or environment's.
    #[arg(long)]
    region: Option<String>,
    /// How long the handler may take, in seconds.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(5..=900))]
    timeout: u64,
}

pub(super) async fn run(arguments: &Arguments) -> Result<u8> {
    let text = match arguments.file.as_str() {
        "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
            text
        }
        file => fs::read_to_string(file).with_context(|| format!("{file} cannot be read"))?,
    };
    let payload: Value = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", arguments.file))?;
    let mut environment = Environment::of_process();
    if let Some(key) = &arguments.key {
        environment = environment.with("KMS_KEY_ID", key);
    }
    let (handler, payload) = if arguments.sandbox {
        embedded(environment, payload).await?
    } else {
        (real(arguments, &environment).await?, payload)
    };
    let deadline = handler.clock.wall() + Duration::from_secs(arguments.timeout);
    let invocation = Invocation { request_id: "terminal".to_owned(), deadline };
    let ended = if arguments.dry_run {
        handler.dry_run(&payload, &invocation).await
    } else {
        handler.handle(&payload, &invocation).await
    };
    match ended {
        Ok(answer) => {
            print(&answer, arguments.json);
            Ok(exit_code(&answer))
        }
        Err(error) => {
            // The message is the answer's JSON: an invocation that fails still says what it did.
            match serde_json::from_str(&error.message) {
                Ok(answer) => print(&answer, arguments.json),
                Err(_) => say(&error.message),
            }
            warn(&format!("{}: Lambda would try this again", error.error_type.as_str()));
            Ok(FAILED)
        }
    }
}

fn print(answer: &Value, json: bool) {
    if json || answer.get("batchItemFailures").is_some() {
        say(&format!("{answer:#}"));
    } else {
        for line in paint::answer(answer) {
            say(&line);
        }
    }
}

/// The handler on the account of the usual AWS profile and environment.
async fn real(arguments: &Arguments, environment: &Environment) -> Result<Handler> {
    let settings = Settings::from_environment(environment)?;
    let clock = Clock::system();
    let config = sdk_config(arguments.profile.as_deref(), arguments.region.as_deref(), environment, &clock).await?;
    let aws = Aws::new(&config, &settings, &clock);
    Ok(Handler { settings, aws, clock, function: "enforcer".to_owned(), emit: |_| {} })
}

/// The configuration that a profile, or the environment, describes.
pub(super) async fn sdk_config(
    profile: Option<&str>,
    region: Option<&str>,
    environment: &Environment,
    clock: &Clock,
) -> Result<SdkConfig> {
    // The Region of a profile is known only after loading: the platform's roots serve every
    // partition here.
    let http = http_client(environment, "any")?;
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http.clone());
    if let Some(profile) = profile {
        // Whoever names a profile means it, whatever credentials the environment has.
        let provider =
            ProfileFileCredentialsProvider::builder().configure(&ProviderConfig::default().with_http_client(http));
        loader = loader.profile_name(profile).credentials_provider(provider.profile_name(profile).build());
    }
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    let config = loader.load().await;
    if config.region().is_none() {
        return Err(anyhow!("no Region: give --region, set AWS_REGION, or choose a profile that has one"));
    }
    checked_credentials(
        &config,
        &profile.map_or_else(
            || "no AWS credentials".to_owned(),
            |name| format!("there is no profile {name}, or none with credentials"),
        ),
    )
    .await?;
    Ok(config::with_retries_off(config, clock))
}

/// Takes the credentials once: that there are none is said here, and not by every call as a failure
/// of the network.
pub(super) async fn checked_credentials(config: &SdkConfig, whose: &str) -> Result<()> {
    let provider = config.credentials_provider().ok_or_else(|| anyhow!("{whose}"))?;
    provider.provide_credentials().await.map(drop).map_err(|error| anyhow!("{whose}: {}", chain(&error)))
}

/// The handler on an embedded account that holds what the event names; the event then names the
/// embedded account's key.
async fn embedded(environment: Environment, payload: Value) -> Result<(Handler, Value)> {
    let delivery = read(&payload, &[]);
    let requests: Vec<_> = delivery.requests().cloned().collect();
    let (region, account_id) =
        requests.iter().find_map(place).unwrap_or(("us-east-1".to_owned(), "111122223333".to_owned()));
    let local = Local::start(&region, &account_id).await?;
    let account = &local.account;
    let key = account.create_key();
    let key_id = key.rsplit('/').next().unwrap_or_default();
    let mut text = payload.to_string();
    let mut alias = ALIAS.to_owned();
    let mut alias_exists = true;
    for request in &requests {
        match &request.scope {
            Scope::Streams(streams) => {
                for stream in streams {
                    let name = match stream {
                        StreamRef::Arn(arn) => arn.name(),
                        StreamRef::Name(name) => name.as_str(),
                    };
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
            Scope::Fleet { .. } => some_streams(&local),
            Scope::Key(signal) => {
                some_streams(&local);
                match signal {
                    KeyEvent::Rotated { key: named } | KeyEvent::Usable { key: named, .. } => {
                        text = renamed(&text, named, key_id);
                    }
                    KeyEvent::DeletionCancelled { key: named } => {
                        text = renamed(&text, named, key_id);
                        account.set_key_state(&key, KeyState::Disabled);
                    }
                    KeyEvent::Trouble { key: named, what } => {
                        text = renamed(&text, named, key_id);
                        let state = match what {
                            material if material.contains("Material") => KeyState::PendingImport,
                            deletion if deletion.contains("Deletion") => KeyState::PendingDeletion,
                            _ => KeyState::Disabled,
                        };
                        account.set_key_state(&key, state);
                    }
                    KeyEvent::AliasPointed { alias: named, target } => {
                        text = renamed(&text, target, key_id);
                        named.as_str().clone_into(&mut alias);
                    }
                    KeyEvent::AliasDeleted { alias: named } => {
                        named.as_str().clone_into(&mut alias);
                        alias_exists = false;
                    }
                }
            }
            Scope::Nothing | Scope::Unknown { .. } => {}
        }
    }
    if alias_exists {
        account.alias(&alias, &key);
    }
    let queue = account.queue("enforcer-dead-letters");
    let environment = local.environment(environment.with("KMS_KEY_ID", &alias), &queue);
    let settings = Settings::from_environment(&environment)?;
    let aws = Aws::new(&local.config(ENFORCER)?, &settings, &local.clock);
    let handler = Handler { settings, aws, clock: local.clock.clone(), function: "enforcer".to_owned(), emit: |_| {} };
    Ok((handler, serde_json::from_str(&text)?))
}

fn place(request: &Request) -> Option<(String, String)> {
    let named = match &request.scope {
        Scope::Streams(streams) => streams.iter().find_map(|stream| match stream {
            StreamRef::Arn(arn) => Some((arn.region().to_owned(), arn.account().to_owned())),
            StreamRef::Name(_) => None,
        }),
        _ => None,
    };
    let of_event = || Some((request.trigger.region.clone()?, request.trigger.account.clone()?));
    named.or_else(of_event).filter(|(region, account)| is_region(region) && is_account(account))
}

fn some_streams(local: &Local) {
    for name in ["audit-log", "clickstream", "orders", "payments"] {
        if local.account.snapshot(name).is_none() {
            local.account.stream(NewStream::named(name));
        }
    }
}

/// The event, speaking of the embedded account's key where it spoke of its own.
fn renamed(text: &str, named: &KeyRef, key_id: &str) -> String {
    match named {
        KeyRef::Arn(arn) => text.replace(arn.id(), key_id),
        _ => text.replace(named.as_str(), key_id),
    }
}
