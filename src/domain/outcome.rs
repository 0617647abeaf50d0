//! The result for one stream: every stream of a request ends in exactly one [`Outcome`].

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::cloudtrail::Principal;
use crate::domain::failure::{Class, Failure};
use crate::domain::mode::Mode;
use crate::domain::stream::Description;

/// The result in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The function applied the key, and then saw the stream ACTIVE with it.
    Encrypted,
    /// The stream is compliant; nothing was changed.
    Compliant,
    /// The stream is non-compliant, and this is audit mode or a dry run.
    WouldEncrypt,
    /// A tag or a rule exempts the stream.
    Exempt,
    /// The stream no longer exists.
    Gone,
    /// The stream is checked again later.
    Deferred,
    /// The stream was sent to the work queue, as part of a sweep.
    Queued,
    /// Another principal keeps changing the stream's encryption.
    Contested,
    /// A principal can no longer use the stream: the key was denied to it.
    AccessDenied,
    /// A configured key is unusable, or is about to be.
    KeyAtRisk,
    /// The stream could not be checked or encrypted: the outcome has an error.
    Failed,
}

impl Status {
    /// Whether a stream with this status has its configured key, even if that is at risk.
    #[must_use]
    pub fn is_encrypted_as_configured(self) -> bool {
        matches!(self, Self::Compliant | Self::Encrypted | Self::KeyAtRisk)
    }

    /// Every status, in the order of the contract.
    pub const ALL: [Self; 11] = [
        Self::Encrypted,
        Self::Compliant,
        Self::WouldEncrypt,
        Self::Exempt,
        Self::Gone,
        Self::Deferred,
        Self::Queued,
        Self::Contested,
        Self::AccessDenied,
        Self::KeyAtRisk,
        Self::Failed,
    ];

    /// The status's name in answers, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Encrypted => "encrypted",
            Self::Compliant => "compliant",
            Self::WouldEncrypt => "would-encrypt",
            Self::Exempt => "exempt",
            Self::Gone => "gone",
            Self::Deferred => "deferred",
            Self::Queued => "queued",
            Self::Contested => "contested",
            Self::AccessDenied => "access-denied",
            Self::KeyAtRisk => "key-at-risk",
            Self::Failed => "failed",
        }
    }
}

/// Something that a person should know, whatever the status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Warning {
    /// The stream's exemption has expired, and the stream is enforced again.
    ExemptionExpired {
        /// The reason that the exemption gave.
        reason: String,
        /// The last day (UTC) of the exemption, `YYYY-MM-DD`.
        until: String,
    },
    /// The stream's exemption has no end date.
    ExemptionWithoutEnd,
    /// Another principal changed the stream's encryption.
    UndoneBy {
        /// The principal, as `CloudTrail` records it.
        #[serde(flatten)]
        by: Principal,
        /// The time of the latest change.
        at: DateTime<Utc>,
        /// How many changes of the last 24 hours are known.
        times: usize,
    },
    /// Consumers go on needing the present key, for the records that it encrypted.
    PreviousKeyStillNeeded {
        /// The present key, as the stream shows it.
        key: String,
        /// The end of the retention period, if the key were changed now; absent if the retention
        /// period is unknown.
        until: Option<DateTime<Utc>>,
    },
    /// Consumers with enhanced fan-out are registered: each needs `kms:Decrypt` on the new key.
    ConsumersNeedDecrypt {
        /// How many are registered.
        consumers: u32,
    },
    /// Channels deliver the stream's records: the role of each needs `kms:Decrypt` on the new key.
    ChannelsNeedDecrypt {
        /// How many channels the stream has.
        channels: u32,
    },
    /// The stream has queues: whoever reads from them needs `kms:Decrypt` on the new key.
    QueueReadersNeedDecrypt {
        /// How many queues the stream has.
        queues: u32,
    },
    /// The new key's policy does not allow the stream's account to grant access by IAM policies:
    /// producers and consumers need a statement in the key policy.
    KeyPolicyWithoutIam {
        /// The new key's ARN.
        key: String,
    },
    /// The stream's policy allows other accounts to use it, but the new key's policy does not.
    CrossAccountNeedsDecrypt {
        /// The principals of those accounts, as the stream's policy names them.
        principals: Vec<String>,
    },
    /// The new key's policy cannot be read: whether producers and consumers may use the key is
    /// unknown.
    KeyPolicyUnreadable {
        /// The new key's ARN.
        key: String,
        /// The error code, or what is wrong with the policy.
        because: String,
    },
    /// The stream's policy cannot be read: whether other accounts use the stream is unknown.
    StreamPolicyUnreadable {
        /// The error code, or what is wrong with the policy.
        because: String,
    },
    /// The stream has the configured key by an alias that is not configured: whoever may re-point
    /// the alias might change what encrypts the stream.
    KeyByForeignAlias {
        /// The alias, as the stream shows it.
        alias: String,
        /// The key's ARN.
        key: String,
    },
    /// The response to `StartStreamEncryption` was lost; the status is that of later descriptions.
    StartAnswerLost,
    /// KMS calls that Kinesis made for a caller failed.
    CallsFailed {
        /// The principal that is cut off, as the ARN of its role or user; null where the key is
        /// unusable for all.
        principal: Option<String>,
        /// The actions, such as `kms:Decrypt`.
        actions: Vec<String>,
        /// The error code of KMS.
        error: String,
        /// How many calls of the batch failed.
        count: u64,
        /// The first of them.
        first: DateTime<Utc>,
        /// The latest.
        last: DateTime<Utc>,
        /// When the function applied the key, if it did in the last 24 hours; otherwise null.
        applied_at: Option<DateTime<Utc>>,
    },
    /// Sweeps change no stream: a principal is cut off from one that the function changed.
    Halted {
        /// Since when.
        since: DateTime<Utc>,
        /// Who is cut off from what.
        because: String,
    },
    /// Sweeps change streams although a principal is cut off from one that the function changed: they
    /// were halted for as long as they may be.
    HaltUsedUp {
        /// Who is cut off from what.
        because: String,
    },
    /// The stream has the key, which was to be re-applied, but was not.
    NotReapplied {
        /// Why not.
        because: String,
    },
}

