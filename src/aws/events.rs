//! `EventBridge`: telling others how it ended.
//!
//! Source: *`EventBridge` API Reference, `PutEvents`*.

use std::sync::Arc;

use aws_types::SdkConfig;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::calls::Calls;
use super::error::{CallError, Fate};
use super::service::{Client, EVENTBRIDGE};
use crate::domain::failure::{Failure, Step};

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

/// The answer of `PutEvents`, as far as it matters.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Put {
    entries: Option<Vec<PutEntry>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutEntry {
    error_code: Option<String>,
    error_message: Option<String>,
}

impl Bus {
    pub(super) fn new(config: &SdkConfig, calls: Arc<Calls>, name: String) -> Self {
        Self { client: Client::new(config, EVENTBRIDGE), calls, name }
    }

    /// `PutEvents`, with at most [`AT_ONCE`] entries. Repeated while that helps: an event that
    /// arrives twice harms less than one that does not.
    pub async fn put(&self, entries: &[Entry], deadline: Instant) -> Result<(), CallError> {
        let step = Step::PutEvents;
        let entries: Vec<Value> = entries
            .iter()
            .map(|Entry { source, detail_type, detail, resources }| {
                json!({"EventBusName": self.name, "Source": source, "DetailType": detail_type, "Detail": detail, "Resources": resources})
            })
            .collect();
        let input = json!({ "Entries": entries });
        let answer: Put = self
            .calls
            .read(step, &self.name, deadline, || Box::pin(self.client.call("PutEvents", &input, step, &self.name)))
            .await?;
        // The call succeeds also where single entries are refused.
        let refused = answer
            .entries
            .unwrap_or_default()
            .into_iter()
            .find_map(|entry| Some((entry.error_code?, entry.error_message)));
        match refused {
            None => Ok(()),
            Some((code, message)) => {
                let failure = Failure::new(step, &code, &self.name, &message.unwrap_or_default());
                Err(CallError { failure, fate: Fate::Refused })
            }
        }
    }
}
