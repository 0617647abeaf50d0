//! Everything that can come in: generated payloads, policies and tags through the real handler, and
//! named cases of what somebody might send.
//!
//! `PROPTEST_CASES` says how many cases each property tries.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test that cannot be set up has failed; one tells Lambda's time"
)]

mod json;
#[path = "../killed/lambda.rs"]
mod lambda;
mod particular;
mod payloads;
mod policies;
mod runtime;
#[expect(dead_code, reason = "the scenarios use all of it")]
#[path = "../scenarios/support.rs"]
mod support;

use proptest::test_runner::Config;

/// `cases` by default; `PROPTEST_CASES` goes before it.
fn cases(cases: u32) -> Config {
    let standard = Config::default();
    let asked_for = standard.cases != 256;
    // A case that failed for once becomes a named test; nothing is written beside the sources.
    Config { cases: if asked_for { standard.cases } else { cases }, failure_persistence: None, ..standard }
}
