//! The function's settings, and the one place where the environment is read.
//!
//! A value that is not understood is refused by name, with what was found and what is allowed, and
//! all such values at once. A misspelt value never becomes the default.

mod access;
mod accounts;
mod enforcement;
mod environment;
mod queues;
mod reporting;

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use self::access::Access;
use self::accounts::{Accounts, role_account};
use self::enforcement::Enforcement;
pub use self::enforcement::{
    DEFAULT_EXEMPT_TAG_KEY, DEFAULT_IAC_GRACE, DEFAULT_MAX_APPLIES, LARGEST_POLICY, OnKeyRotation, PolicySource,
};
pub use self::environment::Environment;
use self::queues::Queues;
pub use self::queues::{DEFAULT_MAX_RECEIVES, WorkQueueSettings};
pub use self::reporting::DEFAULT_METRICS_NAMESPACE;
use self::reporting::Reporting;
use crate::domain::key::KeyRef;
use crate::domain::member_accounts::MemberAccounts;
use crate::domain::mode::{Mode, OnOtherKey};

/// The supported variables. The template sets exactly these.
pub const SUPPORTED: [&str; 21] = [
    "KMS_KEY_ID",
    "ENFORCEMENT_MODE",
    "FAILURE_QUEUE_URL",
    "WORK_QUEUE_URL",
    "WORK_QUEUE_MAX_RECEIVES",
    "OWN_ROLE_ARN",
    "ON_OTHER_KEY",
    "ON_KEY_ROTATION",
    "IAC_GRACE_SECONDS",
    "EXEMPT_TAG_KEY",
    "POLICY",
    "POLICY_PARAMETER",
    "MAX_APPLIES_PER_DAY",
    "METRICS_NAMESPACE",
    "OUTCOME_EVENT_BUS",
    "ACCESS_DENIALS_QUEUE_URL",
    "ACCESS_STATE_PARAMETER",
    "HALT_ON_ACCESS_DENIED",
    "MEMBER_ROLE_NAME",
    "MEMBER_ACCOUNTS",
    "MEMBER_EXTERNAL_ID",
];

/// The part of the function's timeout that is reserved for what follows the waiting: one last
/// description, dead letters and the answer.
///
/// Five seconds suffice for a `DescribeStreamSummary` and a `SendMessage` that each run into their
/// first attempt timeout. If that is more than a quarter of the timeout, a quarter is reserved.
pub const RESERVE: Duration = Duration::from_secs(5);

/// The function's settings, from its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `KMS_KEY_ID`: the key that streams must be encrypted with.
    pub key: KeyRef,
    /// `ENFORCEMENT_MODE`: whether non-compliant streams are encrypted or only reported.
    pub mode: Mode,
    /// `FAILURE_QUEUE_URL`: the URL of the dead-letter queue.
    pub failure_queue_url: Option<String>,
    /// The work queue. Without one, fan-out and deferral happen inside the invocation.
    pub work_queue: Option<WorkQueueSettings>,
    /// `OWN_ROLE_ARN`: the function's role. Events of its successful calls are ignored, and its
    /// account is the function's own.
    pub own_role_arn: Option<String>,
    /// `ON_OTHER_KEY`: what to do about another customer managed key.
    pub on_other_key: OnOtherKey,
    /// `ON_KEY_ROTATION`: what follows from a rotation of the key.
    pub on_key_rotation: OnKeyRotation,
    /// `IAC_GRACE_SECONDS`: the grace period of infrastructure-as-code tools; zero turns it off.
    pub iac_grace: Duration,
    /// `EXEMPT_TAG_KEY`: the key of the exemption tag; `None` turns exemption by tag off.
    pub exempt_tag_key: Option<String>,
    /// The policy, or the parameter that holds it.
    pub policy: PolicySource,
    /// `MAX_APPLIES_PER_DAY`: how often a key is applied to one stream in 24 hours before the
    /// stream counts as contested.
    pub max_applies_per_day: u32,
    /// `METRICS_NAMESPACE`: the `CloudWatch` namespace.
    pub metrics_namespace: String,
    /// `OUTCOME_EVENT_BUS`: the event bus for outcome events, by name or ARN.
    pub outcome_event_bus: Option<String>,
    /// `ACCESS_DENIALS_QUEUE_URL`: the queue that denied calls of producers and consumers come by.
    pub denials_queue_url: Option<String>,
    /// `ACCESS_STATE_PARAMETER`: the SSM parameter that holds what was reported of them.
    pub access_state_parameter: Option<String>,
    /// `HALT_ON_ACCESS_DENIED`: whether sweeps change no stream while principals are cut off from
    /// streams that the function changed.
    pub halt_on_access_denied: bool,
    /// The member accounts, whose streams are managed too.
    pub members: Option<MemberAccounts>,
}

