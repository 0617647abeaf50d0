//! Which key a stream must have, in which mode, and which streams are exempt. Pure.
//!
//! A [`Policy`] is an ordered list of rules; the first that matches decides, and the configured
//! default decides if none matches. The exemption tag takes precedence over every rule. A rule may
//! restrict what is configured, but not extend it: in audit mode and in a dry run, no rule
//! enforces.

mod date_like;
mod document;
mod exemption;
mod rule;
#[cfg(feature = "cli")]
mod schema;

use chrono::NaiveDate;

pub use self::document::{Invalid, Problem};
pub use self::exemption::{Exemption, exemption};
pub use self::rule::{Action, Conditions, Match, Mismatch, Pattern, Rule, Subject};
#[cfg(feature = "cli")]
pub use self::schema::schema;

use crate::domain::key::KeyRef;
use crate::domain::mode::{Mode, OnOtherKey};

/// An ordered list of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
}

impl Policy {
    /// The rules, in their order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether the rule of this name has `requireAccess`.
    #[cfg(feature = "cli")]
    #[must_use]
    pub fn requires_access(&self, rule: &str) -> bool {
        let rule = self.rules.iter().find(|other| other.name == rule);
        rule.is_some_and(|rule| matches!(rule.action, Action::Enforce { require_access: true, .. }))
    }
}

/// The policy, and the configured default for streams that no rule matches.
#[derive(Clone, Debug)]
pub struct EffectivePolicy {
    /// The rules.
    pub policy: std::sync::Arc<Policy>,
    /// `KMS_KEY_ID`.
    pub key: KeyRef,
    /// `ENFORCEMENT_MODE`.
    pub mode: Mode,
    /// `ON_OTHER_KEY`.
    pub on_other_key: OnOtherKey,
}

/// What is required of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirement<'p> {
    /// The name of the rule that decides; `None` for the configured default.
    pub rule: Option<&'p str>,
    /// The key that the stream must have.
    pub key: &'p KeyRef,
    /// Whether a non-compliant stream is encrypted or only reported.
    pub mode: Mode,
    /// What to do about another customer managed key.
    pub on_other_key: OnOtherKey,
    /// The exemption, if the rule exempts the stream.
    pub exempt: Option<RuleExemption<'p>>,
}

/// The exemption that a rule gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleExemption<'p> {
    /// Why the stream is exempt.
    pub reason: &'p str,
    /// Who is responsible for the exemption.
    pub owner: Option<&'p str>,
    /// The last day (UTC) of the exemption.
    pub until: Option<NaiveDate>,
}

/// The reason of an outcome that a tag exempts.
#[must_use]
pub fn exempt_by_tag(reason: &str, last_day: Option<NaiveDate>) -> String {
    format!("exempt by tag{}: {reason}", until(last_day))
}

fn until(last_day: Option<NaiveDate>) -> String {
    last_day.map(|day| format!(" until {day}")).unwrap_or_default()
}

impl RuleExemption<'_> {
    /// The reason of an outcome that `rule` exempts.
    #[must_use]
    pub fn because(&self, rule: &str) -> String {
        let ask = self.owner.map(|owner| format!(" (owner: {owner})")).unwrap_or_default();
        format!("exempt by rule {rule}{}: {}{ask}", until(self.until), self.reason)
    }
}

/// What the policy decides about a stream, by what is known of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyDecision<'p> {
    /// This is required of the stream.
    Requirement(Requirement<'p>),
    /// The decision depends on the stream's tags, which have not been read.
    NeedsTags {
        /// The rule with conditions on tags.
        rule: &'p str,
    },
    /// The decision depends on something that AWS did not return: the stream must not be changed.
    Undecided {
        /// The rule with a condition on it.
        rule: &'p str,
        /// What is unknown, in words.
        missing: &'static str,
    },
}

impl EffectivePolicy {
    /// What the policy decides about `subject`, and the expired exemptions before the rule that
    /// decides.
    #[must_use]
    pub fn rule_on(&self, subject: &Subject<'_>) -> (PolicyDecision<'_>, Vec<&Rule>) {
        let mut expired = Vec::new();
        for rule in self.policy.rules() {
            match rule.matches.of(subject) {
                Match::No(_) => {}
                Match::Yes if rule.has_expired(subject.today) => expired.push(rule),
                Match::Yes => return (PolicyDecision::Requirement(self.terms_of(rule)), expired),
                Match::NeedsTags => return (PolicyDecision::NeedsTags { rule: &rule.name }, expired),
                Match::Unknown(missing) => return (PolicyDecision::Undecided { rule: &rule.name, missing }, expired),
            }
        }
        (PolicyDecision::Requirement(self.default_terms()), expired)
    }

    /// The configured default.
    fn default_terms(&self) -> Requirement<'_> {
        Requirement { rule: None, key: &self.key, mode: self.mode, on_other_key: self.on_other_key, exempt: None }
    }

    fn terms_of<'p>(&'p self, rule: &'p Rule) -> Requirement<'p> {
        let default = Requirement { rule: Some(&rule.name), ..self.default_terms() };
        match &rule.action {
            Action::Enforce { key, on_other_key, audit, require_access: _ } => Requirement {
                key: key.as_ref().unwrap_or(default.key),
                // A rule may only restrict.
                mode: if *audit { Mode::Audit } else { default.mode },
                on_other_key: on_other_key.unwrap_or(default.on_other_key),
                ..default
            },
            Action::Exempt { reason, owner, until } => Requirement {
                exempt: Some(RuleExemption { reason, owner: owner.as_deref(), until: *until }),
                ..default
            },
        }
    }

    /// Every key that streams of `region` in `account` may have to have: the configured one first,
    /// then those of the rules, each once. Rules for other accounts or Regions are left out: their
    /// keys may not be readable here. If the account is not known, rules for any account count.
    #[must_use]
    pub fn keys_in(&self, account: Option<&str>, region: &str) -> Vec<&KeyRef> {
        let mut keys = vec![&self.key];
        for rule in self.policy.rules() {
            if let Action::Enforce { key: Some(key), .. } = &rule.action
                && rule.matches.may_hold_in(account, region)
                && !keys.contains(&key)
            {
                keys.push(key);
            }
        }
        keys
    }
}

#[cfg(test)]
mod tests;
