//! docs/ says what there is: every alarm, every code, every action, every event, every rule; and
//! its JSON is JSON.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeSet;

use kinesis_encryption_enforcer::aws::ACTIONS;
use serde_json::Value;

const RUNBOOK: &str = include_str!("../docs/RUNBOOK.md");
const ACCESS: &str = include_str!("../docs/ACCESS.md");
const IAM: &str = include_str!("../docs/IAM.md");
const EVENTS: &str = include_str!("../docs/EVENTS.md");
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

#[test]
fn events_names_every_sample_and_every_rule_with_its_pattern() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/events");
    for entry in std::fs::read_dir(folder).expect("the samples") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        assert!(EVENTS.contains(&format!("`events/{name}`")), "{name}");
    }
    let rules = resources("AWS::Events::Rule");
    let sections = headings(EVENTS);
    assert!(rules.iter().all(|rule| sections.contains(rule)), "{rules:?}");
    assert_eq!(blocks(EVENTS).len(), rules.len());
    assert!(blocks(EVENTS).iter().all(|pattern| pattern["source"].is_array()));
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
        include_str!("../docs/REFERENCE.md"),
        include_str!("../docs/POLICY.md"),
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
