//! What must hold of every run, whatever went wrong in it. Each check is a function of the story;
//! none asks the product how it sees itself.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use kinesis_encryption_enforcer::domain::failure::{Class, Kind};
use kinesis_encryption_enforcer::domain::outcome::Status;
use kinesis_encryption_enforcer::sandbox::Call;
use serde_json::Value;

use super::plan::{EXEMPT, Wrong, spares};
use super::story::{End, Exchange, Heard, Invocation, Line, Story, Way, access_key, invocation_of, is_ours};
use super::triggers::STRANGER;
use super::world::{LETTERS, MANAGED, WORK, World};

/// An invariant that did not hold.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) at: DateTime<Utc>,
    pub(crate) invariant: &'static str,
    pub(crate) what: String,
}

/// A run that is over.
pub(super) struct Run<'a> {
    pub(super) world: &'a World,
    pub(super) story: &'a Story,
    /// The calls in the function's own account.
    pub(super) calls: Vec<Call>,
    /// The requests of each invocation.
    exchanges: Vec<Vec<&'a Exchange>>,
    /// What each invocation had stored in queues: the queue's URL, and the message.
    stored: Vec<Vec<(String, Value)>>,
}

/// What did not hold: when, and what.
pub(super) type Found = Vec<(DateTime<Utc>, String)>;

