//! Where a command of `enforcer` works, and with whose settings: several Regions and accounts, and
//! the settings of a deployed function. AWS is one embedded account for each Region, behind a front
//! that also answers for Lambda, EC2 and STS.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::sandbox::{Account, NewStream};
use serde_json::{Value, json};

use self::served::{enforcer, served};

mod served;

const OWN: &str = "111122223333";
const MEMBER: &str = "444455556666";
const OTHER_MEMBER: &str = "777788889999";
const ROLE: &str = "arn:aws:iam::111122223333:role/enforcer";
const ALIAS: &str = "alias/streams";

/// What the front of AWS answers for Lambda, EC2 and STS, and what it was asked.
#[derive(Default)]
struct Front {
    /// The accounts by Region: the addresses that they are served on.
    accounts: BTreeMap<&'static str, String>,
    /// The answers of `GetFunctionConfiguration` by Region, function and query.
    functions: BTreeMap<(&'static str, &'static str), (u16, Value)>,
    /// The Regions that `DescribeRegions` names; it is denied if there are none.
    regions: Vec<&'static str>,
    /// The requests, each with its Region and service.
    asked: Arc<Mutex<Vec<String>>>,
}

struct Request {
    raw: Vec<u8>,
    path: String,
    region: String,
    service: String,
    body: String,
}

impl Request {
    fn read(stream: &mut BufReader<TcpStream>) -> Option<Self> {
        let (mut raw, mut length, mut scope) = (Vec::new(), 0, String::new());
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            raw.extend(line.bytes());
            let (name, value) = line.split_once(':').unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().expect("a length"),
                "authorization" => value.split("Credential=").nth(1).expect("a scope").clone_into(&mut scope),
                _ => {}
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        raw.extend(&body);
        let path = String::from_utf8_lossy(&raw).split(' ').nth(1).expect("a path").to_owned();
        let part = |index| scope.split('/').nth(index).unwrap_or_default().to_owned();
        Some(Self { raw, path, region: part(2), service: part(3), body: String::from_utf8_lossy(&body).into_owned() })
    }
}

