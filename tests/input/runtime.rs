//! What the real `bootstrap` makes of payloads that Lambda hands to it as bytes: those that do not
//! fit into JSON as this program holds it, too.

use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::sandbox::{Account, NewStream, serve};
use serde_json::{Value, json};
use tokio::time::{Duration, timeout};

use crate::lambda::Lambda;

const DEAD: &str = "dead-letters";

async fn function(account: &Account) -> Lambda {
    let key = account.create_key();
    let dead = account.queue(DEAD);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(serve(account.clone(), listener, std::future::pending()));
    Lambda::start(&[
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "ASIAENFORCEREXAMPLE1".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ("AWS_ENDPOINT_URL", url),
        ("KMS_KEY_ID", key),
        ("FAILURE_QUEUE_URL", dead),
        ("IAC_GRACE_SECONDS", "0".to_owned()),
    ])
    .await
}

async fn invoked(function: &mut Lambda, payload: &str) -> Result<Value, Value> {
    timeout(Duration::from_secs(30), function.invoke_text(payload.to_owned())).await.expect("the process lives")
}

#[tokio::test]
async fn whatever_lambda_delivers_is_lettered_and_the_process_works_the_next_event() {
    let account = Account::new(Clock::system(), "us-east-1", "111122223333");
    account.configure(|options| options.updating = Duration::ZERO);
    let mut function = function(&account).await;

    // Lambda takes each of these for JSON; as values they are too deep, not Unicode, or too large.
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_event = format!("{{\"stream\": \"orders\", \"x\": {}1{}}}", "{\"x\":".repeat(10_000), "}".repeat(10_000));
    let kept = [deep.as_str(), &deep_event, r#"{"stream": "\ud800"}"#, r#"{"stream": 1e400}"#, "[-1e999999999]"];
    for payload in kept {
        let shown = &payload[..payload.len().min(60)];
        let answer = invoked(&mut function, payload).await.unwrap_or_else(|error| unreachable!("{shown}: {error:#}"));
        assert_eq!(answer["outcomes"][0]["error"]["code"], "UnknownPayload", "{shown}: {answer:#}");
    }
    let letters = account.messages(DEAD);
    assert_eq!(letters.len(), kept.len());
    for payload in kept {
        let holds = |body: &str| serde_json::from_str::<Value>(body).expect("JSON")["event"] == payload;
        assert!(letters.iter().any(|letter| holds(&letter.body)), "the letter carries the text as it came");
    }

    // Lambda lets no such payload through. The runtime fails the invocation, and the process lives.
    for payload in ["", "{", "not JSON", "{} {}", "\u{fffe}", "{\"a\": \"\u{1}\"}"] {
        let error = invoked(&mut function, payload).await.err();
        let what = error.as_ref().and_then(|error| error["errorMessage"].as_str()).unwrap_or_default();
        assert!(payload == "{} {}" || what.contains("failed to deserialize"), "{payload:?}: {error:?}");
    }

    account.stream(NewStream::named("orders"));
    let answer = function.invoke(&json!({"stream": "orders"})).await.expect("an answer");
    assert_eq!(answer["outcomes"][0]["status"], "encrypted", "{answer:#}");
}
