//! What must hold where somebody fills the history of calls, where AWS goes on changing streams,
//! and where the credentials of a member account die.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use kinesis_encryption_enforcer::domain::failure::{Kind, code};
use serde_json::Value;

use super::invariants::{Found, Run, was_refused};
use super::plan::{Deed, ENDED};
use super::story::{End, Exchange, Invocation, Way, is_ours};
use super::world::{LETTERS, OF_MEMBER, WORK};

/// The longest wait in place: of a scheduled sweep none, …
const OF_MESSAGE: TimeDelta = TimeDelta::seconds(3);
const OF_EVENT: TimeDelta = TimeDelta::seconds(30);
const AFTER_START: TimeDelta = TimeDelta::seconds(60);

/// How long a call is waited for.
const CALL: TimeDelta = TimeDelta::seconds(5);

/// The longest waits in the queue.
const IN_QUEUE: TimeDelta = TimeDelta::hours(48);
const IN_SWEEP: TimeDelta = TimeDelta::hours(1);

/// What the reason of a wait for AWS says.
pub(super) const WAITS: &str = ": it is looked at again in";

/// A message about one stream.
struct Item {
    id: String,
    body: Value,
    stream: String,
    is_first: bool,
}

impl Item {
    fn name(&self) -> &str {
        self.stream.rsplit('/').next().unwrap_or_default()
    }

    /// A second receive is not that of a sweep: the first may have started the stream, and then been
    /// killed.
    fn is_of_sweep(&self) -> bool {
        self.body["origin"]["kind"] == "scheduled" && self.is_first
    }
}

fn records(invocation: &Invocation) -> impl Iterator<Item = &Value> {
    invocation.payload["Records"].as_array().into_iter().flatten()
}

fn is_first_receive(record: &Value) -> bool {
    record["attributes"]["ApproximateReceiveCount"] == "1"
}

/// The work items of a batch about streams that no other message of it names.
fn items(invocation: &Invocation) -> Vec<Item> {
    let is_batch = invocation.way == Way::Batch;
    let read = |record: &Value| {
        let body: Value = serde_json::from_str(record["body"].as_str()?).ok()?;
        let stream = body["stream"].as_str().filter(|_| body["kind"] == "work-item")?.to_owned();
        let id = record["messageId"].as_str()?.to_owned();
        Some(Item { id, body, stream, is_first: is_first_receive(record) })
    };
    let names = |item: &Item| {
        records(invocation)
            .filter(|record| record["body"].as_str().is_some_and(|body| body.contains(item.name())))
            .count()
    };
    records(invocation).filter(|_| is_batch).filter_map(read).filter(|item| names(item) == 1).collect()
}

fn time(value: &Value) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(value.as_str()?).ok().map(|at| at.to_utc())
}

