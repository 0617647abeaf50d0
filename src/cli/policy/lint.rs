//! What is valid in a policy, but cannot be what its author meant, or is worth attention. Each
//! finding has an example that shows it.

use std::iter::once;

use chrono::NaiveDate;
use wildmatch::WildMatch;

use super::glob::{Budget, is_covered, sample, shortest};
use super::reach::shadowed;
use super::regex::{self, Likeness};
use super::regions::{Named, named};
use crate::domain::arn::partition_of;
use crate::domain::failure::code::KEY_IN_OTHER_REGION;
use crate::domain::key::KeyRef;
use crate::domain::text::shorten;
use crate::policy::{Action, Conditions, Pattern, Policy, Rule};

/// The most characters of a stream's name, of [a tag's key and of its value][Tag].
///
/// [Tag]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Tag.html
const LONGEST_NAME: usize = 128;
const LONGEST_TAG_KEY: usize = 128;
const LONGEST_TAG_VALUE: usize = 256;

/// How much of a pattern a finding shows, in characters.
const SHOWN: usize = 60;

/// How sure it is that something is a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// A rule, or a part of one, has no effect, or cannot have the one that was meant.
    Warning,
    /// It may be as it was meant.
    Note,
}

/// Something that its author should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The index of the rule.
    pub(super) rule: usize,
    /// How sure it is that this is a mistake.
    pub(super) level: Level,
    /// What was found, and what to do.
    pub(super) what: String,
    /// What shows it.
    pub(super) example: Option<String>,
}

/// What was found in a policy.
pub(super) struct Findings {
    /// About the rules, in their order.
    pub(super) of_rules: Vec<Finding>,
    /// Whether all rules were compared with one another, and all patterns of a rule.
    pub(super) is_complete: bool,
}

/// Every finding about the rules. What takes too long to compare is left out.
pub(super) fn findings(policy: &Policy, today: NaiveDate) -> Findings {
    let names_have_dots = policy.rules().iter().flat_map(|rule| &rule.matches.stream).any(|pattern| {
        let pattern = pattern.to_string();
        pattern.matches('.').count() > pattern.matches(".*").count()
    });
    let mut budget = Budget::new();
    let mut of_rules = Vec::new();
    for (index, rule) in policy.rules().iter().enumerate() {
        let mut rule_findings = Rules { rule: index, found: Vec::new() };
        rule_findings.streams(&rule.matches, names_have_dots, &mut budget);
        rule_findings.regions(&rule.matches);
        rule_findings.tags(&rule.matches);
        rule_findings.key(rule);
        rule_findings.access(rule);
        rule_findings.reach(policy, index, today, &mut budget);
        rule_findings.exemption(rule, today);
        of_rules.extend(rule_findings.found);
    }
    Findings { of_rules, is_complete: !budget.is_used_up() }
}

/// The exemption's findings, for people who read about one rule.
pub(super) fn exemption(rule: &Rule, today: NaiveDate) -> Option<(Level, String)> {
    match &rule.action {
        Action::Exempt { until: None, reason, .. } if rule.has_end_only_in_reason() => Some((
            Level::Warning,
            format!("the reason {reason:?} seems to state an end, but the exemption has none: add one with \"until\""),
        )),
        Action::Exempt { until: None, .. } => {
            Some((Level::Note, "the exemption has no end date: add one with \"until\"".to_owned()))
        }
        Action::Exempt { until: Some(until), .. } if rule.has_expired(today) => {
            Some((Level::Note, format!("the exemption ended on {until}; the rules after it apply to its streams")))
        }
        Action::Exempt { .. } | Action::Enforce { .. } => None,
    }
}

/// The findings about one rule.
struct Rules {
    rule: usize,
    found: Vec<Finding>,
}

/// A value of a condition that can match nothing: why, and an example.
struct Dead {
    what: String,
    example: Option<String>,
}

impl Rules {
    fn push(&mut self, level: Level, what: String, example: Option<String>) {
        self.found.push(Finding { rule: self.rule, level, what, example });
    }

