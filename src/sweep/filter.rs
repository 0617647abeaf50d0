//! Finds the streams of a sweep that need not be reconciled one by one: those that a tag or a rule
//! exempts, and those whose key is known to be unusable.
//!
//! Tags are read here for all streams at once, with [`GetResources`]. They may only spare work: a
//! stream without a tag here is reconciled like any other.
//!
//! [`GetResources`]: https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html

use std::collections::HashMap;

use chrono::NaiveDate;
use tokio::time::Instant;

use crate::aws::tagging::Tagging;
use crate::domain::key::KeyRef;
use crate::domain::outcome::{Outcome, Status, Warning};
use crate::domain::stream::StreamRef;
use crate::policy::{EffectivePolicy, Exemption, PolicyDecision, Requirement, Subject, exempt_by_tag, exemption};

/// What is known about an account's streams before they are reconciled.
#[derive(Debug)]
pub struct SweepFilter<'a> {
    by_tag: HashMap<String, (String, Option<NaiveDate>)>,
    rules: &'a EffectivePolicy,
    unusable: &'a [&'a KeyRef],
    today: NaiveDate,
}

/// What a sweep does with a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prefilter {
    /// It is reconciled.
    Reconcile,
    /// It is exempt.
    Exempt(Box<Outcome>),
    /// It is skipped: its key is unusable, which was reported once for all streams.
    LeaveOut,
}

impl<'a> SweepFilter<'a> {
    /// Reads the exempt streams. If that fails, the tags of each stream decide when it is
    /// reconciled. `unusable` are the keys that were reported already.
    pub async fn read(
        tagging: &Tagging,
        tag_key: Option<&str>,
        rules: &'a EffectivePolicy,
        unusable: &'a [&'a KeyRef],
        today: NaiveDate,
        deadline: Instant,
    ) -> Self {
        let mut by_tag = HashMap::new();
        if let Some(tag_key) = tag_key {
            match tagging.streams_with(tag_key, deadline).await {
                Ok(streams) => by_tag.extend(streams.into_iter().filter_map(|(arn, tags)| {
                    match exemption(&tags, tag_key, today) {
                        Exemption::Exempt { reason, until } => Some((arn.name().to_owned(), (reason, until))),
                        // Expired, malformed or missing: found out and reported when the stream is
                        // reconciled.
                        _ => None,
                    }
                })),
                Err(error) => {
                    tracing::warn!(
                        code = error.failure.code,
                        error = %error.failure,
                        "exempt streams could not be listed, the tags of each stream are read instead"
                    );
                }
            }
        }
        Self { by_tag, rules, unusable, today }
    }

    /// What to do with `stream`.
    #[must_use]
    pub fn of(&self, stream: &StreamRef) -> Prefilter {
        if let Some((reason, until)) = self.by_tag.get(stream.name()) {
            return self.exempt(stream, exempt_by_tag(reason, *until), *until, None);
        }
        let StreamRef::Arn(arn) = stream else { return Prefilter::Reconcile };
        let subject = Subject { stream: arn, mode: None, tags: None, today: self.today };
        match self.rules.rule_on(&subject).0 {
            PolicyDecision::Requirement(Requirement { exempt: Some(leave), rule: Some(rule), .. }) => {
                self.exempt(stream, leave.because(rule), leave.until, Some(rule))
            }
            PolicyDecision::Requirement(Requirement { key, .. }) if self.unusable.contains(&key) => Prefilter::LeaveOut,
            PolicyDecision::Requirement(_) | PolicyDecision::NeedsTags { .. } | PolicyDecision::Undecided { .. } => {
                Prefilter::Reconcile
            }
        }
    }

    fn exempt(&self, stream: &StreamRef, reason: String, until: Option<NaiveDate>, rule: Option<&str>) -> Prefilter {
        let outcome = Outcome::new(Some(stream.to_string()), Status::Exempt, reason, self.rules.mode);
        let warnings = until.is_none().then_some(Warning::ExemptionWithoutEnd).into_iter().collect();
        Prefilter::Exempt(Box::new(Outcome { warnings, rule: rule.map(str::to_owned), ..outcome }))
    }
}
