//! The handle on the account: preparing it, and looking at what became of it.

use std::collections::BTreeMap;

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::call::Call;
use super::client;
use super::endpoint::Endpoint;
use super::fault::Fault;
use super::identity::Identity;
use super::key_state::KeyState;
use super::model::{Change, Model, NewKey, Queue, Role, Stream, Target, later};
use super::options::Options;
use super::script::ScriptedAction;
use crate::clock::Clock;

/// One account of AWS in one Region. Cloning gives another handle on the same account.
#[derive(Clone, Debug)]
pub struct Account {
    pub(crate) endpoint: Endpoint,
}

/// A stream to be prepared; ACTIVE, unencrypted, with one shard, and an hour old, unless said
/// otherwise.
#[derive(Clone, Debug)]
#[must_use = "a stream exists once it is given to Account::stream"]
pub struct NewStream {
    name: String,
    created: Option<DateTime<Utc>>,
    key_id: Option<String>,
    tags: BTreeMap<String, String>,
    change: Option<Preparing>,
    retention_hours: u32,
    consumers: u32,
    policy: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preparing {
    Creating,
    Updating,
    StuckUpdating,
    Deleting,
}

impl NewStream {
    /// A stream of this name.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            created: None,
            key_id: None,
            tags: BTreeMap::new(),
            change: None,
            retention_hours: 24,
            consumers: 0,
            policy: String::new(),
        }
    }

    /// Encrypted with this key, which the description shows in exactly this form.
    pub fn encrypted_with(mut self, key_id: &str) -> Self {
        self.key_id = Some(key_id.to_owned());
        self
    }

    /// With this tag too.
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Keeping records for so many hours.
    pub fn keeping(mut self, hours: u32) -> Self {
        self.retention_hours = hours;
        self
    }

    /// With so many registered consumers.
    pub fn consumers(mut self, consumers: u32) -> Self {
        self.consumers = consumers;
        self
    }

    /// With this resource policy, as JSON.
    pub fn policy(mut self, policy: &str) -> Self {
        policy.clone_into(&mut self.policy);
        self
    }

    /// Created then.
    pub fn created_at(mut self, at: DateTime<Utc>) -> Self {
        self.created = Some(at);
        self
    }

    /// Created right now, and CREATING for as long as [`Options::creating`] says.
    pub fn creating(mut self) -> Self {
        self.change = Some(Preparing::Creating);
        self
    }

    /// UPDATING for as long as [`Options::updating`] says, and then as it was.
    pub fn updating(mut self) -> Self {
        self.change = Some(Preparing::Updating);
        self
    }

    /// UPDATING for ever.
    pub fn stuck_updating(mut self) -> Self {
        self.change = Some(Preparing::StuckUpdating);
        self
    }

    /// DELETING for as long as [`Options::deleting`] says.
    pub fn deleting(mut self) -> Self {
        self.change = Some(Preparing::Deleting);
        self
    }
}

/// A stream as it is at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// `CREATING`, `ACTIVE`, `UPDATING` or `DELETING`.
    pub status: &'static str,
    /// The key as the description shows it; `None` is encryption type NONE.
    pub key_id: Option<String>,
    /// The tags.
    pub tags: BTreeMap<String, String>,
    /// The number of open shards.
    pub shards: u32,
    /// When the stream was created.
    pub created: DateTime<Utc>,
}

