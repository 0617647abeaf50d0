//! How outcomes look in a terminal: in colour where somebody is looking, plain elsewhere, as
//! `NO_COLOR` and pipes demand.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use serde_json::Value;

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GREEN: Style = AnsiColor::Green.on_default();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(super) const RED: Style = AnsiColor::Red.on_default();

/// Prints a line. Whoever stopped reading (`| head`) has seen enough.
pub(super) fn say(line: &str) {
    drop(writeln!(anstream::stdout(), "{line}"));
}

/// Prints a line of warning to standard error.
pub(super) fn warn(line: &str) {
    drop(writeln!(anstream::stderr(), "{RED}error:{RED:#} {line}"));
}

/// One outcome of an answer, as lines.
pub(super) fn outcome(outcome: &Value) -> Vec<String> {
    let text = |field: &str| outcome[field].as_str().unwrap_or_default();
    let status = text("status");
    let (mark, style) = match status {
        "encrypted" | "compliant" => ("✔", GREEN),
        "would-encrypt" | "exempt" | "gone" | "deferred" | "queued" => ("•", YELLOW),
        _ => ("✘", RED),
    };
    let stream = match text("stream") {
        "" if outcome["error"]["step"] == "read-event" => "the payload",
        "" => "the whole fleet",
        stream => stream.rsplit_once("stream/").map_or(stream, |(_, name)| name),
    };
    let waited = match outcome["waitedMs"].as_u64() {
        Some(waited @ 1..) => format!("{DIM}, waited {waited} ms{DIM:#}"),
        _ => String::new(),
    };
    let mut lines = vec![format!("{style}{mark} {status}{style:#} {BOLD}{stream}{BOLD:#}: {}{waited}", text("reason"))];
    if let Some(remedy) = outcome["error"]["remedy"].as_str() {
        lines.push(format!("  {DIM}remedy:{DIM:#} {remedy}"));
    }
    for warning in outcome["warnings"].as_array().into_iter().flatten() {
        lines.push(format!("  {}", self::warning(warning)));
    }
    lines
}

/// A warning: what it is, and its fields.
pub(super) fn warning(warning: &Value) -> String {
    let text = match warning["code"].as_str().unwrap_or_default() {
        "exemption-expired" => "the exemption has expired, and the stream is enforced again",
        "exemption-without-end" => "the exemption has no end; give it one with until",
        "previous-key-still-needed" => {
            "do not disable or delete the present key yet: consumers need it for the records that it encrypted"
        }
        "consumers-need-decrypt" => "registered consumers need kms:Decrypt on the new key",
        "key-policy-without-iam" => {
            "the key policy does not leave it to IAM: producers and consumers need statements in it"
        }
        "cross-account-needs-decrypt" => {
            "other accounts may use the stream, but not the new key: allow them kms:Decrypt in its policy"
        }
        "key-policy-unreadable" => {
            "the key's policy cannot be read: whether producers and consumers may use it is not known"
        }
        "stream-policy-unreadable" => "the stream's policy cannot be read: whether other accounts use it is not known",
        "start-answer-lost" => "the answer to the start was lost; what was seen afterwards is what counts",
        "undone-by" => "somebody else changed the stream's encryption",
        other => other,
    };
    let fields = warning.as_object().into_iter().flatten().filter(|(name, value)| *name != "code" && !value.is_null());
    let fields: Vec<_> = fields
        .map(|(name, value)| format!("{name} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    let fields = if fields.is_empty() { String::new() } else { format!(" {DIM}({}){DIM:#}", fields.join(", ")) };
    format!("{YELLOW}warning:{YELLOW:#} {text}{fields}")
}

/// A whole answer, as lines.
pub(super) fn answer(answer: &Value) -> Vec<String> {
    let trigger = &answer["trigger"];
    let mut lines = Vec::new();
    if let Some(reason) = trigger["reason"].as_str().filter(|_| trigger["kind"] == "ignored") {
        lines.push(format!("{YELLOW}• ignored{YELLOW:#}: {reason}"));
    }
    lines.extend(answer["outcomes"].as_array().into_iter().flatten().flat_map(outcome));
    let summary = answer["summary"].as_object().into_iter().flatten();
    let counts: Vec<_> = summary.map(|(status, count)| format!("{count} {status}")).collect();
    if !counts.is_empty() {
        lines.push(format!("{DIM}{}{DIM:#}", counts.join(", ")));
    }
    if lines.is_empty() {
        lines.push(format!("{YELLOW}• nothing to do{YELLOW:#}: there is no stream to look at"));
    }
    if let Some(after) = answer["continueAfter"].as_str() {
        lines
            .push(format!("{YELLOW}not finished{YELLOW:#}: go on with {{\"sweep\": true, \"startAfter\": {after:?}}}"));
    }
    lines
}
