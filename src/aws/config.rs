//! The SDK's configuration, read from the environment directly.
//!
//! `aws-config` does this too, but adds half a megabyte to the function's zip file and memory: in
//! Lambda, Region and credentials are [always in the environment][variables]. The terminal program,
//! which also supports profiles and single sign-on, uses `aws-config`, and shares what follows it.
//!
//! [variables]: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use thiserror::Error;

use super::http::{TrustError, http_client};
use crate::clock::Clock;
use crate::settings::Environment;

/// How long one attempt of a call may take. The control planes of Kinesis, KMS and SQS answer
/// within tens of milliseconds as a rule.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);

/// What names a proxy for other programs. The function needs none in its VPC, where AWS is reached
/// through VPC endpoints or a NAT gateway.
const PROXIES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// Lambda sets it; elsewhere it must be set.
    #[error("AWS_REGION is not set: set it to the Region of the streams, such as us-east-1")]
    NoRegion,
    /// The HTTP client could not be made.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// The configuration of the function's environment.
///
/// These variables are read: `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
/// `AWS_SESSION_TOKEN`, `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_<SERVICE>`,
/// `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS`, `AWS_USE_FIPS_ENDPOINT`, `AWS_USE_DUALSTACK_ENDPOINT`,
/// `AWS_CA_BUNDLE`, `SSL_CERT_FILE` and `SSL_CERT_DIR`.
pub fn from_environment(environment: &Environment, clock: &Clock) -> Result<SdkConfig, ConfigError> {
    let region =
        environment.get("AWS_REGION").or_else(|| environment.get("AWS_DEFAULT_REGION")).ok_or(ConfigError::NoRegion)?;
    let credentials = match (environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")) {
        (Some(id), Some(secret)) => {
            let token = environment.get("AWS_SESSION_TOKEN").map(str::to_owned);
            Some(SharedCredentialsProvider::new(Credentials::new(id, secret, token, None, "Environment")))
        }
        // Each call then fails with REQUEST_NOT_BUILT.
        _ => None,
    };
    for name in PROXIES {
        if environment.get(name).is_some() {
            tracing::warn!(variable = name, "proxy variable ignored: the function connects directly");
        }
    }
    let is_on = |name| environment.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let mut builder = SdkConfig::builder()
        .region(Region::new(region.to_owned()))
        .use_fips(is_on("AWS_USE_FIPS_ENDPOINT"))
        .use_dual_stack(is_on("AWS_USE_DUALSTACK_ENDPOINT"))
        .http_client(http_client(environment, region)?);
    builder.set_credentials_provider(credentials);
    if !is_on("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") {
        builder.set_endpoint_url(environment.get("AWS_ENDPOINT_URL").map(str::to_owned));
        builder.set_service_config(Some(Endpoints(environment.clone())));
    }
    Ok(with_retries_off(builder.build(), clock))
}

/// `config` with this program's clock, without the SDK's retries, and with a timeout for every
/// attempt.
#[must_use]
pub fn with_retries_off(config: SdkConfig, clock: &Clock) -> SdkConfig {
    config
        .into_builder()
        .behavior_version(BehaviorVersion::latest())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).build())
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .time_source(SharedTimeSource::new(clock.clone()))
        .build()
}

/// [`AWS_ENDPOINT_URL_<SERVICE>`][endpoints], which the SDK reads only through this trait.
///
/// [endpoints]: https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
#[derive(Debug)]
struct Endpoints(Environment);

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_ascii_uppercase().replace(' ', "_");
        self.0.get(&format!("{}_{service}", key.env())).or_else(|| self.0.get(key.env())).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_region_is_needed() {
        let clock = Clock::system();
        assert!(matches!(from_environment(&Environment::default(), &clock), Err(ConfigError::NoRegion)));
    }

    #[test]
    fn a_proxy_that_is_not_used_is_named_in_the_log() {
        let environment =
            Environment::default().with("AWS_REGION", "us-east-1").with("HTTPS_PROXY", "http://p:secret@h");
        let log = tempfile::NamedTempFile::new().expect("a file");
        let writer = Mutex::new(log.reopen().expect("the file"));
        let subscriber = tracing_subscriber::fmt().with_writer(writer).finish();
        tracing::subscriber::with_default(subscriber, || {
            from_environment(&environment, &Clock::system()).expect("a configuration");
        });
        let log = std::fs::read_to_string(log.path()).expect("a log");
        assert!(log.contains("WARN") && log.contains("HTTPS_PROXY") && !log.contains("secret"), "{log}");
    }

    #[test]
    fn an_endpoint_of_a_service_goes_before_the_general_one() {
        let environment = Environment::default()
            .with("AWS_ENDPOINT_URL", "http://general")
            .with("AWS_ENDPOINT_URL_KMS", "http://kms");
        let endpoints = Endpoints(environment);
        let asked = |service| {
            let key =
                ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
            endpoints.load_config(key.expect("complete"))
        };
        assert_eq!(asked("KMS").as_deref(), Some("http://kms"));
        assert_eq!(asked("Kinesis").as_deref(), Some("http://general"));
    }
}
