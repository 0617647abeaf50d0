//! Resource Groups Tagging API: the streams that carry a tag, a hundred a call.
//!
//! `ListTagsForStream` allows five calls a second and tells of one stream. What is read here may be some time old, so it may only spare work: before a
//! stream is touched its own tags are read.
//!
//! Source: Resource Groups Tagging API Reference, `GetResources`.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_resourcegroupstagging::Client;
use aws_sdk_resourcegroupstagging::types::TagFilter;
use tokio::time::Instant;

use super::calls::Calls;
use super::error::{CallError, Fate};
use crate::failure::{Failure, Step, code};
use crate::stream::StreamArn;

/// How long it may take in all: a sweep is as right without it, only slower.
const PATIENCE: Duration = Duration::from_secs(10);

/// Finds streams by their tags.
#[derive(Clone, Debug)]
pub struct Tagging {
    client: Client,
    calls: Arc<Calls>,
}

impl Tagging {
    pub(super) fn new(client: Client, calls: Arc<Calls>) -> Self {
        Self { client, calls }
    }

    /// `GetResources`: every stream that has a tag with this key, with all its tags.
    pub async fn streams_with(&self, tag_key: &str, now: Instant) -> Result<Vec<(StreamArn, Vec<(String, String)>)>, CallError> {
        let (step, subject, until) = (Step::GetResources, "the streams that are tagged", now + PATIENCE);
        let filter = TagFilter::builder().key(tag_key).build();
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let request = self
                .client
                .get_resources()
                .resource_type_filters("kinesis:stream")
                .tag_filters(filter.clone())
                .resources_per_page(100)
                .set_pagination_token(token.clone());
            let answer = self
                .calls
                .read(step, &subject, until, || async {
                    request.clone().send().await.map_err(|error| CallError::from_sdk(step, &subject, &error))
                })
                .await?;
            for mapping in answer.resource_tag_mapping_list.unwrap_or_default() {
                let tags = mapping.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
                // Channels and consumers of a stream are tagged, too.
                if let Some(arn) = mapping.resource_arn.and_then(|arn| arn.parse().ok()) {
                    found.push((arn, tags));
                }
            }
            let next = answer.pagination_token.filter(|token| !token.is_empty());
            if next.is_some() && next == token {
                let failure = Failure::new(step, code::UNREADABLE_ANSWER, &subject, "the next page is the one before");
                return Err(CallError { failure, fate: Fate::Unknown });
            }
            token = next;
            if token.is_none() {
                return Ok(found);
            }
        }
    }
}
