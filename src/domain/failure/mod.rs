//! A failure as a value: the step, the error code, whether a retry helps, and what a person can do
//! about it.
//!
//! One table, [`code`], holds every error code that this program knows.

pub mod code;
mod remedy;

use std::fmt;

use serde::Serialize;

pub use self::code::Kind;

/// The step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Parsing the payload.
    ReadEvent,
    /// Checking that the function manages the stream's account and Region.
    CheckTarget,
    /// `sts:AssumeRole` of the role in a member account.
    AssumeRole,
    /// `kinesis:DescribeStreamSummary`.
    DescribeStream,
    /// `kms:DescribeKey`, or assessing the key that it describes.
    DescribeKey,
    /// `kinesis:ListTagsForStream`, or parsing the exemption tag.
    ListTags,
    /// `tag:GetResources`.
    GetResources,
    /// `kinesis:ListStreams`.
    ListStreams,
    /// `kinesis:StartStreamEncryption`.
    StartStreamEncryption,
    /// Reading the policy: the variable, or `ssm:GetParameter`.
    ReadPolicy,
    /// Finding the policy's rule for a stream.
    ApplyPolicy,
    /// `kms:GetKeyPolicy` or `kinesis:GetResourcePolicy`.
    GetPolicy,
    /// `cloudtrail:LookupEvents`.
    LookupEvents,
    /// Waiting for the stream to become ACTIVE, before or after `StartStreamEncryption`.
    Wait,
    /// `sqs:SendMessage` to the dead-letter queue.
    SendDeadLetter,
    /// `sqs:SendMessage` to the work queue.
    SendWorkItem,
    /// `sqs:ChangeMessageVisibility` on the work queue.
    ChangeVisibility,
    /// `sqs:GetQueueAttributes` of the work queue.
    ReadQueue,
    /// `ssm:GetParameter` of the parameter that holds what is known of denied calls.
    ReadAccessState,
    /// `ssm:PutParameter` of the same.
    WriteAccessState,
    /// `kinesis:PutRecord`, by `enforcer apply --probe`.
    Probe,
    /// `events:PutEvents`.
    PutEvents,
    /// Receiving, moving or deleting dead letters, by `enforcer dlq`.
    HandleDeadLetters,
    /// `lambda:GetFunctionConfiguration`, by the terminal program.
    ReadFunction,
    /// `ec2:DescribeRegions`, by the terminal program.
    ListRegions,
    /// `securityhub:BatchImportFindings`, by `enforcer report --import`.
    ImportFindings,
    /// Finding who uses streams, by `enforcer access`.
    FindUsers,
    /// `iam:SimulatePrincipalPolicy` and `iam:GetRole`, by `enforcer access`.
    SimulatePolicy,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 28] = [
        Self::ReadEvent,
        Self::CheckTarget,
        Self::AssumeRole,
        Self::DescribeStream,
        Self::DescribeKey,
        Self::ListTags,
        Self::GetResources,
        Self::ListStreams,
        Self::StartStreamEncryption,
        Self::ReadPolicy,
        Self::ApplyPolicy,
        Self::GetPolicy,
        Self::LookupEvents,
        Self::Wait,
        Self::SendDeadLetter,
        Self::SendWorkItem,
        Self::ChangeVisibility,
        Self::ReadQueue,
        Self::ReadAccessState,
        Self::WriteAccessState,
        Self::Probe,
        Self::PutEvents,
        Self::HandleDeadLetters,
        Self::ReadFunction,
        Self::ListRegions,
        Self::ImportFindings,
        Self::FindUsers,
        Self::SimulatePolicy,
    ];

    /// The step's name in answers, dead letters and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadEvent => "read-event",
            Self::CheckTarget => "check-target",
            Self::AssumeRole => "assume-role",
            Self::DescribeStream => "describe-stream",
            Self::DescribeKey => "describe-key",
            Self::ListTags => "list-tags",
            Self::GetResources => "get-resources",
            Self::ListStreams => "list-streams",
            Self::StartStreamEncryption => "start-stream-encryption",
            Self::ReadPolicy => "read-policy",
            Self::ApplyPolicy => "apply-policy",
            Self::GetPolicy => "get-policy",
            Self::LookupEvents => "lookup-events",
            Self::Wait => "wait",
            Self::SendDeadLetter => "send-dead-letter",
            Self::SendWorkItem => "send-work-item",
            Self::ChangeVisibility => "change-visibility",
            Self::ReadQueue => "read-queue",
            Self::ReadAccessState => "read-access-state",
            Self::WriteAccessState => "write-access-state",
            Self::Probe => "probe",
            Self::PutEvents => "put-events",
            Self::HandleDeadLetters => "handle-dead-letters",
            Self::ReadFunction => "read-function",
            Self::ListRegions => "list-regions",
            Self::ImportFindings => "import-findings",
            Self::FindUsers => "find-users",
            Self::SimulatePolicy => "simulate-policy",
        }
    }
}

