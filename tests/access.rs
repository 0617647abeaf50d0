//! `enforcer access` as a person runs it: the users of streams from every source, the answer for
//! each, and the statements that change it. The account is one of the sandbox, served on loopback.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeSet;
use std::io::Write;

use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::sandbox::{Account, Fault, Identity, NewStream, Policies, ScriptedAction, UsedBy};
use serde_json::{Value, json};

use self::served::{enforcer, served};

mod served;

const ALIAS: &str = "alias/streams";
const ID: &str = "111122223333";

fn account() -> (Account, String) {
    let account = Account::new(Clock::system(), "us-east-1", ID);
    account.configure(|options| {
        options.history_lag = std::time::Duration::ZERO;
        options.rate_limits = false;
    });
    let key = account.create_key();
    account.alias(ALIAS, &key);
    (account, key)
}

fn role(name: &str) -> String {
    format!("arn:aws:iam::{ID}:role/{name}")
}

/// Policies that allow both actions on every key.
fn may() -> Policies {
    Policies { identity: vec![allowing(&json!({}))], ..Policies::default() }
}

fn allowing(condition: &Value) -> Value {
    let actions = ["kms:Decrypt", "kms:GenerateDataKey"];
    let statement = json!({"Effect": "Allow", "Action": actions, "Resource": "*", "Condition": condition});
    json!({"Version": "2012-10-17", "Statement": [statement]})
}

/// The exit code and the answers as JSON, which fit the committed schema.
fn answers(account: &Account, arguments: &[&str]) -> (Option<i32>, Value) {
    let arguments = [&["access", "--key", ALIAS, "--json"], arguments].concat();
    let (code, told) = enforcer(&arguments, &served(account));
    let answers: Value = serde_json::from_str(&told).unwrap_or_else(|_| unreachable!("{told}"));
    let schema: Value = serde_json::from_str(include_str!("../docs/access.schema.json")).expect("the schema");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let errors: Vec<_> = validator.iter_errors(&answers).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?} {answers:#}");
    assert_eq!(account.count("StartStreamEncryption"), 0);
    (code, answers)
}

/// Each user as `stream principal action answer`, by the name of the principal.
fn lines(answers: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for stream in answers["streams"].as_array().expect("streams") {
        for user in stream["users"].as_array().expect("users") {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let action = text(&user["action"]).replace("kms:", "");
            let principal = text(&user["principal"]).replace(&format!("arn:aws:iam::{ID}:"), "");
            lines.push(format!("{} {principal} {action} {}", text(&stream["stream"]), text(&user["answer"])));
        }
    }
    lines
}

