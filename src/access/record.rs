//! Who used a stream, as `CloudTrail` recorded it.
//!
//! Two kinds of records name a caller. While a stream is encrypted, Kinesis calls KMS for its
//! callers, and each of these *management* events has the stream's ARN as its encryption context:
//! `GenerateDataKey` for a producer, `Decrypt` for a consumer. The calls of producers and consumers
//! themselves are *data* events, which a trail records only if it is asked to. Source: [Permissions
//! to use user-generated KMS keys][permissions], [Logging Kinesis API calls][logging].
//!
//! [permissions]: https://docs.aws.amazon.com/streams/latest/dev/permissions-user-key-KMS.html
//! [logging]: https://docs.aws.amazon.com/streams/latest/dev/logging-using-cloudtrail.html

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::{Action, CONTEXT_KEY, Principal};
use crate::domain::stream::{StreamArn, StreamName};

/// That a principal used a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The stream.
    pub stream: StreamArn,
    /// What the caller needs of the stream's key.
    pub action: Action,
    /// Who called.
    pub principal: Principal,
    /// When.
    pub at: DateTime<Utc>,
    /// The ARN of the registered consumer that was used, if one was.
    pub consumer: Option<String>,
}

/// The fields of a record that are read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    event_source: String,
    event_name: String,
    event_time: DateTime<Utc>,
    aws_region: Option<String>,
    recipient_account_id: Option<String>,
    error_code: Option<String>,
    #[serde(default)]
    request_parameters: Value,
    #[serde(default)]
    resources: Value,
    #[serde(default)]
    user_identity: Value,
}

/// The use of a stream in a record; `None` for a call that failed, or that is about something else.
#[must_use]
pub fn used_by(record: &Value) -> Option<Use> {
    let record = Record::deserialize(record).ok()?;
    if record.error_code.as_deref().is_some_and(|code| !code.is_empty()) {
        return None;
    }
    let (action, stream) = match (record.event_source.as_str(), record.event_name.as_str()) {
        ("kms.amazonaws.com", "GenerateDataKey") => (Action::GenerateDataKey, record.stream_in_context()?),
        ("kms.amazonaws.com", "Decrypt") => (Action::Decrypt, record.stream_in_context()?),
        ("kinesis.amazonaws.com", "PutRecord" | "PutRecords") => (Action::GenerateDataKey, record.stream()?),
        ("kinesis.amazonaws.com", "GetRecords" | "SubscribeToShard") => (Action::Decrypt, record.stream()?),
        _ => return None,
    };
    let consumer = record.request_parameters["consumerARN"].as_str().map(str::to_owned);
    Some(Use { stream, action, principal: caller(&record.user_identity), at: record.event_time, consumer })
}

impl Record {
    /// The stream in the encryption context of a call to KMS.
    fn stream_in_context(&self) -> Option<StreamArn> {
        self.request_parameters["encryptionContext"][CONTEXT_KEY].as_str()?.parse().ok()
    }

    /// The stream of a call to Kinesis: by ARN, by the ARN of a consumer, by name, or, for
    /// `GetRecords`, which names only a shard iterator, among the resources.
    fn stream(&self) -> Option<StreamArn> {
        let parameter = |name: &str| self.request_parameters[name].as_str();
        if let Some(arn) = parameter("streamARN") {
            return arn.parse().ok();
        }
        if let Some(consumer) = parameter("consumerARN") {
            return consumer.split_once("/consumer/")?.0.parse().ok();
        }
        if let Some(name) = parameter("streamName") {
            let name: StreamName = name.parse().ok()?;
            return StreamArn::build(self.aws_region.as_deref()?, self.recipient_account_id.as_deref()?, &name).ok();
        }
        let arns = self.resources.as_array()?.iter().filter_map(|resource| resource["ARN"].as_str());
        // Of calls by name, CloudTrail records the name in the place of the account, and `null` as
        // the name.
        arns.filter(|arn| !arn.ends_with(":stream/null")).find_map(|arn| arn.parse().ok())
    }
}

