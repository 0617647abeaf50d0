//! The log lines of outcomes and requests.

use super::Report;
use super::metrics::RequestCounters;
use crate::domain::failure::Failure;
use crate::domain::outcome::{Outcome, Status};

/// Logs an outcome.
pub fn log_outcome(outcome: &Outcome) {
    let Outcome {
        stream,
        status: status_of,
        reason,
        mode: _,
        rule: _,
        key,
        previous_key,
        waited_ms,
        applied,
        warnings,
        error,
        seen: _,
        deferral: _,
    } = outcome;
    let (stream, status, warnings) = (stream.as_deref().unwrap_or_default(), status_of.as_str(), warnings.len());
    match error {
        None if *status_of == Status::AccessDenied => {
            let key = key.as_deref().unwrap_or_default();
            tracing::warn!(stream, status, reason, key, "access was denied");
        }
        None => {
            let (key, previous_key) = (key.as_deref().unwrap_or_default(), previous_key.as_deref().unwrap_or_default());
            tracing::info!(stream, status, reason, key, previous_key, waited_ms, applied, warnings, "stream settled");
        }
        Some(Failure { step, code, class, message: _, remedy }) => {
            let (step, class) = (step.as_str(), class.as_str());
            tracing::error!(
                stream,
                status,
                reason,
                step,
                code,
                class,
                remedy,
                waited_ms,
                applied,
                "stream not settled"
            );
        }
    }
}

/// Logs how a request was handled: every field is considered.
pub fn log_report(report: &Report, counters: RequestCounters) {
    let Report { request_id: _, mode: _, trigger, outcomes: _, summary, outcomes_truncated: _, continue_after } =
        report;
    let kind = serde_json::to_value(trigger.kind).unwrap_or_default();
    let summary = serde_json::to_value(summary).unwrap_or_default();
    tracing::info!(
        trigger = kind.as_str().unwrap_or_default(),
        ignored_because = trigger.reason.as_deref().unwrap_or_default(),
        summary = %summary,
        dead_letters = counters.dead_letters,
        dead_letters_not_stored = counters.dead_letters_not_stored,
        failed_calls = counters.failed_calls,
        messages_dropped = counters.messages_dropped,
        halted = counters.halted,
        continue_after = continue_after.as_deref().unwrap_or_default(),
        "request handled"
    );
}
