//! One invocation: from a payload to an answer, with nothing lost on the way.
//!
//! Every payload ends as a success, as a deliberate skip with its reason, as a dead letter that can
//! be fed back, or as a failed invocation, which Lambda retries and finally sends to its on-failure
//! destination. Nothing is both dead-lettered and retried.

mod accounts;
mod request;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use lambda_runtime::Diagnostic;
use serde_json::{Value, json};
use tracing::Instrument;

use self::accounts::Accounts;
use self::request::{Job, rest};
use crate::aws::Aws;
use crate::aws::rate_limit::RateShare;
use crate::aws::ssm::Current;
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::domain::failure::{Class, Failure, Kind, Step, code};
use crate::domain::mode::Mode;
use crate::event::{self, Delivery, Message, Request};
use crate::policy::EffectivePolicy;
use crate::report::Report;
use crate::report::log::log_report;
use crate::report::metrics::{self, RequestCounters};
use crate::settings::{PolicySource, Settings, SettingsError};

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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", error_type.as_str())]
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
    /// The policy is wrong, or cannot be read.
    Policy,
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
            Self::Policy => "Policy",
        }
    }
}

impl InvocationError {
    /// The failure of an invocation that cannot work at all, because of its settings or policy.
    #[must_use]
    pub fn of_settings(invocation: &Invocation, error: &SettingsError) -> Self {
        if error.is_policy() {
            Self::policy(invocation, &policy_failure(error))
        } else {
            Self::settings(invocation, &error.to_string())
        }
    }

    /// The failure of an invocation that has no policy, and so must touch nothing.
    fn policy(invocation: &Invocation, failure: &Failure) -> Self {
        let message = json!({"requestId": invocation.request_id, "error": failure});
        Self { error_type: ErrorType::Policy, message: message.to_string() }
    }

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

fn policy_failure(error: &SettingsError) -> Failure {
    Failure::new(Step::ReadPolicy, code::POLICY_INVALID, &"the environment", &error.to_string())
}

impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        Self { error_type: error.error_type.as_str().to_owned(), error_message: error.message }
    }
}

/// How much of its timeout an invocation may have used before it reaches the handler.
const STARTED_WITHIN: Duration = Duration::from_secs(5);

/// What all requests of an invocation share.
struct InvocationContext<'a> {
    invocation: &'a Invocation,
    deadline: Deadline,
    accounts: Accounts<'a>,
    rules: EffectivePolicy,
    /// Whether the rules are older than they should be.
    old_policy: bool,
}

/// How one request ended.
struct RequestResult {
    report: Report,
    letters: RequestCounters,
    /// The failure that Lambda or SQS is to retry.
    retry: Option<Failure>,
}

