//! Answers cases of `enforcer access` that are read from standard input, one JSON object a line, so
//! that the answers can be compared with those of another evaluator of policies: `make access-peer`.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a case that cannot be read ends the comparison")]

use std::collections::BTreeSet;
use std::io::stdin;

use kinesis_encryption_enforcer::access::fix::{identity_statement, key_policy_statement, places};
use kinesis_encryption_enforcer::access::{
    Action, Identity, KeyAccess, Principal, Question, Simulation, Verdict, verdict,
};
use kinesis_encryption_enforcer::domain::key::KeyArn;
use kinesis_encryption_enforcer::domain::stream::StreamArn;
use serde::Deserialize;
use serde_json::{Value, json};

/// A call that Kinesis makes for a caller, and the policies that decide it.
#[derive(Deserialize)]
struct Case {
    principal: String,
    action: String,
    stream: String,
    key: String,
    policy: Value,
    /// What IAM's simulation answered, if it was asked.
    simulation: Option<Simulated>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Simulated {
    decision: String,
    missing: Vec<String>,
    allowed_by_organization: Option<bool>,
    allowed_by_boundary: Option<bool>,
}

fn main() {
    for line in stdin().lines() {
        let case: Case = serde_json::from_str(&line.expect("a line")).expect("a case");
        println!("{}", answer(case));
    }
}

/// The context that is sent with a simulation, the verdict, and the statements that are printed.
fn answer(Case { principal, action, stream, key, policy, simulation }: Case) -> Value {
    let principal = Principal::read(&principal).unwrap_or(Principal::Service(principal));
    let action = if action == Action::Decrypt.as_str() { Action::Decrypt } else { Action::GenerateDataKey };
    let stream: StreamArn = stream.parse().expect("the ARN of a stream");
    let key: KeyArn = key.parse().expect("the ARN of a key");
    let question = Question { principal: &principal, action, stream: &stream };
    let identity = match simulation {
        Some(Simulated { decision, missing, allowed_by_organization, allowed_by_boundary }) => {
            Simulation { decision, missing, allowed_by_organization, allowed_by_boundary }.identity(&question)
        }
        None => Identity::Unknown("IAM was not asked".to_owned()),
    };
    let access = KeyAccess::Customer { key: key.clone(), policy: Ok(policy), grants: Ok(Vec::new()) };
    let verdict = verdict(&question, &access, &identity);
    let (actions, streams) = (BTreeSet::from([action]), BTreeSet::from([stream.clone()]));
    let fix = match &verdict {
        Verdict::No(reason) => places(*reason, &principal, &key),
        _ => None,
    };
    let fix = fix.map(|places| {
        json!({
            "identity": places.identity.then(|| identity_statement(&actions, &key, &streams)),
            "keyPolicy": places.key_policy.then(|| key_policy_statement(&principal, &actions, &streams)).flatten(),
        })
    });
    json!({"context": question.full_context(), "verdict": verdict, "fix": fix})
}
