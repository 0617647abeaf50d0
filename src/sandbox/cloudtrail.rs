//! Records of calls: in CloudTrail's event history, and as events on the account's event bus.
//!
//! A record has the fields of CloudTrail's [record contents]. Its details, oddities included, are
//! those of recordings of 2026-09-19 for Kinesis and of the [log entries] in the KMS developer
//! guide.
//!
//! [record contents]: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
//! [log entries]: https://docs.aws.amazon.com/kms/latest/developerguide/understanding-kms-entries.html

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::arn::arn_of;
use super::identity::{Caller, Identity};
use super::input::{Input, camel};
use super::model::{HistoryRecord, Model, RecordIds, ScriptedCall};
use super::service_error::ServiceError;

/// The operations that are recorded: those that change something.
const RECORDED: [&str; 20] = [
    "AddTagsToStream",
    "CancelKeyDeletion",
    "ConnectCustomKeyStore",
    "CreateAlias",
    "CreateKey",
    "CreateStream",
    "DeleteAlias",
    "DeleteStream",
    "DisableKey",
    "DisconnectCustomKeyStore",
    "EnableKey",
    "RemoveTagsFromStream",
    "RotateKeyOnDemand",
    "ScheduleKeyDeletion",
    "StartStreamEncryption",
    "StopStreamEncryption",
    "UpdateAlias",
    "UpdateCustomKeyStore",
    "IncreaseStreamRetentionPeriod",
    "UpdateShardCount",
];

/// What a record shows of a call.
pub(crate) struct RecordedCall<'a> {
    pub(crate) service: &'a str,
    pub(crate) operation: &'a str,
    pub(crate) input: Input<'a>,
    pub(crate) result: &'a Result<Value, ServiceError>,
    pub(crate) caller: &'a Caller,
    pub(crate) at: DateTime<Utc>,
}

/// Records the call if its operation is in [`RECORDED`].
pub(crate) fn record(model: &mut Model, call: &RecordedCall<'_>) {
    if !RECORDED.contains(&call.operation) {
        return;
    }
    let ids = model.record_ids();
    publish(model, call, &ids);
    if call.operation == "RotateKeyOnDemand" && call.result.is_ok() {
        let event = rotation(model, call);
        model.events.extend(event);
    }
}

/// Records a call of KMS that Kinesis made for `call`'s caller. The record has the caller's identity,
/// and the service in three places, like those of [other services' calls]; no record of Kinesis is
/// documented. `EventBridge` delivers it to rules that ask for [read-only events].
///
/// [other services' calls]: https://docs.aws.amazon.com/kms/latest/developerguide/ct-generatedatakey.html
/// [read-only events]: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html
pub(crate) fn record_by_kinesis(model: &mut Model, call: &RecordedCall<'_>) {
    const KINESIS: &str = "kinesis.amazonaws.com";
    let ids = model.record_ids();
    let mut detail = detail(model, call, &ids);
    detail["userIdentity"]["invokedBy"] = json!(KINESIS);
    detail["sourceIPAddress"] = json!(KINESIS);
    detail["userAgent"] = json!(KINESIS);
    detail["readOnly"] = json!(true);
    if let Some(members) = detail.as_object_mut() {
        members.remove("tlsDetails");
    }
    publish_detail(model, call, &ids, detail);
}

/// Records the calls that scripted actions have queued in the model.
pub(crate) fn record_scripted(model: &mut Model) {
    for call in std::mem::take(&mut model.unrecorded) {
        let ScriptedCall { operation, stream_arn, key_id, by, result, at, ids } = call;
        let request = json!({ "EncryptionType": "KMS", "KeyId": key_id, "StreamARN": stream_arn });
        let Value::Object(input) = request else { continue };
        let caller = Caller {
            identity: by,
            access_key: "ASIAELSEWHERE0000000".to_owned(),
            user_agent: "aws-cli/2.36.28".to_owned(),
        };
        let result = result.map(|()| Value::Null);
        let call =
            RecordedCall { service: "kinesis", operation, input: Input(&input), result: &result, caller: &caller, at };
        publish(model, &call, &ids);
    }
}

