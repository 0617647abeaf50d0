//! EventBridge events: selects the reader by source and detail-type.
//!
//! Sources: EventBridge User Guide, [*Events*][events]; EventBridge Events Reference,
//! [*Events from AWS services*][services].
//!
//! [events]: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
//! [services]: https://docs.aws.amazon.com/eventbridge/latest/ref/events.html

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::detail::Event;
use super::parsed::{Origin, Parsed, ParsedTrigger, Rejection, typed};
use super::request::{FindingFacts, Fleets, Scope, TriggerKind};
use super::{cloudtrail, config, kms, securityhub};
use crate::domain::encryption_change::{Change, ForeignChange};

/// The field that the function adds to a key event before it sends it to the work queue, to be
/// looked at once more. EventBridge's own events have no such field.
pub const FIRST_LOOK: &str = "sweptWith";

/// The `source` of the function's own outcome events. They are ignored: a rule that is too wide
/// must not make a loop.
pub const OWN_SOURCE: &str = "kinesis-encryption-enforcer";

pub(super) fn read(payload: &Value, own_roles: &[String]) -> ParsedTrigger {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let event: Event = match typed(payload) {
        Ok(event) => event,
        Err(reason) => {
            let origin = Origin { event_id: text(payload.get("id")), ..Origin::default() };
            return ParsedTrigger::new(Err(Rejection::unknown(format!("not an EventBridge event: {reason}"))), origin);
        }
    };
    let event_id = event.id.clone().or_else(|| text(event.detail.as_ref().and_then(|detail| detail.get("eventID"))));
    let origin =
        Origin { event_id, event_time: event.time, account: event.account.clone(), region: event.region.clone() };
    let mut finding = FindingFacts::default();
    let found = find(&event, own_roles, &mut finding);
    let mut reading = ParsedTrigger { finding, ..ParsedTrigger::new(found, origin) };
    reading.work.swept_with = payload.get(FIRST_LOOK).and_then(|keys| Vec::deserialize(keys).ok());
    if event.source == "aws.kinesis" {
        reading.facts.grace.actor = cloudtrail::actor(&event);
        if matches!(reading.trigger.kind, TriggerKind::EncryptionStopped | TriggerKind::EncryptionChanged) {
            let change = event.detail.as_ref().and_then(Change::read);
            reading.facts.foreign_change = change.as_ref().map(ForeignChange::from);
        }
    }
    reading
}

/// The fields of an event's envelope, and where a record of CloudTrail has them.
const RECORD: &[(&str, &str)] = &[("account", "/recipientAccountId"), ("region", "/awsRegion"), ("time", "/eventTime")];
/// The same of a notification of AWS Config.
const NOTIFICATION: &[(&str, &str)] = &[
    ("account", "/awsAccountId"),
    ("account", "/configurationItem/awsAccountId"),
    ("account", "/configurationItem/accountId"),
    ("account", "/configurationItemSummary/awsAccountId"),
    ("region", "/awsRegion"),
    ("region", "/configurationItem/awsRegion"),
    ("region", "/configurationItemSummary/awsRegion"),
    ("time", "/notificationCreationTime"),
];

/// Reads the detail of an event that comes without its envelope, if `payload` is one: a record of
/// CloudTrail or a notification of AWS Config. A rule with the `InputPath` `$.detail` delivers it
/// so, and CloudTrail's log files and the topics of AWS Config contain nothing else.
///
/// The account is the one that received the record, as in the envelope.
pub(super) fn read_detail(payload: &Value, own_roles: &[String]) -> Option<ParsedTrigger> {
    let (source, detail_type, places) = if let Some(service) = cloudtrail::service_of_record(payload) {
        (format!("aws.{service}"), cloudtrail::detail_type_of_record(payload), RECORD)
    } else {
        match config::notification(payload)? {
            Ok(detail_type) => ("aws.config".to_owned(), detail_type, NOTIFICATION),
            Err(rejection) => return Some(ParsedTrigger::new(Err(rejection), Origin::default())),
        }
    };
    let mut envelope = Map::new();
    for (field, place) in places {
        if let Some(value) = payload.pointer(place).filter(|value| value.is_string()) {
            envelope.insert((*field).to_owned(), value.clone());
        }
    }
    envelope.insert("source".to_owned(), json!(source));
    envelope.insert("detail-type".to_owned(), json!(detail_type));
    envelope.insert("detail".to_owned(), payload.clone());
    Some(read(&Value::Object(envelope), own_roles))
}

fn find(event: &Event, own_roles: &[String], finding: &mut FindingFacts) -> Parsed {
    match (event.source.as_str(), event.detail_type.as_str()) {
        ("aws.kinesis", cloudtrail::API_CALL) => cloudtrail::stream_call(event, own_roles),
        ("aws.kms", cloudtrail::API_CALL) => kms::call(event),
        ("aws.kinesis" | "aws.kms", cloudtrail::SERVICE_EVENT) => cloudtrail::service_event(event),
        ("aws.kms", "KMS CMK Rotation") => kms::rotated(event),
        ("aws.kms", "KMS CMK Deletion" | "KMS Imported Key Material Expiration") => kms::lost(event),
        ("aws.config", config::COMPLIANCE_CHANGE) => config::compliance_change(event),
        ("aws.config", config::ITEM_CHANGE) => config::item_change(event),
        ("aws.securityhub", "Security Hub Findings - Imported") => securityhub::imported(event, finding),
        ("aws.securityhub", "Security Hub Findings - Custom Action") => securityhub::custom_action(event, finding),
        ("aws.securityhub", "Findings Imported V2") => securityhub::imported_v2(event, finding),
        ("aws.events" | "aws.scheduler", "Scheduled Event") => {
            Ok((TriggerKind::Scheduled, Scope::Fleet { of: Fleets::All, start_after: None }))
        }
        (source, detail_type) if source.starts_with("aws.") => {
            Err(Rejection::unknown(format!("unsupported event: detail-type {detail_type:?} from {source:?}")))
        }
        (OWN_SOURCE, detail_type) => {
            Err(Rejection::ignored(format!("{detail_type:?} is an outcome event of this function")))
        }
        // Only AWS can send events with a source of `aws.*`; any other source may come from whoever
        // may call PutEvents.
        (source, detail_type) => {
            Err(Rejection::unknown(format!("not an event from AWS: detail-type {detail_type:?} from {source:?}")))
        }
    }
}
