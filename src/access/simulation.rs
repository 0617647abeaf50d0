//! What IAM's simulation of a principal's own policies says about a call.
//!
//! The simulation knows neither the key policy nor the caller's surroundings: what Kinesis sends is
//! handed to it as context, and what it misses besides makes its decision uncertain. Source:
//! [SimulatePrincipalPolicy][simulate].
//!
//! [simulate]: https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html

use super::Question;
use super::condition::{CONTEXT_KEY, Context};
use super::principal::Principal;
use super::verdict::Identity;

/// The part of an [EvaluationResult] that matters.
///
/// [EvaluationResult]: https://docs.aws.amazon.com/IAM/latest/APIReference/API_EvaluationResult.html
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simulation {
    /// `EvalDecision`: `allowed`, `explicitDeny` or `implicitDeny`.
    pub decision: String,
    /// `MissingContextValues`: the condition keys that the policies ask for and that were not sent.
    pub missing: Vec<String>,
    /// `AllowedByOrganizations`; `None` for an account outside an organization.
    pub allowed_by_organization: Option<bool>,
    /// `AllowedByPermissionsBoundary`; `None` for a principal without a boundary.
    pub allowed_by_boundary: Option<bool>,
}

/// The condition keys whose values are sent, each with IAM's type of it.
const SENT: [(&str, &str); 7] = [
    ("kms:ViaService", "string"),
    ("kms:CallerAccount", "string"),
    ("kms:EncryptionContextKeys", "stringList"),
    ("aws:PrincipalAccount", "string"),
    ("aws:PrincipalArn", "string"),
    ("aws:RequestedRegion", "string"),
    ("aws:SecureTransport", "boolean"),
];

/// What is sent with a simulation: a condition key, IAM's type of it, and its value.
pub type ContextEntry = (String, &'static str, String);

impl Question<'_> {
    /// The context of the call without the stream, which few policies ask for: without it, one
    /// simulation answers for all streams.
    #[must_use]
    pub fn shared_context(&self) -> Vec<ContextEntry> {
        let known = SENT.into_iter().filter_map(|(name, kind)| match self.context(name) {
            Context::Values(values) => Some((name.to_owned(), kind, values.concat())),
            Context::Absent | Context::Unknown => None,
        });
        known.collect()
    }

    /// The whole context of the call.
    #[must_use]
    pub fn full_context(&self) -> Vec<ContextEntry> {
        let stream = (stream_key(), "string", self.stream.to_string());
        self.shared_context().into_iter().chain([stream]).collect()
    }
}

fn stream_key() -> String {
    format!("kms:EncryptionContext:{CONTEXT_KEY}")
}

impl Simulation {
    /// Whether the decision depends on the stream, which was not sent.
    #[must_use]
    pub fn depends_on_stream(&self) -> bool {
        self.missing.iter().any(|key| key.eq_ignore_ascii_case(&stream_key()))
    }

