//! `enforcer sandbox`: an embedded AWS account for other programs to talk to.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;

use super::local::ALIAS;
use super::paint::{BOLD, DIM, say};
use crate::clock::Clock;
use crate::sandbox::{Account, NewStream, serve};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 4566)]
    port: u16,
    /// The Region of the account.
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// The account's id: 12 digits.
    #[arg(long, default_value = "111122223333", value_parser = account_id)]
    account: String,
    /// Nothing is in it: no key, no stream, no queue.
    #[arg(long)]
    empty: bool,
    /// How long a new stream is CREATING, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    creating: Duration,
    /// How long a changed stream is UPDATING, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    updating: Duration,
}

fn account_id(text: &str) -> Result<String, String> {
    if crate::domain::arn::is_account(text) { Ok(text.to_owned()) } else { Err("an account has 12 digits".to_owned()) }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "a number of seconds, such as 0.5".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

pub(super) async fn run(Arguments { port, region, account, empty, creating, updating }: &Arguments) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", *port))
        .await
        .with_context(|| format!("port {port} of 127.0.0.1 cannot be had"))?;
    let url = format!("http://{}", listener.local_addr()?);
    let embedded = Account::new(Clock::system(), region, account);
    embedded.configure(|options| (options.creating, options.updating) = (*creating, *updating));
    let account =
        format!("{BOLD}An embedded AWS account{BOLD:#} {account} in {region} at {BOLD}{url}{BOLD:#} until Ctrl-C.");
    let export = format!(
        "  export AWS_ENDPOINT_URL={url} AWS_REGION={region} AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE AWS_SECRET_ACCESS_KEY=any"
    );
    let elsewhere = format!("{DIM}In another terminal:{DIM:#}");
    if *empty {
        for line in [format!("{account} Nothing is in it."), elsewhere, export] {
            say(&line);
        }
    } else {
        let key = embedded.create_key();
        embedded.alias(ALIAS, &key);
        let queue = embedded.queue("enforcer-dead-letters");
        let stream = embedded.stream(NewStream::named("orders"));
        say(&format!("{account} In it:"));
        for (what, name) in [
            ("key", format!("{key} ({ALIAS})")),
            ("stream", format!("{stream}, not encrypted")),
            ("queue", queue.clone()),
        ] {
            say(&format!("  {what:<7} {name}"));
        }
        let request = format!(
            "  echo '{{\"stream\": \"orders\"}}' | KMS_KEY_ID={ALIAS} FAILURE_QUEUE_URL={queue} enforcer event -"
        );
        for line in [elsewhere, export, request] {
            say(&line);
        }
    }
    let interrupted = async {
        // Without a handler for Ctrl-C the system ends the program, which is what it is for.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    serve(embedded, listener, interrupted).await.context("serving stopped")
}
