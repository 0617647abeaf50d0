//! `enforcer policy explain`: what a policy does with a stream. It reads the response of
//! [`DescribeStreamSummary`] and, if the policy needs them, the tags of [`ListTagsForStream`].
//!
//! [`DescribeStreamSummary`]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStreamSummary.html
//! [`ListTagsForStream`]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListTagsForStream.html

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::Value;

use super::lint::{Level, REQUIRE_ACCESS, exemption, findings};
use super::{FAILED, PENDING, SUCCESS};
use crate::cli::input::{self, name_of, parse_json};
use crate::cli::paint::{BOLD, DIM, GREEN, RED, YELLOW, print_text, warning};
use crate::cli::visible::visible;
use crate::clock::Clock;
use crate::decide::impact::{KeyChange, warnings};
use crate::decide::{
    ApplyReason, CurrentKey, Decision, DesiredKey, Enforcement, Facts, ImpactFacts, Keys, ManagedAccounts,
    OtherKeyFitness, Pending, Settled, decide,
};
use crate::domain::key::KeyRef;
use crate::domain::mode::OnOtherKey;
use crate::domain::stream::{Description, StreamMode, StreamStatus};
use crate::domain::trigger_facts::TriggerFacts;
use crate::policy::{EffectivePolicy, Match, PolicyDecision, Requirement, Subject};
use crate::settings::{Environment, PolicySource, Settings};

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:\n  \
0  no action needed\n  \
1  the enforcer cannot decide, or refuses to encrypt the stream\n  \
2  the usage, the settings or the input are wrong\n  \
3  the enforcer would act, or it depends on facts that are not known here\n\n\
Examples:\n  \
enforcer policy explain docs/stream.example.json --key alias/streams\n  \
aws kinesis describe-stream-summary --stream-name orders > orders.json\n  \
enforcer policy explain orders.json --policy policy.json --key alias/streams")]
pub(in crate::cli) struct Arguments {
    /// The file with the output of `aws kinesis describe-stream-summary`, optionally with `Tags`
    /// next to `StreamDescriptionSummary`; - reads standard input.
    stream: String,
    /// Use the policy in this file instead of the one in `POLICY`.
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,
    /// Use this KMS key instead of the one in `KMS_KEY_ID`.
    #[arg(long)]
    key: Option<String>,
    /// Explain the decision for this day (UTC) instead of today.
    #[arg(long, value_name = "DATE", value_parser = input::date)]
    on: Option<NaiveDate>,
}

/// The output of `aws kinesis describe-stream-summary`, as far as a policy needs it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeOutput {
    stream_description_summary: Option<Summary>,
    tags: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    stream_status: Option<String>,
    stream_mode_details: Option<ModeDetails>,
    encryption_type: Option<String>,
    key_id: Option<String>,
    retention_period_hours: Option<u32>,
    consumer_count: Option<u32>,
    channel_count: Option<u32>,
    queue_count: Option<u32>,
    tags: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ModeDetails {
    stream_mode: Option<String>,
}

/// Tags as `aws kinesis list-tags-for-stream` prints them, or as an object.
fn tags_of(tags: Value) -> Result<Vec<(String, String)>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Tag {
        key: String,
        #[serde(default)]
        value: String,
    }
    let malformed = "it has an unexpected form: write [{\"Key\": …, \"Value\": …}] or {\"key\": \"value\"}";
    if tags.is_array() {
        let tags: Vec<Tag> = serde_json::from_value(tags).map_err(|_| anyhow!(malformed))?;
        return Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect());
    }
    let tags: BTreeMap<String, String> = serde_json::from_value(tags).map_err(|_| anyhow!(malformed))?;
    Ok(tags.into_iter().collect())
}

/// The stream to explain.
struct DescribedStream {
    description: Description,
    /// `None` if the input has no tags.
    tags: Option<Vec<(String, String)>>,
}

