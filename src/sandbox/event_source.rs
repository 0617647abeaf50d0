//! What Lambda does between a queue and a function: an event source mapping with partial batch
//! responses.
//!
//! Sources: [Using Lambda with Amazon SQS][sqs] (the event's shape) and [Handling errors for an SQS
//! event source][errors] (what is deleted: all messages but those in `batchItemFailures`; none, if
//! the function fails or an entry has no identifier).
//!
//! [sqs]: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
//! [errors]: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html

use serde_json::{Map, Value, json};

use super::account::Account;

impl Account {
    /// Receives up to `most` messages of a queue, as the event that Lambda gives its function.
    /// `None` if there is nothing to receive.
    #[must_use]
    pub fn receive_batch(&self, queue: &str, most: usize) -> Option<Value> {
        let records = self.with(|model, now| {
            let (url, arn, region) = (model.queue_url(queue), model.queue_arn(queue), model.region.clone());
            let messages = model.receive(&url, most, None, now).unwrap_or_default();
            let records = messages.into_iter().map(|message| {
                let attributes: Map<String, Value> = message
                    .attributes
                    .iter()
                    .map(|(name, value)| {
                        let value = json!({ "dataType": value["DataType"], "stringValue": value["StringValue"] });
                        (name.clone(), value)
                    })
                    .collect();
                json!({
                    "messageId": message.id,
                    "receiptHandle": message.receipt,
                    "body": message.body,
                    "attributes": {
                        "ApproximateReceiveCount": message.receives.to_string(),
                        "SentTimestamp": message.sent.timestamp_millis().to_string(),
                    },
                    "messageAttributes": attributes,
                    "eventSource": "aws:sqs",
                    "eventSourceARN": arn,
                    "awsRegion": region,
                })
            });
            records.collect::<Vec<_>>()
        });
        (!records.is_empty()).then(|| json!({ "Records": records }))
    }

    /// Deletes from the queue what the function settled of `batch`, going by its `answer`; `None`
    /// where it failed.
    pub fn settle_batch(&self, queue: &str, batch: &Value, answer: Option<&Value>) {
        let Some(answer) = answer else { return };
        let failed: Vec<_> =
            answer["batchItemFailures"].as_array().into_iter().flatten().map(|item| &item["itemIdentifier"]).collect();
        if failed.iter().any(|id| id.as_str().is_none_or(str::is_empty)) {
            return;
        }
        let settled =
            batch["Records"].as_array().into_iter().flatten().filter(|record| !failed.contains(&&record["messageId"]));
        let receipts: Vec<_> = settled.filter_map(|record| record["receiptHandle"].as_str()).collect();
        self.with(|model, _| {
            if let Some(queue) = model.queues.get_mut(queue) {
                queue
                    .messages
                    .retain(|message| message.receipt.as_deref().is_none_or(|receipt| !receipts.contains(&receipt)));
            }
        });
    }
}
