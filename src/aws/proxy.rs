//! The proxies that the environment names, for the terminal program.
//!
//! `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` mean what they mean to [the AWS CLI][cli]; a name in
//! lower case goes before the one in upper case. For HTTPS, the proxy opens a tunnel with CONNECT,
//! and sees the host name only. The machine's own addresses are never reached through a proxy: the
//! metadata service behind it would hand out the credentials of another machine.
//!
//! [cli]: https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-proxy.html

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_smithy_types::body::SdkBody;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::upgrade::Upgraded;
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector as Tcp};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tower_service::Service;

use super::http::{CONNECT_TIMEOUT, Refused, Via};
use crate::settings::Environment;

/// The names of each variable, in the order in which they are read.
const HTTPS: [&str; 2] = ["https_proxy", "HTTPS_PROXY"];
const HTTP: [&str; 2] = ["http_proxy", "HTTP_PROXY"];
const NO: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// A variable that does not name a proxy. Its value, which may hold a password, is left out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProxyVariable {
    /// It is not a URL with a host.
    #[error(
        "{0} is not the URL of a proxy: write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, with special characters of the password as %XX"
    )]
    Malformed(&'static str),
    /// The scheme is another than http.
    #[error("{variable} names a proxy by {scheme}://, which is not supported: write http://HOST:PORT")]
    Scheme {
        /// The variable's name.
        variable: &'static str,
        /// The scheme of the URL.
        scheme: String,
    },
}

/// Which proxy leads to which host.
#[derive(Clone, Debug)]
pub(super) struct Proxies(Arc<Matcher>);

impl Proxies {
    pub(super) fn of(environment: &Environment) -> Result<Self, ProxyVariable> {
        let no = exceptions(first(environment, NO).map_or("", |(_, hosts)| hosts));
        let matcher = Matcher::builder().https(url(environment, HTTPS)?).http(url(environment, HTTP)?).no(no).build();
        Ok(Self(Arc::new(matcher)))
    }

    /// The proxy that leads to `uri`; none if it is reached directly.
    fn to(&self, uri: &Uri) -> Option<Intercept> {
        if uri.host().is_none_or(is_of_this_machine) { None } else { self.0.intercept(uri) }
    }
}

/// What `NO_PROXY` lists, in the form that the matcher knows: `*.amazonaws.com` means
/// `.amazonaws.com`, and a port means nothing, because each host has one.
fn exceptions(hosts: &str) -> String {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let exception = |host: &str| {
        let host = host.trim();
        let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
        let without_port = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
            Some((address, _)) => address,
            None => host.split_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name),
        };
        without_port.to_ascii_lowercase()
    };
    hosts.split(',').map(exception).collect::<Vec<_>>().join(",")
}

fn first<'a>(environment: &'a Environment, names: [&'static str; 2]) -> Option<(&'static str, &'a str)> {
    names.into_iter().find_map(|name| Some((name, environment.get(name)?)))
}

