//! Reconciles one stream: observe, decide, do exactly one thing, until nothing is left to do or the
//! time is up.
//!
//! The thinking happens in [`decide`](crate::decide). This module fetches the facts that are asked
//! for, sends the start, and waits. It cannot fail: the [`Outcome`] says how it ended.

pub mod change_history;
pub mod key_cache;
mod locks;
mod observe;
mod outcome;
mod start;

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use self::change_history::ChangeHistory;
use self::key_cache::KeyCache;
pub use self::locks::StreamLocks;
use self::observe::{Incarnation, Observation};
use crate::aws::kinesis::{Encryption, Streams};
use crate::aws::ssm::StateParameter;
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::decide::contest::ChangeEvidence;
use crate::decide::denials::Halt;
use crate::decide::{
    Decision, Fact, Facts, ManagedAccounts, PauseReason, Pending, RefusedStart, Settled, StartFacts, Verdict, decide,
};
pub use crate::decide::{Enforcement, RequestFacts};
use crate::domain::encryption_change::ForeignChange;
use crate::domain::failure::{Class, Failure};
use crate::domain::grace::GraceState;
use crate::domain::outcome::{DeferReason, Deferral, Outcome};
use crate::domain::stream::{StreamArn, StreamRef};
use crate::domain::trigger_facts::TriggerFacts;
use crate::policy::{EffectivePolicy, Requirement};
use crate::settings::Settings;

/// What a stream is reconciled with.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The account that the stream lies in.
    pub account: &'a Account<'a>,
    /// Changes encryption; `None` in audit mode and dry runs.
    pub encryption: Option<&'a Encryption>,
    /// What is enforced.
    pub enforcement: Enforcement<'a>,
    /// What the trigger says beyond where to look.
    pub trigger: &'a TriggerFacts,
    /// By stream name, the changes of others that a sweep found in the history.
    pub from_history: Option<&'a HashMap<String, ForeignChange>>,
    /// How the request wants it done.
    pub request: RequestFacts,
    /// What is known of denied calls, which may halt a sweep; `None` where nothing halts it.
    pub access_state: Option<&'a StateParameter>,
    /// When to stop.
    pub deadline: Deadline,
}

/// The clients and caches for one account. Whatever is looked up is looked up once per invocation.
#[derive(Debug)]
pub struct Account<'a> {
    /// Reads streams.
    pub streams: &'a Streams,
    /// The keys that streams are to have, and those that they have.
    pub keys: KeyCache<'a>,
    /// Who changed streams' encryption in the last 24 hours.
    pub history: ChangeHistory<'a>,
    /// Keeps requests about the same stream apart.
    pub locks: StreamLocks,
    /// The time.
    pub clock: &'a Clock,
}

impl<'a> Enforcement<'a> {
    /// What `settings` enforce with `policy`.
    #[must_use]
    pub fn new(settings: &'a Settings, policy: &'a EffectivePolicy) -> Self {
        Self {
            policy,
            exempt_tag_key: settings.exempt_tag_key.as_deref(),
            iac_grace: settings.iac_grace,
            max_applies: usize::try_from(settings.max_applies_per_day).unwrap_or(usize::MAX),
            accounts: ManagedAccounts {
                own: settings.own_account(),
                members: settings.members.as_ref().map_or(&[], |members| &members.accounts),
            },
        }
    }
}

/// Reconciles `target`, and says how that ended.
pub async fn reconcile(target: &StreamRef, context: &Context<'_>) -> Outcome {
    let mut before = context.account.locks.lock(target).await;
    let mut reconciliation = Reconciliation::new(target.clone(), context);
    reconciliation.earlier_attempt = before.attempt;
    reconciliation.waits_in_queue = before.waits_in_queue;
    // Boxed: the SDK's futures are some 20 KB, and a sweep holds many of these.
    let result = Box::pin(reconciliation.run()).await;
    before.attempt = reconciliation.last_attempt();
    before.waits_in_queue = result.waits_in_queue();
    reconciliation.outcome(result)
}

/// How it ended.
enum ReconcileResult {
    Settled(Settled),
    Deferred(Deferral),
    Failed(Failure),
}

