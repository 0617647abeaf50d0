//! Creating, describing, listing and tagging streams.

use kinesis_encryption_enforcer::sandbox::NewStream;

use super::support::{ACCOUNT, World, pass, refused, sdk_config};

/// Recording of 2026-09-19, calls 8 to 13 and 128 to 143.
#[tokio::test(start_paused = true)]
async fn a_new_stream_is_creating_and_shows_no_open_shards() {
    let world = World::new();
    world.kinesis.create_stream().stream_name("orders").shard_count(2).tags("team", "checkout").send().await.unwrap();
    let raw = world.describe("orders").await.unwrap();
    assert_eq!((raw.stream_status.as_str(), raw.open_shard_count, raw.key_id), ("CREATING", 0, None));
    pass(2).await;
    let summary = world.describe("orders").await.unwrap();
    assert_eq!((summary.stream_status.as_str(), summary.open_shard_count), ("ACTIVE", 2));
    assert_eq!(summary.encryption_type.unwrap().as_str(), "NONE");
    world.kinesis.delete_stream().stream_name("orders").send().await.unwrap();
    assert_eq!(world.describe("orders").await.unwrap().stream_status.as_str(), "DELETING");
    pass(2).await;
    let message = format!("Stream orders under account {ACCOUNT} not found.");
    assert_eq!(world.describe("orders").await.unwrap_err(), ("ResourceNotFoundException".into(), message));
}

/// Recording of 2026-09-19, calls 4 to 17 and 115.
#[tokio::test(start_paused = true)]
async fn a_stream_is_named_by_name_or_arn_and_both_must_agree() {
    let world = World::new();
    world.account.stream(NewStream::named("orders"));
    let arn = World::arn("orders");
    let check = async |name: Option<&str>, arn: Option<&str>, expected: Result<(), (&str, &str)>| {
        let call = world
            .kinesis
            .describe_stream_summary()
            .set_stream_name(name.map(str::to_owned))
            .set_stream_arn(arn.map(str::to_owned));
        let got = call.send().await.map(|_| ()).map_err(|err| refused(&err));
        let got = got.as_ref().copied().map_err(|(code, message)| (code.as_str(), message.as_str()));
        match (got, expected) {
            (Err((code, message)), Err((expected, text))) => {
                assert_eq!(code, expected);
                assert!(message.starts_with(text), "{message}");
            }
            (got, expected) => assert_eq!(got, expected),
        }
    };
    check(Some("orders"), None, Ok(())).await;
    check(None, Some(&arn), Ok(())).await;
    check(Some("orders"), Some(&arn), Ok(())).await;
    let unlike = "Input stream name payments doesn't match the inferred name in stream arn";
    check(Some("payments"), Some(&arn), Err(("InvalidArgumentException", unlike))).await;
    let neither = "Stream arn and stream name can't be empty at the same time";
    check(None, None, Err(("InvalidArgumentException", neither))).await;
    let foreign = arn.replace(ACCOUNT, "999999999999");
    check(None, Some(&foreign), Err(("UnrecognizedClientException", "No account found for the given parameters")))
        .await;
    check(Some("or ders"), None, Err(("ValidationException", "1 validation error detected"))).await;
    check(None, Some(&arn.replace(ACCOUNT, "1111")), Err(("ValidationException", "1 validation error detected"))).await;
    check(
        None,
        Some(&arn.replace("us-east-1", "eu-west-1")),
        Err(("ResourceNotFoundException", "Stream orders under account")),
    )
    .await;
}

/// 100 names a page:
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListStreams.html>. Some emulators
/// return no `NextToken`.
#[tokio::test(start_paused = true)]
async fn streams_are_listed_in_pages_of_100_with_or_without_a_token() {
    for next_token in [true, false] {
        let world = World::new();
        world.account.configure(|options| options.next_token = next_token);
        for number in 0..250 {
            world.account.stream(NewStream::named(&format!("stream-{number:03}")));
        }
        let (mut names, mut token, mut pages) = (Vec::<String>::new(), None, 0);
        loop {
            let start = names.last().filter(|_| token.is_none()).cloned();
            let call =
                world.kinesis.list_streams().limit(10_000).set_next_token(token).set_exclusive_start_stream_name(start);
            let page = call.send().await.unwrap();
            assert_eq!(page.next_token.is_some(), page.has_more_streams && next_token);
            names.extend(page.stream_names);
            token = page.next_token;
            pages += 1;
            if !page.has_more_streams {
                break;
            }
        }
        assert_eq!((names.len(), pages), (250, 3));
        assert_eq!(names[249], "stream-249");
    }
}

/// A `NextToken` is valid for 300 seconds:
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html>.
#[tokio::test(start_paused = true)]
async fn a_token_expires() {
    let world = World::new();
    world.account.stream(NewStream::named("a"));
    world.account.stream(NewStream::named("b"));
    let token = world.kinesis.list_streams().limit(1).send().await.unwrap().next_token.unwrap();
    pass(300).await;
    let err = world.kinesis.list_streams().next_token(token).send().await.unwrap_err();
    assert_eq!(refused(&err).0, "ExpiredNextTokenException");
}

