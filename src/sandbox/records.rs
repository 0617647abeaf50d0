//! Kinesis Data Streams: shards, and the records in them.
//!
//! Records are kept in memory as long as there is room, so a stream may forget old ones before the
//! end of its retention period. After a resharding, the shards are numbered from 0 again, and a
//! record is in the shard that has its hash key now.

use chrono::{DateTime, Utc};
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use super::identity::Caller;
use super::input::{Input, each_object};
use super::key_use::use_key;
use super::model::{KeyUse, Model, NewRecord, Record, Stream};
use super::service_error::ServiceError;
use super::stream_input::{read_token, selected, write_token};

const SHARD_PATTERN: &str = "Member must satisfy regular expression pattern: shardId-[0-9]{12}";
/// The first digits of every sequence number.
const SEQUENCE_PREFIX: &str = "4959033827";

pub(crate) fn answer(
    model: &mut Model,
    operation: &str,
    input: Input<'_>,
    caller: &Caller,
    now: DateTime<Utc>,
) -> Result<Value, ServiceError> {
    match operation {
        "ListShards" => list_shards(model, input, now),
        "PutRecord" => put_record(model, input, caller, now),
        "PutRecords" => put_records(model, input, caller, now),
        "GetShardIterator" => shard_iterator(model, input, now),
        "GetRecords" => get_records(model, input, caller, now),
        _ => Err(ServiceError::new("UnknownOperationException", String::new())),
    }
}

pub(crate) fn has_shards(stream: &Stream, now: DateTime<Utc>) -> bool {
    !matches!(stream.status(now), "CREATING" | "DELETING")
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
pub(crate) fn shards(
    stream: &Stream,
    start: Option<&str>,
    limit: u32,
    now: DateTime<Utc>,
) -> Result<(Value, bool), ServiceError> {
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
    format!("{SEQUENCE_PREFIX}{number:046}")
}

/// The shard with this hash key.
fn shard_with(hash_key: u128, shards: u32) -> u32 {
    let width = u128::MAX / u128::from(shards.max(1));
    u32::try_from(hash_key / width).unwrap_or(u32::MAX).min(shards.saturating_sub(1))
}

/// A record of a request.
fn record_of(input: Input<'_>) -> Result<NewRecord, ServiceError> {
    let partition_key = input.required("PartitionKey", 256)?;
    let data = input.text("Data")?;
    let data = data.ok_or_else(|| ServiceError::validation("null", "data", "Member must not be null"))?;
    let hash_key = match input.text("ExplicitHashKey")? {
        Some(key) => key.parse().map_err(|_| {
            let pattern = "Member must satisfy regular expression pattern: 0|([1-9]\\d{0,38})";
            ServiceError::validation(key, "explicitHashKey", pattern)
        })?,
        None => u128::from_be_bytes(Md5::digest(partition_key).into()),
    };
    Ok(NewRecord { partition_key: partition_key.to_owned(), hash_key, data: data.to_owned() })
}

fn encryption_type(is_encrypted: bool) -> &'static str {
    if is_encrypted { "KMS" } else { "NONE" }
}

/// Stores a record. Returns what an answer says about it, and whether it is encrypted.
fn put(model: &mut Model, name: &str, record: NewRecord, now: DateTime<Utc>) -> Result<(Value, bool), ServiceError> {
    let shard = shard_with(record.hash_key, model.stream(name)?.shards);
    let (sequence, is_encrypted) = model.put_record(name, record, now)?;
    Ok((json!({ "ShardId": shard_id(shard), "SequenceNumber": sequence_number(sequence) }), is_encrypted))
}

/// Calls KMS for a producer, if a record that is written now is encrypted.
fn use_key_to_write(model: &mut Model, caller: &Caller, name: &str, now: DateTime<Utc>) -> Result<(), ServiceError> {
    let stream = model.stream(name)?;
    let key_id = stream.record_encryption(now).filter(|_| has_shards(stream, now)).map(str::to_owned);
    key_id.map_or(Ok(()), |key_id| use_key(model, caller, name, &key_id, KeyUse::Write, now))
}

fn put_record(model: &mut Model, input: Input<'_>, caller: &Caller, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    let record = record_of(input)?;
    let name = selected(model, input)?;
    use_key_to_write(model, caller, &name, now)?;
    let (mut answer, is_encrypted) = put(model, &name, record, now)?;
    answer["EncryptionType"] = json!(encryption_type(is_encrypted));
    Ok(answer)
}

