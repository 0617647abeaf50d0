//! EventBridge events: selects the reader by source and detail-type.
//!
//! Sources: EventBridge User Guide, [*Events*][events]; EventBridge Events Reference,
//! [*Events from AWS services*][services].
//!
//! [events]: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
//! [services]: https://docs.aws.amazon.com/eventbridge/latest/ref/events.html

use serde::Deserialize;
use serde_json::Value;

use super::detail::Event;
use super::parsed::{Origin, Parsed, ParsedTrigger, Rejection, typed};
use super::request::{Fleets, Scope, TriggerKind};
use super::{cloudtrail, config, kms, securityhub};
use crate::domain::encryption_change::{Change, ForeignChange};

/// The field that the function adds to a key event before it sends it to the work queue, to be
/// looked at once more. EventBridge's own events have no such field.
pub const FIRST_LOOK: &str = "sweptWith";

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
    let mut reading = ParsedTrigger::new(find(&event, own_roles), origin);
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

fn find(event: &Event, own_roles: &[String]) -> Parsed {
    match (event.source.as_str(), event.detail_type.as_str()) {
        ("aws.kinesis", cloudtrail::API_CALL) => cloudtrail::stream_call(event, own_roles),
        ("aws.kms", cloudtrail::API_CALL) => kms::call(event),
        ("aws.kinesis" | "aws.kms", cloudtrail::SERVICE_EVENT) => cloudtrail::service_event(event),
        ("aws.kms", "KMS CMK Rotation") => kms::rotated(event),
        ("aws.kms", "KMS CMK Deletion" | "KMS Imported Key Material Expiration") => kms::lost(event),
        ("aws.config", "Config Rules Compliance Change") => config::compliance_change(event),
        ("aws.config", "Config Configuration Item Change") => config::item_change(event),
        ("aws.securityhub", "Security Hub Findings - Imported") => securityhub::imported(event),
        ("aws.securityhub", "Security Hub Findings - Custom Action") => securityhub::custom_action(event),
        ("aws.securityhub", "Findings Imported V2") => securityhub::imported_v2(event),
        ("aws.events" | "aws.scheduler", "Scheduled Event") => {
            Ok((TriggerKind::Scheduled, Scope::Fleet { of: Fleets::All, start_after: None }))
        }
        (source, detail_type) if source.starts_with("aws.") => {
            Err(Rejection::unknown(format!("unsupported event: detail-type {detail_type:?} from {source:?}")))
        }
        // Only AWS can send events with a source of `aws.*`; any other source may come from whoever
        // may call PutEvents.
        (source, detail_type) => {
            Err(Rejection::unknown(format!("not an event from AWS: detail-type {detail_type:?} from {source:?}")))
        }
    }
}
