//! HTTP/1.1 over TLS for the SDK: hyper's client with its pool of connections, and rustls on ring.
//!
//! `aws-smithy-http-client` does the same and more: HTTP/2, proxies, other TLS libraries. HTTP/2
//! alone would be a tenth of the function, for requests that fit into one packet; and it panics
//! where certificates cannot be read.
//!
//! One TLS library, since a second would be as large; ring, since aws-lc draws its first random
//! number from the processor's jitter, which costs a cold start at 128 MB almost half a second.

use std::error::Error;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::retries::ErrorKind;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{HttpConnector as Tcp, capture_connection};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

use crate::domain::arn::partition_of;
use crate::settings::Environment;

/// The roots that AWS's endpoints of the commercial partition chain to, as Amazon Trust Services
/// publishes them.
///
/// Compiled in, because loading the platform's whole store costs a cold start at 128 MB some 20 ms.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

/// How long connecting may take: a network that drops packets shows itself here.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is nothing to trust, and so no HTTP client.
#[derive(Debug, Error)]
pub enum TrustError {
    /// The file of certificates cannot be read.
    #[error("AWS_CA_BUNDLE is {path:?}: {problem}")]
    Bundle {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The certificates cannot be used.
    #[error("the certificates to trust cannot be used: {0}")]
    Unusable(String),
}

/// The HTTP client that `environment` asks for in `region`: `AWS_CA_BUNDLE`, `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name what it trusts.
pub fn http_client(environment: &Environment, region: &str) -> Result<SharedHttpClient, TrustError> {
    let untrusting = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TrustError::Unusable(error.to_string()))?;
    let tls = untrusting.with_root_certificates(roots(environment, region)?).with_no_client_auth();
    let mut tcp = Tcp::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    let pool = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(https);
    Ok(SharedHttpClient::new(Http(pool)))
}

/// The certificates that an endpoint's must go back to.
fn roots(environment: &Environment, region: &str) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    let trust = |roots: &mut RootCertStore, pem: &[u8]| -> Result<(), String> {
        let certificates =
            CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        // Whole stores hold old certificates that nobody accepts any more; the others are none the
        // worse for it.
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 { Err("there is no certificate that can be used".to_owned()) } else { Ok(()) }
    };
    match environment.get("AWS_CA_BUNDLE") {
        Some(path) => {
            let refuse = |problem: String| TrustError::Bundle { path: path.to_owned(), problem };
            let pem = fs::read(path).map_err(|error| refuse(error.to_string()))?;
            trust(&mut roots, &pem).map_err(refuse)?;
        }
        // Whoever names certificates of their own, or an endpoint of their own, means the
        // platform's store; and which roots the other partitions use is not documented.
        None if names_trust_of_its_own(environment) || partition_of(region) != "aws" => {
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = roots.add_parsable_certificates(found.certs);
            if added == 0 {
                let problem = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
                return Err(TrustError::Unusable(format!("the platform's store: {problem}")));
            }
        }
        None => trust(&mut roots, AMAZON_ROOTS).map_err(TrustError::Unusable)?,
    }
    Ok(roots)
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

/// hyper's client, as the SDK wants one. Clones share its pool.
#[derive(Clone, Debug)]
struct Http(Client<HttpsConnector<Tcp>, SdkBody>);

impl HttpClient for Http {
    // The SDK's settings are its time-outs: connecting has its own here, and an attempt is ended by
    // the SDK's runtime.
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Http {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        // The SDK asks for the connection, to have it closed where an answer shows that the other
        // side is ill.
        let connection = capture_connection(&mut request);
        if let Some(capture) = request.extensions().get::<CaptureSmithyConnection>() {
            capture.set_connection_retriever(move || {
                let connection = connection.clone();
                let poison = move || {
                    if let Some(connected) = connection.connection_metadata().as_ref() {
                        connected.poison();
                    }
                };
                Some(ConnectionMetadata::builder().proxied(false).poison_fn(poison).build())
            });
        }
        let sent = self.0.request(request);
        HttpConnectorFuture::new(async move {
            let response = sent.await.map_err(classified)?;
            HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// What kind of failure it is, as the SDK tells them apart. Of none of them it is known whether the
/// call arrived.
fn classified(error: legacy::Error) -> ConnectorError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    let mut io = error.is_connect();
    let mut cut_short = false;
    while let Some(error) = cause {
        io |= error.is::<std::io::Error>();
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            io |= error.is_closed() || error.is_canceled();
            cut_short |= error.is_incomplete_message();
        }
        cause = error.source();
    }
    match () {
        () if io => ConnectorError::io(error.into()),
        () if cut_short => ConnectorError::other(error.into(), Some(ErrorKind::TransientError)),
        () => ConnectorError::other(error.into(), None),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_bundle_that_cannot_be_read_is_named() {
        let environment = Environment::default().with("AWS_CA_BUNDLE", "/nowhere/ca.pem");
        let error = http_client(&environment, "us-east-1").expect_err("refused");
        assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    }

    #[test]
    fn a_bundle_that_holds_no_certificate_is_refused_and_not_a_panic() {
        for text in [
            "",
            "no certificate",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\n%%\n",
        ] {
            let mut file = tempfile::NamedTempFile::new().expect("a file");
            file.write_all(text.as_bytes()).expect("written");
            let path = file.path().to_str().expect("a path");
            let environment = Environment::default().with("AWS_CA_BUNDLE", path);
            let error = http_client(&environment, "us-east-1").expect_err("refused").to_string();
            assert!(error.contains(path), "{error}");
        }
    }

    #[test]
    fn the_compiled_in_roots_are_five_certificates() {
        assert_eq!(roots(&Environment::default(), "us-east-1").expect("roots").len(), 5);
    }
}
