//! HTTP/1.1 over TLS for the SDK: hyper's client with its connection pool, and rustls on ring.
//!
//! The function connects directly; the terminal program also through the proxies that the
//! environment names.
//!
//! `aws-smithy-http-client` does the same and more: HTTP/2, other TLS libraries. HTTP/2 alone
//! would be a tenth of the function's size, for requests that fit into one packet; and the crate
//! panics if certificates cannot be read.
//!
//! The TLS library is ring alone: aws-lc would be as large again, and gathers entropy from the
//! processor's jitter, which takes almost half a second of a cold start at 128 MB.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io::ErrorKind as ErrorOfIo;
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
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{Connect, HttpConnector as Tcp, capture_connection};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::time::timeout;

use crate::domain::arn::partition_of;
use crate::domain::text::error_chain;
use crate::settings::Environment;

/// The root certificates of AWS's endpoints in the commercial partition, as [Amazon Trust
/// Services][roots] publishes them.
///
/// They are compiled in: loading the platform's store takes some 20 ms of a cold start at 128 MB.
///
/// [roots]: https://www.amazontrust.com/repository/
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

/// How long connecting may take. A network that drops packets fails here.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an answer through a proxy may take. It is shorter than the SDK's timeout of an attempt,
/// whose error would name neither the host nor the proxy.
const PROXIED_TIMEOUT: Duration = Duration::from_millis(3_500);

/// Why there is no HTTP client: the certificates to trust cannot be read.
#[derive(Debug, Error)]
pub enum TrustError {
    /// The file of certificates cannot be read.
    #[error("AWS_CA_BUNDLE is {path:?}: {problem}")]
    Bundle {
        /// The path of the file.
        path: String,
        /// What is wrong with the file.
        problem: String,
    },
    /// No certificate can be used; the text says why.
    #[error("the certificates to trust cannot be used: {0}")]
    Unusable(String),
}

/// Why there is no HTTP client of the terminal program.
#[cfg(feature = "cli")]
#[derive(Debug, Error)]
pub enum ClientError {
    /// The certificates to trust cannot be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A variable does not name a proxy.
    #[error(transparent)]
    Proxy(#[from] super::proxy::ProxyVariable),
}

/// The HTTP client for `region`, which connects directly. `AWS_CA_BUNDLE`, `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name the certificates that it trusts.
pub fn http_client(environment: &Environment, region: &str) -> Result<SharedHttpClient, TrustError> {
    client(environment, region, tcp())
}

/// The same, but through the proxies that `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` name.
#[cfg(feature = "cli")]
pub fn proxying_http_client(environment: &Environment, region: &str) -> Result<SharedHttpClient, ClientError> {
    let proxies = super::proxy::Proxies::of(environment)?;
    Ok(client(environment, region, super::proxy::Connector::new(tcp(), proxies))?)
}

fn tcp() -> Tcp {
    let mut tcp = Tcp::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp
}

fn client<C>(environment: &Environment, region: &str, connector: C) -> Result<SharedHttpClient, TrustError>
where
    C: Via,
    HttpsConnector<C>: Connect + Clone + fmt::Debug + Send + Sync + 'static,
{
    let untrusting = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TrustError::Unusable(error.to_string()))?;
    let tls = untrusting.with_root_certificates(roots(environment, region)?).with_no_client_auth();
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector.clone());
    let pool = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(https);
    Ok(SharedHttpClient::new(Http { pool, connector }))
}

