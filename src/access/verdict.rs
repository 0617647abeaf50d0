//! Whether a principal may use a key for a stream: the key policy, the principal's own policies,
//! and grants together.
//!
//! Source: [Policy evaluation logic][logic], [How boundaries interact with resource
//! policies][boundaries], [Allowing users in other accounts to use a KMS key][accounts].
//!
//! [logic]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-basics-cross-account.html
//! [boundaries]: https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
//! [accounts]: https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-modifying-external-accounts.html

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::Question;
use super::condition::CONTEXT_KEY;
use super::principal::Principal;
use super::statement::{KeyPolicyAnswer, is_same, key_policy_answer};
use super::truth::Truth;
use crate::domain::key::KeyArn;

/// What the principal's own policies say, as [SimulatePrincipalPolicy] decides. It does not know
/// the key policy.
///
/// [SimulatePrincipalPolicy]: https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// They allow the call.
    Allowed,
    /// They do not mention it.
    NotAllowed,
    /// A statement denies it.
    Denied,
    /// The permissions boundary does not allow it.
    OutsideBoundary,
    /// A policy of the organization does not allow it.
    DeniedByOrganization,
    /// There is no such principal.
    Gone,
    /// It is not known. The text says why.
    Unknown(String),
}

/// A grant of the key, as far as it matters.
///
/// Source: <https://docs.aws.amazon.com/kms/latest/APIReference/API_GrantListEntry.html>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// `GranteePrincipal`.
    pub grantee: String,
    /// `Operations`, such as `Decrypt`.
    pub operations: Vec<String>,
    /// `EncryptionContextEquals` and `EncryptionContextSubset` of its constraints: key and value.
    pub context: Vec<(String, String)>,
    /// The names of its other constraints, such as `SourceArn`.
    pub other_constraints: Vec<String>,
}

/// The policy of a key, and its grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyAccess {
    /// AWS manages the key: every principal of the key's account may use it through Kinesis, and
    /// nobody else.
    AwsManaged,
    /// The key policy and the grants, each read or not.
    Customer {
        /// The key.
        key: KeyArn,
        /// The key policy, or why it could not be read.
        policy: Result<Value, String>,
        /// The grants, or why they could not be read.
        grants: Result<Vec<Grant>, String>,
    },
}

/// Whether a principal may make a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "answer", content = "because", rename_all = "kebab-case")]
pub enum Verdict {
    /// It may.
    Yes,
    /// It may not.
    No(Reason),
    /// It is not known. The text says why.
    Unknown(String),
    /// The principal does not exist, so it loses nothing.
    Gone,
}

/// Why a principal may not use a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A statement of the key policy denies the call.
    KeyPolicyDenies,
    /// A statement of the principal's own policies denies it.
    IdentityPolicyDenies,
    /// The permissions boundary does not allow it.
    OutsideBoundary,
    /// A policy of the organization does not allow it.
    OrganizationDenies,
    /// The key policy leaves it to IAM policies, and those of the principal do not allow it.
    IdentityPolicyLacks,
    /// The key policy allows it neither to the principal nor to its account.
    KeyPolicyLacks,
    /// The AWS managed key cannot be used by another account.
    AwsManagedKey,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyPolicyDenies => "the key policy denies it",
            Self::IdentityPolicyDenies => "an IAM policy of the principal denies it",
            Self::OutsideBoundary => "the permissions boundary of the principal does not allow it",
            Self::OrganizationDenies => "a policy of the organization does not allow it",
            Self::IdentityPolicyLacks => "no IAM policy of the principal allows it",
            Self::KeyPolicyLacks => "the key policy allows it neither to the principal nor to its account",
            Self::AwsManagedKey => "other accounts cannot use the AWS managed key",
        })
    }
}

/// Whether the principal may make the call.
///
/// `identity` matters for roles and users only.
#[must_use]
pub fn verdict(question: &Question<'_>, key: &KeyAccess, identity: &Identity) -> Verdict {
    let owner = match key {
        KeyAccess::AwsManaged => question.stream.account(),
        KeyAccess::Customer { key, .. } => key.account(),
    };
    let is_own = question.principal.account() == Some(owner);
    let (answer, granted) = match key {
        KeyAccess::AwsManaged if !is_own && question.principal.account().is_some() => {
            return Verdict::No(Reason::AwsManagedKey);
        }
        KeyAccess::AwsManaged => {
            let direct = match question.principal {
                Principal::Service(_) | Principal::Other(_) | Principal::Everybody => {
                    Truth::Unknown("AWS manages the policy of the key".to_owned())
                }
                _ => is_own.into(),
            };
            (KeyPolicyAnswer { denied: Truth::False, direct, delegated: Truth::False }, Truth::False)
        }
        KeyAccess::Customer { key, policy, grants } => (
            match policy {
                Ok(policy) => key_policy_answer(policy, key, question),
                Err(why) => {
                    let unread = || Truth::Unknown(format!("the key policy cannot be read: {why}"));
                    KeyPolicyAnswer { denied: unread(), direct: unread(), delegated: unread() }
                }
            },
            is_granted(question, grants),
        ),
    };
    let KeyPolicyAnswer { denied, direct, delegated } = answer;
    if denied == Truth::True {
        return Verdict::No(Reason::KeyPolicyDenies);
    }
    let is_direct = direct == Truth::True;
    // What allows the call without the principal's own policies.
    let by_itself = Truth::any([direct, granted]);
    match question.principal {
        Principal::Everybody => {
            Verdict::Unknown("the stream's policy allows everybody, so the callers are not known".to_owned())
        }
        Principal::Other(_) => Verdict::Unknown("no policy names this caller".to_owned()),
        Principal::Service(_) => all_known(Reason::KeyPolicyLacks, [!denied, by_itself]),
        Principal::Account(_) if !is_own => match Truth::all([!denied, Truth::any([by_itself, delegated])]) {
            Truth::False => Verdict::No(Reason::KeyPolicyLacks),
            Truth::True => Verdict::Unknown(
                "the key policy allows it to the account; the IAM policies of its principals cannot be read".to_owned(),
            ),
            Truth::Unknown(why) => Verdict::Unknown(why),
        },
        Principal::Role { .. } | Principal::User { .. } if !is_own => {
            foreign_principal(identity, Truth::all([!denied, Truth::any([by_itself, delegated])]))
        }
        Principal::Account(_) => {
            Verdict::Unknown("the stream's policy allows the whole account, so the callers are not known".to_owned())
        }
        Principal::Role { .. } | Principal::User { .. } => {
            own_principal(question.principal, identity, denied, (by_itself, is_direct), delegated)
        }
    }
}

