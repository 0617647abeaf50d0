//! The messages of the queue of denied calls, which has thousands of them where one producer is
//! broken: each is read by itself and dropped again, without its envelopes and without a request.

use serde_json::{Value, json};

use crate::decide::denials::{Calls, Subject};
use crate::domain::denial::Denial;

/// What a message of the queue is.
#[derive(Clone, Debug, PartialEq)]
pub enum DenialMessage {
    /// A failed call.
    Denied(Denial),
    /// Groups that the function sent to itself, to look at them again.
    Again(Vec<(Subject, Calls)>),
    /// Neither: it is counted and dropped.
    Unknown,
}

/// The kind of the message by which the function looks at groups again.
const AGAIN: &str = "denials-again";

/// The records of a batch of the queue at `queue_url`, if `payload` is one.
///
/// A message has the queue's ARN, which ends like its URL: with the account and the name.
#[must_use]
pub fn batch<'a>(payload: &'a Value, queue_url: &str) -> Option<&'a [Value]> {
    let records = payload.get("Records")?.as_array()?;
    let (rest, name) = queue_url.rsplit_once('/')?;
    let account = rest.rsplit_once('/')?.1;
    let arn = records.first()?.get("eventSourceARN")?.as_str()?;
    let mut parts = arn.rsplit(':');
    let is_the_queue = parts.next() == Some(name) && parts.next() == Some(account) && parts.next().is_some();
    is_the_queue.then_some(records)
}

/// Reads one message of the queue. This cannot fail.
#[must_use]
pub fn read(record: &Value) -> DenialMessage {
    // Nothing is done because of what a message says but to report it, so that it does not matter if
    // an object has a key twice.
    let body = record.get("body").and_then(Value::as_str);
    let body: Value = body.and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
    if body.get("kind").is_some_and(|kind| kind == AGAIN) {
        let groups = body.get("groups").and_then(Value::as_array);
        let groups = groups.and_then(|groups| groups.iter().map(Subject::from_message).collect());
        return groups.map_or(DenialMessage::Unknown, DenialMessage::Again);
    }
    let denial = body.get("detail").and_then(Denial::read);
    denial.map_or(DenialMessage::Unknown, DenialMessage::Denied)
}

/// The message by which the function looks at `groups` again.
#[must_use]
pub fn again(groups: &[(&Subject, &Calls)]) -> Value {
    let groups: Vec<_> = groups.iter().map(|(subject, calls)| subject.to_message(calls)).collect();
    json!({"version": 1, "kind": AGAIN, "groups": groups})
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://sqs.us-east-1.amazonaws.com/111122223333/denials";

    #[test]
    fn a_batch_of_the_queue_is_known_by_its_arn() {
        let batch_of = |arn: &str| json!({"Records": [{"eventSource": "aws:sqs", "eventSourceARN": arn}]});
        for (arn, is_the_queue) in [
            ("arn:aws:sqs:us-east-1:111122223333:denials", true),
            ("arn:aws:sqs:us-east-1:111122223333:work", false),
            ("arn:aws:sqs:us-east-1:444455556666:denials", false),
            ("denials", false),
        ] {
            assert_eq!(batch(&batch_of(arn), URL).is_some(), is_the_queue, "{arn}");
        }
        assert_eq!(batch(&json!({"Records": []}), URL), None);
        assert_eq!(batch(&json!("text"), URL), None);
    }

    #[test]
    fn whatever_a_message_holds_it_is_read() {
        for body in
            [json!(null), json!("no JSON"), json!("{}"), json!(r#"{"kind": "denials-again", "groups": 3}"#), json!(7)]
        {
            assert_eq!(read(&json!({ "body": body })), DenialMessage::Unknown, "{body}");
        }
        let empty = again(&[]).to_string();
        assert_eq!(read(&json!({ "body": empty })), DenialMessage::Again(vec![]));
    }
}
