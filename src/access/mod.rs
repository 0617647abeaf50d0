//! Who may use a KMS key for a stream: from policies to an answer. Pure.
//!
//! Kinesis calls KMS with its callers' permissions: `kms:GenerateDataKey` for a producer,
//! `kms:Decrypt` for a consumer, with the stream's ARN as the encryption context. A principal that
//! may not is cut off as soon as its stream is encrypted with the key. Source: [Permissions to use
//! user-generated KMS keys][permissions].
//!
//! The answer is yes, no or unknown. Whatever could not be read, or depends on what only the caller
//! knows, makes the answer *unknown*, with the reason. A *yes* leaves out of account only what
//! nothing shows: session policies, and the policies of the organization that IAM does not simulate
//! (docs/ACCESS.md). A principal that no longer exists has nothing to lose: it is *gone*.
//!
//! [permissions]: https://docs.aws.amazon.com/streams/latest/dev/permissions-user-key-KMS.html

mod condition;
pub mod fix;
mod principal;
mod record;
mod simulation;
mod statement;
mod truth;
mod usage;
mod verdict;

#[cfg(test)]
mod tests;

use serde::Serialize;

pub use self::condition::{CONTEXT_KEY, via_service};
pub use self::principal::Principal;
pub use self::record::{Use, used_by};
pub use self::simulation::{ContextEntry, Simulation};
pub use self::statement::{KeyPolicyAnswer, key_policy_answer};
pub use self::truth::Truth;
pub use self::usage::{Evidence, KnownUse, User, Users, allowed_by};
pub use self::verdict::{Grant, Identity, KeyAccess, Reason, Verdict, verdict};
use crate::domain::stream::StreamArn;

/// The call that Kinesis makes to KMS for a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Action {
    /// For a producer.
    #[serde(rename = "kms:GenerateDataKey")]
    GenerateDataKey,
    /// For a consumer.
    #[serde(rename = "kms:Decrypt")]
    Decrypt,
}

impl Action {
    /// The action as IAM names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GenerateDataKey => "kms:GenerateDataKey",
            Self::Decrypt => "kms:Decrypt",
        }
    }
}

/// A call for `principal`, of which it is asked whether it is allowed. The key is in
/// [`KeyAccess`].
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who uses the stream.
    pub principal: &'a Principal,
    /// What Kinesis calls for it.
    pub action: Action,
    /// The stream, which is the encryption context.
    pub stream: &'a StreamArn,
}
