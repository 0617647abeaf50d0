//! Reads payloads: which streams or keys a payload is about. Pure, without I/O.
//!
//! A [`Trigger`] says *where to look*, never what to do: that is decided from the current state of
//! the stream and the key. Duplicate, replayed and reordered events are therefore harmless.

mod cloudtrail;
mod config;
mod dead_letter;
pub mod denials;
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

pub use self::eventbridge::{FIRST_LOOK, OWN_SOURCE};
pub use self::parsed::VERSION;
pub use self::request::{
    Delivery, FindingFacts, Fleets, Message, Payload, Request, RequestOptions, Scope, Trigger, TriggerKind,
    WorkItemContext,
};
pub use self::work_item::{ItemOrigin, MOST_HOPS, WorkItem, WorkTarget};
pub use crate::domain::key_event::KeyEvent;

/// Reads a payload: unwraps its envelopes and returns the requests inside.
///
/// This cannot fail. An unsupported payload becomes [`Scope::Unknown`] with a reason and keeps its
/// payload, so that it can be dead-lettered. `own_roles` are the ARNs of the roles that the
/// function assumes; their `StartStreamEncryption` calls are ignored.
#[must_use]
pub fn read(payload: &Value, own_roles: &[String]) -> Delivery {
    reader::Reader::new(own_roles).parse_delivery(payload)
}
