//! From a payload to what it points at. Pure: reads text, asks nobody.
//!
//! A [`Trigger`] says *where to look*, never what to do: what to do is decided from a fresh look at the stream and the key. Duplicates,
//! replays and disorder are therefore harmless.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::key::{AliasName, KeyRef};
use crate::stream::StreamRef;

/// Why the function woke, as answers and logs show it. Recorded, never branched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
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
    /// A key was disabled, enabled, scheduled for deletion, its material expired, or its alias was deleted.
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
    Unknown,
    /// At these streams; never empty, without repetitions.
    Streams(Vec<StreamRef>),
    /// At every stream of the account and Region, from the one after `start_after` on, in the order of their names.
    Fleet {
        /// The last stream that was already looked at.
        start_after: Option<String>,
    },
    /// At a key, and then perhaps at every stream: whether the key is the configured one is for the caller to find out.
    Key(KeySignal),
}

/// What happened to a key or an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySignal {
    /// The key's material was rotated; its ARN stays.
    Rotated {
        /// The key; by ARN, or by id of the event's account and Region (canonicalised to an ARN where the event says both).
        key: KeyRef,
    },
    /// The key became unusable, or is about to: `DisableKey`, `ScheduleKeyDeletion`, `DeleteImportedKeyMaterial`, expiring material, deletion.
    Trouble {
        /// The key.
        key: KeyRef,
        /// What happened, in words: the event's name.
        what: String,
    },
    /// The key became usable: `EnableKey`, `ImportKeyMaterial`.
    Usable {
        /// The key.
        key: KeyRef,
        /// What happened, in words: the event's name.
        what: String,
    },
    /// `CancelKeyDeletion`, which leaves the key *Disabled*.
    DeletionCancelled {
        /// The key.
        key: KeyRef,
    },
    /// `UpdateAlias` or `CreateAlias`.
    AliasPointed {
        /// The alias.
        alias: AliasName,
        /// The key it points at now, according to the event.
        target: KeyRef,
    },
    /// `DeleteAlias`.
    AliasDeleted {
        /// The alias.
        alias: AliasName,
    },
}

/// What a manual request may ask for besides its target. All `None` for every other trigger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `dryRun`: look and decide, but change nothing.
    pub dry_run: bool,
    /// `reapply`: apply the key also where it is in place already.
    pub reapply: bool,
    /// `deadLetter: false`: answer only, write no dead letter.
    pub no_dead_letter: bool,
}

/// One understood request, taken out of whatever envelopes it came in.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Why we woke.
    pub trigger: Trigger,
    /// Where to look.
    pub scope: Scope,
    /// What a manual request asks for.
    pub wishes: Wishes,
    /// Whether a person asked, and therefore gets an answer instead of a function error.
    pub manual: bool,
    /// How often this was fed back from a dead letter.
    pub feed_backs: u32,
    /// The innermost payload: what a dead letter carries. Never itself a dead letter; a JSON string where the payload was no JSON.
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
    /// An event or a request, invoked directly: one request, more only where a batch was wrapped in an envelope.
    Direct(Vec<Request>),
    /// A batch of an SQS event source mapping, which is answered message by message.
    Batch(Vec<Message>),
}
