//! `enforcer plan`, `apply`, `report` and `event` as a person runs them on an account of AWS: here
//! an embedded one that is served on loopback.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::sandbox::{Account, Fault, NewStream};
use serde_json::{Value, json};

use self::served::{enforcer, served};

mod served;

const REGION: &str = "us-east-1";
const ALIAS: &str = "alias/streams";
const RULES: &str = r#"{"version": 1, "rules": [{"name": "vendors", "match": {"stream": "vendor-*"}, "mode": "exempt", "reason": "no KMS"}]}"#;

/// An account with a key under [`ALIAS`], and a stream that is right, one that is wrong, and a
/// vendor's.
fn account(id: &str) -> (Account, String) {
    let account = Account::new(Clock::system(), REGION, id);
    let key = account.create_key();
    account.alias(ALIAS, &key);
    account.stream(NewStream::named("clicks").encrypted_with(&key));
    account.stream(NewStream::named("orders"));
    account.stream(NewStream::named("vendor-feed"));
    (account, key)
}

/// The status of each stream in a plan as JSON.
fn statuses(plan: &str) -> Vec<(String, String)> {
    let plan: Value = serde_json::from_str(plan).unwrap_or_else(|_| unreachable!("{plan}"));
    let streams = plan["streams"].as_array().expect("streams");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    streams.iter().map(|stream| (text(&stream["stream"]), text(&stream["outcome"]["status"]))).collect()
}

fn pairs(expected: [(&str, &str); 3]) -> Vec<(String, String)> {
    expected.map(|(name, status)| (name.to_owned(), status.to_owned())).into()
}

