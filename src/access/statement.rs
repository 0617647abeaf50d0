//! What a key policy says about one call of one principal.
//!
//! Source: [Determining whether a request is allowed or denied][logic], [Key policies in AWS
//! KMS][key].
//!
//! A statement without an action or without a resource has no effect: [PutKeyPolicy][put] stores it,
//! and KMS ignores it.
//!
//! [logic]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
//! [key]: https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html
//! [put]: https://docs.aws.amazon.com/kms/latest/APIReference/API_PutKeyPolicy.html

use serde_json::Value;
use wildmatch::WildMatch;

use super::Question;
use super::condition::{is_met, is_resource};
use super::principal::Principal;
use super::truth::Truth;
use crate::domain::key::KeyArn;

/// The fields of a policy, and those of a statement.
const OF_POLICY: [&str; 3] = ["Version", "Id", "Statement"];
const OF_STATEMENT: [&str; 9] =
    ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];

/// Whether an object has only these fields. Of one with others, such as `condition`, it is not
/// known what they would mean.
fn has_only(object: &Value, names: &[&str]) -> bool {
    object.as_object().into_iter().flatten().all(|(name, _)| names.contains(&name.as_str()))
}

/// What a key policy says about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPolicyAnswer {
    /// A statement denies the call.
    pub denied: Truth,
    /// A statement allows the call to the principal itself, or to everybody. Its IAM policies need
    /// not allow it as well.
    pub direct: Truth,
    /// A statement allows the call to the principal's account, which leaves it to IAM policies.
    pub delegated: Truth,
}

/// What the `policy` of `key` says about the call in `question`.
#[must_use]
pub fn key_policy_answer(policy: &Value, key: &KeyArn, question: &Question<'_>) -> KeyPolicyAnswer {
    let statements = match &policy["Statement"] {
        Value::Array(statements) if has_only(policy, &OF_POLICY) => statements.as_slice(),
        statement @ Value::Object(_) if has_only(policy, &OF_POLICY) => std::slice::from_ref(statement),
        _ => {
            let unknown = || Truth::Unknown("the key policy cannot be read".to_owned());
            return KeyPolicyAnswer { denied: unknown(), direct: unknown(), delegated: unknown() };
        }
    };
    let substitutes = policy["Version"] == "2012-10-17";
    let (mut denied, mut direct, mut delegated) = (Vec::new(), Vec::new(), Vec::new());
    for statement in statements {
        let is_readable = has_only(statement, &OF_STATEMENT);
        let rest = || {
            if !is_readable {
                return Truth::Unknown("a statement of the key policy cannot be read".to_owned());
            }
            Truth::all([
                is_named(statement, "Action", "NotAction", |pattern| {
                    WildMatch::new_case_insensitive(pattern).matches(question.action.as_str()).into()
                }),
                is_named(statement, "Resource", "NotResource", |pattern| {
                    is_resource(pattern, key.as_str(), question, substitutes)
                }),
                is_met(&statement["Condition"], question, substitutes),
            ])
        };
        let meant = who(statement, question.principal);
        match statement["Effect"].as_str() {
            Some("Deny") => denied.push(Truth::all([Truth::any([meant.itself, meant.account]), rest()])),
            Some("Allow") => {
                direct.push(Truth::all([meant.itself, rest()]));
                delegated.push(Truth::all([meant.account, rest()]));
            }
            _ => denied.push(Truth::Unknown("a statement of the key policy has no effect".to_owned())),
        }
    }
    KeyPolicyAnswer { denied: Truth::any(denied), direct: Truth::any(direct), delegated: Truth::any(delegated) }
}

/// Whom a statement names.
struct Meant {
    /// The principal itself, or everybody.
    itself: Truth,
    /// The principal's account.
    account: Truth,
}

