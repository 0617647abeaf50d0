//! The grace period: how long the function leaves a stream alone because an
//! infrastructure-as-code tool may still be working on it.
//!
//! Such a tool creates the stream, waits until it is ACTIVE, changes its retention, and only then
//! encrypts it. If the stream is UPDATING for our sake at that moment, the tool fails with
//! `ResourceInUseException`.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::grace::{Actor, GraceState};

/// A stream older than this is finished by whoever created it.
const YOUNG: TimeDelta = TimeDelta::minutes(15);

/// Whether a stream that was created at `created` may still be in the hands of whoever created it.
/// Who that is does not matter: only a tool is waited for, and it is not always known.
#[must_use]
pub fn is_young(created: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - created < YOUNG
}

/// How often a stream is left alone for its grace period; then the key is applied all the same.
const MOST_WAITS: u32 = 5;

/// How much of the grace period `grace` is left at `now`, for a stream that was created at
/// `created`.
///
/// A tool is waited for after its `CreateStream`, `StartStreamEncryption` or
/// `StopStreamEncryption`; an unknown creator only while the stream is young.
pub(super) fn remaining(
    grace: Duration,
    state: &GraceState,
    created: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Duration {
    let owed = match state.actor {
        Some(Actor::InfrastructureAsCode) => true,
        Some(Actor::Other) => false,
        None => created.is_some_and(|created| is_young(created, now)),
    };
    if !owed || state.deferrals >= MOST_WAITS {
        return Duration::ZERO;
    }
    // A stream that was deleted and created again has been ACTIVE since then at most, whatever a
    // work item says of the stream before it.
    let since = state.active_since.map(|since| created.map_or(since, |created| since.max(created)));
    let active = since.map(|since| (now - since).to_std().unwrap_or_default());
    grace.saturating_sub(active.unwrap_or_default())
}
