//! The sandbox, called through the generated SDK clients. A test of a quirk names the page or the
//! recording that shows it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

mod cloudtrail;
mod encryption;
mod faults;
mod keys;
mod parameters;
mod permissions;
mod queues;
mod records;
mod roles;
mod socket;
mod streams;
