//! The conditions of a statement, for the calls that Kinesis makes to KMS for its callers.
//!
//! What Kinesis sends is known, and so is who calls; anything else that a condition may ask, such
//! as the caller's tags or the time, is not. Source: [AWS JSON policy elements: Condition
//! operators][operators], [AWS KMS condition keys][kms], [Permissions to use user-generated KMS
//! keys][context].
//!
//! [operators]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
//! [kms]: https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html
//! [context]: https://docs.aws.amazon.com/streams/latest/dev/permissions-user-key-KMS.html

use serde_json::Value;
use wildmatch::WildMatch;

use super::Question;
use super::truth::Truth;

/// The key of the encryption context that Kinesis sends with each call.
pub const CONTEXT_KEY: &str = "aws:kinesis:arn";

/// The values of a condition key in a request.
pub(super) enum Context {
    Values(Vec<String>),
    /// The request does not have the key.
    Absent,
    Unknown,
}

impl Question<'_> {
    /// What the request has for a condition key.
    pub(super) fn context(&self, key: &str) -> Context {
        let key = key.to_ascii_lowercase();
        let value = |text: &str| Context::Values(vec![text.to_owned()]);
        let of = |text: Option<String>| text.map_or(Context::Unknown, |text| Context::Values(vec![text]));
        if let Some(name) = key.strip_prefix("kms:encryptioncontext:") {
            return if name == CONTEXT_KEY { value(self.stream.as_str()) } else { Context::Absent };
        }
        match key.as_str() {
            "kms:viaservice" => of(via_service(self.stream.partition(), self.stream.region())),
            "kms:encryptioncontextkeys" => value(CONTEXT_KEY),
            "kms:calleraccount" | "aws:principalaccount" => of(self.principal.account().map(str::to_owned)),
            "aws:principalarn" => of(self.principal.arn()),
            "aws:requestedregion" => value(self.stream.region()),
            "aws:securetransport" => value("true"),
            // Kinesis accepts no other keys.
            "kms:keyspec" | "kms:customermasterkeyspec" => value("SYMMETRIC_DEFAULT"),
            "kms:keyusage" | "kms:customermasterkeyusage" => value("ENCRYPT_DECRYPT"),
            "kms:grantisforawsresource" => Context::Absent,
            _ => Context::Unknown,
        }
    }
}

/// The value of [`kms:ViaService`] in calls that Kinesis makes; `None` in a partition for which the
/// documentation does not say it.
///
/// [`kms:ViaService`]: https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service
#[must_use]
pub fn via_service(partition: &str, region: &str) -> Option<String> {
    matches!(partition, "aws" | "aws-us-gov").then(|| format!("kinesis.{region}.amazonaws.com"))
}

/// Whether the condition block of a statement is met. `substitutes` says whether the policy's
/// version has policy variables.
pub(super) fn is_met(block: &Value, question: &Question<'_>, substitutes: bool) -> Truth {
    let operators = match block {
        Value::Null => return Truth::True,
        Value::Object(operators) => operators,
        _ => return unreadable(),
    };
    Truth::all(operators.iter().flat_map(|(operator, keys)| {
        let keys = keys.as_object().cloned().unwrap_or_else(|| [(String::new(), Value::Null)].into_iter().collect());
        keys.into_iter().map(move |(key, values)| {
            let values = texts(&values);
            match values {
                Some(values) if !key.is_empty() && !values.is_empty() => {
                    one(operator, &key, &values, question, substitutes)
                }
                _ => unreadable(),
            }
        })
    }))
}

fn unreadable() -> Truth {
    Truth::Unknown("a condition cannot be read".to_owned())
}

/// A text or a list of texts; numbers and truth values count as their text.
fn texts(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    };
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        value => text(value).map(|text| vec![text]),
    }
}

/// How values are compared.
#[derive(Clone, Copy)]
enum Comparison {
    Equal,
    EqualIgnoringCase,
    Like,
    LikeArn,
}

/// How the operators begin that compare what no key of a known value has, in lower case.
const NOT_EVALUATED: [&str; 5] = ["numeric", "date", "binary", "ipaddress", "notipaddress"];

