//! Denied calls of producers and consumers: who is cut off is reported, once an hour, and sweeps are
//! halted while the function itself is the cause.
//!
//! They come by a queue of their own, thousands in a batch where one producer is broken. Nothing of
//! such a batch is delivered again or dead-lettered: the next denied call says the same.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::accounts::Accounts;
use super::context::{Handler, Invocation, InvocationContext, OnMessage, RequestContext};
use super::delivery::{RequestProgress, finish, flush_events};
use super::request::conclude;
use crate::aws::rate_limit::RateShare;
use crate::aws::sqs::WorkQueue;
use crate::deadline::Deadline;
use crate::decide::contest::Recorded;
use crate::decide::denials::{AccessState, Application, Calls, HISTORY_LAG, Halt, Heard, Subject, sentence};
use crate::domain::denial::Trouble;
use crate::domain::failure::{Failure, Step, code};
use crate::domain::mode::Mode;
use crate::domain::outcome::{Outcome, Status, Warning};
use crate::domain::stream::StreamArn;
use crate::domain::trigger_facts::TriggerFacts;
use crate::event::denials::{DenialMessage, again, read};
use crate::event::{FindingFacts, Request, RequestOptions, Scope, Trigger, TriggerKind, WorkItemContext};
use crate::policy::EffectivePolicy;
use crate::settings::Settings;

/// What is to be reported about a group.
struct Report {
    subject: Subject,
    calls: Calls,
    applied: Option<Application>,
}

impl Report {
    fn is_ours(&self) -> bool {
        self.applied.is_some()
    }
}

/// How often the state is written again because another environment wrote it at the same time.
const MOST_WRITES: usize = 3;

impl Handler {
    /// Handles a batch of the queue of denied calls. Its messages are one request with one report,
    /// which `on_message` gets with an empty message ID.
    pub(super) async fn denials(
        &self,
        records: &[Value],
        invocation: &Invocation,
        dry_run: bool,
        on_message: Option<&OnMessage<'_>>,
    ) -> Value {
        let deadline = Deadline::at(invocation.deadline, &self.clock);
        let Settings { key, mode, on_other_key, .. } = &self.settings;
        // The policy says nothing about denied calls, and is not read.
        let (policy, key) = (Arc::default(), key.clone());
        let rules = EffectivePolicy { policy, key, mode: *mode, on_other_key: *on_other_key };
        let share = (RateShare::Worker, self.function.as_str());
        let accounts = Accounts::new(&self.settings, &self.aws, &self.clock, deadline, share);
        let old_policy = false;
        let shared = InvocationContext { handler: self, invocation, deadline, accounts, rules, old_policy, on_message };
        let request = request(dry_run);
        let ctx = RequestContext::new(&shared, &request, std::slice::from_ref(&request), None);
        let mut progress = RequestProgress::new(&ctx);
        let (mut heard, mut again) = (Heard::default(), Vec::new());
        for record in records {
            match read(record) {
                DenialMessage::Denied(denial) => heard.add(denial, ctx.now()),
                DenialMessage::Again(groups) => again.extend(groups),
                DenialMessage::Unknown => progress.counters.messages_dropped += 1,
            }
        }
        report_denials(&ctx, &mut progress, heard, again).await;
        flush_events(&ctx, &mut progress).await;
        let result = conclude(&ctx, progress, request.trigger.clone(), None);
        if let Some(on_message) = on_message {
            on_message("", &result.report);
        }
        json!({"batchItemFailures": []})
    }
}

/// A batch as one request.
fn request(dry_run: bool) -> Request {
    let kind = TriggerKind::AccessDenied;
    Request {
        trigger: Trigger { kind, reason: None, event_id: None, event_time: None, account: None, region: None },
        scope: Scope::Nothing,
        options: RequestOptions { dry_run, ..RequestOptions::default() },
        facts: TriggerFacts::default(),
        work: WorkItemContext::default(),
        finding: FindingFacts::default(),
        manual: false,
        relayed: false,
        redrives: 0,
        payload: Value::Null,
    }
}

