//! What `plan`, `access`, `apply` and `report` have in common: which streams to work on, in which
//! account and Regions, and how to reconcile them.
//!
//! A person works with their own credentials here, or with a role that they assume
//! (<https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>).

pub(super) mod access;
mod answer;
pub(super) mod apply;
mod asff;
mod chart;
mod finding;
pub(super) mod html;
mod import;
mod ocsf;
mod places;
pub(super) mod plan;
mod posture;
pub(super) mod report;
mod row;
mod sample;
mod sample_users;
mod scope;
mod since;
mod table;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use aws_types::SdkConfig;
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream::iter;

use self::places::{FailedPlace, PLACES_AT_A_TIME, place};
use self::row::{Row, visible_outcome};
use super::function_settings::FunctionName;
use super::input::whole_number;
use super::interrupt::Interrupt;
use super::paint::counted;
use super::progress::shown;
use super::remedy::in_terminal;
use super::visible::visible;
use crate::aws::Aws;
use crate::aws::caller::caller;
use crate::aws::kinesis::Encryption;
use crate::aws::member_accounts::{Member, MemberClients, SESSION};
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::decide::expiry::about_to_expire;
use crate::domain::mode::Mode;
use crate::domain::outcome::{Outcome, Status};
use crate::domain::stream::{StreamRef, StreamStatus};
use crate::domain::trigger_facts::TriggerFacts;
use crate::policy::EffectivePolicy;
use crate::reconcile::change_history::{ChangeHistory, OwnIdentity};
use crate::reconcile::key_cache::KeyCache;
use crate::reconcile::{Account, Context, Enforcement, RequestFacts, StreamLocks, reconcile};
use crate::settings::{Environment, Settings};

/// Which streams to work on, and where.
#[derive(Debug, clap::Args)]
pub(super) struct Selection {
    /// The names or ARNs of the streams; all streams of the account and Region if none is given.
    /// Streams that are all given by ARN are looked for in the Regions of their ARNs.
    streams: Vec<StreamRef>,
    /// Use this KMS key instead of the one in `KMS_KEY_ID`.
    #[arg(long)]
    key: Option<String>,
    /// Use the policy in this file instead of the one in `POLICY` or `POLICY_PARAMETER`.
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,
    /// Use the settings of this deployed function, by its name or ARN, instead of those in the
    /// environment. In several Regions, each has its own function of this name.
    #[arg(long, value_name = "NAME")]
    function: Option<FunctionName>,
    /// Use this Region instead of the one of the profile or the environment, several that are
    /// separated by commas, or `all` that the account has enabled.
    #[arg(long, value_delimiter = ',', value_parser = places::region)]
    region: Vec<String>,
    /// Work in these accounts, separated by commas, or in `all` that the settings cover: the
    /// function's own and those in `MEMBER_ACCOUNTS`.
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = places::account)]
    accounts: Vec<String>,
    /// Use this AWS profile.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Assume this role, for example of another account.
    #[arg(long, value_name = "ARN")]
    assume_role: Option<String>,
    /// Use a sandbox with a sample fleet.
    #[arg(long, conflicts_with_all = ["profile", "region", "accounts", "assume_role", "function", "key"])]
    sandbox: bool,
    /// Work on this many streams of an account and Region at a time: 1 to 50.
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = whole_number(1..=50_u8))]
    concurrency: u8,
}

/// An account and Region that a command works on.
pub(super) struct Target {
    /// The account, if it is known before a stream is described.
    account: Option<String>,
    /// The member accounts, if `account` is one of them.
    members: Option<Arc<MemberClients>>,
    aws: Aws,
    rules: EffectivePolicy,
    /// What `settings` were read from.
    environment: Environment,
    settings: Settings,
    clock: Clock,
    /// With the credentials of `account`.
    config: SdkConfig,
}

/// How long observing one stream may take, retries included.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long encrypting one stream may take, until it is ACTIVE again.
const LONG_PATIENCE: Duration = Duration::from_mins(5);

/// How long a whole command may take.
const A_DAY: Duration = Duration::from_hours(24);

impl Selection {
    /// Whether the command names the streams that it works on.
    fn names_streams(&self) -> bool {
        !self.streams.is_empty()
    }

