//! The embedded AWS: one account of Kinesis, KMS, SQS and, as far as needed, Parameter Store,
//! resource tagging, STS and CloudTrail's history, in one Region, modelled from AWS documentation
//! and recordings, for people and for tests.
//!
//! An [`Account`] holds streams, keys, aliases and queues, and a clock. It is *served on loopback*
//! ([`serve`]) for people and for whole-process tests, and *handed to the AWS SDK as its HTTP
//! client* ([`Account::http_client`]) for tests in tokio's paused time. Both are the same function
//! over the same model, so that a [`Fault`] or a [`ScriptedAction`] meets either.
//!
//! Every quirk of AWS that is modelled names its source; where nobody knows how AWS behaves there
//! is a switch in [`Options`].
//!
//! ```
//! # use kinesis_encryption_enforcer::clock::Clock;
//! # use kinesis_encryption_enforcer::sandbox::{Account, NewStream};
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! # runtime.block_on(async {
//! let clock = Clock::system();
//! let account = Account::new(clock.clone(), "us-east-1", "111122223333");
//! let key = account.create_key();
//! account.alias("alias/streams", &key);
//! account.stream(NewStream::named("orders").tag("team", "checkout"));
//! let kinesis = aws_sdk_kinesis::Config::builder()
//!     .behavior_version(aws_sdk_kinesis::config::BehaviorVersion::latest())
//!     .region(aws_sdk_kinesis::config::Region::new("us-east-1"))
//!     .credentials_provider(aws_sdk_kinesis::config::Credentials::new("AKIAIOSFODNN7EXAMPLE", "secret", None, None, "example"))
//!     .time_source(clock)
//!     .http_client(account.http_client())
//!     .build();
//! let kinesis = aws_sdk_kinesis::Client::from_conf(kinesis);
//! kinesis.start_stream_encryption().stream_name("orders").encryption_type("KMS".into()).key_id(key).send().await.unwrap();
//! assert_eq!(account.snapshot("orders").unwrap().status, "UPDATING");
//! # });
//! ```

mod account;
mod arn;
mod call;
mod client;
mod cloudtrail;
mod endpoint;
mod event_source;
mod events;
mod fault;
mod history;
mod identity;
mod input;
mod key_state;
mod kinesis;
mod kms;
mod model;
mod options;
mod router;
mod script;
mod serve;
mod service_error;
mod sqs;
mod ssm;
mod sts;
mod tagging;

pub use self::account::{Account, NewStream, QueuedMessage, Snapshot};
pub use self::call::Call;
pub use self::fault::Fault;
pub use self::identity::Identity;
pub use self::key_state::KeyState;
pub use self::options::{AliasEcho, Allowance, Options};
pub use self::script::ScriptedAction;
pub use self::serve::serve;