#[tokio::test(start_paused = true)]
async fn tags_are_added_listed_page_by_page_and_removed() {
    let world = World::new();
    let arn = world.account.stream(NewStream::named("orders").tag("a", "1"));
    world.kinesis.add_tags_to_stream().stream_arn(&arn).tags("b", "2").tags("c", "3").send().await.unwrap();
    let page = world.kinesis.list_tags_for_stream().stream_arn(&arn).limit(2).send().await.unwrap();
    assert_eq!((page.tags.len(), page.has_more_tags), (2, true));
    let rest = world.kinesis.list_tags_for_stream().stream_arn(&arn).exclusive_start_tag_key("b").send().await.unwrap();
    assert_eq!((rest.tags[0].key.as_str(), rest.tags[0].value.as_deref(), rest.has_more_tags), ("c", Some("3"), false));
    world.kinesis.remove_tags_from_stream().stream_arn(&arn).tag_keys("a").tag_keys("b").send().await.unwrap();
    assert_eq!(world.account.snapshot("orders").unwrap().tags.len(), 1);
}

/// Five streams may be CREATING at the same time:
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html>.
#[tokio::test(start_paused = true)]
async fn the_sixth_creating_stream_is_refused() {
    let world = World::new();
    world.account.configure(|options| options.rate_limits = false);
    let create = async |number: u8| {
        let call = world.kinesis.create_stream().stream_name(format!("stream-{number}")).shard_count(1);
        call.send().await.map(|_| ()).map_err(|err| refused(&err).0)
    };
    for number in 0..5 {
        create(number).await.unwrap();
    }
    assert_eq!(create(5).await, Err("LimitExceededException".to_owned()));
    pass(2).await;
    create(5).await.unwrap();
    assert_eq!(create(5).await, Err("ResourceInUseException".to_owned()));
}

/// Five calls a second per account:
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListTagsForStream.html>.
#[tokio::test(start_paused = true)]
async fn the_sixth_call_in_a_second_is_refused() {
    let world = World::new();
    world.account.stream(NewStream::named("orders"));
    let list =
        async || world.kinesis.list_tags_for_stream().stream_name("orders").send().await.map_err(|err| refused(&err).0);
    for _ in 0..5 {
        list().await.unwrap();
    }
    assert_eq!(list().await.unwrap_err(), "LimitExceededException");
    pass(1).await;
    list().await.unwrap();
}

/// The credential scope of Signature Version 4 names the Region:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
#[tokio::test(start_paused = true)]
async fn a_request_signed_for_another_region_is_refused() {
    let world = World::new();
    let config = sdk_config(&world.clock, world.account.http_client(), "eu-west-1", "AKIAIOSFODNN7EXAMPLE");
    let err = aws_sdk_kinesis::Client::new(&config).list_streams().send().await.unwrap_err();
    assert_eq!(refused(&err).0, "InvalidSignatureException");
    let err = world.kinesis.describe_limits().send().await.unwrap_err();
    assert_eq!(refused(&err).0, "UnknownOperationException");
}

/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStream.html> and
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html>
#[tokio::test(start_paused = true)]
async fn shards_share_the_hash_keys_and_are_listed_in_pages() {
    let world = World::new();
    world.kinesis.create_stream().stream_name("orders").shard_count(3).send().await.unwrap();
    let describe = async |after: Option<&str>| {
        let call = world.kinesis.describe_stream().stream_name("orders").limit(2);
        let answer = call.set_exclusive_start_shard_id(after.map(str::to_owned)).send().await.unwrap();
        answer.stream_description.unwrap()
    };
    let creating = describe(None).await;
    assert_eq!((creating.stream_status.as_str(), creating.shards.len()), ("CREATING", 0));
    pass(2).await;
    let first = describe(None).await;
    let last = describe(first.shards.last().map(|shard| shard.shard_id.as_str())).await;
    assert_eq!((first.has_more_shards, last.has_more_shards), (true, false));
    let ranges: Vec<_> =
        [first.shards, last.shards].concat().into_iter().filter_map(|shard| shard.hash_key_range).collect();
    let number = |text: &str| text.parse::<u128>().unwrap();
    assert_eq!((ranges.len(), ranges[0].starting_hash_key.as_str()), (3, "0"));
    for pair in ranges.windows(2) {
        assert_eq!(number(&pair[0].ending_hash_key) + 1, number(&pair[1].starting_hash_key));
    }
    assert_eq!(number(&ranges[2].ending_hash_key), u128::MAX);

    let page = world.kinesis.list_shards().stream_name("orders").max_results(2).send().await.unwrap();
    let rest = world.kinesis.list_shards().set_next_token(page.next_token.clone()).send().await.unwrap();
    assert_eq!((page.shards().len(), rest.shards().len(), rest.next_token()), (2, 1, None));
    let both = world.kinesis.list_shards().stream_name("orders").set_next_token(page.next_token).send().await;
    assert_eq!(refused(&both.unwrap_err()).0, "InvalidArgumentException");
}
