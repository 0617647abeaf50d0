//! A fake AWS over HTTPS: constant, fast, and strict. A stream is ACTIVE with the key as soon as
//! its start was accepted, so that all time that passes is the subject's own. Every request's
//! signature is checked; what the fake does not know is a problem, and spoils the round.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::http::{self, Request, Response};
use crate::sigv4::{self, Scope};
use crate::{ACCESS_KEY, ACCOUNT, KEY_ALIAS, KEY_ARN, KEY_ID, Problem, REGION, SECRET_KEY};

/// When every stream was created, in seconds since 1970: long ago, so that nobody has to wait for
/// whoever made it.
const CREATED: f64 = 1_767_225_600.0;

/// The services with an endpoint of their own, as in AWS: what talks to two of them connects twice.
/// The last one is everything else.
const SERVICES: [&str; 3] = ["kinesis", "kms", "sts"];

/// A call that came in.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) at: Instant,
    pub(crate) operation: String,
}

/// What the account holds, and what was asked of it.
#[derive(Debug, Default)]
struct State {
    stream: String,
    encrypted: bool,
    starts: usize,
    calls: Vec<Call>,
    problems: Vec<String>,
}

/// What the subject under measurement did to the account.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) calls: Vec<Call>,
    pub(crate) starts: usize,
    pub(crate) encrypted: bool,
    pub(crate) problems: Vec<String>,
}

/// The fake.
pub(crate) struct Aws {
    state: Arc<Mutex<State>>,
    ports: Vec<(&'static str, u16)>,
    authority: PathBuf,
}

impl Aws {
    /// Makes a certificate authority, writes its certificate into `folder`, and serves.
    pub(crate) fn start(folder: &Path) -> Result<Self, Problem> {
        let (config, authority) = tls()?;
        let path = folder.join("authority.pem");
        std::fs::write(&path, authority)?;
        let state = Arc::new(Mutex::new(State::default()));
        let mut ports = Vec::new();
        for service in SERVICES {
            let listener = TcpListener::bind(loopback()?)?;
            ports.push((service, listener.local_addr()?.port()));
            let (state, config) = (Arc::clone(&state), Arc::clone(&config));
            thread::spawn(move || accept(&listener, &config, &state));
        }
        Ok(Self { state, ports, authority: path })
    }

    /// From now on the account holds `stream` alone, and nothing was asked yet.
    pub(crate) fn hold(&self, stream: &str, encrypted: bool) {
        *self.state() = State { stream: stream.to_owned(), encrypted, ..State::default() };
    }

    pub(crate) fn seen(&self) -> Seen {
        let State { stream: _, encrypted, starts, calls, problems } = &*self.state();
        Seen { calls: calls.clone(), starts: *starts, encrypted: *encrypted, problems: problems.clone() }
    }

    /// The environment that leads the subjects' SDKs here.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let mut variables = vec![("AWS_CA_BUNDLE".to_owned(), self.authority.display().to_string())];
        for (service, port) in &self.ports {
            let url = format!("https://localhost:{port}");
            variables.push((format!("AWS_ENDPOINT_URL_{}", service.to_ascii_uppercase()), url.clone()));
            if *service == "sts" {
                variables.push(("AWS_ENDPOINT_URL".to_owned(), url));
            }
        }
        variables
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `localhost` means on this machine, with a port that is free.
pub(crate) fn loopback() -> io::Result<SocketAddr> {
    ("localhost", 0).to_socket_addrs()?.next().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// An authority and a certificate by it, both ECDSA P-256, made anew for every run.
fn tls() -> Result<(Arc<ServerConfig>, String), Problem> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "benchmark authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()])?;
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, &authority)?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )?;
    Ok((Arc::new(config), authority.pem()))
}

fn accept(listener: &TcpListener, config: &Arc<ServerConfig>, state: &Arc<Mutex<State>>) {
    for connection in listener.incoming().flatten() {
        let (config, state) = (Arc::clone(config), Arc::clone(state));
        thread::spawn(move || {
            // A subject that is killed leaves its connections broken: nothing to tell.
            let _ = serve(connection, config, &state);
        });
    }
}

fn serve(connection: TcpStream, config: Arc<ServerConfig>, state: &Mutex<State>) -> Result<(), Problem> {
    connection.set_nodelay(true)?;
    let connection = StreamOwned::new(ServerConnection::new(config)?, connection);
    Ok(http::serve(connection, |request| {
        let at = Instant::now();
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.answer(request, at)
    })?)
}

