//! The least statements that allow what is missing: for the principals' own policies and for key
//! policies, as JSON and as Terraform.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Value, json};

use super::super::answer::{StreamAccess, UserAccess};
use crate::access::fix::{identity_statement, key_policy_statement, places};
use crate::access::{Action, Principal, Reason, Verdict};
use crate::cli::visible::visible;
use crate::domain::key::KeyArn;
use crate::domain::stream::StreamArn;

/// What a principal lacks on a key: the actions, each with its streams.
type Lacking = BTreeMap<Action, BTreeSet<StreamArn>>;

/// The statements, and what no statement mends.
#[derive(Debug, Default)]
pub(super) struct Fixes {
    /// For the policies of principals, by principal and key.
    identity: BTreeMap<(Principal, KeyArn), Lacking>,
    /// For key policies.
    key_policy: BTreeMap<(KeyArn, Principal), Lacking>,
    /// What no statement mends, and what is not known, in words.
    pub(super) notes: BTreeSet<String>,
}

impl Fixes {
    /// The statements for all answers that are no, and notes about those that are unknown.
    pub(super) fn of(streams: &[StreamAccess]) -> Self {
        let mut fixes = Self::default();
        for stream in streams {
            for UserAccess { principal, action, verdict, .. } in &stream.users {
                match verdict {
                    Verdict::No(reason) => fixes.add(stream, principal, *action, *reason),
                    Verdict::Unknown(why) => {
                        let (action, key) = (action.as_str(), stream.key.as_deref().unwrap_or_default());
                        fixes.notes.insert(format!(
                            "no statement for {principal} with {action} on {key}: the answer is unknown: {why}; ask \
                             the owner"
                        ));
                    }
                    Verdict::Gone | Verdict::Yes => {}
                }
            }
        }
        fixes
    }

    fn add(&mut self, stream: &StreamAccess, principal: &Principal, action: Action, reason: Reason) {
        let key = stream.key.as_deref().and_then(|key| key.parse::<KeyArn>().ok());
        let (Some(arn), Some(key)) = (stream.arn.clone(), key) else {
            let (principal, name) = (principal, &stream.stream);
            self.notes.insert(format!(
                "{principal} cannot use the AWS managed key, whose policy nobody can change: \
                 configure a customer managed key for {name}"
            ));
            return;
        };
        let Some(places) = places(reason, principal, &key) else {
            self.notes.insert(format!(
                "no statement that allows helps {principal} with {} on {key}: {reason}",
                action.as_str()
            ));
            return;
        };
        if places.identity {
            let of = (principal.clone(), key.clone());
            self.identity.entry(of).or_default().entry(action).or_default().insert(arn.clone());
        }
        if places.key_policy {
            if key_policy_statement(principal, &[action].into(), &[arn.clone()].into()).is_some() {
                let of = (key, principal.clone());
                self.key_policy.entry(of).or_default().entry(action).or_default().insert(arn);
            } else {
                self.notes.insert(format!("{principal} cannot be named in the policy of {key}: its ARN is not known"));
            }
        }
    }

    /// The statements of one principal: actions that are needed on the same streams share one.
    fn statements(lacking: &Lacking) -> BTreeMap<&BTreeSet<StreamArn>, BTreeSet<Action>> {
        let mut statements = BTreeMap::<_, BTreeSet<_>>::new();
        for (action, streams) in lacking {
            statements.entry(streams).or_default().insert(*action);
        }
        statements
    }

    /// The statements for each principal's own policies.
    fn identity_statements(&self) -> BTreeMap<&Principal, Vec<Value>> {
        let mut policies = BTreeMap::<_, Vec<_>>::new();
        for ((principal, key), lacking) in &self.identity {
            let statements = Self::statements(lacking).into_iter();
            let statements = statements.map(|(streams, actions)| identity_statement(&actions, key, streams));
            policies.entry(principal).or_default().extend(statements);
        }
        policies
    }

