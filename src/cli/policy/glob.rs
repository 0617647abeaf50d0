//! Patterns as sets of texts: whether some cover another, and a text that one matches.
//!
//! `*` stands for any characters, and `?` for any single one, as in [`crate::policy::Pattern`].

use std::collections::{BTreeSet, HashSet, VecDeque};

/// How much work the comparisons of one policy may cost: about a second, without optimisation.
const MOST_WORK: usize = 500_000;

/// How much of that is left, in positions of patterns that are looked at.
///
/// Comparing all rules takes time that grows with the square of their number, and comparing some
/// patterns takes more than anybody can wait for. 160 ordinary rules are compared completely.
pub(super) struct Budget(usize);

impl Budget {
    /// For one policy.
    pub(super) fn new() -> Self {
        Self(MOST_WORK)
    }

    /// Takes `work` from what is left. `false` if that is not enough, and from then on always.
    pub(super) fn spend(&mut self, work: usize) -> bool {
        self.0 = self.0.saturating_sub(work);
        !self.is_used_up()
    }

    /// Whether nothing is left, so that some comparisons were not made.
    pub(super) fn is_used_up(&self) -> bool {
        self.0 == 0
    }
}

/// Whether each text of at least `shortest` characters that `pattern` matches is matched by one of
/// `others`. `false` also where `budget` is used up before that is found out.
pub(super) fn is_covered(pattern: &str, others: &[&str], shortest: usize, budget: &mut Budget) -> bool {
    if !budget.spend(1 + others.len()) {
        return false;
    }
    // Most patterns begin differently, and then no text matches both.
    let others: Vec<_> =
        others.iter().filter(|other| may_meet(pattern, other)).map(|other| Pattern::of(other)).collect();
    let pattern = Pattern::of(pattern);
    if others.is_empty() {
        return pattern.0.len() < shortest && !pattern.0.contains(&Step::Any);
    }
    if !budget.spend(others.iter().map(|other| other.0.len()).sum()) {
        return false;
    }
    // What no pattern names is matched alike: one character stands for all of those.
    let named = others.iter().chain([&pattern]).flat_map(|pattern| &pattern.0).filter_map(|step| match step {
        Step::One(character) => Some(Some(*character)),
        Step::AnyOne | Step::Any => None,
    });
    let alphabet: BTreeSet<Option<char>> = named.chain([None]).collect();

    // The search for a text that only `pattern` matches: how far it has come in the pattern, how
    // far in each of the others, and the text's length as far as it matters.
    let start = (0, others.iter().map(|other| other.closed([0])).collect::<Vec<_>>(), 0);
    let mut seen = HashSet::from([start.clone()]);
    let mut open = VecDeque::from([start]);
    while let Some((at, reached, length)) = open.pop_front() {
        let is_matched = reached.iter().zip(&others).any(|(reached, other)| reached.contains(&other.0.len()));
        if !is_matched && length >= shortest && pattern.closed([at]).contains(&pattern.0.len()) {
            return false;
        }
        for character in &alphabet {
            let next: Vec<_> =
                others.iter().zip(&reached).map(|(other, reached)| other.after(reached, *character)).collect();
            if !budget.spend(1 + others.len() + next.iter().map(BTreeSet::len).sum::<usize>()) {
                return false;
            }
            for at in pattern.after(&pattern.closed([at]), *character) {
                let state = (at, next.clone(), (length + 1).min(shortest));
                if seen.insert(state.clone()) {
                    open.push_back(state);
                }
            }
        }
    }
    true
}

/// Whether a text may match both patterns, by what they begin with.
fn may_meet(one: &str, other: &str) -> bool {
    fn beginning(pattern: &str) -> &str {
        pattern.split(['*', '?']).next().unwrap_or_default()
    }
    let (one, other) = (beginning(one), beginning(other));
    one.starts_with(other) || other.starts_with(one)
}

/// A text that `pattern` matches, and that could be the name of a stream if the pattern allows it.
pub(super) fn sample(pattern: &str) -> String {
    let mut text = String::new();
    for (index, character) in pattern.chars().enumerate() {
        match character {
            '*' if index == 0 => text.push_str("orders"),
            '*' if text.ends_with(char::is_alphanumeric) => text.push_str("-eu"),
            '*' => text.push_str("eu"),
            '?' => text.push('1'),
            other => text.push(other),
        }
    }
    text
}

/// How many characters the shortest text has that `pattern` matches.
pub(super) fn shortest(pattern: &str) -> usize {
    pattern.chars().filter(|character| *character != '*').count()
}

#[derive(Clone, Copy, PartialEq)]
enum Step {
    One(char),
    AnyOne,
    Any,
}