impl State {
    fn answer(&mut self, request: &Request, at: Instant) -> Response {
        if request.method == "GET" && request.path == "/ping" {
            return Response::new(200, "text/plain", "healthy");
        }
        let operation = operation(request);
        self.calls.push(Call { at, operation: operation.clone() });
        if let Err(problem) = check_signature(request) {
            self.problems.push(format!("{operation}: {problem}"));
        }
        if operation == "GetCallerIdentity" {
            return Response::new(200, "text/xml", caller_identity());
        }
        match serde_json::from_slice(&request.body)
            .map_err(|error| error.to_string())
            .and_then(|body| self.json(&operation, &body))
        {
            Ok(Value::Null) => Response::new(200, "application/x-amz-json-1.1", ""),
            Ok(body) => Response::new(200, "application/x-amz-json-1.1", body.to_string()),
            Err(problem) => {
                self.problems.push(format!("{operation}: {problem}"));
                let body = json!({"__type": "ValidationException", "message": problem});
                Response::new(400, "application/x-amz-json-1.1", body.to_string())
            }
        }
    }

    fn json(&mut self, operation: &str, body: &Value) -> Result<Value, String> {
        match operation {
            "DescribeStreamSummary" => {
                self.is_held(body)?;
                let mut stream = self.described();
                stream["OpenShardCount"] = json!(1);
                stream["ConsumerCount"] = json!(0);
                Ok(json!({"StreamDescriptionSummary": stream}))
            }
            "DescribeStream" => {
                self.is_held(body)?;
                let mut stream = self.described();
                stream["HasMoreShards"] = json!(false);
                stream["Shards"] = json!([{
                    "ShardId": "shardId-000000000000",
                    "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "340282366920938463463374607431768211455"},
                    "SequenceNumberRange": {"StartingSequenceNumber": "49600000000000000000000000000000000000000000000000000000"},
                }]);
                Ok(json!({"StreamDescription": stream}))
            }
            "ListStreams" => Ok(json!({"StreamNames": [self.stream], "HasMoreStreams": false, "StreamSummaries": [{
                "StreamName": self.stream, "StreamARN": self.arn(), "StreamStatus": "ACTIVE",
                "StreamModeDetails": {"StreamMode": "PROVISIONED"}, "StreamCreationTimestamp": CREATED,
            }]})),
            "ListTagsForStream" => {
                self.is_held(body)?;
                Ok(json!({"Tags": [{"Key": "Purpose", "Value": "demo"}], "HasMoreTags": false}))
            }
            "StartStreamEncryption" => {
                self.is_held(body)?;
                is_key(&body["KeyId"])?;
                if body["EncryptionType"] != "KMS" {
                    return Err(format!("EncryptionType {}", body["EncryptionType"]));
                }
                self.starts += 1;
                self.encrypted = true;
                Ok(Value::Null)
            }
            "DescribeKey" => {
                is_key(&body["KeyId"])?;
                Ok(json!({"KeyMetadata": {
                    "AWSAccountId": ACCOUNT, "KeyId": KEY_ID, "Arn": KEY_ARN, "CreationDate": CREATED, "Enabled": true, "Description": "",
                    "KeyUsage": "ENCRYPT_DECRYPT", "KeyState": "Enabled", "Origin": "AWS_KMS", "KeyManager": "CUSTOMER",
                    "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT", "KeySpec": "SYMMETRIC_DEFAULT",
                    "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"], "MultiRegion": false,
                }}))
            }
            "GetResources" => Ok(json!({"PaginationToken": "", "ResourceTagMappingList": []})),
            _ => Err("the fake AWS does not know this call".to_owned()),
        }
    }

    fn arn(&self) -> String {
        format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{}", self.stream)
    }

    fn is_held(&self, body: &Value) -> Result<(), String> {
        let (name, arn) = (body["StreamName"].as_str(), body["StreamARN"].as_str());
        let named = name.is_some_and(|name| name == self.stream) || arn.is_some_and(|arn| arn == self.arn());
        if named { Ok(()) } else { Err(format!("there is no stream {name:?} {arn:?}")) }
    }

    fn described(&self) -> Value {
        let mut stream = json!({
            "StreamName": self.stream, "StreamARN": self.arn(), "StreamStatus": "ACTIVE",
            "StreamModeDetails": {"StreamMode": "PROVISIONED"}, "RetentionPeriodHours": 24, "StreamCreationTimestamp": CREATED,
            "EnhancedMonitoring": [{"ShardLevelMetrics": []}], "EncryptionType": "NONE",
        });
        if self.encrypted {
            stream["EncryptionType"] = json!("KMS");
            stream["KeyId"] = json!(KEY_ARN);
        }
        stream
    }
}

fn is_key(key: &Value) -> Result<(), String> {
    if [KEY_ARN, KEY_ALIAS, KEY_ID].iter().any(|name| key == name) {
        Ok(())
    } else {
        Err(format!("there is no key {key}"))
    }
}

