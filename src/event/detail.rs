//! An EventBridge event and its detail.
//!
//! Source: EventBridge User Guide, [*Events*][events].
//!
//! [events]: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html

use aws_lambda_events::eventbridge::EventBridgeEvent;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::parsed::{Rejection, typed};

/// An event whose detail is not read yet. The input of a schedule may have no detail.
pub(super) type Event = EventBridgeEvent<Option<Value>>;

/// The event's detail as a `T`.
pub(super) fn detail<T: DeserializeOwned>(event: &Event) -> Result<T, Rejection> {
    let Some(detail) = &event.detail else {
        return Err(Rejection::unknown(format!("{:?} has no detail", event.detail_type)));
    };
    typed(detail).map_err(|reason| Rejection::unknown(format!("invalid detail of {:?}: {reason}", event.detail_type)))
}
