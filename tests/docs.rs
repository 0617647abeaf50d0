//! docs/ says what there is: every alarm, every code, every action, every event and its rule; and
//! its JSON is JSON.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test that cannot be set up has failed; one tells Lambda's time"
)]

#[expect(dead_code, reason = "the tests of the function use all of it")]
#[path = "killed/lambda.rs"]
mod lambda;

use std::collections::{BTreeMap, BTreeSet};

use kinesis_encryption_enforcer::aws::ACTIONS;
use kinesis_encryption_enforcer::event;
use serde_json::{Value, json};

const REFERENCE: &str = include_str!("../docs/REFERENCE.md");
const RUNBOOK: &str = include_str!("../docs/RUNBOOK.md");
const ACCESS: &str = include_str!("../docs/ACCESS.md");
const IAM: &str = include_str!("../docs/IAM.md");
const EVENTS: &str = include_str!("../docs/EVENTS.md");
const POLICY: &str = include_str!("../docs/POLICY.md");
const PREVENT: &str = include_str!("../docs/PREVENT.md");
const FAILURE: &str = include_str!("../src/domain/failure/code.rs");
const TEMPLATE: &str = include_str!("../template.yaml");
const MEMBER_TEMPLATE: &str = include_str!("../deploy/member-role.yaml");

/// What stands in headings of the third level, word by word.
fn headings(document: &str) -> BTreeSet<&str> {
    document.lines().filter_map(|line| line.strip_prefix("### ")).flat_map(|line| line.split(", ")).collect()
}

/// The names of the template's resources of a type.
fn resources(kind: &str) -> Vec<&'static str> {
    resources_in(TEMPLATE, kind)
}

fn resources_in(template: &'static str, kind: &str) -> Vec<&'static str> {
    let lines: Vec<_> = template.lines().collect();
    let found: Vec<_> = lines
        .windows(2)
        .filter(|pair| pair[1].trim() == format!("Type: {kind}"))
        .filter_map(|pair| pair[0].trim().strip_suffix(':'))
        .collect();
    assert!(!found.is_empty(), "{kind}");
    found
}

/// The blocks of JSON in a document.
fn blocks(document: &str) -> Vec<Value> {
    let blocks = document.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    blocks.map(|block| serde_json::from_str(block).expect("JSON")).collect()
}

/// The codes of SQS and of `StartStreamEncryption`.
const OF_AWS: [&str; 12] = [
    "AccessDenied",
    "AccessDeniedException",
    "InvalidArgumentException",
    "KMSAccessDeniedException",
    "KMSDisabledException",
    "KMSInvalidStateException",
    "KMSNotFoundException",
    "KMSOptInRequired",
    "KMSThrottlingException",
    "LimitExceededException",
    "ResourceInUseException",
    "ResourceNotFoundException",
];

#[test]
fn the_runbook_has_a_section_for_every_alarm_and_every_code() {
    let sections = headings(RUNBOOK);
    let codes = FAILURE.lines().filter_map(|line| line.trim().strip_prefix("pub const ")?.split('"').nth(1));
    let codes: Vec<_> = codes.collect();
    assert!(codes.len() > 20, "{codes:?}");
    let alarms = [TEMPLATE, MEMBER_TEMPLATE].map(|template| resources_in(template, "AWS::CloudWatch::Alarm")).concat();
    for section in alarms.into_iter().chain(codes).chain(OF_AWS) {
        assert!(sections.contains(section), "{section}");
    }
}

#[test]
fn iam_names_every_action_that_the_code_needs_and_every_statement_of_the_role() {
    for action in ACTIONS {
        assert!(IAM.contains(&format!("`{action}`")), "{action}");
    }
    let policies = resources("AWS::IAM::ManagedPolicy");
    for policy in policies {
        let body = TEMPLATE
            .split(&format!("\n  {policy}:\n"))
            .nth(1)
            .and_then(|rest| rest.split("\n\n  ").next())
            .expect("the policy");
        for sid in body.lines().filter_map(|line| line.trim().strip_prefix("- Sid: ")) {
            assert!(IAM.contains(&format!("| {sid} |")), "{sid}");
        }
    }
}

/// The names of the samples in a text.
fn samples(text: &str) -> impl Iterator<Item = &str> {
    text.split("`events/").skip(1).filter_map(|rest| rest.split(".json`").next())
}

fn sample(name: &str) -> Value {
    let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("a sample")).expect("JSON")
}

