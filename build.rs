//! Gives the terminal program its version with the commit and its date: `enforcer --version`.
//!
//! Only a release build of the terminal program gets the commit: a development build would compile
//! the crate again after every commit, and the function must not depend on the commit.
//! Sources without git, such as a tarball, get the version alone.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let version = variable("CARGO_PKG_VERSION");
    let is_release_of_the_program = variable("PROFILE") == "release" && !variable("CARGO_FEATURE_CLI").is_empty();
    let commit = is_release_of_the_program.then(commit).flatten();
    let version = commit.map_or_else(|| version.clone(), |commit| format!("{version} ({commit})"));
    println!("cargo::rustc-env=ENFORCER_VERSION={version}");
}

#[expect(clippy::disallowed_methods, reason = "Cargo passes everything to a build script in the environment")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// The first nine digits of the commit, and the day of the commit, so that the same commit gives
/// the same program on any day.
fn commit() -> Option<String> {
    // A tarball may be unpacked inside the repository of another project.
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    // The log of HEAD grows with each commit and checkout. Cargo runs the script every time if a
    // file that it is to watch does not exist.
    for file in ["logs/HEAD", "HEAD"] {
        let path = git(&["rev-parse", "--git-path", file])?;
        if Path::new(&variable("CARGO_MANIFEST_DIR")).join(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
            break;
        }
    }
    let line = git(&["-c", "log.showSignature=false", "log", "-1", "--format=%H %cs"])?;
    let (hash, day) = line.split_once(' ')?;
    let is_commit = hash.bytes().all(|byte| byte.is_ascii_hexdigit())
        && day.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    is_commit.then(|| Some(format!("{} {day}", hash.get(..9)?))).flatten()
}

/// What git prints, if it is there and the sources are in a repository. Variables may name another
/// one: a hook of that one, or `git rebase --exec`, sets them for whatever it starts.
fn git(arguments: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    for other in ["GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_INDEX_FILE"] {
        git.env_remove(other);
    }
    let output = git.arg("-C").arg(variable("CARGO_MANIFEST_DIR")).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
