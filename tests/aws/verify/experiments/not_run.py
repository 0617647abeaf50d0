"""Open questions that this program does not ask, each with the reason."""

from __future__ import annotations

from verify.experiments.base import API, EVENTS, KMS, STREAMS
from verify.question import NotRun, Question

SECURITY_HUB = "https://docs.aws.amazon.com/securityhub/latest/userguide"

NOT_RUN = (
    NotRun(
        Question(
            "channel-stops",
            "Does a delivery channel stop when its role may not use the stream's new key?",
            "A plan warns of channels.",
            "It stops.",
            "Audit mode and `plan` warn of every channel before a key is applied.",
            (f"{STREAMS}/data-delivery-iam.html",),
        ),
        "needs an on-demand stream, a channel and its bucket, which are charged by the hour",
    ),
    NotRun(
        Question(
            "security-hub-findings",
            "How do findings of the new Security Hub about streams look?",
            "The function finds the stream in them.",
            "The stream's ARN is in `uid_alt` or `uid`.",
            "It takes the ARN, or the name with Region and account, and sends a finding that it does not "
            "understand to the dead-letter queue.",
            (f"{SECURITY_HUB}/securityhub-v2-cwe-event-formats.html",),
        ),
        "enabling Security Hub changes the whole account, and a finding can take a day",
    ),
    NotRun(
        Question(
            "security-hub-administrator",
            "Has a Security Hub event in an administrator account the account of the administrator or of the finding?",
            "The function acts on streams of accounts that it manages only.",
            "Either.",
            "Neither leads to a stream of an account that is not managed.",
            (f"{SECURITY_HUB}/securityhub-cwe-event-types.html",),
        ),
        "needs an organization with two accounts",
    ),
    NotRun(
        Question(
            "config-events",
            "How do the events of AWS Config about streams look today?",
            "The function finds the stream in them.",
            "`resourceId` is the stream's name.",
            "It takes a name or an ARN, and the schedule finds the stream.",
            ("https://docs.aws.amazon.com/config/latest/developerguide/monitor-config-with-cloudwatchevents.html",),
        ),
        "enabling AWS Config changes the whole account and is charged for each resource in it",
    ),
    NotRun(
        Question(
            "key-of-another-account",
            "Does a stream work with a key of another account, and what do its events look like?",
            "`KmsKeyId` accepts such a key.",
            "It works if the key policy allows it.",
            "DescribeKey must succeed before the key is applied.",
            (f"{STREAMS}/creating-using-sse-master-keys.html",),
        ),
        "needs a second account",
    ),
    NotRun(
        Question(
            "member-events",
            "How do events arrive that a member account's rules forward?",
            "The function checks the account in the stream's ARN.",
            "With the account in which they happened.",
            "It never acts in an account that is not in its list.",
            (f"{EVENTS}/eb-cross-account.html",),
        ),
        "needs a second account",
    ),
    NotRun(
        Question(
            "key-deleted-event",
            "How do the events of a deleted key and of expired key material look today?",
            "The function reports `key-at-risk`.",
            "They have `key-id`.",
            "A used stream with such a key is found by the schedule, too.",
            (f"{KMS}/kms-events.html",),
        ),
        "a key is deleted after seven days at the earliest",
    ),
    NotRun(
        Question(
            "queue-consumers",
            "Do the queues of a stream need `kms:Decrypt` of each reader?",
            "A plan warns of queues.",
            "They do.",
            "Audit mode and `plan` warn of every queue before a key is applied.",
            (f"{API}/API_StreamDescriptionSummary.html",),
        ),
        "needs an on-demand stream and a queue, which are charged by the hour",
    ),
)
