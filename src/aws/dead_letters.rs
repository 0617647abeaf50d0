//! The dead-letter queue for the terminal program: its messages are listed, redriven and deleted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_types::SdkConfig;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::calls::Calls;
use super::error::{CallError, Fate, not_reached};
use super::service::{Client, SQS};
use crate::clock::Clock;
use crate::domain::failure::{Kind, Step};

const STEP: Step = Step::HandleDeadLetters;

/// The visibility timeout of a received message. A message that is released is visible again at
/// once.
pub const VISIBILITY_TIMEOUT: Duration = Duration::from_mins(15);

/// How long one call may take, its retries included.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a person can do about a message that was not sent before its time was over.
const NOT_SENT: &str =
    "The message was not sent: check the network and the proxy, and who else calls SQS, then redrive it again.";

/// A message that was received and stays invisible to others until it is released or its visibility
/// timeout ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// `MessageId`.
    pub id: String,
    /// The body, which need not be JSON.
    pub body: String,
    /// The message attributes of the type String.
    pub attributes: BTreeMap<String, String>,
    /// When it was sent.
    pub sent: Option<DateTime<Utc>>,
    /// How often it was received, this time included.
    pub receives: u32,
    /// The ARN of the queue that SQS moved it from, if it did.
    pub source: Option<String>,
    receipt: String,
}

/// A dead-letter queue.
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

    /// The URL of the queue `name`, by [GetQueueUrl]; `account` owns it, if it is not the caller's.
    ///
    /// [GetQueueUrl]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueUrl.html
    pub async fn url_of(
        config: &SdkConfig,
        clock: &Clock,
        name: &str,
        account: Option<&str>,
    ) -> Result<String, CallError> {
        let mut input = json!({"QueueName": name});
        if let Some(account) = account {
            input["QueueOwnerAWSAccountId"] = account.into();
        }
        let answer: Located = Self::new(config, clock, name).call("GetQueueUrl", &input, name).await?;
        answer.queue_url.ok_or_else(|| CallError::unreadable(STEP, &format!("GetQueueUrl of {name}")))
    }

    /// Receives up to ten messages, by [ReceiveMessage]. None means that SQS found none in a
    /// second.
    ///
    /// [ReceiveMessage]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
    pub async fn receive(&self) -> Result<Vec<ReceivedMessage>, CallError> {
        let input = json!({
            "QueueUrl": self.queue_url,
            "MaxNumberOfMessages": 10,
            "WaitTimeSeconds": 1,
            "VisibilityTimeout": VISIBILITY_TIMEOUT.as_secs(),
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        });
        let answer: Received = self.call("ReceiveMessage", &input, &self.queue_url).await?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(received).collect())
    }

    /// Makes a message visible again at once, by [ChangeMessageVisibility].
    ///
    /// [ChangeMessageVisibility]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
    pub async fn give_back(&self, message: &ReceivedMessage) -> Result<(), CallError> {
        let input = json!({"QueueUrl": self.queue_url, "ReceiptHandle": message.receipt, "VisibilityTimeout": 0});
        self.call::<IgnoredAny>("ChangeMessageVisibility", &input, &self.queue_url).await.map(|_| ())
    }

    /// Deletes a message, by [DeleteMessage].
    ///
    /// [DeleteMessage]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html
    pub async fn delete(&self, message: &ReceivedMessage) -> Result<(), CallError> {
        let input = json!({"QueueUrl": self.queue_url, "ReceiptHandle": message.receipt});
        self.call::<IgnoredAny>("DeleteMessage", &input, &self.queue_url).await.map(|_| ())
    }

    /// Sends a message's body unchanged to the queue at `to`, by [SendMessage]. When this returns
    /// `Ok`, SQS has stored it.
    ///
    /// Only what SQS refused for now, or what was not sent at all, is sent again: after a lost
    /// answer, the message would be on the queue twice. The error then says so.
    ///
    /// [SendMessage]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    pub async fn copy(&self, message: &ReceivedMessage, to: &str) -> Result<(), CallError> {
        let input = json!({"QueueUrl": to, "MessageBody": message.body});
        let subject = format!("SendMessage on {to}");
        let until = self.until();
        // `Ok(Err)` was not sent.
        let call = || async {
            let answered = self.client.send("SendMessage", &input).await;
            match answered.map_err(|error| (is_unsent(&error), CallError::from_sdk(STEP, &subject, &error))) {
                Ok(answer) => answer.parsed::<IgnoredAny>(STEP, &subject).map(|_| Ok(())),
                Err((true, error)) => Ok(Err(error)),
                Err((false, error)) => Err(error),
            }
        };
        let mut attempt = 1;
        loop {
            let (error, unsent) = match self.calls.sign_again(STEP, &subject, until, call).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => (error, true),
                Err(error) => (error, false),
            };
            let CallError { failure, fate } = error;
            if fate == Fate::Unknown && !unsent {
                let remedy = "The message may have been sent: check the queue before you redrive it again.";
                return Err(CallError { failure: failure.remedied(remedy.to_owned()), fate });
            }
            let helps = fate == Fate::Unknown || failure.kind() == Kind::Throttled;
            let delay = self.calls.backoff(attempt);
            if !helps || self.calls.is_late(delay, until) {
                // A proxy's refusal has a remedy of its own.
                let failure = if helps { failure.remedied(NOT_SENT.to_owned()) } else { failure };
                return Err(CallError { failure, fate });
            }
            tracing::warn!(code = failure.code, attempt, "message was not sent, retrying");
            attempt += 1;
            sleep(delay).await;
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        input: &Value,
        queue_url: &str,
    ) -> Result<T, CallError> {
        let subject = format!("{operation} on {queue_url}");
        self.calls.read(STEP, &subject, self.until(), || self.client.call(operation, input, STEP, &subject)).await
    }

    fn until(&self) -> Instant {
        self.clock.instant() + PATIENCE
    }
}

/// Whether a call failed before it was sent.
fn is_unsent<E, R>(error: &SdkError<E, R>) -> bool {
    not_reached(error).is_some_and(|host| host.is_unsent)
}

/// The answer of `GetQueueUrl`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Located {
    queue_url: Option<String>,
}

/// The answer of `ReceiveMessage`, as far as it is used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Received {
    messages: Option<Vec<Message>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_field_names, reason = "the field names are the service's")]
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

fn received(message: Message) -> Option<ReceivedMessage> {
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
