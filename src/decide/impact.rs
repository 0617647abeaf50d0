//! What applying another key to a stream means for those who write to it and read from it, as far
//! as facts can be read.
//!
//! Producers and consumers use the key with their own permissions: producers need
//! `kms:GenerateDataKey`, consumers `kms:Decrypt`. Consumers need the previous key, too, until the
//! last record that it encrypted has passed the retention period. Source: [Permissions to use
//! user-generated KMS keys][permissions].
//!
//! A delivery channel reads with a role of its own, which needs `kms:Decrypt` on a customer managed
//! key. Source: [IAM for data delivery][delivery]. The queues of a stream are not counted among its
//! consumers, and their readers need the key as consumers do. Source:
//! [StreamDescriptionSummary][summary].
//!
//! [permissions]: https://docs.aws.amazon.com/streams/latest/dev/permissions-user-key-KMS.html
//! [delivery]: https://docs.aws.amazon.com/streams/latest/dev/data-delivery-iam.html
//! [summary]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StreamDescriptionSummary.html

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde_json::Value;

use crate::domain::PolicyDocument;
use crate::domain::arn::is_account;
use crate::domain::key::KeyArn;
use crate::domain::outcome::Warning;
use crate::domain::stream::{Description, StreamArn};

/// What is known of a change of the key that a stream is encrypted with.
#[derive(Clone, Copy, Debug)]
pub struct KeyChange<'a> {
    /// The stream as it is.
    pub description: &'a Description,
    /// The new key; `None` for the AWS managed key.
    pub key: Option<&'a KeyArn>,
    /// The new key's policy; `None` where nobody asked.
    pub key_policy: Option<&'a PolicyDocument>,
    /// The stream's own policy, by which other accounts use it; `None` where nobody asked.
    pub stream_policy: Option<&'a PolicyDocument>,
    /// The time.
    pub now: DateTime<Utc>,
}

/// What a person should know before the key is applied.
#[must_use]
pub fn warnings(step: &KeyChange<'_>) -> Vec<Warning> {
    let KeyChange {
        description: Description { arn, key_id, retention_hours, consumers, channels, queues, .. },
        key,
        key_policy,
        stream_policy,
        now,
    } = *step;
    let mut warnings = Vec::new();
    if let Some(previous) = key_id {
        let until = retention_hours.map(|hours| (now + TimeDelta::hours(i64::from(hours))).trunc_subsecs(0));
        warnings.push(Warning::PreviousKeyStillNeeded { key: previous.clone(), until });
    }
    if let Some(count @ 1..) = consumers {
        warnings.push(Warning::ConsumersNeedDecrypt { consumers: *count });
    }
    if let Some(count @ 1..) = channels {
        warnings.push(Warning::ChannelsNeedDecrypt { channels: *count });
    }
    if let Some(count @ 1..) = queues {
        warnings.push(Warning::QueueReadersNeedDecrypt { queues: *count });
    }
    let foreign = match stream_policy {
        Some(Ok(Some(policy))) => foreign_principals(policy, arn.account()),
        Some(Err(because)) => {
            warnings.push(Warning::StreamPolicyUnreadable { because: because.clone() });
            Vec::new()
        }
        Some(Ok(None)) | None => Vec::new(),
    };
    match (key, key_policy) {
        (None, _) if !foreign.is_empty() => {
            // Nobody can change the policy of a key that AWS manages.
            warnings.push(Warning::CrossAccountNeedsDecrypt { principals: foreign });
        }
        (Some(key), Some(Ok(Some(policy)))) => {
            if !delegates(policy, arn) {
                warnings.push(Warning::KeyPolicyWithoutIam { key: key.to_string() });
            }
            let without: Vec<_> = foreign.into_iter().filter(|principal| !allows(policy, principal)).collect();
            if !without.is_empty() {
                warnings.push(Warning::CrossAccountNeedsDecrypt { principals: without });
            }
        }
        (Some(key), Some(Err(because))) => {
            warnings.push(Warning::KeyPolicyUnreadable { key: key.to_string(), because: because.clone() });
            if !foreign.is_empty() {
                warnings.push(Warning::CrossAccountNeedsDecrypt { principals: foreign });
            }
        }
        _ => {}
    }
    warnings
}

