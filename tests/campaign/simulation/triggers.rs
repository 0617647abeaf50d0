//! Payloads: the event files of the repository told of the run's streams, requests of people, and
//! what nobody understands.

use serde_json::{Value, json};

use super::plan::{Given, Key, Trigger};
use super::world::{ACCOUNT, LETTERS, MEMBER, OF_MEMBER, REGION, World};

fn file(name: &str) -> String {
    let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("an event file")
}

/// The payload of `trigger`, as text: not each is JSON.
pub(crate) fn payload(world: &World, trigger: &Trigger) -> String {
    let [first, second] = trigger.streams.map(|index| world.plan.streams[index].name.clone());
    let arn = |name: &str| format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}");
    let payload = match trigger.what {
        "manual" => json!({"stream": first}),
        "manual by ARN" => json!({"stream": arn(&first)}),
        "manual streams" => json!({"streams": [first, arn(&second), arn(&first)]}),
        "manual sweep" => json!({"sweep": true}),
        "manual dry run" => json!({"streams": [first, second], "dryRun": true}),
        "manual reapply" => json!({"stream": arn(&first), "reapply": true}),
        "manual of a member" => {
            let index = trigger.streams[0] % world.plan.of_member.max(1);
            json!({"stream": format!("arn:aws:kinesis:{REGION}:{MEMBER}:stream/{OF_MEMBER}{index}")})
        }
        "manual by the hundred" => {
            let gone = (0..40 * (1 + trigger.streams[1])).map(|index| match index % 10 {
                3 => format!("gone-{index}"),
                _ => arn(&format!("gone-{index}")),
            });
            json!({"streams": gone.chain([first, arn(&second)]).collect::<Vec<_>>()})
        }
        "nested requests" => return nested(world, &first, &second),
        "forged reapply" => {
            let item = json!({
                "version": 1, "kind": "work-item", "stream": arn(&first), "reason": "forged", "reapply": true,
                "origin": {"eventId": "forged", "eventTime": world.now().to_rfc3339(), "kind": "security-finding"},
            });
            let as_item = !trigger.by_queue || trigger.streams[1].is_multiple_of(2);
            if as_item { item } else { json!({"stream": arn(&first), "reapply": true}) }
        }
        "manual without a letter" => json!({"stream": first, "deadLetter": false}),
        "foreign stream" => {
            let text = file("encryption-stopped-by-arn")
                .replace("stream/orders", &format!("stream/{first}"))
                .replace(REGION, "eu-west-1");
            return text;
        }
        "strangers in a finding" => return strangers(world, &first),
        "notification" => {
            let event = file_of(world, "encryption-stopped", &first);
            let topic = format!("arn:aws:sns:{REGION}:{ACCOUNT}:topic");
            json!({"Type": "Notification", "TopicArn": topic, "Message": event})
        }
        "unknown" => json!({"what": ["is", "this"], "stream-name": first}),
        "no JSON" => return "not JSON at all \u{1}".replace('\u{1}', ""),
        "wrapped batch" => {
            let bodies =
                [file_of(world, "encryption-stopped", &first), file_of(world, "tags-added", &second), "{".to_owned()];
            let records: Vec<_> = bodies.iter().enumerate().map(|(index, body)| record(index, body)).collect();
            json!({"requestContext": {"condition": "RetriesExhausted"}, "requestPayload": {"Records": records}})
        }
        "letter fed back" => {
            let letters = world.account.messages(LETTERS);
            return letters
                .first()
                .map_or_else(|| file("dead-letter").replace("orders", &first), |letter| letter.body.clone());
        }
        name => return file_of(world, name, &first),
    };
    payload.to_string()
}

/// Requests in records of requests, some of which nobody understands.
fn nested(world: &World, first: &str, second: &str) -> String {
    let failed = |payload: Value| {
        json!({"requestContext": {"condition": "RetriesExhausted"}, "requestPayload": payload}).to_string()
    };
    let finding: Value = serde_json::from_str(&file_of(world, "security-finding", second)).expect("JSON");
    let stop = file_of(world, "encryption-stopped", first);
    let records =
        |bodies: &[String]| -> Vec<_> { bodies.iter().enumerate().map(|(index, body)| record(index, body)).collect() };
    let bodies: Vec<_> = (0..12)
        .map(|index| match index % 4 {
            0 => file_of(world, "tags-added", first),
            1 => failed(finding.clone()),
            2 => failed(json!({"Records": records(&[stop.clone(), "[".to_owned()])})),
            _ => json!({"nobody": "knows"}).to_string(),
        })
        .collect();
    failed(json!({"Records": records(&bodies)}))
}

/// Whose streams findings name that are not managed.
pub(crate) const STRANGER: &str = "999988887777";

/// A finding that names one stream of the account among thirty of somebody else's.
fn strangers(world: &World, stream: &str) -> String {
    let mut finding: Value = serde_json::from_str(&file_of(world, "security-finding", stream)).expect("JSON");
    let resources = finding.pointer_mut("/detail/findings/0/Resources").and_then(Value::as_array_mut);
    let resources = resources.expect("the resources of the sample");
    let foreign = |index| format!("arn:aws:kinesis:{REGION}:{STRANGER}:stream/s{index}");
    resources.extend((0..30).map(|index| json!({"Type": "AwsKinesisStream", "Id": foreign(index)})));
    resources.insert(0, json!({"Type": "AwsKinesisStream", "Id": "no ARN"}));
    finding.to_string()
}

fn file_of(world: &World, name: &str, stream: &str) -> String {
    let key = &world.keys[&Key::Ours];
    let id = key.rsplit('/').next().unwrap_or_default();
    let mut text = file(name).replace("orders", stream).replace("1234abcd-12ab-34cd-56ef-1234567890ab", id);
    if matches!(world.plan.key, Given::Alias | Given::AliasArn) {
        text = text.replace("alias/kinesis-streams", super::world::ALIAS);
    }
    let mut payload: Value = serde_json::from_str(&text).expect("JSON");
    if payload.get("time").is_some() {
        payload["time"] = json!(world.now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
    }
    payload.to_string()
}

fn record(index: usize, body: &str) -> Value {
    json!({
        "messageId": format!("00000000-0000-0000-0000-00000000000{index}"),
        "receiptHandle": "gone",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "5"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:work"),
        "awsRegion": REGION,
    })
}
