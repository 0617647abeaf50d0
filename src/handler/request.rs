//! One request at work: which streams it concerns, and what becomes of each outcome.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::accounts::Account;
use super::{Handler, InvocationContext};
use crate::aws::doubled;
use crate::aws::events::{AT_ONCE, Entry};
use crate::aws::kinesis::Encryption;
use crate::aws::sqs::{LONGEST_DELAY, WorkQueueSender};
use crate::decide::key_event::{
    KeyEventEffect, KeyEventFacts, assess_key_event, most_severe, second_look_after, unrelated,
};
use crate::decide::{DesiredKey, Reapply};
use crate::domain::arn::{is_account, is_region, partition_of};
use crate::domain::encryption_change::ForeignChange;
use crate::domain::failure::{Class, Failure, Kind, Step, code};
use crate::domain::grace::GraceState;
use crate::domain::key::KeyRef;
use crate::domain::mode::Mode;
use crate::domain::outcome::{DeferReason, Deferral, Outcome, Status, Warning};
use crate::domain::stream::{StreamArn, StreamRef};
use crate::domain::trigger_facts::TriggerFacts;
use crate::event::{
    Fleets, ItemOrigin, KeyEvent, MOST_HOPS, Message, Request, Scope, Trigger, TriggerKind, WorkItem, WorkTarget,
};
use crate::reconcile::{Context, Enforcement, RequestFacts, reconcile};
use crate::report::OutcomeSummary;
use crate::report::dead_letter::{AccountRegion, DeadLetter, DeadLetterMetadata, ascii};
use crate::report::event::{OutcomeEvent, SOURCE, events};
use crate::report::log::log_outcome;
use crate::report::metrics::RequestCounters;
use crate::settings::OnKeyRotation;
use crate::sweep::fan_out::fan_out;
use crate::sweep::filter::SweepFilter;
use crate::sweep::{Pages, SweepInterrupted, sweep};

/// How long an application that a rotation or a person asked for is wanted. What is not applied by
/// then is only verified.
const REAPPLY_WITHIN: TimeDelta = TimeDelta::hours(24);

/// So many streams that are named in one request are worked on at once; more become work of their
/// own where there is a queue, whose workers may make more calls a second.
const MOST_AT_ONCE: usize = 50;

/// So many work items are sent, ten at a time, before it is known of each that it was.
const SENT_AT_ONCE: usize = 100;

/// The first delay of work that is tried again through the queue; it doubles, up to what SQS takes.
const FIRST_DELAY: Duration = Duration::from_secs(30);

