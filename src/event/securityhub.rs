//! AWS Security Hub: findings about streams.
//!
//! A finding is written by whoever may call [`BatchImportFindings`][import], and in an
//! administrator account it may be about another account's resources. Of its resources, only those
//! of the type *stream* count, by their identifier: no ARN is taken out of tags or texts. What is
//! of that type and cannot be read is set aside, and does not hide the other streams. A stream
//! consumer is another type of resource, whose findings say nothing about encryption; its stream
//! has findings of its own.
//!
//! Sources: Security Hub User Guide, *EventBridge event formats* of [Security Hub CSPM][formats]
//! and of [Security Hub][v2], [*AWS Security Finding Format (ASFF)*][asff], [*OCSF findings*][ocsf]
//! and [control Kinesis.1][control].
//!
//! [import]: https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_BatchImportFindings.html
//! [formats]: https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-cwe-event-formats.html
//! [v2]: https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-v2-cwe-event-formats.html
//! [asff]: https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-findings-format.html
//! [ocsf]: https://docs.aws.amazon.com/securityhub/latest/userguide/security-hub-adv-ocsf-findings.html
//! [control]: https://docs.aws.amazon.com/securityhub/latest/userguide/kinesis-controls.html#kinesis-1

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::detail::{Event, detail};
use super::parsed::{Parsed, Rejection, distinct, typed};
use super::request::{FindingFacts, Scope, TriggerKind};
use crate::domain::stream::{StreamArn, StreamRef};
use crate::domain::text::{first_of, shorten};

/// *Kinesis streams should be encrypted at rest.*
const CONTROL: &str = "Kinesis.1";

/// Why imported findings need no action that are about resources of other types.
const NO_STREAM: &str = "no resource of the findings is a Kinesis data stream";

/// How long an identifier that cannot be read may be in a reason, in characters.
const LONGEST_SHOWN: usize = 128;

/// How many identifiers that cannot be read are named in a reason.
const SHOWN: usize = 3;

#[derive(Deserialize)]
struct Findings {
    #[serde(default = "Vec::new")]
    findings: Vec<Value>,
}

/// What the findings of an event say.
#[derive(Default)]
struct Found {
    streams: Vec<StreamRef>,
    /// Why findings need no action.
    objections: Vec<String>,
    /// Resources, or whole findings, that cannot be read.
    unreadable: Vec<String>,
}

impl Found {
    /// Reads every finding of `event` by itself.
    fn of<T: DeserializeOwned>(
        event: &Event,
        objection: fn(&T) -> Option<String>,
        resources: fn(T, &Event) -> Vec<Resource>,
    ) -> Result<Self, Rejection> {
        let Findings { findings } = detail(event)?;
        let mut found = Self::default();
        for (index, finding) in findings.iter().enumerate() {
            let finding = match typed::<T>(finding) {
                Ok(finding) => finding,
                Err(reason) => {
                    found.unreadable.push(format!("findings[{index}] ({})", shorten(&reason, LONGEST_SHOWN)));
                    continue;
                }
            };
            if let Some(objection) = objection(&finding) {
                found.objections.push(objection);
                continue;
            }
            for resource in resources(finding, event) {
                match resource {
                    Resource::Stream(arn) => found.streams.push(StreamRef::Arn(arn)),
                    Resource::Unreadable(text) => found.unreadable.push(format!("{:?}", shorten(&text, LONGEST_SHOWN))),
                }
            }
        }
        Ok(found)
    }

    /// The streams, if there are any. Otherwise the event is rejected with one reason: for what
    /// cannot be read, for the first objection, or with `otherwise`.
    fn scope(self, facts: &mut FindingFacts, otherwise: Rejection) -> Parsed {
        let Self { streams, objections, unreadable } = self;
        let streams = distinct(streams);
        if !streams.is_empty() {
            facts.unreadable = unreadable;
            return Ok((TriggerKind::SecurityFinding, Scope::Streams(streams)));
        }
        Err(if !unreadable.is_empty() {
            Rejection::unknown(format!("the findings name no stream ARN, but {}", first_of(&unreadable, SHOWN)))
        } else if let Some(objection) = objections.into_iter().next() {
            Rejection::Ignored(objection)
        } else {
            otherwise
        })
    }
}

