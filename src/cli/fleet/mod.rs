//! What `plan`, `apply` and `report` have in common: which streams to work on, in which account and
//! Regions, and how to reconcile them.
//!
//! A person works with their own credentials here, or with a role that they assume
//! (<https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>).

pub(super) mod apply;
pub(super) mod html;
pub(super) mod plan;
mod posture;
pub(super) mod report;
mod row;
mod sample;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use aws_config::sts::AssumeRoleProvider;
use aws_types::SdkConfig;
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream::iter;
use serde::Serialize;

use self::row::{Row, visible_outcome};
use super::credentials::{check_credentials, sdk_config};
use super::input::{self, whole_number};
use super::interrupt::Interrupt;
use super::visible::visible;
use crate::aws::kinesis::Encryption;
use crate::aws::{Aws, config};
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::decide::expiry::about_to_expire;
use crate::domain::mode::Mode;
use crate::domain::outcome::{Outcome, Status};
use crate::domain::stream::{StreamRef, StreamStatus};
use crate::domain::trigger_facts::TriggerFacts;
use crate::policy::{EffectivePolicy, Policy};
use crate::reconcile::change_history::{ChangeHistory, OwnIdentity};
use crate::reconcile::key_cache::KeyCache;
use crate::reconcile::{Account, Context, Enforcement, RequestFacts, StreamLocks, reconcile};
use crate::settings::{Environment, Settings};

/// Which streams to work on, and where.
#[derive(Debug, clap::Args)]
pub(super) struct Selection {
    /// The names or ARNs of the streams; all streams of the account and Region if none is given.
    streams: Vec<StreamRef>,
    /// Use this KMS key instead of the one in `KMS_KEY_ID`.
    #[arg(long)]
    key: Option<String>,
    /// Use the policy in this file instead of the one in `POLICY` or `POLICY_PARAMETER`.
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,
    /// Use this Region instead of the one of the profile or the environment; several are separated
    /// by commas.
    #[arg(long, value_delimiter = ',', value_parser = input::region)]
    region: Vec<String>,
    /// Use this AWS profile.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Assume this role, for example of another account.
    #[arg(long, value_name = "ARN")]
    assume_role: Option<String>,
    /// Use a sandbox with a sample fleet.
    #[arg(long, conflicts_with_all = ["profile", "region", "assume_role", "key"])]
    sandbox: bool,
    /// Work on this many streams at a time: 1 to 50.
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = whole_number(1..=50_u8))]
    concurrency: u8,
}

/// An account and Region that a command works on.
pub(super) struct Target {
    aws: Aws,
    rules: EffectivePolicy,
    settings: Settings,
    clock: Clock,
    config: SdkConfig,
}

/// How long observing one stream may take, retries included.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long encrypting one stream may take, until it is ACTIVE again.
const LONG_PATIENCE: Duration = Duration::from_mins(5);

/// How long a whole command may take.
const A_DAY: Duration = Duration::from_hours(24);

impl Selection {
    /// The account in each selected Region. Unless `may_write` is set, the targets have no client
    /// that could write.
    async fn targets(&self, may_write: bool) -> Result<Targets> {
        let mut environment = Environment::of_process();
        if let Some(key) = &self.key {
            environment = environment.with("KMS_KEY_ID", key);
        }
        let policy = match &self.policy {
            Some(file) => {
                environment = environment.with("POLICY", "").with("POLICY_PARAMETER", "");
                Some(Arc::new(crate::cli::policy::read(file)?))
            }
            None => None,
        };
        let clock = Clock::system();
        if self.sandbox {
            let (environment, config, clock) = sample::fleet(environment).await?;
            let target = Target::open(&environment, config, clock, policy, may_write).await?;
            return self.checked(Targets { reached: vec![target], failed: Vec::new() });
        }
        // What is wrong with the settings is wrong in every Region.
        Settings::from_environment(&environment)?;
        let open = |region| self.open(region, &environment, &clock, policy.clone(), may_write);
        if self.region.is_empty() {
            return self.checked(Targets { reached: vec![Box::pin(open(None)).await?], failed: Vec::new() });
        }
        let mut targets = Targets::default();
        for region in self.regions() {
            match Box::pin(open(Some(region))).await {
                Ok(target) => targets.reached.push(target),
                Err(error) => targets.failed.push(FailedRegion::new(region, &error)),
            }
        }
        if targets.reached.is_empty() {
            return Err(none_answered(&targets.failed));
        }
        self.checked(targets)
    }