#[test]
fn a_plan_takes_its_key_and_its_policy_from_the_command_line() {
    let (account, _) = account("111122223333");
    let variables = served(&account);
    let without = enforcer(&["plan", "--key", ALIAS, "--json"], &variables);
    assert_eq!(
        (without.0, statuses(&without.1)),
        (Some(3), pairs([("clicks", "compliant"), ("orders", "would-encrypt"), ("vendor-feed", "would-encrypt")]))
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("policy.json");
    std::fs::write(&file, RULES).expect("written");
    let path = file.to_str().expect("UTF-8");
    let expected = pairs([("clicks", "compliant"), ("orders", "would-encrypt"), ("vendor-feed", "exempt")]);
    assert_eq!(statuses(&enforcer(&["plan", "--key", ALIAS, "--policy", path, "--json"], &variables).1), expected);

    // The same from an SSM parameter.
    account.parameter("/kinesis/policy", "String", RULES);
    let parameter = [variables.as_slice(), &[("POLICY_PARAMETER", "/kinesis/policy".to_owned())]].concat();
    assert_eq!(statuses(&enforcer(&["plan", "--key", ALIAS, "--json"], &parameter).1), expected);

    std::fs::write(&file, "{").expect("written");
    for (arguments, says) in [
        (vec!["plan", "--key", ALIAS, "--policy", path], "policy.json: "),
        (vec!["plan", "--key", ALIAS, "--policy", "nowhere.json"], "cannot read nowhere.json"),
        (vec!["plan"], "KMS_KEY_ID"),
    ] {
        let (code, told) = enforcer(&arguments, &variables);
        assert!(code == Some(2) && told.contains(says), "{arguments:?}: {code:?} {told}");
    }
    assert_eq!(account.count("StartStreamEncryption"), 0);
}

#[test]
fn an_apply_does_what_the_plan_says_and_the_report_shows_it() {
    let (account, key) = account("111122223333");
    let variables = [served(&account), vec![("KMS_KEY_ID", key.clone()), ("POLICY", RULES.to_owned())]].concat();
    let (code, told) = enforcer(&["apply"], &variables);
    assert!(code != Some(0) && told.contains("--yes"), "a prompt without a terminal: {code:?} {told}");
    assert_eq!(account.count("StartStreamEncryption"), 0);
    let (code, told) = enforcer(&["apply", "--yes", "--concurrency", "2"], &variables);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(
        (account.snapshot("orders").and_then(|stream| stream.key_id), account.count("StartStreamEncryption")),
        (Some(key), 1),
        "{told}"
    );
    let (code, told) = enforcer(&["apply", "--yes"], &variables);
    assert!(
        code == Some(0) && told.contains("3 streams in account 111122223333, us-east-1: 1 exempt, 2 compliant"),
        "{told}"
    );
    let (code, told) = enforcer(&["report", "--format", "json"], &variables);
    let report: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((code, &report["total"], &report["right"]), (Some(0), &json!(3), &json!(2)), "{report:#}");
}

#[test]
fn another_account_is_reached_by_its_role_and_another_region_by_its_name() {
    let (own, _) = account("111122223333");
    let (other, _) = account("444455556666");
    other.stream(NewStream::named("payments"));
    own.admit(&other, "auditor", "");
    let variables = served(&own);
    let role = "arn:aws:iam::444455556666:role/auditor";
    let (_, told) = enforcer(&["plan", "--key", ALIAS, "--assume-role", role, "--json"], &variables);
    assert_eq!(statuses(&told).len(), 4, "{told}");
    let (code, told) =
        enforcer(&["plan", "--key", ALIAS, "--assume-role", "arn:aws:iam::444455556666:role/nobody"], &variables);
    assert!(code == Some(2) && told.contains("sts:AssumeRole"), "{code:?} {told}");

    // The embedded account is of one Region, and refuses what is signed for another. A stream is
    // asked for in its own Region alone.
    let arn = "arn:aws:kinesis:us-east-1:111122223333:stream/orders";
    let (code, told) =
        enforcer(&["plan", "--key", ALIAS, "--region", REGION, "--region", "eu-west-1", "--json", arn], &variables);
    assert_eq!(code, Some(3), "{told}");
    let (code, told) = enforcer(&["plan", "--key", ALIAS, "--region", "eu-west-1"], &variables);
    assert!(code == Some(2) && told.contains("eu-west-1"), "{code:?} {told}");
}

#[test]
fn a_profile_that_is_named_is_used_whatever_the_environment_has() {
    let (account, _) = account("111122223333");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("credentials");
    std::fs::write(&file, "[prod]\naws_access_key_id = AKIAPRODUCTION\naws_secret_access_key = secret\n")
        .expect("written");
    let variables = [served(&account), vec![("AWS_SHARED_CREDENTIALS_FILE", file.display().to_string())]].concat();
    for arguments in [
        &["plan", "--key", ALIAS, "--profile", "prod"][..],
        &[
            "event",
            concat!(env!("CARGO_MANIFEST_DIR"), "/events/manual-stream.json"),
            "--dry-run",
            "--key",
            ALIAS,
            "--profile",
            "prod",
        ],
    ] {
        account.forget_calls();
        assert_eq!(enforcer(arguments, &variables).0, Some(3), "{arguments:?}");
        let calls = account.calls();
        assert!(
            !calls.is_empty() && calls.iter().all(|call| call.access_key == "AKIAPRODUCTION"),
            "{arguments:?}: {calls:?}"
        );
    }
    let (code, told) = enforcer(&["plan", "--key", ALIAS, "--profile", "nobody"], &variables);
    assert!(code == Some(2) && told.contains("there is no profile nobody"), "{code:?} {told}");
}

#[test]
fn what_keeps_a_plan_from_being_made_is_said() {
    let (account, _) = account("111122223333");
    let variables = served(&account);
    account.fault(Fault::on("ListStreams").error("AccessDeniedException", "no"));
    let (code, told) = enforcer(&["plan", "--key", ALIAS], &variables);
    assert!(
        code == Some(2) && told.contains("ListStreams") && told.contains("AccessDeniedException"),
        "{code:?} {told}"
    );
    let elsewhere = "arn:aws:kinesis:eu-west-1:111122223333:stream/orders";
    let (code, told) = enforcer(&["plan", "--key", ALIAS, elsewhere, "orders"], &variables);
    assert!(code == Some(2) && told.contains("is not in us-east-1: pass --region eu-west-1"), "{code:?} {told}");
    let mut nobody: Vec<_> = variables.iter().filter(|(name, _)| !name.contains("ACCESS_KEY")).cloned().collect();
    nobody.push(("AWS_EC2_METADATA_DISABLED", "true".to_owned()));
    let (code, told) = enforcer(&["plan", "--key", ALIAS], &nobody);
    assert!(code == Some(2) && told.contains("cannot load AWS credentials"), "{code:?} {told}");
    let nowhere: Vec<_> = variables.iter().filter(|(name, _)| *name != "AWS_REGION").cloned().collect();
    let (code, told) = enforcer(&["plan", "--key", ALIAS], &nowhere);
    assert!(code == Some(2) && told.contains("--region"), "{code:?} {told}");
}

#[test]
fn an_event_is_handled_on_the_account_that_the_environment_names() {
    let (account, key) = account("111122223333");
    let variables = served(&account);
    let event = concat!(env!("CARGO_MANIFEST_DIR"), "/events/manual-stream.json");
    let (code, told) = enforcer(&["event", event, "--dry-run", "--key", ALIAS], &variables);
    assert!(code == Some(3) && told.contains("would-encrypt"), "{code:?} {told}");
    let (code, told) = enforcer(&["event", event, "--key", ALIAS], &variables);
    assert!(code == Some(0) && told.contains("encrypted"), "{code:?} {told}");
    assert_eq!(account.snapshot("orders").and_then(|stream| stream.key_id), Some(key));
}

#[test]
fn a_region_is_checked_by_its_name_before_aws_is_asked() {
    let (account, _) = account("111122223333");
    let variables = served(&account);
    let event = concat!(env!("CARGO_MANIFEST_DIR"), "/events/manual-stream.json");
    for (region, says) in [
        ("US-EAST-1", "did you mean us-east-1?"),
        ("us-east1", "did you mean us-east-1?"),
        ("us-east-1a", "did you mean us-east-1?"),
        ("Frankfurt", "specify the name of a Region, such as us-east-1"),
        ("", "specify the name of a Region, such as us-east-1"),
    ] {
        for arguments in [
            &["plan", "--key", ALIAS, "--region", region][..],
            &["plan", "--key", ALIAS, "--region", &format!("us-east-1,{region}")],
            &["event", event, "--key", ALIAS, "--region", region],
            &["dlq", "list", "--queue", "dead", "--region", region],
            &["sandbox", "--port", "0", "--region", region],
        ] {
            let (code, told) = enforcer(arguments, &variables);
            assert!(code == Some(2) && told.contains(says), "{arguments:?}: {code:?} {told}");
        }
    }
    assert_eq!(account.calls().len(), 0);
}

#[test]
fn a_stream_or_a_region_that_is_named_twice_is_one() {
    let (account, _) = account("111122223333");
    let variables = served(&account);
    let arn = "arn:aws:kinesis:us-east-1:111122223333:stream/orders";
    let arguments = ["plan", "--key", ALIAS, "--region", "us-east-1,us-east-1", "--region", REGION, "--json"];
    let (code, told) = enforcer(&[&arguments[..], &["orders", arn, "clicks", "orders", arn]].concat(), &variables);
    let expected = [("clicks", "compliant"), ("orders", "would-encrypt")];
    assert_eq!(
        (code, statuses(&told)),
        (Some(3), expected.map(|(name, status)| (name.to_owned(), status.to_owned())).into())
    );
}

#[test]
fn a_region_that_refuses_does_not_take_the_others_along() {
    let (account, key) = account("111122223333");
    let variables = served(&account);
    let regions = ["--key", ALIAS, "--region", "eu-west-1", "--region", REGION];
    let run = |arguments: &[&str]| enforcer(&[arguments, &regions].concat(), &variables);

    let (code, told) = run(&["plan"]);
    assert!(
        code == Some(1)
            && told.contains("✘ eu-west-1: ")
            && told.contains("3 streams in account 111122223333, us-east-1: 2 to encrypt, 1 compliant"),
        "{code:?} {told}"
    );
    let (code, told) = run(&["plan", "--json"]);
    let plan: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(
        (code, plan["streams"].as_array().map(Vec::len), &plan["failedRegions"][0]["region"]),
        (Some(1), Some(3), &json!("eu-west-1"))
    );
    for (format, parts) in [
        ("table", ["✘ eu-west-1: ", "vendor-feed"]),
        ("json", ["\"failedRegions\": [\n    {", "vendor-feed"]),
        ("csv", [",eu-west-1,,", "vendor-feed"]),
        ("html", ["Not in this report", "vendor-feed"]),
        ("asff", ["error: eu-west-1: ", "vendor-feed"]),
    ] {
        let (code, told) = run(&["report", "--format", format]);
        assert!(code == Some(1) && parts.iter().all(|part| told.contains(part)), "{format}: {code:?} {told}");
    }
    assert_eq!(account.count("StartStreamEncryption"), 0);
    let (code, told) = run(&["apply", "--yes"]);
    assert!(code == Some(1) && told.contains("✘ eu-west-1: "), "{code:?} {told}");
    assert_eq!(account.snapshot("orders").and_then(|stream| stream.key_id), Some(key));

    // None answers: there is nothing to show.
    let (code, told) = enforcer(&["plan", "--key", ALIAS, "--region", "eu-west-1,eu-west-2"], &variables);
    assert!(code == Some(2) && told.contains("eu-west-1: ") && told.contains("eu-west-2: "), "{code:?} {told}");
}

#[test]
fn nothing_is_changed_in_a_selected_account_unless_the_account_of_the_credentials_is_known() {
    let (account, _) = account("111122223333");
    account.fault(Fault::on("GetCallerIdentity").error("ServiceUnavailable", "later"));
    let settings = [
        ("KMS_KEY_ID", ALIAS),
        ("OWN_ROLE_ARN", "arn:aws:iam::999988887777:role/hub"),
        ("MEMBER_ROLE_NAME", "member"),
        ("MEMBER_ACCOUNTS", "444455556666"),
        ("MEMBER_EXTERNAL_ID", "orders-7"),
    ];
    let variables = [served(&account), settings.map(|(name, value)| (name, value.to_owned())).into()].concat();
    let (code, told) = enforcer(&["apply", "--accounts", "999988887777", "--yes", "orders"], &variables);
    assert!(code == Some(2) && told.contains("STS does not answer GetCallerIdentity"), "{code:?} {told}");
    assert_eq!(account.count("StartStreamEncryption"), 0);
}
