//! What went wrong, as a value: which step, which code, whether trying again helps, and what a person can do about it.
//!
//! One table holds every error code this program knows. A code decides the class, never the HTTP status or the message: Kinesis, for one,
//! words an exhausted 24-hour allowance exactly like throttling ("Rate exceeded for stream …").
//!
//! Sources: the *Errors* sections of `StartStreamEncryption`, `DescribeStreamSummary`, `ListStreams`, `ListTagsForStream` (Kinesis API Reference),
//! `DescribeKey` (KMS API Reference), `SendMessage` (SQS API Reference), and *Common Error Types*.

use std::fmt;

use serde::Serialize;

/// What was being done when it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Understanding the payload.
    ReadEvent,
    /// Checking that the target is ours to touch.
    CheckTarget,
    /// `sts:AssumeRole` of the role in a member account.
    AssumeRole,
    /// `kinesis:DescribeStreamSummary`.
    DescribeStream,
    /// `kms:DescribeKey`, or judging what it said.
    DescribeKey,
    /// `kinesis:ListTagsForStream`, or reading the exemption in the tags.
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
    /// Waiting for ACTIVE, before or after the start.
    Wait,
    /// `sqs:SendMessage` to the dead-letter queue.
    SendDeadLetter,
    /// `sqs:SendMessage` to the work queue.
    SendWorkItem,
    /// `sqs:ChangeMessageVisibility` on the work queue.
    ChangeVisibility,
    /// `kinesis:PutRecord`, where a person asked for it.
    Probe,
    /// `events:PutEvents`.
    PutEvents,
    /// Receiving, moving or deleting dead letters, from the terminal.
    HandleDeadLetters,
}

impl Step {
    /// The step's name in answers, letters and logs.
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
            Self::Probe => "probe",
            Self::PutEvents => "put-events",
            Self::HandleDeadLetters => "handle-dead-letters",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Trying again later may well help.
    Retryable,
    /// Nothing changes until a person changes something: straight to the dead-letter queue.
    Terminal,
    /// There is no such stream.
    Gone,
    /// Somebody undoes what we do: stop touching the stream.
    Contested,
}

