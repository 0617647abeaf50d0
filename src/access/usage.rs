//! Who is known to use streams, and how that is known.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Value;

use super::Action;
use super::principal::Principal;
use super::record::Use;
use super::statement::{entries, is_id_of_deleted, is_named};
use super::truth::Truth;
use crate::domain::stream::StreamArn;

/// How it is known that a principal uses a stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "source", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Evidence {
    /// An event source mapping invokes a Lambda function with the stream's records.
    EventSourceMapping {
        /// The function's name.
        name: String,
    },
    /// A pipe of `EventBridge` Pipes reads from the stream or writes to it.
    Pipe {
        /// The pipe's name.
        name: String,
    },
    /// A rule of `EventBridge` has the stream as a target.
    Rule {
        /// The rule's name.
        name: String,
    },
    /// A Firehose stream reads from the stream.
    Firehose {
        /// The Firehose stream's name.
        name: String,
    },
    /// A channel of the stream delivers its records.
    Channel {
        /// The channel's name.
        name: String,
    },
    /// A subscription filter of `CloudWatch` Logs sends a log group's events to the stream.
    SubscriptionFilter {
        /// The log group's name.
        name: String,
    },
    /// A destination of `CloudWatch` Logs sends other accounts' log events to the stream.
    LogsDestination {
        /// The destination's name.
        name: String,
    },
    /// A `DynamoDB` table streams its changes to the stream.
    DynamoDb {
        /// The table's name.
        name: String,
    },
    /// The policy of the stream allows it.
    StreamPolicy,
    /// The policy of a registered consumer allows it.
    ConsumerPolicy {
        /// The consumer's name.
        name: String,
    },
    /// A consumer is registered; nothing names who reads through it.
    Consumer {
        /// The consumer's name.
        name: String,
    },
    /// The policy of a queue of the stream allows it.
    QueuePolicy {
        /// The queue's name.
        name: String,
    },
    /// The stream has queues; nothing names who reads from them.
    Queues {
        /// How many of the stream's queues these are.
        count: u32,
    },
    /// `CloudTrail` recorded calls.
    #[serde(rename = "cloudtrail")]
    CloudTrail {
        /// The number of records that were read.
        calls: u64,
        /// The time of the latest.
        last: DateTime<Utc>,
    },
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EventSourceMapping { name } => write!(f, "event source mapping of function {name}"),
            Self::Pipe { name } => write!(f, "EventBridge pipe {name}"),
            Self::Rule { name } => write!(f, "EventBridge rule {name}"),
            Self::Firehose { name } => write!(f, "Firehose stream {name}"),
            Self::Channel { name } => write!(f, "channel {name}"),
            Self::SubscriptionFilter { name } => write!(f, "subscription filter of log group {name}"),
            Self::LogsDestination { name } => write!(f, "CloudWatch Logs destination {name}"),
            Self::DynamoDb { name } => write!(f, "DynamoDB table {name}"),
            Self::StreamPolicy => write!(f, "policy of the stream"),
            Self::ConsumerPolicy { name } => write!(f, "policy of registered consumer {name}"),
            Self::Consumer { name } => write!(f, "registered consumer {name}"),
            Self::QueuePolicy { name } => write!(f, "policy of queue {name}"),
            Self::Queues { count: 1 } => write!(f, "1 queue of the stream"),
            Self::Queues { count } => write!(f, "{count} queues of the stream"),
            Self::CloudTrail { calls, last } => {
                let last = last.to_rfc3339_opts(SecondsFormat::Secs, true);
                if *calls == 1 {
                    write!(f, "CloudTrail: 1 call at {last}")
                } else {
                    write!(f, "CloudTrail: {calls} calls, the last at {last}")
                }
            }
        }
    }
}

/// That a principal uses a stream, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownUse {
    /// The stream.
    pub stream: StreamArn,
    /// What the principal needs of the stream's key.
    pub action: Action,
    /// The principal.
    pub principal: Principal,
    /// How it is known.
    pub evidence: Evidence,
}

/// What is known of one principal's use of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    configured: BTreeSet<Evidence>,
    /// The number of recorded calls, and the time of the latest.
    calls: Option<(u64, DateTime<Utc>)>,
}

/// The known users of streams. Records are counted and not kept, so that gigabytes of them take no
/// more memory than the users they name.
#[derive(Clone, Debug, Default)]
pub struct Users {
    seen: BTreeMap<StreamArn, BTreeMap<(Principal, Action), Seen>>,
    /// The ARNs of registered consumers that a recorded call used.
    consumers: BTreeSet<String>,
}

