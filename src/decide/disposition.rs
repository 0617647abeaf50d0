//! Decides what becomes of an outcome: whether it is only answered, requeued, retried with its
//! delivery, or dead-lettered. Pure.
//!
//! The handler carries the decision out. If the work queue refuses the work item, the handler asks
//! again with `can_requeue: false`.

use std::time::Duration;

use crate::domain::delay::{LONGEST_SQS_DELAY, doubled};
use crate::domain::failure::{Class, Failure, Kind, code};
use crate::domain::outcome::{DeferReason, Outcome, Warning};

/// The first delay of work that is retried through the queue; each further delay is twice as long.
const FIRST_RETRY_DELAY: Duration = Duration::from_secs(30);

/// What becomes of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The answer, the log and the metrics report it; nothing else follows.
    Answer,
    /// The stream becomes a work item of its own.
    Requeue {
        /// How long SQS holds the work item back.
        delay: Duration,
        /// Whether the work item asks for verification only: the key was applied, or may have been.
        without_reapply: bool,
    },
    /// Lambda or SQS delivers the request again: the invocation fails, or the message is handed
    /// back.
    RetryDelivery,
    /// A dead letter is written.
    DeadLetter {
        /// Whether the event in it no longer asks to re-apply the key: the key was applied, or may
        /// have been, so a redrive only verifies the stream.
        without_reapply: bool,
    },
    /// Nothing follows, for this reason: a dead letter about the cause exists already.
    AlreadyReported(&'static str),
}

/// What a retry of the delivery would repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RetryScope {
    /// Only the failed work, so Lambda or SQS may deliver it again.
    ThisRequestOnly,
    /// Other work too, so the failed work has to be retried on its own.
    AlsoOtherWork,
}

impl RetryScope {
    /// The scope of a delivery, or of a request, with so many parts.
    #[must_use]
    pub fn of(parts: usize) -> Self {
        if parts > 1 { Self::AlsoOtherWork } else { Self::ThisRequestOnly }
    }
}

/// Which receive of a work-queue message this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receive {
    /// `ApproximateReceiveCount`: 1 at the first receive.
    pub count: u32,
    /// `maxReceiveCount` of the queue's redrive policy: after that many receives SQS moves the
    /// message to the dead-letter queue, without a diagnosis.
    pub max: u32,
}

impl Receive {
    /// Whether SQS moves the message to the dead-letter queue instead of delivering it again.
    #[must_use]
    pub fn is_last(self) -> bool {
        self.count >= self.max
    }
}

/// What the request and its delivery contribute to the decision.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; the tests vary one at a time")]
pub struct DeliveryFacts<'a> {
    /// What a retry of the delivery would repeat.
    pub retry_scope: RetryScope,
    /// Which receive it is; `None` for a direct invocation.
    pub receive: Option<Receive>,
    /// Whether it is a manual request, whose answer a person reads.
    pub manual: bool,
    /// `dryRun`.
    pub dry_run: bool,
    /// `deadLetter: false`.
    pub no_dead_letter: bool,
    /// Whether the schedule led to the work, directly or through work items.
    pub scheduled: bool,
    /// Whether the key is to be re-applied to streams that have it already.
    pub reapply: bool,
    /// Whether there is a work queue that may be used, and the work has hops left.
    pub can_requeue: bool,
    /// Whether there is a work queue that may be used. A wait for AWS is bounded by its age, not by
    /// its hops.
    pub can_wait: bool,
    /// How often the work was requeued already.
    pub hops: u32,
    /// The messages of failures that a sweep reported once for all its streams.
    pub reported: &'a [String],
    /// Whether there is a dead-letter queue.
    pub has_dead_letter_queue: bool,
}

/// Why a contested stream has no second dead letter.
const CONTESTED_REPORTED: &str =
    "the stream was dead-lettered when it became contested; a schedule that finds it contested again only reports it";

/// Why a stream with an unusable key has no dead letter of its own.
const KEY_REPORTED: &str = "the sweep wrote one dead letter about this failure for all streams";

