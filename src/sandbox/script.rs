//! Scripted actions: what other principals and AWS do while a test runs.

use std::time::Duration;

use super::fault::Match;
use super::identity::Identity;
use super::key_state::KeyState;
use super::service_error::ServiceError;

/// What another principal or AWS does.
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

/// An action that happens once, after the n-th call of an operation (by default the first) or some
/// time later.
///
/// An action on a stream applies to the stream that the call named.
#[derive(Clone, Debug)]
#[must_use = "an action does not happen until it is passed to Account::script"]
pub struct ScriptedAction {
    pub(crate) calls: Match,
    pub(crate) later: Duration,
    pub(crate) action: Option<Action>,
}

impl ScriptedAction {
    /// Happens after the first call of `operation`.
    pub fn after(operation: &str) -> Self {
        let mut calls = Match::on(operation);
        calls.nth(&(1..=1));
        Self { calls, later: Duration::ZERO, action: None }
    }

    /// Counts only calls that name this stream, by name or by ARN.
    pub fn stream(mut self, name: &str) -> Self {
        self.calls.on_stream(name);
        self
    }

    /// Happens after this call, counted from 1.
    pub fn nth(mut self, call: u64) -> Self {
        self.calls.nth(&(call..=call));
        self
    }

    /// Happens this long after the call.
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

    /// The number of shards changes as soon as the stream is ACTIVE. The stream is UPDATING
    /// meanwhile.
    pub fn reshard(self, shards: u32) -> Self {
        self.does(Action::Reshard(shards))
    }

    /// The change in progress never ends: the stream stays UPDATING, CREATING or DELETING.
    pub fn never_settle(self) -> Self {
        self.does(Action::NeverSettle)
    }

    /// The change in progress ends, but the old encryption stays.
    pub fn settle_unchanged(self) -> Self {
        self.does(Action::SettleUnchanged)
    }

    /// The key gets another state.
    pub fn set_key_state(self, key: &str, state: KeyState) -> Self {
        self.does(Action::SetKeyState { key: key.to_owned(), state })
    }

    /// The alias is pointed to another key.
    pub fn point_alias(self, alias: &str, key: &str) -> Self {
        self.does(Action::PointAlias { alias: alias.to_owned(), key: key.to_owned() })
    }

    fn does(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }
}

/// Whether the call was refused because the stream is not ACTIVE, so that it is tried again.
pub(crate) fn has_to_wait(refusal: &ServiceError) -> bool {
    refusal.code == "ResourceInUseException"
}
