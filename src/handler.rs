//! One invocation: from a payload to an answer, with nothing lost on the way.
//!
//! Every payload ends as a success, as a deliberate skip with its reason, as a dead letter that can be fed back, or as a failed invocation,
//! which Lambda retries and finally sends to its on-failure destination. Nothing is both dead-lettered and retried.

use std::fmt;
use std::time::SystemTime;

use futures_util::future::join_all;
use lambda_runtime::Diagnostic;
use serde_json::{Value, json};
use tracing::Instrument;

use crate::aws::Aws;
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::decide::Desired;
use crate::event::{self, Delivery, KeySignal, Message, Request, Scope, Trigger, TriggerKind};
use crate::failure::{Class, Failure, Kind, Step, code};
use crate::key::AliasName;
use crate::key_book::KeyBook;
use crate::key_signal::{Meaning, weigh};
use crate::outcome::{Outcome, Status};
use crate::reconcile::{Context, Turns, reconcile};
use crate::report::letter::{Letter, Place, Sender};
use crate::report::metrics::{self, Letters};
use crate::report::{Report, Tally};
use crate::settings::{Mode, Settings};
use crate::stream::{StreamArn, StreamRef};
use crate::sweep::sweep;

/// What makes invocations work: made once per process.
#[derive(Clone, Debug)]
pub struct Handler {
    /// The function's settings.
    pub settings: Settings,
    /// The clients.
    pub aws: Aws,
    /// The time.
    pub clock: Clock,
    /// The function's name.
    pub function: String,
    /// Where lines of metrics go: standard output in Lambda.
    pub emit: fn(&str),
}

/// What Lambda says of an invocation.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The request id.
    pub request_id: String,
    /// When Lambda ends the invocation.
    pub deadline: SystemTime,
}

/// An invocation that fails, so that Lambda retries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvocationError {
    /// Stable: alarms and on-failure records are told apart by it.
    pub error_type: ErrorType,
    /// The answer's JSON, shortened to 4 KB: what was started but not confirmed is not lost.
    pub message: String,
}

/// Why an invocation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// A stream or a key had not settled when the time was up.
    StillUpdating,
    /// AWS throttles.
    Throttled,
    /// The stream was not ACTIVE for as long as there was time.
    ResourceInUse,
    /// AWS or the network failed.
    AwsUnavailable,
    /// A dead letter could not be written.
    DeadLetterNotStored,
    /// The settings are wrong.
    Settings,
}

impl ErrorType {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Throttled => Self::Throttled,
            Kind::InUse => Self::ResourceInUse,
            Kind::Unsettled | Kind::KeyUnsettled => Self::StillUpdating,
            _ => Self::AwsUnavailable,
        }
    }

    /// The name in Lambda's answer.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StillUpdating => "StillUpdating",
            Self::Throttled => "Throttled",
            Self::ResourceInUse => "ResourceInUse",
            Self::AwsUnavailable => "AwsUnavailable",
            Self::DeadLetterNotStored => "DeadLetterNotStored",
            Self::Settings => "Settings",
        }
    }
}

impl InvocationError {
    /// The failure of an invocation of a function that cannot work at all, because of `problem`.
    #[must_use]
    pub fn settings(invocation: &Invocation, problem: &str) -> Self {
        let message = json!({
            "requestId": invocation.request_id,
            "error": {
                "step": "read-settings",
                "code": ErrorType::Settings.as_str(),
                "class": Class::Terminal,
                "message": problem,
                "remedy": "correct the function's environment (the template's parameters), deploy, and feed the event back",
            },
        });
        Self { error_type: ErrorType::Settings, message: message.to_string() }
    }
}

impl fmt::Display for InvocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error_type.as_str(), self.message)
    }
}

impl std::error::Error for InvocationError {}

impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        Self { error_type: error.error_type.as_str().to_owned(), error_message: error.message }
    }
}

/// What all requests of an invocation share.
struct Shared<'a> {
    invocation: &'a Invocation,
    deadline: Deadline,
    keys: KeyBook<'a>,
    turns: Turns,
}

/// How one request ended.
struct Worked {
    report: Report,
    letters: Letters,
    /// The failure that Lambda or SQS is to retry.
    retry: Option<Failure>,
}

impl Worked {
    fn error_type(&self) -> Option<ErrorType> {
        if self.letters.not_stored > 0 {
            return Some(ErrorType::DeadLetterNotStored);
        }
        self.retry.as_ref().map(|failure| ErrorType::of(failure.kind()))
    }
}

impl Handler {
    /// Handles one invocation.
    pub async fn handle(&self, payload: &Value, invocation: &Invocation) -> Result<Value, InvocationError> {
        self.read_and_work(payload, invocation, false).await
    }

