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
use serde::{Deserialize, Deserializer, Serialize};
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
    /// The error code of a call that failed. Some senders add an empty one to a call that
    /// succeeded.
    #[serde(default, deserialize_with = "not_empty")]
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
    #[serde(rename = "sessionCredentialFromConsole")]
    from_console: Option<Value>,
}

/// How the user agents of the console begin, in lower case: the browser's, or its own.
const CONSOLE: [&str; 3] = ["mozilla/", "console.amazonaws.com", "aws console"];

/// What the user agents of programs contain, in lower case. The console's own programs use the SDK,
/// too, and begin with `aws-internal/`.
const SDKS: [&str; 3] = ["boto", "aws-sdk-", "powershell"];

fn not_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()))
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

    /// Whether AWS shows, in one of the three fields in which it does, that the service called
    /// `name` made the call for its caller.
    #[must_use]
    pub fn is_by_service(&self, name: &str) -> bool {
        let shown = [self.invoked_by(), self.source.as_deref(), self.user_agent.as_deref()];
        shown.into_iter().flatten().any(|shown| shown == name)
    }

    /// The infrastructure-as-code tool that made the call, if one did.
    #[must_use]
    pub fn tool(&self) -> Option<IacTool> {
        let names = [self.user_agent.as_deref(), self.source.as_deref(), self.invoked_by()];
        names.into_iter().flatten().find_map(IacTool::named_in)
    }

    /// Whether a person made the call: in the console, or with the AWS CLI.
    ///
    /// There must be evidence, because a program looks much the same. The console's calls have a
    /// browser's or the console's user agent, or come from a [session of the console][record]; that
    /// may also be a script in `CloudShell`, which names its SDK. The AWS CLI is a person's where an
    /// IAM user, the root user or [IAM Identity Center][sso] runs it, and not a role, as in a build
    /// pipeline. "AWS Internal" alone is a service that acts for an unknown principal.
    ///
    /// [record]: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
    /// [sso]: https://docs.aws.amazon.com/singlesignon/latest/userguide/referencingpermissionsets.html
    #[must_use]
    pub fn is_by_person(&self) -> bool {
        let agent = self.user_agent.as_deref().unwrap_or_default().to_ascii_lowercase();
        if self.invoked_by().is_some() || self.tool().is_some() || agent.is_empty() {
            return false;
        }
        let in_cloudshell = agent.contains("exec-env/cloudshell");
        if agent.starts_with("aws-cli/") {
            let runs_elsewhere = agent.contains("exec-env/") && !in_cloudshell;
            return !runs_elsewhere && (self.is_persons() || self.is_from_console());
        }
        let is_script =
            in_cloudshell || !agent.starts_with("aws-internal/") && SDKS.iter().any(|sdk| agent.contains(sdk));
        CONSOLE.iter().any(|console| agent.starts_with(console)) || self.is_from_console() && !is_script
    }

    /// Whether the credentials are usually a person's.
    fn is_persons(&self) -> bool {
        let of_identity_center =
            || self.identity("/arn").is_some_and(|arn| arn.contains(":assumed-role/AWSReservedSSO_"));
        matches!(self.identity("/type"), Some("IAMUser" | "Root" | "IdentityCenterUser")) || of_identity_center()
    }

    /// `sessionCredentialFromConsole`, which is there only where it is true.
    fn is_from_console(&self) -> bool {
        self.from_console.as_ref().is_some_and(|value| value == "true" || value == true)
    }

    fn invoked_by(&self) -> Option<&str> {
        self.identity("/invokedBy")
    }

    fn identity(&self, pointer: &str) -> Option<&str> {
        self.user_identity.as_ref()?.pointer(pointer)?.as_str()
    }
}