    fn warn(&mut self, what: String, example: Option<String>) {
        self.push(Level::Warning, what, example);
    }

    /// Warns of the values of a condition that can match nothing. If that is all of them, the rule
    /// matches no stream.
    fn dead(&mut self, dead: Vec<Dead>, values: usize) {
        let prefix = if dead.len() == values { "the rule matches no stream: " } else { "" };
        for Dead { what, example } in dead {
            self.warn(format!("{prefix}{what}"), example);
        }
    }

    fn streams(&mut self, conditions: &Conditions, names_have_dots: bool, budget: &mut Budget) {
        let patterns: Vec<_> = conditions.stream.iter().map(ToString::to_string).collect();
        let mut dead = Vec::new();
        for (index, pattern) in patterns.iter().enumerate() {
            let place = format!("{:?} in match.stream", shorten(pattern, SHOWN));
            let needed = shortest(pattern);
            if needed > LONGEST_NAME {
                let what = format!(
                    "{place} needs a name of at least {needed} characters; the name of a stream has at most {LONGEST_NAME}"
                );
                dead.push(Dead { what, example: None });
                continue;
            }
            match regex::likeness(pattern) {
                Some(Likeness::Certain) => self.warn(
                    format!(
                        "{place} looks like a regular expression; in a pattern, \".\" is a dot and \"*\" any characters"
                    ),
                    not_matched(pattern),
                ),
                Some(Likeness::Possible) if !names_have_dots => self.push(
                    Level::Note,
                    format!(
                        "{place} matches only names with a dot there; as a regular expression, it would match others"
                    ),
                    not_matched(pattern),
                ),
                Some(Likeness::Possible) | None => {}
            }
            if budget.is_used_up() {
                continue;
            }
            let wider = patterns.iter().enumerate().find(|(at, other)| {
                *at != index
                    && is_covered(pattern, &[other], 1, budget)
                    && (*at < index || !is_covered(other, &[pattern], 1, budget))
            });
            if let Some((_, wider)) = wider {
                self.push(
                    Level::Note,
                    format!("{place} adds nothing: {:?} matches the same names", shorten(wider, SHOWN)),
                    Some(format!("{} matches both", sample(pattern))),
                );
            }
        }
        self.dead(dead, patterns.len());
    }

    fn regions(&mut self, conditions: &Conditions) {
        let regions = &conditions.region;
        let mut dead = Vec::new();
        for region in regions {
            let place = format!("{region:?} in match.region");
            match named(region) {
                Named::Known => {}
                Named::Unknown => self.push(
                    Level::Note,
                    format!("{place} is not a Region that this version knows: check the spelling, unless it is new"),
                    None,
                ),
                Named::Zone(of) => dead.push(Dead {
                    what: format!("{place} is a zone, and a stream is in a Region: write {of:?}"),
                    example: Some(format!("the stream orders in {of} is not matched; with {of:?} it would be")),
                }),
                Named::Malformed(Some(meant)) => dead.push(Dead {
                    what: format!("{place} is not the name of a Region: did you mean {meant:?}?"),
                    example: Some(format!("the stream orders in {meant} is not matched; with {meant:?} it would be")),
                }),
                Named::Malformed(None) => dead.push(Dead {
                    what: format!("{place} is not the name of a Region: write a name such as \"us-east-1\""),
                    example: None,
                }),
            }
        }
        self.dead(dead, regions.len());
    }

