//! The floor: the calls that the function makes, written by hand on raw TLS. No SDK, no runtime, no
//! settings, no retries, no logs: what it costs is what the calls themselves cost.
//!
//! It does what the function does when all goes well, and no more: look at the stream, resolve the
//! key, read the tags, start, look again.

#![expect(clippy::print_stderr, reason = "what goes wrong goes to the log")]

#[path = "../sigv4.rs"]
mod sigv4;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use sigv4::Scope;

type Problem = Box<dyn std::error::Error>;

/// A tag that exempts a stream, as the function's default has it.
const EXEMPT: &str = "kinesis-encryption-enforcer:exempt";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Problem> {
    let runtime = variable("AWS_LAMBDA_RUNTIME_API")?;
    let key = variable("KMS_KEY_ID")?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(&variable("AWS_CA_BUNDLE")?)?)
        .with_no_client_auth();
    // One connection each, for as long as the process lives: there is nothing to resume.
    config.resumption = rustls::client::Resumption::disabled();
    let config = Arc::new(config);
    let mut kinesis = Service::connect("kinesis", "Kinesis_20131202", &config)?;
    let mut kms = Service::connect("kms", "TrentService", &config)?;
    let mut lambda = Http::new(TcpStream::connect(&runtime)?, &runtime);
    lambda.stream.set_nodelay(true)?;
    loop {
        let (head, event) = lambda.exchange("GET", "/2018-06-01/runtime/invocation/next", "", b"")?;
        let id = header(&head, "lambda-runtime-aws-request-id").ok_or("there is no request id")?;
        let (path, body) = match handle(&event, &key, &mut kinesis, &mut kms) {
            Ok(body) => ("response", body),
            Err(problem) => ("error", format!("{{\"errorMessage\":{:?}}}", problem.to_string())),
        };
        lambda.exchange("POST", &format!("/2018-06-01/runtime/invocation/{id}/{path}"), "", body.as_bytes())?;
    }
}

fn handle(event: &[u8], key: &str, kinesis: &mut Service, kms: &mut Service) -> Result<String, Problem> {
    let event: Value = serde_json::from_slice(event)?;
    let detail = &event["detail"];
    let name = detail["requestParameters"]["streamName"].as_str().ok_or("there is no stream's name")?;
    let (region, account) =
        (event["region"].as_str().unwrap_or_default(), event["account"].as_str().unwrap_or_default());
    let stream = format!("arn:aws:kinesis:{region}:{account}:stream/{name}");
    let about = format!("{{\"StreamARN\":\"{stream}\"}}");

    let seen = kinesis.call("DescribeStreamSummary", &about)?;
    let wanted = kms.call("DescribeKey", &format!("{{\"KeyId\":\"{key}\"}}"))?;
    let wanted = &wanted["KeyMetadata"];
    if wanted["KeyState"] != "Enabled"
        || wanted["KeySpec"] != "SYMMETRIC_DEFAULT"
        || wanted["KeyUsage"] != "ENCRYPT_DECRYPT"
    {
        return Err("the key is not usable".into());
    }
    let arn = wanted["Arn"].as_str().ok_or("there is no key's ARN")?;
    if is_right(&seen, arn) {
        return Ok(format!("{{\"stream\":\"{stream}\",\"status\":\"compliant\"}}"));
    }
    let tags = kinesis.call("ListTagsForStream", &about)?;
    if tags["Tags"].as_array().is_none_or(|tags| tags.iter().any(|tag| tag["Key"] == EXEMPT)) {
        return Err("the stream is exempt".into());
    }
    kinesis.call(
        "StartStreamEncryption",
        &format!("{{\"StreamARN\":\"{stream}\",\"EncryptionType\":\"KMS\",\"KeyId\":\"{arn}\"}}"),
    )?;
    if is_right(&kinesis.call("DescribeStreamSummary", &about)?, arn) {
        Ok(format!("{{\"stream\":\"{stream}\",\"status\":\"encrypted\"}}"))
    } else {
        Err("the stream is not encrypted yet".into())
    }
}

fn is_right(seen: &Value, key: &str) -> bool {
    let seen = &seen["StreamDescriptionSummary"];
    seen["StreamStatus"] == "ACTIVE" && seen["EncryptionType"] == "KMS" && seen["KeyId"] == key
}

fn variable(name: &str) -> Result<String, Problem> {
    std::env::var(name).map_err(|error| format!("{name}: {error}").into())
}

fn roots(path: &str) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path)? {
        roots.add(certificate?)?;
    }
    Ok(roots)
}

