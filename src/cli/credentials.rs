//! The SDK configuration of a person: profile, Region and credentials, from where the AWS CLI finds
//! them.
//!
//! Source: <https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>.

use anyhow::{Result, anyhow};
use aws_config::BehaviorVersion;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_types::SdkConfig;
use aws_types::region::Region;

use super::input;
use crate::aws::config;
use crate::aws::error::chain;
use crate::aws::http::http_client;
use crate::clock::Clock;
use crate::settings::Environment;

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
    // The Region of a profile is known only after loading. Here the client trusts the platform's
    // root certificates, which are valid for every partition.
    let http = http_client(environment, "any")?;
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http.clone());
    if let Some(profile) = profile {
        // A profile that is named on the command line takes precedence over credentials in the
        // environment.
        let provider =
            ProfileFileCredentialsProvider::builder().configure(&ProviderConfig::default().with_http_client(http));
        loader = loader.profile_name(profile).credentials_provider(provider.profile_name(profile).build());
    }
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    let config = loader.load().await;
    match config.region() {
        None => return Err(anyhow!("no Region: pass --region, set AWS_REGION, or use a profile with a Region")),
        Some(found) if region.is_none() => check_region(found.as_ref(), profile, environment)?,
        Some(_) => {}
    }
    let (failure, remedy) = match profile {
        Some(name) => (
            format!("cannot load the credentials of the profile {name}"),
            "check the name of the profile, or sign in again",
        ),
        None => ("cannot load AWS credentials".to_owned(), "pass --profile, set AWS_PROFILE, or sign in again"),
    };
    check_credentials(&config, &failure, remedy).await?;
    Ok(config::with_retries_off(config, clock))
}

/// Checks the Region that the environment or the profile names, before AWS is asked there.
fn check_region(region: &str, profile: Option<&str>, environment: &Environment) -> Result<()> {
    let variable = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find(|name| environment.get(name).is_some());
    let source = variable.map_or_else(
        || format!("the region of the profile {}", profile.or(environment.get("AWS_PROFILE")).unwrap_or("default")),
        str::to_owned,
    );
    input::region(region).map(drop).map_err(|problem| anyhow!("{source} is {region:?}: {problem}"))
}

/// Loads the credentials once, so that missing ones are reported as `failure`, with its remedy,
/// before the first call instead of as a network failure of every call.
pub(super) async fn check_credentials(config: &SdkConfig, failure: &str, remedy: &str) -> Result<()> {
    let provider = config.credentials_provider().ok_or_else(|| anyhow!("{failure}\n  remedy: {remedy}"))?;
    let credentials = provider.provide_credentials().await;
    credentials.map(drop).map_err(|error| anyhow!("{failure}: {}\n  remedy: {remedy}", chain(&error)))
}
