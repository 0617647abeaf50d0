//! Unwraps payloads: what people and AWS services send, and every message of a dead-letter queue,
//! so that it can be redriven as it is.
//!
//! An envelope is an [SQS batch][sqs], an [SNS notification][sns] (from a subscription of the
//! function, or in a queue), the array in which a [pipe] delivers messages, a [log file of
//! CloudTrail][log], the invocation of a [custom rule of AWS Config][rule], the record of a [Lambda
//! on-failure destination][on-failure], or the function's own dead letter.
//!
//! Whoever can publish to a topic, or send to a pipe's queue, can write any payload. That is
//! harmless where it only says where to look. A request to re-apply the key is refused there.
//!
//! [sqs]: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
//! [sns]: https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
//! [pipe]: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-event-target.html
//! [log]: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-examples.html
//! [rule]: https://docs.aws.amazon.com/config/latest/developerguide/evaluate-config_develop-rules_example-events.html
//! [on-failure]: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html

use aws_lambda_events::sqs::SqsMessage;
use serde_json::{Value, json};

use super::dead_letter::{self, DeadLetter};
use super::parsed::{LONGEST_REASON, Origin, ParsedTrigger, Rejection, typed};
use super::request::{Delivery, FindingFacts, Message, Request, RequestOptions, Scope};
use super::{cloudtrail, eventbridge, manual, work_item};
use crate::domain::json::{duplicate_key, json_or_text};
use crate::domain::key_event::KeyEvent;
use crate::domain::text::shorten;

/// How deep envelopes may be nested. Genuine payloads stay far below: a redrive adds two envelopes,
/// and reading removes them again.
const MAX_DEPTH: usize = 8;

/// How many requests one payload, or one message of a batch, may hold. The limit bounds the work
/// that a forged payload can cause.
const MAX_REQUESTS: usize = 1_000;

/// How many streams all requests of one payload, or of one message of a batch, may name; a sweep
/// covers more.
const MAX_STREAMS: usize = 1_000;

