//! `QueueCount` of [StreamDescriptionSummary], which the SDK's type does not have yet: it is read
//! from the body of the same answer, so it costs no call.
//!
//! [StreamDescriptionSummary]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StreamDescriptionSummary.html

use std::sync::{Arc, OnceLock};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use serde::Deserialize;

/// Reads the count from the answer of the one call that it is given to.
#[derive(Clone, Debug, Default)]
pub(super) struct QueueCount(Arc<OnceLock<u32>>);

impl QueueCount {
    /// The count; `None` if the answer has none.
    pub(super) fn get(&self) -> Option<u32> {
        self.0.get().copied()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    stream_description_summary: Summary,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    queue_count: Option<u32>,
}

#[dyn_dispatch_hint]
impl Intercept for QueueCount {
    fn name(&self) -> &'static str {
        "QueueCount"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().and_then(|body| serde_json::from_slice::<Body>(body).ok());
        // The count only makes a warning more precise: an answer without one is as good as any.
        if let Some(count) = body.and_then(|body| body.stream_description_summary.queue_count) {
            self.0.get_or_init(|| count);
        }
        Ok(())
    }
}
