//! What follows when principals can no longer use a stream.

use super::enforcement::is_parameter;
use super::queues::queue;
use super::{Environment, Problem};

/// The variables of this group.
pub(super) struct Access {
    pub(super) denials_queue_url: Option<String>,
    pub(super) state_parameter: Option<String>,
    pub(super) halts: bool,
}

impl Access {
    pub(super) fn read(environment: &Environment, problems: &mut Vec<Problem>) -> Self {
        Self {
            denials_queue_url: queue(environment, "ACCESS_DENIALS_QUEUE_URL", problems),
            state_parameter: environment.text(
                "ACCESS_STATE_PARAMETER",
                is_parameter,
                "the name of an SSM parameter, such as /kinesis/access, or its ARN",
                problems,
            ),
            halts: environment.choice("HALT_ON_ACCESS_DENIED", true, &[("true", true), ("false", false)], problems),
        }
    }
}
