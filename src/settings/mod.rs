//! The function's settings, and the one place where the environment is read.
//!
//! A value that is not understood is refused by name, with what was found and what would be right,
//! and all such values at once. Nothing is defaulted because it was misspelt.

mod environment;

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

pub use self::environment::Environment;
use crate::domain::arn::is_account;
use crate::domain::key::KeyRef;
use crate::domain::member_accounts::{MemberAccounts, MemberVariables};
use crate::domain::mode::{Mode, OnOtherKey};
use crate::policy::Policy;

/// The variables this version understands; the template sets exactly these.
pub const SUPPORTED: [&str; 18] = [
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
    "MEMBER_ROLE_NAME",
    "MEMBER_ACCOUNTS",
    "MEMBER_EXTERNAL_ID",
];

/// The share of the function's timeout kept for what must happen after the waiting: one last look,
/// dead letters, the answer.
///
/// Five seconds hold a describe and a `SendMessage` that each run into their first attempt timeout.
/// A timeout so short that this would be more than a quarter of it keeps a quarter.
pub const RESERVE: Duration = Duration::from_secs(5);

/// How long a young stream must have been ACTIVE and quiet before it is touched, unless
/// `IAC_GRACE_SECONDS` says otherwise.
pub const DEFAULT_IAC_GRACE: Duration = Duration::from_mins(1);

/// How often a message of the work queue is received before it counts as failed, unless
/// `WORK_QUEUE_MAX_RECEIVES` says otherwise.
pub const DEFAULT_MAX_RECEIVES: u32 = 5;

/// How many bytes `POLICY` may have: Lambda gives all variables together 4 KB.
pub const LARGEST_POLICY: usize = 3072;

/// How often a key is applied to one stream in 24 hours before the stream counts as contested,
/// unless `MAX_APPLIES_PER_DAY` says otherwise.
pub const DEFAULT_MAX_APPLIES: u32 = 5;

/// The tag that exempts a stream, unless `EXEMPT_TAG_KEY` names another.
pub const DEFAULT_EXEMPT_TAG_KEY: &str = "kinesis-encryption-enforcer:exempt";

/// The `CloudWatch` namespace, unless `METRICS_NAMESPACE` names another.
pub const DEFAULT_METRICS_NAMESPACE: &str = "KinesisEncryptionEnforcer";

/// `ON_KEY_ROTATION`: what the rotation of the configured key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnKeyRotation {
    /// Every stream is looked at; those that have the key already are left alone.
    Verify,
    /// The key is applied once more to every stream that has it.
    Reapply,
}

/// `WORK_QUEUE_URL` and `WORK_QUEUE_MAX_RECEIVES`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkQueueSettings {
    /// The queue that sweeps fan out to and deferred work waits on.
    pub url: String,
    /// `maxReceiveCount` of its redrive policy: at this receive the function itself writes the dead
    /// letter, with the diagnosis.
    pub max_receives: u32,
}

/// `POLICY` and `POLICY_PARAMETER`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicySource {
    /// The rules themselves; none where neither variable is set.
    Inline(Arc<Policy>),
    /// The SSM parameter that holds them.
    Parameter(String),
}

/// The function's settings, from its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `KMS_KEY_ID`: the key that streams are to be encrypted with.
    pub key: KeyRef,
    /// `ENFORCEMENT_MODE`.
    pub mode: Mode,
    /// `FAILURE_QUEUE_URL`: the dead-letter queue.
    pub failure_queue_url: Option<String>,
    /// The work queue; without one, fan-out and deferral happen inside the invocation.
    pub work_queue: Option<WorkQueueSettings>,
    /// `OWN_ROLE_ARN`: the function's role, whose own successful calls are ignored, and whose
    /// account is the function's.
    pub own_role_arn: Option<String>,
    /// `ON_OTHER_KEY`.
    pub on_other_key: OnOtherKey,
    /// `ON_KEY_ROTATION`.
    pub on_key_rotation: OnKeyRotation,
    /// `IAC_GRACE_SECONDS`: how long a stream that infrastructure as code may still be busy with
    /// must have been quiet; zero switches it off.
    pub iac_grace: Duration,
    /// `EXEMPT_TAG_KEY`; `None` switches exemption by tag off.
    pub exempt_tag_key: Option<String>,
    /// The policy, or where it is to be read.
    pub policy: PolicySource,
    /// `MAX_APPLIES_PER_DAY`.
    pub max_applies_per_day: u32,
    /// `METRICS_NAMESPACE`.
    pub metrics_namespace: String,
    /// `OUTCOME_EVENT_BUS`: the bus that outcomes are told on, by name or ARN.
    pub outcome_event_bus: Option<String>,
    /// The accounts beside the own one whose streams are kept; none as a rule.
    pub members: Option<MemberAccounts>,
}

/// Everything that is wrong with the environment.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}", .0.join("; "))]
pub struct SettingsError(pub Vec<String>);

impl SettingsError {
    /// Whether nothing but the policy is wrong.
    #[must_use]
    pub fn is_policy(&self) -> bool {
        self.0.iter().all(|problem| problem.starts_with("POLICY"))
    }
}

