//! The terminal program: the same code as the Lambda function, for people.

use std::process::ExitCode;

use kinesis_encryption_enforcer::cli;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    cli::main().await
}