/// The Allow statements of a policy.
fn allowing(policy: &Value) -> impl Iterator<Item = &Value> {
    let statements = &policy["Statement"];
    let one = statements.is_object().then_some(statements);
    statements.as_array().into_iter().flatten().chain(one).filter(|statement| statement["Effect"] == "Allow")
}

/// A text, or a list of texts.
fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().chain(value.is_string().then_some(value)).filter_map(Value::as_str)
}

/// The AWS principals of a statement; `*` stands for everybody.
fn principals(statement: &Value) -> impl Iterator<Item = &str> {
    let principal = &statement["Principal"];
    texts(principal).chain(texts(&principal["AWS"]))
}

fn covers(statement: &Value, action: &str) -> bool {
    texts(&statement["Action"])
        .any(|pattern| wildmatch::WildMatch::new(&pattern.to_ascii_lowercase()).matches(&action.to_ascii_lowercase()))
}

fn account_of(principal: &str) -> Option<&str> {
    if is_account(principal) {
        Some(principal)
    } else {
        principal.strip_prefix("arn:")?.split(':').nth(3).filter(|account| is_account(account))
    }
}

fn is_whole_account(principal: &str) -> bool {
    is_account(principal) || principal.ends_with(":root")
}

/// Whether the key policy delegates access to IAM policies of the stream's account.
fn delegates(policy: &Value, stream: &StreamArn) -> bool {
    let leaves_to_iam = |statement: &&Value| {
        principals(statement).any(|principal| {
            principal == "*" || is_whole_account(principal) && account_of(principal) == Some(stream.account())
        })
    };
    allowing(policy).filter(leaves_to_iam).any(|statement| covers(statement, "kms:Decrypt"))
        && allowing(policy).filter(leaves_to_iam).any(|statement| covers(statement, "kms:GenerateDataKey"))
}

/// Whether the key policy allows `principal`, of another account, to decrypt. Conditions are
/// assumed to be met.
fn allows(policy: &Value, principal: &str) -> bool {
    let is_meant = |allowed: &str| {
        allowed == "*"
            || allowed == principal
            || is_whole_account(allowed) && account_of(allowed) == account_of(principal)
    };
    allowing(policy)
        .filter(|statement| covers(statement, "kms:Decrypt"))
        .any(|statement| principals(statement).any(is_meant))
}