impl Class {
    /// The class's name in answers, letters and logs.
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

/// Codes of our own, for what no AWS error code says.
pub mod code {
    /// The payload was not understood.
    pub const UNKNOWN_PAYLOAD: &str = "UnknownPayload";
    /// A person asked for a stream that does not exist.
    pub const STREAM_NOT_FOUND: &str = "StreamNotFound";
    /// The target belongs to another account.
    pub const FOREIGN_ACCOUNT: &str = "ForeignAccount";
    /// The role in a member account may not be taken on.
    pub const MEMBER_ROLE_REFUSED: &str = "MemberRoleRefused";
    /// The target lies in another Region.
    pub const FOREIGN_REGION: &str = "ForeignRegion";
    /// The stream did not become ACTIVE in time.
    pub const STILL_UPDATING: &str = "StillUpdating";
    /// A start was accepted, but the stream never showed it.
    pub const ACCEPTED_NOT_VISIBLE: &str = "AcceptedNotVisible";
    /// Whether a start arrived could not be found out.
    pub const START_UNCONFIRMED: &str = "StartUnconfirmed";
    /// The stream came back from our change with something else.
    pub const UNDONE: &str = "Undone";
    /// Others keep undoing what we do.
    pub const CONTESTED: &str = "Contested";
    /// A key was applied to the stream as often as AWS allows in 24 hours.
    pub const ALLOWANCE_SPENT: &str = "AllowanceSpent";
    /// The time was up before anything was done.
    pub const OUT_OF_TIME: &str = "OutOfTime";
    /// An event and KMS tell different things about a key, soon after the event.
    pub const KEY_STATE_SETTLING: &str = "KeyStateSettling";
    /// The key is disabled.
    pub const KEY_DISABLED: &str = "KeyDisabled";
    /// The key is to be deleted.
    pub const KEY_PENDING_DELETION: &str = "KeyPendingDeletion";
    /// The key's imported material is missing.
    pub const KEY_PENDING_IMPORT: &str = "KeyPendingImport";
    /// The key's custom key store is not reachable.
    pub const KEY_UNAVAILABLE: &str = "KeyUnavailable";
    /// The key is being created or updated.
    pub const KEY_NOT_READY: &str = "KeyNotReady";
    /// The key is not a symmetric encryption key.
    pub const KEY_UNSUITABLE: &str = "KeyUnsuitable";
    /// The key lies in another Region.
    pub const KEY_IN_OTHER_REGION: &str = "KeyInOtherRegion";
    /// The present key cannot be looked at, so whether it is acceptable is unknown.
    pub const PRESENT_KEY_UNREADABLE: &str = "PresentKeyUnreadable";
    /// The policy cannot be understood.
    pub const POLICY_INVALID: &str = "PolicyInvalid";
    /// Which rule decides depends on something that is not known.
    pub const POLICY_UNDECIDED: &str = "PolicyUndecided";
    /// The exemption tag cannot be understood.
    pub const EXEMPTION_MALFORMED: &str = "ExemptionMalformed";
    /// The answer of AWS did not arrive in time.
    pub const TIMEOUT: &str = "Timeout";
    /// The connection failed, or broke before the answer.
    pub const NETWORK_ERROR: &str = "NetworkError";
    /// What arrived was no answer of AWS.
    pub const UNREADABLE_ANSWER: &str = "UnreadableAnswer";
    /// The request could not even be built: no credentials, no Region.
    pub const REQUEST_NOT_BUILT: &str = "RequestNotBuilt";
    /// No dead-letter queue is configured.
    pub const NO_FAILURE_QUEUE: &str = "NoFailureQueue";
}

/// What an error code means. The one table of all codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Too many calls; for `StartStreamEncryption` perhaps the allowance of 25 in 24 hours.
    Throttled,
    /// The stream is not ACTIVE.
    InUse,
    /// There is no such stream.
    StreamNotFound,
    /// IAM says no.
    Denied,
    /// The key policy, or IAM for KMS, says no.
    KeyDenied,
    /// The key is disabled.
    KeyDisabled,
    /// The key's state, usage or kind makes it unusable.
    KeyInvalid,
    /// There is no such key or alias.
    KeyNotFound,
    /// The account has not signed up for the service.
    OptIn,
    /// AWS does not accept the request.
    Invalid,
    /// AWS does not accept the credentials.
    Credentials,
    /// There is no such queue.
    QueueNotFound,
    /// AWS or the network failed: nobody knows whether the call took effect.
    Unavailable,
    /// The stream has not settled.
    Unsettled,
    /// A key's state has not settled.
    KeyUnsettled,
    /// Somebody undid it.
    Undone,
    /// The allowance of 25 applications in 24 hours is spent.
    Spent,
    /// Not ours to touch.
    Foreign,
    /// A member account does not let us in.
    NotAdmitted,
    /// Not understood.
    NotUnderstood,
    /// The exemption cannot be read.
    Exemption,
    /// The policy cannot be read, or does not decide.
    Policy,
    /// The present key cannot be judged.
    PresentKey,
    /// There is no queue to write to.
    NoQueue,
    /// A code that this version does not know.
    Unknown,
}

