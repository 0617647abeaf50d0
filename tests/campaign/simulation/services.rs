//! What lies between an event and the function: EventBridge, Lambda's asynchronous invocation, the
//! event source mapping, and people.
//!
//! Sources: *AWS Lambda Developer Guide, How Lambda handles errors and retries with asynchronous
//! invocation* (two more attempts, after one and two minutes, then the on-failure destination),
//! *Using Lambda with Amazon SQS*.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kinesis_encryption_enforcer::handler::Invocation;
use kinesis_encryption_enforcer::sandbox::Identity;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tracing::Instrument;

use super::story::{self, End, Way};
use super::watch::SPAN;
use super::world::{ACCOUNT, FUNCTION, LETTERS, SECOND, TERRAFORM, WORK, World};

/// Of a hundred invocations, so many find a process that is there already.
const WARM: u64 = 70;

impl World {
    /// One invocation, from its beginning to its end or its death.
    pub(crate) async fn invoke(self: &Rc<Self>, payload: &Value, way: Way) -> End {
        let warm = self.roll(1..=100) <= WARM;
        let process = self.idle.borrow_mut().pop().filter(|_| warm).unwrap_or_else(|| self.start_process());
        let patience = Duration::from_secs(self.plan.timeout);
        let number = {
            let mut story = self.told.lock();
            let began = self.now();
            let deadline = began + patience;
            let payload = payload.clone();
            let (process, end) = (process.number, End::Running);
            story.invocations.push(story::Invocation { way, process, payload, began, deadline, ended: None, end });
            story.invocations.len() - 1
        };
        process.signs.store(number, Ordering::Relaxed);
        self.account.identity(&story::access_key(number), Identity::role("kinesis-encryption-enforcer", FUNCTION));
        let invocation = Invocation { request_id: format!("request-{number}"), deadline: self.clock.wall() + patience };
        let killed_after = if self.happens(self.plan.kills) {
            let most = if self.happens(70) { 8_000 } else { self.plan.timeout * 1_000 };
            Some(Duration::from_millis(self.roll(0..=most)))
        } else {
            None
        };
        let work = process.handler.handle(payload, &invocation).instrument(tracing::info_span!(SPAN, number));
        let end = match timeout(killed_after.unwrap_or(patience), Box::pin(work)).await {
            Ok(Ok(answer)) => End::Answer(answer),
            Ok(Err(error)) => End::Error { kind: error.error_type.as_str().to_owned(), message: error.message },
            Err(_) if killed_after.is_some_and(|life| life < patience) => End::Killed,
            Err(_) => End::Overdue,
        };
        let alive = matches!(end, End::Answer(_) | End::Error { .. });
        let mut story = self.told.lock();
        let invocation = &mut story.invocations[number];
        invocation.ended = Some(self.now());
        invocation.end = end.clone();
        drop(story);
        if alive {
            self.idle.borrow_mut().push(process);
        }
        end
    }

    /// Hands an event to Lambda, which makes up to three attempts and then sends it to the
    /// on-failure destination.
    pub(crate) async fn deliver(self: Rc<Self>, payload: Value) {
        for attempt in 1..=3 {
            let end = self.invoke(&payload, Way::Event(attempt)).await;
            let answer = match end {
                End::Answer(_) => return,
                End::Error { kind, message } => json!({"errorType": kind, "errorMessage": message}),
                End::Running | End::Killed | End::Overdue => json!({"errorType": "Runtime.ExitError"}),
            };
            if attempt == 3 {
                let record = json!({
                    "version": "1.0",
                    "timestamp": self.now().to_rfc3339(),
                    "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 3},
                    "requestPayload": payload,
                    "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
                    "responsePayload": answer,
                });
                self.account.send(LETTERS, &record.to_string());
                return;
            }
            sleep(Duration::from_mins(attempt.into())).await;
        }
    }

    /// Does `work` beside everything else; the run is not over before it is done.
    pub(crate) fn beside(self: &Rc<Self>, work: impl Future<Output = ()> + 'static) {
        self.under_way.set(self.under_way.get() + 1);
        let world = Rc::clone(self);
        tokio::task::spawn_local(async move {
            work.await;
            world.under_way.set(world.under_way.get() - 1);
        });
    }

    /// Delivers what happens in the account, late, twice and out of order, as `EventBridge` may.
    pub(crate) async fn event_bridge(self: Rc<Self>) {
        while !self.over.get() {
            sleep(Duration::from_secs(if self.calm.get() { 40 } else { 1 })).await;
            let mut events = self.account.take_events();
            events.extend(self.member.iter().flat_map(|(member, _)| member.take_events()));
            for mut event in events {
                let is_in_own_account = event["account"] == ACCOUNT;
                let detail = &mut event["detail"];
                if detail["userIdentity"]["accessKeyId"] == TERRAFORM {
                    detail["userAgent"] = json!("APN/1.0 HashiCorp/1.0 Terraform/1.14.0");
                }
                let text = detail["userIdentity"].to_string();
                // The rule leaves out what the function itself did; the code does so, too.
                let is_own = text.contains("kinesis-encryption-enforcer");
                if is_in_own_account && self.second_enforcer.get() && !self.calm.get() && !text.contains(SECOND) {
                    self.beside(Rc::clone(&self).second(event.clone()));
                }
                let copies = if is_own && !self.happens(20) { 0 } else { 1 + u32::from(self.happens(8)) };
                for _ in 0..copies {
                    let late = if self.happens(10) { self.roll(0..=600) } else { self.roll(0..=5) };
                    let (world, event) = (Rc::clone(&self), event.clone());
                    self.beside(async move {
                        sleep(Duration::from_secs(late)).await;
                        world.deliver(event).await;
                    });
                }
            }
        }
    }

    async fn second(self: Rc<Self>, event: Value) {
        sleep(Duration::from_secs(2)).await;
        let deadline = self.clock.wall() + Duration::from_mins(2);
        let invocation = Invocation { request_id: "of-the-second".to_owned(), deadline };
        drop(timeout(Duration::from_mins(2), Box::pin(self.second_handler().handle(&event, &invocation))).await);
    }

    /// One poller of the work queue.
    pub(crate) async fn poller(self: Rc<Self>) {
        while !self.over.get() {
            let now = self.now();
            let due = self.account.messages(WORK).iter().any(|message| message.visible_from <= now);
            let Some(batch) = due.then(|| self.account.receive_batch(WORK, self.plan.batch)).flatten() else {
                sleep(Duration::from_secs(if self.calm.get() { 30 } else { 2 })).await;
                continue;
            };
            let answer = match self.invoke(&batch, Way::Batch).await {
                End::Answer(answer) => Some(answer),
                _ => None,
            };
            self.account.settle_batch(WORK, &batch, answer.as_ref());
        }
    }

    /// Waits until nothing is under way any more and the queue is empty; says whether that came to
    /// be within `most`.
    pub(crate) async fn is_done_within(&self, most: Duration) -> bool {
        let until = self.now() + most;
        let mut still = 0;
        while still < 2 {
            if self.now() > until {
                return false;
            }
            sleep(Duration::from_secs(45)).await;
            let rests = self.under_way.get() == 0 && self.account.messages(WORK).is_empty();
            still = if rests { still + 1 } else { 0 };
        }
        true
    }
}
