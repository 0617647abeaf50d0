"""The function and its work queue, under AWS's runtime interface emulator."""

import pytest
from account import ACCOUNT, REGION, event

NAMES = ["audit", "clicks", "invoices", "orders", "payments", "returns"]


@pytest.mark.kinesis(creating=0)
def test_the_fleet_follows_an_alias_to_its_new_key_through_the_queue(account, function):
    for name in NAMES:
        account.create_stream(name, key=account.key)
    new_key = account.create_key()
    account.kms.update_alias(AliasName="alias/streams", TargetKeyId=new_key)
    enforcer = function(WORK_QUEUE_URL=account.work)

    answer = enforcer.invoke(event("alias-repointed", key=new_key))

    assert answer["summary"] == {"queued": len(NAMES)}
    assert account.drain(enforcer) >= 1
    assert {name: account.state(name) for name in NAMES} == dict.fromkeys(NAMES, ("ACTIVE", new_key))
    assert account.letters() == []


@pytest.mark.kinesis(creating=0)
def test_letters_that_are_moved_back_are_worked_when_their_cause_is_gone(account, function, enforcer_program):
    for name in NAMES[:3]:
        account.create_stream(name)
    enforcer = function(WORK_QUEUE_URL=account.work)
    enforcer.invoke({"sweep": True})
    account.disable_key()
    account.drain(enforcer)
    assert {name: account.state(name)[1] for name in NAMES[:3]} == dict.fromkeys(NAMES[:3])

    account.enable_key()
    assert "3 messages received" in enforcer_program("dlq", "list")
    # docs/contributing/EMULATORS.md: `no-move-task`.
    assert "redrove 3 messages, 0 left" in enforcer_program("dlq", "redrive", "--code", "KeyDisabled")
    account.drain(enforcer)

    assert {name: account.state(name) for name in NAMES[:3]} == dict.fromkeys(NAMES[:3], ("ACTIVE", account.key))
    assert account.letters() == []


def test_what_is_not_settled_comes_back_through_the_queue(account, function):
    account.create_stream("orders")
    enforcer = function(WORK_QUEUE_URL=account.work, WORK_QUEUE_MAX_RECEIVES="5", AWS_ENDPOINT_URL_KINESIS="http://127.0.0.1:9", timeout=5)
    account.sqs.send_message(QueueUrl=account.work, MessageBody=account_item("orders"))
    batch = account.batch()

    answer = enforcer.invoke(batch)

    assert answer == {"batchItemFailures": [{"itemIdentifier": batch["Records"][0]["messageId"]}]}
    assert account.batch() is None, "it is hidden for half a minute"
    counts = account.sqs.get_queue_attributes(QueueUrl=account.work, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])["Attributes"]
    assert counts["ApproximateNumberOfMessagesNotVisible"] == "1"


def account_item(name):
    """A work item for a stream."""
    return f'{{"version": 1, "kind": "work-item", "stream": "arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}", "reason": "a test"}}'
