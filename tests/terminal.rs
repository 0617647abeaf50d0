//! The terminal program, run as a process.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::io::{BufRead, BufReader, Write};
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
fn the_demo_shows_every_step_and_its_outcome() {
    let output = enforcer(&["demo"], "", &[]);
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{printed}{}", text(&output.stderr));
    for part in [
        "encrypted orders",
        "compliant orders",
        "3 encrypted",
        "key-at-risk",
        "enforcement-failure",
        "dead-letter queue is empty",
        "role/app/warehouse  producer  loses access",
        "PutRolePolicy app/warehouse",
        "1 use of 1 stream: 0 without access, 0 unknown, 1 with access",
        "PutRecord shipments: stored, encrypted",
        "PutRecord shipments: KMSAccessDeniedException: User: ",
        "access-denied",
        "since the key was applied to shipments at ",
        "All steps completed as expected",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    assert!(!printed.contains('\u{1b}'), "no colours without a terminal");
}

/// Each command of the roll-out that has `--sandbox` shows what the text around it says.
#[test]
fn the_rollout_can_be_followed_in_a_sandbox() {
    let rollout = include_str!("../docs/ROLLOUT.md");
    let mut lines: Vec<_> = rollout.lines().map(str::trim).filter(|line| line.starts_with("enforcer ")).collect();
    lines.retain(|line| line.contains("--sandbox"));
    let expected = [
        ("enforcer plan --sandbox --access", 1, "loses access: role/app/web-collector as a producer"),
        ("enforcer access clickstream --sandbox", 3, "role/app/web-collector"),
        ("enforcer access clickstream --sandbox --fix", 3, "\"kms:GenerateDataKey\""),
        ("enforcer plan --sandbox --policy policy.json", 1, "audit mode: apply does not change the stream"),
        ("enforcer apply --sandbox --policy policy.json --yes", 1, "encrypted sessions"),
        ("enforcer apply clickstream --sandbox --yes", 1, "held back: clickstream (users would lose access"),
    ];
    assert_eq!(lines, expected.map(|(line, ..)| line));
    let policy = rollout.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the policy");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("policy.json");
    std::fs::write(&file, policy).expect("the policy is written");
    let file = file.to_str().expect("UTF-8");
    for (line, code, says) in expected {
        let words = line.split(' ').skip(1).map(|word| if word == "policy.json" { file } else { word });
        let output = enforcer(&words.collect::<Vec<_>>(), "", &[]);
        let printed = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}: {printed}");
        assert!(printed.contains(says), "{line}: {says}: {printed}");
    }
    let output = enforcer(&["policy", "check", "--strict", "-"], policy, &[]);
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    for (stream, decides) in [("sessions", "first set"), ("other", "later")] {
        let summary = include_str!("../docs/stream.example.json").replace("payments-eu", stream);
        let output = enforcer(&["policy", "explain", "-", "--policy", file, "--key", "alias/streams"], &summary, &[]);
        assert!(text(&output.stdout).contains(decides), "{stream}: {}{}", text(&output.stdout), text(&output.stderr));
    }
}

#[test]
fn a_sandbox_whose_durations_are_no_durations_is_not_served() {
    for seconds in ["soon", "-1", "1e99"] {
        let output = enforcer(&["sandbox", "--port", "0", "--updating", seconds], "", &[]);
        assert_eq!(output.status.code(), Some(2), "{seconds}: {}", text(&output.stderr));
    }
}

/// boto3 and version 1 of the AWS CLI read `AWS_DEFAULT_REGION`:
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-region.html>.
#[test]
fn the_sandbox_prints_the_variables_that_every_sdk_reads() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_enforcer"))
        .args(["sandbox", "--port", "0", "--region", "eu-west-1", "--account", "999988887777"])
        .env_clear()
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let export = lines.map_while(Result::ok).find(|line| line.contains("export ")).expect("the export line");
    child.kill().and_then(|()| child.wait()).expect("it ends");
    for part in [
        " AWS_ENDPOINT_URL=http://127.0.0.1:",
        " AWS_REGION=eu-west-1 ",
        " AWS_DEFAULT_REGION=eu-west-1 ",
        " AWS_ACCESS_KEY_ID=",
        " AWS_SECRET_ACCESS_KEY=",
    ] {
        assert!(export.contains(part), "{part}: {export}");
    }
    for (option, value) in [("--region", "eu-west-1b"), ("--region", "Frankfurt"), ("--account", "1234")] {
        let output = enforcer(&["sandbox", "--port", "0", option, value], "", &[]);
        assert_eq!(output.status.code(), Some(2), "{option} {value}: {}", text(&output.stderr));
    }
}

