//! The states of a KMS key.

use std::fmt;

/// [`KeyState`] of the KMS API. The developer guide says [what each state allows][states].
///
/// [`KeyState`]: https://docs.aws.amazon.com/kms/latest/APIReference/API_KeyMetadata.html
/// [states]: https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the KMS API's names, explained there")]
pub enum KeyState {
    Creating,
    Enabled,
    Disabled,
    PendingDeletion,
    PendingImport,
    PendingReplicaDeletion,
    Unavailable,
    Updating,
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