/// A user of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The principal.
    pub principal: Principal,
    /// What it needs of the stream's key.
    pub action: Action,
    /// How that is known.
    pub evidence: Vec<Evidence>,
}

impl Users {
    /// Adds a use that is known from how a service is configured.
    pub fn add(&mut self, KnownUse { stream, action, principal, evidence }: KnownUse) {
        let seen = self.seen.entry(stream).or_default().entry((principal, action)).or_default();
        seen.configured.insert(evidence);
    }

    /// Counts a recorded use.
    pub fn record(&mut self, Use { stream, action, principal, at, consumer }: Use) {
        let seen = self.seen.entry(stream).or_default().entry((principal, action)).or_default();
        let (calls, last) = seen.calls.unwrap_or((0, at));
        seen.calls = Some((calls + 1, last.max(at)));
        self.consumers.extend(consumer);
    }

    /// Whether a recorded call used the registered consumer with this ARN.
    #[must_use]
    pub fn has_used(&self, consumer: &str) -> bool {
        self.consumers.contains(consumer)
    }

    /// The roles of which only sessions are known: account and name.
    #[must_use]
    pub fn roles_without_path(&self) -> BTreeSet<Principal> {
        let principals = self.seen.values().flat_map(|users| users.keys().map(|(principal, _)| principal));
        let without = principals.filter(|principal| matches!(principal, Principal::Role { path: None, .. }));
        without.filter(|principal| self.with_path(principal).is_none()).cloned().collect()
    }

    /// The same role with its path, where another use names it: a role's name is unique in its
    /// account.
    fn with_path(&self, principal: &Principal) -> Option<&Principal> {
        let Principal::Role { account, name, path: None, .. } = principal else { return None };
        let mut principals = self.seen.values().flat_map(|users| users.keys().map(|(principal, _)| principal));
        principals.find(|other| {
            matches!(other, Principal::Role { account: of, name: called, path: Some(_), .. } if of == account && called == name)
        })
    }

    /// The users of `stream`. A session of a role whose path is known counts as the role; `whole`
    /// finds the path of others.
    #[must_use]
    pub fn of(&self, stream: &StreamArn, whole: impl Fn(&Principal) -> Option<Principal>) -> Vec<User> {
        let mut users = BTreeMap::<(Principal, Action), Seen>::new();
        for ((principal, action), seen) in self.seen.get(stream).into_iter().flatten() {
            let role = self.with_path(principal).cloned().or_else(|| whole(principal));
            let principal = role.unwrap_or_else(|| principal.clone());
            let merged = users.entry((principal, *action)).or_default();
            merged.configured.extend(seen.configured.iter().cloned());
            merged.calls = match (merged.calls, seen.calls) {
                (Some((one, last)), Some((other, at))) => Some((one + other, last.max(at))),
                (one, other) => one.or(other),
            };
        }
        let user = |((principal, action), Seen { configured, calls }): ((Principal, Action), Seen)| {
            let recorded = calls.map(|(calls, last)| Evidence::CloudTrail { calls, last });
            User { principal, action, evidence: configured.into_iter().chain(recorded).collect() }
        };
        users.into_iter().map(user).collect()
    }
}

/// The calls of producers and consumers, as policies of streams, consumers and queues name them.
const DATA_CALLS: [(&str, Action); 5] = [
    ("kinesis:PutRecord", Action::GenerateDataKey),
    ("kinesis:PutRecords", Action::GenerateDataKey),
    ("kinesis:GetRecords", Action::Decrypt),
    ("kinesis:SubscribeToShard", Action::Decrypt),
    ("kinesis:ReceiveQueueRecords", Action::Decrypt),
];

