//! A message on the dead-letter queue, in one form for every service that writes one.
//!
//! Sources:
//! * [Lambda: invocation records, and dead-letter
//!   queues](https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html) with
//!   the message attributes of a discarded event
//! * [EventBridge: dead-letter
//!   queues](https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html), with the
//!   message attributes of an undelivered event
//! * [SQS:
//!   `ReceiveMessage`](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html),
//!   with the attribute `DeadLetterQueueSourceArn`

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::aws::dead_letters::ReceivedMessage;
use crate::cli::visible::visible;
use crate::decide::STUCK;
use crate::domain::failure::{Kind, Step};
use crate::domain::text::shorten;
use crate::event::{Scope, VERSION, read};

/// The most characters of an error code in a table.
const LONGEST_CODE: usize = 48;

/// The service that put a message on the dead-letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WrittenBy {
    /// The function, after it has diagnosed a failure.
    Function,
    /// Lambda, after its retries: the record of an on-failure destination, or the event itself with
    /// attributes.
    Lambda,
    /// `EventBridge` or the scheduler, after it could not deliver the event.
    EventBridge,
    /// SQS, after `maxReceiveCount` receives from the work queue.
    Queue,
    /// Something else.
    Unknown,
}

impl WrittenBy {
    fn as_str(self) -> &'static str {
        match self {
            Self::Function => "the function",
            Self::Lambda => "Lambda, after its retries",
            Self::EventBridge => "EventBridge, which could not deliver the event",
            Self::Queue => "SQS, after too many receives from the work queue (maxReceiveCount)",
            Self::Unknown => "unknown",
        }
    }
}

/// A dead letter, as `list` and `show` print it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShownDeadLetter {
    /// The SQS message ID.
    pub(super) id: String,
    pub(super) sender: WrittenBy,
    pub(super) sent: Option<DateTime<Utc>>,
    /// The function's request that failed, as its log names it, if the message says so.
    pub(super) request_id: Option<String>,
    /// The stream's ARN or name; `None` for a dead letter about a whole event.
    pub(super) stream: Option<String>,
    /// The error code.
    pub(super) code: String,
    /// `retryable`, `terminal` or `contested`; empty if the sender is unknown.
    pub(super) class: String,
    /// What happened, in a sentence.
    pub(super) message: String,
    /// What to do about it.
    pub(super) remedy: String,
    /// Whether the remedy is this program's. Whoever may send to the queue can write any other.
    pub(super) remedy_is_known: bool,
    /// How many times SQS has delivered the message, this time included.
    pub(super) receives: u32,
    /// The body as JSON; a string if it is not JSON.
    pub(super) body: Value,
    /// What another version of this program wrote, and which; `None` if this version can read it.
    #[serde(skip)]
    pub(super) other_version: Option<String>,
    /// The message, to delete it or to make it visible again.
    #[serde(skip)]
    pub(super) received_message: ReceivedMessage,
}

/// What to do about an invocation that failed without a diagnosis.
const READ_THE_LOG: &str = "Read the function's log of this request, then redrive the message.";

/// Whether the function writes this remedy for an error of this code.
fn is_ours(remedy: &str, code: &str, message: &str) -> bool {
    remedy == STUCK || Step::ALL.iter().any(|step| Kind::explained(code, message).remedy(*step) == remedy)
}

/// What a dead letter says about its failure.
#[derive(Default)]
struct Diagnosis {
    code: String,
    class: String,
    message: String,
    remedy: String,
}