#[test]
fn every_source_names_its_users() {
    let (account, _) = account();
    account.stream(
        NewStream::named("orders").queues(2).policy(
            &json!({"Version": "2012-10-17", "Statement": [{
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::444455556666:role/partner"},
                "Action": "kinesis:PutRecords",
            }]})
            .to_string(),
        ),
    );
    // A prefix of another stream's name must not mix their pipes.
    account.stream(NewStream::named("orders-eu"));
    let (name, role_of) = (|name: &str| name.to_owned(), |name: &str| role(&format!("app/{name}")));
    for (stream, used_by) in [
        ("orders", UsedBy::Function { name: name("fn"), role: role_of("function") }),
        ("orders", UsedBy::PipeSource { name: name("p1"), role: role_of("pipe-reader") }),
        ("orders", UsedBy::PipeTarget { name: name("p2"), role: role_of("pipe-writer") }),
        ("orders-eu", UsedBy::PipeSource { name: name("p3"), role: role_of("pipe-eu") }),
        ("orders", UsedBy::Rule { name: name("r"), role: role_of("rule") }),
        ("orders", UsedBy::Firehose { name: name("f"), role: role_of("firehose") }),
        ("orders", UsedBy::Channel { name: name("c"), role: role_of("channel") }),
        ("orders", UsedBy::SubscriptionFilter { name: name("/log"), role: role_of("filter") }),
        ("orders", UsedBy::LogsDestination { name: name("d"), role: role_of("destination") }),
        ("orders", UsedBy::Table { name: name("t") }),
        ("orders", UsedBy::Consumer { name: name("fan-out"), reader: Some(role_of("fan-out")) }),
        ("orders", UsedBy::Consumer { name: name("nobody"), reader: None }),
        ("orders", UsedBy::Queue { name: name("jobs"), reader: Some(role_of("worker")) }),
        ("orders", UsedBy::Queue { name: name("others"), reader: None }),
        ("orders-eu", UsedBy::Queue { name: name("jobs-eu"), reader: Some(role_of("worker-eu")) }),
    ] {
        account.used_by(stream, used_by);
    }
    for name in [
        "function",
        "pipe-reader",
        "pipe-writer",
        "pipe-eu",
        "rule",
        "firehose",
        "channel",
        "filter",
        "destination",
        "fan-out",
        "worker",
    ] {
        account.principal(&role_of(name), may());
    }
    let (code, found) = answers(&account, &[]);
    assert_eq!((code, &found["notRead"]), (Some(3), &json!([])), "{found:#}");
    let linked = "role/aws-service-role/kinesisreplication.dynamodb.amazonaws.com/\
                  AWSServiceRoleForDynamoDBKinesisDataStreamsReplication";
    let expected: BTreeSet<String> = [
        "orders role/app/function Decrypt yes",
        "orders role/app/pipe-reader Decrypt yes",
        "orders role/app/pipe-writer GenerateDataKey yes",
        "orders-eu role/app/pipe-eu Decrypt yes",
        "orders role/app/rule GenerateDataKey yes",
        "orders role/app/firehose Decrypt yes",
        "orders role/app/channel Decrypt yes",
        "orders role/app/filter GenerateDataKey yes",
        "orders role/app/destination GenerateDataKey yes",
        &format!("orders {linked} GenerateDataKey gone"),
        "orders role/app/fan-out Decrypt yes",
        "orders role/app/worker Decrypt yes",
        "orders readers as nobody Decrypt unknown",
        "orders readers of the queues Decrypt unknown",
        "orders arn:aws:iam::444455556666:role/partner GenerateDataKey no",
    ]
    .map(str::to_owned)
    .into();
    assert_eq!(lines(&found).into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(
        (&found["no"], &found["unknown"], &found["gone"], &found["yes"]),
        (&1.into(), &2.into(), &1.into(), &11.into())
    );
    // One principal is asked about once for each key.
    assert_eq!(account.count("SimulatePrincipalPolicy"), 12);
    // One of the two queues has a policy that names its reader.
    let users = found["streams"][0]["users"].as_array().expect("users");
    let known_by = |name: &str| {
        let user = users.iter().find(|user| user["principal"].as_str().is_some_and(|text| text.ends_with(name)));
        user.expect("the user")["knownBy"].clone()
    };
    assert_eq!(known_by("worker"), json!([{"source": "queue-policy", "name": "jobs"}]));
    assert_eq!(known_by("readers of the queues"), json!([{"source": "queues", "count": 1}]));
    // A stream without queues is not asked about them.
    assert_eq!(account.count("ListQueues"), 1);
}

#[test]
fn every_answer_has_its_reason() {
    let (account, key) = account();
    account.stream(NewStream::named("orders"));
    let nothing = json!({"Version": "2012-10-17", "Statement": []});
    let deny = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "kms:*", "Resource": "*"}]});
    let tagged = json!({"StringEquals": {"aws:PrincipalTag/team": "orders"}});
    let elsewhere = json!({"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}});
    let with = |policy: Value| Policies { identity: vec![policy], ..Policies::default() };
    for (name, policies, expected) in [
        ("may", Some(may()), "yes"),
        ("may-not", Some(Policies::default()), "identity-policy-lacks"),
        (
            "denied",
            Some(Policies { identity: vec![allowing(&json!({})), deny], ..Policies::default() }),
            "identity-policy-denies",
        ),
        ("bounded", Some(Policies { boundary: Some(nothing.clone()), ..may() }), "outside-boundary"),
        ("organized", Some(Policies { organization: Some(nothing), ..may() }), "organization-denies"),
        ("elsewhere", Some(with(allowing(&elsewhere))), "identity-policy-lacks"),
        ("tagged", Some(with(allowing(&tagged))), "unknown"),
        ("key-denies", Some(may()), "key-policy-denies"),
        ("granted", Some(Policies::default()), "yes"),
        ("deleted", None, "gone"),
    ] {
        let arn = role(name);
        if let Some(policies) = policies {
            account.principal(&arn, policies);
        }
        account.used_by("orders", UsedBy::Function { name: name.to_owned(), role: arn });
        let (_, found) = answers(&account, &["orders"]);
        let users = found["streams"][0]["users"].as_array().expect("users").clone();
        let user = users.iter().find(|user| user["principal"] == role(name)).expect("the user");
        let because = user["because"].as_str().filter(|_| user["answer"] == "no");
        let expected = match name {
            // Before the key says so.
            "key-denies" => "yes",
            "granted" => "identity-policy-lacks",
            _ => expected,
        };
        assert_eq!(because.or(user["answer"].as_str()), Some(expected), "{name}: {user:#}");
    }
    let root = format!("arn:aws:iam::{ID}:root");
    let statement = |effect: &str, principal: &str| json!({"Effect": effect, "Principal": {"AWS": principal}, "Action": "kms:*", "Resource": "*"});
    let policy = json!({"Version": "2012-10-17", "Statement": [statement("Allow", &root), statement("Deny", &role("key-denies"))]});
    account.key_policy(&key, &policy.to_string());
    account.grant(&key, &role("granted"), &["Decrypt"]);
    let (code, found) = answers(&account, &["orders"]);
    let lines = lines(&found);
    for line in ["orders role/key-denies Decrypt no", "orders role/granted Decrypt yes"] {
        assert!(lines.contains(&line.to_owned()), "{line}: {lines:?}");
    }
    assert_eq!(code, Some(3));
    // A key policy that allows one role, and leaves nothing to IAM.
    account.key_policy(&key, &json!({"Statement": [statement("Allow", &role("may-not"))]}).to_string());
    let (_, found) = answers(&account, &["orders"]);
    let lines = self::lines(&found);
    for line in ["orders role/may-not Decrypt yes", "orders role/may Decrypt no"] {
        assert!(lines.contains(&line.to_owned()), "{line}: {lines:?}");
    }
}

#[test]
fn every_kind_of_principal_has_its_answer_under_every_kind_of_key_policy() {
    let (account, key) = account();
    let old = account.create_key();
    let (partner, service) = ("arn:aws:iam::444455556666:role/partner", "delivery.logs.amazonaws.com");
    let users = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": [partner, "777788889999"]}, "Action": "kinesis:PutRecords"},
        {"Effect": "Allow", "Principal": {"Service": service}, "Action": "kinesis:PutRecord"},
    ]});
    account.stream(NewStream::named("orders").encrypted_with(&old).policy(&users.to_string()));
    let user = format!("arn:aws:iam::{ID}:user/jo");
    account.principal(&user, may());
    account.record_use("orders", &old, "Decrypt", &json!({"type": "IAMUser", "arn": user}));
    account.principal(&role("app/writer"), may());
    let session = format!("arn:aws:sts::{ID}:assumed-role/writer/i-0123");
    account.record_use("orders", &old, "GenerateDataKey", &json!({"type": "AssumedRole", "arn": session}));
    let allow = |principal: Value, condition: Value| json!({"Effect": "Allow", "Principal": principal, "Action": "kms:*", "Resource": "*", "Condition": condition});
    let own = |condition| allow(json!({"AWS": format!("arn:aws:iam::{ID}:root")}), condition);
    let via = |service: &str| json!({"StringEquals": {"kms:ViaService": format!("{service}.us-east-1.amazonaws.com")}});
    // The session of the role, the user, the role of another account, that account, and the service.
    for (statements, expected) in [
        (json!([own(json!({}))]), ["yes", "yes", "no", "no", "no"]),
        (json!([own(via("kinesis"))]), ["yes", "yes", "no", "no", "no"]),
        (json!([own(via("s3"))]), ["no", "no", "no", "no", "no"]),
        (
            json!([own(json!({"StringEquals": {"aws:PrincipalOrgID": "o-1"}}))]),
            ["unknown", "unknown", "no", "no", "no"],
        ),
        (
            json!([allow(json!({"AWS": [user, role("app/writer"), partner], "Service": service}), json!({}))]),
            ["yes", "yes", "unknown", "no", "yes"],
        ),
        (
            json!([
                allow(json!("*"), json!({})),
                {"Effect": "Deny", "Principal": {"AWS": ["777788889999", user]}, "Action": "kms:*", "Resource": "*"},
            ]),
            ["yes", "no", "unknown", "no", "yes"],
        ),
    ] {
        account.key_policy(&key, &json!({"Version": "2012-10-17", "Statement": statements}).to_string());
        let (_, found) = answers(&account, &["orders"]);
        let lines: BTreeSet<_> = lines(&found).into_iter().collect();
        let expected: BTreeSet<_> = [
            "role/app/writer GenerateDataKey",
            "user/jo Decrypt",
            "arn:aws:iam::444455556666:role/partner GenerateDataKey",
            "account 777788889999 GenerateDataKey",
            "delivery.logs.amazonaws.com GenerateDataKey",
        ]
        .iter()
        .zip(expected)
        .map(|(who, answer)| format!("orders {who} {answer}"))
        .collect();
        assert_eq!(lines, expected, "{statements}");
    }
}

