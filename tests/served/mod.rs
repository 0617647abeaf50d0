//! The sandbox on a loopback port, and the terminal program pointed at it as a person would.

use std::process::{Command, Output};

use kinesis_encryption_enforcer::sandbox::{Account, serve};

/// Serves the account for as long as the test runs: the variables that lead the SDKs there.
pub(crate) fn served(account: &Account) -> Vec<(&'static str, String)> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let account = account.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            sender.send(listener.local_addr().expect("an address")).expect("the test waits");
            drop(serve(account, listener, std::future::pending()).await);
        });
    });
    let address = receiver.recv().expect("the server starts");
    vec![
        ("AWS_ENDPOINT_URL", format!("http://{address}")),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ("NO_COLOR", "1".to_owned()),
    ]
}

/// Whether a line says what is waited for; it may have colours.
fn is_wait(line: &str) -> bool {
    line.trim_start_matches("\u{1b}[2m").starts_with("waiting: ")
}

/// `enforcer` with these arguments and variables alone: how it ended, and what it printed.
pub(crate) fn enforcer(arguments: &[&str], variables: &[(&'static str, String)]) -> (Option<i32>, String) {
    let variables = variables.iter().map(|(name, value)| (*name, value.as_str()));
    let command = Command::new(env!("CARGO_BIN_EXE_enforcer")).args(arguments).env_clear().envs(variables).output();
    let Output { status, stdout, stderr } = command.expect("the program runs");
    // A slow machine makes the program say what it waits for.
    let stderr = String::from_utf8(stderr).expect("UTF-8");
    let stderr: String = stderr.split_inclusive('\n').filter(|line| !is_wait(line)).collect();
    (status.code(), String::from_utf8(stdout).expect("UTF-8") + &stderr)
}