/// What the requests of a sample are, as answers name it.
fn kinds(name: &str) -> BTreeSet<String> {
    let own_role = "arn:aws:iam::111122223333:role/kinesis-encryption-enforcer".to_owned();
    let delivery = event::read(&sample(name), &[own_role]);
    let kinds = delivery.requests().map(|request| serde_json::to_value(request.trigger.kind).expect("a kind"));
    kinds.filter_map(|kind| kind.as_str().map(str::to_owned)).collect()
}

#[test]
fn events_names_every_sample_with_its_kind_and_the_rule_that_delivers_it() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/events");
    let named: BTreeSet<_> = samples(EVENTS).collect();
    for entry in std::fs::read_dir(folder).expect("the samples") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        assert!(named.contains(name.trim_end_matches(".json")), "{name}");
    }
    // tests/template.rs matches every pattern with every sample.
    let delivered: Value = serde_json::from_str(include_str!("template/delivered.json")).expect("JSON");
    let table = EVENTS.split("\n| --- ").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("the table");
    let mut rules = BTreeSet::new();
    for row in table.lines().skip(1) {
        let [_, by, _, kind, _, of_row, _] = row.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            unreachable!("{row}")
        };
        let rule = by.ends_with("Rule").then_some(by);
        rules.extend(rule);
        assert!(of_row.contains("`events/"), "{row}");
        for name in samples(of_row) {
            assert_eq!(delivered["files"][name].as_str(), rule, "{name}");
            assert_eq!(kinds(name), BTreeSet::from([kind.trim_matches('`').to_owned()]), "{name}");
        }
    }
    assert_eq!(rules, resources("AWS::Events::Rule").into_iter().collect());
}

