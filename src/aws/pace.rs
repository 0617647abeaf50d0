//! Pacing: how many calls a second the function makes, so that the account's own applications keep theirs.
//!
//! The limits are the account's, per Region, and shared with everybody in it. All invocations that work side by side stay together under half of each.
//! Every invocation paces itself: [`INVOCATIONS`] of them times the [rate](Api::rate) of one is that half.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// `MaximumConcurrency` of the work queue's event source mapping: how many invocations work on it side by side. Two is the least that SQS takes.
///
/// More would not be faster: ten streams wait in each, and the account's limits, not our processors, are what there is little of.
pub const WORKERS: u32 = 2;

/// By how many invocations the budget is divided: the workers, and one that EventBridge, the schedule or a person woke.
pub const INVOCATIONS: u32 = WORKERS + 1;

/// The calls that the account's limits make scarce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `kinesis:DescribeStreamSummary`.
    DescribeStreamSummary,
    /// `kinesis:ListStreams`.
    ListStreams,
    /// `kinesis:ListTagsForStream`.
    ListTagsForStream,
}

impl Api {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::DescribeStreamSummary, Self::ListStreams, Self::ListTagsForStream];

    /// Calls a second that AWS allows the account in a Region (Kinesis API Reference, operation by operation).
    #[must_use]
    pub fn limit(self) -> u32 {
        match self {
            Self::DescribeStreamSummary => 20,
            Self::ListStreams | Self::ListTagsForStream => 5,
        }
    }

    /// Calls a second of one invocation.
    #[must_use]
    pub fn rate(self) -> f64 {
        f64::from(self.limit()) / 2.0 / f64::from(INVOCATIONS)
    }
}

/// How much slower than its rate a throttled pace becomes at most.
const SLOWEST: f64 = 8.0;

/// The pace of one API within one invocation: calls are let through one by one, a fixed interval apart. There is no allowance to save up, so that a
/// new worker cannot burst.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the next call may be made.
    next: Option<Instant>,
    /// By what the interval is stretched: it doubles when AWS throttles, and shrinks again with every call that goes through.
    stretch: f64,
}

impl Pace {
    /// The pace that `api` is called at.
    #[must_use]
    pub fn of(api: Api) -> Self {
        Self { interval: Duration::from_secs_f64(api.rate().recip()), state: Mutex::new(State { next: None, stretch: 1.0 }) }
    }

    /// Waits for the next turn, which was `false` where it lies after `until`: then no turn is taken.
    pub async fn turn(&self, now: Instant, until: Instant) -> bool {
        let turn = {
            let mut state = self.state.lock().await;
            let turn = state.next.map_or(now, |next| next.max(now));
            if turn > until {
                return false;
            }
            state.next = Some(turn + self.interval.mul_f64(state.stretch));
            turn
        };
        sleep_until(turn).await;
        true
    }

    /// AWS throttled a call: others are as busy as we are, and we give way.
    pub async fn slow_down(&self) {
        let mut state = self.state.lock().await;
        state.stretch = (state.stretch * 2.0).min(SLOWEST);
    }

    /// A call went through.
    pub async fn speed_up(&self) {
        let mut state = self.state.lock().await;
        state.stretch = (state.stretch * 0.9).max(1.0);
    }
}
