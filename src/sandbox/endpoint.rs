//! What requests reach: one account's model and clock, and the member accounts served beside it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::cloudtrail;
use super::model::Model;
use crate::clock::Clock;

/// A handle on one account. Clones share the account.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    clock: Clock,
    model: Arc<Mutex<Model>>,
    /// By account id.
    members: Arc<Mutex<BTreeMap<String, Endpoint>>>,
}

impl Endpoint {
    pub(crate) fn new(clock: Clock, region: &str, account_id: &str) -> Self {
        Self { clock, model: Arc::new(Mutex::new(Model::new(region, account_id))), members: Arc::default() }
    }

    /// Advances the model to the clock's time, records what others did meanwhile, and calls `work`.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Model, DateTime<Utc>) -> T) -> T {
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.utc();
        model.advance(now);
        cloudtrail::record_scripted(&mut model);
        work(&mut model, now)
    }

    pub(crate) fn region(&self) -> String {
        self.with(|model, _| model.region.clone())
    }

    /// Serves another account to whoever assumes a role in it.
    pub(crate) fn add_member(&self, account_id: String, member: Self) {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).insert(account_id, member);
    }

    pub(crate) fn member(&self, account_id: &str) -> Option<Self> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).get(account_id).cloned()
    }
}
