//! What is done about a non-compliant stream, and which other keys are compliant. Pure.

use serde::Serialize;

/// `ENFORCEMENT_MODE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Non-compliant streams are encrypted with the configured key.
    Enforce,
    /// Non-compliant streams are only reported; no stream is changed.
    Audit,
}

/// `ON_OTHER_KEY`: what to do about a stream that is encrypted with another customer managed key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnOtherKey {
    /// Re-encrypt it with the configured key.
    Replace,
    /// Accept any enabled customer managed key. The AWS managed key is still replaced.
    Accept,
}
