//! What a release brings besides the function: the version with its commit, the man pages, and
//! archives by the names under which `cargo binstall` looks for them.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const VERSION: &str = env!("CARGO_PKG_VERSION");
const ARCHIVES: &str = include_str!("../supply/archives");
const RELEASE: &str = include_str!("../.github/workflows/release.yml");

fn enforcer(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enforcer"));
    command.args(arguments).current_dir(ROOT).env_clear().stdin(Stdio::null()).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

/// A command of git without the settings of whoever runs the tests.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder).args(["-c", "user.name=a", "-c", "user.email=a@a.example", "-c", "commit.gpgsign=false"]);
    git.args(arguments).env("GIT_COMMITTER_DATE", "2026-11-27T23:30:00-08:00");
    for (name, value) in [("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")] {
        git.env(name, value);
    }
    run(&mut git)
}

/// What `build.rs` tells Cargo for sources in `folder`.
fn told(script: &Path, folder: &Path, profile: &str, cli: bool) -> BTreeSet<String> {
    let mut command = Command::new(script);
    command.env("CARGO_MANIFEST_DIR", folder).env("CARGO_PKG_VERSION", "1.2.3").env("PROFILE", profile);
    command.env_remove("CARGO_FEATURE_CLI").env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
    if cli {
        command.env("CARGO_FEATURE_CLI", "1");
    }
    run(command.current_dir(folder)).lines().map(str::to_owned).collect()
}

#[test]
fn only_a_release_of_the_terminal_program_from_a_clone_has_the_commit_and_its_date() {
    let scratch = tempfile::tempdir().expect("a folder");
    let script = scratch.path().join("build-script");
    run(Command::new("rustc").args(["--edition", "2024", "-o"]).arg(&script).arg("build.rs").current_dir(ROOT));

    let clone = scratch.path().join("clone");
    let tarball = clone.join("vendor/tarball");
    let alone = scratch.path().join("alone");
    fs::create_dir_all(&tarball).expect("a folder");
    fs::create_dir_all(&alone).expect("a folder");
    git(&clone, &["init", "--quiet"]);
    git(&clone, &["commit", "--quiet", "--allow-empty", "--message", "A commit"]);
    let commit = git(&clone, &["rev-parse", "HEAD"]);

    let plain = ["cargo::rerun-if-changed=build.rs", "cargo::rustc-env=ENFORCER_VERSION=1.2.3"];
    let plain: BTreeSet<_> = plain.map(str::to_owned).into();
    for (folder, profile, cli) in
        [(&clone, "debug", true), (&clone, "release", false), (&tarball, "release", true), (&alone, "release", true)]
    {
        assert_eq!(told(&script, folder, profile, cli), plain, "{}, {profile}, {cli}", folder.display());
    }
    let of_commit = [
        "cargo::rerun-if-changed=build.rs".to_owned(),
        "cargo::rerun-if-changed=.git/logs/HEAD".to_owned(),
        format!("cargo::rustc-env=ENFORCER_VERSION=1.2.3 ({} 2026-11-27)", &commit[..9]),
    ];
    assert_eq!(told(&script, &clone, "release", true), of_commit.into());
    // A hook or `git rebase --exec` of another repository sets these for what it starts.
    let mut elsewhere = Command::new(&script);
    elsewhere.env("CARGO_MANIFEST_DIR", &alone).env("CARGO_PKG_VERSION", "1.2.3").env("PROFILE", "release");
    elsewhere.env("CARGO_FEATURE_CLI", "1").env("GIT_DIR", clone.join(".git")).env("GIT_WORK_TREE", &alone);
    assert_eq!(run(&mut elsewhere).lines().map(str::to_owned).collect::<BTreeSet<_>>(), plain);
}

#[test]
fn the_program_prints_its_version() {
    let version = text(&enforcer(&["--version"]).stdout);
    if cfg!(debug_assertions) {
        assert_eq!(version, format!("enforcer {VERSION}\n"));
    } else {
        assert!(version.starts_with(&format!("enforcer {VERSION}")), "{version}");
    }
}

/// The long options that a help text or a man page names.
fn options(text: &str) -> BTreeSet<&str> {
    let ends = |character: char| !(character.is_ascii_lowercase() || character == '-');
    text.split("--").skip(1).filter_map(|rest| rest.split(ends).next()).filter(|name| !name.is_empty()).collect()
}

