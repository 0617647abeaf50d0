//! The one table of all error codes: our own codes, and the meaning and the class of every code,
//! ours or AWS's.
//!
//! The code alone decides the class, never the HTTP status or the message: Kinesis, for one,
//! returns the same error for a used-up 24-hour quota as for throttling ("Rate exceeded for stream
//! …"). The message decides only whether a rejected signature has a [wrong time](Kind::Clock).
//!
//! AWS's codes are those in the *Errors* sections of the operations: [StartStreamEncryption],
//! [DescribeStreamSummary], [ListStreams], [ListTagsForStream], [DescribeKey], [SendMessage],
//! [AssumeRole], [GetParameter], and the [common errors][common].
//!
//! [StartStreamEncryption]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html
//! [DescribeStreamSummary]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStreamSummary.html
//! [ListStreams]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListStreams.html
//! [ListTagsForStream]: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListTagsForStream.html
//! [DescribeKey]: https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html
//! [SendMessage]: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
//! [AssumeRole]: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
//! [GetParameter]: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
//! [common]: https://docs.aws.amazon.com/kinesis/latest/APIReference/CommonErrors.html

use super::Class;

/// The payload is not an event or request that the function knows.
pub const UNKNOWN_PAYLOAD: &str = "UnknownPayload";
/// A manual request names a stream that does not exist.
pub const STREAM_NOT_FOUND: &str = "StreamNotFound";
/// The stream is in an account that the function does not manage.
pub const FOREIGN_ACCOUNT: &str = "ForeignAccount";
/// The role in a member account cannot be assumed.
pub const MEMBER_ROLE_REFUSED: &str = "MemberRoleRefused";
/// The stream is in another Region.
pub const FOREIGN_REGION: &str = "ForeignRegion";
/// The stream did not become ACTIVE in time.
pub const STILL_UPDATING: &str = "StillUpdating";
/// AWS accepted `StartStreamEncryption`, but the stream did not change.
pub const ACCEPTED_NOT_VISIBLE: &str = "AcceptedNotVisible";
/// Whether AWS received `StartStreamEncryption` is unknown.
pub const START_UNCONFIRMED: &str = "StartUnconfirmed";
/// After the function applied the key, the stream became ACTIVE with another encryption.
pub const UNDONE: &str = "Undone";
/// Another principal keeps changing the stream's encryption.
pub const CONTESTED: &str = "Contested";
/// The quota of key applications in 24 hours is used up for the stream.
pub const ALLOWANCE_SPENT: &str = "AllowanceSpent";
/// The time was up before the work was done.
pub const OUT_OF_TIME: &str = "OutOfTime";
/// Soon after an event about a key, `DescribeKey` does not yet show what the event reports.
pub const KEY_STATE_SETTLING: &str = "KeyStateSettling";
/// The key is disabled.
pub const KEY_DISABLED: &str = "KeyDisabled";
/// The key is scheduled for deletion.
pub const KEY_PENDING_DELETION: &str = "KeyPendingDeletion";
/// The key's imported material is missing.
pub const KEY_PENDING_IMPORT: &str = "KeyPendingImport";
/// The key's custom key store is disconnected.
pub const KEY_UNAVAILABLE: &str = "KeyUnavailable";
/// The key is being created or updated.
pub const KEY_NOT_READY: &str = "KeyNotReady";
/// Kinesis cannot use a key of this kind.
pub const KEY_UNSUITABLE: &str = "KeyUnsuitable";
/// The key is in another Region.
pub const KEY_IN_OTHER_REGION: &str = "KeyInOtherRegion";
/// The present key cannot be described: whether it is acceptable is unknown.
pub const PRESENT_KEY_UNREADABLE: &str = "PresentKeyUnreadable";
/// A delivery channel reads the stream, and cannot read it with the AWS managed key.
pub const CHANNEL_NEEDS_CUSTOMER_KEY: &str = "ChannelNeedsCustomerKey";
/// The policy is malformed or cannot be read.
pub const POLICY_INVALID: &str = "PolicyInvalid";
/// A rule depends on something that is not known about the stream.
pub const POLICY_UNDECIDED: &str = "PolicyUndecided";
/// The exemption tag is malformed.
pub const EXEMPTION_MALFORMED: &str = "ExemptionMalformed";
/// AWS did not answer in time.
pub const TIMEOUT: &str = "Timeout";
/// The connection failed, or broke before the answer.
pub const NETWORK_ERROR: &str = "NetworkError";
/// The answer is not one that the API reference describes.
pub const UNREADABLE_ANSWER: &str = "UnreadableAnswer";
/// The request could not be sent: credentials or Region are missing.
pub const REQUEST_NOT_BUILT: &str = "RequestNotBuilt";
/// No dead-letter queue is configured.
pub const NO_FAILURE_QUEUE: &str = "NoFailureQueue";