    /// The streams in all of `places`, with their users if they are asked for, when they were looked
    /// at, and the places that answered. Changes nothing.
    ///
    /// # Errors
    /// No place answers.
    async fn survey<'a>(
        &self,
        places: &'a [Result<Target, FailedPlace>],
        with_users: bool,
    ) -> Result<(Survey, DateTime<Utc>, Vec<&'a Target>)> {
        let several = places.len() > 1;
        let (mut survey, mut made_at, mut surveyed) = (Survey::default(), None, Vec::new());
        for place in self.survey_each(places).await? {
            match place {
                Ok((target, mut part)) => {
                    if with_users {
                        let asked = access::add_users(target, self, &mut part.rows, several, |_| true);
                        part.not_read.extend(Box::pin(asked).await);
                    }
                    survey.extend(part);
                    made_at = Some(target.clock.utc());
                    surveyed.push(target);
                }
                Err(failed) => survey.failed_regions.push(failed),
            }
        }
        Ok((survey, made_at.unwrap_or_else(|| Clock::system().utc()), surveyed))
    }

    /// The selected places, with a line about the wait if that takes long.
    async fn opened(&self, may_write: bool) -> Result<Vec<Result<Target, FailedPlace>>> {
        let opening = |_| "loading the credentials and the policy".to_owned();
        let places = Box::pin(self.places(may_write));
        shown(Clock::system().instant(), opening, places).await
    }

    /// The streams in each of `places`, in their order; several places are looked at at a time.
    ///
    /// # Errors
    /// No place answers.
    async fn survey_each<'a>(
        &self,
        places: &'a [Result<Target, FailedPlace>],
    ) -> Result<Vec<Result<(&'a Target, Survey), FailedPlace>>> {
        let looked = &Looked::default();
        let survey = |place: &'a Result<Target, FailedPlace>| async move {
            let target = place.as_ref().map_err(FailedPlace::clone)?;
            let survey = Box::pin(target.survey(self, looked)).await;
            survey.map(|survey| (target, survey)).map_err(|error| target.failed(&error))
        };
        let surveyed = iter(places.iter().map(survey)).buffered(PLACES_AT_A_TIME).collect::<Vec<_>>();
        let surveyed = shown(Clock::system().instant(), |waited| looked.in_words(waited), surveyed).await;
        self.some_answered(surveyed)
    }
}

impl Target {
    /// The member account that this is; `None` for the account of the credentials.
    fn member(&self) -> Option<&Member> {
        let account = self.account.as_deref()?;
        self.members.as_ref()?.iter().find(|member| member.account() == account)
    }

    /// Assumes the role in a member account, unless its session lasts for the work on a stream.
    async fn begin(&self) -> Result<()> {
        let Some(member) = self.member() else { return Ok(()) };
        let until = self.clock.instant() + LONG_PATIENCE;
        member.assume_role(until).await.map_err(|error| anyhow!("{}", visible(&error.failure.message)))
    }

    /// Why this place is not surveyed.
    fn failed(&self, error: &anyhow::Error) -> FailedPlace {
        FailedPlace::new(self.account.as_deref(), &self.aws.region, error)
    }

    /// Whether `stream` may be here: a name may be anywhere.
    fn may_have(&self, stream: &StreamRef) -> bool {
        match stream {
            StreamRef::Arn(arn) => {
                arn.region() == self.aws.region && self.account.as_ref().is_none_or(|account| account == arn.account())
            }
            StreamRef::Name(_) => true,
        }
    }

    /// The `named` streams of this account and Region, each once, or all of its streams that are not
    /// DELETING if none is named.
    async fn streams(&self, named: &[StreamRef]) -> Result<Vec<StreamRef>> {
        if !named.is_empty() {
            let here: Vec<&StreamRef> = named.iter().filter(|stream| self.may_have(stream)).collect();
            let has_arn =
                |name: &str| here.iter().any(|stream| matches!(stream, StreamRef::Arn(arn) if arn.name() == name));
            let mut streams: Vec<StreamRef> = Vec::new();
            for stream in &here {
                let is_named_by_arn = matches!(stream, StreamRef::Name(_)) && has_arn(stream.name());
                if !is_named_by_arn && !streams.contains(stream) {
                    streams.push((*stream).clone());
                }
            }
            return Ok(streams);
        }
        let mut streams = Vec::new();
        let mut after = None;
        loop {
            let page = self.aws.streams.list(after.as_deref(), self.clock.instant() + PATIENCE).await;
            let page = page.map_err(|error| anyhow!("{}", in_terminal(&error.failure)))?;
            streams.extend(
                page.streams
                    .into_iter()
                    .filter(|(_, status)| *status != Some(StreamStatus::Deleting))
                    .map(|(stream, _)| stream),
            );
            after = page.go_on_after;
            if after.is_none() {
                return Ok(streams);
            }
        }
    }

