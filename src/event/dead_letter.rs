//! Our own dead letters, as far as redriving them is concerned.

use serde_json::Value;

use super::parsed::{check_version, is_kind};
use crate::domain::stream::StreamRef;

pub(super) fn is_dead_letter(payload: &Value) -> bool {
    is_kind(payload, "enforcement-failure")
}

/// A dead letter, as far as feeding it back is concerned.
pub(super) struct DeadLetter<'a> {
    /// The one stream that failed.
    pub(super) stream: Option<StreamRef>,
    /// The payload that led to the failure.
    pub(super) event: &'a Value,
    /// How often it was fed back.
    pub(super) attempts: u32,
}

impl<'a> DeadLetter<'a> {
    pub(super) fn read(payload: &'a Value) -> Result<Self, String> {
        check_version(payload, "a dead letter")?;
        let stream = match payload.get("stream") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => {
                Some(text.parse().map_err(|error| format!("a dead letter about a stream that is none: {error}"))?)
            }
            Some(_) => return Err("a dead letter whose stream is not a text".to_owned()),
        };
        let event = match payload.get("event") {
            Some(event) => event,
            None if stream.is_some() => &Value::Null,
            None => return Err("a dead letter with neither a stream nor an event".to_owned()),
        };
        Ok(Self { stream, event, attempts: attempts(payload) })
    }
}

/// How often a letter was fed back. A count that cannot be read counts as none: the letter is then
/// tried once more, not lost.
pub(super) fn attempts(payload: &Value) -> u32 {
    let attempts = payload.get("attempts").and_then(Value::as_u64).unwrap_or(0);
    u32::try_from(attempts).unwrap_or(u32::MAX)
}
