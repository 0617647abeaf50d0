//! SQS: the dead-letter queue and the work queue.
//!
//! Source: SQS API Reference, `SendMessage` (at most 1 MiB, message attributes included; delayed by at most 900 s), `SendMessageBatch` (at most ten,
//! which may fail one by one), `ChangeMessageVisibility`.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::operation::send_message::builders::SendMessageFluentBuilder;
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use tokio::time::Instant;

use super::calls::Calls;
use super::error::{CallError, Fate};
use crate::failure::{Failure, Step, code};

/// Writes dead letters.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    client: Client,
    calls: Arc<Calls>,
    queue_url: String,
}

impl DeadLetters {
    pub(super) fn new(client: Client, calls: Arc<Calls>, queue_url: String) -> Self {
        Self { client, calls, queue_url }
    }

    /// `SendMessage`. A lost answer is retried: a letter that is there twice is better than none.
    pub async fn send(&self, body: &str, attributes: &[(&str, &str)], until: Instant) -> Result<(), CallError> {
        let step = Step::SendDeadLetter;
        let attributes = attributes
            .iter()
            .map(|(name, value)| {
                let value = MessageAttributeValue::builder().data_type("String").string_value(*value).build();
                value.map(|value| ((*name).to_owned(), value))
            })
            .collect::<Result<_, _>>()
            .map_err(|error| CallError {
                failure: Failure::new(step, code::REQUEST_NOT_BUILT, &self.queue_url, &error.to_string()),
                fate: Fate::Refused,
            })?;
        let request = self.client.send_message().queue_url(&self.queue_url).message_body(body).set_message_attributes(Some(attributes));
        self.calls.read(step, &self.queue_url, until, || Box::pin(stored(step, &self.queue_url, request.clone()))).await
    }
}

/// Sends a message. It is stored once SQS says under which id: an answer without content, which something in between may give, says nothing.
async fn stored(step: Step, queue_url: &str, request: SendMessageFluentBuilder) -> Result<(), CallError> {
    let answer = request.send().await.map_err(|error| CallError::from_sdk(step, &queue_url, &error))?;
    answer.message_id.map(|_| ()).ok_or_else(|| unreadable(step, queue_url))
}

fn unreadable(step: Step, queue_url: &str) -> CallError {
    let failure = Failure::new(step, code::UNREADABLE_ANSWER, &queue_url, "the answer is not what the API reference says");
    CallError { failure, fate: Fate::Unknown }
}

/// How many messages one `SendMessageBatch` takes.
pub const BATCH: usize = 10;

/// The longest that SQS delays a message.
pub const LONGEST_DELAY: Duration = Duration::from_mins(15);

/// The work queue: work is sent to it, and what was received from it is given back.
#[derive(Clone, Debug)]
pub struct Work {
    client: Client,
    calls: Arc<Calls>,
    queue_url: String,
    /// Audit mode sends no work.
    sends: bool,
}

impl Work {
    pub(super) fn new(client: Client, calls: Arc<Calls>, queue_url: String, sends: bool) -> Self {
        Self { client, calls, queue_url, sends }
    }

    /// The means to send work; audit mode has none.
    #[must_use]
    pub fn sender(&self) -> Option<Sender<'_>> {
        self.sends.then_some(Sender(self))
    }

    /// `ChangeMessageVisibility`: hides a message that was received for `delay` from now on.
    pub async fn hide(&self, receipt_handle: &str, delay: Duration, until: Instant) -> Result<(), CallError> {
        let step = Step::ChangeVisibility;
        let request = self
            .client
            .change_message_visibility()
            .queue_url(&self.queue_url)
            .receipt_handle(receipt_handle)
            .visibility_timeout(seconds(delay));
        self.calls
            .read(step, &self.queue_url, until, || async {
                request.clone().send().await.map_err(|error| CallError::from_sdk(step, &self.queue_url, &error))
            })
            .await
            .map(|_| ())
    }
}

/// Sends work.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a>(&'a Work);

impl Sender<'_> {
    /// `SendMessage`: the message is seen after `delay`, at most [`LONGEST_DELAY`].
    pub async fn send(&self, body: &str, delay: Duration, until: Instant) -> Result<(), CallError> {
        let (step, Work { client, calls, queue_url, .. }) = (Step::SendWorkItem, self.0);
        let request = client.send_message().queue_url(queue_url).message_body(body).delay_seconds(seconds(delay));
        calls.read(step, queue_url, until, || Box::pin(stored(step, queue_url, request.clone()))).await
    }

    /// `SendMessageBatch`, in as many calls as it takes. What SQS refuses of a batch is sent again; so a message may be there twice, and none is missing.
    pub async fn send_all(&self, bodies: &[String], until: Instant) -> Result<(), CallError> {
        for bodies in bodies.chunks(BATCH) {
            self.send_batch(bodies, until).await?;
        }
        Ok(())
    }

    async fn send_batch(&self, bodies: &[String], until: Instant) -> Result<(), CallError> {
        let (step, Work { client, calls, queue_url, .. }) = (Step::SendWorkItem, self.0);
        let entries = bodies.iter().enumerate().map(|(index, body)| {
            SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body).build().map_err(|error| CallError {
                failure: Failure::new(step, code::REQUEST_NOT_BUILT, queue_url, &error.to_string()),
                fate: Fate::Refused,
            })
        });
        let mut entries = entries.collect::<Result<Vec<_>, _>>()?;
        let mut attempt = 0;
        loop {
            let request = client.send_message_batch().queue_url(queue_url).set_entries(Some(entries.clone()));
            let answer = calls
                .read(step, queue_url, until, || async {
                    let answer = request.clone().send().await.map_err(|error| CallError::from_sdk(step, queue_url, &error))?;
                    let told = answer.successful.len() + answer.failed.len();
                    if told == entries.len() { Ok(answer) } else { Err(unreadable(step, queue_url)) }
                })
                .await?;
            let Some(refused) = answer.failed.first() else { return Ok(()) };
            let failure = Failure::new(step, &refused.code, queue_url, refused.message.as_deref().unwrap_or_default());
            attempt += 1;
            let delay = calls.backoff(attempt);
            if refused.sender_fault || calls.is_late(delay, until) {
                return Err(CallError { failure, fate: Fate::Refused });
            }
            tracing::warn!(code = failure.code, refused = answer.failed.len(), "part of a batch was refused, sending it again");
            entries.retain(|entry| answer.failed.iter().any(|failed| failed.id == entry.id));
            tokio::time::sleep(delay).await;
        }
    }
}

fn seconds(delay: Duration) -> i32 {
    // Rounded up: a message that is back a moment early would be early for its purpose.
    let seconds = delay.min(LONGEST_DELAY).as_millis().div_ceil(1_000);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}
