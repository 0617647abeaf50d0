//! Observing a stream, and fetching the facts that a decision asks for.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::locks::Attempt;
use super::{Reconciliation, StartAttempt};
use crate::decide::denials::{AccessState, Halt};
use crate::decide::{ApplyReason, Fact, ImpactFacts, Keys};
use crate::domain::delay::doubled;
use crate::domain::failure::{Failure, Kind};
use crate::domain::outcome::Warning;
use crate::domain::stream::{Description, StreamRef, StreamStatus};

/// The longest time for which a stream that AWS calls in use is left alone before it is started
/// again.
const LONGEST_IN_USE_DELAY: Duration = Duration::from_secs(32);

/// What was seen at one moment.
pub(super) struct Observation {
    pub(super) description: Description,
    pub(super) at: Instant,
    pub(super) keys: Option<Result<Keys, Failure>>,
    pub(super) impact: Option<ImpactFacts>,
}

/// What is known of one incarnation of a stream: from when it is created until it is deleted.
#[derive(Default)]
pub(super) struct Incarnation {
    /// What the first observation showed.
    pub(super) initial: Option<InitialState>,
    pub(super) tags: Option<Vec<(String, String)>>,
    /// The key that it is to have, as soon as that is known.
    pub(super) desired_key_id: Option<String>,
    pub(super) start: Option<StartAttempt>,
    pub(super) apply_reason: Option<ApplyReason>,
    /// How many starts were refused because the stream was in use.
    pub(super) in_use: u32,
    /// How many starts were throttled.
    pub(super) throttled: u32,
    /// The refusal that nothing was decided about yet.
    pub(super) refusal: Option<Refusal>,
    pub(super) last_refusal: Option<Failure>,
    /// When the present wait began, by which its polls are spaced.
    pub(super) polling_since: Option<Instant>,
    /// Since when the stream was only seen ACTIVE; `None` while it is not.
    pub(super) active_since: Option<DateTime<Utc>>,
    /// How often its grace period was waited for.
    pub(super) grace_waits: u32,
    /// Whether it was seen in another state than ACTIVE.
    pub(super) seen_changing: bool,
    pub(super) warnings: Vec<Warning>,
}

/// What the first observation showed.
pub(super) struct InitialState {
    pub(super) created: Option<DateTime<Utc>>,
    pub(super) key_id: Option<String>,
}

/// A start that was refused.
pub(super) struct Refusal {
    pub(super) failure: Failure,
    /// How many starts were refused for the same reason.
    pub(super) count: u32,
    pub(super) retry_after: Option<Duration>,
}

