//! A call as the account keeps it for tests.

use chrono::{DateTime, Utc};
use serde_json::Value;

/// One call that arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The service's signing name, such as `kinesis`, `kms` or `sqs`.
    pub service: &'static str,
    /// The operation's name in the API.
    pub operation: String,
    /// The stream that the call named, by name or by ARN.
    pub stream: Option<String>,
    /// The fields of the request.
    pub request: Value,
    /// `Ok` if AWS carried the call out, otherwise the error code. `ConnectionDropped` if AWS never
    /// received the call.
    pub result: Result<(), String>,
    /// Whether the caller received an answer.
    pub answered: bool,
    /// The access key that signed the call.
    pub access_key: String,
    /// When AWS carried the call out or refused it.
    pub at: DateTime<Utc>,
}
