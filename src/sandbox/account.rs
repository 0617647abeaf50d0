//! The account as demonstrations and tests use it: prepare it, then inspect it.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::call::Call;
use super::client;
use super::cloudtrail;
use super::endpoint::Endpoint;
use super::fault::Fault;
use super::identity::Identity;
use super::key_state::KeyState;
use super::model::{Change, Model, NewKey, ParameterVersion, Queue, Role, Stream, Target, UsedBy, later};
use super::options::Options;
use super::permissions::Policies;
use super::script::ScriptedAction;
use super::service_error::ServiceError;
use super::users;
use crate::clock::Clock;

/// A handle on one AWS account in one Region. Clones share the account.
#[derive(Clone, Debug)]
pub struct Account {
    pub(crate) endpoint: Endpoint,
}

/// A stream to create with [`Account::stream`]. By default it is ACTIVE, unencrypted and an hour
/// old, and has one shard.
#[derive(Clone, Debug)]
#[must_use = "a stream exists once it is passed to Account::stream"]
pub struct NewStream {
    name: String,
    created: Option<DateTime<Utc>>,
    key_id: Option<String>,
    tags: BTreeMap<String, String>,
    change: Option<InitialChange>,
    retention_hours: u32,
    consumers: u32,
    channels: u32,
    queues: u32,
    policy: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InitialChange {
    Creating,
    Updating,
    UpdatingFor(Duration),
    StuckUpdating,
    Deleting,
}

impl NewStream {
    /// A stream with this name.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            created: None,
            key_id: None,
            tags: BTreeMap::new(),
            change: None,
            retention_hours: 24,
            consumers: 0,
            channels: 0,
            queues: 0,
            policy: String::new(),
        }
    }

    /// Encrypts the stream with this key. Descriptions show it in exactly this form.
    pub fn encrypted_with(mut self, key_id: &str) -> Self {
        self.key_id = Some(key_id.to_owned());
        self
    }

    /// Adds a tag.
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets the retention period, in hours.
    pub fn keeping(mut self, hours: u32) -> Self {
        self.retention_hours = hours;
        self
    }

    /// Sets the number of registered consumers.
    pub fn consumers(mut self, consumers: u32) -> Self {
        self.consumers = consumers;
        self
    }

    /// Sets the number of delivery channels. Only an on-demand stream has channels, so it becomes
    /// one.
    pub fn channels(mut self, channels: u32) -> Self {
        self.channels = channels;
        self
    }

    /// Sets the number of queues.
    pub fn queues(mut self, queues: u32) -> Self {
        self.queues = queues;
        self
    }

    /// Sets the resource policy, as JSON.
    pub fn policy(mut self, policy: &str) -> Self {
        policy.clone_into(&mut self.policy);
        self
    }

    /// Sets the time of creation.
    pub fn created_at(mut self, at: DateTime<Utc>) -> Self {
        self.created = Some(at);
        self
    }

    /// Creates the stream now, so that it is CREATING for [`Options::creating`].
    pub fn creating(mut self) -> Self {
        self.change = Some(InitialChange::Creating);
        self
    }

    /// Makes the stream UPDATING for [`Options::updating`], without changing it.
    pub fn updating(mut self) -> Self {
        self.change = Some(InitialChange::Updating);
        self
    }

    /// Makes the stream UPDATING for this time, without changing it: a resharding may take hours.
    pub fn updating_for(mut self, time: Duration) -> Self {
        self.change = Some(InitialChange::UpdatingFor(time));
        self
    }

    /// Makes the stream UPDATING without an end.
    pub fn stuck_updating(mut self) -> Self {
        self.change = Some(InitialChange::StuckUpdating);
        self
    }

    /// Makes the stream DELETING for [`Options::deleting`].
    pub fn deleting(mut self) -> Self {
        self.change = Some(InitialChange::Deleting);
        self
    }
}

