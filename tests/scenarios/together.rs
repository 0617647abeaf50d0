//! Several streams, messages and pages in one invocation, and exemptions.

use std::time::Duration;

use kinesis_encryption_enforcer::sandbox::{Fault, NewStream};
use serde_json::json;

use crate::support::{OTHER_KEY, World, event, manual};

const START: &str = "StartStreamEncryption";
const TAG: &str = "kinesis-encryption-enforcer:exempt";

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_named_twice_is_started_once() {
    let arn = "arn:aws:kinesis:us-east-1:111122223333:stream/orders";
    let message = |id: &str| json!({"messageId": id, "eventSource": "aws:sqs", "receiptHandle": id, "body": event("encryption-stopped").to_string(), "attributes": {"ApproximateReceiveCount": "1"}});
    for (name, payload) in [
        ("by name", json!({"streams": ["orders", "orders"]})),
        ("by name and ARN", json!({"streams": ["orders", arn]})),
        ("by two messages", json!({"Records": [message("1"), message("2")]})),
    ] {
        for updating in [0, 1, 800, 5_000] {
            let world = World::new();
            world.account.configure(|options| options.updating = Duration::from_millis(updating));
            world.stream(NewStream::named("orders"));
            // Calls that take their time overlap.
            for operation in ["DescribeStreamSummary", "ListTagsForStream", START] {
                world.account.fault(
                    Fault::on(operation).delay(Duration::from_millis(20)).delay_answer(Duration::from_millis(20)),
                );
            }
            world.run(&payload).await.expect("an answer");
            assert_eq!(world.account.accepted(START, "orders"), 1, "{name}, {updating} ms");
            assert_eq!(world.letters().len(), 0, "{name}, {updating} ms");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_named_twice_is_started_once_also_where_the_start_cannot_be_seen() {
    let twice = json!({"streams": ["orders", "arn:aws:kinesis:us-east-1:111122223333:stream/orders"]});
    for (code, accepted) in [("AcceptedNotVisible", true), ("StartUnconfirmed", false)] {
        let world = World::new();
        world.stream(NewStream::named("orders"));
        if accepted {
            world.account.configure(|options| options.visibility_lag = Duration::from_secs(40));
        } else {
            world.account.fault(Fault::on(START).dropped());
        }
        let answer = world.run(&twice).await.expect("an answer");
        let codes: Vec<_> =
            answer["outcomes"].as_array().expect("outcomes").iter().map(|outcome| &outcome["error"]["code"]).collect();
        assert_eq!((codes, world.starts()), (vec![&json!(code); 2], 1), "{answer:#}");
        // The next invocation knows nothing of it, and looks anew.
        world.account.clear_faults();
        assert_eq!(world.outcome(&manual("orders")).await["status"], if accepted { "compliant" } else { "encrypted" });
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_breaks_on_a_later_page_goes_on_from_its_letter() {
    let world = World::new();
    for index in 0..250 {
        world.stream(NewStream::named(&format!("stream-{index:03}")));
    }
    world.account.fault(Fault::on("ListStreams").nth(2..).error("AccessDeniedException", "no longer"));
    let answer = world.run(&event("scheduled")).await.expect("an answer");
    let after = answer["continueAfter"].as_str().expect("not finished").to_owned();
    let letter = world.letters().pop().expect("a letter");
    assert_eq!((world.letters().len(), &letter["event"]), (1, &json!({"sweep": true, "startAfter": after})));
    let reached = world.starts();

    world.account.clear_faults();
    let answer = world.run(&letter).await.expect("an answer");
    assert_eq!((&answer["summary"], &answer["continueAfter"]), (&json!({"encrypted": 250 - reached}), &json!(null)));
    assert_eq!(world.starts(), 250);
}

#[tokio::test(start_paused = true)]
async fn under_accept_a_key_that_cannot_be_judged_is_left_in_place() {
    let world = World::new().with("ON_OTHER_KEY", "accept");
    world.stream(NewStream::named("orders").encrypted_with(OTHER_KEY));
    world.account.fault(Fault::on("DescribeKey").nth(2..).error("AccessDeniedException", "no"));
    let outcome = world.outcome(&event("encryption-changed")).await;
    assert_eq!(
        (&outcome["status"], &outcome["error"]["code"]),
        (&json!("failed"), &json!("PresentKeyUnreadable")),
        "{outcome:#}"
    );
    assert_eq!((world.starts(), world.letters().len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_exemption_without_an_end_holds_and_is_warned_of() {
    let world = World::new();
    world.stream(NewStream::named("orders").tag(TAG, "load test"));
    let outcome = world.outcome(&manual("orders")).await;
    assert_eq!(
        (&outcome["status"], &outcome["warnings"][0]["code"]),
        (&json!("exempt"), &json!("exemption-without-end"))
    );
    assert_eq!((world.starts(), world.letters().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn only_the_configured_tag_exempts() {
    let world = World::new().with("EXEMPT_TAG_KEY", "unencrypted");
    world.stream(NewStream::named("by-default").tag(TAG, "load test"));
    world.stream(NewStream::named("by-setting").tag("unencrypted", "load test"));
    assert_eq!(world.outcome(&manual("by-default")).await["status"], "encrypted");
    assert_eq!(world.outcome(&manual("by-setting")).await["status"], "exempt");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_keeps_within_the_calls_per_second_that_aws_allows() {
    let world = World::new();
    world.account.configure(|options| options.rate_limits = true);
    for index in 0..120 {
        world.stream(NewStream::named(&format!("stream-{index:03}")));
    }
    let answer = world.run(&event("scheduled")).await.expect("an answer");
    assert_eq!(
        (&answer["summary"], &answer["continueAfter"]),
        (&json!({"encrypted": 120}), &json!(null)),
        "{answer:#}"
    );
    let accepted: usize = (0..120).map(|index| world.account.accepted(START, &format!("stream-{index:03}"))).sum();
    assert_eq!((accepted, world.letters().len()), (120, 0));
}
