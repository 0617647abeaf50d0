//! `enforcer policy`: checks a policy, and explains what it says about a stream. Works offline.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::Value;

use super::paint::{BOLD, DIM, GREEN, RED, YELLOW, say, warning};
use super::{FAILED, PENDING, SETTLED, USAGE};
use crate::clock::Clock;
use crate::decide::impact::{KeyChange, warnings};
use crate::decide::{
    CurrentKey, Decision, DesiredKey, Enforcement, Facts, ImpactFacts, Keys, OtherKeyFitness, Pending, Settled, decide,
};
use crate::domain::key::KeyRef;
use crate::domain::mode::OnOtherKey;
use crate::domain::stream::{Description, StreamMode, StreamStatus};
use crate::domain::trigger_facts::TriggerFacts;
use crate::policy::{
    Action, EffectivePolicy, Invalid, Match, Policy, PolicyDecision, Requirement, Rule, Subject, schema,
};
use crate::settings::{Environment, PolicySource, Settings};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Check policies: every problem with its line, its column and its JSON path.
    Check {
        /// The files; - reads standard input.
        #[arg(required = true)]
        files: Vec<String>,
    },
    /// Say which rule decides about a stream, why those before it do not, and what would happen
    /// now.
    Explain(Explain),
    /// Print the JSON Schema of a policy, for editors.
    Schema,
}

#[derive(Debug, clap::Args)]
pub(super) struct Explain {
    /// What `aws kinesis describe-stream-summary` prints, optionally with the stream's "Tags"
    /// beside it; - reads standard input.
    stream: String,
    /// The policy, in place of `POLICY`.
    #[arg(long)]
    policy: Option<String>,
    /// The key, in place of `KMS_KEY_ID`.
    #[arg(long)]
    key: Option<String>,
    /// The day (UTC) to explain for, in place of today.
    #[arg(long)]
    on: Option<NaiveDate>,
}

pub(super) fn run(command: &Command) -> Result<u8> {
    match command {
        Command::Check { files } => check(files),
        Command::Explain(arguments) => explain(arguments),
        Command::Schema => {
            say(&format!("{:#}", schema()));
            Ok(SETTLED)
        }
    }
}

fn read(file: &str) -> Result<String> {
    if file == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
        return Ok(text);
    }
    fs::read_to_string(file).with_context(|| format!("{file} cannot be read"))
}

fn check(files: &[String]) -> Result<u8> {
    let today = Clock::system().utc().date_naive();
    let mut code = SETTLED;
    for file in files {
        match read(file)?.parse::<Policy>() {
            Ok(policy) => {
                let rules = policy.rules();
                say(&format!("{GREEN}✔{GREEN:#} {BOLD}{file}{BOLD:#}: {}", count(rules.len(), "rule")));
                for rule in rules {
                    if let Some(note) = note(rule, today) {
                        say(&format!("  {YELLOW}note:{YELLOW:#} rule {}: {note}", rule.name));
                    }
                }
            }
            Err(Invalid(problems)) => {
                code = USAGE;
                say(&format!("{RED}✘{RED:#} {BOLD}{file}{BOLD:#}: {}", count(problems.len(), "problem")));
                for problem in problems {
                    say(&format!(
                        "  {DIM}{file}:{}:{}{DIM:#} {BOLD}{}{BOLD:#}: {}",
                        problem.line, problem.column, problem.path, problem.what
                    ));
                }
            }
        }
    }
    Ok(code)
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// What is allowed, and yet worth a look.
fn note(rule: &Rule, today: NaiveDate) -> Option<String> {
    match &rule.action {
        Action::Exempt { until: None, .. } => Some("the exemption has no end; give it one with until".to_owned()),
        Action::Exempt { until: Some(until), .. } if rule.has_expired(today) => {
            Some(format!("the exemption ended on {until}; its streams go to the rules after it"))
        }
        Action::Exempt { .. } | Action::Enforce { .. } => None,
    }
}

/// What `describe-stream-summary` prints, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    stream_description_summary: Summary,
    tags: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_status: String,
    stream_mode_details: Option<ModeDetails>,
    encryption_type: Option<String>,
    key_id: Option<String>,
    retention_period_hours: Option<u32>,
    consumer_count: Option<u32>,
    tags: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ModeDetails {
    stream_mode: String,
}

/// Tags as `list-tags-for-stream` prints them, or as an object.
fn tags_of(tags: Value) -> Result<Vec<(String, String)>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Tag {
        key: String,
        #[serde(default)]
        value: String,
    }
    let what = "Tags is neither [{\"Key\": …, \"Value\": …}] nor {\"key\": \"value\"}";
    if tags.is_array() {
        let tags: Vec<Tag> = serde_json::from_value(tags).context(what)?;
        return Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect());
    }
    let tags: BTreeMap<String, String> = serde_json::from_value(tags).context(what)?;
    Ok(tags.into_iter().collect())
}

