//! How long a stream has been waited for in the work queue. Pure.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What is known about the wait for a stream that AWS is still changing. It travels in work items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WaitState {
    /// When the stream was first sent to the work queue to wait there.
    pub since: Option<DateTime<Utc>>,
    /// How often it was sent there.
    pub times: u32,
}

impl WaitState {
    /// Whether the stream waits.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The wait after the stream is sent to the work queue once more, at `now`.
    #[must_use]
    pub fn again(self, now: DateTime<Utc>) -> Self {
        // A time in the future was forged: it must not make the wait longer.
        let since = self.since.map_or(now, |since| since.min(now));
        Self { since: Some(since), times: self.times.saturating_add(1) }
    }
}
