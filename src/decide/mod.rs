//! What to do about one stream. Pure: no clock, no I/O, no log, and it cannot fail.
//!
//! [`decide`] is asked after every observation, before *and* after the key was applied: being in
//! sync after a start is the verification; that the call was accepted never is. Where the answer
//! depends on a fact that costs a call, it asks for the fact ([`Decision::Need`]) and is asked
//! again. Nothing else decides what happens to a stream: `reconcile` fetches, waits and sends, and
//! does exactly one thing after each decision.

mod channels;
pub mod contest;
pub mod denials;
pub mod disposition;
pub mod expiry;
mod grace;
pub mod impact;
pub mod key_event;
mod keys;
mod patience;
mod reapply;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};

use self::contest::{ChangeEvidence, ContestDecision, Recorded};
use self::denials::Halt;
pub use self::grace::is_young;
use self::impact::KeyChange;
pub use self::keys::{ApplyReason, CurrentKey, DesiredKey, InSync, Keys, ManagedAccounts, OtherKeyFitness};
use self::keys::{Comparison, compare, foreign_alias};
use self::patience::LongWait;
pub use self::patience::QueueUse;
pub use self::reapply::Reapply;
use crate::domain::PolicyDocument;
use crate::domain::encryption_change::{ForeignChange, START_QUOTA};
use crate::domain::failure::{Class, Failure, Kind, Step, code};
use crate::domain::grace::GraceState;
use crate::domain::mode::Mode;
use crate::domain::outcome::{DeferReason, Deferral, Warning};
use crate::domain::stream::{Description, StreamStatus};
use crate::domain::trigger_facts::TriggerFacts;
use crate::policy::{EffectivePolicy, Exemption, PolicyDecision, Requirement, Rule, Subject, exempt_by_tag, exemption};

/// How long an accepted start may stay invisible (ACTIVE, with the old key) before it counts as
/// lost.
///
/// AWS gives no number. Recordings show UPDATING at the first describe after the call; thirty
/// seconds are generous and still let Lambda's own retries work on the stream again soon.
pub const VISIBILITY_LIMIT: Duration = Duration::from_secs(30);

/// An observation older than this is repeated before a start.
pub const FRESH: Duration = Duration::from_secs(2);

/// For how long a stream has to be shown ACTIVE without the key that was applied, after it was
/// UPDATING, before somebody else is said to have changed it: descriptions are eventually
/// consistent.
pub const SECOND_LOOK: Duration = Duration::from_secs(5);

/// What a person can do about a stream that has been changing for too long.
pub const STUCK: &str = "Find out what keeps the stream CREATING or UPDATING (DescribeStreamSummary, CloudTrail), or ask AWS \
                     Support; then redrive the dead letter. The next sweep looks at the stream again.";

/// How many times at most a start that AWS throttles is sent in one invocation. "Rate exceeded" may
/// mean that the quota of 25 applications in 24 hours is used up, and then no repetition helps.
pub const MOST_STARTS: u32 = 4;

/// Everything that the decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a, 'p> {
    /// What the last observation showed.
    pub stream: &'a Description,
    /// How long ago that was asked for.
    pub observed_ago: Duration,
    /// How long after the first observation of this invocation that was.
    pub in_hand: Duration,
    /// Whether another request of this invocation has sent it to the work queue to wait there.
    pub waits_in_queue: bool,
    /// The stream's tags; `None` while they have not been read.
    pub tags: Option<&'a [(String, String)]>,
    /// Its keys, or why they cannot be told; `None` while they have not been looked up.
    pub keys: Option<&'a Result<Keys, Failure>>,
    /// What the change would mean for others; `None` while that has not been looked up.
    pub impact: Option<&'a ImpactFacts>,
    /// The start that was sent in this invocation, if one was.
    pub start: Option<StartFacts>,
    /// The start that AWS has just refused, if it did.
    pub refusal: Option<RefusedStart<'a>>,
    /// The last refusal after which the start was put off, if there was one.
    pub last_refusal: Option<&'a Failure>,
    /// Whether the stream was seen in another state than ACTIVE.
    pub seen_changing: bool,
    /// How far the grace period has come, what was seen in this invocation included.
    pub grace: GraceState,
    /// What the trigger says beyond where to look.
    pub trigger: &'a TriggerFacts,
    /// The last change by another principal: what the trigger says, or what a sweep found.
    pub foreign_change: Option<&'a ForeignChange>,
    /// What is known of the last 24 hours.
    pub evidence: ChangeEvidence<'a>,
    /// Whether sweeps are halted; `None` while that has not been read.
    pub halt: Option<&'a Halt>,
    /// What is enforced.
    pub enforcement: Enforcement<'p>,
    /// How the request wants it done.
    pub request: RequestFacts,
    /// Whether there is the means to change encryption: not in audit mode and dry runs.
    pub may_write: bool,
    /// The time.
    pub now: DateTime<Utc>,
    /// How long the invocation can still work.
    pub time_left: Duration,
}

