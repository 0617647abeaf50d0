//! Dead letters: a diagnosed failure with its event, which can be redriven.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::domain::failure::Failure;
use crate::domain::stream::StreamRef;
use crate::domain::text::ascii_json;

/// The most bytes of a body. The event of a larger dead letter is reduced: SQS accepts at most
/// [1 MiB][SendMessage], which includes the attributes.
///
/// [SendMessage]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
pub const LARGEST: usize = 900 * 1024;

/// A dead letter of the contract.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    version: u8,
    kind: &'static str,
    /// The ARN of the stream; null if the failure concerns the whole event.
    pub stream: Option<String>,
    occurred_at: String,
    request_id: String,
    function: String,
    /// What went wrong.
    pub error: Failure,
    attempts: u32,
    event: Value,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    event_truncated: bool,
    #[serde(skip)]
    account: Option<String>,
    #[serde(skip)]
    region: Option<String>,
}

/// The invocation that writes a dead letter.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetterMetadata<'a> {
    /// Lambda's request id.
    pub request_id: &'a str,
    /// The function's name.
    pub function: &'a str,
    /// The time at which it is written.
    pub now: DateTime<Utc>,
}

/// The account and the Region of a dead letter's stream or event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountRegion {
    /// The account id, 12 digits.
    pub account: Option<String>,
    /// The Region's code, such as `us-east-1`.
    pub region: Option<String>,
}

impl DeadLetter {
    /// The dead letter about `error` of `stream`, which happened in the `attempts`-th attempt to
    /// handle `event`.
    #[must_use]
    pub fn new(
        metadata: DeadLetterMetadata<'_>,
        stream: Option<String>,
        error: Failure,
        attempts: u32,
        event: Value,
        place: AccountRegion,
    ) -> Self {
        Self {
            version: 1,
            kind: "enforcement-failure",
            stream,
            occurred_at: metadata.now.to_rfc3339_opts(SecondsFormat::Millis, true),
            request_id: metadata.request_id.to_owned(),
            function: metadata.function.to_owned(),
            error,
            attempts,
            event,
            event_truncated: false,
            account: place.account,
            region: place.region,
        }
    }

    /// The message body as it is sent.
    #[must_use]
    pub fn body(&self) -> String {
        ascii_json(self)
    }

    /// The dead letter, whose event is a part of the whole.
    #[must_use]
    pub fn with_part_of_event(self) -> Self {
        Self { event_truncated: true, ..self }
    }

    /// The dead letter in a size that SQS accepts, and whether its event had to be reduced.
    #[must_use]
    pub fn fitting(mut self) -> (Self, bool) {
        if self.body().len() <= LARGEST {
            return (self, false);
        }
        self.event = reduced(&self.event);
        self.event_truncated = true;
        (self, true)
    }

    /// The message attributes that have a value.
    #[must_use]
    pub fn attributes(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("Stream", self.stream.as_deref()),
            ("ErrorCode", Some(self.error.code.as_str())),
            ("ErrorClass", Some(self.error.class.as_str())),
            ("Account", self.account.as_deref()),
            ("Region", self.region.as_deref()),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?))).collect()
    }
}

/// The fields from which events are parsed: a reduced event leads to the same streams as the whole
/// event.
const RECOGNISED: [&str; 60] = [
    "ARN",
    "Compliance",
    "GeneratorId",
    "Id",
    "RecordState",
    "Resources",
    "SecurityControlId",
    "Status",
    "Type",
    "Workflow",
    "account",
    "accountId",
    "aliasName",
    "arn",
    "awsAccountId",
    "awsRegion",
    "cloud",
    "compliance",
    "complianceType",
    "configurationItem",
    "configurationItemStatus",
    "configurationItemSummary",
    "control",
    "customKeyStoreId",
    "detail",
    "detail-type",
    "errorCode",
    "eventID",
    "eventName",
    "eventSource",
    "eventTime",
    "eventType",
    "findings",
    "id",
    "key-id",
    "keyId",
    "messageType",
    "name",
    "newEvaluationResult",
    "notificationCreationTime",
    "owner",
    "recipientAccountId",
    "region",
    "requestParameters",
    "resourceARN",
    "resourceId",
    "resourceName",
    "resourceType",
    "resources",
    "source",
    "status",
    "status_id",
    "streamARN",
    "streamName",
    "targetKeyId",
    "time",
    "type",
    "uid",
    "uid_alt",
    "version",
];

