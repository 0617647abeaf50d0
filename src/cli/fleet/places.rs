//! The places that a command works in: accounts and Regions.
//!
//! A place that cannot be reached is left out, with the reason: it does not take the others along.

use std::fmt;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::SdkConfig;
use aws_types::region::Region;
use futures_util::StreamExt;
use futures_util::stream::iter;
use serde::Serialize;

use super::{PATIENCE, Selection, Target, sample};
use crate::aws::caller::caller;
use crate::aws::member_accounts::Member;
use crate::aws::{Aws, config, regions};
use crate::cli::credentials::{check_credentials, sdk_config};
use crate::cli::function_settings::{settings_in, settings_of};
use crate::cli::input;
use crate::cli::paint::counted;
use crate::cli::remedy::{for_person, in_terminal};
use crate::cli::visible::visible;
use crate::clock::Clock;
use crate::domain::failure::Kind;
use crate::domain::mode::Mode;
use crate::domain::stream::{StreamArn, StreamRef};
use crate::policy::{EffectivePolicy, Policy};
use crate::settings::{Environment, Settings};

/// The value of `--region` and `--accounts` that means each of them.
const ALL: &str = "all";

/// How many accounts and Regions are worked on at a time. The limits of AWS hold for each of them.
pub(super) const PLACES_AT_A_TIME: usize = 4;

/// Parses a Region, or `all`.
pub(super) fn region(text: &str) -> Result<String, String> {
    if text == ALL { Ok(text.to_owned()) } else { input::region(text) }
}

/// Parses an account, or `all`.
pub(super) fn account(text: &str) -> Result<String, String> {
    if text == ALL {
        return Ok(text.to_owned());
    }
    input::account_id(text).map_err(|error| format!("{error}, or all"))
}

/// An account and Region of which nothing is known, and why.
#[derive(Clone, Debug, Serialize)]
pub(super) struct FailedPlace {
    /// The account, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<String>,
    pub(super) region: String,
    pub(super) error: String,
}

impl FailedPlace {
    pub(super) fn new(account: Option<&str>, region: &str, error: &anyhow::Error) -> Self {
        // One line, whose remedy stood on its own.
        let error = format!("{error:#}");
        let error = match error.split_once("\n  remedy: ") {
            Some((what, remedy)) => format!("{what} (remedy: {remedy})"),
            None => error,
        };
        Self { account: account.map(str::to_owned), region: region.to_owned(), error }
    }

    /// The place in words.
    pub(super) fn place(&self) -> String {
        place(self.account.as_deref(), &self.region)
    }
}

/// An account and Region in words.
pub(super) fn place(account: Option<&str>, region: &str) -> String {
    match account {
        Some(account) => format!("account {account}, {region}"),
        None => region.to_owned(),
    }
}

/// How many accounts or Regions failed; `None` if none did.
pub(super) fn failures(failed: &[FailedPlace]) -> Option<String> {
    let of_accounts = failed.iter().filter(|place| place.account.is_some()).count();
    let what = match (of_accounts, failed.len()) {
        (_, 0) => return None,
        (0, all) => counted(all, "Region"),
        (1, 1) => "1 account".to_owned(),
        (_, all) => format!("{all} accounts or Regions"),
    };
    Some(format!("{what} failed"))
}

impl fmt::Display for FailedPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.error)
    }
}

/// What all places of a command have in common.
struct Common<'a> {
    environment: &'a Environment,
    config: &'a SdkConfig,
    clock: &'a Clock,
    /// The policy that replaces the one of the settings.
    policy: Option<Arc<Policy>>,
    /// The account of the credentials, if it matters and is known.
    caller: Option<String>,
    may_write: bool,
}

