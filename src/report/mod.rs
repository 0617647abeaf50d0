//! The answer of an invocation: its outcomes, counted and listed.

pub mod dead_letter;
pub mod event;
pub mod log;
pub mod metrics;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::domain::mode::Mode;
use crate::domain::outcome::{Outcome, Status};
use crate::event::Trigger;

/// The most outcomes that an answer lists; all of them are counted.
pub const LISTED: usize = 500;

/// The most bytes of the answer that a failed invocation returns as its `errorMessage`.
pub const ERROR_MESSAGE: usize = 4096;

/// The outcomes of an invocation: all are counted, and the most important ones are kept. Its memory
/// does not grow with the number of streams.
#[derive(Clone, Debug, Default)]
pub struct OutcomeSummary {
    /// Whether compliant streams are only counted, and failures listed first.
    sweeping: bool,
    counts: BTreeMap<Status, u64>,
    listed: Vec<Outcome>,
    dropped: bool,
}

impl OutcomeSummary {
    /// A summary of named targets: all are listed, in their order.
    #[must_use]
    pub fn of_targets() -> Self {
        Self::default()
    }

    /// A summary of a sweep: compliant streams are only counted, failures are listed first.
    #[must_use]
    pub fn of_sweep() -> Self {
        Self { sweeping: true, ..Self::default() }
    }

    /// Whether there is no outcome yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Counts `outcome`, and lists it if there is room or it is more important than another.
    pub fn add(&mut self, outcome: Outcome) {
        *self.counts.entry(outcome.status).or_default() += 1;
        if self.sweeping && outcome.status == Status::Compliant {
            return;
        }
        self.listed.push(outcome);
        if self.listed.len() >= 2 * LISTED {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.sweeping || self.listed.len() > LISTED {
            self.listed.sort_by_key(|outcome| listing_order(outcome.status));
        }
        self.dropped |= self.listed.len() > LISTED;
        self.listed.truncate(LISTED);
    }
}

fn listing_order(status: Status) -> u8 {
    match status {
        Status::Failed => 0,
        Status::Contested => 1,
        Status::AccessDenied => 2,
        Status::KeyAtRisk => 3,
        Status::Deferred => 4,
        Status::WouldEncrypt => 5,
        Status::Encrypted => 6,
        Status::Exempt => 7,
        Status::Queued => 8,
        Status::Gone => 9,
        Status::Compliant => 10,
    }
}

/// The answer of the contract.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Lambda's request id.
    pub request_id: String,
    /// The configured mode.
    pub mode: Mode,
    /// What invoked the function.
    pub trigger: Trigger,
    /// At most [`LISTED`] outcomes.
    pub outcomes: Vec<Outcome>,
    /// The number of outcomes by status.
    pub summary: BTreeMap<&'static str, u64>,
    /// Whether there were more outcomes than are listed.
    pub outcomes_truncated: bool,
    /// The name of the last stream that a sweep reached before its time was up; null if the sweep
    /// is complete.
    pub continue_after: Option<String>,
}

impl Report {
    /// The report of `summary`.
    #[must_use]
    pub fn new(
        request_id: &str,
        mode: Mode,
        trigger: Trigger,
        mut summary: OutcomeSummary,
        continue_after: Option<String>,
    ) -> Self {
        summary.cut();
        Self {
            request_id: request_id.to_owned(),
            mode,
            trigger,
            outcomes: summary.listed,
            summary: summary.counts.iter().map(|(status, count)| (status.as_str(), *count)).collect(),
            outcomes_truncated: summary.dropped,
            continue_after,
        }
    }

    /// Joins two answers: the requests of a batch in an envelope share one. It has the trigger of
    /// the first.
    #[must_use]
    pub fn joined(mut self, other: Self) -> Self {
        for (status, count) in other.summary {
            *self.summary.entry(status).or_default() += count;
        }
        self.outcomes.extend(other.outcomes);
        self.outcomes_truncated |= other.outcomes_truncated || self.outcomes.len() > LISTED;
        if self.outcomes.len() > LISTED {
            self.outcomes.sort_by_key(|outcome| listing_order(outcome.status));
        }
        self.outcomes.truncate(LISTED);
        self.continue_after = self.continue_after.or(other.continue_after);
        self
    }

    /// The answer as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The answer as JSON text of at most [`ERROR_MESSAGE`] bytes: outcomes are removed from the
    /// end, and then texts are shortened, until it fits.
    #[must_use]
    pub fn to_error_message(&self) -> String {
        let mut report = self.clone();
        loop {
            let text = report.to_json().to_string();
            if text.len() <= ERROR_MESSAGE {
                return text;
            }
            report.outcomes_truncated = true;
            match &mut report.outcomes[..] {
                [] => {
                    report.trigger.reason = None;
                    let text = report.to_json().to_string();
                    return text
                        .char_indices()
                        .take_while(|(at, character)| at + character.len_utf8() <= ERROR_MESSAGE)
                        .map(|(_, character)| character)
                        .collect();
                }
                [only]
                    if only.reason.len() > 200
                        || only.error.as_ref().is_some_and(|error| error.message.len() > 200) =>
                {
                    halve(&mut only.reason);
                    if let Some(error) = &mut only.error {
                        halve(&mut error.message);
                    }
                }
                _ => {
                    report.outcomes.pop();
                }
            }
        }
    }
}

