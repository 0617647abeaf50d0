//! What a file is that is not a policy, and what the author of a refused one probably meant.

use serde_json::Value;

use super::lint::not_matched;
use super::regex::{Likeness, likeness};
use super::regions::{self, Named, named};
use crate::domain::arn::is_account;
use crate::domain::stream::StreamArn;
use crate::policy::Problem;

/// What `text` is, if it is another kind of document than a policy in JSON.
pub(super) fn another_document(text: &str) -> Option<String> {
    const CUSTODIAN: &str = "this is a policy of Cloud Custodian, which has another format: \
                             write the rules as docs/POLICY.md shows";
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        let of_custodian = |policy: &Value| policy["resource"].is_string();
        return if value["policies"].as_array().is_some_and(|policies| policies.iter().any(of_custodian)) {
            Some(CUSTODIAN.to_owned())
        } else if value.get("Statement").is_some() {
            Some(
                "this is a policy of IAM, of a key or of another resource, not one of this program: \
                  write the rules as docs/POLICY.md shows"
                    .to_owned(),
            )
        } else {
            None
        };
    }
    if !is_yaml(text) {
        return None;
    }
    let has_line = |start: &str| text.lines().any(|line| line.trim_start_matches([' ', '-']).starts_with(start));
    Some(if has_line("policies:") && has_line("resource:") {
        CUSTODIAN.to_owned()
    } else {
        "this looks like YAML, and a policy is JSON: convert it, such as with yq -o=json FILE > policy.json".to_owned()
    })
}

/// Whether the text begins as a document in YAML does, and does not begin as JSON.
fn is_yaml(text: &str) -> bool {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.clone().find(|line| *line != "---").unwrap_or_default();
    let first = first.trim_start_matches("- ");
    let is_word = |word: &str| {
        let word = word.trim_matches(['"', '\'']);
        !word.is_empty() && word.chars().all(|character| character.is_alphanumeric() || "_-$".contains(character))
    };
    !first.starts_with(['{', '[']) && first.split_once(':').is_some_and(|(word, _)| is_word(word))
}

/// What the author of the policy `json` probably meant, where that can be said of `problem`.
pub(super) fn hint(json: &Value, problem: &Problem) -> Option<String> {
    let value = value_at(json, &problem.path)?;
    let (_, place) = problem.path.split_once("].")?;
    let condition = place.strip_prefix("match.").map(|place| place.split('[').next().unwrap_or_default());
    match (condition, value) {
        (Some("stream"), Value::String(found)) => stream(found),
        (Some("region"), Value::String(found)) => region(found),
        (Some("account"), Value::String(found)) => {
            let digits: String = found.chars().filter(char::is_ascii_digit).collect();
            is_account(&digits).then(|| format!("write {digits:?}"))
        }
        // A number has lost its leading zeros.
        (Some("account"), Value::Number(found)) => {
            let digits = format!("{:0>12}", found.to_string());
            (is_account(&digits) && found.as_u64() >= Some(1_000_000_000)).then(|| format!("write {digits:?}"))
        }
        (None, _) if OF_MATCH.contains(&place) => Some(format!("{place} is a condition: write it in \"match\"")),
        _ => None,
    }
}

/// The conditions, which some look for in the rule itself.
const OF_MATCH: [&str; 5] = ["stream", "account", "region", "streamMode", "tags"];

fn stream(found: &str) -> Option<String> {
    if let Ok(arn) = found.parse::<StreamArn>() {
        let (name, account, region) = (arn.name(), arn.account(), arn.region());
        return Some(format!("write \"stream\": {name:?}, \"account\": {account:?}, \"region\": {region:?}"));
    }
    let example = (likeness(found)? == Likeness::Certain).then(|| not_matched(found))??;
    Some(format!("this looks like a regular expression: {example}"))
}

fn region(found: &str) -> Option<String> {
    if found.contains(['*', '?']) {
        return Some(match &regions::matched(found)[..] {
            [] => "no known Region matches it".to_owned(),
            [one] => format!("write {one:?}"),
            several => format!("write {several:?}"),
        });
    }
    let lower = found.trim().to_lowercase();
    match named(&lower) {
        Named::Known | Named::Unknown => Some(format!("did you mean {lower:?}?")),
        Named::Zone(region) | Named::Malformed(Some(region)) => Some(format!("did you mean {region:?}?")),
        Named::Malformed(None) => None,
    }
}

