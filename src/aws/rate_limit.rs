//! Pacing: how many calls a second the function makes, so that the account's own applications keep
//! theirs.
//!
//! The limits are the account's, per Region, and shared with everybody in it. All invocations that
//! work side by side stay together under half of each: every one paces itself, by its [`RateShare`]
//! of that half.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// `MaximumConcurrency` of the work queue's event source mapping: how many invocations work on it
/// side by side. Two is the least that SQS takes.
///
/// More would not be faster: ten streams wait in each, and the account's limits, not our
/// processors, are what there is little of.
pub const WORKERS: u32 = 2;

/// What an invocation has of the budget, which is half of each limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateShare {
    /// All of it: there is no work queue, so that nothing fans out.
    Whole,
    /// That of each of the [`WORKERS`].
    Worker,
    /// That of an invocation by EventBridge, the schedule or a person, which looks at one stream as
    /// a rule, or only lists them.
    Direct,
}

impl RateShare {
    fn of_budget(self) -> f64 {
        match self {
            Self::Whole => 1.0,
            Self::Worker => 0.4,
            Self::Direct => 0.2,
        }
    }
}

/// The calls that the account's limits make scarce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `kinesis:DescribeStreamSummary`.
    DescribeStreamSummary,
    /// `kinesis:ListStreams`.
    ListStreams,
    /// `kinesis:ListTagsForStream`.
    ListTagsForStream,
    /// `kinesis:GetResourcePolicy`, whose limit is not documented: that of its neighbours is
    /// assumed.
    GetResourcePolicy,
}

impl Api {
    /// Every one of them.
    pub const ALL: [Self; 4] =
        [Self::DescribeStreamSummary, Self::ListStreams, Self::ListTagsForStream, Self::GetResourcePolicy];

    /// Calls a second that AWS allows the account in a Region (Kinesis API Reference, operation by
    /// operation).
    #[must_use]
    pub fn limit(self) -> u32 {
        match self {
            Self::DescribeStreamSummary => 20,
            Self::ListStreams | Self::ListTagsForStream | Self::GetResourcePolicy => 5,
        }
    }

    /// Calls a second of an invocation with this share.
    #[must_use]
    pub fn rate(self, share: RateShare) -> f64 {
        f64::from(self.limit()) / 2.0 * share.of_budget()
    }
}

/// How much slower than its rate a throttled pace becomes at most.
const SLOWEST: f64 = 8.0;

/// The paces of one process: Lambda gives it one invocation at a time.
#[derive(Debug)]
pub struct RateLimiters {
    describe: RateLimiter,
    list: RateLimiter,
    tags: RateLimiter,
    policy: RateLimiter,
}

impl RateLimiters {
    /// The paces of an invocation with this share.
    #[must_use]
    pub fn with(share: RateShare) -> Self {
        let limiter = |api: Api| RateLimiter::new(api.rate(share));
        Self {
            describe: limiter(Api::DescribeStreamSummary),
            list: limiter(Api::ListStreams),
            tags: limiter(Api::ListTagsForStream),
            policy: limiter(Api::GetResourcePolicy),
        }
    }

    /// From now on it is an invocation with this share.
    pub(super) fn set(&self, share: RateShare) {
        for api in Api::ALL {
            self.of(api).state().interval = interval(api.rate(share));
        }
    }

    pub(super) fn of(&self, api: Api) -> &RateLimiter {
        match api {
            Api::DescribeStreamSummary => &self.describe,
            Api::ListStreams => &self.list,
            Api::ListTagsForStream => &self.tags,
            Api::GetResourcePolicy => &self.policy,
        }
    }
}

/// The pace of one API: calls are let through one by one, an interval apart. There is no allowance
/// to save up, so that a new worker cannot burst.
#[derive(Debug)]
pub(super) struct RateLimiter(Mutex<State>);

#[derive(Debug)]
struct State {
    interval: Duration,
    /// When the next call may be made.
    next: Option<Instant>,
    /// By what the interval is stretched: it doubles when AWS throttles, and shrinks again with
    /// every call that goes through.
    stretch: f64,
}

impl RateLimiter {
    fn new(rate: f64) -> Self {
        Self(Mutex::new(State { interval: interval(rate), next: None, stretch: 1.0 }))
    }

    /// When the next call may be made; `None` where that is not before `deadline`, and then no turn
    /// is taken.
    pub(super) fn reserve(&self, now: Instant, deadline: Instant) -> Option<Instant> {
        let mut state = self.state();
        let reserve = state.next.map_or(now, |next| next.max(now));
        if reserve >= deadline {
            return None;
        }
        state.next = Some(reserve + state.interval.mul_f64(state.stretch));
        Some(reserve)
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn interval(rate: f64) -> Duration {
    Duration::from_secs_f64(rate.recip())
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
            let together = api.rate(RateShare::Worker) * f64::from(WORKERS) + api.rate(RateShare::Direct);
            assert!(api.rate(RateShare::Whole) <= f64::from(api.limit()) / 2.0);
            assert!(together <= f64::from(api.limit()) / 2.0 + 1e-9, "{api:?}: {together}");
        }
    }

    #[test]
    fn a_new_pace_does_not_burst_and_an_idle_one_saves_nothing_up() {
        let (limiter, now) = (RateLimiter::new(10.0), start());
        let far = now + Duration::from_mins(1);
        let turns: Vec<_> =
            (0..3).filter_map(|_| limiter.reserve(now, far)).map(|reserve| (reserve - now).as_millis()).collect();
        assert_eq!(turns, [0, 100, 200]);
        let later = now + Duration::from_secs(30);
        let turns: Vec<_> =
            (0..2).filter_map(|_| limiter.reserve(later, far)).map(|reserve| (reserve - later).as_millis()).collect();
        assert_eq!(turns, [0, 100]);
    }

    #[test]
    fn throttling_stretches_the_pace_up_to_a_limit_and_success_brings_it_back() {
        let (limiter, now) = (RateLimiter::new(10.0), start());
        let gap = || {
            let far = now + Duration::from_hours(1);
            let first = limiter.reserve(now, far).expect("a turn");
            (limiter.reserve(now, far).expect("a turn") - first).as_millis()
        };
        limiter.slow_down();
        assert_eq!(gap(), 200);
        (0..9).for_each(|_| limiter.slow_down());
        assert_eq!(gap(), 800);
        (0..99).for_each(|_| limiter.speed_up());
        assert_eq!(gap(), 100);
    }

    #[test]
    fn the_share_can_change_from_one_invocation_to_the_next() {
        let (limiters, now) = (RateLimiters::with(RateShare::Worker), start());
        let far = now + Duration::from_mins(1);
        let gap = || {
            let limiter = limiters.of(Api::DescribeStreamSummary);
            let first = limiter.reserve(now, far).expect("a turn");
            (limiter.reserve(now, far).expect("a turn") - first).as_millis()
        };
        assert_eq!(gap(), 250);
        limiters.set(RateShare::Direct);
        assert_eq!(gap(), 500);
    }

    #[test]
    fn a_turn_that_would_come_too_late_is_not_taken() {
        let (limiter, now) = (RateLimiter::new(10.0), start());
        let deadline = now + Duration::from_millis(100);
        assert!(limiter.reserve(now, deadline).is_some());
        assert_eq!(limiter.reserve(now, deadline), None);
        assert_eq!(limiter.reserve(now, deadline + Duration::from_millis(1)), Some(deadline));
    }
}
