//! Rules that are never reached, because the rules before them match all of their streams.
//!
//! What is said here is certain: where it cannot be decided, a rule counts as reached.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::glob::{Budget, is_covered, sample};
use crate::domain::stream::{StreamArn, StreamMode};
use crate::policy::{Action, Conditions, Match, Pattern, Policy, Rule, Subject};

/// How many combinations of an account, a Region and a capacity mode are looked at for one rule.
const MOST_CELLS: usize = 1_000;

/// A rule that is never reached.
pub(super) struct Shadowed {
    /// The rules, by their index, that match all of its streams.
    pub(super) by: Vec<usize>,
    /// Whether it has the same conditions in effect as the one rule in `by`.
    pub(super) is_equal: bool,
    /// A stream that it matches, and the index of the rule that decides.
    pub(super) example: Option<(Stream, usize)>,
}

/// A stream as an example.
pub(super) struct Stream {
    arn: StreamArn,
    mode: StreamMode,
    tags: Vec<(String, String)>,
}

/// The rules before `index` that together match every stream that the rule there matches, for ever;
/// `None` if there may be a stream that reaches it, or if `budget` is used up before that is found out.
pub(super) fn shadowed(policy: &Policy, index: usize, today: NaiveDate, budget: &mut Budget) -> Option<Shadowed> {
    if budget.is_used_up() {
        return None;
    }
    let (before, rule) = (&policy.rules()[..index], &policy.rules()[index]);
    // After its last day, an exemption no longer matches.
    let lasts = |rule: &Rule| !matches!(rule.action, Action::Exempt { until: Some(_), .. });
    let lasting: Vec<_> = (0..index).filter(|earlier| lasts(&before[*earlier])).collect();
    let conditions = |earlier: &usize| &before[*earlier].matches;
    let alone = lasting.iter().find(|earlier| covers(&[conditions(earlier)], &rule.matches, budget));
    let by = match alone {
        Some(alone) => vec![*alone],
        None => together(&lasting, &conditions, &rule.matches, budget)?,
    };
    let is_equal = matches!(by[..], [alone] if covers(&[&rule.matches], conditions(&alone), budget));
    let first = conditions(&by[0]);
    let example = Stream::in_both(&rule.matches, first).filter(|stream| stream.meets(&rule.matches, today));
    let example = example.and_then(|stream| {
        let decides = before.iter().position(|rule| !rule.has_expired(today) && stream.meets(&rule.matches, today))?;
        Some((stream, decides))
    });
    Some(Shadowed { by, is_equal, example })
}

/// Those of `earlier` that are needed to cover `later`.
fn together<'p>(
    earlier: &[usize],
    conditions: &impl Fn(&usize) -> &'p Conditions,
    later: &Conditions,
    budget: &mut Budget,
) -> Option<Vec<usize>> {
    let all = |indices: &[usize]| indices.iter().map(conditions).collect::<Vec<_>>();
    if earlier.len() < 2 || !covers(&all(earlier), later, budget) {
        return None;
    }
    let mut needed = earlier.to_vec();
    for index in earlier.iter().rev() {
        let without: Vec<_> = needed.iter().copied().filter(|other| other != index).collect();
        if covers(&all(&without), later, budget) {
            needed = without;
        }
    }
    Some(needed)
}

