//! What a payload asks for, once it is understood: why the function woke, and where to look.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::key_event::KeyEvent;
use crate::domain::stream::StreamRef;
use crate::domain::trigger_facts::TriggerFacts;

/// Why the function woke, as answers and logs show it. Recorded, never branched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TriggerKind {
    /// `CreateStream` was called.
    StreamCreated,
    /// `StopStreamEncryption` was called.
    EncryptionStopped,
    /// `StartStreamEncryption` was called by somebody else.
    EncryptionChanged,
    /// A KMS key's material was rotated.
    KeyRotated,
    /// An alias points at another key.
    AliasRepointed,
    /// A key was disabled, enabled, scheduled for deletion, its material expired, or its alias was
    /// deleted.
    KeyStateChanged,
    /// A stream's tags changed.
    TagsChanged,
    /// AWS Config found a stream wanting, or recorded a change of it.
    ComplianceChanged,
    /// Security Hub found a stream wanting.
    SecurityFinding,
    /// A schedule fired.
    Scheduled,
    /// A person asked.
    Manual,
    /// Our own work item.
    WorkItem,
    /// The payload was not understood.
    Unknown,
    /// The payload was understood and asks for nothing.
    Ignored,
}

/// The head of an answer: why the function woke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// What kind of thing happened.
    pub kind: TriggerKind,
    /// Why it is ignored or not understood; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The event's id: the correlation id of the logs.
    pub event_id: Option<String>,
    /// When it happened.
    pub event_time: Option<DateTime<Utc>>,
    /// The account it happened in.
    pub account: Option<String>,
    /// The Region it happened in.
    pub region: Option<String>,
}

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nowhere: ignored, with the reason in the [`Trigger`].
    Nothing,
    /// Not understood: the reason is in the [`Trigger`].
    Unknown {
        /// Whether it may be understood later: a work item of the version that is being deployed just now.
        retryable: bool,
    },
    /// At these streams; never empty, without repetitions.
    Streams(Vec<StreamRef>),
    /// At every stream of an account and the Region, from the one after `start_after` on, in the
    /// order of their names.
    Fleet {
        /// Of which account, or accounts.
        of: Fleets,
        /// The last stream that was already looked at.
        start_after: Option<String>,
    },
    /// At a key, and then perhaps at every stream: whether the key is the configured one is for the
    /// caller to find out.
    Key(KeyEvent),
}

/// Whose streams a sweep is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fleets {
    /// The function's own account's.
    Own,
    /// Those of the function's own account and of every member.
    All,
    /// Those of this account: whether it is a member is for the caller to find out.
    Account(String),
}

impl From<Option<String>> for Fleets {
    fn from(account: Option<String>) -> Self {
        account.map_or(Self::Own, Self::Account)
    }
}

/// What a manual request may ask for besides its target. All `None` for every other trigger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestOptions {
    /// `dryRun`: look and decide, but change nothing.
    pub dry_run: bool,
    /// `reapply`: apply the key also where it is in place already.
    pub reapply: bool,
    /// `deadLetter: false`: answer only, write no dead letter.
    pub no_dead_letter: bool,
}

/// What only a work item brings along; empty for everything else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkItemContext {
    /// The kind of trigger that the work goes back to.
    pub origin_kind: Option<TriggerKind>,
    /// How often the work was requeued.
    pub hops: u32,
    /// Not to be worked on before.
    pub not_before: Option<DateTime<Utc>>,
    /// After this the key is no longer re-applied.
    pub expires_at: Option<DateTime<Utc>>,
    /// The failures of keys that were reported for the whole fleet.
    pub reported: Vec<String>,
}

/// One understood request, taken out of whatever envelopes it came in.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Why we woke.
    pub trigger: Trigger,
    /// Where to look.
    pub scope: Scope,
    /// What a manual request asks for.
    pub options: RequestOptions,
    /// What the trigger says beyond where to look.
    pub facts: TriggerFacts,
    /// What a work item brings along.
    pub work: WorkItemContext,
    /// Whether a person asked, and therefore gets an answer instead of a function error.
    pub manual: bool,
    /// How often this was fed back from a dead letter.
    pub redrives: u32,
    /// The innermost payload: what a dead letter carries. Never itself a dead letter; a JSON string
    /// where the payload was no JSON.
    pub payload: Value,
}

/// One message of an SQS batch, with the requests found in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The SQS message id: what a partial batch response names.
    pub id: String,
    /// The handle to change its visibility with.
    pub receipt_handle: Option<String>,
    /// `ApproximateReceiveCount`: 1 at the first receive.
    pub receive_count: u32,
    /// What the message asks for: one request, more only where a batch was wrapped in it.
    pub requests: Vec<Request>,
}

/// A payload as Lambda delivered it.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery {
    /// An event or a request, invoked directly: one request, more only where a batch was wrapped in
    /// an envelope.
    Direct(Vec<Request>),
    /// A batch of an SQS event source mapping, which is answered message by message.
    Batch(Vec<Message>),
}

impl Delivery {
    /// All requests in it.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        let (direct, batch) = match self {
            Self::Direct(requests) => (requests.as_slice(), [].as_slice()),
            Self::Batch(messages) => ([].as_slice(), messages.as_slice()),
        };
        direct.iter().chain(batch.iter().flat_map(|message: &Message| &message.requests))
    }

    /// All requests in it, to be changed.
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
/// Lambda takes any JSON. What [`Value`] does not hold (more than 128 levels, half a surrogate
/// pair, `1e400`) is kept as text, as a message body that is no JSON is: it is then reported and
/// dead-lettered like any other payload that is not understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload(pub Value);

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(text.get()).unwrap_or_else(|_| Value::String(text.get().to_owned()))))
    }
}