    /// Handles one invocation without changing anything, whatever the payload asks for: nothing is started, nothing is dead-lettered.
    pub async fn rehearse(&self, payload: &Value, invocation: &Invocation) -> Result<Value, InvocationError> {
        self.read_and_work(payload, invocation, true).await
    }

    async fn read_and_work(&self, payload: &Value, invocation: &Invocation, dry_run: bool) -> Result<Value, InvocationError> {
        let deadline = Deadline::at(invocation.deadline, &self.clock);
        let Settings { key, on_other_key, own_role_arn, .. } = &self.settings;
        let keys = KeyBook::new(&self.aws.keys, key, &self.aws.region, *on_other_key, deadline.look_until());
        let shared = Shared { invocation, deadline, keys, turns: Turns::default() };
        let mut delivery = event::read(payload, own_role_arn.as_deref());
        delivery.requests_mut().for_each(|request| request.wishes.dry_run |= dry_run);
        match delivery {
            Delivery::Direct(requests) => self.direct(&requests, &shared).await,
            Delivery::Batch(messages) => Ok(self.batch(&messages, &shared).await),
        }
    }

    /// An event or a request: answered, or failed so that Lambda retries it.
    async fn direct(&self, requests: &[Request], shared: &Shared<'_>) -> Result<Value, InvocationError> {
        let worked = self.work_all(requests, shared).await;
        let error_type = worked.iter().find_map(Worked::error_type);
        let Some(report) = worked.into_iter().map(|worked| worked.report).reduce(Report::joined) else {
            return Ok(Value::Null);
        };
        match error_type {
            None => Ok(report.to_json()),
            Some(error_type) => Err(InvocationError { error_type, message: report.to_error_message() }),
        }
    }

    /// A batch of SQS messages: the answer names those that are to come back.
    async fn batch(&self, messages: &[Message], shared: &Shared<'_>) -> Value {
        let worked = join_all(messages.iter().map(|message| self.work_all(&message.requests, shared))).await;
        let failures: Vec<_> = messages
            .iter()
            .zip(worked)
            .filter(|(_, worked)| worked.iter().any(|worked| worked.error_type().is_some()))
            .map(|(message, _)| json!({"itemIdentifier": message.id}))
            .collect();
        json!({"batchItemFailures": failures})
    }

    async fn work_all(&self, requests: &[Request], shared: &Shared<'_>) -> Vec<Worked> {
        let alone = requests.len() == 1;
        join_all(requests.iter().map(|request| self.work(request, alone, shared))).await
    }

    /// Works one request, reports it, and routes what failed. `alone`: whether the whole delivery may be retried for its sake.
    async fn work(&self, request: &Request, alone: bool, shared: &Shared<'_>) -> Worked {
        let correlation_id = request.trigger.event_id.as_deref().unwrap_or(&shared.invocation.request_id);
        let span = tracing::info_span!("request", correlation_id);
        let work = async {
            let mut job = Job { handler: self, request, shared, alone, letters: Letters::default(), retry: None, several: false };
            let (trigger, tally, continue_after) = job.run().await;
            let report = Report::new(&shared.invocation.request_id, self.settings.mode, trigger, tally, continue_after);
            let Job { letters, retry, .. } = job;
            log_report(&report, letters);
            (self.emit)(&metrics::line(&self.settings.metrics_namespace, &self.function, self.clock.utc(), &report, letters));
            Worked { report, letters, retry }
        };
        Box::pin(work.instrument(span)).await
    }
}

/// One request at work.
struct Job<'a> {
    handler: &'a Handler,
    request: &'a Request,
    shared: &'a Shared<'a>,
    alone: bool,
    letters: Letters,
    retry: Option<Failure>,
    several: bool,
}

impl<'a> Job<'a> {
    async fn run(&mut self) -> (Trigger, Tally, Option<String>) {
        let mut trigger = self.request.trigger.clone();
        let mut tally = Tally::of_targets();
        let mut continue_after = None;
        match &self.request.scope {
            Scope::Nothing => {}
            Scope::Unknown => {
                let reason = trigger.reason.clone().unwrap_or_default();
                let failure = Failure::new(Step::ReadEvent, code::UNKNOWN_PAYLOAD, &"the payload", &reason);
                // A work item of another version may be understood by the version that is being deployed just now.
                let newer = self.request.payload.get("kind").is_some_and(|kind| kind == "work-item");
                let failure = if newer { failure.classed(Class::Retryable) } else { failure };
                self.settle(Outcome::failed(None, failure, self.mode()), &mut tally).await;
            }
            Scope::Streams(streams) => {
                self.several = streams.len() > 1;
                self.streams(streams, &mut tally).await;
            }
            Scope::Fleet { start_after } => (tally, continue_after) = self.fleet(start_after.clone(), None).await,
            Scope::Key(signal) => match self.weigh(signal).await {
                Meaning::Nothing(reason) => {
                    trigger.kind = TriggerKind::Ignored;
                    trigger.reason = Some(reason);
                }
                Meaning::KeyAtRisk(reason) => self.settle(self.about_the_key(Status::KeyAtRisk, reason), &mut tally).await,
                Meaning::Failed(failure) => {
                    let outcome = Outcome { key: Some(self.key()), ..Outcome::failed(None, failure, self.mode()) };
                    self.settle(outcome, &mut tally).await;
                }
                Meaning::Fleet { doubted_alias } => (tally, continue_after) = self.fleet(None, doubted_alias.as_ref()).await,
            },
        }
        (trigger, tally, continue_after)
    }

