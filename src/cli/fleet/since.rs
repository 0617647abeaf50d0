//! What changed since an earlier report.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use textwrap::core::display_width;

use super::Survey;
use super::row::{Row, short_key};
use super::scope::Scope;
use crate::cli::input;
use crate::cli::paint::{BOLD, DIM, GREEN, RED, YELLOW, counted, rfc3339, wrapped};
use crate::cli::visible::visible;
use crate::domain::outcome::Status;
use crate::domain::stream::{StreamArn, StreamRef};

/// A report that was written as JSON before.
#[derive(Debug)]
pub(super) struct EarlierReport {
    /// Its file, as messages name it.
    file: String,
    made_at: DateTime<Utc>,
    streams: Vec<EarlierStream>,
    /// What it covers; `None` in a report of a version that does not say.
    scope: Option<Vec<EarlierScope>>,
}

/// A stream of an earlier report.
#[derive(Clone, Debug)]
struct EarlierStream {
    stream: String,
    arn: Option<StreamArn>,
    account: Option<String>,
    region: String,
    /// Whether it could be described.
    is_known: bool,
    key: Option<String>,
    decision: String,
    first_reported_at: DateTime<Utc>,
}

#[derive(Debug)]
struct EarlierScope {
    account: Option<String>,
    region: String,
    streams: Option<Vec<String>>,
}

impl EarlierReport {
    /// Reads the report in `file`; `-` is standard input.
    pub(super) fn read(file: &str) -> Result<Self> {
        let report = input::parse_json(file, &input::read(file)?)?;
        let name = input::name_of(file);
        let earlier = Self::parse(name, &report);
        earlier.map_err(|why| {
            anyhow!("{} is not a report: {why}; pass the output of enforcer report --format json", visible(name))
        })
    }

    fn parse(file: &str, report: &Value) -> Result<Self, String> {
        if report["total"].is_null() {
            return Err("it has no \"total\"".to_owned());
        }
        let made_at = time(&report["madeAt"]).ok_or("\"madeAt\" is not a time")?;
        let streams = report["streams"].as_array().ok_or("it has no \"streams\"")?.iter().enumerate();
        let streams = streams.map(|(index, stream)| {
            EarlierStream::parse(stream, made_at).ok_or_else(|| {
                format!("\"streams[{index}]\" lacks a name, a Region or a decision, or its ARN is malformed")
            })
        });
        let scope = report["scope"].as_array().map(|scope| scope.iter().filter_map(EarlierScope::parse).collect());
        Ok(Self { file: file.to_owned(), made_at, streams: streams.collect::<Result<_, _>>()?, scope })
    }

    /// Whether the report knew of the stream, if it existed. Without a scope, an account and Region
    /// counts as covered if a stream of it is there.
    fn covers(&self, row: &Row) -> bool {
        let account = row.account.as_deref();
        match &self.scope {
            Some(scope) => scope.iter().any(|scope| scope.covers(account, &row.region, &row.stream)),
            None => self.streams.iter().any(|stream| stream.is_of(account, &row.region)),
        }
    }
}

impl EarlierStream {
    fn parse(stream: &Value, made_at: DateTime<Utc>) -> Option<Self> {
        let text = |field: &str| stream[field].as_str().map(str::to_owned);
        let arn: Option<StreamArn> = text("arn").map(|arn| arn.parse()).transpose().ok()?;
        Some(Self {
            stream: text("stream")?,
            account: arn.as_ref().map(|arn| arn.account().to_owned()).or_else(|| text("account")),
            arn,
            region: text("region")?,
            is_known: stream["state"].is_string(),
            key: text("presentKey"),
            decision: stream["outcome"]["status"].as_str()?.to_owned(),
            first_reported_at: time(&stream["firstReportedAt"]).unwrap_or(made_at),
        })
    }

    fn is_of(&self, account: Option<&str>, region: &str) -> bool {
        self.region == region && is_same(self.account.as_deref(), account)
    }

    fn seen(&self) -> Seen {
        Seen { decision: self.decision.clone(), key: self.key.clone() }
    }

