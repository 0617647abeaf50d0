//! A KMS call that Kinesis made for a caller and that failed, as `CloudTrail` records it.
//!
//! Kinesis encrypts and decrypts with its [callers' permissions][key]: `GenerateDataKey` for a
//! producer, `Decrypt` for a consumer. Who may not make that call can no longer use the stream.
//!
//! AWS does not document every field of a denied call. So a record counts as Kinesis' if any of the
//! fields says so in which a service shows, the key is looked for in three places, and the stream
//! may be unknown: `requestParameters` may be `null`.
//!
//! [key]: https://docs.aws.amazon.com/streams/latest/dev/permissions-user-key-KMS.html

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::cloudtrail::CloudTrailRecord;
use super::key::KeyArn;
use super::stream::StreamArn;
use super::text::shorten;

/// The service's name, as `CloudTrail` records it.
const KINESIS: &str = "kinesis.amazonaws.com";

/// The key of the stream's ARN in the [encryption context][key] of Kinesis' calls.
///
/// [key]: https://docs.aws.amazon.com/streams/latest/dev/permissions-user-key-KMS.html
const CONTEXT: &str = "aws:kinesis:arn";

/// In characters. Names and messages come from the record, which anybody could have written who may
/// write to a queue.
const LONGEST: usize = 700;

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The caller may not use the key.
    Denied,
    /// Nobody can use the key: it is disabled, or about to be deleted, or does not exist.
    KeyUnusable,
    /// KMS throttled the call, or failed itself. It passes.
    Service,
}

impl Trouble {
    /// What an [error code of KMS][Decrypt] means.
    ///
    /// [Decrypt]: https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html
    fn of(code: &str) -> Self {
        match code {
            code if code.contains("AccessDenied") => Self::Denied,
            "DisabledException"
            | "KMSDisabledException"
            | "KMSInvalidStateException"
            | "KMSInvalidState"
            | "InvalidKeyUsageException"
            | "KeyUnavailableException"
            | "NotFoundException"
            | "KMSNotFoundException" => Self::KeyUnusable,
            _ => Self::Service,
        }
    }
}

/// One failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The ARN of the role, with its path, or of the user; the name of a service; otherwise whatever
    /// identifies the caller.
    pub principal: String,
    /// The action, such as `kms:Decrypt`.
    pub action: String,
    /// The key's ARN, where the record has it.
    pub key: Option<String>,
    /// The stream, where the record has it.
    pub stream: Option<StreamArn>,
    /// Why it failed.
    pub trouble: Trouble,
    /// The error code.
    pub code: String,
    /// What AWS says about it; may be empty.
    pub message: String,
    /// When.
    pub at: Option<DateTime<Utc>>,
}

impl Denial {
    /// Reads a record; `None` if it is not a failed call that Kinesis made for a caller.
    #[must_use]
    pub fn read(record: &Value) -> Option<Self> {
        let is_of_kms = record.get("eventSource").is_some_and(|source| source == "kms.amazonaws.com");
        let call = CloudTrailRecord::deserialize(record).ok().filter(|_| is_of_kms)?;
        if !matches!(call.event_name.as_str(), "GenerateDataKey" | "Decrypt") {
            return None;
        }
        let code = call.error_code.as_deref()?;
        let context = call.request_parameters.as_ref().and_then(|given| given.get("encryptionContext")?.get(CONTEXT));
        if !call.is_by_service(KINESIS) && context.is_none() {
            return None;
        }
        let message = record.get("errorMessage").and_then(Value::as_str).unwrap_or_default();
        let principal = call.role().map(str::to_owned).or_else(|| call.principal().arn);
        Some(Self {
            principal: shorten(&principal.unwrap_or_else(|| "an unknown principal".to_owned()), LONGEST),
            action: format!("kms:{}", call.event_name),
            key: key(record, &call, message),
            stream: context.and_then(|stream| stream.as_str()?.parse().ok()),
            trouble: Trouble::of(code),
            code: shorten(code, LONGEST),
            message: shorten(message, LONGEST),
            at: call.at(),
        })
    }
}

