//! AWS Config: a rule that a stream does not comply with, or a recorded change of a stream.
//!
//! Source: AWS Config Developer Guide, [*Monitoring AWS Config with Amazon EventBridge*][events].
//!
//! [events]: https://docs.aws.amazon.com/config/latest/developerguide/monitor-config-with-cloudwatchevents.html

use serde::Deserialize;

use serde_json::Value;

use super::detail::{Event, detail};
use super::parsed::{Parsed, Rejection};
use super::request::{Scope, TriggerKind};
use crate::domain::stream::{StreamArn, StreamRef};

const STREAM: &str = "AWS::Kinesis::Stream";

/// The `detail-type` of a rule's result.
pub(super) const COMPLIANCE_CHANGE: &str = "Config Rules Compliance Change";
/// The `detail-type` of a recorded change.
pub(super) const ITEM_CHANGE: &str = "Config Configuration Item Change";

/// What a [notification] is about, by its `messageType`: notifications come without the event's
/// envelope from the topic of a delivery channel, and as the `invokingEvent` of a [custom rule].
///
/// [notification]: https://docs.aws.amazon.com/config/latest/developerguide/notifications-for-AWS-Config.html
/// [custom rule]: https://docs.aws.amazon.com/config/latest/developerguide/evaluate-config_develop-rules_example-events.html
pub(super) fn notification(payload: &Value) -> Option<Result<&'static str, Rejection>> {
    Some(match payload.get("messageType")?.as_str()? {
        "ComplianceChangeNotification" => Ok(COMPLIANCE_CHANGE),
        "ConfigurationItemChangeNotification" | "OversizedConfigurationItemChangeNotification" => Ok(ITEM_CHANGE),
        other @ ("ScheduledNotification"
        | "ConfigurationSnapshotDeliveryStarted"
        | "ConfigurationSnapshotDeliveryCompleted"
        | "ConfigurationSnapshotDeliveryFailed"
        | "ConfigurationHistoryDeliveryCompleted"
        | "ConfigurationHistoryDeliveryFailed"
        | "ConfigRulesEvaluationStarted") => {
            Err(Rejection::ignored(format!("the notification {other} of AWS Config is about no single resource")))
        }
        _ => return None,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ComplianceChange {
    resource_type: Option<String>,
    /// The stream's name.
    resource_id: Option<String>,
    aws_region: Option<String>,
    aws_account_id: Option<String>,
    new_evaluation_result: Option<EvaluationResult>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EvaluationResult {
    compliance_type: Option<String>,
}

/// `Config Rules Compliance Change`, for any rule: the stream itself is checked, not the rule.
pub(super) fn compliance_change(event: &Event) -> Parsed {
    let ComplianceChange { resource_type, resource_id, aws_region, aws_account_id, new_evaluation_result } =
        detail(event)?;
    expect_stream(resource_type.as_deref())?;
    match new_evaluation_result.and_then(|result| result.compliance_type).as_deref() {
        Some("NON_COMPLIANT") => {}
        Some(other) => return Err(Rejection::ignored(format!("the stream is now {other}"))),
        None => return Err(Rejection::ignored("the rule no longer has a result for the stream")),
    }
    let account = aws_account_id.as_deref().or(event.account.as_deref());
    let region = aws_region.as_deref().or(event.region.as_deref());
    let arn = locate(resource_id.as_deref(), account, region)?;
    Ok((TriggerKind::ComplianceChanged, Scope::Streams(vec![StreamRef::Arn(arn)])))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemChange {
    configuration_item: Option<Item>,
    /// What stands in place of an item that is too large for a notification.
    configuration_item_summary: Option<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    configuration_item_status: Option<String>,
    resource_type: Option<String>,
    #[serde(rename = "ARN")]
    arn: Option<String>,
    resource_name: Option<String>,
    resource_id: Option<String>,
    aws_region: Option<String>,
    aws_account_id: Option<String>,
}

/// `Config Configuration Item Change`. The encryption in the item is not read: it may be outdated.
pub(super) fn item_change(event: &Event) -> Parsed {
    let ItemChange { configuration_item, configuration_item_summary } = detail(event)?;
    let Some(item) = configuration_item.or(configuration_item_summary) else {
        return Err(Rejection::unknown(
            "the configuration item change has neither a configurationItem nor a configurationItemSummary",
        ));
    };
    let Item {
        configuration_item_status: status,
        resource_type,
        arn,
        resource_name,
        resource_id,
        aws_region,
        aws_account_id,
    } = item;
    expect_stream(resource_type.as_deref())?;
    if let Some(status) =
        status.filter(|status| status.starts_with("ResourceDeleted") || status == "ResourceNotRecorded")
    {
        return Err(Rejection::ignored(format!("the configuration item is {status}")));
    }
    let account = aws_account_id.as_deref().or(event.account.as_deref());
    let region = aws_region.as_deref().or(event.region.as_deref());
    let arn = locate(arn.or(resource_name).or(resource_id).as_deref(), account, region)?;
    Ok((TriggerKind::ComplianceChanged, Scope::Streams(vec![StreamRef::Arn(arn)])))
}

fn expect_stream(resource_type: Option<&str>) -> Result<(), Rejection> {
    match resource_type {
        Some(STREAM) => Ok(()),
        Some(other) => Err(Rejection::ignored(format!("{other} is not a Kinesis data stream"))),
        None => Err(Rejection::unknown("the AWS Config event has no resourceType")),
    }
}

fn locate(stream: Option<&str>, account: Option<&str>, region: Option<&str>) -> Result<StreamArn, Rejection> {
    let stream = stream.ok_or_else(|| Rejection::unknown("the AWS Config event names no stream"))?;
    match stream.parse()? {
        StreamRef::Arn(arn) => Ok(arn),
        StreamRef::Name(name) => {
            let place = account
                .zip(region)
                .ok_or_else(|| Rejection::unknown("the AWS Config event has no account or no Region"))?;
            Ok(StreamArn::build(place.1, place.0, &name)?)
        }
    }
}