/// The root certificates to trust.
fn roots(environment: &Environment, region: &str) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    let trust = |roots: &mut RootCertStore, pem: &[u8]| -> Result<(), String> {
        let certificates =
            CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        // A platform's store also holds old certificates that rustls rejects.
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 { Err("it contains no usable certificate".to_owned()) } else { Ok(()) }
    };
    match environment.get("AWS_CA_BUNDLE") {
        Some(path) => {
            let refuse = |problem: String| TrustError::Bundle { path: path.to_owned(), problem };
            let pem = fs::read(path).map_err(|error| refuse(error.to_string()))?;
            trust(&mut roots, &pem).map_err(refuse)?;
        }
        // With certificates or HTTPS endpoints of the user's own, the platform's store is meant;
        // and which roots the other partitions use is not documented.
        None if names_trust_of_its_own(environment) || partition_of(region) != "aws" => {
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = roots.add_parsable_certificates(found.certs);
            if added == 0 {
                let problem = found.errors.first().map_or_else(|| "it is empty".to_owned(), ToString::to_string);
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

/// How a connector reaches a host.
pub(super) trait Via: Clone + fmt::Debug + Send + Sync + 'static {
    /// The proxy on the way to `uri`, for messages.
    fn via(&self, uri: &Uri) -> Option<String>;

    /// Adds what the proxy requires to a request that it relays.
    fn authorize(&self, request: &mut Request<SdkBody>);

    /// What the proxy said, if that is the error on the way to `uri`.
    fn refusal(error: &(dyn Error + 'static), uri: &Uri) -> Option<Refused>;

    /// What the proxy said, if the response with this status is the proxy's own.
    fn refusal_of(&self, uri: &Uri, status: StatusCode) -> Option<Refused>;
}

/// What a proxy said.
pub(super) struct Refused {
    pub(super) because: String,
    /// What a person can do, if the proxy would refuse the same again.
    pub(super) remedy: Option<String>,
}

impl Via for Tcp {
    fn via(&self, _: &Uri) -> Option<String> {
        None
    }

    fn authorize(&self, _: &mut Request<SdkBody>) {}

    fn refusal(_: &(dyn Error + 'static), _: &Uri) -> Option<Refused> {
        None
    }

    fn refusal_of(&self, _: &Uri, _: StatusCode) -> Option<Refused> {
        None
    }
}

/// hyper's client, as the SDK's `HttpClient`. Clones share its pool.
#[derive(Clone, Debug)]
struct Http<C> {
    pool: Client<HttpsConnector<C>, SdkBody>,
    connector: C,
}

impl<C> HttpClient for Http<C>
where
    C: Via,
    HttpsConnector<C>: Connect + Clone + fmt::Debug + Send + Sync + 'static,
{
    // The SDK's settings are timeouts: that of connecting is set above, and the SDK's runtime ends
    // an attempt.
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl<C> HttpConnector for Http<C>
where
    C: Via,
    HttpsConnector<C>: Connect + Clone + fmt::Debug + Send + Sync + 'static,
{
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        // The SDK needs the connection, to close it if an answer shows that the server is
        // unhealthy.
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
        self.connector.authorize(&mut request);
        let uri = request.uri().clone();
        let connector = self.connector.clone();
        let sent = self.pool.request(request);
        HttpConnectorFuture::new(async move {
            let via = connector.via(&uri);
            let answered = match &via {
                Some(via) => timeout(PROXIED_TIMEOUT, sent).await.map_err(|_| no_answer(&uri, via))?,
                None => sent.await,
            };
            let response = answered.map_err(|error| classified(&error, &uri, &connector))?;
            if let Some(Refused { because, remedy }) = connector.refusal_of(&uri, response.status()) {
                let failure = NotReached {
                    host: authority(&uri),
                    via,
                    because,
                    remedy,
                    #[cfg(feature = "cli")]
                    is_unsent: true,
                };
                return Err(ConnectorError::other(failure.into(), None));
            }
            HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// A host that was not reached, and why.
#[derive(Debug, Error)]
#[error("cannot reach {host}{}: {because}", via.as_ref().map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default())]
pub(crate) struct NotReached {
    host: String,
    via: Option<String>,
    because: String,
    /// What a person can do about the proxy's refusal, where a retry cannot help.
    pub(super) remedy: Option<String>,
    /// Whether there was no connection, so that nothing was sent.
    #[cfg(feature = "cli")]
    pub(super) is_unsent: bool,
}

/// A host behind a proxy that did not answer in time.
#[derive(Debug, Error)]
#[error("no answer from {host} through the proxy {via} in time")]
struct NoAnswer {
    host: String,
    via: String,
}

fn no_answer(uri: &Uri, via: &str) -> ConnectorError {
    ConnectorError::timeout(NoAnswer { host: authority(uri), via: via.to_owned() }.into())
}

fn authority(uri: &Uri) -> String {
    uri.authority().map(ToString::to_string).unwrap_or_default()
}

/// The kind of a failure, as the SDK classifies them, and its message. After each of them, whether
/// the call arrived is unknown.
fn classified<C: Via>(error: &legacy::Error, uri: &Uri, connector: &C) -> ConnectorError {
    let mut io = error.is_connect();
    let mut cut_short = false;
    for error in causes(error) {
        io |= error.is::<std::io::Error>();
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            io |= error.is_closed() || error.is_canceled();
            cut_short |= error.is_incomplete_message();
        }
    }
    let refused = causes(error).find_map(|error| C::refusal(error, uri));
    let Refused { because, remedy } = refused.unwrap_or_else(|| Refused { because: because(error), remedy: None });
    let is_final = remedy.is_some();
    let failure = NotReached {
        host: authority(uri),
        via: connector.via(uri),
        because,
        remedy,
        #[cfg(feature = "cli")]
        is_unsent: error.is_connect(),
    }
    .into();
    if is_final {
        ConnectorError::other(failure, None)
    } else if io {
        ConnectorError::io(failure)
    } else if cut_short {
        ConnectorError::other(failure, Some(ErrorKind::TransientError))
    } else {
        ConnectorError::other(failure, None)
    }
}

/// Why a host was not reached, from the cause that says most.
fn because(error: &legacy::Error) -> String {
    let is_connect = error.is_connect();
    for error in causes(error) {
        // hyper's error of a name look-up cannot be named.
        if error.to_string() == "dns error" {
            return "its name cannot be resolved".to_owned();
        }
        let Some(mut io) = error.downcast_ref::<std::io::Error>() else { continue };
        // One I/O error may hold another, which it does not name as its source.
        while let Some(inner) = io.get_ref().and_then(|inner| inner.downcast_ref()) {
            io = inner;
        }
        if let Some(tls) = io.get_ref().and_then(|error| error.downcast_ref()) {
            return match tls {
                rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. }) => {
                    "its certificate is for another host"
                }
                rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { .. }) => {
                    "its certificate has expired"
                }
                rustls::Error::InvalidCertificate(_) => {
                    "its certificate is not trusted; if the network inspects TLS, set AWS_CA_BUNDLE"
                }
                _ => "the TLS handshake failed",
            }
            .to_owned();
        }
        return match io.kind() {
            ErrorOfIo::ConnectionRefused => "connection refused".to_owned(),
            ErrorOfIo::TimedOut if is_connect => format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()),
            _ => io.to_string().split(" (os error ").next().unwrap_or_default().to_lowercase(),
        };
    }
    if is_connect { error_chain(error) } else { "the connection was closed before the answer".to_owned() }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
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
