//! Parses a policy: JSON, checked field by field, with the place of every problem.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;
use thiserror::Error;

use super::Policy;
use super::exemption::day;
use super::rule::{Action, Conditions, Pattern, Rule};
use crate::domain::arn::{is_account, is_region};
use crate::domain::key::KeyRef;
use crate::domain::mode::OnOtherKey;
use crate::domain::stream::StreamMode;

/// A problem in a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The JSON path of the field, such as `$.rules[1].key`.
    pub path: String,
    /// The line of the policy, from 1.
    pub line: usize,
    /// The column of that line, from 1.
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

/// All problems in a policy, but only the first of each rule.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Invalid(pub Vec<Problem>);

/// The version of the format that this program supports.
const VERSION: u64 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a policy, an object with version and rules")]
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
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a rule, an object with name and match")]
struct RuleText {
    /// A name that is unique in the policy. Outcomes, logs and dead letters show it.
    #[cfg_attr(feature = "cli", schemars(length(min = 1, max = 64)))]
    name: String,
    /// Which streams the rule matches: those that meet every condition. {} matches every stream.
    #[serde(rename = "match")]
    matches: MatchText,
    /// enforce (default): encrypt non-compliant streams. audit: only report them. exempt: do not
    /// check them.
    #[serde(default)]
    mode: ModeText,
    /// The key that the streams must have, in place of the configured one: a key ARN, a key ID, an
    /// alias name or an alias ARN.
    #[serde(default, deserialize_with = "parsed")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    key: Option<Key>,
    /// What to do about another customer managed key, in place of the configured behaviour.
    /// replace: re-encrypt the stream. accept: leave it if the key is enabled.
    on_other_key: Option<OnOtherKeyText>,
    /// Why the streams are exempt. Required with mode exempt, not allowed with other modes.
    #[cfg_attr(feature = "cli", schemars(length(min = 1)))]
    reason: Option<String>,
    /// Who is responsible for the exemption.
    owner: Option<String>,
    /// The last day (UTC) of the exemption: YYYY-MM-DD.
    #[serde(default, deserialize_with = "parsed")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>", regex(pattern = r"^\d{4}-\d{2}-\d{2}$")))]
    until: Option<Date>,
}

/// Conditions: a stream must meet all of them.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "cli", schemars(rename = "Match"))]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "an object with stream, account, region, streamMode or tags"
)]
struct MatchText {
    /// Patterns of the stream's name: * stands for any characters, ? for any single one.
    #[serde(default)]
    stream: OneOrMore,
    /// Account ids of 12 digits.
    #[serde(default)]
    account: OneOrMore,
    /// Regions, such as us-east-1.
    #[serde(default)]
    region: OneOrMore,
    /// The stream's capacity mode.
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<StreamModeText>"))]
    stream_mode: Option<StreamModeText>,
    /// Tags that the stream must have, each with one or more patterns of its value.
    #[serde(default)]
    #[cfg_attr(feature = "cli", schemars(with = "BTreeMap<String, OneOrMore>", extend("minProperties" = 1)))]
    tags: Tags,
}

/// A condition may be omitted, but not `null`, which would match every stream.
fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let value = Option::<T>::deserialize(deserializer)?;
    value.map(Some).ok_or_else(|| D::Error::custom("this is null: remove the condition to match every stream"))
}

/// Tags with patterns of their values: at least one tag, and each once.
#[derive(Debug, Default)]
struct Tags(BTreeMap<String, OneOrMore>);

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Tags;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of at least one tag")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut tags: A) -> Result<Tags, A::Error> {
                let mut found = BTreeMap::new();
                while let Some(tag) = tags.next_key::<String>()? {
                    if found.contains_key(&tag) {
                        return Err(A::Error::custom(format!(
                            "the tag {tag:?} is there twice: use one list of values"
                        )));
                    }
                    found.insert(tag, tags.next_value::<OneOrMore>()?);
                }
                if found.is_empty() {
                    return Err(A::Error::custom(
                        "the object is empty: add a tag, or remove the condition to match every stream",
                    ));
                }
                Ok(Tags(found))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
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

