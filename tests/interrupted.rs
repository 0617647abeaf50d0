//! `enforcer apply`, interrupted by Ctrl-C, on a sandbox that is served on loopback.

#![cfg(unix)]
#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::sandbox::{Account, Fault, NewStream};

use self::served::served;

#[expect(dead_code, reason = "this test starts the program in its own way")]
mod served;

/// `enforcer apply --yes`, at work after it has printed its plan.
struct Apply {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Apply {
    fn started(account: &Account, key: &str, variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_enforcer"))
            .args(["apply", "--yes"])
            .args(arguments)
            .env_clear()
            .envs(served(account))
            .env("KMS_KEY_ID", key)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        // The last line of the plan: the only key.
        while !line.contains(":key/") {
            line.clear();
            assert_ne!(output.read_line(&mut line).expect("it prints"), 0, "no plan was printed");
        }
        Self { child, output }
    }

    fn interrupt(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
    }

    /// Its exit code, what it printed after the plan, and how long that took.
    fn ended(mut self) -> (Option<i32>, String, Duration) {
        let clock = Clock::system();
        let since = clock.instant();
        let mut printed = String::new();
        self.output.read_to_string(&mut printed).expect("it ends");
        (self.child.wait().expect("it ends").code(), printed, clock.instant() - since)
    }
}

/// Waits until the account has been asked `count` times for `operation`.
fn until_called(account: &Account, operation: &str, count: usize) {
    for _ in 0..3_000 {
        if account.count(operation) >= count {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    unreachable!("{operation} was not called {count} times");
}

fn account(streams: &[NewStream]) -> (Account, String) {
    let account = Account::new(Clock::system(), "us-east-1", "111122223333");
    let key = account.create_key();
    for stream in streams {
        account.stream(stream.clone());
    }
    (account, key)
}

#[test]
fn no_stream_is_started_after_an_interrupt_and_grace_periods_end_at_once() {
    let now = Clock::system().utc();
    let (account, key) = account(&["clicks", "orders"].map(|name| NewStream::named(name).created_at(now)));
    let apply = Apply::started(&account, &key, &[("IAC_GRACE_SECONDS", "8")], &[]);
    // Two looks for the plan, and two for the apply, which waits for the end of the grace period.
    until_called(&account, "DescribeStreamSummary", 4);
    std::thread::sleep(Duration::from_millis(200));
    apply.interrupt();
    let (code, printed, took) = apply.ended();
    assert_eq!((code, account.count("StartStreamEncryption")), (Some(130), 0), "{printed}");
    assert!(printed.contains("2 not started") && printed.contains("encrypted 0 of 2 streams"), "{printed}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_stream_that_was_started_before_an_interrupt_is_waited_for_and_the_others_are_not_started() {
    let (account, key) = account(&["clicks", "orders"].map(NewStream::named));
    account.configure(|options| options.updating = Duration::from_secs(3));
    let apply = Apply::started(&account, &key, &[], &["--concurrency", "1"]);
    until_called(&account, "StartStreamEncryption", 1);
    apply.interrupt();
    let (code, printed, _) = apply.ended();
    assert_eq!((code, account.count("StartStreamEncryption")), (Some(130), 1), "{printed}");
    assert!(
        printed.contains("✔ encrypted clicks") && printed.contains("1 not started") && !printed.contains("failed"),
        "{printed}"
    );
}

#[test]
fn after_a_second_interrupt_a_started_stream_is_reported_as_started() {
    let (account, key) = account(&[NewStream::named("orders")]);
    account.configure(|options| options.updating = Duration::from_secs(20));
    let apply = Apply::started(&account, &key, &[], &["--probe"]);
    until_called(&account, "StartStreamEncryption", 1);
    apply.interrupt();
    std::thread::sleep(Duration::from_millis(500));
    apply.interrupt();
    let (code, printed, took) = apply.ended();
    assert_eq!((code, account.count("PutRecord")), (Some(130), 0), "{printed}");
    assert!(printed.contains("StartStreamEncryption was sent") && !printed.contains("not started"), "{printed}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_start_that_aws_refused_is_not_sent_again_after_an_interrupt() {
    let (account, key) = account(&[NewStream::named("orders")]);
    account.fault(Fault::on("StartStreamEncryption").error("ResourceInUseException", "busy"));
    let apply = Apply::started(&account, &key, &[], &[]);
    until_called(&account, "StartStreamEncryption", 1);
    apply.interrupt();
    let (code, printed, _) = apply.ended();
    let sent = account.count("StartStreamEncryption");
    assert!(code == Some(130) && sent <= 2 && printed.contains("1 not started"), "{code:?} {sent} {printed}");
}

#[test]
fn no_record_is_written_after_an_interrupt() {
    let (account, key) = account(&[NewStream::named("orders")]);
    account.configure(|options| options.updating = Duration::from_millis(50));
    let mut apply = Apply::started(&account, &key, &[], &["--probe"]);
    let mut told = BufReader::new(apply.child.stderr.take().expect("its messages")).lines();
    assert!(told.any(|line| line.expect("it prints").contains("before the probe")));
    apply.interrupt();
    let (code, printed, _) = apply.ended();
    assert_eq!((code, account.count("PutRecord")), (Some(130), 0), "{printed}");
    assert!(printed.contains("✔ encrypted orders"), "{printed}");
}

#[test]
fn a_terminal_that_clears_nothing_gets_lines_as_a_log_does() {
    let (account, key) = account(&[NewStream::named("orders")]);
    account.configure(|options| options.updating = Duration::from_secs(3));
    let output = Command::new("script")
        .args(["-qec", &format!("'{}' apply --yes", env!("CARGO_BIN_EXE_enforcer")), "/dev/null"])
        .env_clear()
        .envs(served(&account))
        .envs([("KMS_KEY_ID", key.as_str()), ("TERM", "dumb"), ("PATH", "/usr/bin:/bin")])
        .stdin(Stdio::null())
        .output()
        .expect("script, of util-linux");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("waiting: "), "{printed}");
}
