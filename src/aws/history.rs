//! `CloudTrail`'s event history: who changed streams' encryption in the last 24 hours.
//!
//! It is asked by the name of the call and filtered here: `resources[]`, by which it could be asked for one stream, is wrong for calls by name. It shows a call
//! after some minutes, and allows two calls a second per account and Region; no trail is needed for it.
//!
//! Source: *`CloudTrail` API Reference, `LookupEvents`*.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::types::{LookupAttribute, LookupAttributeKey};
use aws_smithy_types::DateTime as SdkTime;
use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::calls::Calls;
use super::error::{CallError, Fate};
use crate::contest::Change;
use crate::failure::{Failure, Step, code};

/// How long it may take in all.
const PATIENCE: Duration = Duration::from_secs(15);

/// At most so many pages of 50 are read of each call. The newest come first, and are what matters.
const PAGES: usize = 3;

/// The calls that change a stream's encryption.
const CALLS: [&str; 2] = ["StartStreamEncryption", "StopStreamEncryption"];

/// Reads the history.
#[derive(Clone, Debug)]
pub struct History {
    client: Client,
    calls: Arc<Calls>,
}

impl History {
    pub(super) fn new(client: Client, calls: Arc<Calls>) -> Self {
        Self { client, calls }
    }

    /// The changes of streams' encryption since `since`, newest first.
    pub async fn since(&self, since: DateTime<Utc>, now: Instant, until: Instant) -> Result<Vec<Change>, CallError> {
        let until = until.min(now + PATIENCE);
        let mut changes = Vec::new();
        for name in CALLS {
            changes.extend(self.of(name, since, until).await?);
        }
        changes.sort_by_key(|change| std::cmp::Reverse(change.at));
        Ok(changes)
    }

    async fn of(&self, name: &str, since: DateTime<Utc>, until: Instant) -> Result<Vec<Change>, CallError> {
        let (step, subject) = (Step::LookupEvents, "the changes of streams' encryption");
        let attribute = LookupAttribute::builder().attribute_key(LookupAttributeKey::EventName).attribute_value(name).build();
        let attribute = attribute.map_err(|error| {
            let failure = Failure::new(step, code::REQUEST_NOT_BUILT, &subject, &error.to_string());
            CallError { failure, fate: Fate::Refused }
        })?;
        let mut changes = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..PAGES {
            let request = self
                .client
                .lookup_events()
                .lookup_attributes(attribute.clone())
                .start_time(SdkTime::from_secs(since.timestamp()))
                .max_results(50)
                .set_next_token(token.clone());
            let answer = self
                .calls
                .read(step, &subject, until, || async {
                    request.clone().send().await.map_err(|error| CallError::from_sdk(step, &subject, &error))
                })
                .await?;
            let records = answer.events.unwrap_or_default().into_iter().filter_map(|event| event.cloud_trail_event);
            changes.extend(records.filter_map(|record| Change::read(&serde_json::from_str(&record).ok()?)));
            token = answer.next_token.filter(|next| !next.is_empty());
            if token.is_none() {
                break;
            }
        }
        Ok(changes)
    }
}
