//! Who makes a call.

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
}

/// The principal of a call, with the access key and the program that it used.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    pub(crate) access_key: String,
    pub(crate) user_agent: String,
}
