//! Happenings: what others do to the account while the program is at work.

use std::time::Duration;

use super::fault::Match;
use super::identity::Identity;
use super::key_state::KeyState;
use super::service_error::ServiceError;

/// What somebody else does, or what AWS does unexpectedly.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    DeleteStream,
    StartEncryption { key_id: String, by: Identity },
    StopEncryption { by: Identity },
    Reshard(u32),
    NeverSettle,
    SettleUnchanged,
    SetKeyState { key: String, state: KeyState },
    PointAlias { alias: String, key: String },
}

/// Something that happens once, right after the n-th call of an operation (the first, if not said
/// otherwise), or a while later.
///
/// What concerns a stream concerns the one that the call named.
#[derive(Clone, Debug)]
#[must_use = "a happening does nothing until it is given to Account::happening"]
pub struct ScriptedAction {
    pub(crate) calls: Match,
    pub(crate) later: Duration,
    pub(crate) action: Option<Action>,
}

impl ScriptedAction {
    /// After the first call of `operation`.
    pub fn after(operation: &str) -> Self {
        let mut calls = Match::on(operation);
        calls.nth(&(1..=1));
        Self { calls, later: Duration::ZERO, action: None }
    }

    /// Only calls that name the stream `name`, or its ARN, count.
    pub fn stream(mut self, name: &str) -> Self {
        self.calls.on_stream(name);
        self
    }

    /// After the `call`-th call, counted from 1.
    pub fn nth(mut self, call: u64) -> Self {
        self.calls.nth(&(call..=call));
        self
    }

    /// Not at once, but this much later.
    pub fn later(mut self, time: Duration) -> Self {
        self.later = time;
        self
    }

    /// The stream is deleted.
    pub fn delete_stream(self) -> Self {
        self.does(Action::DeleteStream)
    }

    /// Another principal starts encryption with `key_id`, as soon as the stream is ACTIVE.
    pub fn start_encryption(self, key_id: &str, by: Identity) -> Self {
        self.does(Action::StartEncryption { key_id: key_id.to_owned(), by })
    }

    /// Another principal stops encryption, as soon as the stream is ACTIVE.
    pub fn stop_encryption(self, by: Identity) -> Self {
        self.does(Action::StopEncryption { by })
    }

    /// The stream gets another number of shards, and is UPDATING meanwhile, as soon as it is
    /// ACTIVE.
    pub fn reshard(self, shards: u32) -> Self {
        self.does(Action::Reshard(shards))
    }

    /// What the stream is being changed into never comes: it stays UPDATING (or CREATING, or
    /// DELETING) for ever.
    pub fn never_settle(self) -> Self {
        self.does(Action::NeverSettle)
    }

    /// The change under way ends, but leaves the old encryption.
    pub fn settle_unchanged(self) -> Self {
        self.does(Action::SettleUnchanged)
    }

    /// The key takes another state.
    pub fn set_key_state(self, key: &str, state: KeyState) -> Self {
        self.does(Action::SetKeyState { key: key.to_owned(), state })
    }

    /// The alias points to another key.
    pub fn point_alias(self, alias: &str, key: &str) -> Self {
        self.does(Action::PointAlias { alias: alias.to_owned(), key: key.to_owned() })
    }

    fn does(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }
}

/// Whether what somebody else wants has to wait for the stream to be ACTIVE.
pub(crate) fn has_to_wait(refusal: &ServiceError) -> bool {
    refusal.code == "ResourceInUseException"
}
