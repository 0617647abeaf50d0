//! Queues: messages, visibility timeouts and dead-letter queues.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::Model;
use crate::sandbox::service_error::ServiceError;

/// A standard queue.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) name: String,
    pub(crate) created: DateTime<Utc>,
    /// By the names of [SetQueueAttributes].
    ///
    /// [SetQueueAttributes]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) messages: Vec<Message>,
}

#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) body: String,
    pub(crate) attributes: Map<String, Value>,
    pub(crate) sent: DateTime<Utc>,
    pub(crate) visible_from: DateTime<Utc>,
    pub(crate) receives: u32,
    pub(crate) first_received: Option<DateTime<Utc>>,
    pub(crate) receipt: Option<String>,
    /// The ARN of the queue that the message was moved from.
    pub(crate) dead_letter_source: Option<String>,
}

impl Queue {
    pub(crate) fn new(name: &str, created: DateTime<Utc>) -> Self {
        let defaults = [
            ("DelaySeconds", "0"),
            ("MaximumMessageSize", "1048576"),
            ("MessageRetentionPeriod", "345600"),
            ("ReceiveMessageWaitTimeSeconds", "0"),
            ("VisibilityTimeout", "30"),
            ("SqsManagedSseEnabled", "true"),
        ];
        let attributes = defaults.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self { name: name.to_owned(), created, attributes, messages: Vec::new() }
    }

    /// An attribute in seconds.
    pub(crate) fn seconds(&self, attribute: &str) -> Duration {
        Duration::from_secs(self.number(attribute))
    }

    pub(crate) fn number(&self, attribute: &str) -> u64 {
        self.attributes.get(attribute).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// The ARN of the [dead-letter queue] and `maxReceiveCount`.
    ///
    /// [dead-letter queue]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
    fn redrive(&self) -> Option<(String, u64)> {
        let policy: Value = serde_json::from_str(self.attributes.get("RedrivePolicy")?).ok()?;
        let most = policy.get("maxReceiveCount")?;
        // The console writes a number, many templates write a string. SQS accepts both.
        let most = most.as_u64().or_else(|| most.as_str()?.parse().ok())?;
        Some((policy.get("deadLetterTargetArn")?.as_str()?.to_owned(), most))
    }

    pub(crate) fn by_receipt(&mut self, receipt: &str) -> Option<&mut Message> {
        self.messages.iter_mut().find(|message| message.receipt.as_deref() == Some(receipt))
    }
}

impl Model {
    pub(crate) fn queue_url(&self, name: &str) -> String {
        format!("https://sqs.{}.amazonaws.com/{}/{name}", self.region, self.account)
    }

    pub(crate) fn queue_arn(&self, name: &str) -> String {
        crate::sandbox::arn::arn_of("sqs", &self.region, &self.account, name)
    }

    /// The queue that a URL names by its path. The host is ignored, because the sandbox is on
    /// another.
    pub(crate) fn queue_mut(&mut self, url: &str) -> Result<&mut Queue, ServiceError> {
        let name = queue_name(url, &self.account).unwrap_or_default();
        self.queues.get_mut(name).ok_or_else(no_such_queue)
    }

    /// Sends a message and returns its id.
    pub(crate) fn send(
        &mut self,
        url: &str,
        body: String,
        attributes: Map<String, Value>,
        delay: Option<Duration>,
        now: DateTime<Utc>,
    ) -> Result<String, ServiceError> {
        let id = self.guid();
        let queue = self.queue_mut(url)?;
        let visible_from = now + delay.unwrap_or_else(|| queue.seconds("DelaySeconds"));
        queue.messages.push(Message {
            id: id.clone(),
            body,
            attributes,
            sent: now,
            visible_from,
            receives: 0,
            first_received: None,
            receipt: None,
            dead_letter_source: None,
        });
        Ok(id)
    }

    /// Receives up to `most` visible messages, and moves those received `maxReceiveCount` times to
    /// the dead-letter queue. The visibility timeout is the queue's, unless it is given.
    pub(crate) fn receive(
        &mut self,
        url: &str,
        most: usize,
        visibility_timeout: Option<Duration>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Message>, ServiceError> {
        let receipts: Vec<String> = (0..most).map(|_| self.hex(64)).collect();
        let queue = self.queue_mut(url)?;
        let visible_from = now + visibility_timeout.unwrap_or_else(|| queue.seconds("VisibilityTimeout"));
        let retention = queue.seconds("MessageRetentionPeriod");
        queue.messages.retain(|message| message.sent + retention > now);
        let redrive = queue.redrive();
        let mut taken = Vec::new();
        let mut dead = Vec::new();
        let mut kept = Vec::new();
        let mut receipts = receipts.into_iter();
        for mut message in std::mem::take(&mut queue.messages) {
            let visible = message.visible_from <= now;
            if visible && redrive.as_ref().is_some_and(|(_, most)| u64::from(message.receives) >= *most) {
                dead.push(message);
                continue;
            }
            if visible && let Some(receipt) = receipts.next() {
                message.receives += 1;
                message.first_received.get_or_insert(now);
                message.visible_from = visible_from;
                message.receipt = Some(receipt);
                taken.push(message.clone());
            }
            kept.push(message);
        }
        queue.messages = kept;
        let source = queue.name.clone();
        if let Some((target, _)) = redrive {
            self.move_to_dead_letter_queue(dead, &source, &target, now);
        }
        Ok(taken)
    }

    fn move_to_dead_letter_queue(&mut self, dead: Vec<Message>, source: &str, target_arn: &str, now: DateTime<Utc>) {
        let source = self.queue_arn(source);
        let name = target_arn.rsplit(':').next().unwrap_or_default();
        if let Some(target) = self.queues.get_mut(name) {
            target.messages.extend(dead.into_iter().map(|message| Message {
                visible_from: now,
                receipt: None,
                dead_letter_source: Some(source.clone()),
                ..message
            }));
        }
    }
}

/// The queue's name in `https://…/<account>/<name>`, or in its path alone.
fn queue_name<'a>(url: &'a str, account: &str) -> Option<&'a str> {
    let (rest, name) = url.trim_end_matches('/').rsplit_once('/')?;
    rest.ends_with(account).then_some(name)
}

/// The error for a URL or a name that no queue has.
pub(crate) fn no_such_queue() -> ServiceError {
    ServiceError::new("QueueDoesNotExist", "The specified queue does not exist.")
}
