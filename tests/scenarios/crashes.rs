//! Invocations that end at any moment, as by SIGKILL: nothing of them is left but what they sent.
//! What the queue holds must be enough to go on.

use std::time::Duration;

use kinesis_encryption_enforcer::sandbox::NewStream;
use serde_json::Value;
use tokio::time::timeout;

use crate::support::{OTHER_KEY, QUEUE, WORK, World, event};

const STREAMS: usize = 40;
const SEEDS: u64 = 60;

fn name(index: usize) -> String {
    format!("stream-{index:03}")
}

/// Of three streams one is right, one is unencrypted and one has another key.
fn fleet(world: &World) {
    for index in 0..STREAMS {
        let stream = NewStream::named(&name(index));
        world.stream(match index % 3 {
            0 => stream.encrypted_with(&world.key),
            1 => stream,
            _ => stream.encrypted_with(OTHER_KEY),
        });
    }
}

/// One invocation, which may be killed after a random while; whether it lived to answer.
async fn invoke(world: &World, payload: &Value, random: &mut fastrand::Rng, kills: &mut u32) -> Option<Value> {
    if *kills == 0 {
        return world.run(payload).await.ok();
    }
    let life = Duration::from_millis(random.u64(0..12_000));
    let Ok(answer) = timeout(life, world.run(payload)).await else {
        *kills -= 1;
        return None;
    };
    answer.ok()
}

#[tokio::test(start_paused = true)]
async fn a_sweep_killed_at_any_moment_ends_with_every_stream_right_and_every_message_accounted_for() {
    let mut killed = 0;
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let world = World::new().with_work_queue();
        let longest = [300, 2_000, 9_000][random.usize(0..3)];
        world.account.configure(|options| {
            options.updating = Duration::from_millis(random.u64(0..longest));
            options.rate_limits = true;
        });
        fleet(&world);
        let mut kills = random.u32(1..12);
        killed += kills;
        // Lambda keeps an event until it was handled.
        while invoke(&world, &event("scheduled"), &mut random, &mut kills).await.is_none() {
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
        let mut rounds = 0;
        while !world.account.messages(WORK).is_empty() {
            rounds += 1;
            assert!(rounds < 2_000, "seed {seed}: the queue does not empty");
            match world.account.receive_batch(WORK, 10) {
                None => tokio::time::sleep(Duration::from_secs(20)).await,
                Some(batch) => {
                    let answer = invoke(&world, &batch, &mut random, &mut kills).await;
                    world.account.settle_batch(WORK, &batch, answer.as_ref());
                }
            }
            // What SQS itself gave up after five receives is moved back, as a person would.
            for message in world.account.messages(QUEUE) {
                let body: Value = serde_json::from_str(&message.body).expect("JSON");
                assert_eq!(body["kind"], "work-item", "seed {seed}: {body:#}");
                world.account.send(WORK, &message.body);
            }
            world.account.purge(QUEUE);
        }
        killed -= kills;
        for index in 0..STREAMS {
            let stream = world.account.snapshot(&name(index)).expect("a stream");
            assert_eq!(stream.key_id.as_ref(), Some(&world.key), "seed {seed}: {}", name(index));
            let starts = world.account.accepted("StartStreamEncryption", &name(index));
            assert_eq!(starts, usize::from(index % 3 != 0), "seed {seed}: {}", name(index));
        }
    }
    assert!(u64::from(killed) > 2 * SEEDS, "only {killed} invocations were killed");
}