/// A resource that a finding presents as a stream.
enum Resource {
    Stream(StreamArn),
    /// Its identifier is none of a stream.
    Unreadable(String),
}

/// A finding in ASFF.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Finding {
    generator_id: Option<String>,
    compliance: Option<Compliance>,
    record_state: Option<String>,
    workflow: Option<Workflow>,
    resources: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Compliance {
    status: Option<String>,
    security_control_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Workflow {
    status: Option<String>,
}

impl Finding {
    /// Why this finding needs no action, if so.
    fn objection(&self) -> Option<String> {
        let compliance = self.compliance.as_ref();
        // Without consolidated control findings only the generator names the control, behind its
        // standard: `aws-foundational-security-best-practices/v/1.0.0/Kinesis.1`.
        let by_id = compliance.and_then(|compliance| compliance.security_control_id.as_deref());
        let by_generator = self.generator_id.as_deref().and_then(|generator| generator.rsplit('/').next());
        if by_id != Some(CONTROL) && by_generator != Some(CONTROL) {
            return Some(other_control(by_id.or(by_generator)));
        }
        let status = compliance.and_then(|compliance| compliance.status.as_deref());
        if status != Some("FAILED") {
            return Some(format!("Compliance.Status is {}, not FAILED", status.unwrap_or("absent")));
        }
        let state = self.record_state.as_deref();
        if state != Some("ACTIVE") {
            return Some(format!("RecordState is {}, not ACTIVE", state.unwrap_or("absent")));
        }
        let workflow = self.workflow.as_ref().and_then(|workflow| workflow.status.as_deref());
        let open = matches!(workflow, Some("NEW" | "NOTIFIED"));
        (!open).then(|| format!("Workflow.Status is {}, not NEW or NOTIFIED", workflow.unwrap_or("absent")))
    }

    fn streams(self, _: &Event) -> Vec<Resource> {
        let text = |resource: &Value, name| resource.get(name).and_then(Value::as_str).map(str::to_owned);
        let resources = self.resources.into_iter().flatten();
        let streams = resources.filter(|resource| text(resource, "Type").as_deref() == Some("AwsKinesisStream"));
        let read = |resource: Value| {
            let id = text(&resource, "Id").unwrap_or_default();
            id.parse().map_or(Resource::Unreadable(id), Resource::Stream)
        };
        streams.map(read).collect()
    }
}

fn other_control(control: Option<&str>) -> String {
    match control {
        Some(other) => format!("the finding is about {other}, not about control {CONTROL}"),
        None => format!("the finding names no control; only {CONTROL} is handled"),
    }
}

/// `Security Hub Findings - Imported`: sent for every update of a finding, so most need no action.
pub(super) fn imported(event: &Event, facts: &mut FindingFacts) -> Parsed {
    let found = Found::of(event, Finding::objection, Finding::streams)?;
    // Without any resource the event is not what AWS documents.
    let findings = event.detail.as_ref().and_then(|detail| detail.get("findings")).and_then(Value::as_array);
    let has_resources = findings
        .into_iter()
        .flatten()
        .filter_map(|finding| finding.get("Resources").and_then(Value::as_array))
        .any(|resources| !resources.is_empty());
    let otherwise =
        if has_resources { Rejection::ignored(NO_STREAM) } else { Rejection::unknown("the findings name no stream") };
    found.scope(facts, otherwise)
}

/// `Security Hub Findings - Custom Action`: a person selected the findings, so their state does not
/// matter.
pub(super) fn custom_action(event: &Event, facts: &mut FindingFacts) -> Parsed {
    facts.selected = true;
    let found = Found::of(event, |_: &Finding| None, Finding::streams)?;
    found.scope(facts, Rejection::ignored("none of the selected findings is about a Kinesis data stream"))
}

/// A finding in OCSF.
#[derive(Deserialize)]
struct OcsfFinding {
    compliance: Option<OcsfCompliance>,
    status: Option<String>,
    status_id: Option<i64>,
    cloud: Option<OcsfCloud>,
    resources: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct OcsfCompliance {
    control: Option<String>,
    status: Option<String>,
}

#[derive(Deserialize)]
struct OcsfCloud {
    account: Option<OcsfAccount>,
    region: Option<String>,
}

#[derive(Deserialize)]
struct OcsfOwner {
    account: Option<OcsfAccount>,
}

#[derive(Deserialize)]
struct OcsfAccount {
    uid: Option<String>,
}

#[derive(Deserialize)]
struct OcsfResource {
    r#type: Option<String>,
    /// The ARN, or the stream's name: `CloudFormation`'s primary identifier of the resource.
    uid: Option<String>,
    /// Typically the ARN.
    uid_alt: Option<String>,
    name: Option<String>,
    region: Option<String>,
    owner: Option<OcsfOwner>,
}

impl OcsfFinding {
    /// Why this finding needs no action, if so.
    fn objection(&self) -> Option<String> {
        let compliance = self.compliance.as_ref();
        let control = compliance.and_then(|compliance| compliance.control.as_deref());
        if control != Some(CONTROL) {
            return Some(other_control(control));
        }
        let status = compliance.and_then(|compliance| compliance.status.as_deref());
        if !status.is_some_and(|status| ["fail", "failed"].contains(&status.to_lowercase().as_str())) {
            return Some(format!("compliance.status is {}, not Fail", status.unwrap_or("absent")));
        }
        // 1 is New, 2 In Progress; Suppressed, Resolved and Archived findings need no action.
        if !matches!(self.status_id, Some(1 | 2)) {
            let status = self.status.clone().or_else(|| self.status_id.map(|id| id.to_string()));
            return Some(format!(
                "the status of the finding is {}, not New or In Progress",
                status.as_deref().unwrap_or("absent")
            ));
        }
        None
    }

    fn streams(self, event: &Event) -> Vec<Resource> {
        let Self { cloud, resources, .. } = self;
        let cloud = cloud.unwrap_or(OcsfCloud { account: None, region: None });
        let account = cloud.account.and_then(|account| account.uid).or_else(|| event.account.clone());
        let region = cloud.region.or_else(|| event.region.clone());
        let place = (region.as_deref(), account.as_deref());
        let read = |resource: Value| match typed::<OcsfResource>(&resource) {
            Ok(resource) => resource.stream(place),
            Err(reason) => Some(Resource::Unreadable(reason)),
        };
        resources.into_iter().flatten().filter_map(read).collect()
    }
}

impl OcsfResource {
    /// The stream, if the resource is one. Without a field of its own, its Region and account are
    /// those of `place`.
    fn stream(self, (region, account): (Option<&str>, Option<&str>)) -> Option<Resource> {
        let Self { r#type, uid, uid_alt, name, region: own_region, owner } = self;
        let is_stream = match r#type.as_deref() {
            Some("AWS::Kinesis::Stream" | "AwsKinesisStream") => true,
            Some(_) => return None,
            None => false,
        };
        let ids = [uid_alt.as_deref(), uid.as_deref()];
        let arns: Vec<_> = ids.into_iter().flatten().filter(|id| id.starts_with("arn:")).collect();
        if let Some(arn) = arns.iter().find_map(|arn| arn.parse().ok()) {
            return Some(Resource::Stream(arn));
        }
        if !is_stream {
            return None;
        }
        if let Some(arn) = arns.first() {
            return Some(Resource::Unreadable((*arn).to_owned()));
        }
        let name = name.as_deref().or(uid.as_deref()).unwrap_or_default();
        let owner = owner.and_then(|owner| owner.account).and_then(|account| account.uid);
        let place = own_region.as_deref().or(region).zip(owner.as_deref().or(account));
        let arn = place.zip(name.parse().ok());
        let arn = arn.and_then(|((region, account), name)| StreamArn::build(region, account, &name).ok());
        Some(arn.map_or_else(|| Resource::Unreadable(name.to_owned()), Resource::Stream))
    }
}

/// `Findings Imported V2`: findings in OCSF, sent for every update.
pub(super) fn imported_v2(event: &Event, facts: &mut FindingFacts) -> Parsed {
    let found = Found::of(event, OcsfFinding::objection, OcsfFinding::streams)?;
    found.scope(facts, Rejection::ignored(NO_STREAM))
}
