//! Carries out what [`dispose`] decides about an outcome: requeues the stream, marks the delivery
//! for a retry, or writes a dead letter; then publishes and counts the outcome. It decides nothing.

use std::time::Duration;

use chrono::TimeDelta;
use serde::Serialize;
use serde_json::Value;

use super::context::RequestContext;
use crate::aws::events::{AT_ONCE, Entry, NotPublished};
use crate::aws::sqs::WorkQueueSender;
use crate::decide::disposition::{Disposition, dispose};
use crate::domain::encryption_change::ForeignChange;
use crate::domain::failure::{Class, Failure, Step, code};
use crate::domain::grace::GraceState;
use crate::domain::outcome::{DeferReason, Deferral, Outcome, Status, Warning};
use crate::domain::stream::StreamRef;
use crate::domain::wait::WaitState;
use crate::event::{TriggerKind, WorkItem, WorkTarget};
use crate::report::OutcomeSummary;
use crate::report::dead_letter::{DeadLetter, DeadLetterMetadata, narrowed};
use crate::report::event::{OutcomeEvent, SOURCE, events};
use crate::report::log::log_outcome;
use crate::report::metrics::RequestCounters;

/// The results of a request so far.
#[derive(Debug)]
pub(super) struct RequestProgress {
    pub(super) summary: OutcomeSummary,
    pub(super) counters: RequestCounters,
    /// The failure that Lambda or SQS is to retry.
    pub(super) retry: Option<Failure>,
    /// Outcome events that are not published yet.
    events: Vec<Entry>,
    /// Whether the whole event was logged, of which dead letters carry a part.
    event_logged: bool,
    /// Why a sweep was not made, if it was left to others.
    pub(super) left_to_others: Option<String>,
    /// The keys with which a sweep was made that reached every stream.
    pub(super) swept_with: Option<Vec<String>>,
}

impl RequestProgress {
    pub(super) fn new(ctx: &RequestContext<'_, '_>) -> Self {
        let policy_errors = u64::from(ctx.invocation.old_policy);
        let is_the_schedules = ctx.message.is_none() && ctx.request.trigger.kind == TriggerKind::Scheduled;
        Self {
            summary: OutcomeSummary::of_targets(),
            counters: RequestCounters {
                policy_errors,
                scheduled_sweeps: u64::from(is_the_schedules),
                ..RequestCounters::default()
            },
            retry: None,
            events: Vec::new(),
            event_logged: false,
            left_to_others: None,
            swept_with: None,
        }
    }
}

/// What became of one outcome.
pub(super) struct Settlement {
    outcome: Outcome,
    /// The failure that Lambda or SQS is to retry.
    retry: Option<Failure>,
    letter: Option<LetterResult>,
}

/// What became of a dead letter.
#[derive(Clone, Copy)]
struct LetterResult {
    stored: bool,
    /// Whether it carries a part of the event only.
    truncated: bool,
}

/// Finishes the outcome of one stream, which can be requeued.
pub(super) async fn finish_stream(
    ctx: &RequestContext<'_, '_>,
    progress: &mut RequestProgress,
    stream: &StreamRef,
    outcome: Outcome,
) {
    let settlement = settle_stream(ctx, stream, outcome).await;
    record(ctx, progress, settlement).await;
}

/// Finishes an outcome about the request as a whole.
pub(super) async fn finish(ctx: &RequestContext<'_, '_>, progress: &mut RequestProgress, outcome: Outcome) {
    finish_with_event(ctx, progress, outcome, &ctx.request.payload).await;
}

/// Finishes an outcome about no single stream; a dead letter about it carries `event`.
pub(super) async fn finish_with_event(
    ctx: &RequestContext<'_, '_>,
    progress: &mut RequestProgress,
    outcome: Outcome,
    event: &Value,
) {
    let settlement = carry_out(ctx, None, outcome, event).await;
    record(ctx, progress, settlement).await;
}

/// Does what is decided about the outcome of one stream. Streams can be settled side by side.
pub(super) async fn settle_stream(ctx: &RequestContext<'_, '_>, stream: &StreamRef, outcome: Outcome) -> Settlement {
    // The ARN of a stream that was given by name is known after the first call.
    let stream = outcome.seen.as_ref().map_or_else(|| stream.clone(), |seen| StreamRef::Arn(seen.arn.clone()));
    carry_out(ctx, Some(&stream), outcome, &ctx.request.payload).await
}

/// Publishes and counts what became of an outcome.
pub(super) async fn record(ctx: &RequestContext<'_, '_>, progress: &mut RequestProgress, settlement: Settlement) {
    let outcome = publish(ctx, progress, settlement).await;
    progress.summary.add(outcome);
}