/// The key's ARN: from the resources, the parameters, or AWS's sentence "… on resource: ARN …".
fn key(record: &Value, call: &CloudTrailRecord, message: &str) -> Option<String> {
    let resources = record.get("resources").and_then(Value::as_array).into_iter().flatten();
    let in_resources = resources.filter_map(|resource| resource.get("ARN")?.as_str());
    let in_parameters = call.request_parameters.as_ref().and_then(|given| given.get("keyId")?.as_str());
    let in_message = message.split_once("on resource: ").and_then(|(_, rest)| rest.split_whitespace().next());
    let mut places = in_resources.chain(in_parameters).chain(in_message);
    places.find_map(|text| Some(text.parse::<KeyArn>().ok()?.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const STREAM: &str = "arn:aws:kinesis:us-east-1:111122223333:stream/orders";

    fn denied() -> Value {
        json!({
            "eventSource": "kms.amazonaws.com", "eventName": "Decrypt", "eventTime": "2026-11-24T09:00:00Z",
            "errorCode": "AccessDenied",
            "errorMessage": format!("User: arn:aws:sts::111122223333:assumed-role/billing/i-1 is not authorized to perform: kms:Decrypt on resource: {KEY} because no identity-based policy allows the kms:Decrypt action"),
            "userIdentity": {
                "type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/billing/i-1",
                "sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::111122223333:role/teams/billing"}},
                "invokedBy": "kinesis.amazonaws.com",
            },
            "requestParameters": null,
            "resources": [{"ARN": KEY, "type": "AWS::KMS::Key"}],
        })
    }

    fn with(pointer: &str, value: Value) -> Value {
        let mut record = denied();
        match record.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => record[pointer.trim_start_matches('/')] = value,
        }
        record
    }

    #[test]
    fn a_denied_call_without_parameters_names_the_role_with_its_path_and_the_key() {
        let denial = Denial::read(&denied()).expect("a denial");
        assert_eq!(denial.principal, "arn:aws:iam::111122223333:role/teams/billing");
        assert_eq!((denial.action.as_str(), denial.key.as_deref()), ("kms:Decrypt", Some(KEY)));
        assert_eq!((denial.stream, denial.trouble), (None, Trouble::Denied));
    }

    #[test]
    fn kinesis_shows_in_any_of_four_places_and_nothing_else_counts() {
        let elsewhere = |record: &mut Value| record["userIdentity"]["invokedBy"] = json!("s3.amazonaws.com");
        for (field, value) in [
            ("sourceIPAddress", json!(KINESIS)),
            ("userAgent", json!(KINESIS)),
            ("requestParameters", json!({"encryptionContext": {"aws:kinesis:arn": STREAM}})),
        ] {
            let mut record = with(field, value);
            elsewhere(&mut record);
            assert!(Denial::read(&record).is_some(), "{field}");
        }
        let mut foreign = denied();
        elsewhere(&mut foreign);
        assert_eq!(Denial::read(&foreign), None);
        for (pointer, value) in [
            ("/eventName", json!("DescribeKey")),
            ("/eventSource", json!("s3.amazonaws.com")),
            ("/errorCode", Value::Null),
            ("/errorCode", json!("")),
        ] {
            assert_eq!(Denial::read(&with(pointer, value.clone())), None, "{pointer} {value}");
        }
    }

    #[test]
    fn the_stream_is_that_of_the_encryption_context_and_the_key_is_found_wherever_it_is() {
        let parameters = json!({"keyId": KEY, "encryptionContext": {"aws:kinesis:arn": STREAM}});
        let denial = Denial::read(&with("/requestParameters", parameters)).expect("a denial");
        assert_eq!(denial.stream.as_ref().map(StreamArn::as_str), Some(STREAM));
        let mut record = with("/resources", Value::Null);
        assert_eq!(Denial::read(&record).expect("a denial").key.as_deref(), Some(KEY), "in the message");
        record["errorMessage"] = json!("no");
        assert_eq!(Denial::read(&record).expect("a denial").key, None);
    }

    #[test]
    fn denials_unusable_keys_and_failures_of_kms_are_told_apart() {
        for (code, trouble) in [
            ("AccessDenied", Trouble::Denied),
            ("AccessDeniedException", Trouble::Denied),
            ("DisabledException", Trouble::KeyUnusable),
            ("KMSInvalidStateException", Trouble::KeyUnusable),
            ("NotFoundException", Trouble::KeyUnusable),
            ("ThrottlingException", Trouble::Service),
            ("KMSInternalException", Trouble::Service),
            ("DependencyTimeoutException", Trouble::Service),
        ] {
            assert_eq!(Denial::read(&with("/errorCode", json!(code))).expect("read").trouble, trouble, "{code}");
        }
    }

    #[test]
    fn a_user_a_service_and_a_caller_of_another_account_have_names_too() {
        for (identity, name) in [
            (
                json!({"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/ops/ada"}),
                "arn:aws:iam::111122223333:user/ops/ada",
            ),
            (
                json!({"type": "AWSAccount", "principalId": "AROAEXAMPLE:s", "accountId": "444455556666"}),
                "AROAEXAMPLE:s",
            ),
            (json!({"type": "AWSService", "invokedBy": "firehose.amazonaws.com"}), "firehose.amazonaws.com"),
            (json!({}), "an unknown principal"),
        ] {
            let mut record = with("/userIdentity", identity);
            record["userAgent"] = json!(KINESIS);
            assert_eq!(Denial::read(&record).expect("a denial").principal, name);
        }
    }
}
