//! What we wrote ourselves: dead letters and work items.

use serde_json::Value;

use super::work_item::{ItemOrigin, ItemSweep, WorkItem};
use super::{
    Fleets, Origin, Parsed, ParsedTrigger, Rejection, Scope, TriggerKind, WorkItemContext, checked_account, typed,
};
use crate::domain::stream::{StreamName, StreamRef};

/// The version of letters and work items that this program writes, and the only one it reads.
const VERSION: u64 = 1;

fn is_kind(payload: &Value, kind: &str) -> bool {
    payload.get("kind").and_then(Value::as_str) == Some(kind)
}

pub(super) fn is_dead_letter(payload: &Value) -> bool {
    is_kind(payload, "enforcement-failure")
}

pub(super) fn is_work_item(payload: &Value) -> bool {
    is_kind(payload, "work-item")
}

fn check_version(payload: &Value, what: &str) -> Result<(), String> {
    match payload.get("version") {
        Some(version) if version.as_u64() == Some(VERSION) => Ok(()),
        Some(version) => Err(format!("{what} of version {version}: this function reads version {VERSION}")),
        None => Err(format!("{what} without a version")),
    }
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

/// Reads a work item. Its trigger carries the id and the time of the event that it goes back to, so
/// that the logs of both can be joined.
pub(super) fn work_item(payload: &Value) -> ParsedTrigger {
    let item: WorkItem = match check_version(payload, "a work item").and_then(|()| typed(payload)) {
        Ok(item) => item,
        Err(reason) => return ParsedTrigger::unknown(reason),
    };
    let WorkItem {
        stream,
        sweep,
        origin: ItemOrigin { event_id, event_time, kind },
        hops,
        not_before,
        expires_at,
        hint,
        reapply,
        alias,
        rotated,
        reported,
        suspicion,
        ..
    } = item;
    let mut origin = Origin { event_id, event_time, account: None, region: None };
    let found = work_scope(stream.as_deref(), sweep);
    match &found {
        Ok((_, Scope::Streams(streams))) => {
            if let [StreamRef::Arn(arn)] = streams.as_slice() {
                origin.account = Some(arn.account().to_owned());
                origin.region = Some(arn.region().to_owned());
            }
        }
        Ok((_, Scope::Fleet { of: Fleets::Account(account), .. })) => origin.account = Some(account.clone()),
        _ => {}
    }
    let mut reading = ParsedTrigger::new(found, origin);
    reading.wishes.reapply = reapply;
    reading.carried = WorkItemContext {
        origin_kind: kind,
        hops,
        not_before,
        expires_at,
        hint: hint.unwrap_or_default(),
        alias: alias.and_then(|alias| alias.parse().ok()),
        rotated: rotated.and_then(|key| key.parse().ok()),
        reported,
        suspicion,
    };
    reading
}

fn work_scope(stream: Option<&str>, sweep: Option<ItemSweep>) -> Parsed {
    let scope = match (stream, sweep) {
        (Some(stream), None) => Scope::Streams(vec![stream.parse()?]),
        (None, Some(ItemSweep { start_after, account })) => {
            if let Some(name) = &start_after {
                name.parse::<StreamName>()?;
            }
            let account = account.map(checked_account).transpose()?;
            Scope::Fleet { of: account.into(), start_after }
        }
        (Some(_), Some(_)) => return Err(Rejection::unknown("a work item with both a stream and a sweep")),
        (None, None) => return Err(Rejection::unknown("a work item with neither a stream nor a sweep")),
    };
    Ok((TriggerKind::WorkItem, scope))
}
