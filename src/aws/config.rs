//! The SDK's configuration, made from the environment directly.
//!
//! `aws-config` would do it too, at the price of half a megabyte of zip and memory in the function: in Lambda, Region and credentials are always
//! in the environment. The terminal program, which must also understand profiles and single sign-on, uses `aws-config` and takes from here
//! what both share.

use std::fs;
use std::io;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use thiserror::Error;

use crate::arn::partition_of;
use crate::clock::Clock;
use crate::settings::Environment;

/// The roots that AWS's endpoints of the commercial partition chain to, as Amazon Trust Services publishes them.
///
/// Compiled in, because loading the platform's whole store costs a cold start at 128 MB some 20 ms.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

/// How long one attempt of a call may take. The control planes of Kinesis, KMS and SQS answer within tens of milliseconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);

/// How long connecting may take: a network that drops packets shows itself here.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// Lambda sets it; elsewhere a person must.
    #[error("AWS_REGION is not set: set it to the Region of the streams, such as us-east-1")]
    NoRegion,
    /// The file of certificates cannot be read.
    #[error("AWS_CA_BUNDLE is {path:?}: {source}")]
    CaBundle {
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The certificates cannot be used.
    #[error("the certificates to trust cannot be used: {0}")]
    Tls(String),
}

/// The configuration that Lambda's environment describes.
///
/// Read from it are `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_<SERVICE>`,
/// `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS`, `AWS_USE_FIPS_ENDPOINT`, `AWS_USE_DUALSTACK_ENDPOINT`, `AWS_CA_BUNDLE`, `SSL_CERT_FILE` and `SSL_CERT_DIR`.
pub fn from_environment(environment: &Environment, clock: &Clock) -> Result<SdkConfig, ConfigError> {
    let region = environment.get("AWS_REGION").or_else(|| environment.get("AWS_DEFAULT_REGION")).ok_or(ConfigError::NoRegion)?;
    let credentials = match (environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")) {
        (Some(id), Some(secret)) => {
            let token = environment.get("AWS_SESSION_TOKEN").map(str::to_owned);
            Some(SharedCredentialsProvider::new(Credentials::new(id, secret, token, None, "Environment")))
        }
        // Each call then fails, saying that there are no credentials.
        _ => None,
    };
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
    Ok(tamed(builder.build(), clock))
}

/// `config` with what this program insists on: its own clock, no retries but its own, a timeout for every attempt.
#[must_use]
pub fn tamed(config: SdkConfig, clock: &Clock) -> SdkConfig {
    config
        .into_builder()
        .behavior_version(BehaviorVersion::latest())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT).build())
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .time_source(SharedTimeSource::new(clock.clone()))
        .build()
}

/// The HTTP client: one TLS stack, rustls on ring. (aws-lc draws its first random number from CPU jitter, which costs a cold start at 128 MB
/// almost half a second.)
pub fn http_client(environment: &Environment, region: &str) -> Result<SharedHttpClient, ConfigError> {
    let trust_store = match environment.get("AWS_CA_BUNDLE") {
        Some(path) => {
            let pem = fs::read(path).map_err(|source| ConfigError::CaBundle { path: path.to_owned(), source })?;
            TrustStore::empty().with_pem_certificate(pem)
        }
        // Whoever names certificates of their own, or an endpoint of their own, means the platform's store; and which roots the other
        // partitions use is not documented.
        None if names_trust_of_its_own(environment) || partition_of(region) != "aws" => TrustStore::default(),
        None => TrustStore::empty().with_pem_certificate(AMAZON_ROOTS),
    };
    let context = TlsContext::builder().with_trust_store(trust_store).build().map_err(|error| ConfigError::Tls(error.to_string()))?;
    Ok(Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(context).build_https())
}

fn names_trust_of_its_own(environment: &Environment) -> bool {
    const ENDPOINTS: [&str; 9] = [
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_CLOUDTRAIL",
        "AWS_ENDPOINT_URL_EVENTBRIDGE",
        "AWS_ENDPOINT_URL_KINESIS",
        "AWS_ENDPOINT_URL_KMS",
        "AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API",
        "AWS_ENDPOINT_URL_SQS",
        "AWS_ENDPOINT_URL_SSM",
        "AWS_ENDPOINT_URL_STS",
    ];
    let own_endpoint = |name: &str| environment.get(name).is_some_and(|url| url.starts_with("https://"));
    environment.get("SSL_CERT_FILE").is_some()
        || environment.get("SSL_CERT_DIR").is_some()
        || ENDPOINTS.iter().any(|name| own_endpoint(name))
}

/// `AWS_ENDPOINT_URL_<SERVICE>`, which the SDK asks for only through this.
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
    use super::*;

    #[test]
    fn a_region_is_needed() {
        let clock = Clock::system();
        assert!(matches!(from_environment(&Environment::default(), &clock), Err(ConfigError::NoRegion)));
    }

    #[test]
    fn a_bundle_that_cannot_be_read_is_named() {
        let environment = Environment::default().with("AWS_REGION", "us-east-1").with("AWS_CA_BUNDLE", "/nowhere/ca.pem");
        let error = from_environment(&environment, &Clock::system()).expect_err("refused");
        assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    }

    #[test]
    fn the_compiled_in_roots_are_five_certificates() {
        let text = String::from_utf8_lossy(AMAZON_ROOTS);
        assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 5);
    }

    #[test]
    fn an_endpoint_of_a_service_goes_before_the_general_one() {
        let environment = Environment::default().with("AWS_ENDPOINT_URL", "http://general").with("AWS_ENDPOINT_URL_KMS", "http://kms");
        let endpoints = Endpoints(environment);
        let asked = |service| {
            let key = ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
            endpoints.load_config(key.expect("complete"))
        };
        assert_eq!(asked("KMS").as_deref(), Some("http://kms"));
        assert_eq!(asked("Kinesis").as_deref(), Some("http://general"));
    }
}