impl Kind {
    /// What `code` means.
    #[must_use]
    pub fn of(code: &str) -> Self {
        match code {
            "LimitExceededException"
            | "KMSThrottlingException"
            | "ThrottlingException"
            | "Throttling"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
            | "SlowDown"
            | "ProvisionedThroughputExceededException" => Self::Throttled,
            "ResourceInUseException" => Self::InUse,
            "ResourceNotFoundException" | code::STREAM_NOT_FOUND => Self::StreamNotFound,
            "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => Self::Denied,
            "KMSAccessDeniedException" | "KmsAccessDenied" => Self::KeyDenied,
            "KMSDisabledException" | "DisabledException" | "KmsDisabled" | code::KEY_DISABLED => Self::KeyDisabled,
            "KMSInvalidStateException"
            | "KMSInvalidState"
            | "KmsInvalidState"
            | "KmsInvalidKeyUsage"
            | code::KEY_PENDING_DELETION
            | code::KEY_PENDING_IMPORT
            | code::KEY_UNAVAILABLE
            | code::KEY_UNSUITABLE
            | code::KEY_IN_OTHER_REGION => Self::KeyInvalid,
            "KMSNotFoundException" | "NotFoundException" | "KmsNotFound" => Self::KeyNotFound,
            "KMSOptInRequired" | "KmsOptInRequired" | "OptInRequired" | "SubscriptionRequiredException" => Self::OptIn,
            "InvalidArgumentException"
            | "ValidationException"
            | "ValidationError"
            | "InvalidArnException"
            | "InvalidParameterValue"
            | "InvalidParameterCombination"
            | "MissingParameter"
            | "InvalidAction"
            | "UnknownOperationException"
            | "SerializationException"
            | "InvalidMessageContents"
            | "UnsupportedOperation"
            | "InvalidAddress"
            | "MalformedQueryString" => Self::Invalid,
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "ExpiredTokenException"
            | "ExpiredToken"
            | "RequestExpired"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "InvalidSecurity"
            | code::REQUEST_NOT_BUILT => Self::Credentials,
            "QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue" => Self::QueueNotFound,
            "InternalFailure"
            | "InternalFailureException"
            | "InternalError"
            | "InternalServerError"
            | "InternalServiceError"
            | "InternalServerException"
            | "InternalServiceException"
            | "ServiceUnavailable"
            | "ServiceUnavailableException"
            | "KMSInternalException"
            | "DependencyTimeoutException"
            | "RequestTimeout"
            | "RequestTimeoutException"
            | code::TIMEOUT
            | code::NETWORK_ERROR
            | code::UNREADABLE_ANSWER
            | code::START_UNCONFIRMED => Self::Unavailable,
            code::STILL_UPDATING | code::ACCEPTED_NOT_VISIBLE | code::OUT_OF_TIME => Self::Unsettled,
            code::KEY_NOT_READY | code::KEY_STATE_SETTLING => Self::KeyUnsettled,
            code::UNDONE | code::CONTESTED => Self::Undone,
            code::ALLOWANCE_SPENT => Self::Spent,
            code::FOREIGN_ACCOUNT | code::FOREIGN_REGION => Self::Foreign,
            code::MEMBER_ROLE_REFUSED | "RegionDisabledException" => Self::NotAdmitted,
            code::UNKNOWN_PAYLOAD => Self::NotUnderstood,
            code::EXEMPTION_MALFORMED => Self::Exemption,
            code::POLICY_INVALID | code::POLICY_UNDECIDED | "ParameterNotFound" | "ParameterVersionNotFound" => Self::Policy,
            code::PRESENT_KEY_UNREADABLE => Self::PresentKey,
            code::NO_FAILURE_QUEUE => Self::NoQueue,
            _ => Self::Unknown,
        }
    }

