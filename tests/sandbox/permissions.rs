//! Producers and consumers of encrypted streams: Kinesis calls KMS with their permissions, and the
//! calls appear in CloudTrail and on the event bus.
//!
//! <https://docs.aws.amazon.com/streams/latest/dev/permissions-user-key-KMS.html>

use aws_sdk_kinesis::types::{EncryptionType, PutRecordsRequestEntry, ShardIteratorType};
use aws_smithy_types::Blob;
use kinesis_encryption_enforcer::domain::denial::{Denial, Trouble};
use kinesis_encryption_enforcer::sandbox::{Identity, KeyState, NewStream, Policies};
use serde_json::{Value, json};

use super::support::{ACCOUNT, REGION, Refused, World, pass, refused, sdk_config};

const BILLING: &str = "ASIABILLINGEXAMPLE00";
const REPORTS: &str = "AKIAREPORTSEXAMPLE00";

fn role() -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/teams/billing")
}

fn user() -> String {
    format!("arn:aws:iam::{ACCOUNT}:user/reports")
}

fn allowing(actions: &[&str]) -> Value {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]})
}

fn with(identity: Value) -> Policies {
    Policies { identity: vec![identity], ..Policies::default() }
}

impl World {
    /// The role `teams/billing` and the user `reports`, without a policy, and the stream `orders`,
    /// which is encrypted with a customer managed key. Returns the key.
    fn with_callers() -> (Self, String) {
        let world = Self::new();
        world.account.identity(BILLING, Identity::role("teams/billing", "i-0abc"));
        world.account.identity(REPORTS, Identity::user("reports"));
        world.account.principal(&role(), Policies::default());
        world.account.principal(&user(), Policies::default());
        let key = world.account.create_key();
        world.account.stream(NewStream::named("orders").encrypted_with(&key));
        world.account.configure(|options| options.history_lag = std::time::Duration::ZERO);
        (world, key)
    }

    fn kinesis_of(&self, access_key: &str) -> aws_sdk_kinesis::Client {
        aws_sdk_kinesis::Client::new(&sdk_config(&self.clock, self.account.http_client(), REGION, access_key))
    }

    async fn write(&self, access_key: &str, stream: &str) -> Result<Option<EncryptionType>, Refused> {
        let call = self.kinesis_of(access_key).put_record().stream_name(stream).partition_key("1");
        let answer = call.data(Blob::new("x")).send().await;
        Ok(answer.map_err(|err| refused(&err))?.encryption_type)
    }

    async fn read(&self, access_key: &str, stream: &str) -> Result<usize, Refused> {
        let client = self.kinesis_of(access_key);
        let iterator = client.get_shard_iterator().stream_name(stream).shard_id("shardId-000000000000");
        let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap();
        let answer = client.get_records().shard_iterator(iterator.shard_iterator.unwrap()).send().await;
        Ok(answer.map_err(|err| refused(&err))?.records.len())
    }

