//! The state of one account and the rules by which it changes, without HTTP, JSON requests or
//! waiting.
//!
//! Nothing runs in the background. A change is due at an instant, and [`Model::advance`] applies
//! all that are due whenever the account is looked at.

mod keys;
mod parameters;
mod queues;
mod roles;
mod streams;
mod users;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

pub(crate) use self::keys::{DataKey, Key, KeyUse, NewKey};
pub(crate) use self::parameters::{Parameter, ParameterVersion};
pub(crate) use self::queues::{Message, Queue, no_such_queue};
pub(crate) use self::roles::{Role, Session};
pub(crate) use self::streams::{Change, NewRecord, Record, Stream, Target};
pub use self::users::UsedBy;
pub(crate) use self::users::UserModel;
use super::arn::arn_of;
use super::call::Call;
use super::fault::Fault;
use super::identity::Identity;
use super::options::Options;
use super::script::{Action, ScriptedAction, has_to_wait};
use super::service_error::ServiceError;

/// Everything in one account and Region.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) region: String,
    pub(crate) account: String,
    pub(crate) options: Options,
    pub(crate) streams: BTreeMap<String, Stream>,
    pub(crate) keys: BTreeMap<String, Key>,
    pub(crate) aliases: BTreeMap<String, EventuallyConsistent<Option<String>>>,
    /// Custom key stores, by id: whether each is connected.
    pub(crate) stores: BTreeMap<String, bool>,
    pub(crate) queues: BTreeMap<String, Queue>,
    pub(crate) identities: BTreeMap<String, Identity>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) scripts: Vec<ScriptedAction>,
    pub(crate) calls: Vec<Call>,
    pub(crate) events: Vec<Value>,
    pub(crate) history: Vec<HistoryRecord>,
    /// What uses the streams, and the principals with their policies.
    pub(crate) users: UserModel,
    /// When Kinesis fetched each data key.
    pub(crate) data_keys: BTreeMap<DataKey, DateTime<Utc>>,
    /// The entries of `PutEvents`, as sent.
    pub(crate) put_events: Vec<Value>,
    /// The findings of Security Hub, by id.
    pub(crate) findings: BTreeMap<String, Value>,
    /// Parameters of Parameter Store, by name.
    pub(crate) parameters: BTreeMap<String, Parameter>,
    /// Roles of member accounts that callers here may assume, by ARN.
    pub(crate) roles: BTreeMap<String, Role>,
    /// Sessions of those roles, by access key.
    pub(crate) sessions: BTreeMap<String, Session>,
    /// Calls of other principals that `cloudtrail` has not recorded yet, oldest first.
    pub(crate) unrecorded: Vec<ScriptedCall>,
    scheduled: Vec<Scheduled>,
    recent: BTreeMap<String, VecDeque<DateTime<Utc>>>,
    random: fastrand::Rng,
}

/// A call in the event history. `detail` is its CloudTrail record.
#[derive(Clone, Debug)]
pub(crate) struct HistoryRecord {
    pub(crate) at: DateTime<Utc>,
    pub(crate) detail: Value,
}

/// A change of encryption that a [`ScriptedAction`] requested as another principal.
#[derive(Clone, Debug)]
pub(crate) struct ScriptedCall {
    pub(crate) operation: &'static str,
    pub(crate) stream_arn: String,
    pub(crate) key_id: String,
    pub(crate) by: Identity,
    pub(crate) result: Result<(), ServiceError>,
    pub(crate) at: DateTime<Utc>,
    pub(crate) ids: RecordIds,
}

/// The ids in the record and the event of one call. They are drawn when the call is made, so that
/// the ids drawn later do not depend on when it is recorded.
#[derive(Clone, Debug)]
pub(crate) struct RecordIds {
    pub(crate) request: String,
    pub(crate) record: String,
    pub(crate) event: String,
}

#[derive(Debug)]
struct Scheduled {
    due: DateTime<Utc>,
    stream: Option<String>,
    action: Action,
}

