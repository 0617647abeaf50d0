//! One request: dispatches on what it is about, and reports the results.

use std::time::Duration;

use futures_util::future::join_all;

use super::context::RequestContext;
use super::delivery::{RequestProgress, enqueue, finish, finish_stream, flush_events};
use super::error::ErrorType;
use super::fleet::sweep_accounts;
use super::key_event::{assess, enqueue_second_look, fleets_with};
use crate::aws::sqs::WorkQueueSender;
use crate::decide::key_event::KeyEventEffect;
use crate::domain::failure::{Class, Failure, Kind, Step, code};
use crate::domain::key::KeyRef;
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
        Scope::Streams(streams) => match too_early(ctx) {
            Some((sender, left)) => requeue_until(ctx, progress, streams, sender, left).await,
            None => reconcile_streams(ctx, progress, streams).await,
        },
        Scope::Fleet { of, start_after } => {
            continue_after = sweep_accounts(ctx, progress, of, start_after.clone()).await;
        }
        Scope::Key(event) => {
            let (effect, key) = assess(ctx, event).await;
            if let KeyEventEffect::Ignored(reason) = effect {
                trigger.kind = TriggerKind::Ignored;
                trigger.reason = Some(reason);
            } else {
                // KMS is eventually consistent: the event is handled now, and once more when the
                // change must be visible everywhere.
                let is_looked_at_again = enqueue_second_look(ctx, event).await;
                continue_after = handle_key_event(ctx, progress, effect, key, is_looked_at_again).await;
            }
        }
    }
    (trigger, continue_after)
}

/// Carries out the effect of an event about `key`. Returns the stream after which an interrupted
/// sweep continues.
async fn handle_key_event(
    ctx: &RequestContext<'_, '_>,
    progress: &mut RequestProgress,
    effect: KeyEventEffect,
    key: &KeyRef,
    is_looked_at_again: bool,
) -> Option<String> {
    let outcome = match effect {
        KeyEventEffect::Ignored(_) => return None,
        KeyEventEffect::Sweep { repointed_alias, rotated_key } => {
            let facts = TriggerFacts { repointed_alias, rotated_key, ..ctx.facts.clone() };
            let ctx = RequestContext { facts, ..ctx.clone() };
            return sweep_accounts(&ctx, progress, &fleets_with(&ctx, key), None).await;
        }
        KeyEventEffect::KeyAtRisk(reason) => Outcome::new(None, Status::KeyAtRisk, reason, ctx.mode()),
        KeyEventEffect::Failed(failure) if is_looked_at_again && failure.kind() == Kind::KeyUnsettled => {
            let reason = format!("{}; the key is checked again when KMS must show the change", failure.message);
            Outcome::new(None, Status::Deferred, reason, ctx.mode())
        }
        KeyEventEffect::Failed(failure) => Outcome::failed(None, failure, ctx.mode()),
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
    let is_for_the_queue = ctx.message.is_none() && !ctx.request.options.no_dead_letter && streams.len() > MOST_AT_ONCE;
    if let Some(sender) = ctx.sender().filter(|_| is_for_the_queue) {
        return enqueue_streams(ctx, progress, streams, sender).await;
    }
    let outcomes = join_all(streams.iter().map(|stream| reconcile_one(ctx, stream))).await;
    for (stream, outcome) in streams.iter().zip(outcomes) {
        finish_stream(ctx, progress, stream, outcome).await;
    }
}

async fn reconcile_one(ctx: &RequestContext<'_, '_>, stream: &StreamRef) -> Outcome {
    match ctx.account_of(stream).await {
        Ok(account) => reconcile(stream, &ctx.reconcile_context(account)).await,
        Err(failure) => Outcome::failed(Some(stream.to_string()), failure, ctx.mode()),
    }
}

/// Sends a work item for each of many streams. Streams that the queue refuses fail.
async fn enqueue_streams(
    ctx: &RequestContext<'_, '_>,
    progress: &mut RequestProgress,
    streams: &[StreamRef],
    sender: WorkQueueSender<'_>,
) {
    let reason = format!("one of {} streams in the request", streams.len());
    for chunk in streams.chunks(SENT_AT_ONCE) {
        let checked: Vec<_> = chunk.iter().map(|stream| (stream, ctx.check(stream))).collect();
        let items: Vec<_> = checked
            .iter()
            .filter(|(_, check)| check.is_ok())
            .map(|(stream, _)| ctx.work_item_for(WorkTarget::Stream((*stream).clone()), reason.clone()))
            .collect();
        let sent = sender.send_all(&items, ctx.deadline().look_until()).await.map_err(|error| error.failure);
        for (stream, check) in checked {
            let name = Some(stream.to_string());
            let outcome = match check.and_then(|()| sent.clone()) {
                Ok(()) => Outcome::new(name, Status::Queued, reason.clone(), ctx.mode()),
                Err(failure) => Outcome::failed(name, failure, ctx.mode()),
            };
            finish_stream(ctx, progress, stream, outcome).await;
        }
    }
}
