//! What policies allow: those of a principal, as IAM simulates them, and the policy of a key.
//!
//! The operators of conditions are `StringEquals`, `StringLike` and `StringNotEquals`. The program
//! has an evaluation of its own, which this one is there to test.

use std::collections::BTreeMap;

use serde_json::Value;
use wildmatch::WildMatch;

/// A role or a user with its policies, as IAM simulates them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// The identity policies.
    pub identity: Vec<Value>,
    /// The permissions boundary.
    pub boundary: Option<Value>,
    /// The policies of the organization; none means that the account is in none.
    pub organization: Option<Value>,
}

/// What a policy says about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Allow,
    Deny,
    Nothing,
}

/// What the policies of a principal say about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnPolicies {
    pub(crate) identity: Says,
    pub(crate) boundary: Option<Says>,
    pub(crate) organization: Option<Says>,
    /// The condition keys that have no value in the call, each once.
    pub(crate) missing: Vec<String>,
}

/// What the policy of a key says about a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyPolicy {
    pub(crate) denied: bool,
    /// The call is allowed to the principal itself, or to everybody.
    pub(crate) direct: bool,
    /// The call is allowed to the principal's account, which leaves it to the IAM policies there.
    pub(crate) delegated: bool,
}

/// The principal that a statement of a key policy may name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'a> {
    /// The ARN of the role or user.
    pub(crate) arn: &'a str,
    pub(crate) account: &'a str,
}

/// A call that policies are asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PolicyCall<'a> {
    /// Such as `kms:Decrypt`.
    pub(crate) action: &'a str,
    pub(crate) resource: &'a str,
    /// By condition key, in lower case.
    pub(crate) context: &'a BTreeMap<String, String>,
}

impl PolicyCall<'_> {
    /// What the policies of a principal say.
    pub(crate) fn by_principal(&self, policies: &Policies) -> OwnPolicies {
        let mut missing = Vec::new();
        let mut decide = |policy: &Value| self.decide(policy, &mut missing);
        let identity: Vec<_> = policies.identity.iter().map(&mut decide).collect();
        let (boundary, organization) =
            (policies.boundary.as_ref().map(&mut decide), policies.organization.as_ref().map(&mut decide));
        missing.sort();
        missing.dedup();
        let identity = [Says::Deny, Says::Allow].into_iter().find(|says| identity.contains(says));
        OwnPolicies { identity: identity.unwrap_or(Says::Nothing), boundary, organization, missing }
    }

    /// What the policy of a key says. A statement with `NotPrincipal` does not count.
    pub(crate) fn by_key(&self, policy: &Value, principal: Named<'_>) -> KeyPolicy {
        let mut said = KeyPolicy::default();
        for statement in statements(policy).iter().filter(|statement| self.is_meant(statement, &mut Vec::new())) {
            let names = || each(&statement["Principal"]).chain(each(&statement["Principal"]["AWS"]));
            let itself = names().any(|name| name == "*" || name == principal.arn);
            let account = names().any(|name| {
                let root = name.strip_suffix(":root").and_then(|rest| rest.rsplit(':').next());
                root.unwrap_or(name) == principal.account
            });
            if statement["Effect"] == "Deny" {
                said.denied |= itself || account;
            } else {
                said.direct |= itself;
                said.delegated |= account;
            }
        }
        said
    }

    fn decide(&self, policy: &Value, missing: &mut Vec<String>) -> Says {
        let mut says = Says::Nothing;
        for statement in statements(policy) {
            if self.is_meant(statement, missing) {
                if statement["Effect"] == "Deny" {
                    return Says::Deny;
                }
                says = Says::Allow;
            }
        }
        says
    }

    /// Whether a statement is about the call, whoever makes it.
    fn is_meant(&self, statement: &Value, missing: &mut Vec<String>) -> bool {
        let names = |member: &str, text: &str| {
            each(&statement[member]).any(|pattern| WildMatch::new_case_insensitive(pattern).matches(text))
        };
        let is_met = self.is_met(&statement["Condition"], missing);
        names("Action", self.action) && names("Resource", self.resource) && is_met
    }

    fn is_met(&self, condition: &Value, missing: &mut Vec<String>) -> bool {
        let mut is_met = true;
        for (operator, keys) in condition.as_object().into_iter().flatten() {
            for (key, values) in keys.as_object().into_iter().flatten() {
                let Some(found) = self.context.get(&key.to_ascii_lowercase()) else {
                    missing.push(key.clone());
                    is_met &= operator == "StringNotEquals";
                    continue;
                };
                is_met &= match operator.as_str() {
                    "StringEquals" => each(values).any(|value| value == found),
                    "StringNotEquals" => !each(values).any(|value| value == found),
                    _ => each(values).any(|value| WildMatch::new(value).matches(found)),
                };
            }
        }
        is_met
    }
}

fn statements(policy: &Value) -> &[Value] {
    policy["Statement"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A text, or the texts of a list.
fn each(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice).iter().filter_map(Value::as_str)
}