/// The state of a stream at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// `CREATING`, `ACTIVE`, `UPDATING` or `DELETING`.
    pub status: &'static str,
    /// The key as descriptions show it; `None` means encryption type NONE.
    pub key_id: Option<String>,
    /// The tags, by key.
    pub tags: BTreeMap<String, String>,
    /// The number of open shards.
    pub shards: u32,
    /// When the stream was created.
    pub created: DateTime<Utc>,
}

/// A message in a queue. Reading it here does not receive it.
#[derive(Clone, Debug, PartialEq)]
pub struct QueuedMessage {
    /// The id that `SendMessage` returned.
    pub id: String,
    /// The body, as sent.
    pub body: String,
    /// The message attributes, as sent: `{"Name": {"DataType": "String", "StringValue": "…"}}`.
    pub attributes: serde_json::Map<String, Value>,
    /// How often the message was received.
    pub receives: u32,
    /// The earliest time at which the message can be received.
    pub visible_from: DateTime<Utc>,
}

impl QueuedMessage {
    /// The value of a message attribute of type String.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name)?.get("StringValue")?.as_str()
    }
}

impl Account {
    /// Creates an empty account. `account_id` has 12 digits.
    #[must_use]
    pub fn new(clock: Clock, region: &str, account_id: &str) -> Self {
        Self { endpoint: Endpoint::new(clock, region, account_id) }
    }

    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Model, DateTime<Utc>) -> T) -> T {
        self.endpoint.with(work)
    }

    /// An HTTP client for the AWS SDK that sends every request to this account.
    #[must_use]
    pub fn http_client(&self) -> SharedHttpClient {
        client::http_client(&self.endpoint)
    }

    /// Changes the options.
    pub fn configure(&self, change: impl FnOnce(&mut Options)) {
        self.with(|model, _| change(&mut model.options));
    }

    /// The Region, such as `us-east-1`.
    #[must_use]
    pub fn region(&self) -> String {
        self.endpoint.region()
    }

    /// The account's 12 digits.
    #[must_use]
    pub fn account_id(&self) -> String {
        self.with(|model, _| model.account.clone())
    }

    // Prepare the account.

    /// Creates a symmetric key that is Enabled, and returns its ARN.
    #[must_use]
    pub fn create_key(&self) -> String {
        self.with(|model, now| model.create_key(NewKey::default(), now))
    }

    /// Creates a key with this spec and usage, such as `RSA_2048` and `ENCRYPT_DECRYPT`, and
    /// returns its ARN.
    #[must_use]
    pub fn create_key_of(&self, spec: &str, usage: &str) -> String {
        self.with(|model, now| {
            model.create_key(NewKey { spec: spec.to_owned(), usage: usage.to_owned(), ..NewKey::default() }, now)
        })
    }

    /// Creates a [multi-Region key] and returns its ARN. The key is a primary key, or the replica
    /// of one in `primary_region`.
    ///
    /// [multi-Region key]: https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html
    #[must_use]
    pub fn create_multi_region_key(&self, primary_region: Option<&str>) -> String {
        let replica_of = primary_region.map(str::to_owned);
        self.with(|model, now| model.create_key(NewKey { multi_region: true, replica_of, ..NewKey::default() }, now))
    }

    /// Creates a key that another account owns and shares, and returns its ARN.
    #[must_use]
    pub fn create_foreign_key(&self, account_id: &str) -> String {
        self.with(|model, now| {
            model.create_key(NewKey { account: Some(account_id.to_owned()), ..NewKey::default() }, now)
        })
    }

    /// Creates a key in a custom key store, and the store, which is connected, if there is none with
    /// this id. Returns the key's ARN.
    #[must_use]
    pub fn create_key_in_store(&self, store: &str) -> String {
        self.with(|model, now| {
            model.stores.entry(store.to_owned()).or_insert(true);
            let created_as =
                NewKey { origin: "AWS_CLOUDHSM".to_owned(), store: Some(store.to_owned()), ..NewKey::default() };
            model.create_key(created_as, now)
        })
    }

    /// Connects or disconnects a custom key store.
    pub fn set_store_connected(&self, store: &str, connected: bool) {
        self.with(|model, now| model.set_store_connected(store, connected, now));
    }

    /// Imports material into a key, which expires at `valid_to`. Does nothing if the key does not
    /// exist.
    pub fn import_material(&self, key: &str, valid_to: DateTime<Utc>) {
        self.with(|model, now| {
            let arn = model.find_key(key, now).map(|key| key.arn.clone()).unwrap_or_default();
            if let Some(key) = model.keys.get_mut(&arn) {
                "EXTERNAL".clone_into(&mut key.created_as.origin);
                key.valid_to = Some(valid_to);
            }
        });
    }

    /// Sets the state of a key. Does nothing if the key does not exist.
    pub fn set_key_state(&self, key: &str, state: KeyState) {
        self.with(|model, now| model.set_key_state(key, state, now));
    }

    /// Creates the alias or points it to another key.
    pub fn alias(&self, alias: &str, key: &str) {
        self.with(|model, now| model.point_alias(alias, key, now));
    }

    /// The ARN of the AWS managed key for Kinesis, if it has been created by a use of its alias.
    #[must_use]
    pub fn managed_key(&self) -> Option<String> {
        self.with(|model, now| {
            model.find_key(crate::domain::key::AWS_MANAGED_ALIAS, now).ok().map(|key| key.arn.clone())
        })
    }

    /// Creates a stream without a call, and replaces one with the same name. Returns its ARN.
    #[expect(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn stream(&self, new: NewStream) -> String {
        self.with(|model, now| {
            let NewStream { name, created, key_id, tags, change, retention_hours, consumers, channels, queues, policy } =
                new;
            let an_hour_ago = now - chrono::TimeDelta::hours(1);
            let default = if change == Some(InitialChange::Creating) { now } else { an_hour_ago };
            let mut stream = Stream::new(&name, created.unwrap_or(default));
            stream.key_id = key_id;
            stream.tags = tags;
            stream.retention_hours = retention_hours;
            stream.consumers = consumers;
            stream.channels = channels;
            stream.queues = queues;
            stream.on_demand = channels > 0;
            stream.policy = policy;
            stream.change = change.map(|change| {
                let (target, ends) = match change {
                    InitialChange::Creating => (Target::Created, Some(later(now, model.options.creating))),
                    InitialChange::Updating => (Target::Unchanged, Some(later(now, model.options.updating))),
                    InitialChange::UpdatingFor(time) => (Target::Unchanged, Some(later(now, time))),
                    InitialChange::StuckUpdating => (Target::Unchanged, None),
                    InitialChange::Deleting => (Target::Gone, Some(later(now, model.options.deleting))),
                };
                Change { target, shows_from: now, ends }
            });
            let arn = model.stream_arn(&name);
            model.streams.insert(name, stream);
            arn
        })
    }

    /// Creates a queue, if there is none with this name, and returns its URL.
    #[expect(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn queue(&self, name: &str) -> String {
        self.with(|model, now| {
            model.queues.entry(name.to_owned()).or_insert_with(|| Queue::new(name, now));
            model.queue_url(name)
        })
    }

    /// Sets an attribute of a queue, as `SetQueueAttributes` does. Does nothing if the queue does
    /// not exist.
    pub fn set_queue_attribute(&self, queue: &str, attribute: &str, value: &str) {
        self.with(|model, _| {
            if let Some(queue) = model.queues.get_mut(queue) {
                queue.attributes.insert(attribute.to_owned(), value.to_owned());
            }
        });
    }

    /// Sends a message to a queue. Does nothing if the queue does not exist.
    pub fn send(&self, queue: &str, body: &str) {
        self.send_with(queue, body, &[]);
    }

    /// Sends a message with attributes of type String to a queue. Does nothing if the queue does
    /// not exist.
    pub fn send_with(&self, queue: &str, body: &str, attributes: &[(&str, &str)]) {
        let attributes = attributes.iter().map(|(name, value)| {
            let value = serde_json::json!({ "DataType": "String", "StringValue": value });
            ((*name).to_owned(), value)
        });
        self.with(|model, now| {
            let url = model.queue_url(queue);
            drop(model.send(&url, body.to_owned(), attributes.collect(), None, now));
        });
    }

    /// Sets the policy of a key, as JSON. Does nothing if the key does not exist.
    pub fn key_policy(&self, key: &str, policy: &str) {
        self.with(|model, _| {
            if let Some(key) = model.keys.get_mut(key) {
                policy.clone_into(&mut key.policy);
            }
        });
    }

    /// Lets something use a stream of this name.
    pub fn used_by(&self, stream: &str, used_by: UsedBy) {
        self.with(|model, _| {
            let arn = model.stream_arn(stream);
            model.users.add(arn, used_by);
        });
    }

    /// Creates a role or a user with these policies, or replaces them. `arn` is its ARN. From now on
    /// it can use encrypted streams only if it may use their keys, for which its `kms:` permissions
    /// count; what it may do on the streams themselves is not modelled.
    pub fn principal(&self, arn: &str, policies: Policies) {
        self.with(|model, _| model.users.add_principal(arn, policies));
    }

    /// Adds a grant of a key, whose ARN is `key`.
    pub fn grant(&self, key: &str, grantee: &str, operations: &[&str]) {
        self.with(|model, _| model.users.add_grant(key, grantee, operations));
    }

    /// Adds to the event history the call of KMS (`GenerateDataKey` or `Decrypt`) that Kinesis made
    /// for a caller of this stream. `identity` is the record's `userIdentity`.
    pub fn record_use(&self, stream: &str, key: &str, operation: &str, identity: &Value) {
        self.with(|model, now| users::record_use(model, stream, key, operation, identity, now));
    }

    /// The accepted entries of all `PutEvents` calls, as sent.
    #[must_use]
    pub fn put_events(&self) -> Vec<serde_json::Value> {
        self.with(|model, _| model.put_events.clone())
    }

    /// The findings that Security Hub has, by id.
    #[must_use]
    pub fn findings(&self) -> std::collections::BTreeMap<String, serde_json::Value> {
        self.with(|model, _| model.findings.clone())
    }

    /// Sets a parameter in Parameter Store. `kind` is `String` or `SecureString`.
    pub fn parameter(&self, name: &str, kind: &str, value: &str) {
        self.with(|model, now| {
            let parameter = model.parameters.entry(name.to_owned()).or_default();
            kind.clone_into(&mut parameter.kind);
            parameter.versions.push(ParameterVersion { value: value.to_owned(), modified: now });
        });
    }

    /// The newest value of a parameter, and its version; `None` if there is no such parameter.
    #[must_use]
    pub fn parameter_value(&self, name: &str) -> Option<(String, usize)> {
        self.with(|model, _| {
            let versions = &model.parameters.get(name)?.versions;
            Some((versions.last()?.value.clone(), versions.len()))
        })
    }

    /// Deletes all messages of a queue.
    pub fn purge(&self, queue: &str) {
        self.with(|model, _| {
            if let Some(queue) = model.queues.get_mut(queue) {
                queue.messages.clear();
            }
        });
    }

    /// Adds `records` calls that were denied to `by` to CloudTrail's event history: in turn
    /// `StartStreamEncryption` and `StopStreamEncryption`, made just now.
    pub fn flood(&self, by: &Identity, records: usize) {
        self.with(|model, now| cloudtrail::flood(model, by, records, now));
    }

    /// Sets the principal of an access key. An unknown key belongs to the IAM user `developer`.
    pub fn identity(&self, access_key: &str, identity: Identity) {
        self.with(|model, _| model.identities.insert(access_key.to_owned(), identity));
    }

    /// Serves another account, `member`, behind this account's endpoint, to callers that [assume]
    /// `role` with this `ExternalId`. The role is a name, with its path if it has one.
    ///
    /// As in AWS, the access key of a call determines its account.
    ///
    /// [assume]: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
    pub fn admit(&self, member: &Self, role: &str, external_id: &str) {
        let arn = format!(
            "arn:{}:iam::{}:role/{role}",
            crate::domain::arn::partition_of(&self.region()),
            member.account_id()
        );
        let account = member.account_id();
        self.endpoint.add_member(account.clone(), member.endpoint.clone());
        let role = Role { account, name: role.to_owned(), external_id: external_id.to_owned() };
        self.with(|model, _| model.roles.insert(arn, role));
    }

    /// Ends the sessions of all roles that were assumed here, as by a deleted role or by [revoked
    /// sessions]: from now on their calls are refused with this error. Sessions of roles that are
    /// assumed from now on are not affected.
    ///
    /// [revoked sessions]: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html
    pub fn end_sessions(&self, code: &str, message: &str) {
        self.with(|model, _| {
            for session in model.sessions.values_mut() {
                session.refusal = Some(ServiceError::new(code, message));
            }
        });
    }

    /// Adds a fault, which applies from now on.
    pub fn fault(&self, fault: Fault) {
        self.with(|model, _| model.faults.push(fault));
    }

    /// For each fault, in the order in which they were added: whether it has applied to a call.
    #[must_use]
    pub fn faults_met(&self) -> Vec<bool> {
        self.with(|model, _| model.faults.iter().map(|fault| fault.calls.has_met()).collect())
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.with(|model, _| model.faults.clear());
    }

    /// Adds an action.
    pub fn script(&self, script: ScriptedAction) {
        self.with(|model, _| model.scripts.push(script));
    }

    // Inspect the account.

    /// All calls, in the order in which AWS carried them out.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.with(|model, _| model.calls.clone())
    }

    /// The number of calls of `operation`, refused ones included.
    #[must_use]
    pub fn count(&self, operation: &str) -> usize {
        self.with(|model, _| model.calls.iter().filter(|call| call.operation == operation).count())
    }

    /// The number of calls of `operation` on the stream that AWS carried out.
    #[must_use]
    pub fn accepted(&self, operation: &str, name: &str) -> usize {
        let meant =
            |call: &&Call| call.operation == operation && call.stream.as_deref() == Some(name) && call.result.is_ok();
        self.with(|model, _| model.calls.iter().filter(meant).count())
    }

    /// Removes all calls from [`Account::calls`].
    pub fn forget_calls(&self) {
        self.with(|model, _| model.calls.clear());
    }

    /// Removes and returns the events that AWS has sent since the last time, as EventBridge
    /// delivers them: CloudTrail's records of calls, and KMS's own events.
    #[must_use]
    pub fn take_events(&self) -> Vec<Value> {
        self.with(|model, _| std::mem::take(&mut model.events))
    }

    /// The state of the stream; `None` if it does not exist.
    #[must_use]
    pub fn snapshot(&self, name: &str) -> Option<Snapshot> {
        self.with(|model, now| {
            let stream = model.streams.get(name)?;
            Some(Snapshot {
                status: stream.status(now),
                key_id: stream.key_id.clone(),
                tags: stream.tags.clone(),
                shards: stream.shards,
                created: stream.created,
            })
        })
    }

    /// The messages in a queue, those in flight included, in the order in which they were sent.
    #[must_use]
    pub fn messages(&self, queue: &str) -> Vec<QueuedMessage> {
        self.with(|model, _| {
            let messages = model.queues.get(queue).map(|queue| queue.messages.as_slice()).unwrap_or_default();
            let seen = messages.iter().cloned().map(|message| QueuedMessage {
                id: message.id,
                body: message.body,
                attributes: message.attributes,
                receives: message.receives,
                visible_from: message.visible_from,
            });
            seen.collect()
        })
    }
}
