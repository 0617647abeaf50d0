//! One rule: which streams it matches, and what becomes of them.

use std::collections::BTreeMap;
use std::fmt;

use chrono::NaiveDate;
use wildmatch::WildMatch;

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
    /// What becomes of them.
    pub action: Action,
}

impl Rule {
    /// Whether it is an exemption whose last day is over.
    #[must_use]
    pub fn has_expired(&self, today: NaiveDate) -> bool {
        matches!(&self.action, Action::Exempt { until: Some(until), .. } if *until < today)
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

/// What becomes of the streams that a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// They are to have the key.
    Enforce {
        /// The key, in place of the configured one.
        key: Option<KeyRef>,
        /// What to make of another customer managed key, in place of the configured behaviour.
        on_other_key: Option<OnOtherKey>,
        /// Whether they are only judged.
        audit: bool,
    },
    /// They are left alone.
    Exempt {
        /// Why.
        reason: String,
        /// Whom to ask.
        owner: Option<String>,
        /// The last day (UTC) on which it holds.
        until: Option<NaiveDate>,
    },
}

/// A text with `*` for any characters, and `?` for any one.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern(WildMatch);

// Its text says all there is to it.
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

/// Which streams a rule matches: those for which every condition holds. A list holds if one of its
/// values does; an empty one is no condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Patterns of the stream's name.
    pub stream: Vec<Pattern>,
    /// The stream's account.
    pub account: Vec<String>,
    /// The stream's Region.
    pub region: Vec<String>,
    /// The stream's capacity mode.
    pub stream_mode: Option<StreamMode>,
    /// Tags that the stream has, each with a value of one of these patterns.
    pub tags: BTreeMap<String, Vec<Pattern>>,
}

/// What is known of a stream when a rule is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The stream.
    pub stream: &'a StreamArn,
    /// Its capacity mode, where it is known.
    pub mode: Option<&'a StreamMode>,
    /// Its tags, where they were read.
    pub tags: Option<&'a [(String, String)]>,
    /// The day (UTC), on which exemptions hold or have expired.
    pub today: NaiveDate,
}

/// Whether a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// It does.
    Yes,
    /// It does not, for this reason.
    No(Mismatch),
    /// Its other conditions hold; the tags have not been read.
    NeedsTags,
    /// It cannot be said: this is not known.
    Unknown(&'static str),
}

/// Which condition does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The condition's name.
    pub condition: String,
    /// What was found; `None` where there is nothing.
    pub found: Option<String>,
    /// What would have matched.
    pub wanted: Vec<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { condition, found, wanted } = self;
        match found {
            Some(found) => write!(f, "{condition} is {found}, not {}", wanted.join(" or ")),
            None => write!(f, "{condition} is missing, wanted is {}", wanted.join(" or ")),
        }
    }
}

impl Conditions {
    /// Whether a stream of `region` in `account` may be one for which they hold, going by these two
    /// alone. An account that is not known may be any.
    #[must_use]
    pub fn may_hold_in(&self, account: Option<&str>, region: &str) -> bool {
        let in_account =
            self.account.is_empty() || account.is_none_or(|account| self.account.iter().any(|other| other == account));
        in_account && (self.region.is_empty() || self.region.iter().any(|other| other == region))
    }

    /// Whether they hold for `subject`. What costs no call is looked at first.
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

    /// Whether every stream matches.
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