/// What AWS says of a signature whose time is wrong.
const WRONG_TIME: [&str; 2] = ["Signature expired", "Signature not yet current"];

/// What an error code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Too many calls; for `StartStreamEncryption` perhaps a used-up quota of 25 in 24 hours.
    Throttled,
    /// The stream is not ACTIVE.
    InUse,
    /// The stream does not exist.
    StreamNotFound,
    /// IAM denies the call.
    Denied,
    /// The key policy, or IAM for KMS, denies the use of the key.
    KeyDenied,
    /// The key is disabled.
    KeyDisabled,
    /// The key's state, usage or kind makes it unusable.
    KeyInvalid,
    /// The key or the alias does not exist.
    KeyNotFound,
    /// The account is not subscribed to the service.
    OptIn,
    /// AWS rejects the request as invalid.
    Invalid,
    /// AWS rejects the credentials or the signature.
    Credentials,
    /// AWS rejects the time of the signature.
    Clock,
    /// The queue does not exist.
    QueueNotFound,
    /// AWS or the network failed: whether the call took effect is unknown.
    Unavailable,
    /// The stream is still changing.
    Unsettled,
    /// The key is still changing.
    KeyUnsettled,
    /// Another principal changed the encryption again.
    Undone,
    /// The quota of 25 applications in 24 hours is used up.
    Spent,
    /// The stream is in an account or Region that the function does not manage.
    Foreign,
    /// The role in the member account cannot be assumed.
    NotAdmitted,
    /// The payload cannot be parsed.
    NotUnderstood,
    /// The exemption tag cannot be parsed.
    Exemption,
    /// The policy cannot be read, or decides nothing for the stream.
    Policy,
    /// The present key cannot be assessed.
    PresentKey,
    /// The stream's delivery channels cannot work with the configured key.
    Channel,
    /// No dead-letter queue is configured.
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
            "AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "UnauthorizedOperation" => Self::Denied,
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
            "RequestExpired" | "RequestTimeTooSkewed" | "RequestInTheFuture" => Self::Clock,
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "ExpiredTokenException"
            | "ExpiredToken"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "InvalidSecurity"
            | "AuthFailure"
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
            CHANNEL_NEEDS_CUSTOMER_KEY => Self::Channel,
            NO_FAILURE_QUEUE => Self::NoQueue,
            _ => Self::Unknown,
        }
    }

    /// What `code` means where AWS, or a message about it, says `detail`.
    ///
    /// A signature that is [more than five minutes off][skew] is rejected with the code of a wrong
    /// signature; only the text shows which it is.
    ///
    /// [skew]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
    #[must_use]
    pub fn explained(code: &str, detail: &str) -> Self {
        match Self::of(code) {
            Self::Credentials if WRONG_TIME.iter().any(|text| detail.contains(text)) => Self::Clock,
            kind => kind,
        }
    }

    /// How such a failure is handled.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            // A failure of an unknown code may pass; if it does not, Lambda's retries end in the
            // dead-letter queue. So may a refusal of credentials: a session ends early, a new role
            // is not known everywhere at once, a clock is corrected. While the function's own
            // credentials are refused, a dead letter could not be sent anyway.
            Self::Throttled
            | Self::InUse
            | Self::Unavailable
            | Self::Credentials
            | Self::Clock
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
            | Self::QueueNotFound
            | Self::Foreign
            | Self::NotAdmitted
            | Self::NotUnderstood
            | Self::Exemption
            | Self::Policy
            | Self::PresentKey
            | Self::Channel => Class::Terminal,
        }
    }
}
