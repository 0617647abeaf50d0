//! Which key a stream is to have, in which mode, and which streams are left alone. Pure.
//!
//! A [`Policy`] is an ordered list of rules; the first that matches decides, and the configured
//! default decides where none does. The exempt tag goes before every rule, and a rule may restrict
//! what is configured, never widen it: `ENFORCEMENT_MODE=audit` and a dry run are ceilings.

mod document;
mod exemption;
mod rule;

use chrono::NaiveDate;

#[cfg(feature = "cli")]
pub use self::document::schema;
pub use self::document::{Invalid, Problem};
pub use self::exemption::{Exemption, exemption};
pub use self::rule::{Action, Conditions, Match, Mismatch, Pattern, Rule, Subject};

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
}

/// The policy together with what holds where no rule matches.
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

/// What is to become of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirement<'p> {
    /// The rule that says so; `None` for the configured default.
    pub rule: Option<&'p str>,
    /// The key that it is to have.
    pub key: &'p KeyRef,
    /// Whether it is brought right, or only judged.
    pub mode: Mode,
    /// What to make of another customer managed key.
    pub on_other_key: OnOtherKey,
    /// Why it is left alone, if a rule says so.
    pub exempt: Option<RuleExemption<'p>>,
}

/// Why a rule leaves a stream alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleExemption<'p> {
    /// The reason.
    pub reason: &'p str,
    /// Whom to ask.
    pub owner: Option<&'p str>,
    /// The last day (UTC) on which it holds.
    pub until: Option<NaiveDate>,
}

/// Why a tag leaves a stream alone, as outcomes give it.
#[must_use]
pub fn exempt_by_tag(reason: &str, last_day: Option<NaiveDate>) -> String {
    format!("exempt by tag{}: {reason}", until(last_day))
}

fn until(last_day: Option<NaiveDate>) -> String {
    last_day.map(|day| format!(" until {day}")).unwrap_or_default()
}

impl RuleExemption<'_> {
    /// The reason, as outcomes give it.
    #[must_use]
    pub fn because(&self, rule: &str) -> String {
        let ask = self.owner.map(|owner| format!(" (owner: {owner})")).unwrap_or_default();
        format!("exempt by rule {rule}{}: {}{ask}", until(self.until), self.reason)
    }
}

/// What the rules say about a stream, as far as it is known. Exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyDecision<'p> {
    /// This becomes of it.
    Requirement(Requirement<'p>),
    /// It depends on the stream's tags, which have not been read.
    NeedsTags {
        /// The rule that asks for them.
        rule: &'p str,
    },
    /// It depends on something that AWS did not tell: the stream must not be touched.
    Undecided {
        /// The rule that asks for it.
        rule: &'p str,
        /// What is missing.
        missing: &'static str,
    },
}

impl EffectivePolicy {
    /// What the rules say about `subject`, and which exemptions would have matched but have
    /// expired.
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

    /// What holds where no rule matches.
    fn default_terms(&self) -> Requirement<'_> {
        Requirement { rule: None, key: &self.key, mode: self.mode, on_other_key: self.on_other_key, exempt: None }
    }

    fn terms_of<'p>(&'p self, rule: &'p Rule) -> Requirement<'p> {
        let default = Requirement { rule: Some(&rule.name), ..self.default_terms() };
        match &rule.action {
            Action::Enforce { key, on_other_key, audit } => Requirement {
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

    /// Every key that streams of `region` in `account` may be to have: the configured one first,
    /// then the rules', without repetitions. What a rule says of other accounts or Regions is left
    /// out: its key need not be one that can be looked at here. Where the account is not known, any
    /// may be meant.
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
