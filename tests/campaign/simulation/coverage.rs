//! What a campaign has met, so that it cannot come to test nothing without anybody noticing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kinesis_encryption_enforcer::domain::outcome::Status;

use super::plan::{DEEDS, KINDS, OPERATIONS, TRIGGERS};
use super::story::{Heard, Story, Way};
use super::world::World;

/// How many seeds met each thing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coverage {
    pub(crate) seeds: u64,
    pub(crate) invocations: u64,
    pub(crate) requests: u64,
    met: BTreeMap<&'static str, BTreeMap<String, u64>>,
}

const FAULT: &str = "fault";
const ACTOR: &str = "actor";
const PAYLOAD: &str = "payload";
const TRIGGER: &str = "trigger";
const OUTCOME: &str = "outcome";
const ENDING: &str = "ending";

/// The kinds of triggers that there are.
const TRIGGER_KINDS: [&str; 14] = [
    "stream-created",
    "encryption-stopped",
    "encryption-changed",
    "key-rotated",
    "alias-repointed",
    "key-state-changed",
    "tags-changed",
    "compliance-changed",
    "security-finding",
    "scheduled",
    "manual",
    "work-item",
    "unknown",
    "ignored",
];

const ENDINGS: [&str; 16] = [
    "killed",
    "failed: StillUpdating",
    "failed: Throttled",
    "failed: ResourceInUse",
    "failed: AwsUnavailable",
    "failed: DeadLetterNotStored",
    "third attempt",
    "call abandoned",
    "history read in part",
    "history of the own session read",
    "member's session refused",
    "member's session renewed",
    "waited in the queue",
    "waited two days",
    "left to the next sweep",
    "message sent on stream by stream",
];

/// Writes down which faults have met a call; after this they are cleared.
pub(crate) fn note_faults(world: &World) {
    // They were given in the order of the plan, after those that only make calls take their time.
    let before = if world.plan.latency.is_zero() { 0 } else { OPERATIONS.len() };
    for ((_, fault), met) in world.plan.faults.iter().zip(world.account.faults_met().into_iter().skip(before)) {
        if met {
            world.note(format!("met: {}", fault.wrong.kind()));
        }
    }
}

/// What [`super::busy`] is about, as far as it happened.
fn of_busy_accounts(story: &Story) -> BTreeSet<&'static str> {
    let mut met = BTreeSet::new();
    for exchange in &story.exchanges {
        if exchange.request["LookupAttributes"][0]["AttributeKey"] == "Username" {
            met.insert("history of the own session read");
        }
        if exchange.in_member && super::busy::is_dead(exchange) {
            met.insert("member's session refused");
            let mut later = story.exchanges.iter().filter(|other| other.sent > exchange.sent);
            if later.any(|other| other.access_key == exchange.access_key && other.operation == "AssumeRole") {
                met.insert("member's session renewed");
            }
        }
    }
    for line in &story.log {
        let reason = line.field("reason");
        let is_of_batch = || story.invocations[line.invocation].way == Way::Batch;
        match line.message.as_str() {
            "change history is too long to be read" => met.insert("history read in part"),
            "stream settled" if reason.ends_with("the next scheduled sweep looks at it again") => {
                met.insert("left to the next sweep")
            }
            "stream settled" if reason.contains("UPDATING") && reason.contains(super::busy::WAITS) => {
                met.insert("waited in the queue")
            }
            "stream settled" if reason.contains("streams in the request") && is_of_batch() => {
                met.insert("message sent on stream by stream")
            }
            "stream not settled" if reason.contains("hours in the work queue") => met.insert("waited two days"),
            _ => false,
        };
    }
    met
}

impl Coverage {
    /// What one run met.
    pub(crate) fn of(world: &World, story: &Story) -> Self {
        let mut met: BTreeSet<(&'static str, String)> = BTreeSet::new();
        for (_, note) in &story.notes {
            if let Some(kind) = note.strip_prefix("met: ") {
                met.insert((FAULT, kind.to_owned()));
            }
        }
        for (_, deed) in &world.plan.deeds {
            met.insert((ACTOR, deed.kind().to_owned()));
        }
        let is_made = |what: &str| what != "manual of a member" || world.plan.of_member > 0;
        for (_, trigger) in world.plan.triggers.iter().filter(|(_, trigger)| is_made(trigger.what)) {
            met.insert((PAYLOAD, trigger.what.to_owned()));
        }
        for line in &story.log {
            match line.message.as_str() {
                "stream settled" | "stream not settled" | "stream listed" => {
                    met.insert((OUTCOME, line.field("status").to_owned()));
                }
                "request handled" => {
                    met.insert((TRIGGER, line.field("trigger").to_owned()));
                }
                _ => {}
            }
        }
        for invocation in &story.invocations {
            match &invocation.end {
                end if super::was_killed(end) => {
                    met.insert((ENDING, "killed".to_owned()));
                }
                super::End::Error { kind, .. } => {
                    met.insert((ENDING, format!("failed: {kind}")));
                }
                super::End::Answer(answer) if answer["summary"]["queued"].is_u64() => {
                    met.insert((OUTCOME, Status::Queued.as_str().to_owned()));
                }
                _ => {}
            }
            if invocation.way == Way::Event(3) {
                met.insert((ENDING, "third attempt".to_owned()));
            }
        }
        if story.exchanges.iter().any(|exchange| exchange.heard == Heard::Nothing) {
            met.insert((ENDING, "call abandoned".to_owned()));
        }
        met.extend(of_busy_accounts(story).into_iter().map(|ending| (ENDING, ending.to_owned())));
        let mut coverage = Self {
            seeds: 1,
            invocations: story.invocations.len() as u64,
            requests: story.exchanges.len() as u64,
            met: BTreeMap::new(),
        };
        for (what, which) in met {
            coverage.met.entry(what).or_default().insert(which, 1);
        }
        coverage
    }

    /// Both.
    pub(crate) fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.invocations += other.invocations;
        self.requests += other.requests;
        for (what, met) in &other.met {
            for (which, seeds) in met {
                *self.met.entry(what).or_default().entry(which.clone()).or_default() += seeds;
            }
        }
    }

    /// What no seed met.
    pub(crate) fn missing(&self) -> Vec<String> {
        let statuses = Status::ALL.map(Status::as_str);
        let wanted: [(&str, &[&str]); 6] = [
            (FAULT, &KINDS),
            (ACTOR, &DEEDS),
            (PAYLOAD, &TRIGGERS),
            (TRIGGER, &TRIGGER_KINDS),
            (OUTCOME, &statuses),
            (ENDING, &ENDINGS),
        ];
        let mut missing = Vec::new();
        for (what, all) in wanted {
            let met = self.met.get(what);
            let is_met = |which: &str| met.is_some_and(|met| met.contains_key(which));
            // Denied calls come by a queue of their own, which the campaign does not have:
            // tests/scenarios/denials.rs.
            let is_wanted = |which: &&&str| **which != Status::AccessDenied.as_str();
            missing.extend(
                all.iter().filter(is_wanted).filter(|which| !is_met(which)).map(|which| format!("{what}: {which}")),
            );
        }
        missing
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, invocations, requests, met } = self;
        writeln!(f, "{seeds} seeds, {invocations} invocations, {requests} requests. Seeds that met:")?;
        for (what, met) in met {
            let all: Vec<_> = met.iter().map(|(which, seeds)| format!("{which} {seeds}")).collect();
            writeln!(f, "  {what:<8} {}", all.join(" · "))?;
        }
        Ok(())
    }
}
