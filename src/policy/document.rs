//! Parses a policy: JSON, checked field by field, with the place of every problem.
//!
//! Each value is taken as it stands in the text, with its place, and then checked by itself: a
//! problem in one field hides none in another, and every message is in our own words.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
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
use crate::domain::text::{nearly, shorten};

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

/// All problems in a policy, in the order of its text. The first of them are displayed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub struct Invalid(pub Vec<Problem>);

/// How many problems an error displays, in one line.
const DISPLAYED: usize = 10;

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().take(DISPLAYED).enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "; " })?;
        }
        match self.0.len().saturating_sub(DISPLAYED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// How much of a value a message shows, and of a name a path, in characters. No [tag's key][Tag] is
/// longer than that.
///
/// [Tag]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Tag.html
const SHOWN: usize = 64;
const LONGEST_KEY: usize = 128;

/// The version of the format that this program supports.
const VERSION: u64 = 1;

/// The fields of a policy, of a rule and of `match`.
const OF_POLICY: [&str; 3] = ["version", "rules", "$schema"];
const OF_RULE: [&str; 9] = ["name", "match", "mode", "key", "onOtherKey", "requireAccess", "reason", "owner", "until"];
const OF_MATCH: [&str; 5] = ["stream", "account", "region", "streamMode", "tags"];

const MODES: [&str; 3] = ["enforce", "audit", "exempt"];
const ON_OTHER_KEY: [(&str, OnOtherKey); 2] = [("replace", OnOtherKey::Replace), ("accept", OnOtherKey::Accept)];
const STREAM_MODES: [(&str, StreamMode); 2] =
    [("PROVISIONED", StreamMode::Provisioned), ("ON_DEMAND", StreamMode::OnDemand)];

impl FromStr for Policy {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // Some editors begin a file with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let whole = serde_json::from_str::<&RawValue>(text).map_err(|error| {
            let (line, column) = (error.line().max(1), error.column().max(1));
            Invalid(vec![Problem { path: "$".to_owned(), line, column, what: not_json(text, &error) }])
        })?;
        let mut reader = Reader { text, refused: Vec::new() };
        let rules = reader.policy(&Node { raw: whole.get(), path: "$".to_owned() });
        if reader.refused.is_empty() { Ok(Self { rules }) } else { Err(Invalid(reader.problems())) }
    }
}

/// A value of the policy, as it stands in the text.
struct Node<'a> {
    raw: &'a str,
    path: String,
}

impl<'a> Node<'a> {
    /// The value `raw` in the field `name` of this one.
    fn field(&self, name: &str, raw: &'a str) -> Self {
        Self { raw, path: format!("{}.{}", self.path, shorten(name, LONGEST_KEY)) }
    }

    /// What the value is, in the words of JSON.
    fn kind(&self) -> Cow<'static, str> {
        match self.raw.as_bytes().first() {
            Some(b'{') => "an object".into(),
            Some(b'[') => "a list".into(),
            Some(b'"') => format!("the string {}", shorten(self.raw, SHOWN)).into(),
            Some(b'n' | b't' | b'f') => self.raw.to_owned().into(),
            _ => format!("the number {}", shorten(self.raw, SHOWN)).into(),
        }
    }
}

/// An object: its fields with their values, in their order, also those that are there twice.
struct Fields<'a>(Vec<(Name<'a>, &'a RawValue)>);

/// The name of a field; borrowed from the text unless it is escaped there.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut fields: A) -> Result<Fields<'de>, A::Error> {
                let mut found = Vec::new();
                while let Some(field) = fields.next_entry()? {
                    found.push(field);
                }
                Ok(Fields(found))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// Reads the values, and collects what is wrong with them. Each method returns `None` for what it
/// refused.
struct Reader<'a> {
    text: &'a str,
    refused: Vec<Refused>,
}

/// A problem, and where in the text it begins, in bytes.
struct Refused {
    offset: usize,
    path: String,
    what: String,
}