#[test]
fn the_samples_of_ignored_events_are_ignored_and_what_is_unknown_is_unknown() {
    let section = EVENTS.split("\n## Ignored events\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let (ignored, unknown) = section.and_then(|text| text.split_once("Everything else")).expect("the section");
    assert!(samples(ignored).count() > 8, "{ignored}");
    for (text, kind) in [(ignored, "ignored"), (unknown, "unknown")] {
        for name in samples(text) {
            assert_eq!(kinds(name), BTreeSet::from([kind.to_owned()]), "{name}");
        }
    }
}

#[test]
fn the_cost_of_a_sweep_is_what_its_events_cost() {
    const HOURS_A_MONTH: u32 = 730;
    let cost = include_str!("../docs/COST.md");
    let says = |text: &str| assert!(cost.contains(text), "{text}");
    let dollars = |events: u32, cents: u32, of: u32| {
        let cents = (f64::from(events) * f64::from(cents) / f64::from(of)).round();
        format!("${:.2}", cents / 100.0)
    };
    // The prices: $2.00 per 100,000 events of a further trail, $4.00 per million for GuardDuty, $0.03
    // per 10,000 calls of KMS.
    let trail = |events| dollars(events, 200, 100_000);
    for text in ["$2.00 per 100,000", "$4.00 per million", "$0.03 per 10,000"] {
        says(text);
    }
    // Of 1,000 compliant streams, one call each.
    for (every_hours, shown) in [(1, "730,000"), (6, "121,667")] {
        let events = (HOURS_A_MONTH * 1000).div_ceil(every_hours);
        assert_eq!(events.to_string(), shown.replace(',', ""));
        for text in [shown, &trail(events), &dollars(events, 400, 1_000_000)] {
            says(text);
        }
    }
    // Twelve calls of Kinesis to KMS in five minutes.
    let calls = 12 * 12 * HOURS_A_MONTH;
    assert_eq!(calls, 105_120);
    for text in ["105,120", &trail(calls), &dollars(calls, 3, 10_000)] {
        says(text);
    }
}

#[test]
fn the_cost_of_a_storm_of_denied_calls_is_that_of_its_requests() {
    let cost = include_str!("../docs/COST.md");
    // $0.40 per million requests: one to send each, one to receive and one to delete ten of them.
    assert!(cost.contains("at $0.40 per million"));
    for (calls, shown, price) in
        [(100_000, "120,000", "$0.05"), (600_000, "720,000", "$0.29"), (36_000_000, "43,200,000", "$17.28")]
    {
        let requests = calls + 2 * calls / 10;
        assert_eq!(requests.to_string(), shown.replace(',', ""));
        assert_eq!(format!("${:.2}", f64::from(requests) * 0.40 / 1e6), price);
        assert!(cost.lines().any(|line| line.contains(&format!("| {shown} |")) && line.contains(price)), "{shown}");
    }
    // Two workers for an hour at most, 128 MB, arm64.
    assert_eq!(format!("${:.2}", 2.0 * 3600.0 * 0.125 * 0.000_013_3), "$0.01");
}

#[test]
fn the_service_control_policies_deny() {
    let policies = blocks(PREVENT);
    assert_eq!(policies.len(), 4);
    for policy in policies {
        assert_eq!((&policy["Version"], &policy["Statement"][0]["Effect"]), (&"2012-10-17".into(), &"Deny".into()));
    }
}

#[test]
fn the_permissions_of_the_access_command_are_those_of_its_calls() {
    use kinesis_encryption_enforcer::aws::{iam, users};
    let calls = users::ACTIONS.iter().chain(&iam::ACTIONS).copied();
    let calls: BTreeSet<_> = calls.chain(["kms:GetKeyPolicy", "kms:ListAliases", "kms:ListGrants"]).collect();
    let policies = blocks(ACCESS);
    let actions = policies[0]["Statement"][0]["Action"].as_array().expect("actions").iter();
    let actions: Vec<_> = actions.filter_map(Value::as_str).collect();
    assert!(actions.is_sorted(), "{actions:?}");
    assert_eq!(actions.into_iter().collect::<BTreeSet<_>>(), calls);
}

#[test]
fn every_subcommand_that_a_document_names_exists() {
    let documents = [
        RUNBOOK,
        EVENTS,
        include_str!("../README.md"),
        ACCESS,
        REFERENCE,
        include_str!("../docs/FAQ.md"),
        include_str!("../docs/ACCOUNTS.md"),
        include_str!("../docs/EXEMPT.md"),
        POLICY,
        include_str!("../docs/ROLLOUT.md"),
        include_str!("../docs/SECURITY.md"),
    ]
    .concat();
    let named: BTreeSet<_> = documents
        .split("enforcer ")
        .skip(1)
        .map(|rest| rest.chars().take_while(char::is_ascii_lowercase).collect::<String>())
        .filter(|word| {
            ["plan", "access", "apply", "report", "event", "dlq", "policy", "demo", "sandbox", "completions"]
                .contains(&word.as_str())
        })
        .collect();
    assert!(named.len() > 5, "{named:?}");
    for command in named {
        let help = std::process::Command::new(env!("CARGO_BIN_EXE_enforcer"))
            .args([&command, "--help"])
            .output()
            .expect("it runs");
        assert!(help.status.success(), "{command}");
    }
}

/// The section of docs/REFERENCE.md with this heading.
fn section(heading: &str) -> &'static str {
    let after = REFERENCE.split_once(&format!("\n## {heading}\n")).expect(heading).1;
    after.split_once("\n## ").map_or(after, |(section, _)| section)
}

