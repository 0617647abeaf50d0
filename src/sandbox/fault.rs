//! Faults: what goes wrong on the way to AWS, in it, and on the way back.

use std::ops::{Bound, RangeBounds};
use std::time::Duration;

use super::service_error::ServiceError;

/// Which calls of an operation are meant, counted from 1.
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

    /// Counts a call, and says whether it is one of those meant.
    pub(crate) fn counts(&mut self, operation: &str, stream: Option<&str>) -> bool {
        if self.operation != operation || self.stream.as_deref().is_some_and(|name| stream != Some(name)) {
            return false;
        }
        self.seen += 1;
        (self.first..=self.last).contains(&self.seen)
    }

    /// Whether one of the calls meant has come.
    pub(crate) fn has_met(&self) -> bool {
        self.seen >= self.first
    }

    pub(crate) fn stream(&self) -> Option<&str> {
        self.stream.as_deref()
    }
}

/// What happens to a call that a fault meets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing but the delays.
    #[default]
    None,
    /// AWS answers with an error, and does nothing.
    Error(ServiceError),
    /// AWS refuses every other entry of a batch, and does the others.
    EntriesRefused(ServiceError),
    /// The connection breaks before AWS sees the call.
    Dropped,
    /// AWS does what was asked, but its answer is lost.
    AnswerLost,
    /// AWS does what was asked, but its answer cannot be read.
    AnswerGarbled,
    /// AWS does what was asked, but only the first half of its answer arrives, as if that were all.
    AnswerTruncated,
    /// AWS does what was asked, but something else arrives as its answer.
    AnswerReplaced(String),
    /// Something in between answers in AWS's place, with status 200; AWS never sees the call.
    Intercepted(String),
}

/// A fault on the calls of one operation: always, or on the n-th to m-th of them.
///
/// ```
/// # use std::time::Duration;
/// # use kinesis_encryption_enforcer::sandbox::Fault;
/// let throttled_twice = Fault::on("StartStreamEncryption").stream("orders").nth(1..=2).error("KMSThrottlingException", "slow down");
/// let slow = Fault::on("DescribeStreamSummary").delay(Duration::from_secs(3));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a fault does nothing until it is given to Account::fault"]
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

    /// Only on calls that name the stream `name`, or its ARN.
    pub fn stream(mut self, name: &str) -> Self {
        self.calls.on_stream(name);
        self
    }

    /// Only on the calls in this range, counted from 1: `nth(1..=2)`, `nth(3..)`.
    pub fn nth(mut self, calls: impl RangeBounds<u64>) -> Self {
        self.calls.nth(&calls);
        self
    }

    /// AWS answers with this error and does nothing. The HTTP status follows from the code: 400, or
    /// 500 for AWS's own failures.
    pub fn error(self, code: &str, message: &str) -> Self {
        let server = code.starts_with("Internal") || code.contains("Unavailable") || code == "KMSInternalException";
        self.error_with_status(code, message, if server { 500 } else { 400 })
    }

    /// AWS answers with this error and this HTTP status, and does nothing.
    pub fn error_with_status(mut self, code: &str, message: &str, status: u16) -> Self {
        self.effect = Effect::Error(ServiceError { code: code.to_owned(), message: message.to_owned(), status });
        self
    }

    /// Every other entry of a batch, beginning with the first, is refused with this error, for
    /// which the service takes the blame; the others are done.
    pub fn entries_refused(mut self, code: &str, message: &str) -> Self {
        self.effect =
            Effect::EntriesRefused(ServiceError { code: code.to_owned(), message: message.to_owned(), status: 200 });
        self
    }

    /// The connection breaks before AWS sees the call.
    pub fn dropped(mut self) -> Self {
        self.effect = Effect::Dropped;
        self
    }

    /// AWS does what was asked, but its answer is lost.
    pub fn answer_lost(mut self) -> Self {
        self.effect = Effect::AnswerLost;
        self
    }

    /// AWS does what was asked, but its answer is not JSON.
    pub fn answer_garbled(mut self) -> Self {
        self.effect = Effect::AnswerGarbled;
        self
    }

    /// AWS does what was asked, but only the first half of its answer arrives, as if that were all.
    pub fn answer_truncated(mut self) -> Self {
        self.effect = Effect::AnswerTruncated;
        self
    }

    /// AWS does what was asked, but `body` arrives as its answer.
    pub fn answer_replaced(mut self, body: &str) -> Self {
        self.effect = Effect::AnswerReplaced(body.to_owned());
        self
    }

    /// Something in between, such as a proxy, answers with `body` and status 200. AWS never sees
    /// the call.
    pub fn intercepted(mut self, body: &str) -> Self {
        self.effect = Effect::Intercepted(body.to_owned());
        self
    }

    /// The call arrives also if the caller has given up by then: it is on its way, and nobody can
    /// call it back.
    pub fn unstoppable(mut self) -> Self {
        self.unstoppable = true;
        self
    }

    /// The call takes this much longer to arrive.
    pub fn delay(mut self, time: Duration) -> Self {
        self.before = time;
        self
    }

    /// The answer takes this much longer to come back, after AWS did what was asked.
    pub fn delay_answer(mut self, time: Duration) -> Self {
        self.after = time;
        self
    }
}
