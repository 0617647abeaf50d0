//! Amazon SQS, standard queues only: the operations of its [API] that the program and its tests
//! use.
//!
//! [API]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use md5::{Digest as _, Md5};
use serde_json::{Map, Value, json};

use super::input::{Input, each_object, each_text};
use super::model::{Message, Model, Queue, no_such_queue};
use super::service_error::ServiceError;

/// The operations that the sandbox supports.
pub(crate) const OPERATIONS: [&str; 13] = [
    "ChangeMessageVisibility",
    "CreateQueue",
    "DeleteMessage",
    "DeleteMessageBatch",
    "DeleteQueue",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListQueues",
    "PurgeQueue",
    "ReceiveMessage",
    "SendMessage",
    "SendMessageBatch",
    "SetQueueAttributes",
];

/// The total size of a batch, 1 MiB, from the [message quotas].
///
/// [message quotas]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const MAX_BATCH_BYTES: usize = 1_048_576;
const MAX_BATCH_ENTRIES: usize = 10;
const MAX_LISTED_QUEUES: u32 = 1_000;
/// The longest visibility timeout, 12 hours.
const MAX_VISIBILITY_TIMEOUT_SECONDS: u32 = 43_200;
/// The longest delay of a message, 15 minutes.
const MAX_DELAY_SECONDS: u32 = 900;

/// The attributes of a queue that a request may name.
///
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html>
const QUEUE_ATTRIBUTES: [&str; 22] = [
    "All",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "ContentBasedDeduplication",
    "CreatedTimestamp",
    "DeduplicationScope",
    "DelaySeconds",
    "FifoQueue",
    "FifoThroughputLimit",
    "KmsDataKeyReusePeriodSeconds",
    "KmsMasterKeyId",
    "LastModifiedTimestamp",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "Policy",
    "QueueArn",
    "ReceiveMessageWaitTimeSeconds",
    "RedriveAllowPolicy",
    "RedrivePolicy",
    "SqsManagedSseEnabled",
    "VisibilityTimeout",
];

pub(crate) fn answer(
    model: &mut Model,
    operation: &str,
    input: Input<'_>,
    now: DateTime<Utc>,
) -> Result<Value, ServiceError> {
    match operation {
        "CreateQueue" => create_queue(model, input, now),
        "GetQueueUrl" => {
            let name = required(input, "QueueName")?;
            model.queues.get(name).ok_or_else(no_such_queue)?;
            Ok(json!({ "QueueUrl": model.queue_url(name) }))
        }
        "ListQueues" => list_queues(model, input),
        "DeleteQueue" => {
            let name = model.queue_mut(required(input, "QueueUrl")?)?.name.clone();
            model.queues.remove(&name);
            Ok(Value::Null)
        }
        "GetQueueAttributes" => queue_attributes(model, input, now),
        "SetQueueAttributes" => {
            let attributes = owned(input.texts("Attributes")?);
            model.queue_mut(required(input, "QueueUrl")?)?.attributes.extend(attributes);
            Ok(Value::Null)
        }
        "SendMessage" => send(model, required(input, "QueueUrl")?, input, now),
        "SendMessageBatch" => batch(model, input, |model, url, entry| send(model, url, entry, now)),
        "ReceiveMessage" => receive(model, input, now),
        "DeleteMessage" => delete(model, required(input, "QueueUrl")?, input),
        "DeleteMessageBatch" => batch(model, input, delete),
        "ChangeMessageVisibility" => change_visibility(model, input, now),
        "PurgeQueue" => {
            model.queue_mut(required(input, "QueueUrl")?)?.messages.clear();
            Ok(Value::Null)
        }
        _ => Err(ServiceError::new("UnknownOperationException", String::new())),
    }
}

/// How long a request waits for a message: [long polling] of `ReceiveMessage`.
///
/// [long polling]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
pub(crate) fn wait(model: &mut Model, operation: &str, input: Input<'_>) -> Duration {
    if operation != "ReceiveMessage" {
        return Duration::ZERO;
    }
    let asked = input.number("WaitTimeSeconds", 0, 20).ok().flatten();
    let url = input.text("QueueUrl").ok().flatten().unwrap_or_default();
    let of_queue =
        || model.queue_mut(url).map(|queue| queue.seconds("ReceiveMessageWaitTimeSeconds")).unwrap_or_default();
    asked.map_or_else(of_queue, |seconds| Duration::from_secs(seconds.into()))
}

/// Whether the answer is that of a `ReceiveMessage` without messages.
pub(crate) fn is_empty(answer: &Value) -> bool {
    answer.get("Messages").and_then(Value::as_array).is_some_and(Vec::is_empty)
}

