//! `CloudTrail`'s event history: who changed streams' encryption in the last 24 hours, by
//! [LookupEvents].
//!
//! Events are looked up by the name of the call, and filtered by stream here: a look-up by resource
//! would miss calls that name the stream without its ARN. An event appears after some minutes; two
//! calls a second per account and Region are allowed; no trail is needed.
//!
//! [LookupEvents]: https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html

use std::sync::Arc;
use std::time::Duration;

use aws_types::SdkConfig;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::calls::Calls;
use super::error::CallError;
use super::service::{CLOUDTRAIL, Client};
use crate::domain::encryption_change::Change;
use crate::domain::failure::Step;

/// How long all calls together may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// The most pages of 50 events that are read for each of [`CALLS`]. The newest events, which matter
/// most, come first. Failed calls are among them.
const PAGES: usize = 10;

/// The pause between pages, which leaves most of the two calls a second to others.
const PAUSE: Duration = Duration::from_secs(2);

/// The calls that change a stream's encryption.
const CALLS: [&str; 2] = ["StartStreamEncryption", "StopStreamEncryption"];

/// Reads the event history.
#[derive(Clone, Debug)]
pub struct History {
    client: Client,
    calls: Arc<Calls>,
}

/// The answer of `LookupEvents`, as far as it is used. An answer without a list is rejected: it
/// does not mean that nobody changed anything.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Events {
    events: Vec<Recorded>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Recorded {
    cloud_trail_event: Option<String>,
}

impl History {
    pub(super) fn new(config: &SdkConfig, calls: Arc<Calls>) -> Self {
        Self { client: Client::new(config, CLOUDTRAIL), calls }
    }

    /// The changes of streams' encryption since `since`, newest first. If the time is up or a call
    /// fails after the first pages, the result holds the newest changes only.
    pub async fn since(&self, since: DateTime<Utc>, deadline: Instant) -> Result<Vec<Change>, CallError> {
        let deadline = self.calls.within(PATIENCE, deadline);
        let mut changes = Vec::new();
        // `None`: every page was read.
        let mut next = CALLS.map(|name| (name, Some(None)));
        'pages: for page in 0..PAGES {
            for (name, token) in &mut next {
                let Some(from) = token.take() else { continue };
                if page > 0 {
                    if self.calls.is_late(PAUSE, deadline) {
                        break 'pages;
                    }
                    sleep(PAUSE).await;
                }
                match self.page(name, since, from, deadline).await {
                    Ok((of_page, more)) => {
                        changes.extend(of_page);
                        *token = more.map(Some);
                    }
                    Err(error) if page == 0 => return Err(error),
                    Err(error) => {
                        tracing::warn!(code = error.failure.code, error = %error.failure, pages = page, "change history was read only in part");
                        break 'pages;
                    }
                }
            }
        }
        changes.sort_by_key(|change| std::cmp::Reverse(change.at));
        Ok(changes)
    }

    /// A page of the events of the call `name`, and the token of the next page.
    async fn page(
        &self,
        name: &str,
        since: DateTime<Utc>,
        from: Option<String>,
        deadline: Instant,
    ) -> Result<(Vec<Change>, Option<String>), CallError> {
        let (step, subject) = (Step::LookupEvents, "changes of streams' encryption");
        let mut input = json!({
            "LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": name}],
            "StartTime": since.timestamp(),
            "MaxResults": 50,
        });
        if let Some(token) = from {
            input["NextToken"] = json!(token);
        }
        let answer: Events = self
            .calls
            .read(step, &subject, deadline, || self.client.call("LookupEvents", &input, step, &subject))
            .await?;
        let records = answer.events.into_iter().filter_map(|event| event.cloud_trail_event);
        let changes = records.filter_map(|record| Change::read(&serde_json::from_str(&record).ok()?)).collect();
        Ok((changes, answer.next_token.filter(|next| !next.is_empty())))
    }
}