    /// What the principal's own policies say about the call in `question`.
    #[must_use]
    pub fn identity(&self, question: &Question<'_>) -> Identity {
        // A key that Kinesis does not send is absent from the call, too.
        let missing: Vec<_> = self
            .missing
            .iter()
            .filter(|key| !matches!(question.context(key), Context::Absent))
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            return Identity::Unknown(format!(
                "its IAM policies have conditions on {}, whose values only the caller knows",
                missing.join(", ")
            ));
        }
        match self.decision.as_str() {
            "allowed" if [self.allowed_by_organization, self.allowed_by_boundary].contains(&Some(false)) => {
                Identity::Unknown(
                    "IAM's simulation allows it, and says that the organization or the boundary does not".to_owned(),
                )
            }
            "allowed" => Identity::Allowed,
            "explicitDeny" | "implicitDeny" if self.allowed_by_organization == Some(false) => {
                match question.principal {
                    Principal::Role { path: Some(path), .. } if path.starts_with("/aws-service-role/") => {
                        Identity::Unknown(
                            "the policies of the organization do not limit a service-linked role, but IAM's \
                             simulation applies them"
                                .to_owned(),
                        )
                    }
                    _ => Identity::DeniedByOrganization,
                }
            }
            "explicitDeny" => Identity::Denied,
            "implicitDeny" if self.allowed_by_boundary == Some(false) => Identity::OutsideBoundary,
            "implicitDeny" => Identity::NotAllowed,
            other => Identity::Unknown(format!("IAM's simulation answered {other:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Action;
    use super::*;

    const STREAM: &str = "arn:aws:kinesis:us-east-1:111122223333:stream/orders";

    fn asked<T>(principal: &str, ask: impl FnOnce(&Question<'_>) -> T) -> T {
        let (principal, stream) = (Principal::read(principal).expect("a principal"), STREAM.parse().expect("an ARN"));
        ask(&Question { principal: &principal, action: Action::Decrypt, stream: &stream })
    }

    #[test]
    fn the_context_is_what_kinesis_sends() {
        let role = "arn:aws:iam::111122223333:role/app/writer";
        let entry = |name: &str, kind, value: &str| (name.to_owned(), kind, value.to_owned());
        assert_eq!(
            asked(role, |question| (question.full_context(), question.shared_context().len())),
            (
                vec![
                    entry("kms:ViaService", "string", "kinesis.us-east-1.amazonaws.com"),
                    entry("kms:CallerAccount", "string", "111122223333"),
                    entry("kms:EncryptionContextKeys", "stringList", "aws:kinesis:arn"),
                    entry("aws:PrincipalAccount", "string", "111122223333"),
                    entry("aws:PrincipalArn", "string", role),
                    entry("aws:RequestedRegion", "string", "us-east-1"),
                    entry("aws:SecureTransport", "boolean", "true"),
                    entry("kms:EncryptionContext:aws:kinesis:arn", "string", STREAM),
                ],
                7
            )
        );
    }

    #[test]
    fn every_decision_is_read() {
        let role = "arn:aws:iam::111122223333:role/app/writer";
        let linked = "arn:aws:iam::111122223333:role/aws-service-role/x.amazonaws.com/AWSServiceRoleForX";
        let found = |principal, decision: &str, missing: &[&str], organization, boundary| {
            let simulation = Simulation {
                decision: decision.to_owned(),
                missing: missing.iter().map(|key| (*key).to_owned()).collect(),
                allowed_by_organization: organization,
                allowed_by_boundary: boundary,
            };
            match asked(principal, |question| simulation.identity(question)) {
                Identity::Unknown(_) => "Unknown".to_owned(),
                identity => format!("{identity:?}"),
            }
        };
        for (principal, decision, missing, organization, boundary, expected) in [
            (role, "allowed", &[][..], None, None, "Allowed"),
            (role, "allowed", &[], Some(true), Some(true), "Allowed"),
            (role, "explicitDeny", &[], None, None, "Denied"),
            (role, "explicitDeny", &[], Some(false), None, "DeniedByOrganization"),
            (role, "implicitDeny", &[], Some(false), None, "DeniedByOrganization"),
            (linked, "implicitDeny", &[], Some(false), None, "Unknown"),
            (role, "implicitDeny", &[], Some(true), Some(false), "OutsideBoundary"),
            (role, "implicitDeny", &[], Some(true), Some(true), "NotAllowed"),
            (role, "implicitDeny", &[], None, None, "NotAllowed"),
            // Whether a condition holds that only the caller can meet is not known, whatever was decided.
            (role, "implicitDeny", &["aws:PrincipalTag/team"], None, None, "Unknown"),
            (role, "explicitDeny", &["aws:SourceVpc"], None, None, "Unknown"),
            (role, "allowed", &["aws:SourceIp"], None, None, "Unknown"),
            // Kinesis does not send these, so they are as absent in the call as in the simulation.
            (
                role,
                "allowed",
                &["kms:EncryptionContext:aws:s3:arn", "kms:GrantIsForAWSResource"],
                None,
                None,
                "Allowed",
            ),
            // A decision that its own details contradict.
            (role, "allowed", &[], Some(false), None, "Unknown"),
            (role, "allowed", &[], None, Some(false), "Unknown"),
            (role, "perhaps", &[], None, None, "Unknown"),
            (role, "", &[], None, None, "Unknown"),
        ] {
            assert_eq!(
                found(principal, decision, missing, organization, boundary),
                expected,
                "{decision} {missing:?} {organization:?} {boundary:?}"
            );
        }
    }

    #[test]
    fn a_policy_that_names_the_stream_is_asked_again_with_it() {
        let simulation = |key: &str| Simulation { missing: vec![key.to_owned()], ..Simulation::default() };
        assert!(simulation("kms:encryptioncontext:aws:kinesis:arn").depends_on_stream());
        assert!(!simulation("kms:EncryptionContext:aws:s3:arn").depends_on_stream());
    }
}