impl Selection {
    /// The selected places. Unless `may_write` is set, they have no client that could write.
    ///
    /// # Errors
    /// The selection or the settings are wrong, or no place can be reached.
    pub(super) async fn places(&self, may_write: bool) -> Result<Vec<Result<Target, FailedPlace>>> {
        let environment = Environment::of_process();
        let clock = Clock::system();
        let policy = match &self.policy {
            Some(file) => Some(Arc::new(crate::cli::policy::read(file)?)),
            None => None,
        };
        if self.sandbox {
            let (environment, config, clock) = sample::fleet(self.with_options(environment)).await?;
            return Ok(vec![Ok(Target::in_account(&environment, &config, &clock, policy, may_write).await?)]);
        }
        if self.function.is_none() {
            // What is wrong with the settings is wrong everywhere.
            self.accounts_of(&Settings::from_environment(&self.with_options(environment.clone()))?)?;
        }
        let config = self.config(&environment, &clock).await?;
        let regions = self.regions(&config, &clock).await?;
        let has_arn = self.streams.iter().any(|stream| matches!(stream, StreamRef::Arn(_)));
        // With a function, its ARN shows the account.
        let matters = self.function.is_none() && (has_arn || !self.accounts.is_empty());
        let caller = if matters { caller(&config).await.map(|caller| caller.account) } else { None };
        if caller.is_none() && matters && !self.accounts.is_empty() {
            // Otherwise the streams of another account could be taken for those of a selected one.
            bail!(
                "cannot find out which account your credentials belong to: STS does not answer GetCallerIdentity\n  \
                 remedy: check the network and the credentials, or leave --accounts out"
            );
        }
        let common = Common { environment: &environment, config: &config, clock: &clock, policy, caller, may_write };
        let open = |region: String| {
            let common = &common;
            async move {
                let opened = Box::pin(self.open(&region, common)).await;
                opened.unwrap_or_else(|error| vec![Err(FailedPlace::new(None, &region, &error))])
            }
        };
        let opened: Vec<_> = iter(regions.into_iter().map(open)).buffered(PLACES_AT_A_TIME).collect().await;
        let places = self.some_answered(opened.into_iter().flatten().collect())?;
        for stream in &self.streams {
            if let StreamRef::Arn(arn) = stream {
                is_selected(arn, &places)?;
            }
        }
        Ok(places)
    }

