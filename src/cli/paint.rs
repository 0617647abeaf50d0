//! The one place that writes to the terminal: lines, warnings, errors, prompts, and how answers and
//! outcomes look. What others wrote is made visible here or, where it meets our own lines and
//! colours, before.
//!
//! Output has colours on a terminal, and none in a pipe or with [`NO_COLOR`](https://no-color.org).

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;

use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use terminal_size::{Height, Width, terminal_size_of};
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm, wrap};

use super::input::reason;
use super::visible::{harmless, visible, visible_texts};
use crate::settings::Environment;

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GREEN: Style = AnsiColor::Green.on_default();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(super) const RED: Style = AnsiColor::Red.on_default();

/// Why the first write to standard output failed, if one did.
static UNWRITTEN: OnceLock<io::Error> = OnceLock::new();

/// Prints a line to standard output. If that fails, [`unwritten`] says so.
pub(super) fn print_line(line: &str) {
    note(writeln!(anstream::stdout(), "{}", harmless(line)));
}

/// Remembers a failed write to standard output. A reader that has closed the pipe (`| head`) has
/// all that it wants.
pub(super) fn note(written: io::Result<()>) {
    if let Err(error) = written.and_then(|()| io::stdout().flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        drop(UNWRITTEN.set(error));
    }
}

/// Why standard output is not complete; `None` if it is.
pub(super) fn unwritten() -> Option<String> {
    UNWRITTEN.get().map(|error| format!("cannot write to standard output: {}", reason(error)))
}

/// The columns of a table in a pipe or a file: the same everywhere, and few enough for a ticket.
pub(super) const WIDTH_OF_FILE: usize = 100;
/// The fewest columns that a table is made for.
const NARROWEST: usize = 60;

/// How many columns a table on standard output may have: `COLUMNS`, or as many as the terminal has.
pub(super) fn width() -> usize {
    columns_of(terminal_size_of(io::stdout())).unwrap_or(WIDTH_OF_FILE)
}

/// `COLUMNS`, or the columns of the terminal; `None` in a pipe.
fn columns_of(terminal: Option<(Width, Height)>) -> Option<usize> {
    let asked = Environment::of_process().get("COLUMNS").and_then(|columns| columns.parse().ok());
    let of_terminal = || terminal.map(|(Width(columns), _)| usize::from(columns));
    asked.filter(|columns| *columns > 0).or_else(of_terminal).map(|columns: usize| columns.max(NARROWEST))
}

/// Prints a sentence for people to standard output, wrapped at words with a hanging indent. In a
/// pipe it stays one line, which other programs can search.
pub(super) fn print_text(line: &str) {
    let Some(width) = columns_of(terminal_size_of(io::stdout())) else { return print_line(line) };
    let indent = " ".repeat(line.chars().take_while(|character| *character == ' ').count() + 2);
    for part in wrapped(line, width, &indent) {
        print_line(&part);
    }
}

/// Lines of at most `width` columns; all but the first begin with `indent`. A word that is longer
/// than a line is broken.
pub(super) fn wrapped(text: &str, width: usize, indent: &str) -> Vec<String> {
    let options = Options::new(width)
        .word_separator(WordSeparator::AsciiSpace)
        // Names have hyphens.
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit)
        .subsequent_indent(indent);
    wrap(text, options).into_iter().map(|line| line.trim_end().to_owned()).collect()
}

/// The text as it is without a terminal.
pub(super) fn without_colours(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// Prints a warning to standard error.
pub(super) fn print_warning(line: &str) {
    print_to_stderr(&format!("{YELLOW}warning:{YELLOW:#} {}", harmless(line)));
}

/// Prints to standard error what is waited for, where no terminal can show it.
pub(super) fn print_waiting(line: &str) {
    print_to_stderr(&format!("{DIM}waiting: {}{DIM:#}", harmless(line)));
}

/// Prints to standard error what a person may want to know.
pub(super) fn print_note(line: &str) {
    print_to_stderr(&format!("{DIM}note: {}{DIM:#}", harmless(line)));
}

/// Prints an error to standard error.
pub(super) fn print_error(line: &str) {
    print_to_stderr(&format!("{RED}error:{RED:#} {}", harmless(line)));
}

/// Prints a text to standard error, wrapped at words on a terminal. There is no other place to
/// report a failure of this.
fn print_to_stderr(text: &str) {
    let lines = match columns_of(terminal_size_of(io::stderr())) {
        Some(width) => wrapped(text, width, "  "),
        None => vec![text.to_owned()],
    };
    clear_line();
    for line in lines {
        drop(writeln!(anstream::stderr(), "{line}"));
    }
}

/// Clears the line of a terminal: what is waited for may still be shown on it. `NO_COLOR` does not
/// turn it off. A terminal that cannot clear a line does not show what is waited for either.
fn clear_line() {
    let terminal = Environment::of_process().get("TERM").map(str::to_owned);
    let can_clear = cfg!(windows) || terminal.is_some_and(|terminal| terminal != "dumb");
    if can_clear && io::stderr().is_terminal() {
        drop(io::stderr().write_all(b"\r\x1b[2K"));
    }
}

/// Asks whether to go ahead with `action`, such as "delete 3 messages"; `note` is what to know
/// before.
///
/// # Errors
/// There is no terminal to prompt on; the message then names `--yes`.
pub(super) fn confirm(action: &str, note: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("not a terminal, cannot prompt: pass --yes to {action}");
    }
    let question = format!("About to {}. {note} Continue? {DIM}[y/N]{DIM:#}", visible(action));
    Ok(matches!(prompt(&question)?.as_deref(), Some("y" | "Y" | "yes")))
}

