//! The streams of a plan or a report as a table that fits the width of the terminal: first the
//! totals, then what failed, what would change, what is exempt, and what is compliant.
//!
//! A key is shown as its alias or the first characters of its ID; the full ARNs are listed below.
//! [`Columns`] and [`Page`] are those of every table of these commands.

use std::collections::BTreeMap;
use std::fmt::Write;

use anstyle::Style;
use textwrap::core::display_width;

use super::Survey;
use super::answer::StreamAccess;
use super::places::failures;
use super::row::{Row, short_key};
use crate::cli::paint::{BOLD, DIM, GREEN, RED, YELLOW, counted, warning, wrapped};
use crate::cli::visible::visible;
use crate::domain::key::KeyArn;
use crate::domain::outcome::Status;

/// The streams that are counted and listed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    /// Those of a status, unless they are in another group.
    Of(Status),
    /// Those that only audit mode keeps from being changed.
    InAuditMode,
}

/// A person reads first what needs attention.
const ORDER: [Group; 12] = [
    Group::Of(Status::Failed),
    Group::Of(Status::Contested),
    Group::Of(Status::AccessDenied),
    Group::Of(Status::KeyAtRisk),
    Group::Of(Status::Deferred),
    Group::Of(Status::WouldEncrypt),
    Group::InAuditMode,
    Group::Of(Status::Queued),
    Group::Of(Status::Exempt),
    Group::Of(Status::Gone),
    Group::Of(Status::Encrypted),
    Group::Of(Status::Compliant),
];

/// The fewest columns for details beside their row; where there are fewer, they stand below.
const DETAILS_BESIDE: usize = 48;

const GAP: usize = 2;

/// What a person sees of a survey.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// The most columns of a line.
    pub(super) width: usize,
    /// Whether compliant streams are listed, not only counted.
    pub(super) all: bool,
}

/// The table of `survey`.
pub(super) fn table(survey: &Survey, view: View) -> String {
    let survey = survey.visible();
    let Survey { rows, keys_at_risk, empty, failed_regions, not_read } = &survey;
    let mut page = Page::new(view.width);
    let places: Vec<&[Row]> = rows.chunk_by(is_same_place).collect();
    let total_of_all = match &places[..] {
        [] => "no streams found".to_owned(),
        [one] => total(one, &place(one)),
        several => total(rows, &format!("in {} accounts or Regions", several.len())),
    };
    let of_keys = (!keys_at_risk.is_empty()).then(|| format!("{} at risk", counted(keys_at_risk.len(), "key")));
    let beside: Vec<_> = of_keys.into_iter().chain(failures(failed_regions)).collect();
    let beside = if beside.is_empty() { String::new() } else { format!("; {}", beside.join(", ")) };
    page.wrapped("", &format!("{BOLD}{total_of_all}{beside}{BOLD:#}"));
    let keys = Keys::of(rows.iter().filter(|row| view.shows(row)), keys_at_risk.iter().map(|key| &*key.reason));
    let at_risk = keys_at_risk.iter().map(|outcome| {
        let key = keys.short(outcome.key.as_deref());
        format!("{RED}✘ {}{RED:#} {BOLD}key {key}{BOLD:#}: {}", outcome.status.as_str(), outcome.reason)
    });
    let failed = failed_regions.iter().map(|failed| format!("{RED}✘{RED:#} {failed}"));
    let mut notes: Vec<String> = failed.chain(at_risk).collect();
    if !empty.is_empty() && places.len() + empty.len() + failed_regions.len() > 1 {
        notes.push(format!("{DIM}no streams:{DIM:#} {}", empty.join("; ")));
    }
    if !notes.is_empty() {
        page.line("");
    }
    for note in &notes {
        page.wrapped("  ", &keys.shortened(note));
    }
    let shown = rows.iter().filter(|row| view.shows(row));
    let columns = Columns::of(HEADINGS, shown.map(|row| cells(row, &keys)), view.width);
    for rows in &places {
        page.line("");
        if places.len() > 1 {
            page.wrapped("", &format!("{BOLD}{}{BOLD:#}", total(rows, &place(rows))));
            page.line("");
        }
        print(rows, view, &keys, &columns, &mut page);
    }
    if !not_read.is_empty() {
        page.line("");
    }
    for not_read in not_read {
        page.wrapped("  ", &format!("{YELLOW}not read:{YELLOW:#} {not_read}"));
    }
    if !keys.0.is_empty() {
        page.line("");
        page.line(&format!("{DIM}keys{DIM:#}"));
        for arn in keys.0.keys() {
            // It stays whole, so that it can be copied.
            page.line(&format!("  {arn}"));
        }
    }
    page.text
}

