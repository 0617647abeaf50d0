//! Sweeps: every stream of one or several accounts, in this invocation or through the work queue.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::accounts::Account;
use super::context::RequestContext;
use super::delivery::{RequestProgress, finish, finish_stream, finish_with_event, try_enqueue};
use super::expiring_keys::report_expiring;
use crate::aws::sqs::WorkQueueSender;
use crate::decide::DesiredKey;
use crate::decide::disposition::{RetryScope, retry_delay};
use crate::domain::failure::{Class, Failure, Kind};
use crate::domain::key::KeyRef;
use crate::domain::outcome::{Outcome, Status};
use crate::domain::stream::StreamRef;
use crate::event::{Fleets, Request, TriggerKind, WorkTarget};
use crate::report::OutcomeSummary;
use crate::sweep::fan_out::fan_out;
use crate::sweep::filter::SweepFilter;
use crate::sweep::{Pages, SweepInterrupted, sweep};

/// Sweeps the accounts of `fleets`. With a work queue, each member account's sweep becomes a work
/// item of its own, so that accounts neither wait for each other nor hide each other's failures.
///
/// Returns the stream after which an interrupted sweep continues.
pub(super) async fn sweep_accounts(
    ctx: &RequestContext<'_, '_>,
    progress: &mut RequestProgress,
    fleets: &Fleets,
    start_after: Option<String>,
) -> Option<String> {
    progress.summary = OutcomeSummary::of_sweep();
    if let Some(reason) = left_to_others(ctx).await {
        progress.left_to_others = Some(reason);
        // If that goes on, `SilenceAlarm` has to notice.
        progress.counters.scheduled_sweeps = 0;
        return None;
    }
    let members: Vec<_> = match fleets {
        Fleets::Own => vec![],
        Fleets::All => ctx.invocation.accounts.members().collect(),
        Fleets::Account(account) => return sweep_account(ctx.clone(), progress, Some(account), start_after).await,
    };
    let ctx = if members.is_empty() { ctx.clone() } else { ctx.beside_other_work() };
    let mut remaining = Vec::new();
    for member in members {
        match enqueue_sweep(&ctx, member).await {
            Some(queued) => finish(&ctx, progress, queued).await,
            None => remaining.push(member),
        }
    }
    let mut continue_after = sweep_account(ctx.clone(), progress, None, start_after).await;
    for member in remaining {
        let after = sweep_account(ctx.clone(), progress, Some(member), None).await;
        continue_after = continue_after.or(after);
    }
    continue_after
}

/// How many messages may wait in the work queue before a sweep is left to the next one.
const MOST_WAITING: u64 = 50;

/// Why a sweep that nobody asked for in person is not made now, if so: the work of an earlier one
/// still waits. The waiting messages look at their streams in any case, and the schedule at all.
async fn left_to_others(ctx: &RequestContext<'_, '_>) -> Option<String> {
    let Request { manual, trigger, redrives, .. } = ctx.request;
    let by_person = *redrives > 0 || *manual && ctx.message.is_none();
    // What a rotation or an alias that points elsewhere asks for: neither the waiting messages nor
    // the next sweep would make up for it.
    let asks_for_more = ctx.reapply().is_some() || ctx.facts.repointed_alias.is_some();
    // A work item is a part of a sweep, which was begun already.
    if by_person || asks_for_more || trigger.kind == TriggerKind::WorkItem || ctx.sender().is_none() {
        return None;
    }
    match ctx.handler().aws.work.as_ref()?.waiting(ctx.deadline().look_until()).await {
        Ok(waiting) if waiting > MOST_WAITING => Some(format!(
            "about {waiting} messages of earlier work wait in the work queue: the sweep is left to the next one"
        )),
        Ok(_) => None,
        Err(error) => {
            tracing::warn!(code = error.failure.code, error = %error.failure, "length of the work queue is not known");
            None
        }
    }
}

/// Sends the sweep of a member account to the work queue; `None` if it could not be sent.
async fn enqueue_sweep(ctx: &RequestContext<'_, '_>, member: &str) -> Option<Outcome> {
    let sender = ctx.requeue_sender()?;
    let sweep = WorkTarget::Sweep { start_after: None, account: Some(member.to_owned()) };
    let item = ctx.work_item_for(sweep, "part of a sweep of several accounts".to_owned());
    let sent = try_enqueue(ctx, sender, "sweep of a member account", &item, Duration::ZERO).await;
    let reason = format!("the sweep of account {member} was sent to the work queue");
    sent.then(|| Outcome::new(None, Status::Queued, reason, ctx.mode()))
}