/// Whether a statement is about `principal`.
fn who(statement: &Value, principal: &Principal) -> Meant {
    let (named, negated) = match (&statement["Principal"], &statement["NotPrincipal"]) {
        (Value::Null, named @ (Value::String(_) | Value::Object(_))) => (named, true),
        (named @ (Value::String(_) | Value::Object(_)), Value::Null) => (named, false),
        _ => return Meant { itself: unreadable(), account: Truth::False },
    };
    let mut itself = Vec::new();
    let mut account = Vec::new();
    for (kind, text) in entries(named) {
        let Some(text) = text else {
            itself.push(unreadable());
            continue;
        };
        match (kind, principal) {
            ("" | "AWS", _) if text == "*" => itself.push(Truth::True),
            ("AWS", Principal::Service(_)) => {}
            ("AWS", principal) => match Principal::read(text) {
                Some(Principal::Account(named)) => account.push((principal.account() == Some(&named)).into()),
                Some(named) => itself.push(is_same(&named, principal, text)),
                None if is_somebody_else(text) => {}
                None => itself.push(unreadable()),
            },
            ("Service", Principal::Service(service)) => itself.push((text == service).into()),
            ("Service" | "Federated" | "CanonicalUser", _) => {}
            _ => itself.push(unreadable()),
        }
    }
    let (itself, account) = (Truth::any(itself), Truth::any(account));
    if !negated {
        return Meant { itself, account };
    }
    // Everybody but those who are named. For a role, its account and its session would have to be
    // named as well, so only one who is not named at all is certainly meant.
    let itself = match Truth::any([itself, account]) {
        Truth::False => Truth::True,
        Truth::True | Truth::Unknown(_) => Truth::Unknown("a statement of the key policy uses NotPrincipal".to_owned()),
    };
    Meant { itself, account: Truth::False }
}

fn unreadable() -> Truth {
    Truth::Unknown("a principal of the key policy cannot be read".to_owned())
}

/// Whether the text, which cannot be asked about, certainly names another one:
/// the ID of a principal that was deleted, or a session of a federated user.
fn is_somebody_else(text: &str) -> bool {
    is_id_of_deleted(text) || text.contains(":federated-user/")
}

/// Whether the text is the ID of a role or user, which a policy shows once that is deleted.
pub(super) fn is_id_of_deleted(text: &str) -> bool {
    text.starts_with('A') && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// Whether a principal that a policy names by `text` is `principal`.
pub(super) fn is_same(named: &Principal, principal: &Principal, text: &str) -> Truth {
    let unknown = |why: &str| Truth::Unknown(format!("the key policy names {text}, and {why}"));
    match (named, principal) {
        // Of everybody in an account, somebody may be named.
        (named, Principal::Account(account)) if named.account() == Some(account) => unknown("only some of the account"),
        (
            Principal::Role { partition, account, path: named_path, name },
            Principal::Role { partition: of, account: owner, path, name: role },
        ) if partition == of && account == owner && name == role => match (named_path, path) {
            (None, _) => unknown("the sessions of the role are not known"),
            (Some(_), None) => unknown("the path of the role is not known"),
            (Some(named), Some(path)) => (named == path).into(),
        },
        (Principal::User { arn: named, .. }, Principal::User { arn, .. }) => (named == arn).into(),
        _ => Truth::False,
    }
}

/// The principals in `Principal` or `NotPrincipal`, each with its kind; `*` alone has none. What
/// is not a text cannot be read.
pub(super) fn entries(named: &Value) -> Vec<(&str, Option<&str>)> {
    match named {
        Value::String(text) => vec![("", Some(text.as_str()))],
        Value::Object(kinds) => kinds
            .iter()
            .flat_map(|(kind, texts)| {
                let list = texts.as_array().map_or(std::slice::from_ref(texts), Vec::as_slice);
                list.iter().map(move |text| (kind.as_str(), text.as_str()))
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Whether the element `name` of a statement, or else its negation, names what `matches` accepts.
/// Without both, it is about nothing.
pub(super) fn is_named(statement: &Value, name: &str, negation: &str, matches: impl Fn(&str) -> Truth) -> Truth {
    let unreadable = || Truth::Unknown(format!("{name} of a statement cannot be read"));
    let any = |value: &Value| {
        let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        if list.is_empty() {
            return unreadable();
        }
        Truth::any(list.iter().map(|text| text.as_str().map_or_else(unreadable, &matches)))
    };
    match (&statement[name], &statement[negation]) {
        (Value::Null, Value::Null) => Truth::False,
        (Value::Null, negated) => !any(negated),
        (named, Value::Null) => any(named),
        _ => unreadable(),
    }
}