/// The same, without counting the outcome, which is returned.
pub(super) async fn publish(
    ctx: &RequestContext<'_, '_>,
    progress: &mut RequestProgress,
    Settlement { outcome, retry, letter }: Settlement,
) -> Outcome {
    progress.retry = progress.retry.take().or(retry);
    if let Some(LetterResult { stored, truncated }) = letter {
        if stored {
            progress.counters.dead_letters += 1;
        } else {
            progress.counters.dead_letters_not_stored += 1;
        }
        if truncated && !std::mem::replace(&mut progress.event_logged, true) {
            tracing::warn!(
                event = %ctx.request.payload,
                "event is too large for a dead letter, which carries a part of it; this is the whole event"
            );
        }
    }
    let is_halted = outcome.warnings.iter().any(|warning| matches!(warning, Warning::Halted { .. }));
    progress.counters.halted += u64::from(is_halted);
    add_events(ctx, progress, &outcome).await;
    outcome
}

/// Does what is decided about an outcome.
async fn carry_out(
    ctx: &RequestContext<'_, '_>,
    stream: Option<&StreamRef>,
    mut outcome: Outcome,
    event: &Value,
) -> Settlement {
    let mut facts = ctx.delivery_facts();
    // If the queue refuses the work item, that changes the outcome, and what becomes of it is
    // decided again, without the queue.
    let disposition = loop {
        let disposition = dispose(&outcome, &facts);
        let (Disposition::Requeue { delay, without_reapply }, Some(stream)) = (disposition, stream) else {
            break disposition;
        };
        match requeue(ctx, stream, &outcome, delay, without_reapply).await {
            Ok(deferred) => {
                outcome = deferred;
                break disposition;
            }
            Err(refused) => {
                outcome = refused;
                (facts.can_requeue, facts.can_wait) = (false, false);
            }
        }
    };
    log_outcome(&outcome);
    let (mut retry, mut letter) = (None, None);
    match disposition {
        Disposition::Answer | Disposition::Requeue { .. } => {}
        Disposition::AlreadyReported(reason) => tracing::debug!(reason, "no dead letter is written"),
        Disposition::RetryDelivery => retry.clone_from(&outcome.error),
        Disposition::DeadLetter { without_reapply } => {
            letter = Some(send_dead_letter(ctx, stream, &outcome, event, without_reapply).await);
        }
    }
    Settlement { outcome, retry, letter }
}

/// The event for a dead letter about a key that was applied: a redrive verifies the stream instead
/// of applying the key again.
fn stripped_of_reapply(mut event: Value) -> Value {
    if let Some(event) = event.as_object_mut() {
        event.remove("reapply");
    }
    event
}

/// Sends a work item for the stream. `Ok` is the outcome `deferred`, `Err` the failure if the queue
/// refuses the work item.
async fn requeue(
    ctx: &RequestContext<'_, '_>,
    stream: &StreamRef,
    outcome: &Outcome,
    delay: Duration,
    without_reapply: bool,
) -> Result<Outcome, Outcome> {
    let Some(sender) = ctx.sender() else { return Err(outcome.clone()) };
    let target = WorkTarget::Stream(stream.clone());
    let Some(failure) = &outcome.error else {
        let mut item = ctx.work_item_for(target, outcome.reason.clone());
        item.not_before = TimeDelta::from_std(delay).ok().map(|delay| ctx.now() + delay);
        if without_reapply {
            item.expires_at = Some(ctx.now());
        }
        if let Some(Deferral { until, .. }) = &outcome.deferral {
            remember_wait(ctx, &mut item, stream, until);
        }
        return match enqueue(ctx, sender, &item, delay).await {
            Ok(()) => Ok(outcome.clone()),
            Err(refused) => {
                let failed = Outcome::failed(outcome.stream.clone(), refused, ctx.mode());
                let Outcome { status, reason, error, .. } = failed;
                Err(Outcome { status, reason, error, deferral: None, ..outcome.clone() })
            }
        };
    };
    let mut item = ctx.work_item_for(target, failure.message.clone());
    if without_reapply {
        item.expires_at = Some(ctx.now());
    }
    match enqueue(ctx, sender, &item, delay).await {
        Ok(()) => {
            let reason = format!("{}; retried in {} s", failure.message, delay.as_secs());
            Ok(Outcome { status: Status::Deferred, reason, error: None, ..outcome.clone() })
        }
        // The first failure says more than the queue's.
        Err(_) => Err(outcome.clone()),
    }
}

/// Notes in the work item why the stream waits, and what is known so far.
fn remember_wait(ctx: &RequestContext<'_, '_>, item: &mut WorkItem, stream: &StreamRef, until: &DeferReason) {
    match until {
        DeferReason::Grace { since } => {
            let GraceState { actor, deferrals, .. } = ctx.facts.grace;
            item.facts.grace = GraceState { actor, active_since: *since, deferrals: deferrals + 1 };
        }
        DeferReason::Contest { applied } => {
            let known = ctx.foreign_change(stream.name()).cloned();
            let waited = |known| ForeignChange { applied: applied.clone(), delay_served: true, ..known };
            item.facts.foreign_change = known.map(waited);
        }
        DeferReason::Unsettled { applied, .. } => {
            // Its age bounds such a wait.
            item.hops = ctx.request.work.hops;
            item.facts.wait = ctx.facts.wait.again(ctx.now());
            // Whoever works on it next does not know of the start otherwise. If the key is not in
            // place by then, somebody may have removed it, or a description may be stale.
            if let Some(last) = applied.last() {
                let known = ctx.foreign_change(stream.name()).cloned();
                let known = known.unwrap_or_else(|| ForeignChange::unknown(*last));
                item.facts.foreign_change =
                    Some(ForeignChange { applied: applied.clone(), delay_served: false, ..known });
            }
            return;
        }
    }
    // The stream is ACTIVE: AWS is no longer waited for.
    item.facts.wait = WaitState::default();
}

