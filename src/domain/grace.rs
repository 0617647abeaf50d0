//! The grace period: an infrastructure-as-code tool that has just created or changed a stream may
//! still be working on it, and fails if it finds the stream UPDATING. Pure.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Who created or changed a stream, as far as the grace period is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// An [`IacTool`](super::iac::IacTool): the grace period applies.
    InfrastructureAsCode,
    /// A person, in the console or with the AWS CLI: the stream is changed at once.
    Other,
}

/// What is known about a stream's grace period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GraceState {
    /// Who created the stream or changed its encryption. Absent if that is unknown, or a program
    /// that is not known: the grace period then applies to a young stream.
    pub actor: Option<Actor>,
    /// Since when every description of the stream showed ACTIVE.
    #[serde(rename = "quietSince")]
    pub active_since: Option<DateTime<Utc>>,
    /// How often the stream was deferred for its grace period.
    pub deferrals: u32,
}