impl ReconcileResult {
    /// Whether the stream is to wait for AWS in the work queue.
    fn waits_in_queue(&self) -> bool {
        matches!(self, Self::Deferred(Deferral { until: DeferReason::Unsettled { .. }, .. }))
    }
}

impl From<Failure> for ReconcileResult {
    fn from(failure: Failure) -> Self {
        if failure.class == Class::Gone { Self::Settled(Settled::Gone(failure.message)) } else { Self::Failed(failure) }
    }
}

/// A start of ours.
#[derive(Clone, Copy, Debug)]
struct StartAttempt {
    at: Instant,
    accepted: bool,
    seen_updating: bool,
    /// Since when the stream, once UPDATING, is shown ACTIVE without the key.
    undone_since: Option<Instant>,
}

/// What is to be done after a decision was carried out.
enum Next {
    /// Ask again, with one more fact.
    Decide,
    /// Observe the stream first.
    Observe,
}

/// One stream at work.
struct Reconciliation<'a> {
    context: &'a Context<'a>,
    target: StreamRef,
    arn: Option<StreamArn>,
    observation: Option<Observation>,
    /// What is known of the stream. Deleted and created again it is another stream, of which
    /// nothing is known.
    incarnation: Incarnation,
    /// The start that another request of this invocation sent.
    earlier_attempt: Option<locks::Attempt>,
    /// Whether another request of this invocation has sent it to the work queue to wait there.
    waits_in_queue: bool,
    requirement: Option<Requirement<'a>>,
    /// Whether sweeps are halted, as soon as that is known.
    halt: Option<Halt>,
    /// When the stream was first observed.
    first_observed: Option<Instant>,
    /// When the first wait began.
    first_wait: Option<Instant>,
    waited: Duration,
}

impl<'a> Reconciliation<'a> {
    fn new(target: StreamRef, context: &'a Context<'a>) -> Self {
        let arn = match &target {
            StreamRef::Arn(arn) => Some(arn.clone()),
            StreamRef::Name(_) => None,
        };
        let GraceState { active_since, deferrals, .. } = context.trigger.grace;
        Self {
            context,
            target,
            arn,
            observation: None,
            incarnation: Incarnation { active_since, grace_waits: deferrals, ..Incarnation::default() },
            earlier_attempt: None,
            waits_in_queue: false,
            requirement: None,
            halt: None,
            first_observed: None,
            first_wait: None,
            waited: Duration::ZERO,
        }
    }

    async fn run(&mut self) -> ReconcileResult {
        let mut next = Next::Observe;
        loop {
            if let Next::Observe = next
                && let Err(failure) = self.observe().await
            {
                return failure.into();
            }
            next = match self.decide() {
                Decision::Done(settled) => return ReconcileResult::Settled(settled),
                Decision::Defer(deferral) => return ReconcileResult::Deferred(deferral),
                Decision::Fail(failure) => return failure.into(),
                Decision::Need(Fact::FreshObservation) => Next::Observe,
                Decision::Need(fact) => match self.fetch(fact).await {
                    Ok(()) => Next::Decide,
                    Err(failure) => return failure.into(),
                },
                Decision::Apply(reason) => match self.context.encryption {
                    Some(encryption) => self.start(encryption, reason).await,
                    // Without the means to write nothing is ever applied, whatever was decided.
                    None => return ReconcileResult::Settled(Settled::WouldApply(reason)),
                },
                Decision::Poll(pending) => {
                    if pending == Pending::Undone {
                        self.remember_undone();
                    }
                    let since = self.incarnation.polling_since.unwrap_or_else(|| self.now());
                    self.poll(since).await;
                    Next::Observe
                }
                Decision::Pause(pause, reason) => {
                    self.before_pause(reason);
                    self.pause_until(self.now() + pause).await;
                    Next::Observe
                }
            };
        }
    }

