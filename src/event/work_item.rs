//! Work items: what the function sends to its own work queue.
//!
//! An item says where to look, as every trigger does. What else it carries may delay a decision,
//! and never makes one.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::TriggerKind;
use crate::domain::encryption_change::ForeignChange;
use crate::domain::grace::GraceState;

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

/// Where a sweep goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemSweep {
    /// The last stream that was reached.
    pub start_after: Option<String>,
    /// The account, where it is not the function's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// One item of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkItem {
    /// The version of this format.
    pub version: u64,
    /// `work-item`.
    pub kind: String,
    /// The stream; or else …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// … the rest of a sweep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<ItemSweep>,
    /// Why it was sent, for people.
    #[serde(default)]
    pub reason: String,
    /// Which event it goes back to.
    #[serde(default)]
    pub origin: ItemOrigin,
    /// How often it was sent on: at most [`MOST_HOPS`].
    #[serde(default)]
    pub hops: u32,
    /// Not to be worked on before. SQS delays by at most 15 minutes.
    #[serde(default)]
    pub not_before: Option<DateTime<Utc>>,
    /// After this a fresh application is no longer wanted; the stream is still looked at.
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
    /// What is known of the stream's quiet.
    #[serde(default)]
    pub hint: Option<GraceState>,
    /// Whether a person asked for a fresh application.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reapply: bool,
    /// The alias that was re-pointed, where that is what the work goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// The key that was rotated, where that is what the work goes back to: of streams that are to
    /// have another nothing is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated: Option<String>,
    /// The failures of keys that the sweep which this is a part of has reported: they are not
    /// reported again for every stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reported: Vec<String>,
    /// That somebody else changed the stream's encryption, and what is known of our own
    /// applications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspicion: Option<ForeignChange>,
}
