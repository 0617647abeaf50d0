//! The facts that a request is handled with. They do not change while it is handled, and reading
//! them makes no call, except that a member account's role may have to be assumed.

use std::collections::HashMap;
use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};

use super::accounts::{Account, Accounts};
use crate::aws::Aws;
use crate::aws::kinesis::Encryption;
use crate::aws::sqs::WorkQueueSender;
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::decide::disposition::{DeliveryFacts, Receive, RetryScope};
use crate::decide::{QueueUse, Reapply};
use crate::domain::arn::{is_account, is_region, partition_of};
use crate::domain::encryption_change::ForeignChange;
use crate::domain::failure::{Failure, Step, code};
use crate::domain::mode::Mode;
use crate::domain::stream::StreamRef;
use crate::domain::text::ascii_json;
use crate::domain::trigger_facts::TriggerFacts;
use crate::domain::wait::WaitState;
use crate::event::{ItemOrigin, MOST_HOPS, Message, Request, Scope, TriggerKind, WorkItem, WorkTarget};
use crate::policy::EffectivePolicy;
use crate::reconcile::{Context, Enforcement, RequestFacts};
use crate::report::Report;
use crate::report::dead_letter::AccountRegion;
use crate::settings::{OnKeyRotation, Settings};

/// What handles invocations, created once per process.
#[derive(Clone, Debug)]
pub struct Handler {
    /// The function's settings.
    pub settings: Settings,
    /// The AWS clients.
    pub aws: Aws,
    /// The clock.
    pub clock: Clock,
    /// The function's name.
    pub function: String,
    /// Writes a line of metrics: to standard output in Lambda.
    pub emit: fn(&str),
}

/// What Lambda says about an invocation.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Lambda's request id.
    pub request_id: String,
    /// The time at which Lambda ends the invocation.
    pub deadline: SystemTime,
}

/// The facts that all requests of an invocation share.
pub(super) struct InvocationContext<'h> {
    pub(super) handler: &'h Handler,
    pub(super) invocation: &'h Invocation,
    pub(super) deadline: Deadline,
    pub(super) accounts: Accounts<'h>,
    pub(super) rules: EffectivePolicy,
    /// Whether an older policy is used, because the current one could not be read.
    pub(super) old_policy: bool,
    /// Who wants to see what became of each message of a batch, which its answer does not say.
    pub(super) on_message: Option<&'h OnMessage<'h>>,
}

/// Is called with the SQS message id and the report of each message of a batch.
pub type OnMessage<'a> = dyn Fn(&str, &Report) + Sync + 'a;

/// How long after a manual request or a rotation the key is re-applied. After that, streams are
/// only verified.
const REAPPLY_WITHIN: TimeDelta = TimeDelta::hours(24);

/// A payload with more bytes than this is not repeated in the dead letter of each of its streams.
const LARGE_PAYLOAD: usize = 16 * 1024;

/// The facts of one request, or of one part of it. A part, such as the sweep of one account, has
/// its own context, derived from that of the request.
#[derive(Clone)]
pub(super) struct RequestContext<'a, 'h> {
    pub(super) invocation: &'a InvocationContext<'h>,
    pub(super) request: &'a Request,
    /// The work-queue message that the request came in; `None` for a direct invocation.
    pub(super) message: Option<&'a Message>,
    /// What a retry of the delivery would repeat.
    pub(super) retry_scope: RetryScope,
    /// What it would repeat if nothing of this request had been done.
    pub(super) delivery_scope: RetryScope,
    /// How many streams the payload names, in all its requests.
    pub(super) streams_in_payload: usize,
    /// Whether the payload names several streams and is large: dead letters about each of them carry
    /// a part of it.
    pub(super) large_payload: bool,
    /// Facts from the trigger that decisions need besides the target.
    pub(super) facts: TriggerFacts,
    /// The member account that is being swept; `None` for the function's own account.
    pub(super) member: Option<String>,
    /// Changes by other principals that the sweep found in CloudTrail, by stream name.
    pub(super) from_history: HashMap<String, ForeignChange>,
    /// The messages of key failures that a sweep reported once for all streams.
    pub(super) reported: Vec<String>,
}