    /// The selected Regions, each once.
    fn regions(&self) -> Vec<&str> {
        let mut regions: Vec<&str> = Vec::new();
        for region in &self.region {
            if !regions.contains(&region.as_str()) {
                regions.push(region);
            }
        }
        regions
    }

    /// The account in `region`, or in that of the profile or the environment.
    async fn open(
        &self,
        region: Option<&str>,
        environment: &Environment,
        clock: &Clock,
        policy: Option<Arc<Policy>>,
        may_write: bool,
    ) -> Result<Target> {
        let mut config = sdk_config(self.profile.as_deref(), region, environment, clock).await?;
        if let Some(role) = &self.assume_role {
            let provider = AssumeRoleProvider::builder(role)
                .session_name("kinesis-encryption-enforcer")
                .configure(&config)
                .build()
                .await;
            let credentials = aws_credential_types::provider::SharedCredentialsProvider::new(provider);
            config = config::with_retries_off(config.into_builder().credentials_provider(credentials).build(), clock);
            check_credentials(
                &config,
                &format!("cannot assume the role {role} (sts:AssumeRole)"),
                "allow sts:AssumeRole in the role's trust policy and in your own permissions",
            )
            .await?;
        }
        Target::open(environment, config, clock.clone(), policy, may_write).await
    }

    /// The targets, if each stream that is given by ARN is in a selected Region.
    fn checked(&self, targets: Targets) -> Result<Targets> {
        let reached = targets.reached.iter().map(|target| target.aws.region.as_str());
        let regions: Vec<_> = reached.chain(targets.failed.iter().map(|failed| failed.region.as_str())).collect();
        for stream in &self.streams {
            if let StreamRef::Arn(arn) = stream
                && !regions.contains(&arn.region())
            {
                return Err(anyhow!("{arn} is not in {}: pass --region {}", regions.join(" or "), arn.region()));
            }
        }
        Ok(targets)
    }

    /// The streams in all selected Regions, and when they were looked at. Changes nothing.
    ///
    /// # Errors
    /// No Region answers.
    async fn survey(&self) -> Result<(Survey, DateTime<Utc>)> {
        let Targets { reached, failed } = self.targets(false).await?;
        let mut survey = Survey { failed_regions: failed, ..Survey::default() };
        let mut made_at = None;
        for target in &reached {
            match Box::pin(target.survey(self)).await {
                Ok(part) => {
                    survey.extend(part);
                    made_at = Some(target.clock.utc());
                }
                Err(error) if self.region.len() > 1 => {
                    survey.failed_regions.push(FailedRegion::new(&target.aws.region, &error));
                }
                Err(error) => return Err(error),
            }
        }
        let made_at = made_at.ok_or_else(|| none_answered(&survey.failed_regions))?;
        Ok((survey, made_at))
    }
}

/// The account in each selected Region.
#[derive(Default)]
struct Targets {
    reached: Vec<Target>,
    failed: Vec<FailedRegion>,
}

/// A Region of which nothing is known, and why.
#[derive(Clone, Debug, Serialize)]
struct FailedRegion {
    region: String,
    error: String,
}

impl FailedRegion {
    fn new(region: &str, error: &anyhow::Error) -> Self {
        Self { region: region.to_owned(), error: format!("{error:#}") }
    }
}

impl fmt::Display for FailedRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.region, self.error)
    }
}