/// Reports the groups of `heard` that were not reported in this hour, and those of `again` that the
/// history now shows as the function's own doing.
pub(super) async fn report_denials(
    ctx: &RequestContext<'_, '_>,
    progress: &mut RequestProgress,
    heard: Heard,
    again: Vec<(Subject, Calls)>,
) {
    let Heard { groups, calls, beyond, of_service } = heard;
    progress.counters.failed_calls += calls;
    progress.counters.messages_dropped += beyond;
    if of_service > 0 {
        tracing::info!(calls = of_service, "KMS throttled or failed calls of Kinesis, which cuts nobody off");
    }
    if groups.is_empty() && again.is_empty() {
        return;
    }
    let now = ctx.now();
    let (mut state, version) = read_state(ctx).await;
    let halts = ctx.handler().settings.halt_on_access_denied;
    let mut is_changed = false;
    let (new, known): (Vec<_>, Vec<_>) =
        groups.into_iter().partition(|(subject, _)| !state.is_reported(subject, false, now));
    for (subject, calls) in known.iter().filter(|_| halts) {
        is_changed |= state.deny(subject, calls.last, None, now);
    }
    let unknown = again.into_iter().filter(|(subject, _)| !state.is_reported(subject, true, now));
    let unknown: Vec<_> = unknown.map(|group| (false, group)).collect();
    let (mut reports, mut unreported) = (Vec::new(), 0);
    for (is_new, (subject, calls)) in new.into_iter().map(|group| (true, group)).chain(unknown) {
        let applied = applied(ctx, &subject, &calls).await;
        if !is_new && applied.is_none() {
            continue;
        }
        if halts {
            is_changed |= state.deny(&subject, calls.last, applied.as_ref().map(|applied| applied.at), now);
        }
        let as_new = is_new && state.report(&subject, false, now);
        let as_ours = applied.is_some() && state.report(&subject, true, now);
        if as_new || as_ours {
            reports.push(Report { subject, calls, applied });
        } else {
            unreported += 1;
        }
    }
    if unreported > 0 {
        progress.counters.messages_dropped += unreported;
        tracing::warn!(groups = unreported, "more principals are cut off than are reported in one hour");
    }
    match state.halt(now) {
        _ if !halts => {}
        Halt::None => {}
        Halt::On { until, because, .. } => {
            progress.counters.halted += 1;
            tracing::warn!(%until, because, "sweeps are halted");
        }
        Halt::UsedUp { because } => tracing::warn!(because, "sweeps were halted for as long as they may be, and go on"),
    }
    if ctx.request.options.dry_run {
        is_changed = false;
    } else if !reports.is_empty() {
        is_changed = true;
        look_again(ctx, &reports).await;
    }
    if is_changed {
        // What cannot be stored was logged, and this process remembers it.
        let _ = write_state(ctx, state, version, &mut reports).await;
    }
    for report in reports {
        finish(ctx, progress, outcome(ctx, report)).await;
    }
}

/// Ends the halt of sweeps, as a person asks. `trigger` says what became of it.
pub(super) async fn resume(ctx: &RequestContext<'_, '_>, progress: &mut RequestProgress, trigger: &mut Trigger) {
    if !ctx.by_person() {
        let detail = "resume is accepted from a direct invocation only, not through a queue, a topic or a pipe";
        let refused = Failure::new(Step::ReadEvent, code::UNKNOWN_PAYLOAD, &"the payload", detail);
        return finish(ctx, progress, Outcome::failed(None, refused, ctx.mode())).await;
    }
    let (mut state, version) = read_state(ctx).await;
    let Some(since) = state.resume(ctx.now()) else {
        (trigger.kind, trigger.reason) = (TriggerKind::Ignored, Some("sweeps are not halted".to_owned()));
        return;
    };
    if ctx.request.options.dry_run {
        trigger.reason = Some(format!("sweeps are halted since {since}, and would go on"));
        return;
    }
    match write_state(ctx, state, version, &mut Vec::new()).await {
        Ok(()) => trigger.reason = Some(format!("sweeps were halted since {since}, and go on within a minute")),
        Err(failure) => finish(ctx, progress, Outcome::failed(None, failure, ctx.mode())).await,
    }
}

fn outcome(ctx: &RequestContext<'_, '_>, Report { subject, calls, applied }: Report) -> Outcome {
    let status = if subject.trouble == Trouble::Denied { Status::AccessDenied } else { Status::KeyAtRisk };
    let reason = sentence(&subject, &calls, applied.as_ref());
    let Calls { actions, code: error, count, first, last, .. } = calls;
    let (principal, applied_at) = (subject.principal, applied.map(|applied| applied.at));
    let warning = Warning::CallsFailed { principal, actions, error, count, first, last, applied_at };
    Outcome { key: subject.key, warnings: vec![warning], ..Outcome::new(subject.stream, status, reason, ctx.mode()) }
}

