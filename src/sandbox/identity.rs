//! Who makes a call.

use crate::domain::arn::partition_of;

/// The principal of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// An IAM user.
    User {
        /// The user's name, with its path if it has one.
        name: String,
    },
    /// An assumed role.
    Role {
        /// The role's name, with its path if it has one.
        name: String,
        /// The role session's name.
        session: String,
    },
}

impl Identity {
    /// An IAM user.
    #[must_use]
    pub fn user(name: &str) -> Self {
        Self::User { name: name.to_owned() }
    }

    /// A session of an assumed role.
    #[must_use]
    pub fn role(name: &str, session: &str) -> Self {
        Self::Role { name: name.to_owned(), session: session.to_owned() }
    }

    /// The principal's ARN in this account. That of an assumed role does not contain the role's path.
    pub(crate) fn arn(&self, region: &str, account: &str) -> String {
        let partition = partition_of(region);
        match self {
            Self::User { name } => format!("arn:{partition}:iam::{account}:user/{name}"),
            Self::Role { name, session } => {
                let plain = name.rsplit('/').next().unwrap_or_default();
                format!("arn:{partition}:sts::{account}:assumed-role/{plain}/{session}")
            }
        }
    }

    /// The ARN of the role or user, which has its path.
    pub(crate) fn principal_arn(&self, region: &str, account: &str) -> String {
        match self {
            Self::User { .. } => self.arn(region, account),
            Self::Role { name, .. } => format!("arn:{}:iam::{account}:role/{name}", partition_of(region)),
        }
    }

    /// The principal's [unique id].
    ///
    /// [unique id]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
    pub(crate) fn principal_id(&self) -> String {
        match self {
            Self::User { .. } => "AIDAEXAMPLE".to_owned(),
            Self::Role { session, .. } => format!("AROAEXAMPLE:{session}"),
        }
    }
}

/// The principal of a call, with the access key and the program that it used.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    pub(crate) access_key: String,
    pub(crate) user_agent: String,
}
