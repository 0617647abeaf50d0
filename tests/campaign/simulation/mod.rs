//! One run of the simulation for one seed, and many of them.

mod busy;
mod coverage;
mod invariants;
mod others;
mod plan;
mod services;
mod story;
mod triggers;
mod watch;
mod wire;
mod world;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use kinesis_encryption_enforcer::sandbox;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::sleep;
use tracing_subscriber::layer::SubscriberExt;

pub(crate) use self::coverage::Coverage;
use self::invariants::{Violation, check};
use self::plan::{CHAOS, Fault, Given, Key, Plan, Wrong};
use self::story::{End, Way};
use self::watch::Watch;
use self::world::{ACCOUNT, LETTERS, REGION, WORK, World};

/// A seed whose run broke an invariant.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) seed: u64,
    pub(crate) invariant: String,
    what: String,
    plan: String,
    story: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, invariant, what, plan, story } = self;
        write!(
            f,
            "{plan}\n\n{story}\nseed {seed} broke: {invariant}\n  {what}\nreplay it with: make campaign SEED={seed}"
        )
    }
}

/// What became of a campaign.
#[derive(Debug, Default)]
pub(crate) struct Campaign {
    pub(crate) coverage: Coverage,
    /// The broken seeds, the least first; the campaign ends at the first that is found.
    pub(crate) broken: Vec<Broken>,
}

/// Runs every seed, on as many threads as there are processors. `keep_going`: also after one is
/// broken.
pub(crate) fn campaign(seeds: Range<u64>, keep_going: bool) -> Campaign {
    let (next, stop) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let campaign = Mutex::new(Campaign::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let result = run(seed, false);
                    let mut campaign = campaign.lock().expect("nobody panicked");
                    match result {
                        Ok(Done { coverage, .. }) => campaign.coverage.add(&coverage),
                        Err(broken) => {
                            stop.store(!keep_going, Ordering::Relaxed);
                            campaign.broken.push(*broken);
                        }
                    }
                }
            });
        }
    });
    let mut campaign = campaign.into_inner().expect("nobody panicked");
    campaign.broken.sort_by_key(|broken| broken.seed);
    campaign
}

/// What became of a run in which every invariant held.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) coverage: Coverage,
    /// The whole story, where it was asked for.
    pub(crate) story: String,
}

/// One run. The same seed gives the same run, to the millisecond.
pub(crate) fn run(seed: u64, tells: bool) -> Result<Done, Box<Broken>> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let (plan, dice) = Plan::of(seed);
        let world = World::new(plan, dice);
        let watch = Watch { clock: world.clock.clone(), told: world.told.clone() };
        let log = tracing_subscriber::registry().with(tracing_subscriber::filter::LevelFilter::INFO).with(watch);
        let guard = tracing::subscriber::set_default(log);
        let ended = play(&world).await;
        world.over.set(true);
        drop(guard);
        let story = world.told.lock();
        let first = check(&world, &story).into_iter().next().or(ended.err());
        match first {
            None => Ok(Done {
                coverage: Coverage::of(&world, &story),
                story: if tells { story.told(world.now()) } else { String::new() },
            }),
            Some(Violation { at, invariant, what }) => Err(Box::new(Broken {
                seed,
                invariant: invariant.to_owned(),
                what,
                plan: format!("{:#?}", world.plan),
                story: story.told(at),
            })),
        }
    })
}

/// The chaos, and then the rest: everything must come right by itself, and stay so.
async fn play(world: &Rc<World>) -> Result<(), Violation> {
    if !world.plan.latency.is_zero() {
        for (operation, _) in plan::OPERATIONS {
            let slow = sandbox::Fault::on(operation).delay(world.plan.latency);
            world.member.iter().for_each(|(member, _)| member.fault(slow.clone()));
            world.account.fault(slow);
        }
    }
    tokio::task::spawn_local(Rc::clone(world).event_bridge());
    if world.plan.queue {
        for _ in 0..2 {
            tokio::task::spawn_local(Rc::clone(world).poller());
        }
    }
    for (at, fault) in world.plan.faults.clone() {
        let later = Rc::clone(world);
        world.beside(async move {
            sleep(Duration::from_secs(at)).await;
            later.note(format!("{fault:?}"));
            later.member.iter().for_each(|(member, _)| member.fault(fault_of(&later, &fault)));
            later.account.fault(fault_of(&later, &fault));
        });
    }
    for (at, deed) in world.plan.deeds.clone() {
        let later = Rc::clone(world);
        world.beside(async move {
            sleep(Duration::from_secs(at)).await;
            later.act(deed).await;
        });
    }
    for (at, trigger) in world.plan.triggers.clone() {
        let later = Rc::clone(world);
        world.beside(async move {
            sleep(Duration::from_secs(at)).await;
            pull(&later, &trigger);
        });
    }
    sleep(Duration::from_secs(CHAOS)).await;
    rest(world).await
}

