//! What is known of a stream's quiet: whoever made it may not be done with it, and must not find it
//! UPDATING. Pure.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Who made or changed a stream, as far as waiting for them is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// Terraform, `OpenTofu`, Pulumi or `CloudFormation`: it may not be done with the stream yet,
    /// and breaks if the stream is UPDATING when it goes on.
    InfrastructureAsCode,
    /// Anybody else: nobody has to be waited for.
    Other,
}

/// What is known of a stream's quiet: by whom, since when, and how often it was already waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GraceState {
    /// Who made the stream, or changed its encryption; unknown where absent.
    pub actor: Option<Actor>,
    /// Since when the stream was only seen ACTIVE.
    #[serde(rename = "quietSince")]
    pub active_since: Option<DateTime<Utc>>,
    /// How often the stream was deferred for its quiet.
    pub deferrals: u32,
}
