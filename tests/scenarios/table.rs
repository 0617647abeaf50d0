//! Every class of error, where the payload is a person's, and where the key has been applied
//! already. Expectations are those of the design's table of failures.

use kinesis_encryption_enforcer::sandbox::{Fault, NewStream};
use serde_json::{Value, json};

use crate::support::{World, event, manual};

const START: &str = "StartStreamEncryption";

/// The errors of the API, and the class that the design gives them.
const CODES: [(&str, &str); 15] = [
    ("LimitExceededException", "retryable"),
    ("KMSThrottlingException", "retryable"),
    ("ThrottlingException", "retryable"),
    ("ResourceInUseException", "retryable"),
    ("InternalFailure", "retryable"),
    ("AccessDeniedException", "terminal"),
    ("KMSAccessDeniedException", "terminal"),
    ("KMSDisabledException", "terminal"),
    ("KMSInvalidStateException", "terminal"),
    ("KMSNotFoundException", "terminal"),
    ("KMSOptInRequired", "terminal"),
    ("InvalidArgumentException", "terminal"),
    ("ValidationException", "terminal"),
    ("UnrecognizedClientException", "retryable"),
    ("ResourceNotFoundException", "gone"),
];

fn unencrypted() -> World {
    let world = World::new();
    world.stream(NewStream::named("orders"));
    world
}

fn remedied(error: &Value) -> bool {
    error["remedy"].as_str().is_some_and(|remedy| remedy.len() > 20)
}

#[tokio::test(start_paused = true)]
async fn a_person_is_always_answered_with_the_class_a_remedy_and_one_letter() {
    for (code, class) in CODES {
        let world = unencrypted();
        world.account.fault(Fault::on(START).error(code, "as AWS words it"));
        let outcome = world.outcome(&manual("orders")).await;
        let error = &outcome["error"];
        // A stream that a person asks for, and that is not there, is that person's mistake.
        let class = if class == "gone" { "terminal" } else { class };
        assert_eq!((&outcome["status"], &error["class"]), (&json!("failed"), &json!(class)), "{code}: {outcome:#}");
        assert!(remedied(error), "{code}: {error:#}");
        assert_eq!((world.letters().len(), &world.letters()[0]["error"]), (1, error), "{code}");
        assert_eq!(world.account.accepted(START, "orders"), 0, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_after_the_start_hides_neither_the_error_nor_the_start() {
    for (code, class) in CODES {
        // What DescribeStreamSummary cannot say.
        if code.starts_with("KMS") || code == "ResourceInUseException" {
            continue;
        }
        let world = unencrypted();
        world.account.fault(Fault::on("DescribeStreamSummary").nth(2..).error(code, "as AWS words it"));
        let (outcome, retried) = match world.run(&event("encryption-stopped")).await {
            Ok(answer) => (answer["outcomes"][0].clone(), false),
            Err(error) => {
                (serde_json::from_str::<Value>(&error.message).expect("the answer")["outcomes"][0].clone(), true)
            }
        };
        assert_eq!(
            (retried, world.letters().len()),
            (class == "retryable", usize::from(class == "terminal")),
            "{code}: {outcome:#}"
        );
        assert_eq!((&outcome["applied"], world.starts()), (&json!(true), 1), "{code}: {outcome:#}");
        if class == "gone" {
            assert_eq!(outcome["status"], "gone");
        } else {
            assert_eq!(
                (&outcome["error"]["code"], &outcome["error"]["class"]),
                (&json!(code), &json!(class)),
                "{outcome:#}"
            );
            assert!(remedied(&outcome["error"]), "{code}: {outcome:#}");
        }
    }
}
