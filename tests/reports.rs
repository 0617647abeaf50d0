//! `enforcer report` for the systems that take it: findings for Security Hub.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::fs;
use std::path::Path;

use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::sandbox::{Account, Fault, NewStream, Policies, UsedBy};
use serde_json::{Value, json};

use self::served::{enforcer, served};

mod served;

const ID: &str = "111122223333";
const MEMBER: &str = "444455556666";
const OTHER_MEMBER: &str = "777788889999";

/// An account with a compliant stream, one that is not encrypted, one that is exempt, and one that
/// cannot be described.
fn account() -> (Account, String, Vec<(&'static str, String)>) {
    let account = Account::new(Clock::system(), "us-east-1", ID);
    let key = account.create_key();
    account.stream(NewStream::named("clicks").encrypted_with(&key));
    account.stream(NewStream::named("orders"));
    account.stream(NewStream::named("vendor").tag("kinesis-encryption-enforcer:exempt", "no KMS"));
    account.stream(NewStream::named("unseen"));
    account.fault(Fault::on("DescribeStreamSummary").stream("unseen").error("AccessDeniedException", "no"));
    let variables = [served(&account), vec![("KMS_KEY_ID", key.clone())]].concat();
    (account, key, variables)
}

fn json_in(file: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(file).expect("a file")).expect("JSON")
}

/// The finding about the stream `name`.
fn about<'a>(findings: &'a Value, name: &str) -> &'a Value {
    let ends = format!("stream/{name}");
    let mut findings = findings.as_array().expect("findings").iter();
    findings.find(|finding| finding["Id"].as_str().is_some_and(|id| id.ends_with(&ends))).expect("a finding")
}