#[test]
fn every_command_has_a_man_page_with_all_of_its_options_and_examples() {
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path().join("man/man1");
    let output = enforcer(&["man", "--output", folder.to_str().expect("UTF-8")]);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", text(&output.stderr));
    let mut pages = 0;
    for entry in fs::read_dir(&folder).expect("the pages") {
        let path = entry.expect("an entry").path();
        let page = fs::read_to_string(&path).expect("a page");
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let command = name.strip_suffix(".1").expect("section 1");
        let help = text(&enforcer(&[&command.split('-').skip(1).collect::<Vec<_>>()[..], &["--help"]].concat()).stdout);
        assert!(page.contains(&format!(".TH {command} 1 ")), "{name}: {page}");
        // How roff writes a minus, an apostrophe and a backslash.
        let page = page.replace("\\-", "-").replace("\\*(Aq", "'").replace("\\\\", "\\");
        assert_eq!(options(&help).difference(&options(&page)).next(), None, "{name}");
        for line in help.split("Examples:\n").nth(1).unwrap_or_default().lines() {
            assert!(page.lines().any(|of_page| of_page == line), "{name}: {line}\n{page}");
        }
        pages += 1;
    }
    assert!(pages > 15, "{pages}");
    let printed = enforcer(&["man"]).stdout;
    assert_eq!(text(&printed), fs::read_to_string(folder.join("enforcer.1")).expect("the page"));
}

#[test]
fn man_pages_that_cannot_be_written_are_an_error() {
    let output = enforcer(&["man", "--output", "/dev/null/man"]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.starts_with("error: cannot write the man pages to /dev/null/man: "), "{error}");
}

/// The words of a list in the script.
fn listed(name: &str) -> Vec<&'static str> {
    let list = ARCHIVES.lines().find_map(|line| line.strip_prefix(&format!("readonly {name}=("))?.strip_suffix(')'));
    list.expect("the list").split(' ').collect()
}

#[test]
fn cargo_binstall_looks_for_the_archives_that_a_release_makes() {
    let mut cargo = Command::new(env!("CARGO"));
    let metadata = run(cargo.args(["metadata", "--locked", "--no-deps", "--format-version", "1"]).current_dir(ROOT));
    let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
    let package = &metadata["packages"][0];
    let binstall = &package["metadata"]["binstall"];
    let expanded = |template: &str, target: &str| {
        let values = [
            ("repo", package["repository"].as_str().expect("the repository")),
            ("version", VERSION),
            ("target", target),
            ("bin", "enforcer"),
            ("binary-ext", ""),
        ];
        let template = binstall[template].as_str().expect("a template").to_owned();
        values.iter().fold(template, |text, (name, value)| text.replace(&format!("{{ {name} }}"), value))
    };
    let name = ARCHIVES.lines().find_map(|line| line.trim().strip_prefix("name=")).expect("the name of an archive");
    let targets = [listed("LINUX"), listed("MACOS")].concat();
    assert_eq!(targets.len(), 4, "{targets:?}");
    for target in targets {
        let name = name.replace("$version", VERSION).replace("$target", target);
        let url = format!("{}/releases/download/v{VERSION}/{name}.tar.gz", env!("CARGO_PKG_REPOSITORY"));
        assert_eq!(expanded("pkg-url", target), url);
        assert_eq!(expanded("bin-dir", target), format!("{name}/enforcer"));
    }
    assert_eq!(binstall["pkg-fmt"], "tgz");
}

#[test]
fn the_release_workflow_installs_the_targets_that_it_builds() {
    for targets in [listed("LINUX"), listed("MACOS")] {
        assert!(RELEASE.contains(&targets.join(",")), "{targets:?}");
    }
}

#[test]
fn the_change_log_has_this_version_with_its_date() {
    let headings = include_str!("../CHANGELOG.md").lines().filter_map(|line| line.strip_prefix("## "));
    let headings: Vec<_> = headings.collect();
    assert_eq!(headings.first(), Some(&"[Unreleased]"));
    let (_, date) = headings
        .iter()
        .find_map(|heading| heading.split_once(" - ").filter(|(version, _)| *version == format!("[{VERSION}]")))
        .expect("the version");
    assert!(date.parse::<chrono::NaiveDate>().is_ok(), "{date}");
}

#[test]
fn the_forms_and_the_change_log_lead_to_the_repository_of_the_package() {
    let repository = env!("CARGO_PKG_REPOSITORY");
    for text in [
        include_str!("../CHANGELOG.md"),
        include_str!("../CODE_OF_CONDUCT.md"),
        include_str!("../.github/ISSUE_TEMPLATE/config.yml"),
    ] {
        let mut urls = text.match_indices("https://github.com/").map(|(at, _)| &text[at..]).peekable();
        assert!(urls.peek().is_some());
        assert!(urls.all(|url| url.strip_prefix(repository).is_some_and(|rest| rest.starts_with('/'))), "{text}");
    }
    let owner = repository.split('/').nth(3).expect("the owner");
    assert!(include_str!("../.github/CODEOWNERS").contains(&format!("@{owner}/")));
}