impl Run<'_> {
    /// Whether streams wait in the queue.
    fn waits_in_queue(&self) -> bool {
        self.world.plan.queue && !self.world.plan.audit
    }

    pub(super) fn waits_in_place_pay(&self) -> Found {
        let mut found = Vec::new();
        if !self.waits_in_queue() {
            return found;
        }
        for (number, invocation) in self.invocations() {
            for item in items(invocation) {
                let patience = if item.is_of_sweep() { TimeDelta::zero() } else { OF_MESSAGE };
                found.extend(self.waited_too_long(number, item.name(), patience));
            }
            if invocation.way != Way::Batch && invocation.payload.get("detail-type").is_some() {
                let mut streams: Vec<_> = self.of(number).filter_map(|exchange| exchange.stream.clone()).collect();
                streams.sort();
                streams.dedup();
                for stream in streams {
                    found.extend(self.waited_too_long(number, &stream, OF_EVENT));
                }
            }
        }
        found
    }

    /// A look at `stream` that followed one that showed it changing, later than is worth it.
    fn waited_too_long(&self, number: usize, stream: &str, patience: TimeDelta) -> Option<(DateTime<Utc>, String)> {
        let of_stream = |operation: &'static str| {
            self.of(number).filter(move |it| it.operation == operation && it.stream.as_deref() == Some(stream))
        };
        let status = |look: &Exchange| {
            let shown = look.heard.answer()?["StreamDescriptionSummary"].take();
            (shown["StreamName"] == stream).then(|| shown["StreamStatus"].as_str().map(str::to_owned))?
        };
        let looks: Vec<_> = of_stream("DescribeStreamSummary")
            .filter_map(|look| Some((look, look.answered?, look.ended_at?, status(look)?)))
            .collect();
        let first = looks.first().map(|(_, _, ended, _)| *ended)?;
        for (look, answered, ended, status) in &looks {
            let is_changing = status == "UPDATING" || status == "CREATING";
            let is_last = !of_stream("DescribeStreamSummary").any(|other| other.sent > *answered);
            if !is_changing || is_last {
                continue;
            }
            let start =
                of_stream("StartStreamEncryption").filter(|start| start.sent < look.sent && !was_refused(start)).last();
            let (since, most) = match start {
                None => (first, patience),
                // An answer that never came was waited for, too.
                Some(start) => (start.ended_at.unwrap_or(start.at + CALL), AFTER_START),
            };
            if *ended - since >= most.max(TimeDelta::milliseconds(1)) || most.is_zero() {
                let waited = (*ended - since).num_milliseconds();
                return Some((*ended, format!("#{number} waited on for {stream}, {status} for {waited} ms")));
            }
        }
        None
    }

    pub(super) fn waits_use_up_nothing(&self) -> Found {
        let mut found = Vec::new();
        for (number, invocation) in self.invocations() {
            let End::Answer(answer) = &invocation.end else { continue };
            let at = invocation.ended.unwrap_or(invocation.deadline);
            let stored = self.stored(number, WORK);
            for item in items(invocation) {
                let lines = |message| {
                    self.log(message).filter(|line| line.invocation == number && line.field("stream") == item.stream)
                };
                let is_deferred = lines("stream settled").any(|line| line.field("status") == "deferred");
                let failures = answer["batchItemFailures"].as_array();
                let is_handed_back = failures.into_iter().flatten().any(|failed| failed["itemIdentifier"] == item.id);
                if is_handed_back && is_deferred && lines("stream not settled").next().is_none() {
                    found.push((at, format!("#{number}: {} is deferred and handed back", item.stream)));
                }
                let is_wait = |sent: &Value| sent["reason"].as_str().is_some_and(|reason| reason.contains(WAITS));
                let waits = stored
                    .iter()
                    .filter(|sent| sent["stream"] == item.stream && sent["wait"].is_object() && is_wait(sent));
                for sent in waits {
                    let (before, after) = (item.body["hops"].as_u64(), sent["hops"].as_u64());
                    if before.unwrap_or_default() != after.unwrap_or_default() {
                        found.push((at, format!("#{number}: waiting took a hop: {sent}")));
                    }
                }
            }
        }
        found
    }

    pub(super) fn waits_end(&self) -> Found {
        let mut found = Vec::new();
        let mut begun: BTreeMap<String, usize> = BTreeMap::new();
        let mut given_up: BTreeMap<String, Vec<DateTime<Utc>>> = BTreeMap::new();
        for (number, invocation) in self.invocations() {
            let (start, at) = (invocation.began, invocation.ended.unwrap_or(invocation.deadline));
            let first = records(invocation).all(is_first_receive);
            for item in self.stored(number, WORK) {
                let Some(since) = time(&item["wait"]["since"]) else { continue };
                let of_sweep = first && item["origin"]["kind"] == "scheduled" && item["expiresAt"].is_null();
                // A failure that is retried carries the wait before it along.
                let waits = item["reason"].as_str().is_some_and(|reason| reason.contains(WAITS));
                let of_sweep =
                    of_sweep && item["reason"].as_str().is_some_and(|reason| reason.starts_with("not started"));
                if waits && start - since >= if of_sweep { IN_SWEEP } else { IN_QUEUE } {
                    found.push((at, format!("#{number} lets wait what waits since {since}: {item}")));
                }
                if item["wait"]["times"] == 1 {
                    *begun.entry(item["stream"].to_string()).or_default() += 1;
                }
            }
            for letter in self.stored(number, LETTERS) {
                let error = &letter["error"];
                if error["code"] != code::STILL_UPDATING || error["class"] != "terminal" {
                    continue;
                }
                if time(&letter["event"]["wait"]["since"]).is_none_or(|since| at - since < IN_QUEUE) {
                    found.push((at, format!("#{number} gave up what did not wait for two days: {letter}")));
                }
                given_up.entry(letter["stream"].to_string()).or_default().push(at);
            }
        }
        let plan = &self.world.plan;
        let is_sent_twice = plan.faults.iter().any(|(_, fault)| fault.operation.starts_with("SendMessage"));
        if plan.kills > 0 || is_sent_twice || plan.deeds.iter().any(|(_, deed)| matches!(deed, Deed::CopyMessage)) {
            // A message may be worked twice.
            return found;
        }
        for (stream, letters) in given_up {
            if let Some(at) = letters.get(begun.get(&stream).copied().unwrap_or_default()) {
                found.push((*at, format!("{stream} waited less often than it was given up")));
            }
        }
        found
    }

    /// What the account knows, not what it showed: the function's own starts older than the lag are
    /// in the history, whatever others add to it.
    pub(super) fn readable_history_is_heeded(&self) -> Found {
        let mut found = Vec::new();
        let plan = &self.world.plan;
        let ours: Vec<_> = self
            .calls
            .iter()
            .filter(|call| {
                call.operation == "StartStreamEncryption" && is_ours(&call.access_key) && call.result.is_ok()
            })
            .collect();
        for (number, start) in self.starts() {
            let is_single = records(&self.story.invocations[number]).count() < 2;
            if !plan.own_role || plan.of_member > 0 || !is_single || self.is_asked_for(number) {
                continue;
            }
            let Some(read) = self.history_read_before(number, start) else { continue };
            let lag = TimeDelta::from_std(plan.history_lag).unwrap_or_default();
            let since = self.since(number, start);
            let shown = ours.iter().filter(|call| {
                call.stream == start.stream && call.at + lag + TimeDelta::seconds(1) <= read && call.at >= since
            });
            let times = super::invariants::merged(shown.map(|call| call.at));
            if times.len() >= plan.most_applies {
                found.push((start.at, format!("#{number}: the account has starts of {:?} at {times:?}", start.stream)));
            }
        }
        found
    }

    /// When all of the history was read in the invocation before `start`, if it was: that of both
    /// calls, or that of the own session.
    fn history_read_before(&self, number: usize, start: &Exchange) -> Option<DateTime<Utc>> {
        let pages: Vec<_> = self
            .of(number)
            .filter(|it| it.operation == "LookupEvents" && it.answered.is_some_and(|answered| answered < start.sent))
            .collect();
        let whole = |name: &str| {
            let of_it = pages.iter().filter(|page| page.request["LookupAttributes"][0]["AttributeValue"] == name);
            let pages: Vec<_> = of_it.collect();
            let answers: Vec<_> = pages.iter().filter_map(|page| page.heard.answer()).collect();
            let last = answers.last().filter(|answer| answer["Events"].is_array())?;
            let is_last = last["NextToken"].as_str().is_none_or(str::is_empty);
            let good =
                |answer: &Value| answer["Events"].as_array().is_some_and(|events| events.iter().all(Value::is_object));
            (is_last && answers.iter().all(good)).then(|| pages[0].at)
        };
        let by_call = whole("StartStreamEncryption").zip(whole("StopStreamEncryption"));
        by_call.map(|(starts, _)| starts).or_else(|| whole(super::world::FUNCTION))
    }

    /// Refused credentials of a member account are renewed before anything is given up.
    pub(super) fn dead_sessions_are_renewed(&self) -> Found {
        let mut found = Vec::new();
        for line in self.log("stream not settled") {
            let number = line.invocation;
            let is_credentials = Kind::of(line.field("code")) == Kind::Credentials;
            let in_member = line.field("stream").rsplit('/').next().is_some_and(|name| name.starts_with(OF_MEMBER));
            if !is_credentials || !in_member {
                continue;
            }
            // Also one that was renewed before, since a policy denied it: a session is renewed once.
            let is_refused = |code: String| ENDED.iter().any(|(ended, _)| *ended == code);
            let refused =
                self.of(number).find(|exchange| exchange.in_member && exchange.heard.code().is_some_and(is_refused));
            let tried = refused
                .is_none_or(|refused| self.of(number).any(|it| it.operation == "AssumeRole" && it.sent > refused.sent));
            if !tried {
                found.push((line.at, format!("#{number}: {} was given up with a dead session", line.field("stream"))));
            }
        }
        for (number, invocation) in self.invocations() {
            let renewals = self.of(number).filter(|it| it.operation == "AssumeRole" && it.heard.is_ok()).count();
            if renewals > 2 {
                found.push((invocation.deadline, format!("#{number} assumed the role {renewals} times")));
            }
        }
        found
    }
}

/// Whether a call was refused as those of a session are that has ended.
pub(super) fn is_dead(exchange: &Exchange) -> bool {
    let codes = |code: &String| ENDED.iter().any(|(ended, _)| ended == code && *ended != "AccessDeniedException");
    exchange.heard.code().as_ref().is_some_and(codes)
}