/// Whether every stream that meets `later` meets one of `earlier`. `false` also where `budget` is
/// used up before that is found out.
fn covers(earlier: &[&Conditions], later: &Conditions, budget: &mut Budget) -> bool {
    let values = |conditions: &&Conditions| {
        let Conditions { stream, account, region, stream_mode: _, tags } = conditions;
        1 + stream.len() + account.len() + region.len() + tags.values().map(Vec::len).sum::<usize>()
    };
    let work = earlier.iter().chain([&later]).map(values).sum();
    if !budget.spend(work) {
        return false;
    }
    // Each value of a condition that is named anywhere is looked at by itself, and with it one that
    // stands for all others, unless `later` allows only some.
    let values = |of: fn(&Conditions) -> &Vec<String>| -> Vec<Option<String>> {
        let own = of(later);
        if !own.is_empty() {
            return own.iter().cloned().map(Some).collect();
        }
        let named: BTreeSet<_> = earlier.iter().flat_map(|conditions| of(conditions)).cloned().collect();
        named.into_iter().map(Some).chain([None]).collect()
    };
    let (accounts, regions) = (values(|conditions| &conditions.account), values(|conditions| &conditions.region));
    // A mode that AWS adds later stands for all that are not named.
    let modes = match &later.stream_mode {
        Some(mode) => vec![mode.clone()],
        None => vec![StreamMode::Provisioned, StreamMode::OnDemand, StreamMode::Other(String::new())],
    };
    if accounts.len() * regions.len() * modes.len() > MOST_CELLS {
        return false;
    }
    let earlier: Vec<_> = earlier.iter().filter(|conditions| are_met(&conditions.tags, &later.tags, budget)).collect();
    accounts.iter().all(|account| {
        regions.iter().all(|region| {
            modes.iter().all(|mode| {
                if !budget.spend(work) {
                    return false;
                }
                let is_in = |list: &[String], value: &Option<String>| {
                    list.is_empty() || value.as_ref().is_some_and(|value| list.contains(value))
                };
                let here = earlier.iter().filter(|conditions| {
                    is_in(&conditions.account, account)
                        && is_in(&conditions.region, region)
                        && conditions.stream_mode.as_ref().is_none_or(|other| other == mode)
                });
                let names: Vec<_> = here.flat_map(|conditions| names(&conditions.stream)).collect();
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                self::names(&later.stream).iter().all(|name| is_covered(name, &names, 1, budget))
            })
        })
    })
}

/// The patterns of a stream's name; without a condition, the one that matches every name.
fn names(patterns: &[Pattern]) -> Vec<String> {
    if patterns.is_empty() { vec!["*".to_owned()] } else { texts(patterns) }
}

fn texts(patterns: &[Pattern]) -> Vec<String> {
    patterns.iter().map(ToString::to_string).collect()
}

/// Whether a stream that meets the conditions `given` on its tags meets `wanted`, too.
fn are_met(
    wanted: &BTreeMap<String, Vec<Pattern>>,
    given: &BTreeMap<String, Vec<Pattern>>,
    budget: &mut Budget,
) -> bool {
    wanted.iter().all(|(key, wanted)| {
        let wanted = texts(wanted);
        let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();
        let is_met = |given: &Vec<Pattern>| texts(given).iter().all(|value| is_covered(value, &wanted, 0, budget));
        given.get(key).is_some_and(is_met)
    })
}

impl Stream {
    /// A stream that meets `rule`, and where that leaves a choice, `other`.
    fn in_both(rule: &Conditions, other: &Conditions) -> Option<Self> {
        let first = |of: fn(&Conditions) -> &Vec<String>, or: &str| {
            of(rule)
                .iter()
                .find(|value| of(other).is_empty() || of(other).contains(value))
                .or(of(rule).first())
                .or(of(other).first())
                .cloned()
                .unwrap_or(or.to_owned())
        };
        let region = first(|conditions| &conditions.region, "us-east-1");
        let account = first(|conditions| &conditions.account, "111122223333");
        let narrower = if rule.stream.is_empty() { &other.stream } else { &rule.stream };
        let name = sample(&names(narrower)[0]).parse().ok()?;
        let mode = rule.stream_mode.as_ref().or(other.stream_mode.as_ref());
        let tags =
            rule.tags.iter().filter_map(|(key, values)| Some((key.clone(), sample(&values.first()?.to_string()))));
        Some(Self {
            arn: StreamArn::build(&region, &account, &name).ok()?,
            mode: mode.cloned().unwrap_or(StreamMode::Provisioned),
            tags: tags.collect(),
        })
    }