/// Decides what becomes of `outcome`.
///
/// A failure is retried as cheaply as possible: with its delivery where that repeats nothing else,
/// otherwise as a work item of its own. What cannot be retried is dead-lettered. Nothing is both.
#[must_use]
pub fn dispose(outcome: &Outcome, facts: &DeliveryFacts<'_>) -> Disposition {
    let DeliveryFacts {
        retry_scope,
        receive,
        manual,
        dry_run,
        no_dead_letter,
        scheduled,
        reapply: _,
        can_requeue: _,
        can_wait: _,
        hops: _,
        reported,
        has_dead_letter_queue,
    } = *facts;
    if dry_run {
        return Disposition::Answer;
    }
    if let Some(requeue) = requeue(outcome, facts) {
        return requeue;
    }
    let Some(failure) = &outcome.error else { return Disposition::Answer };
    if no_dead_letter {
        return Disposition::Answer;
    }
    let is_last_receive = receive.is_some_and(Receive::is_last);
    // A manual request is answered at once. At the last receive, SQS would move the message without
    // a diagnosis, so the dead letter is written here.
    if failure.class == Class::Retryable && retry_scope == RetryScope::ThisRequestOnly && !manual && !is_last_receive {
        return Disposition::RetryDelivery;
    }
    if failure.code == code::CONTESTED && scheduled {
        return Disposition::AlreadyReported(CONTESTED_REPORTED);
    }
    // A failure without a stream is the sweep's own, which is the one dead letter.
    if outcome.stream.is_some() && reported.contains(&failure.message) {
        return Disposition::AlreadyReported(KEY_REPORTED);
    }
    // Without a dead-letter queue only the answer is left. An event and a message, whose answer
    // nobody reads, still ask for a dead letter, so that their delivery fails.
    if manual && receive.is_none() && !has_dead_letter_queue {
        return Disposition::Answer;
    }
    Disposition::DeadLetter { without_reapply: has_applied(outcome) }
}

/// The work item that `outcome` leads to, if it does.
fn requeue(outcome: &Outcome, facts: &DeliveryFacts<'_>) -> Option<Disposition> {
    outcome.stream.as_ref()?;
    if let Some(deferral) = &outcome.deferral {
        let waits = matches!(deferral.until, DeferReason::Unsettled { .. });
        let requeue = Disposition::Requeue { delay: deferral.after, without_reapply: has_applied(outcome) };
        return (if waits { facts.can_wait } else { facts.can_requeue }).then_some(requeue);
    }
    let is_retried = |failure: &&Failure| failure.class == Class::Retryable && !facts.manual && facts.can_requeue;
    let failure = outcome.error.as_ref().filter(is_retried)?;
    let unsettled = failure.kind() == Kind::Unsettled;
    // A message that is handed back uses up one of its receives, and the key is not re-applied at
    // the next. A healthy stream that has not settled, and a re-application, therefore continue as
    // a new message.
    let as_new_message = facts.receive.is_some() && (unsettled || facts.reapply);
    if !as_new_message && facts.retry_scope == RetryScope::ThisRequestOnly {
        return None;
    }
    let delay = if unsettled { FIRST_RETRY_DELAY } else { retry_delay(facts.hops.saturating_add(1)) };
    Some(Disposition::Requeue { delay, without_reapply: has_applied(outcome) })
}

/// How long work waits after its `count`-th failure: 30 s, doubled with each, up to 15 minutes.
#[must_use]
pub fn retry_delay(count: u32) -> Duration {
    doubled(FIRST_RETRY_DELAY, count, LONGEST_SQS_DELAY)
}

