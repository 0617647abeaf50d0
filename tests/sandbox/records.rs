//! Records in the shards of a stream, and the calls that are recorded.

use aws_sdk_kinesis::types::{EncryptionType, PutRecordsRequestEntry, ShardIteratorType};
use aws_smithy_types::{Blob, DateTime};
use kinesis_encryption_enforcer::sandbox::{KeyState, NewStream};

use super::support::{World, pass, refused};

impl World {
    async fn iterator(&self, kind: ShardIteratorType, at: Option<&str>) -> String {
        let call = self.kinesis.get_shard_iterator().stream_name("orders").shard_id("shardId-000000000000");
        let call = call.shard_iterator_type(kind).set_starting_sequence_number(at.map(str::to_owned));
        let time = DateTime::from(self.clock.wall());
        call.timestamp(time).send().await.unwrap().shard_iterator.unwrap()
    }

    /// The records after an iterator, or the error code.
    async fn records(&self, iterator: &str) -> Result<Vec<(String, Option<EncryptionType>)>, String> {
        let answer = self.kinesis.get_records().shard_iterator(iterator).send().await;
        let records = answer.map_err(|err| refused(&err).0)?.records;
        let text = |data: Blob| String::from_utf8(data.into_inner()).unwrap();
        Ok(records.into_iter().map(|record| (text(record.data), record.encryption_type)).collect())
    }

    async fn put(&self, data: &str) -> String {
        let call = self.kinesis.put_record().stream_name("orders").partition_key("1").data(Blob::new(data));
        call.send().await.unwrap().sequence_number
    }
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html>
#[tokio::test(start_paused = true)]
async fn an_iterator_starts_where_it_says_and_expires() {
    let world = World::new();
    world.account.stream(NewStream::named("orders").keeping(24));
    let first = world.put("a").await;
    pass(1).await;
    let latest = world.iterator(ShardIteratorType::Latest, None).await;
    let now = world.iterator(ShardIteratorType::AtTimestamp, None).await;
    world.put("b").await;
    for (iterator, expected) in [
        (world.iterator(ShardIteratorType::TrimHorizon, None).await, &["a", "b"][..]),
        (world.iterator(ShardIteratorType::AtSequenceNumber, Some(&first)).await, &["a", "b"]),
        (world.iterator(ShardIteratorType::AfterSequenceNumber, Some(&first)).await, &["b"]),
        (latest.clone(), &["b"]),
        (now, &["b"]),
    ] {
        let read: Vec<_> = world.records(&iterator).await.unwrap().into_iter().map(|(data, _)| data).collect();
        assert_eq!(read, expected);
    }
    pass(300).await;
    assert_eq!(world.records(&latest).await, Err("ExpiredIteratorException".to_owned()));
    assert_eq!(world.records("no iterator").await, Err("InvalidArgumentException".to_owned()));
    // The retention period ends.
    pass(86_400).await;
    world.put("c").await;
    let all = world.iterator(ShardIteratorType::TrimHorizon, None).await;
    assert_eq!(world.records(&all).await.unwrap().len(), 1);
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>: the errors of KMS.
#[tokio::test(start_paused = true)]
async fn a_record_is_read_only_while_the_key_that_encrypted_it_can_be_used() {
    let world = World::new();
    let key = world.account.create_key();
    world.account.stream(NewStream::named("orders"));
    world.put("plain").await;
    world.start("orders", &key).await.unwrap();
    pass(10).await;
    world.put("secret").await;
    world.stop("orders").await.unwrap();
    pass(10).await;
    let all = world.iterator(ShardIteratorType::TrimHorizon, None).await;
    let none = Some(EncryptionType::None);
    let read = [("plain".to_owned(), none), ("secret".to_owned(), Some(EncryptionType::Kms))];
    assert_eq!(world.records(&all).await.unwrap(), read);
    world.account.set_key_state(&key, KeyState::Disabled);
    assert_eq!(world.records(&all).await, Err("KMSDisabledException".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_spread_over_the_shards_by_hash_key() {
    let world = World::new();
    world.kinesis.create_stream().stream_name("orders").shard_count(2).send().await.unwrap();
    pass(2).await;
    let entry = |hash_key: u128| {
        let entry = PutRecordsRequestEntry::builder().partition_key("1").explicit_hash_key(hash_key.to_string());
        entry.data(Blob::new("x")).build().unwrap()
    };
    let entries = [0, u128::MAX / 2 - 1, u128::MAX / 2 + 1, u128::MAX].map(entry).to_vec();
    let answer = world.kinesis.put_records().stream_name("orders").set_records(Some(entries)).send().await.unwrap();
    let shards: Vec<_> = answer.records.into_iter().filter_map(|record| record.shard_id).collect();
    let (first, second) = ("shardId-000000000000", "shardId-000000000001");
    assert_eq!(shards, [first, first, second, second]);
    let none = world.kinesis.put_records().stream_name("orders").set_records(Some(Vec::new())).send().await;
    assert_eq!(refused(&none.unwrap_err()).0, "ValidationException");
    // What a stream keeps has a limit.
    for _ in 0..9 {
        world.put(&"x".repeat(512 * 1024)).await;
    }
    pass(1).await;
    let reads = async |shard: &str| {
        let call = world.kinesis.get_shard_iterator().stream_name("orders").shard_id(shard);
        let iterator = call.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap().shard_iterator;
        world.records(&iterator.unwrap()).await.unwrap().len()
    };
    let kept = reads(first).await + reads(second).await;
    assert!((4..9).contains(&kept), "{kept}");
}
