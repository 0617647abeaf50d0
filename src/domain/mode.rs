//! What is done about a stream that is wrong, and what counts as wrong. Pure.

use serde::Serialize;

/// `ENFORCEMENT_MODE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Streams are brought right.
    Enforce,
    /// Streams are judged; nothing is written to Kinesis.
    Audit,
}

/// `ON_OTHER_KEY`: what to make of a stream that is encrypted with another customer managed key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnOtherKey {
    /// The configured key is *the* key.
    Replace,
    /// Any other enabled customer managed key is fine; the AWS managed key is still replaced.
    Accept,
}