/// A service of AWS: a connection that is kept, and a key to sign with.
struct Service {
    name: &'static str,
    target: &'static str,
    region: String,
    access_key: String,
    secret: String,
    token: String,
    /// The signing key, and the day that it is for.
    key: Option<(String, hmac::Key)>,
    connection: Http<StreamOwned<ClientConnection, TcpStream>>,
}

impl Service {
    fn connect(name: &'static str, target: &'static str, config: &Arc<ClientConfig>) -> Result<Self, Problem> {
        let endpoint = variable(&format!("AWS_ENDPOINT_URL_{}", name.to_ascii_uppercase()))?;
        let authority = endpoint.strip_prefix("https://").ok_or("the endpoint is not https")?;
        let (host, _) = authority.split_once(':').ok_or("the endpoint has no port")?;
        let tcp = TcpStream::connect(authority)?;
        tcp.set_nodelay(true)?;
        let mut stream =
            StreamOwned::new(ClientConnection::new(Arc::clone(config), ServerName::try_from(host.to_owned())?)?, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self {
            name,
            target,
            region: variable("AWS_REGION")?,
            access_key: variable("AWS_ACCESS_KEY_ID")?,
            secret: variable("AWS_SECRET_ACCESS_KEY")?,
            token: variable("AWS_SESSION_TOKEN")?,
            key: None,
            connection: Http::new(stream, authority),
        })
    }

    fn call(&mut self, operation: &str, body: &str) -> Result<Value, Problem> {
        let time = now()?;
        let date = &time[..8];
        let scope = Scope { date, region: &self.region, service: self.name };
        if self.key.as_ref().is_none_or(|(day, _)| day != date) {
            self.key = Some((date.to_owned(), sigv4::signing_key(&self.secret, scope)));
        }
        let Some((_, key)) = &self.key else { return Err("there is no key".into()) };
        let target = format!("{}.{operation}", self.target);
        let signed = [
            ("content-type", "application/x-amz-json-1.1"),
            ("host", self.connection.host.as_str()),
            ("x-amz-date", time.as_str()),
            ("x-amz-security-token", self.token.as_str()),
            ("x-amz-target", target.as_str()),
        ];
        let signature = sigv4::signature(key, scope, &time, "POST", "/", &signed, body.as_bytes());
        let headers = format!(
            "content-type: application/x-amz-json-1.1\r\nx-amz-date: {time}\r\nx-amz-security-token: {}\r\nx-amz-target: {target}\r\n\
             authorization: AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, \
             Signature={signature}\r\n",
            self.token,
            self.access_key,
            scope.text(),
        );
        let (head, answer) = self.connection.exchange("POST", "/", &headers, body.as_bytes())?;
        if !head.starts_with("HTTP/1.1 200") {
            return Err(format!("{operation}: {}", String::from_utf8_lossy(&answer)).into());
        }
        Ok(if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer)? })
    }
}

/// HTTP/1.1 on a connection that is kept.
struct Http<S> {
    stream: S,
    host: String,
    buffer: Vec<u8>,
}

impl<S: Read + Write> Http<S> {
    fn new(stream: S, host: &str) -> Self {
        Self { stream, host: host.to_owned(), buffer: Vec::with_capacity(8192) }
    }

    /// Sends a request, and returns the answer's head and body.
    fn exchange(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<(String, Vec<u8>), Problem> {
        self.buffer.clear();
        write!(
            self.buffer,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n{headers}content-length: {}\r\n\r\n",
            self.host,
            body.len()
        )?;
        self.buffer.extend_from_slice(body);
        self.stream.write_all(&self.buffer)?;
        self.stream.flush()?;
        self.buffer.clear();
        let mut chunk = [0; 8192];
        let mut more = |buffer: &mut Vec<u8>| -> Result<(), Problem> {
            match self.stream.read(&mut chunk)? {
                0 => Err("the connection ended".into()),
                read => {
                    buffer.extend_from_slice(&chunk[..read]);
                    Ok(())
                }
            }
        };
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            more(&mut self.buffer)?;
        };
        let head = String::from_utf8(self.buffer[..end].to_vec())?;
        let length: usize = header(&head, "content-length").ok_or("the answer has no length")?.parse()?;
        while self.buffer.len() < end + length {
            more(&mut self.buffer)?;
        }
        Ok((head, self.buffer[end..end + length].to_vec()))
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    headers.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// The time as signatures have it.
fn now() -> Result<String, Problem> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    Ok(timestamp(seconds))
}

/// Howard Hinnant's `civil_from_days`, for days since 1970.
fn timestamp(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_of_the_calendar() {
        assert_eq!(timestamp(0), "19700101T000000Z");
        assert_eq!(timestamp(951_827_696), "20000229T123456Z");
        assert_eq!(timestamp(1_795_391_999), "20261122T235959Z");
    }
}
