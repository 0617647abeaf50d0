//! The fault campaign: the real handler and the real SDK clients on the sandbox, in paused
//! time, with everything that can go wrong drawn from a seed.
//!
//! A seed decides the fleet, the policy, the settings, how AWS behaves, what wakes the function,
//! what others do in the account, which calls go wrong and how, and when invocations are killed:
//! `simulation/plan.rs`. Around the function are Lambda's asynchronous retries and on-failure
//! destination, EventBridge, and the event source mapping of the work queue with visibility and
//! redrive: `simulation/services.rs`. For 25 minutes things go wrong; then faults stop, others
//! rest, the dead letters are fed back once, and the account has to come right by itself and stay
//! so.
//!
//! After each run the invariants are checked one by one, on what the function asked and heard, on
//! what AWS did, on the log, and on the queues: `simulation/invariants.rs`. None asks the product
//! how it sees itself: which stream is exempt and which key it is to have is told by an oracle of
//! the test.
//!
//! A broken seed is printed with its plan and its story up to the moment in question. The same seed
//! is the same run, to the millisecond:
//!
//! ```text
//! make campaign SEED=1234     # replay one
//! make campaign SEEDS=10000   # as many as wanted
//! ```
//!
//! # Seeing it fail
//!
//! Bugs that were put into the product to see whether they are found, and the number of seeds it
//! took:
//!
//! | the bug | seeds | the invariant that broke |
//! | --- | --- | --- |
//! | an old look is not repeated before the start | 9 | a start follows a fresh look that showed the stream ACTIVE |
//! | a start is sent again after its answer was lost | 37 | a start is sent again only after a refusal in so many words |
//! | the exempt tag is not heeded | 1 | an exempt stream is not started |
//! | letters are not written | 1 | a failure is lettered, retried or answered |
//! | a stream that is UPDATING is judged | 1 | a start follows a fresh look that showed the stream ACTIVE |
//! | a letter that is refused does not fail the invocation | 16 | a failure is lettered, retried or answered |
//! | what is deferred is not sent to the queue | 3 | what is deferred is in the queue |
//! | the key's state is not heeded | 2 | the key was usable when KMS was asked |
//! | audit mode is handed what starts encryption | 7 | audit mode and dry runs write nothing to streams and queues |
//! | runs do not take turns at a stream | 10 | a start is sent again only after a refusal in so many words |
//! | `MAX_APPLIES_PER_DAY` is not heeded | 19 | what the process remembers keeps to `MAX_APPLIES_PER_DAY` |
//! | no reserve is kept before the deadline | 1 | an invocation ends in time |
//! | a sweep leaves out the last stream of a page | 1 | what is deferred is in the queue |
//! | what is retried is lettered, too | 1 | nothing is both lettered and retried |
//!
//! # What it has found
//!
//! Descriptions of another stream or key that were believed; a look that counted as fresh however
//! long KMS took to answer beside it; two starts of one stream in an invocation that names it
//! twice, where the first cannot be seen yet; answers without content that read as "no tags", "no
//! streams" and "stored"; manual requests in messages that were lost without a dead-letter queue,
//! since nobody reads their answer.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a campaign that cannot be set up has failed, and prints what it has met"
)]

mod simulation;

/// Enough for each thing to be met; many more are for `make campaign`.
const SEEDS: u64 = 200;

#[test]
fn whatever_goes_wrong_the_invariants_hold() {
    let campaign = simulation::campaign(0..SEEDS, false);
    if let Some(broken) = campaign.broken.first() {
        panic!("{broken}");
    }
    println!("{}", campaign.coverage);
    assert_eq!(
        (campaign.coverage.seeds, campaign.coverage.missing()),
        (SEEDS, Vec::new()),
        "the campaign tests less than it says"
    );
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [3, 7, 11] {
        let stories =
            [(); 2].map(|()| simulation::run(seed, true).map_or_else(|broken| broken.to_string(), |done| done.story));
        assert!(stories[0].len() > 1_000, "seed {seed} has no story: {}", stories[0]);
        assert_eq!(stories[0], stories[1], "seed {seed}");
    }
}
