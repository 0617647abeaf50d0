//! docs/contributing/DEPENDENCIES.md names what `Cargo.lock` brings into the function, and all comes from the
//! registry.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

const DOCUMENT: &str = include_str!("../docs/contributing/DEPENDENCIES.md");
const LOCK: &str = include_str!("../Cargo.lock");
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--locked", "--no-default-features"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The crates that the function depends on by `edges`, as `name version`; itself is left out.
fn tree(edges: &str, target: &str) -> BTreeSet<String> {
    let tree = cargo(&["tree", "--edges", edges, "--target", target, "--prefix", "none"]);
    let names = tree.lines().filter_map(|line| {
        let (name, rest) = line.split_once(" v")?;
        Some(format!("{name} {}", rest.split(' ').next()?))
    });
    names.filter(|name| !name.starts_with("kinesis-encryption-enforcer ")).collect()
}

fn names(crates: &BTreeSet<String>) -> BTreeSet<&str> {
    crates.iter().filter_map(|name| name.split(' ').next()).collect()
}

/// What stands in backticks in the part of the document that begins with `start`, up to `end`, and
/// could be a crate.
fn named(start: &str, end: &str) -> BTreeSet<&'static str> {
    let rest = DOCUMENT.split_once(start).expect(start).1;
    let part = rest.split_once(end).expect(end).0;
    part.split('`').skip(1).step_by(2).collect()
}

/// In the last part of the document a crate has a row of its own, or shares one: its first column
/// names it.
fn rows() -> BTreeSet<&'static str> {
    let part =
        DOCUMENT.split_once("## The others").and_then(|(_, rest)| rest.split_once("## `unsafe`")).expect("the part").0;
    let first = part.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    first.flat_map(|column| column.split(['`', ',', ' '])).filter(|word| !word.is_empty()).collect()
}

/// The crates of the build that have a target of the kind.
fn with_target(kind: &str, crates: &BTreeSet<String>) -> BTreeSet<String> {
    let metadata = cargo(&["metadata", "--format-version", "1", "--filter-platform", TARGETS[0]]);
    let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages").iter();
    let of_the_kind = packages.filter(|package| {
        let mut targets = package["targets"].as_array().into_iter().flatten();
        targets.any(|target| target["kind"].as_array().is_some_and(|kinds| kinds.contains(&kind.into())))
    });
    of_the_kind
        .filter_map(|package| Some(format!("{} {}", package["name"].as_str()?, package["version"].as_str()?)))
        .filter(|name| crates.contains(name))
        .collect()
}

#[test]
fn every_linked_crate_is_named_and_counted_and_none_that_is_not() {
    let linked = tree("normal,no-proc-macro", TARGETS[0]);
    let mut document = named("## Linked", "## The others");
    document.extend(rows());
    assert_eq!(document, names(&linked));
    assert!(DOCUMENT.contains(&format!("## Linked: {} crates\n", linked.len())), "{}", linked.len());
}

#[test]
fn both_architectures_are_made_of_the_same() {
    for edges in ["normal,no-proc-macro", "normal,build"] {
        assert_eq!(tree(edges, TARGETS[0]), tree(edges, TARGETS[1]), "{edges}");
    }
}

#[test]
fn every_crate_that_only_the_build_runs_is_named_and_counted() {
    let all = tree("normal,build", TARGETS[0]);
    let linked = tree("normal,no-proc-macro", TARGETS[0]);
    let build: BTreeSet<String> = all.difference(&linked).cloned().collect();
    assert!(DOCUMENT.contains(&format!("## Run by the build: {} crates\n", build.len())), "{}", build.len());

    let macros = with_target("proc-macro", &all);
    assert_eq!(named("Procedural macros:", ".\n"), names(&macros));
    let rest = build.difference(&macros).cloned().collect();
    assert_eq!(named("What macros and build scripts are made with:", ";"), names(&rest));
    assert_eq!(named("Build scripts, of linked crates too:", ".\n"), names(&with_target("custom-build", &all)));
}

#[test]
fn everything_in_the_lock_file_comes_from_the_registry_with_its_checksum() {
    let packages: Vec<_> = LOCK.split("[[package]]").skip(1).collect();
    assert!(packages.len() > 200, "{}", packages.len());
    for package in packages {
        let ours = package.contains("\nname = \"kinesis-encryption-enforcer\"\n");
        let registry = package.contains("\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n");
        assert!(ours || (registry && package.contains("\nchecksum = \"")), "{package}");
    }
}
