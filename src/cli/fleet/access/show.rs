//! The answers as a table for people, which begins with those who would lose access.

use std::collections::BTreeMap;
use std::fmt;

use anstyle::Style;

use super::Answers;
use super::assess::{StreamAccess, UserAccess};
use crate::access::{Action, Principal, Reason, Verdict};
use crate::cli::paint::{BOLD, DIM, GREEN, RED, YELLOW, counted};
use crate::cli::visible::visible;
use crate::domain::outcome::Status;

/// One line of the table.
struct Line<'a> {
    stream: &'a StreamAccess,
    user: &'a UserAccess,
}

impl Line<'_> {
    /// Where the line stands: those who would lose access first.
    fn rank(&self) -> u8 {
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

    fn answer(&self) -> &'static str {
        match self.user.verdict {
            Verdict::No(_) if self.stream.is_to_change() => "loses access",
            Verdict::No(_) => "has no access",
            Verdict::Unknown(_) => "unknown",
            Verdict::Gone => "gone",
            Verdict::Yes => "yes",
        }
    }

    fn reason(&self) -> String {
        match &self.user.verdict {
            Verdict::No(reason) => reason.to_string(),
            Verdict::Unknown(why) => why.clone(),
            Verdict::Gone => "the principal no longer exists".to_owned(),
            Verdict::Yes => String::new(),
        }
    }

    fn uses(&self) -> &'static str {
        match self.user.action {
            Action::GenerateDataKey => "producer",
            Action::Decrypt => "consumer",
        }
    }

    /// The principal in few characters: without what it shares with the stream.
    fn principal(&self) -> String {
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
    /// The lines of a plan about the stream's users: those who lose access, and how many answers are
    /// not known.
    pub(in crate::cli::fleet) fn lines(&self) -> Vec<String> {
        let all: Vec<_> = self.users.iter().map(|user| Line { stream: self, user }).collect();
        let lost = all.iter().filter(|line| matches!(line.user.verdict, Verdict::No(_)));
        let lost = lost.map(|line| {
            let (answer, uses) = (line.answer(), line.uses());
            format!("{RED}{answer}:{RED:#} {} as a {uses}: {}", line.principal(), visible(&line.reason()))
        });
        let unknown = all.iter().filter(|line| matches!(line.user.verdict, Verdict::Unknown(_))).count();
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

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failed in &self.failed_regions {
            writeln!(f, "{RED}✘{RED:#} {}", visible(failed))?;
        }
        let mut places = BTreeMap::<(&str, &str), Vec<&StreamAccess>>::new();
        for stream in &self.streams {
            let account = stream.account.as_deref().unwrap_or("unknown");
            places.entry((account, &stream.region)).or_default().push(stream);
        }
        for ((account, region), streams) in &places {
            writeln!(f, "{BOLD}account {account}, {}{BOLD:#}\n", visible(*region))?;
            table(streams, f)?;
            without_users(streams, f)?;
        }
        if places.is_empty() && self.failed_regions.is_empty() {
            writeln!(f, "no streams found")?;
        }
        for not_read in &self.not_read {
            writeln!(f, "{YELLOW}not read:{YELLOW:#} {}", visible(not_read))?;
        }
        if !self.not_read.is_empty() {
            writeln!(f)?;
        }
        self.summary(f)
    }
}

impl Answers {
    fn summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |noun: &str, number: usize| counted(number, noun);
        let uses = self.streams.iter().map(|stream| stream.users.len()).sum();
        write!(f, "{BOLD}{} of {}: ", count("use", uses), count("stream", self.streams.len()))?;
        let (no, unknown) = (self.no(), self.unknown());
        write!(f, "{no} without access to the key{BOLD:#}, {unknown} unknown")?;
        let gone = self.count(|verdict| *verdict == Verdict::Gone);
        if gone > 0 {
            write!(f, ", {gone} gone")?;
        }
        write!(f, ", {} yes", self.count(|verdict| *verdict == Verdict::Yes))?;
        if !self.not_read.is_empty() {
            write!(f, "\n{YELLOW}users may be missing:{YELLOW:#} not every source was read")?;
        }
        let mends =
            |verdict: &Verdict| matches!(verdict, Verdict::No(Reason::IdentityPolicyLacks | Reason::KeyPolicyLacks));
        if self.count(mends) > 0 {
            write!(f, "\nRun the same command with {BOLD}--fix{BOLD:#} for the least statements that allow it.")?;
        }
        Ok(())
    }
}

fn table(streams: &[&StreamAccess], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let of = |stream: &'_ &StreamAccess| stream.users.len();
    if streams.iter().map(of).sum::<usize>() == 0 {
        return Ok(());
    }
    let mut lines: Vec<_> =
        streams.iter().flat_map(|stream| stream.users.iter().map(|user| Line { stream, user })).collect();
    // Those of a rank stay in the order of streams and principals.
    lines.sort_by_key(Line::rank);
    let headings = ["stream", "principal", "as", "key"];
    let cells: Vec<[String; 4]> = lines
        .iter()
        .map(|line| [visible(&line.stream.stream), line.principal(), line.uses().to_owned(), line.answer().to_owned()])
        .collect();
    let width = |column: usize| {
        let widths = cells.iter().map(|row| row[column].chars().count()).filter(|width| *width <= WIDEST);
        widths.chain([headings[column].len()]).max().unwrap_or_default()
    };
    let widths = [0, 1, 2, 3].map(width);
    write!(f, "  {DIM}")?;
    for (heading, width) in headings.iter().zip(widths).take(3) {
        write!(f, "{heading:<width$}  ")?;
    }
    writeln!(f, "{}{DIM:#}", headings[3])?;
    for (line, [stream, principal, uses, answer]) in lines.iter().zip(&cells) {
        let (mark, style) = line.mark();
        let [first, second, third, _] = widths;
        writeln!(
            f,
            "{style}{mark}{style:#} {stream:<first$}  {BOLD}{principal:<second$}{BOLD:#}  {uses:<third$}  \
             {style}{answer}{style:#}"
        )?;
        if line.user.verdict != Verdict::Yes {
            writeln!(f, "    {}", visible(&line.reason()))?;
        }
        let known: Vec<_> = line.user.known_by.iter().map(ToString::to_string).collect();
        writeln!(f, "    {DIM}known by: {}{DIM:#}", visible(&known.join("; ")))?;
    }
    writeln!(f)
}

/// A cell that is longer than this does not widen its column.
const WIDEST: usize = 44;

/// The streams of which no user is known, and those that are not asked about.
fn without_users(streams: &[&StreamAccess], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let names = |matches: &dyn Fn(&&&StreamAccess) -> bool| {
        streams.iter().filter(matches).map(|stream| visible(&stream.stream)).collect::<Vec<_>>().join(", ")
    };
    let no_user = names(&|stream| stream.key.is_some() && stream.users.is_empty());
    let exempt = names(&|stream| stream.key.is_none() && stream.status == Status::Exempt);
    let others: Vec<_> =
        streams.iter().filter(|stream| stream.key.is_none() && stream.status != Status::Exempt).collect();
    if no_user.is_empty() && exempt.is_empty() && others.is_empty() {
        return Ok(());
    }
    if !no_user.is_empty() {
        writeln!(f, "{YELLOW}no user is known:{YELLOW:#} {no_user}")?;
    }
    if !exempt.is_empty() {
        writeln!(f, "{DIM}exempt, so no key is applied:{DIM:#} {exempt}")?;
    }
    for stream in others {
        writeln!(f, "{RED}✘{RED:#} {}: {}", visible(&stream.stream), visible(&stream.reason))?;
    }
    writeln!(f)
}
