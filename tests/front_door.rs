//! README.md as a new user follows it: every command is run, or parsed where it needs an account, and
//! prints what the page promises. And the pages behind it say what they are for in few words.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const README: &str = include_str!("../README.md");
const CARGO_RUN: &str = "cargo run -- ";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The commands in the blocks of shell of a document, without their comments.
fn commands(document: &str) -> Vec<&str> {
    let blocks = document.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).map(|line| line.split(" # ").next().unwrap_or_default().trim()).collect()
}

/// Runs a command of the terminal program in a folder that has the samples and nothing else.
fn run(folder: &Path, command: &str) -> Output {
    let arguments = command.strip_prefix(CARGO_RUN).expect("a command of the terminal program");
    Command::new(env!("CARGO_BIN_EXE_enforcer"))
        .args(arguments.split(' '))
        .current_dir(folder)
        .env_clear()
        .output()
        .expect("the program runs")
}

/// What a new user sees: the command, its exit code, and texts that its output has.
const TRIED: [(&str, i32, &[&str]); 8] = [
    ("demo", 0, &["encrypted orders", "key-at-risk", "All steps completed as expected."]),
    ("plan --sandbox", 1, &["to encrypt", "the stream is not encrypted", "compliant"]),
    ("access --sandbox", 1, &["loses access", "web-collector"]),
    ("access --sandbox --fix", 1, &["kms:GenerateDataKey", "kms:EncryptionContext:aws:kinesis:arn"]),
    ("report --sandbox --access --format html --output report.html", 0, &[]),
    ("event events/stream-created.json --sandbox", 0, &["encrypted"]),
    ("dlq list --sandbox", 0, &["KMSDisabledException", "Enable the key", "5 messages"]),
    ("dlq redrive --sandbox --code KMSDisabledException", 0, &["redrove 1 message"]),
];

#[test]
fn every_command_to_try_does_what_the_page_says() {
    let folder = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(root().join("events"), folder.path().join("events")).expect("the samples");
    let named: Vec<_> = commands(README).into_iter().filter(|line| line.starts_with(CARGO_RUN)).collect();
    let tried = TRIED.map(|(command, ..)| format!("{CARGO_RUN}{command}"));
    assert_eq!(named, tried, "a command of README.md that is not tried here, or the reverse");
    for (command, code, texts) in TRIED {
        let output = run(folder.path(), &format!("{CARGO_RUN}{command}"));
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{command}: {printed}");
        for text in texts {
            assert!(printed.contains(text), "{command} does not print {text:?}: {printed}");
        }
    }
    let report = std::fs::read_to_string(folder.path().join("report.html")).expect("the report");
    assert!(report.starts_with("<!DOCTYPE html>"), "{report}");
}

#[test]
fn the_front_page_is_read_in_minutes_and_leads_to_every_document() {
    let words = README.split_whitespace().count();
    assert!((600..=800).contains(&words), "{words} words");
    let status = README.lines().position(|line| line.starts_with("**Status:**")).expect("the status");
    let warning = README.lines().position(|line| line == "> [!WARNING]").expect("the warning");
    let deploy = README.lines().position(|line| line.starts_with("## Deploy")).expect("how to deploy");
    assert!(status < 12 && warning < deploy, "{status} {warning} {deploy}");
    let documents = std::fs::read_dir(root().join("docs")).expect("the documents");
    for document in documents.map(|entry| entry.expect("an entry").file_name()) {
        let name = document.to_string_lossy();
        assert!(!name.ends_with(".md") || README.contains(&format!("docs/{name}")), "{name}");
    }
}

/// The Markdown files below a folder.
fn markdown(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| path.extension().is_some_and(|it| it == "md"));
    files.chain(folders.iter().flat_map(|folder| markdown(folder))).collect()
}

/// A reader has to find a fact among all of these: whoever adds words removes others.
const MOST_WORDS: usize = 19_800;

#[test]
fn the_documents_stay_short() {
    // A program writes docs/VERIFIED.md, one row for each question about AWS.
    let written = root().join("docs/VERIFIED.md");
    let documents = markdown(&root().join("docs")).into_iter().chain([root().join("README.md")]);
    let counts = documents.filter(|document| *document != written).map(|document| {
        let text = std::fs::read_to_string(&document).expect("a document");
        let words = text.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count();
        (words, document)
    });
    let mut counts: Vec<_> = counts.collect();
    counts.sort_unstable();
    let total: usize = counts.iter().map(|(words, _)| words).sum();
    assert!(counts.len() > 20 && total <= MOST_WORDS, "{total} words: {counts:?}");
}

#[test]
fn the_picture_of_the_demo_shows_the_steps_that_the_demo_has() {
    let picture = include_str!("../docs/pictures/demo.svg");
    let demo = Command::new(env!("CARGO_BIN_EXE_enforcer")).arg("demo").env_clear().output().expect("the program runs");
    let printed = String::from_utf8(demo.stdout).expect("text");
    let is_title = |line: &&str| line.starts_with(|digit: char| digit.is_ascii_digit()) && line.contains(". ");
    let titles: Vec<_> = printed.lines().filter(is_title).collect();
    assert!(titles.len() > 5, "{titles:?}");
    for title in titles {
        // Long titles are wrapped in the picture.
        let first: String = title.chars().take(60).collect();
        assert!(picture.contains(first.trim_end()), "`make pictures`: {title}");
    }
}
