//! The fleet from the terminal: which streams, where, and how each is looked at. `plan`, `apply`
//! and `report` share it.

pub(super) mod apply;
pub(super) mod html;
pub(super) mod plan;
mod posture;
pub(super) mod report;
mod row;
mod sample;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use aws_config::sts::AssumeRoleProvider;
use aws_types::SdkConfig;
use futures_util::StreamExt;
use futures_util::stream::iter;

use self::row::Row;
use super::event::{checked_credentials, sdk_config};
use crate::aws::kinesis::Encryption;
use crate::aws::{Aws, config};
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::domain::mode::Mode;
use crate::domain::outcome::Outcome;
use crate::domain::stream::{StreamRef, StreamStatus};
use crate::domain::trigger_facts::TriggerFacts;
use crate::policy::{EffectivePolicy, Policy};
use crate::reconcile::change_history::ChangeHistory;
use crate::reconcile::key_cache::KeyCache;
use crate::reconcile::{Account, Context, Enforcement, RequestFacts, StreamLocks, reconcile};
use crate::settings::{Environment, Settings};

/// Which streams, and where.
#[derive(Debug, clap::Args)]
pub(super) struct Selection {
    /// The streams, by name or ARN; all of the account and Region, if none is given.
    streams: Vec<StreamRef>,
    /// The key, in place of `KMS_KEY_ID`.
    #[arg(long)]
    key: Option<String>,
    /// A file with the policy, in place of `POLICY`.
    #[arg(long)]
    policy: Option<String>,
    /// A Region, in place of the profile's or environment's; may be given several times.
    #[arg(long)]
    region: Vec<String>,
    /// The AWS profile.
    #[arg(long)]
    profile: Option<String>,
    /// A role to take on, by ARN: of another account, for instance.
    #[arg(long)]
    assume_role: Option<String>,
    /// Use an embedded AWS with a sample fleet.
    #[arg(long, conflicts_with_all = ["profile", "region", "assume_role", "key"])]
    sandbox: bool,
    /// How many streams are worked on at once.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=50))]
    concurrency: u8,
}

/// An account and a Region, as one run of a command has it.
pub(super) struct Target {
    aws: Aws,
    rules: EffectivePolicy,
    settings: Settings,
    clock: Clock,
    config: SdkConfig,
}

/// How long looking at one stream may take, and bringing it right.
const PATIENCE: Duration = Duration::from_secs(20);
const LONG_PATIENCE: Duration = Duration::from_mins(5);

/// For as long as a command may run.
const A_DAY: Duration = Duration::from_hours(24);

impl Selection {
    /// The places that are meant. Without `writes` they are made with nothing that could write.
    pub(super) async fn places(&self, writes: bool) -> Result<Vec<Target>> {
        let mut environment = Environment::of_process();
        if let Some(key) = &self.key {
            environment = environment.with("KMS_KEY_ID", key);
        }
        let policy = match &self.policy {
            Some(file) => {
                environment = environment.with("POLICY", "").with("POLICY_PARAMETER", "");
                let text = std::fs::read_to_string(file).map_err(|error| anyhow!("{file} cannot be read: {error}"))?;
                Some(Arc::new(text.parse::<Policy>().map_err(|invalid| anyhow!("{file}: {invalid}"))?))
            }
            None => None,
        };
        let clock = Clock::system();
        if self.sandbox {
            let (environment, config, clock) = sample::fleet(environment).await?;
            return self.all_in(vec![Target::open(&environment, config, clock, policy, writes).await?]);
        }
        let regions: Vec<Option<&str>> = if self.region.is_empty() {
            vec![None]
        } else {
            self.region.iter().map(|region| Some(region.as_str())).collect()
        };
        let mut places = Vec::new();
        for region in regions {
            let mut config = sdk_config(self.profile.as_deref(), region, &environment, &clock).await?;
            if let Some(role) = &self.assume_role {
                let provider = AssumeRoleProvider::builder(role)
                    .session_name("kinesis-encryption-enforcer")
                    .configure(&config)
                    .build()
                    .await;
                let credentials = aws_credential_types::provider::SharedCredentialsProvider::new(provider);
                config =
                    config::with_retries_off(config.into_builder().credentials_provider(credentials).build(), &clock);
                checked_credentials(&config, &format!("{role} cannot be taken on (sts:AssumeRole)")).await?;
            }
            places.push(Target::open(&environment, config, clock.clone(), policy.clone(), writes).await?);
        }
        self.all_in(places)
    }