#[test]
fn the_help_of_the_sandbox_lists_every_supported_call_and_fits_into_a_terminal() {
    let help = text(&enforcer(&["sandbox", "--help"], "", &[]).stdout);
    let (_, calls) = help.split_once("Supported calls:").expect("the list");
    for (service, operations) in kinesis_encryption_enforcer::sandbox::supported() {
        assert!(operations.is_sorted() && calls.contains(&format!("\n  {service}")), "{service}: {help}");
        assert!(operations.iter().all(|operation| calls.contains(&format!(" {operation}"))), "{service}: {help}");
    }
    assert!(calls.lines().all(|line| line.chars().count() <= 80), "{help}");
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
fn invalid_settings_are_named() {
    let output = enforcer(
        &["event", "events/manual-stream.json"],
        "",
        &[("KMS_KEY_ID", "orders-key"), ("ENFORCEMENT_MODE", "off")],
    );
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        error.contains("KMS_KEY_ID") && error.contains("orders-key") && error.contains("enforce or audit"),
        "{error}"
    );
}

const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

#[test]
fn policies_are_checked_file_by_file_and_every_problem_has_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let endless = file(
        "endless.json",
        r#"{"version": 1, "rules": [{"name": "a", "match": {}, "mode": "exempt", "reason": "r"}]}"#,
    );
    let dated = file(
        "dated.json",
        r#"{"version": 1, "rules": [
            {"name": "a", "match": {"stream": "a"}, "mode": "exempt", "reason": "migration until 2025-12-31"},
            {"name": "b", "match": {"stream": "b"}, "mode": "exempt", "reason": "until March 2026", "until": "2999-03-31"}]}"#,
    );
    let wrong = file(
        "wrong.json",
        "{\"version\": 1, \"rules\": [\n  {\"name\": \"a\", \"match\": {}, \"key\": \"orders\"},\n  {\"name\": \"b\"}\n]}",
    );
    let output = enforcer(&["policy", "check", "docs/policy.example.json", &endless, &dated, &wrong], "", &[]);
    let printed = text(&output.stdout).replace(folder.path().to_str().expect("UTF-8"), "FOLDER");
    assert_eq!(output.status.code(), Some(2), "{printed}");
    insta::assert_snapshot!("policy_check", printed);
    assert_eq!(enforcer(&["policy", "check", "docs/policy.example.json"], "", &[]).status.code(), Some(0));
}

#[test]
fn ambiguous_json_is_refused_by_name_and_utf_16_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let utf16: Vec<u8> = "\u{feff}{\"stream\":\"orders\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let twice = file("twice.json", br#"{"stream":"orders","dryRun":true,"dryRun":false}"#);
    let utf16 = file("utf16.json", &utf16);
    let tags = file(
        "tags.json",
        br#"{"version": 1, "rules": [{"name": "p", "match": {"tags": {"stage": "dev", "stage": "prod"}}}]}"#,
    );
    for (arguments, said) in [
        (vec!["event", &twice, "--sandbox"], "the key \"dryRun\" is there twice"),
        (vec!["policy", "check", &tags], "the tag \"stage\" is there twice"),
    ] {
        let output = enforcer(&arguments, "", &[]);
        let printed = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{printed}");
        assert!(printed.contains(said), "{printed}");
    }
    let marked = file("marked.json", "\u{feff}{\"stream\":\"orders\"}".as_bytes());
    for file in [&marked, &utf16] {
        assert_eq!(enforcer(&["event", file, "--sandbox"], "", &[]).status.code(), Some(0), "{file}");
    }
}

