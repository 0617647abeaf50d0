//! Resource Groups Tagging API: the streams that carry a tag, a hundred a call.
//!
//! `ListTagsForStream` allows five calls a second and tells of one stream. What is read here may be
//! some time old, so it may only spare work: before a stream is touched its own tags are read.
//!
//! Source: Resource Groups Tagging API Reference, `GetResources`.

use std::sync::Arc;
use std::time::Duration;

use aws_types::SdkConfig;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::calls::Calls;
use super::error::{CallError, Fate};
use super::service::{Client, TAGGING};
use crate::domain::failure::{Failure, Step, code};
use crate::domain::stream::StreamArn;

/// How long it may take in all: a sweep is as right without it, only slower.
const PATIENCE: Duration = Duration::from_secs(10);

/// Finds streams by their tags.
#[derive(Clone, Debug)]
pub struct Tagging {
    client: Client,
    calls: Arc<Calls>,
}

/// The answer of `GetResources`, as far as it matters.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resources {
    resource_tag_mapping_list: Option<Vec<Mapping>>,
    pagination_token: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Mapping {
    #[serde(rename = "ResourceARN")]
    resource_arn: Option<String>,
    #[serde(rename = "Tags")]
    tags: Option<Vec<Tag>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: String,
}

impl Tagging {
    pub(super) fn new(config: &SdkConfig, calls: Arc<Calls>) -> Self {
        Self { client: Client::new(config, TAGGING), calls }
    }

    /// `GetResources`: every stream that has a tag with this key, with all its tags.
    pub async fn streams_with(
        &self,
        tag_key: &str,
        deadline: Instant,
    ) -> Result<Vec<(StreamArn, Vec<(String, String)>)>, CallError> {
        let (step, subject, deadline) =
            (Step::GetResources, "the streams that are tagged", self.calls.within(PATIENCE, deadline));
        let filters = json!({"ResourceTypeFilters": ["kinesis:stream"], "TagFilters": [{"Key": tag_key}], "ResourcesPerPage": 100});
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut input = filters.clone();
            if let Some(token) = &token {
                input["PaginationToken"] = json!(token);
            }
            let answer: Resources = self
                .calls
                .read(step, &subject, deadline, || self.client.call("GetResources", &input, step, &subject))
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
