//! What happened in a run: invocations, every request and what came back as the function saw it,
//! the log, and what others did.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use kinesis_encryption_enforcer::sandbox::Snapshot;
use serde_json::Value;

/// How an invocation was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Asynchronously: this attempt of three.
    Event(u32),
    /// By a person who waits for the answer.
    Person,
    /// By the event source mapping.
    Batch,
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    Running,
    /// Killed at a random moment.
    Killed,
    /// Ended by Lambda, which the function must never wait for.
    Overdue,
    Answer(Value),
    Error {
        kind: String,
        message: String,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    pub(crate) way: Way,
    pub(crate) process: usize,
    pub(crate) payload: Value,
    pub(crate) began: DateTime<Utc>,
    pub(crate) deadline: DateTime<Utc>,
    pub(crate) ended: Option<DateTime<Utc>>,
    pub(crate) end: End,
}

/// What the function heard in answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    /// Nothing, and it did not wait any longer.
    Nothing,
    /// That the connection broke.
    Broken,
    /// This.
    Answer { status: u16, body: String },
}

impl Heard {
    pub(crate) fn answer(&self) -> Option<Value> {
        match self {
            Self::Answer { status: 200, body } if body.is_empty() => Some(serde_json::json!({})),
            Self::Answer { status: 200, body } => serde_json::from_str(body).ok(),
            _ => None,
        }
    }

    pub(crate) fn is_ok(&self) -> bool {
        matches!(self, Self::Answer { status: 200, .. })
    }

    /// The error code, as the SDK reads it.
    pub(crate) fn code(&self) -> Option<String> {
        let Self::Answer { status, body } = self else { return None };
        let body: Value = serde_json::from_str(body).ok().filter(|_| *status != 200)?;
        body["__type"].as_str().map(|kind| kind.rsplit('#').next().unwrap_or(kind).to_owned())
    }
}

/// One request of the function's, as it saw it.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    /// That of the invocation.
    pub(crate) access_key: String,
    /// Whether it was signed with the credentials of a role of the member account instead.
    pub(crate) in_member: bool,
    pub(crate) operation: String,
    pub(crate) stream: Option<String>,
    pub(crate) request: Value,
    pub(crate) at: DateTime<Utc>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    /// Its place in the run's order, and that of its answer.
    pub(crate) sent: usize,
    pub(crate) answered: Option<usize>,
    pub(crate) heard: Heard,
    /// The stream as it really was when the request was sent.
    pub(crate) truth: Option<Snapshot>,
}

/// A line of the function's log.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) invocation: usize,
    pub(crate) at: DateTime<Utc>,
    pub(crate) message: String,
    pub(crate) fields: BTreeMap<String, String>,
}

impl Line {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// Everything that happened.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) invocations: Vec<Invocation>,
    pub(crate) exchanges: Vec<Exchange>,
    pub(crate) log: Vec<Line>,
    pub(crate) notes: Vec<(DateTime<Utc>, String)>,
    order: usize,
}

impl Story {
    /// The next place in the run's order.
    pub(crate) fn next(&mut self) -> usize {
        self.order += 1;
        self.order
    }

    /// The story until `until`, line by line.
    pub(crate) fn told(&self, until: DateTime<Utc>) -> String {
        let mut lines: Vec<(DateTime<Utc>, usize, String)> = Vec::new();
        let mut tell = |at: DateTime<Utc>, text: String| lines.push((at, lines.len(), text));
        for (at, note) in &self.notes {
            tell(*at, format!("          * {note}"));
        }
        for (id, invocation) in self.invocations.iter().enumerate() {
            let payload = short(&invocation.payload.to_string(), 260);
            tell(
                invocation.began,
                format!("#{id:<4}      {:?}, process {}: {payload}", invocation.way, invocation.process),
            );
            if let Some(ended) = invocation.ended {
                tell(ended, format!("#{id:<4}      ended: {}", short(&format!("{:?}", invocation.end), 700)));
            }
        }
        for exchange in &self.exchanges {
            let heard = match &exchange.heard {
                Heard::Answer { status, body } => format!("{status} {}", short(body, 320)),
                heard => format!("{heard:?}"),
            };
            let number = exchange.access_key.trim_start_matches(PREFIX).trim_start_matches('0');
            let number = if number.is_empty() { "0" } else { number };
            tell(
                exchange.at,
                format!(
                    "#{number:<4}  {:>5} {} {} → {heard}",
                    exchange.sent,
                    exchange.operation,
                    short(&exchange.request.to_string(), 200)
                ),
            );
        }
        for line in &self.log {
            tell(
                line.at,
                format!(
                    "#{:<4}      log: {} {}",
                    line.invocation,
                    line.message,
                    short(&format!("{:?}", line.fields), 420)
                ),
            );
        }
        lines.sort_by_key(|(at, index, _)| (*at, *index));
        let mut told = String::new();
        for (at, _, text) in lines.into_iter().filter(|(at, _, _)| *at <= until) {
            let _ = writeln!(told, "{} {text}", at.format("%d %H:%M:%S%.3f"));
        }
        told
    }
}

fn short(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

const PREFIX: &str = "ASIAENFORCER";

/// The access key that signs the calls of an invocation.
pub(crate) fn access_key(invocation: usize) -> String {
    format!("{PREFIX}{invocation:08}")
}

/// The invocation whose calls this access key signs.
pub(crate) fn invocation_of(access_key: &str) -> Option<usize> {
    access_key.strip_prefix(PREFIX)?.parse().ok()
}

/// Whether calls with this access key are the function's.
pub(crate) fn is_ours(access_key: &str) -> bool {
    access_key.starts_with(PREFIX)
}

/// A handle on the story of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(Arc<Mutex<Story>>);

impl Told {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Story> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