    /// Asks what to do, and keeps what the answer says besides.
    fn decide(&mut self) -> Decision {
        let Some(observation) = &self.observation else { return Decision::Need(Fact::FreshObservation) };
        let (Context { account, trigger, .. }, state) = (self.context, &self.incarnation);
        let now = self.now();
        let accepted = self.context.encryption.map(|encryption| encryption.accepted(&observation.description.arn));
        let Verdict { decision, requirement, warnings } = decide(&Facts {
            stream: &observation.description,
            observed_ago: now - observation.at,
            in_hand: self.first_observed.map_or(Duration::ZERO, |first| observation.at - first),
            waits_in_queue: self.waits_in_queue,
            tags: state.tags.as_deref(),
            keys: observation.keys.as_ref(),
            impact: observation.impact.as_ref(),
            start: self.start_sent().map(|StartAttempt { at, accepted, seen_updating, undone_since }| StartFacts {
                accepted,
                seen_updating,
                undone_for: undone_since.map(|since| observation.at - since),
                ago: observation.at - at,
            }),
            refusal: state.refusal.as_ref().map(|refusal| RefusedStart {
                failure: &refusal.failure,
                count: refusal.count,
                retry_after: refusal.retry_after,
            }),
            last_refusal: state.last_refusal.as_ref(),
            seen_changing: state.seen_changing,
            grace: GraceState {
                actor: trigger.grace.actor,
                active_since: state.active_since,
                deferrals: state.grace_waits,
            },
            trigger,
            foreign_change: trigger.foreign_change_of(observation.description.arn.name(), self.context.from_history),
            evidence: ChangeEvidence {
                accepted: accepted.as_deref().unwrap_or_default(),
                recorded: account.history.recorded(),
                own_role: account.history.own_role(),
            },
            halt: self.halt.as_ref(),
            enforcement: self.context.enforcement,
            request: self.context.request,
            may_write: self.context.encryption.is_some(),
            now: account.clock.utc(),
            time_left: self.context.deadline.work_until().saturating_duration_since(now),
        });
        self.requirement = requirement.or(self.requirement);
        for warning in warnings {
            if !self.incarnation.warnings.contains(&warning) {
                self.incarnation.warnings.push(warning);
            }
        }
        decision
    }

    /// Sleeps until the next poll is due; never past the time for working, so that one last
    /// observation follows.
    async fn poll(&mut self, since: Instant) {
        let now = self.now();
        let next = now + self.context.account.streams.calls().jittered(poll_interval(now - since));
        self.pause_until(next).await;
        self.incarnation.polling_since = Some(since);
    }

    fn before_pause(&mut self, reason: PauseReason) {
        let state = &mut self.incarnation;
        match (reason, state.refusal.take()) {
            (PauseReason::Grace, _) => state.grace_waits += 1,
            (PauseReason::InUse | PauseReason::Throttled, refusal) => {
                if let Some(refusal) = refusal {
                    if reason == PauseReason::Throttled {
                        tracing::warn!(
                            code = refusal.failure.code,
                            refusals = refusal.count,
                            "start was throttled, trying again"
                        );
                    }
                    state.last_refusal = Some(refusal.failure);
                }
            }
        }
    }

    async fn pause_until(&mut self, instant: Instant) {
        let now = self.now();
        self.first_wait.get_or_insert(now);
        // What was read of the tags may change in the meantime.
        if self.incarnation.start.is_none() {
            self.incarnation.tags = None;
        }
        sleep_until(instant.min(self.context.deadline.work_until())).await;
    }

    fn now(&self) -> Instant {
        self.context.account.clock.instant()
    }
}

/// How long to wait for the next look, `waited` after the wait began: 1 s at first, then 0.35·√t
/// seconds, within 0.5 and 2.5.
///
/// With transitions of a few seconds and a long tail, the mean lag times the mean number of calls
/// is near its bound with this, and polling faster only makes many streams wait for the account's
/// 20 describes a second. Doubling would be the one bad schedule.
fn poll_interval(waited: Duration) -> Duration {
    if waited < Duration::from_millis(500) {
        return Duration::from_secs(1);
    }
    Duration::from_secs_f64((0.35 * waited.as_secs_f64().sqrt()).clamp(0.5, 2.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_are_a_second_apart_at_first_and_never_more_than_two_and_a_half() {
        for (waited, interval) in
            [(0, 1_000), (499, 1_000), (500, 500), (4_000, 700), (16_000, 1_400), (60_000, 2_500), (3_600_000, 2_500)]
        {
            let found = poll_interval(Duration::from_millis(waited)).as_millis();
            assert_eq!(found, interval, "{waited} ms");
        }
    }
}
