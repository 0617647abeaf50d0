//! Limits the rate of the function's calls, so that other callers in the account are not throttled.
//!
//! AWS's [limits][limits] apply to an account and Region, and to everybody in it. The workers of the
//! queue and one direct invocation together stay under half of each limit: each limits itself to its
//! [`RateShare`] of that half.
//!
//! Nothing limits how many direct invocations run at once but the function's reserved concurrency:
//! twenty `CreateStream` events at the same time are twenty executions, which together make more
//! calls than half of the limit for some seconds. What AWS then throttles is retried, ever more
//! slowly.
//!
//! [limits]: https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// [`MaximumConcurrency`][ScalingConfig] of the work queue's event source mapping: how many
/// invocations work on the queue at the same time. Two is the minimum.
///
/// More would not be faster: each invocation waits for ten streams at a time, and the account's
/// limits, not the processors, are scarce.
///
/// [ScalingConfig]: https://docs.aws.amazon.com/lambda/latest/api/API_ScalingConfig.html
pub const WORKERS: u32 = 2;

/// An invocation's share of the budget, which is half of each limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateShare {
    /// All of it: without a work queue, one invocation does all the work.
    Whole,
    /// The share of each of the [`WORKERS`].
    Worker,
    /// The share of an invocation by `EventBridge`, the schedule or a person. As a rule it checks
    /// one stream, or only lists them.
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

    /// How many calls an invocation may make at once after a pause in which it made none. The next
    /// event of a warm process must not stand in line for a call that nobody else wants to make. A
    /// worker has no such need: a batch is many calls in any case.
    fn burst(self) -> u32 {
        match self {
            Self::Whole | Self::Direct => 4,
            Self::Worker => 1,
        }
    }
}

/// The calls whose rate is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `kinesis:DescribeStreamSummary`.
    DescribeStreamSummary,
    /// `kinesis:ListStreams`.
    ListStreams,
    /// `kinesis:ListTagsForStream`.
    ListTagsForStream,
    /// `kinesis:GetResourcePolicy`. Its limit is not documented: that of similar calls is assumed.
    GetResourcePolicy,
}

impl Api {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::DescribeStreamSummary, Self::ListStreams, Self::ListTagsForStream, Self::GetResourcePolicy];

    /// How many calls a second AWS allows per account and Region, by [DescribeStreamSummary],
    /// [ListStreams] and [ListTagsForStream].
    ///
    /// [DescribeStreamSummary]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStreamSummary.html
    /// [ListStreams]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListStreams.html
    /// [ListTagsForStream]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListTagsForStream.html
    #[must_use]
    pub fn limit(self) -> u32 {
        match self {
            Self::DescribeStreamSummary => 20,
            Self::ListStreams | Self::ListTagsForStream | Self::GetResourcePolicy => 5,
        }
    }

    /// How many calls a second an invocation with this share makes.
    #[must_use]
    pub fn rate(self, share: RateShare) -> f64 {
        f64::from(self.limit()) / 2.0 * share.of_budget()
    }
}

/// How many times slower than its rate a limiter becomes at most, when AWS throttles.
const SLOWEST: f64 = 8.0;

/// The limiters of one process, which handles one invocation at a time.
#[derive(Debug)]
pub struct RateLimiters {
    describe: RateLimiter,
    list: RateLimiter,
    tags: RateLimiter,
    policy: RateLimiter,
}

impl RateLimiters {
    /// The limiters of an invocation with this share.
    #[must_use]
    pub fn with(share: RateShare) -> Self {
        let limiter = |api: Api| RateLimiter::new(api.rate(share), share.burst());
        Self {
            describe: limiter(Api::DescribeStreamSummary),
            list: limiter(Api::ListStreams),
            tags: limiter(Api::ListTagsForStream),
            policy: limiter(Api::GetResourcePolicy),
        }
    }

    /// From now on, an invocation with this share is limited.
    pub(super) fn set(&self, share: RateShare) {
        for api in Api::ALL {
            let mut state = self.of(api).state();
            (state.interval, state.burst) = (interval(api.rate(share)), share.burst());
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

/// The limiter of one API: it spaces calls an interval apart, after a burst of a few. Time in which
/// no call was made is saved up for one burst, and for no more.
#[derive(Debug)]
pub(super) struct RateLimiter(Mutex<State>);

#[derive(Debug)]
struct State {
    interval: Duration,
    /// How many calls may be made at once after a pause.
    burst: u32,
    /// When the next call may be made, if no burst were allowed.
    next: Option<Instant>,
    /// The factor of the interval: it doubles when AWS throttles, and shrinks with every call that
    /// is not throttled.
    stretch: f64,
}

impl RateLimiter {
    fn new(rate: f64, burst: u32) -> Self {
        Self(Mutex::new(State { interval: interval(rate), burst, next: None, stretch: 1.0 }))
    }

    /// Reserves the time of the next call; `None`, and no reservation, if that is not before
    /// `deadline`.
    pub(super) fn reserve(&self, now: Instant, deadline: Instant) -> Option<Instant> {
        let mut state = self.state();
        let interval = state.interval.mul_f64(state.stretch);
        // While AWS throttles there is no burst.
        let ahead = if state.stretch > 1.0 { 0 } else { state.burst.saturating_sub(1) };
        let next = state.next.map_or(now, |next| next.max(now));
        let reserve = next.checked_sub(interval * ahead).map_or(now, |earliest| earliest.max(now));
        if reserve >= deadline {
            return None;
        }
        state.next = Some(next + interval);
        Some(reserve)
    }

    /// AWS throttled a call: other callers use the limit too.
    pub(super) fn slow_down(&self) {
        let mut state = self.state();
        state.stretch = (state.stretch * 2.0).min(SLOWEST);
    }

    /// A call was not throttled.
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
    fn a_burst_of_a_few_calls_is_saved_up_and_no_more() {
        let (limiter, now) = (RateLimiter::new(2.0, 4), start());
        let far = now + Duration::from_mins(1);
        let turns = |from: Instant, count| -> Vec<u128> {
            (0..count).filter_map(|_| limiter.reserve(from, far)).map(|turn| (turn - from).as_millis()).collect()
        };
        assert_eq!(turns(now, 6), [0, 0, 0, 0, 500, 1_000]);
        // Half a burst is back after a second, all of it after a long time, and never two.
        assert_eq!(turns(now + Duration::from_secs(2), 3), [0, 0, 500]);
        assert_eq!(turns(now + Duration::from_secs(30), 5), [0, 0, 0, 0, 500]);
        // What AWS throttles is not sent in bursts.
        limiter.slow_down();
        assert_eq!(turns(now + Duration::from_secs(50), 3), [0, 1_000, 2_000]);
    }

    #[test]
    fn the_pace_of_a_worker_does_not_burst_and_an_idle_one_saves_nothing_up() {
        let (limiter, now) = (RateLimiter::new(10.0, RateShare::Worker.burst()), start());
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
        let (limiter, now) = (RateLimiter::new(10.0, 1), start());
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
        assert_eq!([gap(), gap(), gap()], [0, 500, 500]);
    }

    #[test]
    fn a_turn_that_would_come_too_late_is_not_taken() {
        let (limiter, now) = (RateLimiter::new(10.0, 1), start());
        let deadline = now + Duration::from_millis(100);
        assert!(limiter.reserve(now, deadline).is_some());
        assert_eq!(limiter.reserve(now, deadline), None);
        assert_eq!(limiter.reserve(now, deadline + Duration::from_millis(1)), Some(deadline));
    }
}