impl Step {
    /// The step in a message, before its subject: where it is a call, with the name of AWS's
    /// operation.
    fn of_subject(self) -> &'static str {
        match self {
            Self::ReadEvent => "reading",
            Self::CheckTarget => "checking",
            Self::AssumeRole => "AssumeRole of",
            Self::DescribeStream => "DescribeStreamSummary of",
            Self::DescribeKey => "DescribeKey of",
            Self::ListTags => "ListTagsForStream of",
            Self::GetResources => "GetResources of",
            Self::ListStreams => "ListStreams of",
            Self::StartStreamEncryption => "StartStreamEncryption of",
            Self::ReadPolicy => "reading the policy in",
            Self::ApplyPolicy => "applying the policy to",
            Self::GetPolicy => "reading the resource policy of",
            Self::LookupEvents => "LookupEvents for",
            Self::Wait => "waiting for",
            Self::SendDeadLetter | Self::SendWorkItem => "SendMessage to",
            Self::ChangeVisibility => "ChangeMessageVisibility on",
            Self::ReadQueue => "GetQueueAttributes of",
            Self::ReadAccessState => "GetParameter of",
            Self::WriteAccessState => "PutParameter of",
            Self::Probe => "PutRecord to",
            Self::PutEvents => "PutEvents to",
            Self::HandleDeadLetters => "handling dead letters:",
            Self::ReadFunction => "GetFunctionConfiguration of",
            Self::ListRegions => "DescribeRegions in",
            Self::ImportFindings => "BatchImportFindings in",
            Self::FindUsers => "finding the users of streams:",
            Self::SimulatePolicy => "SimulatePrincipalPolicy of",
        }
    }
}

/// How a failure is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// A retry may help.
    Retryable,
    /// A retry does not help until a person changes something: it is dead-lettered at once.
    Terminal,
    /// The stream does not exist.
    Gone,
    /// Another principal keeps changing the stream's encryption: the stream is left as it is.
    Contested,
}

impl Class {
    /// The class's name in answers, dead letters and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retryable => "retryable",
            Self::Terminal => "terminal",
            Self::Gone => "gone",
            Self::Contested => "contested",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A diagnosed failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The step that failed.
    pub step: Step,
    /// The AWS error code, or one of [`code`].
    pub code: String,
    /// How it is handled.
    pub class: Class,
    /// What happened: it names the operation, its subject and the code.
    pub message: String,
    /// What a person can do about it.
    pub remedy: String,
}

impl Failure {
    /// The failure `code` at `step` on `subject`; `detail` explains it, in AWS's words or ours.
    #[must_use]
    pub fn new(step: Step, code: &str, subject: &dyn fmt::Display, detail: &str) -> Self {
        let kind = Kind::explained(code, detail);
        let message = if detail.is_empty() {
            format!("{} {subject}: {code}", step.of_subject())
        } else {
            format!("{} {subject}: {code}: {detail}", step.of_subject())
        };
        let mut remedy = kind.remedy(step);
        // AWS names the kind of policy that denied the call:
        // <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>.
        if kind == Kind::Denied && detail.contains("resource-based policy") {
            remedy.push_str(" The message names a resource-based policy: change the resource's own policy.");
        }
        Self { step, code: code.to_owned(), class: kind.class(), message, remedy }
    }

    /// The same failure with another class than its code has as a rule.
    #[must_use]
    pub fn classed(self, class: Class) -> Self {
        Self { class, ..self }
    }

    /// The same failure with another remedy than its code has as a rule.
    #[must_use]
    pub fn remedied(self, remedy: String) -> Self {
        Self { remedy, ..self }
    }