/// The URL in a variable; empty if it is not set.
fn url<'a>(environment: &'a Environment, names: [&'static str; 2]) -> Result<&'a str, ProxyVariable> {
    let Some((variable, url)) = first(environment, names) else { return Ok("") };
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    if let Some(scheme) = scheme.filter(|scheme| scheme != "http") {
        let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
        return Err(if is_scheme {
            ProxyVariable::Scheme { variable, scheme }
        } else {
            ProxyVariable::Malformed(variable)
        });
    }
    let parsed = url.parse::<Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    let has_port = |uri: &Uri| {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let host = authority.rsplit('@').next().unwrap_or_default();
        !host.ends_with(':') && (uri.port_u16().is_some() || !host.rsplit(']').next().unwrap_or_default().contains(':'))
    };
    if parsed.is_some_and(|uri| has_port(&uri)) { Ok(url) } else { Err(ProxyVariable::Malformed(variable)) }
}

/// Whether `host` is this machine, or the metadata service that answers it alone.
fn is_of_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        // The metadata service at fd00:ec2::254 and that of containers at fd00:ec2::23.
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.segments()[..2] == [0xfd00, 0xec2],
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// How a message names the proxy: without user and password.
fn shown(proxy: &Intercept) -> String {
    proxy.uri().to_string().trim_end_matches('/').to_owned()
}

/// Why a proxy leads nowhere.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    #[error("the proxy requires a user and a password (status 407): write them into the URL of the proxy")]
    NoPassword,
    #[error("the proxy refuses the user or the password (status 407)")]
    Password,
    #[error("the proxy refuses to connect to the host (status {})", .0.as_u16())]
    Status(StatusCode),
    #[error("the proxy does not answer CONNECT like an HTTP proxy")]
    Answer(#[source] hyper::Error),
    #[error("the proxy did not connect to the host within {} s", CONNECT_TIMEOUT.as_secs())]
    Silent,
}

impl Refusal {
    /// Whether the proxy would refuse the same again. To ask it again with a wrong password may
    /// lock the user out.
    fn is_final(&self) -> bool {
        match self {
            Self::NoPassword | Self::Password => true,
            Self::Status(status) => {
                let passes = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(status);
                status.is_client_error() && !passes
            }
            Self::Answer(_) | Self::Silent => false,
        }
    }

    /// What a person can do about the refusal to reach `uri`.
    fn remedy(&self, uri: &Uri) -> String {
        let [_, variable] = if uri.scheme() == Some(&Scheme::HTTP) { HTTP } else { HTTPS };
        match self {
            Self::NoPassword => {
                format!("Write the user and the password into {variable}: http://USER:PASSWORD@HOST:PORT.")
            }
            Self::Password => format!("Check the user and the password in {variable}."),
            _ => format!("Allow {} in the proxy, or name it in NO_PROXY.", uri.host().unwrap_or_default()),
        }
    }
}

/// Whether the proxy accepts the password; none until it has said so. It is locked while the proxy
/// is asked for the first time, so that only one connection tries a wrong password.
type Accepted = Arc<Mutex<Option<bool>>>;

/// Connects directly or through a proxy.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    tcp: Tcp,
    proxies: Proxies,
    accepted: Accepted,
}

impl Connector {
    pub(super) fn new(tcp: Tcp, proxies: Proxies) -> Self {
        Self { tcp, proxies, accepted: Accepted::default() }
    }
}

impl Via for Connector {
    fn via(&self, uri: &Uri) -> Option<String> {
        self.proxies.to(uri).as_ref().map(shown)
    }

    fn authorize(&self, request: &mut Request<SdkBody>) {
        // In a tunnel, the request is not the proxy's business.
        if request.uri().scheme() == Some(&Scheme::HTTP)
            && let Some(password) = self.proxies.to(request.uri()).as_ref().and_then(Intercept::basic_auth)
        {
            request.headers_mut().insert(PROXY_AUTHORIZATION, password.clone());
        }
    }

