//! What `CloudTrail` says of the last 24 hours, looked up at most once per invocation.

use std::collections::HashMap;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::aws::history::History;
use crate::clock::Clock;
use crate::domain::encryption_change::{Change, ChangeKind, ForeignChange, QUOTA_WINDOW};

/// The history of one invocation.
#[derive(Debug)]
pub struct ChangeHistory<'a> {
    history: &'a History,
    own_role: Option<&'a str>,
    clock: &'a Clock,
    deadline: Instant,
    read: OnceCell<Option<Vec<Change>>>,
}

impl<'a> ChangeHistory<'a> {
    /// A book that nothing was looked up in, for a function with the role `own_role`.
    #[must_use]
    pub fn new(history: &'a History, own_role: Option<&'a str>, clock: &'a Clock, deadline: Instant) -> Self {
        Self { history, own_role, clock, deadline, read: OnceCell::new() }
    }

    /// The function's role, by which its own changes are told from others'.
    #[must_use]
    pub fn own_role(&self) -> Option<&'a str> {
        self.own_role
    }

    /// The changes of streams' encryption, newest first; nothing where they cannot be read.
    pub async fn changes(&self) -> Option<&[Change]> {
        let read = Box::pin(async {
            match self.history.since(self.clock.utc() - QUOTA_WINDOW, self.deadline).await {
                Ok(changes) => Some(changes),
                Err(error) => {
                    tracing::warn!(code = error.failure.code, error = %error.failure, "who changed streams' encryption could not be looked up");
                    None
                }
            }
        });
        self.read.get_or_init(|| read).await.as_deref()
    }

    /// The streams whose encryption others changed, each with the newest change.
    pub async fn suspects(&self) -> HashMap<String, ForeignChange> {
        let mut suspects = HashMap::new();
        for change in self.changes().await.unwrap_or_default().iter().filter(|change| self.is_of_others(change)) {
            suspects.entry(change.stream.clone()).or_insert_with(|| ForeignChange::from(change));
        }
        suspects
    }

    /// The changes, where they were looked up already.
    #[must_use]
    pub fn known_changes(&self) -> Option<&[Change]> {
        self.read.get().and_then(Option::as_deref)
    }

    /// How often others changed the encryption of the stream `name`, as far as that was looked up
    /// already.
    #[must_use]
    pub fn known_changes_of_others(&self, name: &str) -> usize {
        let known = self.known_changes().unwrap_or_default();
        known.iter().filter(|change| change.stream == name && self.is_of_others(change)).count()
    }

    /// Where the function's role is not known, what it never does is still known to be another's.
    fn is_of_others(&self, change: &Change) -> bool {
        match self.own_role {
            Some(own) => change.role.as_deref() != Some(own),
            None => change.deed == ChangeKind::Stopped,
        }
    }
}
