//! `enforcer dlq`, run as a person runs it, on an embedded AWS that is served on loopback.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::sandbox::{Account, Fault, NewStream};
use serde_json::{Value, json};

use self::served::{enforcer, served};

mod served;

const DEAD: &str = "dead-letters";
const WORK: &str = "work";

struct Desk {
    account: Account,
    key: String,
    variables: Vec<(&'static str, String)>,
}

impl Desk {
    /// An account with a letter of every kind: diagnosed by the function, from Lambda, from a rule,
    /// from SQS, and one that nobody knows.
    fn new() -> Self {
        let account = Account::new(Clock::system(), "us-east-1", "111122223333");
        let key = account.create_key();
        let (dead, work) = (account.queue(DEAD), account.queue(WORK));
        account.stream(NewStream::named("orders"));
        for name in ["dead-letter", "on-failure-record", "work-item"] {
            account.send(DEAD, &event(name).to_string());
        }
        let rule = [
            ("RULE_ARN", "arn:aws:events:us-east-1:111122223333:rule/enforcer"),
            ("ERROR_CODE", "NO_PERMISSIONS"),
            ("ERROR_MESSAGE", "no"),
        ];
        account.send_with(DEAD, &event("encryption-stopped").to_string(), &rule);
        account.send(DEAD, "not even JSON");
        let mut variables = served(&account);
        variables.extend([("KMS_KEY_ID", key.clone()), ("FAILURE_QUEUE_URL", dead), ("WORK_QUEUE_URL", work)]);
        Self { account, key, variables }
    }

    /// `enforcer dlq` with these arguments: how it ended, and what it printed.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        enforcer(&[&["dlq"], arguments].concat(), &self.variables)
    }

    /// The bodies on a queue that can be received now.
    fn bodies(&self, queue: &str) -> Vec<Value> {
        let now = Clock::system().utc();
        let messages = self.account.messages(queue).into_iter().filter(|message| message.visible_from <= now);
        messages.map(|message| serde_json::from_str(&message.body).unwrap_or(Value::String(message.body))).collect()
    }
}

fn event(name: &str) -> Value {
    let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("an event file")).expect("JSON")
}

#[test]
fn every_kind_of_letter_is_listed_with_its_stream_code_and_remedy_and_looking_consumes_nothing() {
    let desk = Desk::new();
    let (code, listed) = desk.run(&["list", "--json"]);
    assert_eq!(code, Some(0), "{listed}");
    let letters: Vec<Value> = serde_json::from_str(&listed).expect("JSON");
    let mut rows: Vec<_> = letters
        .iter()
        .map(|letter| {
            let text = |field: &str| letter[field].as_str().unwrap_or_default().to_owned();
            let stream = text("stream").rsplit('/').next().unwrap_or_default().to_owned();
            assert!(!text("remedy").is_empty() && !text("message").is_empty(), "{letter:#}");
            (text("sender"), stream, text("code"), text("class"))
        })
        .collect();
    rows.sort();
    let row = |sender: &str, stream: &str, code: &str, class: &str| {
        (sender.to_owned(), stream.to_owned(), code.to_owned(), class.to_owned())
    };
    assert_eq!(
        rows,
        [
            row("event-bridge", "orders", "NO_PERMISSIONS", "retryable"),
            row("function", "orders", "KMSDisabledException", "terminal"),
            row("lambda", "orders", "StillUpdating", "retryable"),
            row("queue", "orders", "ReceivesExhausted", "retryable"),
            row("unknown", "", "Unknown", ""),
        ]
    );
    assert_eq!(desk.bodies(DEAD).len(), 5, "all were given back");
    let (_, table) = desk.run(&["list"]);
    assert!(table.contains("5 letters delivered by SQS") && table.contains("(whole event)"), "{table}");
}