/// Sends a work item. A refusal by the queue is retryable whatever its code, since the work itself
/// did not fail.
pub(super) async fn enqueue(
    ctx: &RequestContext<'_, '_>,
    sender: WorkQueueSender<'_>,
    item: &WorkItem,
    delay: Duration,
) -> Result<(), Failure> {
    let sent = sender.send(item, delay, ctx.deadline().write_until()).await;
    sent.map_err(|error| error.failure.classed(Class::Retryable))
}

/// Sends work that does not depend on the queue; returns whether it was sent.
pub(super) async fn try_enqueue(
    ctx: &RequestContext<'_, '_>,
    sender: WorkQueueSender<'_>,
    what: &str,
    work: &(impl Serialize + Sync),
    delay: Duration,
) -> bool {
    let sent = sender.send(work, delay, ctx.deadline().write_until()).await;
    if let Err(error) = &sent {
        tracing::warn!(code = error.failure.code, error = %error.failure, what, "work could not be queued");
    }
    sent.is_ok()
}

/// Writes a dead letter about a failure. If it cannot be stored, the whole dead letter is logged.
async fn send_dead_letter(
    ctx: &RequestContext<'_, '_>,
    stream: Option<&StreamRef>,
    outcome: &Outcome,
    event: &Value,
    without_reapply: bool,
) -> LetterResult {
    let Some(failure) = outcome.error.clone() else { return LetterResult { stored: true, truncated: false } };
    let metadata = DeadLetterMetadata {
        request_id: &ctx.invocation.invocation.request_id,
        function: &ctx.handler().function,
        now: ctx.now(),
    };
    let attempts = ctx.request.redrives.saturating_add(1);
    let place = ctx.account_and_region(stream);
    // A large event is not repeated for each of its streams.
    let narrowed = stream.filter(|_| ctx.large_payload).map(|stream| narrowed(event, stream));
    let (event, narrowed) = narrowed.map_or_else(|| (event.clone(), false), |event| (event, true));
    let event = if without_reapply { stripped_of_reapply(event) } else { event };
    let dead_letter = DeadLetter::new(metadata, outcome.stream.clone(), failure, attempts, event, place);
    let dead_letter = if narrowed { dead_letter.with_part_of_event() } else { dead_letter };
    let (dead_letter, reduced) = dead_letter.fitting();
    let sent = match &ctx.handler().aws.dead_letters {
        Some(queue) => queue
            .send(&dead_letter, &dead_letter.attributes(), ctx.deadline().write_until())
            .await
            .map_err(|error| error.failure),
        None => Err(Failure::new(
            Step::SendDeadLetter,
            code::NO_FAILURE_QUEUE,
            &"the dead-letter queue",
            "FAILURE_QUEUE_URL is not set",
        )),
    };
    if let Err(refused) = &sent {
        tracing::error!(code = refused.code, error = %refused, letter = dead_letter.body(), "dead letter could not be stored");
    }
    LetterResult { stored: sent.is_ok(), truncated: narrowed || reduced }
}

/// Publishes the events about an outcome, in batches. A failure to publish does not change the
/// outcome.
async fn add_events(ctx: &RequestContext<'_, '_>, progress: &mut RequestProgress, outcome: &Outcome) {
    let handler = ctx.handler();
    if handler.aws.events.is_none() || ctx.request.options.dry_run {
        return;
    }
    let outcome_events =
        events(outcome, &ctx.request.trigger, &ctx.invocation.invocation.request_id, &handler.function);
    progress.events.extend(outcome_events.into_iter().map(|OutcomeEvent { detail_type, detail, resources }| Entry {
        source: SOURCE,
        detail_type,
        detail: detail.to_string(),
        resources,
    }));
    if progress.events.len() >= AT_ONCE {
        flush_events(ctx, progress).await;
    }
}

/// Publishes the remaining events.
pub(super) async fn flush_events(ctx: &RequestContext<'_, '_>, progress: &mut RequestProgress) {
    let entries = std::mem::take(&mut progress.events);
    let Some(bus) = &ctx.handler().aws.events else { return };
    for chunk in entries.chunks(AT_ONCE) {
        if let Err(NotPublished { entries: lost, failure }) = bus.put(chunk, ctx.deadline().write_until()).await {
            progress.counters.events_not_sent += u64::try_from(lost.len()).unwrap_or(u64::MAX);
            let details: Vec<_> =
                lost.iter().filter_map(|index| chunk.get(*index)).map(|entry| &*entry.detail).collect();
            tracing::error!(
                code = failure.code,
                error = %failure,
                events = details.join("\n"),
                "outcome events could not be sent"
            );
        }
    }
}