impl<'a> Reader<'a> {
    fn policy(&mut self, node: &Node<'a>) -> Vec<Rule> {
        let Some([version, rules, schema]) =
            self.object(node, OF_POLICY, "a policy, such as {\"version\": 1, \"rules\": []}")
        else {
            return Vec::new();
        };
        if let Some(version) = self.required(node, "version", version) {
            match version.raw.parse::<u64>() {
                Ok(VERSION) => {}
                Ok(other) => {
                    // The rules of another version may look different.
                    self.refuse(&version, format!("version {other} is not supported: use version {VERSION}"));
                    return Vec::new();
                }
                Err(_) => self.refuse_kind(&version, &format!("the number {VERSION}")),
            }
        }
        if let Some(schema) = set(schema) {
            self.string(&schema, "a string");
        }
        let rules = self.required(node, "rules", rules).and_then(|rules| self.list(&rules, "a list of rules"));
        self.rules(&rules.unwrap_or_default())
    }

    fn rules(&mut self, nodes: &[Node<'a>]) -> Vec<Rule> {
        let mut rules: Vec<Rule> = Vec::new();
        let mut names = HashSet::new();
        let mut after_everything: Option<String> = None;
        for node in nodes {
            let before = self.refused.len();
            let rule = self.rule(node, &mut names);
            if let Some(before) = &after_everything {
                let name = rule.as_ref().map(|rule| format!("{:?} ", rule.name)).unwrap_or_default();
                let what = format!("rule {name}is never reached: the earlier rule {before:?} matches every stream");
                self.refuse(node, what);
            }
            let Some(rule) = rule.filter(|_| self.refused.len() == before) else { continue };
            let ends = matches!(&rule.action, Action::Exempt { until: Some(_), .. });
            if rule.matches.hold_always() && !ends {
                after_everything.get_or_insert(rule.name.clone());
            }
            rules.push(rule);
        }
        rules
    }

    fn rule(&mut self, node: &Node<'a>, names: &mut HashSet<String>) -> Option<Rule> {
        let [name, matches, mode, key, on_other_key, require_access, reason, owner, until] = self.object(
            node,
            OF_RULE,
            "a rule, such as {\"name\": \"orders\", \"match\": {\"stream\": \"orders-*\"}}",
        )?;
        let name = self.required(node, "name", name).and_then(|name| self.name(&name, names));
        let matches = self.required(node, "match", matches).and_then(|matches| self.conditions(&matches));
        let mode = match mode {
            Some(mode) => self.one_of(&mode, MODES.map(|mode| (mode, mode))),
            None => Some(MODES[0]),
        };
        let (key, on_other_key, require_access) = (set(key), set(on_other_key), set(require_access));
        let (reason, owner, until) = (set(reason), set(owner), set(until));
        if let Some(mode) = mode {
            let (misplaced, allowed) = if mode == "exempt" {
                ([&key, &on_other_key, &require_access], "enforce or audit")
            } else {
                ([&reason, &owner, &until], "exempt")
            };
            for node in misplaced.into_iter().flatten() {
                let (_, field) = node.path.rsplit_once('.').unwrap_or_default();
                let what = format!("{field} is allowed only with mode {allowed}: the mode of this rule is {mode}");
                self.refuse(node, what);
            }
            if mode == "exempt" && reason.is_none() {
                self.refuse(node, "the field \"reason\" is missing: a rule with mode exempt needs a reason".to_owned());
            }
        }
        let key = key.and_then(|node| {
            let text = self.string(&node, "a string: a KMS key ARN, key ID, alias name or alias ARN")?;
            KeyRef::configured(&text).map_err(|what| self.refuse(&node, what)).ok()
        });
        let on_other_key = on_other_key.and_then(|node| self.one_of(&node, ON_OTHER_KEY));
        let require_access = require_access.and_then(|node| match node.raw {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.refuse_kind(&node, "true or false");
                None
            }
        });
        let reason = reason.and_then(|node| {
            let reason = self.string(&node, "a string: why the streams are exempt")?;
            if reason.trim().is_empty() && mode == Some("exempt") {
                self.refuse(&node, "the reason is empty: a rule with mode exempt needs a reason".to_owned());
            }
            Some(reason)
        });
        let owner = owner.and_then(|node| self.string(&node, "a string: who is responsible for the exemption"));
        let until = until.and_then(|node| self.date(&node));
        let action = if mode? == "exempt" {
            Action::Exempt { reason: reason.unwrap_or_default(), owner, until }
        } else {
            Action::Enforce {
                key,
                on_other_key,
                audit: mode? == "audit",
                require_access: require_access.unwrap_or(false),
            }
        };
        Some(Rule { name: name?, matches: matches?, action })
    }