    fn is_encrypted_as_configured(&self) -> bool {
        ["compliant", "encrypted", "key-at-risk"].contains(&self.decision.as_str())
    }
}

impl EarlierScope {
    fn parse(scope: &Value) -> Option<Self> {
        let streams = scope["streams"]
            .as_array()
            .map(|streams| streams.iter().filter_map(Value::as_str).map(str::to_owned).collect());
        let account = scope["account"].as_str().map(str::to_owned);
        Some(Self { account, region: scope["region"].as_str()?.to_owned(), streams })
    }

    fn covers(&self, account: Option<&str>, region: &str, name: &str) -> bool {
        let is_named = |named: &String| named.parse().is_ok_and(|stream: StreamRef| stream.name() == name);
        self.region == region
            && is_same(self.account.as_deref(), account)
            && self.streams.as_ref().is_none_or(|all| all.iter().any(is_named))
    }
}

fn time(value: &Value) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(value.as_str()?).ok().map(|time| time.to_utc())
}

/// How a stream differs from the earlier report, the most important difference only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// It is no longer encrypted as configured, or no longer exempt.
    NonCompliant,
    /// It is encrypted as configured now.
    Compliant,
    /// It is there now.
    New,
    /// It was there.
    Gone,
    /// The decision is another one.
    Decision,
    /// The decision is the same, the key is another one.
    Key,
}

impl Kind {
    const ALL: [Self; 6] = [Self::NonCompliant, Self::Compliant, Self::New, Self::Gone, Self::Decision, Self::Key];

    /// The kind in words.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::NonCompliant => "newly non-compliant",
            Self::Compliant => "newly compliant",
            Self::New => "new",
            Self::Gone => "gone",
            Self::Decision => "decision changed",
            Self::Key => "key changed",
        }
    }

    fn style(self) -> anstyle::Style {
        match self {
            Self::NonCompliant => RED,
            Self::Compliant => GREEN,
            Self::New | Self::Gone | Self::Decision | Self::Key => YELLOW,
        }
    }
}

/// One stream that differs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Change {
    pub(super) kind: Kind,
    pub(super) stream: String,
    pub(super) arn: Option<StreamArn>,
    pub(super) account: Option<String>,
    pub(super) region: String,
    /// `None` for a new stream.
    pub(super) before: Option<Seen>,
    /// `None` for a stream that is gone.
    pub(super) after: Option<Seen>,
}

/// A stream in one of the two reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Seen {
    pub(super) decision: String,
    #[serde(rename = "presentKey")]
    pub(super) key: Option<String>,
}

impl Seen {
    fn text(&self) -> String {
        let key = if self.key.is_none() { "not encrypted".to_owned() } else { short_key(self.key.as_deref()) };
        format!("{} ({key})", self.decision)
    }
}

impl Change {
    fn of(kind: Kind, was: Option<&EarlierStream>, row: &Row) -> Self {
        Self {
            kind,
            stream: row.stream.clone(),
            arn: row.arn.clone(),
            account: row.account.clone(),
            region: row.region.clone(),
            before: was.map(EarlierStream::seen),
            after: Some(Seen { decision: row.status.as_str().to_owned(), key: row.current_key.clone() }),
        }
    }

    fn gone(was: &EarlierStream) -> Self {
        let EarlierStream { stream, arn, account, region, .. } = was.clone();
        Self { kind: Kind::Gone, stream, arn, account, region, before: Some(was.seen()), after: None }
    }

    fn visible(&self) -> Self {
        let seen = |seen: &Option<Seen>| {
            seen.as_ref().map(|seen| Seen { decision: visible(&seen.decision), key: seen.key.as_deref().map(visible) })
        };
        Self {
            stream: visible(&self.stream),
            account: self.account.as_deref().map(visible),
            region: visible(&self.region),
            before: seen(&self.before),
            after: seen(&self.after),
            ..self.clone()
        }
    }

