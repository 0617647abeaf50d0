//! Requests to services that speak no AWS JSON protocol, for the terminal program: by path, as in
//! the [REST JSON protocol][rest], or as a form, as in the [Query protocol][query].
//!
//! [rest]: https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html
//! [query]: https://smithy.io/2.0/aws/protocols/aws-query-protocol.html

use std::fmt::{self, Display};

use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use serde::de::DeserializeOwned;

use super::error::CallError;
use super::service::{Answer, Service, ServiceError, USER_AGENT, answer, operation};
use crate::domain::failure::Step;

/// A client for services that speak the REST JSON protocol: it only reads.
#[derive(Clone)]
pub(super) struct RestClient(Operation<String, Answer, ServiceError>);

impl fmt::Debug for RestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RestClient")
    }
}

impl RestClient {
    pub(super) fn new(config: &SdkConfig, service: Service) -> Self {
        Self(operation(config, service).serializer(get).deserializer(answer).build())
    }

    /// Gets `path`, which is escaped and may have a query.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        step: Step,
        subject: &(dyn Display + Sync),
    ) -> Result<T, CallError> {
        let answer =
            self.0.invoke(path.to_owned()).await.map_err(|error| CallError::from_sdk(step, subject, &error))?;
        answer.parsed(step, subject)
    }
}

fn get(path: String) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::empty());
    request.set_uri(path)?;
    request.set_method("GET")?;
    request.headers_mut().try_insert("user-agent", USER_AGENT)?;
    Ok(request)
}

/// Posts `body` to `path`.
pub(super) fn post(path: &'static str, content_type: &'static str, body: String) -> Result<HttpRequest, BoxError> {
    let length = body.len().to_string();
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_uri(path)?;
    request.set_method("POST")?;
    let headers = request.headers_mut();
    headers.try_insert("content-type", content_type)?;
    headers.try_insert("content-length", length)?;
    headers.try_insert("user-agent", USER_AGENT)?;
    Ok(request)
}

/// Posts the fields of a form.
pub(super) fn post_form(form: String) -> Result<HttpRequest, BoxError> {
    post("/", "application/x-www-form-urlencoded", form)
}