/// Asks `question` on standard error; the answer is `None` at the end of the input.
pub(super) fn prompt(question: &str) -> Result<Option<String>> {
    clear_line();
    let mut error_stream = anstream::stderr();
    write!(error_stream, "{} ", harmless(question))
        .and_then(|()| error_stream.flush())
        .context("cannot write the prompt")?;
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    Ok((read > 0).then(|| answer.trim().to_owned()))
}

/// A time as an RFC 3339 text, to the second.
pub(super) fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A number of things: "1 stream", "2 streams".
pub(super) fn counted(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// One outcome of an answer, as lines.
pub(super) fn outcome(outcome: &Value) -> Vec<String> {
    let outcome = &visible_texts(outcome);
    let text = |field: &str| outcome[field].as_str().unwrap_or_default();
    let status = text("status");
    let (mark, style) = match status {
        "encrypted" | "compliant" => ("✔", GREEN),
        "would-encrypt" | "exempt" | "gone" | "deferred" | "queued" => ("•", YELLOW),
        _ => ("✘", RED),
    };
    let stream = match text("stream") {
        "" if outcome["error"]["step"] == "read-event" => "the payload",
        "" if outcome["error"]["step"] == "check-target" => "the request",
        // The reason says that the stream is not known.
        "" if status == "access-denied" => "",
        "" => "all streams",
        stream => stream.rsplit_once("stream/").map_or(stream, |(_, name)| name),
    };
    let waited = match outcome["waitedMs"].as_u64() {
        Some(waited @ 1..) => format!(" {DIM}(waited {waited} ms){DIM:#}"),
        _ => String::new(),
    };
    let stream = if stream.is_empty() { String::new() } else { format!(" {BOLD}{stream}{BOLD:#}") };
    let mut lines = vec![format!("{style}{mark} {status}{style:#}{stream}: {}{waited}", text("reason"))];
    if let Some(remedy) = outcome["error"]["remedy"].as_str() {
        lines.push(format!("  {DIM}remedy:{DIM:#} {remedy}"));
    }
    for warning in outcome["warnings"].as_array().into_iter().flatten() {
        lines.push(format!("  {}", self::warning(warning)));
    }
    lines
}

/// A warning of an outcome, as a line.
pub(super) fn warning(warning: &Value) -> String {
    format!("{YELLOW}warning:{YELLOW:#} {}", warning_text(warning))
}

/// A warning of an outcome, as a sentence.
pub(super) fn warning_text(warning: &Value) -> String {
    let warning = &visible_texts(warning);
    let field = |name: &str| warning[name].as_str().unwrap_or("unknown");
    match warning["code"].as_str().unwrap_or_default() {
        "exemption-expired" => format!(
            "the exemption ended on {}, and the stream is enforced again (reason of the exemption: {})",
            field("until"),
            field("reason")
        ),
        "exemption-without-end" => "the exemption has no end date: add one with \"until\"".to_owned(),
        "previous-key-still-needed" => {
            let until = warning["until"].as_str().unwrap_or("the end of the retention period");
            format!(
                "do not disable or delete the current key {} before {until}: \
                 consumers need it to read the records that it encrypted",
                field("key")
            )
        }
        "consumers-need-decrypt" => match warning["consumers"].as_u64().unwrap_or_default() {
            1 => "1 registered consumer needs kms:Decrypt on the new key".to_owned(),
            consumers => format!("{consumers} registered consumers need kms:Decrypt on the new key"),
        },
        "channels-need-decrypt" => match warning["channels"].as_u64().unwrap_or_default() {
            1 => "1 delivery channel reads the stream: its role needs kms:Decrypt on the new key".to_owned(),
            channels => {
                format!("{channels} delivery channels read the stream: their roles need kms:Decrypt on the new key")
            }
        },
        "queue-readers-need-decrypt" => match warning["queues"].as_u64().unwrap_or_default() {
            1 => "the stream has 1 queue: its readers need kms:Decrypt on the new key".to_owned(),
            queues => format!("the stream has {queues} queues: their readers need kms:Decrypt on the new key"),
        },
        "key-policy-without-iam" => format!(
            "the policy of key {} does not enable IAM policies: allow producers and consumers in the key policy itself",
            field("key")
        ),
        "cross-account-needs-decrypt" => {
            let principals = warning["principals"].as_array().into_iter().flatten().filter_map(Value::as_str);
            format!(
                "other accounts may use the stream, but not the new key: allow kms:Decrypt in its key policy for {}",
                principals.collect::<Vec<_>>().join(", ")
            )
        }
        "key-policy-unreadable" => format!(
            "cannot read the policy of key {}, so the permissions of producers and consumers are not checked: {}",
            field("key"),
            field("because")
        ),
        "stream-policy-unreadable" => {
            format!(
                "cannot read the stream's resource policy, so access by other accounts is not checked: {}",
                field("because")
            )
        }
        "calls-failed" => {
            let applied = warning["appliedAt"].as_str().map(|at| format!(", since the key was applied at {at}"));
            let count = warning["count"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
            let (calls, first, last) = (counted(count, "call"), field("first"), field("last"));
            let when = if first == last { format!("at {last}") } else { format!("from {first} to {last}") };
            format!("{calls} failed with {}, {when}{}", field("error"), applied.unwrap_or_default())
        }
        "halted" => format!("sweeps change no stream since {}: {}", field("since"), field("because")),
        "halt-used-up" => {
            format!("sweeps change streams again, although {}: they were halted for four hours", field("because"))
        }
        "not-reapplied" => format!("the key was not re-applied: {}", field("because")),
        "key-by-foreign-alias" => format!(
            "the stream stores its key {} by {}, which is not a configured alias: \
             whoever may re-point the alias might change what encrypts the stream",
            field("key"),
            field("alias")
        ),
        "start-answer-lost" => "the response to StartStreamEncryption was lost; the outcome is what \
                                DescribeStreamSummary showed afterwards"
            .to_owned(),
        "undone-by" => {
            let times = match warning["times"].as_u64() {
                Some(times @ 2..) => format!(", {times} times in the last 24 hours"),
                _ => String::new(),
            };
            let agent = warning["userAgent"].as_str().map(|agent| format!(" with {agent}")).unwrap_or_default();
            let principal = warning["arn"].as_str().unwrap_or("another principal");
            format!("{principal} changed the stream's encryption at {}{times}{agent}", field("at"))
        }
        // A code of a newer version: show its fields.
        code => format!("{code} {warning}"),
    }
}

/// A whole answer, as lines.
pub(super) fn answer(answer: &Value) -> Vec<String> {
    let answer = &visible_texts(answer);
    let trigger = &answer["trigger"];
    let mut lines = Vec::new();
    if let Some(reason) = trigger["reason"].as_str().filter(|_| trigger["kind"] == "ignored") {
        lines.push(format!("{YELLOW}• ignored{YELLOW:#}: {reason}"));
    }
    lines.extend(answer["outcomes"].as_array().into_iter().flatten().flat_map(outcome));
    let counts = status_counts(answer);
    if !counts.is_empty() {
        lines.push(format!("{DIM}{counts}{DIM:#}"));
    }
    if lines.is_empty() {
        lines.push(format!("{YELLOW}• nothing to do{YELLOW:#}: no streams found"));
    }
    if let Some(after) = answer["continueAfter"].as_str() {
        lines.push(format!(
            "{YELLOW}not finished{YELLOW:#}: continue with {{\"sweep\": true, \"startAfter\": {after:?}}}"
        ));
    }
    lines
}

/// The summary of an answer: "2 encrypted, 1 failed".
pub(super) fn status_counts(answer: &Value) -> String {
    let summary = answer["summary"].as_object().into_iter().flatten();
    summary.map(|(status, count)| visible(&format!("{count} {status}"))).collect::<Vec<_>>().join(", ")
}
