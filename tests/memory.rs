//! The memory that the largest payloads of a message take: a process of its own, so that its peak is
//! theirs. The function has 128 MB, and the sandbox, which keeps every request, is in the same
//! process.

#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

#[path = "scenarios/support.rs"]
#[expect(dead_code, reason = "shared with the scenarios")]
mod support;

use std::sync::Mutex;

use serde_json::{Value, json};

use support::{DENIALS, WORK, World};

/// The most bytes of a message, by [SendMessage].
///
/// [SendMessage]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
const LARGEST_MESSAGE: usize = 1024 * 1024;

/// MiB: a field of the process's status.
fn memory(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the field");
    line.split_whitespace().nth(1).expect("a number").parse::<f64>().expect("a number") / 1024.0
}

/// `entry` as often as a message has room for it, in the list that `wrap` makes a payload of.
fn filled(entry: impl Fn(usize) -> Value, wrap: impl Fn(Vec<Value>) -> Value) -> String {
    let one = entry(1_000).to_string().len() + 1;
    let mut count = LARGEST_MESSAGE / one;
    loop {
        let text = wrap((0..count).map(&entry).collect()).to_string();
        if text.len() <= LARGEST_MESSAGE {
            return text;
        }
        count -= count / 20 + 1;
    }
}

fn record(body: &Value) -> Value {
    json!({"messageId": "1", "eventSource": "aws:sqs", "body": body.to_string()})
}

fn arn(index: usize) -> String {
    format!("arn:aws:kinesis:us-east-1:111122223333:stream/stream-{index}")
}

/// The largest payloads of several shapes, none of which anybody needs.
fn payloads() -> Vec<(&'static str, String)> {
    let finding = |index| {
        json!({"Compliance": {"Status": "FAILED", "SecurityControlId": "Kinesis.1"}, "RecordState": "ACTIVE",
            "Workflow": {"Status": "NEW"}, "Resources": [{"Type": "AwsKinesisStream", "Id": arn(index)}]})
    };
    let findings = |findings: Vec<Value>| {
        json!({"id": "1", "source": "aws.securityhub", "detail-type": "Security Hub Findings - Imported",
            "account": "111122223333", "region": "us-east-1", "time": "2026-11-24T00:00:00Z", "detail": {"findings": findings}})
    };
    let batch = |records: Vec<Value>| json!({ "Records": records });
    vec![
        ("streams", filled(|index| json!(format!("stream-{index}")), |streams| json!({ "streams": streams }))),
        ("requests", filled(|index| record(&json!({"stream": format!("s{index}")})), batch)),
        ("unknown requests", filled(|index| record(&json!({"unknown": index})), batch)),
        ("nested requests", filled(|index| record(&batch(vec![record(&json!({"stream": arn(index)}))])), batch)),
        ("findings", filled(finding, findings)),
        ("a long text", "x".repeat(LARGEST_MESSAGE - 100)),
        (
            "a long tag",
            json!({"kind": "work-item", "version": 1, "reason": "x".repeat(LARGEST_MESSAGE - 1_000), "stream": arn(1)})
                .to_string(),
        ),
    ]
}

/// Only one test at a time: the memory is that of the whole process.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn a_hundred_thousand_denied_calls_take_no_more_memory_than_ten_thousand() {
    let _turn = TURN.lock();
    let denied: Value = serde_json::from_str(include_str!("../events/access-denied.json")).expect("an event");
    // Endless principals: what is remembered of each would add up.
    let batch = |round: usize| {
        let record = |index: usize| {
            let mut denied = denied.clone();
            let role = format!("arn:aws:iam::111122223333:role/teams/r{round}-{index}");
            denied["detail"]["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] = json!(role);
            json!({"messageId": index.to_string(), "receiptHandle": "r", "body": denied.to_string(),
                "attributes": {"ApproximateReceiveCount": "1"}, "eventSource": "aws:sqs",
                "eventSourceARN": format!("arn:aws:sqs:us-east-1:111122223333:{DENIALS}")})
        };
        json!({"Records": (0..1_000).map(record).collect::<Vec<_>>()})
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let world = World::new().with("OUTCOME_EVENT_BUS", "default").hearing_denials();
        let handler = world.handler();
        let mut after_ten = 0.0;
        for round in 0..100 {
            let answer = world.run_with(&handler, &batch(round), 300).await.expect("an answer");
            assert_eq!(answer, json!({"batchItemFailures": []}));
            if round == 9 {
                after_ten = memory("VmRSS");
            }
        }
        let grown = memory("VmRSS") - after_ten;
        assert!(grown < 5.0, "{after_ten:.0} MiB and {grown:.1} more");
        assert!(memory("VmHWM") < 100.0, "{:.0} MiB", memory("VmHWM"));
    });
}

#[test]
fn the_largest_payload_of_a_message_takes_less_than_a_hundred_mebibytes() {
    let _turn = TURN.lock();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        for (name, payload) in payloads() {
            let world = World::new().with_work_queue();
            world.account.send(WORK, &payload);
            drop(payload);
            let began = world.clock.instant();
            let answer = world.batch().await;
            let took = world.clock.instant() - began;
            assert!(answer.is_some() && took.as_secs() < 300, "{name}: {took:?}");
            assert!(memory("VmHWM") < 100.0, "{name}: {:.0} MiB", memory("VmHWM"));
        }
    });
}
