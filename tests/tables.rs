//! What a person sees of `plan` and `report`, at any width.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::process::{Command, Output, Stdio};

use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::sandbox::{Account, NewStream};
use textwrap::core::display_width;

use self::served::served;

#[expect(dead_code, reason = "these tests start the program in their own way")]
mod served;

fn enforcer(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_enforcer"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// The text with every time as `TTTT-TT-TTTTT:TT:TTT`, and every day as `TTTT-TT-TT`.
fn without_times(text: &str) -> String {
    let is_time = |word: &&str| word.len() >= 20 && word.as_bytes()[10] == b'T' && word.as_bytes()[19] == b'Z';
    let times = text.split_whitespace().filter(is_time).map(|word| &word[..20]);
    let text = times.fold(text.to_owned(), |text, time| text.replace(time, "TTTT-TT-TTTTT:TT:TTT"));
    let is_day = |word: &&str| word.len() == 11 && word.ends_with(':') && word[..4].parse::<u32>().is_ok();
    let days: Vec<_> = text.split_whitespace().filter(is_day).map(|word| word[..10].to_owned()).collect();
    days.iter().fold(text, |text, day| text.replace(day, "TTTT-TT-TT"))
}

#[test]
fn a_plan_fits_the_columns_and_says_the_same_at_every_width() {
    let words = |text: &str| without_times(text).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let widest = printed(&enforcer(&["plan", "--sandbox", "--all"], &[("COLUMNS", "100")]));
    for width in [60, 80] {
        let plan = printed(&enforcer(&["plan", "--sandbox", "--all"], &[("COLUMNS", &width.to_string())]));
        // The ARNs of the keys stay whole, so that they can be copied.
        let (table, _) = plan.split_once("\nkeys\n").expect("keys");
        for line in table.lines() {
            assert!(display_width(line) <= width, "{width}: {line}");
        }
        if width == 80 {
            assert_eq!(words(&plan), words(&widest));
            insta::assert_snapshot!("plan_at_80_columns", without_times(&plan));
        }
    }
}

#[test]
fn without_a_terminal_a_table_has_100_columns_at_most_and_no_colours() {
    let plan = printed(&enforcer(&["plan", "--sandbox", "locked", "clickstream"], &[]));
    assert!(plan.lines().all(|line| display_width(line) <= 100) && !plan.contains('\u{1b}'), "{plan}");
    assert!(plan.lines().any(|line| display_width(line) > 80), "{plan}");

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("report.txt");
    let output =
        enforcer(&["report", "--sandbox", "--output", file.to_str().expect("UTF-8")], &[("CLICOLOR_FORCE", "1")]);
    assert!(output.status.success());
    let report = std::fs::read_to_string(file).expect("the report");
    assert!(report.contains("audit-log") && !report.contains('\u{1b}'), "{report}");
}

#[test]
fn compliant_streams_are_counted_unless_they_are_asked_for() {
    for (arguments, is_listed) in [
        (&["plan", "--sandbox"][..], false),
        (&["plan", "--sandbox", "--all"], true),
        (&["plan", "--sandbox", "billing", "locked"], true),
        (&["report", "--sandbox"], true),
    ] {
        let table = printed(&enforcer(arguments, &[]));
        assert_eq!(table.contains("billing"), is_listed, "{arguments:?}: {table}");
        assert_eq!(table.contains("(--all lists them)"), !is_listed, "{arguments:?}: {table}");
    }
}

#[test]
fn the_detailed_exit_code_tells_changes_with_failures_from_changes() {
    for (stream, plain, detailed) in [
        (&["orders"][..], 0, 0),
        (&["locked", "orders"], 1, 1),
        (&["clickstream", "orders"], 3, 3),
        (&["clickstream", "locked"], 1, 4),
    ] {
        let code = |more: &[&str]| enforcer(&[&["plan", "--sandbox"], stream, more].concat(), &[]).status.code();
        assert_eq!((code(&[]), code(&["--detailed-exitcode"])), (Some(plain), Some(detailed)), "{stream:?}");
    }
}

#[test]
fn a_report_fails_on_non_compliant_streams_where_that_is_asked_for() {
    for (stream, fail_on, code) in [
        (&["clickstream", "orders"][..], &[][..], 0),
        (&["clickstream", "orders"], &["--fail-on", "never"], 0),
        (&["clickstream", "orders"], &["--fail-on", "non-compliant"], 1),
        (&["locked"], &["--fail-on", "non-compliant"], 1),
        (&["orders", "feed-vendor"], &["--fail-on", "non-compliant"], 0),
    ] {
        let output = enforcer(&[&["report", "--sandbox"], stream, fail_on].concat(), &[]);
        assert_eq!(output.status.code(), Some(code), "{stream:?} {fail_on:?}");
    }
}

#[test]
fn a_person_is_told_of_a_grace_period_before_it_is_waited_for_and_can_skip_it() {
    let now = Clock::system().utc();
    let account = Account::new(Clock::system(), "us-east-1", "111122223333");
    let key = account.create_key();
    account.stream(NewStream::named("orders").created_at(now));
    let mut variables = served(&account);
    variables.push(("KMS_KEY_ID", key));
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let waiting = [&variables[..], &[("IAC_GRACE_SECONDS", "2")]].concat();
    let output = enforcer(&["apply", "--yes", "--json", "--no-grace", "orders"], &waiting);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains("was created"), "{said}");

    account.stream(NewStream::named("clicks").created_at(now));
    let output = enforcer(&["apply", "--yes", "--json", "--probe", "clicks"], &waiting);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("nothing but JSON");
    for part in [
        "note: clicks was created ",
        "apply waits 2 s before it encrypts it",
        "--no-grace skips the wait",
        "0 of 1 done, 0 encrypted, 0 failed; clicks: in its grace period, 1 s left",
        "waiting: 1 of 5 s before the probe",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_stream_that_does_not_exist_is_not_counted_as_a_stream_and_its_account_is_named() {
    for (streams, says) in [
        (&["nosuch"][..], "no streams found in account 111122223333, us-east-1; 1 stream does not exist\n"),
        (
            &["nosuch", "none", "orders"],
            "1 stream in account 111122223333, us-east-1: 1 compliant; 2 streams do not exist\n",
        ),
    ] {
        let output = enforcer(&[&["plan", "--sandbox"], streams].concat(), &[]);
        let told = printed(&output);
        assert!(output.status.code() == Some(1) && told.starts_with(says), "{told}");
    }
}

#[test]
fn streams_in_audit_mode_are_not_counted_among_those_to_encrypt() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("policy.json");
    let rule = r#"{"version": 1, "rules": [{"name": "try", "match": {"stream": "dev*"}, "mode": "audit"}]}"#;
    std::fs::write(&file, rule).expect("written");
    let policy = ["--sandbox", "--policy", file.to_str().expect("UTF-8")];
    let plan = |more: &[&str]| enforcer(&[&["plan"], &policy[..], more].concat(), &[("COLUMNS", "400")]);
    let counted = |counts: &str| format!("account 111122223333, us-east-1: {counts}\n");

    let output = plan(&["devices"]);
    let told = printed(&output);
    for says in
        [&counted("0 to encrypt, 1 in audit mode"), "\n1 in audit mode\n• devices ", "audit mode: apply does not"]
    {
        assert!(told.contains(says), "{says}: {told}");
    }
    assert!(output.status.code() == Some(3) && !told.contains("\n0 to encrypt"), "{told}");
    let told = printed(&plan(&["devices", "sessions"]));
    for says in
        [&counted("1 to encrypt, 1 in audit mode"), "\n1 to encrypt\n~ sessions ", "\n1 in audit mode\n• devices "]
    {
        assert!(told.contains(says), "{says}: {told}");
    }
    let json: serde_json::Value =
        serde_json::from_slice(&plan(&["devices", "sessions", "--json"]).stdout).expect("JSON");
    assert_eq!((&json["changes"], &json["inAuditMode"]), (&serde_json::json!(2), &serde_json::json!(1)));

    let streams = ["devices", "sessions", "--accept-access-loss"];
    let output = enforcer(&[&["apply"], &policy[..], &streams].concat(), &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("pass --yes to encrypt 1 stream of account 111122223333 in us-east-1"), "{said}");
}

#[test]
fn an_apply_whose_plan_has_failures_says_at_its_end_why_it_exits_with_1() {
    let says = "exit code 1: 2 streams failed in the plan (locked, typo) (the plan has the reasons)";
    for streams in [&["devices", "locked", "typo"][..], &["locked", "typo"]] {
        let output = enforcer(&[&["apply", "--sandbox", "--yes", "--accept-access-loss"], streams].concat(), &[]);
        let told = printed(&output);
        assert!(output.status.code() == Some(1) && told.trim_end().ends_with(says), "{told}");
    }
    let told = printed(&enforcer(&["apply", "--sandbox", "--yes", "--accept-access-loss", "devices"], &[]));
    assert!(!told.contains("exit code"), "{told}");
}

#[test]
fn the_outcomes_of_a_batch_are_printed_message_by_message() {
    let batch = concat!(env!("CARGO_MANIFEST_DIR"), "/events/queue-batch.json");
    let output = enforcer(&["event", batch, "--sandbox", "--dry-run"], &[]);
    let text = printed(&output);
    let batch: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(batch).expect("the sample")).expect("JSON");
    for message in batch["Records"].as_array().expect("records") {
        assert!(text.contains(&format!("message {}", message["messageId"].as_str().expect("an id"))), "{text}");
    }
    assert!(text.contains("would-encrypt") && !text.contains("batchItemFailures"), "{text}");
    assert_eq!(output.status.code(), Some(3), "{text}");
}

