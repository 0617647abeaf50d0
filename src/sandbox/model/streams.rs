//! Streams: their status and encryption, and how long a change takes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Model, later};
use crate::domain::key::AWS_MANAGED_ALIAS;
use crate::sandbox::options::{AliasEcho, QuotaScope};
use crate::sandbox::service_error::ServiceError;

/// How often encryption may be started, and how often stopped, in a rolling 24 hours:
/// [StartStreamEncryption].
///
/// [StartStreamEncryption]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html
const CHANGES_PER_DAY: usize = 25;
const DAY: Duration = Duration::from_hours(24);
/// How many bytes of data a stream keeps.
const MOST_KEPT_BYTES: usize = 4 * 1024 * 1024;
/// How many streams may be CREATING at the same time: [CreateStream].
///
/// [CreateStream]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html
const MAX_CREATING: usize = 5;

#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) created: DateTime<Utc>,
    /// The key as given; `None` means encryption type NONE.
    pub(crate) key_id: Option<String>,
    pub(crate) shards: u32,
    pub(crate) on_demand: bool,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) retention_hours: u32,
    pub(crate) consumers: u32,
    pub(crate) channels: u32,
    pub(crate) queues: u32,
    /// The resource policy, as JSON.
    pub(crate) policy: String,
    pub(crate) change: Option<Change>,
    /// The old encryption that new records still get, and until when.
    records_lag: Option<(Option<String>, DateTime<Utc>)>,
    starts: Vec<DateTime<Utc>>,
    stops: Vec<DateTime<Utc>>,
    /// The sequence number of the last record.
    last_sequence: u64,
    /// The latest records, oldest first.
    records: VecDeque<Record>,
}

/// A record of a request.
#[derive(Clone, Debug)]
pub(crate) struct NewRecord {
    pub(crate) partition_key: String,
    pub(crate) hash_key: u128,
    /// As sent, in base64.
    pub(crate) data: String,
}

/// A record in a stream.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) sequence: u64,
    pub(crate) at: DateTime<Utc>,
    pub(crate) partition_key: String,
    pub(crate) hash_key: u128,
    pub(crate) data: String,
    /// The key that encrypts it.
    pub(crate) key_id: Option<String>,
}

/// A change in progress.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) target: Target,
    /// Until then the stream still shows ACTIVE.
    pub(crate) shows_from: DateTime<Utc>,
    /// `None` means never.
    pub(crate) ends: Option<DateTime<Utc>>,
}

/// The result of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Created,
    Encryption(Option<String>),
    Shards(u32),
    /// The stream is UPDATING and then as before.
    Unchanged,
    Gone,
}

impl Stream {
    pub(crate) fn new(name: &str, created: DateTime<Utc>) -> Self {
        Self {
            name: name.to_owned(),
            created,
            key_id: None,
            shards: 1,
            on_demand: false,
            tags: BTreeMap::new(),
            retention_hours: 24,
            consumers: 0,
            channels: 0,
            queues: 0,
            policy: String::new(),
            change: None,
            records_lag: None,
            starts: Vec::new(),
            stops: Vec::new(),
            last_sequence: 0,
            records: VecDeque::new(),
        }
    }

    /// `StreamStatus` in a description.
    pub(crate) fn status(&self, now: DateTime<Utc>) -> &'static str {
        match &self.change {
            None => "ACTIVE",
            Some(Change { target: Target::Created, .. }) => "CREATING",
            Some(Change { target: Target::Gone, .. }) => "DELETING",
            Some(change) if now < change.shows_from => "ACTIVE",
            Some(_) => "UPDATING",
        }
    }

    /// The records that are kept, oldest first.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    /// The sequence number of the last record that was written.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Forgets the oldest records: those after the retention period, and those that there is no room
    /// for.
    fn trim(&mut self, now: DateTime<Utc>) {
        let retention = Duration::from_hours(self.retention_hours.into());
        let mut bytes: usize = self.records.iter().map(|record| record.data.len()).sum();
        while let Some(oldest) = self.records.front() {
            if bytes <= MOST_KEPT_BYTES && later(oldest.at, retention) > now {
                break;
            }
            bytes -= oldest.data.len();
            self.records.pop_front();
        }
    }

    /// The key that encrypts a record written now. For up to 5 seconds after the stream is ACTIVE
    /// again, it is still the old one: [StartStreamEncryption].
    ///
    /// [StartStreamEncryption]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html
    pub(crate) fn record_encryption(&self, now: DateTime<Utc>) -> Option<&str> {
        match &self.records_lag {
            Some((old, until)) if now < *until => old.as_deref(),
            _ => self.key_id.as_deref(),
        }
    }

    fn settle(&mut self, now: DateTime<Utc>, record_lag: Duration) {
        let Some(ends) = self.change.as_ref().and_then(|change| change.ends).filter(|&ends| ends <= now) else {
            return;
        };
        match self.change.take().map(|change| change.target) {
            Some(Target::Encryption(key_id)) => {
                self.records_lag = Some((std::mem::replace(&mut self.key_id, key_id), later(ends, record_lag)));
            }
            Some(Target::Shards(shards)) => self.shards = shards,
            // `settle_streams` removes the stream.
            Some(target @ Target::Gone) => self.change = Some(Change { target, shows_from: ends, ends: Some(ends) }),
            Some(Target::Created | Target::Unchanged) | None => {}
        }
    }

    fn is_gone(&self, now: DateTime<Utc>) -> bool {
        self.change
            .as_ref()
            .is_some_and(|change| change.target == Target::Gone && change.ends.is_some_and(|ends| ends <= now))
    }
}

