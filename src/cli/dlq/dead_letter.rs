//! What a message on the dead-letter queue says, whoever put it there.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::aws::dead_letters::ReceivedMessage;
use crate::event::{Scope, read};

/// Who put a message on the dead-letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WrittenBy {
    /// The function: a diagnosed failure.
    Function,
    /// Lambda, after its retries: the record of an on-failure destination.
    Lambda,
    /// `EventBridge` or the scheduler, which could not hand the event over.
    EventBridge,
    /// SQS, after too many receives of the work queue.
    Queue,
    /// Nobody knows.
    Unknown,
}

impl WrittenBy {
    fn as_str(self) -> &'static str {
        match self {
            Self::Function => "the function",
            Self::Lambda => "Lambda, after its retries",
            Self::EventBridge => "EventBridge, which could not hand the event over",
            Self::Queue => "SQS, after too many receives from the work queue",
            Self::Unknown => "unknown",
        }
    }
}

/// A letter, in the words that all of them have in common.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShownDeadLetter {
    /// The message's id.
    pub(super) id: String,
    /// Who wrote it.
    pub(super) sender: WrittenBy,
    /// When it was sent.
    pub(super) sent: Option<DateTime<Utc>>,
    /// The stream, where it is about one.
    pub(super) stream: Option<String>,
    /// What went wrong.
    pub(super) code: String,
    /// `retryable`, `terminal`, `contested`, or empty where nobody says.
    pub(super) class: String,
    /// What happened, in a sentence.
    pub(super) message: String,
    /// What to do.
    pub(super) remedy: String,
    /// How often it was received.
    pub(super) receives: u32,
    /// The body as it is; a text where it is no JSON.
    pub(super) body: Value,
    #[serde(skip)]
    pub(super) held: ReceivedMessage,
}

impl ShownDeadLetter {
    /// Reads a message; there is none that it cannot read.
    pub(super) fn read(held: ReceivedMessage) -> Self {
        let body: Value = serde_json::from_str(&held.body).unwrap_or_else(|_| Value::String(held.body.clone()));
        let sender = sender(&held, &body);
        let attribute = |name: &str| held.attributes.get(name).cloned().unwrap_or_default();
        let (code, class, message, remedy) = match sender {
            WrittenBy::Function => of_error(&body["error"]),
            WrittenBy::Lambda => of_record(&body),
            WrittenBy::EventBridge => (
                attribute("ERROR_CODE"),
                "retryable".to_owned(),
                attribute("ERROR_MESSAGE"),
                "check that the rule may invoke the function and that the function exists, then redrive".to_owned(),
            ),
            WrittenBy::Queue => (
                "ReceivesExhausted".to_owned(),
                "retryable".to_owned(),
                "the function ended again and again before it answered for this message".to_owned(),
                "find out in the function's log why it crashes or runs out of time, then redrive".to_owned(),
            ),
            WrittenBy::Unknown => (
                "Unknown".to_owned(),
                String::new(),
                "a message that this program does not know".to_owned(),
                "find out who sends to this queue".to_owned(),
            ),
        };
        let stream = stream(sender, &body);
        let ReceivedMessage { id, sent, receives, .. } = held.clone();
        Self { id, sender, sent, stream, code, class, message, remedy, receives, body, held }
    }

    /// How long ago it was sent.
    pub(super) fn age(&self, now: DateTime<Utc>) -> Duration {
        self.sent.and_then(|sent| (now - sent).to_std().ok()).unwrap_or_default()
    }

    /// The stream's name, or what the letter is about instead.
    pub(super) fn subject(&self) -> &str {
        match &self.stream {
            Some(stream) => stream.rsplit_once("stream/").map_or(stream, |(_, name)| name),
            None => "(whole event)",
        }
    }

    /// Who wrote it, in words.
    pub(super) fn sender_text(&self) -> &'static str {
        self.sender.as_str()
    }

    /// Whether whatever comes of it would be answered only, and stored nowhere.
    pub(super) fn asks_for_no_letter(&self) -> bool {
        read(&self.body, &[]).requests().any(|request| request.options.no_dead_letter || request.options.dry_run)
    }
}

fn sender(held: &ReceivedMessage, body: &Value) -> WrittenBy {
    if body["kind"] == "enforcement-failure" {
        WrittenBy::Function
    } else if body.get("requestContext").is_some() && body.get("requestPayload").is_some() {
        WrittenBy::Lambda
    } else if held.attributes.contains_key("RULE_ARN") || held.attributes.contains_key("ERROR_CODE") {
        WrittenBy::EventBridge
    } else if held.source.is_some() || body["kind"] == "work-item" {
        WrittenBy::Queue
    } else {
        WrittenBy::Unknown
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn of_error(error: &Value) -> (String, String, String, String) {
    (text(&error["code"]), text(&error["class"]), text(&error["message"]), text(&error["remedy"]))
}

/// An on-failure record: the function's own error message is the answer's JSON, with the diagnosis
/// in it; a crash has none.
fn of_record(body: &Value) -> (String, String, String, String) {
    let response = &body["responsePayload"];
    let condition = text(&body["requestContext"]["condition"]);
    let answer: Value =
        response["errorMessage"].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let of_outcome = answer["outcomes"].as_array().into_iter().flatten().find_map(|outcome| outcome.get("error"));
    if let Some(error) = of_outcome.or_else(|| answer.get("error")) {
        return of_error(error);
    }
    let code = response["errorType"].as_str().map_or_else(|| condition.clone(), str::to_owned);
    let message =
        response["errorMessage"].as_str().map_or_else(|| format!("the invocation failed: {condition}"), str::to_owned);
    (code, "retryable".to_owned(), message, "read the function's log of this request, then redrive".to_owned())
}

fn stream(sender: WrittenBy, body: &Value) -> Option<String> {
    if sender == WrittenBy::Function
        && let Some(stream) = body["stream"].as_str()
    {
        return Some(stream.to_owned());
    }
    let delivery = read(body, &[]);
    let mut requests = delivery.requests();
    match (requests.next().map(|request| &request.scope), requests.next()) {
        (Some(Scope::Streams(streams)), None) if streams.len() == 1 => streams.first().map(ToString::to_string),
        _ => None,
    }
}
