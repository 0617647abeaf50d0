//! The terms of the domain: streams, keys, accounts, failures and outcomes. Pure: no SDK, no
//! runtime, no clock, no log.

pub mod arn;
pub mod cloudtrail;
pub mod delay;
pub mod denial;
pub mod encryption_change;
pub mod failure;
pub mod grace;
pub mod iac;
pub mod json;
pub mod key;
pub mod key_event;
pub mod member_accounts;
pub mod mode;
pub mod outcome;
pub mod stream;
pub mod text;
pub mod trigger_facts;
pub mod wait;

/// The resource policy of a key or a stream, `None` if it has none; or why it cannot be read.
pub type PolicyDocument = Result<Option<serde_json::Value>, String>;
