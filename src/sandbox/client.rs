//! An HTTP client for the AWS SDK that calls the model directly.
//!
//! Without a socket, tokio's paused time works, and the SDK still signs, serialises and parses.

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;

use super::endpoint::Endpoint;
use super::router::{self, Request, answer};

#[derive(Clone, Debug)]
struct InProcess(Endpoint);

pub(crate) fn http_client(endpoint: &Endpoint) -> SharedHttpClient {
    SharedHttpClient::new(InProcess(endpoint.clone()))
}

impl HttpClient for InProcess {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let endpoint = self.0.clone();
        HttpConnectorFuture::new(async move {
            let response = answer(&endpoint, request_of(request).await?).await;
            let response =
                response.map_err(|_| ConnectorError::io("the connection was lost before an answer came".into()))?;
            response_of(response).map_err(|err| ConnectorError::other(err.into(), None))
        })
    }
}

async fn request_of(request: HttpRequest) -> Result<Request, ConnectorError> {
    let header = |name: &str| request.headers().get(name).map(str::to_owned);
    let uri = request.uri();
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let path = rest.find('/').and_then(|start| rest.get(start..)).unwrap_or("/").to_owned();
    Ok(Request {
        method: request.method().to_owned(),
        path,
        target: header("x-amz-target"),
        authorization: header("authorization"),
        user_agent: header("user-agent"),
        content_type: header("content-type"),
        token: header("x-amz-security-token"),
        // Read as a stream, though it is in memory: otherwise the SDK's stalled-stream protection
        // would take the body for a stalled upload.
        body: ByteStream::new(request.into_body())
            .collect()
            .await
            .map_err(|err| ConnectorError::io(err.into()))?
            .to_vec(),
    })
}

fn response_of(response: router::Response) -> Result<HttpResponse, aws_smithy_runtime_api::http::HttpError> {
    let status = response.status.try_into()?;
    let mut answer = HttpResponse::new(status, SdkBody::from(response.body));
    for (name, value) in response.headers {
        answer.headers_mut().try_insert(name, value)?;
    }
    Ok(answer)
}
