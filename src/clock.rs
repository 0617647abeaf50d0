//! The one clock: wall time for signatures, reports and deadlines. It is derived from tokio's
//! [`Instant`], so that tests can pause it.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;
use chrono::{DateTime, Utc};
use tokio::time::Instant;

/// Wall time, as a starting time plus the time that tokio's [`Instant`] has counted since.
///
/// A clone is another handle of the same clock. The clock is also the AWS SDK's [`TimeSource`], so
/// that requests are signed with the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    anchor: Arc<RwLock<Anchor>>,
    /// Whether the machine's time is this clock's time, and not one that a test has set.
    is_machines: bool,
}

#[derive(Clone, Copy, Debug)]
struct Anchor {
    wall: SystemTime,
    instant: Instant,
}

impl Clock {
    /// A clock with the machine's time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where wall time enters the program")]
    pub fn system() -> Self {
        Self { is_machines: true, ..Self::starting_at(SystemTime::now()) }
    }

    /// A clock that shows `wall` now. With tokio's time paused, it advances only with tokio's time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where monotonic time is read")]
    pub fn starting_at(wall: SystemTime) -> Self {
        Self { anchor: Arc::new(RwLock::new(Anchor { wall, instant: Instant::now() })), is_machines: false }
    }

    /// Reads the machine's time again.
    ///
    /// Lambda [freezes an environment][lifecycle] between invocations, and the monotonic clock may
    /// stand still meanwhile. Without this, requests of the next invocation could be signed with a
    /// time that AWS [rejects][skew]: one that is more than five minutes off.
    ///
    /// [lifecycle]: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
    /// [skew]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
    #[expect(clippy::disallowed_methods, reason = "the one place where wall time enters the program")]
    pub fn resync(&self) {
        let anchor = Anchor { wall: SystemTime::now(), instant: Instant::now() };
        *self.anchor.write().unwrap_or_else(PoisonError::into_inner) = anchor;
    }

    /// Reads the machine's time again because AWS rejected a signature for its time: the
    /// environment may have been frozen, or its time set, within an invocation. A clock that
    /// started at another time keeps it.
    pub fn correct(&self) {
        if self.is_machines {
            self.resync();
        }
    }

    /// The monotonic time now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where monotonic time is read")]
    pub fn instant(&self) -> Instant {
        Instant::now()
    }

    /// The wall time now.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        let Anchor { wall, instant } = self.anchor();
        wall + self.instant().saturating_duration_since(instant)
    }

    /// The wall time now, in UTC.
    #[must_use]
    pub fn utc(&self) -> DateTime<Utc> {
        self.wall().into()
    }

    /// The time from now until `wall`; zero if `wall` has passed.
    #[must_use]
    pub fn until(&self, wall: SystemTime) -> Duration {
        wall.duration_since(self.wall()).unwrap_or_default()
    }

    fn anchor(&self) -> Anchor {
        *self.anchor.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        self.wall()
    }
}