/// What is known of the stream.
struct Stream {
    description: Description,
    tags: Option<Vec<(String, String)>>,
}

fn stream_of(text: &str, file: &str) -> Result<Stream> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let described: Described = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| anyhow!("{file} is not what aws kinesis describe-stream-summary prints: {error}"))?;
    let Described { stream_description_summary: summary, tags } = described;
    let Summary {
        stream_arn,
        stream_status,
        stream_mode_details,
        encryption_type,
        key_id,
        retention_period_hours,
        consumer_count,
        tags: inner,
    } = summary;
    Ok(Stream {
        description: Description {
            arn: stream_arn.parse().with_context(|| format!("{file}: StreamARN"))?,
            status: StreamStatus::from(stream_status.as_str()),
            key_id: key_id.filter(|_| encryption_type.as_deref() == Some("KMS")),
            created: None,
            mode: stream_mode_details.map(|details| StreamMode::from(details.stream_mode.as_str())),
            retention_hours: retention_period_hours,
            consumers: consumer_count,
        },
        tags: tags.or(inner).map(tags_of).transpose().with_context(|| format!("{file}: Tags"))?,
    })
}

fn explain(arguments: &Explain) -> Result<u8> {
    let file = if arguments.stream == "-" { "standard input" } else { &arguments.stream };
    let stream = stream_of(&read(&arguments.stream)?, file)?;
    let mut environment = Environment::of_process();
    if let Some(key) = &arguments.key {
        environment = environment.with("KMS_KEY_ID", key);
    }
    if arguments.policy.is_some() {
        environment = environment.with("POLICY", "").with("POLICY_PARAMETER", "");
    }
    let settings = Settings::from_environment(&environment)?;
    let policy = match (&arguments.policy, &settings.policy) {
        (Some(file), _) => {
            let policy = read(file)?.parse::<Policy>().map_err(|invalid| anyhow!("{file}: {invalid}"))?;
            std::sync::Arc::new(policy)
        }
        (None, PolicySource::Inline(policy)) => std::sync::Arc::clone(policy),
        (None, PolicySource::Parameter(name)) => {
            return Err(anyhow!(
                "POLICY_PARAMETER is {name}, which is not read offline: give the policy with --policy"
            ));
        }
    };
    let today = arguments.on.unwrap_or_else(|| Clock::system().utc().date_naive());
    let rules = EffectivePolicy { policy, key: settings.key, mode: settings.mode, on_other_key: settings.on_other_key };
    let Description { arn, status, mode, key_id, .. } = &stream.description;
    let encrypted = key_id.as_ref().map_or("not encrypted".to_owned(), |key| format!("encrypted with {key}"));
    let capacity = mode.as_ref().map(|mode| format!(", {}", mode.as_str())).unwrap_or_default();
    say(&format!("{BOLD}{}{BOLD:#}  {DIM}{arn}{DIM:#}", arn.name()));
    say(&format!("  {status}{capacity}, {encrypted}"));
    let subject = Subject { stream: arn, mode: mode.as_ref(), tags: stream.tags.as_deref(), today };
    say(&format!("{BOLD}rules{BOLD:#}"));
    let (ruling, _) = rules.rule_on(&subject);
    for line in reasons(&rules, &subject) {
        say(&format!("  {line}"));
    }
    say(&format!("{BOLD}now{BOLD:#}"));
    let mut change = None;
    let (code, line) = match ruling {
        PolicyDecision::NeedsTags { rule } => (
            FAILED,
            format!("rule {rule} depends on the stream's tags: give them as \"Tags\" beside StreamDescriptionSummary"),
        ),
        PolicyDecision::Undecided { rule, missing } => {
            (FAILED, format!("the stream is not touched: rule {rule} depends on {missing}, which is not known"))
        }
        PolicyDecision::Requirement(terms) => {
            change = Some(terms.key);
            now(&stream, &rules, terms, settings.exempt_tag_key.as_deref(), today)
        }
    };
    say(&format!("  {line}"));
    if let Some(key) = change.filter(|_| code == PENDING) {
        let key = key.canonical(arn.region(), arn.account());
        let now = today.and_time(chrono::NaiveTime::MIN).and_utc();
        let change = KeyChange {
            description: &stream.description,
            key: key.as_ref(),
            key_policy: None,
            stream_policy: None,
            now,
        };
        for line in warnings(&change) {
            say(&format!("  {}", warning(&serde_json::to_value(line)?)));
        }
    }
    Ok(code)
}

