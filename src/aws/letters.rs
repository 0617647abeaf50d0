//! SQS from a person's side: the dead-letter queue is read, and letters are moved or deleted. For the terminal program only.
//!
//! Source: SQS API Reference, `ReceiveMessage` (at most ten), `ChangeMessageVisibility`, `DeleteMessage`, `SendMessage`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use aws_types::SdkConfig;
use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::calls::Calls;
use super::error::CallError;
use crate::clock::Clock;
use crate::failure::Step;

const STEP: Step = Step::HandleDeadLetters;

/// For how long a letter that was received is hidden from others; given back, it is there at once.
const HELD_FOR: Duration = Duration::from_mins(15);

/// How long one call may take, its repetitions included.
const PATIENCE: Duration = Duration::from_secs(30);

/// A letter that was received, and is hidden from others until it is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
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
pub struct Letters {
    client: Client,
    calls: Arc<Calls>,
    clock: Clock,
    queue_url: String,
}

impl Letters {
    /// The queue at `queue_url`.
    #[must_use]
    pub fn new(config: &SdkConfig, clock: &Clock, queue_url: &str) -> Self {
        let calls = Arc::new(Calls::new(clock.clone()));
        Self { client: Client::new(config), calls, clock: clock.clone(), queue_url: queue_url.to_owned() }
    }

    /// Receives up to ten letters; none where there are none, or where SQS found none in a second.
    pub async fn receive(&self) -> Result<Vec<Held>, CallError> {
        let request = self
            .client
            .receive_message()
            .queue_url(&self.queue_url)
            .max_number_of_messages(10)
            .wait_time_seconds(1)
            .visibility_timeout(i32::try_from(HELD_FOR.as_secs()).unwrap_or(i32::MAX))
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All");
        let answer = self
            .calls
            .read(STEP, &self.queue_url, self.until(), || async {
                request.clone().send().await.map_err(|error| CallError::from_sdk(STEP, &self.queue_url, &error))
            })
            .await?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(held).collect())
    }

    /// Gives a letter back: it can be received again at once.
    pub async fn give_back(&self, letter: &Held) -> Result<(), CallError> {
        let request =
            self.client.change_message_visibility().queue_url(&self.queue_url).receipt_handle(&letter.receipt).visibility_timeout(0);
        self.calls
            .read(STEP, &self.queue_url, self.until(), || async {
                request.clone().send().await.map_err(|error| CallError::from_sdk(STEP, &self.queue_url, &error))
            })
            .await
            .map(|_| ())
    }

    /// Deletes a letter.
    pub async fn delete(&self, letter: &Held) -> Result<(), CallError> {
        let request = self.client.delete_message().queue_url(&self.queue_url).receipt_handle(&letter.receipt);
        self.calls
            .read(STEP, &self.queue_url, self.until(), || async {
                request.clone().send().await.map_err(|error| CallError::from_sdk(STEP, &self.queue_url, &error))
            })
            .await
            .map(|_| ())
    }

    /// Sends a letter's body, as it is, to the queue at `to`. When this returns, SQS has stored it.
    pub async fn copy(&self, letter: &Held, to: &str) -> Result<(), CallError> {
        let request = self.client.send_message().queue_url(to).message_body(&letter.body);
        self.calls
            .read(STEP, &to, self.until(), || async {
                request.clone().send().await.map_err(|error| CallError::from_sdk(STEP, &to, &error))
            })
            .await
            .map(|_| ())
    }

    fn until(&self) -> Instant {
        self.clock.instant() + PATIENCE
    }
}

fn held(message: Message) -> Option<Held> {
    let system = message.attributes.unwrap_or_default();
    let text = |name: MessageSystemAttributeName| system.get(&name).cloned();
    let attributes = message.message_attributes.unwrap_or_default().into_iter();
    Some(Held {
        id: message.message_id?,
        receipt: message.receipt_handle?,
        body: message.body.unwrap_or_default(),
        attributes: attributes.filter_map(|(name, value)| Some((name, value.string_value?))).collect(),
        sent: text(MessageSystemAttributeName::SentTimestamp)
            .and_then(|millis| millis.parse().ok())
            .and_then(DateTime::from_timestamp_millis),
        receives: text(MessageSystemAttributeName::ApproximateReceiveCount).and_then(|count| count.parse().ok()).unwrap_or(1),
        source: text(MessageSystemAttributeName::DeadLetterQueueSourceArn),
    })
}