/// The verdict on a role or a user in the account of the key. `by_itself` says whether the call is
/// allowed without IAM policies, and whether it is by the key policy.
fn own_principal(
    principal: &Principal,
    identity: &Identity,
    denied: Truth,
    (by_itself, is_direct): (Truth, bool),
    delegated: Truth,
) -> Verdict {
    let unread = |why: &str| Truth::Unknown(why.to_owned());
    // What a boundary and the identity policies say where the key policy allows the principal.
    let (not_denied, lacking, allowed_by_iam) = match identity {
        Identity::Denied => return Verdict::No(Reason::IdentityPolicyDenies),
        Identity::DeniedByOrganization => return Verdict::No(Reason::OrganizationDenies),
        Identity::Gone => return Verdict::Gone,
        // A boundary limits what a key policy allows to a role, unless the policy names a session; it
        // does not limit what a key policy allows to a user.
        Identity::OutsideBoundary => {
            let not_limited = match principal {
                Principal::User { .. } if is_direct => Truth::True,
                _ if by_itself == Truth::False => Truth::False,
                _ => unread("the permissions boundary may limit what the key allows"),
            };
            (not_limited, Reason::OutsideBoundary, Truth::False)
        }
        Identity::Allowed => (Truth::True, Reason::KeyPolicyLacks, Truth::True),
        Identity::NotAllowed => (Truth::True, Reason::IdentityPolicyLacks, Truth::False),
        // It may be denied, too.
        Identity::Unknown(why) => (unread(why), Reason::IdentityPolicyLacks, unread(why)),
    };
    let lacking = match (&by_itself, &delegated, lacking) {
        (Truth::False, Truth::False, Reason::IdentityPolicyLacks) => Reason::KeyPolicyLacks,
        (_, _, lacking) => lacking,
    };
    let allowed = Truth::any([by_itself, Truth::all([delegated, allowed_by_iam])]);
    all_known(lacking, [!denied, not_denied, allowed])
}

/// The verdict on a role or a user outside the account of the key. Both accounts have to allow the
/// call.
fn foreign_principal(identity: &Identity, allowed_by_key: Truth) -> Verdict {
    let allowed_by_iam = match identity {
        Identity::Gone => return Verdict::Gone,
        Identity::Denied => return Verdict::No(Reason::IdentityPolicyDenies),
        Identity::DeniedByOrganization => return Verdict::No(Reason::OrganizationDenies),
        Identity::OutsideBoundary => return Verdict::No(Reason::OutsideBoundary),
        _ if allowed_by_key == Truth::False => return Verdict::No(Reason::KeyPolicyLacks),
        Identity::NotAllowed => return Verdict::No(Reason::IdentityPolicyLacks),
        Identity::Allowed => Truth::True,
        Identity::Unknown(why) => Truth::Unknown(why.clone()),
    };
    all_known(Reason::KeyPolicyLacks, [allowed_by_key, allowed_by_iam])
}

/// Yes if all hold, no if one does not.
fn all_known(lacking: Reason, parts: impl IntoIterator<Item = Truth>) -> Verdict {
    match Truth::all(parts) {
        Truth::True => Verdict::Yes,
        Truth::False => Verdict::No(lacking),
        Truth::Unknown(why) => Verdict::Unknown(why),
    }
}

/// Whether a grant lets the principal make the call.
fn is_granted(question: &Question<'_>, grants: &Result<Vec<Grant>, String>) -> Truth {
    let grants = match grants {
        Ok(grants) => grants,
        Err(why) => return Truth::Unknown(format!("the grants of the key cannot be read: {why}")),
    };
    Truth::any(grants.iter().map(|Grant { grantee, operations, context, other_constraints }| {
        let operation = question.action.as_str().trim_start_matches("kms:");
        let is_meant = match Principal::read(grantee) {
            Some(named) => is_same(&named, question.principal, grantee),
            None => matches!(question.principal, Principal::Service(service) if service == grantee).into(),
        };
        // Both kinds of constraints ask for what Kinesis sends: one pair, of which KMS compares the
        // key without case.
        let fits = context
            .iter()
            .all(|(key, value)| key.eq_ignore_ascii_case(CONTEXT_KEY) && value == question.stream.as_str());
        let others = match other_constraints.first() {
            Some(name) => Truth::Unknown(format!("a grant has the constraint {name}")),
            None => Truth::True,
        };
        Truth::all([is_meant, operations.iter().any(|granted| granted == operation).into(), fits.into(), others])
    }))
}
