//! From how it ended to the outcome that is reported.

use super::observe::{Incarnation, Observation};
use super::{ReconcileResult, Reconciliation};
use crate::decide::{InSync, Settled};
use crate::domain::failure::{Class, Failure, Step, code};
use crate::domain::outcome::{DeferReason, Deferral, Outcome, Status};

impl Reconciliation<'_> {
    pub(super) fn outcome(self, result: ReconcileResult) -> Outcome {
        let Self { context, target, arn, observation, incarnation, requirement, waited, .. } = self;
        let Incarnation { initial, desired_key_id, start, apply_reason, warnings, .. } = incarnation;
        let stream = Some(arn.as_ref().map_or_else(|| target.to_string(), ToString::to_string));
        let mode = requirement.map_or(context.enforcement.policy.mode, |requirement| requirement.mode);
        let new = |status, reason: String| Outcome::new(stream.clone(), status, reason, mode);
        let outcome = match result {
            ReconcileResult::Settled(settled) => match settled {
                Settled::InSync(InSync::DesiredKey) if start.is_some() => {
                    let why = apply_reason.map(|reason| reason.in_the_past()).unwrap_or_default();
                    new(Status::Encrypted, format!("{why}; the key was applied and is in place"))
                }
                Settled::InSync(in_sync) => new(Status::Compliant, in_sync.to_string()),
                Settled::WouldApply(reason) => new(Status::WouldEncrypt, reason.to_string()),
                Settled::Exempt(because) => new(Status::Exempt, because),
                Settled::KeyAtRisk(failure) => {
                    new(Status::KeyAtRisk, format!("the stream has the configured key, but {}", failure.message))
                }
                Settled::Gone(reason) if context.request.by_name => {
                    // The reason names the step and the stream already.
                    let failure = Failure::new(Step::DescribeStream, code::STREAM_NOT_FOUND, &target, "");
                    let failure = Failure { message: reason, ..failure }.classed(Class::Terminal);
                    Outcome::failed(stream.clone(), failure, mode)
                }
                Settled::Gone(reason) => new(Status::Gone, reason),
                Settled::LeftToSweep(what) => {
                    new(Status::Deferred, format!("{what}; the next scheduled sweep looks at it again"))
                }
            },
            ReconcileResult::Deferred(deferral) => {
                let outcome = new(Status::Deferred, reason_of(&deferral));
                Outcome { deferral: Some(deferral), ..outcome }
            }
            ReconcileResult::Failed(failure) => Outcome::failed(stream.clone(), failure, mode),
        };
        Outcome {
            rule: requirement.and_then(|requirement| requirement.rule).map(str::to_owned),
            key: desired_key_id,
            previous_key: initial.and_then(|initial| initial.key_id),
            waited_ms: crate::aws::millis(waited),
            applied: start.is_some_and(|start| start.accepted) || outcome.status == Status::Encrypted,
            warnings,
            seen: observation.map(|Observation { description, .. }| Box::new(description)),
            ..outcome
        }
    }
}

fn reason_of(Deferral { after, until }: &Deferral) -> String {
    let because = match until {
        DeferReason::Grace { .. } => "the stream's creator may still be working on it".to_owned(),
        DeferReason::Contest { applied } => format!(
            "another principal changed the stream's encryption, to which we applied the key {} times in 24 hours",
            applied.len()
        ),
        DeferReason::Unsettled { what, .. } => what.clone(),
    };
    format!("{because}: it is looked at again in {} s", after.as_secs_f64().ceil())
}