impl Front {
    /// Serves it for as long as the test runs: the variables that lead the SDKs there.
    fn served(self) -> Vec<(&'static str, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let front = Arc::new(self);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let front = Arc::clone(&front);
                std::thread::spawn(move || {
                    let mut input = BufReader::new(stream.try_clone().expect("a connection"));
                    let mut output = stream;
                    while let Some(request) = Request::read(&mut input) {
                        if output.write_all(&front.answer(&request)).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        vec![
            ("AWS_ENDPOINT_URL", format!("http://{address}")),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            ("AWS_CONFIG_FILE", "/nonexistent".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent".to_owned()),
            ("NO_COLOR", "1".to_owned()),
        ]
    }

    fn answer(&self, request: &Request) -> Vec<u8> {
        let Request { path, region, service, body, .. } = request;
        self.asked.lock().expect("no panic").push(format!("{region} {service} {path}"));
        let denied =
            (403, json!({"__type": "AccessDeniedException", "message": "explicit deny in a service control policy"}));
        let (status, text) = match service.as_str() {
            "lambda" => {
                let name = path.strip_prefix("/2015-03-31/functions/").expect("a function").replace("/configuration", "");
                let known = self.functions.iter().find(|((of, function), _)| of == region && *function == name);
                let missing = (404, json!({"Type": "User", "Message": "Function not found"}));
                let (status, answer) = known.map_or(missing, |(_, answer)| answer.clone());
                let code = match status {
                    200 => None,
                    404 => Some("ResourceNotFoundException"),
                    _ => Some("AccessDeniedException"),
                };
                return http(status, &answer.to_string(), code);
            }
            "ec2" if self.regions.is_empty() => (403, "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors></Response>".to_owned()),
            "ec2" => {
                let item = |region: &&str| format!("<item><regionName>{region}</regionName><optInStatus>opted-in</optInStatus></item>");
                let items: String = self.regions.iter().map(item).collect();
                (200, format!("<DescribeRegionsResponse><regionInfo>{items}</regionInfo></DescribeRegionsResponse>"))
            }
            "sts" if body.contains("GetCallerIdentity") => (200, format!("<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Arn>arn:aws:iam::{OWN}:user/auditor</Arn><Account>{OWN}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>")),
            _ => match self.accounts.get(region.as_str()) {
                Some(address) => return forwarded(address, &request.raw),
                None => (denied.0, denied.1.to_string()),
            },
        };
        http(status, &text, None)
    }
}

fn http(status: u16, body: &str, error: Option<&str>) -> Vec<u8> {
    let error = error.map_or_else(String::new, |code| format!("x-amzn-errortype: {code}\r\n"));
    format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\n{error}\r\n{body}", body.len()).into_bytes()
}

/// The answer of the server at `address` to a request.
fn forwarded(address: &str, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(request).expect("it is sent");
    let mut reader = BufReader::new(stream);
    let (mut raw, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        raw.extend(line.bytes());
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    raw.extend(body);
    raw
}

/// An account with a key under [`ALIAS`] and these streams, none of them encrypted.
fn account(region: &str, id: &str, streams: &[&str]) -> Account {
    let account = Account::new(Clock::system(), region, id);
    let key = account.create_key();
    account.alias(ALIAS, &key);
    for stream in streams {
        account.stream(NewStream::named(stream));
    }
    account
}

/// The address that the account is served on.
fn address(account: &Account) -> String {
    let (_, url) = served(account).into_iter().find(|(name, _)| *name == "AWS_ENDPOINT_URL").expect("an endpoint");
    url.strip_prefix("http://").expect("HTTP").to_owned()
}

/// The answer of `GetFunctionConfiguration` of a function in `region` with these variables.
fn function(region: &str, variables: &Value) -> (u16, Value) {
    let arn = format!("arn:aws:lambda:{region}:{OWN}:function:enforcer");
    (200, json!({"FunctionArn": arn, "Role": ROLE, "Environment": {"Variables": variables}}))
}

/// The status of each stream in a plan as JSON, with its account and Region.
fn statuses(plan: &str) -> Vec<String> {
    let start = plan.find('{').expect("JSON");
    let plan: Value =
        serde_json::Deserializer::from_str(&plan[start..]).into_iter().next().expect("a value").expect("JSON");
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let line =
        |row: &Value| [&row["account"], &row["region"], &row["stream"], &row["outcome"]["status"]].map(text).join(" ");
    plan["streams"].as_array().expect("streams").iter().map(line).collect()
}

fn with(variables: &[(&'static str, String)], more: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    variables.iter().cloned().chain(more.iter().map(|(name, value)| (*name, (*value).to_owned()))).collect()
}

#[test]
fn with_function_the_settings_are_those_of_the_deployed_function_and_nothing_else_of_its_environment_is_used() {
    let own = account("us-east-1", OWN, &["orders", "vendor-feed"]);
    let rules = r#"{"version": 1, "rules": [{"name": "vendors", "match": {"stream": "vendor-*"}, "mode": "exempt", "reason": "no KMS"}]}"#;
    let hostile = json!({
        "KMS_KEY_ID": ALIAS, "POLICY": rules,
        "PATH": "/hostile", "LD_PRELOAD": "/hostile.so", "AWS_ACCESS_KEY_ID": "AKIAHOSTILE",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ENDPOINT_URL_KINESIS": "http://127.0.0.1:9",
        "AWS_REGION": "eu-west-1", "HTTPS_PROXY": "http://127.0.0.1:9", "kms_key_id": "alias/other",
    });
    let accounts = BTreeMap::from([("us-east-1", address(&own))]);
    let functions = BTreeMap::from([
        (("us-east-1", "enforcer"), function("us-east-1", &hostile)),
        (("us-east-1", "enforcer?Qualifier=live"), function("us-east-1", &hostile)),
        (("us-east-1", "enforcer?Qualifier=%24LATEST"), function("us-east-1", &hostile)),
    ]);
    let variables = Front { accounts, functions, ..Front::default() }.served();
    // What the terminal has set is left out, even where the function sets nothing.
    let variables = with(&variables, &[("KMS_KEY_ID", "alias/of-the-terminal"), ("ENFORCEMENT_MODE", "sometimes")]);
    let expected = ["111122223333 us-east-1 orders would-encrypt", "111122223333 us-east-1 vendor-feed exempt"];
    let arn = "arn:aws:lambda:us-east-1:111122223333:function:enforcer:live";
    for name in ["enforcer", "enforcer:live", "enforcer:$LATEST", arn] {
        let (code, told) = enforcer(&["plan", "--function", name, "--json"], &variables);
        assert_eq!((code, statuses(&told)), (Some(3), expected.map(str::to_owned).into()), "{name}: {told}");
        let note = format!(
            "using the settings of the function {} of account {OWN} in us-east-1\n",
            name.replace("arn:aws:lambda:us-east-1:111122223333:function:", "")
        );
        assert!(told.contains(&note), "{told}");
    }
    assert!(own.calls().iter().all(|call| call.access_key == "AKIAIOSFODNN7EXAMPLE"));

    // Options win over the function, and the other commands speak for it, too.
    let (code, told) = enforcer(&["plan", "--function", "enforcer", "--key", "alias/none", "orders"], &variables);
    assert!(code == Some(1) && told.contains("alias/none"), "{code:?} {told}");
    let event = concat!(env!("CARGO_MANIFEST_DIR"), "/events/manual-stream.json");
    let (code, told) = enforcer(&["event", event, "--dry-run", "--function", "enforcer"], &variables);
    assert!(code == Some(3) && told.contains("would-encrypt"), "{code:?} {told}");
    let (code, told) = enforcer(&["dlq", "list", "--function", "enforcer"], &variables);
    assert!(code == Some(2) && told.contains("the function enforcer has no dead-letter queue"), "{code:?} {told}");
    let (code, told) = enforcer(&["report", "--function", "enforcer", "--format", "csv"], &variables);
    assert!(code == Some(0) && told.contains("vendor-feed"), "{code:?} {told}");
    let (code, told) = enforcer(&["apply", "--function", "enforcer", "--yes"], &variables);
    assert!(code == Some(0) && told.contains("encrypted 1 of 1 stream"), "{code:?} {told}");
}

#[test]
fn the_dead_letter_queue_is_that_of_the_function() {
    let own = account("eu-west-1", OWN, &[]);
    let queue = own.queue("dead");
    own.send("dead", "not even JSON");
    let functions = BTreeMap::from([(
        ("eu-west-1", "enforcer"),
        function("eu-west-1", &json!({"KMS_KEY_ID": ALIAS, "FAILURE_QUEUE_URL": queue})),
    )]);
    let accounts = BTreeMap::from([("eu-west-1", address(&own))]);
    let variables = Front { accounts, functions, ..Front::default() }.served();
    let arn = "arn:aws:lambda:eu-west-1:111122223333:function:enforcer";
    let (code, told) = enforcer(&["dlq", "list", "--function", arn], &variables);
    assert!(code == Some(0) && told.contains("1 message"), "{code:?} {told}");
    for arguments in [&["dlq", "list"][..], &["plan"], &["plan", "--region", "eu-west-1"]] {
        let arguments = [arguments, &["--region", "us-east-1", "--function", arn]].concat();
        let (code, told) = enforcer(&arguments, &variables);
        assert!(
            code == Some(2) && (told.contains("is in eu-west-1") || told.contains("cannot be used multiple")),
            "{code:?} {told}"
        );
    }
}

#[test]
fn a_function_whose_settings_cannot_be_used_is_told_by_its_reason() {
    let variables = json!({"KMS_KEY_ID": ALIAS});
    let encrypted = json!({
        "FunctionArn": "arn:aws:lambda:us-east-1:111122223333:function:encrypted", "Role": ROLE,
        "KMSKeyArn": "arn:aws:kms:us-east-1:111122223333:key/1234",
        "Environment": {"Error": {"ErrorCode": "AccessDeniedException", "Message": "kms:Decrypt\u{1b}[2J"}},
    });
    let functions = BTreeMap::from([
        (("us-east-1", "denied"), (403, json!({"Message": "not authorized"}))),
        (("us-east-1", "encrypted"), (200, encrypted)),
        (("us-east-1", "other"), function("us-east-1", &json!({"TABLE": "orders", "PATH": "/bin"}))),
        (("us-east-1", "bare"), (200, json!({"FunctionArn": "arn:aws:lambda:us-east-1:111122223333:function:bare"}))),
        (("us-east-1", "wrong"), function("us-east-1", &json!({"KMS_KEY_ID": "orders\u{1b}[2J"}))),
        (("us-east-1", "audit"), function("us-east-1", &json!({"KMS_KEY_ID": ALIAS, "ENFORCEMENT_MODE": "audit"}))),
        (("us-east-1", "enforcer"), function("us-east-1", &variables)),
    ]);
    let front = Front { functions, ..Front::default() };
    let asked = Arc::clone(&front.asked);
    let variables = front.served();
    let elsewhere = "arn:aws:lambda:us-east-1:999988887777:function:enforcer";
    for (command, name, parts) in [
        ("plan", "nothing", ["there is no function nothing in us-east-1", "remedy: check its name"]),
        ("plan", "denied", ["AccessDeniedException", "lambda:GetFunctionConfiguration"]),
        (
            "plan",
            "encrypted",
            [
                "kms:Decrypt<U+001B>[2J",
                "remedy: allow your user or role kms:Decrypt on the key arn:aws:kms:us-east-1:111122223333:key/1234",
            ],
        ),
        ("plan", "other", ["is not an enforcer", "KMS_KEY_ID"]),
        ("plan", "bare", ["is not an enforcer", "KMS_KEY_ID"]),
        ("plan", "wrong", ["the settings of the function wrong are wrong", "KMS_KEY_ID cannot be used"]),
        ("plan", elsewhere, ["is in the account 999988887777", "--profile"]),
        ("apply", "audit", ["ENFORCEMENT_MODE of the function audit in us-east-1 is audit", "enforcer plan"]),
    ] {
        let (code, told) = enforcer(&[command, "--function", name], &variables);
        assert!(code == Some(2) && parts.iter().all(|part| told.contains(part)), "{name}: {code:?} {told}");
        assert!(!told.contains('\u{1b}'), "{told}");
    }
    asked.lock().expect("no panic").clear();
    for name in ["a b", "../enforcer", "arn:aws:sqs:us-east-1:111122223333:enforcer"] {
        let (code, told) = enforcer(&["plan", "--function", name], &variables);
        assert!(
            code == Some(2) && told.contains("specify the name or the ARN of a Lambda function"),
            "{code:?} {told}"
        );
    }
    assert_eq!(*asked.lock().expect("no panic"), [""; 0]);
}

#[test]
fn all_regions_are_those_that_the_account_has_enabled_and_one_that_is_denied_does_not_take_the_others_along() {
    let (virginia, ireland) =
        (account("us-east-1", OWN, &["orders"]), account("eu-west-1", OWN, &["clicks", "orders"]));
    let accounts = BTreeMap::from([("us-east-1", address(&virginia)), ("eu-west-1", address(&ireland))]);
    let rules = r#"{"version": 1, "rules": [{"name": "orders", "match": {"stream": "orders"}, "mode": "exempt", "reason": "no KMS"}]}"#;
    let functions = BTreeMap::from([
        (("us-east-1", "enforcer"), function("us-east-1", &json!({"KMS_KEY_ID": ALIAS}))),
        (("eu-west-1", "enforcer"), function("eu-west-1", &json!({"KMS_KEY_ID": ALIAS, "POLICY": rules}))),
    ]);
    let regions = vec!["us-east-1", "ap-south-1", "eu-west-1"];
    let variables = Front { accounts: accounts.clone(), functions, regions, ..Front::default() }.served();
    let run = |arguments: &[&str]| enforcer(&[arguments, &["--region", "all"]].concat(), &variables);
    let places = |told: &str| -> Value {
        let start = told.find('{').expect("JSON");
        serde_json::Deserializer::from_str(&told[start..]).into_iter().next().expect("a value").expect("JSON")
    };

    let (code, told) = run(&["plan", "--key", ALIAS]);
    let total = "3 streams in 2 accounts or Regions: 3 to encrypt; 1 Region failed\n";
    assert!(code == Some(1) && told.starts_with(total), "{code:?} {told}");

    let (code, told) = run(&["plan", "--key", ALIAS, "--json"]);
    let expected = [
        "111122223333 eu-west-1 clicks would-encrypt",
        "111122223333 eu-west-1 orders would-encrypt",
        "111122223333 us-east-1 orders would-encrypt",
    ];
    assert_eq!((code, statuses(&told)), (Some(1), expected.map(str::to_owned).into()), "{told}");
    let failed = &places(&told)["failedRegions"];
    assert_eq!((failed.as_array().map(Vec::len), &failed[0]["region"]), (Some(1), &json!("ap-south-1")), "{told}");
    assert!(failed[0]["error"].as_str().is_some_and(|error| error.contains("service control policy")), "{told}");

    // Each Region has its own function of the name.
    let (code, told) = run(&["plan", "--function", "enforcer", "--json"]);
    let expected = [expected[0], "111122223333 eu-west-1 orders exempt", expected[2]];
    assert_eq!((code, statuses(&told)), (Some(1), expected.map(str::to_owned).into()), "{told}");
    assert!(told.contains("there is no function enforcer in ap-south-1"), "{told}");
    let arn = "arn:aws:lambda:us-east-1:111122223333:function:enforcer";
    let (code, told) = run(&["plan", "--function", arn]);
    assert!(code == Some(2) && told.contains("is in us-east-1 and manages the streams there"), "{code:?} {told}");

    // One document says what was done in all places.
    let (code, told) = run(&["apply", "--function", "enforcer", "--yes", "--json"]);
    let done = places(&told);
    let text = |row: &Value| format!("{} {}", row["region"], row["outcome"]["status"]).replace('"', "");
    assert_eq!(
        (code, done["streams"].as_array().expect("streams").iter().map(text).collect::<Vec<_>>()),
        (Some(1), vec!["eu-west-1 encrypted".to_owned(), "us-east-1 encrypted".to_owned()]),
        "{told}"
    );
    assert_eq!((&done["failedRegions"][0]["region"], &done["notStarted"]), (&json!("ap-south-1"), &json!(0)));
    assert_eq!(ireland.snapshot("orders").and_then(|stream| stream.key_id), None);

    let denied = Front { accounts, ..Front::default() }.served();
    let (code, told) = enforcer(&["plan", "--key", ALIAS, "--region", "all"], &denied);
    assert!(
        code == Some(2)
            && told.contains("UnauthorizedOperation")
            && told.contains("allow your user or role ec2:DescribeRegions"),
        "{code:?} {told}"
    );
}

#[test]
fn a_place_without_streams_is_named_where_there_are_several() {
    let (virginia, ireland) = (account("us-east-1", OWN, &["orders"]), account("eu-west-1", OWN, &[]));
    let accounts = BTreeMap::from([("us-east-1", address(&virginia)), ("eu-west-1", address(&ireland))]);
    let variables = Front { accounts, ..Front::default() }.served();
    for (regions, is_named) in [("eu-west-1,us-east-1", true), ("eu-west-1", false), ("us-east-1", false)] {
        let (_, told) = enforcer(&["plan", "--key", ALIAS, "--region", regions], &variables);
        assert_eq!(told.contains("\nno streams: eu-west-1\n"), is_named, "{regions}: {told}");
    }
}

#[test]
fn one_prompt_names_what_would_be_encrypted_in_each_place() {
    let (virginia, ireland) =
        (account("us-east-1", OWN, &["orders"]), account("eu-west-1", OWN, &["clicks", "orders"]));
    let accounts = BTreeMap::from([("us-east-1", address(&virginia)), ("eu-west-1", address(&ireland))]);
    let variables = Front { accounts, ..Front::default() }.served();
    let (code, told) = enforcer(&["apply", "--key", ALIAS, "--region", "eu-west-1,us-east-1"], &variables);
    let prompt =
        "encrypt 2 streams of account 111122223333 in eu-west-1, 1 stream of account 111122223333 in us-east-1";
    assert!(code == Some(2) && told.contains(prompt), "{code:?} {told}");
}

#[test]
fn a_hub_covers_its_member_accounts_and_one_that_refuses_does_not_take_the_others_along() {
    let (own, member) = (account("us-east-1", OWN, &["orders"]), account("us-east-1", MEMBER, &["clicks", "orders"]));
    let other = account("us-east-1", OTHER_MEMBER, &["payments"]);
    own.admit(&member, "enforcer-member", "orders-7");
    // Its role wants another external id.
    own.admit(&other, "enforcer-member", "orders-8");
    let settings = json!({
        "KMS_KEY_ID": ALIAS, "MEMBER_ROLE_NAME": "enforcer-member", "MEMBER_ACCOUNTS": format!("{OTHER_MEMBER},{MEMBER}"),
        "MEMBER_EXTERNAL_ID": "orders-7",
    });
    let accounts = BTreeMap::from([("us-east-1", address(&own))]);
    let functions = BTreeMap::from([
        (("us-east-1", "enforcer"), function("us-east-1", &settings)),
        (("us-east-1", "single"), function("us-east-1", &json!({"KMS_KEY_ID": ALIAS}))),
    ]);
    let variables = Front { accounts, functions, ..Front::default() }.served();
    let run = |arguments: &[&str]| enforcer(&[arguments, &["--function", "enforcer"]].concat(), &variables);

    // Without the option, the account of the credentials.
    let of_own = "111122223333 us-east-1 orders would-encrypt";
    let (code, told) = run(&["plan", "--json"]);
    assert_eq!((code, statuses(&told)), (Some(3), vec![of_own.to_owned()]), "{told}");
    let (code, told) = run(&["plan", "--json", "--accounts", "all"]);
    let of_member = ["444455556666 us-east-1 clicks would-encrypt", "444455556666 us-east-1 orders would-encrypt"];
    assert_eq!(
        (code, statuses(&told)),
        (Some(1), [&[of_own], &of_member[..]].concat().iter().map(|line| (*line).to_owned()).collect()),
        "{told}"
    );
    assert!(told.contains("\"account\": \"777788889999\"") && told.contains("MemberRoleRefused"), "{told}");
    let (code, told) = run(&["plan", "--json", "--accounts", MEMBER]);
    assert_eq!((code, statuses(&told)), (Some(3), of_member.map(str::to_owned).into()), "{told}");

    let (code, told) = run(&["plan", "--accounts", "all"]);
    for part in [
        "✘ account 777788889999, us-east-1: ",
        "trust policy of the member account's role",
        "1 stream in account 111122223333, us-east-1: ",
        "2 streams in account 444455556666, us-east-1: ",
    ] {
        assert!(code == Some(1) && told.contains(part), "{part}: {code:?} {told}");
    }
    for (format, part) in [("csv", "777788889999,us-east-1,,"), ("html", "account 777788889999, us-east-1")] {
        let (code, told) = run(&["report", "--accounts", "all", "--format", format]);
        assert!(code == Some(1) && told.contains(part), "{format}: {code:?} {told}");
    }

    for (accounts, name, says) in [
        ("999988887777", "enforcer", "the settings do not cover the account 999988887777, only 111122223333, "),
        ("all", "single", "MEMBER_ACCOUNTS is not set"),
        ("4444", "enforcer", "specify an account ID of 12 digits, or all"),
    ] {
        let (code, told) = enforcer(&["plan", "--function", name, "--accounts", accounts], &variables);
        assert!(code == Some(2) && told.contains(says), "{accounts}: {code:?} {told}");
    }

    let arn = "arn:aws:kinesis:us-east-1:444455556666:stream/orders";
    let (code, told) = run(&["plan", arn]);
    assert!(code == Some(2) && told.contains("--accounts 444455556666 if it is a member account"), "{code:?} {told}");
    let (code, told) = run(&["plan", "--json", "--accounts", "all", arn, arn]);
    assert_eq!((code, statuses(&told)), (Some(1), vec![of_member[1].to_owned()]), "{told}");

    let (code, told) = run(&["apply", "--yes", "--accounts", "all"]);
    assert!(code == Some(1) && told.contains("encrypted 3 of 3 streams"), "{code:?} {told}");
    assert!(member.snapshot("clicks").is_some_and(|stream| stream.key_id.is_some()), "{told}");
    let (code, told) = run(&["apply", "--yes", "--accounts", "all", "--probe"]);
    assert!(code == Some(2) && told.contains("--probe"), "{code:?} {told}");
}

#[test]
fn streams_that_are_all_given_by_arn_are_looked_for_in_their_regions() {
    let (virginia, ireland) = (account("us-east-1", OWN, &["orders"]), account("eu-west-1", OWN, &["orders"]));
    let accounts = BTreeMap::from([("us-east-1", address(&virginia)), ("eu-west-1", address(&ireland))]);
    let variables = with(&Front { accounts, ..Front::default() }.served(), &[("AWS_REGION", "ap-south-1")]);
    let arn = |region: &str| format!("arn:aws:kinesis:{region}:{OWN}:stream/orders");
    let (virginian, irish) = (arn("us-east-1"), arn("eu-west-1"));
    let (code, told) = enforcer(&["plan", "--key", ALIAS, "--json", &irish, &virginian, &irish], &variables);
    let expected = ["111122223333 eu-west-1 orders would-encrypt", "111122223333 us-east-1 orders would-encrypt"];
    assert_eq!((code, statuses(&told)), (Some(3), expected.map(str::to_owned).into()), "{told}");
    for (arguments, says) in [
        (vec!["plan", &irish, "orders"], "is not in ap-south-1: pass --region eu-west-1"),
        (vec!["plan", &irish, "--region", "us-east-1"], "is not in us-east-1: pass --region eu-west-1"),
        (
            vec!["plan", "arn:aws:kinesis:us-east-1:999988887777:stream/orders"],
            "is not in the account 111122223333: pass --profile NAME with a profile of 999988887777, or --accounts",
        ),
    ] {
        let (code, told) = enforcer(&[arguments.as_slice(), &["--key", ALIAS]].concat(), &variables);
        assert!(code == Some(2) && told.contains(says), "{arguments:?}: {code:?} {told}");
    }
}

#[test]
fn an_impossible_region_of_the_environment_or_the_profile_is_refused_by_name_before_aws_is_asked() {
    let front = Front::default();
    let asked = Arc::clone(&front.asked);
    let variables = front.served();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config");
    std::fs::write(&file, "[profile prod]\nregion = US-EAST-1\n").expect("written");
    let file = file.to_str().expect("UTF-8");
    let without: Vec<_> = variables.iter().filter(|(name, _)| *name != "AWS_REGION").cloned().collect();
    let event = concat!(env!("CARGO_MANIFEST_DIR"), "/events/manual-stream.json");
    for (variables, says) in [
        (
            with(&variables, &[("AWS_REGION", "us-east-1a")]),
            "AWS_REGION is \"us-east-1a\": that is not the name of a Region: did you mean us-east-1?",
        ),
        (with(&without, &[("AWS_DEFAULT_REGION", "us-east1")]), "AWS_DEFAULT_REGION is \"us-east1\""),
        (
            with(&without, &[("AWS_CONFIG_FILE", file), ("AWS_PROFILE", "prod")]),
            "the region of the profile prod (AWS_PROFILE) is \"US-EAST-1\"",
        ),
    ] {
        for arguments in
            [&["plan", "--key", ALIAS][..], &["event", event, "--key", ALIAS], &["dlq", "list", "--queue", "dead"]]
        {
            let (code, told) = enforcer(arguments, &variables);
            assert!(code == Some(2) && told.contains(says), "{arguments:?}: {code:?} {told}");
        }
    }
    assert_eq!(*asked.lock().expect("no panic"), [""; 0]);
}