/// The end of `time` after `start`; the end of all time where somebody's event is of then.
fn within(time: TimeDelta, start: DateTime<Utc>) -> DateTime<Utc> {
    start.checked_add_signed(time).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Whether the key was applied, or may have been.
fn has_applied(outcome: &Outcome) -> bool {
    outcome.applied || outcome.warnings.contains(&Warning::StartAnswerLost)
}

/// The event for a letter about an application that was made: whoever feeds it back wants it
/// verified, not made again.
fn without_reapply(mut event: Value) -> Value {
    if let Some(event) = event.as_object_mut() {
        event.remove("reapply");
    }
    event
}

/// How long work that failed for the `count`-th time rests.
pub(super) fn rest(count: u32) -> Duration {
    doubled(FIRST_DELAY, count, LONGEST_DELAY)
}

/// One request at work.
pub(super) struct Job<'a, 'h> {
    pub(super) handler: &'a Handler,
    pub(super) request: &'a Request,
    pub(super) shared: &'a InvocationContext<'h>,
    /// The message of the work queue that the request came in, if it did.
    pub(super) message: Option<&'a Message>,
    /// Whether the whole delivery, or message, may be tried again for this request's sake.
    pub(super) alone: bool,
    pub(super) letters: RequestCounters,
    /// The failure that Lambda or SQS is to retry.
    pub(super) retry: Option<Failure>,
    several: bool,
    /// What the trigger says beyond where to look.
    facts: TriggerFacts,
    /// The changes of others that a sweep found in the history, by stream name.
    from_history: HashMap<String, ForeignChange>,
    /// The failures of keys that were reported for the whole fleet.
    reported: Vec<String>,
    /// The account whose fleet is being swept, where it is not the function's own.
    sweeping: Option<String>,
    /// Events that are not sent yet.
    events: Vec<Entry>,
}

impl<'a, 'h> Job<'a, 'h> {
    pub(super) fn new(
        handler: &'a Handler,
        request: &'a Request,
        shared: &'a InvocationContext<'h>,
        message: Option<&'a Message>,
        alone: bool,
    ) -> Self {
        // An operator who redrives a dead letter has resolved the conflict.
        let foreign_change = request.facts.foreign_change.clone().filter(|_| request.redrives == 0);
        Self {
            handler,
            request,
            shared,
            message,
            alone,
            letters: RequestCounters { policy_errors: u64::from(shared.old_policy), ..RequestCounters::default() },
            retry: None,
            several: false,
            facts: TriggerFacts { foreign_change, ..request.facts.clone() },
            from_history: HashMap::new(),
            // Whoever feeds a letter back wants to hear of it again.
            reported: if request.redrives == 0 { request.work.reported.clone() } else { Vec::new() },
            sweeping: None,
            events: Vec::new(),
        }
    }

    pub(super) async fn run(&mut self) -> (Trigger, OutcomeSummary, Option<String>) {
        let mut trigger = self.request.trigger.clone();
        let mut tally = OutcomeSummary::of_targets();
        let mut continue_after = None;
        match &self.request.scope {
            Scope::Nothing => {}
            Scope::Unknown { retryable } => {
                let reason = trigger.reason.clone().unwrap_or_default();
                let failure = Failure::new(Step::ReadEvent, code::UNKNOWN_PAYLOAD, &"the payload", &reason);
                let failure = if *retryable { failure.classed(Class::Retryable) } else { failure };
                self.settle(Outcome::failed(None, failure, self.mode()), &mut tally).await;
            }
            Scope::Streams(streams) => {
                self.several = streams.len() > 1;
                match self.too_early() {
                    Some(left) => self.postpone(streams, left, &mut tally).await,
                    None => Box::pin(self.streams(streams, &mut tally)).await,
                }
            }
            Scope::Fleet { of, start_after } => {
                (tally, continue_after) = Box::pin(self.fleets(of, start_after.clone())).await;
            }
            Scope::Key(signal) => {
                let (meaning, key) = Box::pin(self.assess_key_event(signal)).await;
                let looked_at_again = !matches!(meaning, KeyEventEffect::Ignored(_)) && self.second_look(signal).await;
                match meaning {
                    KeyEventEffect::Ignored(reason) => {
                        trigger.kind = TriggerKind::Ignored;
                        trigger.reason = Some(reason);
                    }
                    KeyEventEffect::KeyAtRisk(reason) => {
                        self.settle(self.about_the_key(key, Status::KeyAtRisk, reason), &mut tally).await;
                    }
                    KeyEventEffect::Failed(failure) if looked_at_again && failure.kind() == Kind::KeyUnsettled => {
                        let reason = format!("{}; it is looked at again when KMS must have settled", failure.message);
                        self.settle(self.about_the_key(key, Status::Deferred, reason), &mut tally).await;
                    }
                    KeyEventEffect::Failed(failure) => {
                        let outcome =
                            Outcome { key: Some(key.to_string()), ..Outcome::failed(None, failure, self.mode()) };
                        self.settle(outcome, &mut tally).await;
                    }
                    KeyEventEffect::Sweep { repointed_alias, rotated_key } => {
                        self.facts.repointed_alias = repointed_alias;
                        self.facts.rotated_key = rotated_key;
                        (tally, continue_after) = Box::pin(self.fleets(&self.fleets_with(key), None)).await;
                    }
                }
            }
        }
        (trigger, tally, continue_after)
    }

    /// Whose streams are to have `key`, which something happened to. A key or an alias that is
    /// named by ARN is the same for all; a bare id or name is another key in every account.
    fn fleets_with(&self, key: &KeyRef) -> Fleets {
        match (key, self.member_of_the_event()) {
            (KeyRef::Arn(_) | KeyRef::AliasArn { .. }, _) => Fleets::All,
            (_, Some(member)) => Fleets::Account(member.to_owned()),
            (_, None) => Fleets::Own,
        }
    }

    /// The member that the event happened in, if it did.
    fn member_of_the_event(&self) -> Option<&'a str> {
        let account = self.request.trigger.account.as_deref()?;
        self.shared.accounts.members().find(|member| *member == account)
    }

    /// What the signal means for the keys that streams are to have, and for which of them.
    async fn assess_key_event(&self, signal: &KeyEvent) -> (KeyEventEffect, &'a KeyRef) {
        let trigger = &self.request.trigger;
        let rules = &self.shared.rules;
        if let (Some(region), true) = (trigger.region.as_deref(), !self.handler.aws.region.is_empty())
            && region != self.handler.aws.region
        {
            let reason = format!("it happened in {region}, streams of {} are kept here", self.handler.aws.region);
            return (KeyEventEffect::Ignored(reason), &rules.key);
        }
        let mut keys = rules.keys_in(None, &self.handler.aws.region);
        if let (Some(account), Some(own), None) =
            (trigger.account.as_deref(), self.handler.settings.own_account(), self.member_of_the_event())
            && account != own
        {
            // A bare id or name is a key of the accounts that are kept; only one that is named by
            // ARN may be another's.
            keys.retain(|key| matches!(key, KeyRef::Arn(_) | KeyRef::AliasArn { .. }));
            if keys.is_empty() {
                let reason =
                    format!("it happened in account {account}, which is neither the function's own nor a member");
                return (KeyEventEffect::Ignored(reason), &rules.key);
            }
        }
        let facts = KeyEventFacts {
            event: signal,
            account: trigger.account.as_deref(),
            region: trigger.region.as_deref(),
            age: self.age(),
        };
        // Keys are in the account of the event; and no role is taken on for a key that is none of
        // ours.
        let account =
            match self.member_of_the_event().filter(|_| keys.iter().any(|key| unrelated(&facts, key).is_none())) {
                None => self.shared.accounts.own(),
                Some(member) => match self.shared.accounts.member(member, &"the key").await {
                    Ok(account) => account,
                    Err(failure) => return (KeyEventEffect::Failed(failure), &rules.key),
                },
            };
        let mut effects = Vec::new();
        for key in keys {
            let effect = match unrelated(&facts, key) {
                Some(reason) => KeyEventEffect::Ignored(reason),
                None => assess_key_event(&facts, key, account.at_work.keys.desired(key).await),
            };
            effects.push((effect, key));
        }
        most_severe(effects).unwrap_or((KeyEventEffect::Ignored(String::new()), &rules.key))
    }

    fn age(&self) -> Option<TimeDelta> {
        self.request.trigger.event_time.map(|time| self.now() - time)
    }

    /// KMS shows a change everywhere only after a while: what an event says about a key or an alias
    /// is looked at now, and once more when that time is over.
    ///
    /// The event itself is sent, so that its age tells when to stop.
    async fn second_look(&self, signal: &KeyEvent) -> bool {
        let Some(sender) = self.sender().filter(|_| self.request.redrives == 0) else { return false };
        let Some(after) = second_look_after(signal, self.age()) else { return false };
        self.queued(sender, "second look at the key", &ascii(&self.request.payload), after).await
    }

    /// Sends what there is another way for, if this one fails; says whether it went well.
    async fn queued(&self, sender: WorkQueueSender<'a>, what: &str, body: &str, delay: Duration) -> bool {
        let sent = sender.send(body, delay, self.shared.deadline.write_until()).await;
        if let Err(error) = &sent {
            tracing::warn!(code = error.failure.code, error = %error.failure, what, "could not be queued");
        }
        sent.is_ok()
    }

    /// For how long the work must still rest, where it came back too early and can be sent on.
    fn too_early(&self) -> Option<Duration> {
        let left = (self.request.work.not_before? - self.now()).to_std().ok()?;
        // SQS counts in seconds.
        (left > Duration::from_secs(1) && self.can_send_on()).then_some(left)
    }

    async fn postpone(&mut self, streams: &[StreamRef], left: Duration, tally: &mut OutcomeSummary) {
        for stream in streams {
            let reason = format!("not to be worked on for another {} s", left.as_secs());
            let outcome = Outcome::new(Some(stream.to_string()), Status::Deferred, reason.clone(), self.mode());
            let item = WorkItem {
                not_before: self.request.work.not_before,
                ..self.item(WorkTarget::Stream(stream.clone()), reason)
            };
            let outcome = self.sent_on(outcome, &item, left).await;
            self.settle(outcome, tally).await;
        }
    }

    async fn streams(&mut self, streams: &[StreamRef], tally: &mut OutcomeSummary) {
        if let Some(sender) = self
            .sender()
            .filter(|_| self.message.is_none() && !self.request.options.no_dead_letter && streams.len() > MOST_AT_ONCE)
        {
            return self.queue(streams, sender, tally).await;
        }
        let outcomes = join_all(streams.iter().map(|stream| self.one(stream))).await;
        for outcome in outcomes {
            self.settle(outcome, tally).await;
        }
    }

    /// Makes each of many streams work of its own. Those that the queue does not take fail.
    async fn queue(&mut self, streams: &[StreamRef], sender: WorkQueueSender<'a>, tally: &mut OutcomeSummary) {
        self.several = true;
        let reason = format!("one of {} streams", streams.len());
        for chunk in streams.chunks(SENT_AT_ONCE) {
            let (mut items, mut outcomes) = (Vec::new(), Vec::new());
            for stream in chunk {
                let name = Some(stream.to_string());
                outcomes.push(match self.check(stream) {
                    Ok(()) => {
                        items.push(ascii(&self.item(WorkTarget::Stream(stream.clone()), reason.clone())));
                        Outcome::new(name, Status::Queued, reason.clone(), self.mode())
                    }
                    Err(failure) => Outcome::failed(name, failure, self.mode()),
                });
            }
            let sent = sender.send_all(&items, self.shared.deadline.look_until()).await;
            for outcome in outcomes {
                let outcome = match &sent {
                    Err(error) if outcome.status == Status::Queued => {
                        Outcome::failed(outcome.stream, error.failure.clone(), self.mode())
                    }
                    _ => outcome,
                };
                self.settle(outcome, tally).await;
            }
        }
    }

    async fn one(&self, stream: &StreamRef) -> Outcome {
        match self.account_of(stream).await {
            Ok(account) => reconcile(stream, &self.context(account, &self.facts, &self.from_history)).await,
            Err(failure) => Outcome::failed(Some(stream.to_string()), failure, self.mode()),
        }
    }

    /// The account that the stream's ARN names; a bare name is of the own one. What is refused is
    /// refused before any call.
    async fn account_of(&self, stream: &StreamRef) -> Result<&'a Account<'h>, Failure> {
        self.check(stream)?;
        match stream {
            StreamRef::Arn(arn) => self.shared.accounts.get(arn.account(), arn).await,
            StreamRef::Name(_) => Ok(self.shared.accounts.own()),
        }
    }

    /// Refuses a stream of another Region or partition, and one of another account than the
    /// event's: what an event says must not send us there, nor may a work item, which knows of no
    /// event's account any more.
    fn check(&self, stream: &StreamRef) -> Result<(), Failure> {
        let StreamRef::Arn(arn) = stream else { return Ok(()) };
        let region = &self.handler.aws.region;
        let refuse = |code, detail: String| Err(Failure::new(Step::CheckTarget, code, arn, &detail));
        if arn.region() != region {
            return refuse(code::FOREIGN_REGION, format!("this function keeps the streams of {region}"));
        }
        if arn.partition() != partition_of(region) {
            return refuse(code::FOREIGN_REGION, format!("{region} is in the partition {}", partition_of(region)));
        }
        match self.request.trigger.account.as_deref() {
            // What happened in one account says nothing of another's streams.
            Some(account) if account != arn.account() => {
                refuse(code::FOREIGN_ACCOUNT, format!("the event is of account {account:?}"))
            }
            _ => Ok(()),
        }
    }

    /// The streams of one account, or of several. Of several, a member's sweep is work of its own
    /// where there is a queue: no account waits for another, and none hides another's failure.
    async fn fleets(&mut self, of: &Fleets, start_after: Option<String>) -> (OutcomeSummary, Option<String>) {
        let mut tally = OutcomeSummary::of_sweep();
        let members = match of {
            Fleets::Own => vec![],
            Fleets::All => self.shared.accounts.members().map(str::to_owned).collect(),
            Fleets::Account(account) => {
                let after = Box::pin(self.fleet(Some(account), start_after, &mut tally)).await;
                return (tally, after);
            }
        };
        self.several |= !members.is_empty();
        let mut left = Vec::new();
        for member in members {
            match self.queued_sweep(&member).await {
                Some(outcome) => self.settle(outcome, &mut tally).await,
                None => left.push(member),
            }
        }
        let mut continue_after = Box::pin(self.fleet(None, start_after, &mut tally)).await;
        for member in left {
            let after = Box::pin(self.fleet(Some(&member), None, &mut tally)).await;
            continue_after = continue_after.or(after);
        }
        (tally, continue_after)
    }

    /// Sends the sweep of a member's fleet to the work queue; nothing where that cannot be done.
    async fn queued_sweep(&self, member: &str) -> Option<Outcome> {
        let sender = self.sender().filter(|_| self.can_send_on())?;
        let sweep = WorkTarget::Sweep { start_after: None, account: Some(member.to_owned()) };
        let item = self.item(sweep, "part of a sweep of several accounts".to_owned());
        let queued = self.queued(sender, "sweep of a member account", &json!(item).to_string(), Duration::ZERO).await;
        queued.then(|| {
            Outcome::new(
                None,
                Status::Queued,
                format!("the streams of account {member} are work of their own"),
                self.mode(),
            )
        })
    }

    /// Every stream of an account, the own one if none is named. A cause that all of them share is
    /// found first, and is one failure.
    async fn fleet(
        &mut self,
        member: Option<&str>,
        start_after: Option<String>,
        tally: &mut OutcomeSummary,
    ) -> Option<String> {
        self.sweeping = member.filter(|member| self.handler.settings.own_account() != Some(member)).map(str::to_owned);
        let account = match &self.sweeping {
            None => self.shared.accounts.own(),
            Some(member) => match self.shared.accounts.member(member, &format!("the streams of {member}")).await {
                Ok(account) => account,
                Err(failure) => {
                    let event = self.event_of_this_sweep(start_after.as_deref());
                    self.settle_as(Outcome::failed(None, failure, self.mode()), event, tally).await;
                    return None;
                }
            },
        };
        let keys = self.shared.rules.keys_in(account.id, &self.handler.aws.region);
        let mut unusable = Vec::new();
        for key in &keys {
            if let Err(failure) | Ok(DesiredKey::Key { trouble: Some(failure), .. }) =
                account.at_work.keys.desired(key).await
            {
                unusable.push((*key, failure));
            }
        }
        // Of several keys each failure is reported for itself, and does not keep the other keys'
        // streams waiting.
        self.several |= keys.len() > 1 && !unusable.is_empty();
        for (key, failure) in &unusable {
            let outcome = Outcome { key: Some(key.to_string()), ..Outcome::failed(None, failure.clone(), self.mode()) };
            let event = self.event_of_this_sweep(start_after.as_deref());
            self.settle_as(outcome, event, tally).await;
        }
        if unusable.len() == keys.len() {
            return None;
        }
        self.reported = unusable.iter().map(|(_, failure)| failure.message.clone()).collect();
        let unusable: Vec<_> = unusable.iter().map(|(key, _)| *key).collect();
        let exempt_tag_key = self.handler.settings.exempt_tag_key.as_deref();
        let (tagging, today) = (&account.aws.tagging, self.now().date_naive());
        let until = self.shared.deadline.look_until();
        let exemptions = SweepFilter::read(tagging, exempt_tag_key, &self.shared.rules, &unusable, today, until);
        let suspects = async {
            if self.encryption(account).is_some() {
                account.at_work.history.foreign_changes().await
            } else {
                HashMap::new()
            }
        };
        let (exemptions, found) = tokio::join!(exemptions, suspects);
        self.from_history = found;
        let pages = Pages {
            streams: &account.aws.streams,
            filter: &exemptions,
            clock: &self.handler.clock,
            deadline: self.shared.deadline,
        };
        let ended = match self.sender() {
            Some(sender) => self.fan_out(&pages, sender, start_after.clone(), tally).await,
            None => Box::pin(self.sweep(account, &pages, start_after.clone(), tally)).await,
        };
        let Err(SweepInterrupted { after, failure }) = ended else { return None };
        let seen = after != start_after;
        let goes_on = seen || self.several || failure.kind() == Kind::Unsettled;
        if failure.class == Class::Retryable && goes_on && self.go_on(after.clone(), &failure).await {
            return after;
        }
        // Nothing was done yet: the event itself is retried. Otherwise the rest becomes a letter of
        // its own, which goes on from there.
        self.several |= seen || self.shared.deadline.work_until() <= self.handler.clock.instant();
        let rest = self.rest_of_sweep(after.as_deref());
        self.settle_as(Outcome::failed(None, failure, self.mode()), rest, tally).await;
        after
    }

    /// What a letter about the whole sweep of an account carries: what woke us, unless that is
    /// about other accounts too.
    fn event_of_this_sweep(&self, start_after: Option<&str>) -> Value {
        match &self.sweeping {
            Some(member) if self.request.trigger.account.as_ref() != Some(member) => self.rest_of_sweep(start_after),
            _ => self.request.payload.clone(),
        }
    }

    /// The request for what is left of the sweep: what a person could ask for, or a work item,
    /// where there is more to say.
    fn rest_of_sweep(&self, after: Option<&str>) -> Value {
        if self.facts.repointed_alias.is_some() || self.facts.rotated_key.is_some() || self.request.options.reapply {
            let sweep = WorkTarget::Sweep { start_after: after.map(str::to_owned), account: self.sweeping.clone() };
            return json!(self.item(sweep, "the rest of a sweep".to_owned()));
        }
        let mut rest = json!({"sweep": true});
        for (name, value) in [("startAfter", after), ("account", self.sweeping.as_deref())] {
            if let Some(value) = value {
                rest[name] = json!(value);
            }
        }
        rest
    }

    async fn sweep(
        &mut self,
        account: &'a Account<'h>,
        pages: &Pages<'_>,
        start_after: Option<String>,
        tally: &mut OutcomeSummary,
    ) -> Result<(), SweepInterrupted> {
        let (facts, from_history) = (self.facts.clone(), self.from_history.clone());
        let context = self.context(account, &facts, &from_history);
        sweep(pages, start_after, &context, async |_, outcome| {
            self.several = true;
            self.settle(outcome, tally).await;
        })
        .await
    }

    /// Sends an item for every stream; the workers do the rest.
    async fn fan_out(
        &self,
        pages: &Pages<'_>,
        sender: WorkQueueSender<'a>,
        start_after: Option<String>,
        tally: &mut OutcomeSummary,
    ) -> Result<(), SweepInterrupted> {
        let item = |stream: &StreamRef| {
            let mut item = self.item(WorkTarget::Stream(stream.clone()), "part of a sweep".to_owned());
            item.facts.foreign_change = self.foreign_change(stream.name()).cloned();
            ascii(&item)
        };
        let each = |outcome: Outcome| {
            tracing::debug!(
                stream = outcome.stream.as_deref().unwrap_or_default(),
                status = outcome.status.as_str(),
                "stream listed"
            );
            tally.add(outcome);
        };
        fan_out(pages, start_after, sender, self.mode(), item, each).await
    }

    /// Queues the rest of a sweep that got no further; says whether that went well.
    async fn go_on(&self, after: Option<String>, failure: &Failure) -> bool {
        let Some(sender) = self.sender().filter(|_| self.can_send_on()) else { return false };
        let reason = format!("the rest of a sweep: {}", failure.message);
        let sweep = WorkTarget::Sweep { start_after: after, account: self.sweeping.clone() };
        let item = self.item(sweep, reason);
        let delay = if failure.kind() == Kind::Unsettled { Duration::ZERO } else { rest(self.request.work.hops + 1) };
        self.queued(sender, "rest of the sweep", &ascii(&item), delay).await
    }

    /// Counts, logs and routes an outcome.
    async fn settle(&mut self, outcome: Outcome, tally: &mut OutcomeSummary) {
        self.settle_as(outcome, self.request.payload.clone(), tally).await;
    }

    async fn settle_as(&mut self, outcome: Outcome, event: Value, tally: &mut OutcomeSummary) {
        let outcome = self.send_on(outcome).await;
        log_outcome(&outcome);
        if let Some(failure) = &outcome.error {
            let event = if has_applied(&outcome) { without_reapply(event) } else { event };
            self.route(outcome.stream.clone(), failure, event).await;
        }
        self.tell(&outcome).await;
        tally.add(outcome);
    }

    /// Tells of an outcome on the bus, ten at a time. That somebody else did not hear of it changes
    /// nothing about how it ended.
    async fn tell(&mut self, outcome: &Outcome) {
        if self.handler.aws.events.is_none() || self.request.options.dry_run {
            return;
        }
        let told = events(outcome, &self.request.trigger, &self.shared.invocation.request_id, &self.handler.function);
        self.events.extend(told.into_iter().map(|OutcomeEvent { detail_type, detail, resources }| Entry {
            source: SOURCE,
            detail_type,
            detail: detail.to_string(),
            resources,
        }));
        if self.events.len() >= AT_ONCE {
            self.flush().await;
        }
    }

    /// Sends the events that are not sent yet.
    pub(super) async fn flush(&mut self) {
        let entries = std::mem::take(&mut self.events);
        let Some(bus) = &self.handler.aws.events else { return };
        for chunk in entries.chunks(AT_ONCE) {
            if let Err(error) = Box::pin(bus.put(chunk, self.shared.deadline.write_until())).await {
                self.letters.events_not_sent += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
                let details: Vec<_> = chunk.iter().map(|entry| entry.detail.as_str()).collect();
                tracing::error!(code = error.failure.code, error = %error.failure, events = details.join("\n"), "outcome events could not be sent");
            }
        }
    }

    /// Sends on, as a work item, what is to be looked at again later and can be. The outcome is
    /// then `deferred`.
    async fn send_on(&self, outcome: Outcome) -> Outcome {
        let Some(stream) = outcome.stream.clone() else { return outcome };
        if let Some(Deferral { after, until }) = outcome.deferral.clone() {
            let Ok(target) = stream.parse().map(WorkTarget::Stream) else { return outcome };
            let mut item = self.item(target, outcome.reason.clone());
            item.not_before = TimeDelta::from_std(after).ok().map(|after| self.now() + after);
            match until {
                DeferReason::Grace { since } => {
                    let GraceState { actor, deferrals, .. } = self.request.facts.grace;
                    item.facts.grace = GraceState { actor, active_since: since, deferrals: deferrals + 1 };
                }
                DeferReason::Contest { applied } => {
                    let name = stream.rsplit_once('/').map_or(stream.as_str(), |(_, name)| name);
                    item.facts.foreign_change = self.foreign_change(name).cloned().map(|known| ForeignChange {
                        applied,
                        delay_served: true,
                        ..known
                    });
                }
            }
            return self.sent_on(outcome, &item, after).await;
        }
        let Some(failure) = outcome.error.clone() else { return outcome };
        if failure.class != Class::Retryable || self.request.manual || !self.can_send_on() {
            return outcome;
        }
        let from_queue = self.message.is_some();
        // Healthy work that is merely not settled goes on without using up its receives; so does an
        // application that is wanted once, and would be taken for done at the next receive.
        let is_fresh = from_queue && (failure.kind() == Kind::Unsettled || self.reapply().is_some());
        if !is_fresh && self.alone && !self.several {
            return outcome;
        }
        let delay = if failure.kind() == Kind::Unsettled { FIRST_DELAY } else { rest(self.request.work.hops + 1) };
        let Ok(target) = stream.parse().map(WorkTarget::Stream) else { return outcome };
        let mut item = self.item(target, failure.message.clone());
        if has_applied(&outcome) {
            item.expires_at = Some(self.now());
        }
        let seconds = delay.as_secs();
        let reason = format!("{}; it is looked at again in {seconds} s", failure.message);
        let deferred = Outcome { status: Status::Deferred, reason, error: None, ..outcome.clone() };
        let sent = self.sent_on(deferred, &item, delay).await;
        // The failure that led here says more than that the queue is not writable either.
        if sent.error.is_some() { outcome } else { sent }
    }

    /// `deferred`, if `item` can be sent; otherwise the failure to send it.
    async fn sent_on(&self, deferred: Outcome, item: &WorkItem, delay: Duration) -> Outcome {
        let Some(sender) = self.sender() else { return deferred };
        match sender.send(&ascii(item), delay, self.shared.deadline.write_until()).await {
            Ok(()) => deferred,
            Err(error) => {
                let failed =
                    Outcome::failed(deferred.stream.clone(), error.failure.classed(Class::Retryable), self.mode());
                Outcome { key: deferred.key, previous_key: deferred.previous_key, ..failed }
            }
        }
    }

    /// The work that is left to do for `stream`, in the name of the event that this request goes
    /// back to.
    fn item(&self, target: WorkTarget, reason: String) -> WorkItem {
        let Request { trigger, work, options, .. } = self.request;
        let kind = if trigger.kind == TriggerKind::WorkItem { work.origin_kind } else { Some(trigger.kind) };
        let asked = options.reapply || kind == Some(TriggerKind::KeyRotated);
        let expires_at =
            work.expires_at.or_else(|| asked.then(|| within(REAPPLY_WITHIN, trigger.event_time.unwrap_or(self.now()))));
        WorkItem {
            version: 1,
            kind: "work-item".to_owned(),
            target,
            reason,
            origin: ItemOrigin { event_id: trigger.event_id.clone(), event_time: trigger.event_time, kind },
            hops: work.hops.saturating_add(1),
            not_before: None,
            expires_at,
            facts: self.facts.clone(),
            reapply: options.reapply,
            reported: self.reported.clone(),
        }
    }

    /// The means to send work to the queue: none in audit mode, in a dry run, and without a queue.
    fn sender(&self) -> Option<WorkQueueSender<'a>> {
        self.handler.aws.work.as_ref()?.sender().filter(|_| !self.request.options.dry_run)
    }

    fn can_send_on(&self) -> bool {
        self.sender().is_some() && self.request.work.hops < MOST_HOPS
    }

    /// Whether this is the message's last receive: what fails now must be lettered by us, with the
    /// diagnosis, or SQS moves it without one.
    fn is_last_receive(&self) -> bool {
        let most = self.handler.settings.work_queue.as_ref().map_or(u32::MAX, |queue| queue.max_receives);
        self.message.is_some_and(|message| message.receive_count >= most)
    }

    /// Decides what becomes of a failure: retried with the invocation or the message,
    /// dead-lettered, or only answered.
    async fn route(&mut self, stream: Option<String>, failure: &Failure, event: Value) {
        let Request { options, manual, redrives, trigger, .. } = self.request;
        if options.dry_run || options.no_dead_letter {
            return;
        }
        if failure.class == Class::Retryable && self.alone && !self.several && !manual && !self.is_last_receive() {
            self.retry = Some(failure.clone());
            return;
        }
        if failure.code == code::CONTESTED
            && [Some(trigger.kind), self.request.work.origin_kind].contains(&Some(TriggerKind::Scheduled))
        {
            // Whoever made it contested wrote the letter. A schedule that meets it again reports
            // it, and no more.
            return;
        }
        if stream.is_some() && self.reported.contains(&failure.message) {
            // A stream of which only its tags told that it is to have that key: one letter was
            // written for all.
            return;
        }
        let queue = self.handler.aws.dead_letters.as_ref();
        if queue.is_none() && *manual {
            // The person who asked reads the answer.
            return;
        }
        let sender = DeadLetterMetadata {
            request_id: &self.shared.invocation.request_id,
            function: &self.handler.function,
            now: self.now(),
        };
        let place = self.place(stream.as_deref(), trigger);
        let (letter, reduced) =
            DeadLetter::new(sender, stream, failure.clone(), redrives.saturating_add(1), event.clone(), place)
                .fitting();
        if reduced {
            tracing::warn!(event = %event, "event is too large for a dead letter, which carries a reduced one; this is the whole");
        }
        let body = letter.body();
        let refused = match queue {
            Some(queue) => queue
                .send(&body, &letter.attributes(), self.shared.deadline.write_until())
                .await
                .err()
                .map(|error| error.failure),
            None => Some(Failure::new(
                Step::SendDeadLetter,
                code::NO_FAILURE_QUEUE,
                &"the dead letter",
                "FAILURE_QUEUE_URL is not set",
            )),
        };
        match refused {
            None => self.letters.stored += 1,
            Some(refused) => {
                self.letters.not_stored += 1;
                tracing::error!(code = refused.code, error = %refused, letter = body, "dead letter could not be stored");
            }
        }
    }

    fn place(&self, stream: Option<&str>, trigger: &Trigger) -> AccountRegion {
        if let Some(arn) = stream.and_then(|stream| stream.parse::<StreamArn>().ok()) {
            return AccountRegion { account: Some(arn.account().to_owned()), region: Some(arn.region().to_owned()) };
        }
        // What an event says may be any text, and SQS refuses a letter for an attribute that it
        // cannot store.
        let account = self.sweeping.clone().or_else(|| trigger.account.clone()).filter(|account| is_account(account));
        let region = trigger.region.clone().filter(|region| is_region(region));
        AccountRegion {
            account: account.or_else(|| self.handler.settings.own_account().map(str::to_owned)),
            region: region.or_else(|| Some(self.handler.aws.region.clone())),
        }
    }

    /// Why a fresh application is wanted, if it is: a person asked for it, or the key was rotated
    /// and `ON_KEY_ROTATION=reapply`.
    ///
    /// It costs one of 25 in 24 hours, so it is done once: not after a day, not from a dead letter,
    /// and not at a second receive, since whoever died at the first may have done it.
    fn reapply(&self) -> Option<Reapply> {
        let Request { options, work, trigger, redrives, .. } = self.request;
        let received_before = self.message.is_some_and(|message| message.receive_count > 1);
        let expired = work.expires_at.is_some_and(|at| at <= self.now());
        let of_rotation = [Some(trigger.kind), work.origin_kind].contains(&Some(TriggerKind::KeyRotated));
        let due = |age: TimeDelta| age >= TimeDelta::zero() && age < REAPPLY_WITHIN;
        match () {
            () if received_before || expired => None,
            () if options.reapply => Some(Reapply::Asked),
            () if of_rotation
                && *redrives == 0
                && self.handler.settings.on_key_rotation == OnKeyRotation::Reapply
                && self.age().is_some_and(due) =>
            {
                Some(Reapply::Rotated)
            }
            () => None,
        }
    }

    fn context<'b>(
        &self,
        account: &'b Account<'b>,
        trigger: &'b TriggerFacts,
        from_history: &'b HashMap<String, ForeignChange>,
    ) -> Context<'b>
    where
        'a: 'b,
    {
        let Self { handler, shared, .. } = *self;
        Context {
            account: &account.at_work,
            encryption: self.encryption(account),
            enforcement: Enforcement::new(&handler.settings, &shared.rules),
            trigger,
            from_history: Some(from_history),
            request: RequestFacts {
                reapply: self.reapply(),
                by_name: self.request.manual && matches!(self.request.scope, Scope::Streams(_)),
                can_requeue: self.can_send_on(),
                // A sweep has its time for looking at every stream.
                in_depth: matches!(self.request.scope, Scope::Streams(_)),
            },
            deadline: shared.deadline,
        }
    }

    /// The last change of the stream's encryption by somebody else: what the event says, or what the sweep found.
    fn foreign_change(&self, name: &str) -> Option<&ForeignChange> {
        self.facts.foreign_change.as_ref().or_else(|| self.from_history.get(name))
    }

    /// What writes; nothing in audit mode and dry runs.
    fn encryption<'b>(&self, account: &Account<'b>) -> Option<&'b Encryption> {
        account.aws.encryption.as_ref().filter(|_| !self.request.options.dry_run)
    }

    fn about_the_key(&self, key: &KeyRef, status: Status, reason: String) -> Outcome {
        Outcome { key: Some(key.to_string()), ..Outcome::new(None, status, reason, self.mode()) }
    }

    fn mode(&self) -> Mode {
        self.handler.settings.mode
    }

    fn now(&self) -> DateTime<Utc> {
        self.handler.clock.utc()
    }
}