/// Sweeps every stream of an account, the function's own if none is named. A failure that all
/// streams share, such as an unusable key, is found first and reported once.
async fn sweep_account(
    mut ctx: RequestContext<'_, '_>,
    progress: &mut RequestProgress,
    account: Option<&str>,
    start_after: Option<String>,
) -> Option<String> {
    let own = ctx.handler().settings.own_account();
    ctx.member = account.filter(|account| own != Some(account)).map(str::to_owned);
    let accounts = &ctx.invocation.accounts;
    let account = match &ctx.member {
        None => accounts.own(),
        Some(member) => match accounts.member(member, &format!("the streams of account {member}")).await {
            Ok(account) => account,
            Err(failure) => {
                let event = event_of_sweep(&ctx, start_after.as_deref());
                finish_with_event(&ctx, progress, Outcome::failed(None, failure, ctx.mode()), &event).await;
                return None;
            }
        },
    };
    let keys = ctx.invocation.rules.keys_in(account.id, &ctx.handler().aws.region);
    let looked_up = look_up(account, &keys).await;
    let desired: Vec<_> =
        looked_up.iter().filter_map(|(_, key)| Some(key.as_ref().ok()?.key_id().to_owned())).collect();
    if ctx.request.work.swept_with.as_ref() == Some(&desired) {
        progress.left_to_others =
            Some("the keys are what they were at the first look, which led to a sweep with them".to_owned());
        return None;
    }
    let unusable = unusable(looked_up);
    // Each unusable key is reported once, and does not delay the streams of the other keys.
    if keys.len() > 1 && !unusable.is_empty() {
        ctx.retry_scope = RetryScope::AlsoOtherWork;
    }
    for (key, failure) in &unusable {
        let outcome = Outcome { key: Some(key.to_string()), ..Outcome::failed(None, failure.clone(), ctx.mode()) };
        finish_with_event(&ctx, progress, outcome, &event_of_sweep(&ctx, start_after.as_deref())).await;
    }
    if unusable.len() == keys.len() {
        return None;
    }
    report_expiring(&ctx, progress, account, &keys, start_after.is_none()).await;
    ctx.reported = unusable.iter().map(|(_, failure)| failure.message.clone()).collect();
    let unusable: Vec<_> = unusable.iter().map(|(key, _)| *key).collect();
    let filter = SweepFilter::read(
        &account.aws.tagging,
        ctx.handler().settings.exempt_tag_key.as_deref(),
        &ctx.invocation.rules,
        &unusable,
        ctx.now().date_naive(),
        ctx.deadline().look_until(),
    );
    let suspects = async {
        if ctx.encryption(account).is_some() { account.at_work.history.foreign_changes().await } else { HashMap::new() }
    };
    let (filter, suspects) = tokio::join!(filter, suspects);
    ctx.from_history = suspects;
    let pages =
        Pages { streams: &account.aws.streams, filter: &filter, clock: &ctx.handler().clock, deadline: ctx.deadline() };
    let ended = match ctx.sender() {
        Some(sender) => enqueue_each(&ctx, progress, &pages, sender, start_after.clone()).await,
        None => reconcile_each(&ctx, progress, account, &pages, start_after.clone()).await,
    };
    let Err(interrupted) = ended else {
        progress.swept_with = Some(desired).filter(|desired| desired.len() == keys.len() && unusable.is_empty());
        return None;
    };
    finish_interrupted(&ctx, progress, interrupted, start_after.as_ref()).await
}

/// Each of `keys` in canonical form, or why it cannot be looked up.
async fn look_up<'k>(account: &Account<'_>, keys: &[&'k KeyRef]) -> Vec<(&'k KeyRef, Result<DesiredKey, Failure>)> {
    let mut found = Vec::new();
    for key in keys {
        found.push((*key, account.at_work.keys.desired(key).await));
    }
    found
}

/// The unusable keys, each with its failure.
fn unusable(keys: Vec<(&KeyRef, Result<DesiredKey, Failure>)>) -> Vec<(&KeyRef, Failure)> {
    let mut unusable = Vec::new();
    for (key, found) in keys {
        if let Err(failure) | Ok(DesiredKey::Key { trouble: Some(failure), .. }) = found {
            unusable.push((key, failure));
        }
    }
    unusable
}