    /// The records of KMS calls on the bus since the last time, which are also the newest in the event
    /// history of the key.
    async fn key_records(&self, key: &str) -> Vec<Value> {
        let config = sdk_config(&self.clock, self.account.http_client(), REGION, BILLING);
        let lookup = aws_sdk_cloudtrail::Client::new(&config).lookup_events();
        let attribute = aws_sdk_cloudtrail::types::LookupAttribute::builder()
            .attribute_key(aws_sdk_cloudtrail::types::LookupAttributeKey::ResourceName)
            .attribute_value(key);
        let found = lookup.lookup_attributes(attribute.build().unwrap()).send().await.unwrap();
        let mut history: Vec<Value> = found
            .events()
            .iter()
            .map(|event| serde_json::from_str(event.cloud_trail_event().unwrap()).unwrap())
            .collect();
        history.reverse();
        let is_of_kms = |event: &Value| event["source"] == "aws.kms";
        let events: Vec<_> = self.account.take_events().into_iter().filter(is_of_kms).collect();
        let details: Vec<_> = events.into_iter().map(|event| event["detail"].clone()).collect();
        assert_eq!(history[history.len() - details.len()..], details);
        details
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_not_use_the_key_can_neither_write_nor_read_until_its_policy_allows_it() {
    let (world, key) = World::with_callers();
    world.write("AKIAIOSFODNN7EXAMPLE", "orders").await.unwrap();
    let (code, message) = world.write(BILLING, "orders").await.unwrap_err();
    assert_eq!(code, "KMSAccessDeniedException");
    let session = format!("arn:aws:sts::{ACCOUNT}:assumed-role/billing/i-0abc");
    let why = "because no identity-based policy allows the kms:GenerateDataKey action";
    let expected =
        format!("User: {session} is not authorized to perform: kms:GenerateDataKey on resource: {key} {why}");
    assert_eq!(message, expected);
    let entry = PutRecordsRequestEntry::builder().partition_key("1").data(Blob::new("x")).build().unwrap();
    let batch = world.kinesis_of(BILLING).put_records().stream_name("orders").records(entry);
    let all = batch.send().await.unwrap_err();
    assert_eq!(refused(&all).0, "KMSAccessDeniedException", "all of a batch");
    assert_eq!(all.raw_response().map(|response| response.status().as_u16()), Some(400));
    let (code, message) = world.read(REPORTS, "orders").await.unwrap_err();
    assert_eq!(code, "KMSAccessDeniedException");
    assert!(message.contains("is not authorized to decrypt records in stream"), "{message}");
    // Each of them is allowed what it needs, and nothing else.
    world.account.principal(&role(), with(allowing(&["kms:GenerateDataKey"])));
    world.account.principal(&user(), with(allowing(&["kms:Decrypt"])));
    assert_eq!(world.write(BILLING, "orders").await, Ok(Some(EncryptionType::Kms)));
    assert_eq!(world.read(REPORTS, "orders").await, Ok(2));
    for refused in [world.write(REPORTS, "orders").await.map(|_| ()), world.read(BILLING, "orders").await.map(|_| ())] {
        assert_eq!(refused.unwrap_err().0, "KMSAccessDeniedException");
    }
}

#[tokio::test(start_paused = true)]
async fn allowed_and_denied_calls_of_kms_are_in_the_history_of_the_key_and_on_the_bus() {
    let (world, key) = World::with_callers();
    world.write(BILLING, "orders").await.unwrap_err();
    world.account.principal(&role(), with(allowing(&["kms:*"])));
    world.write(BILLING, "orders").await.unwrap();
    world.read(BILLING, "orders").await.unwrap();
    let [denied, written, read] = &world.key_records(&key).await[..] else { panic!("three calls") };
    for (record, name) in [(denied, "GenerateDataKey"), (written, "GenerateDataKey"), (read, "Decrypt")] {
        assert_eq!((&record["eventName"], &record["readOnly"]), (&json!(name), &json!(true)));
        assert_eq!(record["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"], role());
        for place in ["/userIdentity/invokedBy", "/sourceIPAddress", "/userAgent"] {
            assert_eq!(record.pointer(place), Some(&json!("kinesis.amazonaws.com")), "{place}");
        }
        assert_eq!(record["resources"], json!([{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": key}]));
    }
    let context = json!({"keyId": key, "encryptionContext": {"aws:kinesis:arn": World::arn("orders")}});
    assert_eq!((&written["requestParameters"], &written["errorCode"]), (&context, &Value::Null));
    // The record of a denied call names no stream.
    assert_eq!((&denied["requestParameters"], &denied["errorCode"]), (&Value::Null, &json!("AccessDenied")));
    // It has the members of the sample that the rule and the handler are tested with.
    let sample: Value = serde_json::from_str(include_str!("../../events/access-denied.json")).unwrap();
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(denied), members(&sample["detail"]));
    let denial = Denial::read(denied).unwrap();
    assert_eq!((denial.principal, denial.key), (role(), Some(key)));
}

/// <https://docs.aws.amazon.com/streams/latest/dev/costs-performance.html>: a call about every
/// five minutes for each user credential.
#[tokio::test(start_paused = true)]
async fn a_data_key_is_used_for_five_minutes_by_one_caller_and_stream() {
    let (world, key) = World::with_callers();
    world.account.stream(NewStream::named("clicks").encrypted_with(&key));
    for principal in [role(), user()] {
        world.account.principal(&principal, with(allowing(&["kms:*"])));
    }
    for _ in 0..10 {
        world.write(BILLING, "orders").await.unwrap();
    }
    assert_eq!(world.key_records(&key).await.len(), 1);
    world.write(BILLING, "clicks").await.unwrap();
    world.write(REPORTS, "clicks").await.unwrap();
    assert_eq!(world.key_records(&key).await.len(), 2);
    // A permission that is taken away is noticed with the next data key.
    world.account.principal(&role(), Policies::default());
    world.write(BILLING, "orders").await.unwrap();
    pass(300).await;
    world.write(BILLING, "orders").await.unwrap_err();
    world.write(BILLING, "orders").await.unwrap_err();
    assert_eq!(world.key_records(&key).await.len(), 2, "a denied call is made again");
}

#[tokio::test(start_paused = true)]
async fn key_policy_grant_boundary_and_organization_decide_as_well() {
    let (world, key) = World::with_callers();
    let root = format!("arn:aws:iam::{ACCOUNT}:root");
    let statement = |effect: &str, principal: &str| {
        let principal = json!({"AWS": principal});
        json!({"Effect": effect, "Principal": principal, "Action": "kms:*", "Resource": "*"})
    };
    let may = || allowing(&["kms:GenerateDataKey"]);
    let through = |service: &str| {
        let mut policy = may();
        policy["Statement"][0]["Condition"] = json!({"StringEquals": {"kms:ViaService": service,
            "kms:EncryptionContext:aws:kinesis:arn": [World::arn("orders")]}});
        with(policy)
    };
    let nothing = json!({"Version": "2012-10-17", "Statement": []});
    for (policies, key_statements, why) in [
        (through("kinesis.us-east-1.amazonaws.com"), vec![statement("Allow", &root)], None),
        (through("s3.us-east-1.amazonaws.com"), vec![statement("Allow", &root)], Some("no identity-based policy")),
        (with(may()), vec![], Some("no resource-based policy")),
        (Policies::default(), vec![statement("Allow", &role())], None),
        (
            with(may()),
            vec![statement("Allow", &root), statement("Deny", &role())],
            Some("deny in a resource-based policy"),
        ),
        (
            Policies { boundary: Some(nothing.clone()), ..with(may()) },
            vec![statement("Allow", &root)],
            Some("no permissions boundary"),
        ),
        (
            Policies { organization: Some(nothing), ..with(may()) },
            vec![statement("Allow", &root)],
            Some("no service control policy"),
        ),
    ] {
        world.account.principal(&role(), policies.clone());
        world.account.key_policy(&key, &json!({"Version": "2012-10-17", "Statement": key_statements}).to_string());
        let message = world.write(BILLING, "orders").await.err().map(|(_, message)| message);
        match (why, message) {
            (None, None) => {}
            (Some(why), Some(message)) if message.contains(why) => {}
            (_, message) => panic!("{policies:?} {key_statements:?}: {message:?}"),
        }
        pass(300).await;
    }
    world.account.principal(&role(), Policies::default());
    world.account.grant(&key, &role(), &["GenerateDataKey"]);
    world.write(BILLING, "orders").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_the_aws_managed_key_and_a_plain_one_need_no_permission() {
    let (world, _) = World::with_callers();
    world.account.stream(NewStream::named("managed").encrypted_with("alias/aws/kinesis"));
    world.account.stream(NewStream::named("plain"));
    assert_eq!(world.write(BILLING, "managed").await, Ok(Some(EncryptionType::Kms)));
    assert_eq!(world.read(REPORTS, "managed").await, Ok(1));
    assert_eq!(world.write(BILLING, "plain").await, Ok(Some(EncryptionType::None)));
    let managed = world.account.managed_key().unwrap();
    let names: Vec<_> = world.key_records(&managed).await.iter().map(|record| record["eventName"].clone()).collect();
    assert_eq!(names, ["GenerateDataKey", "Decrypt"]);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_key_is_no_denial_and_other_callers_leave_no_record() {
    let (world, key) = World::with_callers();
    world.account.principal(&role(), with(allowing(&["kms:*"])));
    world.account.set_key_state(&key, KeyState::Disabled);
    assert_eq!(world.write(BILLING, "orders").await.unwrap_err().0, "KMSDisabledException");
    let [record] = &world.key_records(&key).await[..] else { panic!("one call") };
    assert_eq!(Denial::read(record).unwrap().trouble, Trouble::KeyUnusable);
    world.account.set_key_state(&key, KeyState::Enabled);
    world.write("AKIAIOSFODNN7EXAMPLE", "orders").await.unwrap();
    assert_eq!(world.key_records(&key).await.len(), 0);
}