    fn meets(&self, conditions: &Conditions, today: NaiveDate) -> bool {
        let subject = Subject { stream: &self.arn, mode: Some(&self.mode), tags: Some(&self.tags), today };
        conditions.of(&subject) == Match::Yes
    }

    /// The stream's name, and what else `conditions` ask of it.
    pub(super) fn described(&self, conditions: &Conditions) -> String {
        let Conditions { stream: _, account, region, stream_mode, tags: _ } = conditions;
        let mut parts = vec![self.arn.name().to_owned()];
        if !account.is_empty() {
            parts.push(format!("of account {}", self.arn.account()));
        }
        if !region.is_empty() {
            parts.push(format!("in {}", self.arn.region()));
        }
        if stream_mode.is_some() {
            parts.push(format!("with capacity mode {}", self.mode.as_str()));
        }
        for (key, value) in &self.tags {
            parts.push(format!("with tag {key}={value}"));
        }
        parts.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, 24).unwrap_or_default()
    }

    fn policy(rules: &[Value]) -> Policy {
        let named = rules.iter().enumerate().map(|(index, rule)| {
            let mut rule = rule.clone();
            rule["name"] = index.to_string().into();
            rule
        });
        let policy = json!({"version": 1, "rules": named.collect::<Vec<_>>()}).to_string();
        policy.parse().unwrap_or_else(|invalid| unreachable!("{policy}: {invalid}"))
    }

    #[test]
    fn a_rule_is_shadowed_by_one_rule_or_by_several_together() {
        let stream = |pattern: &str| json!({"match": {"stream": pattern}});
        let exempt = |until: &str| json!({"match": {"stream": "a*"}, "mode": "exempt", "reason": "r", "until": until});
        let mode = |mode: &str| json!({"match": {"stream": "a*", "streamMode": mode}});
        let tag = |value: Value| json!({"match": {"tags": {"stage": value}}});
        let region = |region: Value| json!({"match": {"stream": "a*", "region": region}});
        for (rules, by) in [
            (vec![stream("vendor-*"), stream("vendor-pay-*")], Some(vec![0])),
            (vec![stream("vendor-pay-*"), stream("vendor-*")], None),
            (vec![stream("a*"), stream("a*")], Some(vec![0])),
            (vec![exempt("2027-01-01"), stream("a*")], None),
            (vec![json!({"match": {"stream": "a*"}, "mode": "exempt", "reason": "r"}), stream("a")], Some(vec![0])),
            // A capacity mode that AWS adds later would reach the last rule.
            (vec![mode("ON_DEMAND"), mode("PROVISIONED"), stream("a*")], None),
            (vec![stream("a*"), mode("ON_DEMAND")], Some(vec![0])),
            (vec![tag(json!(["dev", "test"])), tag(json!("dev"))], Some(vec![0])),
            (vec![tag(json!("*")), json!({"match": {"tags": {"stage": "dev", "team": "x"}}})], Some(vec![0])),
            (vec![tag(json!("dev")), stream("a")], None),
            (
                vec![region(json!("us-east-1")), region(json!("us-west-2")), region(json!(["us-east-1", "us-west-2"]))],
                Some(vec![0, 1]),
            ),
            (vec![region(json!("us-east-1")), region(json!("us-west-2")), stream("a*")], None),
            (vec![stream("a"), stream("a?*"), stream("b"), stream("a*")], Some(vec![0, 1])),
        ] {
            let policy = policy(&rules);
            let found = shadowed(&policy, rules.len() - 1, today(), &mut Budget::new());
            assert_eq!(found.as_ref().map(|found| found.by.clone()), by, "{rules:?}");
            if let Some(found) = found {
                assert!(found.example.is_some(), "{rules:?}");
            }
        }
    }

    #[test]
    fn an_example_has_what_the_rule_asks_for_and_names_the_rule_that_decides() {
        let policy = policy(&[
            json!({"match": {"region": ["us-east-1", "eu-west-1"]}}),
            json!({"match": {
                "stream": "pay-*", "account": "444455556666", "region": "eu-west-1", "streamMode": "ON_DEMAND",
                "tags": {"stage": ["dev"]},
            }}),
        ]);
        let found = shadowed(&policy, 1, today(), &mut Budget::new());
        let (stream, decides) = found.and_then(|found| found.example).unwrap_or_else(|| unreachable!());
        assert_eq!(decides, 0);
        assert_eq!(
            stream.described(&policy.rules()[1].matches),
            "pay-eu of account 444455556666 in eu-west-1 with capacity mode ON_DEMAND with tag stage=dev"
        );
    }

    /// Conditions out of few enough words that they meet often.
    fn any_rule() -> impl Strategy<Value = Value> {
        let pattern = prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "?"]), 1..4)
            .prop_map(|parts| parts.concat());
        let names = prop::option::weighted(0.8, prop::collection::vec(pattern, 1..3));
        let list = |words: &'static [&'static str]| {
            prop::option::weighted(0.4, prop::sample::subsequence(words.to_vec(), 1..=words.len()))
        };
        let mode = prop::option::weighted(0.3, prop::sample::select(vec!["PROVISIONED", "ON_DEMAND"]));
        let tag = prop::option::weighted(0.4, prop::sample::select(vec!["x", "y", "*", "?", "x*"]));
        let until = prop::option::weighted(0.2, prop::sample::select(vec!["2026-11-23", "2027-01-01"]));
        (names, list(&["111122223333", "444455556666"]), mode, tag, list(&["us-east-1", "eu-west-1"]), until).prop_map(
            |(names, accounts, mode, tag, regions, until)| {
                let mut conditions = json!({});
                // So that no rule matches every stream: behind it, the policy would be refused.
                conditions["region"] = regions.map_or(json!(["us-east-1", "eu-west-1", "us-west-2"]), Value::from);
                if let Some(names) = names {
                    conditions["stream"] = names.into();
                }
                if let Some(accounts) = accounts {
                    conditions["account"] = accounts.into();
                }
                if let Some(mode) = mode {
                    conditions["streamMode"] = mode.into();
                }
                if let Some(tag) = tag {
                    conditions["tags"] = json!({"t": tag});
                }
                match until {
                    Some(until) => json!({"match": conditions, "mode": "exempt", "reason": "r", "until": until}),
                    None => json!({"match": conditions}),
                }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn no_stream_reaches_a_rule_that_is_called_shadowed(rules in prop::collection::vec(any_rule(), 2..5)) {
            let policy = policy(&rules);
            let index = rules.len() - 1;
            let Some(found) = shadowed(&policy, index, today(), &mut Budget::new()) else { return Ok(()) };
            prop_assert!(found.by.iter().all(|by| *by < index));
            for name in ["a", "b", "c", "aa", "ab", "ba", "bb", "ac", "cb", "aaa", "aba", "bab", "abc", "bcb"] {
                for region in ["us-east-1", "eu-west-1", "us-west-2"] {
                    for account in ["111122223333", "444455556666", "777788889999"] {
                        for mode in [StreamMode::Provisioned, StreamMode::OnDemand, StreamMode::Other("NEW".to_owned())] {
                            for tags in [&[][..], &["x"], &["y"], &["xy"], &["zz"], &[""]] {
                                let arn = format!("arn:aws:kinesis:{region}:{account}:stream/{name}");
                                let stream = Stream {
                                    arn: arn.parse().unwrap_or_else(|_| unreachable!("{arn}")),
                                    mode: mode.clone(),
                                    tags: tags.iter().map(|value| ("t".to_owned(), (*value).to_owned())).collect(),
                                };
                                let lasts = |rule: &&Rule| !matches!(rule.action, Action::Exempt { until: Some(_), .. });
                                let mut lasting = policy.rules().iter().filter(lasts);
                                if stream.meets(&policy.rules()[index].matches, today()) {
                                    let first = lasting.find(|rule| stream.meets(&rule.matches, today()));
                                    prop_assert!(first.is_some_and(|rule| rule.name != index.to_string()), "{}", arn);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
