//! The least that has to be allowed, as statements to review.
//!
//! Source: [Permissions to use user-generated KMS keys][permissions].
//!
//! [permissions]: https://docs.aws.amazon.com/streams/latest/dev/permissions-user-key-KMS.html

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::condition::{CONTEXT_KEY, via_service};
use super::{Action, Principal, Reason};
use crate::domain::key::KeyArn;
use crate::domain::stream::StreamArn;

/// Where a statement has to be added so that a principal may make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// In the principal's own policies.
    pub identity: bool,
    /// In the policy of the key.
    pub key_policy: bool,
}

/// Where statements are missing that allow `principal` to use `key`; `None` if no statement that
/// allows helps.
#[must_use]
pub fn places(reason: Reason, principal: &Principal, key: &KeyArn) -> Option<Places> {
    // Another account has to allow it, too.
    let needs_both = principal.account().is_some_and(|account| account != key.account());
    match reason {
        Reason::IdentityPolicyLacks => Some(Places { identity: true, key_policy: false }),
        Reason::KeyPolicyLacks => Some(Places { identity: needs_both, key_policy: true }),
        Reason::KeyPolicyDenies
        | Reason::IdentityPolicyDenies
        | Reason::OutsideBoundary
        | Reason::OrganizationDenies
        | Reason::AwsManagedKey => None,
    }
}

/// A statement for an IAM policy: `actions` on `key`, for exactly `streams`, through Kinesis.
#[must_use]
pub fn identity_statement(actions: &BTreeSet<Action>, key: &KeyArn, streams: &BTreeSet<StreamArn>) -> Value {
    json!({
        "Effect": "Allow",
        "Action": actions.iter().map(|action| action.as_str()).collect::<Vec<_>>(),
        "Resource": key,
        "Condition": condition(streams),
    })
}

/// A statement for a key policy, for a principal whose account the key policy does not name.
/// `None` where the principal has no ARN that a policy can name.
#[must_use]
pub fn key_policy_statement(
    principal: &Principal,
    actions: &BTreeSet<Action>,
    streams: &BTreeSet<StreamArn>,
) -> Option<Value> {
    let principal = match principal {
        Principal::Role { .. } | Principal::User { .. } => json!({"AWS": principal.arn()?}),
        // The partition is that of the streams.
        Principal::Account(account) => {
            let partition = streams.first()?.partition();
            json!({"AWS": format!("arn:{partition}:iam::{account}:root")})
        }
        Principal::Service(service) => json!({"Service": service}),
        Principal::Everybody | Principal::Other(_) => return None,
    };
    Some(json!({
        "Effect": "Allow",
        "Principal": principal,
        "Action": actions.iter().map(|action| action.as_str()).collect::<Vec<_>>(),
        // In a key policy: this key.
        "Resource": "*",
        "Condition": condition(streams),
    }))
}

/// Only through Kinesis, and only for these streams.
fn condition(streams: &BTreeSet<StreamArn>) -> Value {
    let services: BTreeSet<_> =
        streams.iter().filter_map(|stream| via_service(stream.partition(), stream.region())).collect();
    let mut equals = json!({format!("kms:EncryptionContext:{CONTEXT_KEY}"): streams});
    if !services.is_empty() {
        equals["kms:ViaService"] = json!(services);
    }
    json!({"StringEquals": equals})
}
