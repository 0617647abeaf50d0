//! The one place where calls are retried: until the deadline, with seeded jitter, and logged.

use std::fmt::Display;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::error::{CallError, Fate};
use super::member_accounts::RoleSession;
use super::rate_limit::RateLimiter;
use crate::clock::Clock;
use crate::domain::delay::doubled;
use crate::domain::failure::{Kind, Step};

/// How often a reading call is tried. With the delays below this takes about 45 seconds; a longer
/// outage is left to Lambda's own retries.
const ATTEMPTS: u32 = 8;

/// The first delay, which doubles …
const FIRST_DELAY: Duration = Duration::from_millis(250);

/// … up to this.
const LONGEST_DELAY: Duration = Duration::from_secs(16);

/// Makes calls, retries what may be retried, and owns the jitter.
#[derive(Debug)]
pub struct Calls {
    clock: Clock,
    // Seeded, so that a test that waits is the same every time.
    random: Mutex<fastrand::Rng>,
    /// The session of the member account's role whose credentials these calls are signed with.
    session: Option<RoleSession>,
}

impl Calls {
    /// Calls that read `clock`, which also seeds the jitter.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let seed = clock.utc().timestamp_nanos_opt().unwrap_or_default().unsigned_abs();
        Self { clock, random: Mutex::new(fastrand::Rng::with_seed(seed)), session: None }
    }

    /// Calls that are signed with the credentials of `session`, which is renewed if AWS refuses it.
    pub(super) fn signed_by(&self, session: RoleSession) -> Self {
        let random = self.random.lock().unwrap_or_else(PoisonError::into_inner).fork();
        Self { clock: self.clock.clone(), random: Mutex::new(random), session: Some(session) }
    }

    /// Makes a call that changes nothing, and retries it until `deadline`.
    ///
    /// Throttling, failures inside AWS and lost answers are retried: reading twice does no harm.
    /// Each attempt is [signed again](Self::sign_again) where that helps. Refused credentials are not
    /// retried otherwise: in a terminal the command is to fail at once, and Lambda retries the
    /// event.
    pub(super) async fn read<T, F>(
        &self,
        step: Step,
        subject: &(dyn Display + Sync),
        deadline: Instant,
        call: impl Fn() -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let mut attempt = 1;
        loop {
            let error = match self.sign_again(step, subject, deadline, &call).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let helps = error.fate == Fate::Unknown || error.failure.kind() == Kind::Throttled;
            let delay = self.backoff(attempt);
            if !helps || attempt == ATTEMPTS || self.is_late(delay, deadline) {
                return Err(error);
            }
            tracing::warn!(
                step = step.as_str(),
                code = error.failure.code,
                attempt,
                delay_ms = millis(delay),
                "call to AWS failed, retrying"
            );
            attempt += 1;
            sleep(delay).await;
        }
    }

    /// Makes a call; if AWS refuses its signature, makes it once more with a new one where that may
    /// help: with the time read again, or with a new session of the member account's role.
    ///
    /// Only a refusal that AWS spelled out is followed by a second call, so at most one of them
    /// takes effect.
    pub(super) async fn sign_again<T, F>(
        &self,
        step: Step,
        subject: &(dyn Display + Sync),
        deadline: Instant,
        call: impl Fn() -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let used = self.session.as_ref().map(RoleSession::generation);
        let error = match self.once(step, subject, deadline, call()).await {
            Err(error) if error.fate == Fate::Refused => error,
            answered => return answered,
        };
        let helps = match (error.failure.kind(), &self.session, used) {
            (Kind::Clock, ..) => {
                self.clock.correct();
                true
            }
            (_, Some(session), Some(used)) => session.renew_after(&error.failure, used, deadline).await?,
            _ => false,
        };
        if !helps {
            return Err(error);
        }
        tracing::warn!(
            step = step.as_str(),
            code = error.failure.code,
            "signature was refused, signing the call again"
        );
        self.once(step, subject, deadline, call()).await
    }

    /// Makes a call as soon as `limiter` allows it; fails at once if that is not before `deadline`.
    pub(super) async fn paced<T>(
        &self,
        limiter: &RateLimiter,
        step: Step,
        subject: &(dyn Display + Sync),
        deadline: Instant,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let reserve =
            limiter.reserve(self.clock.instant(), deadline).ok_or_else(|| CallError::no_turn(step, subject))?;
        sleep_until(reserve).await;
        let result = call.await;
        match &result {
            Err(error) if error.failure.kind() == Kind::Throttled => limiter.slow_down(),
            _ => limiter.speed_up(),
        }
        result
    }

    /// Makes a call once. Without an answer before `deadline`, whether it took effect is unknown.
    pub(super) async fn once<T>(
        &self,
        step: Step,
        subject: &(dyn Display + Sync),
        deadline: Instant,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        timeout_at(deadline, call).await.unwrap_or_else(|_| Err(CallError::timed_out(step, subject)))
    }

    /// The time of day.
    pub(super) fn utc(&self) -> DateTime<Utc> {
        self.clock.utc()
    }

    /// `patience` from now, or `deadline` if that is earlier.
    pub(super) fn within(&self, patience: Duration, deadline: Instant) -> Instant {
        deadline.min(self.clock.instant() + patience)
    }

    /// Whether `delay` from now is `deadline` or later.
    pub(super) fn is_late(&self, delay: Duration, deadline: Instant) -> bool {
        self.clock.instant() + delay >= deadline
    }

    /// The delay after the `attempt`-th failure: it doubles every time, and half of it is random.
    #[must_use]
    pub fn backoff(&self, attempt: u32) -> Duration {
        doubled(FIRST_DELAY, attempt, LONGEST_DELAY).mul_f64(0.5 + 0.5 * self.fraction())
    }

    /// `duration`, plus or minus up to ten percent.
    #[must_use]
    pub fn jittered(&self, duration: Duration) -> Duration {
        duration.mul_f64(0.9 + 0.2 * self.fraction())
    }

    fn fraction(&self) -> f64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).f64()
    }
}

/// Whole milliseconds, as logs and answers give them.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