    fn name(&mut self, node: &Node<'a>, names: &mut HashSet<String>) -> Option<String> {
        let name = self.string(node, "a string of 1 to 64 characters")?;
        if name.is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
            let shown = shorten(&name, SHOWN);
            let what = format!("{shown:?} is not a valid name: use 1 to 64 characters without control characters");
            self.refuse(node, what);
            return None;
        }
        if !names.insert(name.clone()) {
            self.refuse(node, format!("another rule has the name {name:?}: names must be unique"));
        }
        Some(name)
    }

    fn date(&mut self, node: &Node<'a>) -> Option<NaiveDate> {
        let text = self.string(node, "a string with a date, YYYY-MM-DD")?;
        let date = day(&text);
        if date.is_none() {
            self.refuse(node, format!("{:?} is not a valid date: write YYYY-MM-DD", shorten(&text, SHOWN)));
        }
        date
    }

    fn conditions(&mut self, node: &Node<'a>) -> Option<Conditions> {
        let [stream, account, region, stream_mode, tags] =
            self.object(node, OF_MATCH, "an object of conditions, such as {\"stream\": \"orders-*\"}")?;
        let part_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-*?".contains(&byte);
        let stream = self.strings(stream, |pattern| {
            (!pattern.bytes().all(part_of_a_name)).then(|| {
                format!(
                    "{:?} cannot match a stream: names consist of a-z, A-Z, 0-9, '_', '.' and '-', patterns also of '*' and '?'",
                    shorten(pattern, SHOWN)
                )
            })
        });
        let account = self.strings(account, |text| {
            let shown = shorten(text, SHOWN);
            (!is_account(text)).then(|| format!("{shown:?} is not an account ID of 12 digits{}", no_pattern(text)))
        });
        let region = self.strings(region, |text| {
            let shown = shorten(text, SHOWN);
            (!is_region(text)).then(|| format!("{shown:?} is not a Region, such as us-east-1{}", no_pattern(text)))
        });
        let stream_mode = match stream_mode {
            Some(node) if node.raw == "null" => {
                self.refuse(&node, "this is null: remove the condition to match every stream".to_owned());
                None
            }
            mode => mode.and_then(|mode| self.one_of(&mode, STREAM_MODES)),
        };
        let tags = tags.map(|tags| self.tags(&tags)).unwrap_or_default();
        Some(Conditions {
            stream: stream.iter().map(|pattern| Pattern::new(pattern)).collect(),
            account,
            region,
            stream_mode,
            tags,
        })
    }

    fn tags(&mut self, node: &Node<'a>) -> BTreeMap<String, Vec<Pattern>> {
        let mut tags = BTreeMap::new();
        let Some(found) = self.fields(node, "an object of at least one tag, such as {\"stage\": [\"dev\", \"test\"]}")
        else {
            return tags;
        };
        if found.is_empty() {
            let what = "the object is empty: add a tag, or remove the condition to match every stream";
            self.refuse(node, what.to_owned());
        }
        for (name, key, value) in found {
            if tags.contains_key(&*name) {
                let shown = shorten(&name, SHOWN);
                self.refuse(&key, format!("the tag {shown:?} is there twice: use one list of values"));
            }
            let patterns = self.strings(Some(value), |_| None);
            tags.insert(name.into_owned(), patterns.iter().map(|pattern| Pattern::new(pattern)).collect());
        }
        tags
    }

    /// A string, or a list of at least one string. `check` says what is wrong with one.
    fn strings(&mut self, node: Option<Node<'a>>, check: impl Fn(&str) -> Option<String>) -> Vec<String> {
        let Some(node) = node else { return Vec::new() };
        let (nodes, expected, if_empty) = if node.raw.starts_with('[') {
            let nodes = self.list(&node, "a list of strings").unwrap_or_default();
            if nodes.is_empty() {
                let what = "the list is empty: add a string, or remove the condition to match every stream";
                self.refuse(&node, what.to_owned());
            }
            (nodes, "a string", "remove it from the list")
        } else {
            (vec![node], "a string or a list of strings", "remove the condition to match every stream")
        };
        let mut found = Vec::new();
        for node in nodes {
            let Some(text) = self.string(&node, expected) else { continue };
            let wrong = if text.is_empty() { Some(format!("the string is empty: {if_empty}")) } else { check(&text) };
            match wrong {
                Some(what) => self.refuse(&node, what),
                None => found.push(text),
            }
        }
        found
    }

    /// The value that is named by one of these words.
    fn one_of<T, const N: usize>(&mut self, node: &Node<'a>, words: [(&'static str, T); N]) -> Option<T> {
        let names = words.each_ref().map(|(name, _)| *name);
        let text = self.string(node, &listed(&names))?;
        let found = words.into_iter().find(|(name, _)| *name == text);
        if found.is_none() {
            self.refuse(node, format!("{:?} is not allowed: {}", shorten(&text, SHOWN), meant(&text, &names)));
        }
        found.map(|(_, value)| value)
    }

    fn list(&mut self, node: &Node<'a>, expected: &str) -> Option<Vec<Node<'a>>> {
        let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(node.raw) else {
            self.refuse_kind(node, expected);
            return None;
        };
        let items = items.into_iter().enumerate();
        Some(items.map(|(index, item)| Node { raw: item.get(), path: format!("{}[{index}]", node.path) }).collect())
    }

    fn string(&mut self, node: &Node<'a>, expected: &str) -> Option<String> {
        if !node.raw.starts_with('"') {
            self.refuse_kind(node, expected);
            return None;
        }
        let text = serde_json::from_str(node.raw);
        if text.is_err() {
            self.refuse(node, "this string has an escape that is not valid".to_owned());
        }
        text.ok()
    }

    /// The values of `fields`, in that order. Any other field is refused.
    fn object<const N: usize>(
        &mut self,
        node: &Node<'a>,
        fields: [&str; N],
        expected: &str,
    ) -> Option<[Option<Node<'a>>; N]> {
        let mut values = [const { None }; N];
        for (name, key, value) in self.fields(node, expected)? {
            match fields.iter().position(|field| **field == *name) {
                None => {
                    let shown = shorten(&name, SHOWN);
                    self.refuse(&key, format!("there is no field {shown:?}: {}", meant(&name, &fields)));
                }
                Some(index) if values[index].is_some() => {
                    self.refuse(&key, format!("the field {name:?} is there twice: remove one of the two"));
                }
                Some(index) => values[index] = Some(value),
            }
        }
        Some(values)
    }

    /// The fields of an object: the name, the place of the name, and the value.
    fn fields(&mut self, node: &Node<'a>, expected: &str) -> Option<Vec<(Cow<'a, str>, Node<'a>, Node<'a>)>> {
        let fields = if node.raw.starts_with('{') {
            serde_json::from_str::<Fields<'a>>(node.raw)
        } else {
            self.refuse_kind(node, expected);
            return None;
        };
        let Ok(Fields(fields)) = fields else {
            self.refuse(node, "the name of a field has an escape that is not valid".to_owned());
            return None;
        };
        let fields = fields.into_iter().map(|(Name(name), value)| {
            let value = node.field(&name, value.get());
            let key = match &name {
                // With its quotation marks.
                Cow::Borrowed(name) => {
                    let start = self.offset(name) - 1;
                    &self.text[start..start + name.len() + 2]
                }
                Cow::Owned(_) => value.raw,
            };
            (name, Node { raw: key, path: value.path.clone() }, value)
        });
        Some(fields.collect())
    }

    fn required(&mut self, node: &Node<'a>, name: &str, value: Option<Node<'a>>) -> Option<Node<'a>> {
        if value.is_none() {
            self.refuse(node, format!("the field {name:?} is missing"));
        }
        value
    }

    fn refuse_kind(&mut self, node: &Node<'a>, expected: &str) {
        self.refuse(node, format!("this is {}: it must be {expected}", node.kind()));
    }

    /// Where `part`, which is a part of the text, begins in it.
    fn offset(&self, part: &str) -> usize {
        part.as_ptr() as usize - self.text.as_ptr() as usize
    }

    fn refuse(&mut self, node: &Node<'a>, what: String) {
        self.refused.push(Refused { offset: self.offset(node.raw), path: node.path.clone(), what });
    }

    /// What was refused, in the order of the text, each with its line and column. They are counted
    /// once for all: counting them from the start for each would take minutes if there are many.
    fn problems(mut self) -> Vec<Problem> {
        self.refused.sort_by_key(|refused| refused.offset);
        let (mut behind, mut line, mut column) = (0, 1, 1);
        let located = self.refused.into_iter().map(|Refused { offset, path, what }| {
            for character in self.text[behind..offset].chars() {
                (line, column) = if character == '\n' { (line + 1, 1) } else { (line, column + 1) };
            }
            behind = offset;
            Problem { path, line, column, what }
        });
        located.collect()
    }
}

