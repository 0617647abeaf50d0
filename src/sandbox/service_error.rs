//! Errors of the services.

use std::fmt;

/// An error that a service returns. `status` is the HTTP status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceError {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) status: u16,
}

impl ServiceError {
    /// An error with HTTP status 400, which most errors of these services have.
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), status: 400 }
    }

    /// The [ValidationException] of Kinesis, KMS and SQS for a parameter that violates a
    /// constraint. Most operations do not list it, but they return it (recorded on 2026-09-19).
    ///
    /// [ValidationException]: https://docs.aws.amazon.com/kinesis/latest/APIReference/CommonErrors.html
    pub(crate) fn validation(value: &str, member: &str, constraint: &str) -> Self {
        Self::new(
            "ValidationException",
            format!(
                "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
            ),
        )
    }

    pub(crate) fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new("InvalidArgumentException", message)
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}