/// The exit codes that the help of a command lists.
fn exit_codes(command: &str) -> BTreeSet<String> {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_enforcer"))
        .args(command.split(' '))
        .arg("--help")
        .output()
        .expect("it runs");
    let help = String::from_utf8(help.stdout).expect("UTF-8");
    let listed = help.split_once("Exit codes:\n").map(|(_, rest)| rest).unwrap_or_default();
    let lines = listed.lines().take_while(|line| line.trim() != "Examples:");
    let words = lines.filter(|line| !line.starts_with("     ")).filter_map(|line| line.split_whitespace().next());
    words.filter(|word| word.chars().all(|digit| digit.is_ascii_digit())).map(str::to_owned).collect()
}

#[test]
fn the_reference_has_the_exit_codes_of_every_command() {
    let (before, table) = section("Exit codes").split_once("\n| command |").expect("a table");
    assert!(before.contains("* 2: "), "{before}");
    let after = table.rsplit_once("|\n").expect("what follows").1;
    let mut listed = BTreeMap::<String, BTreeSet<String>>::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [command, codes @ ..] = &cells[..] else { unreachable!("{row}") };
        let codes = codes.iter().zip(["0", "1", "3"]).filter(|(cell, _)| **cell != "–").map(|(_, code)| code);
        let of_sentence = |code: &&str| {
            let sentence = after.lines().find(|line| line.contains(&format!(" {code} "))).expect("a sentence");
            let named = command.trim_end_matches('`');
            sentence.contains(&format!("{named}`")) || sentence.contains(&format!("{named} --"))
        };
        let others = ["4", "130"].into_iter().filter(of_sentence);
        let codes = codes.chain(others).chain(["2"]).map(str::to_owned).collect();
        listed.insert(command.trim_matches('`').to_owned(), codes);
    }
    for command in ["plan", "access", "apply", "report", "dlq redrive", "policy check", "policy explain"] {
        assert_eq!(listed.get(command), Some(&exit_codes(command)), "{command}");
    }
}

/// What is another in each run, replaced by what is the same.
fn lasting(mut line: Value) -> Value {
    for name in ["occurredAt", "timestamp", "waited_ms", "TimeToEncrypted", "TimeUnencrypted"] {
        if let Some(value) = line.get_mut(name) {
            *value = json!("another each time");
        }
    }
    if let Some(time) = line.pointer_mut("/_aws/Timestamp") {
        *time = json!("another each time");
    }
    line
}