/// [PutRecords]: up to 500 records. What makes one fail makes all fail here.
///
/// [PutRecords]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
fn put_records(
    model: &mut Model,
    input: Input<'_>,
    caller: &Caller,
    now: DateTime<Utc>,
) -> Result<Value, ServiceError> {
    let records = each_object("Records", input.list("Records")?)?;
    if records.is_empty() || records.len() > 500 {
        let constraint = "Member must have length between 1 and 500";
        return Err(ServiceError::validation("records", "records", constraint));
    }
    let records = records.into_iter().map(record_of).collect::<Result<Vec<_>, _>>()?;
    let name = selected(model, input)?;
    use_key_to_write(model, caller, &name, now)?;
    let stored = records.into_iter().map(|record| put(model, &name, record, now)).collect::<Result<Vec<_>, _>>()?;
    let is_encrypted = stored.iter().any(|(_, is_encrypted)| *is_encrypted);
    let entries: Vec<_> = stored.into_iter().map(|(entry, _)| entry).collect();
    Ok(json!({ "FailedRecordCount": 0, "Records": entries, "EncryptionType": encryption_type(is_encrypted) }))
}

/// [GetShardIterator]. An iterator is valid for five minutes.
///
/// [GetShardIterator]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html
fn shard_iterator(model: &Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    const TYPES: [&str; 5] = ["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"];
    input.required("ShardIteratorType", 128)?;
    let kind = input.one_of("ShardIteratorType", &TYPES)?.unwrap_or_default();
    let shard = input.required("ShardId", 128)?;
    let index = shard_index(shard)?;
    let name = selected(model, input)?;
    let stream = model.stream(&name)?;
    if index >= stream.shards {
        let message = format!("Shard {shard} in stream {name} under account {} does not exist", model.account);
        return Err(ServiceError::new("ResourceNotFoundException", message));
    }
    let sequence = || -> Result<u64, ServiceError> {
        let number = input.required("StartingSequenceNumber", 128)?;
        let digits = number.strip_prefix(SEQUENCE_PREFIX).and_then(|digits| digits.parse().ok());
        digits.ok_or_else(|| ServiceError::invalid_argument(format!("StartingSequenceNumber {number} is invalid.")))
    };
    let after = match kind {
        "AT_SEQUENCE_NUMBER" => sequence()?.saturating_sub(1),
        "AFTER_SEQUENCE_NUMBER" => sequence()?,
        "AT_TIMESTAMP" => {
            let at = input.0.get("Timestamp").and_then(Value::as_f64).ok_or_else(|| {
                ServiceError::invalid_argument("Must specify timestamp parameter for iterator of type AT_TIMESTAMP.")
            })?;
            let first = stream.records().find(|record| seconds(record.at) >= at);
            first.map_or(stream.last_sequence(), |record| record.sequence - 1)
        }
        "TRIM_HORIZON" => 0,
        _ => stream.last_sequence(),
    };
    Ok(json!({ "ShardIterator": iterator(&name, index, after, now) }))
}

fn iterator(name: &str, shard: u32, after: u64, now: DateTime<Utc>) -> String {
    write_token(&format!("{name}/{shard}/{after}"), now)
}

/// [GetRecords]. A record that is encrypted can be read only while its key can be used, and only by
/// who may use it.
///
/// [GetRecords]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html
fn get_records(
    model: &mut Model,
    input: Input<'_>,
    caller: &Caller,
    now: DateTime<Utc>,
) -> Result<Value, ServiceError> {
    let limit = input.number("Limit", 1, 10_000)?.unwrap_or(10_000) as usize;
    let token = read_token(input.required("ShardIterator", 512)?, now).map_err(|refusal| {
        if refusal.code == "ExpiredNextTokenException" {
            ServiceError::new("ExpiredIteratorException", "Iterator expired.")
        } else {
            ServiceError::invalid_argument("Invalid ShardIterator.")
        }
    })?;
    let parts = token.rsplit_once('/').and_then(|(rest, after)| {
        let (name, shard) = rest.split_once('/')?;
        Some((name, shard.parse::<u32>().ok()?, after.parse::<u64>().ok()?))
    });
    let (name, shard, after) = parts.ok_or_else(|| ServiceError::invalid_argument("Invalid ShardIterator."))?;
    let stream = model.stream(name)?;
    let is_unread = |record: &&Record| record.sequence > after && shard_with(record.hash_key, stream.shards) == shard;
    let mut rest = stream.records().filter(is_unread);
    let page: Vec<Record> = rest.by_ref().take(limit).cloned().collect();
    let behind = rest.next().map_or(0, |record| (now - record.at).num_milliseconds());
    drop(rest);
    for key_id in page.iter().filter_map(|record| record.key_id.as_deref()) {
        use_key(model, caller, name, key_id, KeyUse::Read, now)?;
        model.usable_key(key_id, now)?;
    }
    let last = page.last().map_or(after, |record| record.sequence);
    let shown: Vec<_> = page
        .iter()
        .map(|record| {
            json!({
                "SequenceNumber": sequence_number(record.sequence),
                "ApproximateArrivalTimestamp": seconds(record.at),
                "Data": record.data,
                "PartitionKey": record.partition_key,
                "EncryptionType": encryption_type(record.key_id.is_some()),
            })
        })
        .collect();
    Ok(json!({
        "Records": shown,
        "NextShardIterator": iterator(name, shard, last, now),
        "MillisBehindLatest": behind,
    }))
}

/// Seconds since the epoch, with milliseconds.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of this century are exact")]
fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1_000.0
}