    /// Reconciles `streams`, several at a time, and calls `on_outcome` for each as soon as it is
    /// done. After an interrupt there is none for a stream whose start was not sent.
    async fn reconcile_all(
        &self,
        streams: &[StreamRef],
        work: &Work<'_>,
        mut on_outcome: impl FnMut(&StreamRef, Outcome),
    ) {
        let Self { aws, rules, settings, clock, .. } = self;
        let until = clock.instant() + A_DAY;
        let own = match self.member() {
            Some(member) => OwnIdentity { role: Some(member.role_arn()), session: Some(SESSION) },
            None => OwnIdentity { role: settings.own_role_arn.as_deref(), session: None },
        };
        let account = Account {
            streams: &aws.streams,
            keys: KeyCache::new(&aws.keys, &aws.region, until),
            history: ChangeHistory::new(&aws.history, own, clock, until),
            locks: StreamLocks::default(),
            clock,
        };
        // A plan warns of principals that would undo a change. Before an apply, the person has seen
        // the plan. Where only a part of the history could be read, nobody is named without a record.
        let from_history = if work.start.is_none() { Some(account.history.foreign_changes(&[]).await) } else { None };
        let trigger = TriggerFacts::default();
        let patience = if work.start.is_some() { LONG_PATIENCE } else { PATIENCE };
        let one = |stream: StreamRef| {
            let context = Context {
                account: &account,
                encryption: work.start.map(|(encryption, _)| encryption),
                enforcement: Enforcement::new(settings, rules),
                trigger: &trigger,
                from_history: from_history.as_ref(),
                request: RequestFacts {
                    by_name: work.asked_for,
                    by_person: true,
                    in_depth: true,
                    ..RequestFacts::default()
                },
                access_state: None,
                deadline: Deadline::at(clock.wall() + patience, clock),
            };
            async move {
                let outcome = reconcile(&stream, &context);
                match work.start {
                    Some(start) => unless_interrupted(&stream, outcome, start, rules.mode).await,
                    None => Some(outcome.await),
                }
            }
        };
        let reconciled = streams.iter().map(|stream| {
            let outcome = one(stream.clone());
            async move { (stream, outcome.await) }
        });
        let mut reconciled = std::pin::pin!(iter(reconciled).buffer_unordered(work.concurrency));
        while let Some((stream, outcome)) = reconciled.next().await {
            if let Some(outcome) = outcome {
                on_outcome(stream, outcome);
            }
        }
    }

    /// The rows of the selected streams, sorted by name, and the keys at risk where all streams are
    /// selected. Changes nothing.
    async fn survey(&self, selection: &Selection, looked: &Looked) -> Result<Survey> {
        let streams = self.streams(&selection.streams).await?;
        looked.listed.set(looked.listed.get() + streams.len());
        let work = Work {
            start: None,
            concurrency: usize::from(selection.concurrency),
            asked_for: !selection.streams.is_empty(),
        };
        let mut rows = Vec::new();
        let add_row = |stream: &StreamRef, outcome| {
            rows.push(self.row(stream, outcome));
            looked.done.set(looked.done.get() + 1);
        };
        self.reconcile_all(&streams, &work, add_row).await;
        rows.sort_by(|one, other| one.stream.cmp(&other.stream));
        self.add_accounts(&mut rows).await;
        let is_empty = streams.is_empty() && !work.asked_for;
        let keys_at_risk = if work.asked_for { Vec::new() } else { self.expiring_keys().await };
        let empty = is_empty.then(|| place(self.account.as_deref(), &self.aws.region));
        Ok(Survey { rows, keys_at_risk, empty: empty.into_iter().collect(), ..Survey::default() })
    }

    /// Adds the account to the rows of streams that could not be described.
    async fn add_accounts(&self, rows: &mut [Row]) {
        if rows.iter().all(|row| row.account.is_some()) {
            return;
        }
        let account = match rows.iter().find_map(|row| row.account.clone()) {
            Some(account) => Some(account),
            None => caller(&self.config).await.map(|caller| caller.account),
        };
        for row in rows {
            row.account = row.account.take().or_else(|| account.clone());
        }
    }

