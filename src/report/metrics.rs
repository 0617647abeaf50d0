//! Metrics in `CloudWatch`'s [embedded metric format][emf]: one line of JSON on standard output.
//!
//! The line is not logged by `tracing`: it would nest the fields, and `CloudWatch` would not find
//! them.
//!
//! [emf]: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::Report;
use crate::domain::outcome::Status;

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
        Status::AccessDenied => "AccessDenied",
        Status::KeyAtRisk => "KeyAtRisk",
        Status::Failed => "Failed",
    }
}

/// The metric of dead letters that were stored.
pub const DEAD_LETTERS: &str = "DeadLetters";
/// The metric of dead letters that could not be stored.
pub const DEAD_LETTERS_NOT_STORED: &str = "DeadLettersNotStored";
/// The metric of outcome events that could not be published.
pub const EVENTS_NOT_SENT: &str = "EventsNotSent";
/// The metric of requests that used an older policy, because the present one is malformed or could
/// not be read.
pub const POLICY_ERRORS: &str = "PolicyErrors";
/// The metric of requests that the schedule made: nothing else writes it, not even a zero, so that
/// its absence shows that the schedule does not invoke the function.
pub const SCHEDULED_SWEEPS: &str = "ScheduledSweeps";
/// The metric of KMS calls that Kinesis made for its callers and that failed: those that were heard.
pub const FAILED_CALLS: &str = "FailedCalls";
/// The metric of messages that reported no failed call, and of failed calls for which there was no
/// room: nobody is named for these.
pub const DENIALS_DROPPED: &str = "DenialsDropped";
/// The metric of a halt: a value while sweeps change no stream.
pub const HALTED: &str = "Halted";
/// The metric of how long new streams were not encrypted, in seconds: from their creation until
/// they were ACTIVE with the key.
pub const TIME_UNENCRYPTED: &str = "TimeUnencrypted";
/// The metric of how long streams took to become ACTIVE with the key, in milliseconds.
pub const TIME_TO_ENCRYPTED: &str = "TimeToEncrypted";

/// The metrics besides those that count outcomes.
pub const OTHERS: [&str; 10] = [
    DEAD_LETTERS,
    DEAD_LETTERS_NOT_STORED,
    DENIALS_DROPPED,
    EVENTS_NOT_SENT,
    FAILED_CALLS,
    HALTED,
    POLICY_ERRORS,
    SCHEDULED_SWEEPS,
    TIME_TO_ENCRYPTED,
    TIME_UNENCRYPTED,
];

/// An older stream may have been encrypted before: how long it was not encrypted is unknown.
const NEW: TimeDelta = TimeDelta::hours(24);

/// The most values of one metric in a line, by the specification.
const VALUES: usize = 100;

/// What is counted of a request besides its outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounters {
    /// Dead letters that were stored.
    pub dead_letters: u64,
    /// Dead letters that could not be stored.
    pub dead_letters_not_stored: u64,
    /// Outcome events that could not be sent.
    pub events_not_sent: u64,
    /// 1 if an older policy was used, because the present one is malformed or could not be read.
    pub policy_errors: u64,
    /// 1 if the schedule itself made the request: neither a work item that it led to, nor a message
    /// that was redriven through the work queue.
    pub scheduled_sweeps: u64,
    /// KMS calls that Kinesis made for its callers and that failed.
    pub failed_calls: u64,
    /// Streams that a sweep left alone because sweeps are halted; 1 for a batch of denied calls while
    /// they are.
    pub halted: u64,
    /// Messages that reported none, and failed calls for which there was no room.
    pub messages_dropped: u64,
}

