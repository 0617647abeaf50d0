//! Who uses a stream, as policies and `CloudTrail` name them.
//!
//! Source: [AWS JSON policy elements: Principal][principal].
//!
//! [principal]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html

use std::fmt;

use crate::domain::arn::is_account;

/// A producer or consumer of a stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// A role. Its sessions use the stream.
    Role {
        /// `aws`, `aws-cn`, …
        partition: String,
        /// The account of the role.
        account: String,
        /// The path with a slash at both ends, `/` for none; `None` where only a session is known,
        /// whose ARN leaves the path out.
        path: Option<String>,
        /// The role's name.
        name: String,
    },
    /// An IAM user, by ARN.
    User {
        /// The account of the user.
        account: String,
        /// The whole ARN.
        arn: String,
    },
    /// Every principal of an account that the account's own policies allow.
    Account(String),
    /// An AWS service that acts for itself, such as `logs.amazonaws.com`.
    Service(String),
    /// Everybody, as `*` in a resource policy.
    Everybody,
    /// Somebody whom no policy that can be read names, such as the root user. The text describes
    /// them.
    Other(String),
}

impl Principal {
    /// Reads a principal in any form in which a policy, a `CloudTrail` record or a resource names
    /// it; `None` for one that cannot be asked about, such as a deleted principal's ID.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Everybody);
        }
        if is_account(text) {
            return Some(Self::Account(text.to_owned()));
        }
        let mut parts = text.splitn(6, ':');
        let ("arn", partition, service, "", account, resource) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?)
        else {
            return None;
        };
        if !is_account(account) || !partition.starts_with("aws") {
            return None;
        }
        let role = |path: Option<String>, name: &str| Self::Role {
            partition: partition.to_owned(),
            account: account.to_owned(),
            path,
            name: name.to_owned(),
        };
        match (service, resource.split_once('/')) {
            ("iam", None) if resource == "root" => Some(Self::Account(account.to_owned())),
            ("iam", Some(("role", path_and_name))) => {
                let (path, name) = path_and_name.rsplit_once('/').unwrap_or(("", path_and_name));
                let path = if path.is_empty() { "/".to_owned() } else { format!("/{path}/") };
                is_name(name).then(|| role(Some(path), name))
            }
            ("iam", Some(("user", name))) => {
                (!name.is_empty()).then(|| Self::User { account: account.to_owned(), arn: text.to_owned() })
            }
            ("sts", Some(("assumed-role", name_and_session))) => {
                let name = name_and_session.split('/').next().unwrap_or_default();
                is_name(name).then(|| role(None, name))
            }
            _ => None,
        }
    }

    /// The account that the principal belongs to; `None` for a service and for everybody.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        match self {
            Self::Role { account, .. } | Self::User { account, .. } | Self::Account(account) => Some(account),
            Self::Service(_) | Self::Everybody | Self::Other(_) => None,
        }
    }

    /// The ARN by which policies name the principal, and IAM simulates it; `None` where it is not
    /// known or there is none.
    #[must_use]
    pub fn arn(&self) -> Option<String> {
        match self {
            Self::Role { partition, account, path: Some(path), name } => {
                Some(format!("arn:{partition}:iam::{account}:role{path}{name}"))
            }
            Self::User { arn, .. } => Some(arn.clone()),
            Self::Role { path: None, .. } | Self::Account(_) | Self::Service(_) | Self::Everybody | Self::Other(_) => {
                None
            }
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role { account, path: None, name, .. } => write!(f, "role {name} of account {account}"),
            Self::Account(account) => write!(f, "account {account}"),
            Self::Service(text) | Self::Other(text) => f.write_str(text),
            Self::Everybody => f.write_str("everybody"),
            Self::Role { .. } | Self::User { .. } => f.write_str(&self.arn().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_principal_is_read() {
        for (text, shown) in [
            ("*", "everybody"),
            ("111122223333", "account 111122223333"),
            ("arn:aws:iam::111122223333:root", "account 111122223333"),
            ("arn:aws:iam::111122223333:role/writer", "arn:aws:iam::111122223333:role/writer"),
            ("arn:aws-cn:iam::111122223333:role/a/b/writer", "arn:aws-cn:iam::111122223333:role/a/b/writer"),
            ("arn:aws:iam::111122223333:user/jo", "arn:aws:iam::111122223333:user/jo"),
            ("arn:aws:sts::111122223333:assumed-role/writer/i-0123", "role writer of account 111122223333"),
        ] {
            assert_eq!(Principal::read(text).map(|principal| principal.to_string()).as_deref(), Some(shown), "{text}");
        }
        for text in [
            "",
            "AROAEXAMPLEID",
            "arn:aws:iam::1:root",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:group/writers",
            "arn:aws:iam:us-east-1:111122223333:role/writer",
            "arn:aws:sts::111122223333:federated-user/jo",
        ] {
            assert_eq!(Principal::read(text), None, "{text}");
        }
    }
}
