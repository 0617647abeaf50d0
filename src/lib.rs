//! Keeps every Kinesis data stream of an account and Region encrypted with the configured KMS key.
//!
//! An event only says *where to look*. What to do is decided from a fresh look at the stream and the key, so duplicates, replays and
//! disorder are harmless. `ARCHITECTURE.md` has the map and the invariants.

pub mod arn;
pub mod clock;
pub mod decide;
pub mod event;
pub mod failure;
pub mod key;
pub mod outcome;
pub mod policy;
pub mod settings;
pub mod stream;

#[cfg(feature = "cli")]
pub mod sandbox;
