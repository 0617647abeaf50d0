//! The policy as of now: as the settings hold it, or as the SSM parameter does.

use std::sync::Arc;

use aws_types::SdkConfig;
use tokio::time::Instant;

use super::calls::Calls;
use super::ssm::{Current, PolicyParameter};
use crate::domain::failure::Failure;
use crate::policy::Policy;
use crate::settings::PolicySource;

/// Reads the policy from where the settings say it is.
#[derive(Clone, Debug)]
pub enum PolicyReader {
    /// The settings hold it: it is the same for as long as the process lives.
    Inline(Arc<Policy>),
    /// The SSM parameter holds it.
    Parameter(PolicyParameter),
}

impl PolicyReader {
    pub(super) fn new(config: &SdkConfig, calls: Arc<Calls>, source: &PolicySource) -> Self {
        match source {
            PolicySource::Inline(policy) => Self::Inline(Arc::clone(policy)),
            PolicySource::Parameter(name) => Self::Parameter(PolicyParameter::new(config, calls, name.clone())),
        }
    }

    /// The policy as of now. Without one nothing may be touched: which streams it exempts is not
    /// known.
    pub async fn current(&self, deadline: Instant) -> Result<Current, Failure> {
        match self {
            Self::Inline(policy) => Ok(Current { policy: Arc::clone(policy), trouble: None }),
            Self::Parameter(parameter) => Box::pin(parameter.current(deadline)).await,
        }
    }

    /// The text of the parameter, as of now; `None` if the settings hold the policy, or the
    /// parameter cannot be read.
    #[cfg(feature = "cli")]
    pub async fn text(&self, deadline: Instant) -> Option<String> {
        match self {
            Self::Inline(_) => None,
            Self::Parameter(parameter) => Box::pin(parameter.text(deadline)).await.ok(),
        }
    }
}
