//! SQS from a person's side: the dead-letter queue is read, and letters are moved or deleted. For
//! the terminal program only.
//!
//! Source: SQS API Reference, `ReceiveMessage` (at most ten), `ChangeMessageVisibility`,
//! `DeleteMessage`, `SendMessage`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_types::SdkConfig;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::calls::Calls;
use super::error::CallError;
use super::service::{Client, SQS};
use crate::clock::Clock;
use crate::domain::failure::Step;

const STEP: Step = Step::HandleDeadLetters;

/// For how long a letter that was received is hidden from others; given back, it is there at once.
const HELD_FOR: Duration = Duration::from_mins(15);

/// How long one call may take, its repetitions included.
const PATIENCE: Duration = Duration::from_secs(30);

/// A letter that was received, and is hidden from others until it is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// The message's id.
    pub id: String,
    /// The body, whatever it is.
    pub body: String,
    /// The message attributes that are texts.
    pub attributes: BTreeMap<String, String>,
    /// When it was sent.
    pub sent: Option<DateTime<Utc>>,
    /// How often it was received, this time included.
    pub receives: u32,
    /// The ARN of the queue that SQS moved it here from, if it did.
    pub source: Option<String>,
    receipt: String,
}

/// A queue of letters.
#[derive(Clone, Debug)]
pub struct DeadLetterQueue {
    client: Client,
    calls: Arc<Calls>,
    clock: Clock,
    queue_url: String,
}

impl DeadLetterQueue {
    /// The queue at `queue_url`.
    #[must_use]
    pub fn new(config: &SdkConfig, clock: &Clock, queue_url: &str) -> Self {
        let calls = Arc::new(Calls::new(clock.clone()));
        Self { client: Client::new(config, SQS), calls, clock: clock.clone(), queue_url: queue_url.to_owned() }
    }

    /// Receives up to ten letters; none where there are none, or where SQS found none in a second.
    pub async fn receive(&self) -> Result<Vec<ReceivedMessage>, CallError> {
        let input = json!({
            "QueueUrl": self.queue_url,
            "MaxNumberOfMessages": 10,
            "WaitTimeSeconds": 1,
            "VisibilityTimeout": HELD_FOR.as_secs(),
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        });
        let answer: Received = self.call("ReceiveMessage", &input, &self.queue_url).await?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(held).collect())
    }

    /// Gives a letter back: it can be received again at once.
    pub async fn give_back(&self, message: &ReceivedMessage) -> Result<(), CallError> {
        let input = json!({"QueueUrl": self.queue_url, "ReceiptHandle": message.receipt, "VisibilityTimeout": 0});
        self.call::<IgnoredAny>("ChangeMessageVisibility", &input, &self.queue_url).await.map(|_| ())
    }

    /// Deletes a letter.
    pub async fn delete(&self, message: &ReceivedMessage) -> Result<(), CallError> {
        let input = json!({"QueueUrl": self.queue_url, "ReceiptHandle": message.receipt});
        self.call::<IgnoredAny>("DeleteMessage", &input, &self.queue_url).await.map(|_| ())
    }

    /// Sends a letter's body, as it is, to the queue at `to`. When this returns, SQS has stored it.
    pub async fn copy(&self, message: &ReceivedMessage, to: &str) -> Result<(), CallError> {
        let input = json!({"QueueUrl": to, "MessageBody": message.body});
        self.call::<IgnoredAny>("SendMessage", &input, to).await.map(|_| ())
    }

    async fn call<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        input: &Value,
        queue_url: &str,
    ) -> Result<T, CallError> {
        self.calls.read(STEP, &queue_url, self.until(), || self.client.call(operation, input, STEP, &queue_url)).await
    }

    fn until(&self) -> Instant {
        self.clock.instant() + PATIENCE
    }
}

/// The answer of `ReceiveMessage`, as far as it matters.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Received {
    messages: Option<Vec<Message>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_field_names, reason = "the members' names are the service's")]
struct Message {
    message_id: Option<String>,
    receipt_handle: Option<String>,
    body: Option<String>,
    attributes: Option<BTreeMap<String, String>>,
    message_attributes: Option<BTreeMap<String, Attribute>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    string_value: Option<String>,
}

fn held(message: Message) -> Option<ReceivedMessage> {
    let system = message.attributes.unwrap_or_default();
    let text = |name: &str| system.get(name).cloned();
    let attributes = message.message_attributes.unwrap_or_default().into_iter();
    Some(ReceivedMessage {
        id: message.message_id?,
        receipt: message.receipt_handle?,
        body: message.body.unwrap_or_default(),
        attributes: attributes.filter_map(|(name, value)| Some((name, value.string_value?))).collect(),
        sent: text("SentTimestamp").and_then(|millis| millis.parse().ok()).and_then(DateTime::from_timestamp_millis),
        receives: text("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1),
        source: text("DeadLetterQueueSourceArn"),
    })
}
