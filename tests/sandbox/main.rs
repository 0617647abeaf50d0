//! The embedded AWS, seen through the real SDK clients. Every test of a quirk names where the quirk is documented or recorded.

mod support;

mod encryption;
mod faults;
mod keys;
mod queues;
mod socket;
mod streams;
mod trail;
