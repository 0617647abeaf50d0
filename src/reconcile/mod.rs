//! Brings one stream right: look, decide, act or wait, until it is settled or the time is up.
//!
//! The thinking happens in [`decide`](crate::decide); this module keeps what was seen, makes the
//! calls, and tells the time. It cannot fail: the [`Outcome`] says how it ended.

pub mod change_history;
pub mod key_cache;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep_until};

use self::change_history::ChangeHistory;
use self::key_cache::KeyCache;
use crate::aws::kinesis::{Encryption, Streams};
use crate::aws::{CallError, Fate, doubled};
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::decide::contest::{ChangeEvidence, ContestDecision, decide_contest, quota_available_at};
use crate::decide::impact::{self, KeyChange};
use crate::decide::{
    ApplyReason, CurrentKey, Decision, DesiredKey, InSync, Pending, Progress, Reapply, Situation, Tags, decide,
};
use crate::domain::encryption_change::{ForeignChange, START_QUOTA};
use crate::domain::failure::{Class, Failure, Kind, Step, code};
use crate::domain::grace::Actor;
use crate::domain::mode::Mode;
use crate::domain::outcome::{DeferReason, Deferral, Outcome, Status, Warning};
use crate::domain::stream::{Description, StreamArn, StreamRef, StreamStatus};
use crate::domain::trigger_facts::TriggerFacts;
use crate::policy::{EffectivePolicy, Exemption, PolicyDecision, Requirement, Subject, exempt_by_tag, exemption};
use crate::settings::Settings;

/// An observation older than this is repeated before a start.
const FRESH: Duration = Duration::from_secs(2);

/// How often a start that AWS throttles is sent in one invocation. "Rate exceeded" may mean that
/// the allowance of 25 in 24 hours is spent, and then no repetition helps.
const STARTS: u32 = 4;

/// How long a stream that AWS calls in use is left alone at most before it is started again.
const LONGEST_REST: Duration = Duration::from_secs(32);

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
    /// When to stop.
    pub deadline: Deadline,
}

/// What an account is worked in with. Whatever is looked up is looked up once per invocation.
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
        }
    }
}

/// What the request says about how its streams are reconciled.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestFacts {
    /// Why the key is to be re-applied where it is in place, if it is.
    pub reapply: Option<Reapply>,
    /// Whether a person named the stream: that it does not exist is a failure then, and nothing is deferred for others.
    pub by_name: bool,
    /// Whether the stream can be requeued; otherwise it is waited for here.
    pub can_requeue: bool,
    /// Whether the policy of a stream that is only judged is read, too: a call of its own, with a low rate limit.
    pub in_depth: bool,
}

/// How old a stream is when its creator must be done with it.
const YOUNG: TimeDelta = TimeDelta::minutes(15);

/// How often a stream is left alone for its quiet; then it is touched all the same.
const MOST_DEFERRALS: u32 = 5;

/// Lets one run at a time work on a stream.
///
/// A batch may hold two messages about one stream, and a person may name it both by name and by
/// ARN. Runs side by side would each look before the other acted, and both would start. One after
/// the other, the second finds the stream right.
///
/// What the first has started, the second goes on from: whether it is accepted, lost or not to be
/// seen yet, an invocation starts a stream once.
#[derive(Debug, Default)]
pub struct StreamLocks(Mutex<HashMap<String, StreamLock>>);

/// One stream's turn, with the last start that was sent in this invocation, and when the stream was
/// created that it was sent to.
type StreamLock = Arc<tokio::sync::Mutex<Option<(StartAttempt, Option<DateTime<Utc>>)>>>;

impl StreamLocks {
    /// Waits until nobody else works on `target`; it is the caller's until the guard is dropped.
    async fn lock(&self, target: &StreamRef) -> OwnedMutexGuard<Option<(StartAttempt, Option<DateTime<Utc>>)>> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(target.name().to_owned()).or_default())
        };
        turn.lock_owned().await
    }
}

/// Brings `target` right, and says how that ended.
pub async fn reconcile(target: &StreamRef, context: &Context<'_>) -> Outcome {
    let mut turn = context.account.locks.lock(target).await;
    let mut run = Reconciliation::new(target.clone(), context);
    run.earlier_attempt = *turn;
    // Boxed: the SDK's futures are some 20 KB, and a sweep holds many of these.
    let ending = Box::pin(run.until_settled()).await;
    *turn =
        run.start.map(|start| (start, run.initial.as_ref().and_then(|first| first.created))).or(run.earlier_attempt);
    run.outcome(ending)
}

