//! The embedded AWS, seen through the real SDK clients. Every test of a quirk names where the quirk
//! is documented or recorded.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

mod encryption;
mod faults;
mod keys;
mod queues;
mod roles;
mod socket;
mod streams;
mod trail;
