//! Roles that callers may assume, and the sessions of those who did.

use chrono::{DateTime, Utc};

use crate::sandbox::identity::Identity;
use crate::sandbox::service_error::ServiceError;

/// A role of a member account.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    /// The 12 digits of the account that the role is in.
    pub(crate) account: String,
    /// The role's name, with its path if it has one.
    pub(crate) name: String,
    pub(crate) external_id: String,
}

/// The session of an assumed role.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The 12 digits of the account that the session's calls are in.
    pub(crate) account: String,
    pub(crate) identity: Identity,
    pub(crate) token: String,
    pub(crate) expires: DateTime<Utc>,
    /// With what its calls are refused, once it has been ended early.
    pub(crate) refusal: Option<ServiceError>,
}