/// What was seen in one look.
struct Observation {
    description: Description,
    desired: DesiredKey,
    present: CurrentKey,
    at: Instant,
}

/// What the first look showed.
struct InitialState {
    created: Option<DateTime<Utc>>,
    key_id: Option<String>,
}

/// A start of ours.
#[derive(Clone, Copy, Debug)]
struct StartAttempt {
    at: Instant,
    accepted: bool,
    seen_updating: bool,
}

/// How a run ended.
enum ReconcileResult {
    InSync(InSync),
    WouldApply(ApplyReason),
    Exempt { reason: String, without_end: bool },
    KeyAtRisk(Failure),
    Gone(String),
    Deferred(Deferral),
    Failed(Failure),
}

struct Reconciliation<'a> {
    context: &'a Context<'a>,
    target: StreamRef,
    arn: Option<StreamArn>,
    initial: Option<InitialState>,
    /// What the rules say, as soon as that is known.
    terms: Option<Requirement<'a>>,
    desired: Option<DesiredKey>,
    /// What the last look showed.
    seen: Option<Box<Description>>,
    /// Its tags, where they were read.
    tags: Option<Vec<(String, String)>>,
    start: Option<StartAttempt>,
    /// The start that another run of this invocation sent, and when the stream was created that it
    /// was sent to.
    earlier_attempt: Option<(StartAttempt, Option<DateTime<Utc>>)>,
    apply_reason: Option<ApplyReason>,
    refusals: u32,
    /// How many starts were refused because the stream was in use.
    in_use: u32,
    last_refusal: Option<Failure>,
    /// When the present wait began, by which its polls are spaced.
    waiting_since: Option<Instant>,
    /// When the first wait began.
    first_wait: Option<Instant>,
    waited: Duration,
    /// Since when the stream was only seen ACTIVE; `None` while it is not.
    active_since: Option<DateTime<Utc>>,
    /// How often its quiet was waited for.
    held: u32,
    /// Whether it was seen in another state than ACTIVE.
    seen_busy: bool,
    warnings: Vec<Warning>,
}

impl<'a> Reconciliation<'a> {
    fn new(target: StreamRef, context: &'a Context<'a>) -> Self {
        let arn = match &target {
            StreamRef::Arn(arn) => Some(arn.clone()),
            StreamRef::Name(_) => None,
        };
        Self {
            context,
            target,
            arn,
            initial: None,
            terms: None,
            desired: None,
            seen: None,
            tags: None,
            start: None,
            earlier_attempt: None,
            apply_reason: None,
            refusals: 0,
            in_use: 0,
            last_refusal: None,
            waiting_since: None,
            first_wait: None,
            waited: Duration::ZERO,
            active_since: context.trigger.grace.active_since,
            held: context.trigger.grace.deferrals,
            seen_busy: false,
            warnings: Vec::new(),
        }
    }

