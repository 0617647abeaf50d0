//! The one table of all error codes: our own, and what each code, ours or AWS's, means and leads
//! to.
//!
//! A code decides the class, never the HTTP status or the message: Kinesis, for one, words an
//! exhausted 24-hour quota exactly like throttling ("Rate exceeded for stream …").

use super::Class;

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

/// What an error code means.
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
            "ResourceNotFoundException" | STREAM_NOT_FOUND => Self::StreamNotFound,
            "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => Self::Denied,
            "KMSAccessDeniedException" | "KmsAccessDenied" => Self::KeyDenied,
            "KMSDisabledException" | "DisabledException" | "KmsDisabled" | KEY_DISABLED => Self::KeyDisabled,
            "KMSInvalidStateException"
            | "KMSInvalidState"
            | "KmsInvalidState"
            | "KmsInvalidKeyUsage"
            | KEY_PENDING_DELETION
            | KEY_PENDING_IMPORT
            | KEY_UNAVAILABLE
            | KEY_UNSUITABLE
            | KEY_IN_OTHER_REGION => Self::KeyInvalid,
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
            | REQUEST_NOT_BUILT => Self::Credentials,
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
            | TIMEOUT
            | NETWORK_ERROR
            | UNREADABLE_ANSWER
            | START_UNCONFIRMED => Self::Unavailable,
            STILL_UPDATING | ACCEPTED_NOT_VISIBLE | OUT_OF_TIME => Self::Unsettled,
            KEY_NOT_READY | KEY_STATE_SETTLING => Self::KeyUnsettled,
            UNDONE | CONTESTED => Self::Undone,
            ALLOWANCE_SPENT => Self::Spent,
            FOREIGN_ACCOUNT | FOREIGN_REGION => Self::Foreign,
            MEMBER_ROLE_REFUSED | "RegionDisabledException" => Self::NotAdmitted,
            UNKNOWN_PAYLOAD => Self::NotUnderstood,
            EXEMPTION_MALFORMED => Self::Exemption,
            POLICY_INVALID | POLICY_UNDECIDED | "ParameterNotFound" | "ParameterVersionNotFound" => Self::Policy,
            PRESENT_KEY_UNREADABLE => Self::PresentKey,
            NO_FAILURE_QUEUE => Self::NoQueue,
            _ => Self::Unknown,
        }
    }

    /// What follows from it.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            // A code that nobody knows may pass by itself; if it does not, Lambda's retries end in
            // the dead-letter queue all the same.
            Self::Throttled
            | Self::InUse
            | Self::Unavailable
            | Self::Unsettled
            | Self::KeyUnsettled
            | Self::NoQueue
            | Self::Unknown => Class::Retryable,
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
}