/// When the function applied the key that was denied, if it did in the last 24 hours: by the event
/// history, which is read once per invocation and account, and by what this process remembers.
async fn applied(ctx: &RequestContext<'_, '_>, subject: &Subject, calls: &Calls) -> Option<Application> {
    // In audit mode nothing is applied, and the history may not be read.
    if ctx.mode() == Mode::Audit {
        return None;
    }
    let stream: Option<StreamArn> = subject.stream.as_deref().and_then(|stream| stream.parse().ok());
    let accounts = &ctx.invocation.accounts;
    let account = match &stream {
        Some(arn) => accounts.get(arn.account(), arn).await.ok()?,
        None => accounts.own(),
    };
    let history = &account.at_work.history;
    history.read().await;
    let changes = match history.recorded() {
        Recorded::Read(changes) | Recorded::Partial(changes) => changes,
        Recorded::NotRead | Recorded::UnreadableNow(_) | Recorded::Unreadable => &[],
    };
    subject.applied(calls, changes, history.own_role()).or_else(|| {
        let stream = stream?;
        let accepted = account.aws.encryption.as_ref()?.accepted(&stream);
        let at = accepted.into_iter().filter(|at| *at <= calls.last).max()?;
        Some(Application { stream: stream.name().to_owned(), at })
    })
}

/// Sends the groups that are not known to be the function's own doing to the queue once more: the
/// event history lags.
async fn look_again(ctx: &RequestContext<'_, '_>, reports: &[Report]) {
    let unknown = reports.iter().filter(|report| !report.is_ours() && report.subject.trouble == Trouble::Denied);
    let groups: Vec<_> = unknown.map(|report| (&report.subject, &report.calls)).collect();
    let Some(sender) = ctx.handler().aws.denials.as_ref().and_then(WorkQueue::sender) else { return };
    if groups.is_empty() {
        return;
    }
    let delay = HISTORY_LAG.to_std().unwrap_or(Duration::ZERO);
    if let Err(error) = sender.send(&again(&groups), delay, ctx.deadline().write_until()).await {
        tracing::warn!(code = error.failure.code, error = %error.failure, "denied calls are not looked at again");
    }
}

/// What is known, and the version in which it is stored. If it cannot be read, what this process
/// knew last: a group is rather reported twice than not at all.
async fn read_state(ctx: &RequestContext<'_, '_>) -> (AccessState, Option<i64>) {
    let Some(parameter) = &ctx.handler().aws.access_state else { return (AccessState::default(), None) };
    let (text, version) = match parameter.read(None, ctx.deadline().look_until()).await {
        Ok(stored) => (stored.text, Some(stored.version)),
        Err(failure) => {
            tracing::warn!(code = failure.code, error = %failure, "what is known of denied calls could not be read");
            (parameter.last_known(), None)
        }
    };
    let state = AccessState::parse(&text).unwrap_or_else(|error| {
        tracing::warn!(error, "what is known of denied calls is not valid, and is replaced");
        AccessState::default()
    });
    (state, version)
}

/// Stores what is known. What another environment has reported in the meantime is taken out of
/// `reports`: of two that read the same version, the one that wrote first reports.
async fn write_state(
    ctx: &RequestContext<'_, '_>,
    mut state: AccessState,
    mut version: Option<i64>,
    reports: &mut Vec<Report>,
) -> Result<(), Failure> {
    let Some(parameter) = &ctx.handler().aws.access_state else { return Ok(()) };
    for _ in 0..MOST_WRITES {
        let text = state.to_text();
        let written = match parameter.write(&text, ctx.deadline().write_until()).await {
            Ok(written) => written,
            Err(failure) => {
                tracing::warn!(code = failure.code, error = %failure, "what is known of denied calls could not be stored");
                return Err(failure);
            }
        };
        if version.is_none_or(|version| written <= version + 1) {
            break;
        }
        // It may also be this version itself, whose write was repeated.
        let Ok(other) = parameter.read(Some(written - 1), ctx.deadline().look_until()).await else { break };
        let Some(other) = AccessState::parse(&other.text).ok().filter(|_| other.text != text) else { break };
        reports.retain(|report| !other.is_reported(&report.subject, report.is_ours(), ctx.now()));
        state.join(&other);
        version = Some(written);
    }
    Ok(())
}