/// The line of metrics of one request.
#[must_use]
pub fn line(namespace: &str, function: &str, now: DateTime<Utc>, report: &Report, counters: RequestCounters) -> String {
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
    let unencrypted: Vec<_> = report
        .outcomes
        .iter()
        .filter(|outcome| outcome.status == Status::Encrypted && outcome.previous_key.is_none())
        .filter_map(|outcome| Some(now - outcome.seen.as_ref()?.created?))
        .filter(|age| *age < NEW)
        .map(|age| age.num_seconds())
        .take(VALUES)
        .collect();
    if !unencrypted.is_empty() {
        put(TIME_UNENCRYPTED, "Seconds", json!(unencrypted));
    }
    // Zeros too: an alarm on a metric that is never sent cannot distinguish silence from health.
    put(DEAD_LETTERS, "Count", json!(counters.dead_letters));
    put(DEAD_LETTERS_NOT_STORED, "Count", json!(counters.dead_letters_not_stored));
    put(EVENTS_NOT_SENT, "Count", json!(counters.events_not_sent));
    put(POLICY_ERRORS, "Count", json!(counters.policy_errors));
    if counters.scheduled_sweeps > 0 {
        put(SCHEDULED_SWEEPS, "Count", json!(counters.scheduled_sweeps));
    }
    // Only where there are any: each metric that has a value costs by the hour.
    let rare = [
        (FAILED_CALLS, counters.failed_calls),
        (DENIALS_DROPPED, counters.messages_dropped),
        (HALTED, counters.halted),
    ];
    for (name, count) in rare {
        if count > 0 {
            put(name, "Count", json!(count));
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::mode::Mode;
    use crate::domain::outcome::Outcome;
    use crate::domain::stream::{Description, StreamStatus};
    use crate::event::{Trigger, TriggerKind};
    use crate::report::OutcomeSummary;

    fn now() -> DateTime<Utc> {
        "2026-11-24T12:00:00Z".parse().expect("a time")
    }

    /// A stream that was encrypted after `waited_ms`, made so many minutes ago.
    fn encrypted(minutes: i64, previous_key: Option<&str>, waited_ms: u64) -> Outcome {
        let seen = Description {
            arn: "arn:aws:kinesis:us-east-1:111122223333:stream/orders".parse().expect("an ARN"),
            status: StreamStatus::Active,
            key_id: None,
            created: Some(now() - TimeDelta::minutes(minutes)),
            mode: None,
            retention_hours: None,
            consumers: None,
            channels: None,
            queues: None,
        };
        let outcome = Outcome::new(Some("orders".to_owned()), Status::Encrypted, "because", Mode::Enforce);
        Outcome { waited_ms, previous_key: previous_key.map(str::to_owned), seen: Some(Box::new(seen)), ..outcome }
    }

    #[test]
    fn a_line_counts_outcomes_times_new_streams_and_sends_zeros_for_what_alarms_watch() {
        let mut summary = OutcomeSummary::of_targets();
        for outcome in
            [encrypted(1, None, 900), encrypted(2, Some("alias/aws/kinesis"), 800), encrypted(25 * 60, None, 700)]
        {
            summary.add(outcome);
        }
        let trigger = Trigger {
            kind: TriggerKind::Manual,
            reason: None,
            event_id: None,
            event_time: None,
            account: None,
            region: None,
        };
        let report = Report::new("request-1", Mode::Enforce, trigger, summary, None);
        let scheduled = RequestCounters { scheduled_sweeps: 1, ..RequestCounters::default() };
        let scheduled: Value =
            serde_json::from_str(&line("Space", "enforcer", now(), &report, scheduled)).expect("JSON");
        assert_eq!(scheduled[SCHEDULED_SWEEPS], 1);
        let counters = RequestCounters { dead_letters: 1, policy_errors: 1, ..RequestCounters::default() };
        let line: Value = serde_json::from_str(&line("Space", "enforcer", now(), &report, counters)).expect("JSON");
        assert_eq!((&line["Encrypted"], &line[TIME_TO_ENCRYPTED]), (&json!(3), &json!([900, 800, 700])));
        // Only of the first it is known: the second had a key, the third may have had one.
        assert_eq!(line[TIME_UNENCRYPTED], json!([60]));
        assert_eq!((&line[DEAD_LETTERS], &line[DEAD_LETTERS_NOT_STORED]), (&json!(1), &json!(0)));
        assert_eq!((&line[EVENTS_NOT_SENT], &line[POLICY_ERRORS]), (&json!(0), &json!(1)));
        let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().expect("metrics");
        assert_eq!(line.get(SCHEDULED_SWEEPS), None, "its absence is what the alarm watches");
        let unit =
            |name: &str| metrics.iter().find(|metric| metric["Name"] == name).map(|metric| metric["Unit"].clone());
        assert_eq!(
            (unit(TIME_UNENCRYPTED), unit("Encrypted"), unit("Failed")),
            (Some(json!("Seconds")), Some(json!("Count")), None)
        );
    }
}