/// Reads the output of `aws kinesis describe-stream-summary` in `file`.
fn described_stream(file: &str) -> Result<DescribedStream> {
    let json = parse_json(file, &input::read(file)?)?;
    let file = name_of(file);
    let refused =
        |problem: String| anyhow!("{file} is not the output of aws kinesis describe-stream-summary: {problem}");
    let missing = |name: &str| refused(format!("{name} is missing"));
    let output: DescribeOutput = serde_path_to_error::deserialize(json).map_err(|error| {
        let path = error.path().to_string();
        refused(if path == "." {
            "it is not a JSON object".to_owned()
        } else {
            format!("{path} has an unexpected type")
        })
    })?;
    let DescribeOutput { stream_description_summary: summary, tags } = output;
    let Summary {
        stream_arn,
        stream_status,
        stream_mode_details,
        encryption_type,
        key_id,
        retention_period_hours,
        consumer_count,
        channel_count,
        queue_count,
        tags: inner_tags,
    } = summary.ok_or_else(|| missing("StreamDescriptionSummary"))?;
    let arn = stream_arn.ok_or_else(|| missing("StreamDescriptionSummary.StreamARN"))?;
    let status = stream_status.ok_or_else(|| missing("StreamDescriptionSummary.StreamStatus"))?;
    let mode = stream_mode_details.and_then(|details| details.stream_mode);
    Ok(DescribedStream {
        description: Description {
            arn: arn.parse().with_context(|| format!("{file}: StreamARN"))?,
            status: StreamStatus::from(status.as_str()),
            key_id: key_id.filter(|_| encryption_type.as_deref() == Some("KMS")),
            created: None,
            mode: mode.map(|mode| StreamMode::from(mode.as_str())),
            retention_hours: retention_period_hours,
            consumers: consumer_count,
            channels: channel_count,
            queues: queue_count,
        },
        tags: tags.or(inner_tags).map(tags_of).transpose().with_context(|| format!("{file}: Tags"))?,
    })
}

pub(super) fn run(arguments: &Arguments) -> Result<u8> {
    let stream = described_stream(&arguments.stream)?;
    let mut environment = Environment::of_process();
    if let Some(key) = &arguments.key {
        environment = environment.with("KMS_KEY_ID", key);
    }
    if arguments.policy.is_some() {
        environment = environment.with("POLICY", "").with("POLICY_PARAMETER", "");
    }
    let settings = Settings::from_environment(&environment)?;
    let policy = match (&arguments.policy, &settings.policy) {
        (Some(file), _) => std::sync::Arc::new(super::read(file)?),
        (None, PolicySource::Inline(policy)) => std::sync::Arc::clone(policy),
        (None, PolicySource::Parameter(name)) => {
            return Err(anyhow!(
                "POLICY_PARAMETER is {name}, but this command works offline: pass the policy with --policy FILE"
            ));
        }
    };
    let today = arguments.on.unwrap_or_else(|| Clock::system().utc().date_naive());
    let own_account = settings.own_account().map(str::to_owned);
    let rules = EffectivePolicy { policy, key: settings.key, mode: settings.mode, on_other_key: settings.on_other_key };
    let members = settings.members.map(|members| members.accounts).unwrap_or_default();
    let enforcement = Enforcement {
        policy: &rules,
        exempt_tag_key: settings.exempt_tag_key.as_deref(),
        iac_grace: Duration::ZERO,
        max_applies: usize::MAX,
        accounts: ManagedAccounts { own: own_account.as_deref(), members: &members },
    };
    let Description { arn, status, mode, key_id, .. } = &stream.description;
    let encryption = key_id.as_ref().map_or("not encrypted".to_owned(), |key| format!("encrypted with {key}"));
    let capacity = mode.as_ref().map(|mode| format!(", {}", mode.as_str())).unwrap_or_default();
    print_text(&format!("{BOLD}{}{BOLD:#}  {DIM}{arn}{DIM:#}", arn.name()));
    print_text(&format!("  {status}{capacity}, {encryption}"));
    let subject = Subject { stream: arn, mode: mode.as_ref(), tags: stream.tags.as_deref(), today };
    print_text(&format!("{BOLD}rules{BOLD:#}"));
    let (decision, _) = rules.rule_on(&subject);
    for line in rule_lines(&rules, &subject) {
        print_text(&format!("  {line}"));
    }
    print_text(&format!("{BOLD}action{BOLD:#}"));
    let (mut new_key, mut rule) = (None, None);
    let (code, line) = match decision {
        PolicyDecision::NeedsTags { rule } => (
            FAILED,
            format!(
                "unknown: rule {} depends on the stream's tags; \
                 add them as \"Tags\" next to \"StreamDescriptionSummary\"",
                visible(rule)
            ),
        ),
        PolicyDecision::Undecided { rule, missing } => {
            (FAILED, format!("none: rule {} depends on {missing}, which is not known", visible(rule)))
        }
        PolicyDecision::Requirement(requirement) => {
            (new_key, rule) = (Some(requirement.key), requirement.rule);
            action(&stream, enforcement, requirement, today)
        }
    };
    print_text(&format!("  {line}"));
    if let Some(key) = new_key.filter(|_| code == PENDING) {
        let key = key.canonical(arn.region(), arn.account());
        let change = KeyChange {
            description: &stream.description,
            key: key.as_ref(),
            key_policy: None,
            stream_policy: None,
            now: today.and_time(chrono::NaiveTime::MIN).and_utc(),
        };
        for line in warnings(&change) {
            print_text(&format!("  {}", warning(&serde_json::to_value(line)?)));
        }
        if rule.is_some_and(|rule| rules.policy.requires_access(rule)) {
            print_text(&format!("  {BOLD}note:{BOLD:#} {REQUIRE_ACCESS}"));
        }
    }
    Ok(code)
}

