//! Keeps every Kinesis data stream of an account and Region encrypted with the configured KMS key.
//!
//! An event only says *where to look*. What to do is decided from a fresh look at the stream and the key, so duplicates, replays and
//! disorder are harmless. `ARCHITECTURE.md` has the map and the invariants.

pub mod arn;
pub mod aws;
pub mod clock;
pub mod contest;
pub mod deadline;
pub mod decide;
pub mod event;
pub mod exemptions;
pub mod failure;
pub mod fan_out;
pub mod handler;
pub mod history_book;
pub mod key;
pub mod key_book;
pub mod key_signal;
pub mod members;
pub mod mode;
pub mod outcome;
pub mod policy;
pub mod quiet;
pub mod reconcile;
pub mod report;
pub mod safety;
pub mod settings;
pub mod stream;
pub mod sweep;
pub mod telemetry;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod sandbox;
