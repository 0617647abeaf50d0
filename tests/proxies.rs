//! The terminal program behind a proxy, as companies have it: the proxy is served on loopback. A
//! host that does not exist is reached only through it.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

#[path = "served/proxy.rs"]
mod proxy;
mod served;

use std::collections::BTreeSet;
use std::net::TcpListener;

use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::sandbox::{Account, NewStream};

use self::proxy::{Answer, Proxy};
use self::served::{enforcer, served};

const ALIAS: &str = "alias/streams";

fn account() -> (Account, Vec<(&'static str, String)>) {
    let account = Account::new(Clock::system(), "us-east-1", "111122223333");
    account.alias(ALIAS, &account.create_key());
    account.stream(NewStream::named("orders"));
    let variables = served(&account);
    (account, variables)
}

/// A person whose first call goes to STS: what a plan with these variables says.
fn assumes_role(more: &[(&'static str, String)]) -> String {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("config");
    let text = "[profile base]\naws_access_key_id = AKIABASE\naws_secret_access_key = secret\n\
        [profile prod]\nrole_arn = arn:aws:iam::111122223333:role/a\nsource_profile = base\nregion = us-east-1\n";
    std::fs::write(&file, text).expect("written");
    let mut variables = vec![("AWS_CONFIG_FILE", file.display().to_string()), ("NO_COLOR", "1".to_owned())];
    variables.extend_from_slice(more);
    let (code, told) = enforcer(&["plan", "--key", ALIAS, "--profile", "prod"], &variables);
    assert_eq!(code, Some(2), "{told}");
    told
}

#[test]
fn plain_http_goes_through_the_proxy_with_the_password_unless_the_host_is_excepted() {
    let (account, mut variables) = account();
    let at = variables.iter().position(|(name, _)| *name == "AWS_ENDPOINT_URL").expect("there");
    let (_, sandbox) = variables.remove(at);
    let proxy = Proxy::start(Answer::Relay(sandbox.trim_start_matches("http://").to_owned()));
    variables.extend([
        ("AWS_ENDPOINT_URL", "http://aws.example".to_owned()),
        ("http_proxy", format!("http://jo:p%40ss@{}", proxy.address)),
    ]);
    let (code, told) = enforcer(&["plan", "--key", ALIAS], &variables);
    assert_eq!(code, Some(3), "{told}");
    assert!(!account.calls().is_empty());
    let asked = proxy.asked();
    for (first, password) in &asked {
        // "jo:p@ss"
        assert_eq!(password, "Basic am86cEBzcw==");
        assert!(first.starts_with("POST http://aws.example/"), "{first}");
    }
    assert!(!asked.is_empty());

    // Loopback needs no exception.
    let direct =
        [&variables[..variables.len() - 2], &[("AWS_ENDPOINT_URL", sandbox), variables[variables.len() - 1].clone()]]
            .concat();
    assert_eq!(enforcer(&["plan", "--key", ALIAS], &direct).0, Some(3));
    assert_eq!(proxy.asked(), []);
    let excepted = [variables.as_slice(), &[("NO_PROXY", "localhost,.example".to_owned())]].concat();
    let (code, told) = enforcer(&["plan", "--key", ALIAS], &excepted);
    assert!(code == Some(2) && told.contains("cannot reach aws.example: its name cannot be resolved"), "{told}");
    assert_eq!(proxy.asked(), []);
}

#[test]
fn https_goes_through_a_tunnel_and_a_failure_names_the_host_and_the_proxy() {
    for (answer, because) in [
        (Answer::Status("403 Forbidden"), "the proxy refuses to connect to the host (status 403)"),
        (Answer::Status("407 No"), "the proxy refuses the user or the password (status 407)"),
        (Answer::Status("502 Bad Gateway"), "the proxy refuses to connect to the host (status 502)"),
        (Answer::Nowhere, ""),
    ] {
        let proxy = Proxy::start(answer);
        let told = assumes_role(&[("HTTPS_PROXY", format!("http://jo:secret@{}", proxy.address))]);
        let what = format!("cannot reach sts.us-east-1.amazonaws.com through the proxy http://{}: ", proxy.address);
        assert!(told.contains(&format!("{what}{because}")) && !told.contains("secret"), "{told}");
        let (first, password) = proxy.asked().remove(0);
        assert_eq!(first, "CONNECT sts.us-east-1.amazonaws.com:443 HTTP/1.1");
        assert_eq!(password, "Basic am86c2VjcmV0");
    }
    let proxy = Proxy::start(Answer::Status("407 No"));
    let told = assumes_role(&[("https_proxy", proxy.address.clone())]);
    assert!(told.contains("requires a user and a password (status 407)"), "{told}");
}

#[test]
fn a_proxy_that_is_not_there_is_told_and_a_variable_that_names_none() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let told = assumes_role(&[("HTTPS_PROXY", format!("http://{nobody}"))]);
    assert!(told.contains(&format!("through the proxy http://{nobody}: connection refused")), "{told}");
    for (url, what) in [
        ("https://jo:secret@proxy.example:3128", "HTTPS_PROXY names a proxy by https://, which is not supported"),
        ("http://jo:se/cret@proxy.example:3128", "HTTPS_PROXY is not the URL of a proxy"),
    ] {
        let told = assumes_role(&[("HTTPS_PROXY", url.to_owned())]);
        assert!(told.contains(what) && !told.contains("cret@"), "{told}");
    }
}

/// The variables of a person with access keys, whose calls all go to AWS through this proxy.
fn with_keys(proxy: &Proxy) -> Vec<(&'static str, String)> {
    [
        ("AWS_CONFIG_FILE", "/nowhere"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("NO_COLOR", "1"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into_iter()
    .chain([("HTTPS_PROXY", format!("http://jo:secret@{}", proxy.address))])
    .collect()
}

#[test]
fn what_a_proxy_refuses_is_asked_for_once_because_a_wrong_password_again_and_again_locks_the_account() {
    for (status, remedy) in [
        ("407 No", "Check the user and the password in HTTPS_PROXY."),
        ("403 Forbidden", "Allow "),
        ("404 Not Found", ".amazonaws.com in the proxy, or name it in NO_PROXY."),
    ] {
        let proxy = Proxy::start(Answer::Status(status));
        let arguments = ["plan", "orders", "--key", ALIAS];
        let (code, told) = enforcer(&arguments, &with_keys(&proxy));
        // It is in a table, whose lines are wrapped.
        let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(code != Some(0) && told.contains(remedy) && !told.contains("it is retried"), "{code:?} {told}");
        // A connection that is closed without a request asks for nothing.
        let asked: Vec<_> = proxy.asked().into_iter().filter(|(first, _)| !first.is_empty()).collect();
        let hosts: BTreeSet<_> = asked.iter().map(|(first, _)| first).collect();
        assert_eq!(hosts.len(), asked.len(), "{asked:?}");
        assert!(status != "407 No" || asked.len() == 1, "{asked:?}");
    }
}

#[test]
fn a_relay_that_refuses_the_password_is_asked_once() {
    let proxy = Proxy::start(Answer::Status("407 No"));
    let mut variables = with_keys(&proxy);
    variables.extend([
        ("AWS_ENDPOINT_URL", "http://aws.example".to_owned()),
        ("HTTP_PROXY", format!("http://jo:secret@{}", proxy.address)),
    ]);
    let (_, told) = enforcer(&["dlq", "list", "--queue", "dead"], &variables);
    assert!(told.contains("Check the user and the password in HTTP_PROXY.") && !told.contains("secret"), "{told}");
    assert_eq!(proxy.asked().len(), 1, "{told}");
}

#[test]
fn a_proxy_that_hangs_is_named_with_the_host() {
    for answer in [Answer::Silence, Answer::SilentTunnel] {
        let proxy = Proxy::start(answer);
        let told = assumes_role(&[("HTTPS_PROXY", format!("http://jo:secret@{}", proxy.address))]);
        assert!(
            told.contains("sts.us-east-1.amazonaws.com through the proxy http://") && told.contains(&proxy.address),
            "{told}"
        );
    }
}