/// A text, or a list of at least one text.
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
                    return Err(E::custom("the text is empty: remove the condition to match every stream"));
                }
                Ok(OneOrMore::One(text.to_owned()))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut texts: A) -> Result<OneOrMore, A::Error> {
                let mut found = Vec::new();
                while let Some(text) = texts.next_element::<String>()? {
                    if text.is_empty() {
                        return Err(A::Error::custom("a text in the list is empty: remove it"));
                    }
                    found.push(text);
                }
                if found.is_empty() {
                    return Err(A::Error::custom(
                        "the list is empty: add a text, or remove the condition to match every stream",
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

/// A key as a rule names it.
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
        day(text).map(Self).ok_or_else(|| format!("{text:?} is not a valid date: write YYYY-MM-DD"))
    }
}

fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

impl FromStr for Policy {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // Some editors begin a file with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let outer: Outer<'_> = typed(text, 0, text, "$").map_err(|problem| Invalid(vec![problem]))?;
        if outer.version != VERSION {
            let what = format!("version {} is not supported: use version {VERSION}", outer.version);
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
                let what = format!("another rule has the name {:?}: names must be unique", rule.name);
                problems.push(problem(text, offset, &format!("{path}.name"), what));
            }
            if let Some(before) = &after_everything {
                let what =
                    format!("rule {:?} is never reached: the earlier rule {before:?} matches every stream", rule.name);
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
    /// The rule, or the first field with a problem, and the problem.
    fn checked(self) -> Result<Rule, (&'static str, String)> {
        let Self { name, matches, mode, key, on_other_key, reason, owner, until } = self;
        if name.is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
            return Err((
                "name",
                format!("{name:?} is not a valid name: use 1 to 64 characters without control characters"),
            ));
        }
        let matches = matches.checked()?;
        let misplaced = |field, is_set: bool, allowed: &str| {
            if is_set {
                Err((
                    field,
                    format!("{field} is allowed only with mode {allowed}: the mode of this rule is {}", mode.as_str()),
                ))
            } else {
                Ok(())
            }
        };
        let action = if mode == ModeText::Exempt {
            misplaced("key", key.is_some(), "enforce or audit")?;
            misplaced("onOtherKey", on_other_key.is_some(), "enforce or audit")?;
            let reason = reason.filter(|reason| !reason.trim().is_empty());
            let reason = reason.ok_or(("reason", "a rule with mode exempt needs a reason".to_owned()))?;
            Action::Exempt { reason, owner, until: until.map(|Date(date)| date) }
        } else {
            misplaced("reason", reason.is_some(), "exempt")?;
            misplaced("owner", owner.is_some(), "exempt")?;
            misplaced("until", until.is_some(), "exempt")?;
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
        let Self { stream, account, region, stream_mode, tags: Tags(tags) } = self;
        let (stream, account, region) = (stream.texts(), account.texts(), region.texts());
        let part_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-*?".contains(&byte);
        if let Some(wrong) = stream.iter().find(|pattern| !pattern.bytes().all(part_of_a_name)) {
            let what = format!(
                "{wrong:?} cannot match a stream: names consist of a-z, A-Z, 0-9, '_', '.' and '-', patterns also of '*' and '?'"
            );
            return Err(("match.stream", what));
        }
        if let Some(wrong) = account.iter().find(|account| !is_account(account)) {
            return Err(("match.account", format!("{wrong:?} is not an account id of 12 digits")));
        }
        if let Some(wrong) = region.iter().find(|region| !is_region(region)) {
            return Err(("match.region", format!("{wrong:?} is not a Region, such as us-east-1")));
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

/// Parses `part`, which begins at `offset` of `text`, and at `path` of the policy.
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
        Problem {
            what: in_plain_words(&error),
            path,
            line: line + error.line().saturating_sub(1),
            column: if error.line() <= 1 { column + error.column().saturating_sub(1) } else { error.column().max(1) },
        }
    })
}

/// What is wrong, without the parser's words and without the place, which is given apart.
fn in_plain_words(error: &serde_json::Error) -> String {
    let whole = error.to_string();
    let what = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(what, _)| what);
    match error.classify() {
        Category::Eof => return "the JSON is incomplete".to_owned(),
        Category::Syntax if what == "expected value" => return "this is not JSON".to_owned(),
        Category::Syntax | Category::Io => return format!("this is not valid JSON: {what}"),
        Category::Data => {}
    }
    let split = |prefix: &str| what.strip_prefix(prefix)?.split_once(", expected ");
    if let Some((found, allowed)) = split("unknown field ") {
        return format!("there is no field {}: use {}", quoted(found), listed(allowed));
    }
    if let Some((found, allowed)) = split("unknown variant ") {
        return format!("{} is not allowed: use {}", quoted(found), listed(allowed));
    }
    if let Some((found, expected)) = split("invalid type: ").or_else(|| split("invalid value: ")) {
        return format!("this is {}: it must be {}", kind(found), kind(expected));
    }
    if let Some(field) = what.strip_prefix("missing field ") {
        return format!("the field {} is missing", quoted(field));
    }
    if let Some(field) = what.strip_prefix("duplicate field ") {
        return format!("the field {} is there twice", quoted(field));
    }
    what.to_owned()
}

fn quoted(text: &str) -> String {
    text.replace('`', "\"")
}

/// The allowed values, which serde lists as "one of `a`, `b`, `c`" or "`a` or `b`".
fn listed(allowed: &str) -> String {
    let allowed = allowed.strip_prefix("one of ").unwrap_or(allowed).replace('`', "");
    allowed.rsplit_once(", ").map_or_else(|| allowed.clone(), |(others, last)| format!("{others} or {last}"))
}

/// A kind of value, in the words of JSON.
fn kind(text: &str) -> String {
    match text {
        "map" => "an object".to_owned(),
        "sequence" | "a sequence" => "a list".to_owned(),
        "u64" => "a whole number".to_owned(),
        "a string" => "a text".to_owned(),
        _ => {
            let number = text.strip_prefix("integer ").or_else(|| text.strip_prefix("floating point "));
            let number = number.or_else(|| text.strip_prefix("boolean ")).map(|value| value.replace('`', ""));
            number
                .or_else(|| text.strip_prefix("string ").map(|text| format!("the text {text}")))
                .unwrap_or(text.to_owned())
        }
    }
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
    /// Which key a stream must have, in which mode, and which streams are exempt. The first rule
    /// that matches decides.
    #[derive(schemars::JsonSchema)]
    #[schemars(rename = "kinesis-encryption-enforcer policy", deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is wanted")]
    struct Whole {
        /// The version of the format.
        #[schemars(range(min = 1, max = 1))]
        version: u64,
        /// The rules, in order of precedence.
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