/// Reads one payload.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    own_roles: &'a [String],
    /// How many more requests the payload may hold.
    room: usize,
    /// How many more streams its requests may name.
    streams: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(own_roles: &'a [String]) -> Self {
        Self { own_roles, room: MAX_REQUESTS, streams: MAX_STREAMS }
    }

    /// Reads the payload as Lambda delivered it. Only the outermost batch is answered message by
    /// message.
    pub(super) fn parse_delivery(mut self, payload: &Value) -> Delivery {
        match batch(payload) {
            Some(records) => {
                Delivery::Batch(records.iter().enumerate().map(|(index, record)| self.message(index, record)).collect())
            }
            None => Delivery::Direct(self.unwrap_envelopes(payload, 0, 0)),
        }
    }

    /// One of the first thousand messages of a batch. Each has its own limits: a message must not use
    /// up those of others.
    fn message(&mut self, index: usize, record: &Value) -> Message {
        let room = if index < MAX_REQUESTS { MAX_REQUESTS } else { 0 };
        (self.room, self.streams) = (room, MAX_STREAMS);
        let Record { id, receipt_handle, receive_count, body } = Record::read(record);
        let requests = self.body(body, record, 1, 0);
        Message { id, receipt_handle, receive_count, requests }
    }

    /// The requests in `payload`, which lies in `depth` envelopes: at least one.
    fn unwrap_envelopes(&mut self, payload: &Value, depth: usize, redrives: u32) -> Vec<Request> {
        if self.room == 0 {
            return self.refused(format!("the payload holds more than {MAX_REQUESTS} requests"), payload, redrives);
        }
        let Some(envelope) = Envelope::of(payload) else {
            return self.request(self.trigger(payload), redrives, payload.clone());
        };
        if depth == MAX_DEPTH {
            return self.refused(
                format!("the payload has more than {MAX_DEPTH} envelopes around it"),
                payload,
                redrives,
            );
        }
        let depth = depth + 1;
        match envelope {
            Envelope::OnFailure(inner) => self.unwrap_envelopes(inner, depth, redrives),
            Envelope::Batch(records) => {
                let items = Items { of: records.iter().collect(), are_records: true, nothing: "the batch is empty" };
                self.items(&items, payload, redrives, |reader, record| {
                    reader.body(Record::read(record).body, record, depth, redrives)
                })
            }
            Envelope::Array(messages) => {
                let items = Items { of: messages.iter().collect(), are_records: false, nothing: "the array is empty" };
                self.items(&items, payload, redrives, |reader, message| {
                    let requests = reader.piped(message, depth, redrives);
                    relayed(requests, &json!([message]))
                })
            }
            Envelope::Subscription(records) => {
                let items =
                    Items { of: records.iter().collect(), are_records: true, nothing: "the notification is empty" };
                self.items(&items, payload, redrives, |reader, record| {
                    let envelope = json!({ "Records": [record] });
                    let Some(text) = record.pointer("/Sns/Message").and_then(Value::as_str) else {
                        return reader.refused("the SNS notification has no Message".to_owned(), &envelope, redrives);
                    };
                    relayed(reader.unwrap_envelopes(&json_or_text(text), depth, redrives), &envelope)
                })
            }
            Envelope::Notification(text) => {
                relayed(self.unwrap_envelopes(&json_or_text(text), depth, redrives), payload)
            }
            Envelope::LogFile(records) => {
                // A log file has the calls of every service.
                let of_ours =
                    |record: &&Value| matches!(cloudtrail::service_of_record(record), Some("kinesis" | "kms"));
                let nothing = "no record of the CloudTrail log file is about Kinesis or KMS";
                let items = Items { of: records.iter().filter(of_ours).collect(), are_records: true, nothing };
                self.items(&items, payload, redrives, |reader, record| reader.unwrap_envelopes(record, depth, redrives))
            }
            Envelope::ConfigRule(text) => self.unwrap_envelopes(&json_or_text(text), depth, redrives),
            Envelope::DeadLetter => self.dead_letter(payload, depth, redrives),
        }
    }

    /// An envelope with several items contributes their requests. The messages of a batch in an
    /// envelope are not answered by their ids.
    fn items(
        &mut self,
        Items { of, are_records, nothing }: &Items<'_>,
        payload: &Value,
        redrives: u32,
        read: impl Fn(&mut Self, &Value) -> Vec<Request>,
    ) -> Vec<Request> {
        let mut requests = Vec::new();
        for (index, item) in of.iter().enumerate() {
            if self.room == 0 {
                // As one batch, the rest can be redriven, which reads its first thousand.
                let rest = of.get(index..).unwrap_or_default();
                let reason = format!(
                    "the payload holds more than {MAX_REQUESTS} requests: {} messages were not read",
                    rest.len()
                );
                let rest = if *are_records { json!({ "Records": rest }) } else { json!(rest) };
                requests.extend(self.refused(reason, &rest, redrives));
                break;
            }
            requests.extend(read(self, item));
        }
        if requests.is_empty() {
            let empty = ParsedTrigger::new(Err(Rejection::ignored(*nothing)), Origin::default());
            return self.request(empty, redrives, payload.clone());
        }
        requests
    }

    /// One message of a pipe: a record of a queue, or what the pipe's input transformer made of it.
    fn piped(&mut self, message: &Value, depth: usize, redrives: u32) -> Vec<Request> {
        match message {
            record if is_of_sqs(record) => self.body(Record::read(record).body, record, depth, redrives),
            Value::String(text) => self.unwrap_envelopes(&json_or_text(text), depth, redrives),
            message => self.unwrap_envelopes(message, depth, redrives),
        }
    }

    fn body(&mut self, body: Result<Value, String>, record: &Value, depth: usize, redrives: u32) -> Vec<Request> {
        match body {
            Ok(body) => self.unwrap_envelopes(&body, depth, redrives),
            Err(reason) => self.refused(reason, record, redrives),
        }
    }

    /// A dead letter with a stream is about that stream alone, whatever its event was about; one
    /// without a stream is about its event.
    fn dead_letter(&mut self, payload: &Value, depth: usize, redrives: u32) -> Vec<Request> {
        let DeadLetter { stream, event, attempts } = match DeadLetter::read(payload) {
            Ok(dead_letter) => dead_letter,
            Err(reason) => return self.refused(reason, payload, redrives.max(dead_letter::attempts(payload))),
        };
        let redrives = redrives.max(attempts);
        let Some(stream) = stream else {
            return self.unwrap_envelopes(event, depth, redrives);
        };
        let (room, streams) = (self.room, self.streams);
        self.streams = MAX_STREAMS;
        let mut inside = self.unwrap_envelopes(event, depth, redrives);
        (self.room, self.streams) = (room - 1, streams.saturating_sub(1));
        let several = inside.len() > 1;
        inside.truncate(1);
        for request in &mut inside {
            // A stream may still name its key by this alias.
            if let Scope::Key(KeyEvent::AliasPointed { alias, .. }) = &request.scope {
                request.facts.repointed_alias = Some(alias.clone());
            }
            request.scope = Scope::Streams(vec![stream.clone()]);
            request.finding.unreadable.clear();
            if several {
                request.payload = innermost(event);
            }
        }
        inside
    }

    /// A request that is rejected because of its envelope.
    fn refused(&mut self, reason: String, payload: &Value, redrives: u32) -> Vec<Request> {
        let payload = innermost(payload);
        // A work item that was refused for what it came in may be delivered by itself the next
        // time.
        let retryable = work_item::is_work_item(&payload);
        let rejected = ParsedTrigger { scope: Scope::Unknown { retryable }, ..ParsedTrigger::unknown(reason) };
        self.request(rejected, redrives, payload)
    }

    /// One request: the only place where it is made, and counted against the room.
    fn request(&mut self, mut parsed: ParsedTrigger, redrives: u32, payload: Value) -> Vec<Request> {
        self.room = self.room.saturating_sub(1);
        if let Scope::Streams(named) = &parsed.scope {
            if let Some(left) = self.streams.checked_sub(named.len()) {
                self.streams = left;
            } else {
                // By itself it may have room.
                let reason = format!("the payload names more than {MAX_STREAMS} streams");
                parsed = ParsedTrigger { manual: parsed.manual, ..ParsedTrigger::unknown(reason) };
            }
        }
        let ParsedTrigger { trigger, scope, options, facts, work, finding, manual } = parsed;
        vec![Request { trigger, scope, options, facts, work, finding, manual, relayed: false, redrives, payload }]
    }

    /// Reads a payload without an envelope.
    fn trigger(&self, payload: &Value) -> ParsedTrigger {
        if work_item::is_work_item(payload) {
            work_item::read(payload)
        } else if payload.get("detail-type").is_some() {
            eventbridge::read(payload, self.own_roles)
        } else if let Some(parsed) = eventbridge::read_detail(payload, self.own_roles) {
            parsed
        } else if manual::is_meant(payload) {
            manual::read(payload)
        } else {
            unsupported(payload)
        }
    }
}

