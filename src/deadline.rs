//! The deadlines of an invocation: for work, for reading calls, and for dead letters.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::clock::Clock;
use crate::settings::RESERVE;

/// The timeout that is assumed if the invocation's deadline has passed when it starts, as it has
/// under `cargo lambda watch`.
pub const ASSUMED_TIMEOUT: Duration = Duration::from_mins(1);

/// The deadlines of an invocation.
///
/// Waiting ends at [`work_until`](Self::work_until). One last description may take half of the
/// [`RESERVE`] that follows; dead letters and the answer have the other half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    work: Instant,
    look: Instant,
    write: Instant,
}

impl Deadline {
    /// The deadlines of an invocation that Lambda ends at wall time `end`.
    #[must_use]
    pub fn at(end: SystemTime, clock: &Clock) -> Self {
        let left = match clock.until(end) {
            Duration::ZERO => ASSUMED_TIMEOUT,
            left => left,
        };
        let reserve = RESERVE.min(left / 4);
        let end = clock.instant() + left;
        // A tenth of the reserve is left for returning the answer to Lambda.
        Self { work: end - reserve, look: end - reserve / 2, write: end - reserve / 10 }
    }

    /// The deadline for waiting: after it nothing is started.
    #[must_use]
    pub fn work_until(&self) -> Instant {
        self.work
    }

    /// The deadline for the answer of a call, a start included.
    #[must_use]
    pub fn look_until(&self) -> Instant {
        self.look
    }

    /// The deadline for dead letters.
    #[must_use]
    pub fn write_until(&self) -> Instant {
        self.write
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(from: Instant, to: Instant) -> u128 {
        to.duration_since(from).as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn the_reserve_is_kept() {
        let clock = Clock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000));
        let deadline = Deadline::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_300), &clock);
        let now = clock.instant();
        assert_eq!(
            (millis(now, deadline.work), millis(now, deadline.look), millis(now, deadline.write)),
            (295_000, 297_500, 299_500)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_short_timeout_a_quarter_is_kept() {
        let clock = Clock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000));
        let deadline = Deadline::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_004), &clock);
        assert_eq!(millis(clock.instant(), deadline.work), 3_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_in_the_past_is_unknown() {
        let clock = Clock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000));
        let deadline = Deadline::at(SystemTime::UNIX_EPOCH, &clock);
        assert_eq!(millis(clock.instant(), deadline.work), 55_000);
    }
}