/// Wakes the function.
fn pull(world: &Rc<World>, trigger: &plan::Trigger) {
    world.note(format!("{trigger:?}"));
    for _ in 0..trigger.copies {
        let text = triggers::payload(world, trigger);
        let payload: Value = serde_json::from_str(&text).unwrap_or_else(|_| json!(text));
        let later = Rc::clone(world);
        if trigger.by_queue {
            world.account.send(WORK, &text);
        } else if trigger.what.starts_with("manual") {
            world.beside(async move { drop(later.invoke(&payload, Way::Person).await) });
        } else {
            world.beside(later.deliver(payload));
        }
    }
}

/// What a fault of the plan is in the sandbox.
fn fault_of(world: &World, fault: &Fault) -> sandbox::Fault {
    const SLOW: Duration = Duration::from_secs(9);
    const LATE: Duration = Duration::from_secs(6);
    let on = sandbox::Fault::on(fault.operation);
    let on = match fault.count {
        Some(count) => on.nth(fault.first..fault.first + count),
        None => on.nth(fault.first..),
    };
    match fault.wrong {
        Wrong::Error(code, status) => on.error_with_status(code, "Rate exceeded, or whatever else", status),
        Wrong::Dropped => on.dropped(),
        Wrong::AnswerLost => on.answer_lost(),
        Wrong::Html => on.answer_garbled(),
        Wrong::Truncated => on.answer_truncated(),
        Wrong::OfAnotherType => on.answer_replaced(OF_ANOTHER_TYPE),
        Wrong::OfAnother => on.answer_replaced(&of_another(world)),
        Wrong::Empty => on.answer_replaced("{}"),
        Wrong::Proxy => on.intercepted("<html><body>Please log in.</body></html>"),
        Wrong::ProxyEmpty => on.intercepted(""),
        Wrong::Slow => on.delay(SLOW),
        Wrong::SlowAnswer => on.delay_answer(SLOW),
        Wrong::Late => on.delay(LATE).unstoppable(),
        Wrong::EntriesRefused => on.entries_refused("InternalError", "sorry"),
    }
}

/// An answer in which every member has a type that it cannot have.
const OF_ANOTHER_TYPE: &str = r#"{"StreamDescriptionSummary": [7], "KeyMetadata": "none", "Tags": "none", "HasMoreTags": 1, "StreamNames": {"a": 1},
    "HasMoreStreams": "no", "ResourceTagMappingList": 1, "Events": "none", "MessageId": {}, "Successful": 1, "Failed": 1, "Parameter": [], "Entries": 1,
    "FailedEntryCount": "many", "Policy": 1}"#;

/// The description of another stream, and of another key.
fn of_another(world: &World) -> String {
    let key = &world.keys[&Key::Other];
    let mut answer = json!({
        "StreamDescriptionSummary": {
            "StreamName": "somebody-elses",
            "StreamARN": format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/somebody-elses"),
            "StreamStatus": "ACTIVE",
            "StreamModeDetails": {"StreamMode": "PROVISIONED"},
            "RetentionPeriodHours": 24,
            "StreamCreationTimestamp": 1_600_000_000,
            "EnhancedMonitoring": [],
            "EncryptionType": "NONE",
            "OpenShardCount": 1,
        },
        "KeyMetadata": {
            "AWSAccountId": ACCOUNT,
            "KeyId": key.rsplit('/').next(),
            "Arn": key,
            "Enabled": true,
            "KeyState": "Enabled",
            "KeySpec": "SYMMETRIC_DEFAULT",
            "KeyUsage": "ENCRYPT_DECRYPT",
            "KeyManager": "CUSTOMER",
        },
    });
    if matches!(world.plan.key, Given::Alias | Given::AliasArn) {
        // Where an alias points, only KMS knows: a lie about that cannot be told from a
        // re-pointing.
        answer["KeyMetadata"].take();
    }
    answer.to_string()
}

/// Longer than any chain of deferrals: two days of waiting for AWS, and the hops and receives before
/// and after that.
const LONGEST: Duration = Duration::from_hours(56);

