//! How it ended for one stream: every target ends in exactly one [`Outcome`].

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::encryption_change::Principal;
use crate::domain::failure::{Class, Failure};
use crate::domain::mode::Mode;
use crate::domain::stream::Description;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// We applied the key, and saw the stream ACTIVE with it.
    Encrypted,
    /// The stream was right already.
    Compliant,
    /// It would be encrypted, if this were not audit mode or a dry run.
    WouldEncrypt,
    /// It is exempt.
    Exempt,
    /// It does not exist any more.
    Gone,
    /// It is looked at again later.
    Deferred,
    /// It was queued, as part of a sweep.
    Queued,
    /// Somebody undoes what we do.
    Contested,
    /// The key is, or is about to become, unusable.
    KeyAtRisk,
    /// It failed.
    Failed,
}

impl Status {
    /// Every status, in the order of the contract.
    pub const ALL: [Self; 10] = [
        Self::Encrypted,
        Self::Compliant,
        Self::WouldEncrypt,
        Self::Exempt,
        Self::Gone,
        Self::Deferred,
        Self::Queued,
        Self::Contested,
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
            Self::KeyAtRisk => "key-at-risk",
            Self::Failed => "failed",
        }
    }
}

/// Something a person should know although it went well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Warning {
    /// The stream was exempt until a day that has passed, and is enforced again.
    ExemptionExpired {
        /// The reason it had.
        reason: String,
        /// The last day it held.
        until: String,
    },
    /// The stream is exempt without an end.
    ExemptionWithoutEnd,
    /// Somebody else changed the stream's encryption.
    UndoneBy {
        /// Who, as far as `CloudTrail` says.
        #[serde(flatten)]
        by: Principal,
        /// When, last.
        at: DateTime<Utc>,
        /// How often in the last 24 hours, as far as is known.
        times: usize,
    },
    /// Consumers need the key that the stream has now, too, for the records that it encrypted.
    PreviousKeyStillNeeded {
        /// The key, as the stream shows it.
        key: String,
        /// Until when, if it were changed now: the retention period has passed then. Unknown where
        /// the service does not tell the period.
        until: Option<DateTime<Utc>>,
    },
    /// Consumers with enhanced fan-out are registered: each needs `kms:Decrypt` on the new key.
    ConsumersNeedDecrypt {
        /// How many.
        consumers: u32,
    },
    /// The new key's policy does not leave it to IAM of the stream's account: producers and
    /// consumers need a statement in the key policy.
    KeyPolicyWithoutIam {
        /// The key.
        key: String,
    },
    /// Other accounts may use the stream, but not the new key.
    CrossAccountNeedsDecrypt {
        /// Who.
        principals: Vec<String>,
    },
    /// The new key's policy cannot be read, so whether producers and consumers may use it is not
    /// known.
    KeyPolicyUnreadable {
        /// The key.
        key: String,
        /// Why.
        because: String,
    },
    /// The stream's policy cannot be read, so whether other accounts use it is not known.
    StreamPolicyUnreadable {
        /// Why.
        because: String,
    },
    /// The answer to the start was lost; what was seen afterwards is what counts.
    StartAnswerLost,
}

/// How it ended for one stream, or for something that concerns all of them (`stream` is null then).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The stream's ARN; what was asked for, where no ARN became known.
    pub stream: Option<String>,
    /// How it ended.
    pub status: Status,
    /// Why, in one sentence.
    pub reason: String,
    /// The mode that it was judged in.
    pub mode: Mode,
    /// The policy rule that decided; null for the configured default.
    pub rule: Option<String>,
    /// The key that the stream is to have.
    pub key: Option<String>,
    /// The `KeyId` that the stream had when it was first seen; null for none.
    pub previous_key: Option<String>,
    /// How long was waited, in milliseconds.
    pub waited_ms: u64,
    /// Whether we had a `StartStreamEncryption` accepted.
    pub applied: bool,
    /// What a person should know besides.
    pub warnings: Vec<Warning>,
    /// What went wrong, where something did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// What the last look showed, where there was one.
    #[serde(skip)]
    pub seen: Option<Box<Description>>,
    /// When to look again, where it is deferred.
    #[serde(skip)]
    pub deferral: Option<Deferral>,
}

/// When to look at a stream again, and what is known of its quiet by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deferral {
    /// After how long.
    pub after: Duration,
    /// What for.
    pub until: DeferReason,
}

/// What a deferred stream is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeferReason {
    /// Whoever made it may not be done with it.
    Grace {
        /// Since when the stream was only seen ACTIVE.
        since: Option<DateTime<Utc>>,
    },
    /// Somebody undoes what we do.
    Contest {
        /// Our applications that are known.
        applied: Vec<DateTime<Utc>>,
    },
}

impl Outcome {
    /// An outcome with nothing but its status and reason.
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

    /// The outcome that `failure` leads to.
    #[must_use]
    pub fn failed(stream: Option<String>, failure: Failure, mode: Mode) -> Self {
        let status = match failure.class {
            Class::Retryable | Class::Terminal => Status::Failed,
            Class::Gone => Status::Gone,
            Class::Contested => Status::Contested,
        };
        let outcome = Self::new(stream, status, failure.message.clone(), mode);
        // A stream that is gone asks for nothing: the reason says so, and there is no error to act
        // on.
        let error = (status != Status::Gone).then_some(failure);
        Self { error, ..outcome }
    }
}