/// One operator on one key.
fn one(operator: &str, key: &str, values: &[String], question: &Question<'_>, substitutes: bool) -> Truth {
    let unknown = || Truth::Unknown(format!("a condition on {key} depends on the request"));
    let context = question.context(key);
    let (set, base) = match operator.split_once(':') {
        Some((set, base)) => (Some(set), base),
        None => (None, operator),
    };
    if !matches!(set, None | Some("ForAllValues" | "ForAnyValue")) {
        return unreadable();
    }
    if base.eq_ignore_ascii_case("Null") {
        if set.is_some() {
            return unreadable();
        }
        let is_absent = match context {
            Context::Values(_) => false,
            Context::Absent => true,
            Context::Unknown => return unknown(),
        };
        return Truth::any(values.iter().map(|value| match value.as_str() {
            "true" => is_absent.into(),
            "false" => (!is_absent).into(),
            _ => unreadable(),
        }));
    }
    let (base, if_exists) = match base.strip_suffix("IfExists") {
        Some(base) => (base, true),
        None => (base, false),
    };
    let base = base.to_ascii_lowercase();
    let comparison = match base.as_str() {
        "stringequals" => Some((Comparison::Equal, true)),
        "stringnotequals" => Some((Comparison::Equal, false)),
        "stringequalsignorecase" | "bool" => Some((Comparison::EqualIgnoringCase, true)),
        "stringnotequalsignorecase" => Some((Comparison::EqualIgnoringCase, false)),
        "stringlike" => Some((Comparison::Like, true)),
        "stringnotlike" => Some((Comparison::Like, false)),
        "arnequals" | "arnlike" => Some((Comparison::LikeArn, true)),
        "arnnotequals" | "arnnotlike" => Some((Comparison::LikeArn, false)),
        base if NOT_EVALUATED.iter().any(|kind| base.starts_with(kind)) => None,
        _ => return unreadable(),
    };
    if set.is_none() && key.eq_ignore_ascii_case("kms:EncryptionContextKeys") {
        return Truth::Unknown(format!("a condition compares the values of {key} without a set operator"));
    }
    let found = match context {
        Context::Unknown => return unknown(),
        // The set operator says false of a key that is not there, and the ending says true.
        Context::Absent if if_exists && set == Some("ForAnyValue") => return unknown(),
        Context::Absent if if_exists => return Truth::True,
        Context::Absent => {
            return match (set, comparison) {
                // A negated operator holds for a key that is not there, and all of no values fit.
                (Some("ForAllValues"), _) | (None, Some((_, false))) => Truth::True,
                (Some("ForAnyValue"), _) | (None, Some((_, true))) => Truth::False,
                _ => unknown(),
            };
        }
        Context::Values(found) => found,
    };
    let Some((comparison, positive)) = comparison else { return unknown() };
    let matches = |found: &String| {
        let any = Truth::any(values.iter().map(|value| match substitute(value, question, substitutes) {
            Some(pattern) => compare(comparison, &pattern, found),
            None => unknown(),
        }));
        if positive { any } else { !any }
    };
    match set {
        Some("ForAllValues") => Truth::all(found.iter().map(matches)),
        _ => Truth::any(found.iter().map(matches)),
    }
}

/// A character of a pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    Literal(char),
    /// `*` or `?` that may be a wildcard.
    Wild(char),
}

/// A value with its policy variables filled in; `None` if one of them is not known.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html>.
fn substitute(value: &str, question: &Question<'_>, substitutes: bool) -> Option<Vec<Piece>> {
    let wild =
        |character| if matches!(character, '*' | '?') { Piece::Wild(character) } else { Piece::Literal(character) };
    if !substitutes {
        return Some(value.chars().map(wild).collect());
    }
    let mut pieces = Vec::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}')?;
        pieces.extend(before.chars().map(wild));
        match (name, question.context(name)) {
            ("*" | "?" | "$", _) => pieces.extend(name.chars().map(Piece::Literal)),
            (_, Context::Values(found)) if found.len() == 1 => pieces.extend(found[0].chars().map(Piece::Literal)),
            _ => return None,
        }
        rest = after;
    }
    pieces.extend(rest.chars().map(wild));
    Some(pieces)
}

fn compare(comparison: Comparison, pattern: &[Piece], found: &str) -> Truth {
    let plain = || -> String {
        let character = |piece: &Piece| match piece {
            Piece::Literal(character) | Piece::Wild(character) => *character,
        };
        pattern.iter().map(character).collect()
    };
    match comparison {
        Comparison::Equal => (plain() == found).into(),
        Comparison::EqualIgnoringCase => (plain().to_lowercase() == found.to_lowercase()).into(),
        Comparison::Like => is_like(pattern, found).into(),
        Comparison::LikeArn => is_like_arn(pattern, found)
            .map_or_else(|| Truth::Unknown("a condition compares an ARN with something else".to_owned()), Truth::from),
    }
}

/// Whether an ARN matches the pattern, of which each of the six parts is compared by itself; `None`
/// if one of them is not an ARN.
fn is_like_arn(pattern: &[Piece], found: &str) -> Option<bool> {
    let parts: Vec<&[Piece]> = pattern.splitn(6, |piece| *piece == Piece::Literal(':')).collect();
    let found: Vec<&str> = found.splitn(6, ':').collect();
    (parts.len() == 6 && found.len() == 6)
        .then(|| parts.iter().zip(found).all(|(pattern, found)| is_like(pattern, found)))
}

/// Whether the `Resource` of a statement names `key`. Only the last part of an ARN may have policy
/// variables, by [the documentation][variables].
///
/// [variables]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
pub(super) fn is_resource(pattern: &str, key: &str, question: &Question<'_>, substitutes: bool) -> Truth {
    if pattern == "*" {
        return Truth::True;
    }
    let is_supported = pattern.split_once("${").is_none_or(|(before, _)| before.split(':').count() == 6);
    let pieces = is_supported.then(|| substitute(pattern, question, substitutes)).flatten();
    pieces
        .and_then(|pattern| is_like_arn(&pattern, key))
        .map_or_else(|| Truth::Unknown(format!("a statement is about the resource {pattern}")), Truth::from)
}

/// Whether `found` matches the pattern. A literal `*` or `?`, which only a policy variable can
/// bring in, stands for itself.
fn is_like(pattern: &[Piece], found: &str) -> bool {
    // `WildMatch` has no way to escape a wildcard, so literal ones stand as characters that no ARN
    // or name has.
    let stand_in = |character: char| match character {
        '*' => '\u{e000}',
        '?' => '\u{e001}',
        character => character,
    };
    let pattern: String = pattern
        .iter()
        .map(|piece| match piece {
            Piece::Literal(character) => stand_in(*character),
            Piece::Wild(character) => *character,
        })
        .collect();
    WildMatch::new(&pattern).matches(&found.chars().map(stand_in).collect::<String>())
}