#[test]
fn a_policy_that_names_a_stream_is_asked_about_each_stream() {
    let (account, _) = account();
    for name in ["clicks", "orders"] {
        account.stream(NewStream::named(name));
        account.used_by(name, UsedBy::Function { name: name.to_owned(), role: role("reader") });
    }
    let orders = format!("arn:aws:kinesis:us-east-1:{ID}:stream/orders");
    let condition = json!({"StringEquals": {"kms:EncryptionContext:aws:kinesis:arn": orders}});
    account.principal(&role("reader"), Policies { identity: vec![allowing(&condition)], ..Policies::default() });
    let (_, found) = answers(&account, &[]);
    assert_eq!(lines(&found), ["clicks role/reader Decrypt no", "orders role/reader Decrypt yes"]);
    assert_eq!(account.count("SimulatePrincipalPolicy"), 3);
}

#[test]
fn the_users_of_an_encrypted_stream_are_those_of_its_history() {
    let (account, _) = account();
    let old = account.create_key();
    account.stream(NewStream::named("orders").encrypted_with(&old));
    let session = |name: &str, path: bool| {
        let arn = format!("arn:aws:sts::{ID}:assumed-role/{name}/i-0123");
        let issuer = json!({"sessionIssuer": {"type": "Role", "arn": role(&format!("app/{name}"))}});
        json!({"type": "AssumedRole", "arn": arn, "sessionContext": if path { issuer } else { json!({}) }})
    };
    account.principal(&role("app/writer"), may());
    account.principal(&role("app/reader"), Policies::default());
    for _ in 0..60 {
        account.record_use("orders", &old, "GenerateDataKey", &session("writer", true));
    }
    account.record_use("orders", &old, "Decrypt", &session("reader", false));
    account.record_use("orders", &old, "Decrypt", &session("deleted", false));
    account.record_use("elsewhere", &old, "Decrypt", &session("writer", true));
    let (code, found) = answers(&account, &["orders"]);
    assert_eq!(
        lines(&found),
        [
            "orders role deleted of account 111122223333 Decrypt gone",
            "orders role/app/reader Decrypt no",
            "orders role/app/writer GenerateDataKey yes",
        ]
    );
    assert_eq!(found["streams"][0]["users"][2]["knownBy"][0]["calls"], 60);
    assert_eq!(code, Some(3));
    // The history is not read if nobody asks for it.
    let before = account.count("LookupEvents");
    let (_, found) = answers(&account, &["orders", "--days", "0"]);
    assert_eq!(lines(&found), [""; 0]);
    // A plan looks up who changed the stream.
    assert!(account.count("LookupEvents") <= before + 2);
}

#[test]
fn a_source_that_is_denied_is_named_and_the_others_are_read() {
    let (account, _) = account();
    account.stream(NewStream::named("orders"));
    account.principal(&role("reader"), may());
    account.used_by("orders", UsedBy::Function { name: "fn".to_owned(), role: role("reader") });
    let (code, found) = answers(&account, &["orders"]);
    assert_eq!((code, &found["notRead"]), (Some(0), &json!([])), "{found:#}");
    for (operation, action) in [
        ("ListPipes", "pipes:ListPipes"),
        ("ListDeliveryStreams", "firehose:ListDeliveryStreams"),
        ("ListStreamConsumers", "kinesis:ListStreamConsumers"),
        ("ListTables", "dynamodb:ListTables"),
        ("DescribeLogGroups", "logs:DescribeLogGroups"),
    ] {
        account.clear_faults();
        account.fault(Fault::on(operation).error("AccessDeniedException", "not authorized"));
        let (code, found) = answers(&account, &["orders"]);
        assert_eq!((code, lines(&found).len()), (Some(3), 1), "{operation}: {found:#}");
        let not_read = found["notRead"].to_string();
        assert!(not_read.contains(&format!("AccessDeniedException ({action})")), "{operation}: {not_read}");
    }
    account.clear_faults();
    account.fault(Fault::on("SimulatePrincipalPolicy").error("AccessDenied", "not authorized"));
    let (code, found) = answers(&account, &["orders"]);
    assert_eq!((code, lines(&found)), (Some(3), vec!["orders role/reader Decrypt unknown".to_owned()]));
    let wide = [served(&account), vec![("COLUMNS", "200".to_owned())]].concat();
    let (_, told) = enforcer(&["access", "--key", ALIAS, "orders"], &wide);
    assert!(
        told.contains("its IAM policies cannot be simulated: AccessDenied (iam:SimulatePrincipalPolicy)"),
        "{told}"
    );
}

