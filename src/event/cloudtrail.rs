//! Calls of the Kinesis API that CloudTrail recorded.
//!
//! Three traps, each met in recordings of the real thing. `requestParameters` holds the stream's
//! name or its ARN just as the caller sent it, and is `null` for a denied call. `resources[]` has,
//! for a call by name, the *stream name* where the account belongs, so that nothing is ever taken
//! from it. And `userIdentity` has a `sessionContext` for roles only.
//!
//! Source: [CloudTrail record contents][record].
//!
//! [record]: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::detail::{Event, detail};
use super::parsed::{Parsed, Rejection, typed};
use super::request::{Scope, TriggerKind};
use crate::domain::grace::Actor;
use crate::domain::stream::{StreamArn, StreamName, StreamRef};

/// The `detail-type` of what somebody called.
pub(super) const API_CALL: &str = "AWS API Call via CloudTrail";
/// The `detail-type` of what a service did by itself.
pub(super) const SERVICE_EVENT: &str = "AWS Service Event via CloudTrail";

/// The fields of a record that matter here; `aws_lambda_events` has no `errorCode` and insists on
/// fields that service events lack.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Call {
    event_name: String,
    error_code: Option<String>,
    request_parameters: Option<Value>,
    aws_region: Option<String>,
    recipient_account_id: Option<String>,
    user_identity: Option<UserIdentity>,
    user_agent: Option<String>,
    #[serde(rename = "sourceIPAddress")]
    source: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserIdentity {
    invoked_by: Option<String>,
    session_context: Option<SessionContext>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionContext {
    session_issuer: Option<SessionIssuer>,
}

#[derive(Debug, Deserialize)]
struct SessionIssuer {
    arn: Option<String>,
}

impl Call {
    /// The call that `event` tells of, if it succeeded.
    pub(super) fn succeeded(event: &Event) -> Result<Self, Rejection> {
        let call: Self = detail(event)?;
        match &call.error_code {
            Some(code) => Err(Rejection::ignored(format!("{} failed with {code}", call.event_name))),
            None => Ok(call),
        }
    }

    /// The name of the API operation.
    pub(super) fn name(&self) -> &str {
        &self.event_name
    }

    /// The parameters as the caller sent them.
    pub(super) fn parameters<T: DeserializeOwned>(&self) -> Result<T, Rejection> {
        match &self.request_parameters {
            None => Err(Rejection::ignored(format!(
                "{} without its request parameters: CloudTrail redacts what was denied",
                self.event_name
            ))),
            Some(parameters) => typed(parameters)
                .map_err(|reason| Rejection::unknown(format!("the parameters of {}: {reason}", self.event_name))),
        }
    }

    /// The account and the Region that a bare name in the parameters belongs to.
    pub(super) fn place<'a>(&'a self, event: &'a Event) -> Result<(&'a str, &'a str), Rejection> {
        let account = self.recipient_account_id.as_deref().or(event.account.as_deref());
        let region = self.aws_region.as_deref().or(event.region.as_deref());
        account
            .zip(region)
            .ok_or_else(|| Rejection::unknown(format!("{} without an account or a Region", self.event_name)))
    }

    /// The role whose credentials were used. A user, the account's root and an AWS service have
    /// none.
    fn role(&self) -> Option<&str> {
        self.user_identity.as_ref()?.session_context.as_ref()?.session_issuer.as_ref()?.arn.as_deref()
    }
}

/// What user agents and source addresses of infrastructure as code contain. `CloudFormation` puts
/// its own name in both, and in `invokedBy`.
const INFRASTRUCTURE_AS_CODE: [&str; 4] = ["terraform/", "opentofu/", "pulumi", "cloudformation.amazonaws.com"];