impl Settings {
    /// Reads the settings; every problem is reported, not only the first.
    pub fn from_environment(environment: &Environment) -> Result<Self, SettingsError> {
        let mut problems = Vec::new();
        let key = match environment.get("KMS_KEY_ID") {
            None => Err(format!("KMS_KEY_ID is not set: it takes {}", KeyRef::EXPECTED)),
            Some(text) => KeyRef::configured(text).map_err(|problem| format!("KMS_KEY_ID: {problem}")),
        };
        let mode = choice(
            environment,
            "ENFORCEMENT_MODE",
            Mode::Enforce,
            &[("enforce", Mode::Enforce), ("audit", Mode::Audit)],
            &mut problems,
        );
        let on_other_key = choice(
            environment,
            "ON_OTHER_KEY",
            OnOtherKey::Replace,
            &[("replace", OnOtherKey::Replace), ("accept", OnOtherKey::Accept)],
            &mut problems,
        );
        let on_key_rotation = choice(
            environment,
            "ON_KEY_ROTATION",
            OnKeyRotation::Verify,
            &[("verify", OnKeyRotation::Verify), ("reapply", OnKeyRotation::Reapply)],
            &mut problems,
        );
        let iac_grace = number(environment, "IAC_GRACE_SECONDS", 0..=900, &mut problems)
            .map_or(DEFAULT_IAC_GRACE, Duration::from_secs);
        let max_receives =
            number(environment, "WORK_QUEUE_MAX_RECEIVES", 1..=1_000, &mut problems).unwrap_or(DEFAULT_MAX_RECEIVES);
        let max_applies_per_day =
            number(environment, "MAX_APPLIES_PER_DAY", 1..=25, &mut problems).unwrap_or(DEFAULT_MAX_APPLIES);
        let policy = policy(environment).unwrap_or_else(|problem| {
            problems.push(problem);
            PolicySource::Inline(Arc::default())
        });
        let members = members(environment).unwrap_or_else(|found| {
            problems.extend(found);
            None
        });
        let mut checked = |name: &str, is_right: fn(&str) -> bool, expected: &str| {
            let value = environment.get(name)?;
            if !is_right(value) {
                problems.push(format!("{name} is {value:?}: it takes {expected}"));
            }
            Some(value.to_owned())
        };
        let failure_queue_url = checked(
            "FAILURE_QUEUE_URL",
            is_queue_url,
            "the URL of an SQS queue: https://sqs.<region>.amazonaws.com/<account>/<name>",
        );
        let work_queue_url = checked(
            "WORK_QUEUE_URL",
            is_queue_url,
            "the URL of an SQS queue: https://sqs.<region>.amazonaws.com/<account>/<name>",
        );
        let own_role_arn = checked(
            "OWN_ROLE_ARN",
            |arn| role_account(arn).is_some(),
            "a role ARN: arn:aws:iam::<account>:role/<name>",
        );
        let metrics_namespace = checked(
            "METRICS_NAMESPACE",
            is_namespace,
            "1 to 255 characters of a-z, A-Z, 0-9, '.', '-', '_', '/', '#', ':' and ' '",
        );
        let outcome_event_bus =
            checked("OUTCOME_EVENT_BUS", is_bus, "the name or the ARN of an EventBridge event bus, such as default");
        let exempt_tag_key = match environment.get_even_empty("EXEMPT_TAG_KEY") {
            None => Some(DEFAULT_EXEMPT_TAG_KEY.to_owned()),
            Some("") => None,
            Some(_) => checked(
                "EXEMPT_TAG_KEY",
                |key| key.chars().count() <= 128 && !key.starts_with("aws:"),
                "a tag key of at most 128 characters that does not begin with aws:",
            ),
        };
        match key {
            Ok(key) if problems.is_empty() => Ok(Self {
                key,
                mode,
                failure_queue_url,
                work_queue: work_queue_url.map(|url| WorkQueueSettings { url, max_receives }),
                own_role_arn,
                on_other_key,
                on_key_rotation,
                iac_grace,
                exempt_tag_key,
                policy,
                max_applies_per_day,
                metrics_namespace: metrics_namespace.unwrap_or_else(|| DEFAULT_METRICS_NAMESPACE.to_owned()),
                outcome_event_bus,
                members,
            }),
            Ok(_) => Err(SettingsError(problems)),
            Err(problem) => {
                problems.insert(0, problem);
                Err(SettingsError(problems))
            }
        }
    }

    /// The account the function works in, where it is known: its role's.
    #[must_use]
    pub fn own_account(&self) -> Option<&str> {
        self.own_role_arn.as_deref().and_then(role_account)
    }

    /// The roles that the function acts with: its own, and those of the members.
    #[must_use]
    pub fn own_roles(&self) -> Vec<String> {
        let of_members =
            self.members.iter().flat_map(|members| members.accounts.iter().map(|account| members.role_in(account)));
        self.own_role_arn.iter().cloned().chain(of_members).collect()
    }
}

