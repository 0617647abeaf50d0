//! Kinesis Data Streams: the operations of its [API] that the program and its tests use.
//!
//! [API]: https://docs.aws.amazon.com/kinesis/latest/APIReference/Welcome.html

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::input::{Input, each_text};
use super::model::{Model, Stream};
use super::service_error::ServiceError;
use crate::domain::stream::{StreamArn, StreamName};

const NAME_PATTERN: &str = "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
const ARN_PATTERN: &str = r"Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\d{12}:stream/\S+";
const SHARD_PATTERN: &str = "Member must satisfy regular expression pattern: shardId-[0-9]{12}";
/// How long a `NextToken` is valid: documented for [ListShards], assumed for `ListStreams`.
///
/// [ListShards]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html
const TOKEN_LIFETIME_MS: i64 = 300_000;

/// The operations that the sandbox supports.
pub(crate) const OPERATIONS: [&str; 15] = [
    "AddTagsToStream",
    "CreateStream",
    "DeleteStream",
    "DescribeStream",
    "DescribeStreamSummary",
    "GetResourcePolicy",
    "IncreaseStreamRetentionPeriod",
    "ListShards",
    "ListStreams",
    "ListTagsForStream",
    "PutRecord",
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
    now: DateTime<Utc>,
) -> Result<Value, ServiceError> {
    model.limit_rate(operation, now)?;
    match operation {
        "CreateStream" => create_stream(model, input, now),
        "ListStreams" => list_streams(model, input, now),
        "DescribeStream" => describe_with_shards(model, input, now),
        "DescribeStreamSummary" => describe(model, input, now),
        "ListShards" => list_shards(model, input, now),
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
        "PutRecord" => put_record(model, input, now),
        _ => Err(ServiceError::new("UnknownOperationException", String::new())),
    }
}

/// The name of the stream that a request names by name, by ARN, or by both if they agree. The
/// messages were recorded on 2026-09-19.
fn selected(model: &Model, input: Input<'_>) -> Result<String, ServiceError> {
    let name = input.text("StreamName")?;
    let arn = input.text("StreamARN")?;
    if let Some(name) = name {
        name.parse::<StreamName>().map_err(|_| ServiceError::validation(name, "streamName", NAME_PATTERN))?;
    }
    let Some(arn) = arn else {
        return name.map(str::to_owned).ok_or_else(|| {
            ServiceError::invalid_argument("Stream arn and stream name can't be empty at the same time")
        });
    };
    let arn: StreamArn = arn.parse().map_err(|_| ServiceError::validation(arn, "streamARN", ARN_PATTERN))?;
    if let Some(name) = name.filter(|name| *name != arn.name()) {
        let message = format!("Input stream name {name} doesn't match the inferred name in stream arn {arn}");
        return Err(ServiceError::invalid_argument(message));
    }
    if arn.account() != model.account {
        return Err(ServiceError::new("UnrecognizedClientException", "No account found for the given parameters"));
    }
    if arn.region() != model.region {
        return Err(model.not_found(arn.name()));
    }
    Ok(arn.name().to_owned())
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

fn has_shards(stream: &Stream, now: DateTime<Utc>) -> bool {
    !matches!(stream.status(now), "CREATING" | "DELETING")
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

/// [ListShards]. The token of a page is the stream and the last shard of the page before.
///
/// [ListShards]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html
fn list_shards(model: &Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    let limit = input.number("MaxResults", 1, 10_000)?.unwrap_or(1_000);
    let (name, start) = match input.text("NextToken")? {
        Some(_) if input.text("StreamName")?.is_some() || input.text("StreamARN")?.is_some() => {
            return Err(ServiceError::invalid_argument("NextToken and StreamName cannot be provided together."));
        }
        Some(token) => {
            let token = read_token(token, now)?;
            let (name, start) = token.split_once('/').unwrap_or((&token, ""));
            (name.to_owned(), Some(start.to_owned()))
        }
        None => (selected(model, input)?, input.text("ExclusiveStartShardId")?.map(str::to_owned)),
    };
    let (shards, more) = shards(model.stream(&name)?, start.as_deref(), limit, now)?;
    let last = shards.as_array().and_then(|shards| shards.last()?["ShardId"].as_str()).unwrap_or_default();
    let next = more.then(|| write_token(&format!("{name}/{last}"), now));
    let mut answer = json!({ "Shards": shards });
    if let Some(next) = next {
        answer["NextToken"] = json!(next);
    }
    Ok(answer)
}

/// Up to `limit` open shards after `start`, and whether there are more. They share the [hash keys]
/// evenly. A shard that was split or merged is not listed.
///
/// [hash keys]: https://docs.aws.amazon.com/streams/latest/dev/key-concepts.html#partition-key
fn shards(stream: &Stream, start: Option<&str>, limit: u32, now: DateTime<Utc>) -> Result<(Value, bool), ServiceError> {
    let count = if has_shards(stream, now) { stream.shards } else { 0 };
    let start = match start {
        Some(shard) => shard_index(shard)?.saturating_add(1),
        None => 0,
    };
    let end = start.saturating_add(limit).min(count);
    let of = |index: u32| {
        json!({
            "ShardId": shard_id(index),
            "HashKeyRange": {
                "StartingHashKey": first_hash_key(index, count).to_string(),
                "EndingHashKey": (first_hash_key(index + 1, count).wrapping_sub(1)).to_string(),
            },
            "SequenceNumberRange": { "StartingSequenceNumber": sequence_number(0) },
        })
    };
    Ok(((start..end).map(of).collect(), end < count))
}

/// The first of the 2^128 hash keys of a shard; 0 behind the last shard.
fn first_hash_key(index: u32, shards: u32) -> u128 {
    let width = u128::MAX / u128::from(shards.max(1));
    if index >= shards { 0 } else { width * u128::from(index) }
}

fn shard_id(index: u32) -> String {
    format!("shardId-{index:012}")
}

fn shard_index(shard: &str) -> Result<u32, ServiceError> {
    let index = shard.strip_prefix("shardId-").and_then(|digits| digits.parse().ok());
    index.ok_or_else(|| ServiceError::validation(shard, "shardId", SHARD_PATTERN))
}

fn sequence_number(number: u64) -> String {
    format!("4959033827{number:046}")
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

fn write_token(last: &str, now: DateTime<Utc>) -> String {
    aws_smithy_types::base64::encode(format!("{}/{last}", now.timestamp_millis()))
}

fn read_token(token: &str, now: DateTime<Utc>) -> Result<String, ServiceError> {
    let invalid = || ServiceError::invalid_argument("NextToken is invalid");
    let text = aws_smithy_types::base64::decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(invalid)?;
    let (issued, last) = text.split_once('/').ok_or_else(invalid)?;
    let issued: i64 = issued.parse().map_err(|_| invalid())?;
    if now.timestamp_millis() - issued >= TOKEN_LIFETIME_MS {
        return Err(ServiceError::new("ExpiredNextTokenException", "NextToken has expired"));
    }
    Ok(last.to_owned())
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

fn put_record(model: &mut Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    input.required("PartitionKey", 256)?;
    input.text("Data")?.ok_or_else(|| ServiceError::validation("null", "data", "Member must not be null"))?;
    let name = selected(model, input)?;
    let (sequence, encrypted) = model.put_record(&name, now)?;
    Ok(json!({
        "ShardId": shard_id(0),
        "SequenceNumber": sequence_number(sequence),
        "EncryptionType": if encrypted { "KMS" } else { "NONE" },
    }))
}
