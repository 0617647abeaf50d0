//! One request: dispatches on what it is about, and reports the results.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use serde_json::json;
use tokio::sync::mpsc::unbounded_channel;

use super::context::RequestContext;
use super::delivery::{
    RequestProgress, enqueue, finish, finish_stream, finish_with_event, flush_events, publish, settle_stream,
};
use super::denials::{report_denials, resume};
use super::error::ErrorType;
use super::fleet::sweep_accounts;
use super::key_event::{assess, enqueue_second_look, fleets_with};
use super::strangers;
use crate::aws::sqs::WorkQueueSender;
use crate::decide::denials::Heard;
use crate::decide::disposition::RetryScope;
use crate::decide::key_event::KeyEventEffect;
use crate::domain::failure::{Class, Failure, Kind, Step, code};
use crate::domain::key::KeyRef;
use crate::domain::key_event::KeyEvent;
use crate::domain::outcome::{Outcome, Status};
use crate::domain::stream::StreamRef;
use crate::domain::trigger_facts::TriggerFacts;
use crate::event::{Scope, Trigger, TriggerKind, WorkItem, WorkTarget};
use crate::reconcile::reconcile;
use crate::report::Report;
use crate::report::log::log_report;
use crate::report::metrics::{self, RequestCounters};

/// How many streams of one request are reconciled at once. With a work queue, more become work
/// items: the workers have a larger share of the rate limits.
const MOST_AT_ONCE: usize = 50;

/// How many streams of one message are reconciled with it; more become work items. As many as a
/// batch of work items has: the other messages of the batch are answered with this one.
const MOST_OF_MESSAGE: usize = 10;

/// How many work items are sent, in batches of ten, before their outcomes are finished.
const SENT_AT_ONCE: usize = 100;

/// The results of one request.
pub(super) struct RequestResult {
    pub(super) report: Report,
    counters: RequestCounters,
    /// The failure for which Lambda or SQS delivers the request again.
    retry: Option<Failure>,
}

impl RequestResult {
    /// Why the delivery has to fail, if it does.
    pub(super) fn error_type(&self) -> Option<ErrorType> {
        if self.counters.dead_letters_not_stored > 0 {
            return Some(ErrorType::DeadLetterNotStored);
        }
        self.retry.as_ref().map(|failure| failure.kind().into())
    }
}

/// Handles one request: reconciles its streams, logs the report and emits the metrics.
pub(super) async fn handle_request(ctx: &RequestContext<'_, '_>) -> RequestResult {
    let mut progress = RequestProgress::new(ctx);
    let (trigger, continue_after) = handle_scope(ctx, &mut progress).await;
    flush_events(ctx, &mut progress).await;
    conclude(ctx, progress, trigger, continue_after)
}

/// Logs the report of a request and emits its metrics.
pub(super) fn conclude(
    ctx: &RequestContext<'_, '_>,
    progress: RequestProgress,
    trigger: Trigger,
    continue_after: Option<String>,
) -> RequestResult {
    let RequestProgress { summary, counters, retry, .. } = progress;
    let handler = ctx.handler();
    let report = Report::new(&ctx.invocation.invocation.request_id, ctx.mode(), trigger, summary, continue_after);
    log_report(&report, counters);
    let line = metrics::line(&handler.settings.metrics_namespace, &handler.function, ctx.now(), &report, counters);
    (handler.emit)(&line);
    RequestResult { report, counters, retry }
}

/// Handles what the request is about. Returns the trigger for the answer, and the stream after
/// which an interrupted sweep continues.
async fn handle_scope(ctx: &RequestContext<'_, '_>, progress: &mut RequestProgress) -> (Trigger, Option<String>) {
    let mut trigger = ctx.request.trigger.clone();
    let mut continue_after = None;
    match &ctx.request.scope {
        Scope::Nothing => {}
        Scope::Unknown { retryable } => {
            let reason = trigger.reason.clone().unwrap_or_default();
            let failure = Failure::new(Step::ReadEvent, code::UNKNOWN_PAYLOAD, &"the payload", &reason);
            let failure = if *retryable { failure.classed(Class::Retryable) } else { failure };
            finish(ctx, progress, Outcome::failed(None, failure, ctx.mode())).await;
        }
        Scope::NotReached => {
            let reason = trigger.reason.clone().unwrap_or_default();
            let failure = Failure::new(Step::Wait, code::OUT_OF_TIME, &"the rest of the payload", &reason);
            finish(ctx, progress, Outcome::failed(None, failure, ctx.mode())).await;
        }
        Scope::Streams(streams) => match too_early(ctx) {
            Some((sender, left)) => requeue_until(ctx, progress, streams, sender, left).await,
            None => reconcile_streams(ctx, progress, streams).await,
        },
        Scope::Fleet { of, start_after } => {
            continue_after = sweep_accounts(ctx, progress, of, start_after.clone()).await;
        }
        Scope::Resume => resume(ctx, progress, &mut trigger).await,
        Scope::Denied(denial) => {
            let mut heard = Heard::default();
            heard.add((**denial).clone(), ctx.now());
            report_denials(ctx, progress, heard, Vec::new()).await;
        }
        Scope::Key(event) => {
            let (effect, key) = assess(ctx, event).await;
            if let KeyEventEffect::Ignored(reason) = effect {
                (trigger.kind, trigger.reason) = (TriggerKind::Ignored, Some(reason));
            } else {
                continue_after = handle_key_event(ctx, progress, event, effect, key).await;
            }
        }
    }
    // A sweep that was left to others asked for nothing.
    if let Some(reason) = progress.left_to_others.take().filter(|_| progress.summary.is_empty()) {
        (trigger.kind, trigger.reason) = (TriggerKind::Ignored, Some(reason));
    }
    (trigger, continue_after)
}

