//! Re-applying a key that a stream already has: asked for by a person, or by a rotation.
//!
//! A repeated [StartStreamEncryption] is accepted, sends the stream to UPDATING again and counts
//! against the 25 applications of a key in 24 hours, so it is sent once per request.
//!
//! [StartStreamEncryption]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html

use super::keys::{ApplyReason, DesiredKey};
use crate::domain::key::KeyArn;

/// Why a key is not re-applied although a message asks for it.
pub(super) const FROM_QUEUE: &str =
    "the request came by the work queue, and descends neither from a direct request nor from a rotation";

/// Why a key is not re-applied while the change history is unreadable.
pub(super) const WITHOUT_HISTORY: &str =
    "the change history cannot be read: how often the key was applied in the last 24 hours is not known";

/// Why a key that is in place is to be applied again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reapply {
    /// Somebody asked for it.
    Asked,
    /// The key was rotated, and `ON_KEY_ROTATION=reapply`.
    Rotated,
}

/// Why `desired` is to be applied to a stream that has it, if it is.
///
/// After a rotation, only streams of the rotated key are concerned, and not one that was seen
/// changing: that may well be the application that the rotation asks for.
pub(super) fn reason(
    reapply: Option<Reapply>,
    desired: &DesiredKey,
    rotated_key: Option<&KeyArn>,
    seen_changing: bool,
) -> Option<ApplyReason> {
    match reapply? {
        Reapply::Asked => Some(ApplyReason::Asked),
        Reapply::Rotated => {
            let concerned = !seen_changing && rotated_key.is_some_and(|key| key.as_str() == desired.key_id());
            concerned.then_some(ApplyReason::Rotated)
        }
    }
}