/// How long another principal waits before it retries a call that needs the stream to be ACTIVE.
const SCRIPTED_RETRY_DELAY: Duration = Duration::from_millis(500);

impl Model {
    pub(crate) fn new(region: &str, account: &str) -> Self {
        Self {
            region: region.to_owned(),
            account: account.to_owned(),
            options: Options::default(),
            streams: BTreeMap::new(),
            keys: BTreeMap::new(),
            aliases: BTreeMap::new(),
            stores: BTreeMap::new(),
            queues: BTreeMap::new(),
            identities: BTreeMap::new(),
            faults: Vec::new(),
            scripts: Vec::new(),
            calls: Vec::new(),
            events: Vec::new(),
            history: Vec::new(),
            users: UserModel::default(),
            data_keys: BTreeMap::new(),
            put_events: Vec::new(),
            findings: BTreeMap::new(),
            parameters: BTreeMap::new(),
            roles: BTreeMap::new(),
            sessions: BTreeMap::new(),
            unrecorded: Vec::new(),
            scheduled: Vec::new(),
            recent: BTreeMap::new(),
            // Ids only have to differ. A fixed seed makes two runs identical.
            random: fastrand::Rng::with_seed(20_131_202),
        }
    }

    /// Applies everything that is due by `now`, in the order in which it is due.
    pub(crate) fn advance(&mut self, now: DateTime<Utc>) {
        while let Some(index) = self.next_due(now) {
            let Scheduled { due, stream, action } = self.scheduled.remove(index);
            self.settle_streams(due);
            self.perform(action, stream, due);
        }
        self.settle_streams(now);
    }

    fn next_due(&self, now: DateTime<Utc>) -> Option<usize> {
        let due = self.scheduled.iter().enumerate().filter(|(_, scheduled)| scheduled.due <= now);
        due.min_by_key(|(_, scheduled)| scheduled.due).map(|(index, _)| index)
    }

    /// Schedules the actions that follow this call, and applies those that are due.
    pub(crate) fn run_scripts(&mut self, operation: &str, stream: Option<&str>, now: DateTime<Utc>) {
        let mut due = Vec::new();
        for script in &mut self.scripts {
            if script.calls.counts(operation, stream)
                && let Some(action) = script.action.take()
            {
                let stream = script.calls.stream().or(stream).map(str::to_owned);
                due.push(Scheduled { due: later(now, script.later), stream, action });
            }
        }
        self.scheduled.extend(due);
        self.advance(now);
    }

    fn perform(&mut self, action: Action, stream: Option<String>, now: DateTime<Utc>) {
        let result = match (&action, &stream) {
            (Action::SetKeyState { key, state }, _) => {
                self.set_key_state(key, *state, now);
                Ok(())
            }
            (Action::PointAlias { alias, key }, _) => {
                self.point_alias(alias, key, now);
                Ok(())
            }
            (_, None) => Ok(()),
            (Action::DeleteStream, Some(name)) => self.delete_stream(name, now),
            (Action::NeverSettle, Some(name)) => self.modify_change(name, |change| change.ends = None),
            (Action::SettleUnchanged, Some(name)) => {
                self.modify_change(name, |change| change.target = Target::Unchanged)
            }
            (Action::Reshard(shards), Some(name)) => self.reshard(name, *shards, now),
            (Action::StartEncryption { key_id, by }, Some(name)) => {
                let result = self.start_encryption(name, key_id, now);
                self.queue_for_recording("StartStreamEncryption", name, key_id, by, &result, now);
                result
            }
            (Action::StopEncryption { by }, Some(name)) => {
                let key_id = self.streams.get(name).and_then(|stream| stream.key_id.clone()).unwrap_or_default();
                let result = self.stop_encryption(name, now);
                self.queue_for_recording("StopStreamEncryption", name, &key_id, by, &result, now);
                result
            }
        };
        if result.is_err_and(|refusal| has_to_wait(&refusal)) {
            self.scheduled.push(Scheduled { due: now + SCRIPTED_RETRY_DELAY, stream, action });
        }
    }

