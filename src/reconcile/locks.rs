//! Keeps requests about the same stream apart.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::OwnedMutexGuard;

use super::StartAttempt;
use crate::domain::stream::StreamRef;

/// Lets one request at a time work on a stream.
///
/// A batch may hold two messages about one stream, and a person may name it both by name and by
/// ARN. Side by side, each would observe the stream before the other acted, and both would start
/// it. One after the other, the second finds the stream compliant.
///
/// The second goes on from what the first has started, whether that was accepted, lost or cannot be
/// seen yet: an invocation starts a stream once.
#[derive(Debug, Default)]
pub struct StreamLocks(Mutex<HashMap<String, StreamLock>>);

/// The last start that was sent in this invocation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) start: StartAttempt,
    /// When the stream was created that it was sent to.
    pub(super) created: Option<DateTime<Utc>>,
}

/// What the requests before have left behind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    pub(super) attempt: Option<Attempt>,
    /// Whether one of them has waited in place, and has sent the stream to the work queue to wait
    /// there: another wait in place would only delay the batch.
    pub(super) waits_in_queue: bool,
}

type StreamLock = Arc<tokio::sync::Mutex<Before>>;

impl StreamLocks {
    /// Waits until nobody else works on `target`; it is the caller's until the guard is dropped.
    pub(super) async fn lock(&self, target: &StreamRef) -> OwnedMutexGuard<Before> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(target.name().to_owned()).or_default())
        };
        lock.lock_owned().await
    }
}
