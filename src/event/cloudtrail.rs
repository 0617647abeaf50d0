//! Calls of the Kinesis API, as [CloudTrail records](CloudTrailRecord) them.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::detail::{Event, detail};
use super::parsed::{Parsed, Rejection, typed};
use super::request::{Scope, TriggerKind};
use crate::domain::cloudtrail::CloudTrailRecord;
use crate::domain::grace::Actor;
use crate::domain::stream::{StreamArn, StreamName, StreamRef};

/// The `detail-type` of an API call.
pub(super) const API_CALL: &str = "AWS API Call via CloudTrail";
/// The `detail-type` of an action that a service took by itself.
pub(super) const SERVICE_EVENT: &str = "AWS Service Event via CloudTrail";

/// The service of a record of CloudTrail, such as `kinesis`, if `payload` is one.
pub(super) fn service_of_record(payload: &Value) -> Option<&str> {
    let text = |name: &str| payload.get(name).and_then(Value::as_str);
    text("eventName").and(text("eventSource"))?.strip_suffix(".amazonaws.com")
}

/// The `detail-type` of the event in which EventBridge delivers the record.
pub(super) fn detail_type_of_record(record: &Value) -> &'static str {
    if record.get("eventType").is_some_and(|kind| kind == "AwsServiceEvent") { SERVICE_EVENT } else { API_CALL }
}

/// A call, with the record of it.
#[derive(Debug)]
pub(super) struct Call(CloudTrailRecord);

impl Call {
    /// The call that `event` records, if it succeeded.
    pub(super) fn succeeded(event: &Event) -> Result<Self, Rejection> {
        let record: CloudTrailRecord = detail(event)?;
        match &record.error_code {
            Some(code) => Err(Rejection::ignored(format!("{} failed with {code}", record.event_name))),
            None => Ok(Self(record)),
        }
    }

    /// The name of the API operation.
    pub(super) fn name(&self) -> &str {
        &self.0.event_name
    }

    /// The parameters as the caller sent them.
    pub(super) fn parameters<T: DeserializeOwned>(&self) -> Result<T, Rejection> {
        match &self.0.request_parameters {
            None => Err(Rejection::ignored(format!(
                "{} has no request parameters: CloudTrail omits those of denied calls",
                self.name()
            ))),
            Some(parameters) => typed(parameters)
                .map_err(|reason| Rejection::unknown(format!("invalid parameters of {}: {reason}", self.name()))),
        }
    }

    /// The account and the Region of a stream that the parameters name without its ARN.
    pub(super) fn place<'a>(&'a self, event: &'a Event) -> Result<(&'a str, &'a str), Rejection> {
        let account = self.0.recipient_account_id.as_deref().or(event.account.as_deref());
        let region = self.0.aws_region.as_deref().or(event.region.as_deref());
        account.zip(region).ok_or_else(|| Rejection::unknown(format!("{} has no account or no Region", self.name())))
    }
}

/// Whether an infrastructure-as-code tool made the call, which decides about the grace period.
///
/// A tool gets the grace period whichever of these calls it made. `Other` is concluded only from a
/// person's `CreateStream`: any program may go on working on the stream it created, and the
/// principal that stopped the encryption need not have created the stream.
pub(super) fn actor(event: &Event) -> Option<Actor> {
    let call = Call::succeeded(event).ok()?;
    match call.name() {
        "CreateStream" | "StartStreamEncryption" | "StopStreamEncryption" if call.0.tool().is_some() => {
            Some(Actor::InfrastructureAsCode)
        }
        "CreateStream" if call.0.is_by_person() => Some(Actor::Other),
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
        "StartStreamEncryption" if call.0.role().is_some_and(|role| own_roles.iter().any(|own| own == role)) => {
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
