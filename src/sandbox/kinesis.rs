//! Kinesis Data Streams: the operations of its [API] that the program and its tests use.
//!
//! [API]: https://docs.aws.amazon.com/kinesis/latest/APIReference/Welcome.html

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::identity::Caller;
use super::input::{Input, each_text};
use super::model::{Model, Stream};
use super::records::{self, has_shards, shards};
use super::service_error::ServiceError;
use super::stream_input::{ARN_PATTERN, NAME_PATTERN, read_token, selected, write_token};
use crate::domain::stream::{StreamArn, StreamName};

/// The operations that the sandbox supports.
pub(crate) const OPERATIONS: [&str; 18] = [
    "AddTagsToStream",
    "CreateStream",
    "DeleteStream",
    "DescribeStream",
    "DescribeStreamSummary",
    "GetRecords",
    "GetResourcePolicy",
    "GetShardIterator",
    "IncreaseStreamRetentionPeriod",
    "ListShards",
    "ListStreams",
    "ListTagsForStream",
    "PutRecord",
    "PutRecords",
    "RemoveTagsFromStream",
    "StartStreamEncryption",
    "StopStreamEncryption",
    "UpdateShardCount",
];

/// The name of the stream that a request names, without validating the request.
pub(crate) fn named(input: Input<'_>) -> Option<String> {
    let text = |member| input.0.get(member).and_then(Value::as_str);
    let of_arn = || {
        text("StreamARN")
            .or_else(|| text("ResourceARN"))
            .and_then(|arn| arn.split_once("stream/"))
            .map(|(_, name)| name)
    };
    text("StreamName").or_else(of_arn).map(str::to_owned)
}

pub(crate) fn answer(
    model: &mut Model,
    operation: &str,
    input: Input<'_>,
    caller: &Caller,
    now: DateTime<Utc>,
) -> Result<Value, ServiceError> {
    model.limit_rate(operation, now)?;
    match operation {
        "CreateStream" => create_stream(model, input, now),
        "ListStreams" => list_streams(model, input, now),
        "DescribeStream" => describe_with_shards(model, input, now),
        "DescribeStreamSummary" => describe(model, input, now),
        "ListShards" | "PutRecord" | "PutRecords" | "GetShardIterator" | "GetRecords" => {
            records::answer(model, operation, input, caller, now)
        }
        "ListTagsForStream" => list_tags(model, input),
        "AddTagsToStream" => add_tags(model, input),
        "RemoveTagsFromStream" => remove_tags(model, input),
        "StartStreamEncryption" => {
            let name = stream_to_encrypt(model, input)?;
            model.start_encryption(&name, key_of(input)?, now).map(|()| Value::Null)
        }
        "StopStreamEncryption" => {
            let name = stream_to_encrypt(model, input)?;
            model.stop_encryption(&name, now).map(|()| Value::Null)
        }
        "DeleteStream" => {
            let name = selected(model, input)?;
            model.delete_stream(&name, now).map(|()| Value::Null)
        }
        "GetResourcePolicy" => {
            let arn = input.required("ResourceARN", 2048)?;
            let arn: StreamArn = arn.parse().map_err(|_| ServiceError::validation(arn, "resourceARN", ARN_PATTERN))?;
            Ok(json!({ "Policy": model.stream(arn.name())?.policy }))
        }
        "UpdateShardCount" => reshard(model, input, now),
        "IncreaseStreamRetentionPeriod" => {
            let name = selected(model, input)?;
            model.update_retention(&name, now).map(|()| Value::Null)
        }
        _ => Err(ServiceError::new("UnknownOperationException", String::new())),
    }
}

fn key_of(input: Input<'_>) -> Result<&str, ServiceError> {
    input.required("KeyId", 2048)
}

/// The stream whose encryption a request changes. The type's enumeration contains `NONE`, but
/// [StartStreamEncryption] accepts only `KMS`.
///
/// [StartStreamEncryption]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html
fn stream_to_encrypt(model: &Model, input: Input<'_>) -> Result<String, ServiceError> {
    key_of(input)?;
    input.required("EncryptionType", 128)?;
    let encryption = input.one_of("EncryptionType", &["NONE", "KMS"])?;
    let name = selected(model, input)?;
    if encryption == Some("NONE") {
        return Err(ServiceError::invalid_argument("Encryption type cannot be NONE."));
    }
    Ok(name)
}

/// [DescribeStreamSummary]. `OpenShardCount` is absent while CREATING and DELETING, and `KeyId`
/// with encryption type NONE (recorded on 2026-09-19).
///
/// [DescribeStreamSummary]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStreamSummary.html
fn describe(model: &Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    let name = selected(model, input)?;
    let stream = model.stream(&name)?;
    let mut summary = description(model, stream, now);
    summary["ConsumerCount"] = json!(stream.consumers);
    summary["ChannelCount"] = json!(stream.channels);
    summary["QueueCount"] = json!(stream.queues);
    summary["MaxRecordSizeInKiB"] = json!(1024);
    if has_shards(stream, now) {
        summary["OpenShardCount"] = json!(stream.shards);
    }
    Ok(json!({ "StreamDescriptionSummary": summary }))
}

/// What both descriptions of a stream contain.
fn description(model: &Model, stream: &Stream, now: DateTime<Utc>) -> Value {
    let mut description = json!({
        "StreamName": stream.name,
        "StreamARN": model.stream_arn(&stream.name),
        "StreamStatus": stream.status(now),
        "StreamModeDetails": { "StreamMode": mode(stream) },
        "RetentionPeriodHours": stream.retention_hours,
        "StreamCreationTimestamp": timestamp(stream.created),
        "EnhancedMonitoring": [{ "ShardLevelMetrics": [] }],
        "EncryptionType": if stream.key_id.is_some() { "KMS" } else { "NONE" },
    });
    if let Some(key_id) = &stream.key_id {
        description["KeyId"] = json!(key_id);
    }
    description
}