impl<'a, 'p> Facts<'a, 'p> {
    /// A stream as it is described, with nothing in progress: nothing was started, nobody else
    /// changes it, and there is all the time and the means to write.
    #[must_use]
    pub fn at_rest(
        stream: &'a Description,
        keys: &'a Result<Keys, Failure>,
        enforcement: Enforcement<'p>,
        trigger: &'a TriggerFacts,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            stream,
            observed_ago: Duration::ZERO,
            in_hand: Duration::ZERO,
            waits_in_queue: false,
            tags: None,
            keys: Some(keys),
            impact: None,
            start: None,
            refusal: None,
            last_refusal: None,
            seen_changing: false,
            grace: trigger.grace,
            trigger,
            foreign_change: trigger.foreign_change.as_ref(),
            evidence: ChangeEvidence { accepted: &[], recorded: Recorded::Read(&[]), own_role: None },
            halt: None,
            enforcement,
            request: RequestFacts::default(),
            may_write: true,
            now,
            time_left: Duration::MAX,
        }
    }
}

/// The part of the settings that decides about a stream.
#[derive(Clone, Copy, Debug)]
pub struct Enforcement<'a> {
    /// Which key each stream is to have, and in which mode.
    pub policy: &'a EffectivePolicy,
    /// `EXEMPT_TAG_KEY`.
    pub exempt_tag_key: Option<&'a str>,
    /// `IAC_GRACE_SECONDS`.
    pub iac_grace: Duration,
    /// `MAX_APPLIES_PER_DAY`.
    pub max_applies: usize,
    /// The function's own account and the member accounts.
    pub accounts: ManagedAccounts<'a>,
}

/// What the request says about how its streams are reconciled.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; the tests vary one at a time")]
pub struct RequestFacts {
    /// Why the key is to be re-applied where it is in place, if it is.
    pub reapply: Option<Reapply>,
    /// Whether the key that is in place is not to be re-applied although the request asks for it: it
    /// came by the work queue, and descends neither from a direct request nor from a rotation.
    pub reapply_refused: bool,
    /// Whether a person named the stream: that it does not exist is a failure then. The grace period
    /// still applies.
    pub by_name: bool,
    /// Whether a person made the request directly. Nobody can tell who wrote a message of the work
    /// queue.
    pub by_person: bool,
    /// Whether the stream can be requeued; otherwise it is waited for here.
    pub can_requeue: bool,
    /// What led to the request, if a stream that AWS is still changing can wait in the work queue;
    /// otherwise it is waited for here, until the time is up.
    pub queue: Option<QueueUse>,
    /// Whether the policy of a stream that is only judged is read, too: a call of its own, with a
    /// low rate limit.
    pub in_depth: bool,
    /// Whether it is a part of a sweep: nobody named the stream, and nothing happened to it.
    pub sweeps: bool,
}

