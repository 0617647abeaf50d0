//! One invocation: from a payload to an answer, without losing anything.
//!
//! Every payload ends as a success, as a skip with its reason, as a dead letter that can be
//! redriven, or as a failed invocation, which Lambda [retries] and finally sends to its
//! [on-failure destination][destination]. Nothing is both dead-lettered and retried.
//!
//! [retries]: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
//! [destination]: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html

mod accounts;
mod context;
mod delivery;
mod denials;
mod error;
mod expiring_keys;
mod fleet;
mod key_event;
mod request;
mod rest;
mod strangers;

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use tracing::Instrument;

use self::accounts::Accounts;
use self::context::{InvocationContext, RequestContext};
use self::request::{RequestResult, handle_request};
use crate::aws::rate_limit::RateShare;
use crate::aws::ssm::Current;
use crate::deadline::Deadline;
use crate::decide::disposition::retry_delay;
use crate::domain::mode::Mode;
use crate::event::{self, Delivery, Message, Request};
use crate::policy::EffectivePolicy;
use crate::report::Report;
use crate::settings::Settings;

pub use self::context::{Handler, Invocation, OnMessage};
pub use self::error::{ErrorType, InvocationError};

/// How much of its timeout an invocation may have used before the handler starts.
const STARTED_WITHIN: Duration = Duration::from_secs(5);

impl Handler {
    /// Handles one invocation.
    pub async fn handle(&self, payload: &Value, invocation: &Invocation) -> Result<Value, InvocationError> {
        self.boxed(payload, invocation, false, None).await
    }

    /// Handles one invocation as [`handle`](Self::handle) or, if it is `dry`, as
    /// [`dry_run`](Self::dry_run) does, and hands `on_message` the report of each message of an SQS
    /// batch: the answer to a batch names only the messages that are to be delivered again.
    pub async fn handle_watched(
        &self,
        payload: &Value,
        invocation: &Invocation,
        dry: bool,
        on_message: &OnMessage<'_>,
    ) -> Result<Value, InvocationError> {
        self.boxed(payload, invocation, dry, Some(on_message)).await
    }

    /// Handles one invocation as a dry run, whatever the payload asks for: it changes no stream and
    /// writes no dead letter.
    pub async fn dry_run(&self, payload: &Value, invocation: &Invocation) -> Result<Value, InvocationError> {
        self.boxed(payload, invocation, true, None).await
    }

