//! Changes of a stream's encryption, as `CloudTrail` [records them][record].
//!
//! [record]: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cloudtrail::{CloudTrailRecord, Principal};
use super::stream::StreamArn;

/// How often a key can be applied in [`QUOTA_WINDOW`], by [StartStreamEncryption].
///
/// The documentation does not say whether the quota is counted per stream. A similar one, of
/// `UpdateStreamMode`, is.
///
/// [StartStreamEncryption]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html
pub const START_QUOTA: usize = 25;

/// The rolling window of [`START_QUOTA`] and of `MAX_APPLIES_PER_DAY`.
pub const QUOTA_WINDOW: TimeDelta = TimeDelta::hours(24);

/// How a call changed a stream's encryption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum ChangeKind {
    /// A key was applied.
    Started {
        /// The `KeyId` as the caller gave it: a key ARN, a key ID, an alias name or an alias ARN.
        key_id: String,
    },
    /// Encryption was stopped.
    Stopped,
}

/// A successful call that changed a stream's encryption, as `CloudTrail` recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When AWS completed the call.
    pub at: DateTime<Utc>,
    /// The stream's name.
    pub stream: String,
    /// What.
    pub kind: ChangeKind,
    /// Who.
    pub by: Principal,
    /// The ARN of the role whose credentials were used; absent for a user and a service.
    pub role: Option<String>,
}

/// Who made a change, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// The function itself.
    Ours,
    /// Another principal.
    Theirs,
    /// Nobody knows: the function's role is not known, and a start may have been sent by the
    /// function under earlier settings. It is not evidence against anybody.
    Unknown,
}

impl Change {
    /// Whether a key was applied.
    #[must_use]
    pub fn is_start(&self) -> bool {
        matches!(self.kind, ChangeKind::Started { .. })
    }

    /// Who made the change, given the function's role and, where the role is not known, the key
    /// that it applies.
    #[must_use]
    pub fn author(&self, own_role: Option<&str>, own_key: Option<&str>) -> Author {
        match (own_role, &self.kind) {
            (Some(own), _) if self.role.as_deref() == Some(own) => Author::Ours,
            // The function never stops encryption.
            (Some(_), _) | (None, ChangeKind::Stopped) => Author::Theirs,
            (None, ChangeKind::Started { key_id }) if own_key == Some(key_id) => Author::Ours,
            (None, ChangeKind::Started { .. }) => Author::Unknown,
        }
    }
}

/// `requestParameters` as the caller sent them: the name, the ARN, or both.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    stream_name: Option<String>,
    #[serde(rename = "streamARN")]
    stream_arn: Option<String>,
    key_id: Option<String>,
}

impl Change {
    /// Reads a record; `None` if it is not a successful change of a stream's encryption.
    ///
    /// The stream is never taken from `resources[]`: for a call by name, that holds an ARN with the
    /// name in place of the account.
    #[must_use]
    pub fn read(record: &Value) -> Option<Self> {
        let record = CloudTrailRecord::deserialize(record).ok().filter(|record| record.error_code.is_none())?;
        let Parameters { stream_name, stream_arn, key_id } =
            Parameters::deserialize(record.request_parameters.as_ref()?).ok()?;
        let of_arn = || Some(stream_arn?.parse::<StreamArn>().ok()?.name().to_owned());
        let kind = match record.event_name.as_str() {
            "StartStreamEncryption" => ChangeKind::Started { key_id: key_id.unwrap_or_default() },
            "StopStreamEncryption" => ChangeKind::Stopped,
            _ => return None,
        };
        Some(Self {
            at: record.at()?,
            stream: stream_name.or_else(of_arn)?,
            kind,
            by: record.principal(),
            role: record.role().map(str::to_owned),
        })
    }
}

/// A change of a stream's encryption by another principal, which may contest the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForeignChange {
    /// When AWS completed the call.
    pub at: DateTime<Utc>,
    /// What.
    #[serde(rename = "deed")]
    pub kind: ChangeKind,
    /// Who.
    pub by: Principal,
    /// When the function applied the key in the last 24 hours, as far as the invocation knew that
    /// deferred the stream.
    #[serde(default)]
    pub applied: Vec<DateTime<Utc>>,
    /// Whether the delay before the next application is over.
    #[serde(default, rename = "rested")]
    pub delay_served: bool,
}

impl ForeignChange {
    /// A change that may have been made after the function applied the key at `at`; by whom is not
    /// known.
    #[must_use]
    pub fn unknown(at: DateTime<Utc>) -> Self {
        Self { at, kind: ChangeKind::Stopped, by: Principal::default(), applied: Vec::new(), delay_served: false }
    }
}

impl From<&Change> for ForeignChange {
    fn from(change: &Change) -> Self {
        Self {
            at: change.at,
            kind: change.kind.clone(),
            by: change.by.clone(),
            applied: Vec::new(),
            delay_served: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "arn:aws:iam::111122223333:role/enforcer";

    fn stream() -> StreamArn {
        "arn:aws:kinesis:us-east-1:111122223333:stream/orders".parse().expect("an ARN")
    }

    #[test]
    fn records_are_read_whoever_is_named_however_and_failed_calls_are_none() {
        let record = |name: &str, parameters: Value, error: Value| {
            serde_json::json!({"eventName": name, "eventTime": "2026-11-24T11:00:00Z", "requestParameters": parameters, "errorCode": error,
                "userIdentity": {"arn": "arn:aws:sts::1:assumed-role/enforcer/x", "sessionContext": {"sessionIssuer": {"arn": OWN}}},
                "resources": [{"ARN": "arn:aws:kinesis:us-east-1:orders:stream/null"}]})
        };
        let by_name = serde_json::json!({"streamName": "orders", "keyId": "alias/a"});
        let by_arn = serde_json::json!({"streamARN": stream().as_str()});
        let read = Change::read(&record("StartStreamEncryption", by_name.clone(), Value::Null)).expect("a change");
        assert_eq!(
            (read.stream.as_str(), &read.kind, read.role.as_deref()),
            ("orders", &ChangeKind::Started { key_id: "alias/a".to_owned() }, Some(OWN))
        );
        assert_eq!(
            Change::read(&record("StopStreamEncryption", by_arn, Value::Null)).expect("a change").stream,
            "orders"
        );
        assert_eq!(
            Change::read(&record("StopStreamEncryption", by_name.clone(), "ResourceInUseException".into())),
            None
        );
        assert_eq!(Change::read(&record("StopStreamEncryption", Value::Null, Value::Null)), None);
        assert_eq!(Change::read(&record("CreateStream", by_name, Value::Null)), None);
    }
}
