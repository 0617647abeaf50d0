//! Faults: errors, delays and lost messages between a caller and AWS.

use std::ops::{Bound, RangeBounds};
use std::time::Duration;

use super::service_error::ServiceError;

/// Selects calls of one operation: of one stream or of all, from the `first` to the `last`, counted
/// from 1.
#[derive(Clone, Debug)]
pub(crate) struct Match {
    operation: String,
    stream: Option<String>,
    first: u64,
    last: u64,
    seen: u64,
}

impl Match {
    pub(crate) fn on(operation: &str) -> Self {
        Self { operation: operation.to_owned(), stream: None, first: 1, last: u64::MAX, seen: 0 }
    }

    pub(crate) fn on_stream(&mut self, name: &str) {
        self.stream = Some(name.to_owned());
    }

    pub(crate) fn nth(&mut self, calls: &impl RangeBounds<u64>) {
        self.first = match calls.start_bound() {
            Bound::Included(&first) => first,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 1,
        };
        self.last = match calls.end_bound() {
            Bound::Included(&last) => last,
            Bound::Excluded(&after) => after.saturating_sub(1),
            Bound::Unbounded => u64::MAX,
        };
    }

    /// Counts the call if operation and stream match. True if it is in the selected range.
    pub(crate) fn counts(&mut self, operation: &str, stream: Option<&str>) -> bool {
        if self.operation != operation || self.stream.as_deref().is_some_and(|name| stream != Some(name)) {
            return false;
        }
        self.seen += 1;
        (self.first..=self.last).contains(&self.seen)
    }

    /// Whether a call in the selected range has arrived.
    pub(crate) fn has_met(&self) -> bool {
        self.seen >= self.first
    }

    pub(crate) fn stream(&self) -> Option<&str> {
        self.stream.as_deref()
    }
}

/// Entries of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entries {
    /// Every other one, beginning with the first.
    EveryOther,
    /// The one at this index.
    At(usize),
}

impl Entries {
    pub(crate) fn contain(self, index: usize) -> bool {
        match self {
            Self::EveryOther => index.is_multiple_of(2),
            Self::At(only) => index == only,
        }
    }
}

/// What a fault does to a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Only the delays.
    #[default]
    None,
    /// AWS returns an error and does nothing.
    Error(ServiceError),
    /// AWS refuses these entries of a batch and carries out the rest.
    EntriesRefused(Entries, ServiceError),
    /// The connection breaks before AWS receives the call.
    Dropped,
    /// AWS carries the call out, but its answer is lost.
    AnswerLost,
    /// AWS carries the call out, but its answer is not JSON.
    AnswerGarbled,
    /// AWS carries the call out, but only the first half of its answer arrives, as a complete body.
    AnswerTruncated,
    /// AWS carries the call out, but this body arrives as its answer.
    AnswerReplaced(String),
    /// A proxy answers with this body and status 200. AWS never receives the call.
    Intercepted(String),
}

/// A fault on the calls of one operation: on all of them, or on a range.
///
/// ```
/// # use std::time::Duration;
/// # use kinesis_encryption_enforcer::sandbox::Fault;
/// let throttled_twice = Fault::on("StartStreamEncryption")
///     .stream("orders")
///     .nth(1..=2)
///     .error("KMSThrottlingException", "slow down");
/// let slow = Fault::on("DescribeStreamSummary").delay(Duration::from_secs(3));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a fault has no effect until it is passed to Account::fault"]
pub struct Fault {
    pub(crate) calls: Match,
    pub(crate) before: Duration,
    pub(crate) after: Duration,
    pub(crate) effect: Effect,
    pub(crate) unstoppable: bool,
}

impl Fault {
    /// A fault on every call of `operation`, such as `DescribeStreamSummary`.
    pub fn on(operation: &str) -> Self {
        Self {
            calls: Match::on(operation),
            before: Duration::ZERO,
            after: Duration::ZERO,
            effect: Effect::None,
            unstoppable: false,
        }
    }

    /// Limits the fault to calls that name this stream, by name or by ARN.
    pub fn stream(mut self, name: &str) -> Self {
        self.calls.on_stream(name);
        self
    }

    /// Limits the fault to the calls in this range, counted from 1: `nth(1..=2)`, `nth(3..)`.
    pub fn nth(mut self, calls: impl RangeBounds<u64>) -> Self {
        self.calls.nth(&calls);
        self
    }

    /// AWS returns this error and does nothing. The HTTP status follows from the code: 500 for
    /// failures of the service, otherwise 400.
    pub fn error(self, code: &str, message: &str) -> Self {
        let server = code.starts_with("Internal") || code.contains("Unavailable") || code == "KMSInternalException";
        self.error_with_status(code, message, if server { 500 } else { 400 })
    }

    /// AWS returns this error with this HTTP status and does nothing.
    pub fn error_with_status(mut self, code: &str, message: &str, status: u16) -> Self {
        self.effect = Effect::Error(ServiceError { code: code.to_owned(), message: message.to_owned(), status });
        self
    }

    /// AWS refuses every other entry of a batch, beginning with the first, with this error and
    /// `SenderFault` false. It carries out the rest.
    pub fn entries_refused(self, code: &str, message: &str) -> Self {
        self.refusing(Entries::EveryOther, code, message)
    }

    /// AWS refuses the entry of a batch at `index` with this error, and carries out the rest.
    pub fn entry_refused(self, index: usize, code: &str, message: &str) -> Self {
        self.refusing(Entries::At(index), code, message)
    }

    fn refusing(mut self, entries: Entries, code: &str, message: &str) -> Self {
        let refusal = ServiceError { code: code.to_owned(), message: message.to_owned(), status: 200 };
        self.effect = Effect::EntriesRefused(entries, refusal);
        self
    }

    /// The connection breaks before AWS receives the call.
    pub fn dropped(mut self) -> Self {
        self.effect = Effect::Dropped;
        self
    }

    /// AWS carries the call out, but its answer is lost.
    pub fn answer_lost(mut self) -> Self {
        self.effect = Effect::AnswerLost;
        self
    }

    /// AWS carries the call out, but its answer is not JSON.
    pub fn answer_garbled(mut self) -> Self {
        self.effect = Effect::AnswerGarbled;
        self
    }

    /// AWS carries the call out, but only the first half of its answer arrives, as a complete body.
    pub fn answer_truncated(mut self) -> Self {
        self.effect = Effect::AnswerTruncated;
        self
    }

    /// AWS carries the call out, but `body` arrives as its answer.
    pub fn answer_replaced(mut self, body: &str) -> Self {
        self.effect = Effect::AnswerReplaced(body.to_owned());
        self
    }

    /// A proxy answers with `body` and status 200. AWS never receives the call.
    pub fn intercepted(mut self, body: &str) -> Self {
        self.effect = Effect::Intercepted(body.to_owned());
        self
    }

    /// The call reaches AWS even if the caller gives up meanwhile, like a request that has already
    /// been sent.
    pub fn unstoppable(mut self) -> Self {
        self.unstoppable = true;
        self
    }

    /// Delays the call on its way to AWS.
    pub fn delay(mut self, time: Duration) -> Self {
        self.before = time;
        self
    }

    /// Delays the answer, after AWS has carried the call out.
    pub fn delay_answer(mut self, time: Duration) -> Self {
        self.after = time;
        self
    }
}
