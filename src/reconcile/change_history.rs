//! What CloudTrail says of the last 24 hours, read at most once per invocation.

use std::collections::HashMap;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::aws::history::{ChangesRead, History};
use crate::clock::Clock;
use crate::decide::contest::{Recorded, foreign_changes};
use crate::domain::encryption_change::{ForeignChange, QUOTA_WINDOW};
use crate::domain::failure::{Class, Failure};

/// The changes of streams' encryption in one account.
#[derive(Debug)]
pub struct ChangeHistory<'a> {
    history: &'a History,
    identity: OwnIdentity<'a>,
    clock: &'a Clock,
    deadline: Instant,
    read: OnceCell<Result<ChangesRead, Failure>>,
}

/// What distinguishes the function's own changes from others', as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnIdentity<'a> {
    /// The ARN of the function's role in the account.
    pub role: Option<&'a str>,
    /// The name of the role's session, by which `CloudTrail` finds the function's calls.
    pub session: Option<&'a str>,
}

impl<'a> ChangeHistory<'a> {
    /// A history that has not been read, for a function with this identity.
    #[must_use]
    pub fn new(history: &'a History, identity: OwnIdentity<'a>, clock: &'a Clock, deadline: Instant) -> Self {
        Self { history, identity, clock, deadline, read: OnceCell::new() }
    }

    /// The function's role, which distinguishes its own changes from others'.
    #[must_use]
    pub fn own_role(&self) -> Option<&'a str> {
        self.identity.role
    }

    /// Reads the changes of streams' encryption, unless that was done already.
    pub async fn read(&self) {
        let read = Box::pin(async {
            // Others can make the history as long as they like; the other half is left to the work.
            let now = self.clock.instant();
            let until = now + self.deadline.saturating_duration_since(now) / 2;
            match self.history.since(self.clock.utc() - QUOTA_WINDOW, self.identity.session, until).await {
                Ok(read) => {
                    if !read.complete {
                        tracing::warn!(changes = read.changes.len(), "change history is too long to be read");
                    }
                    Ok(read)
                }
                Err(error) => {
                    tracing::warn!(
                        code = error.failure.code,
                        error = %error.failure,
                        "who changed streams' encryption could not be looked up"
                    );
                    Err(error.failure)
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
            Some(Err(failure)) if failure.class == Class::Retryable => Recorded::UnreadableNow(failure),
            Some(Err(_)) => Recorded::Unreadable,
            Some(Ok(ChangesRead { changes, complete: true })) => Recorded::Read(changes),
            Some(Ok(ChangesRead { changes, complete: false })) => Recorded::Partial(changes),
        }
    }

    /// By stream name, the newest change that another principal made, where streams are to have one
    /// of the `desired` keys.
    pub async fn foreign_changes(&self, desired: &[String]) -> HashMap<String, ForeignChange> {
        self.read().await;
        foreign_changes(self.recorded(), self.identity.role, desired)
    }
}
