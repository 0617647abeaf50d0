//! Pacing: how many calls a second the function makes, so that the account's own applications keep theirs.
//!
//! The limits are the account's, per Region, and shared with everybody in it. All invocations that work side by side stay together under half of each:
//! every one paces itself, and [`INVOCATIONS`] times the [rate](Api::rate) of one is that half.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

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

    /// Calls a second of each of `invocations` that work side by side.
    #[must_use]
    pub fn rate(self, invocations: u32) -> f64 {
        f64::from(self.limit()) / 2.0 / f64::from(invocations)
    }
}

/// How much slower than its rate a throttled pace becomes at most.
const SLOWEST: f64 = 8.0;

/// The paces of one process: Lambda gives it one invocation at a time.
#[derive(Debug)]
pub struct Paces([(Api, Pace); 3]);

impl Paces {
    /// Paces for a function of which `invocations` may work side by side.
    #[must_use]
    pub fn for_invocations(invocations: u32) -> Self {
        Self(Api::ALL.map(|api| (api, Pace::new(api.rate(invocations)))))
    }

    pub(super) fn of(&self, wanted: Api) -> Option<&Pace> {
        self.0.iter().find_map(|(api, pace)| (*api == wanted).then_some(pace))
    }
}

/// The pace of one API: calls are let through one by one, an interval apart. There is no allowance to save up, so that a new worker cannot burst.
#[derive(Debug)]
pub(super) struct Pace {
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
    fn new(rate: f64) -> Self {
        Self { interval: Duration::from_secs_f64(rate.recip()), state: Mutex::new(State { next: None, stretch: 1.0 }) }
    }

    /// When the next call may be made; `None` where that is not before `until`, and then no turn is taken.
    pub(super) fn turn(&self, now: Instant, until: Instant) -> Option<Instant> {
        let mut state = self.state();
        let turn = state.next.map_or(now, |next| next.max(now));
        if turn >= until {
            return None;
        }
        state.next = Some(turn + self.interval.mul_f64(state.stretch));
        Some(turn)
    }

    /// AWS throttled a call: others are as busy as we are, and we give way.
    pub(super) fn slow_down(&self) {
        let mut state = self.state();
        state.stretch = (state.stretch * 2.0).min(SLOWEST);
    }

    /// A call went through.
    pub(super) fn speed_up(&self) {
        let mut state = self.state();
        state.stretch = (state.stretch * 0.9).max(1.0);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        crate::clock::Clock::system().instant()
    }

    #[test]
    fn invocations_side_by_side_stay_under_half_of_every_limit() {
        for api in Api::ALL {
            let together = api.rate(INVOCATIONS) * f64::from(INVOCATIONS);
            assert!(together <= f64::from(api.limit()) / 2.0 + 1e-9, "{api:?}: {together}");
        }
    }

    #[test]
    fn a_new_pace_does_not_burst_and_an_idle_one_saves_nothing_up() {
        let (pace, now) = (Pace::new(10.0), start());
        let far = now + Duration::from_mins(1);
        let turns: Vec<_> = (0..3).filter_map(|_| pace.turn(now, far)).map(|turn| (turn - now).as_millis()).collect();
        assert_eq!(turns, [0, 100, 200]);
        let later = now + Duration::from_secs(30);
        let turns: Vec<_> = (0..2).filter_map(|_| pace.turn(later, far)).map(|turn| (turn - later).as_millis()).collect();
        assert_eq!(turns, [0, 100]);
    }

    #[test]
    fn throttling_stretches_the_pace_up_to_a_limit_and_success_brings_it_back() {
        let (pace, now) = (Pace::new(10.0), start());
        let gap = || {
            let far = now + Duration::from_hours(1);
            let first = pace.turn(now, far).expect("a turn");
            (pace.turn(now, far).expect("a turn") - first).as_millis()
        };
        pace.slow_down();
        assert_eq!(gap(), 200);
        (0..9).for_each(|_| pace.slow_down());
        assert_eq!(gap(), 800);
        (0..99).for_each(|_| pace.speed_up());
        assert_eq!(gap(), 100);
    }

    #[test]
    fn a_turn_that_would_come_too_late_is_not_taken() {
        let (pace, now) = (Pace::new(10.0), start());
        let until = now + Duration::from_millis(100);
        assert!(pace.turn(now, until).is_some());
        assert_eq!(pace.turn(now, until), None);
        assert_eq!(pace.turn(now, until + Duration::from_millis(1)), Some(until));
    }
}
