//! Unwraps payloads, so that every message of a dead-letter queue can be redriven as it is.
//!
//! An envelope is an [SQS batch][sqs], the record of a [Lambda on-failure destination][on-failure],
//! or the function's own dead letter.
//!
//! [sqs]: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
//! [on-failure]: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html

use aws_lambda_events::sqs::SqsMessage;
use serde_json::{Value, json};

use super::dead_letter::{self, DeadLetter};
use super::parsed::{LONGEST_REASON, Origin, ParsedTrigger, Rejection, typed};
use super::request::{Delivery, Message, Request, Scope};
use super::{eventbridge, manual, work_item};
use crate::domain::key_event::KeyEvent;
use crate::domain::text::shorten;

/// How deep envelopes may be nested. Genuine payloads stay far below: a redrive adds two envelopes,
/// and reading removes them again.
const MAX_DEPTH: usize = 8;

/// How many requests one payload may hold. The function's event source mapping delivers far fewer;
/// the limit bounds the work that a forged payload can cause.
const MAX_REQUESTS: usize = 1_000;

/// Reads one payload.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    own_roles: &'a [String],
    /// How many more requests the payload may hold.
    room: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(own_roles: &'a [String]) -> Self {
        Self { own_roles, room: MAX_REQUESTS }
    }

    /// Reads the payload as Lambda delivered it. Only the outermost batch is answered message by
    /// message.
    pub(super) fn parse_delivery(mut self, payload: &Value) -> Delivery {
        match batch(payload) {
            Some(records) => Delivery::Batch(records.iter().map(|record| self.message(record)).collect()),
            None => Delivery::Direct(self.unwrap_envelopes(payload, 0, 0)),
        }
    }

    fn message(&mut self, record: &Value) -> Message {
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
        match envelope {
            Envelope::OnFailure(inner) => self.unwrap_envelopes(inner, depth + 1, redrives),
            Envelope::Batch(records) => self.wrapped_batch(records, payload, depth + 1, redrives),
            Envelope::DeadLetter => self.dead_letter(payload, depth + 1, redrives),
        }
    }

    /// A batch within an envelope contributes its requests; its messages are not answered by their
    /// ids.
    fn wrapped_batch(&mut self, records: &[Value], payload: &Value, depth: usize, redrives: u32) -> Vec<Request> {
        let mut requests = Vec::new();
        for (index, record) in records.iter().enumerate() {
            if self.room == 0 {
                // As one batch, the rest can be redriven, which reads its first thousand.
                let rest = &records[index..];
                let reason = format!(
                    "the payload holds more than {MAX_REQUESTS} requests: {} messages were not read",
                    rest.len()
                );
                requests.extend(self.refused(reason, &json!({ "Records": rest }), redrives));
                break;
            }
            requests.extend(self.body(Record::read(record).body, record, depth, redrives));
        }
        if requests.is_empty() {
            let empty = ParsedTrigger::new(Err(Rejection::ignored("the batch is empty")), Origin::default());
            return self.request(empty, redrives, payload.clone());
        }
        requests
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
        let room = self.room;
        let mut inside = self.unwrap_envelopes(event, depth, redrives);
        self.room = room - 1;
        let several = inside.len() > 1;
        inside.truncate(1);
        for request in &mut inside {
            // A stream may still name its key by this alias.
            if let Scope::Key(KeyEvent::AliasPointed { alias, .. }) = &request.scope {
                request.facts.repointed_alias = Some(alias.clone());
            }
            request.scope = Scope::Streams(vec![stream.clone()]);
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
    fn request(&mut self, parsed: ParsedTrigger, redrives: u32, payload: Value) -> Vec<Request> {
        self.room = self.room.saturating_sub(1);
        let ParsedTrigger { trigger, scope, options, facts, work, manual } = parsed;
        vec![Request { trigger, scope, options, facts, work, manual, redrives, payload }]
    }

    /// Reads a payload without an envelope.
    fn trigger(&self, payload: &Value) -> ParsedTrigger {
        if work_item::is_work_item(payload) {
            work_item::read(payload)
        } else if payload.get("detail-type").is_some() {
            eventbridge::read(payload, self.own_roles)
        } else if manual::is_meant(payload) {
            manual::read(payload)
        } else {
            ParsedTrigger::unknown(format!("unsupported payload: {}", describe(payload)))
        }
    }
}

/// What wraps a payload.
enum Envelope<'a> {
    /// The function's own dead letter.
    DeadLetter,
    /// An SQS batch.
    Batch(&'a [Value]),
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
                    Some(body) => Ok(serde_json::from_str(&body).unwrap_or(Value::String(body))),
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

/// Describes a payload for a reason.
fn describe(payload: &Value) -> String {
    const SHOWN: usize = 8;
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
