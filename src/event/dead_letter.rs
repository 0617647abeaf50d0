//! The function's own dead letters, as they are redriven.

use serde_json::Value;

use super::parsed::check_version;
use crate::domain::stream::StreamRef;

pub(super) fn is_dead_letter(payload: &Value) -> bool {
    payload.get("kind").is_some_and(|kind| kind == "enforcement-failure")
}

/// What a redrive needs of a dead letter.
pub(super) struct DeadLetter<'a> {
    /// The one stream that failed.
    pub(super) stream: Option<StreamRef>,
    /// The payload that led to the failure.
    pub(super) event: &'a Value,
    /// How often the event failed: once before the first redrive.
    pub(super) attempts: u32,
}

impl<'a> DeadLetter<'a> {
    pub(super) fn read(payload: &'a Value) -> Result<Self, String> {
        check_version(payload.get("version"), "the dead letter")?;
        let stream = match payload.get("stream") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => {
                Some(text.parse().map_err(|error| format!("the dead letter has an invalid stream: {error}"))?)
            }
            Some(_) => return Err("the stream of the dead letter is not a string".to_owned()),
        };
        let event = match payload.get("event") {
            Some(event) => event,
            None if stream.is_some() => &Value::Null,
            None => return Err("the dead letter has neither a stream nor an event".to_owned()),
        };
        Ok(Self { stream, event, attempts: attempts(payload) })
    }
}

/// The `attempts` of a dead letter. A count that cannot be read counts as 0: the dead letter is
/// then retried once more instead of being lost.
pub(super) fn attempts(payload: &Value) -> u32 {
    let attempts = payload.get("attempts").and_then(Value::as_u64).unwrap_or(0);
    u32::try_from(attempts).unwrap_or(u32::MAX)
}