/// Adds records of calls that were denied to the event history, of [`RECORDED`] calls that change
/// encryption in turn: what somebody without any permission can fill it with. The calls themselves
/// and their events are left out.
pub(crate) fn flood(model: &mut Model, by: &Identity, records: usize, at: DateTime<Utc>) {
    let caller = Caller {
        identity: by.clone(),
        access_key: "ASIAELSEWHERE0000000".to_owned(),
        user_agent: "aws-cli/2.36.28".to_owned(),
    };
    let no_input = Map::new();
    for operation in ["StartStreamEncryption", "StopStreamEncryption"].into_iter().cycle().take(records) {
        let message = format!("the caller is not authorized to perform: kinesis:{operation}");
        let result = Err(ServiceError::new("AccessDeniedException", message));
        let (service, input) = ("kinesis", Input(&no_input));
        let call = RecordedCall { service, operation, input, result: &result, caller: &caller, at };
        let ids = model.record_ids();
        let detail = detail(model, &call, &ids);
        model.history.push(HistoryRecord { at, detail });
    }
}

fn publish(model: &mut Model, call: &RecordedCall<'_>, ids: &RecordIds) {
    let detail = detail(model, call, ids);
    publish_detail(model, call, ids, detail);
}

fn publish_detail(model: &mut Model, call: &RecordedCall<'_>, ids: &RecordIds, detail: Value) {
    model.events.push(envelope(model, &ids.event, call, "AWS API Call via CloudTrail", &[], &detail));
    model.history.push(HistoryRecord { at: call.at, detail });
}

fn envelope(
    model: &Model,
    id: &str,
    call: &RecordedCall<'_>,
    detail_type: &str,
    resources: &[&str],
    detail: &Value,
) -> Value {
    json!({
        "version": "0",
        "id": id,
        "detail-type": detail_type,
        "source": format!("aws.{}", call.service),
        "account": model.account,
        "time": seconds(call.at),
        "region": model.region,
        "resources": resources,
        "detail": detail,
    })
}

fn detail(model: &Model, call: &RecordedCall<'_>, ids: &RecordIds) -> Value {
    let RecordedCall { service, operation, input, result, caller, at } = call;
    let mut detail = json!({
        "eventVersion": "1.11",
        "userIdentity": user_identity(model, caller, *at),
        "eventTime": seconds(*at),
        "eventSource": format!("{service}.amazonaws.com"),
        "eventName": operation,
        "awsRegion": model.region,
        "sourceIPAddress": "192.0.2.1",
        "userAgent": caller.user_agent,
        "requestParameters": camel_members(input.0),
        "responseElements": result.as_ref().map_or(Value::Null, |answer| response_elements(operation, answer)),
        "requestID": ids.request,
        "eventID": ids.record,
        "readOnly": false,
        "resources": resources(model, call),
        "eventType": "AwsApiCall",
        "managementEvent": true,
        "recipientAccountId": model.account,
        "eventCategory": "Management",
        "tlsDetails": {
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_128_GCM_SHA256",
            "clientProvidedHostHeader": format!("{service}.{}.amazonaws.com", model.region),
        },
    });
    if let (Err(refusal), Some(members)) = (result, detail.as_object_mut()) {
        let denied = refusal.code == "AccessDeniedException";
        // The caller sees AccessDeniedException, the record AccessDenied, and the record leaves out
        // the request parameters.
        members.insert("errorCode".to_owned(), json!(if denied { "AccessDenied" } else { &refusal.code }));
        members.insert("errorMessage".to_owned(), json!(refusal.message));
        if denied {
            members.insert("requestParameters".to_owned(), Value::Null);
        }
    }
    detail
}

/// The [userIdentity element] of a record.
///
/// [userIdentity element]: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
fn user_identity(model: &Model, caller: &Caller, now: DateTime<Utc>) -> Value {
    let account = &model.account;
    let partition = crate::domain::arn::partition_of(&model.region);
    match &caller.identity {
        Identity::User { name } => json!({
            "type": "IAMUser",
            "principalId": caller.identity.principal_id(),
            "arn": caller.identity.arn(&model.region, account),
            "accountId": account,
            "accessKeyId": caller.access_key,
            "userName": name.rsplit('/').next(),
        }),
        Identity::Role { name, .. } => {
            let plain = name.rsplit('/').next().unwrap_or_default();
            json!({
                "type": "AssumedRole",
                "principalId": caller.identity.principal_id(),
                "arn": caller.identity.arn(&model.region, account),
                "accountId": account,
                "accessKeyId": caller.access_key,
                "sessionContext": {
                    "sessionIssuer": {
                        "type": "Role",
                        "principalId": "AROAEXAMPLE",
                        "arn": format!("arn:{partition}:iam::{account}:role/{name}"),
                        "accountId": account,
                        "userName": plain,
                    },
                    "webIdFederationData": {},
                    "attributes": { "creationDate": seconds(now), "mfaAuthenticated": "false" },
                },
            })
        }
    }
}