/// The part of an event with many streams that a dead letter about one of them carries: of each
/// list, the entries that mention the stream.
#[must_use]
pub fn narrowed(event: &Value, stream: &StreamRef) -> Value {
    let named = [stream.to_string(), stream.name().to_owned()];
    let mut part = event.clone();
    narrow(&mut part, &named);
    if ascii_json(&part).len() > LARGEST_PART { reduced(&part) } else { part }
}

/// The most bytes of a part of an event that is not reduced.
const LARGEST_PART: usize = 64 * 1024;

fn narrow(value: &mut Value, named: &[String]) {
    match value {
        Value::Array(list) => {
            if list.iter().any(|entry| mentions(entry, named)) {
                list.retain(|entry| mentions(entry, named));
            }
            for entry in list {
                narrow(entry, named);
            }
        }
        Value::Object(object) => {
            for field in object.values_mut() {
                narrow(field, named);
            }
        }
        _ => {}
    }
}

/// Whether one of the texts in `value` is the stream's ARN or name.
fn mentions(value: &Value, named: &[String]) -> bool {
    match value {
        Value::String(text) => named.contains(text),
        Value::Array(list) => list.iter().any(|entry| mentions(entry, named)),
        Value::Object(object) => object.values().any(|field| mentions(field, named)),
        _ => false,
    }
}

/// The most characters of a text, and the most entries of a list, in a reduced event.
const KEPT: usize = 1_000;

