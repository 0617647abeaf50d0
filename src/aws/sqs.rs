//! SQS: the dead-letter queue.
//!
//! Source: SQS API Reference, `SendMessage` (at most 1 MiB, message attributes included).

use std::sync::Arc;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageAttributeValue;
use tokio::time::Instant;

use super::calls::Calls;
use super::error::CallError;
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
                fate: super::Fate::Refused,
            })?;
        let request = self.client.send_message().queue_url(&self.queue_url).message_body(body).set_message_attributes(Some(attributes));
        self.calls
            .read(step, &self.queue_url, until, || async {
                request.clone().send().await.map_err(|error| CallError::from_sdk(step, &self.queue_url, &error))
            })
            .await
            .map(|_| ())
    }
}