/// Reconciles every stream within this invocation.
async fn reconcile_each(
    ctx: &RequestContext<'_, '_>,
    progress: &mut RequestProgress,
    account: &Account<'_>,
    pages: &Pages<'_>,
    start_after: Option<String>,
) -> Result<(), SweepInterrupted> {
    let stream_ctx = ctx.beside_other_work();
    let context = ctx.reconcile_context(account);
    let each = async |stream, outcome| finish_stream(&stream_ctx, progress, &stream, outcome).await;
    sweep(pages, start_after, &context, each).await
}

/// Sends a work item for every stream, which the workers reconcile.
async fn enqueue_each(
    ctx: &RequestContext<'_, '_>,
    progress: &mut RequestProgress,
    pages: &Pages<'_>,
    sender: WorkQueueSender<'_>,
    start_after: Option<String>,
) -> Result<(), SweepInterrupted> {
    let item = |stream: &StreamRef| {
        let mut item = ctx.work_item_for(WorkTarget::Stream(stream.clone()), "part of a sweep".to_owned());
        item.facts.foreign_change = ctx.foreign_change(stream.name()).cloned();
        item
    };
    let each = |outcome: Outcome| {
        let (stream, status) = (outcome.stream.as_deref().unwrap_or_default(), outcome.status.as_str());
        tracing::debug!(stream, status, "stream listed");
        progress.summary.add(outcome);
    };
    fan_out(pages, start_after, sender, ctx.mode(), item, each).await
}

/// Finishes a sweep that was interrupted: its rest is queued, or the request is retried, or the
/// rest is dead-lettered. Returns the stream that was reached last.
async fn finish_interrupted(
    ctx: &RequestContext<'_, '_>,
    progress: &mut RequestProgress,
    SweepInterrupted { after, failure }: SweepInterrupted,
    start_after: Option<&String>,
) -> Option<String> {
    let advanced = after.as_ref() != start_after;
    let out_of_time = ctx.deadline().work_until() <= ctx.handler().clock.instant();
    let beside_other_work = ctx.retry_scope == RetryScope::AlsoOtherWork;
    let is_worth_queueing = advanced || beside_other_work || failure.kind() == Kind::Unsettled;
    if failure.class == Class::Retryable
        && is_worth_queueing
        && enqueue_rest_of_sweep(ctx, after.clone(), &failure).await
    {
        return after;
    }
    // If nothing was done yet, the request itself is retried. Otherwise a dead letter continues
    // where the sweep stopped.
    let ctx = if advanced || out_of_time { &ctx.beside_other_work() } else { ctx };
    let rest = rest_of_sweep(ctx, after.as_deref());
    finish_with_event(ctx, progress, Outcome::failed(None, failure, ctx.mode()), &rest).await;
    after
}

/// Sends the rest of a sweep to the work queue; returns whether it was sent.
async fn enqueue_rest_of_sweep(ctx: &RequestContext<'_, '_>, after: Option<String>, failure: &Failure) -> bool {
    let Some(sender) = ctx.requeue_sender() else { return false };
    let reason = format!("the rest of an interrupted sweep: {}", failure.message);
    let item = ctx.work_item_for(WorkTarget::Sweep { start_after: after, account: ctx.member.clone() }, reason);
    let hops = ctx.request.work.hops;
    let delay = if failure.kind() == Kind::Unsettled { Duration::ZERO } else { retry_delay(hops + 1) };
    try_enqueue(ctx, sender, "rest of the sweep", &item, delay).await
}

/// The event in a dead letter about an account's sweep: the request's payload, unless that concerns
/// other accounts, too.
fn event_of_sweep(ctx: &RequestContext<'_, '_>, start_after: Option<&str>) -> Value {
    match &ctx.member {
        Some(member) if ctx.request.trigger.account.as_ref() != Some(member) => rest_of_sweep(ctx, start_after),
        _ => ctx.request.payload.clone(),
    }
}

/// A payload that continues the sweep: a manual request, or a work item if there are facts to
/// carry.
fn rest_of_sweep(ctx: &RequestContext<'_, '_>, after: Option<&str>) -> Value {
    if ctx.facts.repointed_alias.is_some() || ctx.facts.rotated_key.is_some() || ctx.request.options.reapply {
        let sweep = WorkTarget::Sweep { start_after: after.map(str::to_owned), account: ctx.member.clone() };
        return json!(ctx.work_item_for(sweep, "the rest of an interrupted sweep".to_owned()));
    }
    let mut rest = json!({"sweep": true});
    for (name, value) in [("startAfter", after), ("account", ctx.member.as_deref())] {
        if let Some(value) = value {
            rest[name] = json!(value);
        }
    }
    rest
}
