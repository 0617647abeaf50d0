//! docs/RUNBOOK.md: its samples are what the program prints, its table names every alarm in the
//! order of the sections, and every section has the same parts.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use self::samples::{is_printed, samples};
use self::served::enforcer;

mod samples;
#[allow(dead_code, reason = "these samples need no sandbox that is served")]
mod served;

const RUNBOOK: &str = include_str!("../docs/RUNBOOK.md");
const CUT_OFF: &str = "Producers or consumers fail since a stream was encrypted";

/// The rows of the table at the top, by cell.
fn rows() -> Vec<Vec<&'static str>> {
    let table = RUNBOOK.split("\n| --- ").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("the table");
    table.lines().skip(1).map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The sections about alarms: heading and text.
fn alarms() -> Vec<(&'static str, &'static str)> {
    let (_, rest) = RUNBOOK.split_once("\n## Alarms\n").expect("the alarms");
    let (alarms, _) = rest.split_once("\n## Error codes\n").expect("the codes");
    alarms.split("\n### ").skip(1).map(|section| section.split_once('\n').expect("a text")).collect()
}

/// What stands after a label, up to the next one.
fn part(section: &'static str, label: &str) -> &'static str {
    let rest = section.split(&format!("\n**{label}:**")).nth(1).unwrap_or_default();
    rest.split("\n**").next().unwrap_or_default().trim()
}

#[test]
fn the_samples_are_what_the_program_prints() {
    let samples = samples(RUNBOOK);
    assert!(samples.len() > 5, "{}", samples.len());
    let mut printed_by = BTreeMap::new();
    for sample in samples {
        let printed = printed_by.entry(sample.command).or_insert_with(|| {
            let command = sample.command.replace("--function FUNCTION", "--sandbox");
            assert_ne!(command, sample.command, "the settings are those of the function");
            let words: Vec<_> = command.split_whitespace().collect();
            assert_eq!(words[0], "enforcer");
            enforcer(&words[1..], &[("NO_COLOR", "1".to_owned())]).1
        });
        let lines: Vec<_> = printed.lines().collect();
        assert!(is_printed(&sample.lines, &lines), "{}: {:#?}\n{printed}", sample.command, sample.lines);
    }
}

#[test]
fn a_sample_that_the_program_does_not_print_is_found() {
    let printed = ["waited 2s at 2026-11-27T00:44:57Z", "  one", "two", "three"];
    for (lines, expected) in [
        (&["waited 3s at 2027-01-01T10:00:00Z", "  one", "…"][..], true),
        (&["…", "two", "three"], true),
        (&["…", "three", "…"], true),
        (&["…", "two"], false),
        (&["…", "one", "…"], false),
        (&["…", "three", "two", "…"], false),
        (&["…", "four", "…"], false),
    ] {
        assert_eq!(is_printed(lines, &printed), expected, "{lines:?}");
    }
}

#[test]
fn the_table_has_every_alarm_in_the_order_of_its_section_and_no_empty_cell() {
    let rows = rows();
    let named: Vec<_> = rows.iter().flat_map(|row| row[0].split(", ")).collect();
    let sections: Vec<_> = alarms().iter().map(|(name, _)| format!("[{name}](#{})", name.to_lowercase())).collect();
    assert_eq!(named, sections);
    for row in rows {
        assert_eq!(row.len(), 5, "{row:?}");
        assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
    }
}

#[test]
fn every_alarm_has_a_meaning_a_first_command_a_fix_and_a_way_with_the_console() {
    let alarms = alarms();
    assert!(alarms.len() > 15, "{}", alarms.len());
    let section_of = |name: &str| alarms.iter().find(|(heading, _)| *heading == name).expect("a section").1;
    for (name, section) in &alarms {
        let parts = ["Meaning", "First", "Fix", "Console"];
        assert!(parts.iter().all(|label| !part(section, label).is_empty()), "{name}: {section}");
        let at: Vec<_> = parts.iter().filter_map(|label| section.find(&format!("\n**{label}:**"))).collect();
        assert!(at.is_sorted(), "{name}: {section}");
    }
    // The command of the table is that of the section, or of the one to which that leads.
    for row in rows() {
        let Some(command) = row[2].strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) else {
            assert_eq!(row[2], "the log");
            continue;
        };
        for name in row[0].split(", ").map(|link| &link[1..link.find(']').expect("a link")]) {
            let first = part(section_of(name), "First");
            let elsewhere = first.strip_prefix("as for [").and_then(|rest| rest.split(']').next());
            let first = elsewhere.map_or(first, |name| part(section_of(name), "First"));
            assert!(first.contains(command), "{name}: {command}: {first}");
        }
    }
}

#[test]
fn producers_and_consumers_come_first_and_the_section_ends_with_the_fix() {
    let (_, rest) = RUNBOOK.split_once("\n## ").expect("a section");
    assert!(rest.starts_with(CUT_OFF), "{rest}");
    let section = rest.split("\n## ").next().expect("its text");
    let commands: Vec<_> = section.split('`').filter(|code| code.starts_with("enforcer ")).collect();
    assert_eq!(commands, ["enforcer access STREAM --function FUNCTION --fix"]);
    let (_, after) = section.split_once(commands[0]).expect("the command");
    assert!(!after.contains("\n**") && !after.contains("\n1."), "{after}");
}

fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries
        .map(|path| if path.is_dir() { sources(&path) } else { fs::read_to_string(&path).expect("a text") })
        .collect()
}

#[test]
fn every_message_of_the_log_that_is_named_is_one_that_the_function_writes() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let after = |before: &str| -> Vec<&str> {
        RUNBOOK.split(before).skip(1).filter_map(|rest| rest.split('`').next()).collect()
    };
    let messages = [after("the log message `"), after("the log for `")].concat();
    assert!(messages.len() > 4, "{messages:?}");
    for message in messages {
        assert!(sources.contains(&format!("\"{message}\"")), "{message}");
    }
}