#[test]
fn findings_follow_the_rules_of_security_hub() {
    let (_account, key, variables) = account();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("findings.json");
    let path = file.to_str().expect("UTF-8");
    let (code, told) = enforcer(&["report", "--format", "asff", "--output", path], &variables);
    assert_eq!((code, told.as_str()), (Some(0), ""));
    let findings = json_in(&file);
    for (stream, compliance, severity) in [
        ("clicks", "PASSED", "INFORMATIONAL"),
        ("orders", "FAILED", "MEDIUM"),
        ("vendor", "NOT_AVAILABLE", "INFORMATIONAL"),
        ("unseen", "NOT_AVAILABLE", "MEDIUM"),
    ] {
        let finding = about(&findings, stream);
        assert_eq!(
            (&finding["Compliance"]["Status"], &finding["FindingProviderFields"]["Severity"]["Label"]),
            (&json!(compliance), &json!(severity)),
            "{finding:#}"
        );
        // These belong to the customer once the finding exists.
        for field in ["Severity", "Types", "Confidence", "Workflow", "Note", "VerificationState"] {
            assert!(finding.get(field).is_none(), "{field}: {finding:#}");
        }
        for field in ["SchemaVersion", "ProductArn", "GeneratorId", "Title", "Description", "LastObservedAt"] {
            assert!(finding[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {finding:#}");
        }
        assert_eq!(finding["RecordState"], "ACTIVE");
    }
    let encryption = |name| &about(&findings, name)["Resources"][0]["Details"]["AwsKinesisStream"]["StreamEncryption"];
    assert_eq!(encryption("clicks"), &json!({"EncryptionType": "KMS", "KeyId": key}));
    assert_eq!(encryption("orders"), &json!({"EncryptionType": "NONE"}));
    // Nothing is claimed of a stream that nobody has seen.
    assert_eq!(encryption("unseen"), &Value::Null);
}

#[test]
fn findings_that_do_not_fit_into_one_call_are_written_to_several_files() {
    let account = Account::new(Clock::system(), "us-east-1", ID);
    let key = account.create_key();
    for index in 0..101 {
        account.stream(NewStream::named(&format!("stream-{index:03}")).encrypted_with(&key));
    }
    let variables = [served(&account), vec![("KMS_KEY_ID", key)]].concat();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("all.findings.json");
    let arguments = ["report", "--format", "asff", "--concurrency", "50", "--output", file.to_str().expect("UTF-8")];
    let (code, told) = enforcer(&arguments, &variables);
    let names = ["all.findings-us-east-1-001.json", "all.findings-us-east-1-002.json"];
    let lengths = names.map(|name| json_in(&folder.path().join(name)).as_array().map(Vec::len));
    assert_eq!((code, lengths), (Some(0), [Some(100), Some(1)]), "{told}");
    for (line, (name, findings)) in told.lines().zip(names.iter().zip(["100 findings", "1 finding"])) {
        assert!(line.ends_with(&format!("{name}: {findings} of account {ID} in us-east-1")), "{told}");
    }
    assert!(!file.exists());
}

/// The report as JSON, and the file that it is written to.
fn report(folder: &Path, name: &str, arguments: &[&str], variables: &[(&'static str, String)]) -> (Value, String) {
    let file = folder.join(name);
    let path = file.to_str().expect("UTF-8").to_owned();
    let arguments = [&["report", "--format", "json", "--output", &path], arguments].concat();
    let (code, told) = enforcer(&arguments, variables);
    assert_eq!(code, Some(0), "{told}");
    (json_in(&file), path)
}

/// Makes the report in `file` an hour older.
fn age(file: &str) -> Value {
    let mut report = json_in(Path::new(file));
    report["madeAt"] = json!("2026-01-02T03:04:05Z");
    for stream in report["streams"].as_array_mut().expect("streams") {
        stream["firstReportedAt"] = json!("2026-01-01T00:00:00Z");
    }
    fs::write(file, report.to_string()).expect("written");
    report
}

#[test]
fn a_report_shows_what_changed_since_an_earlier_one() {
    let (account, key, variables) = account();
    account.clear_faults();
    let other = account.create_key();
    for name in ["stays", "stops", "moves", "starts", "ends"] {
        account.stream(NewStream::named(name).encrypted_with(if name == "starts" { &other } else { &key }));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (_, earlier) = report(folder.path(), "earlier.json", &[], &variables);
    let mut aged = age(&earlier);
    // What other people did in between, as the earlier report saw it.
    for stream in aged["streams"].as_array_mut().expect("streams") {
        match stream["stream"].as_str() {
            Some("stops") => stream["presentKey"] = json!(other),
            Some("orders") => stream["outcome"]["status"] = json!("compliant"),
            Some("clicks") => stream["outcome"]["status"] = json!("would-encrypt"),
            Some("moves") => {
                stream["stream"] = json!("gone");
                stream["arn"] = json!(format!("arn:aws:kinesis:us-east-1:{ID}:stream/gone"));
            }
            _ => {}
        }
    }
    fs::write(&earlier, aged.to_string()).expect("written");
    let since = ["--since", earlier.as_str()];
    let (later, _) = report(folder.path(), "later.json", &since, &variables);
    let changes = later["since"]["changes"].as_array().expect("changes").iter();
    let changes: Vec<_> = changes
        .map(|change| (change["kind"].as_str().expect("a kind"), change["stream"].as_str().expect("a name")))
        .collect();
    assert_eq!(
        changes,
        [("non-compliant", "orders"), ("compliant", "clicks"), ("new", "moves"), ("gone", "gone"), ("key", "stops")],
        "{:#}",
        later["since"]
    );
    let stream = |name: &str| {
        let streams = later["streams"].as_array().expect("streams");
        streams.iter().find(|stream| stream["stream"] == name).expect("a stream").clone()
    };
    assert_eq!(stream("stays")["firstReportedAt"], "2026-01-01T00:00:00Z");
    assert_eq!(stream("moves")["firstReportedAt"], later["madeAt"]);

    let table = |columns: &str| {
        let variables = [variables.as_slice(), &[("COLUMNS", columns.to_owned())]].concat();
        enforcer(&["report", "--since", &earlier], &variables).1
    };
    let narrow = table("60");
    let changes = narrow.lines().skip_while(|line| !line.starts_with("changes since"));
    let changes: Vec<_> = changes.take_while(|line| !line.is_empty()).collect();
    assert!(changes.len() > 6 && changes.iter().all(|line| line.chars().count() <= 60), "{narrow}");
    let table = table("160");
    let summary =
        "changes since 2026-01-02T03:04:05Z: 1 newly non-compliant, 1 newly compliant, 1 new, 1 gone, 1 key changed";
    assert!(table.contains(summary), "{table}");
    let (_, csv) = enforcer(&["report", "--format", "csv", "--since", &earlier], &variables);
    assert!(csv.lines().next().is_some_and(|head| head.ends_with(",madeAt,change")), "{csv}");
    assert!(csv.lines().any(|line| line.contains(",gone,,,,") && line.ends_with(",gone")), "{csv}");

    // Security Hub archives the finding about the stream that is gone.
    let (_, findings) = enforcer(&["report", "--format", "asff", "--since", &earlier], &variables);
    let findings: Value = serde_json::from_str(&findings).expect("JSON");
    let of = |name| {
        let finding = about(&findings, name);
        ["RecordState", "CreatedAt", "LastObservedAt"].map(|field| finding[field].as_str().expect("a text"))
    };
    assert_eq!(of("gone"), ["ARCHIVED", "2026-01-01T00:00:00Z", "2026-01-02T03:04:05Z"]);
    assert_eq!(of("stays")[..2], ["ACTIVE", "2026-01-01T00:00:00Z"]);
    assert!(about(&findings, "stays")["UpdatedAt"].as_str() > Some("2026-01-02"));
}

#[test]
fn a_report_has_the_users_of_the_streams_where_they_are_asked_for() {
    let (account, _, variables) = account();
    account.clear_faults();
    let hostile = "arn:aws:iam::111122223333:role/<b>reader\u{202e}";
    account.used_by("orders", UsedBy::Function { name: "fn".to_owned(), role: hostile.to_owned() });
    let (reader, deleted) = (format!("arn:aws:iam::{ID}:role/reader"), format!("arn:aws:iam::{ID}:role/deleted"));
    account.used_by("orders", UsedBy::Function { name: "old".to_owned(), role: deleted });
    account.principal(&reader, Policies::default());
    account.used_by("orders", UsedBy::PipeSource { name: "p".to_owned(), role: reader.clone() });
    account.used_by("orders", UsedBy::Consumer { name: "fan-out".to_owned(), reader: None });
    account.fault(Fault::on("ListTables").error("AccessDeniedException", "not authorized"));
    let told = |arguments: &[&str]| enforcer(&[&["report"], arguments].concat(), &variables);

    let (code, json) = told(&["--format", "json", "--access"]);
    assert_eq!(code, Some(0), "{json}");
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let orders = json["streams"].as_array().expect("streams").iter().find(|stream| stream["stream"] == "orders");
    let users = orders.expect("orders")["users"].as_array().expect("users");
    let answers: Vec<_> = users.iter().map(|user| user["answer"].as_str().expect("an answer")).collect();
    assert_eq!(answers.len(), 4, "{users:?}");
    assert!(["no", "unknown", "gone"].iter().all(|answer| answers.contains(answer)), "{users:?}");
    let not_read = json["notRead"].to_string();
    assert!(not_read.contains("AccessDeniedException (dynamodb:ListTables)"), "{not_read}");
    let (_, plain) = told(&["--format", "json"]);
    assert!(!plain.contains("\"users\"") && !plain.contains("notRead"), "{plain}");

    let (_, csv) = told(&["--format", "csv", "--access"]);
    let mut lines = csv.lines();
    let head = lines.next().expect("a head");
    assert!(head.ends_with(",madeAt,withoutAccess,usersNo,usersUnknown,usersGone,usersYes"), "{head}");
    let orders = lines.find(|line| line.contains(",orders,")).expect("orders");
    assert!(orders.ends_with(&format!(",{reader},1,2,1,0")), "{orders}");
    assert!(csv.lines().all(str::is_ascii), "{csv}");

    let (_, table) = told(&["--access"]);
    assert!(table.contains("loses access: role/reader as a consumer: no IAM"), "{table}");
    let (_, page) = told(&["--format", "html", "--access"]);
    let section = page.split_once("id=\"access\"").expect("the section").1.split_once("</section>").expect("its end").0;
    for part in [
        "<h2 id=\"access-title\">Who may use the keys</h2>",
        "aria-label=\"Answers: 1 without access, 2 unknown, 1 gone\"",
        "aria-label=\"orders: 1 without access, 2 unknown, 1 gone\"",
        "no IAM policy of the principal allows it",
        "No user is known of ",
        "Not read: the streaming destinations of DynamoDB tables: AccessDeniedException (dynamodb:ListTables)",
        "role/&lt;b&gt;reader&lt;U+202E&gt;",
    ] {
        assert!(section.contains(part), "{part}: {section}");
    }
    let place = |text: &str| section.find(text).unwrap_or_else(|| unreachable!("{text}"));
    assert!(place("loses access") < place(">unknown<") && place(">unknown<") < place(">gone<"), "{section}");
    let (_, plain) = told(&["--format", "html"]);
    assert!(!plain.contains("Who may use the keys"), "nobody asked");

    for format in ["asff", "ocsf"] {
        let (code, told) = told(&["--access", "--format", format]);
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains("--access has no place in findings: use --format table, json, csv or html"), "{told}");
    }
}

#[test]
fn a_stream_that_only_one_report_covers_is_neither_new_nor_gone() {
    let (account, _, variables) = account();
    account.clear_faults();
    let folder = tempfile::tempdir().expect("a folder");
    let (_, earlier) = report(folder.path(), "earlier.json", &["clicks", "orders"], &variables);
    age(&earlier);
    let (later, _) = report(folder.path(), "later.json", &["--since", &earlier], &variables);
    assert_eq!((&later["since"]["changes"], &later["since"]["notCompared"]), (&json!([]), &json!(2)));
    let (later, _) = report(folder.path(), "later.json", &["--since", &earlier, "orders"], &variables);
    assert_eq!((&later["since"]["changes"], &later["since"]["notCompared"]), (&json!([]), &json!(1)));
    let (_, table) = enforcer(&["report", "--since", &earlier, "orders"], &variables);
    assert!(table.contains("1 stream is covered by only one of the reports, and not compared"), "{table}");
}

#[test]
fn a_file_that_is_no_earlier_report_is_refused() {
    let (account, _, variables) = account();
    account.clear_faults();
    let folder = tempfile::tempdir().expect("a folder");
    let (good, file) = report(folder.path(), "earlier.json", &[], &variables);
    let mut elsewhere = age(&file);
    let mut unnamed = elsewhere.clone();
    unnamed["streams"][1]["stream"] = Value::Null;
    for stream in elsewhere["streams"].as_array_mut().expect("streams") {
        let name = stream["stream"].as_str().expect("a name").to_owned();
        (stream["region"], stream["account"]) = (json!("eu-west-1"), json!("444455556666"));
        stream["arn"] = json!(format!("arn:aws:kinesis:eu-west-1:444455556666:stream/{name}"));
    }
    elsewhere["scope"] = json!([{"account": "444455556666", "region": "eu-west-1", "streams": null}]);
    let mut future = good;
    future["madeAt"] = json!("2999-01-01T00:00:00Z");
    account.forget_calls();
    for (text, says) in [
        ("no JSON".to_owned(), "is not valid JSON: check line 1"),
        ("[]".to_owned(), "is not a report: it has no \"total\""),
        (json!({"streams": [], "changes": 0}).to_string(), "is not a report: it has no \"total\""),
        (json!({"total": 0, "streams": []}).to_string(), "is not a report: \"madeAt\" is not a time"),
        (unnamed.to_string(), "is not a report: \"streams[1]\" lacks a name"),
    ] {
        fs::write(&file, text).expect("written");
        let (code, told) = enforcer(&["report", "--since", &file], &variables);
        assert!(code == Some(2) && told.contains(says), "{code:?} {told}");
    }
    assert_eq!(account.calls().len(), 0, "AWS is not asked");
    for (report, says) in [
        (elsewhere, "is the report of other streams, such as clicks of account 444455556666 in eu-west-1"),
        (future, "is not an earlier report: it was made at 2999-01-01T00:00:00Z"),
    ] {
        fs::write(&file, report.to_string()).expect("written");
        let (code, told) = enforcer(&["report", "--since", &file], &variables);
        assert!(code == Some(2) && told.contains(says), "{code:?} {told}");
    }
    let (code, told) = enforcer(&["report", "--since", "nowhere.json"], &variables);
    assert!(code == Some(2) && told.contains("cannot read nowhere.json"), "{code:?} {told}");
}

#[test]
fn a_report_says_what_it_covers_and_by_which_settings() {
    let (account, key, variables) = account();
    account.clear_faults();
    let folder = tempfile::tempdir().expect("a folder");
    let policy = folder.path().join("policy.json");
    let rules = "{\"version\": 1, \"rules\": [{\"name\": \"vendors\", \"match\": {\"stream\": \"vendor*\"}, \"mode\": \"exempt\", \"reason\": \"no KMS\"}]}\n";
    // Of `printf … | sha256sum`.
    let hash = "226a02faabeac838783e7d6c38e6ab5b615d3dd0d5f47f6b704c03d11eb0591e";
    fs::write(&policy, rules).expect("written");
    account.parameter("/policy", "String", rules);
    let file = policy.to_str().expect("UTF-8");
    let in_parameter = [variables.as_slice(), &[("POLICY_PARAMETER", "/policy".to_owned())]].concat();
    let in_variable = [variables.as_slice(), &[("POLICY", rules.to_owned())]].concat();
    for (variables, arguments, source) in [
        (&variables, &["--policy", file][..], file),
        (&in_parameter, &[], "SSM parameter /policy"),
        (&in_variable, &[], "POLICY"),
    ] {
        let (report, _) = report(folder.path(), "report.json", arguments, variables);
        assert_eq!(
            report["scope"],
            json!([{
                "account": ID,
                "region": "us-east-1",
                "caller": format!("arn:aws:iam::{ID}:user/developer"),
                "streams": null,
                "configuredKey": key,
                "mode": "enforce",
                "onOtherKey": "replace",
                "exemptTagKey": "kinesis-encryption-enforcer:exempt",
                "policy": {"source": source, "rules": 1, "sha256": hash},
            }])
        );
    }
    // A report without an answer of STS is a report.
    account.fault(Fault::on("GetCallerIdentity").error("InternalFailure", "no"));
    let (report, _) = report(folder.path(), "report.json", &["orders"], &variables);
    let scope = &report["scope"][0];
    assert_eq!(
        (&scope["caller"], &scope["account"], &scope["streams"], &scope["policy"]),
        (&Value::Null, &json!(ID), &json!(["orders"]), &Value::Null)
    );
}

#[test]
fn events_of_ocsf_are_valid_by_its_schema() {
    let (account, _, variables) = account();
    account.fault(Fault::on("ListTagsForStream").stream("orders").error("AccessDeniedException", "no"));
    let folder = tempfile::tempdir().expect("a folder");
    let (mut earlier, file) = report(folder.path(), "earlier.json", &[], &variables);
    earlier["madeAt"] = json!("2026-01-02T03:04:05Z");
    earlier["streams"][0]["stream"] = json!("gone");
    earlier["streams"][0]["arn"] = json!(format!("arn:aws:kinesis:us-east-1:{ID}:stream/gone"));
    fs::write(&file, earlier.to_string()).expect("written");
    let schema: Value = serde_json::from_str(include_str!("ocsf/compliance_finding.schema.json")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let events = |arguments: &[&str]| {
        let (_, told) = enforcer(&[&["report", "--format", "ocsf"], arguments].concat(), &variables);
        let events: Vec<Value> = serde_json::from_str(&told).expect("JSON");
        for event in &events {
            let errors: Vec<_> =
                validator.iter_errors(event).map(|error| format!("{}: {error}", error.instance_path)).collect();
            assert!(errors.is_empty(), "{errors:?}: {event:#}");
        }
        events
    };
    let shape = |event: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (
            text(&event["resources"][0]["name"]),
            text(&event["activity_name"]),
            text(&event["compliance"]["status"]),
            text(&event["status"]),
        )
    };
    let shapes = |events: &[Value]| events.iter().map(shape).collect::<Vec<_>>();
    let expected = |rows: &[[&str; 4]]| {
        rows.iter().map(|row| row.map(str::to_owned).into()).collect::<Vec<(String, String, String, String)>>()
    };
    assert_eq!(
        shapes(&events(&[])),
        expected(&[
            ["clicks", "Create", "Pass", "Resolved"],
            ["orders", "Create", "Fail", "New"],
            ["unseen", "Create", "Unknown", "New"],
            ["vendor", "Create", "Unknown", "New"],
        ])
    );
    let since = events(&["--since", &file]);
    assert_eq!(
        shapes(&since)[3..],
        expected(&[["vendor", "Update", "Unknown", "New"], ["gone", "Close", "Unknown", "Archived"]])
    );
    assert_eq!(since[4]["metadata"]["version"], "1.6.0");
}

#[test]
fn findings_are_imported_when_asked_for_and_a_refused_one_is_named() {
    let (account, _, variables) = account();
    let (code, told) = enforcer(&["report", "--import"], &variables);
    let prompt = format!("pass --yes to import 4 findings into Security Hub of account {ID} in us-east-1");
    assert!(code == Some(2) && told.contains(&prompt), "{code:?} {told}");
    assert_eq!(account.count("BatchImportFindings"), 0);

    let (code, told) = enforcer(&["report", "--import", "--yes"], &variables);
    let imported = format!("imported 4 findings into Security Hub of account {ID} in us-east-1\n");
    assert_eq!((code, told.as_str(), account.findings().len()), (Some(0), imported.as_str(), 4));

    let id = format!("kinesis-encryption-enforcer/arn:aws:kinesis:us-east-1:{ID}:stream/orders");
    let answer = json!({"FailedCount": 1, "SuccessCount": 3, "FailedFindings": [
        {"Id": id, "ErrorCode": "InvalidInput", "ErrorMessage": "Invalid parameter 'Title'"},
    ]});
    account.fault(Fault::on("BatchImportFindings").nth(..=1).answer_replaced(&answer.to_string()));
    let (code, told) = enforcer(&["report", "--import", "--yes"], &variables);
    assert_eq!(code, Some(1));
    assert!(told.contains(&format!("error: not imported: {id}: InvalidInput: Invalid parameter 'Title'")), "{told}");

    let message = format!("Account {ID} is not subscribed to AWS Security Hub");
    account.fault(Fault::on("BatchImportFindings").error("InvalidAccessException", &message));
    let (code, told) = enforcer(&["report", "--import", "--yes"], &variables);
    assert!(
        code == Some(1)
            && told.contains("Enable Security Hub")
            && told.contains("not imported: 4 findings of account")
            && told.contains(&message),
        "{told}"
    );

    let (code, told) = enforcer(&["report", "--yes"], &variables);
    assert!(code == Some(2) && told.contains("--import"), "{told}");
}

#[test]
fn each_account_has_its_own_scope_findings_and_import_and_one_that_refuses_is_named_in_every_format() {
    let account = |id: &str| {
        let account = Account::new(Clock::system(), "us-east-1", id);
        let key = account.create_key();
        account.alias("alias/streams", &key);
        account.stream(NewStream::named("orders"));
        account
    };
    let (own, other, member) = (account(ID), account(OTHER_MEMBER), account(MEMBER));
    member.stream(NewStream::named("clicks").tag("kinesis-encryption-enforcer:exempt", "no KMS"));
    own.admit(&member, "enforcer-member", "orders-7");
    // Its role wants another external id. It comes before the other member account.
    own.admit(&other, "enforcer-member", "orders-8");
    let settings = [
        ("KMS_KEY_ID", "alias/streams".to_owned()),
        ("OWN_ROLE_ARN", format!("arn:aws:iam::{ID}:role/enforcer")),
        ("MEMBER_ROLE_NAME", "enforcer-member".to_owned()),
        ("MEMBER_ACCOUNTS", format!("{OTHER_MEMBER},{MEMBER}")),
        ("MEMBER_EXTERNAL_ID", "orders-7".to_owned()),
    ];
    let variables = [served(&own), settings.to_vec()].concat();
    let run = |arguments: &[&str]| enforcer(&[&["report", "--accounts", "all"], arguments].concat(), &variables);
    let failed = format!("account {OTHER_MEMBER}, us-east-1: ");

    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (code, told) = run(&["--format", "json", "--output", &path("earlier.json")]);
    assert!(code == Some(1) && told.contains(&failed), "{code:?} {told}");
    let report = age(&path("earlier.json"));
    let scopes = report["scope"].as_array().expect("scopes").iter();
    let scopes: Vec<_> = scopes.map(|scope| [&scope["account"], &scope["caller"]]).collect();
    let user = format!("arn:aws:iam::{ID}:user/developer");
    let session = format!("arn:aws:sts::{MEMBER}:assumed-role/enforcer-member/kinesis-encryption-enforcer");
    assert_eq!(scopes, [[&json!(ID), &json!(user)], [&json!(MEMBER), &json!(session)]]);
    assert_eq!(report["failedRegions"][0]["account"], OTHER_MEMBER);

    // A place that refuses is neither compared nor gone, and streams of one name are not mixed up.
    let own_key = own.create_key();
    own.stream(NewStream::named("payments").encrypted_with(&own_key));
    let since = ["--since", &path("earlier.json")];
    for (format, part) in [
        ("table", format!("new  payments  would-encrypt ({}", &own_key[own_key.len() - 36..][..8])),
        ("table", failed.clone()),
        ("csv", format!("{OTHER_MEMBER},us-east-1,,")),
        ("html", format!("account {OTHER_MEMBER}, us-east-1")),
        ("html", session.clone()),
        ("html", format!("<strong>clicks</strong> ({MEMBER}, us-east-1): exempt by tag")),
        ("asff", failed.clone()),
        ("ocsf", failed.clone()),
        ("json", format!("\"account\": \"{OTHER_MEMBER}\"")),
    ] {
        let (code, told) = run(&[&["--format", format], &since[..]].concat());
        assert!(code == Some(1) && told.contains(&part), "{format}: {part}: {code:?} {told}");
    }
    let (_, told) = run(&since);
    assert!(told.contains("changes since 2026-01-02T03:04:05Z: 1 new\n"), "{told}");

    // A file for each account, as BatchImportFindings wants it.
    let (code, told) = run(&["--format", "asff", "--output", &path("findings.json")]);
    assert_eq!(code, Some(1), "{told}");
    for (account, count) in [(ID, 2), (MEMBER, 2)] {
        let findings = json_in(&folder.path().join(format!("findings-{account}-us-east-1-001.json")));
        let findings = findings.as_array().expect("findings");
        assert!(findings.len() == count && findings.iter().all(|finding| finding["AwsAccountId"] == account));
    }

    let (code, told) = run(&["--import"]);
    let prompt = format!(
        "pass --yes to import 4 findings into Security Hub of account {ID} in us-east-1, account {MEMBER} in us-east-1"
    );
    assert!(code == Some(2) && told.contains(&prompt), "{code:?} {told}");
    let (code, told) = run(&["--import", "--yes"]);
    assert!(code == Some(1) && told.contains(&failed), "{code:?} {told}");
    for id in [ID, MEMBER] {
        let imported = format!("imported 2 findings into Security Hub of account {id} in us-east-1\n");
        assert!(told.contains(&imported), "{told}");
    }
    for (account, id) in [(&own, ID), (&member, MEMBER)] {
        let prefix = format!("kinesis-encryption-enforcer/arn:aws:kinesis:us-east-1:{id}:");
        let findings = account.findings();
        assert!(findings.len() == 2 && findings.keys().all(|finding| finding.starts_with(&prefix)), "{findings:?}");
    }

    // What is named by ARN is the scope of its own account only.
    let arn = format!("arn:aws:kinesis:us-east-1:{MEMBER}:stream/orders");
    let (_, told) = run(&["--format", "json", "--output", &path("named.json"), &arn]);
    let report = json_in(&folder.path().join("named.json"));
    let named: Vec<_> = report["scope"].as_array().expect("scopes").iter().map(|scope| &scope["streams"]).collect();
    assert_eq!(named, [&json!([]), &json!([arn])], "{told}");
}
