//! One request: which streams it concerns, and what its report says.

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

/// So many streams that are named in one request are worked on at once; more become work of their
/// own where there is a queue, whose workers may make more calls a second.
const MOST_AT_ONCE: usize = 50;

/// So many work items are sent, ten at a time, before it is known of each that it was.
const SENT_AT_ONCE: usize = 100;

/// How one request ended.
pub(super) struct RequestResult {
    pub(super) report: Report,
    counters: RequestCounters,
    /// The failure that Lambda or SQS is to retry.
    retry: Option<Failure>,
}

impl RequestResult {
    /// Why the delivery fails, if it does.
    pub(super) fn error_type(&self) -> Option<ErrorType> {
        if self.counters.not_stored > 0 {
            return Some(ErrorType::DeadLetterNotStored);
        }
        self.retry.as_ref().map(|failure| failure.kind().into())
    }
}

/// Handles one request, and reports it.
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

/// Does what the request asks for. Returns the trigger as the answer shows it, and the stream after
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
                // KMS shows a change everywhere only after a while: what an event says is looked at
                // now, and once more when that time is over.
                let is_looked_at_again = enqueue_second_look(ctx, event).await;
                continue_after = handle_key_event(ctx, progress, effect, key, is_looked_at_again).await;
            }
        }
    }
    (trigger, continue_after)
}

/// Does what follows from an event about `key`. Returns the stream after which an interrupted sweep
/// continues.
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
            let reason = format!("{}; it is looked at again when KMS must have settled", failure.message);
            Outcome::new(None, Status::Deferred, reason, ctx.mode())
        }
        KeyEventEffect::Failed(failure) => Outcome::failed(None, failure, ctx.mode()),
    };
    finish(ctx, progress, Outcome { key: Some(key.to_string()), ..outcome }).await;
    None
}

/// How long the streams must still wait, where the work came back too early and can be requeued.
fn too_early<'h>(ctx: &RequestContext<'_, 'h>) -> Option<(WorkQueueSender<'h>, Duration)> {
    let left = (ctx.request.work.not_before? - ctx.now()).to_std().ok()?;
    // SQS counts in seconds.
    ctx.requeue_sender().filter(|_| left > Duration::from_secs(1)).map(|sender| (sender, left))
}

/// Sends work that came back too early to the queue again.
async fn requeue_until(
    ctx: &RequestContext<'_, '_>,
    progress: &mut RequestProgress,
    streams: &[StreamRef],
    sender: WorkQueueSender<'_>,
    left: Duration,
) {
    for stream in streams {
        let reason = format!("not to be worked on for another {} s", left.as_secs());
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

/// Makes each of many streams a work item of its own. Those that the queue does not take fail.
async fn enqueue_streams(
    ctx: &RequestContext<'_, '_>,
    progress: &mut RequestProgress,
    streams: &[StreamRef],
    sender: WorkQueueSender<'_>,
) {
    let reason = format!("one of {} streams", streams.len());
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