type Check = fn(&Run<'_>) -> Found;

/// The starts of each invocation, by stream and when it was created.
type Starts<'a> = BTreeMap<(usize, String, Option<DateTime<Utc>>), Vec<&'a Exchange>>;

/// Everything that did not hold in the run, in the order in which it happened.
pub(crate) fn check(world: &World, story: &Story) -> Vec<Violation> {
    let checks: [(&'static str, Check); 25] = [
        ("an invocation ends in time", |run| run.ends_in_time()),
        ("an invocation fails with an errorType of the list", |run| run.fails_by_the_list()),
        ("an answer is what the contract says", |run| run.answers_by_the_contract()),
        ("a letter is what the contract says", |run| run.letters_by_the_contract()),
        ("a failure is lettered, retried or answered", |run| run.failures_are_accounted_for()),
        ("streams of a stranger have no letters of their own", |run| run.strangers_are_one_letter()),
        ("what is deferred is in the queue", |run| run.deferrals_are_queued()),
        ("a letter that is not stored is logged whole and fails the invocation", |run| run.lost_letters_fail()),
        ("nothing is both lettered and retried", |run| run.not_both()),
        ("nothing is written but starts, letters, work and events", |run| run.writes_nothing_else()),
        ("audit mode and dry runs write nothing to streams and queues", |run| run.audit_writes_nothing()),
        ("a start follows a fresh look that showed the stream ACTIVE", |run| run.starts_after_a_fresh_look()),
        ("a stream that is right is not started", |run| run.right_streams_rest()),
        ("an exempt stream is not started", |run| run.exempt_streams_rest()),
        ("the key is the desired one, by its ARN", |run| run.key_is_the_desired()),
        ("the key was usable when KMS was asked", |run| run.key_was_usable()),
        ("a start is sent again only after a refusal in so many words", |run| run.no_blind_repetition()),
        ("at most one start of a stream is accepted in an invocation", |run| run.accepted_once()),
        ("what the process remembers keeps to MAX_APPLIES_PER_DAY", |run| run.memory_is_heeded()),
        ("what CloudTrail shows keeps to MAX_APPLIES_PER_DAY", |run| run.history_is_heeded()),
        ("what could be read of CloudTrail keeps to MAX_APPLIES_PER_DAY", |run| run.readable_history_is_heeded()),
        ("a changing stream is waited for in place only as long as that pays", |run| run.waits_in_place_pay()),
        ("a wait uses up no receive and no hop", |run| run.waits_use_up_nothing()),
        ("nothing waits for more than two days, and then it is one letter", |run| run.waits_end()),
        ("dead credentials of a member are renewed", |run| run.dead_sessions_are_renewed()),
    ];
    let calls = world.account.calls();
    let mut exchanges: Vec<Vec<&Exchange>> = vec![Vec::new(); story.invocations.len()];
    for exchange in &story.exchanges {
        exchanges[invocation_of(&exchange.access_key).expect("the function's")].push(exchange);
    }
    let mut stored: Vec<Vec<(String, Value)>> = vec![Vec::new(); story.invocations.len()];
    for call in calls.iter().filter(|call| call.result.is_ok() && call.operation.starts_with("SendMessage")) {
        let Some(number) = invocation_of(&call.access_key) else { continue };
        let url = call.request["QueueUrl"].as_str().unwrap_or_default();
        let entries = call.request["Entries"].as_array().cloned().unwrap_or_default();
        let entries = if call.operation == "SendMessage" { vec![call.request.clone()] } else { entries };
        let bodies = entries.iter().filter_map(|entry| serde_json::from_str(entry["MessageBody"].as_str()?).ok());
        stored[number].extend(bodies.map(|body| (url.to_owned(), body)));
    }
    let run = Run { world, story, calls, exchanges, stored };
    let mut found = Vec::new();
    for (invariant, check) in checks {
        found.extend(check(&run).into_iter().map(|(at, what)| Violation { at, invariant, what }));
    }
    found.sort_by_key(|violation| violation.at);
    found
}

/// For how long an answer is on its way.
const ON_ITS_WAY: TimeDelta = TimeDelta::milliseconds(100);

/// `FRESH` of the product, and what a request takes to be signed and sent: nothing, in this time.
const FRESH: TimeDelta = TimeDelta::seconds(2);

impl Run<'_> {
    pub(super) fn invocations(&self) -> impl Iterator<Item = (usize, &Invocation)> {
        self.story.invocations.iter().enumerate()
    }

    /// The starts of the function, each with its invocation.
    pub(super) fn starts(&self) -> Vec<(usize, &Exchange)> {
        self.invocations()
            .flat_map(|(number, _)| {
                self.of(number)
                    .filter(|exchange| exchange.operation == "StartStreamEncryption")
                    .map(move |start| (number, start))
            })
            .collect()
    }

    /// The last answer to `operation` about the start's stream, or about anything, before `start`,
    /// of which `holds` is true.
    fn last<'b>(
        &'b self,
        number: usize,
        start: &Exchange,
        operation: &str,
        holds: impl Fn(&Exchange, &Value) -> bool,
    ) -> Option<(&'b Exchange, Value)> {
        let before = |exchange: &&Exchange| {
            exchange.operation == operation
                && (exchange.stream.is_none() || exchange.stream == start.stream)
                && exchange.answered.is_some_and(|answered| answered < start.sent)
        };
        let mut last: Option<(&Exchange, Value)> = None;
        for exchange in self.of(number).filter(before) {
            if let Some(answer) = exchange.heard.answer().filter(|answer| holds(exchange, answer))
                && last.as_ref().is_none_or(|(other, _)| other.answered < exchange.answered)
            {
                last = Some((exchange, answer));
            }
        }
        last
    }

    fn look(&self, number: usize, start: &Exchange) -> Option<(&Exchange, Value)> {
        let found = self.last(number, start, "DescribeStreamSummary", |_, answer| {
            answer.pointer("/StreamDescriptionSummary/StreamName").and_then(Value::as_str) == start.stream.as_deref()
        });
        found.map(|(exchange, mut answer)| (exchange, answer["StreamDescriptionSummary"].take()))
    }

    /// The requests of an invocation.
    pub(super) fn of(&self, number: usize) -> impl Iterator<Item = &Exchange> {
        self.exchanges.get(number).into_iter().flatten().copied()
    }

    /// The messages that an invocation had stored on `queue`.
    pub(super) fn stored(&self, number: usize, queue: &str) -> Vec<&Value> {
        let stored = self.stored.get(number).into_iter().flatten();
        stored.filter(|(url, _)| url.ends_with(queue)).map(|(_, body)| body).collect()
    }

    pub(super) fn log(&self, message: &'static str) -> impl Iterator<Item = &Line> {
        self.story.log.iter().filter(move |line| line.message == message)
    }

    fn ends_in_time(&self) -> Found {
        // The answer needs a moment for its way back to Lambda.
        let late =
            |it: &Invocation| it.end != End::Killed && it.ended.is_none_or(|ended| ended + ON_ITS_WAY > it.deadline);
        let late = self.invocations().filter(|(_, it)| late(it));
        late.map(|(number, it)| (it.deadline, format!("#{number} had not ended at its deadline"))).collect()
    }

    fn fails_by_the_list(&self) -> Found {
        const LIST: [&str; 7] = [
            "StillUpdating",
            "Throttled",
            "ResourceInUse",
            "AwsUnavailable",
            "DeadLetterNotStored",
            "Settings",
            "Policy",
        ];
        let mut found = Vec::new();
        for (number, invocation) in self.invocations() {
            let End::Error { kind, message } = &invocation.end else { continue };
            let at = invocation.ended.unwrap_or(invocation.deadline);
            if !LIST.contains(&kind.as_str()) || kind == "Settings" {
                found.push((at, format!("#{number} failed with the errorType {kind}")));
            }
            if message.len() > 4096 || serde_json::from_str::<Value>(message).is_err() {
                found.push((at, format!("the errorMessage of #{number} is no JSON of 4 KB: {message}")));
            }
            if invocation.way == Way::Batch {
                let by_policy = kind == "Policy" && self.world.plan.policy_in_parameter;
                if !by_policy {
                    found.push((at, format!("#{number}, a batch, failed as a whole with {kind}")));
                }
            }
        }
        found
    }

    fn answers_by_the_contract(&self) -> Found {
        let statuses: BTreeSet<_> = Status::ALL.iter().map(|status| status.as_str()).collect();
        let mut found = Vec::new();
        for (number, invocation) in self.invocations() {
            let End::Answer(answer) = &invocation.end else { continue };
            let mut wrong = |what: String| {
                found.push((
                    invocation.ended.unwrap_or(invocation.deadline),
                    format!("the answer of #{number}: {what}"),
                ));
            };
            if invocation.way == Way::Batch {
                let sent: Vec<_> = invocation.payload["Records"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|record| &record["messageId"])
                    .collect();
                for item in answer["batchItemFailures"].as_array().into_iter().flatten() {
                    if !sent.contains(&&item["itemIdentifier"]) {
                        wrong(format!("{item} was not in the batch"));
                    }
                }
                if !answer["batchItemFailures"].is_array() {
                    wrong(format!("no batchItemFailures: {answer}"));
                }
                continue;
            }
            let kind = answer["trigger"]["kind"].as_str().unwrap_or_default();
            let outcomes = answer["outcomes"].as_array().cloned().unwrap_or_default();
            let of_streams = [
                "stream-created",
                "encryption-stopped",
                "encryption-changed",
                "tags-changed",
                "compliance-changed",
                "security-finding",
                "unknown",
            ];
            if of_streams.contains(&kind) && outcomes.is_empty() {
                wrong(format!("a trigger of the kind {kind} without an outcome"));
            }
            if kind == "ignored" && answer["trigger"]["reason"].as_str().is_none_or(str::is_empty) {
                wrong("ignored without a reason".to_owned());
            }
            let counted: u64 =
                answer["summary"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
            if counted < outcomes.len() as u64 {
                wrong("the summary counts less than there is".to_owned());
            }
            for outcome in &outcomes {
                let status = outcome["status"].as_str().unwrap_or_default();
                if !statuses.contains(status) || outcome["reason"].as_str().is_none_or(str::is_empty) {
                    wrong(format!("no status or no reason: {outcome}"));
                }
                let failed = matches!(status, "failed" | "contested");
                if failed != outcome["error"].is_object() {
                    wrong(format!("an error does not go with {status}: {outcome}"));
                }
                if failed && let Err(problem) = diagnosed(&outcome["error"], self.invented()) {
                    wrong(format!("{problem}: {outcome}"));
                }
                if status == "encrypted" && outcome["applied"] != true {
                    wrong(format!("encrypted, but not applied: {outcome}"));
                }
            }
        }
        found
    }

    /// Whether this run has error codes that nobody knows.
    fn invented(&self) -> bool {
        self.world.plan.faults.iter().any(|(_, fault)| match fault.wrong {
            Wrong::Error(code, _) => Kind::of(code) == Kind::Unknown,
            _ => false,
        })
    }

    fn letters_by_the_contract(&self) -> Found {
        let mut found = Vec::new();
        for (number, invocation) in self.invocations() {
            for letter in self.stored(number, LETTERS) {
                let at = invocation.ended.unwrap_or(invocation.deadline);
                if letter["kind"] != "enforcement-failure"
                    || letter["version"] != 1
                    || letter["attempts"].as_u64().is_none_or(|count| count == 0)
                {
                    found.push((at, format!("no letter: {letter}")));
                }
                if letter["event"]["kind"] == "enforcement-failure" {
                    found.push((at, format!("a letter in a letter: {letter}")));
                }
                if letter["stream"].is_null() && letter["event"].is_null() {
                    found.push((at, format!("a letter about nothing: {letter}")));
                }
                if let Err(problem) = diagnosed(&letter["error"], self.invented()) {
                    found.push((at, format!("{problem}: {letter}")));
                }
            }
        }
        found
    }

    /// A finding names thirty of them.
    fn strangers_are_one_letter(&self) -> Found {
        let mut found = Vec::new();
        for (number, invocation) in self.invocations() {
            for letter in self.stored(number, LETTERS) {
                if letter["stream"].as_str().is_some_and(|stream| stream.contains(STRANGER)) {
                    found.push((invocation.ended.unwrap_or(invocation.deadline), format!("a letter each: {letter}")));
                }
            }
        }
        found
    }

    fn failures_are_accounted_for(&self) -> Found {
        let mut found = Vec::new();
        for line in self.log("stream not settled") {
            let (number, invocation) = (line.invocation, &self.story.invocations[line.invocation]);
            let asked_not_to = ["dryRun", "deadLetter"].iter().any(|word| invocation.payload.get(word).is_some());
            let (stream, code) = (line.field("stream"), line.field("code"));
            let lettered = || {
                self.stored(number, LETTERS).iter().any(|letter| {
                    letter["error"]["code"] == code && letter["stream"].as_str().unwrap_or_default() == stream
                })
            };
            // Trouble of a key that is reported for the whole fleet, by this invocation or by the
            // one that sent the item, is not reported for every stream.
            let of_the_fleet = || {
                let here = self.stored(number, LETTERS);
                let payload = invocation.payload.to_string().replace('\\', "");
                let told = payload.split("\"reported\":[").skip(1).filter_map(|rest| rest.split(']').next());
                here.iter().any(|letter| letter["error"]["code"] == code && letter["stream"].is_null())
                    || told.into_iter().any(|messages| messages.contains(&format!(": {code}: ")))
            };
            let accounted = match &invocation.end {
                End::Running | End::Killed | End::Overdue | End::Error { .. } => true,
                _ if asked_not_to || code == "Contested" && !self.told_contested_first(line) || of_the_fleet() => true,
                End::Answer(_) if invocation.way == Way::Person && !self.world.plan.failure_queue => true,
                End::Answer(answer) if invocation.way == Way::Batch => {
                    lettered() || answer["batchItemFailures"].as_array().is_some_and(|failures| !failures.is_empty())
                }
                End::Answer(_) => lettered(),
            };
            if !accounted {
                found.push((line.at, format!("#{number}: {code} of {stream} ended nowhere")));
            }
        }
        found
    }

    /// Whether a contested stream is one that no schedule met: those are told without another
    /// letter.
    fn told_contested_first(&self, line: &Line) -> bool {
        let payload = self.story.invocations[line.invocation].payload.to_string();
        !payload.contains("scheduled") && !payload.contains("Scheduled")
    }

    fn deferrals_are_queued(&self) -> Found {
        let mut found = Vec::new();
        // What a scheduled sweep found changing for an hour is left to the next.
        let is_left = |line: &&Line| line.field("reason").ends_with("the next scheduled sweep looks at it again");
        let deferred = self.log("stream settled").filter(|line| line.field("status") == "deferred");
        for line in deferred.filter(|line| !is_left(line)) {
            let invocation = &self.story.invocations[line.invocation];
            if !matches!(invocation.end, End::Answer(_)) {
                continue;
            }
            let stream = line.field("stream");
            let queued = self
                .stored(line.invocation, WORK)
                .iter()
                .any(|item| stream.is_empty() || item["stream"].as_str() == Some(stream));
            if !queued {
                found.push((line.at, format!("#{}: {stream} is deferred, but not queued", line.invocation)));
            }
        }
        for (number, invocation) in self.invocations() {
            let End::Answer(answer) = &invocation.end else { continue };
            let queued = answer["summary"]["queued"].as_u64().unwrap_or_default();
            let items = self.stored(number, WORK).len() as u64;
            if items < queued {
                found
                    .push((invocation.deadline, format!("#{number}: {queued} are said to be queued, and {items} are")));
            }
        }
        found
    }

    fn lost_letters_fail(&self) -> Found {
        let mut found = Vec::new();
        for line in self.log("dead letter could not be stored") {
            let invocation = &self.story.invocations[line.invocation];
            let whole = serde_json::from_str::<Value>(line.field("letter"))
                .is_ok_and(|letter| letter["kind"] == "enforcement-failure");
            let fails = match &invocation.end {
                End::Error { kind, .. } => kind == "DeadLetterNotStored",
                End::Answer(answer) => {
                    answer["batchItemFailures"].as_array().is_some_and(|failures| !failures.is_empty())
                }
                End::Running | End::Killed | End::Overdue => true,
            };
            if !whole || !fails {
                found.push((
                    line.at,
                    format!("#{}: a letter was not stored; logged whole: {whole}, failed: {fails}", line.invocation),
                ));
            }
        }
        found
    }

    fn not_both(&self) -> Found {
        let mut found = Vec::new();
        for (number, invocation) in self.invocations() {
            let End::Error { kind, .. } = &invocation.end else { continue };
            if kind != "DeadLetterNotStored" && !self.stored(number, LETTERS).is_empty() {
                found.push((
                    invocation.ended.unwrap_or(invocation.deadline),
                    format!("#{number} wrote a letter and failed with {kind}"),
                ));
            }
        }
        found
    }

    fn writes_nothing_else(&self) -> Found {
        const ALLOWED: [&str; 16] = [
            "AssumeRole",
            "DescribeStreamSummary",
            "DescribeKey",
            "GetKeyPolicy",
            "GetParameter",
            "GetQueueAttributes",
            "GetResourcePolicy",
            "GetResources",
            "ListStreams",
            "ListTagsForStream",
            "LookupEvents",
            "StartStreamEncryption",
            "SendMessage",
            "SendMessageBatch",
            "ChangeMessageVisibility",
            "PutEvents",
        ];
        let of_function =
            |exchange: &&Exchange| is_ours(&exchange.access_key) && !ALLOWED.contains(&exchange.operation.as_str());
        let mut found: Found = self
            .story
            .exchanges
            .iter()
            .filter(of_function)
            .map(|it| (it.at, format!("{} was called", it.operation)))
            .collect();
        let describes_managed = |exchange: &&Exchange| {
            exchange.operation == "DescribeKey" && exchange.request.to_string().contains("alias/aws/")
        };
        let managed = self.story.exchanges.iter().filter(describes_managed);
        found.extend(
            managed.map(|it| (it.at, "an AWS managed alias was described, which can create the key".to_owned())),
        );
        found
    }

    fn audit_writes_nothing(&self) -> Found {
        let mut found = Vec::new();
        for (number, invocation) in self.invocations() {
            if !self.world.plan.audit && invocation.payload.get("dryRun").is_none() {
                continue;
            }
            for exchange in self.of(number) {
                let work = exchange.operation.starts_with("SendMessage")
                    && exchange.request["QueueUrl"].as_str().is_some_and(|url| url.ends_with(&format!("/{WORK}")));
                let letter = exchange.operation.starts_with("SendMessage")
                    && !work
                    && invocation.payload.get("dryRun").is_some();
                if exchange.operation == "StartStreamEncryption" || work || letter {
                    found.push((exchange.at, format!("#{number} called {}", exchange.operation)));
                }
            }
        }
        for (number, start) in self.starts() {
            let audit = self.terms_at(number, start).iter().all(|terms| terms.audit);
            if audit {
                found.push((start.at, format!("#{number} started a stream that is only to be judged")));
            }
        }
        found
    }

    /// What the stream was to have when it was started, and when its tags were read: the function
    /// knows the latter.
    fn terms_at(&self, number: usize, start: &Exchange) -> Vec<super::world::Terms> {
        let read = self.last(number, start, "ListTagsForStream", |_, _| true).map(|(read, _)| read);
        let name = start.stream.as_deref().unwrap_or_default();
        let truths = [Some(start), read].into_iter().flatten().filter_map(|exchange| exchange.truth.as_ref());
        truths.map(|truth| self.world.terms(name, &truth.tags)).collect()
    }

    fn starts_after_a_fresh_look(&self) -> Found {
        let mut found = Vec::new();
        for (number, start) in self.starts() {
            let Some((look, shown)) = self.look(number, start) else {
                found.push((start.at, format!("#{number} never saw {:?}", start.stream)));
                continue;
            };
            let age = start.at - look.ended_at.unwrap_or(start.at);
            if shown["StreamStatus"] != "ACTIVE" || age > FRESH {
                found.push((
                    start.at,
                    format!(
                        "#{number}: the look was {} ms old and showed {}",
                        age.num_milliseconds(),
                        shown["StreamStatus"]
                    ),
                ));
            }
        }
        found
    }

    fn right_streams_rest(&self) -> Found {
        let mut found = Vec::new();
        for (number, start) in self.starts() {
            let asked = self.is_reapplication_asked_for(number);
            let Some((_, shown)) = self.look(number, start) else { continue };
            let (key, has) =
                (start.request["KeyId"].as_str().unwrap_or_default(), shown["KeyId"].as_str().unwrap_or_default());
            if !asked
                && shown["EncryptionType"] == "KMS"
                && !has.is_empty()
                && (has == key || key.ends_with(&format!("/{has}")))
            {
                found.push((start.at, format!("#{number} started {:?}, which showed {has}", start.stream)));
            }
        }
        found
    }

    /// Whether a key that is in place may be applied again: a direct request asks for it, or a message
    /// that says that it descends from one, or from a rotation.
    fn is_reapplication_asked_for(&self, number: usize) -> bool {
        let invocation = &self.story.invocations[number];
        let of_rotation = |payload: &str| {
            self.world.plan.reapply && (payload.contains("key-rotated") || payload.contains("CMK Rotation"))
        };
        if invocation.way != Way::Batch {
            let payload = invocation.payload.to_string();
            return payload.contains("reapply") || of_rotation(&payload);
        }
        let bodies =
            invocation.payload["Records"].as_array().into_iter().flatten().filter_map(|it| it["body"].as_str());
        bodies.into_iter().any(|body| {
            let payload: Value = serde_json::from_str(body).unwrap_or_default();
            let is_letter = payload["kind"] == "enforcement-failure";
            let origin = payload["origin"]["kind"].as_str().unwrap_or_default();
            of_rotation(body) || body.contains("reapply") && (is_letter || ["manual", "key-rotated"].contains(&origin))
        })
    }

    fn exempt_streams_rest(&self) -> Found {
        let mut found = Vec::new();
        for (number, start) in self.starts() {
            let plan = &self.world.plan;
            if plan.exempt_tag {
                let reads: Vec<_> = self
                    .of(number)
                    .filter(|it| {
                        it.operation == "ListTagsForStream"
                            && it.stream == start.stream
                            && it.answered.is_some_and(|at| at < start.sent)
                    })
                    .filter(|it| it.heard.answer().is_some())
                    .collect();
                if reads.is_empty() {
                    found.push((start.at, format!("#{number} started {:?} without reading its tags", start.stream)));
                }
                let exempt = |exchange: &Exchange| {
                    exchange.truth.as_ref().and_then(|truth| truth.tags.get(EXEMPT)).is_some_and(|value| spares(value))
                };
                if reads.last().is_some_and(|read| exempt(read)) && exempt(start) {
                    found.push((start.at, format!("#{number} started {:?}, which a tag exempts", start.stream)));
                }
            }
            if !self.terms_at(number, start).iter().any(|terms| !terms.spared) {
                found.push((start.at, format!("#{number} started {:?}, which is exempt", start.stream)));
            }
        }
        found
    }

    fn key_is_the_desired(&self) -> Found {
        let mut found = Vec::new();
        for (number, start) in self.starts() {
            let key = start.request["KeyId"].as_str().unwrap_or_default();
            let name = start.stream.as_deref().unwrap_or_default();
            let desired: Vec<_> =
                self.terms_at(number, start).into_iter().flat_map(|terms| self.world.desired(name, terms)).collect();
            if !desired.iter().any(|desired| desired == key) {
                found
                    .push((start.at, format!("#{number} applied {key} to {:?}, not one of {desired:?}", start.stream)));
            }
        }
        found
    }

    fn key_was_usable(&self) -> Found {
        let mut found = Vec::new();
        for (number, start) in self.starts() {
            let key = start.request["KeyId"].as_str().unwrap_or_default();
            if key == MANAGED {
                continue;
            }
            let told = self.last(number, start, "DescribeKey", |_, answer| answer["KeyMetadata"]["Arn"] == key);
            let metadata = told.map(|(_, answer)| answer["KeyMetadata"].clone()).unwrap_or_default();
            if metadata["KeyState"] != "Enabled"
                || metadata["KeySpec"] != "SYMMETRIC_DEFAULT"
                || metadata["KeyUsage"] != "ENCRYPT_DECRYPT"
            {
                found.push((start.at, format!("#{number} applied a key of which KMS said: {metadata}")));
            }
        }
        found
    }

    fn by_stream(&self) -> Starts<'_> {
        let mut starts = Starts::new();
        for (number, start) in self.starts() {
            let created = start.truth.as_ref().map(|truth| truth.created);
            starts.entry((number, start.stream.clone().unwrap_or_default(), created)).or_default().push(start);
        }
        starts
    }

    fn no_blind_repetition(&self) -> Found {
        let mut found = Vec::new();
        for ((number, stream, _), starts) in self.by_stream() {
            for pair in starts.windows(2) {
                if !was_refused(pair[0]) {
                    found.push((pair[1].at, format!("#{number} started {stream} again after {:?}", pair[0].heard)));
                }
            }
        }
        found
    }

    fn accepted_once(&self) -> Found {
        let mut found = Vec::new();
        let mut incarnations: BTreeMap<(usize, String), usize> = BTreeMap::new();
        for (number, stream, _) in self.by_stream().into_keys() {
            *incarnations.entry((number, stream)).or_default() += 1;
        }
        for ((number, stream), incarnations) in incarnations {
            let access_key = access_key(number);
            let of_it = |call: &&Call| {
                call.access_key == access_key
                    && call.operation == "StartStreamEncryption"
                    && call.result.is_ok()
                    && call.stream.as_ref() == Some(&stream)
            };
            let mut accepted: Vec<_> = self.calls.iter().filter(of_it).map(|call| call.at).collect();
            let in_member = |it: &&Exchange| {
                it.in_member && it.operation == "StartStreamEncryption" && it.stream.as_ref() == Some(&stream)
            };
            accepted.extend(self.of(number).filter(in_member).filter(|it| it.heard.is_ok()).map(|it| it.at));
            if let Some(at) = accepted.get(incarnations) {
                found.push((*at, format!("#{number} had {} starts of {stream} accepted", accepted.len())));
            }
        }
        found
    }

    fn memory_is_heeded(&self) -> Found {
        let mut found = Vec::new();
        let starts = self.starts();
        for (number, start) in &starts {
            let process = self.story.invocations[*number].process;
            if self.is_asked_for(*number) {
                continue;
            }
            let since = self.since(*number, start);
            let before = starts.iter().filter(|(other, it)| {
                self.story.invocations[*other].process == process
                    && it.stream == start.stream
                    && it.sent < start.sent
                    && !was_refused(it)
            });
            let times = merged(before.filter_map(|(_, it)| it.ended_at.or(Some(it.at))).filter(|at| *at >= since));
            if times.len() >= self.world.plan.most_applies {
                found
                    .push((start.at, format!("#{number}: the process started {:?} at {times:?} before", start.stream)));
            }
        }
        found
    }

    fn history_is_heeded(&self) -> Found {
        let mut found = Vec::new();
        for (number, start) in self.starts() {
            let invocation = &self.story.invocations[number];
            let single = invocation.payload["Records"].as_array().is_none_or(|records| records.len() == 1);
            if !self.world.plan.own_role || self.is_asked_for(number) || !single {
                continue;
            }
            let since = self.since(number, start);
            let role = self.world.role_for(start.stream.as_deref().unwrap_or_default());
            let mut times = Vec::new();
            let mut others = 0;
            for exchange in self
                .of(number)
                .filter(|it| it.operation == "LookupEvents" && it.answered.is_some_and(|at| at < start.sent))
            {
                let Some(answer) = exchange.heard.answer() else {
                    // Whoever cannot read all of the history may know less.
                    times.clear();
                    break;
                };
                for event in answer["Events"].as_array().into_iter().flatten() {
                    let record: Value =
                        serde_json::from_str(event["CloudTrailEvent"].as_str().unwrap_or_default()).unwrap_or_default();
                    let of_stream = record["requestParameters"]
                        .to_string()
                        .contains(&format!("stream/{}\"", start.stream.as_deref().unwrap_or_default()));
                    let own = record.pointer("/userIdentity/sessionContext/sessionIssuer/arn").and_then(Value::as_str)
                        == Some(&role);
                    let at = record["eventTime"].as_str().and_then(|at| DateTime::parse_from_rfc3339(at).ok());
                    let at = at.map(|at| at.to_utc()).filter(|at| *at >= since);
                    match (record["errorCode"].is_null() && of_stream, own) {
                        (true, true) if record["eventName"] == "StartStreamEncryption" => times.extend(at),
                        (true, false) => others += usize::from(at.is_some()),
                        _ => {}
                    }
                }
            }
            let times = merged(times.into_iter());
            // Only what somebody else changes is fought over.
            if others > 0 && times.len() >= self.world.plan.most_applies {
                found.push((
                    start.at,
                    format!("#{number}: CloudTrail showed starts of {:?} at {times:?}", start.stream),
                ));
            }
        }
        found
    }

    /// From when on applications count: for 24 hours, and never those of a stream of the same name
    /// before.
    pub(super) fn since(&self, number: usize, start: &Exchange) -> DateTime<Utc> {
        let created = self
            .look(number, start)
            .and_then(|(_, shown)| DateTime::from_timestamp(shown["StreamCreationTimestamp"].as_i64()?, 0));
        // A second more: what is on the edge may be counted or not.
        (start.at - TimeDelta::hours(24)).max(created.unwrap_or(DateTime::UNIX_EPOCH)) + TimeDelta::seconds(1)
    }

    /// Whether a person named the stream directly: nobody who does so waits for a fight to end. A
    /// message says only where to look.
    pub(super) fn is_asked_for(&self, number: usize) -> bool {
        if self.story.invocations[number].way == Way::Batch {
            return false;
        }
        let payload = self.story.invocations[number].payload.to_string().replace('\\', "");
        ["{\"stream", "{\"deadLetter", "{\"reapply", "\"reapply\":true"].iter().any(|shape| payload.contains(shape))
    }
}