    /// What follows from it.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            // A code that nobody knows may pass by itself; if it does not, Lambda's retries end in the dead-letter queue all the same.
            Self::Throttled | Self::InUse | Self::Unavailable | Self::Unsettled | Self::KeyUnsettled | Self::NoQueue | Self::Unknown => {
                Class::Retryable
            }
            Self::StreamNotFound => Class::Gone,
            Self::Undone | Self::Spent => Class::Contested,
            Self::Denied
            | Self::KeyDenied
            | Self::KeyDisabled
            | Self::KeyInvalid
            | Self::KeyNotFound
            | Self::OptIn
            | Self::Invalid
            | Self::Credentials
            | Self::QueueNotFound
            | Self::Foreign
            | Self::NotAdmitted
            | Self::NotUnderstood
            | Self::Exemption
            | Self::Policy
            | Self::PresentKey => Class::Terminal,
        }
    }

    /// What a person can do about it, given the `step` at which it happened.
    #[must_use]
    pub fn remedy(self, step: Step) -> String {
        let text = match (self, step) {
            (Self::Throttled, Step::StartStreamEncryption) => {
                "nothing, if it passes: it is tried again. If it does not, the stream has used up the 25 applications of a key that AWS allows in 24 hours: find out \
                 who keeps changing its encryption, and feed the letter back when the 24 hours are over"
            }
            (Self::Throttled, _) => {
                "nothing, if it passes: it is tried again. If it does not, find out who uses up the account's limit for this call"
            }
            (Self::InUse, _) => {
                "nothing, if it passes: it is tried again. If it does not, find out what keeps the stream CREATING or UPDATING"
            }
            (Self::StreamNotFound, _) => "check the stream's name, the account and the Region; a deleted stream needs nothing",
            (Self::Denied, Step::DescribeKey) => {
                "allow the function's role kms:DescribeKey on the key: in its IAM policy (template parameter KmsKeyArns) and, for a key of another account, in the key policy too"
            }
            (Self::Denied, Step::SendDeadLetter) => "allow the function's role sqs:SendMessage on the queue in FAILURE_QUEUE_URL",
            (Self::Denied, Step::StartStreamEncryption) => {
                "allow the function's role kinesis:StartStreamEncryption on the stream and on the key (template parameter KmsKeyArns), and look for a service control policy that denies it"
            }
            (Self::Denied, step) => {
                return format!("allow the function's role {}, and look for a service control policy that denies it", action(step));
            }
            (Self::KeyDenied, Step::SendDeadLetter) => {
                "allow the function's role the key of the queue, or encrypt the queue with SSE-SQS instead"
            }
            (Self::KeyDenied, _) => {
                "allow the function's role the key in the key policy: kms:DescribeKey, and kms:GenerateDataKey with the condition kms:ViaService = kinesis.<region>.amazonaws.com"
            }
            (Self::KeyDisabled, _) => "enable the key (kms:EnableKey) or configure another one, then feed the letter back",
            (Self::KeyInvalid, _) => {
                "configure a key that is Enabled, symmetric (SYMMETRIC_DEFAULT), for ENCRYPT_DECRYPT and of the stream's Region, or bring this one into that state; then feed the letter back"
            }
            (Self::KeyNotFound, _) => {
                "check KMS_KEY_ID: the key or alias does not exist in this account and Region; a key of another account must be given by its ARN"
            }
            (Self::OptIn, _) => "subscribe the account to the service that the message names",
            (Self::Invalid, Step::StartStreamEncryption) => {
                "check that KMS_KEY_ID is a symmetric encryption key that Kinesis accepts, then feed the letter back"
            }
            (Self::Invalid, _) => "this is a bug or an API change: report it with the message",
            (Self::Credentials, _) => "check the credentials, the account and the Region that the function runs with",
            (Self::QueueNotFound | Self::NoQueue, _) => "set FAILURE_QUEUE_URL to the URL of an existing SQS queue of this Region",
            (Self::Unavailable, _) => {
                "nothing, if it passes: it is tried again. If it does not, check the function's network (VPC endpoints, security groups) and the AWS Health Dashboard"
            }
            (Self::Unsettled, _) => {
                "nothing, if it passes: it is tried again. If it does not, describe the stream, and raise the function's timeout if it was only slow"
            }
            (Self::KeyUnsettled, _) => "nothing, if it passes: KMS shows a change of a key within minutes, and it is tried again",
            (Self::Undone, _) => {
                "find out in CloudTrail who calls StopStreamEncryption or StartStreamEncryption on the stream, and settle with them which key it is to have"
            }
            (Self::Spent, _) => {
                "find out in CloudTrail who keeps changing the stream's encryption, and feed the letter back after the time that the message names"
            }
            (Self::Foreign, _) => {
                "deploy the function in the stream's own account and Region, or name the account in MEMBER_ACCOUNTS and give it the role of deploy/member-role.yaml"
            }
            (Self::NotAdmitted, _) => {
                "deploy deploy/member-role.yaml in the member account, with the role name, the ExternalId and the function's role of this stack (made anew, a role is another one: update the member's stack then); look for a service control policy that denies sts:AssumeRole, and see that the Region is enabled there"
            }
            (Self::NotUnderstood, _) => {
                "check what sends this to the function; accepted are the events in docs/EVENTS.md and {\"stream\": …}, {\"streams\": […]} or {\"sweep\": true}"
            }
            (Self::Exemption, _) => "correct or remove the exemption tag, then feed the letter back; until then the stream is not touched",
            (Self::Policy, Step::ApplyPolicy) => {
                "make the rule's conditions ones that can be known of this stream, or put a rule for it before; until then it is not touched"
            }
            (Self::Policy, _) => "correct the policy (enforcer policy check says what is wrong); until then no stream is touched",
            (Self::PresentKey, _) => "allow the function's role kms:DescribeKey on the stream's present key, or set ON_OTHER_KEY=replace",
            (Self::Unknown, _) => {
                "nothing, if it passes: it is tried again. If it does not, look the code up in the API reference of the service"
            }
        };
        text.to_owned()
    }
}