    fn tags(&mut self, conditions: &Conditions) {
        for (key, values) in &conditions.tags {
            let shown = shorten(key, SHOWN);
            if key.is_empty() || key.chars().count() > LONGEST_TAG_KEY || !key.chars().all(is_in_tags) {
                let hint = if key.contains(['*', '?']) { "; patterns are for values only" } else { "" };
                let what = format!(
                    "the rule matches no stream: {shown:?} in match.tags cannot be the key of a tag{hint} (1 to {LONGEST_TAG_KEY} letters, digits, spaces and {IN_TAGS})"
                );
                self.warn(what, None);
                continue;
            }
            let mut dead = Vec::new();
            for value in values.iter().map(Pattern::to_string) {
                let place = format!("{:?} in match.tags.{shown}", shorten(&value, SHOWN));
                let is_regex = regex::likeness(&value) == Some(Likeness::Certain);
                if !value.chars().all(|character| is_in_tags(character) || "*?".contains(character)) {
                    let hint = if is_regex { " and looks like a regular expression" } else { "" };
                    let what = format!(
                        "{place} matches no tag{hint}: values have letters, digits, spaces and {IN_TAGS}, patterns also * and ?"
                    );
                    dead.push(Dead { what, example: not_matched(&value) });
                } else if shortest(&value) > LONGEST_TAG_VALUE {
                    let what = format!("{place} matches no tag: a value has at most {LONGEST_TAG_VALUE} characters");
                    dead.push(Dead { what, example: None });
                } else if is_regex && value.contains(".*") {
                    self.warn(
                        format!("{place} looks like a regular expression; in a pattern, \".\" is a dot and \"*\" any characters"),
                        not_matched(&value),
                    );
                }
            }
            self.dead(dead, values.len());
        }
    }

    fn key(&mut self, rule: &Rule) {
        let Action::Enforce { key: Some(key), .. } = &rule.action else { return };
        let (region, account) = match key {
            KeyRef::Arn(arn) => (arn.region(), arn.account()),
            KeyRef::AliasArn { region, account, .. } => (region.as_str(), account.as_str()),
            KeyRef::Id(_) | KeyRef::Alias(_) => return,
        };
        match named(region) {
            Named::Known | Named::Unknown => {}
            Named::Zone(of) | Named::Malformed(Some(of)) => {
                self.warn(format!("{region:?} in the ARN of the key is not a Region: did you mean {of:?}?"), None);
                return;
            }
            Named::Malformed(None) => {
                self.warn(format!("{region:?} in the ARN of the key is not the name of a Region"), None);
                return;
            }
        }
        let partition = key.as_str().split(':').nth(1).unwrap_or_default();
        if partition != partition_of(region) {
            let expected = partition_of(region);
            self.warn(format!("the ARN of the key says {partition:?}, but {region} is in {expected:?}"), None);
        }
        let Conditions { stream, account: accounts, region: regions, .. } = &rule.matches;
        let elsewhere: Vec<_> = regions.iter().filter(|other| *other != region).map(String::as_str).collect();
        if let Some(first) = elsewhere.first() {
            let pattern = stream.iter().map(ToString::to_string).find(|pattern| regex::likeness(pattern).is_none());
            let name = pattern.map(|pattern| format!("the stream {}", sample(&pattern)));
            let name = name.unwrap_or_else(|| "a stream".to_owned());
            let advice = if key.as_str().contains("/mrk-") { "its replica there" } else { "a key there" };
            self.warn(
                format!(
                    "the key is in {region}, but the rule matches streams in {}: a stream needs a key in its own Region",
                    elsewhere.join(" and ")
                ),
                Some(format!("{name} in {first} would fail with {KEY_IN_OTHER_REGION}: use {advice}")),
            );
        }
        let others: Vec<_> = accounts.iter().filter(|other| *other != account).map(String::as_str).collect();
        if !others.is_empty() {
            self.push(
                Level::Note,
                format!(
                    "the key is in account {account}, and the rule matches streams of {}: the key policy must allow producers and consumers there",
                    others.join(" and ")
                ),
                None,
            );
        }
    }

    fn access(&mut self, rule: &Rule) {
        match rule.action {
            Action::Enforce { require_access: true, audit: true, .. } => self.push(
                Level::Note,
                "requireAccess has no effect with mode audit, in which enforcer apply changes no stream".to_owned(),
                None,
            ),
            Action::Enforce { require_access: true, .. } => self.push(Level::Note, REQUIRE_ACCESS.to_owned(), None),
            Action::Enforce { .. } | Action::Exempt { .. } => {}
        }
    }

