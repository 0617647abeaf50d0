//! Metrics in `CloudWatch`'s embedded metric format: one line of JSON on standard output.
//!
//! Source: `CloudWatch` User Guide, *Specification: Embedded metric format*. The line is printed as it is: inside a log event its fields
//! would be nested, and `CloudWatch` would not see them.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::Report;
use crate::outcome::Status;

/// The name of the metric that counts outcomes with `status`.
#[must_use]
pub fn metric_of(status: Status) -> &'static str {
    match status {
        Status::Encrypted => "Encrypted",
        Status::Compliant => "Compliant",
        Status::WouldEncrypt => "WouldEncrypt",
        Status::Exempt => "Exempt",
        Status::Gone => "Gone",
        Status::Deferred => "Deferred",
        Status::Queued => "Queued",
        Status::Contested => "Contested",
        Status::KeyAtRisk => "KeyAtRisk",
        Status::Failed => "Failed",
    }
}

/// The metric of dead letters written.
pub const DEAD_LETTERS: &str = "DeadLetters";
/// The metric of dead letters that could not be written.
pub const DEAD_LETTERS_NOT_STORED: &str = "DeadLettersNotStored";
/// The metric of outcome events that could not be sent.
pub const EVENTS_NOT_SENT: &str = "EventsNotSent";
/// The metric of how long streams took from the start to ACTIVE with the key.
pub const TIME_TO_ENCRYPTED: &str = "TimeToEncrypted";

/// The embedded metric format takes at most this many values of a metric in a line.
const VALUES: usize = 100;

/// How dead letters fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Letters {
    /// Written.
    pub stored: u64,
    /// Refused by the queue, or without a queue.
    pub not_stored: u64,
    /// Outcome events that could not be sent.
    pub events_not_sent: u64,
}

/// The line of metrics for one report.
#[must_use]
pub fn line(namespace: &str, function: &str, now: DateTime<Utc>, report: &Report, letters: Letters) -> String {
    let mut metrics = Vec::new();
    let mut values = Map::new();
    let mut put = |name: &str, unit: &str, value: Value| {
        metrics.push(json!({"Name": name, "Unit": unit}));
        values.insert(name.to_owned(), value);
    };
    for status in Status::ALL {
        if let Some(count) = report.summary.get(status.as_str()) {
            put(metric_of(status), "Count", json!(count));
        }
    }
    let waits: Vec<_> = report
        .outcomes
        .iter()
        .filter(|outcome| outcome.status == Status::Encrypted)
        .map(|outcome| outcome.waited_ms)
        .take(VALUES)
        .collect();
    if !waits.is_empty() {
        put(TIME_TO_ENCRYPTED, "Milliseconds", json!(waits));
    }
    // Zeros too: an alarm on a metric that is never sent cannot tell silence from health.
    put(DEAD_LETTERS, "Count", json!(letters.stored));
    put(DEAD_LETTERS_NOT_STORED, "Count", json!(letters.not_stored));
    put(EVENTS_NOT_SENT, "Count", json!(letters.events_not_sent));
    values.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": now.timestamp_millis(),
            "CloudWatchMetrics": [{"Namespace": namespace, "Dimensions": [["FunctionName"]], "Metrics": metrics}],
        }),
    );
    values.insert("FunctionName".to_owned(), json!(function));
    values.insert("requestId".to_owned(), json!(report.request_id));
    values.insert("trigger".to_owned(), json!(report.trigger.kind));
    Value::Object(values).to_string()
}