    /// `places`, unless all of them have failed.
    pub(super) fn some_answered<T>(&self, places: Vec<Result<T, FailedPlace>>) -> Result<Vec<Result<T, FailedPlace>>> {
        if places.iter().any(Result::is_ok) {
            return Ok(places);
        }
        let failed: Vec<_> = places.iter().filter_map(|place| place.as_ref().err()).collect();
        match failed[..] {
            // Nobody has named the one place that there is.
            [FailedPlace { error, .. }] if self.region.is_empty() && self.accounts.is_empty() => bail!("{error}"),
            _ => bail!("{}", failed.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        }
    }

    /// The environment with the options that replace settings.
    fn with_options(&self, mut environment: Environment) -> Environment {
        if let Some(key) = &self.key {
            environment = environment.with("KMS_KEY_ID", key);
        }
        if self.policy.is_some() {
            environment = environment.with("POLICY", "").with("POLICY_PARAMETER", "");
        }
        environment
    }

    /// The configuration of the person's credentials, or of the role that they assume, in the first
    /// Region that is selected.
    async fn config(&self, environment: &Environment, clock: &Clock) -> Result<SdkConfig> {
        let selected = self.region.iter().map(String::as_str).find(|region| *region != ALL);
        let region = match &self.function {
            Some(function) if self.selects_all_regions() => function.region(),
            Some(function) => function.region_or(selected)?,
            None => selected,
        };
        let region = region.or_else(|| self.regions_of_arns().into_iter().flatten().next());
        let config = sdk_config(self.profile.as_deref(), region, environment, clock).await?;
        let Some(role) = &self.assume_role else { return Ok(config) };
        let provider = AssumeRoleProvider::builder(role)
            .session_name("kinesis-encryption-enforcer")
            .configure(&config)
            .build()
            .await;
        let credentials = SharedCredentialsProvider::new(provider);
        let config = config::with_retries_off(config.into_builder().credentials_provider(credentials).build(), clock);
        check_credentials(
            &config,
            &format!("cannot assume the role {role} (sts:AssumeRole)"),
            "allow sts:AssumeRole in the role's trust policy and in your own permissions",
        )
        .await?;
        Ok(config)
    }

    fn selects_all_regions(&self) -> bool {
        self.region.iter().any(|region| region == ALL)
    }

    /// The selected Regions, each once: those of `--region`, or that of the function, or those of
    /// the streams, or that of the profile or the environment.
    async fn regions(&self, config: &SdkConfig, clock: &Clock) -> Result<Vec<String>> {
        let of_config = config.region().map(ToString::to_string).unwrap_or_default();
        let of_function = self.function.as_ref().and_then(|function| function.region());
        let regions = if self.selects_all_regions() {
            enabled_regions(config, clock).await?
        } else if !self.region.is_empty() {
            each_once(self.region.iter().map(String::as_str))
        } else if let (None, Some(regions)) = (of_function, self.regions_of_arns()) {
            each_once(regions.into_iter())
        } else {
            vec![of_config]
        };
        if let Some(function) = &self.function {
            for region in &regions {
                function.region_or(Some(region))?;
            }
        }
        Ok(regions)
    }

    /// The Regions of the streams, if all of them are given by ARN. A name says nothing of its
    /// Region.
    fn regions_of_arns(&self) -> Option<Vec<&str>> {
        let of_arn = |stream: &'_ StreamRef| matches!(stream, StreamRef::Arn(_));
        if self.streams.is_empty() || !self.streams.iter().all(of_arn) {
            return None;
        }
        let regions = self.streams.iter().filter_map(|stream| match stream {
            StreamRef::Arn(arn) => Some(arn.region()),
            StreamRef::Name(_) => None,
        });
        Some(regions.collect())
    }

    /// The selected accounts in `region`.
    async fn open(&self, region: &str, common: &Common<'_>) -> Result<Vec<Result<Target, FailedPlace>>> {
        let Common { config, clock, environment, caller, .. } = common;
        let config = config.to_builder().region(Region::new(region.to_owned())).build();
        let (environment, account) = match &self.function {
            Some(function) => {
                let found = settings_of(function, &config, clock, environment).await?;
                (found.environment, found.account)
            }
            None => ((*environment).clone(), caller.clone()),
        };
        let environment = self.with_options(environment);
        let settings = settings_in(&environment, self.function.as_ref())?;
        let accounts = self.accounts_of(&settings)?;
        if let (false, Some(own), Some(caller)) = (accounts.is_empty(), settings.own_account(), account.as_deref())
            && own != caller
        {
            bail!(
                "the settings are of the account {own}, and your credentials are of the account {caller}: pass \
                 --profile NAME with a profile of {own}"
            );
        }
        let own_account = settings.own_account().map(str::to_owned);
        let own = Target { account, ..common.open(environment, settings, config).await? };
        let Some(members) = own.aws.members.clone().filter(|_| !accounts.is_empty()) else { return Ok(vec![Ok(own)]) };
        let member = |member: &Member| {
            let (aws, account) = (member.clients().clone(), Some(member.account().to_owned()));
            let Target { rules, environment, settings, clock, .. } = &own;
            Target {
                account,
                members: Some(Arc::clone(&members)),
                aws,
                rules: rules.clone(),
                environment: environment.clone(),
                settings: settings.clone(),
                clock: clock.clone(),
                config: member.config(),
            }
        };
        let mut places = Vec::new();
        for selected in members.iter().filter(|member| accounts.iter().any(|account| account == member.account())) {
            let assumed = selected.assume_role(clock.instant() + PATIENCE).await;
            places.push(match assumed {
                Ok(()) => Ok(member(selected)),
                Err(error) => {
                    let remedy = if error.failure.kind() == Kind::NotAdmitted {
                        "name your role, or the one in --assume-role, in the trust policy of the member account's role"
                    } else {
                        &for_person(&error.failure.remedy)
                    };
                    let error = anyhow!("{} (remedy: {remedy})", error.failure.message);
                    Err(FailedPlace::new(Some(selected.account()), region, &error))
                }
            });
        }
        if accounts.iter().any(|account| Some(account) == own_account.as_ref()) {
            places.insert(0, Ok(Target { account: own_account, ..own }));
        }
        Ok(places)
    }

    /// The accounts in `--accounts`, of those that `settings` cover; none if the option is not
    /// given.
    fn accounts_of(&self, settings: &Settings) -> Result<Vec<String>> {
        if self.accounts.is_empty() {
            return Ok(Vec::new());
        }
        let members = settings.members.as_ref().ok_or_else(|| {
            anyhow!("--accounts needs the settings of a function with member accounts: MEMBER_ACCOUNTS is not set")
        })?;
        let covered: Vec<&str> =
            settings.own_account().into_iter().chain(members.accounts.iter().map(String::as_str)).collect();
        if self.accounts.iter().any(|account| account == ALL) {
            return Ok(each_once(covered.into_iter()));
        }
        let selected = each_once(self.accounts.iter().map(String::as_str));
        match selected.iter().find(|account| !covered.contains(&account.as_str())) {
            Some(other) => Err(anyhow!("the settings do not cover the account {other}, only {}", covered.join(", "))),
            None => Ok(selected),
        }
    }
}

impl Target {
    /// The account and Region of `config`, with the settings of `environment` and, unless there is
    /// another `policy`, theirs.
    pub(super) async fn in_account(
        environment: &Environment,
        config: &SdkConfig,
        clock: &Clock,
        policy: Option<Arc<Policy>>,
        may_write: bool,
    ) -> Result<Self> {
        let settings = Settings::from_environment(environment)?;
        let common = Common { environment, config, clock, policy, caller: None, may_write };
        common.open(environment.clone(), settings, config.clone()).await
    }
}

impl Common<'_> {
    /// The account of the credentials in the Region of `config`.
    async fn open(&self, environment: Environment, settings: Settings, config: SdkConfig) -> Result<Target> {
        let clock = self.clock.clone();
        // In audit mode there is no client that could start encryption.
        let mode = if self.may_write { settings.mode } else { Mode::Audit };
        let aws = Aws::new(&config, &Settings { mode, ..settings.clone() }, &clock);
        let policy = if let Some(policy) = &self.policy {
            Arc::clone(policy)
        } else {
            let current = aws.policy.current(clock.instant() + PATIENCE).await;
            current.map_err(|failure| anyhow!("{}", in_terminal(&failure)))?.policy
        };
        let rules = EffectivePolicy {
            policy,
            key: settings.key.clone(),
            mode: settings.mode,
            on_other_key: settings.on_other_key,
        };
        Ok(Target { account: None, members: None, aws, rules, environment, settings, clock, config })
    }
}

