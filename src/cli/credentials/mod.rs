//! The SDK configuration of a person: profile, Region and credentials, from where the AWS CLI finds
//! them.
//!
//! The SDK reads the files and signs in; which profile provides what, and the roles that are
//! assumed with it, is decided here: the SDK ignores `mfa_serial` and `duration_seconds`, and its
//! errors do not say which profile is meant.
//!
//! Source: <https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>.

mod chain;
mod provider;
mod reason;

use std::fmt;

use anyhow::{Result, anyhow};
use aws_config::BehaviorVersion;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_types::SdkConfig;
use aws_types::region::Region;
use thiserror::Error;

use self::chain::{Base, Chain, Profiles};
use self::provider::ProfileCredentials;
use super::input;
use crate::aws::config;
use crate::aws::http::proxying_http_client;
use crate::clock::Clock;
use crate::settings::Environment;

/// Why there are no credentials, and what the person can do about it.
#[derive(Clone, Debug, Error)]
#[error("{what}\n  remedy: {remedy}")]
struct Problem {
    what: String,
    remedy: String,
}

impl Problem {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

/// The profile to use.
#[derive(Clone, Debug)]
struct Chosen {
    name: String,
    by: ChosenBy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChosenBy {
    /// `--profile`. It takes precedence over credentials in the environment.
    Option,
    /// This variable: `AWS_PROFILE` or, as the AWS CLI reads it, too, `AWS_DEFAULT_PROFILE`.
    Variable(&'static str),
    /// Nobody: the profile `default`, if there is one.
    Nobody,
}

impl Chosen {
    fn new(profile: Option<&str>, environment: &Environment) -> Self {
        let of_variable = |name: &'static str| environment.get(name).map(|profile| (profile, name));
        let variable = of_variable("AWS_PROFILE").or_else(|| of_variable("AWS_DEFAULT_PROFILE"));
        let (name, by) = match (profile, variable) {
            (Some(name), _) => (name, ChosenBy::Option),
            (None, Some((name, variable))) => (name, ChosenBy::Variable(variable)),
            (None, None) => ("default", ChosenBy::Nobody),
        };
        Self { name: name.to_owned(), by }
    }
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, by } = self;
        match by {
            ChosenBy::Variable(variable) => write!(f, "profile {name} ({variable})"),
            ChosenBy::Option | ChosenBy::Nobody => write!(f, "profile {name}"),
        }
    }
}

/// The configuration of `profile` and `region`, each from the environment if not given.
///
/// # Errors
/// There is no Region, or the credentials cannot be loaded.
pub(super) async fn sdk_config(
    profile: Option<&str>,
    region: Option<&str>,
    environment: &Environment,
    clock: &Clock,
) -> Result<SdkConfig> {
    check_endpoints(environment)?;
    let chosen = Chosen::new(profile, environment);
    let profiles = Profiles::load(&chosen, environment).await?;
    let chain = chain_of(&chosen, &profiles, environment)?;
    // The Region of a profile is known only after loading. Here the client trusts the platform's
    // root certificates, which are valid for every partition.
    let http = proxying_http_client(environment, "any")?;
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http).no_credentials();
    if profiles.contains(&chosen.name) {
        loader = loader.profile_name(&chosen.name);
    }
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    let config = loader.load().await;
    match config.region() {
        None => return Err(no_region(&chosen, &profiles).into()),
        Some(found) if region.is_none() => check_region(found.as_ref(), &chosen, environment)?,
        Some(_) => {}
    }
    // From here on, every call has a timeout.
    let config = config::with_retries_off(config, clock);
    let provider = ProfileCredentials::new(&chosen, chain, &config, clock);
    provider.load().await?;
    Ok(config.into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build())
}

/// Where the credentials come from: a named profile, the environment, the default profile, or what
/// the machine provides, in this order. `AWS_PROFILE` comes after the environment, as for every
/// AWS tool.
fn chain_of(chosen: &Chosen, profiles: &Profiles, environment: &Environment) -> Result<Chain, Problem> {
    if chosen.by != ChosenBy::Nobody && !profiles.contains(&chosen.name) {
        return Err(profiles.missing(chosen));
    }
    if chosen.by != ChosenBy::Option
        && let Some(keys) = chain::keys_of(environment)?
    {
        return Ok(Chain::of(Base::Environment(keys)));
    }
    if profiles.contains(&chosen.name) {
        profiles.chain(&chosen.name, environment)
    } else {
        Ok(Chain::of(Base::Machine))
    }
}

fn no_region(chosen: &Chosen, profiles: &Profiles) -> Problem {
    if profiles.contains(&chosen.name) {
        let remedy = "pass --region, set AWS_REGION, or add region = NAME to the profile";
        Problem::new(format!("no Region: the {chosen} has none"), remedy)
    } else {
        Problem::new("no Region", "pass --region, set AWS_REGION, or use a profile with a Region")
    }
}

/// Checks the endpoints in the environment: the SDK takes an empty one for an endpoint, too.
fn check_endpoints(environment: &Environment) -> Result<()> {
    for name in environment.names("AWS_ENDPOINT_URL") {
        let url = environment.get_even_empty(name).unwrap_or_default();
        let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or_default();
        if url.is_empty() {
            return Err(anyhow!("{name} is empty: unset it, or set it to a URL such as http://127.0.0.1:4566"));
        }
        if host.is_empty() || host.starts_with('/') || url.contains(char::is_whitespace) {
            return Err(anyhow!("{name} is {url:?}: set it to a URL such as http://127.0.0.1:4566, or unset it"));
        }
    }
    Ok(())
}

/// Checks the Region that the environment or the profile names, before AWS is asked there.
fn check_region(region: &str, chosen: &Chosen, environment: &Environment) -> Result<()> {
    let variable = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find(|name| environment.get(name).is_some());
    let source = variable.map_or_else(|| format!("the region of the {chosen}"), str::to_owned);
    input::region(region).map(drop).map_err(|problem| anyhow!("{source} is {region:?}: {problem}"))
}

/// Loads the credentials once, so that missing ones are reported as `failure`, with its remedy,
/// before the first call instead of as a network failure of every call.
pub(super) async fn check_credentials(config: &SdkConfig, failure: &str, remedy: &str) -> Result<()> {
    let provider = config.credentials_provider().ok_or_else(|| anyhow!("{failure}\n  remedy: {remedy}"))?;
    let credentials = provider.provide_credentials().await;
    credentials.map(drop).map_err(|error| anyhow!("{failure}: {}\n  remedy: {remedy}", reason::of(&error)))
}
