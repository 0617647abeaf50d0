//! `enforcer dlq`, run as a process, on a sandbox that is served on loopback.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::sandbox::{Account, Fault, NewStream};
use serde_json::{Value, json};

use self::served::{enforcer, served};

mod served;

const DEAD: &str = "dead-dead_letters";
const WORK: &str = "work";

struct Setup {
    account: Account,
    key: String,
    variables: Vec<(&'static str, String)>,
}

impl Setup {
    /// An account with a dead letter of every sender: the function, Lambda, a rule, SQS, and an
    /// unknown one.
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

    /// Runs `enforcer dlq` with these arguments: its exit code, and what it printed.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        enforcer(&[&["dlq"], arguments].concat(), &self.variables)
    }

    /// Starts `enforcer dlq` at a terminal.
    #[cfg(target_os = "linux")]
    fn at_a_terminal(&self, arguments: &str) -> std::process::Child {
        use std::process::{Command, Stdio};

        Command::new("script")
            .args(["-qec", &format!("'{}' dlq {arguments}", env!("CARGO_BIN_EXE_enforcer")), "/dev/null"])
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script, of util-linux")
    }

    /// Runs `enforcer dlq` at a terminal, on which `typed` is typed.
    #[cfg(target_os = "linux")]
    fn run_at_a_terminal(&self, arguments: &str, typed: &str) -> (Option<i32>, String) {
        use std::io::Write;

        let mut script = self.at_a_terminal(arguments);
        let mut keyboard = script.stdin.take().expect("a pipe");
        keyboard.write_all(typed.as_bytes()).expect("typed");
        let output = script.wait_with_output().expect("an end");
        drop(keyboard);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The bodies of the visible messages on a queue.
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
fn dead_letters_of_every_sender_are_listed_and_stay_visible() {
    let setup = Setup::new();
    let (code, listed) = setup.run(&["list", "--json"]);
    assert_eq!(code, Some(0), "{listed}");
    let dead_letters: Vec<Value> = serde_json::from_str(&listed).expect("JSON");
    let mut rows: Vec<_> = dead_letters
        .iter()
        .map(|dead_letter| {
            let text = |field: &str| dead_letter[field].as_str().unwrap_or_default().to_owned();
            let stream = text("stream").rsplit('/').next().unwrap_or_default().to_owned();
            assert!(!text("remedy").is_empty() && !text("message").is_empty(), "{dead_letter:#}");
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
    assert_eq!(setup.bodies(DEAD).len(), 5, "all are visible again");
    let (_, table) = setup.run(&["list"]);
    assert!(table.contains("5 messages received") && table.contains("(whole event)"), "{table}");
}

#[test]
fn a_dead_letter_is_shown_in_full_by_the_first_characters_of_its_id() {
    let setup = Setup::new();
    let id = setup.account.messages(DEAD)[0].id.clone();
    let (code, shown) = setup.run(&["show", &id[..6]]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("\nrequest     "), "{shown}");
    for part in ["written by  the function", "KMSDisabledException", "\"enforcement-failure\"", "dlq redrive"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let again = format!("enforcer dlq redrive {} --queue {DEAD} --region us-east-1\n", &id[..8]);
    let (_, shown) = setup.run(&["show", &id[..6], "--queue", DEAD, "--region", "us-east-1"]);
    assert!(shown.ends_with(&again), "{again}: {shown}");
    let (code, refused) = setup.run(&["show", "zzz"]);
    assert_eq!((code, refused.contains("no message has an ID that starts with")), (Some(2), true), "{refused}");
    assert_eq!(setup.bodies(DEAD).len(), 5);
}

#[test]
fn a_dead_letter_is_sent_to_the_work_queue_unchanged_and_deleted_only_after_that() {
    let setup = Setup::new();
    let before = setup.bodies(DEAD);
    setup.account.fault(Fault::on("SendMessage").error("AccessDenied", "no"));
    let (code, printed) = setup.run(&["redrive", "--yes"]);
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("redrove 0 messages, 5 left"), "{printed}");
    assert_eq!((setup.bodies(DEAD), setup.bodies(WORK)), (before.clone(), vec![]));

    setup.account.clear_faults();
    let (code, printed) = setup.run(&["redrive", "--dry-run"]);
    assert_eq!((code, setup.bodies(WORK).len(), setup.account.count("DeleteMessage")), (Some(0), 0, 0), "{printed}");

    let (code, printed) = setup.run(&["redrive", "--yes"]);
    assert_eq!(code, Some(0), "{printed}");
    let mut moved = setup.bodies(WORK);
    for dead_letter in before {
        let at = moved.iter().position(|body| *body == dead_letter).expect("the unchanged body");
        moved.remove(at);
    }
    assert_eq!((moved, setup.bodies(DEAD)), (vec![], vec![]));
}

#[test]
fn a_message_that_may_have_been_sent_is_not_sent_again() {
    for fault in [
        Fault::on("SendMessage").answer_lost(),
        Fault::on("SendMessage").answer_garbled(),
        Fault::on("SendMessage").error("InternalFailure", "no"),
    ] {
        let setup = Setup::new();
        setup.account.fault(fault);
        let (code, printed) = setup.run(&["redrive", "--code", "NO_PERMISSIONS", "--to", WORK]);
        assert_eq!((code, setup.account.count("SendMessage")), (Some(1), 1), "{printed}");
        assert!(
            printed.contains("may have been sent: check the queue before you redrive it again")
                && !printed.contains("it is retried"),
            "{printed}"
        );
        assert_eq!(setup.bodies(DEAD).len(), 5, "{printed}");
    }
}

#[test]
fn a_message_that_sqs_certainly_refused_for_now_is_sent_again() {
    let setup = Setup::new();
    setup.account.fault(Fault::on("SendMessage").nth(1..=2).error("RequestThrottled", "slow down"));
    let (code, printed) = setup.run(&["redrive", "--code", "NO_PERMISSIONS", "--to", WORK]);
    assert_eq!((code, setup.account.count("SendMessage"), setup.bodies(WORK).len()), (Some(0), 3, 1), "{printed}");
}

#[test]
fn a_dead_letter_that_is_processed_here_is_deleted_only_if_its_result_is_stored() {
    let setup = Setup::new();
    setup.account.fault(Fault::on("DescribeStreamSummary").error("AccessDeniedException", "no"));
    let (code, printed) = setup.run(&["redrive", "--here", "--class", "terminal"]);
    assert_eq!(code, Some(1), "{printed}");
    assert!(
        printed.contains("✘")
            && printed.contains("orders: 1 failed, and is a new dead letter now: ")
            && !printed.contains("✔"),
        "{printed}"
    );
    assert!(printed.contains("redrove 0 messages, 1 came back, 0 left"), "{printed}");
    let dead_letters = setup.bodies(DEAD);
    let newer = dead_letters
        .iter()
        .find(|dead_letter| dead_letter["error"]["code"] == "AccessDeniedException")
        .expect("a new dead letter");
    assert_eq!((dead_letters.len(), &newer["attempts"]), (5, &json!(2)), "{newer:#}");

    setup.account.clear_faults();
    let (code, printed) = setup.run(&["redrive", "--here", "--yes"]);
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("redrove 4 messages, 1 came back, 0 left"), "{printed}");
    assert_eq!(setup.account.snapshot("orders").and_then(|stream| stream.key_id), Some(setup.key.clone()));
    // The function sends a dead letter of its own for a message that it does not understand.
    let left = setup.bodies(DEAD);
    assert_eq!((left.len(), &left[0]["error"]["code"]), (1, &json!("UnknownPayload")));
}

#[test]
fn a_request_without_a_dead_letter_is_not_processed_here_because_its_failure_would_be_lost() {
    let setup = Setup::new();
    setup.account.purge(DEAD);
    setup.account.send(DEAD, &json!({"stream": "orders", "deadLetter": false}).to_string());
    let (code, printed) = setup.run(&["redrive", "--here", "--yes"]);
    assert_eq!((code, setup.bodies(DEAD).len()), (Some(1), 1), "{printed}");
}

#[test]
fn a_batch_with_messages_to_retry_is_not_deleted() {
    let setup = Setup::new();
    setup.account.purge(DEAD);
    // The version is newer than this program: only a newer one can process the message.
    let item = json!({"version": 2, "kind": "work-item", "stream": "orders"}).to_string();
    let record = json!({"messageId": "m-1", "eventSource": "aws:sqs", "attributes": {"ApproximateReceiveCount": "1"}, "body": item});
    setup.account.send(DEAD, &json!({"Records": [record]}).to_string());
    let (code, printed) = setup.run(&["redrive", "--here", "--yes"]);
    assert_eq!((code, setup.bodies(DEAD).len()), (Some(1), 1), "{printed}");
}

#[test]
fn a_dead_letter_of_another_version_is_named_and_not_touched() {
    let setup = Setup::new();
    setup.account.purge(DEAD);
    let mut newer = event("dead-letter");
    newer["version"] = json!(2);
    let mut inside = event("on-failure-record");
    inside["requestPayload"] = newer.clone();
    let item = json!({"version": 7, "kind": "work-item", "stream": "orders"});
    let mut without = event("dead-letter");
    without.as_object_mut().expect("an object").remove("version");
    let all = [&newer, &inside, &item, &without];
    for body in all {
        setup.account.send(DEAD, &body.to_string());
    }
    setup.account.send(DEAD, &event("dead-letter").to_string());
    for arguments in [&["redrive", "--yes", "--here"][..], &["redrive", "--yes"]] {
        let (code, printed) = setup.run(arguments);
        assert_eq!(code, Some(1), "{printed}");
        for version in ["version 2", "version 7", "no version"] {
            assert!(printed.contains(version), "{version}: {printed}");
        }
        let left = setup.bodies(DEAD);
        assert!(left.len() == 4 && all.iter().all(|body| left.contains(body)), "{printed}");
    }
    assert_eq!(setup.bodies(WORK), Vec::<Value>::new());
}

#[test]
fn a_queue_is_named_by_its_name_its_url_or_its_arn() {
    let mut setup = Setup::new();
    let url = setup.variables.iter().find(|(name, _)| *name == "FAILURE_QUEUE_URL").expect("the queue").1.clone();
    setup.variables.retain(|(name, _)| !name.ends_with("_QUEUE_URL"));
    let arn = |region: &str, name: &str| format!("arn:aws:sqs:{region}:111122223333:{name}");
    for queue in [DEAD, &url, &arn("us-east-1", DEAD)] {
        let (code, printed) = setup.run(&["list", "--queue", queue]);
        assert!(code == Some(0) && printed.contains("5 messages received"), "{queue}: {code:?} {printed}");
    }
    for (queue, says) in [
        ("nothing", "NonExistentQueue"),
        ("not a queue", "is not the name, the URL or the ARN of an SQS queue"),
        ("arn:aws:sns:us-east-1:111122223333:topic", "is not the name, the URL or the ARN of an SQS queue"),
    ] {
        let (code, printed) = setup.run(&["list", "--queue", queue]);
        assert!(code == Some(2) && printed.contains(says), "{queue}: {code:?} {printed}");
    }
    let (code, printed) = setup.run(&["list", "--region", "us-east-1", "--queue", &arn("eu-west-1", DEAD)]);
    assert!(code == Some(2) && printed.contains("is in eu-west-1: pass --region eu-west-1"), "{code:?} {printed}");
    let (code, printed) = setup.run(&["redrive", "--queue", DEAD, "--to", WORK, "--code", "StillUpdating"]);
    assert_eq!((code, setup.bodies(WORK).len()), (Some(0), 1), "{printed}");
}

#[test]
fn a_filter_that_matches_nothing_says_what_is_there() {
    let setup = Setup::new();
    for (arguments, says) in [
        (&["redrive", "--code", "KMSDisabledExcepton"][..], "Unknown (did you mean KMSDisabledException?)"),
        (
            &["redrive", "--here", "--stream", "oders"],
            "5 messages: --stream oders: the streams are (whole event), orders (did you mean orders?)",
        ),
        (&["list", "--class", "contested"], "the classes are retryable, terminal"),
        (&["list", "--json", "zzz"], "no message has an ID that starts with zzz"),
        (&["purge", "--yes", "--older-than", "7d"], "the oldest message is"),
        (&["list", "--class", "terminal", "--code", "StillUpdating"], "none matches all of them"),
    ] {
        let (code, printed) = setup.run(arguments);
        assert!(code == Some(1) && printed.contains(says), "{arguments:?}: {code:?} {printed}");
        assert_eq!(printed.matches("error:").count(), 1, "{printed}");
    }
    assert_eq!((setup.bodies(DEAD).len(), setup.bodies(WORK).len()), (5, 0));
    setup.account.purge(DEAD);
    setup.account.send(DEAD, &event("dead-letter").to_string());
    let (_, printed) = setup.run(&["list", "--code", "Throttled"]);
    assert!(printed.contains("the code is KMSDisabledException"), "{printed}");
    // There is nothing to filter.
    setup.account.purge(DEAD);
    let (code, printed) = setup.run(&["redrive", "--code", "KMSDisabledException"]);
    assert_eq!(code, Some(0), "{printed}");
}

#[test]
fn messages_are_not_redriven_onto_the_queue_that_they_come_from() {
    let setup = Setup::new();
    let of_account = format!("arn:aws:sqs:us-east-1:111122223333:{DEAD}");
    for queue in [DEAD, &of_account] {
        for more in [&["--yes"][..], &["--dry-run"]] {
            let (code, printed) = setup.run(&[&["redrive", "--to", queue], more].concat());
            let says =
                format!("{DEAD} is the dead-letter queue that the messages are on: pass the work queue with --to");
            assert!(code == Some(2) && printed.contains(&says), "{queue}: {code:?} {printed}");
        }
    }
    assert_eq!((setup.bodies(DEAD).len(), setup.account.count("SendMessage")), (5, 0));
}

#[test]
#[cfg(target_os = "linux")]
fn a_declined_prompt_says_that_nothing_was_done_and_ends_with_1() {
    let setup = Setup::new();
    for (arguments, says) in [
        ("redrive", "nothing was redriven"),
        ("redrive --here", "nothing was redriven"),
        ("purge --all", "nothing was deleted"),
    ] {
        let (code, printed) = setup.run_at_a_terminal(arguments, "n\n");
        assert!(code == Some(1) && printed.contains(says), "{arguments}: {code:?} {printed}");
    }
    assert_eq!((setup.bodies(DEAD).len(), setup.bodies(WORK).len()), (5, 0));
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_shows_what_is_waited_for_and_clears_it_before_a_warning() {
    use std::io::{Read, Write};

    let mut setup = Setup::new();
    setup.variables.push(("TERM", "xterm".to_owned()));
    setup.account.stream(NewStream::named("slow").updating_for(std::time::Duration::from_secs(3)));
    setup.account.send(DEAD, &json!({"stream": "slow"}).to_string());
    let mut script = setup.at_a_terminal("redrive --here --stream slow");
    let (mut keyboard, mut screen) = (script.stdin.take().expect("a pipe"), script.stdout.take().expect("a pipe"));
    let (mut printed, mut bytes) = (String::new(), [0; 1_024]);
    let mut is_interrupted = false;
    loop {
        let count = screen.read(&mut bytes).expect("it prints");
        if count == 0 {
            break;
        }
        printed.push_str(&String::from_utf8_lossy(&bytes[..count]));
        if !is_interrupted && printed.contains("s), 1 of 1 message") {
            keyboard.write_all(b"\x03").expect("Ctrl-C");
            is_interrupted = true;
        }
    }
    script.wait().expect("it ends");
    assert!(printed.contains("reading the dead-letter queue (1 s)"), "{printed}");
    assert!(printed.contains("\r\u{1b}[2Kwarning: interrupted"), "{printed:?}");
}

#[test]
fn purge_deletes_the_selected_messages_and_none_without_a_filter_and_a_confirmation() {
    let setup = Setup::new();
    for arguments in [&["purge"][..], &["purge", "--all"]] {
        let (code, printed) = setup.run(arguments);
        assert_eq!((code, setup.bodies(DEAD).len()), (Some(2), 5), "{printed}");
    }
    let (code, printed) = setup.run(&["purge", "--code", "NO_PERMISSIONS", "--yes"]);
    assert_eq!((code, setup.bodies(DEAD).len()), (Some(0), 4), "{printed}");
    let (_, printed) = setup.run(&["purge", "--older-than", "1h", "--yes"]);
    assert_eq!(setup.bodies(DEAD).len(), 4, "{printed}");
    let (_, printed) = setup.run(&["purge", "--stream", "orders", "--yes"]);
    assert_eq!(setup.bodies(DEAD), [json!("not even JSON")], "{printed}");
}

#[test]
fn a_missing_queue_is_reported() {
    let mut setup = Setup::new();
    setup.variables.retain(|(name, _)| *name != "FAILURE_QUEUE_URL");
    let (code, printed) = setup.run(&["list"]);
    assert_eq!(
        (code, printed.contains("pass --queue QUEUE, pass --function NAME, or set FAILURE_QUEUE_URL")),
        (Some(2), true),
        "{printed}"
    );
    let (code, printed) = setup.run(&["list", "--queue", "https://sqs.us-east-1.amazonaws.com/111122223333/nothing"]);
    assert_eq!(
        (code, printed.contains("QueueDoesNotExist") || printed.contains("NonExistentQueue")),
        (Some(2), true),
        "{printed}"
    );
}

#[test]
fn an_unknown_class_is_refused() {
    let (code, printed) = Setup::new().run(&["list", "--class", "terminable"]);
    assert!(code == Some(2) && printed.contains("retryable, terminal, contested"), "{code:?} {printed}");
}

/// A message on the dead-letter queue of Lambda's asynchronous invocation:
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html#invocation-dlq>.
#[test]
fn an_event_that_lambda_discarded_is_shown_with_its_error_and_redriven_as_the_event() {
    let setup = Setup::new();
    setup.account.purge(DEAD);
    let failed = format!(
        r#"{{"summary":{{"failed":1}},"outcomes":[{{"status":"failed","error":{{"step":"start-encryption","code":"AccessDeniedException","class":"terminal","message":"orders: \"no\"","remedy":"Allow it.","chain":"{}"}}}}]}}"#,
        "x".repeat(2_000)
    );
    // Lambda keeps the first kilobyte.
    let cut = &failed[..1_024];
    for (status, message) in [
        ("200", "Task timed out after 60.00 seconds"),
        ("200", &failed),
        ("200", cut),
        ("429", "Rate Exceeded."),
        ("200", "RequestId: 7654 Error: Runtime exited with error: signal: killed"),
        ("500", ""),
    ] {
        let attributes = [("RequestID", "76542528-a6bd-584f-b0fc-37e8f26f2e14"), ("ErrorCode", status)];
        let message = [("ErrorMessage", message)];
        let attributes = [&attributes[..], if message[0].1.is_empty() { &[] } else { &message }].concat();
        setup.account.send_with(DEAD, &event("encryption-stopped").to_string(), &attributes);
    }
    let (code, listed) = setup.run(&["list", "--json"]);
    assert_eq!(code, Some(0), "{listed}");
    let dead_letters: Vec<Value> = serde_json::from_str(&listed).expect("JSON");
    let mut rows: Vec<_> = dead_letters
        .iter()
        .map(|dead_letter| {
            let text = |field: &str| dead_letter[field].as_str().unwrap_or_default();
            assert_eq!(text("sender"), "lambda", "{dead_letter:#}");
            assert!(text("stream").ends_with("orders") && !text("remedy").is_empty(), "{dead_letter:#}");
            (text("code"), text("class"), text("message"))
        })
        .collect();
    rows.sort_unstable();
    assert_eq!(
        rows,
        [
            ("AccessDeniedException", "terminal", "orders: \"no\""),
            ("AccessDeniedException", "terminal", "orders: \"no\""),
            ("InvocationFailed", "retryable", "RequestId: 7654 Error: Runtime exited with error: signal: killed"),
            ("InvocationFailed", "retryable", "the invocation failed with HTTP status 500"),
            ("Throttled", "retryable", "Rate Exceeded."),
            ("Timeout", "retryable", "Task timed out after 60.00 seconds"),
        ]
    );
    let (_, shown) = setup.run(&["show", dead_letters[0]["id"].as_str().unwrap_or_default()]);
    for part in
        ["Lambda, after its retries", "attribute   RequestID = 7654", "\nrequest     76542528-a6bd-584f-b0fc-37e8"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let (code, printed) = setup.run(&["redrive", "--code", "Timeout"]);
    assert_eq!((code, setup.bodies(WORK)), (Some(0), vec![event("encryption-stopped")]), "{printed}");
    let (code, printed) = setup.run(&["redrive", "--here", "--yes"]);
    assert_eq!((code, setup.bodies(DEAD)), (Some(0), vec![]), "{printed}");
    assert_eq!(setup.account.snapshot("orders").and_then(|stream| stream.key_id), Some(setup.key.clone()));
}

#[test]
fn a_redrive_without_a_filter_needs_a_confirmation() {
    let setup = Setup::new();
    for (arguments, says) in [
        (&["redrive"][..], "pass --yes to send 5 messages to the queue work"),
        (&["redrive", "--here"], "pass --yes to process 5 messages here"),
    ] {
        let (code, printed) = setup.run(arguments);
        assert!(code == Some(2) && printed.contains(says), "{code:?} {printed}");
    }
    assert_eq!((setup.bodies(DEAD).len(), setup.bodies(WORK).len()), (5, 0));
    let (code, printed) = setup.run(&["redrive", "--rate", "0", "--yes"]);
    assert!(code == Some(2) && printed.contains("specify a whole number from 1 to 100"), "{code:?} {printed}");
}

#[test]
fn a_long_redrive_says_how_far_it_is_and_keeps_to_its_rate() {
    let setup = Setup::new();
    setup.account.purge(DEAD);
    for _ in 0..101 {
        setup.account.send(DEAD, &event("work-item").to_string());
    }
    let begun = Clock::system().wall();
    let (code, printed) = setup.run(&["redrive", "--yes", "--rate", "100"]);
    let took = Clock::system().wall().duration_since(begun).expect("time passes");
    assert_eq!((code, setup.bodies(WORK).len(), setup.bodies(DEAD).len()), (Some(0), 101, 0), "{printed}");
    assert!(printed.contains("redriving: 100 of 101 messages"), "{printed}");
    assert!(took >= std::time::Duration::from_secs(1), "{took:?}");
}

#[test]
#[cfg(unix)]
fn an_interrupted_redrive_finishes_its_message_and_leaves_the_others_visible() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};

    let setup = Setup::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_enforcer"))
        .args(["dlq", "redrive", "--yes", "--rate", "1"])
        .env_clear()
        .envs(setup.variables.iter().map(|(name, value)| (*name, value.as_str())))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("it redrives");
    assert!(line.contains("sent to work"), "{line}");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill").success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("it ends");
    assert_eq!(child.wait().expect("it ends").code(), Some(130), "{rest}");
    let (moved, left) = (setup.bodies(WORK).len(), setup.bodies(DEAD).len());
    assert!((1..5).contains(&moved) && moved + left == 5, "{moved} {left} {rest}");
    assert!(rest.contains(&format!("{left} left")), "{rest}");
}

#[test]
fn the_table_fits_the_terminal_whatever_a_message_says() {
    let mut setup = Setup::new();
    let mut hostile = event("dead-letter");
    hostile["stream"] = json!(format!("arn:aws:kinesis:us-east-1:111122223333:stream/{}", "orders-".repeat(18)));
    hostile["error"]["code"] = json!("\u{1b}[2JKMS\u{202e}DisabledException".repeat(9));
    hostile["error"]["class"] = json!("terminal\nretryable ".repeat(9));
    hostile["error"]["remedy"] = json!("x".repeat(300));
    setup.account.send(DEAD, &hostile.to_string());
    for columns in [60, 80] {
        setup.variables.push(("COLUMNS", columns.to_string()));
        let (code, table) = setup.run(&["list"]);
        assert_eq!(code, Some(0), "{table}");
        assert!(table.contains("6 messages received") && table.contains('…'), "{table}");
        for line in table.lines() {
            assert!(line.chars().count() <= columns, "{columns}: {line}");
        }
    }
}