/// Whether AWS said in so many words that it did not do what was asked.
pub(super) fn was_refused(exchange: &Exchange) -> bool {
    let refusal = |code: String| !matches!(Kind::of(&code), Kind::Unavailable | Kind::Unknown);
    matches!(exchange.heard, Heard::Answer { .. }) && exchange.heard.code().is_some_and(refusal)
}

pub(super) fn merged(times: impl Iterator<Item = DateTime<Utc>>) -> Vec<DateTime<Utc>> {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    times.dedup_by(|later, earlier| *later - *earlier <= TimeDelta::milliseconds(1_500));
    times
}

/// Whether an error is diagnosed: a step, a code of the table, the class that goes with it, a
/// message and a remedy.
fn diagnosed(error: &Value, invented: bool) -> Result<(), String> {
    for member in ["step", "code", "class", "message", "remedy"] {
        if error[member].as_str().is_none_or(str::is_empty) {
            return Err(format!("an error without a {member}"));
        }
    }
    let code = error["code"].as_str().unwrap_or_default();
    let kind = Kind::of(code);
    if kind == Kind::Unknown && !invented {
        return Err(format!("{code} is not in the table"));
    }
    // Some codes weigh differently in their place: what cannot be queued is retried, and a stream
    // that a person asked for has to be there.
    let reclassed = matches!(error["step"].as_str(), Some("send-work-item"))
        || kind == Kind::StreamNotFound
        || kind == Kind::NotUnderstood
        || error["message"].as_str().is_some_and(|message| message.ends_with("hours in the work queue"));
    let class = [Class::Retryable, Class::Terminal, Class::Gone, Class::Contested]
        .into_iter()
        .find(|class| error["class"] == class.as_str());
    match class {
        None => Err(format!("a class that there is not: {}", error["class"])),
        Some(class) if class != kind.class() && !reclassed => Err(format!("{code} is {class}")),
        Some(_) => Ok(()),
    }
}