    async fn weigh(&self, signal: &KeySignal) -> Meaning {
        let trigger = &self.request.trigger;
        let age = trigger.event_time.map(|time| self.handler.clock.utc() - time);
        if let (Some(region), true) = (trigger.region.as_deref(), !self.handler.aws.region.is_empty())
            && region != self.handler.aws.region
        {
            return Meaning::Nothing(format!("it happened in {region}, streams of {} are kept here", self.handler.aws.region));
        }
        weigh(signal, trigger, age, &self.handler.settings.key, &self.shared.keys).await
    }

    async fn streams(&mut self, streams: &[StreamRef], tally: &mut Tally) {
        let context = self.context(None);
        let outcomes = join_all(streams.iter().map(|stream| self.one(stream, &context))).await;
        for outcome in outcomes {
            self.settle(outcome, tally).await;
        }
    }

    async fn one(&self, stream: &StreamRef, context: &Context<'_>) -> Outcome {
        if let StreamRef::Arn(arn) = stream
            && let Some(failure) = self.foreign(arn)
        {
            return Outcome::failed(Some(arn.to_string()), failure, self.mode());
        }
        reconcile(stream, context).await
    }

    /// A stream of another account or Region is refused before any call: what an event says must not send us there.
    fn foreign(&self, arn: &StreamArn) -> Option<Failure> {
        let refuse = |code, detail: String| Some(Failure::new(Step::CheckTarget, code, arn, &detail));
        let region = &self.handler.aws.region;
        if arn.region() != region {
            return refuse(code::FOREIGN_REGION, format!("this function keeps the streams of {region}"));
        }
        match self.handler.settings.own_account() {
            Some(account) if account != arn.account() => {
                refuse(code::FOREIGN_ACCOUNT, format!("this function keeps the streams of account {account}"))
            }
            _ => None,
        }
    }

    /// Every stream. A cause that all of them share is found first, and is one failure.
    async fn fleet(&mut self, start_after: Option<String>, doubted_alias: Option<&AliasName>) -> (Tally, Option<String>) {
        let mut tally = Tally::of_sweep();
        let shared_failure = match self.shared.keys.desired().await {
            Err(failure) | Ok(Desired::Key { trouble: Some(failure), .. }) => Some(failure),
            Ok(_) => None,
        };
        if let Some(failure) = shared_failure {
            let outcome = Outcome { key: Some(self.key()), ..Outcome::failed(None, failure, self.mode()) };
            self.settle(outcome, &mut tally).await;
            return (tally, None);
        }
        let context = self.context(doubted_alias);
        let mut seen = false;
        let ended = sweep(start_after.clone(), &context, async |outcome| {
            seen = true;
            self.several = true;
            self.settle(outcome, &mut tally).await;
        })
        .await;
        let Err(not_reached) = ended else { return (tally, None) };
        // Nothing was done yet: the event itself is retried. Otherwise the rest becomes a letter of its own, which goes on from there.
        self.several = seen || self.shared.deadline.work_until() <= self.handler.clock.instant();
        let rest = match &not_reached.after {
            Some(after) => json!({"sweep": true, "startAfter": after}),
            None => json!({"sweep": true}),
        };
        let outcome = Outcome::failed(None, not_reached.failure, self.mode());
        self.settle_as(outcome, rest, &mut tally).await;
        (tally, not_reached.after.or(start_after))
    }

    /// Counts, logs and routes an outcome.
    async fn settle(&mut self, outcome: Outcome, tally: &mut Tally) {
        self.settle_as(outcome, self.request.payload.clone(), tally).await;
    }

    async fn settle_as(&mut self, outcome: Outcome, event: Value, tally: &mut Tally) {
        log_outcome(&outcome);
        if let Some(failure) = &outcome.error {
            self.route(outcome.stream.clone(), failure, event).await;
        }
        tally.add(outcome);
    }