/// The fields of a request as CloudTrail writes them: as sent, with the first character in lower
/// case. The keys of tags keep theirs.
fn camel_members(members: &Map<String, Value>) -> Value {
    let renamed = members.iter().map(|(member, value)| {
        let value = match value {
            Value::Object(nested) if member != "Tags" => camel_members(nested),
            other => other.clone(),
        };
        (camel(member), value)
    });
    Value::Object(renamed.collect())
}

/// `responseElements`, which is null for most operations.
fn response_elements(operation: &str, answer: &Value) -> Value {
    match (operation, answer) {
        ("ScheduleKeyDeletion", Value::Object(members)) => {
            let mut shown = camel_members(members);
            if let (Some(date), Some(members)) =
                (members.get("DeletionDate").and_then(Value::as_i64), shown.as_object_mut())
                && let Some(date) = DateTime::from_timestamp(date, 0)
            {
                // The developer guide shows a 24-hour time with AM or PM:
                // https://docs.aws.amazon.com/kms/latest/developerguide/ct-schedule-key-deletion.html
                members.insert("deletionDate".to_owned(), json!(date.format("%b %-d, %Y %H:%M:%S %p").to_string()));
                members.remove("pendingWindowInDays");
            }
            shown
        }
        (
            "UpdateShardCount"
            | "IncreaseStreamRetentionPeriod"
            | "CancelKeyDeletion"
            | "RotateKeyOnDemand"
            | "CreateKey",
            Value::Object(members),
        ) => camel_members(members),
        _ => Value::Null,
    }
}

/// The `resources` of a record. If the call names a stream by name, the ARN is malformed (recorded
/// on 2026-09-19), so never read a stream from it.
fn resources(model: &Model, call: &RecordedCall<'_>) -> Value {
    let RecordedCall { service, operation, input, result, caller: _, at } = *call;
    let text = |member| input.0.get(member).and_then(Value::as_str);
    if service == "kinesis" {
        return match (text("StreamARN"), text("StreamName")) {
            (Some(arn), _) => {
                json!([{ "accountId": arn.split(':').nth(4), "type": "AWS::Kinesis::Stream", "ARN": arn }])
            }
            (None, Some(name)) => {
                let arn = arn_of("kinesis", &model.region, name, "stream/null");
                json!([{ "type": "AWS::Kinesis::Stream", "ARN": arn }])
            }
            (None, None) => Value::Null,
        };
    }
    let of = |arn: String| json!({ "accountId": model.account, "type": "AWS::KMS::Key", "ARN": arn });
    let made = result.as_ref().ok().and_then(|answer| answer.pointer("/KeyMetadata/Arn")).and_then(Value::as_str);
    let alias = text("AliasName").map(|alias| model.alias_arn(alias));
    let named = text("TargetKeyId").or_else(|| text("KeyId")).or(made);
    let key = named.and_then(|key| model.find_key(key, at).ok()).map(|key| key.arn.clone());
    let key = key.or_else(|| {
        // DeleteAlias names no key. The record shows the key that the alias pointed to.
        alias.as_ref().and(text("AliasName")).and_then(|alias| model.alias_before(alias))
    });
    // CreateAlias lists the key first, UpdateAlias and DeleteAlias the alias.
    let order = if operation == "CreateAlias" { [key, alias] } else { [alias, key] };
    Value::Array(order.into_iter().flatten().map(of).collect())
}

/// The [rotation event] that KMS itself sends, in its form since 2025.
///
/// [rotation event]: https://docs.aws.amazon.com/kms/latest/developerguide/kms-events.html
fn rotation(model: &mut Model, call: &RecordedCall<'_>) -> Option<Value> {
    let key = model.find_key(call.input.0.get("KeyId")?.as_str()?, call.at).ok()?.clone();
    let detail = json!({
        "key-id": key.id,
        "key-origin": key.created_as.origin,
        "rotation-type": "ON_DEMAND",
        "previous-key-material-id": key.previous_material,
        "current-key-material-id": key.material,
    });
    let id = model.guid();
    Some(envelope(model, &id, call, "KMS CMK Rotation", &[&key.arn], &detail))
}

fn seconds(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