#[test]
fn the_schema_that_is_committed_is_the_one_that_is_printed() {
    let printed = text(&enforcer(&["policy", "schema"], "", &[]).stdout);
    let committed =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policy.schema.json")).expect("the schema");
    assert_eq!(printed, committed, "recreate it: cargo run -- policy schema > docs/policy.schema.json");
}

#[test]
fn explain_says_which_rule_decides_why_the_others_do_not_and_what_would_happen() {
    let described =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/stream.example.json")).expect("the example");
    let explain = |stream: &str, more: &[&str], variables: &[(&str, &str)]| {
        let mut arguments = [&["policy", "explain", "-"], more].concat();
        for (option, value) in [("--on", "2026-11-24"), ("--key", KEY)] {
            if !more.contains(&option) {
                arguments.extend([option, value]);
            }
        }
        let output = enforcer(&arguments, stream, variables);
        let (printed, code) = (text(&output.stdout) + &text(&output.stderr), output.status.code());
        format!("{printed}exit code {}", code.expect("a code"))
    };
    let policy = ["--policy", "docs/policy.example.json"];
    let plain = described.replace("payments-eu", "orders");
    let on_demand = plain.replace("PROVISIONED", "ON_DEMAND");
    let unencrypted = plain.replace("\"EncryptionType\": \"KMS\"", "\"EncryptionType\": \"NONE\"");
    let channel = unencrypted.replace("\"ChannelCount\": 0", "\"ChannelCount\": 1");
    let team = "{ \"Key\": \"team\", \"Value\": \"payments\" }";
    let exempt_tag = |value: &str| format!(r#"{{ "Key": "kinesis-encryption-enforcer:exempt", "Value": "{value}" }}"#);
    let exempt = unencrypted.replace("{ \"Key\": \"team\"", "{ \"Key\": \"kinesis-encryption-enforcer:exempt\"");
    let stories = [
        ("a rule with another key", explain(&described, &policy, &[])),
        ("the default, compliant", explain(&plain, &policy, &[])),
        ("the default, unencrypted", explain(&unencrypted, &policy, &[])),
        ("audit", explain(&unencrypted, &[], &[("ENFORCEMENT_MODE", "audit")])),
        (
            "exempt by rule",
            explain(&described.replace("payments-eu", "vendor-a"), &[policy[0], policy[1], "--on", "2027-03-31"], &[]),
        ),
        (
            "an expired exemption",
            explain(&described.replace("payments-eu", "vendor-a"), &[policy[0], policy[1], "--on", "2027-04-01"], &[]),
        ),
        ("exempt by tag", explain(&exempt, &policy, &[])),
        ("tags are needed", explain(&on_demand.replace("\"Tags\"", "\"Labels\""), &policy, &[])),
        ("an alias that only AWS can resolve", explain(&plain, &["--key", "alias/streams"], &[])),
        (
            "an alias, and exempt by tag",
            explain(
                &plain.replace(team, &exempt_tag("vendor until=2027-03-31")),
                &["--key", "alias/streams", "--on", "2027-03-31"],
                &[],
            ),
        ),
        (
            "an alias, and a malformed exemption",
            explain(&plain.replace(team, &exempt_tag("vendor until=soon")), &["--key", "alias/streams"], &[]),
        ),
        ("an alias, and no tags", explain(&plain.replace("\"Tags\"", "\"Labels\""), &["--key", "alias/streams"], &[])),
        ("an alias in audit mode", explain(&plain, &["--key", "alias/streams"], &[("ENFORCEMENT_MODE", "audit")])),
        (
            "an alias, and another key may be accepted",
            explain(&plain, &["--key", "alias/streams"], &[("ON_OTHER_KEY", "accept")]),
        ),
        ("a channel and an alias", explain(&channel, &["--key", "alias/streams"], &[])),
        ("a channel and the AWS managed key", explain(&channel, &["--key", "alias/aws/kinesis"], &[])),
        (
            "another key may be accepted",
            explain(&plain, &["--key", "0987dcba-09fe-87dc-65ba-ab0987654321"], &[("ON_OTHER_KEY", "accept")]),
        ),
        (
            "not the answer of describe-stream-summary",
            explain("{\"StreamDescriptionSummary\": {\"StreamName\": \"a\"}}", &policy, &[]),
        ),
    ];
    insta::assert_snapshot!(
        "policy_explain",
        stories.map(|(name, printed)| format!("# {name}\n{printed}")).join("\n\n")
    );
}

#[test]
fn a_plan_shows_every_stream_and_why_and_changes_nothing() {
    let output = enforcer(&["plan", "--sandbox", "--json"], "", &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let streams = plan["streams"].as_array().expect("streams");
    assert_eq!((streams.len(), &plan["changes"]), (15, &serde_json::json!(6)));
    let decision = |name: &str| {
        let stream = streams.iter().find(|stream| stream["stream"] == name).expect("the stream");
        assert_eq!(stream["outcome"]["applied"], false, "{name}");
        stream["outcome"]["status"].as_str().expect("a status")
    };
    for (name, expected) in [
        ("audit-log", "compliant"),
        ("clickstream", "would-encrypt"),
        ("feed-vendor", "exempt"),
        ("feed-migrated", "would-encrypt"),
        ("payments-us", "would-encrypt"),
        ("locked", "failed"),
        ("retired-app", "failed"),
    ] {
        assert_eq!(decision(name), expected, "{name}");
    }
    let keys = plan["keysAtRisk"].as_array().expect("keys");
    let keys: Vec<_> = keys.iter().map(|key| (&key["status"], &key["key"])).collect();
    assert_eq!(keys, [(&"key-at-risk".into(), &"alias/payments".into())]);
    let sessions = streams.iter().find(|stream| stream["stream"] == "sessions").expect("the stream");
    let warning = &sessions["outcome"]["warnings"][0];
    assert_eq!(
        (&warning["code"], &warning["times"]),
        (&serde_json::json!("undone-by"), &serde_json::json!(1)),
        "{sessions:#}"
    );
    assert!(warning["userAgent"].as_str().is_some_and(|agent| agent.contains("Terraform/")), "{warning}");
    let named = enforcer(
        &["plan", "--sandbox", "clickstream", "arn:aws:kinesis:us-east-1:111122223333:stream/orders"],
        "",
        &[],
    );
    let printed = text(&named.stdout);
    assert_eq!(named.status.code(), Some(3), "{printed}");
    assert!(
        printed.starts_with("2 streams in account 111122223333, us-east-1: 1 to encrypt, 1 compliant\n")
            && printed.contains("2 registered consumers need kms:Decrypt on the new key")
            && printed.contains("1 delivery channel reads the stream: its role needs kms:Decrypt on the new key")
            && printed.contains("the stream has 1 queue: its readers need kms:Decrypt on the new key"),
        "{printed}"
    );
    assert_eq!(enforcer(&["plan", "--sandbox", "orders"], "", &[]).status.code(), Some(0));
    assert_eq!(enforcer(&["plan", "--sandbox", "no stream"], "", &[]).status.code(), Some(2));
}

#[test]
fn apply_prompts_and_encrypts_what_the_plan_lists_and_verifies_it_with_a_probe() {
    let not_a_terminal = enforcer(&["apply", "--sandbox"], "", &[]);
    assert_eq!(not_a_terminal.status.code(), Some(2));
    assert!(
        text(&not_a_terminal.stderr).contains("not a terminal, cannot prompt: pass --yes to encrypt 2 streams"),
        "{}",
        text(&not_a_terminal.stderr)
    );

    let apply = ["apply", "--sandbox", "--yes", "--json", "--probe", "clickstream", "inventory", "orders"];
    let output = enforcer(&apply, "", &[]);
    let done: serde_json::Value = serde_json::from_str(&text(&output.stdout)).expect("JSON");
    assert_eq!(
        (output.status.code(), &done["streams"], &done["heldBack"]),
        (Some(1), &serde_json::json!([]), &serde_json::json!(["clickstream", "inventory"])),
        "users would lose access: {done:#}"
    );
    let output = enforcer(&[&apply[..], &["--accept-access-loss"]].concat(), "", &[]);
    let printed = text(&output.stdout);
    let done: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!((output.status.code(), &done["notStarted"]), (Some(0), &serde_json::json!(0)), "{done:#}");
    let statuses: Vec<_> =
        done["streams"].as_array().expect("streams").iter().map(|stream| &stream["outcome"]["status"]).collect();
    assert_eq!(statuses, ["encrypted", "encrypted"]);
    assert_eq!(done["probes"].as_array().expect("probes").iter().filter(|probe| probe["encrypted"] == true).count(), 2);

    let audit = enforcer(&["apply", "--sandbox", "--yes"], "", &[("ENFORCEMENT_MODE", "audit")]);
    assert_eq!(audit.status.code(), Some(2));
}

#[test]
fn a_report_is_written_in_every_format() {
    let report = |format: &str| text(&enforcer(&["report", "--sandbox", "--format", format], "", &[]).stdout);
    let csv = report("csv");
    assert_eq!(csv.lines().count(), 16);
    assert!(csv.starts_with("account,region,stream,state"), "{csv}");
    let json: serde_json::Value = serde_json::from_str(&report("json")).expect("JSON");
    assert_eq!((&json["total"], &json["right"]), (&serde_json::json!(15), &serde_json::json!(4)));
    let findings: Vec<serde_json::Value> = serde_json::from_str(&report("asff")).expect("JSON");
    assert_eq!(findings.len(), 15);
    let of = |name: &str| {
        findings.iter().find(|finding| finding["Id"].as_str().is_some_and(|id| id.ends_with(name))).expect("a finding")
    };
    assert_eq!(of("stream/orders")["Compliance"]["Status"], "PASSED");
    assert_eq!(
        (&of("clickstream")["Compliance"]["Status"], &of("clickstream")["FindingProviderFields"]["Severity"]["Label"]),
        (&"FAILED".into(), &"MEDIUM".into())
    );
    assert_eq!(of("feed-vendor")["Compliance"]["Status"], "NOT_AVAILABLE");
    assert_eq!(
        of("clickstream")["ProductFields"]["kinesis-encryption-enforcer/warnings"],
        "consumers-need-decrypt channels-need-decrypt queue-readers-need-decrypt"
    );
    assert!(report("table").contains("generated at"));

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("report.html");
    let output =
        enforcer(&["report", "--sandbox", "--format", "html", "--output", file.to_str().expect("UTF-8")], "", &[]);
    assert_eq!(output.status.code(), Some(0));
    let page = std::fs::read_to_string(file).expect("the page");
    for part in [
        "<strong>27%</strong> encrypted as configured<br>4 of 15 streams",
        "<strong>8</strong> not encrypted",
        "Warning: 2 registered consumers need kms:Decrypt on the new key",
        "Scope and settings",
        "arn:aws:sts::111122223333:assumed-role/kinesis-encryption-enforcer/kinesis-encryption-enforcer",
        "POLICY, 2 rules",
        "Exemptions",
        "Expiring keys",
        "no end date",
        "payments-us",
        "prefers-color-scheme: dark",
        "@media print",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // One file, no network.
    assert!(!page.contains("http://") && !page.contains("https://"), "the page refers to the network");
    assert_eq!(page.matches("<tr data-keys=").count(), 15);
}

#[test]
fn completions_are_there_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = enforcer(&["completions", shell], "", &[]);
        assert!(text(&output.stdout).contains("report"), "{shell}");
    }
}

#[test]
#[cfg(unix)]
fn an_interrupted_apply_prints_how_many_streams_were_not_started() {
    use std::io::Read;

    let mut child = Command::new(env!("CARGO_BIN_EXE_enforcer"))
        .args(["apply", "--sandbox", "--yes", "--concurrency", "1"])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output"));
    let mut line = String::new();
    // The last line of the plan: the streams are started after it.
    while !line.contains("key/f0a2a3cb") {
        line.clear();
        assert_ne!(lines.read_line(&mut line).expect("it prints"), 0, "no plan was printed");
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill").success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("it ends");
    assert_eq!(child.wait().expect("it ends").code(), Some(130), "{rest}");
    assert!(rest.contains("not started") && rest.contains("run the same command again to continue"), "{rest}");
    // The streams that were started are completed.
    assert!(!rest.contains("failed"), "{rest}");
}

/// The exit codes of the samples that do not end with 0: a key is at risk or was denied, the payload is not
/// understood, a finding names streams that are not managed, or the request is a dry run.
const OTHER_EXIT_CODES: [(&str, i32); 14] = [
    ("access-denied.json", 1),
    ("access-denied-of-stream.json", 1),
    ("access-key-disabled.json", 1),
    ("alias-deleted.json", 1),
    ("key-deleted.json", 1),
    ("key-deletion-cancelled.json", 1),
    ("key-deletion-scheduled.json", 1),
    ("key-disabled.json", 1),
    ("key-material-deleted.json", 1),
    ("key-material-expiring.json", 1),
    ("key-store-disconnected.json", 1),
    ("security-finding-several.json", 1),
    ("unknown.json", 1),
    ("manual-dry-run.json", 3),
];

#[test]
fn a_batch_without_messages_is_named() {
    let output = enforcer(&["event", "-", "--sandbox"], "{\"Records\": []}", &[]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), "• ignored: the batch is empty\n"));
}