#[test]
fn the_outcomes_of_a_batch_of_denied_calls_are_printed() {
    let denied = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/events/access-denied-of-stream.json"));
    let body = denied.expect("the sample");
    let message = |id: &str| {
        serde_json::json!({
            "messageId": id,
            "body": body,
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:111122223333:denials",
        })
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("batch.json");
    let batch = serde_json::json!({"Records": [message("one"), message("two")]});
    std::fs::write(&file, batch.to_string()).expect("written");
    let arguments = ["event", file.to_str().expect("UTF-8"), "--sandbox"];
    let queue = "https://sqs.us-east-1.amazonaws.com/111122223333/denials";
    let output = enforcer(&arguments, &[("ACCESS_DENIALS_QUEUE_URL", queue)]);
    let text = printed(&output);
    assert!(text.starts_with("all messages, handled as one batch of denied calls\n  ✘ access-denied "), "{text}");
    assert!(text.contains("warning: 2 calls failed with ") && !text.contains("batchItemFailures"), "{text}");
    assert_eq!(output.status.code(), Some(1), "{text}");
}

#[test]
fn a_misspelt_request_is_answered_with_the_field_that_was_meant() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("request.json");
    std::fs::write(&file, r#"{"stream": "orders", "dryrun": true}"#).expect("written");
    let output = enforcer(&["event", file.to_str().expect("UTF-8"), "--sandbox"], &[("COLUMNS", "500")]);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for says in [
        r#"invalid manual request: there is no field "dryrun" (did you mean "dryRun"?); accepted requests: "#,
        r#"or {"resume": true}"#,
        r#"{"sweep": true} and {"resume": true}."#,
    ] {
        assert!(text.contains(says), "{says}: {text}");
    }
    assert!(!text.contains("expected one of"), "{text}");
}
