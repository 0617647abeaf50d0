//! Listens on the function's line to AWS: what was asked, and what arrived in answer, whatever
//! became of it on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::sandbox::Account;
use serde_json::Value;

use super::story::{Exchange, Heard, Told, access_key, is_ours};

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) account: Account,
    /// The account whose role the function assumes.
    pub(crate) member: Option<Account>,
    pub(crate) clock: Clock,
    pub(crate) told: Told,
    /// The invocation that the process works on.
    pub(crate) invocation: Arc<AtomicUsize>,
}

#[derive(Clone, Debug)]
struct Connector {
    line: Line,
    inner: SharedHttpConnector,
}

impl HttpClient for Line {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.account.http_client().http_connector(settings, components);
        SharedHttpConnector::new(Connector { line: self.clone(), inner })
    }
}

impl HttpConnector for Connector {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let Self { line, inner } = self.clone();
        HttpConnectorFuture::new(async move {
            let body = std::mem::replace(request.body_mut(), SdkBody::taken());
            let body =
                ByteStream::new(body).collect().await.map_err(|error| ConnectorError::io(error.into()))?.to_vec();
            let index = line.sent(&request, &body);
            *request.body_mut() = SdkBody::from(body);
            let result = inner.call(request).await;
            let heard = match &result {
                Err(_) => Heard::Broken,
                Ok(answer) => Heard::Answer {
                    status: answer.status().as_u16(),
                    body: String::from_utf8_lossy(answer.body().bytes().unwrap_or_default()).into_owned(),
                },
            };
            line.answered(index, heard);
            result
        })
    }
}

impl Line {
    fn sent(&self, request: &HttpRequest, body: &[u8]) -> usize {
        let header = |name: &str| request.headers().get(name).unwrap_or_default();
        let authorization = header("authorization");
        let signer =
            authorization.split("Credential=").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let target = header("x-amz-target").rsplit('.').next().unwrap_or_default();
        // STS speaks another protocol.
        let operation = if body.starts_with(b"Action=AssumeRole&") { "AssumeRole" } else { target };
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |member: &str| body.get(member).and_then(Value::as_str);
        let of_arn = || {
            text("StreamARN")
                .or_else(|| text("ResourceARN"))
                .and_then(|arn| arn.split_once("stream/"))
                .map(|(_, name)| name)
        };
        let stream = text("StreamName").or_else(of_arn).map(str::to_owned);
        let in_member = |stream: &str| self.member.as_ref()?.snapshot(stream);
        let truth = stream.as_deref().and_then(|stream| self.account.snapshot(stream).or_else(|| in_member(stream)));
        let mut story = self.told.lock();
        let sent = story.next();
        story.exchanges.push(Exchange {
            access_key: access_key(self.invocation.load(Ordering::Relaxed)),
            in_member: !is_ours(signer),
            operation: operation.to_owned(),
            stream,
            request: body,
            at: self.clock.utc(),
            ended_at: None,
            sent,
            answered: None,
            heard: Heard::Nothing,
            truth,
        });
        story.exchanges.len() - 1
    }

    fn answered(&self, index: usize, heard: Heard) {
        let mut story = self.told.lock();
        let answered = story.next();
        let exchange = &mut story.exchanges[index];
        exchange.heard = heard;
        exchange.answered = Some(answered);
        exchange.ended_at = Some(self.clock.utc());
    }
}
