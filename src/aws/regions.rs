//! The Regions that an account has enabled, for the terminal program.
//!
//! EC2 is asked, and not Account Management: every auditor's policy allows `ec2:DescribeRegions`,
//! AWS's example of a policy that [denies Regions][deny] leaves it out, and EC2 answers in every
//! partition and through VPC endpoints. It speaks the [EC2 query protocol][query].
//!
//! [deny]: https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps_examples_general.html
//! [query]: https://smithy.io/2.0/aws/protocols/aws-ec2-query-protocol.html

use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, OrchestratorError};
use aws_smithy_xml::decode::{Document, XmlDecodeError, try_data};
use aws_types::SdkConfig;

use super::calls::Calls;
use super::error::CallError;
use super::rest::post_form;
use super::service::{EC2, ServiceError, operation};
use crate::clock::Clock;
use crate::domain::arn::is_region;
use crate::domain::failure::Step;

const STEP: Step = Step::ListRegions;

/// How long the call may take, its retries included.
const PATIENCE: Duration = Duration::from_secs(20);

/// The names of the Regions that the account has enabled, sorted, by [DescribeRegions].
///
/// [DescribeRegions]: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeRegions.html
pub async fn enabled(config: &SdkConfig, clock: &Clock) -> Result<Vec<String>, CallError> {
    let region = config.region().map(ToString::to_string).unwrap_or_default();
    let request = |()| post_form("Action=DescribeRegions&Version=2016-11-15".to_owned());
    let operation = operation(config, EC2).serializer(request).deserializer(answer).build();
    let calls = Calls::new(clock.clone());
    let call = || async { operation.invoke(()).await.map_err(|error| CallError::from_sdk(STEP, &region, &error)) };
    let mut regions = calls.read(STEP, &region, clock.instant() + PATIENCE, call).await?;
    regions.sort_unstable();
    Ok(regions)
}

fn answer(response: &HttpResponse) -> Result<Vec<String>, OrchestratorError<ServiceError>> {
    let body = std::str::from_utf8(response.body().bytes().unwrap_or_default()).unwrap_or_default();
    if response.status().is_success() {
        // The reader of XML takes the end of a truncated document for the end of the list.
        if !body.trim_end().ends_with("</DescribeRegionsResponse>") {
            return Err(OrchestratorError::other("the answer is not a whole DescribeRegionsResponse"));
        }
        let regions = texts(body, "regionName").map_err(OrchestratorError::other)?;
        return if regions.is_empty() || !regions.iter().all(|region| is_region(region)) {
            Err(OrchestratorError::other("the answer names no Regions"))
        } else {
            Ok(regions)
        };
    }
    Err(OrchestratorError::operation(error(body)))
}

/// The error in the body of a response.
fn error(body: &str) -> ServiceError {
    let text = |name| texts(body, name).ok().and_then(|texts| texts.into_iter().next());
    ServiceError::new(text("Code").as_deref(), text("Message").as_deref())
}

/// The texts of all elements `name`.
fn texts(xml: &str, name: &str) -> Result<Vec<String>, XmlDecodeError> {
    let mut document = Document::try_from(xml.as_bytes())?;
    let mut texts = Vec::new();
    while let Some(element) = document.next_start_element() {
        if element.local() == name {
            let mut inside = document.scoped_to(element);
            texts.push(try_data(&mut inside)?.into_owned());
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::metadata::ProvideErrorMetadata;

    use super::*;

    fn answered(status: u16, body: &str) -> Result<Vec<String>, OrchestratorError<ServiceError>> {
        answer(&HttpResponse::new(StatusCode::try_from(status).expect("a status"), SdkBody::from(body)))
    }

    #[test]
    fn the_regions_are_read_and_an_answer_that_may_lack_some_is_not() {
        let whole = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DescribeRegionsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">
            <requestId>59dbff89</requestId><regionInfo>
            <item><regionName>us-east-1</regionName><regionEndpoint>ec2.us-east-1.amazonaws.com</regionEndpoint></item>
            <item><regionName>eu-west-1</regionName><optInStatus>opt-in-not-required</optInStatus></item>
            </regionInfo></DescribeRegionsResponse>";
        assert_eq!(answered(200, whole).ok(), Some(vec!["us-east-1".to_owned(), "eu-west-1".to_owned()]));
        for body in [
            "",
            "<html>",
            whole.split("<item><regionName>eu").next().expect("a part"),
            "<DescribeRegionsResponse><regionInfo/></DescribeRegionsResponse>",
            "<DescribeRegionsResponse><regionName>evil.example/</regionName></DescribeRegionsResponse>",
            "<DescribeRegionsResponse><regionName>&bad;</regionName></DescribeRegionsResponse>",
        ] {
            assert!(answered(200, body).is_err(), "{body}");
        }
    }

    #[test]
    fn an_error_is_read_by_its_code() {
        let body = "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>a &lt;b&gt;</Message></Error></Errors></Response>";
        let error = error(body);
        assert_eq!((error.code(), error.message()), (Some("UnauthorizedOperation"), Some("a <b>")));
        assert!(answered(403, "<html>").is_err());
    }
}
