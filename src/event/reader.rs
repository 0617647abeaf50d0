//! Takes payloads out of their envelopes, so that whatever ended in a dead-letter queue can be fed
//! back as it is.
//!
//! Envelopes are an SQS batch, the record of a Lambda on-failure destination and our own dead
//! letter.

use aws_lambda_events::sqs::SqsMessage;
use serde::Deserialize;
use serde_json::{Value, json};

use super::dead_letter::{self, DeadLetter};
use super::parsed::{LONGEST_REASON, Origin, ParsedTrigger, Rejection};
use super::request::{Delivery, Message, Request, Scope};
use super::{eventbridge, manual, work_item};
use crate::domain::key_event::KeyEvent;
use crate::domain::text::shorten;

/// No honest payload is wrapped as deep as this: each feed-back adds two envelopes and takes them
/// off again.
const MAX_DEPTH: usize = 8;

/// How many requests one payload may hold. An SQS event source mapping of ours delivers far fewer;
/// the bound keeps a forged payload from becoming a day's work.
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

    /// Reads the payload as Lambda delivered it. Only here does a batch stay a batch: its messages
    /// are answered one by one.
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

    /// The requests in `payload`, which lies in `depth` envelopes; never none.
    fn unwrap_envelopes(&mut self, payload: &Value, depth: usize, redrives: u32) -> Vec<Request> {
        if self.room == 0 {
            return vec![refused(format!("more than {MAX_REQUESTS} requests in one payload"), payload, redrives)];
        }
        let Some(envelope) = Envelope::of(payload) else {
            self.room -= 1;
            return vec![self.trigger(payload).into_request(redrives, payload.clone())];
        };
        if depth == MAX_DEPTH {
            self.room -= 1;
            return vec![refused(format!("more than {MAX_DEPTH} envelopes around one another"), payload, redrives)];
        }
        match envelope {
            Envelope::OnFailure(inner) => self.unwrap_envelopes(inner, depth + 1, redrives),
            Envelope::Batch(records) => self.wrapped_batch(records, payload, depth + 1, redrives),
            Envelope::DeadLetter => self.letter(payload, depth + 1, redrives),
        }
    }

    /// A batch that is itself wrapped contributes its requests: nobody asks for its messages by
    /// their ids any more.
    fn wrapped_batch(&mut self, records: &[Value], payload: &Value, depth: usize, redrives: u32) -> Vec<Request> {
        let mut requests = Vec::new();
        for (index, record) in records.iter().enumerate() {
            if self.room == 0 {
                // As one batch, what is left over can be fed back, and its first thousand are then
                // read.
                let rest = &records[index..];
                let reason =
                    format!("more than {MAX_REQUESTS} requests in one payload: {} messages were not read", rest.len());
                requests.push(refused(reason, &json!({ "Records": rest }), redrives));
                break;
            }
            requests.extend(self.body(Record::read(record).body, record, depth, redrives));
        }
        if requests.is_empty() {
            self.room -= 1;
            let empty = ParsedTrigger::new(Err(Rejection::ignored("an empty batch")), Origin::default());
            requests.push(empty.into_request(redrives, payload.clone()));
        }
        requests
    }

    fn body(&mut self, body: Result<Value, String>, record: &Value, depth: usize, redrives: u32) -> Vec<Request> {
        match body {
            Ok(body) => self.unwrap_envelopes(&body, depth, redrives),
            Err(reason) => {
                self.room = self.room.saturating_sub(1);
                vec![refused(reason, record, redrives)]
            }
        }
    }

    /// A letter with a stream is about that stream alone, whatever its event was about; without one
    /// it is about its event.
    fn letter(&mut self, payload: &Value, depth: usize, redrives: u32) -> Vec<Request> {
        let DeadLetter { stream, event, attempts } = match DeadLetter::read(payload) {
            Ok(letter) => letter,
            Err(reason) => {
                self.room -= 1;
                return vec![refused(reason, payload, redrives.max(dead_letter::attempts(payload)))];
            }
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
            // A stream may still name its key by it.
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

    /// What a payload without an envelope is.
    fn trigger(&self, payload: &Value) -> ParsedTrigger {
        if work_item::is_work_item(payload) {
            work_item::read(payload)
        } else if payload.get("detail-type").is_some() {
            eventbridge::read(payload, self.own_roles)
        } else if manual::is_meant(payload) {
            manual::read(payload)
        } else {
            ParsedTrigger::unknown(format!("not an event this function knows: {}", looks(payload)))
        }
    }
}

/// Something that carries other payloads.
enum Envelope<'a> {
    /// Our own dead letter.
    DeadLetter,
    /// An SQS batch.
    Batch(&'a [Value]),
    /// The record that Lambda sends to an on-failure destination, with the payload of the
    /// invocation that failed.
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
        // API Gateway sends a `requestContext` too, but never a `requestPayload`.
        payload.get("requestContext").and_then(|_| payload.get("requestPayload")).map(Self::OnFailure)
    }
}

/// The records of an SQS batch. S3, SNS and others send `Records` as well: one record of SQS must
/// be among them, or none of anything.
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
    /// Empty where the record has none: Lambda then takes the whole batch as failed, so that
    /// nothing is lost.
    id: String,
    receipt_handle: Option<String>,
    receive_count: u32,
    /// The payload in its body, or why it has none.
    body: Result<Value, String>,
}

impl Record {
    fn read(record: &Value) -> Self {
        let text = |name: &str| record.get(name).and_then(Value::as_str).map(str::to_owned);
        match SqsMessage::deserialize(record) {
            Ok(message) => Self {
                id: message.message_id.unwrap_or_default(),
                receipt_handle: message.receipt_handle,
                receive_count: message
                    .attributes
                    .get("ApproximateReceiveCount")
                    .and_then(|count| count.parse().ok())
                    .unwrap_or(1),
                body: match message.body {
                    _ if !is_of_sqs(record) => Err("a record of an SQS batch that is not of SQS".to_owned()),
                    Some(body) => Ok(serde_json::from_str(&body).unwrap_or(Value::String(body))),
                    None => Err("an SQS message without a body".to_owned()),
                },
            },
            Err(error) => Self {
                id: text("messageId").unwrap_or_default(),
                receipt_handle: text("receiptHandle"),
                receive_count: 1,
                body: Err(format!("not an SQS message: {error}")),
            },
        }
    }
}

/// A request that is not understood, because of its envelope.
fn refused(reason: String, payload: &Value, redrives: u32) -> Request {
    ParsedTrigger::unknown(reason).into_request(redrives, innermost(payload))
}

/// What a dead letter about `payload` carries. It is never itself a letter: a letter that keeps
/// failing would grow with every feed-back.
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

/// What a payload looks like, for a reason.
fn looks(payload: &Value) -> String {
    const SHOWN: usize = 8;
    match payload {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(_) => "a number".to_owned(),
        Value::String(text) => format!("the text {:?}", shorten(text, 80)),
        Value::Array(items) => format!("an array of {} items", items.len()),
        Value::Object(object) if object.is_empty() => "an object without keys".to_owned(),
        Value::Object(object) => {
            let keys: Vec<_> = object.keys().take(SHOWN).map(|key| format!("{:?}", shorten(key, 40))).collect();
            let more = object.len().saturating_sub(SHOWN);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            shorten(&format!("an object with {}{more}", keys.join(", ")), LONGEST_REASON)
        }
    }
}