/// Who made the call, as far as it matters for waiting.
///
/// A tool is waited for whatever it called. That somebody is no tool is known of a stream's creator
/// only: who stopped its encryption need not have made it.
pub(super) fn actor(event: &Event) -> Option<Actor> {
    let call = Call::succeeded(event).ok()?;
    let invoked_by = call.user_identity.as_ref().and_then(|identity| identity.invoked_by.as_deref());
    let named: Vec<_> =
        [call.user_agent.as_deref(), call.source.as_deref(), invoked_by].into_iter().flatten().collect();
    let is_tool = |text: &str| {
        let text = text.to_ascii_lowercase();
        INFRASTRUCTURE_AS_CODE.iter().any(|tool| text.contains(tool))
    };
    match call.name() {
        "CreateStream" | "StartStreamEncryption" | "StopStreamEncryption" if named.iter().any(|text| is_tool(text)) => {
            Some(Actor::InfrastructureAsCode)
        }
        // "AWS Internal" is a service that acts for somebody, and says no more.
        "CreateStream"
            if invoked_by.is_none() && call.user_agent.as_deref().is_some_and(|agent| agent != "AWS Internal") =>
        {
            Some(Actor::Other)
        }
        _ => None,
    }
}

/// `streamName` and `streamARN`, as the caller sent them: one, or both.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StreamParameters {
    stream_name: Option<String>,
    #[serde(rename = "streamARN")]
    stream_arn: Option<String>,
}

#[derive(Deserialize)]
struct ResourceParameters {
    #[serde(rename = "resourceARN")]
    resource_arn: Option<String>,
}

pub(super) fn stream_call(event: &Event, own_roles: &[String]) -> Parsed {
    let call = Call::succeeded(event)?;
    let kind = match call.name() {
        "CreateStream" => TriggerKind::StreamCreated,
        // By whomever: the function itself never stops encryption, so its own role doing so is
        // somebody else with its credentials.
        "StopStreamEncryption" => TriggerKind::EncryptionStopped,
        "StartStreamEncryption" if call.role().is_some_and(|role| own_roles.iter().any(|own| own == role)) => {
            return Err(Rejection::ignored("StartStreamEncryption by this function itself"));
        }
        "StartStreamEncryption" => TriggerKind::EncryptionChanged,
        "AddTagsToStream" | "RemoveTagsFromStream" | "TagResource" | "UntagResource" => TriggerKind::TagsChanged,
        other => return Err(Rejection::ignored(format!("{other} concerns no stream's encryption"))),
    };
    let arn =
        if matches!(call.name(), "TagResource" | "UntagResource") { tagged(&call)? } else { named(&call, event)? };
    // A call on another account's stream is recorded in both accounts; the owner's function is the
    // one to act.
    if let Some(account) = event.account.as_deref()
        && arn.account() != account
    {
        return Err(Rejection::unknown(format!("{} on {arn}, in an event of account {account}", call.name())));
    }
    Ok((kind, Scope::Streams(vec![StreamRef::Arn(arn)])))
}

fn tagged(call: &Call) -> Result<StreamArn, Rejection> {
    let ResourceParameters { resource_arn } = call.parameters()?;
    let Some(resource) = resource_arn else {
        return Err(Rejection::unknown(format!("{} without a resourceARN", call.name())));
    };
    resource.parse().map_err(|_| Rejection::ignored(format!("{} on {resource:?}, which is no stream", call.name())))
}

fn named(call: &Call, event: &Event) -> Result<StreamArn, Rejection> {
    let StreamParameters { stream_name, stream_arn } = call.parameters()?;
    match (stream_name, stream_arn) {
        (None, None) => Err(Rejection::unknown(format!("{} without streamName and streamARN", call.name()))),
        (Some(name), None) => {
            let (account, region) = call.place(event)?;
            Ok(StreamArn::build(region, account, &name.parse::<StreamName>()?)?)
        }
        (name, Some(arn)) => {
            let arn: StreamArn = arn.parse()?;
            match name {
                Some(name) if name != arn.name() => Err(Rejection::unknown(format!(
                    "{} with the streamName {name:?} and the streamARN {arn}",
                    call.name()
                ))),
                _ => Ok(arn),
            }
        }
    }
}

/// What a service did by itself. KMS tells of a rotation and of a deletion also directly, and more
/// reliably: trails may leave KMS out.
pub(super) fn service_event(event: &Event) -> Parsed {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Record {
        event_name: String,
    }
    let Record { event_name } = detail(event)?;
    Err(Rejection::ignored(match event_name.as_str() {
        "RotateKey" => "RotateKey: the direct event (KMS CMK Rotation) speaks for both".to_owned(),
        "DeleteKey" => "DeleteKey: the direct event (KMS CMK Deletion) speaks for both".to_owned(),
        other => format!("{other} asks for nothing"),
    }))
}