/// Faults have stopped and others rest: the account comes right, letters are fed back once, and
/// then there is nothing left to do.
async fn rest(world: &Rc<World>) -> Result<(), Violation> {
    coverage::note_faults(world);
    world.calm.set(true);
    world.account.clear_faults();
    world.member.iter().for_each(|(member, _)| member.clear_faults());
    world.note("faults have stopped, and others rest");
    sleep(Duration::from_mins(4)).await;
    world.repair().await;
    if !world.plan.stuck_for_days {
        world.delete_stuck().await;
    }
    done(world).await?;
    world.delete_stuck().await;
    while world.plan.streams.iter().any(|stream| is_resharding(world, stream)) {
        sleep(Duration::from_hours(1)).await;
    }
    sleep(world.plan.rest).await;
    schedule(world).await?;
    let letters = world.account.messages(LETTERS);
    world.account.purge(LETTERS);
    world.note(format!("{} letters are fed back", letters.len()));
    for letter in letters {
        if world.plan.queue {
            world.account.send(WORK, &letter.body);
        } else {
            let payload = serde_json::from_str(&letter.body).unwrap_or_else(|_| json!(letter.body));
            world.beside(Rc::clone(world).deliver(payload));
        }
    }
    done(world).await?;
    schedule(world).await?;
    let contested = last_contested(world);
    is_right(world, &contested)?;
    let before = (starts(world), world.account.messages(LETTERS).len());
    schedule(world).await?;
    is_right(world, &contested)?;
    let again: Vec<_> = world.account.messages(LETTERS).split_off(before.1);
    let malformed = |stream: &&plan::Stream| {
        let tags = world.account.snapshot(&stream.name).map(|stream| stream.tags).unwrap_or_default();
        world.plan.exempt_tag && tags.get(plan::EXEMPT).is_some_and(|value| value.contains("until=soon"))
    };
    let malformed: Vec<_> = world.plan.streams.iter().filter(malformed).map(|stream| stream.name.as_str()).collect();
    // What a person must still correct may be told again; without a queue for letters, by the whole
    // event or item.
    let is_known = |body: &str| {
        // Of a quota that the whole account shares, the history of one stream says nothing, and without
        // a work queue nothing can be left to the next sweep where somebody floods the history.
        let is_unknown = world.plan.per_account || !world.plan.queue;
        let by_quota = is_unknown && body.contains("LimitExceededException");
        by_quota
            || malformed.iter().any(|name| body.contains(name) || !world.plan.failure_queue)
            || world.plan.key_unsuitable
    };
    let unasked = again.iter().find(|letter| !is_known(&letter.body));
    let more = starts(world) - before.0;
    if more > 0 || unasked.is_some() {
        let what = format!("it started {more} streams, and wrote {:?}", unasked.map(|letter| &letter.body));
        return Err(Violation { at: world.now(), invariant: "a further run does nothing", what });
    }
    Ok(())
}

/// Whether a stream is UPDATING for hours.
fn is_resharding(world: &World, stream: &plan::Stream) -> bool {
    matches!(stream.state, plan::State::Resharding(_))
        && world.account.snapshot(&stream.name).is_some_and(|stream| stream.status == "UPDATING")
}

async fn schedule(world: &Rc<World>) -> Result<(), Violation> {
    let trigger = plan::Trigger { what: "scheduled", streams: [0, 0], by_queue: false, copies: 1 };
    pull(world, &trigger);
    done(world).await
}

async fn done(world: &World) -> Result<(), Violation> {
    if world.is_done_within(LONGEST).await {
        return Ok(());
    }
    let left: Vec<_> = world.account.messages(WORK).into_iter().map(|message| message.body).collect();
    let what = format!("after {LONGEST:?} {} deliveries are under way, and queued are {left:?}", world.under_way.get());
    Err(Violation { at: world.now(), invariant: "everything ends once faults have stopped", what })
}

/// How often the function has sent a start that AWS did not refuse.
fn starts(world: &World) -> usize {
    let story = world.told.lock();
    let is_start = |it: &&story::Exchange| it.operation == "StartStreamEncryption" && !invariants::was_refused(it);
    story.exchanges.iter().filter(is_start).count()
}

/// The streams that the last sweep found contested, or whose starts AWS allows no more: with a
/// reason, they need not be right.
fn last_contested(world: &World) -> BTreeSet<String> {
    let story = world.told.lock();
    let last =
        story.log.iter().rev().take_while(|line| {
            line.field("trigger") != "scheduled" || world.now() - line.at < chrono::TimeDelta::hours(1)
        });
    let contested = last.filter(|line| {
        // A history that cannot be read does not say that it is the quota that refuses a start.
        let by_quota = line.field("code") == "LimitExceededException" && line.field("step").contains("start");
        let is_known = ["Contested", "AllowanceSpent"].contains(&line.field("code")) || by_quota;
        let perhaps = line.message == "stream settled" && line.field("reason").contains("whether the quota is used up");
        line.message == "stream not settled" && is_known || perhaps
    });
    contested.filter_map(|line| line.field("stream").rsplit_once('/').map(|(_, name)| name.to_owned())).collect()
}

fn is_right(world: &World, contested: &BTreeSet<String>) -> Result<(), Violation> {
    if world.plan.key_unsuitable {
        return Ok(());
    }
    let names = world.plan.streams.iter().map(|stream| stream.name.clone());
    let of_terraform = (0..100).map(|number| format!("tf-{number}"));
    for name in names.chain(of_terraform).chain(world.names_in_member()) {
        let Some(stream) = world.snapshot(&name) else { continue };
        let terms = world.terms(&name, &stream.tags);
        if terms.spared || terms.audit || stream.status == "DELETING" || contested.contains(&name) {
            continue;
        }
        if stream.status != "ACTIVE" || !world.is_right(&name, &stream, terms) {
            let what = format!("{name} is {stream:?}; it is to have {:?} ({terms:?})", world.desired(&name, terms));
            return Err(Violation {
                at: world.now(),
                invariant: "once faults have stopped every stream comes right",
                what,
            });
        }
    }
    Ok(())
}

/// Whether an invocation was killed.
fn was_killed(end: &End) -> bool {
    *end == End::Killed
}