    /// The statements for each key's policy.
    fn key_statements(&self) -> BTreeMap<&KeyArn, Vec<Value>> {
        let mut policies = BTreeMap::<_, Vec<_>>::new();
        for ((key, principal), lacking) in &self.key_policy {
            let statements = Self::statements(lacking).into_iter();
            let statements =
                statements.filter_map(|(streams, actions)| key_policy_statement(principal, &actions, streams));
            policies.entry(key).or_default().extend(statements);
        }
        policies
    }

    /// The statements as JSON: policies to attach, and statements to add to key policies.
    pub(super) fn json(&self) -> Value {
        let policy = |statements: &Vec<Value>| json!({"Version": "2012-10-17", "Statement": statements});
        let identity = self.identity_statements();
        let identity = identity
            .iter()
            .map(|(principal, statements)| json!({"principal": principal.to_string(), "policy": policy(statements)}));
        let keys = self.key_statements();
        let keys = keys.iter().map(|(key, statements)| json!({"key": key, "statements": statements}));
        json!({
            "identityPolicies": identity.collect::<Vec<_>>(),
            "keyPolicies": keys.collect::<Vec<_>>(),
            "notFixed": self.notes,
        })
    }

    /// The same as data sources and comments of Terraform.
    pub(super) fn terraform(&self) -> String {
        let mut text = String::new();
        let mut names = BTreeSet::new();
        for (principal, statements) in self.identity_statements() {
            let name = match principal {
                Principal::Role { name, .. } => name.clone(),
                Principal::Account(account) => format!("account_{account}"),
                other => other.arn().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned(),
            };
            let intro = format!("For {}: attach it as a policy.", visible(principal));
            document(&mut text, &intro, &unique(&format!("{name}_kinesis_key"), &mut names), &statements);
        }
        for (key, statements) in self.key_statements() {
            let intro = format!("For the policy of {key}: add the statements to those that it has.");
            document(&mut text, &intro, &unique(&format!("key_{}", key.id()), &mut names), &statements);
        }
        for note in &self.notes {
            let _ = writeln!(text, "# Not fixed: {}", visible(note));
        }
        if text.is_empty() {
            text.push_str("# There is nothing to allow.");
        }
        text.trim_end().to_owned()
    }
}

/// `name` as a name of Terraform that no other block has.
fn unique(name: &str, names: &mut BTreeSet<String>) -> String {
    let plain = |character: char| if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '_' };
    let name: String = name.chars().map(plain).collect();
    let name = if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name };
    let mut unique = name.clone();
    let mut number = 2;
    while !names.insert(unique.clone()) {
        unique = format!("{name}_{number}");
        number += 1;
    }
    unique
}

/// One data source.
fn document(text: &mut String, intro: &str, name: &str, statements: &[Value]) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# {intro}\ndata \"aws_iam_policy_document\" \"{name}\" {{");
    for (index, statement) in statements.iter().enumerate() {
        let blank = if index > 0 { "\n" } else { "" };
        let _ = writeln!(text, "{blank}  statement {{");
        for (kind, identifier) in statement["Principal"].as_object().into_iter().flatten() {
            let kind = kind.as_str();
            let _ = writeln!(text, "    principals {{\n      type        = {}", quoted(kind));
            let _ = writeln!(text, "      identifiers = {}\n    }}", list(identifier));
        }
        let _ = writeln!(text, "    actions   = {}", list(&statement["Action"]));
        let _ = writeln!(text, "    resources = {}", list(&statement["Resource"]));
        for (test, keys) in statement["Condition"].as_object().into_iter().flatten() {
            for (variable, values) in keys.as_object().into_iter().flatten() {
                let _ = writeln!(text, "    condition {{\n      test     = {}", quoted(test));
                let _ = writeln!(text, "      variable = {}", quoted(variable));
                let _ = writeln!(text, "      values   = {}\n    }}", list(values));
            }
        }
        let _ = writeln!(text, "  }}");
    }
    text.push_str("}\n\n");
}

/// A text or a list of texts, as a list of Terraform.
fn list(value: &Value) -> String {
    let texts = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let texts: Vec<_> = texts.iter().filter_map(Value::as_str).map(quoted).collect();
    format!("[{}]", texts.join(", "))
}

/// A text of Terraform, in which `${` and `%{` would begin a template.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace("${", "$${").replace("%{", "%%{")
}