/// The operation's name: JSON protocols have it in a header, the query protocol in the body.
fn operation(request: &Request) -> String {
    if let Some((_, name)) = request.header("x-amz-target").and_then(|target| target.rsplit_once('.')) {
        return name.to_owned();
    }
    let body = String::from_utf8_lossy(&request.body);
    let action = body.split('&').find_map(|field| field.strip_prefix("Action="));
    action.map_or_else(|| format!("{} {}", request.method, request.path), str::to_owned)
}

fn caller_identity() -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:sts::{ACCOUNT}:assumed-role/enforcer/benchmark</Arn><UserId>AROAEXAMPLE:benchmark</UserId><Account>{ACCOUNT}</Account>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>benchmark</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    )
}

fn check_signature(request: &Request) -> Result<(), String> {
    let authorization = request.header("authorization").ok_or("it is not signed")?;
    let field = |name: &str| {
        let rest = authorization.split(name).nth(1)?;
        rest.split([',', ' ']).next()
    };
    let credential = field("Credential=").ok_or("it has no credential")?;
    let (names, sent) =
        (field("SignedHeaders=").ok_or("no header is signed")?, field("Signature=").ok_or("it has no signature")?);
    let mut parts = credential.split('/');
    let mut part = || parts.next().unwrap_or_default();
    let (id, scope) = (part(), Scope { date: part(), region: part(), service: part() });
    if id != ACCESS_KEY || scope.region != REGION {
        return Err(format!("it is signed for {credential}"));
    }
    let headers: Vec<_> = names.split(';').map(|name| (name, request.header(name).unwrap_or_default())).collect();
    let time = request.header("x-amz-date").ok_or("it has no time")?;
    let right = sigv4::signature(
        &sigv4::signing_key(SECRET_KEY, scope),
        scope,
        time,
        &request.method,
        &request.path,
        &headers,
        &request.body,
    );
    if right == sent { Ok(()) } else { Err(format!("its signature is wrong: {authorization}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request that is signed for `signed`, and asks for `sent`.
    fn asked(signed: &str, sent: &str, target: &str) -> State {
        let (time, scope) = ("20261124T000000Z", Scope { date: "20261124", region: REGION, service: "kinesis" });
        let headers = [("host", "localhost"), ("x-amz-date", time), ("x-amz-target", target)];
        let key = sigv4::signing_key(SECRET_KEY, scope);
        let signature = sigv4::signature(&key, scope, time, "POST", "/", &headers, signed.as_bytes());
        let lines: String = headers.iter().flat_map(|(name, value)| [*name, ": ", *value, "\r\n"]).collect();
        let text = format!(
            "POST / HTTP/1.1\r\n{lines}content-length: {}\r\nauthorization: AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{}, \
             SignedHeaders=host;x-amz-date;x-amz-target, Signature={signature}\r\n\r\n{sent}",
            sent.len(),
            scope.text()
        );
        let request = http::read(&mut text.as_bytes()).expect("HTTP").expect("a request");
        let mut state = State { stream: "orders".to_owned(), ..State::default() };
        state.answer(&request, Instant::now());
        state
    }

    #[test]
    fn a_start_with_the_key_encrypts_the_stream_and_is_counted() {
        let body = format!(r#"{{"StreamName":"orders","EncryptionType":"KMS","KeyId":"{KEY_ALIAS}"}}"#);
        let state = asked(&body, &body, "Kinesis_20131202.StartStreamEncryption");
        assert_eq!((state.problems.as_slice(), state.starts, state.encrypted), (&[][..], 1, true));
    }

    #[test]
    fn a_wrong_signature_another_stream_another_key_and_an_unknown_call_are_problems() {
        let (orders, start) = (r#"{"StreamName":"orders"}"#, "Kinesis_20131202.StartStreamEncryption");
        let other_key = r#"{"StreamName":"orders","EncryptionType":"KMS","KeyId":"alias/other"}"#;
        for (signed, sent, target, problem) in [
            ("{}", orders, "Kinesis_20131202.DescribeStream", "signature is wrong"),
            (r#"{"StreamName":"o"}"#, r#"{"StreamName":"o"}"#, "Kinesis_20131202.DescribeStream", "there is no stream"),
            (other_key, other_key, start, "there is no key"),
            (orders, orders, "Kinesis_20131202.DeleteStream", "does not know this call"),
        ] {
            let state = asked(signed, sent, target);
            assert!(state.problems.len() == 1 && state.problems[0].contains(problem), "{:?}", state.problems);
            assert!(!state.encrypted);
        }
    }
}