#[tokio::test]
async fn the_samples_of_the_log_and_of_a_dead_letter_are_what_the_function_writes() {
    use kinesis_encryption_enforcer::clock::Clock;
    use kinesis_encryption_enforcer::sandbox::{Account, Fault, NewStream, serve};
    use std::time::Duration;

    let account = Account::new(Clock::system(), "us-east-1", "111122223333");
    account.configure(|options| options.updating = Duration::ZERO);
    let (key, dead_letters) = (account.create_key(), account.queue("dead-letters"));
    for name in ["orders", "clicks"] {
        account.stream(NewStream::named(name));
    }
    let denial = "not authorized to perform: kinesis:ListTagsForStream";
    account.fault(Fault::on("ListTagsForStream").stream("clicks").error("AccessDeniedException", denial));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(serve(account.clone(), listener, std::future::pending()));
    let printed = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("log-samples");
    let output = std::fs::File::create(&printed).expect("a file");
    let environment = [
        ("AWS_LAMBDA_FUNCTION_NAME", "kinesis-encryption-enforcer".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "ASIAENFORCEREXAMPLE1".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ("AWS_ENDPOINT_URL", url),
        ("KMS_KEY_ID", key),
        ("FAILURE_QUEUE_URL", dead_letters),
        ("IAC_GRACE_SECONDS", "0".to_owned()),
    ];
    let mut function = lambda::Lambda::start_writing(&environment, output.into()).await;
    let denied = serde_json::from_str(include_str!("../events/access-denied.json")).expect("JSON");
    for payload in [json!({"streams": ["orders", "clicks"]}), denied] {
        function.invoke(&payload).await.expect("an answer");
    }
    drop(function);
    let written = account.messages("dead-letters");
    let written: Vec<_> =
        written.iter().map(|letter| lasting(serde_json::from_str(&letter.body).expect("JSON"))).collect();
    let samples: Vec<_> = blocks(section("Dead letters")).into_iter().map(lasting).collect();
    assert_eq!(samples, written, "{written:#?}");

    let printed = std::fs::read_to_string(printed).expect("UTF-8");
    let lines: Vec<Value> = printed.lines().map(|line| lasting(serde_json::from_str(line).expect("JSON"))).collect();
    let samples = [blocks(section("Log")), blocks(section("Metrics"))];
    assert_eq!(samples.each_ref().map(Vec::len), [4, 1]);
    for sample in samples.into_iter().flatten().map(lasting) {
        assert!(lines.contains(&sample), "{sample:#} is none of {printed}");
    }
}

#[test]
fn the_reference_names_every_detail_type_and_error_type() {
    use kinesis_encryption_enforcer::report::event::DETAIL_TYPES;
    for detail_type in DETAIL_TYPES {
        assert!(section("Outcome events").contains(&format!("`{detail_type}`")), "{detail_type}");
    }
    let types = include_str!("../src/handler/error.rs").split("fn as_str(self)").nth(1).expect("the names");
    let types = types.split("\n    }\n").next().expect("its end").split('"').skip(1).step_by(2);
    let types: Vec<_> = types.collect();
    assert!(types.len() > 5, "{types:?}");
    for error_type in types {
        assert!(section("Failures").contains(&format!("`{error_type}`")), "{error_type}");
    }
}

/// The commands in code spans: what follows `enforcer `, up to the end of the span.
fn commands(document: &str) -> impl Iterator<Item = &str> {
    let spans = document.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    spans.filter_map(|span| Some(&span[span.find("enforcer ")? + "enforcer ".len()..]))
}

#[test]
fn every_command_in_a_sentence_has_options_that_exist() {
    let documents =
        [RUNBOOK, EVENTS, POLICY, include_str!("../docs/EXEMPT.md"), include_str!("../docs/BEHAVIOUR.md")].concat();
    let named: BTreeSet<_> = commands(&documents).collect();
    assert!(named.len() > 12, "{named:?}");
    for command in named {
        // Help ends the command before it starts, but after the options are read.
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_enforcer"))
            .args(command.split_whitespace().chain(["--help"]))
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The relative links of a document, without what follows `#`, and the anchors in it.
fn links(document: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let targets = document.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://"))
        .map(|target| target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor))))
}

#[test]
fn every_link_leads_to_a_file_and_every_anchor_to_a_heading() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let markdown = |folder: &str| {
        let entries =
            std::fs::read_dir(root.join(folder)).expect("a folder").map(|entry| entry.expect("an entry").path());
        entries.filter(|path| path.extension().is_some_and(|it| it == "md"))
    };
    let documents = ["", "docs", "docs/contributing"].into_iter().flat_map(markdown);
    let mut followed = 0;
    for document in documents {
        let text = std::fs::read_to_string(&document).expect("a document");
        for (path, anchor) in links(&text) {
            let target =
                if path.is_empty() { document.clone() } else { document.parent().expect("a folder").join(path) };
            assert!(target.exists(), "{}: {path}", document.display());
            if let Some(anchor) = anchor {
                let linked = std::fs::read_to_string(&target).expect("a document");
                let plain = |heading: &str| {
                    heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-").replace(['`', ',', ':'], "")
                };
                assert!(
                    linked.lines().any(|line| line.starts_with('#') && plain(line) == anchor),
                    "{}: {path}#{anchor}",
                    document.display()
                );
            }
            followed += 1;
        }
    }
    assert!(followed > 40, "{followed}");
}