/// Whom the policy of a stream, of a registered consumer or of a queue allows to write or to read. Conditions
/// are left out of account: whoever may be meant is named.
#[must_use]
pub fn allowed_by(policy: &Value) -> BTreeSet<(Principal, Action)> {
    let statements = match &policy["Statement"] {
        Value::Array(statements) => statements.as_slice(),
        statement => std::slice::from_ref(statement),
    };
    let mut allowed = BTreeSet::new();
    for statement in statements.iter().filter(|statement| statement["Effect"] == "Allow") {
        let principals = entries(&statement["Principal"]).into_iter().filter_map(|(kind, text)| match (kind, text?) {
            ("Service", text) => Some(Principal::Service(text.to_owned())),
            ("" | "AWS", text) if is_id_of_deleted(text) => None,
            ("" | "AWS", text) => Some(Principal::read(text).unwrap_or_else(|| Principal::Other(text.to_owned()))),
            (_, text) => Some(Principal::Other(text.to_owned())),
        });
        // `NotPrincipal` allows every principal that it does not name.
        let others = (!statement["NotPrincipal"].is_null()).then_some(Principal::Everybody);
        let principals: Vec<_> = principals.chain(others).collect();
        for (call, action) in DATA_CALLS {
            let is_meant = is_named(statement, "Action", "NotAction", |pattern| {
                wildmatch::WildMatch::new_case_insensitive(pattern).matches(call).into()
            });
            if is_meant != Truth::False {
                allowed.extend(principals.iter().map(|principal| (principal.clone(), action)));
            }
        }
    }
    allowed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const STREAM: &str = "arn:aws:kinesis:us-east-1:111122223333:stream/orders";

    fn principal(text: &str) -> Principal {
        Principal::read(text).expect("a principal")
    }

    fn recorded(by: &str, at: &str) -> Use {
        Use {
            stream: STREAM.parse().expect("an ARN"),
            action: Action::Decrypt,
            principal: principal(by),
            at: at.parse().expect("a time"),
            consumer: None,
        }
    }

    #[test]
    fn records_of_a_principal_are_counted_and_a_session_counts_as_its_role() {
        let (role, session) =
            ("arn:aws:iam::111122223333:role/app/reader", "arn:aws:sts::111122223333:assumed-role/reader/one");
        let mut users = Users::default();
        let stream: StreamArn = STREAM.parse().expect("an ARN");
        users.record(recorded(session, "2026-11-24T12:00:00Z"));
        assert_eq!(users.roles_without_path().len(), 1);
        assert_eq!(users.of(&stream, |_| Some(principal(role)))[0].principal, principal(role));
        users.record(recorded(role, "2026-11-24T14:00:00Z"));
        users.record(recorded(session, "2026-11-24T13:00:00Z"));
        users.add(KnownUse {
            stream: stream.clone(),
            action: Action::Decrypt,
            principal: principal(role),
            evidence: Evidence::EventSourceMapping { name: "worker".to_owned() },
        });
        assert!(users.roles_without_path().is_empty());
        let found = users.of(&stream, |_| None);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].principal, principal(role));
        let shown: Vec<_> = found[0].evidence.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            ["event source mapping of function worker", "CloudTrail: 3 calls, the last at 2026-11-24T14:00:00Z"]
        );
    }

    #[test]
    fn a_policy_of_a_stream_names_its_producers_and_consumers() {
        let statement = |effect: &str, principal: Value, action: Value| json!({"Effect": effect, "Principal": principal, "Action": action, "Resource": STREAM});
        let policy = json!({"Version": "2012-10-17", "Statement": [
            statement("Allow", json!({"AWS": "arn:aws:iam::444455556666:role/reader"}), json!(["kinesis:Get*"])),
            statement("Allow", json!({"AWS": ["777788889999", "AROAEXAMPLEID"]}), json!("kinesis:*")),
            statement("Allow", json!({"Service": "delivery.logs.amazonaws.com"}), json!("kinesis:PutRecord")),
            statement("Allow", json!("*"), json!("kinesis:DescribeStream")),
            statement("Deny", json!({"AWS": "111122223333"}), json!("kinesis:*")),
        ]});
        let shown: Vec<_> =
            allowed_by(&policy).iter().map(|(who, action)| format!("{who} {}", action.as_str())).collect();
        assert_eq!(
            shown,
            [
                "arn:aws:iam::444455556666:role/reader kms:Decrypt",
                "account 777788889999 kms:GenerateDataKey",
                "account 777788889999 kms:Decrypt",
                "delivery.logs.amazonaws.com kms:GenerateDataKey",
            ]
        );
        assert!(allowed_by(&json!(null)).is_empty());
    }

    #[test]
    fn whoever_a_policy_may_mean_is_a_user_that_nobody_can_ask_about() {
        let user = "arn:aws:sts::444455556666:federated-user/jo";
        for (element, named, expected) in [
            ("Principal", json!({"AWS": user}), Principal::Other(user.to_owned())),
            ("NotPrincipal", json!({"AWS": "444455556666"}), Principal::Everybody),
        ] {
            let mut statement = json!({"Effect": "Allow", "Action": "kinesis:PutRecord"});
            statement[element] = named.clone();
            let allowed: Vec<_> = allowed_by(&json!({"Statement": statement})).into_iter().collect();
            assert_eq!(allowed, [(expected, Action::GenerateDataKey)], "{element} {named}");
        }
    }
}
