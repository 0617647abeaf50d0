//! IAM: simulates what principals may do, for the terminal program. Nothing here changes anything.
//!
//! IAM speaks the [Query protocol][query], and has [one endpoint][endpoints] per partition.
//!
//! [query]: https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
//! [endpoints]: https://docs.aws.amazon.com/general/latest/gr/iam-service.html

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, OrchestratorError};
use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError, try_data};
use aws_types::SdkConfig;
use aws_types::region::Region;

use super::calls::Calls;
use super::error::CallError;
use super::rest::post_form;
use super::service::{IAM, ServiceError, operation};
use crate::access::{Action, ContextEntry, Simulation};
use crate::clock::Clock;
use crate::domain::arn::partition_of;
use crate::domain::failure::Step;

const STEP: Step = Step::SimulatePolicy;

/// How long one call may take, its retries included.
const PATIENCE: Duration = Duration::from_secs(30);

/// The IAM actions of these calls.
pub const ACTIONS: [&str; 2] = ["iam:GetRole", "iam:SimulatePrincipalPolicy"];

/// The code for a role or a user that does not exist.
const NO_SUCH_ENTITY: &str = "NoSuchEntity";

/// Simulates principals' policies.
#[derive(Clone)]
pub struct Iam {
    operation: Operation<String, Element, ServiceError>,
    calls: std::sync::Arc<Calls>,
    clock: Clock,
}

impl fmt::Debug for Iam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Iam")
    }
}

impl Iam {
    /// A client with the credentials in `config`.
    #[must_use]
    pub fn new(config: &SdkConfig, clock: &Clock) -> Self {
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        let (url, signing_region) = endpoint(&region, config.use_fips() == Some(true));
        let mut global = config.to_builder().region(Region::new(signing_region));
        // `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_IAM` take precedence.
        if config.endpoint_url().is_none() {
            global = global.endpoint_url(url);
        }
        let operation = operation(&global.build(), IAM).serializer(post_form).deserializer(answer).build();
        Self { operation, calls: std::sync::Arc::new(Calls::new(clock.clone())), clock: clock.clone() }
    }

    /// [SimulatePrincipalPolicy]: what the policies of `principal` say about `actions` on `resource`.
    /// `None` if there is no such principal.
    ///
    /// [SimulatePrincipalPolicy]: https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
    pub async fn simulate(
        &self,
        principal: &str,
        actions: &[Action],
        resource: &str,
        context: &[ContextEntry],
    ) -> Result<Option<BTreeMap<Action, Simulation>>, CallError> {
        let mut form = Form::new("SimulatePrincipalPolicy");
        form.add("PolicySourceArn", principal);
        form.add("ResourceArns.member.1", resource);
        for (index, action) in actions.iter().enumerate() {
            form.add(&format!("ActionNames.member.{}", index + 1), action.as_str());
        }
        for (index, (name, kind, value)) in context.iter().enumerate() {
            let prefix = format!("ContextEntries.member.{}", index + 1);
            form.add(&format!("{prefix}.ContextKeyName"), name);
            form.add(&format!("{prefix}.ContextKeyType"), kind);
            form.add(&format!("{prefix}.ContextKeyValues.member.1"), value);
        }
        let Some(answer) = self.call(form.0, principal).await? else { return Ok(None) };
        let results =
            answer.child("SimulatePrincipalPolicyResult").and_then(|result| result.child("EvaluationResults"));
        let results = results.map(|results| results.children.as_slice()).unwrap_or_default();
        let simulated: BTreeMap<_, _> = results.iter().filter_map(simulation).collect();
        if actions.iter().all(|action| simulated.contains_key(action)) {
            Ok(Some(simulated))
        } else {
            Err(CallError::unreadable(STEP, &principal))
        }
    }

    /// [GetRole]: the ARN of the role `name` of the caller's account; `None` if it does not exist.
    ///
    /// [GetRole]: https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRole.html
    pub async fn role_arn(&self, name: &str) -> Result<Option<String>, CallError> {
        let mut form = Form::new("GetRole");
        form.add("RoleName", name);
        let Some(answer) = self.call(form.0, name).await? else { return Ok(None) };
        let arn = answer.child("GetRoleResult").and_then(|result| result.child("Role")?.child("Arn"));
        arn.map(|arn| Some(arn.text.clone())).ok_or_else(|| CallError::unreadable(STEP, &name))
    }