/// The rules in order, up to the one that applies: whether each matches, and why not.
fn rule_lines(rules: &EffectivePolicy, subject: &Subject<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let warnings = findings(&rules.policy, subject.today).of_rules;
    for (index, rule) in rules.policy.rules().iter().enumerate() {
        let (result, decides) = match rule.matches.of(subject) {
            Match::No(why) => (format!("no match, {}", visible(&why)), false),
            Match::Yes if rule.has_expired(subject.today) => {
                let ended = exemption(rule, subject.today).map(|(_, ended)| ended).unwrap_or_default();
                (format!("{YELLOW}expired{YELLOW:#}, {}", visible(&ended)), false)
            }
            Match::Yes => (format!("{GREEN}applies{GREEN:#}"), true),
            Match::NeedsTags => (format!("{YELLOW}depends on tags{YELLOW:#}"), true),
            Match::Unknown(missing) => (format!("{YELLOW}depends on {missing}{YELLOW:#}"), true),
        };
        lines.push(format!("{:>2}  {BOLD}{}{BOLD:#}: {result}", index + 1, visible(&rule.name)));
        let own = warnings.iter().filter(|finding| finding.rule == index && finding.level == Level::Warning);
        lines.extend(own.flat_map(|finding| finding.lines("")).map(|line| format!("    {line}")));
        if decides {
            return lines;
        }
    }
    lines.push(format!(" –  {BOLD}the configured default{BOLD:#}: {GREEN}applies{GREEN:#}"));
    lines
}

