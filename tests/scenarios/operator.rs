//! What an operator reads of it: a log line for each stream and request, metrics, and what a
//! rehearsal would do.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kinesis_encryption_enforcer::handler::Invocation;
use kinesis_encryption_enforcer::sandbox::{Fault, NewStream};
use serde_json::{Value, json};

use crate::support::{World, event, manual};

const START: &str = "StartStreamEncryption";

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic meanwhile").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    /// The fields of the lines with this message, each with those of its span under `span`.
    fn lines(&self, message: &str) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().expect("no panic meanwhile").clone()).expect("UTF-8");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let of = lines.filter(|line| line["fields"]["message"] == message);
        of.map(|mut line| {
            let span = line["span"].take();
            let mut fields = line["fields"].take();
            fields["span"] = span;
            fields
        })
        .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn every_outcome_is_a_log_line_and_every_request_another() {
    let written = Written::default();
    let writer = written.clone();
    // Beside an only subscriber `tracing` never asks it about events that another thread, another
    // test, comes to first.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let _guard =
        tracing::subscriber::set_default(tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish());
    let world = World::new();
    let (orders, clicks) = (world.stream(NewStream::named("orders")), world.stream(NewStream::named("clicks")));
    world.account.fault(Fault::on(START).stream("clicks").error("AccessDeniedException", "explicit deny"));
    world.run(&json!({"streams": ["orders", "clicks"]})).await.expect("an answer");

    let settled = &written.lines("stream settled")[..];
    let [settled] = settled else { unreachable!("{settled:?}") };
    assert_eq!(
        (&settled["stream"], &settled["status"], &settled["key"]),
        (&json!(orders), &json!("encrypted"), &json!(world.key))
    );
    let failed = &written.lines("stream not settled")[..];
    let [failed] = failed else { unreachable!("{failed:?}") };
    assert_eq!(
        (&failed["stream"], &failed["step"], &failed["class"]),
        (&json!(clicks), &json!("start-stream-encryption"), &json!("terminal"))
    );
    assert!(failed["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{failed:#}");
    let handled = &written.lines("request handled")[..];
    let [handled] = handled else { unreachable!("{handled:?}") };
    assert_eq!((&handled["trigger"], &handled["dead_letters"]), (&json!("manual"), &json!(1)), "{handled:#}");
    assert_eq!(handled["summary"], r#"{"encrypted":1,"failed":1}"#);
    assert_eq!(handled["span"]["correlation_id"], "request-1");

    let stopped = event("encryption-stopped");
    world.run(&stopped).await.expect("an answer");
    assert_eq!(written.lines("request handled")[1]["span"]["correlation_id"], stopped["id"]);
}

thread_local! {
    static METRICS: RefCell<Vec<Value>> = const { RefCell::new(Vec::new()) };
}

#[tokio::test(start_paused = true)]
async fn letters_and_events_are_counted_whether_they_were_stored_or_not() {
    let check = async |broken: bool, expected: [u64; 3]| {
        let world = World::new().with("OUTCOME_EVENT_BUS", "security");
        for name in ["a", "b", "c"] {
            world.stream(NewStream::named(name));
        }
        world.account.fault(Fault::on(START).error("AccessDeniedException", "no"));
        if broken {
            world.account.fault(Fault::on("SendMessage").error("AWS.SimpleQueueService.NonExistentQueue", "gone"));
            world.account.fault(Fault::on("PutEvents").error("AccessDeniedException", "no"));
        }
        let mut handler = world.handler();
        handler.emit = |line| METRICS.with_borrow_mut(|lines| lines.push(serde_json::from_str(line).expect("JSON")));
        let answer = world.run_with(&handler, &json!({"streams": ["a", "b", "c"]}), 300).await;
        assert_eq!(answer.err().map(|error| error.error_type.as_str()), broken.then_some("DeadLetterNotStored"));
        let line = METRICS.take().pop().expect("a line");
        let counted =
            ["DeadLetters", "DeadLettersNotStored", "EventsNotSent"].map(|name| line[name].as_u64().expect("a number"));
        assert_eq!(counted, expected, "{line:#}");
    };
    check(false, [3, 0, 0]).await;
    check(true, [0, 3, 3]).await;
}

#[tokio::test(start_paused = true)]
async fn only_the_schedules_own_requests_count_as_scheduled_sweeps() {
    let world = World::new().with_work_queue();
    world.stream(NewStream::named("orders"));
    let mut handler = world.handler();
    handler.emit = |line| METRICS.with_borrow_mut(|lines| lines.push(serde_json::from_str(line).expect("JSON")));
    let counted = || {
        let lines = METRICS.take();
        assert!(!lines.is_empty());
        lines.iter().filter_map(|line| line.get("ScheduledSweeps").cloned()).collect::<Vec<_>>()
    };
    world.run_with(&handler, &event("scheduled"), 300).await.expect("an answer");
    assert_eq!(counted(), [1]);
    // The work items of the sweep.
    world.batch_with(&handler).await.expect("a batch");
    assert!(counted().is_empty());
    for payload in [json!({"sweep": true}), manual("orders"), event("stream-created"), event("unknown")] {
        world.run_with(&handler, &payload, 300).await.expect("an answer");
        assert!(counted().is_empty(), "{payload}");
    }
    // A person who redrives a dead letter of the schedule does not prove that the schedule works.
    world.drain().await;
    METRICS.take();
    world.enqueue(&event("scheduled"));
    world.batch_with(&handler).await.expect("a batch");
    assert!(counted().is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_ten_events_the_one_that_was_refused_counts_as_lost() {
    // A throttled entry is sent again a few times, a malformed one never.
    for (code, index, more) in [
        ("MalformedDetail", 3, 0),
        ("NotAuthorizedForSourceException", 9, 0),
        ("ThrottlingException", 0, 3),
        ("InternalFailure", 0, 3),
    ] {
        let world = World::new().with("OUTCOME_EVENT_BUS", "security");
        for index in 0..10 {
            world.stream(NewStream::named(&format!("s{index}")));
        }
        world.account.fault(Fault::on("PutEvents").entry_refused(index, code, "no"));
        let mut handler = world.handler();
        handler.emit = |line| METRICS.with_borrow_mut(|lines| lines.push(serde_json::from_str(line).expect("JSON")));
        world.run_with(&handler, &json!({"sweep": true}), 300).await.expect("an answer");
        let line = METRICS.take().pop().expect("a line");
        assert_eq!((&line["EventsNotSent"], world.account.count("PutEvents")), (&json!(1), 1 + more), "{code}");
        assert_eq!(world.account.put_events().len(), 9, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rehearsal_says_what_would_be_done_and_does_nothing_whatever_the_payload_asks_for() {
    let world = World::new();
    world.stream(NewStream::named("orders"));
    let invocation =
        Invocation { request_id: "request-1".to_owned(), deadline: world.clock.wall() + Duration::from_mins(5) };
    for (payload, summary) in [
        (manual("orders"), json!({"would-encrypt": 1})),
        (json!({"stream": "orders", "dryRun": false}), json!({"would-encrypt": 1})),
        (event("scheduled"), json!({"would-encrypt": 1})),
        (manual("nowhere"), json!({"failed": 1})),
    ] {
        let answer = world.handler().dry_run(&payload, &invocation).await.expect("an answer");
        assert_eq!(answer["summary"], summary, "{payload}");
    }
    assert_eq!((world.starts(), world.letters().len()), (0, 0));
}