impl View {
    fn shows(self, row: &Row) -> bool {
        self.all || row.status != Status::Compliant || row.has_users_without_access()
    }
}

impl Group {
    fn of(row: &Row) -> Self {
        if row.is_in_audit_mode() { Self::InAuditMode } else { Self::Of(row.status) }
    }

    /// The mark and the colour.
    fn marked(self) -> (&'static str, Style) {
        let Self::Of(status) = self else { return ("•", YELLOW) };
        match status {
            Status::Encrypted | Status::Compliant => ("✔", GREEN),
            Status::WouldEncrypt => ("~", YELLOW),
            Status::Exempt | Status::Gone | Status::Deferred | Status::Queued => ("•", YELLOW),
            Status::Contested | Status::AccessDenied | Status::KeyAtRisk | Status::Failed => ("✘", RED),
        }
    }

    /// The words after a number of streams.
    fn in_words(self) -> &'static str {
        match self {
            Self::InAuditMode => "in audit mode",
            Self::Of(Status::WouldEncrypt) => "to encrypt",
            Self::Of(Status::KeyAtRisk) => "with a key at risk",
            Self::Of(other) => other.as_str(),
        }
    }
}

/// Whether two rows are of one account and Region. The account of a stream that could not be
/// described is unknown.
fn is_same_place(one: &Row, other: &Row) -> bool {
    let accounts = (&one.account, &other.account);
    one.region == other.region && !matches!(accounts, (Some(one), Some(other)) if one != other)
}

/// The account of the streams; `None` if no stream could be described.
fn account(rows: &[Row]) -> Option<&str> {
    rows.iter().find_map(|row| row.account.as_deref())
}

fn place(rows: &[Row]) -> String {
    let region = rows.first().map_or("", |row| row.region.as_str());
    match account(rows) {
        Some(account) => format!("in account {account}, {region}"),
        None => format!("in {region}"),
    }
}

/// "15 streams in account 111122223333, us-east-1: 3 failed, 12 compliant". A stream that does not
/// exist does not count as a stream.
fn total(rows: &[Row], place: &str) -> String {
    let (missing, rows): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.does_not_exist());
    let count = |group: Group| rows.iter().filter(|row| Group::of(row) == group).count();
    // Beside streams in audit mode, it shows that they are not among those to encrypt.
    let is_shown = |group: Group| group == Group::Of(Status::WouldEncrypt) && count(Group::InAuditMode) > 0;
    let counts = ORDER.into_iter().filter_map(|group| match count(group) {
        0 if !is_shown(group) => None,
        count => Some(format!("{count} {}", group.in_words())),
    });
    let counts = counts.collect::<Vec<_>>().join(", ");
    let mut total = match rows.len() {
        0 => format!("no streams found {place}"),
        number => format!("{} {place}: {counts}", counted(number, "stream")),
    };
    match missing.len() {
        0 => {}
        1 => total.push_str("; 1 stream does not exist"),
        several => {
            let _ = write!(total, "; {several} streams do not exist");
        }
    }
    total
}

/// The ARNs of the keys that are not shown whole, with what is shown instead.
struct Keys(BTreeMap<String, String>);

impl Keys {
    /// The keys of `rows` and of other `texts`.
    fn of<'a>(rows: impl Iterator<Item = &'a Row>, texts: impl Iterator<Item = &'a str>) -> Self {
        let mut found: Vec<String> = texts.flat_map(key_arns).collect();
        for row in rows {
            found.extend([&row.current_key, &row.configured_key].into_iter().flatten().cloned());
            found.extend(paragraphs(row).iter().flat_map(|text| key_arns(text)));
        }
        found.retain(|key| key.starts_with("arn:"));
        found.sort_unstable();
        found.dedup();
        let short = |key: &str| {
            let shown = short_key(Some(key));
            // Two keys that look the same would be worse than a long name.
            let is_unique = found.iter().filter(|other| short_key(Some(other)) == shown).count() == 1;
            if is_unique { shown } else { key.rsplit(':').next().unwrap_or(key).to_owned() }
        };
        Self(found.iter().map(|key| (key.clone(), short(key))).collect())
    }

    fn short(&self, key: Option<&str>) -> String {
        key.and_then(|key| self.0.get(key)).cloned().unwrap_or_else(|| short_key(key))
    }

    /// The text with the short names of the keys.
    fn shortened(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (arn, short)| text.replace(arn, short))
    }
}