/// A payload of no known kind. A text is one that could not be read as JSON.
fn unsupported(payload: &Value) -> ParsedTrigger {
    let Some((text, duplicate)) = payload.as_str().and_then(|text| Some((text, duplicate_key(text)?))) else {
        return ParsedTrigger::unknown(format!("unsupported payload: {}", describe(payload)));
    };
    let meant: Value = serde_json::from_str(text).unwrap_or_default();
    // A person waits for the answer to a manual request.
    let manual = manual::is_meant(&meant) && meant.get("kind").is_none() && meant.get("detail-type").is_none();
    ParsedTrigger { manual, ..ParsedTrigger::unknown(format!("ambiguous JSON: {duplicate}; remove one of the two")) }
}

/// The requests that came through a topic or a pipe, in `envelope`. Whoever can write to those may
/// say where to look, but not that the key is applied again to streams that have it.
fn relayed(mut requests: Vec<Request>, envelope: &Value) -> Vec<Request> {
    for request in &mut requests {
        request.relayed = true;
        if !request.options.reapply {
            continue;
        }
        let refused = ParsedTrigger::unknown(
            "reapply is not accepted through a topic or a pipe: invoke the function directly with this request",
        );
        request.trigger = refused.trigger;
        request.scope = refused.scope;
        request.options = RequestOptions::default();
        request.finding = FindingFacts::default();
        // In its envelope: a redrive does not make a direct request of it.
        request.payload = envelope.clone();
    }
    requests
}

/// The items of an envelope.
struct Items<'a> {
    of: Vec<&'a Value>,
    /// Whether they are the envelope's `Records`; otherwise the envelope is an array.
    are_records: bool,
    /// The reason for which the payload is ignored, if no item leads to a request.
    nothing: &'static str,
}

