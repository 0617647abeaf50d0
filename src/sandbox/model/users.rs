//! What uses the streams, and the principals of the account with their policies and grants.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::permissions::Policies;

/// What uses a stream. Roles are ARNs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsedBy {
    /// An event source mapping for a Lambda function of this name and role.
    Function {
        /// The function's name.
        name: String,
        /// The function's role.
        role: String,
    },
    /// A pipe that reads from the stream.
    PipeSource {
        /// The pipe's name.
        name: String,
        /// The pipe's role.
        role: String,
    },
    /// A pipe that writes to the stream.
    PipeTarget {
        /// The pipe's name.
        name: String,
        /// The pipe's role.
        role: String,
    },
    /// A rule on the default event bus that has the stream as its target.
    Rule {
        /// The rule's name.
        name: String,
        /// The target's role.
        role: String,
    },
    /// A Firehose stream that reads from the stream.
    Firehose {
        /// The Firehose stream's name.
        name: String,
        /// Its role for the source.
        role: String,
    },
    /// A channel of the stream.
    Channel {
        /// The channel's name.
        name: String,
        /// Its service execution role.
        role: String,
    },
    /// A subscription filter of a log group.
    SubscriptionFilter {
        /// The log group's name.
        name: String,
        /// The filter's role.
        role: String,
    },
    /// A destination of `CloudWatch` Logs.
    LogsDestination {
        /// The destination's name.
        name: String,
        /// The destination's role.
        role: String,
    },
    /// A `DynamoDB` table that streams its changes to the stream.
    Table {
        /// The table's name.
        name: String,
    },
    /// A registered consumer, with the ARN of the role that its policy allows to read, if it has
    /// one.
    Consumer {
        /// The consumer's name.
        name: String,
        /// The role that its policy names.
        reader: Option<String>,
    },
    /// A queue of the stream, with the ARN of the role that its policy allows to read, if it has one.
    Queue {
        /// The queue's name.
        name: String,
        /// The role that its policy names.
        reader: Option<String>,
    },
}

/// The state behind the calls.
#[derive(Debug, Default)]
pub(crate) struct UserModel {
    /// Each with the stream's ARN.
    pub(crate) used_by: Vec<(String, UsedBy)>,
    /// By ARN.
    pub(crate) principals: BTreeMap<String, Policies>,
    /// By the key's ARN.
    pub(crate) grants: BTreeMap<String, Vec<Value>>,
}

impl UserModel {
    pub(crate) fn add(&mut self, stream_arn: String, used_by: UsedBy) {
        self.used_by.push((stream_arn, used_by));
    }

    pub(crate) fn add_principal(&mut self, arn: &str, policies: Policies) {
        self.principals.insert(arn.to_owned(), policies);
    }

    /// The policies of a role or a user; `None` if it has not been created.
    pub(crate) fn principal(&self, arn: &str) -> Option<&Policies> {
        self.principals.get(arn)
    }

    /// Whether a grant of the key lets the principal call `operation`.
    pub(crate) fn is_granted(&self, key: &str, grantee: &str, operation: &str) -> bool {
        let mut grants = self.grants.get(key).into_iter().flatten();
        grants.any(|grant| {
            let operations = grant["Operations"].as_array().map(Vec::as_slice).unwrap_or_default();
            grant["GranteePrincipal"] == grantee && operations.iter().any(|granted| granted == operation)
        })
    }

    pub(crate) fn add_grant(&mut self, key: &str, grantee: &str, operations: &[&str]) {
        let grant = json!({ "KeyId": key, "GranteePrincipal": grantee, "Operations": operations, "Constraints": {} });
        self.grants.entry(key.to_owned()).or_default().push(grant);
    }
}