/// Something that is wrong with the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The policy, in `POLICY` or named by `POLICY_PARAMETER`; the text names the variable.
    Policy(String),
    /// Another variable.
    Variable {
        /// The variable.
        name: &'static str,
        /// What is wrong with it, and what is allowed.
        what: String,
    },
}

impl Problem {
    fn variable(name: &'static str, what: String) -> Self {
        Self::Variable { name, what }
    }

    fn missing(name: &'static str, remedy: &str) -> Self {
        Self::variable(name, format!("is not set: {remedy}"))
    }

    fn malformed(name: &'static str, found: &str, expected: &str) -> Self {
        Self::variable(name, format!("is {found:?}: it must be {expected}"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(text) => f.write_str(text),
            Self::Variable { name, what } => write!(f, "{name} {what}"),
        }
    }
}

/// Everything that is wrong with the environment.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct SettingsError(pub Vec<Problem>);

impl SettingsError {
    /// Whether nothing but the policy is wrong.
    #[must_use]
    pub fn is_policy(&self) -> bool {
        self.0.iter().all(|problem| matches!(problem, Problem::Policy(_)))
    }
}

impl Settings {
    /// Reads the settings; every problem is reported, not only the first.
    pub fn from_environment(environment: &Environment) -> Result<Self, SettingsError> {
        let mut problems = Vec::new();
        let Enforcement {
            key,
            mode,
            on_other_key,
            on_key_rotation,
            iac_grace,
            exempt_tag_key,
            policy,
            max_applies_per_day,
        } = Enforcement::read(environment, &mut problems);
        let Queues { failure_queue_url, work_queue } = Queues::read(environment, &mut problems);
        let Accounts { own_role_arn, members } = Accounts::read(environment, &mut problems);
        let Reporting { metrics_namespace, outcome_event_bus } = Reporting::read(environment, &mut problems);
        let Access { denials_queue_url, state_parameter: access_state_parameter, halts: halt_on_access_denied } =
            Access::read(environment, &mut problems);
        match key {
            Some(key) if problems.is_empty() => Ok(Self {
                key,
                mode,
                failure_queue_url,
                work_queue,
                own_role_arn,
                on_other_key,
                on_key_rotation,
                iac_grace,
                exempt_tag_key,
                policy,
                max_applies_per_day,
                metrics_namespace,
                outcome_event_bus,
                denials_queue_url,
                access_state_parameter,
                halt_on_access_denied,
                members,
            }),
            _ => Err(SettingsError(problems)),
        }
    }

    /// The function's own account, that of its role, if the role is known.
    #[must_use]
    pub fn own_account(&self) -> Option<&str> {
        self.own_role_arn.as_deref().and_then(role_account)
    }

    /// The ARNs of the roles that the function acts with: its own, and those in the member
    /// accounts.
    #[must_use]
    pub fn own_roles(&self) -> Vec<String> {
        let of_members =
            self.members.iter().flat_map(|members| members.accounts.iter().map(|account| members.role_in(account)));
        self.own_role_arn.iter().cloned().chain(of_members).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().fold(Environment::default(), |environment, (name, value)| environment.with(name, value))
    }