    fn reach(&mut self, policy: &Policy, index: usize, today: NaiveDate, budget: &mut Budget) {
        let Some(found) = shadowed(policy, index, today, budget) else { return };
        let name = |index: usize| format!("{:?}", policy.rules()[index].name);
        let names = found.by.iter().map(|index| name(*index)).collect::<Vec<_>>().join(" and ");
        let what = match found.by[..] {
            [_] if found.is_equal => {
                format!("the rule is never reached: the earlier rule {names} matches the same streams")
            }
            [_] => format!("the rule is never reached: the earlier rule {names} matches all of its streams"),
            _ => format!("the rule is never reached: the earlier rules {names} together match all of its streams"),
        };
        let example = found.example.map(|(stream, decides)| {
            let matches = &policy.rules()[index].matches;
            format!("the stream {} matches, but the rule {} decides", stream.described(matches), name(decides))
        });
        self.warn(what, example);
    }

    fn exemption(&mut self, rule: &Rule, today: NaiveDate) {
        if let Some((level, what)) = exemption(rule, today) {
            self.push(level, what, None);
        }
    }
}

/// What `requireAccess` does not do.
pub(super) const REQUIRE_ACCESS: &str =
    "requireAccess holds streams back only in enforcer apply: the function does not ask IAM, and encrypts them";

/// What a tag's key and value may have besides letters, digits and spaces.
const IN_TAGS: &str = "_ . : / = + - % @";

fn is_in_tags(character: char) -> bool {
    character.is_alphanumeric() || character.is_whitespace() || IN_TAGS.contains(character)
}

