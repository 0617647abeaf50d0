//! Work items, which the function sends to its own work queue.
//!
//! A work item says where to look, as every trigger does. The facts that it carries may delay what
//! happens to a stream; they never decide it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::parsed::{Origin, ParsedTrigger, Rejection, check_version, checked_account, typed};
use super::request::{Scope, TriggerKind, WorkItemContext};
use crate::domain::arn::Malformed;
use crate::domain::stream::{StreamName, StreamRef};
use crate::domain::trigger_facts::TriggerFacts;

/// How often work may be requeued; after that it is dead-lettered. Lambda stops chains of 16
/// invocations through SQS ([recursive loop detection]). This stays below, so that a dead letter
/// with a diagnosis is written first.
///
/// [recursive loop detection]: https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
pub const MOST_HOPS: u32 = 12;

/// The event that led to a work item.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ItemOrigin {
    /// The event's id.
    pub event_id: Option<String>,
    /// When the event happened.
    pub event_time: Option<DateTime<Utc>>,
    /// The kind of trigger that the event was.
    #[serde(deserialize_with = "known_kind")]
    pub kind: Option<TriggerKind>,
}

/// A kind that only another version of this program knows counts as absent: the work item can be
/// handled without it.
fn known_kind<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<TriggerKind>, D::Error> {
    Ok(TriggerKind::deserialize(serde_json::Value::deserialize(deserializer)?).ok())
}

/// What a work item is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "TargetFields", into = "TargetFields")]
pub enum WorkTarget {
    /// One stream.
    Stream(StreamRef),
    /// A sweep, or the rest of one.
    Sweep {
        /// The last stream that was reached.
        start_after: Option<String>,
        /// The member account; absent for the function's own account.
        account: Option<String>,
    },
}

/// [`WorkTarget`] as JSON: exactly one of the two fields.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TargetFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sweep: Option<SweepFields>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SweepFields {
    start_after: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
}

impl From<WorkTarget> for TargetFields {
    fn from(target: WorkTarget) -> Self {
        match target {
            WorkTarget::Stream(stream) => Self { stream: Some(stream.to_string()), sweep: None },
            WorkTarget::Sweep { start_after, account } => {
                Self { stream: None, sweep: Some(SweepFields { start_after, account }) }
            }
        }
    }
}

impl TryFrom<TargetFields> for WorkTarget {
    type Error = String;

    fn try_from(fields: TargetFields) -> Result<Self, String> {
        match (fields.stream, fields.sweep) {
            (Some(stream), None) => {
                stream.parse().map(Self::Stream).map_err(|malformed: Malformed| malformed.to_string())
            }
            (None, Some(SweepFields { start_after, account })) => {
                let name = start_after.as_deref().map(str::parse::<StreamName>).transpose();
                name.map_err(|malformed| malformed.to_string())?;
                let account = account.map(checked_account).transpose().map_err(|malformed| malformed.to_string())?;
                Ok(Self::Sweep { start_after, account })
            }
            (Some(_), Some(_)) => Err("the work item has both a stream and a sweep".to_owned()),
            (None, None) => Err("the work item has neither a stream nor a sweep".to_owned()),
        }
    }
}

/// A work item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkItem {
    /// The version of this format.
    pub version: u64,
    /// `work-item`.
    pub kind: String,
    /// The stream or the sweep.
    #[serde(flatten)]
    pub target: WorkTarget,
    /// Why it was sent, for people who read the queue.
    #[serde(default)]
    pub reason: String,
    /// The event that led to the work.
    #[serde(default)]
    pub origin: ItemOrigin,
    /// How often it was requeued: at most [`MOST_HOPS`].
    #[serde(default)]
    pub hops: u32,
    /// The earliest time to work on it. SQS delays a message by at most 15 minutes, so it may
    /// arrive earlier.
    #[serde(default)]
    pub not_before: Option<DateTime<Utc>>,
    /// The time after which the key is no longer re-applied; the stream is still reconciled.
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
    /// Facts from the trigger that decisions need besides the target.
    #[serde(flatten)]
    pub facts: TriggerFacts,
    /// Whether a manual request asked for the key to be re-applied.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reapply: bool,
    /// Whether it is a part of a sweep.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub part_of_sweep: bool,
    /// The messages of key failures that the sweep has reported once for all streams; they are not
    /// dead-lettered for each stream again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reported: Vec<String>,
}

pub(super) fn is_work_item(payload: &Value) -> bool {
    payload.get("kind").is_some_and(|kind| kind == "work-item")
}

/// Reads a work item. Its trigger has the id and the time of the event that led to it, so that the
/// logs of both can be joined.
pub(super) fn read(payload: &Value) -> ParsedTrigger {
    let item: WorkItem = match check_version(payload.get("version"), "the work item").and_then(|()| typed(payload)) {
        Ok(item) => item,
        Err(reason) => {
            // The logs of the event that the work goes back to name the item all the same.
            let origin = payload.get("origin").and_then(|origin| ItemOrigin::deserialize(origin).ok());
            let ItemOrigin { event_id, event_time, .. } = origin.unwrap_or_default();
            let origin = Origin { event_id, event_time, ..Origin::default() };
            let rejected = ParsedTrigger::new(Err(Rejection::unknown(reason)), origin);
            return ParsedTrigger { scope: Scope::Unknown { retryable: true }, ..rejected };
        }
    };
    let WorkItem { target, origin, hops, not_before, expires_at, facts, reapply, part_of_sweep, reported, .. } = item;
    let ItemOrigin { event_id, event_time, kind } = origin;
    let (account, region) = match &target {
        WorkTarget::Stream(StreamRef::Arn(arn)) => (Some(arn.account().to_owned()), Some(arn.region().to_owned())),
        WorkTarget::Stream(StreamRef::Name(_)) => (None, None),
        WorkTarget::Sweep { account, .. } => (account.clone(), None),
    };
    let scope = match target {
        WorkTarget::Stream(stream) => Scope::Streams(vec![stream]),
        WorkTarget::Sweep { start_after, account } => Scope::Fleet { of: account.into(), start_after },
    };
    let origin = Origin { event_id, event_time, account, region };
    let mut parsed = ParsedTrigger::new(Ok((TriggerKind::WorkItem, scope)), origin);
    parsed.options.reapply = reapply;
    parsed.facts = facts;
    parsed.work =
        WorkItemContext { origin_kind: kind, hops, not_before, expires_at, part_of_sweep, reported, swept_with: None };
    parsed
}
