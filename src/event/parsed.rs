//! What the readers of events have in common: a trigger before its payload is attached, why a
//! payload is declined, and reading JSON with errors that say where.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::request::{Request, RequestOptions, Scope, Trigger, TriggerKind, WorkItemContext};
use crate::domain::arn::{Malformed, is_account};
use crate::domain::text::shorten;
use crate::domain::trigger_facts::TriggerFacts;

/// What an event points at, or why it points nowhere.
pub(super) type Parsed = Result<(TriggerKind, Scope), Rejection>;

/// Why an event points nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// It was understood and asks for nothing.
    Ignored(String),
    /// It was not understood.
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

/// A [`Request`] before its payload and its history are known.
#[derive(Clone, Debug)]
pub(super) struct ParsedTrigger {
    pub(super) trigger: Trigger,
    pub(super) scope: Scope,
    pub(super) options: RequestOptions,
    pub(super) facts: TriggerFacts,
    pub(super) work: WorkItemContext,
    pub(super) manual: bool,
}

impl ParsedTrigger {
    /// What was found, under a trigger that tells where it came from.
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
        Self { trigger, scope, options, facts, work, manual: false }
    }

    pub(super) fn unknown(reason: impl Into<String>) -> Self {
        Self::new(Err(Rejection::unknown(reason)), Origin::default())
    }

    /// The request that was taken out of dead letters `redrives` times, with its innermost `payload`.
    pub(super) fn into_request(self, redrives: u32, payload: Value) -> Request {
        let Self { trigger, scope, options, facts, work, manual } = self;
        Request { trigger, scope, options, facts, work, manual, redrives, payload }
    }
}

/// Which event it was, and when and where it happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    pub(super) event_id: Option<String>,
    pub(super) event_time: Option<DateTime<Utc>>,
    pub(super) account: Option<String>,
    pub(super) region: Option<String>,
}

/// A reason may quote the payload; a log line and a message attribute do not want all of it.
pub(super) const LONGEST_REASON: usize = 600;

/// An event's id has 36 characters. It goes into every log line and work item of the event, so what
/// a forger makes of it must not.
const LONGEST_ID: usize = 128;

/// `value` as a `T`; the error says what is wrong and where.
pub(super) fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        // The path of the whole value is a lone dot, which would only puzzle.
        if path == "." { error.into_inner().to_string() } else { format!("{} (at {path})", error.into_inner()) }
    })
}

/// The version of dead letters and work items that this program writes, and the only one it reads.
const VERSION: u64 = 1;

/// Whether `payload` is one of our own, of this kind.
pub(super) fn is_kind(payload: &Value, kind: &str) -> bool {
    payload.get("kind").and_then(Value::as_str) == Some(kind)
}

/// Refuses what another version of this program wrote; `what` says what it is.
pub(super) fn check_version(payload: &Value, what: &str) -> Result<(), String> {
    match payload.get("version") {
        Some(version) if version.as_u64() == Some(VERSION) => Ok(()),
        Some(version) => Err(format!("{what} of version {version}: this function reads version {VERSION}")),
        None => Err(format!("{what} without a version")),
    }
}

/// `account`, if it has 12 digits.
pub(super) fn checked_account(account: String) -> Result<String, Malformed> {
    if is_account(&account) { Ok(account) } else { Err(Malformed::new(&account, "an account of 12 digits")) }
}

/// `items` in their order, each once.
pub(super) fn distinct<T: Clone + Eq + std::hash::Hash>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut seen = std::collections::HashSet::new();
    items.into_iter().filter(|item| seen.insert(item.clone())).collect()
}
