//! What the readers of payloads share: the trigger that they return, the reasons for which they
//! reject a payload, and JSON errors that name the field.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::request::{FindingFacts, RequestOptions, Scope, Trigger, TriggerKind, WorkItemContext};
use crate::domain::arn::{Malformed, is_account};
use crate::domain::text::shorten;
use crate::domain::trigger_facts::TriggerFacts;

/// What an event is about, or why it is rejected.
pub(super) type Parsed = Result<(TriggerKind, Scope), Rejection>;

/// Why an event leads to no work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// It is supported, but needs no action.
    Ignored(String),
    /// It is not supported.
    Unknown(String),
}

impl Rejection {
    pub(super) fn ignored(reason: impl Into<String>) -> Self {
        Self::Ignored(reason.into())
    }

    pub(super) fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown(reason.into())
    }
}

impl From<Malformed> for Rejection {
    fn from(malformed: Malformed) -> Self {
        Self::unknown(malformed.to_string())
    }
}

/// A [`Request`] without its payload and the count of its redrives.
#[derive(Clone, Debug)]
pub(super) struct ParsedTrigger {
    pub(super) trigger: Trigger,
    pub(super) scope: Scope,
    pub(super) options: RequestOptions,
    pub(super) facts: TriggerFacts,
    pub(super) work: WorkItemContext,
    pub(super) finding: FindingFacts,
    pub(super) manual: bool,
}

impl ParsedTrigger {
    /// The trigger with this origin.
    pub(super) fn new(found: Parsed, origin: Origin) -> Self {
        let (kind, scope, reason) = match found {
            Ok((kind, scope)) => (kind, scope, None),
            Err(Rejection::Ignored(reason)) => (TriggerKind::Ignored, Scope::Nothing, Some(reason)),
            Err(Rejection::Unknown(reason)) => {
                (TriggerKind::Unknown, Scope::Unknown { retryable: false }, Some(reason))
            }
        };
        let reason = reason.map(|reason| shorten(&reason, LONGEST_REASON));
        let Origin { event_id, event_time, account, region } = origin;
        let event_id = event_id.map(|id| shorten(&id, LONGEST_ID));
        let trigger = Trigger { kind, reason, event_id, event_time, account, region };
        let (options, facts, work) = (RequestOptions::default(), TriggerFacts::default(), WorkItemContext::default());
        Self { trigger, scope, options, facts, work, finding: FindingFacts::default(), manual: false }
    }

    pub(super) fn unknown(reason: impl Into<String>) -> Self {
        Self::new(Err(Rejection::unknown(reason)), Origin::default())
    }
}

/// The event's id, and when and where it happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    pub(super) event_id: Option<String>,
    pub(super) event_time: Option<DateTime<Utc>>,
    pub(super) account: Option<String>,
    pub(super) region: Option<String>,
}

/// In characters. A reason may quote the payload, which may be long.
pub(super) const LONGEST_REASON: usize = 600;

/// In characters. The id of an AWS event has 36; it is part of every log line and work item, so a
/// forged one is cut.
const LONGEST_ID: usize = 128;

/// `value` as a `T`; the error says what is wrong, and in which field.
pub(super) fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let problem = in_terms_of_json(&error.into_inner().to_string());
        // The path of the whole value is a lone dot, which says nothing.
        if path == "." { problem } else { format!("{problem} (at {path})") }
    })
}

/// A message of the JSON library, without the names of Rust's types.
fn in_terms_of_json(message: &str) -> String {
    let is_number = |word: &str| matches!(word, "u8" | "u16" | "u32" | "u64" | "i32" | "i64");
    let (found, expected) = message.rsplit_once("expected ").unwrap_or((message, ""));
    let found = found.replace("invalid type: ", "found ").replace("invalid value: ", "found ");
    let found = found.replace("found map", "found an object").replace("found sequence", "found an array");
    let expected = match expected {
        "" => return found,
        word if is_number(word) => "a whole number",
        "a sequence" => "an array",
        "a map" => "an object",
        word if word.starts_with("struct ") => "an object",
        word => word,
    };
    format!("{found}expected {expected}")
}

/// The version of dead letters and work items that this program writes, and the only one it reads.
pub const VERSION: u64 = 1;

/// Rejects what another version of this program wrote; `what` names it.
pub(super) fn check_version(version: Option<&Value>, what: &str) -> Result<(), String> {
    match version {
        Some(version) if version.as_u64() == Some(VERSION) => Ok(()),
        Some(version) => Err(format!("{what} has version {version}, this function reads version {VERSION}")),
        None => Err(format!("{what} has no version")),
    }
}

/// `account`, if it has 12 digits.
pub(super) fn checked_account(account: String) -> Result<String, Malformed> {
    if is_account(&account) { Ok(account) } else { Err(Malformed::new(&account, "an account of 12 digits")) }
}

/// `items` in their order, without repetitions.
pub(super) fn distinct<T: Clone + Eq + std::hash::Hash>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut seen = std::collections::HashSet::new();
    items.into_iter().filter(|item| seen.insert(item.clone())).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        _count: u32,
        _names: Vec<String>,
    }

    #[test]
    fn an_error_speaks_of_json_and_names_the_field() {
        for (value, expected) in [
            (json!("text"), "found string \"text\", expected an object"),
            (json!({"_count": "three", "_names": []}), "found string \"three\", expected a whole number (at _count)"),
            (json!({"_count": -1, "_names": []}), "found integer `-1`, expected a whole number (at _count)"),
            (json!({"_count": 1, "_names": {}}), "found an object, expected an array (at _names)"),
            (json!({"_count": 1, "_names": [[]]}), "found an array, expected a string (at _names[0])"),
            (json!({"_count": 1}), "missing field `_names`"),
        ] {
            assert_eq!(typed::<Sample>(&value).expect_err("rejected"), expected);
        }
    }
}
