//! Keeps every Kinesis data stream of an account and Region encrypted with the configured KMS key.
//!
//! An event only says *where to look*. What to do is decided from a fresh look at the stream and
//! the key, so duplicates, replays and disorder are harmless. `ARCHITECTURE.md` has the map and the
//! invariants.

pub mod aws;
pub mod clock;
pub mod deadline;
pub mod decide;
pub mod domain;
pub mod event;
pub mod handler;
pub mod policy;
pub mod reconcile;
pub mod report;
pub mod settings;
pub mod sweep;
pub mod telemetry;

#[cfg(feature = "cli")]
pub mod access;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod sandbox;
