//! What a person asks for, by hand or from a script: the function's own, strict format.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::parsed::{Origin, Parsed, ParsedTrigger, Rejection, checked_account, distinct, typed};
use super::request::{RequestOptions, Scope, TriggerKind};
use crate::domain::stream::{StreamName, StreamRef};
use crate::domain::text::shorten;

/// How many streams one request may name. Whoever has more wants a sweep.
const MAX_STREAMS: usize = 1_000;

const KEYS: [&str; 7] = ["stream", "streams", "sweep", "startAfter", "dryRun", "reapply", "deadLetter"];

const ACCEPTED: &str = r#"accepted are {"stream": "<name or ARN>"}, {"streams": ["<name or ARN>", …]} and {"sweep": true, "startAfter": "<name>", "account": "<12 digits>"} (startAfter and account optional), each with optional booleans "dryRun", "reapply" and "deadLetter""#;

/// Whether a payload was meant as a manual request, rightly made or not.
pub(super) fn is_meant(payload: &Value) -> bool {
    KEYS.iter().any(|key| payload.get(key).is_some())
}

/// Nothing is guessed: a misspelt `dryRun` must not become a real run.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Manual {
    #[serde(default, deserialize_with = "not_null")]
    stream: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    streams: Option<Vec<String>>,
    #[serde(default, deserialize_with = "not_null")]
    sweep: Option<bool>,
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

/// A key may be left out, but `null` is no stream and no boolean.
fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads a manual request. `manual` is set also for one that is refused: a person waits for the
/// answer.
pub(super) fn read(payload: &Value) -> ParsedTrigger {
    let (found, options) = match typed::<Manual>(payload) {
        Ok(manual) => {
            let options = RequestOptions {
                dry_run: manual.dry_run.unwrap_or(false),
                reapply: manual.reapply.unwrap_or(false),
                no_dead_letter: manual.dead_letter == Some(false),
            };
            (scope(manual), options)
        }
        // What the request says of letters counts even where the rest is wrong.
        Err(reason) => {
            let no_dead_letter = payload.get("deadLetter") == Some(&Value::Bool(false));
            (Err(Rejection::Unknown(reason)), RequestOptions { no_dead_letter, ..RequestOptions::default() })
        }
    };
    let found = found.map_err(|declined| match declined {
        Rejection::Unknown(reason) => {
            let reason = shorten(&reason, 250);
            Rejection::Unknown(format!("not a manual request: {reason}; {ACCEPTED}"))
        }
        ignored @ Rejection::Ignored(_) => ignored,
    });
    let mut reading = ParsedTrigger::new(found, Origin::default());
    reading.options = options;
    reading.manual = true;
    reading
}

fn scope(manual: Manual) -> Parsed {
    let Manual { stream, streams, sweep, start_after, account, dry_run: _, reapply: _, dead_letter: _ } = manual;
    if start_after.is_some() && sweep.is_none() {
        return Err(Rejection::unknown("startAfter belongs to a sweep"));
    }
    if account.is_some() && sweep.is_none() {
        return Err(Rejection::unknown("account belongs to a sweep: a stream of another account is named by its ARN"));
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
        (None, None, Some(false)) => return Err(Rejection::unknown("sweep can only be true")),
        (None, None, None) => return Err(Rejection::unknown("it has no stream, no streams and no sweep")),
        _ => return Err(Rejection::unknown("it has more than one of stream, streams and sweep")),
    };
    Ok((TriggerKind::Manual, scope))
}

fn several(streams: &[String]) -> Result<Vec<StreamRef>, Rejection> {
    if streams.is_empty() {
        return Err(Rejection::unknown("streams is empty"));
    }
    if streams.len() > MAX_STREAMS {
        return Err(Rejection::unknown(format!("streams has {} entries, more than {MAX_STREAMS}", streams.len())));
    }
    let parse = |(index, text): (usize, &String)| {
        text.parse().map_err(|error| Rejection::unknown(format!("{error} (at streams[{index}])")))
    };
    streams.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>().map(distinct)
}