/// Who made a call. For a session of a role, the role.
fn caller(identity: &Value) -> Principal {
    let text = |pointer: &str| identity.pointer(pointer).and_then(Value::as_str);
    let role = text("/sessionContext/sessionIssuer/arn").and_then(Principal::read);
    if let Some(role @ Principal::Role { .. }) = role {
        return role;
    }
    match text("/type") {
        Some("AWSService") => {
            if let Some(service) = text("/invokedBy") {
                return Principal::Service(service.to_owned());
            }
        }
        // What the owner of a stream sees of a caller in another account.
        Some("AWSAccount") => {
            if let Some(account @ Principal::Account(_)) = text("/accountId").and_then(Principal::read) {
                return account;
            }
        }
        Some("Root") => {
            return Principal::Other(format!("the root user of account {}", text("/accountId").unwrap_or("unknown")));
        }
        _ => {}
    }
    match text("/arn").map(|arn| (Principal::read(arn), arn)) {
        Some((Some(principal @ (Principal::Role { .. } | Principal::User { .. })), _)) => principal,
        Some((_, arn)) => Principal::Other(arn.to_owned()),
        None => Principal::Other(text("/principalId").or(text("/invokedBy")).unwrap_or("an unknown caller").to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const STREAM: &str = "arn:aws:kinesis:us-east-1:111122223333:stream/orders";
    const ROLE: &str = "arn:aws:iam::111122223333:role/app/writer";

    fn record(source: &str, name: &str, parameters: &Value) -> Value {
        json!({
            "eventSource": source,
            "eventName": name,
            "eventTime": "2026-11-24T12:00:00Z",
            "awsRegion": "us-east-1",
            "recipientAccountId": "111122223333",
            "requestParameters": parameters,
            "userIdentity": {
                "type": "AssumedRole",
                "arn": "arn:aws:sts::111122223333:assumed-role/writer/function",
                "sessionContext": {"sessionIssuer": {"type": "Role", "arn": ROLE}},
            },
        })
    }

    #[test]
    fn the_calls_that_use_a_stream_name_it_in_different_ways() {
        let context = json!({"encryptionContext": {CONTEXT_KEY: STREAM}, "keyId": "1234"});
        let (kms, kinesis) = ("kms.amazonaws.com", "kinesis.amazonaws.com");
        for (source, name, parameters, action) in [
            (kms, "GenerateDataKey", context.clone(), Action::GenerateDataKey),
            (kms, "Decrypt", context, Action::Decrypt),
            (kinesis, "PutRecord", json!({"streamName": "orders"}), Action::GenerateDataKey),
            (kinesis, "PutRecords", json!({"streamARN": STREAM, "streamName": "x"}), Action::GenerateDataKey),
            (kinesis, "GetRecords", json!({"streamARN": STREAM}), Action::Decrypt),
            (kinesis, "SubscribeToShard", json!({"consumerARN": format!("{STREAM}/consumer/app:1")}), Action::Decrypt),
        ] {
            let used = used_by(&record(source, name, &parameters)).expect(name);
            assert_eq!(
                (used.stream.as_str(), used.action, used.principal.to_string().as_str()),
                (STREAM, action, ROLE)
            );
        }
        let mut by_iterator = record(kinesis, "GetRecords", &json!({"shardIterator": "AAAA"}));
        by_iterator["resources"] = json!([{"ARN": STREAM, "type": "AWS::Kinesis::Stream"}]);
        assert_eq!(used_by(&by_iterator).expect("a use").stream.as_str(), STREAM);
        // A stream called 111122223333, by name.
        by_iterator["resources"] = json!([{"ARN": "arn:aws:kinesis:us-east-1:111122223333:stream/null"}]);
        assert_eq!(used_by(&by_iterator), None);
    }

    #[test]
    fn calls_that_failed_and_calls_about_something_else_are_no_use_of_a_stream() {
        let context = json!({"encryptionContext": {CONTEXT_KEY: STREAM}});
        let mut denied = record("kms.amazonaws.com", "Decrypt", &context);
        denied["errorCode"] = json!("AccessDenied");
        for record in [
            denied,
            record("kms.amazonaws.com", "Encrypt", &context),
            record(
                "kms.amazonaws.com",
                "Decrypt",
                &json!({"encryptionContext": {"aws:s3:arn": "arn:aws:s3:::bucket"}}),
            ),
            record("kms.amazonaws.com", "Decrypt", &json!(null)),
            record("kms.amazonaws.com", "Decrypt", &json!({"encryptionContext": {CONTEXT_KEY: "orders"}})),
            record("kinesis.amazonaws.com", "DescribeStream", &json!({"streamName": "orders"})),
            record("kinesis.amazonaws.com", "PutRecord", &json!({"streamName": "no such name"})),
            json!({"eventName": "Decrypt"}),
            json!(null),
        ] {
            assert_eq!(used_by(&record), None, "{record}");
        }
    }

    #[test]
    fn every_kind_of_caller_is_told_from_the_others() {
        for (identity, caller_is) in [
            (
                json!({"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/jo"}),
                "arn:aws:iam::111122223333:user/jo",
            ),
            (
                json!({"type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/writer/one"}),
                "role writer of account 111122223333",
            ),
            (json!({"type": "AWSService", "invokedBy": "logs.amazonaws.com"}), "logs.amazonaws.com"),
            (
                json!({"type": "AWSAccount", "accountId": "444455556666", "principalId": "AROA:x"}),
                "account 444455556666",
            ),
            (
                json!({"type": "Root", "accountId": "111122223333", "arn": "arn:aws:iam::111122223333:root"}),
                "the root user of account 111122223333",
            ),
            (
                json!({"type": "FederatedUser", "arn": "arn:aws:sts::111122223333:federated-user/jo"}),
                "arn:aws:sts::111122223333:federated-user/jo",
            ),
            (json!({"type": "Unknown", "principalId": "AIDA"}), "AIDA"),
            (json!(null), "an unknown caller"),
        ] {
            assert_eq!(caller(&identity).to_string(), caller_is, "{identity}");
        }
    }
}