#[test]
fn any_event_can_be_tried_in_a_sandbox_that_contains_what_it_names() {
    let events = concat!(env!("CARGO_MANIFEST_DIR"), "/events");
    let mut names: Vec<_> = std::fs::read_dir(events)
        .expect("the samples")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    assert!(names.len() > 40, "{names:?}");
    // They wait for their streams in real time: a few at once.
    for some in names.chunks(12) {
        let started: Vec<_> = some
            .iter()
            .map(|name| {
                let child = Command::new(env!("CARGO_BIN_EXE_enforcer"))
                    .args(["event", &format!("{events}/{name}"), "--sandbox", "--json"])
                    .env_clear()
                    .stdin(Stdio::null())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn();
                (name, child.expect("the program starts"))
            })
            .collect();
        for (name, child) in started {
            let output = child.wait_with_output().expect("it ends");
            let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let expected = OTHER_EXIT_CODES.iter().find(|(other, _)| other == name).map_or(0, |(_, code)| *code);
            assert_eq!(output.status.code(), Some(expected), "{name}: {answer:#}{}", text(&output.stderr));
            assert!(
                answer["trigger"]["kind"].is_string() || answer["batchItemFailures"].is_array(),
                "{name}: {answer:#}"
            );
        }
    }
}

/// Runs the program with its standard output on the file at `path`.
#[cfg(target_os = "linux")]
fn enforcer_to(path: &str, arguments: &[&str]) -> Output {
    let output = std::fs::OpenOptions::new().write(true).open(path).expect("it can be written");
    Command::new(env!("CARGO_BIN_EXE_enforcer"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(Stdio::piped())
        .output()
        .expect("the program runs")
}

#[test]
#[cfg(target_os = "linux")]
fn output_that_cannot_be_written_is_a_failure_of_every_command() {
    for arguments in [
        &["demo"][..],
        &["plan", "--sandbox", "orders"],
        &["apply", "--sandbox", "--yes", "orders"],
        &["report", "--sandbox", "--format", "csv"],
        &["event", "events/manual-stream.json", "--sandbox"],
        &["event", "events/manual-dry-run.json", "--sandbox", "--json"],
        &["dlq", "list", "--sandbox"],
        &["policy", "check", "docs/policy.example.json"],
        &["policy", "schema"],
        &["completions", "bash"],
        &["sandbox", "--port", "0"],
        &["--help"],
        &["report", "--help"],
        &["--version"],
    ] {
        let output = enforcer_to("/dev/full", arguments);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
        assert!(told.contains("cannot write to standard output: no space left on device"), "{arguments:?}: {told}");
    }
}

#[test]
#[cfg(unix)]
fn a_reader_that_has_closed_the_pipe_is_no_failure() {
    for (arguments, code) in
        [(&["policy", "schema"][..], 0), (&["completions", "zsh"], 0), (&["--help"], 0), (&["plan", "--sandbox"], 1)]
    {
        let mut child = Command::new(env!("CARGO_BIN_EXE_enforcer"))
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        let told = text(&output.stderr);
        // On a busy machine, a plan may take more than a second.
        let told: Vec<_> = told.lines().filter(|line| !line.starts_with("waiting: ")).collect();
        assert_eq!((output.status.code(), told), (Some(code), Vec::new()), "{arguments:?}");
    }
}