impl<'a, 'h> RequestContext<'a, 'h> {
    /// The context of `request`, which is one of `requests` in its delivery.
    pub(super) fn new(
        invocation: &'a InvocationContext<'h>,
        request: &'a Request,
        requests: &[Request],
        message: Option<&'a Message>,
    ) -> Self {
        // What a finding names and cannot be read has a failure of its own.
        let targets = request.streams().len() + usize::from(!request.finding.unreadable.is_empty());
        let large_payload = targets > 1 && ascii_json(&request.payload).len() > LARGE_PAYLOAD;
        let delivery_scope = RetryScope::of(requests.len());
        // An operator who redrives a dead letter has resolved the conflict, and expects a new dead
        // letter for what still fails. A stream that AWS is still changing waits from now on.
        let redriven = request.redrives > 0;
        let foreign_change = request.facts.foreign_change.clone().filter(|_| !redriven);
        let wait = if redriven { WaitState::default() } else { request.facts.wait };
        Self {
            invocation,
            request,
            message,
            retry_scope: delivery_scope.max(RetryScope::of(targets)),
            delivery_scope,
            streams_in_payload: requests.iter().map(|request| request.streams().len()).sum(),
            large_payload,
            facts: TriggerFacts { foreign_change, wait, ..request.facts.clone() },
            member: None,
            from_history: HashMap::new(),
            reported: if redriven { Vec::new() } else { request.work.reported.clone() },
        }
    }

    /// The same context, where a retry of the delivery would repeat other work, too.
    pub(super) fn beside_other_work(&self) -> Self {
        Self { retry_scope: RetryScope::AlsoOtherWork, ..self.clone() }
    }