/// What wraps a payload.
enum Envelope<'a> {
    /// The function's own dead letter.
    DeadLetter,
    /// An SQS batch.
    Batch(&'a [Value]),
    /// The array in which a pipe delivers messages.
    Array(&'a [Value]),
    /// What SNS sends to a subscription of the function.
    Subscription(&'a [Value]),
    /// What SNS sends to a queue: the message of a notification.
    Notification(&'a str),
    /// The records of a log file of CloudTrail.
    LogFile(&'a [Value]),
    /// The `invokingEvent` of a custom rule of AWS Config.
    ConfigRule(&'a str),
    /// The record that Lambda sends to an on-failure destination, with the payload of the failed
    /// invocation.
    OnFailure(&'a Value),
}

impl<'a> Envelope<'a> {
    fn of(payload: &'a Value) -> Option<Self> {
        if dead_letter::is_dead_letter(payload) {
            return Some(Self::DeadLetter);
        }
        if let Some(records) = batch(payload) {
            return Some(Self::Batch(records));
        }
        if let Some(messages) = payload.as_array() {
            let is_message = |message: &Value| message.is_object() || message.is_string();
            return messages.iter().all(is_message).then_some(Self::Array(messages));
        }
        let text = |name: &str| payload.get(name).and_then(Value::as_str);
        if let Some(records) = payload.get("Records").and_then(Value::as_array).filter(|records| !records.is_empty()) {
            if records.iter().all(|record| record.get("EventSource").is_some_and(|source| source == "aws:sns")) {
                return Some(Self::Subscription(records));
            }
            if records.iter().all(|record| cloudtrail::service_of_record(record).is_some()) {
                return Some(Self::LogFile(records));
            }
        }
        if text("Type") == Some("Notification") && text("TopicArn").is_some() {
            return text("Message").map(Self::Notification);
        }
        if payload.get("resultToken").is_some() || payload.get("ruleParameters").is_some() {
            return text("invokingEvent").map(Self::ConfigRule);
        }
        // Events of API Gateway have a `requestContext`, too, but no `requestPayload`.
        payload.get("requestContext").and_then(|_| payload.get("requestPayload")).map(Self::OnFailure)
    }
}

/// The records of an SQS batch. S3, SNS and other services send `Records` as well: at least one of
/// them must come from SQS, unless there are none.
fn batch(payload: &Value) -> Option<&[Value]> {
    let object = payload.as_object()?;
    let records = object.get("Records")?.as_array()?;
    let empty = records.is_empty() && object.len() == 1;
    (empty || records.iter().any(is_of_sqs)).then_some(records)
}

fn is_of_sqs(record: &Value) -> bool {
    record.get("eventSource").and_then(Value::as_str) == Some("aws:sqs")
}

/// One record of an SQS batch.
struct Record {
    /// Empty if the record has none: Lambda then treats the whole batch as failed, so that nothing
    /// is lost.
    id: String,
    receipt_handle: Option<String>,
    receive_count: u32,
    /// The payload in the body, or why there is none.
    body: Result<Value, String>,
}

impl Record {
    fn read(record: &Value) -> Self {
        let text = |name: &str| record.get(name).and_then(Value::as_str).map(str::to_owned);
        match typed::<SqsMessage>(record) {
            Ok(message) => Self {
                id: message.message_id.unwrap_or_default(),
                receipt_handle: message.receipt_handle,
                receive_count: message
                    .attributes
                    .get("ApproximateReceiveCount")
                    .and_then(|count| count.parse().ok())
                    .unwrap_or(1),
                body: match message.body {
                    _ if !is_of_sqs(record) => Err("the batch has a record that is not from SQS".to_owned()),
                    Some(body) => Ok(json_or_text(&body)),
                    None => Err("the SQS message has no body".to_owned()),
                },
            },
            Err(error) => Self {
                id: text("messageId").unwrap_or_default(),
                receipt_handle: text("receiptHandle"),
                receive_count: 1,
                body: Err(format!("invalid SQS message: {error}")),
            },
        }
    }
}

/// What a dead letter about `payload` carries: never a dead letter, since one that keeps failing
/// would grow with every redrive.
fn innermost(payload: &Value) -> Value {
    let mut inner = payload;
    while dead_letter::is_dead_letter(inner) {
        match inner.get("event") {
            Some(event) if !event.is_null() => inner = event,
            _ => return Value::String(inner.to_string()),
        }
    }
    inner.clone()
}

/// What a payload is that people have been seen to send, and what to send instead.
fn misdirected(payload: &Value) -> Option<String> {
    const WHOLE: &str = "deliver the whole event of EventBridge, without InputPath and InputTransformer";
    let first = payload.pointer("/Records/0/eventSource").and_then(Value::as_str);
    if let Some(service) = first.and_then(|source| source.strip_prefix("aws:")) {
        return Some(format!("records of the service {service}; deliver events of EventBridge instead"));
    }
    if payload.get("SubscribeURL").is_some() {
        return Some("a request of SNS to confirm a subscription; confirm it with the SubscribeURL".to_owned());
    }
    if payload.get("findings").is_some_and(Value::is_array) {
        return Some(format!("findings of Security Hub without their event; {WHOLE}"));
    }
    if payload.get("key-id").is_some_and(Value::is_string) {
        return Some(format!("the detail of an event of KMS; {WHOLE}"));
    }
    let is_http = payload.get("httpMethod").is_some() || payload.pointer("/requestContext/http").is_some();
    is_http.then(|| "an HTTP request; invoke the function with lambda:InvokeFunction instead".to_owned())
}

/// Describes a payload for a reason.
fn describe(payload: &Value) -> String {
    const SHOWN: usize = 8;
    if let Some(known) = misdirected(payload) {
        return known;
    }
    match payload {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(_) => "a number".to_owned(),
        Value::String(text) => format!("the string {:?}", shorten(text, 80)),
        Value::Array(items) => format!("an array of {} items", items.len()),
        Value::Object(object) if object.is_empty() => "an empty object".to_owned(),
        Value::Object(object) => {
            let keys: Vec<_> = object.keys().take(SHOWN).map(|key| format!("{:?}", shorten(key, 40))).collect();
            let more = object.len().saturating_sub(SHOWN);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            shorten(&format!("an object with {}{more}", keys.join(", ")), LONGEST_REASON)
        }
    }
}