impl Reconciliation<'_> {
    /// Describes the stream and, the first time, the configured key beside it.
    pub(super) async fn observe(&mut self) -> Result<(), Failure> {
        let target = self.arn.clone().map_or_else(|| self.target.clone(), StreamRef::Arn);
        let account = self.context.account;
        let described = async {
            let described = account.streams.describe(&target, self.context.deadline.look_until()).await;
            // From here on the observation ages, however long KMS takes to answer.
            (described, self.now())
        };
        // The key is looked up beside it, into the cache: unless a rule says otherwise it is the
        // one that is needed.
        let warm_up = account.keys.desired(&self.context.enforcement.policy.key);
        let ((described, at), _) = tokio::join!(described, warm_up);
        let description = described.map_err(|error| error.failure)?;
        self.remember(&description, at);
        self.observation = Some(Observation { description, at, keys: None, impact: None });
        Ok(())
    }

    fn remember(&mut self, description: &Description, at: Instant) {
        let Description { arn, status, created, key_id, .. } = description;
        self.arn = Some(arn.clone());
        if self.incarnation.initial.as_ref().is_some_and(|initial| initial.created != *created) {
            tracing::info!(stream = arn.as_str(), "stream was deleted and created again, starting over");
            self.incarnation = Incarnation::default();
            self.requirement = None;
        }
        // A start that was sent to the incarnation before is none of this one's.
        self.earlier_attempt = self.earlier_attempt.filter(|attempt| attempt.created == *created);
        let state = &mut self.incarnation;
        if *status == StreamStatus::Active {
            state.active_since.get_or_insert(self.context.account.clock.utc());
        } else {
            state.active_since = None;
            state.seen_changing = true;
        }
        state.initial.get_or_insert_with(|| InitialState { created: *created, key_id: key_id.clone() });
        let start = state.start.as_mut().or(self.earlier_attempt.as_mut().map(|attempt| &mut attempt.start));
        if let (StreamStatus::Updating, Some(start)) = (status, start) {
            start.seen_updating = true;
            start.undone_since = None;
        }
        self.first_observed.get_or_insert(at);
        if let Some(since) = self.first_wait {
            self.waited = at - since;
        }
    }

    /// The start that was sent in this invocation, for this request or for one before it.
    pub(super) fn start_sent(&self) -> Option<StartAttempt> {
        self.incarnation.start.or(self.earlier_attempt.map(|attempt| attempt.start))
    }

    /// Notes that the last observation shows the stream ACTIVE without the key that was applied.
    pub(super) fn remember_undone(&mut self) {
        let shown = self.observation.as_ref().map(|observation| observation.at);
        let earlier = self.earlier_attempt.as_mut().map(|attempt| &mut attempt.start);
        if let Some(start) = self.incarnation.start.as_mut().or(earlier) {
            start.undone_since = start.undone_since.or(shown);
        }
    }

    /// The start that the next request about the stream goes on from.
    pub(super) fn last_attempt(&self) -> Option<Attempt> {
        let created = self.incarnation.initial.as_ref().and_then(|initial| initial.created);
        self.incarnation.start.map(|start| Attempt { start, created }).or(self.earlier_attempt)
    }

    /// Whether sweeps are halted. If that cannot be read, they are not: whoever keeps the function
    /// from reading it must not keep streams unencrypted.
    async fn read_halt(&self) -> Halt {
        let Some(parameter) = self.context.access_state else { return Halt::None };
        let state = match parameter.recent(self.context.deadline.look_until()).await {
            Ok(text) => AccessState::parse(&text),
            Err(failure) => Err(failure.to_string()),
        };
        match state {
            Ok(state) => state.halt(self.context.account.clock.utc()),
            Err(error) => {
                tracing::warn!(error, "whether sweeps are halted could not be read, the sweep goes on");
                Halt::None
            }
        }
    }

    /// Fetches what a decision asked for.
    pub(super) async fn fetch(&mut self, fact: Fact) -> Result<(), Failure> {
        let (account, deadline) = (self.context.account, self.context.deadline.look_until());
        let Some(Observation { description, keys, impact, .. }) = &mut self.observation else { return Ok(()) };
        match fact {
            // Without the tags the stream is not touched: they may exempt it.
            Fact::Tags => {
                let tags = account.streams.tags(&description.arn, deadline).await;
                self.incarnation.tags = Some(tags.map_err(|error| error.failure)?);
            }
            Fact::Keys => {
                let Some(requirement) = self.requirement else { return Ok(()) };
                let found = match account.keys.desired(requirement.key).await {
                    Err(failure) => Err(failure),
                    Ok(desired) => {
                        self.incarnation.desired_key_id = Some(desired.key_id().to_owned());
                        let Description { arn, key_id, .. } = &*description;
                        let on_other_key = requirement.on_other_key;
                        let is_related = |account: &str| self.context.enforcement.is_related(account, arn);
                        let current =
                            account.keys.current(arn, key_id.as_deref(), &desired, on_other_key, is_related).await;
                        Ok(Keys { desired, current })
                    }
                };
                *keys = Some(found);
            }
            Fact::Impact => {
                let key = keys.as_ref().and_then(|keys| keys.as_ref().ok()).and_then(|keys| keys.desired.arn());
                let key_policy = async {
                    match key {
                        Some(key) => Some(account.keys.policy(key).await),
                        None => None,
                    }
                };
                let in_depth = self.context.request.in_depth;
                let stream_policy = async {
                    if in_depth { Some(account.streams.policy(&description.arn, deadline).await) } else { None }
                };
                let (key_policy, stream_policy) = tokio::join!(key_policy, stream_policy);
                *impact = Some(ImpactFacts { key_policy, stream_policy });
            }
            Fact::Halt => self.halt = Some(self.read_halt().await),
            Fact::ChangeHistory => account.history.read().await,
            Fact::RetryDelay => {
                if let Some(refusal) = &mut self.incarnation.refusal {
                    let calls = account.streams.calls();
                    refusal.retry_after = Some(match refusal.failure.kind() {
                        Kind::InUse => {
                            calls.jittered(doubled(Duration::from_secs(1), refusal.count, LONGEST_IN_USE_DELAY))
                        }
                        _ => calls.backoff(refusal.count),
                    });
                }
            }
            Fact::FreshObservation => {}
        }
        Ok(())
    }
}
