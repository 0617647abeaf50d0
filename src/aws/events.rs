//! `EventBridge`: telling others how it ended.
//!
//! Source: *`EventBridge` API Reference, `PutEvents`*.

use std::sync::Arc;

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use tokio::time::Instant;

use super::calls::Calls;
use super::error::{CallError, Fate};
use crate::failure::{Failure, Step};

/// A call takes at most so many entries.
pub const AT_ONCE: usize = 10;

/// One event to be sent.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The source.
    pub source: &'static str,
    /// The detail type.
    pub detail_type: &'static str,
    /// The detail, as JSON.
    pub detail: String,
    /// The ARNs that it is about.
    pub resources: Vec<String>,
}

/// The bus that outcomes are told on.
#[derive(Clone, Debug)]
pub struct Bus {
    client: Client,
    calls: Arc<Calls>,
    name: String,
}

impl Bus {
    pub(super) fn new(client: Client, calls: Arc<Calls>, name: String) -> Self {
        Self { client, calls, name }
    }

    /// `PutEvents`, with at most [`AT_ONCE`] entries. Repeated while that helps: an event that arrives twice harms less than one that does not.
    pub async fn put(&self, entries: &[Entry], until: Instant) -> Result<(), CallError> {
        let step = Step::PutEvents;
        let built: Vec<_> = entries
            .iter()
            .map(|entry| {
                PutEventsRequestEntry::builder()
                    .event_bus_name(&self.name)
                    .source(entry.source)
                    .detail_type(entry.detail_type)
                    .detail(&entry.detail)
                    .set_resources(Some(entry.resources.clone()))
                    .build()
            })
            .collect();
        let answer = self
            .calls
            .read(step, &self.name, until, || {
                let request = self.client.put_events().set_entries(Some(built.clone()));
                Box::pin(async { request.send().await.map_err(|error| CallError::from_sdk(step, &self.name, &error)) })
            })
            .await?;
        // The call succeeds also where single entries are refused.
        let refused = answer.entries.unwrap_or_default().into_iter().find_map(|entry| Some((entry.error_code?, entry.error_message)));
        match refused {
            None => Ok(()),
            Some((code, message)) => {
                let failure = Failure::new(step, &code, &self.name, &message.unwrap_or_default());
                Err(CallError { failure, fate: Fate::Refused })
            }
        }
    }
}