/// A text that the author of a regular expression probably meant, that it does not match as a
/// pattern; and the patterns that would.
pub(super) fn not_matched(regex: &str) -> Option<String> {
    let patterns = regex::patterns(regex)?;
    let text = once(sample(&patterns[0])).find(|text| !WildMatch::new(regex).matches(text))?;
    let written = match &patterns[..] {
        [one] => format!("{one:?}"),
        several => format!("{several:?}"),
    };
    Some(format!("{text} is not matched; with {written} it would be"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, 24).unwrap_or_default()
    }

    /// The findings about the last of the rules, one a line, each with its example.
    fn about_last(rules: Value) -> Vec<String> {
        let mut rules = rules;
        for (index, rule) in rules.as_array_mut().into_iter().flatten().enumerate() {
            rule["name"] = format!("rule {index}").into();
        }
        let policy = json!({"version": 1, "rules": rules}).to_string();
        let policy: Policy = policy.parse().unwrap_or_else(|invalid| unreachable!("{policy}: {invalid}"));
        let last = policy.rules().len() - 1;
        let found = findings(&policy, today()).of_rules.into_iter().filter(|finding| finding.rule == last);
        found
            .map(|Finding { level, what, example, .. }| {
                let example = example.map(|example| format!(" [{example}]")).unwrap_or_default();
                format!("{level:?}: {what}{example}")
            })
            .collect()
    }

    fn check(conditions: &Value, expected: &[&str]) {
        assert_eq!(about_last(json!([{"match": conditions}])), expected, "{conditions}");
    }

    #[test]
    fn a_pattern_that_is_a_regular_expression_is_named_with_what_it_does_not_match() {
        check(
            &json!({"stream": "payments-.*"}),
            &[
                "Warning: \"payments-.*\" in match.stream looks like a regular expression; in a pattern, \".\" is a dot \
               and \"*\" any characters [payments-eu is not matched; with \"payments-*\" it would be]",
            ],
        );
        check(
            &json!({"stream": "payments.*"}),
            &["Note: \"payments.*\" in match.stream matches only names with a dot there; as a regular expression, it \
               would match others [payments-eu is not matched; with \"payments*\" it would be]"],
        );
        // Names of this policy have dots.
        check(&json!({"stream": ["com.example.*", "app.*"]}), &[]);
        check(
            &json!({"stream": ["payments-*", "a?", "*"], "region": "us-east-1"}),
            &[
                "Note: \"payments-*\" in match.stream adds nothing: \"*\" matches the same names [payments-eu matches both]",
                "Note: \"a?\" in match.stream adds nothing: \"*\" matches the same names [a1 matches both]",
            ],
        );
    }

    #[test]
    fn a_value_that_no_stream_can_have_is_named() {
        let long = format!("{}*", "a".repeat(129));
        check(
            &json!({"stream": [long, "b"]}),
            &[&format!(
                "Warning: \"{}…\" in match.stream needs a name of at least 129 characters; the name of a stream has at most 128",
                "a".repeat(60)
            )],
        );
        check(
            &json!({"region": "us-east-1a"}),
            &["Warning: the rule matches no stream: \"us-east-1a\" in match.region is a zone, and a stream is in a \
               Region: write \"us-east-1\" [the stream orders in us-east-1 is not matched; with \"us-east-1\" it would be]"],
        );
        check(
            &json!({"region": ["eu-west1", "eu-west-1", "mars-1", "us-east-9"]}),
            &[
                "Note: \"us-east-9\" in match.region is not a Region that this version knows: check the spelling, unless \
                 it is new",
                "Warning: \"eu-west1\" in match.region is not the name of a Region: did you mean \"eu-west-1\"? [the \
                 stream orders in eu-west-1 is not matched; with \"eu-west-1\" it would be]",
                "Warning: \"mars-1\" in match.region is not the name of a Region: write a name such as \"us-east-1\"",
            ],
        );
        check(
            &json!({"tags": {"stage": ["dev|test", "prod"], "team": "a*", "path": "com.example.*"}}),
            &[
                "Warning: \"dev|test\" in match.tags.stage matches no tag and looks like a regular expression: values have \
               letters, digits, spaces and _ . : / = + - % @, patterns also * and ? [dev is not matched; with \
               [\"dev\", \"test\"] it would be]",
            ],
        );
        check(
            &json!({"tags": {"team*": "a", "long": "a".repeat(257)}}),
            &[
                &format!(
                    "Warning: the rule matches no stream: \"{}…\" in match.tags.long matches no tag: a value has at most \
                     256 characters",
                    "a".repeat(60)
                ),
                "Warning: the rule matches no stream: \"team*\" in match.tags cannot be the key of a tag; patterns are \
                 for values only (1 to 128 letters, digits, spaces and _ . : / = + - % @)",
            ],
        );
        check(
            &json!({"tags": {"stage": "dev-.*"}}),
            &[
                "Warning: \"dev-.*\" in match.tags.stage looks like a regular expression; in a pattern, \".\" is a dot and \
               \"*\" any characters [dev-eu is not matched; with \"dev-*\" it would be]",
            ],
        );
    }

    #[test]
    fn a_key_in_another_region_than_the_streams_is_named() {
        let about = |key: &str, conditions: Value| about_last(json!([{"match": conditions, "key": key}]));
        assert_eq!(
            about(KEY, json!({"stream": "a-*", "region": ["us-east-1", "eu-west-1"]})),
            [
                "Warning: the key is in eu-west-1, but the rule matches streams in us-east-1: a stream needs a key in its own \
              Region [the stream a-eu in us-east-1 would fail with KeyInOtherRegion: use a key there]"
            ]
        );
        let replica = "arn:aws:kms:eu-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";
        assert!(about(replica, json!({"region": "us-east-1"}))[0].ends_with("use its replica there]"));
        assert_eq!(about(KEY, json!({"stream": "a", "region": "eu-west-1", "account": "111122223333"})), [""; 0]);
        assert_eq!(about("alias/a", json!({"region": "us-east-1"})), [""; 0]);
        assert_eq!(
            about("arn:aws:kms:eu-west-1:111122223333:alias/a", json!({"account": ["444455556666", "111122223333"]})),
            [
                "Note: the key is in account 111122223333, and the rule matches streams of 444455556666: the key policy must \
              allow producers and consumers there"
            ]
        );
        assert_eq!(
            about(&KEY.replace("eu-west-1", "eu-west-1a"), json!({"stream": "a"})),
            ["Warning: \"eu-west-1a\" in the ARN of the key is not a Region: did you mean \"eu-west-1\"?"]
        );
        assert_eq!(
            about(&KEY.replace("eu-west-1", "cn-north-1"), json!({"stream": "a"})),
            ["Warning: the ARN of the key says \"aws\", but cn-north-1 is in \"aws-cn\""]
        );
    }

    #[test]
    fn a_rule_that_is_never_reached_is_named_with_a_stream_that_shows_it() {
        let vendor = json!({"match": {"stream": "vendor-*"}, "mode": "audit"});
        assert_eq!(
            about_last(json!([vendor, {"match": {"stream": "vendor-pay-*"}, "key": "alias/pay"}])),
            ["Warning: the rule is never reached: the earlier rule \"rule 0\" matches all of its streams [the stream \
              vendor-pay-eu matches, but the rule \"rule 0\" decides]"]
        );
        assert_eq!(
            about_last(json!([vendor, {"match": {"stream": "vendor-*"}}])),
            ["Warning: the rule is never reached: the earlier rule \"rule 0\" matches the same streams [the stream \
              vendor-eu matches, but the rule \"rule 0\" decides]"]
        );
        let region = |region: &str| json!({"match": {"stream": "a", "region": region}});
        assert_eq!(
            about_last(
                json!([region("us-east-1"), region("us-east-2"), {"match": {"stream": "a", "region": ["us-east-2", "us-east-1"]}}])
            ),
            [
                "Warning: the rule is never reached: the earlier rules \"rule 0\" and \"rule 1\" together match all of its \
              streams [the stream a in us-east-1 matches, but the rule \"rule 0\" decides]"
            ]
        );
    }

    /// A policy with a rule for each of these conditions.
    fn policy(conditions: impl Iterator<Item = Value>) -> Policy {
        let rules = conditions.enumerate().map(|(index, matches)| json!({"name": index.to_string(), "match": matches}));
        let policy = json!({"version": 1, "rules": rules.collect::<Vec<_>>()}).to_string();
        policy.parse().unwrap_or_else(|invalid| unreachable!("{policy}: {invalid}"))
    }

    #[test]
    fn ordinary_rules_are_all_compared_and_what_takes_too_long_is_not_called_unreachable() {
        let ordinary = |index: usize| json!({"stream": format!("team{}-{index}-*", index % 7), "region": "eu-west-1"});
        // Each needs a long search, and matches streams that no other does.
        let hard = |index: usize| json!({"stream": format!("*a{}b{index}*", "?".repeat(8 + index % 7))});
        let equal = |_| json!({"stream": "a*", "region": "eu-west-1"});
        let many: Vec<_> = (0..2_000).map(|index| format!("s{index}")).collect();
        let is_reach = |finding: &Finding| finding.what.contains("never reached");
        for (policy, is_complete, unreachable) in [
            (policy((0..160).map(ordinary)), true, 0..=0),
            (policy((0..160).map(hard)), false, 0..=0),
            (policy((0..160).map(equal)), true, 159..=159),
            (policy((0..5_000).map(equal)), false, 1..=4_999),
            (policy([json!({"stream": many})].into_iter()), false, 0..=0),
        ] {
            let found = findings(&policy, today());
            assert_eq!(found.is_complete, is_complete, "{:?}", policy.rules().first());
            assert!(unreachable.contains(&found.of_rules.iter().filter(|finding| is_reach(finding)).count()));
        }
    }

    #[test]
    fn an_exemption_that_does_not_end_as_its_reason_says_is_named() {
        let about = |reason: &str, until: Option<&str>| {
            let mut rule = json!({"match": {"stream": "a"}, "mode": "exempt", "reason": reason});
            if let Some(until) = until {
                rule["until"] = until.into();
            }
            about_last(json!([rule]))
        };
        assert_eq!(about("load test", Some("2026-11-24")), [""; 0]);
        assert_eq!(about("load test", None), ["Note: the exemption has no end date: add one with \"until\""]);
        assert!(about("until 2027-03-31", None)[0].starts_with("Warning: the reason \"until 2027-03-31\""));
        assert!(about("load test", Some("2026-11-23"))[0].starts_with("Note: the exemption ended on 2026-11-23"));
    }
}