/// An optional field: `null` counts as not set.
fn set(node: Option<Node<'_>>) -> Option<Node<'_>> {
    node.filter(|node| node.raw != "null")
}

/// What is wrong with a text that is not JSON, without the parser's words.
fn not_json(text: &str, error: &serde_json::Error) -> String {
    if text.trim().is_empty() {
        return "the policy is empty".to_owned();
    }
    if error.is_eof() {
        return "the JSON is incomplete".to_owned();
    }
    let whole = error.to_string();
    let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let found = line.as_bytes().get(error.column().saturating_sub(1));
    let detail = match (whole.split(" at line ").next().unwrap_or_default(), found) {
        ("expected value", _) if error.line() == 1 && error.column() <= 1 => return "this is not JSON".to_owned(),
        ("key must be a string" | "expected value", Some(b'}' | b']')) => {
            ": remove the comma before the closing bracket"
        }
        ("key must be a string" | "expected value", Some(b'/' | b'#')) => ": JSON has no comments",
        ("key must be a string", _) => ": the name of a field must be in double quotes",
        ("expected value" | "expected ident" | "invalid number", _) => {
            ": a value must be a string in double quotes, a number, a list, an object, true, false or null"
        }
        ("trailing characters", _) => ": remove what follows the policy",
        ("expected `:`", _) => ": a colon is missing",
        ("expected `,` or `]`", _) => ": a comma or ] is missing",
        ("expected `,` or `}`", _) => ": a comma or } is missing",
        _ => "",
    };
    format!("this is not valid JSON{detail}")
}

/// The words of which one is allowed: `a, b or c`.
fn listed(words: &[&str]) -> String {
    match words {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        words => words.concat(),
    }
}

/// The allowed word that `text` is nearly, or all of them.
fn meant(text: &str, allowed: &[&str]) -> String {
    match nearly(text, allowed) {
        Some(word) => format!("did you mean {word:?}?"),
        None => format!("use {}", listed(allowed)),
    }
}

fn no_pattern(text: &str) -> &'static str {
    if text.contains(['*', '?']) { "; patterns are not allowed here: use a list" } else { "" }
}
