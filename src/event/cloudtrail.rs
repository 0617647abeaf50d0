//! Calls of the Kinesis API, as CloudTrail records them.
//!
//! Real records have three pitfalls. `requestParameters` holds the stream's name or its ARN, as the
//! caller sent it, and is `null` for a denied call. For a call by name, `resources[]` holds the
//! *stream name* in the place of the account, so it is never read. `userIdentity` has a
//! `sessionContext` for roles only.
//!
//! Source: CloudTrail User Guide, [*CloudTrail record contents*][record].
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

/// The `detail-type` of an API call.
pub(super) const API_CALL: &str = "AWS API Call via CloudTrail";
/// The `detail-type` of an action that a service took by itself.
pub(super) const SERVICE_EVENT: &str = "AWS Service Event via CloudTrail";

/// The fields of a record that are read here. The type in `aws_lambda_events` has no `errorCode`,
/// and requires fields that service events lack.
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
    /// The call that `event` records, if it succeeded.
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
                "{} has no request parameters: CloudTrail omits those of denied calls",
                self.event_name
            ))),
            Some(parameters) => typed(parameters)
                .map_err(|reason| Rejection::unknown(format!("invalid parameters of {}: {reason}", self.event_name))),
        }
    }

    /// The account and the Region of a stream that the parameters name without its ARN.
    pub(super) fn place<'a>(&'a self, event: &'a Event) -> Result<(&'a str, &'a str), Rejection> {
        let account = self.recipient_account_id.as_deref().or(event.account.as_deref());
        let region = self.aws_region.as_deref().or(event.region.as_deref());
        account
            .zip(region)
            .ok_or_else(|| Rejection::unknown(format!("{} has no account or no Region", self.event_name)))
    }

    /// The role whose credentials were used. IAM users, the root user and AWS services have none.
    fn role(&self) -> Option<&str> {
        self.user_identity.as_ref()?.session_context.as_ref()?.session_issuer.as_ref()?.arn.as_deref()
    }
}

/// What the user agents and source addresses of infrastructure-as-code tools contain.
/// `CloudFormation` puts its own name in both, and in `invokedBy`.
const INFRASTRUCTURE_AS_CODE: [&str; 4] = ["terraform/", "opentofu/", "pulumi", "cloudformation.amazonaws.com"];

/// Whether an infrastructure-as-code tool made the call, which decides about the grace period.
///
/// A tool gets the grace period whichever of these calls it made. `Other` is concluded from
/// `CreateStream` only: the principal that stopped the encryption need not have created the stream.
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
        // "AWS Internal" is a service that acts for an unknown principal.
        "CreateStream"
            if invoked_by.is_none() && call.user_agent.as_deref().is_some_and(|agent| agent != "AWS Internal") =>
        {
            Some(Actor::Other)
        }
        _ => None,
    }
}

/// `streamName` and `streamARN`, as the caller sent them: one or both.
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
        // Whoever called it: the function never stops encryption, so a call by its own role comes
        // from somebody else with its credentials.
        "StopStreamEncryption" => TriggerKind::EncryptionStopped,
        "StartStreamEncryption" if call.role().is_some_and(|role| own_roles.iter().any(|own| own == role)) => {
            return Err(Rejection::ignored("StartStreamEncryption was called by this function itself"));
        }
        "StartStreamEncryption" => TriggerKind::EncryptionChanged,
        "AddTagsToStream" | "RemoveTagsFromStream" | "TagResource" | "UntagResource" => TriggerKind::TagsChanged,
        other => return Err(Rejection::ignored(format!("{other} does not affect the encryption of a stream"))),
    };
    let arn =
        if matches!(call.name(), "TagResource" | "UntagResource") { tagged(&call)? } else { named(&call, event)? };
    // A call on another account's stream is recorded in both accounts; the owner's function is the
    // one to act.
    if let Some(account) = event.account.as_deref()
        && arn.account() != account
    {
        return Err(Rejection::unknown(format!(
            "{} names {arn}, but the event is from account {account}",
            call.name()
        )));
    }
    Ok((kind, Scope::Streams(vec![StreamRef::Arn(arn)])))
}

fn tagged(call: &Call) -> Result<StreamArn, Rejection> {
    let ResourceParameters { resource_arn } = call.parameters()?;
    let Some(resource) = resource_arn else {
        return Err(Rejection::unknown(format!("{} has no resourceARN", call.name())));
    };
    resource
        .parse()
        .map_err(|_| Rejection::ignored(format!("{} names {resource:?}, which is not a stream", call.name())))
}

fn named(call: &Call, event: &Event) -> Result<StreamArn, Rejection> {
    let StreamParameters { stream_name, stream_arn } = call.parameters()?;
    match (stream_name, stream_arn) {
        (None, None) => Err(Rejection::unknown(format!("{} has neither a streamName nor a streamARN", call.name()))),
        (Some(name), None) => {
            let (account, region) = call.place(event)?;
            Ok(StreamArn::build(region, account, &name.parse::<StreamName>()?)?)
        }
        (name, Some(arn)) => {
            let arn: StreamArn = arn.parse()?;
            match name {
                Some(name) if name != arn.name() => Err(Rejection::unknown(format!(
                    "{} has the streamName {name:?}, which is not that of the streamARN {arn}",
                    call.name()
                ))),
                _ => Ok(arn),
            }
        }
    }
}

/// An action that a service took by itself. KMS reports rotations and deletions with events of its
/// own, too, which are more reliable: a trail may exclude KMS events.
pub(super) fn service_event(event: &Event) -> Parsed {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Record {
        event_name: String,
    }
    let Record { event_name } = detail(event)?;
    Err(Rejection::ignored(match event_name.as_str() {
        "RotateKey" => "RotateKey is ignored: the event \"KMS CMK Rotation\" reports the same rotation".to_owned(),
        "DeleteKey" => "DeleteKey is ignored: the event \"KMS CMK Deletion\" reports the same deletion".to_owned(),
        other => format!("{other} needs no action"),
    }))
}
