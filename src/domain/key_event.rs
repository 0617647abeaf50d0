//! What can happen to a KMS key or an alias, as far as streams are concerned. Pure.

use super::key::{AliasName, KeyRef};

/// What happened to a key or an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyEvent {
    /// The key material was rotated; the key keeps its ARN.
    Rotated {
        /// The key; by ARN, or by id of the event's account and Region (canonicalised to an ARN
        /// where the event says both).
        key: KeyRef,
    },
    /// The key became unusable, or is about to: `DisableKey`, `ScheduleKeyDeletion`,
    /// `DeleteImportedKeyMaterial`, expiring material, deletion.
    Trouble {
        /// The key.
        key: KeyRef,
        /// The event's name.
        what: String,
    },
    /// The key became usable: `EnableKey`, `ImportKeyMaterial`.
    Usable {
        /// The key.
        key: KeyRef,
        /// The event's name.
        what: String,
    },
    /// `CancelKeyDeletion`, which leaves the key *Disabled*.
    DeletionCancelled {
        /// The key.
        key: KeyRef,
    },
    /// A custom key store was disconnected, connected or updated, and with it all keys in it. The
    /// event names none of them.
    StoreChanged {
        /// The id of the store, `cks-…`.
        store: String,
        /// What was done to it.
        change: StoreChange,
    },
    /// `UpdateAlias` or `CreateAlias`.
    AliasPointed {
        /// The alias.
        alias: AliasName,
        /// The key that it points to now, according to the event.
        target: KeyRef,
    },
    /// `DeleteAlias`.
    AliasDeleted {
        /// The alias.
        alias: AliasName,
    },
}

/// What was done to a [custom key store].
///
/// [custom key store]: https://docs.aws.amazon.com/kms/latest/developerguide/key-store-overview.html
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreChange {
    /// `DisconnectCustomKeyStore`, which makes its keys Unavailable.
    Disconnected,
    /// `ConnectCustomKeyStore`, which takes up to 20 minutes.
    Connected,
    /// `UpdateCustomKeyStore`, after which its keys may be usable or not.
    Updated,
}

impl StoreChange {
    /// The change that an operation of the KMS API makes.
    #[must_use]
    pub fn by(operation: &str) -> Option<Self> {
        [Self::Disconnected, Self::Connected, Self::Updated].into_iter().find(|change| change.operation() == operation)
    }

    /// The operation of the KMS API.
    #[must_use]
    pub fn operation(self) -> &'static str {
        match self {
            Self::Disconnected => "DisconnectCustomKeyStore",
            Self::Connected => "ConnectCustomKeyStore",
            Self::Updated => "UpdateCustomKeyStore",
        }
    }
}
