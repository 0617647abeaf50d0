//! SQS: the dead-letter queue and the work queue.
//!
//! SQS refuses a message that holds certain characters (most control characters, U+FFFE and
//! U+FFFF), and events may hold any. So the senders take a value, and escape its JSON to ASCII.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::calls::Calls;
use super::error::{CallError, Fate};
use super::service::Client;
use crate::domain::delay::LONGEST_SQS_DELAY;
use crate::domain::failure::{Failure, Step};
use crate::domain::text::ascii_json;

/// Writes dead letters.
#[derive(Clone, Debug)]
pub struct DeadLetterSender {
    client: Client,
    calls: Arc<Calls>,
    queue_url: String,
}

impl DeadLetterSender {
    pub(super) fn new(client: Client, calls: Arc<Calls>, queue_url: String) -> Self {
        Self { client, calls, queue_url }
    }

    /// Sends a dead letter by [SendMessage], which accepts at most 1 MiB including the attributes.
    /// A call whose answer is lost is retried: a duplicate dead letter is better than none.
    ///
    /// [SendMessage]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    pub async fn send(
        &self,
        dead_letter: &(impl Serialize + Sync),
        attributes: &[(&str, &str)],
        deadline: Instant,
    ) -> Result<(), CallError> {
        let (step, body) = (Step::SendDeadLetter, ascii_json(dead_letter));
        let attributes: Map<String, Value> = attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!({"DataType": "String", "StringValue": value})))
            .collect();
        let input = json!({"QueueUrl": self.queue_url, "MessageBody": body, "MessageAttributes": attributes});
        let call = || self.client.call::<Stored>("SendMessage", &input, step, &self.queue_url);
        self.calls.read(step, &self.queue_url, deadline, call).await.map(|_| ())
    }
}

/// The answer of `SendMessage`. Only a message id proves that SQS stored the message: an empty
/// answer may come from a proxy.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stored {
    #[serde(rename = "MessageId")]
    _message_id: String,
}

/// The most messages in one [SendMessageBatch].
///
/// [SendMessageBatch]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
pub const BATCH: usize = 10;

/// How long it may take to find out how many messages wait. A sweep can begin without knowing.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many batches are sent at the same time.
const BATCHES_AT_ONCE: usize = 4;

/// The work queue. Lambda receives its messages and deletes them.
#[derive(Clone, Debug)]
pub struct WorkQueue {
    client: Client,
    calls: Arc<Calls>,
    queue_url: String,
    /// Whether work may be sent: not in audit mode.
    sends: bool,
}

impl WorkQueue {
    pub(super) fn new(client: Client, calls: Arc<Calls>, queue_url: String, sends: bool) -> Self {
        Self { client, calls, queue_url, sends }
    }

    /// The sender of work items; `None` in audit mode.
    #[must_use]
    pub fn sender(&self) -> Option<WorkQueueSender<'_>> {
        self.sends.then_some(WorkQueueSender(self))
    }

    /// About how many messages wait to be received, by [GetQueueAttributes]: neither those that are
    /// delayed nor those that are being worked on.
    ///
    /// [GetQueueAttributes]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html
    pub async fn waiting(&self, deadline: Instant) -> Result<u64, CallError> {
        const NAME: &str = "ApproximateNumberOfMessages";
        let step = Step::ReadQueue;
        let input = json!({"QueueUrl": self.queue_url, "AttributeNames": [NAME]});
        let call = || self.client.call::<Attributes>("GetQueueAttributes", &input, step, &self.queue_url);
        let deadline = self.calls.within(PATIENCE, deadline);
        let answer = self.calls.read(step, &self.queue_url, deadline, call).await?;
        let count = answer.attributes.get(NAME).and_then(|count| count.parse().ok());
        count.ok_or_else(|| CallError::unreadable(step, &self.queue_url))
    }

    /// Makes a received message visible again after `delay`, by [ChangeMessageVisibility].
    ///
    /// [ChangeMessageVisibility]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
    pub async fn change_visibility(
        &self,
        receipt_handle: &str,
        delay: Duration,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let step = Step::ChangeVisibility;
        let input =
            json!({"QueueUrl": self.queue_url, "ReceiptHandle": receipt_handle, "VisibilityTimeout": seconds(delay)});
        let call = || self.client.call::<IgnoredAny>("ChangeMessageVisibility", &input, step, &self.queue_url);
        self.calls.read(step, &self.queue_url, deadline, call).await.map(|_| ())
    }
}