    async fn until_settled(&mut self) -> ReconcileResult {
        let mut look = match Box::pin(self.look()).await {
            Ok(look) => look,
            Err(ending) => return ending,
        };
        loop {
            let arn = look.description.arn.clone();
            let tags = self.judged_tags();
            match decide(&self.situation(&look, &tags)) {
                Decision::InSync(in_sync) => return ReconcileResult::InSync(in_sync),
                Decision::KeyAtRisk(failure) => return ReconcileResult::KeyAtRisk(failure),
                Decision::Exempt { reason, until } => {
                    return ReconcileResult::Exempt {
                        reason: self.exempt_because(&reason, until),
                        without_end: until.is_none(),
                    };
                }
                Decision::Gone => return ReconcileResult::Gone(format!("{arn} is being deleted")),
                Decision::Refuse(failure) => return ReconcileResult::Failed(failure),
                Decision::ReadTags => {
                    if let Err(ending) = self.read_tags(&arn).await {
                        return ending;
                    }
                    continue;
                }
                Decision::Apply(why) => match self.encryption() {
                    None => {
                        Box::pin(self.warn_of(&look)).await;
                        return ReconcileResult::WouldApply(why);
                    }
                    Some(_) if self.now() >= self.context.deadline.work_until() => {
                        let detail = format!("the time was up before the start ({why})");
                        let failure = || Failure::new(Step::StartStreamEncryption, code::OUT_OF_TIME, &arn, &detail);
                        return ReconcileResult::Failed(self.last_refusal.take().unwrap_or_else(failure));
                    }
                    Some(encryption) => {
                        if let Some(ending) = self.contested(encryption, &look, &why).await {
                            return ending;
                        }
                        if self.now() - look.at <= FRESH
                            && let Err(ending) = self.apply(encryption, &arn, &look.desired, why).await
                        {
                            return ending;
                        }
                    }
                },
                Decision::AwaitGrace(left) if self.context.request.can_requeue => {
                    return ReconcileResult::Deferred(Deferral {
                        after: left,
                        until: DeferReason::Grace { since: self.active_since },
                    });
                }
                Decision::AwaitGrace(left) => {
                    let resume = self.now() + left;
                    if resume >= self.context.deadline.work_until() {
                        return ReconcileResult::Failed(out_of_grace(&arn, left));
                    }
                    self.held += 1;
                    self.pause_until(resume).await;
                }
                Decision::Wait(pending) => {
                    if self.now() >= self.context.deadline.work_until() {
                        return ReconcileResult::Failed(self.out_of_time(&arn, &pending));
                    }
                    self.wait().await;
                }
            }
            look = match Box::pin(self.look()).await {
                Ok(look) => look,
                Err(ending) => return ending,
            };
        }
    }