    /// The one place where the handler boxes a future: unboxed, the types of all futures that an
    /// invocation awaits would be spelt out in every caller's, deeper than the compiler goes.
    fn boxed<'a>(
        &'a self,
        payload: &'a Value,
        invocation: &'a Invocation,
        dry_run: bool,
        on_message: Option<&'a OnMessage<'a>>,
    ) -> impl Future<Output = Result<Value, InvocationError>> + 'a {
        Box::pin(self.read_and_work(payload, invocation, dry_run, on_message))
    }

    async fn read_and_work(
        &self,
        payload: &Value,
        invocation: &Invocation,
        dry_run: bool,
        on_message: Option<&OnMessage<'_>>,
    ) -> Result<Value, InvocationError> {
        let denials_queue = self.settings.denials_queue_url.as_deref();
        if let Some(records) = denials_queue.and_then(|queue| event::denials::batch(payload, queue)) {
            return Ok(Box::pin(self.denials(records, invocation, dry_run, on_message)).await);
        }
        if let Some(problem) = self.grace_problem(invocation).filter(|_| !dry_run) {
            return Err(InvocationError::settings(invocation, &problem));
        }
        let deadline = Deadline::at(invocation.deadline, &self.clock);
        let Settings { key, mode, on_other_key, .. } = &self.settings;
        let current = self.aws.policy.current(deadline.look_until()).await;
        let Current { policy, trouble } = current.map_err(|failure| InvocationError::policy(invocation, &failure))?;
        let rules = EffectivePolicy { policy, key: key.clone(), mode: *mode, on_other_key: *on_other_key };
        let mut delivery = event::read(payload, &self.settings.own_roles());
        delivery.requests_mut().for_each(|request| request.options.dry_run |= dry_run);
        let share = match (&delivery, &self.settings.work_queue) {
            (_, None) => RateShare::Whole,
            (Delivery::Batch(_), Some(_)) => RateShare::Worker,
            // Audit mode sends no work items, so there are no workers.
            (Delivery::Direct(_), Some(_)) if *mode == Mode::Audit => RateShare::Whole,
            (Delivery::Direct(_), Some(_)) => RateShare::Direct,
        };
        let accounts = Accounts::new(&self.settings, &self.aws, &self.clock, deadline, (share, &self.function));
        let old_policy = trouble.is_some();
        let shared = InvocationContext { handler: self, invocation, deadline, accounts, rules, old_policy, on_message };
        match delivery {
            Delivery::Direct(requests) => self.direct(&requests, &shared).await,
            Delivery::Batch(messages) => Ok(self.batch(&messages, &shared).await),
        }
    }

    /// Without a work queue the function waits for the grace period within the invocation, which
    /// must leave time for the work itself.
    fn grace_problem(&self, invocation: &Invocation) -> Option<String> {
        let Settings { iac_grace, work_queue, mode, .. } = &self.settings;
        let left = self.clock.until(invocation.deadline);
        // A part of the timeout was used before the handler started.
        let timeout = left + STARTED_WITHIN;
        if *mode == Mode::Audit || work_queue.is_some() || left.is_zero() || *iac_grace * 2 <= timeout {
            return None;
        }
        Some(format!(
            "IAC_GRACE_SECONDS is {}, more than half of the {} s that the invocation has. Without WORK_QUEUE_URL the \
             function waits for the grace period within the invocation. Set the timeout to at least {} s, shorten the \
             grace period, or configure a work queue",
            iac_grace.as_secs(),
            left.as_secs(),
            iac_grace.as_secs() * 2
        ))
    }

    /// Handles a direct invocation: answers it, or fails it so that Lambda retries it.
    async fn direct(&self, requests: &[Request], shared: &InvocationContext<'_>) -> Result<Value, InvocationError> {
        let results = handle_requests(requests, None, shared).await;
        let error_type = results.iter().find_map(RequestResult::error_type);
        let Some(report) = results.into_iter().map(|result| result.report).reduce(Report::joined) else {
            return Ok(Value::Null);
        };
        match error_type {
            None => Ok(report.to_json()),
            Some(error_type) => Err(InvocationError { error_type, message: report.to_error_message() }),
        }
    }

    /// Handles a batch of SQS messages: the answer is a [partial batch response] with those that
    /// are to be delivered again.
    ///
    /// [partial batch response]: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    async fn batch(&self, messages: &[Message], shared: &InvocationContext<'_>) -> Value {
        let results = join_all(messages.iter().map(|message| self.message(message, shared))).await;
        let failures: Vec<_> = messages
            .iter()
            .zip(results)
            .filter(|(_, done)| !done)
            .map(|(message, _)| json!({"itemIdentifier": message.id}))
            .collect();
        json!({"batchItemFailures": failures})
    }

    /// Handles one message, and returns whether it is done. If not, it stays invisible for a time
    /// that grows with every receive, and is then delivered again.
    async fn message(&self, message: &Message, shared: &InvocationContext<'_>) -> bool {
        let results = handle_requests(&message.requests, Some(message), shared).await;
        let is_done = results.iter().all(|result| result.error_type().is_none());
        if let Some(on_message) = shared.on_message {
            let report = results.into_iter().map(|result| result.report).reduce(Report::joined);
            if let Some(report) = report {
                on_message(&message.id, &report);
            }
        }
        if is_done {
            return true;
        }
        if let (Some(work), Some(receipt_handle)) = (&self.aws.work, &message.receipt_handle) {
            let changed = work
                .change_visibility(receipt_handle, retry_delay(message.receive_count), shared.deadline.write_until())
                .await;
            if let Err(error) = changed {
                tracing::warn!(
                    code = error.failure.code,
                    error = %error.failure,
                    "visibility timeout could not be changed, the message returns after that of the queue"
                );
            }
        }
        false
    }
}

/// How many requests of one payload are handled at once. A forged payload can hold a thousand.
const REQUESTS_AT_ONCE: usize = 20;

async fn handle_requests(
    requests: &[Request],
    message: Option<&Message>,
    invocation: &InvocationContext<'_>,
) -> Vec<RequestResult> {
    let handled = stream::iter(requests.iter().enumerate()).map(|(index, request)| async move {
        let ctx = RequestContext::new(invocation, request, requests, message);
        if requests.len() > 1 && !ctx.has_time() {
            return (index, Err(request));
        }
        let correlation_id = request.trigger.event_id.as_deref().unwrap_or(&invocation.invocation.request_id);
        let span = tracing::info_span!("request", correlation_id);
        // Boxed: one of these is some 15 KB, and a payload may hold many.
        (index, Ok(Box::pin(handle_request(&ctx)).instrument(span).await))
    });
    let mut handled: Vec<_> = handled.buffer_unordered(REQUESTS_AT_ONCE).collect().await;
    handled.sort_by_key(|(index, _)| *index);
    let (mut results, mut not_reached) = (Vec::new(), Vec::new());
    for (_, result) in handled {
        match result {
            Ok(result) => results.push(result),
            Err(request) => not_reached.push(request),
        }
    }
    for rest in rest::in_letters(&not_reached) {
        let mut ctx = RequestContext::new(invocation, &rest, std::slice::from_ref(&rest), message);
        if !results.is_empty() {
            ctx = ctx.beside_other_work();
        }
        results.push(Box::pin(handle_request(&ctx)).await);
    }
    results
}
