//! The structure, held by reading the source: who may know what.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::fs;
use std::path::Path;

/// The lines of code in `path` (a file or folder of `src/`), each with where it stands; comments and what follows `#[cfg(test)]` are left out.
fn code(path: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(path);
    if path.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
        entries.retain(|entry| entry.is_dir() || entry.extension().is_some_and(|extension| extension == "rs"));
        return entries.iter().flat_map(|entry| code(entry.to_str().expect("UTF-8"))).collect();
    }
    let text = fs::read_to_string(&path).expect("a file");
    let lines = text
        .lines()
        .enumerate()
        .take_while(|(_, line)| !line.contains("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"));
    lines.map(|(number, line)| (format!("{}:{}", path.display(), number + 1), line.to_owned())).collect()
}

fn none_says(paths: &[&str], words: &[&str]) {
    for path in paths {
        let lines = code(path);
        assert!(!lines.is_empty(), "{path} is empty");
        for (place, line) in lines {
            for word in words {
                assert!(!line.contains(word), "{place}: says {word}: {line}");
            }
        }
    }
}

#[test]
fn the_pure_modules_know_no_sdk_no_runtime_no_log_and_no_clock() {
    let pure = [
        "arn.rs",
        "stream.rs",
        "key.rs",
        "policy",
        "decide.rs",
        "outcome.rs",
        "quiet.rs",
        "contest.rs",
        "safety.rs",
        "failure.rs",
        "event",
    ];
    none_says(
        &pure,
        &["aws_sdk", "aws_smithy", "tokio", "tracing", "Instant", "SystemTime", "std::env", "crate::aws", "crate::clock", "crate::handler"],
    );
}

#[test]
fn only_the_aws_module_knows_the_sdk_of_what_goes_into_the_function() {
    let rest = [
        "handler",
        "fan_out.rs",
        "reconcile.rs",
        "sweep.rs",
        "exemptions.rs",
        "key_book.rs",
        "history_book.rs",
        "key_signal.rs",
        "report",
        "deadline.rs",
        "telemetry.rs",
        "main.rs",
    ];
    none_says(&rest, &["aws_sdk", "aws_smithy", "aws_types"]);
}

#[test]
fn imports_go_downwards() {
    none_says(&["aws"], &["crate::reconcile", "crate::handler", "crate::report", "crate::event", "crate::sweep"]);
    none_says(&["reconcile.rs", "key_book.rs", "history_book.rs"], &["crate::handler", "crate::report", "crate::sweep", "crate::event"]);
    none_says(&["report", "sweep.rs", "fan_out.rs"], &["crate::handler"]);
}

#[test]
fn the_embedded_aws_stays_out_of_the_function() {
    let function =
        ["handler", "fan_out.rs", "reconcile.rs", "sweep.rs", "aws", "report", "event", "main.rs", "settings.rs", "telemetry.rs"];
    none_says(&function, &["sandbox", "crate::cli"]);
}