fn action(step: Step) -> &'static str {
    match step {
        Step::DescribeStream => "kinesis:DescribeStreamSummary on the stream",
        Step::ListTags => "kinesis:ListTagsForStream on the stream",
        Step::GetResources => "tag:GetResources",
        Step::ListStreams => "kinesis:ListStreams",
        Step::StartStreamEncryption => "kinesis:StartStreamEncryption on the stream and the key",
        Step::DescribeKey => "kms:DescribeKey on the key",
        Step::SendDeadLetter => "sqs:SendMessage on the queue",
        Step::SendWorkItem => "sqs:SendMessage on the queue in WORK_QUEUE_URL",
        Step::HandleDeadLetters => {
            "sqs:ReceiveMessage, sqs:ChangeMessageVisibility and sqs:DeleteMessage on the dead-letter queue, sqs:SendMessage on the work queue"
        }
        Step::Probe => "kinesis:PutRecord on the stream, and kms:GenerateDataKey on the key",
        Step::AssumeRole => "sts:AssumeRole on the member's role",
        Step::PutEvents => "events:PutEvents on the bus in OUTCOME_EVENT_BUS",
        Step::ChangeVisibility => "sqs:ChangeMessageVisibility on the queue in WORK_QUEUE_URL",
        Step::GetPolicy => "kms:GetKeyPolicy on the key, kinesis:GetResourcePolicy on the stream",
        Step::LookupEvents => "cloudtrail:LookupEvents",
        Step::ReadPolicy => "ssm:GetParameter on the parameter in POLICY_PARAMETER",
        Step::ReadEvent | Step::CheckTarget | Step::ApplyPolicy | Step::Wait => "the call that the message names",
    }
}

/// A failure, diagnosed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// What was being done.
    pub step: Step,
    /// The AWS error code, or one of [`code`].
    pub code: String,
    /// What follows from it.
    pub class: Class,
    /// What happened: names the step, the subject and the code.
    pub message: String,
    /// What a person can do about it.
    pub remedy: String,
}

