//! An embedded AWS account on a loopback port, and how to reach it.

use anyhow::{Context, Result};
use aws_types::SdkConfig;
use tokio::net::TcpListener;

use crate::aws::config;
use crate::clock::Clock;
use crate::sandbox::{Account, Identity, serve};
use crate::settings::Environment;

/// The role that the function has in the embedded AWS.
pub(super) const ROLE: &str = "kinesis-encryption-enforcer";
/// The access key of the function.
pub(super) const ENFORCER: &str = "ASIAENFORCEREXAMPLE1";
/// The access key of a person.
pub(super) const PERSON: &str = "AKIAIOSFODNN7EXAMPLE";
/// The alias that the key has.
pub(super) const ALIAS: &str = "alias/streams";

/// An account that is being served.
pub(super) struct Local {
    pub(super) account: Account,
    pub(super) clock: Clock,
    pub(super) url: String,
    region: String,
}

impl Local {
    /// Serves a new account on a free port, for as long as the program runs.
    pub(super) async fn start(region: &str, account_id: &str) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no port on 127.0.0.1 can be had")?;
        let clock = Clock::system();
        let account = Account::new(clock.clone(), region, account_id);
        account.identity(ENFORCER, Identity::role(ROLE, ROLE));
        account.identity(PERSON, Identity::user("alice"));
        let url = format!("http://{}", listener.local_addr()?);
        tokio::spawn(serve(account.clone(), listener, std::future::pending()));
        Ok(Self { account, clock, url, region: region.to_owned() })
    }

    /// The configuration of an SDK client that has `access_key`.
    pub(super) fn config(&self, access_key: &str) -> Result<SdkConfig> {
        let environment = Environment::default()
            .with("AWS_REGION", &self.region)
            .with("AWS_ACCESS_KEY_ID", access_key)
            .with("AWS_SECRET_ACCESS_KEY", "not-a-secret")
            .with("AWS_ENDPOINT_URL", &self.url);
        Ok(config::from_environment(&environment, &self.clock)?)
    }

    /// The settings that the function has here, on top of `environment`.
    pub(super) fn environment(&self, environment: Environment, queue_url: &str) -> Environment {
        let role = format!(
            "arn:{}:iam::{}:role/{ROLE}",
            crate::domain::arn::partition_of(&self.region),
            self.account.account_id()
        );
        // A person who tries something does not want to wait a minute, unless that is what is
        // tried.
        let grace = environment.get("IAC_GRACE_SECONDS").unwrap_or("0").to_owned();
        environment.with("OWN_ROLE_ARN", &role).with("FAILURE_QUEUE_URL", queue_url).with("IAC_GRACE_SECONDS", &grace)
    }
}
