//! Manual requests, by hand or from a script: the function's own, strict format.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::parsed::{Origin, Parsed, ParsedTrigger, Rejection, checked_account, distinct, typed};
use super::request::{RequestOptions, Scope, TriggerKind};
use crate::domain::stream::{StreamName, StreamRef};
use crate::domain::text::{nearly, shorten};

/// How many streams one request may name; a sweep covers more.
const MAX_STREAMS: usize = 1_000;

const KEYS: [&str; 8] = ["stream", "streams", "sweep", "resume", "startAfter", "dryRun", "reapply", "deadLetter"];

/// The fields of a manual request. Other payloads, too, have an `account`.
const FIELDS: [&str; 9] =
    ["stream", "streams", "sweep", "resume", "startAfter", "account", "dryRun", "reapply", "deadLetter"];

const ACCEPTED: &str = concat!(
    r#"accepted requests: {"stream": "<name or ARN>"}, {"streams": ["<name or ARN>", …]} and {"sweep": true, "#,
    r#""startAfter": "<name>", "account": "<12 digits>"} (startAfter and account optional), "#,
    r#"each with optional booleans "dryRun", "reapply" and "deadLetter"; or {"resume": true}"#
);

/// Whether a payload is meant as a manual request, valid or not.
pub(super) fn is_meant(payload: &Value) -> bool {
    KEYS.iter().any(|key| payload.get(key).is_some())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manual {
    #[serde(default, deserialize_with = "not_null")]
    stream: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    streams: Option<Vec<String>>,
    #[serde(default, deserialize_with = "not_null")]
    sweep: Option<bool>,
    #[serde(default, deserialize_with = "not_null")]
    resume: Option<bool>,
    #[serde(default, deserialize_with = "not_null")]
    start_after: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    account: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    dry_run: Option<bool>,
    #[serde(default, deserialize_with = "not_null")]
    reapply: Option<bool>,
    #[serde(default, deserialize_with = "not_null")]
    dead_letter: Option<bool>,
}

/// A field may be omitted, but not `null`.
fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Unknown fields are rejected: a misspelt `dryRun` must not become a real run.
fn check_fields(payload: &Value) -> Result<(), String> {
    let mut names = payload.as_object().into_iter().flat_map(|fields| fields.keys());
    let Some(unknown) = names.find(|name| !FIELDS.contains(&name.as_str())) else { return Ok(()) };
    let meant = nearly(unknown, &FIELDS).map(|meant| format!(" (did you mean {meant:?}?)")).unwrap_or_default();
    Err(format!("there is no field {:?}{meant}", shorten(unknown, 64)))
}

/// Reads a manual request. `manual` is also set for one that is rejected: a person waits for the
/// answer.
pub(super) fn read(payload: &Value) -> ParsedTrigger {
    let (found, options) = match check_fields(payload).and_then(|()| typed::<Manual>(payload)) {
        Ok(manual) => {
            let options = RequestOptions {
                dry_run: manual.dry_run.unwrap_or(false),
                reapply: manual.reapply.unwrap_or(false),
                no_dead_letter: manual.dead_letter == Some(false),
            };
            (scope(manual), options)
        }
        // `deadLetter` counts even if the rest is invalid.
        Err(reason) => {
            let no_dead_letter = payload.get("deadLetter") == Some(&Value::Bool(false));
            (Err(Rejection::Unknown(reason)), RequestOptions { no_dead_letter, ..RequestOptions::default() })
        }
    };
    let found = found.map_err(|rejection| match rejection {
        Rejection::Unknown(reason) => {
            let reason = shorten(&reason, 250);
            Rejection::Unknown(format!("invalid manual request: {reason}; {ACCEPTED}"))
        }
        ignored @ Rejection::Ignored(_) => ignored,
    });
    ParsedTrigger { options, manual: true, ..ParsedTrigger::new(found, Origin::default()) }
}

fn scope(manual: Manual) -> Parsed {
    let Manual { stream, streams, sweep, resume, start_after, account, dry_run: _, reapply: _, dead_letter: _ } =
        manual;
    match (resume, &stream, &streams, sweep) {
        (None, ..) => {}
        (Some(true), None, None, None) if start_after.is_none() && account.is_none() => {
            return Ok((TriggerKind::Manual, Scope::Resume));
        }
        (Some(true), ..) => return Err(Rejection::unknown("resume is allowed by itself only")),
        (Some(false), ..) => return Err(Rejection::unknown("resume must be true")),
    }
    if start_after.is_some() && sweep.is_none() {
        return Err(Rejection::unknown("startAfter is only allowed with sweep"));
    }
    if account.is_some() && sweep.is_none() {
        return Err(Rejection::unknown(
            "account is only allowed with sweep; name a stream of another account by its ARN",
        ));
    }
    let scope = match (stream, streams, sweep) {
        (Some(stream), None, None) => {
            Scope::Streams(vec![stream.parse().map_err(|error| Rejection::unknown(format!("{error} (at stream)")))?])
        }
        (None, Some(streams), None) => Scope::Streams(several(&streams)?),
        (None, None, Some(true)) => {
            if let Some(name) = &start_after {
                name.parse::<StreamName>().map_err(|error| Rejection::unknown(format!("{error} (at startAfter)")))?;
            }
            let account = account
                .map(checked_account)
                .transpose()
                .map_err(|error| Rejection::unknown(format!("{error} (at account)")))?;
            Scope::Fleet { of: account.into(), start_after }
        }
        (None, None, Some(false)) => return Err(Rejection::unknown("sweep must be true")),
        (None, None, None) => return Err(Rejection::unknown("one of stream, streams and sweep is required")),
        _ => return Err(Rejection::unknown("only one of stream, streams and sweep is allowed")),
    };
    Ok((TriggerKind::Manual, scope))
}

fn several(streams: &[String]) -> Result<Vec<StreamRef>, Rejection> {
    if streams.is_empty() {
        return Err(Rejection::unknown("streams is empty"));
    }
    if streams.len() > MAX_STREAMS {
        return Err(Rejection::unknown(format!(
            "streams has {} entries, at most {MAX_STREAMS} are allowed",
            streams.len()
        )));
    }
    let parse = |(index, text): (usize, &String)| {
        text.parse().map_err(|error| Rejection::unknown(format!("{error} (at streams[{index}])")))
    };
    streams.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>().map(distinct)
}
