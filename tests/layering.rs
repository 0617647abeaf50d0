//! The structure, enforced by reading `src/`: who may know what. The folders are read, so that a
//! new one has to find its place here.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What lies in `src/`, from the ground up. A module imports itself and what stands above it in
/// this list.
const LAYERS: [&str; 16] = [
    "domain",
    "access",
    "policy",
    "decide",
    "event",
    "clock",
    "settings",
    "deadline",
    "telemetry",
    "report",
    "aws",
    "reconcile",
    "sweep",
    "handler",
    "sandbox",
    "cli",
];

/// Decisions and what they rest on: values in, values out.
const PURE: [&str; 5] = ["domain", "access", "policy", "decide", "event"];

/// The sandbox models AWS: of the program it knows the nouns and the clock, and nothing that it is
/// there to test.
const SANDBOX_KNOWS: [&str; 3] = ["domain", "clock", "sandbox"];

/// The crate's roots: they put everything together.
const ROOTS: [&str; 3] = ["bin", "lib", "main"];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn modules() -> BTreeSet<String> {
    let entries = fs::read_dir(source()).expect("src/").map(|entry| entry.expect("an entry").path());
    entries.map(|path| path.file_stem().expect("a name").to_str().expect("UTF-8").to_owned()).collect()
}

/// The lines of code of the module `name`, each with where it stands; comments and unit tests are
/// left out.
fn code(name: &str) -> Vec<(String, String)> {
    let folder = source().join(name);
    let files = if folder.is_dir() { rust_files(&folder) } else { vec![source().join(name).with_extension("rs")] };
    let lines: Vec<_> = files.iter().flat_map(|file| code_of(file)).collect();
    assert!(!lines.is_empty(), "{name} is empty");
    lines
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let is_code = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "rs")
            && path.file_stem().is_some_and(|stem| stem != "tests")
    };
    files.into_iter().filter(is_code).chain(folders.iter().flat_map(|folder| rust_files(folder))).collect()
}

fn code_of(file: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(file).expect("a file");
    // `#[cfg(test)] mod tests;` stands anywhere; the unit tests themselves end a file.
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..end].lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    lines.map(|(number, line)| (format!("{}:{}", file.display(), number + 1), line.to_owned())).collect()
}

/// The modules of the crate that a line names.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").map(|(at, prefix)| {
        let rest = &line[at + prefix.len()..];
        rest.split(|character: char| !character.is_ascii_lowercase() && character != '_').next().unwrap_or_default()
    })
}

fn none_says(modules: &[&str], words: &[&str]) {
    for (place, line) in modules.iter().flat_map(|name| code(name)) {
        for word in words {
            assert!(!line.contains(word), "{place}: says {word}: {line}");
        }
    }
}

#[test]
fn every_module_has_its_layer() {
    let known: BTreeSet<_> = LAYERS.into_iter().chain(ROOTS).map(str::to_owned).collect();
    assert_eq!(modules(), known);
}

#[test]
fn imports_go_downwards() {
    for (height, layer) in LAYERS.iter().enumerate() {
        for (place, line) in code(layer) {
            for name in named(&line) {
                let found = LAYERS.iter().position(|layer| *layer == name);
                assert!(found.is_some_and(|found| found <= height), "{place}: {layer} may not know {name}: {line}");
            }
        }
    }
}

#[test]
fn the_pure_modules_know_no_sdk_no_runtime_no_log_and_no_clock() {
    none_says(&PURE, &["aws_sdk", "aws_smithy", "aws_types", "tokio", "tracing", "Instant", "SystemTime", "std::env"]);
    for (place, line) in PURE.iter().flat_map(|name| code(name)) {
        for name in named(&line) {
            assert!(PURE.contains(&name), "{place}: what is pure may not know {name}: {line}");
        }
    }
}

#[test]
fn only_the_aws_module_knows_the_sdk_of_what_goes_into_the_function() {
    let others: Vec<_> =
        LAYERS.into_iter().filter(|layer| !["aws", "sandbox", "cli", "clock"].contains(layer)).collect();
    none_says(&others, &["aws_sdk", "aws_smithy", "aws_types"]);
    none_says(&["main"], &["aws_sdk", "aws_smithy", "aws_types"]);
}

#[test]
fn the_sandbox_knows_nothing_of_what_it_is_there_to_test_and_stays_out_of_the_function() {
    for (place, line) in code("sandbox") {
        for name in named(&line) {
            assert!(SANDBOX_KNOWS.contains(&name), "{place}: the sandbox may not know {name}: {line}");
        }
    }
    let function: Vec<_> = LAYERS.into_iter().filter(|layer| !["sandbox", "cli"].contains(layer)).collect();
    none_says(&function, &["sandbox", "crate::cli"]);
    none_says(&["main"], &["sandbox", "cli::"]);
}
