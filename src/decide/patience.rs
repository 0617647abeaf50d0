//! How long a stream that AWS is still changing is waited for in place, and how it waits in the
//! work queue.
//!
//! An invocation that waits holds a worker of the work queue, or an execution of the function, and
//! its whole batch. Most changes take seconds, and a wait in place is cheaper than another message.
//! A resharding takes hours: such a stream waits in the queue, and nobody waits for it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::delay::{LONGEST_SQS_DELAY, doubled};
use crate::domain::wait::WaitState;

/// What led to the request, where its streams can wait in the work queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueUse {
    /// The function was invoked directly: by an event or by a person.
    Direct,
    /// A message of the work queue.
    Message,
    /// A message that a scheduled sweep sent. The next sweep looks at the stream in any case.
    ScheduledSweep,
}

/// The wait in place after a start of ours: encryption takes seconds as a rule.
const AFTER_START: Duration = Duration::from_mins(1);

/// The wait in place of a direct invocation: a new stream is CREATING for about so long.
const DIRECT: Duration = Duration::from_secs(30);

/// The wait in place of a message: others of its batch are answered with it.
const MESSAGE: Duration = Duration::from_secs(3);

/// The first delay in the work queue; each further one is twice as long, up to what SQS allows.
const FIRST_DELAY: Duration = Duration::from_secs(30);

/// The first delay of a stream that a sweep found changing. It is longer than a sweep takes, so
/// that changing streams do not slow it down.
const FIRST_DELAY_IN_SWEEP: Duration = Duration::from_mins(5);

/// The longest time that a stream waits in the queue; then it is dead-lettered. A resharding of the
/// largest streams may take a day.
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(48);

/// The longest time that a stream waits that a scheduled sweep found changing; then it is left to
/// the next sweep. Otherwise the messages of every sweep would add up.
const LONGEST_WAIT_IN_SWEEP: TimeDelta = TimeDelta::hours(1);

/// How a stream goes on waiting that was waited for in place long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LongWait {
    /// In the work queue, for so long.
    InQueue(Duration),
    /// Not at all: the next scheduled sweep looks at it.
    LeftToSweep,
    /// Not at all: it has waited too long.
    TooLong,
}

/// How long the stream is waited for in place: from when the work on it began, or from our start.
pub(super) fn in_place(queue: QueueUse, started: bool) -> Duration {
    match queue {
        _ if started => AFTER_START,
        QueueUse::Direct => DIRECT,
        QueueUse::Message => MESSAGE,
        QueueUse::ScheduledSweep => Duration::ZERO,
    }
}

/// What follows after that.
pub(super) fn afterwards(queue: QueueUse, started: bool, wait: WaitState, now: DateTime<Utc>) -> LongWait {
    let of_sweep = queue == QueueUse::ScheduledSweep && !started;
    let age = now - wait.again(now).since.unwrap_or(now);
    if of_sweep && age >= LONGEST_WAIT_IN_SWEEP {
        LongWait::LeftToSweep
    } else if age >= LONGEST_WAIT {
        LongWait::TooLong
    } else {
        let first = if of_sweep { FIRST_DELAY_IN_SWEEP } else { FIRST_DELAY };
        LongWait::InQueue(doubled(first, wait.times.saturating_add(1), LONGEST_SQS_DELAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-24T12:00:00Z".parse().expect("a time")
    }

    fn minutes(minutes: u64) -> LongWait {
        LongWait::InQueue(Duration::from_mins(minutes))
    }

    fn after(queue: QueueUse, started: bool, minutes: i64, times: u32) -> LongWait {
        let since = (times > 0).then(|| now() - TimeDelta::minutes(minutes));
        afterwards(queue, started, WaitState { since, times }, now())
    }

    #[test]
    fn delays_grow_up_to_what_sqs_allows() {
        for (times, delay) in [(0, 30), (1, 60), (2, 120), (3, 240), (4, 480), (5, 900), (u32::MAX, 900)] {
            let expected = LongWait::InQueue(Duration::from_secs(delay));
            assert_eq!(after(QueueUse::Message, false, 5, times), expected, "{times}");
            assert_eq!(after(QueueUse::Direct, true, 5, times), expected, "{times}");
        }
        for (times, delay) in [(0, 5), (1, 10), (2, 15), (9, 15)] {
            assert_eq!(after(QueueUse::ScheduledSweep, false, 5, times), minutes(delay), "{times}");
        }
    }

    #[test]
    fn a_scheduled_sweep_leaves_a_stream_to_the_next_one_after_an_hour_unless_it_started_it() {
        assert_eq!(after(QueueUse::ScheduledSweep, false, 59, 4), minutes(15));
        assert_eq!(after(QueueUse::ScheduledSweep, false, 60, 4), LongWait::LeftToSweep);
        assert_eq!(after(QueueUse::ScheduledSweep, true, 60, 4), minutes(8));
    }

    #[test]
    fn what_an_event_asked_for_waits_two_days() {
        assert_eq!(after(QueueUse::Message, false, 48 * 60 - 1, 99), minutes(15));
        assert_eq!(after(QueueUse::Message, false, 48 * 60, 99), LongWait::TooLong);
    }

    #[test]
    fn a_beginning_in_the_future_does_not_make_the_wait_longer() {
        let forged = WaitState { since: Some(now() + TimeDelta::days(900)), times: 3 };
        assert_eq!(forged.again(now()), WaitState { since: Some(now()), times: 4 });
        assert_eq!(afterwards(QueueUse::Message, false, forged, now()), minutes(4));
    }
}