/// [DescribeStream]: the description with a page of shards.
///
/// [DescribeStream]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStream.html
fn describe_with_shards(model: &Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    let limit = input.number("Limit", 1, 10_000)?.unwrap_or(100).min(100);
    let start = input.text("ExclusiveStartShardId")?;
    let name = selected(model, input)?;
    let stream = model.stream(&name)?;
    let (shards, more) = shards(stream, start, limit, now)?;
    let mut description = description(model, stream, now);
    description["Shards"] = shards;
    description["HasMoreShards"] = json!(more);
    Ok(json!({ "StreamDescription": description }))
}

fn mode(stream: &Stream) -> &'static str {
    if stream.on_demand { "ON_DEMAND" } else { "PROVISIONED" }
}

/// Seconds since the epoch. Recorded answers have whole seconds.
fn timestamp(at: DateTime<Utc>) -> Value {
    json!(at.timestamp())
}

/// [ListStreams]: up to 100 names a page.
///
/// [ListStreams]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListStreams.html
fn list_streams(model: &Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    let limit = input.number("Limit", 1, 10_000)?.unwrap_or(100).min(100) as usize;
    let start = match input.text("NextToken")? {
        Some(token) => Some(read_token(token, now)?),
        None => input.text("ExclusiveStartStreamName")?.map(str::to_owned),
    };
    let mut rest = model.streams.values().filter(|stream| start.as_ref().is_none_or(|start| stream.name > *start));
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let more = rest.next().is_some();
    let mut answer = json!({
        "StreamNames": page.iter().map(|stream| stream.name.as_str()).collect::<Vec<_>>(),
        "HasMoreStreams": more,
        "StreamSummaries": page.iter().map(|stream| json!({
            "StreamName": stream.name,
            "StreamARN": model.stream_arn(&stream.name),
            "StreamStatus": stream.status(now),
            "StreamModeDetails": { "StreamMode": mode(stream) },
            "StreamCreationTimestamp": timestamp(stream.created),
        })).collect::<Vec<_>>(),
    });
    if let Some(last) = page.last().filter(|_| more && model.options.next_token)
        && let Some(members) = answer.as_object_mut()
    {
        members.insert("NextToken".to_owned(), json!(write_token(&last.name, now)));
    }
    Ok(answer)
}

fn list_tags(model: &Model, input: Input<'_>) -> Result<Value, ServiceError> {
    let limit = input.number("Limit", 1, 50)?.unwrap_or(50) as usize;
    let start = input.text("ExclusiveStartTagKey")?;
    let name = selected(model, input)?;
    let mut rest = model.stream(&name)?.tags.iter().filter(|(key, _)| start.is_none_or(|start| key.as_str() > start));
    let page: Vec<_> = rest.by_ref().take(limit).map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    Ok(json!({ "Tags": page, "HasMoreTags": rest.next().is_some() }))
}

fn add_tags(model: &mut Model, input: Input<'_>) -> Result<Value, ServiceError> {
    let tags = owned(input.texts("Tags")?);
    if tags.is_empty() {
        return Err(ServiceError::validation("null", "tags", "Member must not be null"));
    }
    let name = selected(model, input)?;
    model.stream_mut(&name)?.tags.extend(tags);
    Ok(Value::Null)
}

fn remove_tags(model: &mut Model, input: Input<'_>) -> Result<Value, ServiceError> {
    let keys = each_text("TagKeys", input.list("TagKeys")?)?;
    let name = selected(model, input)?;
    model.stream_mut(&name)?.tags.retain(|key, _| !keys.contains(&key.as_str()));
    Ok(Value::Null)
}

fn owned(tags: Vec<(&str, &str)>) -> Vec<(String, String)> {
    tags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn create_stream(model: &mut Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    let name = input.required("StreamName", 128)?;
    name.parse::<StreamName>().map_err(|_| ServiceError::validation(name, "streamName", NAME_PATTERN))?;
    let shards = input.number("ShardCount", 1, 100_000)?;
    let empty = Map::new();
    let details = Input(input.object("StreamModeDetails")?.unwrap_or(&empty));
    let on_demand = details.one_of("StreamMode", &["PROVISIONED", "ON_DEMAND"])? == Some("ON_DEMAND");
    if !on_demand && shards.is_none() {
        return Err(ServiceError::validation("null", "shardCount", "Member must not be null"));
    }
    let mut stream = Stream::new(name, now);
    stream.on_demand = on_demand;
    // A new on-demand stream has four shards:
    // https://docs.aws.amazon.com/streams/latest/dev/how-do-i-size-a-stream.html
    stream.shards = shards.filter(|_| !on_demand).unwrap_or(4);
    stream.tags.extend(owned(input.texts("Tags")?));
    model.create_stream(stream, now).map(|()| Value::Null)
}

fn reshard(model: &mut Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    let target = input
        .number("TargetShardCount", 1, 100_000)?
        .ok_or_else(|| ServiceError::validation("null", "targetShardCount", "Member must not be null"))?;
    input.required("ScalingType", 128)?;
    input.one_of("ScalingType", &["UNIFORM_SCALING"])?;
    let name = selected(model, input)?;
    let current = model.stream(&name)?.shards;
    model.reshard(&name, target, now)?;
    Ok(json!({
        "StreamName": name,
        "CurrentShardCount": current,
        "TargetShardCount": target,
        "StreamARN": model.stream_arn(&name),
    }))
}