    /// The answer; `None` if the principal does not exist.
    async fn call(&self, form: String, subject: &str) -> Result<Option<Element>, CallError> {
        let call = || async {
            match self.operation.invoke(form.clone()).await {
                Ok(answer) => Ok(Some(answer)),
                Err(error) => match CallError::from_sdk(STEP, &subject, &error) {
                    error if error.failure.code == NO_SUCH_ENTITY => Ok(None),
                    error => Err(error),
                },
            }
        };
        self.calls.read(STEP, &subject, self.clock.instant() + PATIENCE, call).await
    }
}

/// IAM's endpoint for the partition of `region`, and the Region that its calls are signed for.
pub(super) fn endpoint(region: &str, fips: bool) -> (String, &'static str) {
    let (host, signing_region) = match partition_of(region) {
        "aws-cn" => ("iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        "aws-us-gov" => ("iam.us-gov.amazonaws.com", "us-gov-west-1"),
        "aws-iso" => ("iam.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
        "aws-iso-b" => ("iam.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"),
        "aws-iso-e" => ("iam.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"),
        "aws-iso-f" => ("iam.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"),
        "aws-eusc" => ("iam.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        _ if fips => ("iam-fips.amazonaws.com", "us-east-1"),
        _ => ("iam.amazonaws.com", "us-east-1"),
    };
    (format!("https://{host}"), signing_region)
}

/// The fields of a request.
struct Form(String);

impl Form {
    fn new(action: &str) -> Self {
        Self(format!("Action={action}&Version=2010-05-08"))
    }

    fn add(&mut self, name: &str, value: &str) {
        self.0.push('&');
        self.0.push_str(name);
        self.0.push('=');
        self.0.extend(form_urlencoded::byte_serialize(value.as_bytes()));
    }
}

/// An element of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.trim())
    }

    /// The texts of a list.
    fn texts(&self, name: &str) -> impl Iterator<Item = String> {
        self.child(name).into_iter().flat_map(|list| list.children.iter().map(|member| member.text.clone()))
    }

    /// A truth value in a structure.
    fn flag(&self, structure: &str, name: &str) -> Option<bool> {
        match self.child(structure)?.text_of(name)? {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }
}

/// The elements of IAM's answers that hold elements and are read. `member` is one of them, except in
/// a list of texts.
const STRUCTURES: [&str; 12] = [
    "ErrorResponse",
    "Error",
    "GetRoleResponse",
    "GetRoleResult",
    "Role",
    "SimulatePrincipalPolicyResponse",
    "SimulatePrincipalPolicyResult",
    "EvaluationResults",
    "ResourceSpecificResults",
    "MissingContextValues",
    "OrganizationsDecisionDetail",
    "PermissionsBoundaryDecisionDetail",
];

fn element(mut scope: ScopedDecoder<'_, '_>, parent: &str) -> Result<Element, XmlDecodeError> {
    let mut element = Element { name: scope.start_el().local().to_owned(), ..Element::default() };
    if STRUCTURES.contains(&element.name.as_str()) || element.name == "member" && parent != "MissingContextValues" {
        while let Some(inner) = scope.next_tag() {
            element.children.push(self::element(inner, &element.name)?);
        }
    } else {
        // Any other element that holds elements has no text, and none that is read.
        element.text = try_data(&mut scope).map(Cow::into_owned).unwrap_or_default();
    }
    Ok(element)
}

fn parse(body: &str) -> Result<Element, XmlDecodeError> {
    // The reader of XML takes the end of a truncated document for the end of a list.
    if !body.trim_end().ends_with("Response>") {
        return Err(XmlDecodeError::custom("the answer is not a whole document"));
    }
    let mut document = Document::try_from(body.as_bytes())?;
    element(document.root_element()?, "")
}

fn answer(response: &HttpResponse) -> Result<Element, OrchestratorError<ServiceError>> {
    let body = std::str::from_utf8(response.body().bytes().unwrap_or_default()).unwrap_or_default();
    let root = parse(body).map_err(OrchestratorError::other)?;
    if response.status().is_success() {
        return Ok(root);
    }
    Err(OrchestratorError::operation(error(&root)))
}

/// The error in an answer.
fn error(root: &Element) -> ServiceError {
    let error = root.child("Error");
    let text = |name| error.and_then(|error| error.text_of(name));
    ServiceError::new(text("Code"), text("Message"))
}

/// One evaluation result.
fn simulation(result: &Element) -> Option<(Action, Simulation)> {
    let action = [Action::GenerateDataKey, Action::Decrypt].into_iter().find(|action| {
        result.text_of("EvalActionName").is_some_and(|name| name.eq_ignore_ascii_case(action.as_str()))
    })?;
    // What is missing, and the boundary, may be reported for each resource: one was asked about.
    let of_resource = result.child("ResourceSpecificResults").and_then(|list| list.children.first());
    let missing = result.texts("MissingContextValues");
    let missing = missing.chain(of_resource.into_iter().flat_map(|result| result.texts("MissingContextValues")));
    let boundary = |result: &Element| result.flag("PermissionsBoundaryDecisionDetail", "AllowedByPermissionsBoundary");
    let simulation = Simulation {
        decision: result.text_of("EvalDecision")?.to_owned(),
        missing: missing.collect(),
        allowed_by_organization: result.flag("OrganizationsDecisionDetail", "AllowedByOrganizations"),
        allowed_by_boundary: boundary(result).or_else(|| of_resource.and_then(boundary)),
    };
    Some((action, simulation))
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::metadata::ProvideErrorMetadata;

    use super::*;

    const RESULT: &str = "<?xml version=\"1.0\"?>
        <SimulatePrincipalPolicyResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">
          <SimulatePrincipalPolicyResult>
            <IsTruncated>false</IsTruncated>
            <EvaluationResults>
              <member>
                <MatchedStatements/>
                <MissingContextValues/>
                <EvalResourceName>arn:aws:kms:us-east-1:111122223333:key/x</EvalResourceName>
                <EvalDecision>implicitDeny</EvalDecision>
                <EvalActionName>kms:Decrypt</EvalActionName>
                <OrganizationsDecisionDetail><AllowedByOrganizations>true</AllowedByOrganizations></OrganizationsDecisionDetail>
                <ResourceSpecificResults><member>
                  <MissingContextValues><member>aws:SourceVpc</member><member>aws:PrincipalTag/a&amp;b</member></MissingContextValues>
                  <PermissionsBoundaryDecisionDetail>
                    <AllowedByPermissionsBoundary>false</AllowedByPermissionsBoundary>
                  </PermissionsBoundaryDecisionDetail>
                </member></ResourceSpecificResults>
              </member>
              <member>
                <MatchedStatements><member><SourcePolicyId>p</SourcePolicyId></member></MatchedStatements>
                <EvalDecision>allowed</EvalDecision>
                <EvalActionName>kms:GenerateDataKey</EvalActionName>
              </member>
            </EvaluationResults>
          </SimulatePrincipalPolicyResult>
          <ResponseMetadata><RequestId>1cdb5b0a</RequestId></ResponseMetadata>
        </SimulatePrincipalPolicyResponse>";

    fn answered(status: u16, body: &str) -> Result<Element, OrchestratorError<ServiceError>> {
        answer(&HttpResponse::new(StatusCode::try_from(status).expect("a status"), SdkBody::from(body)))
    }

    #[test]
    fn a_simulation_is_read_with_what_it_misses() {
        let root = answered(200, RESULT).expect("an answer");
        let results = root.child("SimulatePrincipalPolicyResult").and_then(|result| result.child("EvaluationResults"));
        let found: BTreeMap<_, _> = results.expect("results").children.iter().filter_map(simulation).collect();
        assert_eq!(
            found[&Action::Decrypt],
            Simulation {
                decision: "implicitDeny".to_owned(),
                missing: vec!["aws:SourceVpc".to_owned(), "aws:PrincipalTag/a&b".to_owned()],
                allowed_by_organization: Some(true),
                allowed_by_boundary: Some(false),
            }
        );
        assert_eq!(
            found[&Action::GenerateDataKey],
            Simulation { decision: "allowed".to_owned(), ..Simulation::default() }
        );
    }

    #[test]
    fn an_error_is_read_by_its_code_and_a_part_of_an_answer_is_none() {
        let body = "<ErrorResponse xmlns=\"x\"><Error><Type>Sender</Type><Code>NoSuchEntity</Code>\
                    <Message>The role &lt;x&gt; cannot be found.</Message></Error></ErrorResponse>";
        let found = error(&parse(body).expect("XML"));
        assert_eq!((found.code(), found.message()), (Some("NoSuchEntity"), Some("The role <x> cannot be found.")));
        assert!(answered(404, body).is_err());
        for body in ["", "<html>", &RESULT[..RESULT.len() / 2]] {
            assert!(answered(200, body).is_err(), "{body}");
        }
    }

    #[test]
    fn every_partition_has_one_endpoint() {
        for (region, fips, url, signed_for) in [
            ("eu-west-1", false, "https://iam.amazonaws.com", "us-east-1"),
            ("us-west-2", true, "https://iam-fips.amazonaws.com", "us-east-1"),
            ("cn-northwest-1", false, "https://iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("us-gov-east-1", true, "https://iam.us-gov.amazonaws.com", "us-gov-west-1"),
            ("eusc-de-east-1", false, "https://iam.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        ] {
            assert_eq!(endpoint(region, fips), (url.to_owned(), signed_for));
        }
    }
}
