//! One record of CloudTrail, as events and the history hold it.
//!
//! Real records have three pitfalls. `requestParameters` holds the stream's name or its ARN, as the
//! caller sent it, and is `null` for a denied call. For a call by name, `resources[]` holds the
//! *stream name* in the place of the account, so it is never read. `userIdentity` has a
//! `sessionContext` for roles only.
//!
//! Source: CloudTrail User Guide, [*CloudTrail record contents*][record].
//!
//! [record]: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::iac::IacTool;

/// Who made a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Principal {
    /// The ARN of the user or of the role's session; the service's name if a service made the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// The user agent: it shows the tool that made the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

/// The fields of a record that are read. The type in `aws_lambda_events` has no `errorCode`, and
/// requires fields that service events lack.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloudTrailRecord {
    /// The name of the API operation.
    pub event_name: String,
    event_time: Option<String>,
    /// The error code of a call that failed.
    pub error_code: Option<String>,
    /// The parameters as the caller sent them.
    pub request_parameters: Option<Value>,
    /// The Region of the call.
    pub aws_region: Option<String>,
    /// The account that the record was delivered to.
    pub recipient_account_id: Option<String>,
    user_identity: Option<Value>,
    user_agent: Option<String>,
    #[serde(rename = "sourceIPAddress")]
    source: Option<String>,
}

impl CloudTrailRecord {
    /// When AWS completed the call.
    #[must_use]
    pub fn at(&self) -> Option<DateTime<Utc>> {
        self.event_time.as_deref()?.parse().ok()
    }

    /// The ARN of the role whose credentials were used. IAM users, the root user and AWS services
    /// have none.
    #[must_use]
    pub fn role(&self) -> Option<&str> {
        self.identity("/sessionContext/sessionIssuer/arn")
    }

    /// Who made the call; a service by its name.
    #[must_use]
    pub fn principal(&self) -> Principal {
        let arn = self.identity("/arn").or_else(|| self.invoked_by()).or_else(|| self.identity("/principalId"));
        Principal { arn: arn.map(str::to_owned), user_agent: self.user_agent.clone() }
    }

    /// The infrastructure-as-code tool that made the call, if one did.
    #[must_use]
    pub fn tool(&self) -> Option<IacTool> {
        let names = [self.user_agent.as_deref(), self.source.as_deref(), self.invoked_by()];
        names.into_iter().flatten().find_map(IacTool::named_in)
    }

    /// Whether the caller made the call itself and says with what: neither a service made it on
    /// somebody's behalf nor is the user agent missing. "AWS Internal" is a service that acts for
    /// an unknown principal.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.invoked_by().is_none() && self.user_agent.as_deref().is_some_and(|agent| agent != "AWS Internal")
    }

    fn invoked_by(&self) -> Option<&str> {
        self.identity("/invokedBy")
    }

    fn identity(&self, pointer: &str) -> Option<&str> {
        self.user_identity.as_ref()?.pointer(pointer)?.as_str()
    }
}
