//! The requests that payloads are read into: what triggered the function, and where to look.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::denial::Denial;
use crate::domain::json::json_or_text;
use crate::domain::key_event::KeyEvent;
use crate::domain::stream::StreamRef;
use crate::domain::trigger_facts::TriggerFacts;

/// What triggered the function, as answers and logs show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TriggerKind {
    /// `CreateStream` was called.
    StreamCreated,
    /// `StopStreamEncryption` was called.
    EncryptionStopped,
    /// Another principal called `StartStreamEncryption`.
    EncryptionChanged,
    /// The key material of a KMS key was rotated.
    KeyRotated,
    /// An alias points to another key.
    AliasRepointed,
    /// A key was disabled, enabled or scheduled for deletion, its key material expired, or its
    /// alias was deleted.
    KeyStateChanged,
    /// A stream's tags changed.
    TagsChanged,
    /// AWS Config evaluated a stream as non-compliant, or recorded a change of it.
    ComplianceChanged,
    /// Security Hub has a finding about a stream.
    SecurityFinding,
    /// KMS calls failed that Kinesis made for a caller.
    AccessDenied,
    /// The schedule.
    Scheduled,
    /// A manual request.
    Manual,
    /// A work item from the work queue.
    WorkItem,
    /// The payload is not supported.
    Unknown,
    /// The payload is supported, but needs no action.
    Ignored,
}

/// What triggered the function: the head of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// The kind of trigger.
    pub kind: TriggerKind,
    /// Why the payload is ignored or unsupported, or what became of a request that concerns no
    /// stream; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The event's id, which is the correlation id of the logs.
    pub event_id: Option<String>,
    /// When the event happened.
    pub event_time: Option<DateTime<Utc>>,
    /// The account that the event happened in.
    pub account: Option<String>,
    /// The Region that the event happened in.
    pub region: Option<String>,
}

/// The streams or the key that a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nothing: the payload is ignored, for the reason in the [`Trigger`].
    Nothing,
    /// Unknown: the payload is not supported, for the reason in the [`Trigger`].
    Unknown {
        /// Whether another version of this function may support it: a deployment is under way while
        /// work items of two versions are in the queue.
        retryable: bool,
    },
    /// Several requests of a payload, which were not reached before the time was up: the handler
    /// makes such a request of them, no reader does.
    NotReached,
    /// These streams: at least one, each once.
    Streams(Vec<StreamRef>),
    /// Every stream of an account in the Region, in the order of their names, from the one after
    /// `start_after` on.
    Fleet {
        /// The accounts.
        of: Fleets,
        /// The last stream that was reached already.
        start_after: Option<String>,
    },
    /// A KMS call that Kinesis made for a caller, and that failed. Usually such calls come by a queue
    /// of their own, many at once.
    Denied(Box<Denial>),
    /// The halt of sweeps, which a person ends.
    Resume,
    /// A key, and every stream if it is a configured one, which the caller has to find out.
    Key(KeyEvent),
}

/// The accounts that a sweep covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fleets {
    /// The function's own account.
    Own,
    /// The function's own account and every member account.
    All,
    /// This account; the caller has to check that it is the function's own account or a member
    /// account.
    Account(String),
}

impl From<Option<String>> for Fleets {
    fn from(account: Option<String>) -> Self {
        account.map_or(Self::Own, Self::Account)
    }
}

/// The options of a manual request; defaults for every other trigger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestOptions {
    /// `dryRun`: report what would be done, and change nothing.
    pub dry_run: bool,
    /// `reapply`: apply the key also to streams that have it already.
    pub reapply: bool,
    /// `deadLetter: false`: report failures in the answer only.
    pub no_dead_letter: bool,
}

/// What only a work item carries; defaults for every other trigger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkItemContext {
    /// The kind of the trigger that led to the work item.
    pub origin_kind: Option<TriggerKind>,
    /// How often the work was requeued.
    pub hops: u32,
    /// The earliest time to work on it.
    pub not_before: Option<DateTime<Utc>>,
    /// The time after which the key is no longer re-applied.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether it is a part of a sweep.
    pub part_of_sweep: bool,
    /// The messages of key failures that the sweep has reported once for all streams.
    pub reported: Vec<String>,
    /// Of a key event that is looked at for the second time: the keys, in canonical form, with which
    /// the sweep at the first look was made. Absent if there was none.
    pub swept_with: Option<Vec<String>>,
}

/// What only an event of Security Hub carries; defaults for every other trigger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindingFacts {
    /// What the findings present as streams, and what cannot be read as one: texts for a reason.
    /// The streams that can be read are in the [`Scope`].
    pub unreadable: Vec<String>,
    /// Whether a person selected the findings, by a custom action.
    pub selected: bool,
}

/// One request, out of its envelopes.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What triggered the function.
    pub trigger: Trigger,
    /// The streams or the key that it is about.
    pub scope: Scope,
    /// The options of a manual request.
    pub options: RequestOptions,
    /// Facts from the trigger that decisions need besides the target.
    pub facts: TriggerFacts,
    /// What a work item carries.
    pub work: WorkItemContext,
    /// What an event of Security Hub carries.
    pub finding: FindingFacts,
    /// Whether it is a manual request, whose failures are answered instead of failing the function.
    pub manual: bool,
    /// Whether it came through a topic or a pipe, to which others may be able to write.
    pub relayed: bool,
    /// How often it was redriven from the dead-letter queue.
    pub redrives: u32,
    /// The innermost payload, which a dead letter carries. Never a dead letter itself; a JSON
    /// string if the payload was not JSON.
    pub payload: Value,
}

impl Request {
    /// The streams that it names.
    #[must_use]
    pub fn streams(&self) -> &[StreamRef] {
        if let Scope::Streams(streams) = &self.scope { streams } else { &[] }
    }
}

/// One message of an SQS batch, with the requests found in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The SQS message id, by which a partial batch response names the message.
    pub id: String,
    /// The handle for `ChangeMessageVisibility`.
    pub receipt_handle: Option<String>,
    /// `ApproximateReceiveCount`: 1 at the first receive.
    pub receive_count: u32,
    /// The requests in the message: one, unless the message wraps a batch.
    pub requests: Vec<Request>,
}

/// The requests in one payload.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery {
    /// A direct invocation: one request, unless an envelope wraps a batch.
    Direct(Vec<Request>),
    /// A batch from an SQS event source mapping, which is answered message by message.
    Batch(Vec<Message>),
}

impl Delivery {
    /// All requests.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        let (direct, batch) = match self {
            Self::Direct(requests) => (requests.as_slice(), [].as_slice()),
            Self::Batch(messages) => ([].as_slice(), messages.as_slice()),
        };
        direct.iter().chain(batch.iter().flat_map(|message: &Message| &message.requests))
    }

    /// All requests, mutably.
    pub fn requests_mut(&mut self) -> impl Iterator<Item = &mut Request> {
        let (direct, batch) = match self {
            Self::Direct(requests) => (requests.as_mut_slice(), [].as_mut_slice()),
            Self::Batch(messages) => ([].as_mut_slice(), messages.as_mut_slice()),
        };
        direct.iter_mut().chain(batch.iter_mut().flat_map(|message: &mut Message| &mut message.requests))
    }
}

/// A payload as Lambda delivers it.
///
/// Lambda accepts any JSON. What [`Value`] cannot represent (more than 128 levels, half a surrogate
/// pair, `1e400`) or represents only in part (an object with a key twice) is kept as a string, like
/// a message body that is not JSON. It is then reported and dead-lettered like any other
/// unsupported payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload(pub Value);

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
        Ok(Self(json_or_text(text.get())))
    }
}