#[test]
fn queues_that_cannot_be_listed_have_readers_that_are_not_known() {
    let (account, _) = account();
    account.stream(NewStream::named("orders").queues(2));
    account.used_by("orders", UsedBy::Queue { name: "jobs".to_owned(), reader: Some(role("worker")) });
    account.fault(Fault::on("ListQueues").error("AccessDeniedException", "not authorized"));
    let (code, found) = answers(&account, &["orders"]);
    assert_eq!((code, lines(&found)), (Some(3), vec!["orders readers of the queues Decrypt unknown".to_owned()]));
    assert_eq!(found["notRead"], json!(["the queues of orders: AccessDeniedException (kinesis:ListQueues)"]));
    account.clear_faults();
    account.fault(Fault::on("GetResourcePolicy").nth(2..).error("AccessDeniedException", "not authorized"));
    let (_, found) = answers(&account, &["orders"]);
    assert_eq!(lines(&found), ["orders readers of the queues Decrypt unknown"], "{found:#}");
}

#[test]
fn exported_records_name_the_users_of_a_stream_that_is_not_encrypted() {
    let (account, _) = account();
    account.stream(NewStream::named("orders"));
    account.principal(&role("app/writer"), Policies::default());
    let record = |name: &str, stream: &str| {
        json!({
            "eventSource": "kinesis.amazonaws.com",
            "eventName": name,
            "eventTime": "2026-11-24T12:00:00Z",
            "awsRegion": "us-east-1",
            "recipientAccountId": ID,
            "requestParameters": {"streamARN": format!("arn:aws:kinesis:us-east-1:{ID}:stream/{stream}")},
            "userIdentity": {
                "type": "AssumedRole",
                "arn": format!("arn:aws:sts::{ID}:assumed-role/writer/x"),
                "sessionContext": {"sessionIssuer": {"arn": role("app/writer")}},
            },
        })
    };
    let folder = tempfile::tempdir().expect("a folder");
    let zipped = folder.path().join("trail.json.gz");
    let mut writer =
        flate2::write::GzEncoder::new(std::fs::File::create(&zipped).expect("a file"), flate2::Compression::fast());
    let records = json!({"Records": [record("PutRecord", "orders"), record("PutRecords", "orders"), record("GetRecords", "clicks")]});
    writer.write_all(records.to_string().as_bytes()).expect("written");
    writer.finish().expect("written");
    let path = folder.path().to_str().expect("UTF-8");
    let (code, found) = answers(&account, &["orders", "--trail", path]);
    assert_eq!(
        (code, lines(&found)),
        (Some(3), vec!["orders role/app/writer GenerateDataKey no".to_owned()]),
        "{found:#}"
    );
    let evidence = &found["streams"][0]["users"][0]["knownBy"];
    assert_eq!(evidence, &json!([{"source": "cloudtrail", "calls": 2, "last": "2026-11-24T12:00:00Z"}]));

    std::fs::write(folder.path().join("broken.json"), "{\"Records\": [").expect("written");
    let (_, told) = enforcer(&["access", "--key", ALIAS, "orders", "--trail", path, "nowhere.json"], &served(&account));
    for says in [
        "broken.json: it ends too early",
        "nowhere.json: no such file or directory",
        "users may be missing",
        "loses access",
    ] {
        assert!(told.contains(says), "{says}: {told}");
    }
}

#[test]
fn the_statements_that_are_printed_allow_what_was_missing() {
    let (account, key) = account();
    account.stream(NewStream::named("orders"));
    account.stream(NewStream::named("clicks"));
    let named = |name: &str| name.to_owned();
    account.principal(&role("app/worker"), Policies::default());
    account.used_by("orders", UsedBy::Function { name: named("fn"), role: role("app/worker") });
    account.used_by("clicks", UsedBy::Function { name: named("fn"), role: role("app/worker") });
    account.used_by("clicks", UsedBy::PipeTarget { name: named("pipe"), role: role("app/worker") });
    let variables = served(&account);
    let (code, fix) = enforcer(&["access", "--key", ALIAS, "--fix"], &variables);
    assert_eq!(code, Some(3), "{fix}");
    let fix: Value = serde_json::from_str(&fix).expect("JSON");
    let policy = &fix["identityPolicies"][0];
    assert_eq!(policy["principal"], role("app/worker"));
    let statements = policy["policy"]["Statement"].as_array().expect("statements");
    assert_eq!(statements.len(), 2, "{fix:#}");
    assert!(statements.iter().all(|statement| statement["Resource"] == key), "{fix:#}");
    account
        .principal(&role("app/worker"), Policies { identity: vec![policy["policy"].clone()], ..Policies::default() });
    let (code, found) = answers(&account, &[]);
    assert_eq!((code, &found["yes"]), (Some(0), &json!(3)), "{found:#}");

    // A key policy that leaves nothing to IAM: the statement goes there.
    let closed = json!({"Statement": [{
        "Effect": "Allow", "Principal": {"AWS": role("admin")}, "Action": "kms:*", "Resource": "*",
    }]});
    account.key_policy(&key, &closed.to_string());
    let (_, fix) = enforcer(&["access", "--key", ALIAS, "--fix", "json"], &variables);
    let fix: Value = serde_json::from_str(&fix).expect("JSON");
    assert_eq!((&fix["identityPolicies"], &fix["keyPolicies"][0]["key"]), (&json!([]), &json!(key)), "{fix:#}");
    let open = json!({"Statement": fix["keyPolicies"][0]["statements"]});
    account.principal(&role("app/worker"), Policies::default());
    let (_, terraform) = enforcer(&["access", "--key", ALIAS, "--fix", "terraform"], &variables);
    for says in [
        "data \"aws_iam_policy_document\" \"key_",
        "identifiers = [\"arn:aws:iam::111122223333:role/app/worker\"]",
        "resources = [\"*\"]",
    ] {
        assert!(terraform.contains(says), "{says}: {terraform}");
    }
    account.key_policy(&key, &open.to_string());
    assert_eq!(answers(&account, &[]).0, Some(0));
}