/// The value at a path such as `$.rules[1].match.stream[0]`.
fn value_at<'v>(mut value: &'v Value, path: &str) -> Option<&'v Value> {
    for step in path.strip_prefix('$')?.split(['.', '[']).filter(|step| !step.is_empty()) {
        value = match step.strip_suffix(']') {
            Some(index) => value.get(index.parse::<usize>().ok()?)?,
            None => value.get(step)?,
        };
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Invalid, Policy};

    #[test]
    fn another_kind_of_document_is_named() {
        for (text, says) in [
            ("version: 1\nrules:\n  - name: a\n", Some("YAML")),
            ("# rules\n---\n\"version\": 1\n", Some("YAML")),
            ("- name: a\n  match: {stream: a}\n", Some("YAML")),
            ("policies:\n  - name: a\n    resource: kinesis\n", Some("Cloud Custodian")),
            (r#"{"policies": [{"name": "a", "resource": "aws.kinesis"}]}"#, Some("Cloud Custodian")),
            (r#"{"Version": "2012-10-17", "Statement": []}"#, Some("a policy of IAM")),
            (r#"{"version": 1, "rules": []}"#, None),
            (r#"{"version": 1, "rules": [}"#, None),
            ("{version: 1}", None),
            ("one two: three", None),
            ("\"version\": 1", Some("YAML")),
            ("", None),
        ] {
            let found = another_document(text);
            assert!(
                found.as_deref().is_some_and(|found| says.is_some_and(|says| found.contains(says)))
                    || found.is_none() && says.is_none(),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn what_was_probably_meant_is_said_with_an_example() {
        for (rule, says) in [
            (
                r#""match": {"stream": "^a$"}"#,
                Some("this looks like a regular expression: a is not matched; with \"a\" it would be"),
            ),
            (
                r#""match": {"stream": ["b", "(dev|test)-\\d+"]}"#,
                Some(
                    "this looks like a regular expression: dev-eu is not matched; with [\"dev-*\", \"test-*\"] it would be",
                ),
            ),
            (r#""match": {"stream": "a b"}"#, None),
            (
                r#""match": {"stream": "arn:aws:kinesis:us-east-1:111122223333:stream/orders"}"#,
                Some("write \"stream\": \"orders\", \"account\": \"111122223333\", \"region\": \"us-east-1\""),
            ),
            (r#""match": {}, "region": "us-east-1""#, Some("region is a condition: write it in \"match\"")),
            (r#""match": {"region": "us-gov-*"}"#, Some("write [\"us-gov-east-1\", \"us-gov-west-1\"]")),
            (r#""match": {"region": "sa-*"}"#, Some("write \"sa-east-1\"")),
            (r#""match": {"region": ["mars-*"]}"#, Some("no known Region matches it")),
            (r#""match": {"region": "EU-WEST-1"}"#, Some("did you mean \"eu-west-1\"?")),
            (r#""match": {"region": "euwest1"}"#, Some("did you mean \"eu-west-1\"?")),
            (r#""match": {"region": "europe"}"#, None),
            (r#""match": {"account": 11122223333}"#, Some("write \"011122223333\"")),
            (r#""match": {"account": [111122223333]}"#, Some("write \"111122223333\"")),
            (r#""match": {"account": 7}"#, None),
            (r#""match": {"account": "1111-2222-3333"}"#, Some("write \"111122223333\"")),
            (r#""match": {"account": "prod"}"#, None),
            (r#""match": {}, "mode": "off""#, None),
        ] {
            let text = format!(r#"{{"version": 1, "rules": [{{"name": "p", {rule}}}]}}"#);
            let Err(Invalid(problems)) = text.parse::<Policy>() else { unreachable!("{rule} was accepted") };
            assert_eq!(problems.len(), 1, "{problems:?}");
            let json = serde_json::from_str(&text).unwrap_or_default();
            assert_eq!(hint(&json, &problems[0]).as_deref(), says, "{rule}");
        }
    }
}
