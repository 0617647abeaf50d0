//! `enforcer dlq`: what is on the dead-letter queue, and what is to become of it.

mod dead_letter;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde_json::{Value, json};

use self::dead_letter::ShownDeadLetter;
use super::event::sdk_config;
use super::local::{ALIAS, ENFORCER, Local};
use super::paint::{BOLD, DIM, GREEN, RED, YELLOW, say, warn};
use super::{FAILED, SETTLED};
use crate::aws::Aws;
use crate::aws::dead_letters::DeadLetterQueue;
use crate::clock::Clock;
use crate::handler::{Handler, Invocation};
use crate::sandbox::NewStream;
use crate::settings::{Environment, Settings};

/// How often in a row SQS must find nothing before the queue counts as read. One answer asks only
/// some of its servers.
const EMPTY_ANSWERS: u32 = 2;

/// How long the handler may take for one letter with `--here`.
const TIMEOUT: Duration = Duration::from_mins(5);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Looking consumes nothing: letters are given back when the command ends; if it is killed, fifteen minutes later.\n\n\
Examples:\n  enforcer dlq list --sandbox\n  enforcer dlq list --class retryable --older-than 1h\n  enforcer dlq show 3f1c\n  enforcer dlq redrive --code KeyDisabled\n  enforcer dlq redrive 3f1c --here\n  enforcer dlq purge --code UnknownPayload"
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// The dead-letter queue, in place of `FAILURE_QUEUE_URL`.
    #[arg(long, global = true)]
    queue: Option<String>,
    /// The AWS profile.
    #[arg(long, global = true)]
    profile: Option<String>,
    /// The Region, in place of the profile's or environment's.
    #[arg(long, global = true)]
    region: Option<String>,
    /// Try it on an embedded AWS whose queue holds a letter of every kind.
    #[arg(long, global = true, conflicts_with_all = ["profile", "queue"])]
    sandbox: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the letters: age, stream, code, class and remedy.
    List {
        #[command(flatten)]
        filter: Filter,
        /// Print them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one letter in full.
    Show {
        /// The beginning of its id.
        id: String,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Feed letters back. Each is deleted only when it is stored elsewhere, or settled.
    Redrive {
        #[command(flatten)]
        filter: Filter,
        /// The queue to send them to, in place of `WORK_QUEUE_URL`.
        #[arg(long, conflicts_with = "here")]
        to: Option<String>,
        /// Work them here and now, with this program's settings, instead of sending them to a
        /// queue.
        #[arg(long)]
        here: bool,
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete letters for good.
    Purge {
        #[command(flatten)]
        filter: Filter,
        /// Delete all, if no other filter is given.
        #[arg(long)]
        all: bool,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// Which letters are meant: those to which everything that is given applies.
#[derive(Debug, clap::Args)]
struct Filter {
    /// The beginnings of their ids; all, if none is given.
    ids: Vec<String>,
    /// The stream's name or ARN.
    #[arg(long)]
    stream: Option<String>,
    /// The error code, such as `KeyDisabled`.
    #[arg(long)]
    code: Option<String>,
    /// The class.
    #[arg(long, value_parser = ["retryable", "terminal", "contested"])]
    class: Option<String>,
    /// Older than this: 90s, 30m, 12h or 7d.
    #[arg(long, value_parser = duration)]
    older_than: Option<Duration>,
}

impl Filter {
    fn is_open(&self) -> bool {
        self.ids.is_empty()
            && self.stream.is_none()
            && self.code.is_none()
            && self.class.is_none()
            && self.older_than.is_none()
    }

    fn admits(&self, letter: &ShownDeadLetter, now: DateTime<Utc>) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        (self.ids.is_empty() || self.ids.iter().any(|id| letter.id.starts_with(id.as_str())))
            && (is(&self.stream, letter.subject()) || is(&self.stream, letter.stream.as_deref().unwrap_or_default()))
            && is(&self.code, &letter.code)
            && is(&self.class, &letter.class)
            && self.older_than.is_none_or(|age| letter.age(now) > age)
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let malformed = || format!("{text:?} is not a time: it takes a number with s, m, h or d, such as 12h");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(malformed)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(malformed()),
    };
    let number: u64 = number.parse().map_err(|_| malformed())?;
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

/// Where the letters are, and what to work them with.
struct Desk {
    letters: DeadLetterQueue,
    clock: Clock,
    queue_url: String,
    environment: Environment,
    config: aws_types::SdkConfig,
}

pub(super) async fn run(arguments: &Arguments) -> Result<u8> {
    let desk = if arguments.sandbox { Desk::embedded().await? } else { Desk::real(arguments).await? };
    let letters = desk.collect().await?;
    let ended = desk.carry_out(&arguments.command, &letters).await;
    match ended {
        Ok((code, deleted)) => {
            desk.give_back(letters.iter().filter(|letter| !deleted.contains(&letter.id))).await;
            Ok(code)
        }
        Err(error) => {
            desk.give_back(letters.iter()).await;
            Err(error)
        }
    }
}

impl Desk {
    async fn real(arguments: &Arguments) -> Result<Self> {
        let environment = Environment::of_process();
        let queue_url = arguments.queue.as_deref().or_else(|| environment.get("FAILURE_QUEUE_URL"));
        let queue_url =
            queue_url.ok_or_else(|| anyhow!("no queue: give --queue URL, or set FAILURE_QUEUE_URL"))?.to_owned();
        let clock = Clock::system();
        let config =
            sdk_config(arguments.profile.as_deref(), arguments.region.as_deref(), &environment, &clock).await?;
        Ok(Self { letters: DeadLetterQueue::new(&config, &clock, &queue_url), clock, queue_url, environment, config })
    }

    /// An embedded account with a stream, a key, and a letter of every kind.
    async fn embedded() -> Result<Self> {
        const SAMPLES: [(&str, &[(&str, &str)]); 4] = [
            (include_str!("../../../events/dead-letter.json"), &[]),
            (include_str!("../../../events/on-failure-record.json"), &[]),
            (
                include_str!("../../../events/encryption-stopped.json"),
                &[
                    ("RULE_ARN", "arn:aws:events:us-east-1:111122223333:rule/enforcer-StreamChangedRule"),
                    ("ERROR_CODE", "NO_PERMISSIONS"),
                    ("ERROR_MESSAGE", "Lambda permissions are missing for the rule"),
                ],
            ),
            (include_str!("../../../events/work-item.json"), &[]),
        ];
        let local = Local::start("us-east-1", "111122223333").await?;
        let key = local.account.create_key();
        local.account.alias(ALIAS, &key);
        for name in ["orders", "clickstream"] {
            local.account.stream(NewStream::named(name));
        }
        let (queue_url, work) = (local.account.queue("enforcer-dead-letters"), local.account.queue("enforcer-work"));
        for (body, attributes) in SAMPLES {
            local.account.send_with("enforcer-dead-letters", body, attributes);
        }
        let environment = Environment::default().with("KMS_KEY_ID", ALIAS).with("WORK_QUEUE_URL", &work);
        let environment = local.environment(environment, &queue_url);
        let (clock, config) = (local.clock.clone(), local.config(ENFORCER)?);
        Ok(Self { letters: DeadLetterQueue::new(&config, &clock, &queue_url), clock, queue_url, environment, config })
    }

    /// Receives all letters there are now. Those that arrive later are not among them, so that none
    /// is fed back that a redrive has just written.
    async fn collect(&self) -> Result<Vec<ShownDeadLetter>> {
        let mut letters: Vec<ShownDeadLetter> = Vec::new();
        let mut empty = 0;
        while empty < EMPTY_ANSWERS {
            let received = match self.letters.receive().await {
                Ok(received) => received,
                Err(error) => {
                    self.give_back(letters.iter()).await;
                    return Err(anyhow!("{}", error.failure).context("the dead-letter queue cannot be read"));
                }
            };
            empty = if received.is_empty() { empty + 1 } else { 0 };
            for held in received {
                // Delivered twice: the later receipt is the one that counts.
                letters.retain(|letter| letter.id != held.id);
                letters.push(ShownDeadLetter::read(held));
            }
        }
        letters.sort_by_key(|letter| letter.sent);
        Ok(letters)
    }

    async fn give_back(&self, letters: impl Iterator<Item = &ShownDeadLetter>) {
        for letter in letters {
            if let Err(error) = self.letters.give_back(&letter.held).await {
                warn(&format!("letter {} stays hidden for fifteen minutes: {}", short(letter), error.failure));
            }
        }
    }

    /// The exit code, and the ids of the letters that are no longer on the queue.
    async fn carry_out(&self, command: &Command, letters: &[ShownDeadLetter]) -> Result<(u8, Vec<String>)> {
        let now = self.clock.utc();
        let meant = |filter: &Filter| letters.iter().filter(|letter| filter.admits(letter, now)).collect::<Vec<_>>();
        match command {
            Command::List { filter, json } => {
                list(&meant(filter), letters.len(), *json, now);
                Ok((SETTLED, Vec::new()))
            }
            Command::Show { id, json } => {
                match letters.iter().filter(|letter| letter.id.starts_with(id.as_str())).collect::<Vec<_>>()[..] {
                    [letter] => show(letter, *json, now),
                    [] => bail!("no letter's id begins with {id:?}: see enforcer dlq list"),
                    ref several => bail!("the ids of {} letters begin with {id:?}: give more of it", several.len()),
                }
                Ok((SETTLED, Vec::new()))
            }
            Command::Redrive { filter, to, here, dry_run } => {
                let way = if *here {
                    Way::Here(Box::new(self.handler()?))
                } else {
                    let to = to.as_deref().or_else(|| self.environment.get("WORK_QUEUE_URL"));
                    Way::To(
                        to.ok_or_else(|| {
                            anyhow!("no queue to send to: give --to URL, set WORK_QUEUE_URL, or work them --here")
                        })?
                        .to_owned(),
                    )
                };
                self.redrive(&meant(filter), &way, *dry_run).await
            }
            Command::Purge { filter, all, yes } => {
                if filter.is_open() && !all {
                    bail!("say which letters: ids, --stream, --code, --class, --older-than, or --all");
                }
                let meant = meant(filter);
                list(&meant, letters.len(), false, now);
                if meant.is_empty() || !(*yes || confirmed(meant.len())?) {
                    return Ok((SETTLED, Vec::new()));
                }
                self.purge(&meant).await
            }
        }
    }

    fn handler(&self) -> Result<Handler> {
        // What fails again is written to the queue that it came from.
        let environment = self.environment.clone().with("FAILURE_QUEUE_URL", &self.queue_url);
        let settings = Settings::from_environment(&environment)?;
        let aws = Aws::new(&self.config, &settings, &self.clock);
        Ok(Handler { settings, aws, clock: self.clock.clone(), function: "enforcer".to_owned(), emit: |_| {} })
    }

    async fn redrive(&self, letters: &[&ShownDeadLetter], way: &Way, dry_run: bool) -> Result<(u8, Vec<String>)> {
        let mut deleted = Vec::new();
        for letter in letters {
            let name = format!("{BOLD}{}{BOLD:#} {}", short(letter), letter.subject());
            if dry_run {
                say(&format!("{YELLOW}•{YELLOW:#} {name}: would be {}", way.future()));
                continue;
            }
            match self.feed_back(letter, way).await {
                Ok(ended) => match self.letters.delete(&letter.held).await {
                    Ok(()) => {
                        say(&format!("{GREEN}✔{GREEN:#} {name}: {ended}"));
                        deleted.push(letter.id.clone());
                    }
                    // It is in two places now, which is harmless; in none would not be.
                    Err(error) => {
                        say(&format!("{RED}✘{RED:#} {name}: {ended}, but it could not be deleted: {}", error.failure));
                    }
                },
                Err(reason) => say(&format!("{RED}✘{RED:#} {name}: stays, {reason}")),
            }
        }
        let stayed = letters.len() - deleted.len();
        if dry_run {
            say(&format!("{DIM}{} letters, nothing was done{DIM:#}", letters.len()));
            return Ok((SETTLED, deleted));
        }
        say(&format!("{DIM}{} redriven, {stayed} stay{DIM:#}", deleted.len()));
        Ok((if stayed == 0 { SETTLED } else { FAILED }, deleted))
    }

    /// Feeds a letter back: when this is well, whatever becomes of it is stored elsewhere.
    async fn feed_back(&self, letter: &ShownDeadLetter, way: &Way) -> Result<String, String> {
        match way {
            Way::To(queue) => match self.letters.copy(&letter.held, queue).await {
                Ok(()) => Ok("sent to the work queue".to_owned()),
                Err(error) => Err(format!("the queue did not take it: {}", error.failure)),
            },
            Way::Here(_) if letter.asks_for_no_letter() => {
                Err("its request wants no dead letter, so a failure would be stored nowhere".to_owned())
            }
            Way::Here(handler) => {
                let invocation = Invocation {
                    request_id: format!("redrive-{}", short(letter)),
                    deadline: self.clock.wall() + TIMEOUT,
                };
                match Box::pin(handler.handle(&letter.body, &invocation)).await {
                    // A batch is always answered, and names what is to come back: nothing of that
                    // is stored elsewhere.
                    Ok(answer)
                        if answer["batchItemFailures"].as_array().is_some_and(|failures| !failures.is_empty()) =>
                    {
                        Err("messages of the batch in it are to be tried again".to_owned())
                    }
                    Ok(answer) => Ok(summary(&answer)),
                    Err(error) => Err(format!("it failed with {} and can be tried again", error.error_type.as_str())),
                }
            }
        }
    }

    async fn purge(&self, letters: &[&ShownDeadLetter]) -> Result<(u8, Vec<String>)> {
        let mut deleted = Vec::new();
        for letter in letters {
            match self.letters.delete(&letter.held).await {
                Ok(()) => deleted.push(letter.id.clone()),
                Err(error) => warn(&format!("letter {} stays: {}", short(letter), error.failure)),
            }
        }
        say(&format!("{DIM}{} deleted{DIM:#}", deleted.len()));
        Ok((if deleted.len() == letters.len() { SETTLED } else { FAILED }, deleted))
    }
}

/// How letters are fed back.
enum Way {
    /// To the queue with this URL.
    To(String),
    /// Through the handler in this process.
    Here(Box<Handler>),
}

impl Way {
    fn future(&self) -> String {
        match self {
            Self::To(queue) => format!("sent to {queue}"),
            Self::Here(_) => "worked here".to_owned(),
        }
    }
}

fn short(letter: &ShownDeadLetter) -> &str {
    letter.id.get(..8).unwrap_or(&letter.id)
}

fn age(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// What became of it, by the answer: for a wrapped batch, that of its requests.
fn summary(answer: &Value) -> String {
    if let Some(reason) = answer["trigger"]["reason"].as_str() {
        return format!("ignored, {reason}");
    }
    let counts: Vec<_> = answer["summary"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(status, count)| format!("{count} {status}"))
        .collect();
    let failed = answer["summary"]["failed"].as_u64().unwrap_or_default() > 0;
    format!("{}{}", counts.join(", "), if failed { ", and a new letter says why" } else { "" })
}

fn list(letters: &[&ShownDeadLetter], all: usize, as_json: bool, now: DateTime<Utc>) {
    if as_json {
        say(&format!("{:#}", json!(letters)));
        return;
    }
    let width = |texts: &mut dyn Iterator<Item = usize>, least: usize| texts.max().unwrap_or_default().max(least);
    let subject = width(&mut letters.iter().map(|letter| letter.subject().chars().count()), 6);
    let code = width(&mut letters.iter().map(|letter| letter.code.chars().count()), 4);
    if !letters.is_empty() {
        say(&format!("{DIM}{:<8}  {:>4}  {:<subject$}  {:<code$}  CLASS{DIM:#}", "ID", "AGE", "STREAM", "CODE"));
    }
    for letter in letters {
        let age = age(letter.age(now));
        say(&format!(
            "{BOLD}{}{BOLD:#}  {age:>4}  {:<subject$}  {:<code$}  {}",
            short(letter),
            letter.subject(),
            letter.code,
            letter.class
        ));
        say(&format!("{:>14}  {DIM}{}{DIM:#}", "", letter.remedy));
    }
    let matching = if letters.len() == all { String::new() } else { format!(", {} of them meant", letters.len()) };
    say(&format!("{DIM}{all} letters delivered by SQS{matching}{DIM:#}"));
}

fn show(letter: &ShownDeadLetter, as_json: bool, now: DateTime<Utc>) {
    if as_json {
        say(&format!("{:#}", json!(letter)));
        return;
    }
    let sent = letter.sent.map_or_else(|| "unknown".to_owned(), |sent| sent.to_rfc3339());
    for (name, value) in [
        ("id", letter.id.as_str()),
        ("sent", &format!("{sent}, {} ago", age(letter.age(now)))),
        ("written by", letter.sender_text()),
        ("stream", letter.stream.as_deref().unwrap_or("none: it is about a whole event")),
        ("code", &letter.code),
        ("class", &letter.class),
        ("message", &letter.message),
        ("remedy", &letter.remedy),
        ("received", &format!("{} times", letter.receives)),
    ] {
        say(&format!("{BOLD}{name:<11}{BOLD:#} {value}"));
    }
    for (name, value) in &letter.held.attributes {
        say(&format!("{DIM}attribute  {DIM:#} {name} = {value}"));
    }
    say(&format!("{BOLD}body{BOLD:#}"));
    say(&format!("{:#}", letter.body));
    say(&format!("{DIM}Feed it back: enforcer dlq redrive {}, or with --here at once.{DIM:#}", short(letter)));
}

fn confirmed(letters: usize) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("deleting cannot be undone: give --yes, or run it at a terminal");
    }
    let mut out = anstream::stdout();
    write!(out, "Delete {letters} letters for good? [y/N] ")
        .and_then(|()| out.flush())
        .context("the question cannot be asked")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("the answer cannot be read")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