impl ShownDeadLetter {
    /// Reads a message. Every message can be read, also one from an unknown sender.
    pub(super) fn read(received: ReceivedMessage) -> Self {
        let body: Value = serde_json::from_str(&received.body).unwrap_or_else(|_| Value::String(received.body.clone()));
        let sender = sender(&received, &body);
        let attribute = |name: &str| received.attributes.get(name).cloned().unwrap_or_default();
        let Diagnosis { code, class, message, remedy } = match sender {
            WrittenBy::Function => diagnosis_of_error(&body["error"]),
            WrittenBy::Lambda if is_invocation_record(&body) => diagnosis_of_invocation_record(&body),
            WrittenBy::Lambda => diagnosis_of_discarded_event(&attribute("ErrorCode"), &attribute("ErrorMessage")),
            WrittenBy::EventBridge => Diagnosis {
                code: attribute("ERROR_CODE"),
                class: "retryable".to_owned(),
                message: attribute("ERROR_MESSAGE"),
                remedy: "Check that the function exists and that the rule or the schedule may invoke it, then redrive \
                         the message."
                    .to_owned(),
            },
            WrittenBy::Queue => Diagnosis {
                code: "ReceivesExhausted".to_owned(),
                class: "retryable".to_owned(),
                message: "the function received the message repeatedly and ended each time without a result for it"
                    .to_owned(),
                remedy: "Find out in the function's log why it crashes or times out, then redrive the message."
                    .to_owned(),
            },
            WrittenBy::Unknown => Diagnosis {
                code: "Unknown".to_owned(),
                message: "the message is not in a format that this program knows".to_owned(),
                remedy: "Find out what sends messages to this queue.".to_owned(),
                ..Diagnosis::default()
            },
        };
        let remedy_is_known = !matches!(sender, WrittenBy::Function | WrittenBy::Lambda)
            || remedy == READ_THE_LOG
            || is_ours(&remedy, &code, &message);
        let request_id = match sender {
            WrittenBy::Function => body["requestId"].as_str(),
            WrittenBy::Lambda => {
                let of_record = body["requestContext"]["requestId"].as_str();
                of_record.or_else(|| received.attributes.get("RequestID").map(String::as_str))
            }
            WrittenBy::EventBridge | WrittenBy::Queue | WrittenBy::Unknown => None,
        };
        let request_id = request_id.map(str::to_owned);
        let stream = stream(sender, &body);
        let other_version = other_version(&body);
        let ReceivedMessage { id, sent, receives, .. } = received.clone();
        Self {
            id,
            sender,
            sent,
            request_id,
            stream,
            code,
            class,
            message,
            remedy,
            remedy_is_known,
            receives,
            body,
            other_version,
            received_message: received,
        }
    }

    /// The remedy, marked if somebody else may have written it.
    pub(super) fn remedy_text(&self) -> String {
        let Self { remedy, remedy_is_known, .. } = self;
        if *remedy_is_known { remedy.clone() } else { format!("(from the message, not verified) {remedy}") }
    }

    /// The error code, as far as it fits into a table.
    pub(super) fn code_text(&self) -> String {
        shorten(&visible(&self.code), LONGEST_CODE)
    }

    /// The first characters of the ID, enough to select the message.
    pub(super) fn short_id(&self) -> &str {
        self.id.get(..8).unwrap_or(&self.id)
    }

    /// The time since the message was sent; zero if that is unknown.
    pub(super) fn age(&self, now: DateTime<Utc>) -> Duration {
        self.sent.and_then(|sent| (now - sent).to_std().ok()).unwrap_or_default()
    }

    /// The stream's name, or `(whole event)`.
    pub(super) fn subject(&self) -> String {
        match &self.stream {
            Some(stream) => visible(stream.rsplit_once("stream/").map_or(stream.as_str(), |(_, name)| name)),
            None => "(whole event)".to_owned(),
        }
    }

    /// The sender, in words.
    pub(super) fn sender_text(&self) -> &'static str {
        self.sender.as_str()
    }

    /// Whether a request in it asks for an answer only, so that a failure would not be stored.
    pub(super) fn forgoes_dead_letter(&self) -> bool {
        read(&self.body, &[]).requests().any(|request| request.options.no_dead_letter || request.options.dry_run)
    }
}

fn sender(received: &ReceivedMessage, body: &Value) -> WrittenBy {
    if body["kind"] == "enforcement-failure" {
        WrittenBy::Function
    } else if is_invocation_record(body) || is_discarded_event(received) {
        WrittenBy::Lambda
    } else if received.attributes.contains_key("RULE_ARN") || received.attributes.contains_key("ERROR_CODE") {
        WrittenBy::EventBridge
    } else if received.source.is_some() || body["kind"] == "work-item" {
        WrittenBy::Queue
    } else {
        WrittenBy::Unknown
    }
}