    fn problems(variables: &[(&str, &str)]) -> Vec<String> {
        let SettingsError(problems) = Settings::from_environment(&environment(variables)).expect_err("refused");
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_key_alone_is_enough() {
        let settings = Settings::from_environment(&environment(&[("KMS_KEY_ID", KEY)])).expect("accepted");
        assert_eq!(
            settings,
            Settings {
                key: KEY.parse().expect("a key"),
                mode: Mode::Enforce,
                failure_queue_url: None,
                work_queue: None,
                own_role_arn: None,
                on_other_key: OnOtherKey::Replace,
                on_key_rotation: OnKeyRotation::Verify,
                iac_grace: Duration::from_mins(1),
                exempt_tag_key: Some(DEFAULT_EXEMPT_TAG_KEY.to_owned()),
                policy: PolicySource::Inline(Arc::default()),
                max_applies_per_day: 5,
                metrics_namespace: DEFAULT_METRICS_NAMESPACE.to_owned(),
                outcome_event_bus: None,
                denials_queue_url: None,
                access_state_parameter: None,
                halt_on_access_denied: true,
                members: None,
            }
        );
    }

    #[test]
    fn every_variable_that_is_read_is_supported() {
        let sources = [
            include_str!("access.rs"),
            include_str!("accounts.rs"),
            include_str!("enforcement.rs"),
            include_str!("queues.rs"),
            include_str!("reporting.rs"),
        ];
        let code = sources.map(|source| source.split("#[cfg(test)]").next().unwrap_or_default()).concat();
        // What stands between quotes, on one line, and looks like a variable.
        let quoted = code.lines().flat_map(|line| line.split('"').skip(1).step_by(2));
        let is_name =
            |text: &&str| text.contains('_') && text.bytes().all(|byte| byte == b'_' || byte.is_ascii_uppercase());
        let mut read: Vec<_> = quoted.filter(is_name).chain(["POLICY"]).collect();
        read.sort_unstable();
        read.dedup();
        let mut supported = SUPPORTED;
        supported.sort_unstable();
        assert_eq!(read, supported);
    }

    #[test]
    fn an_empty_optional_variable_is_unset_but_an_empty_tag_key_switches_the_exemption_off() {
        let mut variables: Vec<_> = SUPPORTED.iter().map(|name| (*name, "")).collect();
        variables.push(("KMS_KEY_ID", KEY));
        let settings = Settings::from_environment(&environment(&variables)).expect("accepted");
        assert_eq!(settings.exempt_tag_key, None);
        assert_eq!(settings.mode, Mode::Enforce);
    }

    #[test]
    fn every_malformed_value_is_refused_by_name_and_all_at_once() {
        let found = problems(&[
            ("KMS_KEY_ID", "orders-key"),
            ("ENFORCEMENT_MODE", "Enforce"),
            ("FAILURE_QUEUE_URL", "enforcer-dlq"),
            ("WORK_QUEUE_URL", "enforcer-work"),
            ("WORK_QUEUE_MAX_RECEIVES", "0"),
            ("OWN_ROLE_ARN", "arn:aws:iam::111122223333:user/me"),
            ("ON_OTHER_KEY", "keep"),
            ("ON_KEY_ROTATION", "always"),
            ("IAC_GRACE_SECONDS", "901"),
            ("EXEMPT_TAG_KEY", "aws:exempt"),
            ("POLICY", "{}"),
            ("POLICY_PARAMETER", "/policy"),
            ("MAX_APPLIES_PER_DAY", "26"),
            ("METRICS_NAMESPACE", "a*b"),
            ("OUTCOME_EVENT_BUS", "my bus"),
            ("ACCESS_DENIALS_QUEUE_URL", "denials"),
            ("ACCESS_STATE_PARAMETER", "my state"),
            ("HALT_ON_ACCESS_DENIED", "no"),
            ("MEMBER_ROLE_NAME", "/enforcer"),
            ("MEMBER_ACCOUNTS", "4444"),
            ("MEMBER_EXTERNAL_ID", "x"),
        ]);
        // POLICY and POLICY_PARAMETER share a problem.
        assert_eq!(found.len(), SUPPORTED.len() - 1, "{found:#?}");
        for name in SUPPORTED {
            assert!(found.iter().any(|problem| problem.contains(name)), "{name}: {found:#?}");
        }
    }

    #[test]
    fn names_of_queues_buses_and_namespaces_are_told_from_what_is_none() {
        let bus = "arn:aws:events:us-east-1:111122223333:event-bus/security";
        let longest = "a".repeat(255);
        for (name, right, wrong) in [
            (
                "FAILURE_QUEUE_URL",
                &["https://sqs.us-east-1.amazonaws.com/111122223333/dlq", "http://localhost:9324/queue"][..],
                &[
                    "sqs.us-east-1.amazonaws.com/111122223333/dlq",
                    "https://sqs.us-east-1.amazonaws.com/",
                    "https:///dlq",
                    "https://host",
                ][..],
            ),
            (
                "OUTCOME_EVENT_BUS",
                &["default", "team/security", bus],
                &["arn:aws:sqs:us-east-1:111122223333:security", "security:event-bus/a", "my bus"],
            ),
            (
                "METRICS_NAMESPACE",
                &["Custom/Kinesis Encryption#1", longest.as_str()],
                &[":custom", "a*b", &format!("{longest}a")],
            ),
        ] {
            for text in right {
                let settings = Settings::from_environment(&environment(&[("KMS_KEY_ID", KEY), (name, text)]));
                assert!(settings.is_ok(), "{name}={text}: {settings:?}");
            }
            for text in wrong {
                let found = problems(&[("KMS_KEY_ID", KEY), (name, text)]);
                assert!(
                    found.len() == 1 && found[0].starts_with(&format!("{name} is {text:?}: ")),
                    "{name}={text}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn values_that_cannot_work_are_refused_by_name() {
        let url = "https://sqs.us-east-1.amazonaws.com/111122223333/work";
        let key_of = |length| "k".repeat(length);
        let queues = [
            &format!("{url}.fifo"),
            &format!("{url} "),
            &format!(" {url}"),
            &format!("{url}\n"),
            &format!("{url}\u{a0}"),
            &format!("{url}/"),
            "https://sqs.us-east-1.amazonaws.com/111122223333/my work",
            "https://sqs.us-east-1.amazonaws.com/111122223333/work?x=1",
            "https://sqs us-east-1/111122223333/work",
            "https:// /work",
        ];
        let tables: [(&str, &[&str]); 8] = [
            ("FAILURE_QUEUE_URL", &queues),
            ("WORK_QUEUE_URL", &queues),
            (
                "EXEMPT_TAG_KEY",
                &[
                    " ",
                    "\t",
                    "\u{a0}",
                    " exempt",
                    "exempt ",
                    "exempt\n",
                    "ex\u{0}empt",
                    "AWS:exempt",
                    "exempt*",
                    &key_of(129),
                ],
            ),
            ("KMS_KEY_ID", &[" ", "alias/streams ", " alias/streams", &format!("{KEY} "), &format!("{KEY}\n")]),
            (
                "OUTCOME_EVENT_BUS",
                &[
                    " ",
                    "default ",
                    "arn:aws:events:us-east-1:111122223333:event-bus/",
                    "arn:aws:events:us-east-1:111122223333:event-bus/a ",
                    "arn:aws:sns:us-east-1:111122223333:event-bus/a",
                ],
            ),
            (
                "POLICY_PARAMETER",
                &[
                    " ",
                    "/policy ",
                    "arn:aws:ssm:us-east-1:111122223333:parameter/",
                    "arn:aws:s3:us-east-1:111122223333:parameter/a",
                ],
            ),
            (
                "OWN_ROLE_ARN",
                &[
                    "arn:aws:iam::111122223333:role/",
                    "arn:aws:iam::111122223333:role/enforcer ",
                    "arn:aws:iam::111122223333:role/enforcer\n",
                    "arn:aws:iam::111122223333:role/enforcer/",
                    "arn:aws:iam::111122223333:role/*",
                    "arn:awsome:iam::111122223333:role/enforcer",
                ],
            ),
            ("METRICS_NAMESPACE", &[" ", "Kinesis ", " Kinesis", "AWS/Kinesis"]),
        ];
        for (name, values) in tables {
            for value in values {
                let found = problems(&[("KMS_KEY_ID", KEY), (name, value)]);
                assert!(found.len() == 1 && found[0].starts_with(name), "{name}={value:?}: {found:?}");
            }
        }
        let longest = key_of(128);
        for key in ["exempt", "kinesis-encryption-enforcer:exempt", "Team/No KMS", "ausgenommen_für=@+.", &longest] {
            let settings = Settings::from_environment(&environment(&[("KMS_KEY_ID", KEY), ("EXEMPT_TAG_KEY", key)]));
            assert_eq!(settings.expect("accepted").exempt_tag_key.as_deref(), Some(key));
        }
    }

    #[test]
    fn a_fifo_queue_is_named_as_the_reason_and_the_two_queues_are_two() {
        let url = "https://sqs.us-east-1.amazonaws.com/111122223333/work";
        let fifo = format!("{url}.fifo");
        for name in ["FAILURE_QUEUE_URL", "WORK_QUEUE_URL"] {
            let found = problems(&[("KMS_KEY_ID", KEY), (name, &fifo)]);
            assert!(found[0].contains("FIFO"), "{found:?}");
        }
        let found = problems(&[("KMS_KEY_ID", KEY), ("FAILURE_QUEUE_URL", url), ("WORK_QUEUE_URL", url)]);
        assert_eq!(
            found,
            [
                "WORK_QUEUE_URL is the queue in FAILURE_QUEUE_URL: set them to two queues, or the function would work on its own dead letters"
            ]
        );
    }

    #[test]
    fn a_policy_is_inline_or_in_a_parameter_and_what_is_wrong_with_it_is_said() {
        for (name, value, says) in [
            ("POLICY", "{", "POLICY: $ (line 1"),
            ("POLICY", &" ".repeat(LARGEST_POLICY + 1), "has 3073 bytes"),
            ("POLICY_PARAMETER", "my policy", "such as /kinesis/policy"),
            ("POLICY_PARAMETER", "a:b", "such as /kinesis/policy"),
            ("POLICY_PARAMETER", "arn:aws:ssm:us-east-1:111122223333:document/a", "such as /kinesis/policy"),
            ("POLICY_PARAMETER", &"a".repeat(2049), "such as /kinesis/policy"),
        ] {
            let error =
                Settings::from_environment(&environment(&[("KMS_KEY_ID", KEY), (name, value)])).expect_err("refused");
            assert!(error.is_policy() && error.0.len() == 1 && error.to_string().contains(says), "{error}");
        }
        let error =
            Settings::from_environment(&environment(&[("KMS_KEY_ID", "a"), ("POLICY", "{")])).expect_err("refused");
        assert!(!error.is_policy());
        for parameter in ["/kinesis/policy", "policy", "arn:aws:ssm:us-east-1:111122223333:parameter/kinesis/policy"] {
            let settings =
                Settings::from_environment(&environment(&[("KMS_KEY_ID", KEY), ("POLICY_PARAMETER", parameter)]));
            assert_eq!(settings.expect("accepted").policy, PolicySource::Parameter(parameter.to_owned()));
        }
        let longest = format!("{:LARGEST_POLICY$}", r#"{"version": 1, "rules": []}"#);
        assert!(Settings::from_environment(&environment(&[("KMS_KEY_ID", KEY), ("POLICY", &longest)])).is_ok());
    }

    #[test]
    fn a_missing_key_says_what_is_wanted() {
        assert_eq!(
            problems(&[]),
            ["KMS_KEY_ID is not set: set it to a KMS key ARN, key ID, alias name (alias/…) or alias ARN"]
        );
    }

    #[test]
    fn the_work_queue_is_its_url_and_how_often_a_message_is_received() {
        let url = "https://sqs.us-east-1.amazonaws.com/111122223333/work";
        let queue = |variables: &[(&str, &str)]| {
            Settings::from_environment(&environment(variables)).expect("accepted").work_queue
        };
        let expected = |max_receives| Some(WorkQueueSettings { url: url.to_owned(), max_receives });
        assert_eq!(queue(&[("KMS_KEY_ID", KEY), ("WORK_QUEUE_URL", url)]), expected(DEFAULT_MAX_RECEIVES));
        assert_eq!(
            queue(&[("KMS_KEY_ID", KEY), ("WORK_QUEUE_URL", url), ("WORK_QUEUE_MAX_RECEIVES", "8")]),
            expected(8)
        );
    }

    #[test]
    fn of_the_aws_managed_keys_only_that_of_kinesis_is_taken() {
        assert!(problems(&[("KMS_KEY_ID", "alias/aws/sqs")])[0].contains("alias/aws/kinesis"));
        assert!(Settings::from_environment(&environment(&[("KMS_KEY_ID", "alias/aws/kinesis")])).is_ok());
    }

    #[test]
    fn the_account_is_the_roles() {
        let settings = |arn| {
            Settings::from_environment(&environment(&[("KMS_KEY_ID", KEY), ("OWN_ROLE_ARN", arn)])).expect("accepted")
        };
        assert_eq!(settings("arn:aws-cn:iam::111122223333:role/path/enforcer").own_account(), Some("111122223333"));
    }

    #[test]
    fn the_own_roles_are_the_functions_and_the_members() {
        let environment = environment(&[
            ("KMS_KEY_ID", KEY),
            ("OWN_ROLE_ARN", "arn:aws:iam::111122223333:role/enforcer"),
            ("MEMBER_ROLE_NAME", "member"),
            ("MEMBER_ACCOUNTS", "444455556666"),
            ("MEMBER_EXTERNAL_ID", "orders-7"),
        ]);
        let settings = Settings::from_environment(&environment).expect("accepted");
        assert_eq!(
            settings.own_roles(),
            ["arn:aws:iam::111122223333:role/enforcer", "arn:aws:iam::444455556666:role/member"]
        );
    }
}