fn members(environment: &Environment) -> Result<Option<MemberAccounts>, Vec<String>> {
    MemberAccounts::read(MemberVariables {
        role_name: environment.get("MEMBER_ROLE_NAME"),
        accounts: environment.get("MEMBER_ACCOUNTS"),
        external_id: environment.get("MEMBER_EXTERNAL_ID"),
        own_role_arn: environment.get("OWN_ROLE_ARN"),
    })
}

fn policy(environment: &Environment) -> Result<PolicySource, String> {
    match (environment.get("POLICY"), environment.get("POLICY_PARAMETER")) {
        (None, None) => Ok(PolicySource::Inline(Arc::default())),
        (Some(_), Some(_)) => Err("POLICY and POLICY_PARAMETER are both set: set one of them".to_owned()),
        (Some(text), None) if text.len() > LARGEST_POLICY => Err(format!(
            "POLICY has {} bytes: it takes {LARGEST_POLICY}; keep a longer one in an SSM parameter, named by POLICY_PARAMETER",
            text.len()
        )),
        (Some(text), None) => match text.parse() {
            Ok(policy) => Ok(PolicySource::Inline(Arc::new(policy))),
            Err(invalid) => Err(format!("POLICY: {invalid}")),
        },
        (None, Some(name)) if is_parameter(name) => Ok(PolicySource::Parameter(name.to_owned())),
        (None, Some(name)) => Err(format!(
            "POLICY_PARAMETER is {name:?}: it takes the name of an SSM parameter, such as /kinesis/policy, or its ARN"
        )),
    }
}

fn is_bus(text: &str) -> bool {
    let part_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte);
    text.len() <= 1600
        && text.bytes().all(part_of_a_name)
        && (!text.contains(':') || text.starts_with("arn:") && text.contains(":event-bus/"))
}

fn is_parameter(text: &str) -> bool {
    let part_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/:".contains(&byte);
    let is_arn = text.starts_with("arn:");
    text.len() <= 2048
        && text.bytes().all(part_of_a_name)
        && (is_arn && text.contains(":parameter/") || !is_arn && !text.contains(':'))
}

fn choice<T: Copy>(
    environment: &Environment,
    name: &str,
    default: T,
    choices: &[(&str, T)],
    problems: &mut Vec<String>,
) -> T {
    let Some(found) = environment.get(name) else { return default };
    if let Some((_, value)) = choices.iter().find(|(text, _)| *text == found) {
        return *value;
    }
    let allowed: Vec<_> = choices.iter().map(|(text, _)| *text).collect();
    problems.push(format!("{name} is {found:?}: it takes {}", allowed.join(" or ")));
    default
}

fn number<T>(environment: &Environment, name: &str, range: RangeInclusive<T>, problems: &mut Vec<String>) -> Option<T>
where
    T: FromStr + PartialOrd + fmt::Display,
{
    let found = environment.get(name)?;
    let number = found.parse().ok().filter(|number| range.contains(number));
    if number.is_none() {
        problems.push(format!(
            "{name} is {found:?}: it takes a whole number from {} to {}",
            range.start(),
            range.end()
        ));
    }
    number
}

fn is_queue_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.and_then(|rest| rest.split_once('/')).is_some_and(|(host, path)| !host.is_empty() && !path.is_empty())
}

fn is_namespace(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#: ".contains(&byte);
    text.len() <= 255 && text.bytes().all(plain) && !text.starts_with(':')
}

/// The account in a role's ARN, `arn:aws:iam::111122223333:role/…`: IAM's ARNs have no Region.
fn role_account(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(6, ':');
    let head = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let (account, resource) = (parts.next()?, parts.next()?);
    let is_role = matches!(head, ("arn", partition, "iam", "") if partition.starts_with("aws"));
    (is_role && is_account(account) && resource.starts_with("role/")).then_some(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().fold(Environment::default(), |environment, (name, value)| environment.with(name, value))
    }

    fn problems(variables: &[(&str, &str)]) -> Vec<String> {
        Settings::from_environment(&environment(variables)).expect_err("refused").0
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
                members: None,
            }
        );
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
    fn the_environment_is_that_of_the_process() {
        // Cargo gives it to every test.
        assert_eq!(Environment::of_process().get("CARGO_MANIFEST_DIR"), Some(env!("CARGO_MANIFEST_DIR")));
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
    fn a_policy_is_inline_or_in_a_parameter_and_what_is_wrong_with_it_is_said() {
        for (name, value, says) in [
            ("POLICY", "{", "POLICY: $.? (line 1"),
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
            ["KMS_KEY_ID is not set: it takes a KMS key: a key ARN, a key id, an alias name (alias/…) or an alias ARN"]
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

    #[test]
    fn credentials_do_not_show_in_debug_output() {
        let environment = environment(&[("AWS_SECRET_ACCESS_KEY", "wJalr")]);
        assert_eq!(format!("{environment:?}"), r#"{"AWS_SECRET_ACCESS_KEY"}"#);
    }
}
