//! Lambda's event source mapping from a queue to a function, with partial batch responses.
//!
//! The event has the shape that [Using Lambda with Amazon SQS] shows. [Handling errors] says which
//! messages are deleted: all but those in `batchItemFailures`, and none if the function fails or an
//! entry has no identifier.
//!
//! [Using Lambda with Amazon SQS]: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
//! [Handling errors]: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html

use serde_json::{Map, Value, json};

use super::account::Account;

impl Account {
    /// Receives up to `most` messages of a queue, as the event that Lambda passes to its function.
    /// `None` if there is no visible message.
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

    /// Deletes the messages of `batch` that the function has processed, according to its `answer`.
    /// The answer is `None` if the function failed.
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