/// The ARNs of keys in a text.
fn key_arns(text: &str) -> Vec<String> {
    let words = text.split(|character: char| character.is_whitespace() || character == ',' || character == '"');
    words
        .map(|word| word.trim_end_matches([':', '.', ';', ')']))
        .filter(|word| word.parse::<KeyArn>().is_ok())
        .map(str::to_owned)
        .collect()
}

/// What there is to say about a stream: why, what to know, and what to do.
fn paragraphs(row: &Row) -> Vec<String> {
    let outcome = &row.outcome;
    let rule = outcome.rule.as_ref().map(|rule| format!(" {DIM}[rule {rule}]{DIM:#}")).unwrap_or_default();
    let mut paragraphs = vec![format!("{}{rule}", outcome.reason)];
    if row.is_in_audit_mode() {
        paragraphs.push(format!("{DIM}audit mode:{DIM:#} apply does not change the stream"));
    }
    paragraphs.extend(outcome.warnings.iter().map(|line| warning(&serde_json::to_value(line).unwrap_or_default())));
    paragraphs.extend(row.access.iter().flat_map(StreamAccess::lines));
    if row.require_access && row.is_to_change() {
        paragraphs.push(match (&row.access, row.held_back_by_rule()) {
            (None, _) => format!(
                "{DIM}requireAccess:{DIM:#} apply encrypts the stream only if every known user may use the key; the \
                 function does not ask IAM (--access shows the users)"
            ),
            (Some(_), Some(because)) => format!(
                "{YELLOW}held back by requireAccess:{YELLOW:#} {}; apply leaves the stream alone, but the function \
                 does not ask IAM",
                visible(&because)
            ),
            (Some(_), None) => format!("{GREEN}requireAccess:{GREEN:#} every known user may use the key"),
        });
    }
    if let Some(failure) = &outcome.error {
        paragraphs.push(format!("{DIM}remedy:{DIM:#} {}", failure.remedy));
    }
    // The line names the stream.
    match &row.arn {
        Some(arn) => paragraphs.iter().map(|text| text.replace(arn.as_str(), &row.stream)).collect(),
        None => paragraphs,
    }
}

const HEADINGS: [&str; 4] = ["stream", "state", "current key", "configured key"];

/// Four columns that fit a width, and details of each row: beside them if there is room, otherwise
/// below.
pub(super) struct Columns {
    headings: [&'static str; 4],
    widths: [usize; 4],
    /// The columns that details have.
    details: usize,
    are_beside: bool,
}

impl Columns {
    /// The columns of rows with these `cells`, in lines of at most `width`.
    pub(super) fn of(headings: [&'static str; 4], cells: impl IntoIterator<Item = [String; 4]>, width: usize) -> Self {
        let mut widths = headings.map(display_width);
        for row in cells {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = display_width(&cell).max(*width);
            }
        }
        // The mark and its gap come first.
        let taken = |widths: &[usize; 4]| GAP + widths.iter().sum::<usize>() + GAP * (widths.len() - 1);
        while taken(&widths) > width
            && let Some(widest) = widths.iter_mut().max()
        {
            *widest = widest.saturating_sub(1);
        }
        let beside = width.checked_sub(taken(&widths) + GAP).filter(|left| *left >= DETAILS_BESIDE);
        Self { headings, widths, details: beside.unwrap_or(width - 2 * GAP), are_beside: beside.is_some() }
    }

    /// The line of headings; `details` is that of the details, where they stand beside the columns.
    pub(super) fn print_headings(&self, details: &str, page: &mut Page) {
        let details = if self.are_beside { vec![details.to_owned()] } else { Vec::new() };
        self.lines(" ", self.headings.map(str::to_owned), [DIM; 4], &details, page);
    }

