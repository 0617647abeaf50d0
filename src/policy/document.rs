//! A policy as it is written: JSON, checked field by field, every problem with its place.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use thiserror::Error;

use super::Policy;
use super::exemption::day;
use super::rule::{Action, Conditions, Pattern, Rule};
use crate::domain::arn::{is_account, is_region};
use crate::domain::key::KeyRef;
use crate::domain::mode::OnOtherKey;
use crate::domain::stream::StreamMode;

/// Something that is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, as a JSON path: `$.rules[1].key`.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What was found, and what is allowed.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column, what } = self;
        write!(f, "{path} (line {line}, column {column}): {what}")
    }
}

/// Everything that is wrong with a policy: one problem of each rule at a time.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Invalid(pub Vec<Problem>);

/// The version of the format.
const VERSION: u64 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a policy: an object with version and rules")]
struct Outer<'a> {
    version: u64,
    #[serde(borrow)]
    rules: Vec<&'a RawValue>,
    #[serde(rename = "$schema")]
    _schema: Option<String>,
}

/// One rule.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "cli", schemars(rename = "Rule"))]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a rule: an object with name and match")]
struct RuleText {
    /// Unique in the policy: outcomes, logs and dead letters show it.
    #[cfg_attr(feature = "cli", schemars(length(min = 1, max = 64)))]
    name: String,
    /// Which streams the rule matches: those for which every condition holds. {} matches every
    /// stream.
    #[serde(rename = "match")]
    matches: MatchText,
    /// enforce (default): the streams are to have the key. audit: they are only judged. exempt:
    /// they are left alone.
    #[serde(default)]
    mode: ModeText,
    /// The key that the streams are to have, in place of the configured one: a key ARN, a key id,
    /// an alias name or an alias ARN.
    #[serde(default, deserialize_with = "parsed")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    key: Option<Key>,
    /// What to make of another customer managed key, in place of the configured behaviour.
    on_other_key: Option<OnOtherKeyText>,
    /// Why the streams are exempt. Needed with mode exempt, and only there.
    #[cfg_attr(feature = "cli", schemars(length(min = 1)))]
    reason: Option<String>,
    /// Whom to ask about the exemption.
    owner: Option<String>,
    /// The last day (UTC) on which the exemption holds: YYYY-MM-DD.
    #[serde(default, deserialize_with = "parsed")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>", regex(pattern = r"^\d{4}-\d{2}-\d{2}$")))]
    until: Option<Date>,
}

/// Conditions: all of them must hold.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "cli", schemars(rename = "Match"))]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "an object with stream, account, region, streamMode or tags"
)]
struct MatchText {
    /// Patterns of the stream's name: * stands for any characters, ? for one.
    #[serde(default)]
    stream: OneOrMore,
    /// Accounts, of 12 digits each.
    #[serde(default)]
    account: OneOrMore,
    /// Regions, such as us-east-1.
    #[serde(default)]
    region: OneOrMore,
    /// The stream's capacity mode.
    stream_mode: Option<StreamModeText>,
    /// Tags that the stream has, each with a pattern, or patterns, of its value.
    #[serde(default)]
    tags: BTreeMap<String, OneOrMore>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "cli", schemars(rename = "Mode", inline))]
#[serde(rename_all = "lowercase")]
enum ModeText {
    #[default]
    Enforce,
    Audit,
    Exempt,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "cli", schemars(rename = "OnOtherKey", inline))]
#[serde(rename_all = "lowercase")]
enum OnOtherKeyText {
    Replace,
    Accept,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "cli", schemars(rename = "StreamMode", inline))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum StreamModeText {
    Provisioned,
    OnDemand,
}

