//! docs/REFERENCE.md names what there is, and every event file that a document names exists.

use kinesis_encryption_enforcer::domain::outcome::Status;
use kinesis_encryption_enforcer::settings::SUPPORTED;

const REFERENCE: &str = include_str!("../docs/REFERENCE.md");

#[test]
fn every_setting_and_outcome_is_explained() {
    let cells: Vec<_> = REFERENCE.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).collect();
    for name in SUPPORTED {
        assert!(cells.iter().any(|cell| cell.contains(&format!("`{name}`"))), "{name}");
    }
    for status in Status::ALL {
        assert!(cells.contains(&format!("`{}`", status.as_str()).as_str()), "{}", status.as_str());
    }
}

#[test]
fn every_metric_is_named() {
    use kinesis_encryption_enforcer::report::metrics::{OTHERS, metric_of};
    for metric in Status::ALL.map(metric_of).into_iter().chain(OTHERS) {
        assert!(REFERENCE.contains(&format!("`{metric}`")), "{metric}");
    }
}

#[test]
fn every_event_file_that_is_named_exists() {
    let documents =
        [include_str!("../README.md"), include_str!("../docs/EVENTS.md"), include_str!("../docs/FAQ.md"), REFERENCE]
            .concat();
    let named: Vec<_> = documents
        .split(|character: char| !(character.is_ascii_alphanumeric() || "/-.".contains(character)))
        .filter(|word| word.strip_suffix(".json").is_some_and(|path| path.starts_with("events/")))
        .collect();
    assert!(named.len() > 10, "{named:?}");
    for file in named {
        assert!(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file).exists(), "{file}");
    }
}

#[test]
fn every_warning_is_explained_and_the_terminal_has_words_for_it() {
    let schema = include_str!("../src/domain/outcome.rs");
    let warnings =
        schema.split("pub enum Warning {").nth(1).and_then(|rest| rest.split("\n}\n").next()).expect("the warnings");
    let variants = warnings
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(char::is_uppercase));
    let codes: Vec<_> = variants
        .map(|line| {
            let name: String = line.chars().take_while(char::is_ascii_alphanumeric).collect();
            let kebab: String = name
                .chars()
                .flat_map(|letter| [letter.is_uppercase().then_some('-'), Some(letter.to_ascii_lowercase())])
                .flatten()
                .collect();
            kebab.trim_start_matches('-').to_owned()
        })
        .collect();
    assert!(codes.len() > 8, "{codes:?}");
    for code in codes {
        assert!(REFERENCE.contains(&format!("`{code}`")), "{code}");
        assert!(include_str!("../src/cli/paint.rs").contains(&format!("\"{code}\"")), "{code}");
    }
}