#[test]
fn of_a_role_whose_path_cannot_be_read_the_fix_says_that_it_cannot_be_named() {
    let (account, key) = account();
    let old = account.create_key();
    account.stream(NewStream::named("orders").encrypted_with(&old));
    let session = format!("arn:aws:sts::{ID}:assumed-role/writer/i-0123");
    account.record_use("orders", &old, "GenerateDataKey", &json!({"type": "AssumedRole", "arn": session}));
    account.fault(Fault::on("GetRole").error("AccessDenied", "not authorized"));
    let admin = json!({"Effect": "Allow", "Principal": {"AWS": role("admin")}, "Action": "kms:*", "Resource": "*"});
    account.key_policy(&key, &json!({"Version": "2012-10-17", "Statement": [admin]}).to_string());
    let (_, found) = answers(&account, &["orders"]);
    assert_eq!(lines(&found), ["orders role writer of account 111122223333 GenerateDataKey no"]);
    let (_, told) = enforcer(&["access", "--key", ALIAS, "orders", "--fix", "json"], &served(&account));
    let note = format!("role writer of account {ID} cannot be named in the policy of {key}: its ARN is not known");
    for says in [note.as_str(), "\"keyPolicies\": []"] {
        assert!(told.contains(says), "{says}: {told}");
    }
}

#[test]
fn the_fix_lists_whose_answer_is_unknown_and_whom_to_ask() {
    let (account, key) = account();
    account.stream(NewStream::named("orders"));
    account.principal(&role("reader"), may());
    account.used_by("orders", UsedBy::Function { name: "fn".to_owned(), role: role("reader") });
    account.fault(Fault::on("SimulatePrincipalPolicy").error("AccessDenied", "not\nauthorized"));
    let note = format!(
        "no statement for {} with kms:Decrypt on {key}: the answer is unknown: its IAM policies cannot be simulated: \
         AccessDenied (iam:SimulatePrincipalPolicy); ask the owner",
        role("reader")
    );
    let run = |format: &str| {
        let arguments = ["access", "--key", ALIAS, "orders", "--fix", format];
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_enforcer"));
        let output = command.args(arguments).env_clear().envs(served(&account)).output().expect("the program runs");
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("UTF-8"))
    };
    let [json, said] = run("json");
    let fix: Value = serde_json::from_str(&json).expect("JSON");
    let expected = json!({"identityPolicies": [], "keyPolicies": [], "notFixed": [note]});
    assert_eq!(fix, expected);
    assert!(said.contains(&format!("warning: {note}")), "{said}");
    let [terraform, said] = run("terraform");
    assert_eq!(terraform, format!("# Not fixed: {note}\n"));
    assert!(said.contains(&format!("warning: {note}")), "{said}");
}

#[test]
fn the_aws_managed_key_is_for_the_own_account_only() {
    let (account, _) = account();
    let policy = json!({"Statement": [{
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::444455556666:role/partner"},
        "Action": "kinesis:GetRecords",
    }]});
    account.stream(NewStream::named("orders").policy(&policy.to_string()));
    account.principal(&role("reader"), Policies::default());
    account.used_by("orders", UsedBy::Function { name: "fn".to_owned(), role: role("reader") });
    let variables = served(&account);
    let (code, told) = enforcer(&["access", "--key", "alias/aws/kinesis", "orders"], &variables);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("other accounts cannot use the AWS managed key"), "{told}");
    assert!(told.find("444455556666") < told.find("role/reader"), "who loses access comes first: {told}");
    assert!(told.contains("1 without access, 0 unknown, 1 with access"), "{told}");
    let (_, told) = enforcer(&["access", "--key", "alias/aws/kinesis", "orders", "--fix"], &variables);
    assert!(told.contains("configure a customer managed key for orders"), "{told}");
    // Its description could create it.
    assert!(account.managed_key().is_none());
}

#[test]
fn an_apply_holds_back_a_stream_whose_users_would_lose_access_and_a_plan_names_them() {
    let (account, _) = account();
    account.configure(|options| options.updating = std::time::Duration::from_millis(50));
    for name in ["clicks", "orders"] {
        account.stream(NewStream::named(name));
    }
    account.principal(&role("reader"), Policies::default());
    account.used_by("orders", UsedBy::Function { name: "fn".to_owned(), role: role("reader") });
    let variables = served(&account);
    let (code, told) = enforcer(&["plan", "--key", ALIAS, "--access"], &variables);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("loses access: role/reader as a consumer: no"), "{told}");
    let (_, told) = enforcer(&["plan", "--key", ALIAS, "--access", "--json"], &variables);
    let plan: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((&plan["streams"][0]["users"], &plan["notRead"]), (&json!([]), &json!([])), "{plan:#}");
    assert_eq!(plan["streams"][1]["users"][0]["answer"], "no", "{plan:#}");
    let (_, told) = enforcer(&["plan", "--key", ALIAS, "--json"], &variables);
    let plan: Value = serde_json::from_str(&told).expect("JSON");
    assert!(plan["streams"][1].get("users").is_none() && plan.get("notRead").is_none(), "{plan:#}");

    let (code, told) = enforcer(&["apply", "--key", ALIAS, "--yes"], &variables);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("held back: orders (users would lose access"), "{told}");
    assert_eq!((account.accepted("StartStreamEncryption", "clicks"), account.count("StartStreamEncryption")), (1, 1));
    // Who accepts the loss is told whose it is, before and after.
    let (code, told) = enforcer(&["apply", "--key", ALIAS, "--yes", "--accept-access-loss"], &variables);
    assert_eq!((code, account.accepted("StartStreamEncryption", "orders")), (Some(0), 1), "{told}");
    for says in [
        "loses access: role/reader as a consumer: no",
        "encrypted 1 of 1 stream, and 1 user lost access: role/reader as a consumer of orders\n",
    ] {
        assert!(told.contains(says), "{says}: {told}");
    }
    // Nothing is left to change, so nobody is asked about.
    account.forget_calls();
    let (code, _) = enforcer(&["apply", "--key", ALIAS, "--yes"], &variables);
    assert_eq!((code, account.count("SimulatePrincipalPolicy")), (Some(0), 0));
}

