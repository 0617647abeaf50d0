//! Generated payloads through the real handler: whatever comes in, nothing is touched that must not
//! be, nothing is lost, and nothing goes on for ever.

use std::time::Duration;

use kinesis_encryption_enforcer::handler::InvocationError;
use kinesis_encryption_enforcer::sandbox::{KeyState, NewStream};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::cases;
use crate::json::{any_json, in_envelopes, mutated};
use crate::support::{QUEUE, WORK, World};

const EXEMPT: &str = "kinesis-encryption-enforcer:exempt";
const LARGEST: usize = 900 * 1024;

/// How the account stands when a payload comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fleet {
    /// Nothing is encrypted.
    Wrong,
    /// Every stream has the key.
    Right,
    /// Every stream is exempt.
    Exempt,
    /// Nothing is encrypted, and the key cannot be used.
    KeyDisabled,
}

fn world(fleet: Fleet, queue: bool) -> World {
    let world = World::new();
    let world = if queue {
        world.with_work_queue().with("IAC_GRACE_SECONDS", "60").with("ON_KEY_ROTATION", "reapply")
    } else {
        world
    };
    let now = world.clock.utc();
    for name in ["orders", "bystander"] {
        let stream = NewStream::named(name).created_at(now);
        world.stream(match fleet {
            Fleet::Wrong | Fleet::KeyDisabled => stream,
            Fleet::Right => stream.encrypted_with(&world.key),
            Fleet::Exempt => stream.tag(EXEMPT, "a vendor cannot"),
        });
    }
    if fleet == Fleet::KeyDisabled {
        world.account.set_key_state(&world.key, KeyState::Disabled);
    }
    world
}

fn starts(world: &World) -> Vec<String> {
    let calls = world.account.calls().into_iter();
    calls.filter(|call| call.operation == "StartStreamEncryption").map(|call| call.stream.unwrap_or_default()).collect()
}

/// What asks for more than the streams that it names, at whatever depth of texts in texts.
const OF_THE_FLEET: [&str; 3] = ["sweep", "Scheduled Event", "aws.kms"];
/// What asks for a fresh application of the key.
const AFRESH: [&str; 2] = ["reapply", "aws.kms"];

fn check_starts(world: &World, fleet: Fleet, text: &str) {
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    for stream in starts(world) {
        assert!(
            fleet == Fleet::Wrong || fleet == Fleet::Right && says(&AFRESH),
            "{stream} was started, and the fleet is {fleet:?}"
        );
        // The odd texts name the bystander in ARNs and texts that are no honest ones.
        let named = stream == "orders" || says(&["\"bystander", "stream/bystander"]);
        assert!(says(&OF_THE_FLEET) || named && text.contains(&stream), "{stream} was started, and nothing named it");
    }
}

/// Checks an answer, and says how many failures it reports: `None` where it answers for messages,
/// or asks for a retry.
fn check_answer(answer: &Result<Value, InvocationError>, payload: &Value) -> Option<u64> {
    match answer {
        Err(error) => {
            let name = error.error_type.as_str();
            assert!(
                ["StillUpdating", "Throttled", "ResourceInUse", "AwsUnavailable"].contains(&name),
                "nothing failed here, but {error}"
            );
            assert!(error.message.len() <= 4_099, "{}", error.message.len());
            None
        }
        Ok(answer) => {
            if let Some(failures) = answer.get("batchItemFailures") {
                let records = payload["Records"].as_array().expect("a batch");
                let ids: Vec<_> =
                    records.iter().map(|record| record["messageId"].as_str().unwrap_or_default()).collect();
                for failure in failures.as_array().expect("a list") {
                    assert!(
                        ids.contains(&failure["itemIdentifier"].as_str().expect("an id")),
                        "{failure} is none of {ids:?}"
                    );
                }
                return None;
            }
            let outcomes = answer["outcomes"].as_array().expect("outcomes");
            let counted: u64 =
                answer["summary"].as_object().expect("a summary").values().filter_map(Value::as_u64).sum();
            let kind = answer["trigger"]["kind"].as_str().expect("a kind");
            // After the last stream nothing is left of a sweep.
            let nothing_left = ["Records", "startAfter"].iter().any(|member| payload.to_string().contains(member));
            assert!(kind == "ignored" || counted > 0 || nothing_left, "neither done nor ignored: {answer:#}");
            for outcome in outcomes {
                assert_eq!(outcome["status"] == "failed", outcome["error"]["code"].is_string(), "{outcome:#}");
            }
            Some(answer["summary"]["failed"].as_u64().unwrap_or(0))
        }
    }
}