    fn refusal(error: &(dyn std::error::Error + 'static), uri: &Uri) -> Option<Refused> {
        let refusal = error.downcast_ref::<Refusal>()?;
        let remedy = refusal.is_final().then(|| refusal.remedy(uri));
        Some(Refused { because: refusal.to_string(), remedy })
    }

    fn refusal_of(&self, uri: &Uri, status: StatusCode) -> Option<Refused> {
        // In a tunnel, it is the host that answers.
        if status != StatusCode::PROXY_AUTHENTICATION_REQUIRED || uri.scheme() != Some(&Scheme::HTTP) {
            return None;
        }
        let has_password = self.proxies.to(uri)?.basic_auth().is_some();
        Self::refusal(if has_password { &Refusal::Password } else { &Refusal::NoPassword }, uri)
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = Line;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Line, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.to(&uri) else {
            let connecting = self.tcp.call(uri);
            return Box::pin(async { Ok(Line::Direct(connecting.await?)) });
        };
        let connecting = self.tcp.call(proxy.uri().clone());
        let accepted = Arc::clone(&self.accepted);
        Box::pin(async move {
            let connection = connecting.await?;
            if uri.scheme() == Some(&Scheme::HTTP) {
                return Ok(Line::Relayed(connection));
            }
            let tunnel = async {
                let tunnel = tunnel(connection, &uri, proxy.basic_auth());
                timeout(CONNECT_TIMEOUT, tunnel).await.unwrap_or_else(|_| Err(Refusal::Silent.into()))
            };
            let mut accepted = accepted.lock().await;
            let opened = match *accepted {
                Some(true) => {
                    drop(accepted);
                    tunnel.await
                }
                Some(false) => Err(Refusal::Password.into()),
                None => {
                    let opened = tunnel.await;
                    *accepted = match opened.as_ref().map_err(|error| error.downcast_ref()) {
                        Ok(_) | Err(Some(Refusal::Status(_))) => Some(true),
                        Err(Some(Refusal::Password)) => Some(false),
                        Err(_) => None,
                    };
                    opened
                }
            };
            Ok(Line::Tunnel(opened?))
        })
    }
}

/// Has the proxy at the other end of `connection` connect to the host of `uri`.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc9110#name-connect>.
async fn tunnel(
    connection: TokioIo<TcpStream>,
    uri: &Uri,
    password: Option<&HeaderValue>,
) -> Result<Upgraded, BoxError> {
    let to = format!("{}:{}", uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(443));
    let mut request = Request::connect(&to).header(HOST, &to);
    if let Some(password) = password {
        request = request.header(PROXY_AUTHORIZATION, password);
    }
    let (mut proxy, driver) = hyper::client::conn::http1::handshake(connection).await.map_err(Refusal::Answer)?;
    // It ends with the tunnel.
    tokio::spawn(driver.with_upgrades());
    let response = proxy.send_request(request.body(SdkBody::empty())?).await.map_err(Refusal::Answer)?;
    match response.status() {
        status if status.is_success() => Ok(hyper::upgrade::on(response).await.map_err(Refusal::Answer)?),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED if password.is_none() => Err(Refusal::NoPassword.into()),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err(Refusal::Password.into()),
        status => Err(Refusal::Status(status).into()),
    }
}

/// A connection to a host or to a proxy.
pub(super) enum Line {
    Direct(TokioIo<TcpStream>),
    /// The proxy receives each request, with the whole URL.
    Relayed(TokioIo<TcpStream>),
    Tunnel(Upgraded),
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct(_) => "Direct",
            Self::Relayed(_) => "Relayed",
            Self::Tunnel(_) => "Tunnel",
        })
    }
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        match self {
            Self::Direct(stream) => stream.connected(),
            Self::Relayed(stream) => stream.connected().proxy(true),
            Self::Tunnel(_) => Connected::new(),
        }
    }
}