impl Failure {
    /// The failure `code` at `step` on `subject`, with `detail` in AWS's words or ours.
    #[must_use]
    pub fn new(step: Step, code: &str, subject: &dyn fmt::Display, detail: &str) -> Self {
        let kind = Kind::of(code);
        let message =
            if detail.is_empty() { format!("{step} of {subject}: {code}") } else { format!("{step} of {subject}: {code}: {detail}") };
        Self { step, code: code.to_owned(), class: kind.class(), message, remedy: kind.remedy(step) }
    }

    /// The same failure with another class: some codes weigh differently in their place.
    #[must_use]
    pub fn classed(self, class: Class) -> Self {
        Self { class, ..self }
    }

    /// The same failure with another remedy: more is known than the code says.
    #[must_use]
    pub fn remedied(self, remedy: String) -> Self {
        Self { remedy, ..self }
    }

    /// What the code means.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::of(&self.code)
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

    const STEPS: [Step; 19] = [
        Step::ReadEvent,
        Step::CheckTarget,
        Step::DescribeStream,
        Step::DescribeKey,
        Step::ListTags,
        Step::GetResources,
        Step::ListStreams,
        Step::StartStreamEncryption,
        Step::ReadPolicy,
        Step::ApplyPolicy,
        Step::GetPolicy,
        Step::LookupEvents,
        Step::Wait,
        Step::SendDeadLetter,
        Step::SendWorkItem,
        Step::ChangeVisibility,
        Step::Probe,
        Step::PutEvents,
        Step::HandleDeadLetters,
    ];

    #[test]
    fn a_step_and_a_class_have_one_name_wherever_they_are_shown() {
        for step in STEPS {
            assert_eq!(serde_json::to_value(step).expect("JSON"), step.as_str());
            assert_eq!(step.to_string(), step.as_str());
        }
        for class in [Class::Retryable, Class::Terminal, Class::Gone, Class::Contested] {
            assert_eq!(serde_json::to_value(class).expect("JSON"), class.as_str());
            assert_eq!(class.to_string(), class.as_str());
        }
    }

