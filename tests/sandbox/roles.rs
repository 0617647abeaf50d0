//! Assumed roles, and member accounts behind one endpoint.

use std::time::Duration;

use aws_sdk_sts::error::ProvideErrorMetadata;
use aws_sdk_sts::types::Credentials;
use kinesis_encryption_enforcer::sandbox::{Account, NewStream};

use crate::support::{REGION, World, refused, sdk_config};

const MEMBER: &str = "444455556666";
const ROLE_ARN: &str = "arn:aws:iam::444455556666:role/team/member";

/// Adds a member account with a role.
fn add_member(world: &World) -> Account {
    let member = Account::new(world.clock.clone(), REGION, MEMBER);
    world.account.admit(&member, "team/member", "an&id=1");
    member
}

async fn assume_role(world: &World, role_arn: &str, external_id: Option<&str>) -> Result<Credentials, String> {
    let sts = aws_sdk_sts::Client::new(&sdk_config(
        &world.clock,
        world.account.http_client(),
        REGION,
        "AKIAIOSFODNN7EXAMPLE",
    ));
    let request =
        sts.assume_role().role_arn(role_arn).role_session_name("test").set_external_id(external_id.map(str::to_owned));
    let answer = request.send().await.map_err(|error| error.code().unwrap_or("no code").to_owned())?;
    Ok(answer.credentials.unwrap())
}

/// The ARN of the stream `orders` that a call with these credentials describes.
async fn describe(world: &World, access_key: &str, token: &str) -> Result<String, String> {
    let config = sdk_config(&world.clock, world.account.http_client(), REGION, access_key);
    let credentials =
        aws_credential_types::Credentials::new(access_key, "secret", Some(token.to_owned()), None, "test");
    let provider = aws_credential_types::provider::SharedCredentialsProvider::new(credentials);
    let kinesis = aws_sdk_kinesis::Client::new(&config.into_builder().credentials_provider(provider).build());
    let answer =
        kinesis.describe_stream_summary().stream_name("orders").send().await.map_err(|error| refused(&error).0)?;
    Ok(answer.stream_description_summary.unwrap().stream_arn)
}

#[tokio::test(start_paused = true)]
async fn the_access_key_determines_the_account_of_a_call() {
    let world = World::new();
    let member = add_member(&world);
    member.stream(NewStream::named("orders"));
    let credentials = assume_role(&world, ROLE_ARN, Some("an&id=1")).await.unwrap();
    let found = describe(&world, &credentials.access_key_id, &credentials.session_token).await;
    assert_eq!(found, Ok(format!("arn:aws:kinesis:{REGION}:{MEMBER}:stream/orders")));
    assert_eq!((member.count("DescribeStreamSummary"), world.account.count("DescribeStreamSummary")), (1, 0));
    assert_eq!(world.describe("orders").await.unwrap_err().0, "ResourceNotFoundException");
}

#[tokio::test(start_paused = true)]
async fn another_role_or_external_id_is_refused_with_the_same_error() {
    let world = World::new();
    add_member(&world);
    for (role, external_id) in
        [(ROLE_ARN, Some("another")), (ROLE_ARN, None), ("arn:aws:iam::444455556666:role/member", Some("an&id=1"))]
    {
        assert_eq!(assume_role(&world, role, external_id).await.unwrap_err(), "AccessDenied");
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_expire_and_need_their_token() {
    let world = World::new();
    add_member(&world).stream(NewStream::named("orders"));
    let credentials = assume_role(&world, ROLE_ARN, Some("an&id=1")).await.unwrap();
    assert_eq!(
        credentials.expiration.secs(),
        i64::try_from(world.clock.wall().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap() + 3600
    );
    assert_eq!(
        describe(&world, &credentials.access_key_id, "another").await.unwrap_err(),
        "UnrecognizedClientException"
    );
    tokio::time::sleep(Duration::from_mins(59)).await;
    assert!(describe(&world, &credentials.access_key_id, &credentials.session_token).await.is_ok());
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(
        describe(&world, &credentials.access_key_id, &credentials.session_token).await.unwrap_err(),
        "ExpiredTokenException"
    );
}