/// The answer of `GetQueueAttributes`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes {
    attributes: HashMap<String, String>,
}

/// Sends work items.
#[derive(Clone, Copy, Debug)]
pub struct WorkQueueSender<'a>(&'a WorkQueue);

impl WorkQueueSender<'_> {
    /// Sends an item by `SendMessage`; it becomes visible after `delay`, at most [`LONGEST_SQS_DELAY`].
    pub async fn send(
        &self,
        work: &(impl Serialize + Sync),
        delay: Duration,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let (step, WorkQueue { client, calls, queue_url, .. }) = (Step::SendWorkItem, self.0);
        let input = json!({"QueueUrl": queue_url, "MessageBody": ascii_json(work), "DelaySeconds": seconds(delay)});
        calls
            .read(step, queue_url, deadline, || client.call::<Stored>("SendMessage", &input, step, queue_url))
            .await
            .map(|_| ())
    }

    /// Sends items by `SendMessageBatch`, [`BATCH`] a call. The entries of a batch that SQS refuses
    /// are sent again: a message may be duplicated, but none is lost.
    pub async fn send_all(&self, work: &[impl Serialize + Sync], deadline: Instant) -> Result<(), CallError> {
        let send = |batch: &[_]| {
            let entry = |(index, item)| json!({"Id": format!("{index}"), "MessageBody": ascii_json(item)});
            self.send_batch(batch.iter().enumerate().map(entry).collect(), deadline)
        };
        stream::iter(work.chunks(BATCH).map(send)).buffer_unordered(BATCHES_AT_ONCE).try_collect().await
    }

    async fn send_batch(&self, mut entries: Vec<Value>, deadline: Instant) -> Result<(), CallError> {
        let (step, WorkQueue { client, calls, queue_url, .. }) = (Step::SendWorkItem, self.0);
        let mut attempt = 0;
        loop {
            let input = json!({"QueueUrl": queue_url, "Entries": entries});
            let call = || async {
                let Sent { successful, failed } = client.call("SendMessageBatch", &input, step, queue_url).await?;
                let failed = failed.unwrap_or_default();
                let answered = successful.map_or(0, |entries| entries.len()) + failed.len();
                if answered == entries.len() { Ok(failed) } else { Err(CallError::unreadable(step, queue_url)) }
            };
            let failed = calls.read(step, queue_url, deadline, call).await?;
            let Some(refused) = failed.first() else { return Ok(()) };
            let failure = Failure::new(step, &refused.code, queue_url, refused.message.as_deref().unwrap_or_default());
            attempt += 1;
            let delay = calls.backoff(attempt);
            if refused.sender_fault == Some(true) || calls.is_late(delay, deadline) {
                return Err(CallError { failure, fate: Fate::Refused });
            }
            tracing::warn!(code = failure.code, refused = failed.len(), "part of a batch was refused, retrying");
            entries.retain(|entry| failed.iter().any(|failed| entry["Id"] == failed.id));
            tokio::time::sleep(delay).await;
        }
    }
}

/// The answer of `SendMessageBatch`, as far as it is used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sent {
    successful: Option<Vec<IgnoredAny>>,
    failed: Option<Vec<NotSent>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NotSent {
    id: String,
    code: String,
    message: Option<String>,
    sender_fault: Option<bool>,
}

fn seconds(delay: Duration) -> i32 {
    // Rounded up: work that becomes visible too early has to be deferred again.
    let seconds = delay.min(LONGEST_SQS_DELAY).as_millis().div_ceil(1_000);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}
