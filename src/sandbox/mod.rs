//! The sandbox: a model of one AWS account in one Region, for demonstrations and tests.
//!
//! It implements the operations of Kinesis Data Streams, KMS and SQS that the program, its tests and
//! people who try them use, and a few of Parameter Store, resource tagging, STS, EventBridge,
//! CloudTrail and Security Hub: [`supported`] lists them. The model follows the AWS documentation and
//! recordings of real calls.
//!
//! An [`Account`] holds streams, keys, aliases and queues, and a clock. There are two ways to reach
//! it: [`serve`] serves it on a socket, for people and for tests of whole processes, and
//! [`Account::http_client`] is an HTTP client for the AWS SDK, for tests in tokio's paused time.
//! Both call the same function over the same model, so a [`Fault`] or a [`ScriptedAction`] works
//! with either.
//!
//! Kinesis calls KMS with its callers' permissions. [`Account::principal`] creates a role or a user
//! with its policies, and [`Account::identity`] gives it an access key: without permission to use the
//! key of a stream, its reads and writes are denied. Other callers may do everything.
//!
//! Each quirk of AWS in the model names its source. Where AWS's behaviour is not documented,
//! [`Options`] has a switch.
//!
//! The modules import each other in one direction only: values that need nothing else (`identity`,
//! `permissions`, `options`, `fault`, `input`), what others do (`script`), the account's state and rules
//! (`model`), CloudTrail, `key_use` and the services, `endpoint`, `router` with `users`, and on top
//! `client`, [`Account`] and [`serve`].
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
//!     .credentials_provider(aws_sdk_kinesis::config::Credentials::new(
//!         "AKIAIOSFODNN7EXAMPLE",
//!         "secret",
//!         None,
//!         None,
//!         "example",
//!     ))
//!     .time_source(clock)
//!     .http_client(account.http_client())
//!     .build();
//! let kinesis = aws_sdk_kinesis::Client::from_conf(kinesis);
//! let start = kinesis.start_stream_encryption().stream_name("orders").key_id(key);
//! start.encryption_type("KMS".into()).send().await.unwrap();
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
mod key_use;
mod kinesis;
mod kms;
mod model;
mod options;
mod permissions;
mod records;
mod router;
mod script;
mod securityhub;
mod serve;
mod service_error;
mod sqs;
mod ssm;
mod stream_input;
mod sts;
mod tagging;
mod users;

pub use self::account::{Account, NewStream, QueuedMessage, Snapshot};
pub use self::call::Call;
pub use self::fault::Fault;
pub use self::identity::Identity;
pub use self::key_state::KeyState;
pub use self::model::UsedBy;
pub use self::options::{AliasEcho, Options, QuotaScope};
pub use self::permissions::Policies;
pub use self::router::supported;
pub use self::script::ScriptedAction;
pub use self::serve::serve;
