//! AWS Security Hub: findings about streams. In an administrator account they include streams of
//! other accounts, which the caller rejects.
//!
//! Sources: Security Hub User Guide, *EventBridge event formats* of [Security Hub CSPM][formats]
//! and of [Security Hub][v2], [*AWS Security Finding Format (ASFF)*][asff] and [control
//! Kinesis.1][control].
//!
//! [formats]: https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-cwe-event-formats.html
//! [v2]: https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-v2-cwe-event-formats.html
//! [asff]: https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-findings-format.html
//! [control]: https://docs.aws.amazon.com/securityhub/latest/userguide/kinesis-controls.html#kinesis-1

use serde::Deserialize;
use serde_json::Value;

use super::detail::{Event, detail};
use super::parsed::{Parsed, Rejection, distinct};
use super::request::{Scope, TriggerKind};
use crate::domain::stream::{StreamArn, StreamRef};

/// *Kinesis streams should be encrypted at rest.*
const CONTROL: &str = "Kinesis.1";

#[derive(Deserialize)]
struct Findings<T> {
    #[serde(default = "Vec::new")]
    findings: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Finding {
    generator_id: Option<String>,
    compliance: Option<Compliance>,
    record_state: Option<String>,
    workflow: Option<Workflow>,
    resources: Option<Vec<Resource>>,
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

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resource {
    r#type: Option<String>,
    id: Option<String>,
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
            return Some(match by_id.or(by_generator) {
                Some(other) => format!("the finding is about {other}, not about control {CONTROL}"),
                None => format!("the finding names no control; only {CONTROL} is handled"),
            });
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

    /// The streams that it is about.
    fn streams(&self) -> Result<Vec<StreamRef>, Rejection> {
        let resources = self.resources.iter().flatten();
        let streams = resources.filter(|resource| resource.r#type.as_deref() == Some("AwsKinesisStream"));
        let parse = |resource: &Resource| Ok(StreamRef::Arn(resource.id.as_deref().unwrap_or_default().parse()?));
        streams.map(parse).collect()
    }
}

/// `Security Hub Findings - Imported`: sent for every update of a finding, so most need no action.
pub(super) fn imported(event: &Event) -> Parsed {
    let Findings { findings } = detail::<Findings<Finding>>(event)?;
    let mut streams = Vec::new();
    let mut objections = Vec::new();
    for finding in &findings {
        match finding.objection() {
            Some(objection) => objections.push(objection),
            None => streams.extend(finding.streams()?),
        }
    }
    let all_ignored = objections.len() == findings.len();
    match objections.into_iter().next() {
        Some(objection) if all_ignored => Err(Rejection::Ignored(objection)),
        _ => found(streams, Rejection::unknown("the findings name no stream")),
    }
}

/// `Security Hub Findings - Custom Action`: a person selected the findings, so their state does not
/// matter.
pub(super) fn custom_action(event: &Event) -> Parsed {
    let Findings { findings } = detail::<Findings<Finding>>(event)?;
    let streams = findings.iter().map(Finding::streams).collect::<Result<Vec<_>, _>>()?.concat();
    found(streams, Rejection::ignored("none of the selected findings is about a Kinesis data stream"))
}

/// `Findings Imported V2`: findings in OCSF, where a stream's ARN has no fixed place. Every stream
/// ARN that is found anywhere in them counts.
pub(super) fn imported_v2(event: &Event) -> Parsed {
    let Findings { findings } = detail::<Findings<Value>>(event)?;
    let mut streams = Vec::new();
    let mut waiting: Vec<&Value> = findings.iter().rev().collect();
    while let Some(value) = waiting.pop() {
        match value {
            Value::String(text) => streams.extend(stream_arns(text)),
            Value::Array(items) => waiting.extend(items.iter().rev()),
            Value::Object(object) => waiting.extend(object.values().rev()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    found(streams, Rejection::unknown("the findings contain no stream ARN"))
}

/// The stream ARNs in a text, which may be an ARN itself or contain some.
fn stream_arns(text: &str) -> Vec<StreamRef> {
    let foreign = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, ':' | '/' | '_' | '.' | '-'));
    if let Ok(arn) = text.parse() {
        return vec![StreamRef::Arn(arn)];
    }
    let words = text.split(foreign).map(|word| word.trim_end_matches(['.', ':']));
    words.filter_map(|word| word.parse::<StreamArn>().ok()).map(StreamRef::Arn).collect()
}

fn found(streams: Vec<StreamRef>, otherwise: Rejection) -> Parsed {
    let streams = distinct(streams);
    if streams.is_empty() { Err(otherwise) } else { Ok((TriggerKind::SecurityFinding, Scope::Streams(streams))) }
}