/// Carries out the effect of an event about `key`. Returns the stream after which an interrupted
/// sweep continues.
///
/// KMS is eventually consistent: the event is handled now, and once more when the change must be
/// visible everywhere.
async fn handle_key_event(
    ctx: &RequestContext<'_, '_>,
    progress: &mut RequestProgress,
    event: &KeyEvent,
    effect: KeyEventEffect,
    key: &KeyRef,
) -> Option<String> {
    let outcome = match effect {
        KeyEventEffect::Ignored(_) => return None,
        KeyEventEffect::Sweep { repointed_alias, rotated_key } => {
            let facts = TriggerFacts { repointed_alias, rotated_key, ..ctx.facts.clone() };
            let ctx = RequestContext { facts, ..ctx.clone() };
            let continue_after = sweep_accounts(&ctx, progress, &fleets_with(&ctx, key), None).await;
            enqueue_second_look(&ctx, event, progress.swept_with.take()).await;
            return continue_after;
        }
        KeyEventEffect::KeyAtRisk(reason) => {
            enqueue_second_look(ctx, event, None).await;
            Outcome::new(None, Status::KeyAtRisk, reason, ctx.mode())
        }
        KeyEventEffect::Failed(failure) => {
            let is_looked_at_again = enqueue_second_look(ctx, event, None).await;
            if is_looked_at_again && failure.kind() == Kind::KeyUnsettled {
                let reason = format!("{}; the key is checked again when KMS must show the change", failure.message);
                Outcome::new(None, Status::Deferred, reason, ctx.mode())
            } else {
                Outcome::failed(None, failure, ctx.mode())
            }
        }
    };
    finish(ctx, progress, Outcome { key: Some(key.to_string()), ..outcome }).await;
    None
}

/// How long the streams still have to wait, if the work item came back too early and can be
/// requeued.
fn too_early<'h>(ctx: &RequestContext<'_, 'h>) -> Option<(WorkQueueSender<'h>, Duration)> {
    let left = (ctx.request.work.not_before? - ctx.now()).to_std().ok()?;
    // SQS delays by whole seconds.
    ctx.requeue_sender().filter(|_| left > Duration::from_secs(1)).map(|sender| (sender, left))
}

/// Requeues a work item that came back too early.
async fn requeue_until(
    ctx: &RequestContext<'_, '_>,
    progress: &mut RequestProgress,
    streams: &[StreamRef],
    sender: WorkQueueSender<'_>,
    left: Duration,
) {
    for stream in streams {
        let reason = format!("deferred for another {} s", left.as_secs());
        let item = ctx.work_item_for(WorkTarget::Stream(stream.clone()), reason.clone());
        let item = WorkItem { not_before: ctx.request.work.not_before, ..item };
        let name = Some(stream.to_string());
        let outcome = match enqueue(ctx, sender, &item, left).await {
            Ok(()) => Outcome::new(name, Status::Deferred, reason, ctx.mode()),
            Err(failure) => Outcome::failed(name, failure, ctx.mode()),
        };
        finish_stream(ctx, progress, stream, outcome).await;
    }
}

