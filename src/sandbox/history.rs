//! CloudTrail: [LookupEvents] over the event history.
//!
//! Management events of the last 90 days, newest first, up to 50 a page, two calls a second per
//! account and Region. [`Options::history_lag`] says when an event appears.
//!
//! [LookupEvents]: https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
//! [`Options::history_lag`]: super::Options::history_lag

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::input::{Input, each_object};
use super::model::{HistoryRecord, Model, later};
use super::service_error::ServiceError;

/// The operations that the sandbox supports.
pub(crate) const OPERATIONS: [&str; 1] = ["LookupEvents"];

/// The lookup attributes that the sandbox supports.
const ATTRIBUTES: [&str; 7] =
    ["AccessKeyId", "EventId", "EventName", "EventSource", "ReadOnly", "ResourceName", "Username"];

/// `LookupEvents`. The token of a page is the number of events before it.
pub(crate) fn answer(model: &mut Model, input: Input<'_>, now: DateTime<Utc>) -> Result<Value, ServiceError> {
    model.limit_rate("LookupEvents", now)?;
    let attributes = each_object("LookupAttributes", input.list("LookupAttributes")?)?;
    if attributes.len() > 1 {
        return Err(ServiceError::new(
            "InvalidLookupAttributesException",
            "You can specify only one attribute.".to_owned(),
        ));
    }
    let wanted = match attributes.first() {
        None => None,
        Some(attribute) => {
            attribute.one_of("AttributeKey", &ATTRIBUTES)?;
            attribute.text("AttributeKey")?.zip(attribute.text("AttributeValue")?)
        }
    };
    let seconds = |member: &str| input.0.get(member).and_then(Value::as_f64);
    #[expect(clippy::cast_precision_loss, reason = "seconds of this century are exact")]
    let in_time = |at: DateTime<Utc>| {
        let at = at.timestamp() as f64;
        seconds("StartTime").is_none_or(|start| at >= start) && seconds("EndTime").is_none_or(|end| at <= end)
    };
    let most = input.number("MaxResults", 1, 50)?.unwrap_or(50) as usize;
    let skip: usize = input
        .text("NextToken")?
        .map_or(Ok(0), str::parse)
        .map_err(|_| ServiceError::new("InvalidNextTokenException", String::new()))?;
    let shown = |record: &&HistoryRecord| later(record.at, model.options.history_lag) <= now && in_time(record.at);
    let is_wanted = |record: &&HistoryRecord| match wanted {
        None => true,
        Some(("Username", name)) => user_name(&record.detail) == Some(name),
        Some(("EventId", id)) => record.detail["eventID"] == id,
        Some(("EventSource", source)) => record.detail["eventSource"] == source,
        Some(("AccessKeyId", key)) => record.detail["userIdentity"]["accessKeyId"] == key,
        Some(("ReadOnly", value)) => record.detail["readOnly"] == (value == "true"),
        Some(("ResourceName", name)) => {
            let mut resources = record.detail["resources"].as_array().into_iter().flatten();
            resources.any(|resource| resource["ARN"] == name)
        }
        Some((_, name)) => record.detail["eventName"] == name,
    };
    let found: Vec<_> = model.history.iter().rev().filter(shown).filter(is_wanted).collect();
    let page: Vec<_> = found.iter().skip(skip).take(most).map(|record| event(record)).collect();
    let next = (skip + page.len() < found.len()).then(|| (skip + page.len()).to_string());
    let mut answer = json!({ "Events": page });
    if let Some(next) = next {
        answer["NextToken"] = json!(next);
    }
    Ok(answer)
}

/// `Username` of an event: the IAM user's name, or the name of the role's session, as the [sample
/// of the command][sample] shows it.
///
/// [sample]: https://docs.aws.amazon.com/cli/latest/reference/cloudtrail/lookup-events.html
fn user_name(detail: &Value) -> Option<&str> {
    let identity = &detail["userIdentity"];
    let session = || Some(identity["arn"].as_str()?.split_once(":assumed-role/")?.1.rsplit_once('/')?.1);
    identity["userName"].as_str().or_else(session)
}

fn event(record: &HistoryRecord) -> Value {
    let detail = &record.detail;
    json!({
        "EventId": detail["eventID"],
        "EventName": detail["eventName"],
        "EventSource": detail["eventSource"],
        "EventTime": record.at.timestamp(),
        "ReadOnly": (detail["readOnly"] == true).to_string(),
        "Username": user_name(detail),
        "Resources": [],
        "CloudTrailEvent": detail.to_string(),
    })
}
