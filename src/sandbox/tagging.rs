//! The Resource Groups Tagging API: [GetResources].
//!
//! [GetResources]: https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html

use serde_json::{Value, json};

use super::input::{Input, each_object, each_text};
use super::model::Model;
use super::service_error::ServiceError;

/// The operations that the sandbox supports.
pub(crate) const OPERATIONS: [&str; 1] = ["GetResources"];

/// `GetResources` for streams. The pagination token is the last ARN of the page; on the last page
/// it is empty.
pub(crate) fn answer(model: &mut Model, input: Input<'_>) -> Result<Value, ServiceError> {
    let types = each_text("ResourceTypeFilters", input.list("ResourceTypeFilters")?)?;
    let filters = each_object("TagFilters", input.list("TagFilters")?)?;
    let mut wanted = Vec::new();
    for filter in filters {
        wanted.push((filter.required("Key", 128)?, each_text("Values", filter.list("Values")?)?));
    }
    let most = input.number("ResourcesPerPage", 1, 100)?.unwrap_or(50) as usize;
    let after = input.text("PaginationToken")?.unwrap_or_default().to_owned();
    let of_streams = types.is_empty() || types.iter().any(|filter| ["kinesis", "kinesis:stream"].contains(filter));
    let mut found = Vec::new();
    for (name, stream) in &model.streams {
        let tagged = wanted.iter().all(|(key, values)| {
            let value = stream.tags.get(*key).map(String::as_str);
            value.is_some_and(|value| values.is_empty() || values.contains(&value))
        });
        let arn = model.stream_arn(name);
        if of_streams && tagged && !stream.tags.is_empty() && arn > after {
            let tags: Vec<_> = stream.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
            found.push(json!({ "ResourceARN": arn, "Tags": tags }));
        }
    }
    let more = found.len() > most;
    found.truncate(most);
    let token = if more {
        found.last().and_then(|last| last["ResourceARN"].as_str()).unwrap_or_default().to_owned()
    } else {
        String::new()
    };
    Ok(json!({ "ResourceTagMappingList": found, "PaginationToken": token }))
}