    fn queue_for_recording(
        &mut self,
        operation: &'static str,
        stream: &str,
        key_id: &str,
        by: &Identity,
        result: &Result<(), ServiceError>,
        at: DateTime<Utc>,
    ) {
        let ids = self.record_ids();
        self.unrecorded.push(ScriptedCall {
            operation,
            stream_arn: self.stream_arn(stream),
            key_id: key_id.to_owned(),
            by: by.clone(),
            result: result.clone(),
            at,
            ids,
        });
    }

    /// The ids for the record and the event of the next call.
    pub(crate) fn record_ids(&mut self) -> RecordIds {
        RecordIds { request: self.guid(), record: self.guid(), event: self.guid() }
    }

    /// Refuses a call that exceeds the account's limit on calls per second. The limits are those of
    /// [Kinesis] and of [LookupEvents].
    ///
    /// Kinesis returns the same code for a quota that is used up; only the message differs.
    ///
    /// [Kinesis]: https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
    /// [LookupEvents]: https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
    pub(crate) fn limit_rate(&mut self, operation: &str, now: DateTime<Utc>) -> Result<(), ServiceError> {
        let allowed = match operation {
            "DescribeStreamSummary" => 20,
            "DescribeStream" => 10,
            "ListStreams"
            | "ListTagsForStream"
            | "CreateStream"
            | "AddTagsToStream"
            | "RemoveTagsFromStream"
            | "DeleteStream" => 5,
            "LookupEvents" => 2,
            _ => return Ok(()),
        };
        let recent = self.recent.entry(operation.to_owned()).or_default();
        while recent.front().is_some_and(|&at| at + Duration::from_secs(1) <= now) {
            recent.pop_front();
        }
        if self.options.rate_limits && recent.len() >= allowed {
            let code = if operation == "LookupEvents" { "ThrottlingException" } else { "LimitExceededException" };
            return Err(ServiceError::new(code, format!("Rate exceeded for account {}.", self.account)));
        }
        recent.push_back(now);
        Ok(())
    }

    /// A random id in the form of a GUID.
    pub(crate) fn guid(&mut self) -> String {
        let digits = self.hex(32);
        let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
        [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
    }

    /// Random hexadecimal digits.
    pub(crate) fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| self.random.digit(16)).collect()
    }

    pub(crate) fn stream_arn(&self, name: &str) -> String {
        arn_of("kinesis", &self.region, &self.account, &format!("stream/{name}"))
    }
}

/// `now + time`, saturating, so that `Duration::MAX` means "never" and does not panic.
pub(crate) fn later(now: DateTime<Utc>, time: Duration) -> DateTime<Utc> {
    chrono::TimeDelta::from_std(time)
        .ok()
        .and_then(|time| now.checked_add_signed(time))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// A value whose change becomes visible to readers after a lag.
#[derive(Clone, Debug)]
pub(crate) struct EventuallyConsistent<T> {
    now: T,
    before: T,
    seen_from: DateTime<Utc>,
}

impl<T: Clone> EventuallyConsistent<T> {
    pub(crate) fn new(value: T, at: DateTime<Utc>) -> Self {
        Self { before: value.clone(), now: value, seen_from: at }
    }

    /// Changes the value. Until `now + lag`, readers see the previous one.
    pub(crate) fn set(&mut self, value: T, now: DateTime<Utc>, lag: Duration) {
        self.before = self.seen(now).clone();
        self.now = value;
        self.seen_from = later(now, lag);
    }

    /// The value that a reader sees.
    pub(crate) fn seen(&self, now: DateTime<Utc>) -> &T {
        if now < self.seen_from { &self.before } else { &self.now }
    }

    /// When readers see the last change.
    pub(crate) fn changed(&self) -> DateTime<Utc> {
        self.seen_from
    }

    /// The value that was set last.
    pub(crate) fn actual(&self) -> &T {
        &self.now
    }
}
