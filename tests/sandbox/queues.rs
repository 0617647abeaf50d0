//! Queues, messages and dead-letter queues.

use std::time::Duration;

use aws_sdk_sqs::types::{
    MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
};
use kinesis_encryption_enforcer::sandbox::Account;

use super::support::{ACCOUNT, World, pass, refused};

#[tokio::test(start_paused = true)]
async fn a_message_is_sent_received_invisible_for_a_while_and_deleted() {
    let world = World::new();
    let url = world.account.queue("dead-letters");
    let value = MessageAttributeValue::builder().data_type("String").string_value("orders").build().unwrap();
    world
        .sqs
        .send_message()
        .queue_url(&url)
        .message_body("{}")
        .message_attributes("Stream", value)
        .send()
        .await
        .unwrap();
    let receive = async || {
        let call = world.sqs.receive_message().queue_url(&url).message_attribute_names("All");
        call.message_system_attribute_names(MessageSystemAttributeName::All)
            .send()
            .await
            .unwrap()
            .messages
            .unwrap_or_default()
    };
    let first = receive().await;
    let stream = first[0].message_attributes.as_ref().unwrap()["Stream"].string_value.as_deref();
    assert_eq!((first[0].body.as_deref(), stream), (Some("{}"), Some("orders")));
    assert!(receive().await.is_empty());
    pass(30).await;
    let second = receive().await;
    let count = &second[0].attributes.as_ref().unwrap()[&MessageSystemAttributeName::ApproximateReceiveCount];
    assert_eq!(count, "2");
    world
        .sqs
        .delete_message()
        .queue_url(&url)
        .receipt_handle(second[0].receipt_handle.as_deref().unwrap())
        .send()
        .await
        .unwrap();
    assert!(world.account.messages("dead-letters").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_missing_queue_is_refused_with_the_code_of_the_query_protocol() {
    let world = World::new();
    let url = format!("https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/nowhere");
    let err = world.sqs.send_message().queue_url(url).message_body("{}").send().await.unwrap_err();
    assert_eq!(refused(&err).0, "AWS.SimpleQueueService.NonExistentQueue");
    assert!(err.into_service_error().is_queue_does_not_exist());
}

/// The characters that SQS accepts, and 1 MiB in total:
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>.
#[tokio::test(start_paused = true)]
async fn invalid_messages_are_refused() {
    let world = World::new();
    let url = world.account.queue("dead-letters");
    let send = async |body: String| {
        world.sqs.send_message().queue_url(&url).message_body(body).send().await.map_err(|err| refused(&err).0)
    };
    assert_eq!(send("\u{1}".to_owned()).await.unwrap_err(), "InvalidMessageContents");
    assert_eq!(send("x".repeat(1_048_577)).await.unwrap_err(), "InvalidParameterValue");
    send("x".repeat(1_048_576)).await.unwrap();
    let late = world.sqs.send_message().queue_url(&url).message_body("{}").delay_seconds(901).send().await.unwrap_err();
    assert_eq!(refused(&late).0, "InvalidParameterValue");
}

#[tokio::test(start_paused = true)]
async fn a_delayed_message_is_received_when_it_is_due() {
    let world = World::new();
    let url = world.account.queue("work");
    world.sqs.send_message().queue_url(&url).message_body("{}").delay_seconds(15).send().await.unwrap();
    let receive = async || {
        let call = world.sqs.receive_message().queue_url(&url).wait_time_seconds(10);
        call.send().await.unwrap().messages.unwrap_or_default().len()
    };
    let begun = world.clock.wall();
    assert_eq!((receive().await, receive().await), (0, 1));
    assert_eq!(world.clock.wall().duration_since(begun).unwrap(), Duration::from_secs(15));
}

/// A message moves when it would be received more than `maxReceiveCount` times:
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html>.
#[tokio::test(start_paused = true)]
async fn a_message_received_too_often_goes_to_the_dead_letter_queue() {
    let world = World::new();
    world.account.queue("dead");
    let url = world.account.queue("work");
    let policy = format!(r#"{{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:{ACCOUNT}:dead","maxReceiveCount":"2"}}"#);
    world.account.set_queue_attribute("work", QueueAttributeName::RedrivePolicy.as_str(), &policy);
    world.sqs.send_message().queue_url(&url).message_body("{}").send().await.unwrap();
    let lengths = |account: &Account| (account.messages("work").len(), account.messages("dead").len());
    for _ in 0..2 {
        let message = world.sqs.receive_message().queue_url(&url).send().await.unwrap().messages.unwrap().remove(0);
        let receipt = message.receipt_handle.unwrap();
        world
            .sqs
            .change_message_visibility()
            .queue_url(&url)
            .receipt_handle(receipt)
            .visibility_timeout(0)
            .send()
            .await
            .unwrap();
        assert_eq!(lengths(&world.account), (1, 0));
    }
    assert_eq!(world.sqs.receive_message().queue_url(&url).send().await.unwrap().messages.unwrap_or_default().len(), 0);
    assert_eq!(lengths(&world.account), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn the_entries_of_a_batch_fail_independently() {
    let world = World::new();
    let url = world.account.queue("work");
    let entry =
        |id: &str, body: &str| SendMessageBatchRequestEntry::builder().id(id).message_body(body).build().unwrap();
    let call =
        world.sqs.send_message_batch().queue_url(&url).entries(entry("good", "{}")).entries(entry("bad", "\u{2}"));
    let answer = call.send().await.unwrap();
    assert_eq!((answer.successful[0].id.as_str(), answer.failed[0].id.as_str()), ("good", "bad"));
    assert_eq!(answer.failed[0].code, "InvalidMessageContents");
    assert_eq!(world.account.messages("work").len(), 1);
    let many = (0..11).map(|number| entry(&number.to_string(), "{}")).collect();
    let err = world.sqs.send_message_batch().queue_url(&url).set_entries(Some(many)).send().await.unwrap_err();
    assert_eq!(refused(&err).0, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest");
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ListQueues.html>
#[tokio::test(start_paused = true)]
async fn queues_are_listed_by_prefix_and_in_pages_if_a_request_limits_them() {
    let world = World::new();
    assert_eq!(world.sqs.list_queues().send().await.unwrap().queue_urls, None);
    let urls = ["dead", "work-a", "work-b"].map(|name| world.account.queue(name));
    let all = world.sqs.list_queues().send().await.unwrap();
    assert_eq!((all.queue_urls(), all.next_token()), (&urls[..], None));
    let work = world.sqs.list_queues().queue_name_prefix("work").max_results(1).send().await.unwrap();
    assert_eq!(work.queue_urls(), &urls[1..2]);
    let call = world.sqs.list_queues().queue_name_prefix("work").max_results(1).set_next_token(work.next_token.clone());
    let rest = call.send().await.unwrap();
    assert_eq!((rest.queue_urls(), rest.next_token()), (&urls[2..], None));
    world.sqs.delete_queue().queue_url(&urls[0]).send().await.unwrap();
    assert_eq!(world.sqs.list_queues().send().await.unwrap().queue_urls(), &urls[1..]);
}