/// The principals of other accounts that the stream's policy allows.
fn foreign_principals(policy: &Value, account: &str) -> Vec<String> {
    let mut found: Vec<_> = allowing(policy)
        .flat_map(principals)
        .filter(|principal| account_of(principal) != Some(account))
        .map(str::to_owned)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn description() -> Description {
        Description {
            arn: "arn:aws:kinesis:us-east-1:111122223333:stream/orders".parse().expect("an ARN"),
            status: crate::domain::stream::StreamStatus::Active,
            key_id: None,
            created: None,
            mode: None,
            retention_hours: Some(168),
            consumers: Some(0),
            channels: Some(0),
            queues: Some(0),
        }
    }

    fn now() -> DateTime<Utc> {
        "2026-11-24T12:00:00Z".parse().expect("a time")
    }

    fn codes(
        description: &Description,
        key: Option<&KeyArn>,
        key_policy: Option<&PolicyDocument>,
        stream_policy: Option<&PolicyDocument>,
    ) -> Vec<Value> {
        let step = KeyChange { description, key, key_policy, stream_policy, now: now() };
        warnings(&step).iter().map(|warning| serde_json::to_value(warning).expect("JSON")).collect()
    }

    fn policy(statements: &Value) -> PolicyDocument {
        serde_json::from_str(&json!({"Version": "2012-10-17", "Statement": statements}).to_string())
            .map_err(|error| error.to_string())
    }

    fn root(account: &str, action: &Value) -> Value {
        json!({"Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::{account}:root")}, "Action": action, "Resource": "*"})
    }

    #[test]
    fn an_unencrypted_stream_of_which_nothing_speaks_against_it_has_no_warning() {
        let key: KeyArn = KEY.parse().expect("an ARN");
        let plain = policy(&json!([root("111122223333", &json!("kms:*"))]));
        assert!(codes(&description(), Some(&key), Some(&plain), Some(&Ok(None))).is_empty());
        assert!(codes(&description(), None, None, None).is_empty());
    }

    #[test]
    fn the_old_key_is_needed_until_the_retention_period_has_passed_and_whoever_reads_is_counted() {
        let moved = Description {
            key_id: Some("alias/aws/kinesis".to_owned()),
            consumers: Some(3),
            channels: Some(1),
            queues: Some(2),
            ..description()
        };
        assert_eq!(
            codes(&moved, None, None, None),
            [
                json!({"code": "previous-key-still-needed", "key": "alias/aws/kinesis", "until": "2026-12-01T12:00:00Z"}),
                json!({"code": "consumers-need-decrypt", "consumers": 3}),
                json!({"code": "channels-need-decrypt", "channels": 1}),
                json!({"code": "queue-readers-need-decrypt", "queues": 2}),
            ]
        );
        let unknown = Description {
            key_id: moved.key_id.clone(),
            retention_hours: None,
            consumers: None,
            channels: None,
            queues: None,
            ..description()
        };
        assert_eq!(
            codes(&unknown, None, None, None),
            [json!({"code": "previous-key-still-needed", "key": "alias/aws/kinesis", "until": null})]
        );
    }

    #[test]
    fn a_key_policy_that_does_not_leave_it_to_iam_is_warned_of() {
        let key: KeyArn = KEY.parse().expect("an ARN");
        let warned = [json!({"code": "key-policy-without-iam", "key": KEY})];
        for (statements, expected) in [
            (json!([root("111122223333", &json!(["kms:Decrypt", "kms:GenerateDataKey*"]))]), &[][..]),
            (json!(root("111122223333", &json!("*"))), &[]),
            (json!([{"Effect": "Allow", "Principal": "*", "Action": "kms:*"}]), &[]),
            (json!([{"Effect": "Allow", "Principal": {"AWS": ["111122223333"]}, "Action": "KMS:*"}]), &[]),
            (json!([root("111122223333", &json!("kms:Decrypt"))]), &warned),
            (json!([root("111122223333", &json!("kms:Put*"))]), &warned),
            (json!([root("999988887777", &json!("kms:*"))]), &warned),
            (
                json!([{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/admin"}, "Action": "kms:*"}]),
                &warned,
            ),
            (json!([{"Effect": "Deny", "Principal": "*", "Action": "kms:*"}]), &warned),
            (
                json!([{"Effect": "Allow", "Principal": {"Service": "kinesis.amazonaws.com"}, "Action": "kms:*"}]),
                &warned,
            ),
            (json!([]), &warned),
        ] {
            assert_eq!(codes(&description(), Some(&key), Some(&policy(&statements)), None), expected, "{statements}");
        }
    }

    #[test]
    fn other_accounts_that_use_the_stream_need_the_key_policy() {
        let key: KeyArn = KEY.parse().expect("an ARN");
        let role = "arn:aws:iam::999988887777:role/reader";
        let stream = policy(
            &json!([{"Effect": "Allow", "Principal": {"AWS": [role, "111122223333"]}, "Action": "kinesis:GetRecords"}]),
        );
        let own = root("111122223333", &json!("kms:*"));
        let warned = [json!({"code": "cross-account-needs-decrypt", "principals": [role]})];
        assert_eq!(codes(&description(), Some(&key), Some(&policy(&json!([own]))), Some(&stream)), warned);
        assert_eq!(
            codes(
                &description(),
                Some(&key),
                Some(&policy(&json!([own, root("999988887777", &json!("kms:Encrypt"))]))),
                Some(&stream)
            ),
            warned
        );
        assert!(
            codes(
                &description(),
                Some(&key),
                Some(&policy(&json!([own, root("999988887777", &json!("kms:Decrypt"))]))),
                Some(&stream)
            )
            .is_empty()
        );
        let by_role = json!({"Effect": "Allow", "Principal": {"AWS": role}, "Action": "kms:Decrypt"});
        assert!(codes(&description(), Some(&key), Some(&policy(&json!([own, by_role]))), Some(&stream)).is_empty());
        // Of the key that AWS manages nobody can change the policy.
        assert_eq!(codes(&description(), None, None, Some(&stream)), warned);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let key: KeyArn = KEY.parse().expect("an ARN");
        let denied = Err("AccessDeniedException".to_owned());
        assert_eq!(
            codes(&description(), Some(&key), Some(&denied), Some(&denied)),
            [
                json!({"code": "stream-policy-unreadable", "because": "AccessDeniedException"}),
                json!({"code": "key-policy-unreadable", "key": KEY, "because": "AccessDeniedException"}),
            ]
        );
    }
}