/// A message on a queue, seen from outside: looking at it receives nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct QueuedMessage {
    /// The message's id.
    pub id: String,
    /// The body.
    pub body: String,
    /// The message attributes as they were sent: `{"Name": {"DataType": "String", "StringValue":
    /// "…"}}`.
    pub attributes: serde_json::Map<String, Value>,
    /// How often it was received.
    pub receives: u32,
    /// When it can be received.
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
    /// An empty account. `account_id` has 12 digits.
    #[must_use]
    pub fn new(clock: Clock, region: &str, account_id: &str) -> Self {
        Self { endpoint: Endpoint::new(clock, region, account_id) }
    }

    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Model, DateTime<Utc>) -> T) -> T {
        self.endpoint.with(work)
    }

    /// The account as the HTTP client of the AWS SDK.
    #[must_use]
    pub fn http_client(&self) -> SharedHttpClient {
        client::http_client(&self.endpoint)
    }

    /// Changes the switches and delays.
    pub fn configure(&self, change: impl FnOnce(&mut Options)) {
        self.with(|model, _| change(&mut model.options));
    }

    /// The Region.
    #[must_use]
    pub fn region(&self) -> String {
        self.endpoint.region()
    }

    /// The account's 12 digits.
    #[must_use]
    pub fn account_id(&self) -> String {
        self.with(|model, _| model.account.clone())
    }

    // Preparing.

    /// Makes a symmetric key that is Enabled, and returns its ARN.
    #[must_use]
    pub fn create_key(&self) -> String {
        self.with(|model, now| model.create_key(NewKey::default(), now))
    }

    /// Makes a key of this spec and usage, such as `RSA_2048` and `ENCRYPT_DECRYPT`, and returns
    /// its ARN.
    #[must_use]
    pub fn create_key_of(&self, spec: &str, usage: &str) -> String {
        self.with(|model, now| {
            model.create_key(NewKey { spec: spec.to_owned(), usage: usage.to_owned(), ..NewKey::default() }, now)
        })
    }

    /// Makes a multi-Region key, the primary, or the replica of one in `primary_region`, and
    /// returns its ARN here.
    #[must_use]
    pub fn create_multi_region_key(&self, primary_region: Option<&str>) -> String {
        let replica_of = primary_region.map(str::to_owned);
        self.with(|model, now| model.create_key(NewKey { multi_region: true, replica_of, ..NewKey::default() }, now))
    }

    /// Makes a key that another account owns and shares, and returns its ARN.
    #[must_use]
    pub fn create_foreign_key(&self, account_id: &str) -> String {
        self.with(|model, now| {
            model.create_key(NewKey { account: Some(account_id.to_owned()), ..NewKey::default() }, now)
        })
    }

    /// Gives a key a state. Nothing happens if there is no such key.
    pub fn set_key_state(&self, key: &str, state: KeyState) {
        self.with(|model, now| model.set_key_state(key, state, now));
    }

    /// Points `alias` to `key`, whether or not there was such an alias.
    pub fn alias(&self, alias: &str, key: &str) {
        self.with(|model, now| model.point_alias(alias, key, now));
    }

    /// The ARN of the key that AWS manages for Kinesis, if something has made it come into being.
    #[must_use]
    pub fn managed_key(&self) -> Option<String> {
        self.with(|model, now| {
            model.find_key(crate::domain::key::AWS_MANAGED_ALIAS, now).ok().map(|key| key.arn.clone())
        })
    }

    /// Makes a stream as described, without a call, in place of one of the same name. Returns its
    /// ARN.
    #[expect(clippy::must_use_candidate, reason = "it is called for what it makes")]
    pub fn stream(&self, new: NewStream) -> String {
        self.with(|model, now| {
            let NewStream { name, created, key_id, tags, change, retention_hours, consumers, policy } = new;
            let an_hour_ago = now - chrono::TimeDelta::hours(1);
            let default = if change == Some(Preparing::Creating) { now } else { an_hour_ago };
            let mut stream = Stream::new(&name, created.unwrap_or(default));
            stream.key_id = key_id;
            stream.tags = tags;
            stream.retention_hours = retention_hours;
            stream.consumers = consumers;
            stream.policy = policy;
            stream.change = change.map(|change| {
                let (target, ends) = match change {
                    Preparing::Creating => (Target::Created, Some(later(now, model.options.creating))),
                    Preparing::Updating => (Target::Unchanged, Some(later(now, model.options.updating))),
                    Preparing::StuckUpdating => (Target::Unchanged, None),
                    Preparing::Deleting => (Target::Gone, Some(later(now, model.options.deleting))),
                };
                Change { target, shows_from: now, ends }
            });
            let arn = model.stream_arn(&name);
            model.streams.insert(name, stream);
            arn
        })
    }

    /// Makes an empty queue, and returns its URL.
    #[expect(clippy::must_use_candidate, reason = "it is called for what it makes")]
    pub fn queue(&self, name: &str) -> String {
        self.with(|model, now| {
            model.queues.entry(name.to_owned()).or_insert_with(|| Queue::new(name, now));
            model.queue_url(name)
        })
    }

    /// Sets an attribute of a queue, as `SetQueueAttributes` would. Nothing happens if there is no
    /// such queue.
    pub fn set_queue_attribute(&self, queue: &str, attribute: &str, value: &str) {
        self.with(|model, _| {
            if let Some(queue) = model.queues.get_mut(queue) {
                queue.attributes.insert(attribute.to_owned(), value.to_owned());
            }
        });
    }

    /// Puts a message on a queue. Nothing happens if there is no such queue.
    pub fn send(&self, queue: &str, body: &str) {
        self.send_with(queue, body, &[]);
    }

    /// Puts a message with these attributes, of type String, on a queue. Nothing happens if there
    /// is no such queue.
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

    /// Gives a key this policy, as JSON. Nothing happens if there is no such key.
    pub fn key_policy(&self, key: &str, policy: &str) {
        self.with(|model, _| {
            if let Some(key) = model.keys.get_mut(key) {
                policy.clone_into(&mut key.policy);
            }
        });
    }

    /// What was put on event buses, entry by entry.
    #[must_use]
    pub fn put_events(&self) -> Vec<serde_json::Value> {
        self.with(|model, _| model.put_events.clone())
    }

    /// Sets a parameter of Parameter Store, of type `kind`: `String` or `SecureString`.
    pub fn parameter(&self, name: &str, kind: &str, value: &str) {
        self.with(|model, _| model.parameters.insert(name.to_owned(), (kind.to_owned(), value.to_owned())));
    }

    /// Empties a queue.
    pub fn purge(&self, queue: &str) {
        self.with(|model, _| {
            if let Some(queue) = model.queues.get_mut(queue) {
                queue.messages.clear();
            }
        });
    }

    /// Says who calls with this access key. Unknown ones are an IAM user.
    pub fn identity(&self, access_key: &str, identity: Identity) {
        self.with(|model, _| model.identities.insert(access_key.to_owned(), identity));
    }

    /// Serves `member`, another account, behind this one's endpoint as well, to whoever takes on
    /// its role `role` (a name, with its path if it has one) with this `ExternalId`. Which account
    /// a call is in is told by its access key, as at AWS.
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

    /// Lets something go wrong from now on.
    pub fn fault(&self, fault: Fault) {
        self.with(|model, _| model.faults.push(fault));
    }

    /// Whether each fault has met a call so far, in the order in which they were given.
    #[must_use]
    pub fn faults_met(&self) -> Vec<bool> {
        self.with(|model, _| model.faults.iter().map(|fault| fault.calls.has_met()).collect())
    }

    /// Lets nothing go wrong any more.
    pub fn clear_faults(&self) {
        self.with(|model, _| model.faults.clear());
    }

    /// Lets something happen.
    pub fn script(&self, script: ScriptedAction) {
        self.with(|model, _| model.scripts.push(script));
    }

    // Looking.

    /// All calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.with(|model, _| model.calls.clone())
    }

    /// How many calls of `operation` arrived, whatever became of them.
    #[must_use]
    pub fn count(&self, operation: &str) -> usize {
        self.with(|model, _| model.calls.iter().filter(|call| call.operation == operation).count())
    }

    /// How many calls of `operation` AWS carried out on the stream `name`.
    #[must_use]
    pub fn accepted(&self, operation: &str, name: &str) -> usize {
        let meant =
            |call: &&Call| call.operation == operation && call.stream.as_deref() == Some(name) && call.result.is_ok();
        self.with(|model, _| model.calls.iter().filter(meant).count())
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        self.with(|model, _| model.calls.clear());
    }

    /// The events since the last time, as `EventBridge` would deliver them: `CloudTrail`'s records
    /// of calls, and KMS's own.
    #[must_use]
    pub fn take_events(&self) -> Vec<Value> {
        self.with(|model, _| std::mem::take(&mut model.events))
    }

    /// The stream as it is now; `None` if there is none.
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

    /// The messages on the queue of this name, hidden ones too, in the order in which they were
    /// sent.
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