    pub(super) fn handler(&self) -> &'h Handler {
        self.invocation.handler
    }

    pub(super) fn deadline(&self) -> Deadline {
        self.invocation.deadline
    }

    pub(super) fn mode(&self) -> Mode {
        self.handler().settings.mode
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.handler().clock.utc()
    }

    /// Whether there is time to begin something.
    pub(super) fn has_time(&self) -> bool {
        self.handler().clock.instant() < self.deadline().work_until()
    }

    /// How old the event is.
    pub(super) fn age(&self) -> Option<TimeDelta> {
        self.request.trigger.event_time.map(|time| self.now() - time)
    }

    /// Sends to the work queue; `None` in audit mode, in a dry run, and without a work queue.
    pub(super) fn sender(&self) -> Option<WorkQueueSender<'h>> {
        self.handler().aws.work.as_ref()?.sender().filter(|_| !self.request.options.dry_run)
    }

    /// Sends what is left of this request to the work queue; `None` also once its hops are used up.
    pub(super) fn requeue_sender(&self) -> Option<WorkQueueSender<'h>> {
        self.sender().filter(|_| self.request.work.hops < MOST_HOPS)
    }

    /// What writes to Kinesis in `account`; `None` in audit mode and dry runs.
    pub(super) fn encryption<'b>(&self, account: &'b Account<'_>) -> Option<&'b Encryption> {
        account.aws.encryption.as_ref().filter(|_| !self.request.options.dry_run)
    }

    /// The last change of the stream's encryption by another principal, from the event or from
    /// CloudTrail.
    pub(super) fn foreign_change(&self, name: &str) -> Option<&ForeignChange> {
        self.facts.foreign_change_of(name, Some(&self.from_history))
    }

    /// Whether a trigger of this kind led to the request, directly or through work items.
    fn comes_from(&self, kind: TriggerKind) -> bool {
        self.request.trigger.kind == kind || self.request.work.origin_kind == Some(kind)
    }

    /// Why the key is re-applied to streams that have it already, if it is: a manual request asks
    /// for it, or the key was rotated and `ON_KEY_ROTATION=reapply` is set.
    ///
    /// A stream accepts 25 [`StartStreamEncryption`] calls in 24 hours, so this is done once: not
    /// after a day, not when a dead letter about a rotation is redriven, and not at a second
    /// receive, since the first may have done it before it failed.
    ///
    /// [`StartStreamEncryption`]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html
    pub(super) fn reapply(&self) -> Option<Reapply> {
        let Request { options, work, redrives, .. } = self.request;
        let received_before = self.message.is_some_and(|message| message.receive_count > 1);
        let expired = work.expires_at.is_some_and(|at| at <= self.now());
        if received_before || expired {
            None
        } else if options.reapply {
            (!self.reapply_refused()).then_some(Reapply::Asked)
        } else {
            let wanted = self.handler().settings.on_key_rotation == OnKeyRotation::Reapply;
            let due = self.age().is_some_and(|age| age >= TimeDelta::zero() && age < REAPPLY_WITHIN);
            let rotated = self.comes_from(TriggerKind::KeyRotated);
            (wanted && rotated && due && *redrives == 0).then_some(Reapply::Rotated)
        }
    }

    /// Whether a person made the request directly, as far as that is known: it is not known who
    /// wrote to a queue, a topic or a pipe.
    pub(super) fn by_person(&self) -> bool {
        let Request { manual, relayed, .. } = *self.request;
        manual && !relayed && self.message.is_none()
    }

    /// Whether the request is a sweep or a part of one, so that nobody named its streams, and nothing
    /// happened to them.
    fn is_part_of_sweep(&self) -> bool {
        self.request.work.part_of_sweep || matches!(self.request.scope, Scope::Fleet { .. } | Scope::Key(_))
    }

    /// Whether a message asks to re-apply the key that descends neither from a direct request nor
    /// from a rotation, neither as a work item nor as a dead letter.
    fn reapply_refused(&self) -> bool {
        let Request { options, work, redrives, .. } = self.request;
        let descends = *redrives > 0 || matches!(work.origin_kind, Some(TriggerKind::Manual | TriggerKind::KeyRotated));
        self.message.is_some() && options.reapply && !descends
    }

    /// What led to the request, if its streams can wait in the work queue. A dry run has to answer
    /// now.
    fn queue_use(&self) -> Option<QueueUse> {
        self.sender()?;
        Some(match self.message {
            None => QueueUse::Direct,
            // A receive before this one may have started the stream, and then been killed.
            Some(message) if message.receive_count <= 1 && self.comes_from(TriggerKind::Scheduled) => {
                QueueUse::ScheduledSweep
            }
            Some(_) => QueueUse::Message,
        })
    }

    /// The facts that decide, with an outcome, what becomes of it.
    pub(super) fn delivery_facts(&self) -> DeliveryFacts<'_> {
        let max = self.handler().settings.work_queue.as_ref().map_or(u32::MAX, |queue| queue.max_receives);
        DeliveryFacts {
            retry_scope: self.retry_scope,
            receive: self.message.map(|message| Receive { count: message.receive_count, max }),
            manual: self.request.manual,
            dry_run: self.request.options.dry_run,
            no_dead_letter: self.request.options.no_dead_letter,
            scheduled: self.comes_from(TriggerKind::Scheduled),
            reapply: self.reapply().is_some(),
            can_requeue: self.requeue_sender().is_some(),
            can_wait: self.sender().is_some(),
            hops: self.request.work.hops,
            reported: &self.reported,
            has_dead_letter_queue: self.handler().aws.dead_letters.is_some(),
        }
    }

    /// The context in which streams of `account` are reconciled.
    pub(super) fn reconcile_context<'b>(&'b self, account: &'b Account<'b>) -> Context<'b> {
        let names_streams = matches!(self.request.scope, Scope::Streams(_));
        Context {
            account: &account.at_work,
            encryption: self.encryption(account),
            enforcement: Enforcement::new(&self.handler().settings, &self.invocation.rules),
            trigger: &self.facts,
            from_history: Some(&self.from_history),
            request: RequestFacts {
                reapply: self.reapply(),
                reapply_refused: self.reapply_refused(),
                by_name: self.request.manual && names_streams,
                by_person: self.by_person(),
                can_requeue: self.requeue_sender().is_some(),
                queue: self.queue_use(),
                // A sweep needs its time for reaching every stream.
                in_depth: names_streams,
                sweeps: self.is_part_of_sweep(),
            },
            access_state: self
                .handler()
                .aws
                .access_state
                .as_ref()
                .filter(|_| self.handler().settings.halt_on_access_denied),
            deadline: self.deadline(),
        }
    }

    /// A work item about `target`, with the origin of this request.
    pub(super) fn work_item_for(&self, target: WorkTarget, reason: String) -> WorkItem {
        let Request { trigger, work, options, redrives, .. } = self.request;
        let kind = if trigger.kind == TriggerKind::WorkItem { work.origin_kind } else { Some(trigger.kind) };
        let reapplies = options.reapply || kind == Some(TriggerKind::KeyRotated);
        let expires_at = work.expires_at.or_else(|| {
            reapplies.then(|| saturating_add(trigger.event_time.unwrap_or_else(|| self.now()), REAPPLY_WITHIN))
        });
        // A redriven dead letter about a rotation only verifies, and so does what follows from it.
        let only_verifies = *redrives > 0 && !options.reapply && expires_at.is_some();
        let expires_at = if only_verifies { Some(self.now()) } else { expires_at };
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
            part_of_sweep: self.is_part_of_sweep(),
            reported: self.reported.clone(),
        }
    }

    /// The member account that the event comes from, if any.
    pub(super) fn member_of_event(&self) -> Option<&'h str> {
        let account = self.request.trigger.account.as_deref()?;
        self.invocation.accounts.members().find(|member| *member == account)
    }

    /// The account in the stream's ARN; a bare name belongs to the function's own account. A stream
    /// that is not managed is rejected before any call.
    pub(super) async fn account_of(&self, stream: &StreamRef) -> Result<&'a Account<'h>, Failure> {
        self.check(stream)?;
        match stream {
            StreamRef::Arn(arn) => self.invocation.accounts.get(arn.account(), arn).await,
            StreamRef::Name(_) => Ok(self.invocation.accounts.own()),
        }
    }

    /// Refuses a stream of another Region or partition, and one of another account than the
    /// event's: neither an event nor a work item may point the function elsewhere, except that a
    /// person may select a member account's finding. A bare name is a stream of the function's own
    /// account.
    pub(super) fn check(&self, stream: &StreamRef) -> Result<(), Failure> {
        let refuse = |code, detail: String| Err(Failure::new(Step::CheckTarget, code, stream, &detail));
        let region = &self.handler().aws.region;
        let stream_account = match stream {
            StreamRef::Arn(arn) if arn.region() != region => {
                return refuse(code::FOREIGN_REGION, format!("this function manages the streams of {region}"));
            }
            StreamRef::Arn(arn) if arn.partition() != partition_of(region) => {
                return refuse(code::FOREIGN_REGION, format!("{region} is in the partition {}", partition_of(region)));
            }
            StreamRef::Arn(arn) => Some(arn.account()),
            StreamRef::Name(_) => self.handler().settings.own_account(),
        };
        match (self.request.trigger.account.as_deref(), stream_account) {
            // What happened in one account says nothing of another's streams.
            (Some(account), Some(stream_account))
                if account != stream_account && !self.is_selected_for_member(account, stream_account) =>
            {
                refuse(code::FOREIGN_ACCOUNT, format!("the event is of account {account:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Whether a person selected a finding about a stream of the member account `member`, by a
    /// custom action in the function's own account, which is that of the event.
    fn is_selected_for_member(&self, event_account: &str, member: &str) -> bool {
        self.request.finding.selected
            && self.handler().settings.own_account() == Some(event_account)
            && self.invocation.accounts.members().any(|known| known == member)
    }

    /// The account and the Region for the message attributes of a dead letter.
    pub(super) fn account_and_region(&self, stream: Option<&StreamRef>) -> AccountRegion {
        if let Some(StreamRef::Arn(arn)) = stream {
            return AccountRegion { account: Some(arn.account().to_owned()), region: Some(arn.region().to_owned()) };
        }
        let trigger = &self.request.trigger;
        // An event may contain any text, and SQS rejects a message with an invalid attribute.
        let account = self.member.clone().or_else(|| trigger.account.clone()).filter(|account| is_account(account));
        let region = trigger.region.clone().filter(|region| is_region(region));
        AccountRegion {
            account: account.or_else(|| self.handler().settings.own_account().map(str::to_owned)),
            region: region.or_else(|| Some(self.handler().aws.region.clone())),
        }
    }
}

/// `start + time`, saturating: event times can be forged.
fn saturating_add(start: DateTime<Utc>, time: TimeDelta) -> DateTime<Utc> {
    start.checked_add_signed(time).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