/// One text, or a list of at least one.
#[derive(Debug, Default)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "cli", schemars(untagged, inline))]
enum OneOrMore {
    #[default]
    #[cfg_attr(feature = "cli", schemars(skip))]
    None,
    One(#[cfg_attr(feature = "cli", schemars(length(min = 1)))] String),
    More(#[cfg_attr(feature = "cli", schemars(length(min = 1)))] Vec<String>),
}

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = OneOrMore;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of at least one text")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<OneOrMore, E> {
                if text.is_empty() {
                    return Err(E::invalid_value(serde::de::Unexpected::Str(text), &self));
                }
                Ok(OneOrMore::One(text.to_owned()))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut texts: A) -> Result<OneOrMore, A::Error> {
                let mut found = Vec::new();
                while let Some(text) = texts.next_element::<String>()? {
                    if text.is_empty() {
                        return Err(A::Error::invalid_value(
                            serde::de::Unexpected::Str(&text),
                            &"a text that is not empty",
                        ));
                    }
                    found.push(text);
                }
                if found.is_empty() {
                    return Err(A::Error::invalid_length(
                        0,
                        &"at least one text; leave the condition out to match everything",
                    ));
                }
                Ok(OneOrMore::More(found))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl OneOrMore {
    fn texts(self) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::One(text) => vec![text],
            Self::More(texts) => texts,
        }
    }

    fn patterns(self) -> Vec<Pattern> {
        self.texts().iter().map(|text| Pattern::new(text)).collect()
    }
}

/// A key as a rule may name it.
#[derive(Debug)]
struct Key(KeyRef);

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        KeyRef::configured(text).map(Self)
    }
}

#[derive(Debug)]
struct Date(NaiveDate);

impl FromStr for Date {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        day(text).map(Self).ok_or_else(|| format!("{text:?} is no date; write YYYY-MM-DD"))
    }
}

fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

impl FromStr for Policy {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let outer: Outer<'_> = typed(text, 0, text, "$").map_err(|problem| Invalid(vec![problem]))?;
        if outer.version != VERSION {
            let what = format!("version is {}: this program knows version {VERSION}", outer.version);
            return Err(Invalid(vec![problem(text, text.find("\"version\"").unwrap_or(0), "$.version", what)]));
        }
        let mut rules: Vec<Rule> = Vec::new();
        let mut problems = Vec::new();
        let mut after_everything: Option<String> = None;
        for (index, raw) in outer.rules.into_iter().enumerate() {
            let path = format!("$.rules[{index}]");
            let offset = raw.get().as_ptr() as usize - text.as_ptr() as usize;
            let read = typed::<RuleText>(raw.get(), offset, text, &path);
            let checked = read.and_then(|rule| {
                rule.checked().map_err(|(field, what)| problem(text, offset, &format!("{path}.{field}"), what))
            });
            let rule = match checked {
                Ok(rule) => rule,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            if rules.iter().any(|other| other.name == rule.name) {
                let what = format!(
                    "another rule is called {:?}, too: outcomes could not say which of them decided",
                    rule.name
                );
                problems.push(problem(text, offset, &format!("{path}.name"), what));
            }
            if let Some(before) = &after_everything {
                let what =
                    format!("rule {:?} is never reached: rule {before:?} before it matches every stream", rule.name);
                problems.push(problem(text, offset, &path, what));
            }
            let ends = matches!(&rule.action, Action::Exempt { until: Some(_), .. });
            if rule.matches.hold_always() && !ends {
                after_everything.get_or_insert(rule.name.clone());
            }
            rules.push(rule);
        }
        if problems.is_empty() { Ok(Self { rules }) } else { Err(Invalid(problems)) }
    }
}

impl RuleText {
    /// The rule, or the field that is wrong and what is wrong with it.
    fn checked(self) -> Result<Rule, (&'static str, String)> {
        let Self { name, matches, mode, key, on_other_key, reason, owner, until } = self;
        if name.is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
            return Err(("name", format!("{name:?} is no name: it takes 1 to 64 characters")));
        }
        let matches = matches.checked()?;
        let misplaced = |field, is_there: bool, belongs: &str| {
            if is_there {
                Err((field, format!("{field} belongs to {belongs}; this rule's mode is {}", mode.as_str())))
            } else {
                Ok(())
            }
        };
        let action = if mode == ModeText::Exempt {
            misplaced("key", key.is_some(), "the modes enforce and audit")?;
            misplaced("onOtherKey", on_other_key.is_some(), "the modes enforce and audit")?;
            let reason = reason.filter(|reason| !reason.trim().is_empty());
            let reason =
                reason.ok_or(("reason", "an exemption needs a reason: it is what the auditor reads".to_owned()))?;
            Action::Exempt { reason, owner, until: until.map(|Date(date)| date) }
        } else {
            misplaced("reason", reason.is_some(), "the mode exempt")?;
            misplaced("owner", owner.is_some(), "the mode exempt")?;
            misplaced("until", until.is_some(), "the mode exempt")?;
            Action::Enforce {
                key: key.map(|Key(key)| key),
                on_other_key: on_other_key.map(|word| match word {
                    OnOtherKeyText::Replace => OnOtherKey::Replace,
                    OnOtherKeyText::Accept => OnOtherKey::Accept,
                }),
                audit: mode == ModeText::Audit,
            }
        };
        Ok(Rule { name, matches, action })
    }
}