/// Rule by rule, up to the one that decides, why it does or does not.
fn reasons(rules: &EffectivePolicy, subject: &Subject<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, rule) in rules.policy.rules().iter().enumerate() {
        let line = |mark: String| format!("{:>2}  {BOLD}{}{BOLD:#}: {mark}", index + 1, rule.name);
        match rule.matches.of(subject) {
            Match::No(why) => lines.push(line(format!("no, {why}"))),
            Match::Yes if rule.has_expired(subject.today) => {
                lines.push(line(format!(
                    "{YELLOW}expired{YELLOW:#}, {}",
                    note(rule, subject.today).unwrap_or_default()
                )));
            }
            Match::Yes => {
                lines.push(line(format!("{GREEN}decides{GREEN:#}")));
                return lines;
            }
            Match::NeedsTags => {
                lines.push(line(format!("{YELLOW}depends on tags{YELLOW:#}")));
                return lines;
            }
            Match::Unknown(missing) => {
                lines.push(line(format!("{YELLOW}depends on {missing}{YELLOW:#}")));
                return lines;
            }
        }
    }
    lines.push(format!(" –  {BOLD}the configured default{BOLD:#}: {GREEN}decides{GREEN:#}"));
    lines
}

/// What would happen to the stream now, and the exit code that says so.
fn now(
    stream: &Stream,
    rules: &EffectivePolicy,
    terms: Requirement<'_>,
    exempt_tag_key: Option<&str>,
    today: NaiveDate,
) -> (u8, String) {
    let Stream { description: Description { arn, key_id, .. }, tags } = stream;
    let canonical = |key: &KeyRef| key.canonical(arn.region(), arn.account());
    let desired = if terms.key.is_aws_managed() {
        DesiredKey::AwsManaged
    } else if let Some(key) = canonical(terms.key) {
        DesiredKey::Key { arn: key, trouble: None }
    } else if terms.exempt.is_none() && key_id.is_some() {
        return (
            PENDING,
            format!("it is compared with the key that {} stands for, which only AWS can tell", terms.key),
        );
    } else {
        // Nothing is compared with it.
        DesiredKey::AwsManaged
    };
    let present = match key_id.as_deref().map(|key_id| (key_id, key_id.parse::<KeyRef>())) {
        None => CurrentKey::Unencrypted,
        Some((_, Ok(key))) if key.is_aws_managed() => CurrentKey::AwsManaged,
        Some((key_id, key)) => match key.ok().as_ref().and_then(canonical) {
            Some(arn) => CurrentKey::Key { arn, by_alias: None, fitness: OtherKeyFitness::NotAsked },
            None => {
                return (PENDING, format!("the stream names its key by {key_id}, and only AWS can tell which that is"));
            }
        },
    };
    if terms.on_other_key == OnOtherKey::Accept
        && let (CurrentKey::Key { arn: present, .. }, DesiredKey::Key { arn: desired, .. }) = (&present, &desired)
        && present != desired
    {
        return (
            PENDING,
            format!(
                "nothing if {present} is an enabled customer managed key, which only AWS can tell; otherwise {} is applied",
                terms.key
            ),
        );
    }
    let keys = Ok(Keys { desired, current: present });
    let (impact, trigger) = (ImpactFacts::default(), TriggerFacts::default());
    let enforcement = Enforcement {
        policy: rules,
        exempt_tag_key: exempt_tag_key.filter(|_| tags.is_some()),
        iac_grace: Duration::ZERO,
        max_applies: usize::MAX,
    };
    let now = today.and_time(chrono::NaiveTime::MIN).and_utc();
    let facts = Facts {
        tags: Some(tags.as_deref().unwrap_or_default()),
        impact: Some(&impact),
        ..Facts::at_rest(&stream.description, &keys, enforcement, &trigger, now)
    };
    let unless = if exempt_tag_key.is_some() && tags.is_none() { ", unless its tags exempt it" } else { "" };
    match decide(&facts).decision {
        Decision::Done(settled) => match settled {
            Settled::InSync(in_sync) => (SETTLED, format!("{GREEN}nothing{GREEN:#}: {in_sync}")),
            Settled::Exempt(because) => (SETTLED, format!("{YELLOW}nothing{YELLOW:#}: {because}")),
            Settled::Gone(_) => (SETTLED, "nothing: it is being deleted".to_owned()),
            Settled::WouldApply(why) => {
                (PENDING, format!("{YELLOW}it is reported{YELLOW:#} and not touched (audit): {why}{unless}"))
            }
            Settled::KeyAtRisk(failure) => (FAILED, format!("{RED}it is not touched{RED:#}: {failure}")),
        },
        Decision::Apply(why) => {
            (PENDING, format!("{YELLOW}StartStreamEncryption{YELLOW:#} with {}: {why}{unless}", terms.key))
        }
        Decision::Poll(Pending::Status(status)) => (PENDING, format!("it is waited for: the stream is {status}")),
        Decision::Refuse(failure) => (FAILED, format!("{RED}it is not touched{RED:#}: {failure}")),
        Decision::Poll(_) | Decision::Pause(..) | Decision::Defer(_) | Decision::Need(_) => {
            (PENDING, "it is looked at again".to_owned())
        }
    }
}