/// The result for one stream, or for a key or request that concerns them all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The stream's ARN; the stream as the request named it, if no ARN became known; null if the
    /// result concerns no single stream.
    pub stream: Option<String>,
    /// The result in one word.
    pub status: Status,
    /// The result in one sentence.
    pub reason: String,
    /// The mode in which the stream was assessed.
    pub mode: Mode,
    /// The name of the policy rule that decided; null for the configured default.
    pub rule: Option<String>,
    /// The desired key, as an ARN or as it is configured.
    pub key: Option<String>,
    /// The `KeyId` in the first description of the stream; null if it was not encrypted.
    pub previous_key: Option<String>,
    /// How long the function waited for the stream to become ACTIVE, in milliseconds.
    pub waited_ms: u64,
    /// Whether AWS accepted a `StartStreamEncryption`.
    pub applied: bool,
    /// What else a person should know.
    pub warnings: Vec<Warning>,
    /// What went wrong, if something did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// The last description of the stream, if there was one.
    #[serde(skip)]
    pub seen: Option<Box<Description>>,
    /// When to check the stream again, if it is deferred.
    #[serde(skip)]
    pub deferral: Option<Deferral>,
}

/// When to check a stream again, and why not now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deferral {
    /// The delay from now.
    pub after: Duration,
    /// Why the stream is deferred.
    pub until: DeferReason,
}

/// Why a stream is deferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeferReason {
    /// Its grace period is not over.
    Grace {
        /// Since when every description of the stream showed ACTIVE.
        since: Option<DateTime<Utc>>,
    },
    /// Another principal changed its encryption, and the function backs off.
    Contest {
        /// When the function applied the key in the last 24 hours, as far as is known.
        applied: Vec<DateTime<Utc>>,
    },
    /// AWS is still changing it, and it has been waited for in place long enough.
    Unsettled {
        /// What was started, and what is being waited for.
        what: String,
        /// When the function applied the key in the last 24 hours, as far as is known; empty unless
        /// this invocation did.
        applied: Vec<DateTime<Utc>>,
    },
}

impl Outcome {
    /// An outcome of a status and a reason alone.
    #[must_use]
    pub fn new(stream: Option<String>, status: Status, reason: impl Into<String>, mode: Mode) -> Self {
        Self {
            stream,
            status,
            reason: reason.into(),
            mode,
            rule: None,
            key: None,
            previous_key: None,
            waited_ms: 0,
            applied: false,
            warnings: Vec::new(),
            error: None,
            seen: None,
            deferral: None,
        }
    }

    /// The outcome of `failure`.
    #[must_use]
    pub fn failed(stream: Option<String>, failure: Failure, mode: Mode) -> Self {
        let status = match failure.class {
            Class::Retryable | Class::Terminal => Status::Failed,
            Class::Gone => Status::Gone,
            Class::Contested => Status::Contested,
        };
        let outcome = Self::new(stream, status, failure.message.clone(), mode);
        // A stream that no longer exists is not an error.
        let error = (status != Status::Gone).then_some(failure);
        Self { error, ..outcome }
    }
}
