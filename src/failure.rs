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
    /// `kinesis:DescribeStreamSummary`.
    DescribeStream,
    /// `kms:DescribeKey`, or judging what it said.
    DescribeKey,
    /// `kinesis:ListTagsForStream`, or reading the exemption in the tags.
    ListTags,
    /// `kinesis:ListStreams`.
    ListStreams,
    /// `kinesis:StartStreamEncryption`.
    StartStreamEncryption,
    /// Waiting for ACTIVE, before or after the start.
    Wait,
    /// `sqs:SendMessage` to the dead-letter queue.
    SendDeadLetter,
}

impl Step {
    /// The step's name in answers, letters and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadEvent => "read-event",
            Self::CheckTarget => "check-target",
            Self::DescribeStream => "describe-stream",
            Self::DescribeKey => "describe-key",
            Self::ListTags => "list-tags",
            Self::ListStreams => "list-streams",
            Self::StartStreamEncryption => "start-stream-encryption",
            Self::Wait => "wait",
            Self::SendDeadLetter => "send-dead-letter",
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