    /// What the code means.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::explained(&self.code, &self.message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (remedy: {})", self.message, self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_a_resource_policy_denies_is_allowed_there() {
        let denied = |detail| Failure::new(Step::DescribeStream, "AccessDeniedException", &"orders", detail).remedy;
        let by_resource = denied("not authorized to perform: … with an explicit deny in a resource-based policy");
        assert!(by_resource.ends_with("change the resource's own policy."), "{by_resource}");
        let by_role = denied("… because no identity-based policy allows the kinesis:DescribeStreamSummary action");
        assert!(!by_role.contains("resource"), "{by_role}");
    }

    #[test]
    fn a_step_and_a_class_have_one_name_wherever_they_are_shown() {
        for step in Step::ALL {
            assert_eq!(serde_json::to_value(step).expect("JSON"), step.as_str());
        }
        for class in [Class::Retryable, Class::Terminal, Class::Gone, Class::Contested] {
            assert_eq!(serde_json::to_value(class).expect("JSON"), class.as_str());
            assert_eq!(class.to_string(), class.as_str());
        }
    }

    /// Codes, what follows from them at every step, and words of their remedy at one step.
    const TABLE: &[(&[&str], Class, Step, &str)] = {
        use Class::{Contested, Gone, Retryable, Terminal};
        const START: Step = Step::StartStreamEncryption;
        &[
            (
                &["LimitExceededException", "KMSThrottlingException", "ThrottlingException"],
                Retryable,
                START,
                "25 applications",
            ),
            (
                &["ThrottlingException", "RequestThrottled", "SlowDown"],
                Retryable,
                Step::DescribeStream,
                "the account's limit",
            ),
            (&["ResourceInUseException"], Retryable, START, "CREATING or UPDATING"),
            (
                &["ResourceNotFoundException", code::STREAM_NOT_FOUND],
                Gone,
                Step::DescribeStream,
                "name, the account and the Region",
            ),
            (
                &["AccessDeniedException", "AccessDenied", "NotAuthorized", "UnauthorizedOperation"],
                Terminal,
                Step::DescribeKey,
                "for a key of another account",
            ),
            (&["AccessDeniedException"], Terminal, Step::SendDeadLetter, "FAILURE_QUEUE_URL"),
            (&["AccessDeniedException"], Terminal, START, "KmsKeyArns"),
            (&["KMSAccessDeniedException", "KmsAccessDenied"], Terminal, START, "kms:ViaService"),
            (&["KmsAccessDenied"], Terminal, Step::SendDeadLetter, "SSE-SQS"),
            (
                &["KMSDisabledException", "DisabledException", "KmsDisabled", code::KEY_DISABLED],
                Terminal,
                START,
                "kms:EnableKey",
            ),
            (
                &["KMSInvalidStateException", "KmsInvalidKeyUsage", code::KEY_PENDING_DELETION],
                Terminal,
                START,
                "SYMMETRIC_DEFAULT",
            ),
            (
                &[code::KEY_PENDING_IMPORT, code::KEY_UNAVAILABLE, code::KEY_UNSUITABLE, code::KEY_IN_OTHER_REGION],
                Terminal,
                START,
                "Enabled",
            ),
            (&["KMSNotFoundException", "NotFoundException", "KmsNotFound"], Terminal, START, "KMS_KEY_ID"),
            (&["KMSOptInRequired", "KmsOptInRequired", "SubscriptionRequiredException"], Terminal, START, "Subscribe"),
            (
                &["InvalidArgumentException", "ValidationException"],
                Terminal,
                START,
                "symmetric encryption key that Kinesis accepts",
            ),
            (&["InvalidArgumentException", "SerializationException"], Terminal, Step::DescribeStream, "bug"),
            (
                &[
                    "UnrecognizedClientException",
                    "InvalidClientTokenId",
                    "ExpiredTokenException",
                    "ExpiredToken",
                    "InvalidSignatureException",
                    "SignatureDoesNotMatch",
                    "IncompleteSignature",
                    "IncompleteSignatureException",
                    "MissingAuthenticationToken",
                    "MissingAuthenticationTokenException",
                    "InvalidSecurity",
                    "AuthFailure",
                    code::REQUEST_NOT_BUILT,
                ],
                Retryable,
                START,
                "credentials",
            ),
            (&["RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"], Retryable, START, "clock"),
            (
                &["QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"],
                Terminal,
                Step::SendDeadLetter,
                "existing SQS queue",
            ),
            (&[code::NO_FAILURE_QUEUE], Retryable, Step::SendDeadLetter, "existing SQS queue"),
            (
                &["InternalFailure", "ServiceUnavailable", code::TIMEOUT, code::NETWORK_ERROR],
                Retryable,
                START,
                "Health Dashboard",
            ),
            (&[code::UNREADABLE_ANSWER, code::START_UNCONFIRMED], Retryable, START, "VPC endpoints"),
            (&[code::STILL_UPDATING, code::ACCEPTED_NOT_VISIBLE, code::OUT_OF_TIME], Retryable, Step::Wait, "timeout"),
            (&[code::KEY_NOT_READY, code::KEY_STATE_SETTLING], Retryable, Step::DescribeKey, "within minutes"),
            (&[code::UNDONE, code::CONTESTED], Contested, Step::Wait, "who calls StopStreamEncryption"),
            (&[code::ALLOWANCE_SPENT], Contested, START, "after the time that the message names"),
            (&[code::FOREIGN_ACCOUNT, code::FOREIGN_REGION], Terminal, Step::CheckTarget, "own account and Region"),
            (&[code::UNKNOWN_PAYLOAD], Terminal, Step::ReadEvent, "docs/EVENTS.md"),
            (&[code::EXEMPTION_MALFORMED], Terminal, Step::ListTags, "exemption tag"),
            (&[code::POLICY_UNDECIDED], Terminal, Step::ApplyPolicy, "put a rule for it before"),
            (
                &[code::POLICY_INVALID, "ParameterNotFound", "ParameterVersionNotFound"],
                Terminal,
                Step::ReadPolicy,
                "enforcer policy check",
            ),
            (&[code::CHANNEL_NEEDS_CUSTOMER_KEY], Terminal, START, "the channel's role kms:Decrypt"),
            (&[code::PRESENT_KEY_UNREADABLE], Terminal, Step::DescribeKey, "ON_OTHER_KEY=replace"),
            (&["SomethingNewException", ""], Retryable, START, "API reference"),
        ]
    };

    #[test]
    fn every_code_has_its_class_and_its_remedy() {
        for &(codes, class, step, says) in TABLE {
            for code in codes {
                let failure = Failure::new(step, code, &"orders", "");
                assert_eq!((failure.class, failure.kind().class()), (class, class), "{code}");
                assert!(failure.remedy.contains(says), "{code} at {step:?}: {}", failure.remedy);
            }
        }
    }

    #[test]
    fn a_signature_with_a_wrong_time_is_told_from_a_wrong_signature_by_its_text() {
        let failure = |code, detail| Failure::new(Step::ListTags, code, &"orders", detail);
        for code in ["InvalidSignatureException", "SignatureDoesNotMatch"] {
            for detail in [
                "Signature expired: 20261123T235000Z is now earlier than 20261123T235500Z",
                "Signature not yet current: …",
            ] {
                let failure = failure(code, detail);
                assert_eq!((failure.kind(), failure.class), (Kind::Clock, Class::Retryable), "{code}: {detail}");
                assert!(failure.remedy.contains("clock"), "{}", failure.remedy);
            }
            let failure =
                failure(code, "The request signature we calculated does not match the signature you provided.");
            assert_eq!((failure.kind(), failure.class), (Kind::Credentials, Class::Retryable));
            assert!(!failure.remedy.contains("clock"), "{}", failure.remedy);
        }
        // Other codes mean what they mean, whatever the text says.
        assert_eq!(failure("AccessDeniedException", "Signature expired").kind(), Kind::Denied);
        assert_eq!(failure("ExpiredToken", "The security token is expired").kind(), Kind::Credentials);
    }

    #[test]
    fn whoever_may_not_do_a_step_is_told_what_to_allow() {
        for (step, action) in [
            (Step::DescribeStream, "kinesis:DescribeStreamSummary"),
            (Step::DescribeKey, "kms:DescribeKey"),
            (Step::ListTags, "kinesis:ListTagsForStream"),
            (Step::GetResources, "tag:GetResources"),
            (Step::ListStreams, "kinesis:ListStreams"),
            (Step::StartStreamEncryption, "kinesis:StartStreamEncryption"),
            (Step::ReadPolicy, "ssm:GetParameter"),
            (Step::GetPolicy, "kms:GetKeyPolicy"),
            (Step::LookupEvents, "cloudtrail:LookupEvents"),
            (Step::SendDeadLetter, "sqs:SendMessage"),
            (Step::SendWorkItem, "WORK_QUEUE_URL"),
            (Step::ChangeVisibility, "sqs:ChangeMessageVisibility"),
            (Step::ReadQueue, "sqs:GetQueueAttributes"),
            (Step::Probe, "kinesis:PutRecord"),
            (Step::PutEvents, "events:PutEvents"),
            (Step::HandleDeadLetters, "sqs:ReceiveMessage"),
            (Step::ReadFunction, "lambda:GetFunctionConfiguration"),
            (Step::ListRegions, "ec2:DescribeRegions"),
            (Step::ImportFindings, "securityhub:BatchImportFindings"),
            (Step::FindUsers, "docs/ACCESS.md"),
            (Step::SimulatePolicy, "iam:SimulatePrincipalPolicy"),
            (Step::Wait, "the message names"),
        ] {
            let failure = Failure::new(step, "AccessDeniedException", &"orders", "");
            assert!(failure.remedy.contains(action), "{step:?}: {}", failure.remedy);
        }
    }

    #[test]
    fn the_message_names_the_step_the_subject_and_the_code_and_the_detail_where_there_is_one() {
        let failure = Failure::new(Step::ListTags, "AccessDenied", &"orders", "");
        assert_eq!(failure.message, "ListTagsForStream of orders: AccessDenied");
        let failure =
            Failure::new(Step::ListTags, "AccessDenied", &"orders", "explicit deny").remedied("ask".to_owned());
        assert_eq!(failure.to_string(), "ListTagsForStream of orders: AccessDenied: explicit deny (remedy: ask)");
        assert_eq!((failure.clone().classed(Class::Gone).class, failure.class), (Class::Gone, Class::Terminal));
    }
}
