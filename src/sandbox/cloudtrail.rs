//! What AWS tells `EventBridge` about calls: `CloudTrail` records with all their oddities, and the
//! direct events of KMS.
//!
//! The shapes are those of records of 2026-09-19 (Kinesis) and of the KMS Developer Guide's log
//! entries.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::arn::arn_of;
use super::identity::{Caller, Identity};
use super::input::{Input, camel};
use super::model::{HistoryRecord, Model, RecordIds, ScriptedCall};
use super::service_error::ServiceError;

/// The calls that change something, and are recorded as write events.
const RECORDED: [&str; 17] = [
    "AddTagsToStream",
    "CancelKeyDeletion",
    "CreateAlias",
    "CreateKey",
    "CreateStream",
    "DeleteAlias",
    "DeleteStream",
    "DisableKey",
    "EnableKey",
    "RemoveTagsFromStream",
    "RotateKeyOnDemand",
    "ScheduleKeyDeletion",
    "StartStreamEncryption",
    "StopStreamEncryption",
    "UpdateAlias",
    "IncreaseStreamRetentionPeriod",
    "UpdateShardCount",
];

/// A call, as far as a record shows it.
pub(crate) struct RecordedCall<'a> {
    pub(crate) service: &'a str,
    pub(crate) operation: &'a str,
    pub(crate) input: Input<'a>,
    pub(crate) result: &'a Result<Value, ServiceError>,
    pub(crate) caller: &'a Caller,
    pub(crate) at: DateTime<Utc>,
}

/// Records a call, if it is one that changes something: in the event history, and as events on the
/// account's bus.
pub(crate) fn record(model: &mut Model, call: &RecordedCall<'_>) {
    if !RECORDED.contains(&call.operation) {
        return;
    }
    let ids = model.record_ids();
    publish(model, call, ids);
    if call.operation == "RotateKeyOnDemand" && call.result.is_ok() {
        let event = rotation(model, call);
        model.events.extend(event);
    }
}

/// Records the calls that scripted actions have made since the last time.
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
        publish(model, &call, ids);
    }
}

fn publish(model: &mut Model, call: &RecordedCall<'_>, ids: RecordIds) {
    let detail = detail(model, call, &ids);
    model.history.push(HistoryRecord { at: call.at, detail: detail.clone() });
    let event = envelope(model, ids.event, call, "AWS API Call via CloudTrail", &[], detail);
    model.events.push(event);
}

fn envelope(
    model: &Model,
    id: String,
    call: &RecordedCall<'_>,
    detail_type: &str,
    resources: &[&str],
    detail: Value,
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

fn user_identity(model: &Model, caller: &Caller, now: DateTime<Utc>) -> Value {
    let account = &model.account;
    let partition = crate::domain::arn::partition_of(&model.region);
    match &caller.identity {
        Identity::User { name } => json!({
            "type": "IAMUser",
            "principalId": "AIDAEXAMPLE",
            "arn": format!("arn:{partition}:iam::{account}:user/{name}"),
            "accountId": account,
            "accessKeyId": caller.access_key,
            "userName": name.rsplit('/').next(),
        }),
        Identity::Role { name, session } => {
            // An assumed-role ARN leaves out the role's path.
            let plain = name.rsplit('/').next().unwrap_or_default();
            json!({
                "type": "AssumedRole",
                "principalId": format!("AROAEXAMPLE:{session}"),
                "arn": format!("arn:{partition}:sts::{account}:assumed-role/{plain}/{session}"),
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

/// Request members as `CloudTrail` writes them: as they were sent, never made uniform, with a small
/// first letter. Tags keep their keys.
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

/// Most calls that change something show no response at all.
fn response_elements(operation: &str, answer: &Value) -> Value {
    match (operation, answer) {
        ("ScheduleKeyDeletion", Value::Object(members)) => {
            let mut shown = camel_members(members);
            if let (Some(date), Some(members)) =
                (members.get("DeletionDate").and_then(Value::as_i64), shown.as_object_mut())
                && let Some(date) = DateTime::from_timestamp(date, 0)
            {
                // A date for people, with 24 hours and AM or PM: so the KMS Developer Guide shows
                // it.
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

/// The `resources` of a record. For a stream given by name it is nonsense, recorded as such on
/// 2026-09-19: never derive a stream from it.
fn resources(model: &Model, call: &RecordedCall<'_>) -> Value {
    let RecordedCall { service, operation, input, result, caller: _, at } = *call;
    let text = |member| input.0.get(member).and_then(Value::as_str);
    if service == "kinesis" {
        return match (text("StreamARN"), text("StreamName")) {
            (Some(arn), _) => {
                json!([{ "accountId": arn.split(':').nth(4), "type": "AWS::Kinesis::Stream", "ARN": arn }])
            }
            (None, Some(name)) => {
                json!([{ "type": "AWS::Kinesis::Stream", "ARN": arn_of("kinesis", &model.region, name, "stream/null") }])
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
        // DeleteAlias names no key; the record shows the one that the alias pointed to.
        alias.as_ref().and(text("AliasName")).and_then(|alias| model.alias_before(alias))
    });
    // CreateAlias shows the key first, UpdateAlias and DeleteAlias the alias.
    let order = if operation == "CreateAlias" { [key, alias] } else { [alias, key] };
    Value::Array(order.into_iter().flatten().map(of).collect())
}

/// The event that KMS itself sends about a rotation, in its form since 2025.
fn rotation(model: &mut Model, call: &RecordedCall<'_>) -> Option<Value> {
    let key = model.find_key(call.input.0.get("KeyId")?.as_str()?, call.at).ok()?.clone();
    let detail = json!({
        "key-id": key.id,
        "key-origin": key.made_as.origin,
        "rotation-type": "ON_DEMAND",
        "previous-key-material-id": key.previous_material,
        "current-key-material-id": key.material,
    });
    let id = model.guid();
    Some(envelope(model, id, call, "KMS CMK Rotation", &[&key.arn], detail))
}

fn seconds(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
