//! `EventBridge`: publishes outcome events, by [PutEvents].
//!
//! [PutEvents]: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html

use std::sync::Arc;

use aws_types::SdkConfig;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::calls::Calls;
use super::error::CallError;
use super::service::{Client, EVENTBRIDGE};
use crate::domain::failure::{Failure, Kind, Step};

/// The most entries that one call may have.
pub const AT_ONCE: usize = 10;

/// How often an entry is sent that AWS refuses for the moment. With the delays between them this
/// takes at most two seconds.
const ATTEMPTS: u32 = 4;

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

/// The answer of `PutEvents`, as far as it is used. The call succeeds even if AWS refuses some of
/// its entries; the results are [in the order of the entries][result].
///
/// [result]: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html
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

    /// Publishes at most [`AT_ONCE`] entries. The call is retried, and entries that AWS refuses for
    /// the moment are sent again: a duplicate event does less harm than a lost one.
    pub async fn put(&self, entries: &[Entry], deadline: Instant) -> Result<(), NotPublished> {
        let step = Step::PutEvents;
        let mut left: Vec<_> = entries.iter().enumerate().map(|(index, entry)| (index, self.entry(entry))).collect();
        let mut lost: Option<NotPublished> = None;
        let mut attempt = 1;
        loop {
            let input = json!({ "Entries": left.iter().map(|(_, entry)| entry).collect::<Vec<_>>() });
            let call = || async {
                let Put { entries } = Box::pin(self.client.call("PutEvents", &input, step, &self.name)).await?;
                let results = entries.filter(|results| results.len() == left.len());
                results.ok_or_else(|| CallError::unreadable(step, &self.name))
            };
            let results = match self.calls.read(step, &self.name, deadline, call).await {
                Ok(results) => results,
                Err(error) => return Err(NotPublished::and(lost, left.iter().map(|(index, _)| *index), error.failure)),
            };
            let delay = self.calls.backoff(attempt);
            let is_last = attempt == ATTEMPTS || self.calls.is_late(delay, deadline);
            let mut refused = Vec::new();
            for ((index, entry), PutEntry { error_code, error_message }) in left.into_iter().zip(results) {
                let Some(code) = error_code else { continue };
                if !is_last && matches!(Kind::of(&code), Kind::Throttled | Kind::Unavailable) {
                    refused.push((index, entry));
                } else {
                    let failure = Failure::new(step, &code, &self.name, &error_message.unwrap_or_default());
                    lost = Some(NotPublished::and(lost, [index], failure));
                }
            }
            if refused.is_empty() {
                return lost.map_or(Ok(()), Err);
            }
            tracing::warn!(
                step = step.as_str(),
                refused = refused.len(),
                attempt,
                "events were refused, sending them again"
            );
            left = refused;
            attempt += 1;
            sleep(delay).await;
        }
    }

    fn entry(&self, Entry { source, detail_type, detail, resources }: &Entry) -> Value {
        json!({"EventBusName": self.name, "Source": source, "DetailType": detail_type, "Detail": detail, "Resources": resources})
    }
}

/// Entries that could not be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotPublished {
    /// Their indices in what was to be published.
    pub entries: Vec<usize>,
    /// Why the last of them was not.
    pub failure: Failure,
}

impl NotPublished {
    fn and(earlier: Option<Self>, entries: impl IntoIterator<Item = usize>, failure: Failure) -> Self {
        let mut all = earlier.map(|earlier| earlier.entries).unwrap_or_default();
        all.extend(entries);
        Self { entries: all, failure }
    }
}
