//! EventBridge: [PutEvents].
//!
//! [PutEvents]: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html

use serde_json::{Value, json};

use super::input::{Input, each_object};
use super::model::Model;
use super::service_error::ServiceError;

/// The operations that the sandbox supports.
pub(crate) const OPERATIONS: [&str; 1] = ["PutEvents"];

/// `PutEvents`. The account keeps the entries as sent.
pub(crate) fn answer(model: &mut Model, input: Input<'_>) -> Result<Value, ServiceError> {
    let entries = each_object("Entries", input.list("Entries")?)?;
    if entries.is_empty() || entries.len() > 10 {
        return Err(ServiceError::validation("entries", "entries", "Member must have length between 1 and 10"));
    }
    let mut answers = Vec::new();
    for entry in entries {
        let source = entry.required("Source", 256)?;
        let detail: Result<Value, _> = serde_json::from_str(entry.text("Detail")?.unwrap_or_default());
        if source.starts_with("aws.") || !detail.is_ok_and(|detail| detail.is_object()) {
            answers.push(json!({ "ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed." }));
            continue;
        }
        model.put_events.push(Value::Object(entry.0.clone()));
        answers.push(json!({ "EventId": model.guid() }));
    }
    let failed = answers.iter().filter(|answer| answer.get("ErrorCode").is_some()).count();
    Ok(json!({ "FailedEntryCount": failed, "Entries": answers }))
}
