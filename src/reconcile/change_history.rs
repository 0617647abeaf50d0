//! What CloudTrail says of the last 24 hours, read at most once per invocation.

use std::collections::HashMap;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::aws::history::History;
use crate::clock::Clock;
use crate::decide::contest::{Recorded, foreign_changes};
use crate::domain::encryption_change::{Change, ForeignChange, QUOTA_WINDOW};

/// The changes of streams' encryption in one account.
#[derive(Debug)]
pub struct ChangeHistory<'a> {
    history: &'a History,
    own_role: Option<&'a str>,
    clock: &'a Clock,
    deadline: Instant,
    read: OnceCell<Option<Vec<Change>>>,
}

impl<'a> ChangeHistory<'a> {
    /// A history that has not been read, for a function with the role `own_role`.
    #[must_use]
    pub fn new(history: &'a History, own_role: Option<&'a str>, clock: &'a Clock, deadline: Instant) -> Self {
        Self { history, own_role, clock, deadline, read: OnceCell::new() }
    }

    /// The function's role, which distinguishes its own changes from others'.
    #[must_use]
    pub fn own_role(&self) -> Option<&'a str> {
        self.own_role
    }

    /// Reads the changes of streams' encryption, unless that was done already.
    pub async fn read(&self) {
        let read = Box::pin(async {
            match self.history.since(self.clock.utc() - QUOTA_WINDOW, self.deadline).await {
                Ok(changes) => Some(changes),
                Err(error) => {
                    tracing::warn!(
                        code = error.failure.code,
                        error = %error.failure,
                        "who changed streams' encryption could not be looked up"
                    );
                    None
                }
            }
        });
        self.read.get_or_init(|| read).await;
    }

    /// The changes, as far as they have been read.
    #[must_use]
    pub fn recorded(&self) -> Recorded<'_> {
        match self.read.get() {
            None => Recorded::NotRead,
            Some(None) => Recorded::Unreadable,
            Some(Some(changes)) => Recorded::Read(changes),
        }
    }

    /// By stream name, the newest change that another principal made.
    pub async fn foreign_changes(&self) -> HashMap<String, ForeignChange> {
        self.read().await;
        match self.recorded() {
            Recorded::Read(changes) => foreign_changes(changes, self.own_role),
            Recorded::NotRead | Recorded::Unreadable => HashMap::new(),
        }
    }
}
