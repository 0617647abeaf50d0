//! docs/EXEMPT.md: what it says of a value is what the parser says, and its commands exempt a
//! stream and end the exemption.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use chrono::NaiveDate;
use kinesis_encryption_enforcer::clock::Clock;
use kinesis_encryption_enforcer::policy::{Exemption, exemption};
use kinesis_encryption_enforcer::sandbox::{Account, NewStream};

use self::samples::{is_printed, samples};
use self::served::{enforcer, served};

mod samples;
mod served;

const DOCUMENT: &str = include_str!("../docs/EXEMPT.md");
const TAG: &str = "kinesis-encryption-enforcer:exempt";
/// The last day in the document.
const LAST_DAY: &str = "2027-03-31";

fn read(value: &str, today: &str) -> Exemption {
    let today: NaiveDate = today.parse().expect("a date");
    exemption(&[(TAG.to_owned(), value.to_owned())], TAG, today)
}

/// The value of the tag in a text that names it, between this and that.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split_once(before).and_then(|(_, rest)| rest.split_once(after)).expect(before).0
}

/// The blocks of code of a kind.
fn blocks(kind: &str) -> Vec<&'static str> {
    let start = format!("```{kind}\n");
    let blocks = DOCUMENT.split(start.as_str()).skip(1);
    blocks.map(|rest| rest.split("```").next().expect("its end")).collect()
}

#[test]
fn every_value_means_what_the_document_says() {
    let section = between(DOCUMENT, "\n## What a value means\n", "\n## ");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
    let mut meanings = Vec::new();
    for (values, meaning) in rows.filter(|(values, _)| values.contains('`')) {
        let quoted = values.split('`').skip(1).step_by(2);
        let values: Vec<_> = quoted.chain(values.ends_with("no value").then_some("")).collect();
        for value in values {
            let on_the_day = read(value, LAST_DAY);
            match (&on_the_day, meaning.split([',', ':']).next()) {
                (Exemption::Exempt { until: Some(until), .. }, Some("exempt up to and including that day")) => {
                    assert_eq!(until.to_string(), LAST_DAY);
                    assert!(matches!(read(value, "2027-04-01"), Exemption::Expired { .. }), "{value}");
                }
                (Exemption::Exempt { until: None, .. }, Some("exempt without an end")) => {
                    assert_eq!(read(value, "2099-12-31"), on_the_day, "{value}");
                }
                (Exemption::Malformed { .. }, Some("malformed")) => {}
                (found, meaning) => unreachable!("{value:?}: {meaning:?}: {found:?}"),
            }
            meanings.push(meaning);
        }
    }
    assert!(meanings.len() > 15, "{meanings:?}");
    meanings.dedup();
    assert_eq!(meanings.len(), 4, "{meanings:?}");
}

/// The value that the command sets, which the snippets set, too.
fn documented_value() -> &'static str {
    between(blocks("sh")[0], &format!("--tags \"{TAG}="), "\"")
}

#[test]
fn the_command_and_the_snippets_set_the_same_exemption() {
    let value = documented_value();
    assert!(matches!(read(value, LAST_DAY), Exemption::Exempt { until: Some(_), .. }), "{value}");
    let [terraform] = blocks("hcl")[..] else { unreachable!("one snippet") };
    assert_eq!(between(terraform, &format!("\"{TAG}\" = \""), "\""), value);
    let [cloudformation] = blocks("yaml")[..] else { unreachable!("one snippet") };
    let resource: serde_json::Value = serde_yaml_ng::from_str(cloudformation).expect("YAML");
    let tags = &resource["Orders"]["Properties"]["Tags"];
    assert_eq!(tags, &serde_json::json!([{"Key": TAG, "Value": value}]));
}

/// A client of the account, as any tool that sets tags.
fn kinesis(account: &Account) -> aws_sdk_kinesis::Client {
    use aws_sdk_kinesis::config::{BehaviorVersion, Config, Credentials, Region};

    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(account.region()))
        .credentials_provider(Credentials::new("AKIAIOSFODNN7EXAMPLE", "secret", None, None, "test"))
        .http_client(account.http_client())
        .build();
    aws_sdk_kinesis::Client::from_conf(config)
}

#[tokio::test]
async fn a_stream_is_exempt_after_the_command_until_the_tag_is_removed() {
    let account = Account::new(Clock::system(), "us-east-1", "111122223333");
    let key = account.create_key();
    account.alias("alias/streams", &key);
    account.stream(NewStream::named("orders"));
    let variables = served(&account);
    let run = |command: &str| {
        let command = command.replace("--function FUNCTION", "--key alias/streams");
        let words: Vec<_> = command.split_whitespace().skip(1).collect();
        enforcer(&words, &variables)
    };
    // The day in the document is over one day.
    let last_day = (Clock::system().utc() + chrono::TimeDelta::days(90)).date_naive().to_string();
    let [ref sample] = samples(DOCUMENT)[..] else { unreachable!("one sample") };

    let (code, before) = run(sample.command);
    assert!(code == Some(3) && before.contains("1 to encrypt"), "{before}");

    let [set, remove] = blocks("sh")[..] else { unreachable!("one command sets the tag, one removes it") };
    assert!(set.starts_with("aws kinesis add-tags-to-stream --stream-name orders --tags \""), "{set}");
    let value = documented_value().replace(LAST_DAY, &last_day);
    let kinesis = kinesis(&account);
    kinesis.add_tags_to_stream().stream_name("orders").tags(TAG, value).send().await.expect("it is tagged");

    let (code, printed) = run(sample.command);
    assert_eq!(code, Some(0), "{printed}");
    let lines: Vec<_> = sample.lines.iter().map(|line| line.replace(LAST_DAY, &last_day)).collect();
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    assert!(is_printed(&lines, &printed.lines().collect::<Vec<_>>()), "{lines:#?}\n{printed}");
    let (_, handled) = run("enforcer event events/manual-stream.json --function FUNCTION");
    assert!(handled.contains("exempt orders"), "{handled}");

    let removed = between(remove, "aws kinesis remove-tags-from-stream --stream-name orders --tag-keys ", "\n");
    kinesis.remove_tags_from_stream().stream_name("orders").tag_keys(removed).send().await.expect("it is not tagged");
    let (code, after) = run(sample.command);
    assert!(code == Some(3) && after.contains("1 to encrypt"), "{after}");
}
