//! The terminal program, run as a person runs it.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn enforcer(arguments: &[&str], input: &str, variables: &[(&str, &str)]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_enforcer"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn the_demo_tells_the_whole_story() {
    let output = enforcer(&["demo"], "", &[]);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}{}", text(&output.stderr));
    for part in [
        "encrypted orders",
        "compliant orders",
        "3 encrypted",
        "key-at-risk",
        "enforcement-failure",
        "dead-letter queue is empty",
        "Every step ended as told",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains('\u{1b}'), "plain where nobody is looking");
}

#[test]
fn the_exit_code_says_how_it_ended() {
    for (file, more, input, code) in [
        ("events/manual-dry-run.json", "--sandbox", "", 3),
        ("events/encryption-changed.json", "--dry-run", "", 2),
        ("events/encryption-stop-denied.json", "--sandbox", "", 0),
        ("events/unknown.json", "--sandbox", "", 1),
        ("-", "--sandbox", "{\"stream\": \"orders\", \"dryRun\": true}", 3),
        ("-", "--sandbox", "no JSON", 2),
        ("events/nowhere.json", "--sandbox", "", 2),
    ] {
        let output = enforcer(&["event", file, more], input, &[]);
        assert_eq!(output.status.code(), Some(code), "{file} {more}: {}{}", text(&output.stdout), text(&output.stderr));
    }
}

#[test]
fn a_dry_run_of_any_event_changes_nothing() {
    let output = enforcer(&["event", "events/encryption-stopped.json", "--sandbox", "--dry-run", "--json"], "", &[]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), &answer["summary"]), (Some(3), &serde_json::json!({"would-encrypt": 1})));
}

#[test]
fn wrong_settings_are_named() {
    let output = enforcer(&["event", "events/manual-stream.json"], "", &[("KMS_KEY_ID", "orders-key"), ("ENFORCEMENT_MODE", "off")]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("KMS_KEY_ID") && error.contains("orders-key") && error.contains("enforce or audit"), "{error}");
}
