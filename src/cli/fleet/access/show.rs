//! The answers as a table for people, which begins with those who would lose access.

use std::collections::BTreeMap;

use anstyle::Style;

use super::super::answer::{ANSWERS, Counts, Line, StreamAccess, lines_of};
use super::super::table::{Columns, Page};
use super::Answers;
use crate::access::{Reason, Verdict};
use crate::cli::paint::{BOLD, DIM, GREEN, RED, YELLOW, counted};
use crate::cli::visible::visible;
use crate::domain::outcome::Status;

const HEADINGS: [&str; 4] = ["stream", "principal", "as", "key"];

impl Answers {
    /// What a person reads, in lines of at most `width` columns.
    pub(crate) fn table(&self, width: usize) -> String {
        let mut page = Page::new(width);
        for failed in &self.failed_regions {
            page.wrapped("  ", &format!("{RED}✘{RED:#} {}", visible(failed)));
        }
        let mut places = BTreeMap::<(&str, &str), Vec<&StreamAccess>>::new();
        for stream in &self.streams {
            let account = stream.account.as_deref().unwrap_or("unknown");
            places.entry((account, &stream.region)).or_default().push(stream);
        }
        let columns = Columns::of(HEADINGS, self.streams.iter().flat_map(lines_of).map(|line| cells(&line)), width);
        for ((account, region), streams) in &places {
            page.wrapped("", &format!("{BOLD}account {account}, {}{BOLD:#}", visible(*region)));
            page.line("");
            table(streams, &columns, &mut page);
            without_users(streams, &mut page);
        }
        if places.is_empty() && self.failed_regions.is_empty() {
            page.line("no streams found");
        }
        for not_read in &self.not_read {
            page.wrapped("  ", &format!("{YELLOW}not read:{YELLOW:#} {}", visible(not_read)));
        }
        if !self.not_read.is_empty() {
            page.line("");
        }
        self.summary(&mut page);
        page.into_text()
    }

    fn summary(&self, page: &mut Page) {
        let counts = self.counts();
        let of = format!("{} of {}", counted(counts.total(), "use"), counted(self.streams.len(), "stream"));
        let Counts { no, unknown, gone, yes } = counts;
        let [without, not_known, no_longer, with] = ANSWERS;
        let gone = if gone > 0 { format!(", {gone} {no_longer}") } else { String::new() };
        page.wrapped("  ", &format!("{BOLD}{of}: {no} {without}{BOLD:#}, {unknown} {not_known}{gone}, {yes} {with}"));
        if !self.not_read.is_empty() {
            page.wrapped("  ", &format!("{YELLOW}users may be missing:{YELLOW:#} not every source was read"));
        }
        let mends =
            |verdict: &Verdict| matches!(verdict, Verdict::No(Reason::IdentityPolicyLacks | Reason::KeyPolicyLacks));
        if self.streams.iter().flat_map(|stream| &stream.users).any(|user| mends(&user.verdict)) {
            let fix = "for the least statements that allow it.";
            page.wrapped("", &format!("Run the same command with {BOLD}--fix{BOLD:#} {fix}"));
        }
    }
}

fn table(streams: &[&StreamAccess], columns: &Columns, page: &mut Page) {
    let mut lines: Vec<_> = streams.iter().copied().flat_map(lines_of).collect();
    if lines.is_empty() {
        return;
    }
    // Those of a rank stay in the order of streams and principals.
    lines.sort_by_key(Line::rank);
    columns.print_headings("reason", page);
    for line in &lines {
        let (mark, style) = mark(&line.user.verdict);
        let plain = Style::new();
        let reason = (line.user.verdict != Verdict::Yes).then(|| visible(&line.reason()));
        let known_by = format!("{DIM}known by: {}{DIM:#}", visible(&line.known_by()));
        let details: Vec<_> = reason.into_iter().chain([known_by]).collect();
        columns.print_row(&format!("{style}{mark}{style:#}"), cells(line), [plain, BOLD, plain, style], &details, page);
    }
    page.line("");
}

/// The streams of which no user is known, and those that are not asked about.
fn without_users(streams: &[&StreamAccess], page: &mut Page) {
    let names = |matches: &dyn Fn(&&&StreamAccess) -> bool| {
        streams.iter().filter(matches).map(|stream| visible(&stream.stream)).collect::<Vec<_>>().join(", ")
    };
    let no_user = names(&|stream| stream.has_no_known_user());
    let exempt = names(&|stream| stream.key.is_none() && stream.status == Status::Exempt);
    let others: Vec<_> =
        streams.iter().filter(|stream| stream.key.is_none() && stream.status != Status::Exempt).collect();
    if no_user.is_empty() && exempt.is_empty() && others.is_empty() {
        return;
    }
    if !no_user.is_empty() {
        page.wrapped("  ", &format!("{YELLOW}no user is known:{YELLOW:#} {no_user}"));
    }
    if !exempt.is_empty() {
        page.wrapped("  ", &format!("{DIM}exempt, so no key is applied:{DIM:#} {exempt}"));
    }
    for stream in others {
        page.wrapped("  ", &format!("{RED}✘{RED:#} {}: {}", visible(&stream.stream), visible(&stream.reason)));
    }
    page.line("");
}

fn mark(verdict: &Verdict) -> (&'static str, Style) {
    match verdict {
        Verdict::No(_) => ("✘", RED),
        Verdict::Unknown(_) => ("?", YELLOW),
        Verdict::Gone => ("•", DIM),
        Verdict::Yes => ("✔", GREEN),
    }
}

fn cells(line: &Line<'_>) -> [String; 4] {
    [visible(&line.stream.stream), line.principal(), line.uses().to_owned(), line.answer().to_owned()]
}
