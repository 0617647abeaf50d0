//! A client for services that speak the [REST JSON protocol][rest]: it only reads.
//!
//! [rest]: https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html

use std::fmt::{self, Display};

use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use serde::de::DeserializeOwned;

use crate::aws::error::CallError;
use crate::aws::service::{Answer, Service, ServiceError, answer, operation};
use crate::domain::failure::Step;

#[derive(Clone)]
pub(super) struct RestClient(Operation<String, Answer, ServiceError>);

impl fmt::Debug for RestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RestClient")
    }
}

impl RestClient {
    pub(super) fn new(config: &SdkConfig, service: Service) -> Self {
        Self(operation(config, service).serializer(request).deserializer(answer).build())
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

fn request(path: String) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::empty());
    request.set_uri(path)?;
    request.set_method("GET")?;
    let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    request.headers_mut().try_insert("user-agent", agent)?;
    Ok(request)
}