/// The letters on the queue, each checked for what every letter must be.
fn checked_letters(world: &World) -> Vec<String> {
    let bodies: Vec<_> = world.account.messages(QUEUE).into_iter().map(|message| message.body).collect();
    for body in &bodies {
        assert!(body.is_ascii() && body.len() <= LARGEST, "{} bytes", body.len());
        let letter: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!((&letter["version"], &letter["kind"]), (&json!(1), &json!("enforcement-failure")));
        assert!(
            ["code", "class", "step", "message", "remedy"].iter().all(|field| letter["error"][field].is_string()),
            "{letter:#}"
        );
        assert!(letter["attempts"].as_u64().is_some_and(|attempts| attempts > 0), "{letter:#}");
        assert_ne!(letter["event"]["kind"], "enforcement-failure", "{letter:#}");
    }
    bodies
}

/// Feeds a letter back: it is settled, asks for a retry, or is the same letter once more.
async fn feed_back(world: &World, body: &str) {
    world.account.purge(QUEUE);
    let letter: Value = serde_json::from_str(body).expect("JSON");
    let answer = world.run(&letter).await;
    let failed = check_answer(&answer, &letter);
    let again = checked_letters(world);
    // What lay too deep is reached one letter at a time; a batch in a letter has as many endings as
    // messages; of a letter that cannot be read the event is worked; and whoever wants no letter
    // gets none.
    let about_envelopes =
        |message: &str| message.contains("the dead letter") || message.contains("envelopes around it");
    // A dead letter about what a finding names besides managed streams holds the whole event.
    let about_whole = |message: &str| about_envelopes(message) || message.contains("resources in the findings");
    let of_a_letter = letter["error"]["message"].as_str().is_some_and(about_whole);
    let members = ["Records", "requestPayload", "deadLetter", "dryRun"];
    if of_a_letter || members.iter().any(|member| letter["event"].get(member).is_some()) {
        return;
    }
    assert!(again.len() <= 1 && failed.is_none_or(|failed| failed == again.len() as u64), "{answer:?}: {again:?}");
    let Some(again_body) = again.first() else { return };
    let again: Value = serde_json::from_str(again_body).expect("JSON");
    assert_eq!((&again["stream"], &again["error"]["code"]), (&letter["stream"], &letter["error"]["code"]));
    let attempts = letter["attempts"].as_u64().expect("a count");
    assert_eq!(again["attempts"].as_u64(), Some((attempts + 1).min(u32::MAX.into())));
    assert!(again_body.len() <= body.len() + 300, "a letter grew from {} to {} bytes", body.len(), again_body.len());
}

/// Works what is on the work queue until it is empty, which it must become.
async fn drained(world: &World) {
    for _ in 0..2_000 {
        if world.account.messages(WORK).is_empty() {
            return;
        }
        if world.batch().await.is_none() {
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
    }
    unreachable!("the work never ends: {:#?}", world.work());
}

/// Everything that must hold of `payload`.
fn check(fleet: Fleet, queue: bool, payload: &Value) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let world = world(fleet, queue);
        let text = payload.to_string();
        let answer = world.run(payload).await;
        let failed = check_answer(&answer, payload);
        check_starts(&world, fleet, &text);
        let letters = checked_letters(&world);
        if let Some(failed) = failed
            && !["dryRun", "deadLetter"].iter().any(|wish| text.contains(wish))
        {
            assert_eq!(letters.len() as u64, failed, "every failure has its letter: {answer:#?}");
        }
        if queue {
            drained(&world).await;
            check_starts(&world, fleet, &text);
            checked_letters(&world);
        }
        for body in letters.iter().take(2) {
            feed_back(&world, body).await;
        }
        check_starts(&world, fleet, &text);
    });
}

fn fleet() -> impl Strategy<Value = Fleet> {
    prop_oneof![Just(Fleet::Wrong), Just(Fleet::Right), Just(Fleet::Exempt), Just(Fleet::KeyDisabled)]
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn json_of_any_shape_touches_nothing_it_must_not_and_is_not_lost(fleet in fleet(), queue: bool, payload in in_envelopes(any_json())) {
        check(fleet, queue, &payload);
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn real_events_changed_at_any_place_touch_nothing_they_must_not_and_are_not_lost(
        fleet in fleet(),
        queue: bool,
        payload in in_envelopes(mutated()),
    ) {
        check(fleet, queue, &payload);
    }
}
