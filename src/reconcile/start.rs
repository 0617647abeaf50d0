//! Sending the start.

use super::observe::Refusal;
use super::{Next, Reconciliation, StartAttempt};
use crate::aws::kinesis::Encryption;
use crate::aws::{CallError, Fate};
use crate::decide::ApplyReason;
use crate::domain::failure::Kind;
use crate::domain::outcome::Warning;

impl Reconciliation<'_> {
    /// Sends [StartStreamEncryption], once. After an answer that was lost the stream is observed,
    /// never started again.
    ///
    /// [StartStreamEncryption]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html
    pub(super) async fn start(&mut self, encryption: &Encryption, reason: ApplyReason) -> Next {
        let Some((arn, key_id)) = self.arn.clone().zip(self.incarnation.desired_key_id.clone()) else {
            return Next::Observe;
        };
        let sent = encryption.start(&arn, &key_id, self.context.deadline.look_until()).await;
        let at = self.now();
        let state = &mut self.incarnation;
        let accepted = match sent {
            Ok(()) => true,
            Err(CallError { failure, fate: Fate::Unknown }) => {
                tracing::warn!(
                    stream = arn.as_str(),
                    code = failure.code,
                    "answer to the start was lost, looking at the stream instead of sending it again"
                );
                state.warnings.push(Warning::StartAnswerLost);
                false
            }
            Err(CallError { failure, fate: Fate::Refused }) => {
                let count = match failure.kind() {
                    Kind::InUse => &mut state.in_use,
                    _ => &mut state.throttled,
                };
                *count += 1;
                state.refusal = Some(Refusal { count: *count, failure, retry_after: None });
                return Next::Decide;
            }
        };
        state.start = Some(StartAttempt { at, accepted, seen_updating: false, undone_since: None });
        state.apply_reason = Some(reason);
        state.last_refusal = None;
        // The wait for the change has its own schedule, whatever was waited for before.
        self.poll(at).await;
        Next::Observe
    }
}
