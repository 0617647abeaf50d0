//! The real `bootstrap`, killed by SIGKILL at random moments of a sweep: what the queue holds is
//! enough to end with every stream right, each started once, and every message accounted for.
//!
//! `tests/scenarios/crashes.rs` does the same in simulated time, with larger fleets and repeatable
//! to the millisecond. This one proves that nothing depended on the process ending in an orderly
//! way.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test that cannot be set up has failed; it tells Lambda's time"
)]

mod lambda;

use std::time::Duration;

use futures_util::StreamExt;
use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::sandbox::{Account, NewStream, serve};
use serde_json::{Value, json};

use self::lambda::Lambda;

const SEEDS: u64 = 50;
/// How many sweeps run at the same time: they wait most of the time.
const AT_ONCE: usize = 10;
const STREAMS: usize = 5;
const WORK: &str = "work";
const DEAD: &str = "dead-letters";

fn name(index: usize) -> String {
    format!("stream-{index}")
}

struct Function {
    environment: Vec<(&'static str, String)>,
    process: Option<Lambda>,
    random: fastrand::Rng,
    kills: u32,
}

impl Function {
    /// One invocation, which may be killed after a random while: its answer, if it lived to give
    /// one.
    async fn invoke(&mut self, payload: &Value) -> Option<Value> {
        if self.process.is_none() {
            self.process = Some(Lambda::start(&self.environment).await);
        }
        let process = self.process.as_mut()?;
        if self.kills == 0 {
            return process.invoke(payload).await;
        }
        let life = Duration::from_millis(self.random.u64(0..2_500));
        if let Ok(answer) = tokio::time::timeout(life, process.invoke(payload)).await {
            return answer;
        }
        self.kills -= 1;
        self.process = None;
        None
    }
}

async fn sweep(seed: u64) -> u32 {
    let mut random = fastrand::Rng::with_seed(seed);
    let account = Account::new(Clock::system(), "us-east-1", "111122223333");
    account.configure(|options| options.updating = Duration::from_millis(random.u64(0..900)));
    let key = account.create_key();
    let (work, dead) = (account.queue(WORK), account.queue(DEAD));
    // A message whose worker was killed is back soon.
    account.set_queue_attribute(WORK, "VisibilityTimeout", "1");
    for index in 0..STREAMS {
        let stream = NewStream::named(&name(index));
        account.stream(if index == 2 { stream.encrypted_with(&key) } else { stream });
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(serve(account.clone(), listener, std::future::pending()));
    let environment = vec![
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "ASIAENFORCEREXAMPLE1".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ("AWS_ENDPOINT_URL", url),
        ("KMS_KEY_ID", key.clone()),
        ("FAILURE_QUEUE_URL", dead),
        ("WORK_QUEUE_URL", work),
        ("WORK_QUEUE_MAX_RECEIVES", "100".to_owned()),
    ];
    let kills = random.u32(1..=4);
    let mut function = Function { environment, process: None, random, kills };

    let schedule = json!({"source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": {}});
    // Lambda keeps an event until it was handled.
    while function.invoke(&schedule).await.is_none() {}
    let mut batches = 0;
    while !account.messages(WORK).is_empty() {
        let Some(batch) = account.receive_batch(WORK, 10) else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        batches += 1;
        assert!(batches < 100, "seed {seed}: the queue does not empty");
        let answer = function.invoke(&batch).await;
        account.settle_batch(WORK, &batch, answer.as_ref());
    }
    for index in 0..STREAMS {
        let stream = account.snapshot(&name(index)).expect("a stream");
        assert_eq!((stream.status, stream.key_id.as_ref()), ("ACTIVE", Some(&key)), "seed {seed}: {}", name(index));
        let starts = account.accepted("StartStreamEncryption", &name(index));
        assert_eq!(starts, usize::from(index != 2), "seed {seed}: {}", name(index));
    }
    assert_eq!(account.messages(DEAD).len(), 0, "seed {seed}");
    server.abort();
    kills - function.kills
}

#[tokio::test]
async fn a_sweep_survives_sigkill_at_any_moment() {
    let killed: Vec<_> = futures_util::stream::iter((0..SEEDS).map(sweep)).buffer_unordered(AT_ONCE).collect().await;
    let killed: u32 = killed.into_iter().sum();
    assert!(killed >= u32::try_from(SEEDS).expect("small"), "only {killed} processes were killed");
}