/// What the enforcer would do with the stream now, and the exit code for it.
fn action(
    stream: &DescribedStream,
    enforcement: Enforcement<'_>,
    requirement: Requirement<'_>,
    today: NaiveDate,
) -> (u8, String) {
    let DescribedStream { description, tags } = stream;
    let (keys, mut compliant_if) = keys(description, enforcement, requirement);
    if requirement.exempt.is_some() || description.status != StreamStatus::Active {
        // The keys are not compared.
        compliant_if.clear();
    }
    let keys = Ok(keys);
    let (impact, trigger) = (ImpactFacts::default(), TriggerFacts::default());
    let exempt_tag_key = enforcement.exempt_tag_key;
    let enforcement = Enforcement { exempt_tag_key: exempt_tag_key.filter(|_| tags.is_some()), ..enforcement };
    let now = today.and_time(chrono::NaiveTime::MIN).and_utc();
    // The stand-in for a key that is not known offline must not count as the AWS managed key.
    let channels = description.channels.filter(|_| requirement.key.is_aws_managed());
    let description = Description { channels, ..description.clone() };
    let facts = Facts {
        tags: Some(tags.as_deref().unwrap_or_default()),
        impact: Some(&impact),
        ..Facts::at_rest(&description, &keys, enforcement, &trigger, now)
    };
    let unless = if exempt_tag_key.is_some() && tags.is_none() { ", unless its tags exempt it" } else { "" };
    // Where the keys are not known, neither is how they differ.
    let because = |reason: ApplyReason| {
        let reason = if compliant_if.is_empty() { format!(": {reason}") } else { String::new() };
        format!("{reason}{unless}")
    };
    let (code, line) = match decide(&facts).decision {
        Decision::Done(settled) => match settled {
            Settled::InSync(in_sync) => (SUCCESS, format!("{GREEN}none{GREEN:#}: {}", visible(&in_sync))),
            Settled::Exempt(reason) => (SUCCESS, format!("{YELLOW}none{YELLOW:#}: {}", visible(&reason))),
            Settled::Gone(_) => (SUCCESS, "none: the stream is being deleted".to_owned()),
            Settled::LeftToSweep(what) => (PENDING, format!("none for now: {what}")),
            Settled::WouldApply(reason) => {
                (PENDING, format!("{YELLOW}report{YELLOW:#} without a change (audit mode){}", because(reason)))
            }
            Settled::KeyAtRisk(failure) => {
                (FAILED, format!("{RED}none{RED:#}, because of a failure: {}", visible(&failure)))
            }
        },
        Decision::Apply(reason) => {
            (PENDING, format!("{YELLOW}StartStreamEncryption{YELLOW:#} with {}{}", requirement.key, because(reason)))
        }
        Decision::Poll(Pending::Status(status)) => {
            (PENDING, format!("wait until the stream is ACTIVE, then decide: it is {status}"))
        }
        Decision::Fail(failure) => (FAILED, format!("{RED}none{RED:#}, because of a failure: {}", visible(&failure))),
        Decision::Poll(_) | Decision::Pause(..) | Decision::Defer(_) | Decision::Need(_) => {
            (PENDING, "describe the stream again, then decide".to_owned())
        }
    };
    if compliant_if.is_empty() {
        return (code, line);
    }
    // What is never changed needs no answer of AWS.
    let unknown = if code == SUCCESS { "" } else { "unknown offline: " };
    (code, format!("{unknown}none if {}, otherwise {line}", compliant_if.join(" or ")))
}

/// The keys of the stream as far as they are known offline, and what would make it compliant all the
/// same. A key that only AWS can resolve counts as different from the other.
fn keys(description: &Description, enforcement: Enforcement<'_>, requirement: Requirement<'_>) -> (Keys, Vec<String>) {
    let Description { arn, key_id, .. } = description;
    let canonical = |key: &KeyRef| key.canonical(arn.region(), arn.account());
    let accepts = requirement.on_other_key == OnOtherKey::Accept;
    let mut compliant_if = Vec::new();
    let desired = match canonical(requirement.key).filter(|_| !requirement.key.is_aws_managed()) {
        Some(arn) => DesiredKey::Key { arn, trouble: None },
        None => DesiredKey::AwsManaged,
    };
    let is_desired_known = desired.arn().is_some() || requirement.key.is_aws_managed();
    let Some(key_id) = key_id else { return (Keys { desired, current: CurrentKey::Unencrypted }, compliant_if) };
    if !is_desired_known {
        compliant_if.push(format!("{} points to the stream's current key", requirement.key));
    }
    let shown = visible(key_id);
    let unresolved = || CurrentKey::Unresolvable { key_id: key_id.clone() };
    let key = key_id.parse::<KeyRef>().ok();
    let current = match key.as_ref().and_then(canonical) {
        _ if key.as_ref().is_some_and(KeyRef::is_aws_managed) => {
            if is_desired_known {
                CurrentKey::AwsManaged
            } else {
                unresolved()
            }
        }
        Some(current) if accepts && !enforcement.is_related(current.account(), arn) => {
            CurrentKey::OfUnrelatedAccount { key_id: key_id.clone() }
        }
        Some(current) => {
            if accepts && desired.arn() != Some(&current) {
                compliant_if.push(format!("{current} is an enabled customer managed key"));
            }
            CurrentKey::Key { arn: current, by_alias: None, fitness: OtherKeyFitness::NotAsked }
        }
        None => {
            if is_desired_known {
                compliant_if.push(format!("{shown}, the stream's current key, points to {}", requirement.key));
            }
            if accepts {
                compliant_if.push(format!("{shown} points to an enabled customer managed key"));
            }
            unresolved()
        }
    };
    (Keys { desired, current }, compliant_if)
}