    /// The places, if every stream that is named by ARN lies in one of them.
    fn all_in(&self, places: Vec<Target>) -> Result<Vec<Target>> {
        let regions: Vec<_> = places.iter().map(|place| place.aws.region.as_str()).collect();
        for stream in &self.streams {
            if let StreamRef::Arn(arn) = stream
                && !regions.contains(&arn.region())
            {
                return Err(anyhow!("{arn} is not in {}: give --region {}", regions.join(" or "), arn.region()));
            }
        }
        Ok(places)
    }
}

impl Target {
    async fn open(
        environment: &Environment,
        config: SdkConfig,
        clock: Clock,
        policy: Option<Arc<Policy>>,
        writes: bool,
    ) -> Result<Self> {
        let settings = Settings::from_environment(environment)?;
        // In audit mode nothing is made that could start anything.
        let mode = if writes { settings.mode } else { Mode::Audit };
        let aws = Aws::new(&config, &Settings { mode, ..settings.clone() }, &clock);
        let policy = if let Some(policy) = policy {
            policy
        } else {
            let current = aws.policy.current(clock.instant() + PATIENCE).await;
            current.map_err(|failure| anyhow!("{failure}"))?.policy
        };
        let rules = EffectivePolicy {
            policy,
            key: settings.key.clone(),
            mode: settings.mode,
            on_other_key: settings.on_other_key,
        };
        Ok(Self { aws, rules, settings, clock, config })
    }

    /// The streams that are meant, and are not being deleted.
    async fn targets(&self, named: &[StreamRef]) -> Result<Vec<StreamRef>> {
        if !named.is_empty() {
            let here = |stream: &&StreamRef| match stream {
                StreamRef::Arn(arn) => arn.region() == self.aws.region,
                StreamRef::Name(_) => true,
            };
            return Ok(named.iter().filter(here).cloned().collect());
        }
        let mut streams = Vec::new();
        let mut after = None;
        loop {
            let page = self.aws.streams.list(after.as_deref(), self.clock.instant() + PATIENCE).await;
            let page = page.map_err(|error| anyhow!("{}", error.failure))?;
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

    /// Works on `targets`, `concurrency` at once, as long as `go_on` says so; hands each outcome to
    /// `each` as soon as it is known.
    async fn work(
        &self,
        targets: &[StreamRef],
        work: &Work<'_>,
        go_on: impl Fn() -> bool,
        mut each: impl FnMut(Outcome),
    ) {
        let Self { aws, rules, settings, clock, .. } = self;
        let until = clock.instant() + A_DAY;
        let account = Account {
            streams: &aws.streams,
            keys: KeyCache::new(&aws.keys, &aws.region, until),
            history: ChangeHistory::new(&aws.history, settings.own_role_arn.as_deref(), clock, until),
            locks: StreamLocks::default(),
            clock,
        };
        // Who looks wants to know who would undo it; who applies was told.
        let from_history = if work.encryption.is_none() { Some(account.history.foreign_changes().await) } else { None };
        let trigger = TriggerFacts::default();
        let patience = if work.encryption.is_some() { LONG_PATIENCE } else { PATIENCE };
        let one = |stream: StreamRef| {
            let context = Context {
                account: &account,
                encryption: work.encryption,
                enforcement: Enforcement::new(settings, rules),
                trigger: &trigger,
                from_history: from_history.as_ref(),
                request: RequestFacts { by_name: work.asked_for, in_depth: true, ..RequestFacts::default() },
                deadline: Deadline::at(clock.wall() + patience, clock),
            };
            async move { reconcile(&stream, &context).await }
        };
        let left = targets.iter().cloned().take_while(|_| go_on());
        let mut running = std::pin::pin!(iter(left.map(one)).buffer_unordered(work.concurrency));
        while let Some(outcome) = running.next().await {
            each(outcome);
        }
    }

    /// Looks at the streams that are meant, and changes nothing.
    async fn survey(&self, selection: &Selection) -> Result<Vec<Row>> {
        let targets = self.targets(&selection.streams).await?;
        let work = Work {
            encryption: None,
            concurrency: usize::from(selection.concurrency),
            asked_for: !selection.streams.is_empty(),
        };
        let mut rows = Vec::new();
        self.work(&targets, &work, || true, |outcome| rows.push(Row::new(outcome, &self.aws.region))).await;
        rows.sort_by(|one, other| one.stream.cmp(&other.stream));
        Ok(rows)
    }
}

/// How streams are worked on.
struct Work<'a> {
    /// What writes; nothing where streams are only looked at.
    encryption: Option<&'a Encryption>,
    concurrency: usize,
    /// Whether the streams were named: then one that does not exist is a failure.
    asked_for: bool,
}