    /// The row of `stream`, which was reconciled with `outcome`.
    fn row(&self, stream: &StreamRef, outcome: Outcome) -> Row {
        let row = Row::new(stream, outcome, &self.aws.region);
        let require_access = row.outcome.rule.as_ref().is_some_and(|rule| self.rules.policy.requires_access(rule));
        Row { account: row.account.or_else(|| self.account.clone()), require_access, ..row }
    }

    /// The configured keys whose imported material is about to expire, as a sweep reports them.
    async fn expiring_keys(&self) -> Vec<Outcome> {
        let Self { aws, rules, clock, .. } = self;
        let keys = KeyCache::new(&aws.keys, &aws.region, clock.instant() + PATIENCE);
        let mut expiring = Vec::new();
        for key in rules.keys_in(self.account.as_deref(), &aws.region) {
            let facts = keys.facts(key).await;
            if let Some(reason) = facts.and_then(|facts| about_to_expire(&facts, clock.utc())) {
                let outcome = Outcome::new(None, Status::KeyAtRisk, reason, rules.mode);
                expiring.push(Outcome { key: Some(key.to_string()), ..outcome });
            }
        }
        expiring
    }
}

/// How far a survey has come.
#[derive(Default)]
struct Looked {
    /// The streams that are listed so far.
    listed: Cell<usize>,
    /// Those of them that were looked at.
    done: Cell<usize>,
}

impl Looked {
    fn in_words(&self, waited: Duration) -> String {
        let seconds = waited.as_secs();
        match self.listed.get() {
            0 => format!("listing the streams ({seconds} s)"),
            listed => format!("looked at {} of {} ({seconds} s)", self.done.get(), counted(listed, "stream")),
        }
    }
}

/// The streams of one or several accounts and Regions, and the keys at risk.
#[derive(Default)]
struct Survey {
    rows: Vec<Row>,
    /// Outcomes without a stream.
    keys_at_risk: Vec<Outcome>,
    /// The selected places that have no streams, in words.
    empty: Vec<String>,
    /// The selected places of which nothing is known.
    failed_regions: Vec<FailedPlace>,
    /// The sources of users that were not read, where users were asked for.
    not_read: BTreeSet<String>,
}

impl Survey {
    /// What a person reads: every text in it is visible.
    fn visible(&self) -> Self {
        let Self { rows, keys_at_risk, empty, failed_regions, not_read } = self;
        let failed = failed_regions.iter();
        Self {
            rows: rows.iter().map(Row::visible).collect(),
            keys_at_risk: keys_at_risk.iter().map(visible_outcome).collect(),
            empty: empty.clone(),
            failed_regions: failed
                .map(|failed| FailedPlace { error: visible(&failed.error), ..failed.clone() })
                .collect(),
            not_read: not_read.iter().map(visible).collect(),
        }
    }

    fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.keys_at_risk.extend(other.keys_at_risk);
        self.empty.extend(other.empty);
        self.failed_regions.extend(other.failed_regions);
        self.not_read.extend(other.not_read);
    }
}

/// How to reconcile streams.
struct Work<'a> {
    /// The client that starts encryption, and what keeps it from doing so; `None` to change
    /// nothing.
    start: Option<(&'a Encryption, &'a Interrupt)>,
    /// How many streams are reconciled at a time.
    concurrency: usize,
    /// Whether the streams were named: a named stream that does not exist is a failure.
    asked_for: bool,
}

/// The outcome of `stream`, unless an interrupt comes before its start is sent. A stream that was
/// started is waited for until the second interrupt.
async fn unless_interrupted(
    stream: &StreamRef,
    outcome: impl Future<Output = Outcome>,
    (encryption, interrupt): (&Encryption, &Interrupt),
    mode: Mode,
) -> Option<Outcome> {
    tokio::select! {
        biased;
        () = encryption.gate().shut_before(stream.name()) => None,
        () = interrupt.pressed(2) => {
            let reason = "StartStreamEncryption was sent; whether the key is in place was not awaited";
            let outcome = Outcome::new(Some(stream.to_string()), Status::Deferred, reason.to_owned(), mode);
            Some(Outcome { applied: true, ..outcome })
        }
        outcome = outcome => Some(outcome),
    }
}
