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
