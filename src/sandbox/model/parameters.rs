//! A parameter of Parameter Store.

use chrono::{DateTime, Utc};

/// A parameter, with all its versions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameter {
    /// `String`, `StringList` or `SecureString`.
    pub(crate) kind: String,
    /// Oldest first: the first is version 1.
    pub(crate) versions: Vec<ParameterVersion>,
}

/// A value of a parameter.
#[derive(Clone, Debug)]
pub(crate) struct ParameterVersion {
    pub(crate) value: String,
    pub(crate) modified: DateTime<Utc>,
}
