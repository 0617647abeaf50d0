//! From a payload to what it points at. Pure: reads text, asks nobody.
//!
//! A [`Trigger`] says *where to look*, never what to do: what to do is decided from a fresh look at
//! the stream and the key. Duplicates, replays and disorder are therefore harmless.

mod cloudtrail;
mod config;
mod dead_letter;
mod detail;
mod eventbridge;
mod kms;
mod manual;
mod parsed;
mod reader;
mod request;
mod securityhub;
#[cfg(test)]
mod tests;
mod work_item;

use serde_json::Value;

pub use self::request::{
    Delivery, Fleets, Message, Payload, Request, RequestOptions, Scope, Trigger, TriggerKind, WorkItemContext,
};
pub use self::work_item::{ItemOrigin, MOST_HOPS, WorkItem, WorkTarget};
pub use crate::domain::key_event::KeyEvent;

/// Reads a payload: takes it out of its envelopes and finds out where it points.
///
/// It cannot fail. What is not understood becomes [`Scope::Unknown`] with a reason and keeps its
/// payload, so that it can be dead-lettered. `own_roles` are the ARNs of the roles that the
/// function acts with, whose `StartStreamEncryption` calls are ignored.
#[must_use]
pub fn read(payload: &Value, own_roles: &[String]) -> Delivery {
    reader::Reader::new(own_roles).parse_delivery(payload)
}