impl ModeText {
    fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Audit => "audit",
            Self::Exempt => "exempt",
        }
    }
}

impl MatchText {
    fn checked(self) -> Result<Conditions, (&'static str, String)> {
        let Self { stream, account, region, stream_mode, tags } = self;
        let (stream, account, region) = (stream.texts(), account.texts(), region.texts());
        let part_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-*?".contains(&byte);
        if let Some(wrong) = stream.iter().find(|pattern| !pattern.bytes().all(part_of_a_name)) {
            let what = format!(
                "{wrong:?} matches no stream: names have a-z, A-Z, 0-9, '_', '.' and '-', patterns also '*' and '?'"
            );
            return Err(("match.stream", what));
        }
        if let Some(wrong) = account.iter().find(|account| !is_account(account)) {
            return Err(("match.account", format!("{wrong:?} is no account: it has 12 digits")));
        }
        if let Some(wrong) = region.iter().find(|region| !is_region(region)) {
            return Err(("match.region", format!("{wrong:?} is no Region: one is us-east-1")));
        }
        Ok(Conditions {
            stream: stream.iter().map(|pattern| Pattern::new(pattern)).collect(),
            account,
            region,
            stream_mode: stream_mode.map(|mode| match mode {
                StreamModeText::Provisioned => StreamMode::Provisioned,
                StreamModeText::OnDemand => StreamMode::OnDemand,
            }),
            tags: tags.into_iter().map(|(key, values)| (key, values.patterns())).collect(),
        })
    }
}

/// Reads `part`, which begins at `offset` of `text` and is found at `path`.
fn typed<'a, T: Deserialize<'a>>(part: &'a str, offset: usize, text: &str, path: &str) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_str(part);
    let read = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let inside = error.path().to_string();
        let path = if inside == "." { path.to_owned() } else { format!("{path}.{inside}") };
        (path, error.into_inner())
    });
    let ended = read.and_then(|value| deserializer.end().map(|()| value).map_err(|error| (path.to_owned(), error)));
    ended.map_err(|(path, error)| {
        let (line, column) = place(text, offset);
        let whole = error.to_string();
        let what = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(what, _)| what).to_owned();
        Problem {
            path,
            line: line + error.line().saturating_sub(1),
            column: if error.line() <= 1 { column + error.column().saturating_sub(1) } else { error.column().max(1) },
            what,
        }
    })
}

fn problem(text: &str, offset: usize, path: &str, what: String) -> Problem {
    let (line, column) = place(text, offset);
    Problem { path: path.to_owned(), line, column, what }
}

/// The line and the column of `offset`, both from 1.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The JSON Schema of a policy, for editors.
#[cfg(feature = "cli")]
#[must_use]
pub fn schema() -> serde_json::Value {
    /// Which key a stream is to have, in which mode, and which streams are left alone: the first
    /// rule that matches decides.
    #[derive(schemars::JsonSchema)]
    #[schemars(rename = "kinesis-encryption-enforcer policy", deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is wanted")]
    struct Whole {
        /// The version of the format.
        #[schemars(range(min = 1, max = 1))]
        version: u64,
        /// The rules, in their order.
        rules: Vec<RuleText>,
        #[schemars(rename = "$schema")]
        schema: Option<String>,
    }
    let mut schema = schemars::schema_for!(Whole).to_value();
    join_lines(&mut schema);
    schema
}

/// Joins the lines of the descriptions, which are those of the comments above.
#[cfg(feature = "cli")]
fn join_lines(schema: &mut serde_json::Value) {
    match schema {
        serde_json::Value::Object(object) => {
            for (name, value) in object {
                match value {
                    serde_json::Value::String(text) if name == "description" => *text = text.replace('\n', " "),
                    other => join_lines(other),
                }
            }
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(join_lines),
        _ => {}
    }
}