fn none_answered(failed: &[FailedRegion]) -> anyhow::Error {
    anyhow!("{}", failed.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

impl Target {
    async fn open(
        environment: &Environment,
        config: SdkConfig,
        clock: Clock,
        policy: Option<Arc<Policy>>,
        may_write: bool,
    ) -> Result<Self> {
        let settings = Settings::from_environment(environment)?;
        // In audit mode there is no client that could start encryption.
        let mode = if may_write { settings.mode } else { Mode::Audit };
        let aws = Aws::new(&config, &Settings { mode, ..settings.clone() }, &clock);
        let policy = if let Some(policy) = policy {
            policy
        } else {
            let current = aws.policy.current(clock.instant() + PATIENCE).await;
            current.map_err(|failure| anyhow!("{}", visible(&failure)))?.policy
        };
        let rules = EffectivePolicy {
            policy,
            key: settings.key.clone(),
            mode: settings.mode,
            on_other_key: settings.on_other_key,
        };
        Ok(Self { aws, rules, settings, clock, config })
    }

    /// The `named` streams of this Region, or all of its streams that are not DELETING if none is
    /// named.
    async fn streams(&self, named: &[StreamRef]) -> Result<Vec<StreamRef>> {
        if !named.is_empty() {
            let is_here = |stream: &&StreamRef| match stream {
                StreamRef::Arn(arn) => arn.region() == self.aws.region,
                StreamRef::Name(_) => true,
            };
            let here: Vec<&StreamRef> = named.iter().filter(is_here).collect();
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
            let page = page.map_err(|error| anyhow!("{}", visible(&error.failure)))?;
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
        let own = OwnIdentity { role: settings.own_role_arn.as_deref(), session: None };
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
    async fn survey(&self, selection: &Selection) -> Result<Survey> {
        let streams = self.streams(&selection.streams).await?;
        let work = Work {
            start: None,
            concurrency: usize::from(selection.concurrency),
            asked_for: !selection.streams.is_empty(),
        };
        let mut rows = Vec::new();
        let add_row = |stream: &StreamRef, outcome| rows.push(Row::new(stream, outcome, &self.aws.region));
        self.reconcile_all(&streams, &work, add_row).await;
        rows.sort_by(|one, other| one.stream.cmp(&other.stream));
        let keys_at_risk = if work.asked_for { Vec::new() } else { self.expiring_keys().await };
        Ok(Survey { rows, keys_at_risk, failed_regions: Vec::new() })
    }

    /// The configured keys whose imported material is about to expire, as a sweep reports them.
    async fn expiring_keys(&self) -> Vec<Outcome> {
        let Self { aws, rules, clock, .. } = self;
        let keys = KeyCache::new(&aws.keys, &aws.region, clock.instant() + PATIENCE);
        let mut expiring = Vec::new();
        for key in rules.keys_in(None, &aws.region) {
            let facts = keys.facts(key).await;
            if let Some(reason) = facts.and_then(|facts| about_to_expire(&facts, clock.utc())) {
                let outcome = Outcome::new(None, Status::KeyAtRisk, reason, rules.mode);
                expiring.push(Outcome { key: Some(key.to_string()), ..outcome });
            }
        }
        expiring
    }
}

/// The streams of one or several accounts and Regions, and the keys at risk.
#[derive(Default)]
struct Survey {
    rows: Vec<Row>,
    /// Outcomes without a stream.
    keys_at_risk: Vec<Outcome>,
    /// The selected Regions of which nothing is known.
    failed_regions: Vec<FailedRegion>,
}

impl Survey {
    /// What a person reads: every text in it is visible.
    fn visible(&self) -> Self {
        let Self { rows, keys_at_risk, failed_regions } = self;
        let failed = failed_regions.iter();
        Self {
            rows: rows.iter().map(Row::visible).collect(),
            keys_at_risk: keys_at_risk.iter().map(visible_outcome).collect(),
            failed_regions: failed
                .map(|failed| FailedRegion { error: visible(&failed.error), ..failed.clone() })
                .collect(),
        }
    }

    fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.keys_at_risk.extend(other.keys_at_risk);
        self.failed_regions.extend(other.failed_regions);
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
