//! The sandbox of `enforcer dlq --sandbox`: an account whose queue has a dead letter of every kind.

use anyhow::Result;

use super::Session;
use crate::aws::dead_letters::DeadLetterQueue;
use crate::cli::sandbox_account::{ACCOUNT, ALIAS, DEAD_LETTER_QUEUE, ENFORCER, REGION, SandboxAccount};
use crate::sandbox::NewStream;
use crate::settings::Environment;

/// The bodies of the messages, each with its attributes.
const MESSAGES: [(&str, &[(&str, &str)]); 5] = [
    (include_str!("../../../events/dead-letter.json"), &[]),
    (include_str!("../../../events/on-failure-record.json"), &[]),
    (
        include_str!("../../../events/tags-changed.json"),
        &[
            ("RequestID", "76542528-a6bd-584f-b0fc-37e8f26f2e14"),
            ("ErrorCode", "200"),
            ("ErrorMessage", "Task timed out after 60.00 seconds"),
        ],
    ),
    (
        include_str!("../../../events/encryption-stopped.json"),
        &[
            ("RULE_ARN", "arn:aws:events:us-east-1:111122223333:rule/enforcer-StreamChangedRule"),
            ("ERROR_CODE", "NO_PERMISSIONS"),
            ("ERROR_MESSAGE", "Lambda permissions are missing for the rule"),
        ],
    ),
    (include_str!("../../../events/work-item.json"), &[]),
];

/// A session on a new sandbox account with a key, two streams and the sample messages.
pub(super) async fn session() -> Result<Session> {
    let sandbox = SandboxAccount::start(REGION, ACCOUNT).await?;
    let account = &sandbox.account;
    let key = account.create_key();
    account.alias(ALIAS, &key);
    for name in ["orders", "clickstream"] {
        account.stream(NewStream::named(name));
    }
    let (queue_url, work_queue_url) = (account.queue(DEAD_LETTER_QUEUE), account.queue("enforcer-work"));
    for (body, attributes) in MESSAGES {
        account.send_with(DEAD_LETTER_QUEUE, body, attributes);
    }
    let environment = Environment::default().with("KMS_KEY_ID", ALIAS).with("WORK_QUEUE_URL", &work_queue_url);
    let environment = sandbox.environment(environment, &queue_url);
    let (clock, config) = (sandbox.clock.clone(), sandbox.config(ENFORCER)?);
    let (queue, begun) = (DeadLetterQueue::new(&config, &clock, &queue_url), clock.instant());
    Ok(Session { queue, queue_url, clock, environment, config, begun })
}