/// A start of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartFacts {
    /// Whether AWS accepted it; otherwise its answer was lost, and nobody knows.
    pub accepted: bool,
    /// Whether the stream has been seen UPDATING since.
    pub seen_updating: bool,
    /// For how long the stream, once UPDATING, has been shown ACTIVE without the key; `None` where
    /// the last observation is the first to show it.
    pub undone_for: Option<Duration>,
    /// How long before the observation it was sent.
    pub ago: Duration,
}

/// A start that AWS refused.
#[derive(Clone, Copy, Debug)]
pub struct RefusedStart<'a> {
    /// What AWS said.
    pub failure: &'a Failure,
    /// How many starts were refused for the same reason in this invocation, this one included.
    pub count: u32,
    /// After how long it could be sent again; `None` while that has not been drawn.
    pub retry_after: Option<Duration>,
}

/// Policies that say what applying the key would mean for those who use the stream; `None` where
/// nobody asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImpactFacts {
    /// The desired key's policy.
    pub key_policy: Option<PolicyDocument>,
    /// The stream's policy.
    pub stream_policy: Option<PolicyDocument>,
}

/// What to do now, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is left to do.
    Done(Settled),
    /// The answer depends on this: fetch it, then ask again.
    Need(Fact),
    /// Apply the key.
    Apply(ApplyReason),
    /// Wait for AWS, then observe again.
    Poll(Pending),
    /// Wait for so long, then observe again.
    Pause(Duration, PauseReason),
    /// Work on the stream later, in another invocation.
    Defer(Deferral),
    /// Nothing can be done.
    Fail(Failure),
}

/// How a stream is where nothing is left to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It has an acceptable key.
    InSync(InSync),
    /// It would get the key, if this were not audit mode or a dry run.
    WouldApply(ApplyReason),
    /// It is exempt, for this reason.
    Exempt(String),
    /// It has the desired key, but that key is unusable.
    KeyAtRisk(Failure),
    /// It does not exist any more, or is being deleted: what says so.
    Gone(String),
    /// AWS is still changing it, or sweeps are halted, and the next scheduled sweep looks at it again: what says so.
    LeftToSweep(String),
}

/// A fact that `reconcile` has to obtain: by a call, by a random draw, or by a fresh look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The stream's tags.
    Tags,
    /// The key that it is to have, and the one that it has.
    Keys,
    /// What applying the key would mean for others.
    Impact,
    /// Who changed streams' encryption in the last 24 hours.
    ChangeHistory,
    /// Whether sweeps are halted.
    Halt,
    /// After how long a refused start could be sent again: drawn at random, so that many do not
    /// retry at once.
    RetryDelay,
    /// The stream as it is now.
    FreshObservation,
}

/// What is being waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pending {
    /// The stream is in this state.
    Status(StreamStatus),
    /// The start was accepted, but the stream does not show it yet.
    NotVisible,
    /// The start's answer was lost, and the stream does not show it, or not yet.
    Unconfirmed,
    /// The stream became ACTIVE without the key after a start of ours: one description may be stale.
    Undone,
}

/// Why a stream is left alone for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseReason {
    /// Its creator may bring it into compliance, and must not find it UPDATING.
    Grace,
    /// A start was refused because somebody changes the stream. Each start that is sent in vain is
    /// recorded by CloudTrail, so they become ever rarer.
    InUse,
    /// A start was throttled.
    Throttled,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict<'p> {
    /// What to do.
    pub decision: Decision,
    /// What the policy requires of the stream; `None` while that cannot be told.
    pub requirement: Option<Requirement<'p>>,
    /// What a person should know besides.
    pub warnings: Vec<Warning>,
}

/// What to do about the stream, given `facts`.
#[must_use]
pub fn decide<'p>(facts: &Facts<'_, 'p>) -> Verdict<'p> {
    let mut deliberation = Deliberation { facts, requirement: None, warnings: Vec::new() };
    let decision = deliberation.decide();
    let Deliberation { requirement, warnings, .. } = deliberation;
    Verdict { decision, requirement, warnings }
}

/// A decision in the making.
struct Deliberation<'a, 'p> {
    facts: &'a Facts<'a, 'p>,
    requirement: Option<Requirement<'p>>,
    warnings: Vec<Warning>,
}

