//! Regular expressions that stand where a pattern is meant, and the patterns that they could be.

use std::iter::Peekable;
use std::str::Chars;

/// How many patterns one regular expression may become.
const MOST: usize = 8;

/// How deep its groups may be nested, and how many bytes it may have. A regular expression that is
/// written for names and values of at most 256 characters stays far below both.
const DEEPEST: usize = 32;
const LONGEST: usize = 1_024;

/// How sure it is that a text is a regular expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    /// It has what no name and no pattern has.
    Certain,
    /// `orders.*` is a regular expression for what begins with `orders`, or a pattern for what
    /// begins with `orders.`.
    Possible,
}

/// Whether `text` looks like a regular expression. `.*` after a word may be a pattern.
pub(super) fn likeness(text: &str) -> Option<Likeness> {
    if text.contains(['^', '$', '\\', '|', '[', ']', '(', ')', '{', '}', '+']) {
        return Some(Likeness::Certain);
    }
    let mut likeness = None;
    for (at, _) in text.match_indices(".*") {
        if text[..at].ends_with(char::is_alphanumeric) {
            likeness = Some(Likeness::Possible);
        } else {
            return Some(Likeness::Certain);
        }
    }
    likeness
}

/// The patterns that match what the regular expression matches, or a little more. `None` if there
/// are too many, or if it cannot be read or is too long.
pub(super) fn patterns(text: &str) -> Option<Vec<String>> {
    if text.len() > LONGEST {
        return None;
    }
    let mut rest = text.chars().peekable();
    let mut found = alternatives(&mut rest, DEEPEST)?;
    if rest.next().is_some() {
        return None;
    }
    // With one anchor, the other end is open. Without any, people mean the whole name.
    let (start, end) = (text.starts_with('^'), text.ends_with('$'));
    for pattern in &mut found {
        if end && !start {
            pattern.insert(0, '*');
        } else if start && !end {
            pattern.push('*');
        }
        while pattern.contains("**") {
            *pattern = pattern.replace("**", "*");
        }
    }
    found.retain(|pattern| !pattern.is_empty());
    found.dedup();
    (!found.is_empty() && found.len() <= MOST).then_some(found)
}

/// What stands between `|`, up to the end of the group. `depth` is how many groups may be opened in
/// one another.
fn alternatives(rest: &mut Peekable<Chars<'_>>, depth: usize) -> Option<Vec<String>> {
    let mut found = sequence(rest, depth)?;
    while rest.next_if_eq(&'|').is_some() {
        found.extend(sequence(rest, depth)?);
    }
    Some(found)
}

fn sequence(rest: &mut Peekable<Chars<'_>>, depth: usize) -> Option<Vec<String>> {
    let mut found = vec![String::new()];
    while let Some(character) = rest.next_if(|next| !"|)".contains(*next)) {
        let atom = match character {
            '^' | '$' => continue,
            '(' => {
                if rest.next_if_eq(&'?').is_some() {
                    rest.next_if_eq(&':')?;
                }
                let inner = alternatives(rest, depth.checked_sub(1)?)?;
                rest.next_if_eq(&')')?;
                inner
            }
            '[' => {
                rest.find(|next| *next == ']')?;
                vec!["?".to_owned()]
            }
            '.' => vec!["?".to_owned()],
            '\\' => match rest.next()? {
                'd' | 'w' | 's' | 'D' | 'W' | 'S' => vec!["?".to_owned()],
                literal => vec![literal.to_string()],
            },
            '*' | '?' | '+' | '{' => return None,
            literal => vec![literal.to_string()],
        };
        let atom = repeated(atom, rest)?;
        found = found.iter().flat_map(|start| atom.iter().map(move |end| format!("{start}{end}"))).collect();
        if found.len() > MOST {
            return None;
        }
    }
    Some(found)
}

/// `atom` with what follows it: how often it is there.
fn repeated(atom: Vec<String>, rest: &mut Peekable<Chars<'_>>) -> Option<Vec<String>> {
    let Some(quantifier) = rest.next_if(|next| "*+?{".contains(*next)) else { return Some(atom) };
    if quantifier == '{' {
        rest.find(|next| *next == '}')?;
    }
    // `.*?` takes as little as it can: the same texts match.
    rest.next_if_eq(&'?');
    if quantifier == '?' {
        return Some(atom.into_iter().chain([String::new()]).collect());
    }
    Some(vec!["*".to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_expression_is_told_from_a_pattern() {
        for (text, expected) in [
            ("payments-.*", Some(Likeness::Certain)),
            (".*payments", Some(Likeness::Certain)),
            ("^a$", Some(Likeness::Certain)),
            ("a|b", Some(Likeness::Certain)),
            ("orders-\\d+", Some(Likeness::Certain)),
            ("payments.*", Some(Likeness::Possible)),
            ("payments-*", None),
            ("a.b-?", None),
        ] {
            assert_eq!(likeness(text), expected, "{text}");
        }
    }

    #[test]
    fn its_patterns_are_those_that_its_author_meant() {
        for (text, expected) in [
            ("payments-.*", &["payments-*"][..]),
            ("payments.*", &["payments*"]),
            (".*-eu", &["*-eu"]),
            ("^a$", &["a"]),
            ("^payments", &["payments*"]),
            ("-dev$", &["*-dev"]),
            ("a|b", &["a", "b"]),
            ("^(dev|test)-.+$", &["dev-*", "test-*"]),
            ("orders-[0-9]{2}", &["orders-*"]),
            ("orders-[ab]", &["orders-?"]),
            ("orders-\\d", &["orders-?"]),
            ("orders\\.eu", &["orders.eu"]),
            ("(?:a|b)c?", &["ac", "a", "bc", "b"]),
        ] {
            assert_eq!(patterns(text).as_deref().unwrap_or_default(), expected, "{text}");
        }
        let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(patterns(&nested(32)), Some(vec!["a".to_owned()]));
        for text in [nested(33), "(".repeat(200_000), format!("^{}", "a".repeat(200_000))] {
            assert_eq!(patterns(&text), None);
        }
        for text in ["(a", "a)", "[a", "*a", "(?i)a", "(a|b)(c|d)(e|f)(g|h)", "\\", ""] {
            assert_eq!(patterns(text), None, "{text}");
        }
    }
}