#[test]
fn one_letter_is_shown_in_full_by_the_beginning_of_its_id() {
    let desk = Desk::new();
    let id = desk.account.messages(DEAD)[0].id.clone();
    let (code, shown) = desk.run(&["show", &id[..6]]);
    assert_eq!(code, Some(0), "{shown}");
    for part in ["written by  the function", "KMSDisabledException", "\"enforcement-failure\"", "dlq redrive"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let (code, refused) = desk.run(&["show", "zzz"]);
    assert_eq!((code, refused.contains("no letter's id begins with")), (Some(2), true), "{refused}");
    assert_eq!(desk.bodies(DEAD).len(), 5);
}

#[test]
fn a_letter_goes_to_the_work_queue_as_it_is_and_is_deleted_only_after_that() {
    let desk = Desk::new();
    let before = desk.bodies(DEAD);
    desk.account.fault(Fault::on("SendMessage").error("AccessDenied", "no"));
    let (code, said) = desk.run(&["redrive"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("0 redriven, 5 stay"), "{said}");
    assert_eq!((desk.bodies(DEAD), desk.bodies(WORK)), (before.clone(), vec![]));

    desk.account.clear_faults();
    let (code, said) = desk.run(&["redrive", "--dry-run"]);
    assert_eq!((code, desk.bodies(WORK).len(), desk.account.count("DeleteMessage")), (Some(0), 0, 0), "{said}");

    let (code, said) = desk.run(&["redrive"]);
    assert_eq!(code, Some(0), "{said}");
    let mut moved = desk.bodies(WORK);
    for letter in before {
        let at = moved.iter().position(|body| *body == letter).expect("moved as it was");
        moved.remove(at);
    }
    assert_eq!((moved, desk.bodies(DEAD)), (vec![], vec![]));
}

#[test]
fn worked_here_a_letter_is_deleted_when_its_fate_is_stored_and_stays_otherwise() {
    let desk = Desk::new();
    desk.account.fault(Fault::on("DescribeStreamSummary").error("AccessDeniedException", "no"));
    let (code, said) = desk.run(&["redrive", "--here", "--class", "terminal"]);
    assert_eq!(code, Some(0), "{said}");
    let letters = desk.bodies(DEAD);
    let newer = letters.iter().find(|letter| letter["error"]["code"] == "AccessDeniedException").expect("a new letter");
    assert_eq!((letters.len(), &newer["attempts"]), (5, &json!(2)), "{newer:#}");

    desk.account.clear_faults();
    let (code, said) = desk.run(&["redrive", "--here"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(desk.account.snapshot("orders").and_then(|stream| stream.key_id), Some(desk.key.clone()));
    // What nobody knows is lettered by the function itself.
    let left = desk.bodies(DEAD);
    assert_eq!((left.len(), &left[0]["error"]["code"]), (1, &json!("UnknownPayload")));
}

#[test]
fn a_request_that_wants_no_letter_is_not_worked_here_since_its_failure_would_be_stored_nowhere() {
    let desk = Desk::new();
    desk.account.purge(DEAD);
    desk.account.send(DEAD, &json!({"stream": "orders", "deadLetter": false}).to_string());
    let (code, said) = desk.run(&["redrive", "--here"]);
    assert_eq!((code, desk.bodies(DEAD).len()), (Some(1), 1), "{said}");
}

#[test]
fn a_batch_whose_messages_are_to_come_back_is_not_deleted() {
    let desk = Desk::new();
    desk.account.purge(DEAD);
    // Newer than this program: to be tried again by one that knows it.
    let item = json!({"version": 2, "kind": "work-item", "stream": "orders"}).to_string();
    let record = json!({"messageId": "m-1", "eventSource": "aws:sqs", "attributes": {"ApproximateReceiveCount": "1"}, "body": item});
    desk.account.send(DEAD, &json!({"Records": [record]}).to_string());
    let (code, said) = desk.run(&["redrive", "--here"]);
    assert_eq!((code, desk.bodies(DEAD).len()), (Some(1), 1), "{said}");
}

#[test]
fn purge_deletes_what_is_meant_and_nothing_without_being_told() {
    let desk = Desk::new();
    for arguments in [&["purge"][..], &["purge", "--all"]] {
        let (code, said) = desk.run(arguments);
        assert_eq!((code, desk.bodies(DEAD).len()), (Some(2), 5), "{said}");
    }
    let (code, said) = desk.run(&["purge", "--code", "NO_PERMISSIONS", "--yes"]);
    assert_eq!((code, desk.bodies(DEAD).len()), (Some(0), 4), "{said}");
    let (_, said) = desk.run(&["purge", "--older-than", "1h", "--yes"]);
    assert_eq!(desk.bodies(DEAD).len(), 4, "{said}");
    let (_, said) = desk.run(&["purge", "--stream", "orders", "--yes"]);
    assert_eq!(desk.bodies(DEAD), [json!("not even JSON")], "{said}");
}

#[test]
fn a_queue_that_is_missing_is_said_so() {
    let mut desk = Desk::new();
    desk.variables.retain(|(name, _)| *name != "FAILURE_QUEUE_URL");
    let (code, said) = desk.run(&["list"]);
    assert_eq!((code, said.contains("give --queue URL, or set FAILURE_QUEUE_URL")), (Some(2), true), "{said}");
    let (code, said) = desk.run(&["list", "--queue", "https://sqs.us-east-1.amazonaws.com/111122223333/nothing"]);
    assert_eq!(
        (code, said.contains("QueueDoesNotExist") || said.contains("NonExistentQueue")),
        (Some(2), true),
        "{said}"
    );
}

#[test]
fn a_class_that_is_none_is_refused() {
    let (code, told) = Desk::new().run(&["list", "--class", "terminable"]);
    assert!(code == Some(2) && told.contains("retryable, terminal, contested"), "{code:?} {told}");
}