fn reduced(event: &Value) -> Value {
    let kept = match event {
        Value::Object(object) => {
            let fields = object.iter().filter(|(name, _)| RECOGNISED.contains(&name.as_str()));
            Value::Object(fields.map(|(name, value)| (name.clone(), reduced(value))).collect::<Map<_, _>>())
        }
        Value::Array(list) => Value::Array(list.iter().take(KEPT).map(reduced).collect()),
        Value::String(text) => Value::String(text.chars().take(KEPT).collect()),
        other => other.clone(),
    };
    // Nested lists of long texts may still be too large. Then the whole event is in the log only.
    if ascii_json(&kept).len() > LARGEST / 2 { Value::Null } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::{Step, code};
    use crate::event::{self, Request};
    use serde_json::json;

    fn letter(stream: Option<&str>, event: Value) -> DeadLetter {
        let metadata = DeadLetterMetadata { request_id: "request-1", function: "enforcer", now: DateTime::UNIX_EPOCH };
        let error = Failure::new(Step::DescribeKey, code::KEY_DISABLED, &"key", "the key is disabled");
        let place = AccountRegion { account: Some("111122223333".to_owned()), region: Some(String::new()) };
        DeadLetter::new(metadata, stream.map(str::to_owned), error, 2, event, place)
    }

    #[test]
    fn the_body_is_the_contracts() {
        let body: Value = serde_json::from_str(&letter(Some("arn"), json!({"id": "event-1"})).body()).expect("JSON");
        insta::assert_json_snapshot!(body);
    }

    #[test]
    fn attributes_without_a_value_are_left_out() {
        let letter = letter(None, Value::Null);
        let names: Vec<_> = letter.attributes().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["ErrorCode", "ErrorClass", "Account"]);
    }

    #[test]
    fn the_body_is_ascii_and_means_the_same() {
        let event = json!({"name": "früh \u{fffe} 🦀 \u{1}\u{7f} \"quoted\" \\"});
        let body = letter(None, event.clone()).body();
        assert!(body.is_ascii() && !body.contains('\u{7f}'), "{body}");
        let read: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(read["event"], event);
    }

    #[test]
    fn a_letter_that_is_too_large_keeps_what_triggers_are_read_from() {
        let event = json!({
            "id": "event-1",
            "source": "aws.kinesis",
            "detail": {"eventName": "CreateStream", "requestParameters": {"streamName": "orders", "noise": "x".repeat(1_000_000)}, "userAgent": "cli"},
        });
        let (letter, reduced) = letter(None, event).fitting();
        assert!(reduced);
        let body: Value = serde_json::from_str(&letter.body()).expect("JSON");
        assert_eq!(
            body["event"],
            json!({"id": "event-1", "source": "aws.kinesis", "detail": {"eventName": "CreateStream", "requestParameters": {"streamName": "orders"}}})
        );
        assert_eq!(body["eventTruncated"], true);
    }

    #[test]
    fn of_a_large_event_the_letter_about_one_stream_carries_what_mentions_it() {
        let stream = |name: &str| format!("arn:aws:kinesis:us-east-1:111122223333:stream/{name}");
        let finding = |name: &str| json!({"Id": name, "Resources": [{"Id": stream(name)}, {"Id": stream("clicks")}]});
        let event = json!({"id": "event-1", "resources": ["a", "b"], "detail": {"findings": [finding("orders"), finding("x")]}});
        let part = narrowed(&event, &stream("orders").parse().expect("a stream"));
        let kept = json!({"Id": "orders", "Resources": [{"Id": stream("orders")}]});
        assert_eq!(part, json!({"id": "event-1", "resources": ["a", "b"], "detail": {"findings": [kept]}}));
        let manual = json!({"streams": ["orders", stream("x"), "clicks"], "reapply": true});
        let part = narrowed(&manual, &stream("x").parse().expect("a stream"));
        assert_eq!(part, json!({"streams": [stream("x")], "reapply": true}));
    }

    #[test]
    fn a_reduced_event_leads_to_the_same_streams_for_every_sample() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/events");
        let mut compared = 0;
        for entry in std::fs::read_dir(folder).expect("the samples") {
            let path = entry.expect("an entry").path();
            let sample: Value = serde_json::from_str(&std::fs::read_to_string(&path).expect("a sample")).expect("JSON");
            for request in event::read(&sample, &[]).requests() {
                let is_of_aws = request.payload.get("detail-type").is_some()
                    || request.payload.get("eventSource").is_some()
                    || request.payload.get("messageType").is_some();
                let reduced = reduced(&request.payload);
                let again = event::read(&reduced, &[]);
                let [again] = again.requests().collect::<Vec<_>>()[..] else { unreachable!("{reduced:#}") };
                // It is never dead-lettered.
                if request.trigger.kind == event::TriggerKind::AccessDenied {
                    continue;
                }
                if is_of_aws {
                    let found = |request: &event::Request| {
                        let Request { trigger, scope, finding, .. } = request.clone();
                        (trigger, scope, finding)
                    };
                    assert_eq!(found(again), found(request), "{}", path.display());
                    compared += 1;
                } else {
                    // A request or a work item that is not whole must not be worked on.
                    let is_unknown = matches!(again.scope, event::Scope::Unknown { .. });
                    assert!(is_unknown, "{}: {reduced:#}", path.display());
                }
            }
        }
        assert!(compared > 40, "{compared}");
    }

    #[test]
    fn whatever_the_event_the_fitting_letter_fits() {
        let long = "ü".repeat(200_000);
        for event in [
            json!(long),
            json!({"resources": vec![json!(long); 20]}),
            // Escaped, each character takes six bytes.
            json!({"resources": vec![json!("\u{7f}".repeat(1_000)); 400], "noise": long}),
            json!({"detail": {"findings": vec![json!({"Id": "x".repeat(999)}); 5_000]}}),
        ] {
            let (letter, reduced) = letter(None, event).fitting();
            assert!(reduced);
            assert!(letter.body().len() <= LARGEST, "{}", letter.body().len());
        }
    }

    #[test]
    fn a_letter_of_ordinary_size_is_left_as_it_is() {
        let before = letter(None, json!({"id": "event-1", "noise": true}));
        assert_eq!(before.clone().fitting(), (before, false));
    }
}