async fn reconcile_streams(ctx: &RequestContext<'_, '_>, progress: &mut RequestProgress, streams: &[StreamRef]) {
    let named = streams.len();
    let (streams, strangers) = strangers::split(ctx, streams);
    if let Some(outcome) = strangers {
        finish(ctx, progress, outcome).await;
    }
    let streams = streams.as_slice();
    let most = if ctx.message.is_some() { MOST_OF_MESSAGE } else { MOST_AT_ONCE };
    let in_payload = ctx.streams_in_payload - (named - streams.len());
    let is_for_the_queue = !ctx.request.options.no_dead_letter && in_payload > most;
    if let Some(sender) = ctx.requeue_sender().filter(|_| is_for_the_queue) {
        return enqueue_streams(ctx, progress, streams, sender).await;
    }
    // Each is settled as it ends: others may take until the time is up.
    let settled = stream::iter(streams.iter().enumerate()).map(|(index, stream)| async move {
        let several = streams.len() > 1;
        if several && !ctx.has_time() {
            return (index, Err(stream));
        }
        let outcome = reconcile_one(ctx, stream).await;
        // The rate limit allowed not even one look in time.
        let unseen =
            outcome.seen.is_none() && outcome.error.as_ref().is_some_and(|error| error.code == code::OUT_OF_TIME);
        if several && unseen {
            return (index, Err(stream));
        }
        (index, Ok(settle_stream(ctx, stream, outcome).await))
    });
    let mut settled = std::pin::pin!(settled.buffer_unordered(MOST_AT_ONCE));
    let (mut outcomes, mut not_reached) = (Vec::new(), Vec::new());
    // An event bus that is slow must not hold up the other streams.
    let (settlements, mut to_publish) = unbounded_channel();
    let settle = async move {
        while let Some(settlement) = settled.next().await {
            // It is received until the last has been sent.
            let _ = settlements.send(settlement);
        }
    };
    let publish_each = async {
        while let Some((index, settlement)) = to_publish.recv().await {
            match settlement {
                Ok(settlement) => outcomes.push((index, publish(ctx, progress, settlement).await)),
                Err(stream) => not_reached.push(stream),
            }
        }
    };
    tokio::join!(settle, publish_each);
    outcomes.sort_by_key(|(index, _)| *index);
    let reached = outcomes.len();
    for (_, outcome) in outcomes {
        progress.summary.add(outcome);
    }
    if !not_reached.is_empty() {
        finish_rest(ctx, progress, &not_reached, reached, None).await;
    }
}

async fn reconcile_one(ctx: &RequestContext<'_, '_>, stream: &StreamRef) -> Outcome {
    match ctx.account_of(stream).await {
        Ok(account) => reconcile(stream, &ctx.reconcile_context(account)).await,
        Err(failure) => Outcome::failed(Some(stream.to_string()), failure, ctx.mode()),
    }
}

/// Sends a work item for each of many streams. The streams that the queue does not take are one
/// failure.
async fn enqueue_streams(
    ctx: &RequestContext<'_, '_>,
    progress: &mut RequestProgress,
    streams: &[StreamRef],
    sender: WorkQueueSender<'_>,
) {
    let reason = format!("one of {} streams in the request", streams.len());
    let mut managed = Vec::new();
    for stream in streams {
        match ctx.check(stream) {
            Ok(()) => managed.push(stream),
            Err(failure) => {
                let outcome = Outcome::failed(Some(stream.to_string()), failure, ctx.mode());
                finish_stream(ctx, progress, stream, outcome).await;
            }
        }
    }
    let mut queued = 0;
    for chunk in managed.chunks(SENT_AT_ONCE) {
        let items: Vec<_> = chunk
            .iter()
            .map(|stream| ctx.work_item_for(WorkTarget::Stream((*stream).clone()), reason.clone()))
            .collect();
        if let Err(error) = sender.send_all(&items, ctx.deadline().look_until()).await {
            return finish_rest(ctx, progress, &managed[queued..], queued, Some(error.failure)).await;
        }
        queued += chunk.len();
        for stream in chunk {
            let outcome = Outcome::new(Some(stream.to_string()), Status::Queued, reason.clone(), ctx.mode());
            finish_stream(ctx, progress, stream, outcome).await;
        }
    }
}

/// Finishes the streams of a request that were not reached, after `reached` that were: one failure
/// for all of them, whose dead letter asks for exactly these. `refusal` says why the work queue did
/// not take them; otherwise the time was up.
async fn finish_rest(
    ctx: &RequestContext<'_, '_>,
    progress: &mut RequestProgress,
    rest: &[&StreamRef],
    reached: usize,
    refusal: Option<Failure>,
) {
    let names: Vec<_> = rest.iter().map(ToString::to_string).collect();
    let first = names.first().map_or("none", String::as_str);
    let subject = format!("{} of {} streams, from {first} on", rest.len(), rest.len() + reached);
    let failure = match refusal {
        None => Failure::new(Step::Wait, code::OUT_OF_TIME, &subject, "the time was up before they were reached"),
        Some(refusal) => {
            let message = format!("the work queue did not take {subject}: {}", refusal.message);
            Failure { message, ..refusal }.classed(Class::Retryable)
        }
    };
    let mut event = json!({"streams": names});
    if ctx.request.options.reapply {
        event["reapply"] = json!(true);
    }
    // Where nothing was done, the delivery can be repeated as it is.
    let scope = if reached == 0 { ctx.delivery_scope } else { RetryScope::AlsoOtherWork };
    let ctx = RequestContext { retry_scope: scope, ..ctx.clone() };
    finish_with_event(&ctx, progress, Outcome::failed(None, failure, ctx.mode()), &event).await;
}
