//! An EventBridge event, and what is inside it.
//!
//! Source: [Events in Amazon EventBridge][events].
//!
//! [events]: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events.html

use aws_lambda_events::eventbridge::EventBridgeEvent;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::parsed::{Rejection, typed};

/// An event whose detail is not looked at yet. It may be absent: a schedule's input need not have
/// one.
pub(super) type Event = EventBridgeEvent<Option<Value>>;

/// The event's detail as a `T`.
pub(super) fn detail<T: DeserializeOwned>(event: &Event) -> Result<T, Rejection> {
    let Some(detail) = &event.detail else {
        return Err(Rejection::unknown(format!("{:?} without a detail", event.detail_type)));
    };
    typed(detail).map_err(|reason| Rejection::unknown(format!("the detail of {:?}: {reason}", event.detail_type)))
}