    /// Before and after, in words.
    pub(super) fn text(&self) -> String {
        match (&self.before, &self.after) {
            (None, Some(after)) => after.text(),
            (Some(before), None) => format!("was {}", before.text()),
            (Some(before), Some(after)) => format!("was {}, is {}", before.text(), after.text()),
            (None, None) => String::new(),
        }
    }
}

/// The differences between two reports, as far as both cover the same streams.
#[derive(Debug)]
pub(super) struct Changes {
    /// When the earlier report was made.
    pub(super) since: DateTime<Utc>,
    /// Sorted by kind.
    pub(super) list: Vec<Change>,
    /// How many streams only one of the reports covers.
    not_compared: usize,
    first_reported: BTreeMap<StreamId, DateTime<Utc>>,
    gone: Vec<EarlierStream>,
}

impl Changes {
    /// Compares `survey`, which was made at `made_at`, with `earlier`.
    ///
    /// # Errors
    /// The earlier report is not earlier, or covers no account and Region of this one.
    pub(super) fn between(
        earlier: &EarlierReport,
        survey: &Survey,
        scopes: &[Scope],
        made_at: DateTime<Utc>,
    ) -> Result<Self> {
        let file = visible(&earlier.file);
        if earlier.made_at >= made_at {
            let at = rfc3339(earlier.made_at);
            return Err(anyhow!("{file} is not an earlier report: it was made at {at}"));
        }
        let covers = |stream: &EarlierStream| {
            scopes.iter().any(|scope| scope.covers(stream.account.as_deref(), &stream.region, &stream.stream))
        };
        if !earlier.streams.is_empty()
            && !earlier.streams.iter().any(covers)
            && !survey.rows.iter().any(|row| earlier.covers(row))
        {
            let first = &earlier.streams[0];
            return Err(anyhow!(
                "{file} is the report of other streams, such as {} of account {} in {}: \
                 pass a report of the same account and Region",
                visible(&first.stream),
                visible(first.account.as_deref().unwrap_or("unknown")),
                visible(&first.region)
            ));
        }
        let mut before: BTreeMap<(&str, &str), Vec<&EarlierStream>> = BTreeMap::new();
        for stream in &earlier.streams {
            before.entry((&stream.region, &stream.stream)).or_default().push(stream);
        }
        let mut changes = Self {
            since: earlier.made_at,
            list: Vec::new(),
            not_compared: 0,
            first_reported: BTreeMap::new(),
            gone: Vec::new(),
        };
        for row in survey.rows.iter().filter(|row| row.status != Status::Gone) {
            let of_name = before.get_mut(&(row.region.as_str(), row.stream.as_str()));
            let was = of_name.and_then(|of_name| {
                let index = of_name.iter().position(|was| was.is_of(row.account.as_deref(), &row.region))?;
                Some(of_name.swap_remove(index))
            });
            if let Some(was) = was {
                changes.first_reported.insert(id_of(row), was.first_reported_at);
                changes.compare(was, row);
            } else if earlier.covers(row) {
                changes.list.push(Change::of(Kind::New, None, row));
            } else {
                changes.not_compared += 1;
            }
        }
        for was in before.into_values().flatten().filter(|was| was.decision != Status::Gone.as_str()) {
            if covers(was) {
                changes.list.push(Change::gone(was));
                changes.gone.push(was.clone());
            } else {
                changes.not_compared += 1;
            }
        }
        let place =
            |change: &Change| (change.kind, change.account.clone(), change.region.clone(), change.stream.clone());
        changes.list.sort_by_key(place);
        Ok(changes)
    }

    fn compare(&mut self, was: &EarlierStream, row: &Row) {
        let is_known = was.is_known && row.state.is_some();
        let is_encrypted = row.is_encrypted_as_configured();
        let kind = if was.decision == row.status.as_str() {
            if !is_known || was.key == row.current_key {
                return;
            }
            Kind::Key
        } else if is_encrypted && !was.is_encrypted_as_configured() {
            Kind::Compliant
        } else if is_known
            && !is_encrypted
            && row.status != Status::Exempt
            && (was.is_encrypted_as_configured() || was.decision == Status::Exempt.as_str())
        {
            Kind::NonCompliant
        } else {
            Kind::Decision
        };
        self.list.push(Change::of(kind, Some(was), row));
    }

