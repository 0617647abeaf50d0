//! Turns an SDK error into a [`CallError`]: its code, and whether the call may have taken effect.

use std::error::Error;
use std::fmt::Display;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::http::NotReached;
use crate::domain::failure::{Class, Failure, Kind, Step, code};
use crate::domain::text::{error_chain, shorten};

/// At most this many characters of what AWS or the network said are kept.
const LONGEST_DETAIL: usize = 600;

/// Whether a failed call may have taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// AWS refused it with an error code, or a proxy on the way did: it had no effect.
    Refused,
    /// The answer was lost, or AWS failed internally: it may have had an effect.
    Unknown,
}

/// A failed call to AWS, diagnosed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// What went wrong.
    pub failure: Failure,
    /// Whether the call may have taken effect.
    pub fate: Fate,
}

impl CallError {
    /// There was no answer before the deadline.
    pub(super) fn timed_out(step: Step, subject: &dyn Display) -> Self {
        Self { failure: Failure::new(step, code::TIMEOUT, subject, "no answer in time"), fate: Fate::Unknown }
    }

    /// The answer is not one that the API reference describes.
    pub(super) fn unreadable(step: Step, subject: &dyn Display) -> Self {
        let detail = "the answer is not one that the API reference describes";
        Self { failure: Failure::new(step, code::UNREADABLE_ANSWER, subject, detail), fate: Fate::Unknown }
    }

    /// The call was not made: the rate limit would have allowed it only after the deadline.
    pub(super) fn no_turn(step: Step, subject: &dyn Display) -> Self {
        let detail = "the function's rate limit allows the call only after the deadline";
        Self { failure: Failure::new(step, code::OUT_OF_TIME, subject, detail), fate: Fate::Refused }
    }

    /// Classifies what the SDK reported.
    pub(super) fn from_sdk<E, R>(step: Step, subject: &dyn Display, error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: std::fmt::Debug,
    {
        let failed = Diagnosis::of(error).at(step, subject);
        match not_reached(error).and_then(|host| host.remedy.clone()) {
            Some(remedy) => CallError { failure: failed.failure.classed(Class::Terminal).remedied(remedy), ..failed },
            None => failed,
        }
    }
}

/// What the SDK reported, without the step and the subject of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnosis {
    /// The AWS error code, or one of ours.
    pub(crate) code: String,
    /// What AWS or the network said.
    pub(crate) detail: String,
    pub(super) fate: Fate,
}

impl Diagnosis {
    /// Classifies `error`. `E` is the operation's error, which carries the code also where the code
    /// is not modelled.
    pub(crate) fn of<E, R>(error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: std::fmt::Debug,
    {
        let (code, detail, fate) = match error {
            SdkError::ServiceError(service) => match service.err().code() {
                Some(code) => {
                    let fate = match Kind::of(code) {
                        Kind::Unavailable | Kind::Unknown => Fate::Unknown,
                        _ => Fate::Refused,
                    };
                    (code, service.err().message().unwrap_or_default().to_owned(), fate)
                }
                None => (code::UNREADABLE_ANSWER, "the answer carries no error code".to_owned(), Fate::Unknown),
            },
            SdkError::TimeoutError(_) => (code::TIMEOUT, "no answer in time".to_owned(), Fate::Unknown),
            SdkError::DispatchFailure(failure) => {
                // Of a connector's error, only the cause says something: it names the host.
                let detail = failure
                    .as_connector_error()
                    .map_or_else(String::new, |error| error.source().map_or_else(|| error.to_string(), error_chain));
                let code = if failure.is_timeout() { code::TIMEOUT } else { code::NETWORK_ERROR };
                // What the proxy refused did not reach AWS.
                let is_final = not_reached(error).is_some_and(|host| host.remedy.is_some());
                (code, detail, if is_final { Fate::Refused } else { Fate::Unknown })
            }
            SdkError::ResponseError(_) => (code::UNREADABLE_ANSWER, error_chain(error), Fate::Unknown),
            SdkError::ConstructionFailure(_) => (code::REQUEST_NOT_BUILT, error_chain(error), Fate::Refused),
            // The SDK may add kinds of errors: only the text of such a one is known.
            other => (code::UNREADABLE_ANSWER, error_chain(other), Fate::Unknown),
        };
        Self { code: code.to_owned(), detail: shorten(&detail, LONGEST_DETAIL), fate }
    }

    /// Whether AWS was not reached: the detail then says which host.
    #[cfg(feature = "cli")]
    pub(crate) fn is_network(&self) -> bool {
        self.code == code::NETWORK_ERROR
    }

    /// The error of the call at `step` on `subject`.
    pub(super) fn at(self, step: Step, subject: &dyn Display) -> CallError {
        let Self { code, detail, fate } = self;
        CallError { failure: Failure::new(step, &code, subject, &detail), fate }
    }
}

/// The host that was not reached, if that is the error.
pub(super) fn not_reached<E, R>(error: &SdkError<E, R>) -> Option<&NotReached> {
    let SdkError::DispatchFailure(failure) = error else { return None };
    failure.as_connector_error()?.source()?.downcast_ref()
}

/// Rejects an answer without its list, or without the field that says whether there is more of it.
///
/// The SDK reads a missing list as an empty one, and a missing field as `false`. An empty answer of
/// a proxy would then mean "no tags" or "no streams", and end exemptions.
#[derive(Debug)]
pub(super) struct MustHold {
    pub(super) list: &'static str,
    pub(super) more: &'static str,
}

#[dyn_dispatch_hint]
impl Intercept for MustHold {
    fn name(&self) -> &'static str {
        "MustHold"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = context.response();
        if !answer.status().is_success() {
            return Ok(());
        }
        let body: Option<serde_json::Value> = answer.body().bytes().and_then(|body| serde_json::from_slice(body).ok());
        let Self { list, more } = self;
        if body.is_some_and(|body| body[list].is_array() && body[more].is_boolean()) {
            Ok(())
        } else {
            Err(format!("the answer lacks {list} or {more}").into())
        }
    }
}