impl Model {
    pub(super) fn settle_streams(&mut self, now: DateTime<Utc>) {
        let lag = self.options.record_lag;
        for stream in self.streams.values_mut() {
            stream.settle(now, lag);
        }
        self.streams.retain(|_, stream| !stream.is_gone(now));
    }

    pub(crate) fn stream(&self, name: &str) -> Result<&Stream, ServiceError> {
        self.streams.get(name).ok_or_else(|| self.not_found(name))
    }

    pub(crate) fn stream_mut(&mut self, name: &str) -> Result<&mut Stream, ServiceError> {
        let refusal = self.not_found(name);
        self.streams.get_mut(name).ok_or(refusal)
    }

    /// The message was recorded on 2026-09-19.
    pub(crate) fn not_found(&self, name: &str) -> ServiceError {
        ServiceError::new(
            "ResourceNotFoundException",
            format!("Stream {name} under account {} not found.", self.account),
        )
    }

    /// The stream, or `ResourceInUseException` while a change is in progress.
    fn settled(&mut self, name: &str, now: DateTime<Utc>) -> Result<&mut Stream, ServiceError> {
        let account = self.account.clone();
        let stream = self.stream_mut(name)?;
        if stream.change.is_some() {
            let status = stream.status(now);
            let message = format!("Stream {name} under account {account} not ACTIVE, instead in state {status}");
            return Err(ServiceError::new("ResourceInUseException", message));
        }
        Ok(stream)
    }

    pub(crate) fn create_stream(&mut self, stream: Stream, now: DateTime<Utc>) -> Result<(), ServiceError> {
        if self.streams.contains_key(&stream.name) {
            let message = format!("Stream {} under account {} already exists.", stream.name, self.account);
            return Err(ServiceError::new("ResourceInUseException", message));
        }
        let creating = self.streams.values().filter(|stream| stream.status(now) == "CREATING").count();
        if creating >= MAX_CREATING {
            let message =
                format!("This request would exceed the number of streams in CREATING for account {}.", self.account);
            return Err(ServiceError::new("LimitExceededException", message));
        }
        let change = Change { target: Target::Created, shows_from: now, ends: Some(later(now, self.options.creating)) };
        self.streams.insert(stream.name.clone(), Stream { change: Some(change), ..stream });
        Ok(())
    }

    pub(crate) fn delete_stream(&mut self, name: &str, now: DateTime<Utc>) -> Result<(), ServiceError> {
        let ends = later(now, self.options.deleting);
        let stream = self.stream_mut(name)?;
        if !matches!(stream.change, Some(Change { target: Target::Gone, .. })) {
            stream.change = Some(Change { target: Target::Gone, shows_from: now, ends: Some(ends) });
        }
        self.settle_streams(now);
        Ok(())
    }