impl RequestResult {
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
        Box::pin(self.read_and_work(payload, invocation, false)).await
    }

    /// Handles one invocation without changing anything, whatever the payload asks for: nothing is
    /// started, nothing is dead-lettered.
    pub async fn dry_run(&self, payload: &Value, invocation: &Invocation) -> Result<Value, InvocationError> {
        Box::pin(self.read_and_work(payload, invocation, true)).await
    }

    async fn read_and_work(
        &self,
        payload: &Value,
        invocation: &Invocation,
        dry_run: bool,
    ) -> Result<Value, InvocationError> {
        if let Some(problem) = self.grace_problem(invocation).filter(|_| !dry_run) {
            return Err(InvocationError::settings(invocation, &problem));
        }
        let deadline = Deadline::at(invocation.deadline, &self.clock);
        let Settings { key, mode, on_other_key, .. } = &self.settings;
        let Current { policy, trouble } =
            self.policy(&deadline).await.map_err(|failure| InvocationError::policy(invocation, &failure))?;
        let rules = EffectivePolicy { policy, key: key.clone(), mode: *mode, on_other_key: *on_other_key };
        let mut delivery = event::read(payload, &self.settings.own_roles());
        delivery.requests_mut().for_each(|request| request.options.dry_run |= dry_run);
        let share = match (&delivery, &self.settings.work_queue) {
            (_, None) => RateShare::Whole,
            (Delivery::Batch(_), Some(_)) => RateShare::Worker,
            // In audit mode nothing fans out, and no worker has work.
            (Delivery::Direct(_), Some(_)) if *mode == Mode::Audit => RateShare::Whole,
            (Delivery::Direct(_), Some(_)) => RateShare::Direct,
        };
        let accounts = Accounts::new(self, deadline, share);
        let shared = InvocationContext { invocation, deadline, accounts, rules, old_policy: trouble.is_some() };
        match delivery {
            Delivery::Direct(requests) => self.direct(&requests, &shared).await,
            Delivery::Batch(messages) => Ok(self.batch(&messages, &shared).await),
        }
    }

    /// The policy as of now. Without one nothing is touched: which streams it would leave alone is
    /// not known.
    async fn policy(&self, deadline: &Deadline) -> Result<Current, Failure> {
        match (&self.settings.policy, &self.aws.policy) {
            (PolicySource::Parameter(_), Some(parameter)) => Box::pin(parameter.current(deadline.look_until())).await,
            (PolicySource::Parameter(name), None) => {
                Err(Failure::new(Step::ReadPolicy, code::POLICY_INVALID, name, "nothing that could read it was made"))
            }
            (PolicySource::Inline(policy), _) => Ok(Current { policy: Arc::clone(policy), trouble: None }),
        }
    }

    /// Without a work queue the grace is waited for inside the invocation, which must leave time
    /// for the work itself.
    fn grace_problem(&self, invocation: &Invocation) -> Option<String> {
        let Settings { iac_grace, work_queue, mode, .. } = &self.settings;
        let left = self.clock.until(invocation.deadline);
        // The start of the invocation took some of its time already.
        let timeout = left + STARTED_WITHIN;
        if *mode == Mode::Audit || work_queue.is_some() || left.is_zero() || *iac_grace * 2 <= timeout {
            return None;
        }
        Some(format!(
            "IAC_GRACE_SECONDS is {}, more than half of the {} s that the invocation has: without WORK_QUEUE_URL the grace is waited for inside it. \
             Set a timeout of at least {} s, a shorter grace, or a work queue",
            iac_grace.as_secs(),
            left.as_secs(),
            iac_grace.as_secs() * 2
        ))
    }

    /// An event or a request: answered, or failed so that Lambda retries it.
    async fn direct(&self, requests: &[Request], shared: &InvocationContext<'_>) -> Result<Value, InvocationError> {
        let worked = self.work_all(requests, None, shared).await;
        let error_type = worked.iter().find_map(RequestResult::error_type);
        let Some(report) = worked.into_iter().map(|worked| worked.report).reduce(Report::joined) else {
            return Ok(Value::Null);
        };
        match error_type {
            None => Ok(report.to_json()),
            Some(error_type) => Err(InvocationError { error_type, message: report.to_error_message() }),
        }
    }

    /// A batch of SQS messages: the answer names those that are to come back.
    async fn batch(&self, messages: &[Message], shared: &InvocationContext<'_>) -> Value {
        let worked = join_all(messages.iter().map(|message| self.message(message, shared))).await;
        let failures: Vec<_> = messages
            .iter()
            .zip(worked)
            .filter(|(_, settled)| !settled)
            .map(|(message, _)| json!({"itemIdentifier": message.id}))
            .collect();
        json!({"batchItemFailures": failures})
    }

    /// Works one message, and says whether it is settled. If not, it is handed back: hidden for a
    /// while that grows with every receive.
    async fn message(&self, message: &Message, shared: &InvocationContext<'_>) -> bool {
        let worked = self.work_all(&message.requests, Some(message), shared).await;
        if worked.iter().all(|worked| worked.error_type().is_none()) {
            return true;
        }
        if let (Some(work), Some(receipt_handle)) = (&self.aws.work, &message.receipt_handle) {
            let hidden = work
                .change_visibility(receipt_handle, rest(message.receive_count), shared.deadline.write_until())
                .await;
            if let Err(error) = hidden {
                tracing::warn!(code = error.failure.code, error = %error.failure, "message comes back when the queue's own time is over");
            }
        }
        false
    }

    async fn work_all(
        &self,
        requests: &[Request],
        message: Option<&Message>,
        shared: &InvocationContext<'_>,
    ) -> Vec<RequestResult> {
        let alone = requests.len() == 1;
        join_all(requests.iter().map(|request| self.work(request, message, alone, shared))).await
    }

    /// Works one request, reports it, and routes what failed. `alone`: whether the whole delivery,
    /// or `message`, may be retried for its sake.
    async fn work(
        &self,
        request: &Request,
        message: Option<&Message>,
        alone: bool,
        shared: &InvocationContext<'_>,
    ) -> RequestResult {
        let correlation_id = request.trigger.event_id.as_deref().unwrap_or(&shared.invocation.request_id);
        let span = tracing::info_span!("request", correlation_id);
        let work = async {
            let mut job = Job::new(self, request, shared, message, alone);
            let (trigger, tally, continue_after) = Box::pin(job.run()).await;
            Box::pin(job.flush()).await;
            let report = Report::new(&shared.invocation.request_id, self.settings.mode, trigger, tally, continue_after);
            let Job { letters, retry, .. } = job;
            log_report(&report, letters);
            (self.emit)(&metrics::line(
                &self.settings.metrics_namespace,
                &self.function,
                self.clock.utc(),
                &report,
                letters,
            ));
            RequestResult { report, letters, retry }
        };
        Box::pin(work.instrument(span)).await
    }
}
