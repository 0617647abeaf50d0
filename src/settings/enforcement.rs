//! What is enforced: the key, the mode, the policy, and what holds the function back.

use std::sync::Arc;
use std::time::Duration;

use super::{Environment, Problem};
use crate::domain::key::KeyRef;
use crate::domain::mode::{Mode, OnOtherKey};
use crate::policy::Policy;

/// How long a young stream must have been ACTIVE and unchanged before the function changes it,
/// unless `IAC_GRACE_SECONDS` says otherwise.
pub const DEFAULT_IAC_GRACE: Duration = Duration::from_mins(1);

/// The most bytes that `POLICY` may have: Lambda gives [all variables together][limits] 4 KB.
///
/// [limits]: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
pub const LARGEST_POLICY: usize = 3072;

/// How often a key is applied to one stream in 24 hours before the stream counts as contested,
/// unless `MAX_APPLIES_PER_DAY` says otherwise.
pub const DEFAULT_MAX_APPLIES: u32 = 5;

/// The tag that exempts a stream, unless `EXEMPT_TAG_KEY` names another.
pub const DEFAULT_EXEMPT_TAG_KEY: &str = "kinesis-encryption-enforcer:exempt";

/// `ON_KEY_ROTATION`: what follows from the rotation of the configured key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnKeyRotation {
    /// Every stream is checked; one that has the key already is left as it is.
    Verify,
    /// The key is applied once more to every stream that has it.
    Reapply,
}

/// `POLICY` and `POLICY_PARAMETER`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicySource {
    /// The rules themselves; none where neither variable is set.
    Inline(Arc<Policy>),
    /// The name or the ARN of the SSM parameter that holds them.
    Parameter(String),
}

/// The variables of this group. The key is `None` only where there is a problem with it.
pub(super) struct Enforcement {
    pub(super) key: Option<KeyRef>,
    pub(super) mode: Mode,
    pub(super) on_other_key: OnOtherKey,
    pub(super) on_key_rotation: OnKeyRotation,
    pub(super) iac_grace: Duration,
    pub(super) exempt_tag_key: Option<String>,
    pub(super) policy: PolicySource,
    pub(super) max_applies_per_day: u32,
}

impl Enforcement {
    pub(super) fn read(environment: &Environment, problems: &mut Vec<Problem>) -> Self {
        Self {
            key: key(environment, problems),
            mode: environment.choice(
                "ENFORCEMENT_MODE",
                Mode::Enforce,
                &[("enforce", Mode::Enforce), ("audit", Mode::Audit)],
                problems,
            ),
            on_other_key: environment.choice(
                "ON_OTHER_KEY",
                OnOtherKey::Replace,
                &[("replace", OnOtherKey::Replace), ("accept", OnOtherKey::Accept)],
                problems,
            ),
            on_key_rotation: environment.choice(
                "ON_KEY_ROTATION",
                OnKeyRotation::Verify,
                &[("verify", OnKeyRotation::Verify), ("reapply", OnKeyRotation::Reapply)],
                problems,
            ),
            iac_grace: environment
                .number("IAC_GRACE_SECONDS", 0..=900, problems)
                .map_or(DEFAULT_IAC_GRACE, Duration::from_secs),
            exempt_tag_key: exempt_tag_key(environment, problems),
            policy: policy(environment).unwrap_or_else(|problem| {
                problems.push(Problem::Policy(problem));
                PolicySource::Inline(Arc::default())
            }),
            max_applies_per_day: environment
                .number("MAX_APPLIES_PER_DAY", 1..=25, problems)
                .unwrap_or(DEFAULT_MAX_APPLIES),
        }
    }
}

fn key(environment: &Environment, problems: &mut Vec<Problem>) -> Option<KeyRef> {
    const NAME: &str = "KMS_KEY_ID";
    let read = match environment.get(NAME) {
        None => Err(Problem::missing(NAME, &format!("set it to {}", KeyRef::EXPECTED))),
        Some(text) => KeyRef::configured(text).map_err(|why| Problem::variable(NAME, format!("cannot be used: {why}"))),
    };
    read.map_err(|problem| problems.push(problem)).ok()
}

fn exempt_tag_key(environment: &Environment, problems: &mut Vec<Problem>) -> Option<String> {
    const NAME: &str = "EXEMPT_TAG_KEY";
    match environment.get_even_empty(NAME) {
        None => Some(DEFAULT_EXEMPT_TAG_KEY.to_owned()),
        // Set to nothing, it turns the exemption by tag off.
        Some("") => None,
        Some(_) => environment.text(
            NAME,
            is_tag_key,
            "a tag key of at most 128 letters, digits, spaces and _ . : / = + - % @ that does not begin with aws: and \
             neither begins nor ends with a space, or empty to turn exemption by tag off",
            problems,
        ),
    }
}

/// [A tag's key][Tag]. One with a space at an end would be mistaken for another.
///
/// [Tag]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Tag.html
fn is_tag_key(text: &str) -> bool {
    let is_reserved = text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"));
    let plain = |char: char| char.is_alphanumeric() || "_.:/=+-%@ ".contains(char);
    text.chars().count() <= 128 && text.chars().all(plain) && text.trim() == text && !is_reserved
}

fn policy(environment: &Environment) -> Result<PolicySource, String> {
    match (environment.get("POLICY"), environment.get("POLICY_PARAMETER")) {
        (None, None) => Ok(PolicySource::Inline(Arc::default())),
        (Some(_), Some(_)) => Err("POLICY and POLICY_PARAMETER are both set: set only one of them".to_owned()),
        (Some(text), None) if text.len() > LARGEST_POLICY => Err(format!(
            "POLICY has {} bytes, at most {LARGEST_POLICY} are allowed: store a longer policy in an SSM parameter, and name that in POLICY_PARAMETER",
            text.len()
        )),
        (Some(text), None) => match text.parse() {
            Ok(policy) => Ok(PolicySource::Inline(Arc::new(policy))),
            Err(invalid) => Err(format!("POLICY: {invalid}")),
        },
        (None, Some(name)) if is_parameter(name) => Ok(PolicySource::Parameter(name.to_owned())),
        (None, Some(name)) => Err(format!(
            "POLICY_PARAMETER is {name:?}: it must be the name of an SSM parameter, such as /kinesis/policy, or its ARN"
        )),
    }
}

pub(super) fn is_parameter(text: &str) -> bool {
    let part_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/:".contains(&byte);
    let is_arn = text.starts_with("arn:");
    text.len() <= 2048
        && text.bytes().all(part_of_a_name)
        && (is_arn
            && text.contains(":ssm:")
            && text.split_once(":parameter/").is_some_and(|(_, name)| !name.is_empty())
            || !is_arn && !text.contains(':'))
}
