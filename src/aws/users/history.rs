//! `CloudTrail`'s event history: the KMS calls that Kinesis made for its callers, by
//! [LookupEvents] for a key.
//!
//! Each such call has the stream's ARN as its encryption context. A stream makes many of them: the
//! newest pages are read, and what is older is left out and said. Two calls a second per account
//! and Region are allowed, and the function needs them, too.
//!
//! [LookupEvents]: https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::stream::with_token;
use super::{NotRead, UserSources};
use crate::access::{Use, used_by};
use crate::domain::key::KeyArn;

/// The most pages of 50 events that are read for each name of a key.
pub const MOST_PAGES: usize = 40;

/// The pause between pages, which leaves half of the two calls a second to others.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Events {
    events: Vec<Event>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    cloud_trail_event: Option<String>,
}

/// What the event history shows of one key.
#[derive(Debug, Default)]
pub struct HistoryRead {
    /// The uses of streams, newest first.
    pub uses: Vec<Use>,
    /// What was not read.
    pub not_read: Option<NotRead>,
}

impl UserSources {
    /// Who used streams that are encrypted with `key`, since `since`. `on_page` is called after each
    /// page.
    pub async fn of_key(&self, key: &KeyArn, since: DateTime<Utc>, mut on_page: impl FnMut()) -> HistoryRead {
        let mut read = HistoryRead::default();
        // A record names its key by ARN, and the look-up finds the name under which CloudTrail lists
        // the resource: the ARN, or the ID alone.
        for name in [key.as_str(), key.id()] {
            let mut token: Option<String> = None;
            let mut oldest = None;
            for page in 0.. {
                if page == MOST_PAGES {
                    let until = oldest.map_or_else(
                        || "the newest pages".to_owned(),
                        |at: DateTime<Utc>| format!("events since {}", at.to_rfc3339_opts(SecondsFormat::Secs, true)),
                    );
                    let older = NotRead::too_many(what(key), until);
                    read.not_read = Some(NotRead { is_older_history: true, ..older });
                    break;
                }
                if page > 0 || name == key.id() {
                    sleep(PAUSE).await;
                }
                let input = json!({
                    "LookupAttributes": [{"AttributeKey": "ResourceName", "AttributeValue": name}],
                    "StartTime": since.timestamp(),
                    "MaxResults": 50,
                });
                let input = with_token(input, "NextToken", token.as_deref());
                let events: Events = match self.call(&self.cloudtrail, "LookupEvents", &input).await {
                    Ok(events) => events,
                    Err(error) => {
                        read.not_read = Some(NotRead::failed(what(key), "cloudtrail:LookupEvents", &error));
                        return read;
                    }
                };
                on_page();
                let texts = events.events.into_iter().filter_map(|event| event.cloud_trail_event);
                for record in texts.filter_map(|text| serde_json::from_str::<Value>(&text).ok()) {
                    let at = record["eventTime"].as_str().and_then(|at| at.parse().ok());
                    oldest = at.or(oldest);
                    read.uses.extend(used_by(&record));
                }
                token = events.next_token.filter(|token| !token.is_empty());
                if token.is_none() {
                    break;
                }
            }
            // Both names lead to the same events.
            if !read.uses.is_empty() {
                break;
            }
        }
        read
    }
}

fn what(key: &KeyArn) -> String {
    format!("CloudTrail's event history of key {}", key.id())
}