/// A policy whose rule `careful` requires access, in a file.
fn careful(folder: &tempfile::TempDir) -> String {
    let file = folder.path().join("policy.json");
    let policy = r#"{"version": 1, "rules": [{"name": "careful", "match": {"stream": "c-*"}, "requireAccess": true}]}"#;
    std::fs::write(&file, policy).expect("written");
    file.to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_rule_that_requires_access_holds_back_what_is_not_certain_whatever_is_accepted() {
    let (account, _) = account();
    account.configure(|options| options.updating = std::time::Duration::from_millis(50));
    let tagged = json!({"StringEquals": {"aws:PrincipalTag/team": "orders"}});
    let reader = |name: &str| UsedBy::Function { name: name.to_owned(), role: role(name) };
    for (stream, policies) in [
        ("c-yes", Some(may())),
        ("c-no", Some(Policies::default())),
        ("c-unknown", Some(Policies { identity: vec![allowing(&tagged)], ..Policies::default() })),
        ("c-nobody", None),
        ("other", Some(Policies::default())),
    ] {
        account.stream(NewStream::named(stream));
        if let Some(policies) = policies {
            account.principal(&role(stream), policies);
            account.used_by(stream, reader(stream));
        }
    }
    // A principal that no longer exists loses nothing.
    account.used_by("c-yes", reader("deleted"));
    account.stream(NewStream::named("c-gone"));
    account.used_by("c-gone", reader("deleted"));
    let folder = tempfile::tempdir().expect("a folder");
    let policy = careful(&folder);
    let variables = [served(&account), vec![("COLUMNS", "400".to_owned())]].concat();
    let run = |arguments: &[&str]| enforcer(&[arguments, &["--key", ALIAS, "--policy", &policy]].concat(), &variables);

    let (_, told) = run(&["plan"]);
    let says = "requireAccess: apply encrypts the stream only if every known user may use the key; the function does";
    assert_eq!(told.matches(says).count(), 5, "{told}");
    let (_, told) = run(&["plan", "--access"]);
    for says in [
        "held back by requireAccess: 1 user may not use the key; apply leaves the stream alone",
        "held back by requireAccess: the answer for 1 user is unknown;",
        "held back by requireAccess: no user is known;",
        "held back by requireAccess: every known user is gone;",
        "requireAccess: every known user may use the key",
    ] {
        assert_eq!(told.matches(says).count(), 1, "{says}: {told}");
    }

    let (code, told) = run(&["apply", "--yes", "--accept-access-loss"]);
    assert_eq!(code, Some(1), "{told}");
    for says in [
        "held back by requireAccess (--accept-access-loss does not override a rule",
        "\n  c-no [rule careful]: 1 user may not use the key\n",
        "\n  c-unknown [rule careful]: the answer for 1 user is unknown\n",
        "\n  c-nobody [rule careful]: no user is known\n",
        "4 streams were held back (c-gone, c-no, c-nobody, c-unknown)",
    ] {
        assert!(told.contains(says), "{says}: {told}");
    }
    for (stream, starts) in [("c-yes", 1), ("other", 1), ("c-no", 0), ("c-unknown", 0), ("c-nobody", 0), ("c-gone", 0)]
    {
        assert_eq!(account.accepted("StartStreamEncryption", stream), starts, "{stream}");
    }
    assert!(told.contains("and 1 user lost access: role/other as a consumer of other\n"), "{told}");
    account.stream(NewStream::named("another"));
    account.used_by("another", reader("other"));
    let (_, told) = run(&["apply", "--yes", "--accept-access-loss", "--json"]);
    let (told, _) = told.rsplit_once('}').expect("JSON");
    let applied: Value = serde_json::from_str(&format!("{told}}}")).expect("JSON");
    let lost = json!({"stream": "another", "region": "us-east-1", "principal": role("other"), "action": "kms:Decrypt"});
    assert_eq!(applied["lostAccess"], json!([lost]), "{applied:#}");
    assert_eq!(applied["heldBack"], json!(["c-gone", "c-no", "c-nobody", "c-unknown"]), "{applied:#}");
    assert_eq!(
        applied["heldBackByRule"][2],
        json!({"stream": "c-nobody", "region": "us-east-1", "rule": "careful", "because": "no user is known"}),
    );
}

#[test]
fn a_rule_that_requires_access_holds_back_where_a_source_of_users_failed() {
    let (account, _) = account();
    account.configure(|options| options.updating = std::time::Duration::from_millis(50));
    account.principal(&role("reader"), may());
    for stream in ["c-one", "c-two"] {
        account.stream(NewStream::named(stream));
        account.used_by(stream, UsedBy::Function { name: "fn".to_owned(), role: role("reader") });
    }
    let folder = tempfile::tempdir().expect("a folder");
    let policy = careful(&folder);
    let variables = served(&account);
    let apply = || enforcer(&["apply", "--yes", "--key", ALIAS, "--policy", &policy], &variables);
    // One source of all streams, and one of a single stream.
    account.fault(Fault::on("ListTables").error("AccessDeniedException", "not authorized"));
    let (code, told) = apply();
    assert_eq!((code, account.count("StartStreamEncryption")), (Some(1), 0), "{told}");
    assert!(told.contains("AccessDeniedException (dynamodb:ListTables)"), "{told}");
    account.clear_faults();
    account.fault(Fault::on("GetResourcePolicy").stream("c-one").error("AccessDeniedException", "not authorized"));
    let (code, told) = apply();
    assert_eq!(code, Some(1), "{told}");
    assert_eq!(["c-one", "c-two"].map(|stream| account.accepted("StartStreamEncryption", stream)), [0, 1], "{told}");
    assert!(
        told.contains("c-one [rule careful]: not read: the resource policy of c-one: AccessDeniedException"),
        "{told}"
    );
}

#[test]
fn a_rule_that_requires_access_holds_back_where_there_are_more_log_groups_than_are_read() {
    let (account, _) = account();
    account.configure(|options| options.updating = std::time::Duration::from_millis(50));
    account.principal(&role("reader"), may());
    account.stream(NewStream::named("c-one"));
    account.stream(NewStream::named("elsewhere"));
    account.used_by("c-one", UsedBy::Function { name: "fn".to_owned(), role: role("reader") });
    for number in 0..500 {
        let (name, role) = (format!("/log/{number:03}"), role("filter"));
        account.used_by("elsewhere", UsedBy::SubscriptionFilter { name, role });
    }
    // Behind the last log group that is read stands one that writes to the stream.
    account.used_by("c-one", UsedBy::SubscriptionFilter { name: "/log/last".to_owned(), role: role("cut-off") });
    let folder = tempfile::tempdir().expect("a folder");
    let policy = careful(&folder);
    let (code, told) = enforcer(&["apply", "c-one", "--yes", "--key", ALIAS, "--policy", &policy], &served(&account));
    assert_eq!((code, account.count("StartStreamEncryption")), (Some(1), 0), "{told}");
    let says = "not read: the subscription filters of CloudWatch Logs: only those of 500 log groups were read";
    assert!(told.contains(&format!("c-one [rule careful]: {says}")), "{told}");
}

#[test]
fn a_stream_whose_alias_names_another_key_since_the_plan_is_not_started() {
    let (account, _) = account();
    account.configure(|options| options.updating = std::time::Duration::from_millis(50));
    account.principal(&role("reader"), may());
    let other = account.create_key();
    account.key_policy(&other, r#"{"Version": "2012-10-17", "Statement": []}"#);
    for stream in ["c-one", "other"] {
        account.stream(NewStream::named(stream));
        account.used_by(stream, UsedBy::Function { name: "fn".to_owned(), role: role("reader") });
    }
    let folder = tempfile::tempdir().expect("a folder");
    let policy = careful(&folder);
    let variables = served(&account);
    let apply = || printed(&["apply", "--yes", "--key", ALIAS, "--policy", &policy], &variables);
    // The plan describes the key, and then the search for users does.
    account.script(ScriptedAction::after("DescribeKey").nth(2).point_alias(ALIAS, &other));
    let (told, noted) = apply();
    assert_eq!(account.count("StartStreamEncryption"), 0, "{told}{noted}");
    assert!(told.contains("2 not started: run the same command again"), "{told}");
    assert!(
        noted.contains("c-one was not started: another key than the one that its users were asked about"),
        "{noted}"
    );
    // Of the key that it has now, the answers are others.
    let (told, _) = apply();
    assert!(told.contains("2 streams were held back (c-one, other)"), "{told}");
    assert_eq!(account.count("StartStreamEncryption"), 0, "{told}");
}

#[test]
fn a_key_policy_that_has_a_key_twice_is_not_read() {
    let (account, key) = account();
    account.stream(NewStream::named("orders"));
    account.principal(&role("reader"), may());
    account.used_by("orders", UsedBy::Function { name: "fn".to_owned(), role: role("reader") });
    account.key_policy(
        &key,
        r#"{"Statement": [{"Effect": "Deny", "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}"#,
    );
    let (_, found) = answers(&account, &[]);
    let user = &found["streams"][0]["users"][0];
    assert_eq!(user["answer"], "unknown", "{user:#}");
    assert!(user["because"].as_str().is_some_and(|why| why.contains("the key \"Effect\" is there twice")), "{user:#}");
}

#[test]
fn whether_a_user_of_a_stream_that_may_be_another_accounts_is_gone_is_not_known() {
    let (account, _) = account();
    account.stream(NewStream::named("orders"));
    account.used_by("orders", UsedBy::Function { name: "fn".to_owned(), role: role("deleted") });
    let stream = format!("arn:aws:kinesis:us-east-1:{ID}:stream/orders");
    let (_, found) = answers(&account, &[&stream]);
    assert_eq!(lines(&found), ["orders role/deleted Decrypt gone"]);
    // Whose the credentials are is not known, so IAM may know other principals.
    account.fault(Fault::on("GetCallerIdentity").error("AccessDenied", "not authorized"));
    let (code, found) = answers(&account, &[&stream]);
    assert_eq!((code, lines(&found)), (Some(3), vec!["orders role/deleted Decrypt unknown".to_owned()]));
}

#[test]
fn a_principal_whose_name_has_lines_of_its_own_adds_none_to_the_statements() {
    let (account, _) = account();
    account.stream(NewStream::named("orders"));
    let user = "arn:aws:iam::444455556666:user/a\nresource \"null_resource\" \"b\" {}\n#";
    let record = json!({
        "eventSource": "kinesis.amazonaws.com",
        "eventName": "PutRecord",
        "eventTime": "2026-11-24T12:00:00Z",
        "requestParameters": {"streamARN": format!("arn:aws:kinesis:us-east-1:{ID}:stream/orders")},
        "userIdentity": {"type": "IAMUser", "arn": user},
    });
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("trail.json");
    std::fs::write(&file, json!({"Records": [record]}).to_string()).expect("written");
    let file = file.to_str().expect("UTF-8");
    let arguments = ["access", "orders", "--key", ALIAS, "--trail", file, "--fix", "terraform"];
    let (_, told) = enforcer(&arguments, &served(&account));
    assert!(told.contains("# For arn:aws:iam::444455556666:user/a<U+000A>resource"), "{told}");
    assert!(!told.lines().any(|line| line.trim_start().starts_with("resource ")), "{told}");
}

/// What the program prints to standard output, and to standard error.
fn printed(arguments: &[&str], variables: &[(&'static str, String)]) -> (String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_enforcer"));
    let variables = variables.iter().map(|(name, value)| (*name, value.as_str()));
    let output = command.args(arguments).env_clear().envs(variables).output().expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (text(output.stdout), text(output.stderr))
}

#[test]
fn the_answers_fit_the_columns_and_say_the_same_at_every_width() {
    let access = |columns: usize| {
        printed(&["access", "--sandbox"], &[("NO_COLOR", "1".to_owned()), ("COLUMNS", columns.to_string())]).0
    };
    // Cells go on below one another: the order of characters differs, and the times.
    let characters = |text: &str| {
        let mut characters: Vec<_> = text.chars().filter(|c| !c.is_whitespace() && !c.is_ascii_digit()).collect();
        characters.sort_unstable();
        characters
    };
    let wide = access(100);
    for columns in [60, 80, 100, 200] {
        let told = access(columns);
        for line in told.lines() {
            assert!(textwrap::core::display_width(line) <= columns && line.trim_end() == line, "{columns}: {line:?}");
        }
        assert!(told.find("loses access") < told.find("unknown"), "{told}");
        // The widest has the reasons beside their rows, below a heading.
        if columns < 200 {
            assert_eq!(characters(&told), characters(&wide), "{told}");
        } else {
            assert!(told.lines().any(|line| line.starts_with("✘") && line.contains("no IAM policy of the")), "{told}");
        }
    }
}

#[test]
fn whoever_waits_is_told_what_is_being_read() {
    let (account, _) = account();
    let old = account.create_key();
    account.stream(NewStream::named("orders").encrypted_with(&old));
    account.fault(Fault::on("GetKeyPolicy").delay(std::time::Duration::from_millis(2_500)));
    let (_, told) = printed(&["access", "--key", ALIAS, "orders"], &served(&account));
    // The event history is read at one call a second, and a log has a line after the first one.
    assert!(told.contains("waiting: reading CloudTrail's event history of key 1 of 1: 1 so far (1 s)\n"), "{told}");
    let (_, told) = printed(&["access", "--key", ALIAS, "orders", "--days", "0"], &served(&account));
    assert!(told.contains("waiting: reading the policies and grants of keys (1 s)\n"), "{told}");
}

/// The program and the sandbox evaluate policies independently of each other.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_loses_access_is_cut_off_and_whoever_does_not_goes_on() {
    let (account, key) = account();
    account.stream(NewStream::named("orders"));
    let nothing = || json!({"Version": "2012-10-17", "Statement": []});
    let only = |condition: Value| Policies { identity: vec![allowing(&condition)], ..Policies::default() };
    let of_orders = "arn:aws:kinesis:us-east-1:111122223333:stream/orders";
    let context = "kms:EncryptionContext:aws:kinesis:arn";
    let denying =
        json!({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "kms:*", "Resource": "*"}]});
    let cases = [
        ("allowed", may()),
        ("nothing", Policies::default()),
        ("denied", Policies { identity: vec![allowing(&json!({})), denying], ..Policies::default() }),
        ("boundary", Policies { boundary: Some(nothing()), ..may() }),
        ("organization", Policies { organization: Some(nothing()), ..may() }),
        ("kinesis", only(json!({"StringEquals": {"kms:ViaService": "kinesis.us-east-1.amazonaws.com"}}))),
        ("s3", only(json!({"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}))),
        ("stream", only(json!({"StringEquals": {context: of_orders}}))),
        ("other-stream", only(json!({"StringLike": {context: format!("{of_orders}-*")}}))),
        ("granted", Policies::default()),
        ("named", Policies::default()),
        ("key-denies", may()),
    ];
    for (name, policies) in &cases {
        account.principal(&role(name), policies.clone());
        account.identity(name, Identity::role(name, "session"));
        let (name, role) = ((*name).to_owned(), role(name));
        account.used_by("orders", UsedBy::PipeTarget { name, role });
    }
    account.grant(&key, &role("granted"), &["GenerateDataKey"]);
    let statement = |effect: &str, principal: String| {
        let principal = json!({"AWS": principal});
        json!({"Effect": effect, "Principal": principal, "Action": "kms:*", "Resource": "*"})
    };
    let root = format!("arn:aws:iam::{ID}:root");
    let statements =
        [statement("Allow", root), statement("Allow", role("named")), statement("Deny", role("key-denies"))];
    account.key_policy(&key, &json!({"Version": "2012-10-17", "Statement": statements}).to_string());
    let (_, found) = answers(&account, &["orders"]);
    let answered: BTreeSet<_> = lines(&found).into_iter().collect();
    account.stream(NewStream::named("orders").encrypted_with(&key));
    let mut done = BTreeSet::new();
    for (name, _) in &cases {
        let credentials = aws_credential_types::Credentials::new(*name, "secret", None, None, "test");
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(aws_sdk_kinesis::config::BehaviorVersion::latest())
            .region(aws_sdk_kinesis::config::Region::new("us-east-1"))
            .credentials_provider(credentials)
            .http_client(account.http_client())
            .build();
        let call = aws_sdk_kinesis::Client::from_conf(config).put_record().stream_name("orders").partition_key("1");
        let written = call.data(aws_sdk_kinesis::primitives::Blob::new("x")).send().await.is_ok();
        done.insert(format!("orders role/{name} GenerateDataKey {}", if written { "yes" } else { "no" }));
    }
    assert_eq!(answered, done);
    assert_eq!(done.iter().filter(|line| line.ends_with("yes")).count(), 5, "{done:?}");
}

#[test]
fn the_sandbox_shows_every_answer() {
    let (code, told) = enforcer(&["access", "--sandbox"], &[("NO_COLOR", "1".to_owned())]);
    // One stream of the sample fleet has a key that cannot be used.
    assert_eq!(code, Some(1), "{told}");
    for says in ["no user is known: ", "exempt, so no key is applied: feed-legacy"] {
        assert!(told.contains(says), "{says}: {told}");
    }
    let shows = |part: &str, answer: &str| {
        let is_shown = told.lines().any(|line| line.contains(part) && line.ends_with(answer));
        assert!(is_shown, "{part} {answer}: {told}");
    };
    for answer in ["loses access", "unknown", "gone", "yes"] {
        shows("producer", answer);
        shows("consumer", answer);
    }
    shows("consumer", "has no access");
    // Of another account, one may not, and of one it cannot be known.
    shows(":444455556666:role/reader", "loses access");
    shows(":444455556666:role/auditor", "unknown");
}