    /// What each code means, what follows from it at every step, and words of its remedy at one.
    #[test]
    fn every_code_has_its_class_and_its_remedy() {
        use Class::{Contested, Gone, Retryable, Terminal};
        let start = Step::StartStreamEncryption;
        for (codes, class, step, says) in [
            (&["LimitExceededException", "KMSThrottlingException", "ThrottlingException"][..], Retryable, start, "25 applications"),
            (&["ThrottlingException", "RequestThrottled", "SlowDown"], Retryable, Step::DescribeStream, "the account's limit"),
            (&["ResourceInUseException"], Retryable, start, "CREATING or UPDATING"),
            (&["ResourceNotFoundException", code::STREAM_NOT_FOUND], Gone, Step::DescribeStream, "name, the account and the Region"),
            (&["AccessDeniedException", "AccessDenied", "NotAuthorized"], Terminal, Step::DescribeKey, "for a key of another account"),
            (&["AccessDeniedException"], Terminal, Step::SendDeadLetter, "FAILURE_QUEUE_URL"),
            (&["AccessDeniedException"], Terminal, start, "KmsKeyArns"),
            (&["KMSAccessDeniedException", "KmsAccessDenied"], Terminal, start, "kms:ViaService"),
            (&["KmsAccessDenied"], Terminal, Step::SendDeadLetter, "SSE-SQS"),
            (&["KMSDisabledException", "DisabledException", "KmsDisabled", code::KEY_DISABLED], Terminal, start, "kms:EnableKey"),
            (&["KMSInvalidStateException", "KmsInvalidKeyUsage", code::KEY_PENDING_DELETION], Terminal, start, "SYMMETRIC_DEFAULT"),
            (
                &[code::KEY_PENDING_IMPORT, code::KEY_UNAVAILABLE, code::KEY_UNSUITABLE, code::KEY_IN_OTHER_REGION],
                Terminal,
                start,
                "Enabled",
            ),
            (&["KMSNotFoundException", "NotFoundException", "KmsNotFound"], Terminal, start, "KMS_KEY_ID"),
            (&["KMSOptInRequired", "KmsOptInRequired", "SubscriptionRequiredException"], Terminal, start, "subscribe"),
            (&["InvalidArgumentException", "ValidationException"], Terminal, start, "symmetric encryption key that Kinesis accepts"),
            (&["InvalidArgumentException", "SerializationException"], Terminal, Step::DescribeStream, "bug"),
            (&["UnrecognizedClientException", "ExpiredTokenException", code::REQUEST_NOT_BUILT], Terminal, start, "credentials"),
            (&["QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"], Terminal, Step::SendDeadLetter, "existing SQS queue"),
            (&[code::NO_FAILURE_QUEUE], Retryable, Step::SendDeadLetter, "existing SQS queue"),
            (&["InternalFailure", "ServiceUnavailable", code::TIMEOUT, code::NETWORK_ERROR], Retryable, start, "Health Dashboard"),
            (&[code::UNREADABLE_ANSWER, code::START_UNCONFIRMED], Retryable, start, "VPC endpoints"),
            (&[code::STILL_UPDATING, code::ACCEPTED_NOT_VISIBLE, code::OUT_OF_TIME], Retryable, Step::Wait, "timeout"),
            (&[code::KEY_NOT_READY, code::KEY_STATE_SETTLING], Retryable, Step::DescribeKey, "within minutes"),
            (&[code::UNDONE, code::CONTESTED], Contested, Step::Wait, "who calls StopStreamEncryption"),
            (&[code::ALLOWANCE_SPENT], Contested, start, "after the time that the message names"),
            (&[code::FOREIGN_ACCOUNT, code::FOREIGN_REGION], Terminal, Step::CheckTarget, "own account and Region"),
            (&[code::UNKNOWN_PAYLOAD], Terminal, Step::ReadEvent, "docs/EVENTS.md"),
            (&[code::EXEMPTION_MALFORMED], Terminal, Step::ListTags, "exemption tag"),
            (&[code::POLICY_UNDECIDED], Terminal, Step::ApplyPolicy, "put a rule for it before"),
            (&[code::POLICY_INVALID, "ParameterNotFound", "ParameterVersionNotFound"], Terminal, Step::ReadPolicy, "enforcer policy check"),
            (&[code::PRESENT_KEY_UNREADABLE], Terminal, Step::DescribeKey, "ON_OTHER_KEY=replace"),
            (&["SomethingNewException", ""], Retryable, start, "API reference"),
        ] {
            for code in codes {
                let failure = Failure::new(step, code, &"orders", "");
                assert_eq!((failure.class, failure.kind().class()), (class, class), "{code}");
                assert!(failure.remedy.contains(says), "{code} at {step}: {}", failure.remedy);
            }
        }
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
            (Step::Probe, "kinesis:PutRecord"),
            (Step::PutEvents, "events:PutEvents"),
            (Step::HandleDeadLetters, "sqs:ReceiveMessage"),
            (Step::Wait, "the message names"),
        ] {
            let failure = Failure::new(step, "AccessDeniedException", &"orders", "");
            assert!(failure.remedy.contains(action), "{step}: {}", failure.remedy);
        }
    }

    #[test]
    fn the_message_names_the_step_the_subject_and_the_code_and_the_detail_where_there_is_one() {
        let failure = Failure::new(Step::ListTags, "AccessDenied", &"orders", "");
        assert_eq!(failure.message, "list-tags of orders: AccessDenied");
        let failure = Failure::new(Step::ListTags, "AccessDenied", &"orders", "explicit deny").remedied("ask".to_owned());
        assert_eq!(failure.to_string(), "list-tags of orders: AccessDenied: explicit deny (remedy: ask)");
        assert_eq!((failure.clone().classed(Class::Gone).class, failure.class), (Class::Gone, Class::Terminal));
    }
}
