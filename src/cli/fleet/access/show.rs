//! The answers as a table for people, which begins with those who would lose access.

use std::collections::BTreeMap;

use anstyle::Style;
use serde_json::{Value, json};

use super::super::table::{Columns, Page};
use super::Answers;
use super::assess::{StreamAccess, UserAccess};
use super::page::{ANSWERS, Counts};
use crate::access::{Action, Principal, Reason, Verdict};
use crate::cli::paint::{BOLD, DIM, GREEN, RED, YELLOW, counted};
use crate::cli::visible::visible;
use crate::domain::outcome::Status;

const HEADINGS: [&str; 4] = ["stream", "principal", "as", "key"];

/// A principal that is longer than this is shown without its path.
const WIDEST: usize = 44;

/// One line of the table.
pub(in crate::cli::fleet) struct Line<'a> {
    pub(in crate::cli::fleet) stream: &'a StreamAccess,
    pub(in crate::cli::fleet) user: &'a UserAccess,
}

impl Line<'_> {
    /// Where the line stands: those who would lose access first.
    pub(in crate::cli::fleet) fn rank(&self) -> u8 {
        match self.user.verdict {
            Verdict::No(_) => 0,
            Verdict::Unknown(_) => 1,
            Verdict::Gone => 2,
            Verdict::Yes => 3,
        }
    }

    fn mark(&self) -> (&'static str, Style) {
        match self.user.verdict {
            Verdict::No(_) => ("✘", RED),
            Verdict::Unknown(_) => ("?", YELLOW),
            Verdict::Gone => ("•", DIM),
            Verdict::Yes => ("✔", GREEN),
        }
    }

    pub(in crate::cli::fleet) fn answer(&self) -> &'static str {
        match self.user.verdict {
            Verdict::No(_) if self.stream.is_to_change() => "loses access",
            Verdict::No(_) => "has no access",
            Verdict::Unknown(_) => "unknown",
            Verdict::Gone => "gone",
            Verdict::Yes => "yes",
        }
    }

    pub(in crate::cli::fleet) fn reason(&self) -> String {
        match &self.user.verdict {
            Verdict::No(reason) => reason.to_string(),
            Verdict::Unknown(why) => why.clone(),
            Verdict::Gone => "the principal no longer exists".to_owned(),
            Verdict::Yes => String::new(),
        }
    }

    pub(in crate::cli::fleet) fn uses(&self) -> &'static str {
        match self.user.action {
            Action::GenerateDataKey => "producer",
            Action::Decrypt => "consumer",
        }
    }

    fn cells(&self) -> [String; 4] {
        [visible(&self.stream.stream), self.principal(), self.uses().to_owned(), self.answer().to_owned()]
    }

    pub(in crate::cli::fleet) fn known_by(&self) -> String {
        self.user.known_by.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    /// The principal in few characters: without what it shares with the stream.
    pub(in crate::cli::fleet) fn principal(&self) -> String {
        let text = visible(&self.user.principal);
        let (Principal::Role { account, .. } | Principal::User { account, .. }) = &self.user.principal else {
            return text;
        };
        if Some(account.as_str()) != self.stream.account.as_deref() {
            return text;
        }
        match (text.split_once(&format!("::{account}:")), &self.user.principal) {
            // A service-linked role has a long path.
            (Some((_, shown)), Principal::Role { name, .. }) if shown.chars().count() > WIDEST => {
                format!("role/…/{name}")
            }
            (Some((_, shown)), _) => shown.to_owned(),
            (None, _) => text,
        }
    }
}

impl StreamAccess {
    /// The users who lose access when the stream gets its key, in words.
    pub(in crate::cli::fleet) fn losses(&self) -> impl Iterator<Item = String> {
        let stream = visible(&self.stream);
        self.lost().map(move |line| format!("{} as a {} of {stream}", line.principal(), line.uses()))
    }

    /// The same as JSON.
    pub(in crate::cli::fleet) fn losses_as_json(&self) -> impl Iterator<Item = Value> {
        self.lost().map(|Line { stream, user }| {
            let (principal, action) = (user.principal.to_string(), user.action);
            json!({"stream": stream.stream, "region": stream.region, "principal": principal, "action": action})
        })
    }

    fn lost(&self) -> impl Iterator<Item = Line<'_>> {
        lines_of(self).filter(|line| matches!(line.user.verdict, Verdict::No(_)))
    }

    /// The lines of a plan about the stream's users: those who lose access, and how many answers are
    /// not known.
    pub(in crate::cli::fleet) fn lines(&self) -> Vec<String> {
        let lost = self.lost().map(|line| {
            let (answer, uses) = (line.answer(), line.uses());
            format!("{RED}{answer}:{RED:#} {} as a {uses}: {}", line.principal(), visible(&line.reason()))
        });
        let unknown = self.users.iter().filter(|user| matches!(user.verdict, Verdict::Unknown(_))).count();
        let unknown = (unknown > 0).then(|| {
            format!(
                "{YELLOW}access unknown:{YELLOW:#} {}, see enforcer access {}",
                counted(unknown, "user"),
                self.stream
            )
        });
        lost.chain(unknown).collect()
    }
}

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
        let columns = Columns::of(HEADINGS, self.streams.iter().flat_map(lines_of).map(|line| line.cells()), width);
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
        let uses = self.streams.iter().map(|stream| stream.users.len()).sum();
        let of = format!("{} of {}", counted(uses, "use"), counted(self.streams.len(), "stream"));
        let Counts { no, unknown, gone, yes } = Counts::of(self.streams.iter().flat_map(|stream| &stream.users));
        let [without, not_known, no_longer, with] = ANSWERS;
        let gone = if gone > 0 { format!(", {gone} {no_longer}") } else { String::new() };
        page.wrapped("  ", &format!("{BOLD}{of}: {no} {without}{BOLD:#}, {unknown} {not_known}{gone}, {yes} {with}"));
        if !self.not_read.is_empty() {
            page.wrapped("  ", &format!("{YELLOW}users may be missing:{YELLOW:#} not every source was read"));
        }
        let mends =
            |verdict: &Verdict| matches!(verdict, Verdict::No(Reason::IdentityPolicyLacks | Reason::KeyPolicyLacks));
        if self.count(mends) > 0 {
            let fix = "for the least statements that allow it.";
            page.wrapped("", &format!("Run the same command with {BOLD}--fix{BOLD:#} {fix}"));
        }
    }
}

/// The lines about one stream.
fn lines_of(stream: &StreamAccess) -> impl Iterator<Item = Line<'_>> {
    stream.users.iter().map(move |user| Line { stream, user })
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
        let (mark, style) = line.mark();
        let plain = Style::new();
        let reason = (line.user.verdict != Verdict::Yes).then(|| visible(&line.reason()));
        let known_by = format!("{DIM}known by: {}{DIM:#}", visible(&line.known_by()));
        let details: Vec<_> = reason.into_iter().chain([known_by]).collect();
        columns.print_row(
            &format!("{style}{mark}{style:#}"),
            line.cells(),
            [plain, BOLD, plain, style],
            &details,
            page,
        );
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