    /// What writes; nothing where the stream is only judged.
    fn encryption(&self) -> Option<&'a Encryption> {
        self.context.encryption.filter(|_| self.terms.is_none_or(|terms| terms.mode == Mode::Enforce))
    }

    /// The last change of the stream's encryption by somebody else: what the event says, or what a sweep found.
    fn foreign_change(&self, name: &str) -> Option<&'a ForeignChange> {
        self.context.trigger.foreign_change.as_ref().or_else(|| self.context.from_history?.get(name))
    }

    /// The start of the stream that was sent in this invocation, by this run or by one before it.
    fn started(&self) -> Option<StartAttempt> {
        self.start.or(self.earlier_attempt.map(|(start, _)| start))
    }

    fn exempt_because(&self, reason: &str, until: Option<NaiveDate>) -> String {
        match self.terms {
            Some(Requirement { rule: Some(rule), exempt: Some(leave), .. }) => leave.because(rule),
            _ => exempt_by_tag(reason, until),
        }
    }

    fn situation<'b>(&'b self, look: &'b Observation, tags: &'b Tags) -> Situation<'b> {
        Situation {
            stream: &look.description.arn,
            status: &look.description.status,
            present: &look.present,
            desired: &look.desired,
            on_other_key: self.terms.map_or(self.context.enforcement.policy.on_other_key, |terms| terms.on_other_key),
            exempt_by_rule: self.terms.and_then(|terms| terms.exempt),
            tags,
            progress: self.started().map_or(Progress::NotStarted, |start| Progress::Started {
                accepted: start.accepted,
                seen_updating: start.seen_updating,
                ago: look.at - start.at,
            }),
            reapply: self.context.request.reapply.filter(|why| match why {
                Reapply::Asked => true,
                // Seen UPDATING, it may well be the application that the rotation asks for. And not
                // every stream is to have the key that was rotated.
                Reapply::Rotated => {
                    !self.seen_busy
                        && self
                            .context
                            .trigger
                            .rotated_key
                            .as_ref()
                            .is_some_and(|key| key.as_str() == look.desired.key_id())
                }
            }),
            doubted_alias: self.context.trigger.repointed_alias.as_ref(),
            quiet_for: self.quiet_for(&look.description),
        }
    }

    /// For how long the stream must still be left alone.
    fn quiet_for(&self, description: &Description) -> Duration {
        let (grace, hint) = (self.context.enforcement.iac_grace, self.context.trigger.grace);
        let now = self.context.account.clock.utc();
        let owed = match hint.actor {
            Some(Actor::InfrastructureAsCode) => true,
            Some(Actor::Other) => false,
            None => description.created.is_some_and(|created| now - created < YOUNG),
        };
        if self.encryption().is_none() || !owed || self.held >= MOST_DEFERRALS {
            return Duration::ZERO;
        }
        // A stream that was deleted and made anew has been quiet since then at most, whatever was
        // seen of its namesake.
        let since = self.active_since.map(|since| description.created.map_or(since, |created| since.max(created)));
        let quiet = since.map(|since| (now - since).to_std().unwrap_or_default());
        grace.saturating_sub(quiet.unwrap_or_default())
    }

    /// Describes the stream and, the first time, the desired key beside it.
    async fn look(&mut self) -> Result<Observation, ReconcileResult> {
        let target = self.arn.clone().map_or_else(|| self.target.clone(), StreamRef::Arn);
        let described = async {
            let described = self.context.account.streams.describe(&target, self.context.deadline.look_until()).await;
            // From here on the look ages, however long KMS takes to answer.
            (described, self.now())
        };
        // Looked up beside it: with no rule of another key this is the key.
        let ((described, at), _) =
            tokio::join!(described, self.context.account.keys.desired(&self.context.enforcement.policy.key));
        let description = described.map_err(|error| gone_or_failed(error.failure))?;
        self.remember(&description, at);
        if description.status == StreamStatus::Deleting {
            return Err(ReconcileResult::Gone(format!("{} is being deleted", description.arn)));
        }
        self.terms = self.terms_of(&description).await?;
        let Some(terms) = self.terms.filter(|terms| terms.exempt.is_none()) else {
            // Which key it is to have is not known before it is ACTIVE, or none is: neither its key
            // nor the one that it might have matters.
            return Ok(Observation {
                description,
                desired: DesiredKey::AwsManaged,
                present: CurrentKey::Unencrypted,
                at,
            });
        };
        let desired = self.context.account.keys.desired(terms.key).await.map_err(ReconcileResult::Failed)?;
        self.desired = Some(desired.clone());
        let present = self
            .context
            .account
            .keys
            .present(&description.arn, description.key_id.as_deref(), &desired, terms.on_other_key)
            .await;
        Ok(Observation { description, desired, present, at })
    }

    /// What the rules say about the stream; tags are read where a rule asks for them. Nothing yet
    /// where they cannot say before the stream is ACTIVE.
    async fn terms_of(&mut self, description: &Description) -> Result<Option<Requirement<'a>>, ReconcileResult> {
        let Description { arn, mode, status, .. } = description;
        loop {
            let subject = Subject { stream: arn, mode: mode.as_ref(), tags: self.tags.as_deref(), today: self.today() };
            let (ruling, expired) = self.context.enforcement.policy.rule_on(&subject);
            for rule in expired {
                self.warn_once(rule.expired_warning());
            }
            match ruling {
                PolicyDecision::Requirement(terms) => return Ok(Some(terms)),
                _ if *status != StreamStatus::Active => return Ok(None),
                PolicyDecision::NeedsTags { .. } => self.read_tags(arn).await?,
                PolicyDecision::Undecided { rule, missing } => {
                    let detail = format!("whether rule {rule} matches depends on {missing}, which is not known");
                    return Err(ReconcileResult::Failed(Failure::new(
                        Step::ApplyPolicy,
                        code::POLICY_UNDECIDED,
                        arn,
                        &detail,
                    )));
                }
            }
        }
    }

    fn warn_once(&mut self, warning: Warning) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn today(&self) -> NaiveDate {
        self.context.account.clock.utc().date_naive()
    }

    fn remember(&mut self, description: &Description, at: Instant) {
        self.arn = Some(description.arn.clone());
        self.seen = Some(Box::new(description.clone()));
        if self.initial.as_ref().is_some_and(|first| first.created != description.created) {
            // Deleted and made anew in the middle of the run: another stream, of which nothing is
            // known yet.
            tracing::info!(stream = description.arn.as_str(), "stream was deleted and created again, starting over");
            self.start = None;
            self.tags = None;
            self.initial = None;
        }
        // A stream that was made anew since then has not been started.
        self.earlier_attempt = self.earlier_attempt.filter(|(_, created)| *created == description.created);
        if description.status == StreamStatus::Active {
            self.active_since.get_or_insert(self.context.account.clock.utc());
        } else {
            self.active_since = None;
            self.seen_busy = true;
        }
        self.initial
            .get_or_insert_with(|| InitialState { created: description.created, key_id: description.key_id.clone() });
        if description.status == StreamStatus::Updating
            && let Some(start) = self.start.as_mut().or(self.earlier_attempt.as_mut().map(|(start, _)| start))
        {
            start.seen_updating = true;
        }
        if let Some(since) = self.first_wait {
            self.waited = at - since;
        }
    }

    /// What the tags say of an exemption. Where no tag exempts they need not be read.
    fn judged_tags(&self) -> Tags {
        let Some(key) = self.context.enforcement.exempt_tag_key else { return Tags::Read(Exemption::None) };
        self.tags.as_ref().map_or(Tags::Unread, |tags| Tags::Read(exemption(tags, key, self.today())))
    }

    /// Reads the tags. Without them the stream is not touched: they may exempt it.
    async fn read_tags(&mut self, arn: &StreamArn) -> Result<(), ReconcileResult> {
        let tags = self.context.account.streams.tags(arn, self.context.deadline.look_until()).await;
        self.tags = Some(tags.map_err(|error| gone_or_failed(error.failure))?);
        if let Tags::Read(Exemption::Expired { reason, until }) = self.judged_tags() {
            self.warn_once(Warning::ExemptionExpired { reason, until: until.to_string() });
        }
        Ok(())
    }

    /// What the change would mean for those who use the stream. It is only judged here, so there is
    /// time to ask.
    async fn warn_of(&mut self, look: &Observation) {
        let Observation { description, desired, .. } = look;
        let key = match desired {
            DesiredKey::AwsManaged => None,
            DesiredKey::Key { arn, .. } => Some(arn),
        };
        let key_policy = async {
            match key {
                Some(key) => Some(self.context.account.keys.policy(key).await),
                None => None,
            }
        };
        let stream_policy = async {
            if self.context.request.in_depth {
                Some(self.context.account.streams.policy(&description.arn, self.context.deadline.look_until()).await)
            } else {
                None
            }
        };
        let (key_policy, stream_policy) = tokio::join!(key_policy, stream_policy);
        let now = self.context.account.clock.utc();
        let change =
            KeyChange { description, key, key_policy: key_policy.as_ref(), stream_policy: stream_policy.as_ref(), now };
        self.warnings.extend(impact::warnings(&change));
        let name = description.arn.name();
        if let Some(ForeignChange { at, by, .. }) = self.foreign_change(name).cloned() {
            // An event tells of one change.
            self.warn_once(Warning::UndoneBy {
                by,
                at,
                times: self.context.account.history.known_changes_of_others(name).max(1),
            });
        }
    }

    /// What follows where somebody undoes what we do: the stream rests for a while, or is left
    /// alone. A person who names the stream does not wait.
    async fn contested(
        &mut self,
        encryption: &Encryption,
        look: &Observation,
        why: &ApplyReason,
    ) -> Option<ReconcileResult> {
        if self.context.request.by_name || *why == ApplyReason::Asked {
            return None;
        }
        let Description { arn, created, .. } = &look.description;
        let suspicion = self.foreign_change(arn.name());
        let remembered = encryption.accepted(arn);
        // What was read of the history after a refused start is heeded, too.
        let recorded = if suspicion.is_some() {
            self.context.account.history.changes().await
        } else {
            self.context.account.history.known_changes()
        };
        let past = ChangeEvidence {
            remembered: &remembered,
            recorded,
            own_role: self.context.account.history.own_role(),
            key_id: look.desired.key_id(),
        };
        match decide_contest(
            arn,
            *created,
            suspicion,
            &past,
            self.context.enforcement.max_applies,
            self.context.account.clock.utc(),
        ) {
            ContestDecision::Rest(after, applied) if self.context.request.can_requeue => {
                Some(ReconcileResult::Deferred(Deferral { after, until: DeferReason::Contest { applied } }))
            }
            ContestDecision::Apply | ContestDecision::Rest(..) => None,
            ContestDecision::Stop(contest) => {
                if let Some(ForeignChange { at, by, .. }) = contest.last.clone() {
                    self.warn_once(Warning::UndoneBy { by, at, times: contest.undone });
                }
                let failure = Failure::new(Step::StartStreamEncryption, code::CONTESTED, arn, &contest.told());
                Some(ReconcileResult::Failed(failure.remedied(contest.remedy(look.desired.key_id()))))
            }
        }
    }

    /// Sends the start, once.
    async fn apply(
        &mut self,
        encryption: &Encryption,
        arn: &StreamArn,
        desired: &DesiredKey,
        why: ApplyReason,
    ) -> Result<(), ReconcileResult> {
        let sent = encryption.start(arn, desired.key_id(), self.context.deadline.look_until()).await;
        let at = self.now();
        let accepted = match sent {
            Ok(()) => true,
            Err(CallError { failure, fate: Fate::Unknown }) => {
                tracing::warn!(
                    stream = arn.as_str(),
                    code = failure.code,
                    "answer to the start was lost, looking at the stream instead of sending it again"
                );
                self.warnings.push(Warning::StartAnswerLost);
                false
            }
            Err(CallError { failure, fate: Fate::Refused }) => return self.refused(encryption, arn, failure).await,
        };
        self.start = Some(StartAttempt { at, accepted, seen_updating: false });
        self.apply_reason = Some(why);
        self.last_refusal = None;
        // The wait for the change has its own schedule, whatever was waited for before.
        self.wait_from(at).await;
        Ok(())
    }

    /// What to do after AWS refused a start in so many words.
    async fn refused(
        &mut self,
        encryption: &Encryption,
        arn: &StreamArn,
        failure: Failure,
    ) -> Result<(), ReconcileResult> {
        match failure.kind() {
            Kind::InUse => {
                // Somebody changes the stream: it is waited for. Each start that is sent in vain is
                // recorded, so they become ever rarer.
                self.in_use += 1;
                self.last_refusal = Some(failure);
                let rest = doubled(Duration::from_secs(1), self.in_use, LONGEST_REST);
                self.pause_until(self.now() + self.context.account.streams.calls().jittered(rest)).await;
                Ok(())
            }
            Kind::Throttled => {
                self.refusals += 1;
                // A start that cannot succeed is not sent again: CloudTrail records each, until its
                // newest pages hold nothing else.
                if let Some(spent) = self.quota_used_up(encryption, arn, &failure).await {
                    return Err(ReconcileResult::Failed(spent));
                }
                let now = self.now();
                let resume = now + self.context.account.streams.calls().backoff(self.refusals);
                if self.refusals == STARTS || resume >= self.context.deadline.work_until() {
                    return Err(ReconcileResult::Failed(failure));
                }
                tracing::warn!(code = failure.code, refusals = self.refusals, "start was throttled, trying again");
                self.last_refusal = Some(failure);
                self.pause_until(resume).await;
                Ok(())
            }
            _ => Err(gone_or_failed(failure)),
        }
    }

    /// AWS words a spent allowance exactly like throttling: the history tells them apart.
    async fn quota_used_up(&self, encryption: &Encryption, arn: &StreamArn, refusal: &Failure) -> Option<Failure> {
        if refusal.code != "LimitExceededException" {
            return None;
        }
        let remembered = encryption.accepted(arn);
        let recorded = self.context.account.history.changes().await;
        let created = self.seen.as_ref().and_then(|seen| seen.created);
        let past = ChangeEvidence {
            remembered: &remembered,
            recorded,
            own_role: self.context.account.history.own_role(),
            key_id: "",
        };
        let opens = quota_available_at(arn, created, &past, self.context.account.clock.utc())?
            .to_rfc3339_opts(SecondsFormat::Secs, true);
        let detail = format!(
            "a key was applied {START_QUOTA} times in 24 hours, as often as AWS allows; the next time is {opens}"
        );
        Some(Failure::new(Step::StartStreamEncryption, code::ALLOWANCE_SPENT, arn, &detail))
    }

    /// Sleeps until the next poll is due; never past the time for working, so that one last look
    /// follows.
    async fn wait(&mut self) {
        self.wait_from(self.waiting_since.unwrap_or_else(|| self.now())).await;
    }

    async fn wait_from(&mut self, since: Instant) {
        let now = self.now();
        let next = now + self.context.account.streams.calls().jittered(poll_interval(now - since));
        self.pause_until(next).await;
        self.waiting_since = Some(since);
    }

    async fn pause_until(&mut self, instant: Instant) {
        let now = self.now();
        self.first_wait.get_or_insert(now);
        // What was read of the tags may change while we wait.
        if self.start.is_none() {
            self.tags = None;
        }
        sleep_until(instant.min(self.context.deadline.work_until())).await;
    }

    fn out_of_time(&mut self, arn: &StreamArn, pending: &Pending) -> Failure {
        if let (None, Some(refusal)) = (self.started(), self.last_refusal.take()) {
            return refusal;
        }
        let started = match self.started() {
            Some(StartAttempt { accepted: true, .. }) => "started, not yet confirmed",
            Some(StartAttempt { accepted: false, .. }) => "perhaps started, not yet confirmed",
            None => "not started",
        };
        Failure::new(Step::Wait, code::STILL_UPDATING, arn, &format!("{started}: {pending}, and the time is up"))
    }

    fn outcome(self, ending: ReconcileResult) -> Outcome {
        let stream = Some(self.arn.as_ref().map_or_else(|| self.target.to_string(), ToString::to_string));
        let applied = self.start.is_some_and(|start| start.accepted);
        let mode = self.terms.map_or(self.context.enforcement.policy.mode, |terms| terms.mode);
        let mut warnings = self.warnings;
        let mut deferral = None;
        let mut outcome = match ending {
            ReconcileResult::InSync(InSync::DesiredKey) if self.start.is_some() => {
                let why = self.apply_reason.map(|why| why.to_string()).unwrap_or_default();
                Outcome::new(stream, Status::Encrypted, format!("{why}; the key was applied and is in place"), mode)
            }
            ReconcileResult::InSync(in_sync) => Outcome::new(stream, Status::Compliant, in_sync.to_string(), mode),
            ReconcileResult::WouldApply(why) => Outcome::new(stream, Status::WouldEncrypt, why.to_string(), mode),
            ReconcileResult::Exempt { reason, without_end } => {
                if without_end {
                    warnings.push(Warning::ExemptionWithoutEnd);
                }
                Outcome::new(stream, Status::Exempt, reason, mode)
            }
            ReconcileResult::KeyAtRisk(failure) => Outcome::new(
                stream,
                Status::KeyAtRisk,
                format!("the stream has the configured key, but {}", failure.message),
                mode,
            ),
            ReconcileResult::Gone(reason) if self.context.request.by_name => {
                let failure = Failure::new(Step::DescribeStream, code::STREAM_NOT_FOUND, &self.target, &reason)
                    .classed(Class::Terminal);
                Outcome::failed(stream, failure, mode)
            }
            ReconcileResult::Gone(reason) => Outcome::new(stream, Status::Gone, reason, mode),
            ReconcileResult::Deferred(Deferral { after, until }) => {
                let seconds = after.as_secs_f64().ceil();
                let because = match &until {
                    DeferReason::Grace { .. } => "whoever made the stream may not be done with it".to_owned(),
                    DeferReason::Contest { applied } => {
                        format!(
                            "somebody else changed the stream's encryption, to which we applied the key {} times in 24 hours",
                            applied.len()
                        )
                    }
                };
                let reason = format!("{because}: it is looked at again in {seconds} s");
                deferral = Some(Deferral { after, until });
                Outcome::new(stream, Status::Deferred, reason, mode)
            }
            ReconcileResult::Failed(failure) => Outcome::failed(stream, failure, mode),
        };
        outcome.rule = self.terms.and_then(|terms| terms.rule).map(str::to_owned);
        outcome.key = self.desired.map(|desired| desired.key_id().to_owned());
        outcome.previous_key = self.initial.and_then(|first| first.key_id);
        outcome.waited_ms = crate::aws::millis(self.waited);
        outcome.applied = applied || (outcome.status == Status::Encrypted);
        outcome.warnings = warnings;
        outcome.seen = self.seen;
        outcome.deferral = deferral;
        outcome
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

fn out_of_grace(arn: &StreamArn, left: Duration) -> Failure {
    let seconds = left.as_secs_f64().ceil();
    let detail = format!(
        "not started: whoever made the stream may not be done with it, it must be quiet for another {seconds} s, and the time is up"
    );
    Failure::new(Step::Wait, code::OUT_OF_TIME, arn, &detail)
}

fn gone_or_failed(failure: Failure) -> ReconcileResult {
    if failure.class == Class::Gone { ReconcileResult::Gone(failure.message) } else { ReconcileResult::Failed(failure) }
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