fn is_invocation_record(body: &Value) -> bool {
    body.get("requestContext").is_some() && body.get("requestPayload").is_some()
}

/// Whether the message is an event with the attributes that Lambda sets on its dead-letter queue.
fn is_discarded_event(received: &ReceivedMessage) -> bool {
    ["RequestID", "ErrorCode"].iter().all(|name| received.attributes.contains_key(*name))
}

/// What in `body` another version wrote: the message itself, or what lies in an envelope of ours or
/// of Lambda.
fn other_version(body: &Value) -> Option<String> {
    let what = match body["kind"].as_str() {
        Some("enforcement-failure") => "the dead letter",
        Some("work-item") => "the work item",
        _ => return body.get("requestPayload").and_then(other_version),
    };
    match body.get("version") {
        Some(version) if version.as_u64() == Some(VERSION) => body.get("event").and_then(other_version),
        Some(version) => Some(format!("{what} has version {version}")),
        None => Some(format!("{what} has no version")),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn diagnosis_of_error(error: &Value) -> Diagnosis {
    Diagnosis {
        code: text(&error["code"]),
        class: text(&error["class"]),
        message: text(&error["message"]),
        remedy: text(&error["remedy"]),
    }
}

/// The diagnosis in an invocation record of Lambda. The error message of a failed invocation is the
/// function's answer as JSON; after a crash or a timeout it is Lambda's text.
fn diagnosis_of_invocation_record(body: &Value) -> Diagnosis {
    let response = &body["responsePayload"];
    let condition = text(&body["requestContext"]["condition"]);
    let answer: Value =
        response["errorMessage"].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let of_outcome = answer["outcomes"].as_array().into_iter().flatten().find_map(|outcome| outcome.get("error"));
    if let Some(error) = of_outcome.or_else(|| answer.get("error")) {
        return diagnosis_of_error(error);
    }
    Diagnosis {
        code: response["errorType"].as_str().map_or_else(|| condition.clone(), str::to_owned),
        class: "retryable".to_owned(),
        message: response["errorMessage"]
            .as_str()
            .map_or_else(|| format!("the invocation failed: {condition}"), str::to_owned),
        remedy: READ_THE_LOG.to_owned(),
    }
}

/// The diagnosis in the attributes of Lambda's dead-letter queue: the HTTP status of the last attempt,
/// and the first kilobyte of the error message, which for our own function is its answer as JSON.
fn diagnosis_of_discarded_event(status: &str, message: &str) -> Diagnosis {
    let answer: Value = serde_json::from_str(message).unwrap_or_default();
    let of_outcome = answer["outcomes"].as_array().into_iter().flatten().find_map(|outcome| outcome.get("error"));
    if let Some(error) = of_outcome.or_else(|| answer.get("error")) {
        return diagnosis_of_error(error);
    }
    // The end of a longer answer is missing.
    let cut = message.split_once("\"error\":").map(|(_, error)| error);
    let field = |name: &str| {
        let (_, value) = cut?.split_once(&format!("\"{name}\":"))?;
        serde_json::Deserializer::from_str(value).into_iter::<String>().next()?.ok()
    };
    let code = field("code").unwrap_or_else(|| {
        let code = match status {
            "429" => "Throttled",
            _ if message.contains("Task timed out") => "Timeout",
            _ => "InvocationFailed",
        };
        code.to_owned()
    });
    let reason = if message.is_empty() {
        format!("the invocation failed with HTTP status {status}")
    } else {
        message.to_owned()
    };
    Diagnosis {
        code,
        class: field("class").unwrap_or_else(|| "retryable".to_owned()),
        message: field("message").unwrap_or(reason),
        remedy: field("remedy").unwrap_or_else(|| READ_THE_LOG.to_owned()),
    }
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

/// An age in its largest fitting unit: `90s`, `30m`, `12h`, `7d`.
pub(super) fn age_text(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}