/// Whether the key was applied, or may have been.
fn has_applied(outcome: &Outcome) -> bool {
    outcome.applied || outcome.warnings.contains(&Warning::StartAnswerLost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::Step;
    use crate::domain::mode::Mode;
    use crate::domain::outcome::{Deferral, Status};

    const ORDERS: &str = "arn:aws:kinesis:us-east-1:111122223333:stream/orders";

    #[test]
    fn retry_delays_grow_up_to_what_sqs_accepts() {
        assert_eq!(retry_delay(u32::MAX), LONGEST_SQS_DELAY);
    }

    #[test]
    fn a_delivery_of_one_part_may_be_retried_as_a_whole() {
        for (parts, scope) in
            [(0, RetryScope::ThisRequestOnly), (1, RetryScope::ThisRequestOnly), (2, RetryScope::AlsoOtherWork)]
        {
            assert_eq!(RetryScope::of(parts), scope, "{parts}");
        }
    }

    /// The facts of an event about one stream, in a stack with both queues.
    fn event() -> DeliveryFacts<'static> {
        DeliveryFacts {
            retry_scope: RetryScope::ThisRequestOnly,
            receive: None,
            manual: false,
            dry_run: false,
            no_dead_letter: false,
            scheduled: false,
            reapply: false,
            can_requeue: true,
            can_wait: true,
            hops: 0,
            reported: &[],
            has_dead_letter_queue: true,
        }
    }

    /// The facts of a work item at its first of five receives.
    fn work_item() -> DeliveryFacts<'static> {
        DeliveryFacts { receive: Some(Receive { count: 1, max: 5 }), ..event() }
    }

    fn manual() -> DeliveryFacts<'static> {
        DeliveryFacts { manual: true, ..event() }
    }

    fn failure(code: &str) -> Failure {
        Failure::new(Step::StartStreamEncryption, code, &ORDERS, "")
    }

    fn failed(code: &str) -> Outcome {
        Outcome::failed(Some(ORDERS.to_owned()), failure(code), Mode::Enforce)
    }

    fn deferred(after: u64) -> Outcome {
        let deferral =
            Deferral { after: Duration::from_secs(after), until: DeferReason::Contest { applied: Vec::new() } };
        let outcome = Outcome::new(Some(ORDERS.to_owned()), Status::Deferred, "", Mode::Enforce);
        Outcome { deferral: Some(deferral), ..outcome }
    }

    fn waiting(after: u64) -> Outcome {
        let until = DeferReason::Unsettled { what: "not started: the stream is UPDATING".to_owned(), applied: vec![] };
        Outcome { deferral: Some(Deferral { after: Duration::from_secs(after), until }), ..deferred(after) }
    }

    fn is_wait(deferral: &Deferral) -> bool {
        matches!(deferral.until, DeferReason::Unsettled { .. })
    }

    const THROTTLED: &str = "LimitExceededException";
    const UNSETTLED: &str = code::STILL_UPDATING;
    const TERMINAL: &str = "AccessDeniedException";
    const DEAD_LETTER: Disposition = Disposition::DeadLetter { without_reapply: false };

    fn requeue_in(seconds: u64) -> Disposition {
        Disposition::Requeue { delay: Duration::from_secs(seconds), without_reapply: false }
    }

    #[track_caller]
    fn check(outcome: &Outcome, facts: &DeliveryFacts<'_>, expected: Disposition) {
        assert_eq!(dispose(outcome, facts), expected, "{outcome:?} {facts:?}");
    }

    #[test]
    fn what_went_well_is_answered() {
        for status in [Status::Encrypted, Status::Compliant, Status::Exempt, Status::KeyAtRisk, Status::Queued] {
            check(&Outcome::new(Some(ORDERS.to_owned()), status, "", Mode::Enforce), &event(), Disposition::Answer);
        }
    }

    // Retryable.

    #[test]
    fn a_retryable_failure_of_an_event_with_one_target_fails_the_invocation() {
        for code in [THROTTLED, "ResourceInUseException", UNSETTLED, code::TIMEOUT, "InternalFailure"] {
            check(&failed(code), &event(), Disposition::RetryDelivery);
        }
    }

    #[test]
    fn of_several_targets_a_stream_that_can_be_retried_becomes_its_own_work_item() {
        let facts = DeliveryFacts { retry_scope: RetryScope::AlsoOtherWork, ..event() };
        check(&failed(THROTTLED), &facts, requeue_in(30));
        check(&failed(UNSETTLED), &facts, requeue_in(30));
    }

    #[test]
    fn of_several_targets_and_without_a_work_queue_it_becomes_its_own_dead_letter() {
        let facts = DeliveryFacts { retry_scope: RetryScope::AlsoOtherWork, can_requeue: false, ..event() };
        check(&failed(THROTTLED), &facts, DEAD_LETTER);
    }

    #[test]
    fn a_failure_without_a_stream_among_other_work_is_dead_lettered() {
        let facts = DeliveryFacts { retry_scope: RetryScope::AlsoOtherWork, ..event() };
        check(&Outcome { stream: None, ..failed(THROTTLED) }, &facts, DEAD_LETTER);
    }

    #[test]
    fn a_retryable_failure_of_a_queue_item_is_handed_back() {
        check(&failed(THROTTLED), &work_item(), Disposition::RetryDelivery);
    }

    #[test]
    fn at_the_last_receive_of_a_queue_item_the_dead_letter_is_written() {
        let facts = DeliveryFacts { receive: Some(Receive { count: 5, max: 5 }), ..work_item() };
        check(&failed(THROTTLED), &facts, DEAD_LETTER);
    }

    #[test]
    fn a_healthy_stream_that_is_not_settled_goes_on_as_a_new_message_without_using_up_receives() {
        check(&failed(UNSETTLED), &work_item(), requeue_in(30));
        let late = DeliveryFacts { hops: 9, receive: Some(Receive { count: 5, max: 5 }), ..work_item() };
        check(&failed(UNSETTLED), &late, requeue_in(30));
    }

    #[test]
    fn a_failed_reapplication_goes_on_as_a_new_message_since_a_second_receive_would_not_reapply() {
        let facts = DeliveryFacts { reapply: true, ..work_item() };
        check(&failed(THROTTLED), &facts, requeue_in(30));
    }

    #[test]
    fn work_without_hops_left_is_retried_by_its_delivery_and_dead_lettered_in_the_end() {
        let facts = DeliveryFacts { can_requeue: false, ..work_item() };
        check(&failed(UNSETTLED), &facts, Disposition::RetryDelivery);
        let last = DeliveryFacts { receive: Some(Receive { count: 5, max: 5 }), ..facts };
        check(&failed(UNSETTLED), &last, DEAD_LETTER);
    }

    #[test]
    fn the_delay_of_requeued_work_grows_with_its_hops() {
        for (hops, seconds) in [(0, 30), (1, 60), (2, 120), (4, 480), (5, 900), (u32::MAX, 900)] {
            let facts = DeliveryFacts { retry_scope: RetryScope::AlsoOtherWork, hops, ..event() };
            check(&failed(THROTTLED), &facts, requeue_in(seconds));
        }
    }

    #[test]
    fn a_deferred_stream_is_requeued_after_its_own_delay_also_for_a_person() {
        check(&deferred(45), &event(), requeue_in(45));
        check(&deferred(45), &manual(), requeue_in(45));
        check(&deferred(45), &DeliveryFacts { no_dead_letter: true, ..manual() }, requeue_in(45));
    }

    #[test]
    fn a_stream_that_waits_for_aws_is_requeued_whatever_its_hops_and_without_reapplying_what_was_applied() {
        let used_up = DeliveryFacts { can_requeue: false, hops: 12, ..work_item() };
        check(&waiting(45), &used_up, requeue_in(45));
        check(&deferred(45), &used_up, Disposition::Answer);
        let started = Outcome { applied: true, ..waiting(45) };
        let verify = Disposition::Requeue { delay: Duration::from_secs(45), without_reapply: true };
        check(&started, &work_item(), verify);
        check(&waiting(45), &DeliveryFacts { can_requeue: false, can_wait: false, ..event() }, Disposition::Answer);
    }

    #[test]
    fn what_the_queue_refused_is_disposed_of_without_it() {
        let refused = DeliveryFacts { can_requeue: false, can_wait: false, ..work_item() };
        check(&failed(UNSETTLED), &refused, Disposition::RetryDelivery);
        let refused = DeliveryFacts { retry_scope: RetryScope::AlsoOtherWork, ..refused };
        check(&failed(UNSETTLED), &refused, DEAD_LETTER);
    }

    // Terminal.

    #[test]
    fn a_terminal_failure_is_dead_lettered_at_once() {
        for code in [TERMINAL, "KMSDisabledException", code::KEY_DISABLED, code::UNKNOWN_PAYLOAD] {
            for facts in [event(), work_item(), DeliveryFacts { retry_scope: RetryScope::AlsoOtherWork, ..event() }] {
                check(&failed(code), &facts, DEAD_LETTER);
            }
        }
    }

    #[test]
    fn without_a_dead_letter_queue_a_manual_request_in_a_message_still_asks_for_a_dead_letter() {
        let facts = DeliveryFacts { manual: true, has_dead_letter_queue: false, ..work_item() };
        check(&failed(TERMINAL), &facts, DEAD_LETTER);
    }

    #[test]
    fn without_a_dead_letter_queue_an_event_still_asks_for_a_dead_letter() {
        check(&failed(TERMINAL), &DeliveryFacts { has_dead_letter_queue: false, ..event() }, DEAD_LETTER);
    }

    #[test]
    fn the_dead_letter_about_a_key_that_was_applied_or_may_have_been_does_not_ask_for_it_again() {
        let without_reapply = Disposition::DeadLetter { without_reapply: true };
        check(&Outcome { applied: true, ..failed(TERMINAL) }, &event(), without_reapply);
        check(&Outcome { warnings: vec![Warning::StartAnswerLost], ..failed(TERMINAL) }, &event(), without_reapply);
    }

    #[test]
    fn work_whose_key_was_applied_is_requeued_for_verification_only() {
        let outcome = Outcome { applied: true, ..failed(UNSETTLED) };
        let expected = Disposition::Requeue { delay: Duration::from_secs(30), without_reapply: true };
        check(&outcome, &work_item(), expected);
    }

    #[test]
    fn a_failure_that_the_sweep_reported_for_all_streams_has_no_dead_letter_per_stream() {
        let reported = [failure(code::KEY_DISABLED).message];
        let facts = DeliveryFacts { reported: &reported, ..work_item() };
        check(&failed(code::KEY_DISABLED), &facts, Disposition::AlreadyReported(KEY_REPORTED));
        check(&failed(code::KEY_UNSUITABLE), &facts, DEAD_LETTER);
        check(&Outcome { stream: None, ..failed(code::KEY_DISABLED) }, &facts, DEAD_LETTER);
    }

    // Gone.

    #[test]
    fn a_stream_that_is_gone_is_answered() {
        check(&failed("ResourceNotFoundException"), &event(), Disposition::Answer);
    }

    #[test]
    fn a_stream_that_a_person_named_and_that_does_not_exist_is_dead_lettered() {
        let failure = failure(code::STREAM_NOT_FOUND).classed(Class::Terminal);
        let outcome = Outcome::failed(Some(ORDERS.to_owned()), failure, Mode::Enforce);
        check(&outcome, &manual(), DEAD_LETTER);
    }

    // Contested.

    #[test]
    fn a_contested_stream_is_dead_lettered() {
        for code in [code::CONTESTED, code::ALLOWANCE_SPENT, code::UNDONE] {
            check(&failed(code), &event(), DEAD_LETTER);
            check(&failed(code), &work_item(), DEAD_LETTER);
        }
    }

    #[test]
    fn a_schedule_that_meets_a_contested_stream_again_writes_no_second_dead_letter() {
        let facts = DeliveryFacts { scheduled: true, ..work_item() };
        check(&failed(code::CONTESTED), &facts, Disposition::AlreadyReported(CONTESTED_REPORTED));
        check(&failed(code::ALLOWANCE_SPENT), &facts, DEAD_LETTER);
    }

    // Who asked.

    #[test]
    fn a_manual_request_is_answered_and_dead_lettered_and_never_retried() {
        for code in [THROTTLED, UNSETTLED, TERMINAL] {
            check(&failed(code), &manual(), DEAD_LETTER);
        }
    }

    #[test]
    fn a_manual_request_is_only_answered_where_it_says_so_or_no_queue_is_there() {
        check(&failed(TERMINAL), &DeliveryFacts { no_dead_letter: true, ..manual() }, Disposition::Answer);
        check(&failed(TERMINAL), &DeliveryFacts { has_dead_letter_queue: false, ..manual() }, Disposition::Answer);
    }

    #[test]
    fn a_dry_run_is_only_answered() {
        for facts in [event(), work_item(), manual()] {
            let facts = DeliveryFacts { dry_run: true, ..facts };
            for outcome in [failed(TERMINAL), failed(THROTTLED), failed(code::CONTESTED), deferred(30)] {
                check(&outcome, &facts, Disposition::Answer);
            }
        }
    }

    // What holds of every row.

    fn outcomes() -> Vec<Outcome> {
        let codes =
            [THROTTLED, UNSETTLED, code::KEY_STATE_SETTLING, TERMINAL, code::CONTESTED, code::ALLOWANCE_SPENT, "New"];
        let mut outcomes: Vec<_> = codes.into_iter().map(failed).collect();
        outcomes.extend(codes.into_iter().map(|code| Outcome { stream: None, ..failed(code) }));
        outcomes.extend(codes.into_iter().map(|code| Outcome { applied: true, ..failed(code) }));
        outcomes.push(failed("ResourceNotFoundException"));
        outcomes.push(deferred(60));
        outcomes.push(waiting(60));
        outcomes.push(Outcome { applied: true, ..waiting(60) });
        outcomes.push(Outcome::new(None, Status::Encrypted, "", Mode::Enforce));
        outcomes
    }

    /// All combinations of facts with `outcome`.
    fn each_row(outcome: &Outcome, mut check: impl FnMut(&DeliveryFacts<'_>)) {
        let message: Vec<_> = outcome.error.iter().map(|failure| failure.message.clone()).collect();
        for bits in 0..1_u32 << 12 {
            let is_set = |bit: u32| bits & 1 << bit != 0;
            let count = if is_set(8) { 5 } else { 1 };
            check(&DeliveryFacts {
                retry_scope: RetryScope::of(1 + usize::from(is_set(0))),
                receive: is_set(1).then_some(Receive { count, max: 5 }),
                manual: is_set(2),
                dry_run: is_set(3),
                no_dead_letter: is_set(4),
                scheduled: is_set(5),
                reapply: is_set(6),
                can_requeue: is_set(7) && is_set(11),
                can_wait: is_set(11),
                hops: 3,
                reported: if is_set(9) { &message } else { &[] },
                has_dead_letter_queue: is_set(10),
            });
        }
    }

    #[test]
    fn no_failure_is_dropped_without_a_named_reason_and_only_retryable_ones_are_retried() {
        for outcome in outcomes() {
            each_row(&outcome, |facts| {
                let row = || format!("{outcome:?} {facts:?}");
                let retryable = outcome.error.as_ref().is_some_and(|failure| failure.class == Class::Retryable);
                let alone = facts.retry_scope == RetryScope::ThisRequestOnly;
                match dispose(&outcome, facts) {
                    Disposition::Answer => {
                        let nobody_to_inform = facts.manual && !facts.has_dead_letter_queue;
                        let reason = facts.dry_run || facts.no_dead_letter || nobody_to_inform;
                        assert!(outcome.error.is_none() || reason, "{}", row());
                        let dropped = outcome.deferral.is_some() && facts.can_requeue && !facts.dry_run;
                        let waits = outcome.deferral.as_ref().is_some_and(is_wait) && facts.can_wait && !facts.dry_run;
                        assert!(!dropped && !waits, "{}", row());
                    }
                    Disposition::Requeue { delay, without_reapply } => {
                        let waits = outcome.deferral.as_ref().is_some_and(is_wait) && facts.can_wait;
                        let may = facts.can_requeue || waits;
                        assert!(may && outcome.stream.is_some() && !facts.dry_run, "{}", row());
                        assert!(without_reapply || !outcome.applied, "{}", row());
                        assert!(outcome.deferral.is_some() || (retryable && !facts.manual), "{}", row());
                        assert!(delay <= LONGEST_SQS_DELAY, "{}", row());
                    }
                    Disposition::RetryDelivery => {
                        assert!(retryable && alone && !facts.manual, "{}", row());
                        assert!(!facts.receive.is_some_and(Receive::is_last), "{}", row());
                    }
                    Disposition::DeadLetter { without_reapply } => {
                        assert!(outcome.error.is_some() && !facts.dry_run && !facts.no_dead_letter, "{}", row());
                        assert!(without_reapply || !outcome.applied, "{}", row());
                    }
                    Disposition::AlreadyReported(reason) => {
                        assert!([CONTESTED_REPORTED, KEY_REPORTED].contains(&reason), "{}", row());
                        assert!(outcome.error.is_some(), "{}", row());
                    }
                }
            });
        }
    }

    #[test]
    fn what_is_disposed_of_without_the_queue_is_never_requeued() {
        for outcome in outcomes() {
            each_row(&outcome, |facts| {
                let refused = DeliveryFacts { can_requeue: false, can_wait: false, ..*facts };
                let again = dispose(&outcome, &refused);
                assert!(!matches!(again, Disposition::Requeue { .. }), "{outcome:?} {facts:?}");
            });
        }
    }
}
