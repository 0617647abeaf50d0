//! Resource Groups Tagging API: the streams that have a tag, a hundred a call.
//!
//! `ListTagsForStream` allows five calls a second, each about one stream. What is read here may be
//! out of date, so it may only save work: before a stream is changed, its own tags are read.

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

/// How long all calls together may take: without them, a sweep is only slower.
const PATIENCE: Duration = Duration::from_secs(10);

/// Finds streams by their tags.
#[derive(Clone, Debug)]
pub struct Tagging {
    client: Client,
    calls: Arc<Calls>,
}

/// The answer of `GetResources`, as far as it is used.
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

    /// Every stream that has a tag with this key, with all its tags, by [GetResources].
    ///
    /// [GetResources]: https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
    pub async fn streams_with(
        &self,
        tag_key: &str,
        deadline: Instant,
    ) -> Result<Vec<(StreamArn, Vec<(String, String)>)>, CallError> {
        let (step, subject) = (Step::GetResources, format!("streams with the tag {tag_key}"));
        let deadline = self.calls.within(PATIENCE, deadline);
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
                // Channels and consumers of a stream can have tags, too.
                if let Some(arn) = mapping.resource_arn.and_then(|arn| arn.parse().ok()) {
                    found.push((arn, tags));
                }
            }
            let next = answer.pagination_token.filter(|token| !token.is_empty());
            if next.is_some() && next == token {
                let failure =
                    Failure::new(step, code::UNREADABLE_ANSWER, &subject, "the answer repeats the pagination token");
                return Err(CallError { failure, fate: Fate::Unknown });
            }
            token = next;
            if token.is_none() {
                return Ok(found);
            }
        }
    }
}