impl Read for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Direct(stream) | Self::Relayed(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tunnel(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl Write for Line {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Direct(stream) | Self::Relayed(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tunnel(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Direct(stream) | Self::Relayed(stream) => Pin::new(stream).poll_flush(context),
            Self::Tunnel(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Direct(stream) | Self::Relayed(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tunnel(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "http://proxy.example:3128";
    const KINESIS: &str = "https://111122223333.control-kinesis.us-east-1.amazonaws.com/";

    fn leads_to(environment: &Environment, uri: &str) -> Option<String> {
        Proxies::of(environment).expect("proxies").to(&uri.parse().expect("a URI")).as_ref().map(shown)
    }

    #[test]
    fn a_proxy_is_named_in_either_case_and_the_lower_case_goes_first() {
        for name in ["HTTPS_PROXY", "https_proxy"] {
            let environment = Environment::default().with(name, PROXY);
            assert_eq!(leads_to(&environment, KINESIS).as_deref(), Some(PROXY));
            assert_eq!(leads_to(&environment, "http://sts.us-east-1.amazonaws.com/"), None);
        }
        let both = Environment::default().with("HTTPS_PROXY", "http://other:1").with("https_proxy", PROXY);
        assert_eq!(leads_to(&both, KINESIS).as_deref(), Some(PROXY));
        let none = Environment::default().with("HTTPS_PROXY", "").with("HTTP_PROXY", PROXY);
        assert_eq!(leads_to(&none, KINESIS), None);
    }

    #[test]
    fn a_message_names_the_proxy_without_its_password() {
        let environment = Environment::default().with("HTTPS_PROXY", "jo:p%40ss@proxy.example:3128");
        assert_eq!(leads_to(&environment, KINESIS).as_deref(), Some(PROXY));
        let proxies = Proxies::of(&environment).expect("proxies");
        assert!(!format!("{proxies:?}").contains("p%40ss"), "{proxies:?}");
    }

    #[test]
    fn some_hosts_are_reached_directly() {
        let environment = Environment::default()
            .with("HTTPS_PROXY", PROXY)
            .with("HTTP_PROXY", PROXY)
            .with("NO_PROXY", ".eu-west-1.amazonaws.com, kms.us-east-1.amazonaws.com,10.0.0.0/8");
        for (uri, direct) in [
            (KINESIS, false),
            ("https://sqs.eu-west-1.amazonaws.com/", true),
            ("https://kms.us-east-1.amazonaws.com/", true),
            ("https://10.1.2.3/", true),
            ("https://11.1.2.3/", false),
            ("http://169.254.169.254/latest/meta-data", true),
            ("http://169.254.170.2/v2/credentials", true),
            ("http://[fd00:ec2::254]/latest/meta-data", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("http://[fd00:1::1]/", false),
            ("http://127.0.0.1:4566/", true),
            ("http://[::1]:4566/", true),
            ("http://localhost:4566/", true),
            ("http://sandbox.example:4566/", false),
        ] {
            assert_eq!(leads_to(&environment, uri).is_none(), direct, "{uri}");
        }
        let all = environment.with("no_proxy", "*");
        assert_eq!(leads_to(&all, KINESIS), None);
    }

    #[test]
    fn exceptions_may_have_a_star_capitals_and_a_port() {
        let direct = |no: &str, uri: &str| {
            let environment =
                Environment::default().with("HTTPS_PROXY", PROXY).with("HTTP_PROXY", PROXY).with("NO_PROXY", no);
            leads_to(&environment, uri).is_none()
        };
        for no in [
            "*.amazonaws.com",
            "other.example, *.US-EAST-1.amazonaws.com",
            "111122223333.CONTROL-KINESIS.us-east-1.AMAZONAWS.COM",
            "control-kinesis.us-east-1.amazonaws.com:443",
            "*.amazonaws.com:443",
        ] {
            assert!(direct(no, KINESIS), "{no}");
        }
        for no in ["*.amazonaws.org", "amazonaws", "*.eu-west-1.amazonaws.com", "amazonaws.com:port"] {
            assert!(!direct(no, KINESIS), "{no}");
        }
        for no in ["10.1.2.3:443", "[fd00:1::1]:443", "[fd00:1::1]", "fd00:1::1", "10.0.0.0/8, fd00:1::/32"] {
            assert_eq!(direct(no, "https://10.1.2.3/"), no.starts_with("10."), "{no}");
            assert_eq!(direct(no, "https://[fd00:1::1]/"), no.contains("fd00"), "{no}");
        }
    }

    #[test]
    fn a_variable_that_names_no_proxy_is_refused_without_its_value() {
        for url in ["http://", "http://jo:se/cret@proxy:3128", "http://proxy:port", "jo:secret@", "http://proxy:", "::"]
        {
            let error = Proxies::of(&Environment::default().with("HTTPS_PROXY", url)).expect_err(url).to_string();
            assert!(error.starts_with("HTTPS_PROXY is not the URL of a proxy") && !error.contains("cret"), "{error}");
        }
        for (url, scheme) in [("https://jo:secret@proxy:3128", "https"), ("socks5://proxy:1080", "socks5")] {
            let error = Proxies::of(&Environment::default().with("http_proxy", url)).expect_err(url).to_string();
            assert!(error.starts_with(&format!("http_proxy names a proxy by {scheme}://")), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