/// The steps of a pattern. A position is the number of steps that are behind.
struct Pattern(Vec<Step>);

impl Pattern {
    fn of(text: &str) -> Self {
        let steps = text.chars().map(|character| match character {
            '*' => Step::Any,
            '?' => Step::AnyOne,
            other => Step::One(other),
        });
        let mut steps: Vec<_> = steps.collect();
        // `**` matches what `*` does.
        steps.dedup_by(|one, other| (*one, *other) == (Step::Any, Step::Any));
        Self(steps)
    }

    /// The positions, and those that can be reached from them without a character.
    fn closed(&self, positions: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
        let mut closed = BTreeSet::new();
        for mut position in positions {
            closed.insert(position);
            while self.0.get(position) == Some(&Step::Any) {
                position += 1;
                closed.insert(position);
            }
        }
        closed
    }

    /// The positions after `character`; `None` is one that no pattern names.
    fn after(&self, positions: &BTreeSet<usize>, character: Option<char>) -> BTreeSet<usize> {
        let moved = positions.iter().filter_map(|position| match self.0.get(*position)? {
            Step::Any => Some(*position),
            Step::AnyOne => Some(position + 1),
            Step::One(own) => (Some(*own) == character).then_some(position + 1),
        });
        self.closed(moved)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wildmatch::WildMatch;

    use super::*;

    #[test]
    fn patterns_cover_what_they_match_and_nothing_else() {
        for (pattern, others, shortest, covered) in [
            ("vendor-pay-*", &["vendor-*"][..], 1, true),
            ("vendor-*", &["vendor-pay-*"], 1, false),
            ("vendor-?", &["vendor-*"], 1, true),
            ("*", &["?*"], 1, true),
            ("*", &["?*"], 0, false),
            ("*", &["?", "??*"], 1, true),
            ("*-eu", &["a*", "*-eu"], 1, true),
            ("a*b", &["a*", "x"], 1, true),
            ("a?", &["aa", "ab"], 1, false),
            ("a*a", &["*a*a*"], 1, true),
            ("a*", &["*a*a*", "a"], 1, false),
            ("orders", &[], 1, false),
            ("", &[], 1, true),
            ("?", &["a"], 1, false),
            ("**", &["a"], 1, false),
            ("a***b", &["a**"], 1, true),
        ] {
            let found = is_covered(pattern, others, shortest, &mut Budget::new());
            assert_eq!(found, covered, "{pattern} {others:?} {shortest}");
        }
    }

    #[test]
    fn what_takes_too_long_to_decide_is_not_covered_and_nothing_is_after_it() {
        let many: Vec<_> = (0..60).map(|number| format!("*a{}b{number}*", "?".repeat(number))).collect();
        let many: Vec<_> = many.iter().map(String::as_str).chain(["*c*"]).collect();
        let mut budget = Budget::new();
        assert!(is_covered("ab", &["a*"], 1, &mut budget) && !budget.is_used_up());
        assert!(!is_covered("*c*", &many, 1, &mut budget) && budget.is_used_up());
        assert!(!is_covered("ab", &["a*"], 1, &mut budget));
    }

    #[test]
    fn a_sample_is_matched_by_its_pattern() {
        for pattern in ["payments-*", "*", "*-eu", "a?c", "payments*", "**", "?", "orders"] {
            let text = sample(pattern);
            assert!(
                WildMatch::new(pattern).matches(&text) && text.parse::<crate::domain::stream::StreamName>().is_ok()
            );
        }
    }

    /// Every text of up to `longest` of these characters.
    fn texts(longest: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut from = 0;
        for _ in 0..longest {
            let longer: Vec<_> =
                all[from..].iter().flat_map(|text| ["a", "b", "c"].map(|next| format!("{text}{next}"))).collect();
            from = all.len();
            all.extend(longer);
        }
        all
    }

    fn pattern() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "?"]), 0..5).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        // Two patterns of four steps differ, if at all, in a text of up to six characters here.
        #[test]
        fn patterns_are_covered_exactly_if_no_text_is_left_over(
            one in pattern(),
            others in prop::collection::vec(pattern(), 0..4),
            shortest in 0_usize..2,
        ) {
            let all = texts(6);
            let matches = |pattern: &str, text: &str| WildMatch::new(pattern).matches(text);
            let left_over = all.iter().find(|text| {
                text.len() >= shortest && matches(&one, text) && !others.iter().any(|other| matches(other, text))
            });
            let others: Vec<_> = others.iter().map(String::as_str).collect();
            let found = is_covered(&one, &others, shortest, &mut Budget::new());
            prop_assert_eq!(found, left_over.is_none(), "{:?}", left_over);
        }
    }
}
