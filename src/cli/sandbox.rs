//! `enforcer sandbox`: serves a sandbox AWS account for other programs, such as the AWS CLI or a
//! test.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::net::TcpListener;

use super::input::{account_id, reason, region, seconds, whole_number};
use super::paint::{BOLD, DIM, print_line, unwritten};
use super::sandbox_account::{ALIAS, ALICE, DEAD_LETTER_QUEUE};
use crate::clock::Clock;
use crate::sandbox::{Account, NewStream, serve, supported};

/// The widest line of the list of supported calls.
const HELP_WIDTH: usize = 80;

#[derive(Debug, clap::Args)]
#[command(
    after_help = format!(
        "The sandbox is for the AWS CLI, the AWS SDKs and this program.\n\
It accepts any credentials, keeps everything in memory, and listens on 127.0.0.1 only.\n\
For SQS, version 1 of the AWS CLI also needs --endpoint-url, because it does not read AWS_ENDPOINT_URL.\n\n\
Supported calls:\n{}\n\
Examples:\n  \
enforcer sandbox\n  \
enforcer sandbox --empty --creating 0.5 --updating 0.5",
        supported_calls()
    )
)]
pub(super) struct Arguments {
    /// Listen on this port of 127.0.0.1; 0 chooses a free port.
    #[arg(long, default_value_t = 4566, value_parser = whole_number(0..=u16::MAX))]
    port: u16,
    /// The Region of the account.
    #[arg(long, default_value = "us-east-1", value_parser = region)]
    region: String,
    /// The account ID: 12 digits.
    #[arg(long, value_name = "ID", default_value = "111122223333", value_parser = account_id)]
    account: String,
    /// Start without a key, a stream and a queue.
    #[arg(long)]
    empty: bool,
    /// How long a new stream stays CREATING, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    creating: Duration,
    /// How long a stream stays UPDATING after a change of its encryption, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    updating: Duration,
    /// How long after a call CloudTrail's event history shows it, in seconds; AWS takes up to 15
    /// minutes.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    history: Duration,
}

pub(super) async fn run(
    Arguments { port, region, account: account_id, empty, creating, updating, history }: &Arguments,
) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", *port))
        .await
        .map_err(|error| anyhow!("cannot listen on 127.0.0.1:{port}: {}", reason(&error)))?;
    let url = format!("http://{}", listener.local_addr()?);
    let account = Account::new(Clock::system(), region, account_id);
    account.configure(|options| {
        (options.creating, options.updating, options.history_lag) = (*creating, *updating, *history);
    });
    print_line(&format!(
        "{BOLD}Sandbox account{BOLD:#} {account_id} in {region} is listening on {BOLD}{url}{BOLD:#}. \
         Stop it with Ctrl-C."
    ));
    // boto3 and version 1 of the AWS CLI read AWS_DEFAULT_REGION, the others AWS_REGION.
    let export = format!(
        "  export AWS_ENDPOINT_URL={url} AWS_REGION={region} AWS_DEFAULT_REGION={region} \
         AWS_ACCESS_KEY_ID={ALICE} AWS_SECRET_ACCESS_KEY=any"
    );
    let usage = format!("{DIM}To use it from another terminal:{DIM:#}");
    if *empty {
        for line in [usage, export] {
            print_line(&line);
        }
    } else {
        let key = account.create_key();
        account.alias(ALIAS, &key);
        let queue = account.queue(DEAD_LETTER_QUEUE);
        let stream = account.stream(NewStream::named("orders"));
        for (resource, name) in [
            ("key", format!("{key} ({ALIAS})")),
            ("stream", format!("{stream} (not encrypted)")),
            ("queue", queue.clone()),
        ] {
            print_line(&format!("  {resource:<7} {name}"));
        }
        let request = format!(
            "  echo '{{\"stream\": \"orders\"}}' | KMS_KEY_ID={ALIAS} FAILURE_QUEUE_URL={queue} enforcer event -"
        );
        for line in [usage, export, request] {
            print_line(&line);
        }
    }
    if unwritten().is_some() {
        // Nobody can know where it would listen.
        return Ok(());
    }
    let interrupted = async {
        // Without a handler for Ctrl-C, the system ends the program, which is what a person wants.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    serve(account, listener, interrupted).await.context("the sandbox stopped serving")
}

/// The calls that the sandbox supports, a paragraph per service.
fn supported_calls() -> String {
    let mut text = String::new();
    for (service, operations) in supported() {
        let mut line = format!("  {service:<10}");
        for (index, operation) in operations.iter().enumerate() {
            let comma = if index + 1 < operations.len() { "," } else { "" };
            if line.len() + 1 + operation.len() + comma.len() > HELP_WIDTH {
                text.push_str(&line);
                line = format!("\n{:<12}", "");
            }
            line.extend([" ", operation, comma]);
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}
