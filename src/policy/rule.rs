//! One rule: which streams it matches, and what it requires of them.

use std::collections::BTreeMap;
use std::fmt;

use chrono::NaiveDate;
use wildmatch::WildMatch;

use super::date_like::looks_like_an_end;
use crate::domain::key::KeyRef;
use crate::domain::mode::OnOtherKey;
use crate::domain::outcome::Warning;
use crate::domain::stream::{StreamArn, StreamMode};

/// One rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, unique in the policy: outcomes, logs and dead letters show it.
    pub name: String,
    /// Which streams it matches.
    pub matches: Conditions,
    /// What it requires of them.
    pub action: Action,
}

impl Rule {
    /// Whether it is an exemption whose last day has passed.
    #[must_use]
    pub fn has_expired(&self, today: NaiveDate) -> bool {
        matches!(&self.action, Action::Exempt { until: Some(until), .. } if *until < today)
    }

    /// Whether it is an exemption without a last day whose reason mentions a date or an end. The
    /// reason is free text, so the exemption does not end then.
    #[must_use]
    pub fn has_end_only_in_reason(&self) -> bool {
        matches!(&self.action, Action::Exempt { until: None, reason, .. } if looks_like_an_end(reason))
    }

    /// The warning that this rule's exemption has expired.
    #[must_use]
    pub fn expired_warning(&self) -> Warning {
        let (reason, until) = match &self.action {
            Action::Exempt { reason, until, .. } => {
                (reason.clone(), until.map(|until| until.to_string()).unwrap_or_default())
            }
            Action::Enforce { .. } => (self.name.clone(), String::new()),
        };
        Warning::ExemptionExpired { reason, until }
    }
}

/// What a rule requires of the streams that it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// They must have the key.
    Enforce {
        /// The key, in place of the configured one.
        key: Option<KeyRef>,
        /// What to do about another customer managed key, in place of the configured behaviour.
        on_other_key: Option<OnOtherKey>,
        /// Whether non-compliant streams are only reported.
        audit: bool,
        /// Whether a person's `apply` holds a stream back unless its known users may use the key. The
        /// function does not ask IAM, and takes no account of it.
        require_access: bool,
    },
    /// Nothing: they are exempt.
    Exempt {
        /// Why they are exempt.
        reason: String,
        /// Who is responsible for the exemption.
        owner: Option<String>,
        /// The last day (UTC) of the exemption.
        until: Option<NaiveDate>,
    },
}

/// A text in which `*` stands for any characters, and `?` for any single one.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern(WildMatch);

// Two patterns are equal if their texts are.
impl Eq for Pattern {}

impl Pattern {
    /// The pattern `text`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(WildMatch::new(text))
    }

    fn matches(&self, text: &str) -> bool {
        self.0.matches(text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which streams a rule matches: those that meet every condition. A list is met if one of its
/// values matches; an empty list is not a condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Patterns of the stream's name.
    pub stream: Vec<Pattern>,
    /// Account ids, 12 digits each.
    pub account: Vec<String>,
    /// Regions, such as `us-east-1`.
    pub region: Vec<String>,
    /// The stream's capacity mode.
    pub stream_mode: Option<StreamMode>,
    /// Tag keys, each with the patterns of its value.
    pub tags: BTreeMap<String, Vec<Pattern>>,
}

/// What is known of a stream when the policy is evaluated.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The stream.
    pub stream: &'a StreamArn,
    /// Its capacity mode, if it is known.
    pub mode: Option<&'a StreamMode>,
    /// Its tags, if they were read.
    pub tags: Option<&'a [(String, String)]>,
    /// The day (UTC) of the evaluation, by which exemptions have expired or not.
    pub today: NaiveDate,
}

/// Whether a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// Every condition is met.
    Yes,
    /// This condition is not met.
    No(Mismatch),
    /// The other conditions are met, and the tags have not been read.
    NeedsTags,
    /// Unknown: this, in words, is not known of the stream.
    Unknown(&'static str),
}

/// The condition that is not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The condition: `stream`, `account`, `region`, `streamMode`, or `tag` and the tag's key.
    pub condition: String,
    /// The stream's value; `None` if it does not have the tag.
    pub found: Option<String>,
    /// The values or patterns of which one must match.
    pub wanted: Vec<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { condition, found, wanted } = self;
        match found {
            Some(found) => write!(f, "{condition} is {found}, not {}", wanted.join(" or ")),
            None => write!(f, "{condition} is missing, it must be {}", wanted.join(" or ")),
        }
    }
}

impl Conditions {
    /// Whether streams of `region` in `account` can meet the conditions on these two. An unknown
    /// account meets every condition.
    #[must_use]
    pub fn may_hold_in(&self, account: Option<&str>, region: &str) -> bool {
        let in_account =
            self.account.is_empty() || account.is_none_or(|account| self.account.iter().any(|other| other == account));
        in_account && (self.region.is_empty() || self.region.iter().any(|other| other == region))
    }

    /// Whether `subject` meets the conditions. Those that need no call are checked first.
    #[must_use]
    pub fn of(&self, subject: &Subject<'_>) -> Match {
        let Self { stream, account, region, stream_mode, tags } = self;
        let arn = subject.stream;
        let texts = |patterns: &[Pattern]| patterns.iter().map(Pattern::to_string).collect::<Vec<_>>();
        let no = |condition: &str, found: &str, wanted: Vec<String>| {
            Match::No(Mismatch { condition: condition.to_owned(), found: Some(found.to_owned()), wanted })
        };
        if !stream.is_empty() && !stream.iter().any(|pattern| pattern.matches(arn.name())) {
            return no("stream", arn.name(), texts(stream));
        }
        if !account.is_empty() && !account.iter().any(|account| account == arn.account()) {
            return no("account", arn.account(), account.clone());
        }
        if !region.is_empty() && !region.iter().any(|region| region == arn.region()) {
            return no("region", arn.region(), region.clone());
        }
        match (stream_mode, subject.mode) {
            (Some(wanted), Some(found)) if wanted != found => {
                return no("streamMode", found.as_str(), vec![wanted.as_str().to_owned()]);
            }
            (Some(_), None) => return Match::Unknown("its capacity mode"),
            _ => {}
        }
        if tags.is_empty() {
            return Match::Yes;
        }
        let Some(present) = subject.tags else { return Match::NeedsTags };
        for (key, patterns) in tags {
            let found = present.iter().find(|(name, _)| name == key).map(|(_, value)| value);
            if !found.is_some_and(|value| patterns.iter().any(|pattern| pattern.matches(value))) {
                return Match::No(Mismatch {
                    condition: format!("tag {key}"),
                    found: found.cloned(),
                    wanted: texts(patterns),
                });
            }
        }
        Match::Yes
    }

    /// Whether every stream meets the conditions.
    pub(super) fn hold_always(&self) -> bool {
        let any_name = self.stream.is_empty()
            || self.stream.iter().any(|pattern| pattern.to_string().chars().all(|character| character == '*'));
        any_name
            && self.account.is_empty()
            && self.region.is_empty()
            && self.stream_mode.is_none()
            && self.tags.is_empty()
    }
}