/// The Regions that the account has enabled.
async fn enabled_regions(config: &SdkConfig, clock: &Clock) -> Result<Vec<String>> {
    let regions = regions::enabled(config, clock).await.map_err(|error| {
        let remedy = match error.failure.kind() {
            Kind::Denied => "allow your user or role ec2:DescribeRegions, or name the Regions with --region",
            _ => &for_person(&error.failure.remedy),
        };
        anyhow!("{}\n  remedy: {remedy}", visible(&error.failure.message))
    });
    regions.context("cannot list the Regions of the account")
}

/// Checks that the stream is in one of the places.
fn is_selected(arn: &StreamArn, places: &[Result<Target, FailedPlace>]) -> Result<()> {
    let places = places.iter().map(|place| match place {
        Ok(target) => (target.account.as_deref(), target.aws.region.as_str()),
        Err(failed) => (failed.account.as_deref(), failed.region.as_str()),
    });
    let in_region: Vec<_> = places.clone().filter(|(_, region)| *region == arn.region()).collect();
    if in_region.is_empty() {
        let regions = each_once(places.map(|(_, region)| region)).join(" or ");
        bail!("{arn} is not in {regions}: pass --region {}", arn.region());
    }
    if in_region.iter().all(|(account, _)| account.is_some_and(|account| account != arn.account())) {
        let accounts = each_once(in_region.into_iter().filter_map(|(account, _)| account)).join(" or ");
        bail!(
            "{arn} is not in the account {accounts}: pass --profile NAME with a profile of {}, or --accounts {} if it \
             is a member account",
            arn.account(),
            arn.account()
        );
    }
    Ok(())
}

fn each_once<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for text in texts {
        if !once.iter().any(|earlier| earlier == text) {
            once.push(text.to_owned());
        }
    }
    once
}
