//! `enforcer policy check` and `explain`, run as a process: what is wrong with a policy, what in it
//! has no effect, and what else its author should know.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const DOCUMENT: &str = include_str!("../docs/POLICY.md");

/// What the program prints, and its exit code. It runs in `folder`, and reads `input`.
fn enforcer(folder: &Path, arguments: &[&str], input: &[u8]) -> (String, i32) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_enforcer"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("its input").write_all(input).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let printed = [output.stdout, output.stderr].concat();
    (String::from_utf8(printed).expect("UTF-8"), output.status.code().expect("a code"))
}

/// What `enforcer policy check` prints about a file with this text.
fn check(name: &str, text: &[u8], options: &[&str]) -> (String, i32) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(name), text).expect("written");
    enforcer(folder.path(), &[&["policy", "check", name], options].concat(), b"")
}

fn policy(rules: &str) -> String {
    format!(r#"{{"version": 1, "rules": [{rules}]}}"#)
}

fn utf16(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn what_a_policy_gets_wrong_is_said_with_an_example() {
    let key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let rule = |conditions: &str| policy(&format!(r#"{{"name": "p", "match": {conditions}, "mode": "audit"}}"#));
    let cases = [
        ("a regular expression", "regex.json", rule(r#"{"stream": "payments-.*"}"#).into_bytes()),
        ("a regular expression that is no pattern", "regex.json", rule(r#"{"stream": "^a$"}"#).into_bytes()),
        ("an availability zone", "zone.json", rule(r#"{"region": "us-east-1a"}"#).into_bytes()),
        ("a Region that is not known", "region.json", rule(r#"{"region": ["us-east-9", "us-east-1"]}"#).into_bytes()),
        (
            "a rule that is never reached",
            "shadowed.json",
            policy(
                r#"{"name": "all vendors", "match": {"stream": "vendor-*"}, "mode": "audit"},
                   {"name": "vendor pay", "match": {"stream": "vendor-pay-*"}, "key": "alias/pay"}"#,
            )
            .into_bytes(),
        ),
        (
            "a key of another Region",
            "key.json",
            policy(&format!(r#"{{"name": "p", "match": {{"stream": "a", "region": "us-east-1"}}, "key": "{key}"}}"#))
                .into_bytes(),
        ),
        ("a list of modes", "modes.json", rule(r#"{"streamMode": ["ON_DEMAND"]}"#).into_bytes()),
        ("a condition outside of match", "outside.json", policy(r#"{"name": "p", "stream": "a"}"#).into_bytes()),
        (
            "several problems in one rule",
            "several.json",
            policy(
                r#"{"name": "", "match": {"stream": ["a b", ""], "account": [1], "regions": {}}, "mode": "exempt", "key": 7,
                    "until": "soon"}"#,
            )
            .into_bytes(),
        ),
        ("a list", "list.json", br#"[{"name": "p", "match": {}}]"#.to_vec()),
        ("a version in quotes", "version.json", br#"{"version": "1", "rules": []}"#.to_vec()),
        ("nothing", "empty.json", Vec::new()),
        ("a comma too many", "comma.json", b"{\"version\": 1,\n \"rules\": [],\n}".to_vec()),
        ("YAML", "policy.yaml", b"version: 1\nrules:\n  - name: a\n    match: {stream: a}\n".to_vec()),
        (
            "Cloud Custodian",
            "custodian.yaml",
            b"policies:\n  - name: kinesis-encrypt\n    resource: kinesis\n    filters:\n      - KeyId: absent\n".to_vec(),
        ),
        ("a byte order mark", "bom.json", format!("\u{feff}{}", policy("")).into_bytes()),
        ("UTF-16", "utf16.json", utf16(&policy(""))),
        ("Latin-1", "latin1.json", b"{\"version\": 1, \"\xfc\": 1}".to_vec()),
        ("hostile names", "hostile.json", rule("{\"stream\": \"a\"}").replace("\"p\"", "\"\u{202e}\u{9b}2J\"").into_bytes()),
        (
            "hostile names that are fine for a rule",
            "hostile.json",
            policy("{\"name\": \"a\u{202e}b\", \"match\": {\"stream\": \"a\"}, \"mode\": \"exempt\", \"reason\": \"r\"}").into_bytes(),
        ),
    ];
    let told = cases.map(|(title, name, text)| {
        let (printed, code) = check(name, &text, &[]);
        format!("# {title}\n{printed}exit code {code}")
    });
    let told = told.join("\n\n");
    assert!(!told.contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{told}");
    insta::assert_snapshot!("policy_check_cases", told);
}

#[test]
fn who_requires_access_is_told_that_the_function_does_not_ask() {
    let rule = |more: &str| policy(&format!(r#"{{"name": "careful", "match": {{"stream": "pay*"}}, {more}}}"#));
    let says = "requireAccess holds streams back only in enforcer apply: the function does not ask IAM, and encrypts \
                them\n";
    let (printed, code) = check("policy.json", rule(r#""requireAccess": true"#).as_bytes(), &["--strict"]);
    assert!(code == 0 && printed.contains(&format!("  note: rule careful: {says}")), "{printed}");
    let (printed, _) = check("policy.json", rule(r#""requireAccess": true, "mode": "audit""#).as_bytes(), &[]);
    assert!(printed.contains("  note: rule careful: requireAccess has no effect with mode audit, "), "{printed}");
    let (printed, _) = check("policy.json", rule(r#""requireAccess": false"#).as_bytes(), &[]);
    assert!(!printed.contains("note:"), "{printed}");

    let folder = tempfile::tempdir().expect("a folder");
    let described = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/stream.example.json");
    let described = std::fs::read_to_string(described).expect("the example");
    let unencrypted = described.replace("\"EncryptionType\": \"KMS\"", "\"EncryptionType\": \"NONE\"");
    for (stream, more, is_told) in [
        (&unencrypted, r#""requireAccess": true"#, true),
        (&unencrypted, r#""requireAccess": false"#, false),
        // Nothing would be changed.
        (&unencrypted.replace("payments-eu", "orders"), r#""requireAccess": true"#, false),
    ] {
        std::fs::write(folder.path().join("policy.json"), rule(more)).expect("written");
        let arguments = ["policy", "explain", "-", "--policy", "policy.json", "--key", "alias/streams"];
        let (printed, _) = enforcer(folder.path(), &arguments, stream.as_bytes());
        assert_eq!(printed.contains(&format!("  note: {says}")), is_told, "{more}: {printed}");
    }
}

#[test]
fn strict_fails_for_warnings_and_not_for_notes() {
    let exempt = policy(r#"{"name": "a", "match": {"stream": "a"}, "mode": "exempt", "reason": "r"}"#);
    let zone = policy(r#"{"name": "a", "match": {"region": "us-east-1a"}}"#);
    let wrong = policy(r#"{"name": "a"}"#);
    for (text, options, code) in [
        (&exempt, &[][..], 0),
        (&exempt, &["--strict"], 0),
        (&zone, &[], 0),
        (&zone, &["--strict"], 1),
        (&wrong, &["--strict"], 2),
    ] {
        let (printed, found) = check("policy.json", text.as_bytes(), options);
        assert_eq!(found, code, "{options:?}: {printed}");
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policy.example.json");
    let example = example.to_str().expect("UTF-8");
    let folder = tempfile::tempdir().expect("a folder");
    let (printed, code) = enforcer(folder.path(), &["policy", "check", "--strict", example, "-"], zone.as_bytes());
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("✔ standard input: 1 rule, 1 warning"), "{printed}");
}

#[test]
fn the_size_is_compared_with_what_the_function_reads() {
    // A policy of exactly so many bytes, and one that is small without its spaces.
    let of = |bytes: usize| format!("{:bytes$}", policy(""));
    let large = |bytes: usize| {
        let rule = |index: usize| format!(r#"{{"name": "{index}", "match": {{"stream": "s{index}"}}}}"#);
        let rules: Vec<_> = (0..bytes / 40).map(rule).collect();
        policy(&rules.join(","))
    };
    for (text, size, says) in [
        (of(512), "size: 512 of 3,072 bytes in POLICY, 4,096 in an SSM parameter, 8,192 in an advanced one", None),
        (of(3_072), "size: 3,072 of 3,072", None),
        (
            of(3_073),
            "size: 3,073 bytes: fits only an SSM parameter\n",
            Some(
                "note: the policy is too large for POLICY: store it in an SSM parameter (POLICY_PARAMETER); without spaces and line breaks (jq -c), it has 24 bytes",
            ),
        ),
        (of(4_096), "size: 4,096 bytes: fits only an SSM parameter\n", Some("too large for POLICY")),
        (
            of(4_097),
            "size: 4,097 bytes: fits only an advanced SSM parameter\n",
            Some("note: the policy needs an advanced SSM parameter"),
        ),
        (
            of(8_192),
            "size: 8,192 bytes: fits only an advanced SSM parameter\n",
            Some("needs an advanced SSM parameter"),
        ),
        (
            of(8_193),
            "size: 8,193 bytes: fits nowhere, an advanced SSM parameter has at most 8,192\n",
            Some("warning: the policy fits nowhere"),
        ),
        (large(12_000), "", Some("fits nowhere")),
    ] {
        let (printed, code) = check("policy.json", text.as_bytes(), &[]);
        assert_eq!(code, 0, "{printed}");
        assert!(printed.contains(size), "{printed}");
        match says {
            Some(says) => assert!(printed.contains(says), "{printed}"),
            None => assert_eq!(printed.lines().count(), 2, "{printed}"),
        }
    }
}

#[test]
fn explain_warns_of_the_rules_that_it_shows() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = policy(
        r#"{"name": "regex", "match": {"stream": "payments-.*"}},
           {"name": "all", "match": {"stream": "pay*"}},
           {"name": "later", "match": {"region": "us-east-1a"}}"#,
    );
    std::fs::write(folder.path().join("policy.json"), &text).expect("written");
    std::fs::write(folder.path().join("policy.yaml"), "version: 1\nrules: []\n").expect("written");
    let stream = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/stream.example.json");
    let stream = std::fs::read(stream).expect("the example");
    let explain = |policy| {
        enforcer(folder.path(), &["policy", "explain", "-", "--policy", policy, "--key", "alias/streams"], &stream).0
    };
    let printed = explain("policy.json");
    let rules = printed.split_once("rules\n").and_then(|(_, rest)| rest.split_once("action")).expect("the rules").0;
    assert_eq!(
        rules,
        "   1  regex: no match, stream is payments-eu, not payments-.*
      warning: \"payments-.*\" in match.stream looks like a regular expression; in a pattern, \".\" is a dot and \"*\" any characters
        example: payments-eu is not matched; with \"payments-*\" it would be
   2  all: applies
"
    );
    assert_eq!(
        explain("policy.yaml"),
        "error: policy.yaml: this looks like YAML, and a policy is JSON: convert it, such as with yq -o=json FILE > policy.json\n"
    );
}

#[test]
fn the_sample_in_the_documentation_is_what_the_program_prints() {
    let section = DOCUMENT.split_once("\n## Checking a policy\n").expect("the section").1;
    let block = |kind: &str| {
        let block = section.split_once(&format!("```{kind}\n")).expect(kind).1;
        block.split_once("```").expect("its end").0
    };
    let (printed, code) = check("policy.json", block("json").as_bytes(), &[]);
    assert_eq!(code, 0);
    assert_eq!(block("text"), format!("$ enforcer policy check policy.json\n{printed}"));
}