    /// One row with its details, one paragraph each.
    pub(super) fn print_row(
        &self,
        mark: &str,
        cells: [String; 4],
        styles: [Style; 4],
        details: &[String],
        page: &mut Page,
    ) {
        let details: Vec<_> = details.iter().flat_map(|text| wrapped(text, self.details, "  ")).collect();
        if self.are_beside {
            self.lines(mark, cells, styles, &details, page);
        } else {
            self.lines(mark, cells, styles, &[], page);
            for line in details {
                page.line(&format!("    {line}"));
            }
        }
    }

    /// A cell that is wider than its column goes on below.
    fn lines(&self, mark: &str, cells: [String; 4], styles: [Style; 4], details: &[String], page: &mut Page) {
        let mut columns: Vec<(Vec<String>, usize, Style)> = Vec::new();
        for ((cell, width), style) in cells.into_iter().zip(self.widths).zip(styles) {
            columns.push((wrapped(&cell, width, ""), width, style));
        }
        columns.push((details.to_vec(), 0, Style::new()));
        let height = columns.iter().map(|(lines, ..)| lines.len()).max().unwrap_or_default();
        for index in 0..height {
            let mut line = if index == 0 { mark.to_owned() } else { " ".to_owned() };
            line.push(' ');
            for (lines, width, style) in &columns {
                let cell = lines.get(index).map_or("", String::as_str);
                let padding = " ".repeat(width.saturating_sub(display_width(cell)) + GAP);
                // Without the style of nothing, the end of a line can be trimmed.
                let _ = match cell {
                    "" => write!(line, "{padding}"),
                    cell => write!(line, "{style}{cell}{style:#}{padding}"),
                };
            }
            page.line(line.trim_end());
        }
    }
}

/// The rows of one account and Region, by status.
fn print(rows: &[Row], view: View, keys: &Keys, columns: &Columns, page: &mut Page) {
    if rows.iter().any(|row| view.shows(row)) {
        columns.print_headings("reason", page);
    }
    for group in ORDER {
        let (mark, style) = group.marked();
        let of_group = rows.iter().filter(|row| Group::of(row) == group);
        let number = of_group.clone().count();
        if number > 0 {
            page.line("");
        }
        match number {
            0 => continue,
            _ if group == Group::Of(Status::Compliant) && !view.all => {
                page.line(&format!("{style}{mark} {number} compliant{style:#} {DIM}(--all lists them){DIM:#}"));
                continue;
            }
            _ => page.line(&format!("{style}{number} {}{style:#}", group.in_words())),
        }
        let mark = format!("{style}{mark}{style:#}");
        let plain = Style::new();
        for row in of_group {
            let details: Vec<_> = paragraphs(row).iter().map(|text| keys.shortened(text)).collect();
            columns.print_row(&mark, cells(row, keys), [BOLD, plain, plain, plain], &details, page);
        }
    }
}

fn cells(row: &Row, keys: &Keys) -> [String; 4] {
    [
        row.stream.clone(),
        row.state.clone().unwrap_or_else(|| "–".to_owned()),
        keys.short(row.current_key.as_deref()),
        keys.short(row.configured_key.as_deref()),
    ]
}

/// What is printed so far.
pub(super) struct Page {
    width: usize,
    text: String,
}

impl Page {
    pub(super) fn new(width: usize) -> Self {
        Self { width, text: String::new() }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    pub(super) fn wrapped(&mut self, indent: &str, text: &str) {
        for line in wrapped(text, self.width, indent) {
            self.line(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::mode::Mode;
    use crate::domain::outcome::{Outcome, Warning};
    use crate::domain::stream::{StreamArn, StreamRef};

    const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const ALIKE: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-0000-0000-0000-000000000000";

    fn row(name: &str, status: Status, reason: &str) -> Row {
        let arn: StreamArn = format!("arn:aws:kinesis:us-east-1:111122223333:stream/{name}").parse().expect("an ARN");
        let outcome = Outcome::new(Some(arn.to_string()), status, reason, Mode::Enforce);
        Row::new(&StreamRef::Arn(arn), Outcome { key: Some(KEY.to_owned()), ..outcome }, "us-east-1")
    }

    fn survey(rows: Vec<Row>) -> Survey {
        Survey { rows, ..Survey::default() }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_whatever_others_wrote() {
        let mut hostile = row(
            &"long-".repeat(25),
            Status::Failed,
            &format!("\u{1b}[2J\n✔ forged\u{202e} {} {} {}", "早".repeat(70), "x".repeat(150), "e\u{301}".repeat(90)),
        );
        hostile.configured_key = Some(format!("alias/{}", "ключ-".repeat(40)));
        hostile.state = Some("\u{9b}31m".repeat(5));
        hostile.outcome.rule = Some("r\u{1b}]0;title\u{7}".to_owned());
        hostile.outcome.warnings =
            vec![Warning::ExemptionExpired { reason: "\t|".repeat(60), until: "早".repeat(50) }];
        let survey = survey(vec![hostile, row("b", Status::Compliant, "fine")]);
        for width in (60..=100).chain([137, 160, 240, 500]) {
            let table = table(&survey, View { width, all: true });
            // A key's ARN stays whole, so that it can be copied.
            for line in table.lines().filter(|line| !line.starts_with("  arn:")) {
                assert!(display_width(line) <= width, "{width}: {} {line}", display_width(line));
            }
            let ours = table.split('\u{1b}').skip(1);
            assert!(ours.clone().count() > 0 && ours.into_iter().all(|rest| rest.starts_with('[')), "{table}");
            assert!(!table.contains("\u{1b}[2J") && !table.contains(['\u{9b}', '\u{202e}', '\t']), "{table}");
            let whole = table.replace(char::is_whitespace, "");
            assert!(whole.contains("<U+001B>[2J<U+000A>✔forged<U+202E>"), "{table}");
        }
    }

    #[test]
    fn no_status_is_left_out() {
        for status in Status::ALL {
            let table = table(&survey(vec![row("orders", status, "why")]), View { width: 100, all: true });
            assert!(table.contains(Group::Of(status).in_words()) && table.contains("orders"), "{table}");
        }
    }

    #[test]
    fn keys_are_short_and_never_alike() {
        let one = row("one", Status::WouldEncrypt, &format!("the stream is encrypted with another key, {ALIKE}"));
        let table = |rows: &[&Row]| {
            let rows = rows.iter().map(|row| (*row).clone()).collect();
            anstream::adapter::strip_str(&table(&survey(rows), View { width: 160, all: false })).to_string()
        };
        let other = row("other", Status::WouldEncrypt, "the stream is not encrypted");
        let printed = table(&[&other]);
        assert!(
            printed.contains("1234abcd…       the stream") && printed.ends_with(&format!("keys\n  {KEY}\n")),
            "{printed}"
        );
        let printed = table(&[&one, &other]);
        assert!(
            printed.contains("another key, key/1234abcd-0000-0000-0000-000000000000")
                && printed.contains("key/1234abcd-12ab-34cd-56ef-1234567890ab")
                && !printed.contains('…'),
            "{printed}"
        );
        let printed = table(&[&row("fine", Status::Compliant, "fine")]);
        assert!(!printed.contains("keys"), "only the keys that are shown: {printed}");
    }

    #[test]
    fn what_needs_attention_comes_first_and_accounts_and_regions_stay_apart() {
        let in_audit_mode = |name: &str| {
            let mut row = row(name, Status::WouldEncrypt, "why");
            row.outcome.mode = Mode::Audit;
            row
        };
        let of = |group: Group| match group {
            Group::Of(status) => row(status.as_str(), status, "why"),
            Group::InAuditMode => in_audit_mode("audited"),
        };
        let mut rows = ORDER.map(of).to_vec();
        rows.reverse();
        let mut elsewhere = in_audit_mode("elsewhere");
        elsewhere.account = Some("444455556666".to_owned());
        rows.push(elsewhere);
        let printed = table(&survey(rows), View { width: 100, all: true });
        let printed = anstream::adapter::strip_str(&printed).to_string();
        let places: Vec<_> = ORDER.map(|group| printed.find(&format!("\n1 {}\n", group.in_words()))).to_vec();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{printed}");
        for part in [
            "13 streams in 2 accounts or Regions: 1 failed, ",
            "1 to encrypt, 2 in audit mode, ",
            "\n12 streams in account 111122223333, us-east-1: 1 failed, ",
            "\n1 stream in account 444455556666, us-east-1: 0 to encrypt, 1 in audit mode\n",
            "audit mode: apply does not change the stream",
        ] {
            assert!(printed.contains(part), "{part}: {printed}");
        }
    }
}
