//! `EventBridge`: publishes outcome events, by [PutEvents].
//!
//! [PutEvents]: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html

use std::sync::Arc;

use aws_types::SdkConfig;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::calls::Calls;
use super::error::{CallError, Fate};
use super::service::{Client, EVENTBRIDGE};
use crate::domain::failure::{Failure, Step};

/// The most entries that one call may have.
pub const AT_ONCE: usize = 10;

/// One event, a [PutEventsRequestEntry].
///
/// [PutEventsRequestEntry]: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html
#[derive(Clone, Debug)]
pub struct Entry {
    /// `Source`, which rules match on.
    pub source: &'static str,
    /// `DetailType`, which rules match on.
    pub detail_type: &'static str,
    /// `Detail`: a JSON object.
    pub detail: String,
    /// `Resources`: the ARNs of the stream and the key.
    pub resources: Vec<String>,
}

/// The event bus that outcome events are published to.
#[derive(Clone, Debug)]
pub struct Bus {
    client: Client,
    calls: Arc<Calls>,
    name: String,
}

/// The answer of `PutEvents`, as far as it is used.
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

    /// Publishes at most [`AT_ONCE`] entries. The call is retried: a duplicate event does less harm
    /// than a lost one.
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
        // The call succeeds even if AWS refuses some of its entries.
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
