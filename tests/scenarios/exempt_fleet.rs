//! Exemptions of a whole fleet, read a hundred a call: they spare work, and never more than that.

use kinesis_encryption_enforcer::sandbox::{Fault, NewStream};
use serde_json::json;

use crate::support::{World, event};

const TAG: &str = "kinesis-encryption-enforcer:exempt";
const START: &str = "StartStreamEncryption";

fn fleet(world: &World, exempt: usize, others: usize) {
    for index in 0..exempt {
        world.stream(NewStream::named(&format!("exempt-{index:03}")).tag(TAG, "load test until=2026-12-31"));
    }
    for index in 0..others {
        world.stream(NewStream::named(&format!("other-{index:03}")).tag("team", "checkout"));
    }
}

fn started_exempt(world: &World, exempt: usize) -> usize {
    (0..exempt).map(|index| world.account.accepted(START, &format!("exempt-{index:03}"))).sum()
}

#[tokio::test(start_paused = true)]
async fn a_sweep_neither_queues_nor_looks_at_what_a_tag_exempts() {
    for queue in [true, false] {
        let world = if queue { World::new().with_work_queue() } else { World::new() };
        fleet(&world, 150, 5);
        let answer = world.run(&event("scheduled")).await.expect("an answer");
        let others = if queue { "queued" } else { "encrypted" };
        assert_eq!(answer["summary"], json!({"exempt": 150, others: 5}), "queue {queue}");
        assert_eq!(world.account.count("GetResources"), 2, "two pages");
        let outcomes = answer["outcomes"].as_array().expect("outcomes");
        let exempt = outcomes.iter().find(|outcome| outcome["status"] == "exempt").expect("an exempt stream");
        assert_eq!(
            (&exempt["reason"], &exempt["warnings"]),
            (&json!("exempt by tag until 2026-12-31: load test"), &json!([])),
            "{exempt:#}"
        );
        world.drain().await;
        assert_eq!(
            (started_exempt(&world, 150), world.starts(), world.account.count("ListTagsForStream")),
            (0, 5, 5),
            "queue {queue}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_exemption_that_has_expired_or_is_malformed_is_looked_at() {
    let world = World::new().with_work_queue();
    world.stream(NewStream::named("expired").tag(TAG, "load test until=2026-01-31"));
    world.stream(NewStream::named("malformed").tag(TAG, "load test until=tomorrow"));
    assert_eq!(world.run(&event("scheduled")).await.expect("an answer")["summary"], json!({"queued": 2}));
    world.drain().await;
    assert_eq!((world.account.accepted(START, "expired"), world.account.accepted(START, "malformed")), (1, 0));
    assert_eq!(world.letters()[0]["error"]["code"], "ExemptionMalformed");
}

#[tokio::test(start_paused = true)]
async fn where_tags_cannot_be_had_in_bulk_every_stream_is_asked_for_its_own() {
    for (code, patient) in [("AccessDeniedException", false), ("ThrottlingException", true)] {
        let world = World::new().with_work_queue();
        fleet(&world, 4, 4);
        world.account.fault(Fault::on("GetResources").error(code, "no"));
        assert_eq!(world.run(&event("scheduled")).await.expect("an answer")["summary"], json!({"queued": 8}), "{code}");
        assert_eq!(world.account.count("GetResources") > 1, patient, "{code}");
        world.drain().await;
        assert_eq!((started_exempt(&world, 4), world.starts(), world.letters().len()), (0, 4, 0), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_exemption_by_tag_nobody_is_asked_for_tags() {
    let world = World::new().with_work_queue().with("EXEMPT_TAG_KEY", "");
    fleet(&world, 2, 2);
    world.run(&event("scheduled")).await.expect("an answer");
    world.drain().await;
    assert_eq!(
        (world.starts(), world.account.count("GetResources"), world.account.count("ListTagsForStream")),
        (4, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_may_mean_anything_leaves_its_stream_alone_and_is_reported_by_a_sweep_too() {
    let world = World::new();
    let values = ["false", "none", "-", "load test until:2025-12-31", "2025-12-31", "expires=2099-12-31"];
    for (index, value) in values.iter().enumerate() {
        world.stream(NewStream::named(&format!("s{index}")).tag(TAG, value));
    }
    let answer = world.run(&json!({"sweep": true})).await.expect("an answer");
    assert_eq!((&answer["summary"], world.starts()), (&json!({"failed": values.len()}), 0), "{answer:#}");
    let letters = world.letters();
    assert_eq!(letters.len(), values.len());
    for letter in letters {
        let error = &letter["error"];
        assert_eq!((&error["code"], &error["class"]), (&json!("ExemptionMalformed"), &json!("terminal")));
        assert!(error["message"].as_str().is_some_and(|text| text.contains("until=YYYY-MM-DD")), "{error:#}");
    }
}