    /// Decides what becomes of a failure: retried with the invocation, dead-lettered, or only answered.
    async fn route(&mut self, stream: Option<String>, failure: &Failure, event: Value) {
        let Request { wishes, manual, feed_backs, trigger, .. } = self.request;
        if wishes.dry_run || wishes.no_dead_letter {
            return;
        }
        if failure.class == Class::Retryable && self.alone && !self.several && !manual {
            self.retry = Some(failure.clone());
            return;
        }
        let queue = self.handler.aws.dead_letters.as_ref();
        if queue.is_none() && *manual {
            // The person who asked reads the answer.
            return;
        }
        let sender =
            Sender { request_id: &self.shared.invocation.request_id, function: &self.handler.function, now: self.handler.clock.utc() };
        let place = self.place(stream.as_deref(), trigger);
        let (letter, reduced) = Letter::new(sender, stream, failure.clone(), feed_backs + 1, event.clone(), place).fitting();
        if reduced {
            tracing::warn!(event = %event, "event is too large for a dead letter, which carries a reduced one; this is the whole");
        }
        let body = letter.body();
        let refused = match queue {
            Some(queue) => {
                queue.send(&body, &letter.attributes(), self.shared.deadline.write_until()).await.err().map(|error| error.failure)
            }
            None => Some(Failure::new(Step::SendDeadLetter, code::NO_FAILURE_QUEUE, &"the dead letter", "FAILURE_QUEUE_URL is not set")),
        };
        match refused {
            None => self.letters.stored += 1,
            Some(refused) => {
                self.letters.not_stored += 1;
                tracing::error!(code = refused.code, error = %refused, letter = body, "dead letter could not be stored");
            }
        }
    }

    fn place(&self, stream: Option<&str>, trigger: &Trigger) -> Place {
        if let Some(arn) = stream.and_then(|stream| stream.parse::<StreamArn>().ok()) {
            return Place { account: Some(arn.account().to_owned()), region: Some(arn.region().to_owned()) };
        }
        let account = trigger.account.clone().or_else(|| self.handler.settings.own_account().map(str::to_owned));
        Place { account, region: trigger.region.clone().or_else(|| Some(self.handler.aws.region.clone())) }
    }

    fn context<'b>(&self, doubted_alias: Option<&'b AliasName>) -> Context<'b>
    where
        'a: 'b,
    {
        let Self { handler: Handler { settings, aws, clock, .. }, request, shared, .. } = *self;
        Context {
            streams: &aws.streams,
            encryption: aws.encryption.as_ref().filter(|_| !request.wishes.dry_run),
            keys: &shared.keys,
            turns: &shared.turns,
            clock,
            deadline: shared.deadline,
            mode: settings.mode,
            on_other_key: settings.on_other_key,
            exempt_tag_key: settings.exempt_tag_key.as_deref(),
            reapply: request.wishes.reapply,
            doubted_alias,
            asked_for: request.manual && matches!(request.scope, Scope::Streams(_)),
        }
    }

    fn about_the_key(&self, status: Status, reason: String) -> Outcome {
        Outcome { key: Some(self.key()), ..Outcome::new(None, status, reason, self.mode()) }
    }

    fn key(&self) -> String {
        self.handler.settings.key.to_string()
    }

    fn mode(&self) -> Mode {
        self.handler.settings.mode
    }
}

fn log_outcome(outcome: &Outcome) {
    let Outcome { stream, status, reason, mode: _, rule: _, key, previous_key, waited_ms, applied, warnings, error } = outcome;
    let (stream, status, warnings) = (stream.as_deref().unwrap_or_default(), status.as_str(), warnings.len());
    match error {
        None => {
            let (key, previous_key) = (key.as_deref().unwrap_or_default(), previous_key.as_deref().unwrap_or_default());
            tracing::info!(stream, status, reason, key, previous_key, waited_ms, applied, warnings, "stream settled");
        }
        Some(Failure { step, code, class, message: _, remedy }) => {
            let (step, class) = (step.as_str(), class.as_str());
            tracing::error!(stream, status, reason, step, code, class, remedy, waited_ms, applied, "stream not settled");
        }
    }
}

fn log_report(report: &Report, letters: Letters) {
    let Report { request_id: _, mode: _, trigger, outcomes: _, summary, outcomes_truncated: _, continue_after } = report;
    let kind = serde_json::to_value(trigger.kind).unwrap_or_default();
    let summary = serde_json::to_value(summary).unwrap_or_default();
    tracing::info!(
        trigger = kind.as_str().unwrap_or_default(),
        ignored_because = trigger.reason.as_deref().unwrap_or_default(),
        summary = %summary,
        dead_letters = letters.stored,
        dead_letters_not_stored = letters.not_stored,
        continue_after = continue_after.as_deref().unwrap_or_default(),
        "request handled"
    );
}