impl<'p> Deliberation<'_, 'p> {
    fn decide(&mut self) -> Decision {
        let Facts { stream, refusal, keys, .. } = *self.facts;
        if let Some(refusal) = refusal {
            return self.after_refusal(refusal);
        }
        if stream.status == StreamStatus::Deleting {
            return Decision::Done(Settled::Gone(format!("{} is being deleted", stream.arn)));
        }
        let requirement = match self.policy() {
            PolicyDecision::Requirement(requirement) => requirement,
            // The rules may depend on what is known only of an ACTIVE stream.
            _ if stream.status != StreamStatus::Active => return self.poll(Pending::Status(stream.status.clone())),
            PolicyDecision::NeedsTags { .. } => return Decision::Need(Fact::Tags),
            PolicyDecision::Undecided { rule, missing } => {
                let detail = format!("whether rule {rule} matches depends on {missing}, which is not known");
                return self.fail(Step::ApplyPolicy, code::POLICY_UNDECIDED, &detail);
            }
        };
        self.requirement = Some(requirement);
        if let (Some(exempt), Some(rule)) = (requirement.exempt, requirement.rule) {
            return self.exempt(exempt.because(rule), exempt.until);
        }
        let keys = match keys {
            None => return Decision::Need(Fact::Keys),
            Some(Err(failure)) => return Decision::Fail(failure.clone()),
            Some(Ok(keys)) => keys,
        };
        match &stream.status {
            StreamStatus::Active => self.decide_active(requirement, keys),
            // While a stream is UPDATING its description shows the old encryption: judging it would
            // be judging the past.
            status => self.poll(Pending::Status(status.clone())),
        }
    }

    /// What the policy says, with what is known of the stream. Exemptions that have expired are
    /// warned of.
    fn policy(&mut self) -> PolicyDecision<'p> {
        let Facts { stream: Description { arn, mode, .. }, tags, enforcement, .. } = *self.facts;
        let subject = Subject { stream: arn, mode: mode.as_ref(), tags, today: self.today() };
        let (decision, expired) = enforcement.policy.rule_on(&subject);
        self.warnings.extend(expired.into_iter().map(Rule::expired_warning));
        if let Some(Exemption::Expired { reason, until }) = self.exempt_tag() {
            self.warnings.push(Warning::ExemptionExpired { reason, until: until.to_string() });
        }
        decision
    }

    /// What the exempt tag says; `None` while the tags have not been read. Where no tag exempts
    /// they need not be read.
    fn exempt_tag(&self) -> Option<Exemption> {
        match self.facts.enforcement.exempt_tag_key {
            None => Some(Exemption::None),
            Some(key) => self.facts.tags.map(|tags| exemption(tags, key, self.today())),
        }
    }

    /// The stream is ACTIVE, and both its keys are known.
    fn decide_active(&mut self, requirement: Requirement<'p>, keys: &Keys) -> Decision {
        let Facts { stream, start, trigger, request, seen_changing, enforcement, .. } = *self.facts;
        let reason = match compare(keys, requirement.on_other_key, trigger.repointed_alias.as_ref()) {
            Comparison::Differs(reason) => reason,
            Comparison::Unknown(failure) => return Decision::Fail(failure.clone()),
            // Only the key that the stream has is re-applied: another one, which is accepted,
            // stays.
            Comparison::InSync(InSync::DesiredKey) => {
                let rotated = trigger.rotated_key.as_ref();
                match reapply::reason(request.reapply, &keys.desired, rotated, seen_changing) {
                    Some(reason) if start.is_none() => match self.may_not_reapply(requirement, keys) {
                        Some(decision) => return decision,
                        None => reason,
                    },
                    _ => {
                        if request.reapply_refused {
                            self.warn_of_reapplication(reapply::FROM_QUEUE);
                        }
                        self.warnings.extend(foreign_alias(keys, &stream.arn, enforcement.policy));
                        return in_sync(keys);
                    }
                }
            }
            Comparison::InSync(in_sync) => return Decision::Done(Settled::InSync(in_sync)),
        };
        match start {
            None => self.may_apply(requirement, keys, reason),
            Some(start) => self.after_start(start),
        }
    }

    /// What follows if a key that is in place is not to be re-applied, or not yet.
    ///
    /// Whoever can write to the work queue can ask for it, so it obeys `MAX_APPLIES_PER_DAY`, which
    /// the history tells. The stream is compliant in any case.
    fn may_not_reapply(&mut self, requirement: Requirement<'p>, keys: &Keys) -> Option<Decision> {
        let Facts { stream: Description { arn, created, .. }, evidence, enforcement, request, now, .. } = *self.facts;
        if request.by_person || !self.facts.may_write || requirement.mode != Mode::Enforce {
            return None;
        }
        let max = enforcement.max_applies;
        let because = match evidence.recorded {
            Recorded::NotRead => return Some(Decision::Need(Fact::ChangeHistory)),
            // Otherwise a throttled look-up would cost the stream its re-application.
            Recorded::UnreadableNow(failure) if request.can_requeue => return Some(Decision::Fail(failure.clone())),
            Recorded::Unreadable | Recorded::UnreadableNow(_) => reapply::WITHOUT_HISTORY.to_owned(),
            Recorded::Partial(_) | Recorded::Read(_) => {
                match contest::decide_contest(arn, *created, None, &evidence, keys.desired.key_id(), max, now) {
                    ContestDecision::Stop(report) => report.to_string(),
                    ContestDecision::Apply | ContestDecision::Defer(..) => return None,
                }
            }
        };
        self.warn_of_reapplication(&because);
        Some(in_sync(keys))
    }

    fn warn_of_reapplication(&mut self, because: &str) {
        self.warnings.push(Warning::NotReapplied { because: because.to_owned() });
    }

    /// The key is to be applied, unless something speaks against it.
    fn may_apply(&mut self, requirement: Requirement<'p>, keys: &Keys, reason: ApplyReason) -> Decision {
        let Facts { time_left, last_refusal, observed_ago, stream, .. } = *self.facts;
        let may_write = self.facts.may_write && requirement.mode == Mode::Enforce;
        if let Some(decision) = self.in_grace().filter(|_| may_write) {
            return decision;
        }
        match self.exempt_tag() {
            None => return Decision::Need(Fact::Tags),
            Some(Exemption::Exempt { reason, until }) => return self.exempt(exempt_by_tag(&reason, until), until),
            Some(Exemption::Malformed { why }) => return self.fail(Step::ListTags, code::EXEMPTION_MALFORMED, &why),
            Some(Exemption::None | Exemption::Expired { .. }) => {}
        }
        if let Some(trouble) = keys.desired.trouble().cloned().or_else(|| channels::refusal(stream, &keys.desired)) {
            return Decision::Fail(trouble);
        }
        if !may_write {
            return self.would_apply(&keys.desired, reason);
        }
        if time_left.is_zero() {
            let detail = format!("the time was up before the start ({reason})");
            let out_of_time = || Failure::new(Step::StartStreamEncryption, code::OUT_OF_TIME, &stream.arn, &detail);
            return Decision::Fail(last_refusal.cloned().unwrap_or_else(out_of_time));
        }
        if let Some(decision) = self.contest(keys.desired.key_id(), &reason) {
            return decision;
        }
        if let Some(decision) = self.halted() {
            return decision;
        }
        if observed_ago > FRESH {
            return Decision::Need(Fact::FreshObservation);
        }
        Decision::Apply(reason)
    }

    /// What follows for a stream of a sweep while principals are cut off from streams that the
    /// function changed: it is left alone. Events go on.
    fn halted(&mut self) -> Option<Decision> {
        let Facts { halt, request, .. } = *self.facts;
        if !request.sweeps {
            return None;
        }
        let (warning, because) = match halt {
            None => return Some(Decision::Need(Fact::Halt)),
            Some(Halt::None) => return None,
            Some(Halt::On { since, until, because }) => {
                let until = until.to_rfc3339_opts(SecondsFormat::Secs, true);
                let what = format!(
                    "halted: {because}. Sweeps change no stream until {until}, or until you invoke the function with \
                     {{\"resume\": true}}"
                );
                (Warning::Halted { since: *since, because: because.clone() }, Some(what))
            }
            Some(Halt::UsedUp { because }) => (Warning::HaltUsedUp { because: because.clone() }, None),
        };
        self.warnings.push(warning);
        because.map(|what| Decision::Done(Settled::LeftToSweep(what)))
    }

    /// Whether the stream's creator is waited for.
    fn in_grace(&self) -> Option<Decision> {
        let Facts { stream: Description { arn, created, .. }, grace, enforcement, request, now, time_left, .. } =
            *self.facts;
        let left = grace::remaining(enforcement.iac_grace, &grace, *created, now);
        if left.is_zero() {
            return None;
        }
        if request.can_requeue {
            let until = DeferReason::Grace { since: grace.active_since };
            return Some(Decision::Defer(Deferral { after: left, until }));
        }
        if left < time_left {
            return Some(Decision::Pause(left, PauseReason::Grace));
        }
        let detail = format!(
            "not started: the stream's creator may still be working on it, its grace period has another {} s, and the \
             time is up",
            left.as_secs_f64().ceil()
        );
        Some(Decision::Fail(Failure::new(Step::Wait, code::OUT_OF_TIME, arn, &detail)))
    }

    /// What applying the key would mean, where it is not applied: nothing is in a hurry, so facts
    /// are asked for.
    fn would_apply(&mut self, desired: &DesiredKey, reason: ApplyReason) -> Decision {
        let Facts { stream, impact, foreign_change, evidence, now, .. } = *self.facts;
        let Some(ImpactFacts { key_policy, stream_policy }) = impact else { return Decision::Need(Fact::Impact) };
        self.warnings.extend(impact::warnings(&KeyChange {
            description: stream,
            key: desired.arn(),
            key_policy: key_policy.as_ref(),
            stream_policy: stream_policy.as_ref(),
            now,
        }));
        if let Some(ForeignChange { at, by, .. }) = foreign_change {
            // An event tells of one change.
            let times = contest::count_of_foreign_changes(stream.arn.name(), &evidence).max(1);
            self.warnings.push(Warning::UndoneBy { by: by.clone(), at: *at, times });
        }
        Decision::Done(Settled::WouldApply(reason))
    }

    /// What follows where another principal keeps changing the stream: it is deferred, or left
    /// alone. A person who names the stream is not delayed by that.
    fn contest(&mut self, key_id: &str, reason: &ApplyReason) -> Option<Decision> {
        let Facts { stream, foreign_change, evidence, enforcement, request, now, .. } = *self.facts;
        if request.by_person && (request.by_name || *reason == ApplyReason::Asked) {
            return None;
        }
        if foreign_change.is_some() && evidence.recorded == Recorded::NotRead {
            return Some(Decision::Need(Fact::ChangeHistory));
        }
        let Description { arn, created, .. } = stream;
        let max = enforcement.max_applies;
        match contest::decide_contest(arn, *created, foreign_change, &evidence, key_id, max, now) {
            ContestDecision::Defer(after, applied) if request.can_requeue => {
                Some(Decision::Defer(Deferral { after, until: DeferReason::Contest { applied } }))
            }
            ContestDecision::Apply | ContestDecision::Defer(..) => None,
            ContestDecision::Stop(report) => {
                if let Some(ForeignChange { at, by, .. }) = report.last.clone() {
                    self.warnings.push(Warning::UndoneBy { by, at, times: report.undone });
                }
                let failure = Failure::new(Step::StartStreamEncryption, code::CONTESTED, arn, &report.to_string());
                Some(Decision::Fail(failure.remedied(report.remedy(key_id))))
            }
        }
    }

    /// AWS answered a start with an error.
    fn after_refusal(&self, refusal: RefusedStart<'_>) -> Decision {
        let RefusedStart { failure, count, retry_after } = refusal;
        let pause = match failure.kind() {
            Kind::InUse => PauseReason::InUse,
            Kind::Throttled => PauseReason::Throttled,
            _ if failure.class == Class::Gone => return Decision::Done(Settled::Gone(failure.message.clone())),
            _ => return Decision::Fail(failure.clone()),
        };
        // AWS words a used-up quota exactly like throttling: the history tells them apart. A start
        // that cannot succeed is not sent again: CloudTrail records each, until its newest pages
        // hold nothing else.
        if failure.code == "LimitExceededException" {
            if self.facts.evidence.recorded == Recorded::NotRead {
                return Decision::Need(Fact::ChangeHistory);
            }
            if let Some(used_up) = self.quota_used_up() {
                return Decision::Fail(used_up);
            }
            // Others fill the history, so it does not tell.
            if let Recorded::Partial(_) = self.facts.evidence.recorded {
                return self.perhaps_used_up(failure);
            }
        }
        let Some(retry_after) = retry_after else { return Decision::Need(Fact::RetryDelay) };
        if pause == PauseReason::Throttled && (count >= MOST_STARTS || retry_after >= self.facts.time_left) {
            return Decision::Fail(failure.clone());
        }
        if pause == PauseReason::InUse
            && let Some(wait) = self.wait_elsewhere(retry_after, &format!("not started: {}", failure.message))
        {
            return wait;
        }
        Decision::Pause(retry_after, pause)
    }

    /// AWS throttled a start, and nobody knows whether the quota is used up: it is not repeated in
    /// place, and a scheduled sweep leaves it to the next one.
    fn perhaps_used_up(&self, failure: &Failure) -> Decision {
        if self.facts.request.queue != Some(QueueUse::ScheduledSweep) {
            return Decision::Fail(failure.clone());
        }
        let what = format!(
            "not started: {}, and the change history is too long to tell whether the quota is used up",
            failure.message
        );
        Decision::Done(Settled::LeftToSweep(what))
    }

    fn quota_used_up(&self) -> Option<Failure> {
        let Facts { stream: Description { arn, created, .. }, evidence, now, .. } = *self.facts;
        let at = contest::quota_available_at(arn, *created, &evidence, now)?.to_rfc3339_opts(SecondsFormat::Secs, true);
        let detail =
            format!("a key was applied {START_QUOTA} times in 24 hours, as often as AWS allows; the next time is {at}");
        Some(Failure::new(Step::StartStreamEncryption, code::ALLOWANCE_SPENT, arn, &detail))
    }

    /// The stream is ACTIVE and not compliant although a start was sent.
    fn after_start(&self, StartFacts { accepted, seen_updating, undone_for, ago }: StartFacts) -> Decision {
        let seconds = VISIBILITY_LIMIT.as_secs();
        let fail = |code, detail: &str| self.fail(Step::Wait, code, detail);
        match (accepted, seen_updating) {
            // One stale description must not accuse anybody.
            (true, true) if undone_for.is_none_or(|shown| shown < SECOND_LOOK) => self.poll(Pending::Undone),
            (true, true) => fail(
                code::UNDONE,
                "after the key was applied the stream became ACTIVE without it: another principal changed it in between",
            ),
            _ if ago < VISIBILITY_LIMIT => self.poll(if accepted { Pending::NotVisible } else { Pending::Unconfirmed }),
            (true, false) => fail(
                code::ACCEPTED_NOT_VISIBLE,
                &format!("StartStreamEncryption was accepted, but the stream has not shown it for {seconds} s"),
            ),
            // An UPDATING that was seen may have been a resharding; the start may never have
            // arrived.
            (false, _) => fail(
                code::START_UNCONFIRMED,
                &format!(
                    "the answer to StartStreamEncryption was lost, and the stream does not have the key after {seconds} s"
                ),
            ),
        }
    }

    /// Waits for AWS: in place as long as that pays, then in the work queue. Without one it waits
    /// in place as long as there is time.
    fn poll(&self, pending: Pending) -> Decision {
        let Facts { time_left, start, last_refusal, .. } = *self.facts;
        let started = match start {
            Some(StartFacts { accepted: true, .. }) => "started, not yet confirmed",
            Some(StartFacts { accepted: false, .. }) => "perhaps started, not yet confirmed",
            None => "not started",
        };
        // The second look follows within seconds, and only this invocation knows of its start.
        let here = pending == Pending::Undone && !time_left.is_zero();
        if let Some(wait) = self.wait_elsewhere(Duration::ZERO, &format!("{started}: {pending}")).filter(|_| !here) {
            return wait;
        }
        if !time_left.is_zero() {
            return Decision::Poll(pending);
        }
        if let (None, Some(refusal)) = (start, last_refusal) {
            return Decision::Fail(refusal.clone());
        }
        self.fail(Step::Wait, code::STILL_UPDATING, &format!("{started}: {pending}, and the time is up"))
    }

    /// What follows if the stream, about which `what` is known, is not to be waited for in place
    /// for another `pause`.
    fn wait_elsewhere(&self, pause: Duration, what: &str) -> Option<Decision> {
        let Facts { stream, start, in_hand, waits_in_queue, trigger, request, now, time_left, .. } = *self.facts;
        let queue = request.queue.filter(|_| self.facts.may_write)?;
        let waited = start.map_or(in_hand, |start| start.ago);
        let pays = !waits_in_queue && waited + pause < patience::in_place(queue, start.is_some());
        if pays && pause < time_left {
            return None;
        }
        Some(match patience::afterwards(queue, start.is_some(), trigger.wait, now) {
            LongWait::InQueue(after) => {
                let until = DeferReason::Unsettled { what: what.to_owned(), applied: self.applied_if_started() };
                Decision::Defer(Deferral { after, until })
            }
            LongWait::LeftToSweep => Decision::Done(Settled::LeftToSweep(what.to_owned())),
            LongWait::TooLong => {
                let hours = trigger.wait.since.map_or(0, |since| (now - since).num_hours());
                let detail = format!("{what}, after {hours} hours in the work queue");
                let failure = Failure::new(Step::Wait, code::STILL_UPDATING, &stream.arn, &detail);
                Decision::Fail(failure.classed(Class::Terminal).remedied(STUCK.to_owned()))
            }
        })
    }

    /// When the function applied the key in the last 24 hours, as far as is known; empty unless a
    /// start was sent in this invocation.
    fn applied_if_started(&self) -> Vec<DateTime<Utc>> {
        let Facts { start, evidence, foreign_change, .. } = *self.facts;
        if start.is_none() {
            return Vec::new();
        }
        let handed_on = foreign_change.map(|change| change.applied.as_slice()).unwrap_or_default();
        let mut applied: Vec<_> = handed_on.iter().chain(evidence.accepted).copied().collect();
        applied.sort_unstable();
        applied.dedup();
        applied
    }

    fn exempt(&mut self, because: String, until: Option<NaiveDate>) -> Decision {
        if until.is_none() {
            self.warnings.push(Warning::ExemptionWithoutEnd);
        }
        Decision::Done(Settled::Exempt(because))
    }

    fn fail(&self, step: Step, code: &str, detail: &str) -> Decision {
        Decision::Fail(Failure::new(step, code, &self.facts.stream.arn, detail))
    }

    fn today(&self) -> NaiveDate {
        self.facts.now.date_naive()
    }
}

/// The stream has the desired key.
fn in_sync(keys: &Keys) -> Decision {
    Decision::Done(match keys.desired.trouble() {
        Some(trouble) => Settled::KeyAtRisk(trouble.clone()),
        None => Settled::InSync(InSync::DesiredKey),
    })
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the stream is {status}"),
            Self::NotVisible => f.write_str("the start was accepted and does not show yet"),
            Self::Unconfirmed => f.write_str("the start's answer was lost and nothing shows yet"),
            Self::Undone => f.write_str("the stream became ACTIVE without the key, and is looked at once more"),
        }
    }
}
