//! `CloudTrail`'s event history: who changed streams' encryption in the last 24 hours, by
//! [LookupEvents].
//!
//! Events are looked up by the name of the call, and filtered by stream here: a look-up by resource
//! would miss calls that name the stream without its ARN. An event appears after some minutes; two
//! calls a second per account and Region are allowed; no trail is needed.
//!
//! Denied calls are recorded, too, so whoever may do nothing at all can still fill the history of a
//! call. Where it is too long to be read, the function's own calls are looked up by its session's
//! name, a history that others cannot fill by accident. If that is too long as well, the result is
//! partial: what is missing is unknown.
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

/// How long the look-up by calls may take, and then that by the session.
const PATIENCE: Duration = Duration::from_secs(15);

/// The most pages of 50 events that are read for each of [`CALLS`]. The newest events, which matter
/// most, come first. Failed calls are among them.
const PAGES: usize = 10;

/// The pause between pages, which leaves most of the two calls a second to others.
const PAUSE: Duration = Duration::from_secs(2);

/// The most pages of the function's own calls. Most of them are reads.
const PAGES_OF_SESSION: usize = 20;

/// The pause between them: shorter, since they are read only while somebody fills the history.
const PAUSE_OF_SESSION: Duration = Duration::from_millis(700);

/// The calls that change a stream's encryption.
const CALLS: [&str; 2] = ["StartStreamEncryption", "StopStreamEncryption"];

/// What the event history showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangesRead {
    /// The changes of streams' encryption, newest first.
    pub changes: Vec<Change>,
    /// Whether all changes by the function are among them.
    pub complete: bool,
}

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

    /// The changes of streams' encryption since `since`. The function's own calls are made in a
    /// session called `session`, where that is known.
    pub async fn since(
        &self,
        since: DateTime<Utc>,
        session: Option<&str>,
        deadline: Instant,
    ) -> Result<ChangesRead, CallError> {
        let mut read = self.by_call(since, deadline).await?;
        if let (false, Some(session)) = (read.complete, session) {
            let own = self.by_session(since, session, deadline).await;
            read.complete = own.complete;
            let new: Vec<_> = own.changes.into_iter().filter(|change| !read.changes.contains(change)).collect();
            read.changes.extend(new);
        }
        read.changes.sort_by_key(|change| std::cmp::Reverse(change.at));
        Ok(read)
    }

    /// The events of [`CALLS`]; of the newest pages only if the time is up or a call fails after the
    /// first pages.
    async fn by_call(&self, since: DateTime<Utc>, deadline: Instant) -> Result<ChangesRead, CallError> {
        let deadline = self.calls.within(PATIENCE, deadline);
        let mut changes = Vec::new();
        // `None`: every page was read.
        let mut next = CALLS.map(|name| (("EventName", name), Some(None)));
        'pages: for page in 0..PAGES {
            for (attribute, token) in &mut next {
                let Some(from) = token.take() else { continue };
                if page > 0 {
                    if self.calls.is_late(PAUSE, deadline) {
                        *token = Some(from);
                        break 'pages;
                    }
                    sleep(PAUSE).await;
                }
                match self.page(*attribute, since, from.clone(), deadline).await {
                    Ok((of_page, more)) => {
                        changes.extend(of_page);
                        *token = more.map(Some);
                    }
                    Err(error) if page == 0 => return Err(error),
                    Err(error) => {
                        read_in_part(&error, page);
                        *token = Some(from);
                        break 'pages;
                    }
                }
            }
        }
        Ok(ChangesRead { changes, complete: next.iter().all(|(_, token)| token.is_none()) })
    }

    /// The events of the session, the newest pages of them.
    async fn by_session(&self, since: DateTime<Utc>, session: &str, deadline: Instant) -> ChangesRead {
        let deadline = self.calls.within(PATIENCE, deadline);
        let mut read = ChangesRead::default();
        let mut from = None;
        for page in 0..PAGES_OF_SESSION {
            if self.calls.is_late(PAUSE_OF_SESSION, deadline) {
                break;
            }
            sleep(PAUSE_OF_SESSION).await;
            match self.page(("Username", session), since, from, deadline).await {
                Ok((of_page, more)) => {
                    read.changes.extend(of_page);
                    from = more;
                }
                Err(error) => {
                    read_in_part(&error, page);
                    break;
                }
            }
            if from.is_none() {
                read.complete = true;
                break;
            }
        }
        read
    }

    /// A page of the changes among the events with this attribute, and the token of the next page.
    async fn page(
        &self,
        (key, value): (&str, &str),
        since: DateTime<Utc>,
        from: Option<String>,
        deadline: Instant,
    ) -> Result<(Vec<Change>, Option<String>), CallError> {
        let (step, subject) = (Step::LookupEvents, "changes of streams' encryption");
        let mut input = json!({
            "LookupAttributes": [{"AttributeKey": key, "AttributeValue": value}],
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

fn read_in_part(error: &CallError, pages: usize) {
    tracing::warn!(code = error.failure.code, error = %error.failure, pages, "change history was read only in part");
}