    /// Starts encryption with `key_id`. Starting again with the same key is accepted, and the
    /// stream is UPDATING again (recorded on 2026-09-19).
    pub(crate) fn start_encryption(
        &mut self,
        name: &str,
        key_id: &str,
        now: DateTime<Utc>,
    ) -> Result<(), ServiceError> {
        self.settled(name, now)?;
        let key = self.usable_key(key_id, now)?;
        let present = self.stream(name)?.key_id.clone();
        let same = present.is_some_and(|present| self.find_key(&present, now).is_ok_and(|present| present.arn == key));
        if !same || self.options.same_key_uses_quota {
            self.use_quota(name, now, |stream| &mut stream.starts)?;
        }
        let shown = match self.options.alias_echo {
            AliasEcho::KeyArn if !key_id.contains(AWS_MANAGED_ALIAS) && key_id.contains("alias/") => key,
            AliasEcho::AsGiven | AliasEcho::KeyArn => key_id.to_owned(),
        };
        self.update(name, Target::Encryption(Some(shown)), now)
    }

    /// Stops encryption. The error message was recorded on 2026-09-19.
    pub(crate) fn stop_encryption(&mut self, name: &str, now: DateTime<Utc>) -> Result<(), ServiceError> {
        if self.settled(name, now)?.key_id.is_none() {
            return Err(ServiceError::invalid_argument("Cannot stop encrypting an unencrypted stream."));
        }
        self.use_quota(name, now, |stream| &mut stream.stops)?;
        self.update(name, Target::Encryption(None), now)
    }

    pub(crate) fn reshard(&mut self, name: &str, shards: u32, now: DateTime<Utc>) -> Result<(), ServiceError> {
        self.settled(name, now)?;
        self.update(name, Target::Shards(shards), now)
    }

    /// Makes the stream UPDATING for a while. The retention period itself is not changed.
    pub(crate) fn update_retention(&mut self, name: &str, now: DateTime<Utc>) -> Result<(), ServiceError> {
        self.settled(name, now)?;
        self.update(name, Target::Unchanged, now)
    }

    fn update(&mut self, name: &str, target: Target, now: DateTime<Utc>) -> Result<(), ServiceError> {
        let shows_from = later(now, self.options.visibility_lag);
        let ends = Some(later(shows_from, self.options.updating));
        self.settled(name, now)?.change = Some(Change { target, shows_from, ends });
        self.settle_streams(now);
        Ok(())
    }

    /// Modifies the change in progress, if there is one.
    pub(super) fn modify_change(&mut self, name: &str, alter: impl FnOnce(&mut Change)) -> Result<(), ServiceError> {
        if let Some(change) = &mut self.stream_mut(name)?.change {
            alter(change);
        }
        Ok(())
    }

    /// Counts a change of encryption against the quota, or refuses it if the quota is used up.
    ///
    /// The error is the same as for throttling, as it is for the similar quota on switching the
    /// capacity mode (recorded on 2026-09-19).
    fn use_quota(
        &mut self,
        name: &str,
        now: DateTime<Utc>,
        uses: impl Fn(&mut Stream) -> &mut Vec<DateTime<Utc>>,
    ) -> Result<(), ServiceError> {
        let of_account = self.options.quota_scope == QuotaScope::PerAccount;
        let counted = self.streams.values_mut().filter(|stream| of_account || stream.name == name);
        let used_already: usize = counted
            .map(|stream| {
                let uses = uses(stream);
                uses.retain(|&at| at + DAY > now);
                uses.len()
            })
            .sum();
        if used_already >= CHANGES_PER_DAY {
            let message = format!("Rate exceeded for stream {name} under account {}.", self.account);
            return Err(ServiceError::new("LimitExceededException", message));
        }
        uses(self.stream_mut(name)?).push(now);
        Ok(())
    }

    /// Accepts a record. Returns its sequence number and whether it was encrypted.
    pub(crate) fn put_record(
        &mut self,
        name: &str,
        NewRecord { partition_key, hash_key, data }: NewRecord,
        now: DateTime<Utc>,
    ) -> Result<(u64, bool), ServiceError> {
        let stream = self.stream(name)?;
        if matches!(stream.status(now), "CREATING" | "DELETING") {
            // PutRecord does not find a stream in these states.
            return Err(self.not_found(name));
        }
        let key_id = stream.record_encryption(now).map(str::to_owned);
        if let Some(key_id) = &key_id {
            self.usable_key(key_id, now)?;
        }
        let stream = self.stream_mut(name)?;
        stream.last_sequence += 1;
        let (sequence, is_encrypted) = (stream.last_sequence, key_id.is_some());
        stream.records.push_back(Record { sequence, at: now, partition_key, hash_key, data, key_id });
        stream.trim(now);
        Ok((sequence, is_encrypted))
    }
}
