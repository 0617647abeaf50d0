//! Work items: what the function sends to its own work queue.
//!
//! An item says where to look, as every trigger does. What else it carries may delay a decision,
//! and never makes one.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::parsed::{Origin, ParsedTrigger, check_version, checked_account, is_kind, typed};
use super::request::{Scope, TriggerKind, WorkItemContext};
use crate::domain::arn::Malformed;
use crate::domain::stream::{StreamName, StreamRef};
use crate::domain::trigger_facts::TriggerFacts;

/// How often work may be sent on before it is dead-lettered instead. Lambda cuts chains of 16 calls
/// through SQS (*AWS Lambda Developer Guide, Recursive loop detection*); this stays below, so that
/// the letter says why.
pub const MOST_HOPS: u32 = 12;

/// The event that an item goes back to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ItemOrigin {
    /// Its id.
    pub event_id: Option<String>,
    /// When it happened.
    pub event_time: Option<DateTime<Utc>>,
    /// What kind of thing it was.
    #[serde(deserialize_with = "known_kind")]
    pub kind: Option<TriggerKind>,
}

/// A kind that another version of this program introduced is none that this one knows: the item is
/// as good without.
fn known_kind<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<TriggerKind>, D::Error> {
    Ok(TriggerKind::deserialize(serde_json::Value::deserialize(deserializer)?).ok())
}

/// What an item is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "TargetFields", into = "TargetFields")]
pub enum WorkTarget {
    /// One stream.
    Stream(StreamRef),
    /// A sweep, or what is left of it.
    Sweep {
        /// The last stream that was reached.
        start_after: Option<String>,
        /// The account, where it is not the function's own.
        account: Option<String>,
    },
}

/// [`WorkTarget`] as the item has it: exactly one of the two.
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
            (Some(_), Some(_)) => Err("a work item with both a stream and a sweep".to_owned()),
            (None, None) => Err("a work item with neither a stream nor a sweep".to_owned()),
        }
    }
}

/// One item of work.
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
    /// Why it was sent, for people.
    #[serde(default)]
    pub reason: String,
    /// The event that the work goes back to.
    #[serde(default)]
    pub origin: ItemOrigin,
    /// How often it was requeued: at most [`MOST_HOPS`].
    #[serde(default)]
    pub hops: u32,
    /// Not to be worked on before. SQS delays a message by at most 15 minutes.
    #[serde(default)]
    pub not_before: Option<DateTime<Utc>>,
    /// After this the key is no longer re-applied; the stream is still looked at.
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
    /// What the trigger said beyond where to look.
    #[serde(flatten)]
    pub facts: TriggerFacts,
    /// Whether a person asked for the key to be re-applied.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reapply: bool,
    /// The failures of keys that the sweep has reported for all streams: they are not reported for each stream again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reported: Vec<String>,
}

pub(super) fn is_work_item(payload: &Value) -> bool {
    is_kind(payload, "work-item")
}

/// Reads a work item. Its trigger carries the id and the time of the event that the work goes back to, so that the logs
/// of both can be joined.
pub(super) fn read(payload: &Value) -> ParsedTrigger {
    let item: WorkItem = match check_version(payload, "a work item").and_then(|()| typed(payload)) {
        Ok(item) => item,
        Err(reason) => {
            return ParsedTrigger { scope: Scope::Unknown { retryable: true }, ..ParsedTrigger::unknown(reason) };
        }
    };
    let WorkItem { target, origin, hops, not_before, expires_at, facts, reapply, reported, .. } = item;
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
    parsed.work = WorkItemContext { origin_kind: kind, hops, not_before, expires_at, reported };
    parsed
}