    /// When the stream of `row` was first in a report, if the earlier one knows.
    pub(super) fn first_reported(&self, row: &Row) -> Option<DateTime<Utc>> {
        self.first_reported.get(&id_of(row)).copied()
    }

    /// The streams that no longer exist.
    pub(super) fn gone(&self) -> impl Iterator<Item = GoneStream<'_>> {
        self.gone.iter().filter_map(|stream| {
            Some(GoneStream { arn: stream.arn.as_ref()?, first_reported_at: stream.first_reported_at })
        })
    }

    /// The change of the stream of `row`, if there is one.
    pub(super) fn of(&self, row: &Row) -> Option<&Change> {
        let is_its = |change: &&Change| {
            (&change.account, &change.region, &change.stream) == (&row.account, &row.region, &row.stream)
        };
        self.list.iter().find(is_its)
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "madeAt": rfc3339(self.since),
            "changes": self.list,
            "notCompared": self.not_compared,
        })
    }

    /// The changes with every text visible.
    pub(super) fn visible(&self) -> Vec<Change> {
        self.list.iter().map(Change::visible).collect()
    }

    /// How many streams changed in which way: "1 new, 2 gone".
    pub(super) fn summary(&self) -> String {
        let count = |kind| self.list.iter().filter(|change| change.kind == kind).count();
        let counts = Kind::ALL.map(|kind| (count(kind), kind.text())).into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<_> = counts.map(|(count, text)| format!("{count} {text}")).collect();
        if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
    }

    /// The changes as lines of at most `most` columns.
    pub(super) fn table(&self, most: usize) -> String {
        let mut lines =
            wrapped(&format!("{BOLD}changes since {}: {}{BOLD:#}", rfc3339(self.since), self.summary()), most, "  ");
        let changes = self.visible();
        let width = |text: &dyn Fn(&Change) -> usize| changes.iter().map(text).max().unwrap_or_default();
        let (kinds, streams) =
            (width(&|change| change.kind.text().len()), width(&|change| display_width(&change.stream)));
        let places = changes.iter().map(|change| (&change.account, &change.region));
        let has_places = places.clone().any(|place| Some(place) != places.clone().next());
        for change in &changes {
            let (style, kind) = (change.kind.style(), change.kind.text());
            let stream =
                format!("{BOLD}{}{BOLD:#}{}", change.stream, " ".repeat(streams - display_width(&change.stream)));
            let place = if has_places {
                let account = change.account.as_deref().unwrap_or("unknown");
                format!(" {DIM}account {account}, {}{DIM:#}", change.region)
            } else {
                String::new()
            };
            let line = format!("  {style}{kind:<kinds$}{style:#}  {stream}  {}{place}", change.text());
            lines.extend(wrapped(&line, most, "    "));
        }
        lines.extend(self.note().iter().flat_map(|note| wrapped(&format!("  {note}"), most, "  ")));
        lines.into_iter().map(|line| line + "\n").collect()
    }

    /// Which streams are not compared, as a sentence; `None` if all are.
    pub(super) fn note(&self) -> Option<String> {
        let is = if self.not_compared == 1 { "is" } else { "are" };
        (self.not_compared > 0).then(|| {
            format!(
                "{} {is} covered by only one of the reports, and not compared",
                counted(self.not_compared, "stream")
            )
        })
    }
}

/// A stream that was in the earlier report and no longer exists.
pub(super) struct GoneStream<'a> {
    pub(super) arn: &'a StreamArn,
    pub(super) first_reported_at: DateTime<Utc>,
}

/// Whether two accounts are the same, as far as they are known.
fn is_same(one: Option<&str>, other: Option<&str>) -> bool {
    one.is_none() || other.is_none() || one == other
}

/// Account, Region and name.
type StreamId = (Option<String>, String, String);

fn id_of(row: &Row) -> StreamId {
    (row.account.clone(), row.region.clone(), row.stream.clone())
}
