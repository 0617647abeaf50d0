//! Outcome events: what rules for notifications, tickets and other programs match on.

use serde_json::{Value, json};

use crate::domain::outcome::{Outcome, Status, Warning};
use crate::event::Trigger;

/// The `source` of every outcome event. The function ignores events with this source.
pub const SOURCE: &str = crate::event::OWN_SOURCE;

/// One outcome event.
#[derive(Clone, Debug, PartialEq)]
pub struct OutcomeEvent {
    /// Its `detail-type`, one of [`DETAIL_TYPES`].
    pub detail_type: &'static str,
    /// Its `detail`: the trigger and the outcome.
    pub detail: Value,
    /// Its `resources`: the ARNs of the stream and the key.
    pub resources: Vec<String>,
}

/// The detail types, in the order of the documentation.
pub const DETAIL_TYPES: [&str; 6] = [
    "Stream Encrypted",
    "Stream Enforcement Failed",
    "Stream Contested",
    "Stream Access Denied",
    "Key At Risk",
    "Exemption Expired",
];

/// The events of `outcome`: none if it needs no attention.
#[must_use]
pub fn events(outcome: &Outcome, trigger: &Trigger, request_id: &str, function: &str) -> Vec<OutcomeEvent> {
    let [encrypted, failed, contested, denied, at_risk, expired] = DETAIL_TYPES;
    let of_status = match outcome.status {
        Status::Encrypted => Some(encrypted),
        Status::Failed => Some(failed),
        Status::Contested => Some(contested),
        Status::AccessDenied => Some(denied),
        Status::KeyAtRisk => Some(at_risk),
        Status::Compliant
        | Status::WouldEncrypt
        | Status::Exempt
        | Status::Gone
        | Status::Deferred
        | Status::Queued => None,
    };
    let has_expired = outcome.warnings.iter().any(|warning| matches!(warning, Warning::ExemptionExpired { .. }));
    let types = of_status.into_iter().chain(has_expired.then_some(expired));
    let detail =
        json!({"version": 1, "function": function, "requestId": request_id, "trigger": trigger, "outcome": outcome});
    let arns =
        [outcome.stream.as_deref(), outcome.key.as_deref()].into_iter().flatten().filter(|arn| arn.starts_with("arn:"));
    let resources: Vec<_> = arns.map(str::to_owned).collect();
    types
        .map(|detail_type| OutcomeEvent { detail_type, detail: detail.clone(), resources: resources.clone() })
        .collect()
}