/// The error code of the query protocol. SQS returns it in the header `x-amzn-query-error`, and the
/// SDKs report it.
pub(crate) fn query_code(code: &str) -> &str {
    match code {
        "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue",
        "QueueNameExists" => "QueueAlreadyExists",
        "EmptyBatchRequest" => "AWS.SimpleQueueService.EmptyBatchRequest",
        "TooManyEntriesInBatchRequest" => "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        "BatchEntryIdsNotDistinct" => "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
        "BatchRequestTooLong" => "AWS.SimpleQueueService.BatchRequestTooLong",
        "MessageNotInflight" => "AWS.SimpleQueueService.MessageNotInflight",
        other => other,
    }
}

fn required<'a>(input: Input<'a>, member: &str) -> Result<&'a str, ServiceError> {
    let missing = || ServiceError::new("MissingParameter", format!("The request must contain the parameter {member}."));
    input.text(member)?.filter(|text| !text.is_empty()).ok_or_else(missing)
}

fn invalid(message: impl Into<String>) -> ServiceError {
    ServiceError::new("InvalidParameterValue", message)
}

fn owned(texts: Vec<(&str, &str)>) -> Vec<(String, String)> {
    texts.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn create_queue(model: &mut Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    let name = required(input, "QueueName")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.len() > 80 || !name.bytes().all(plain) {
        return Err(invalid("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"));
    }
    let attributes = owned(input.texts("Attributes")?);
    match model.queues.get(name) {
        Some(queue) if attributes.iter().any(|(name, value)| queue.attributes.get(name) != Some(value)) => {
            Err(ServiceError::new(
                "QueueNameExists",
                "A queue already exists with the same name and a different value for an attribute",
            ))
        }
        Some(_) => Ok(json!({ "QueueUrl": model.queue_url(name) })),
        None => {
            let mut queue = Queue::new(name, now);
            queue.attributes.extend(attributes);
            model.queues.insert(name.to_owned(), queue);
            Ok(json!({ "QueueUrl": model.queue_url(name) }))
        }
    }
}

/// [ListQueues]: up to 1,000 URLs. There is a `NextToken`, the last name encoded, only if the
/// request has `MaxResults`.
///
/// [ListQueues]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ListQueues.html
fn list_queues(model: &Model, input: Input<'_>) -> Result<Value, ServiceError> {
    let asked = input.number("MaxResults", 1, MAX_LISTED_QUEUES)?;
    let prefix = input.text("QueueNamePrefix")?.unwrap_or_default();
    let after = match input.text("NextToken")? {
        Some(token) => {
            let bytes = aws_smithy_types::base64::decode(token).ok();
            let name = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            Some(name.ok_or_else(|| invalid("Invalid or expired next token."))?)
        }
        None => None,
    };
    let mut rest = model
        .queues
        .keys()
        .filter(|name| name.starts_with(prefix) && after.as_ref().is_none_or(|after| *name > after))
        .peekable();
    let page: Vec<_> = rest.by_ref().take(asked.unwrap_or(MAX_LISTED_QUEUES) as usize).collect();
    let mut answer = json!({});
    if !page.is_empty() {
        answer["QueueUrls"] = page.iter().map(|name| model.queue_url(name)).collect();
    }
    if let (Some(_), Some(_), Some(last)) = (asked, rest.peek(), page.last()) {
        answer["NextToken"] = json!(aws_smithy_types::base64::encode(last.as_str()));
    }
    Ok(answer)
}

fn queue_attributes(model: &mut Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    let wanted = each_text("AttributeNames", input.list("AttributeNames")?)?;
    let queue = model.queue_mut(required(input, "QueueUrl")?)?.clone();
    let mut attributes = queue.attributes;
    let count =
        |meant: &dyn Fn(&Message) -> bool| queue.messages.iter().filter(|message| meant(message)).count().to_string();
    attributes.extend([
        ("QueueArn".to_owned(), model.queue_arn(&queue.name)),
        ("CreatedTimestamp".to_owned(), queue.created.timestamp().to_string()),
        ("ApproximateNumberOfMessages".to_owned(), count(&|message| message.visible_from <= now)),
        (
            "ApproximateNumberOfMessagesNotVisible".to_owned(),
            count(&|message| message.visible_from > now && message.receipt.is_some()),
        ),
        (
            "ApproximateNumberOfMessagesDelayed".to_owned(),
            count(&|message| message.visible_from > now && message.receipt.is_none()),
        ),
    ]);
    if let Some(unknown) = wanted.iter().find(|name| !QUEUE_ATTRIBUTES.contains(name)) {
        return Err(ServiceError::new("InvalidAttributeName", format!("Unknown Attribute {unknown}.")));
    }
    attributes.retain(|name, _| wanted.contains(&"All") || wanted.contains(&name.as_str()));
    Ok(json!({ "Attributes": attributes }))
}

/// Whether [SendMessage] accepts the character: those of XML, without most control characters.
///
/// [SendMessage]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
fn is_acceptable(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

fn send(model: &mut Model, url: &str, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    let body = required(input, "MessageBody")?;
    let none = Map::new();
    let attributes = input.object("MessageAttributes")?.unwrap_or(&none);
    let delay = input.number("DelaySeconds", 0, u32::MAX)?;
    if let Some(seconds) = delay.filter(|&seconds| seconds > MAX_DELAY_SECONDS) {
        return Err(invalid(format!(
            "Value {seconds} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900."
        )));
    }
    if let Some(character) = body.chars().find(|&character| !is_acceptable(character)) {
        let message = format!("Invalid binary character '#x{:x}' was found in the message body.", u32::from(character));
        return Err(ServiceError::new("InvalidMessageContents", message));
    }
    if attributes.len() > 10 {
        return Err(invalid(format!(
            "Number of message attributes [{}] exceeds the allowed maximum [10].",
            attributes.len()
        )));
    }
    let mut bytes = body.len();
    for (name, attribute) in attributes {
        bytes += name.len() + attribute_bytes(name, attribute)?;
    }
    let most = model.queue_mut(url)?.number("MaximumMessageSize");
    if u64::try_from(bytes).is_ok_and(|bytes| bytes > most) {
        return Err(invalid(format!(
            "One or more parameters are invalid. Reason: Message must be shorter than {most} bytes."
        )));
    }
    let delay = delay.map(|seconds| Duration::from_secs(seconds.into()));
    let id = model.send(url, body.to_owned(), attributes.clone(), delay, now)?;
    Ok(json!({ "MessageId": id, "MD5OfMessageBody": md5_hex(body) }))
}

/// The checksum of a body that SQS returns, and that some SDKs check.
fn md5_hex(body: &str) -> String {
    format!("{:032x}", u128::from_be_bytes(Md5::digest(body).into()))
}

/// The bytes of an attribute's type and value, which are checked first.
fn attribute_bytes(name: &str, attribute: &Value) -> Result<usize, ServiceError> {
    let text = |member| attribute.get(member).and_then(Value::as_str).unwrap_or_default();
    let kind = text("DataType");
    let value = if kind.starts_with("Binary") { text("BinaryValue") } else { text("StringValue") };
    if value.is_empty() {
        let field = if kind.starts_with("Binary") { "binary" } else { "string" };
        return Err(invalid(format!(
            "Message attribute '{name}' must contain a non-empty message attribute value of type '{field}'."
        )));
    }
    if !["String", "Number", "Binary"].iter().any(|known| kind == *known || kind.starts_with(&format!("{known}."))) {
        return Err(invalid(format!(
            "The type of message attribute '{name}' is invalid. You must use only the following supported type \
             prefixes: Binary, Number, String."
        )));
    }
    if let Some(character) = value.chars().find(|&character| !is_acceptable(character)) {
        return Err(invalid(format!(
            "Invalid binary character '#x{:x}' was found in the message attribute '{name}'.",
            u32::from(character)
        )));
    }
    Ok(kind.len() + value.len())
}

/// Carries out `each` for every entry of a batch. Entries fail independently.
fn batch(
    model: &mut Model,
    input: Input<'_>,
    each: impl Fn(&mut Model, &str, Input<'_>) -> Result<Value, ServiceError>,
) -> Result<Value, ServiceError> {
    let url = required(input, "QueueUrl")?;
    model.queue_mut(url)?;
    let entries = each_object("Entries", input.list("Entries")?)?;
    if entries.is_empty() {
        return Err(ServiceError::new("EmptyBatchRequest", "There should be at least one entry in the request."));
    }
    if entries.len() > MAX_BATCH_ENTRIES {
        let message = format!("Maximum number of entries per request are 10. You have sent {}.", entries.len());
        return Err(ServiceError::new("TooManyEntriesInBatchRequest", message));
    }
    let ids = entries.iter().map(|entry| required(*entry, "Id")).collect::<Result<BTreeSet<_>, _>>()?;
    if ids.len() < entries.len() {
        return Err(ServiceError::new(
            "BatchEntryIdsNotDistinct",
            "Two or more batch entries in the request have the same Id.",
        ));
    }
    let bytes: usize = entries.iter().filter_map(|entry| entry.text("MessageBody").ok().flatten()).map(str::len).sum();
    if bytes > MAX_BATCH_BYTES {
        let message =
            format!("Batch requests cannot be longer than {MAX_BATCH_BYTES} bytes. You have sent {bytes} bytes.");
        return Err(ServiceError::new("BatchRequestTooLong", message));
    }
    let mut successful = Vec::new();
    let mut failed = Vec::new();
    for entry in entries {
        let id = required(entry, "Id")?;
        match each(model, url, entry) {
            Ok(answer) => {
                let mut members = answer.as_object().cloned().unwrap_or_default();
                members.insert("Id".to_owned(), json!(id));
                successful.push(Value::Object(members));
            }
            Err(refusal) => {
                let code = query_code(&refusal.code);
                failed.push(json!({ "Id": id, "SenderFault": true, "Code": code, "Message": refusal.message }));
            }
        }
    }
    Ok(json!({ "Successful": successful, "Failed": failed }))
}

fn receive(model: &mut Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    let most = input.number("MaxNumberOfMessages", 1, 10)?.unwrap_or(1) as usize;
    let visibility_timeout = input
        .number("VisibilityTimeout", 0, MAX_VISIBILITY_TIMEOUT_SECONDS)?
        .map(|seconds| Duration::from_secs(seconds.into()));
    let mut system = each_text("AttributeNames", input.list("AttributeNames")?)?;
    system.extend(each_text("MessageSystemAttributeNames", input.list("MessageSystemAttributeNames")?)?);
    let wanted = each_text("MessageAttributeNames", input.list("MessageAttributeNames")?)?;
    let sender = format!("AIDAEXAMPLE{}", model.account);
    let messages = model.receive(required(input, "QueueUrl")?, most, visibility_timeout, now)?;
    let shown = messages.iter().map(|message| {
        let mut shown = json!({
            "MessageId": message.id,
            "ReceiptHandle": message.receipt,
            "Body": message.body,
            "MD5OfBody": md5_hex(&message.body),
        });
        let attributes = system_attributes(message, &system, &sender);
        let custom: Map<_, _> = message
            .attributes
            .iter()
            .filter(|(name, _)| is_requested(name, &wanted))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if let Some(members) = shown.as_object_mut() {
            for (member, map) in [("Attributes", attributes), ("MessageAttributes", custom)] {
                if !map.is_empty() {
                    members.insert(member.to_owned(), Value::Object(map));
                }
            }
        }
        shown
    });
    Ok(json!({ "Messages": shown.collect::<Vec<_>>() }))
}

fn system_attributes(message: &Message, wanted: &[&str], sender: &str) -> Map<String, Value> {
    let millis = |at: DateTime<Utc>| at.timestamp_millis().to_string();
    let all = [
        ("SenderId", Some(sender.to_owned())),
        ("SentTimestamp", Some(millis(message.sent))),
        ("ApproximateReceiveCount", Some(message.receives.to_string())),
        ("ApproximateFirstReceiveTimestamp", message.first_received.map(millis)),
        ("DeadLetterQueueSourceArn", message.dead_letter_source.clone()),
    ];
    let shown = all.into_iter().filter(|(name, _)| wanted.contains(&"All") || wanted.contains(name));
    shown.filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect()
}

/// Whether a message attribute was requested: by `All`, `.*`, its name, or a prefix followed by
/// `.*`.
fn is_requested(name: &str, wanted: &[&str]) -> bool {
    wanted.iter().any(|wanted| match wanted.strip_suffix(".*") {
        Some(prefix) => name.starts_with(prefix),
        None => *wanted == "All" || *wanted == name,
    })
}

fn unknown_receipt(receipt: &str) -> ServiceError {
    ServiceError::new(
        "ReceiptHandleIsInvalid",
        format!("The input receipt handle \"{receipt}\" is not a valid receipt handle."),
    )
}

/// `DeleteMessage`. A message that is already deleted is not an error.
fn delete(model: &mut Model, url: &str, input: Input<'_>) -> Result<Value, ServiceError> {
    let receipt = required(input, "ReceiptHandle")?;
    let queue = model.queue_mut(url)?;
    if receipt.len() != 64 {
        return Err(unknown_receipt(receipt));
    }
    queue.messages.retain(|message| message.receipt.as_deref() != Some(receipt));
    Ok(Value::Null)
}

fn change_visibility(model: &mut Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    let receipt = required(input, "ReceiptHandle")?;
    let seconds = input
        .number("VisibilityTimeout", 0, MAX_VISIBILITY_TIMEOUT_SECONDS)
        .map_err(|_| invalid("Value for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and 43200."))?
        .ok_or_else(|| {
            ServiceError::new("MissingParameter", "The request must contain the parameter VisibilityTimeout.")
        })?;
    let queue = model.queue_mut(required(input, "QueueUrl")?)?;
    let message = queue.by_receipt(receipt).ok_or_else(|| unknown_receipt(receipt))?;
    if message.visible_from <= now {
        return Err(ServiceError::new("MessageNotInflight", "The message referred to isn't in flight."));
    }
    message.visible_from = now + Duration::from_secs(seconds.into());
    Ok(Value::Null)
}