/// Removes the second half of a text.
fn halve(text: &mut String) {
    let half = (text.len() / 2..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    text.truncate(half);
    text.push('…');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::{Failure, Step, code};
    use crate::event::TriggerKind;

    fn outcome(name: &str, status: Status) -> Outcome {
        Outcome::new(Some(name.to_owned()), status, "because", Mode::Enforce)
    }

    fn report(summary: OutcomeSummary) -> Report {
        let trigger = Trigger {
            kind: TriggerKind::Scheduled,
            reason: None,
            event_id: None,
            event_time: None,
            account: None,
            region: None,
        };
        Report::new("request", Mode::Enforce, trigger, summary, None)
    }

    #[test]
    fn a_sweep_lists_failures_first_and_compliant_streams_not_at_all() {
        let mut summary = OutcomeSummary::of_sweep();
        for (name, status) in
            [("a", Status::Compliant), ("b", Status::Encrypted), ("c", Status::Failed), ("d", Status::Contested)]
        {
            summary.add(outcome(name, status));
        }
        let report = report(summary);
        let names: Vec<_> = report.outcomes.iter().filter_map(|outcome| outcome.stream.as_deref()).collect();
        assert_eq!(names, ["c", "d", "b"]);
        assert_eq!(
            report.summary,
            BTreeMap::from([("compliant", 1), ("encrypted", 1), ("failed", 1), ("contested", 1)])
        );
        assert!(!report.outcomes_truncated);
    }

    #[test]
    fn of_many_outcomes_the_failures_are_kept_and_all_are_counted() {
        let mut summary = OutcomeSummary::of_sweep();
        for index in 0..2_000 {
            summary.add(outcome(&index.to_string(), Status::Encrypted));
        }
        summary.add(outcome("late", Status::Failed));
        let report = report(summary);
        assert_eq!(report.outcomes.len(), LISTED);
        assert_eq!(report.outcomes[0].stream.as_deref(), Some("late"));
        assert_eq!(report.summary["encrypted"], 2_000);
        assert!(report.outcomes_truncated);
    }

    #[test]
    fn an_error_message_is_an_answer_that_fits() {
        let mut summary = OutcomeSummary::of_targets();
        let failure = Failure::new(Step::Wait, code::STILL_UPDATING, &"orders", &"x".repeat(9_000));
        summary.add(Outcome::failed(Some("orders".to_owned()), failure, Mode::Enforce));
        for _ in 0..50 {
            summary.add(outcome("other", Status::Encrypted));
        }
        let text = report(summary).to_error_message();
        assert!(text.len() <= ERROR_MESSAGE, "{}", text.len());
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(answer["outcomes"][0]["error"]["code"], "StillUpdating");
        assert_eq!(answer["outcomesTruncated"], true);
        assert_eq!(answer["summary"]["encrypted"], 50);
    }

    #[test]
    fn of_two_answers_that_are_joined_everything_is_counted_and_failures_are_kept() {
        let of = |status: Status, count: usize| {
            let mut summary = OutcomeSummary::of_targets();
            for index in 0..count {
                summary.add(outcome(&format!("{} {index}", status.as_str()), status));
            }
            report(summary)
        };
        let joined = of(Status::Encrypted, 2)
            .joined(Report { continue_after: Some("orders".to_owned()), ..of(Status::Failed, 1) });
        assert_eq!(joined.summary, BTreeMap::from([("encrypted", 2), ("failed", 1)]));
        assert_eq!(
            (joined.outcomes.len(), joined.outcomes_truncated, joined.continue_after.as_deref()),
            (3, false, Some("orders"))
        );

        let first = Report { continue_after: Some("a".to_owned()), ..of(Status::Encrypted, LISTED) };
        let joined = first.joined(Report { continue_after: Some("b".to_owned()), ..of(Status::Failed, 1) });
        assert_eq!(
            (joined.outcomes.len(), joined.outcomes_truncated, joined.continue_after.as_deref()),
            (LISTED, true, Some("a"))
        );
        assert_eq!(joined.outcomes[0].status, Status::Failed);
        assert!(
            of(Status::Encrypted, 1)
                .joined(Report { outcomes_truncated: true, ..of(Status::Encrypted, 1) })
                .outcomes_truncated
        );
    }

    #[test]
    fn an_error_message_fits_whatever_is_too_long_in_it() {
        let mut report = report(OutcomeSummary::of_targets());
        report.trigger.event_id = Some("ü".repeat(ERROR_MESSAGE));
        for shift in ["", "x", "xx", "xxx"] {
            report.request_id = shift.to_owned();
            let text = report.to_error_message();
            assert!((ERROR_MESSAGE - 1..=ERROR_MESSAGE).contains(&text.len()), "{}", text.len());
        }
    }

    #[test]
    fn what_matters_more_is_listed_first() {
        let mut summary = OutcomeSummary::of_sweep();
        for status in Status::ALL.into_iter().rev() {
            summary.add(outcome("orders", status));
        }
        let listed: Vec<_> = report(summary).outcomes.iter().map(|outcome| outcome.status.as_str()).collect();
        let order = [
            "failed",
            "contested",
            "access-denied",
            "key-at-risk",
            "deferred",
            "would-encrypt",
            "encrypted",
            "exempt",
            "queued",
            "gone",
        ];
        assert_eq!(listed, order);
    }
}
