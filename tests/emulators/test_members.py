"""Member accounts on an STS that nobody here wrote: moto's, which tells accounts apart by the credentials that it gave."""

import json

import pytest
from account import ACCOUNT, ALIAS, REGION, event

MEMBER = "444455556666"
STRANGER = "777788889999"
ROLE = "security/enforcer-member"


@pytest.mark.emulators("moto-of-several-accounts")
def test_a_stream_of_a_member_is_encrypted_there_with_the_members_key_and_its_namesake_here_is_not_touched(account, function):
    kinesis, kms = account.member(MEMBER, ROLE)
    key = kms.create_key(KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName=ALIAS, TargetKeyId=key)
    kinesis.create_stream(StreamName="orders", ShardCount=1)
    account.create_stream("orders")
    enforcer = function(MEMBER_ROLE_NAME=ROLE, MEMBER_ACCOUNTS=MEMBER, MEMBER_EXTERNAL_ID="orders-7")

    answer = enforcer.invoke(happened_in(MEMBER))

    stream = kinesis.describe_stream_summary(StreamName="orders")["StreamDescriptionSummary"]
    assert (stream["EncryptionType"], stream["KeyId"]) == ("KMS", key)
    assert f":{MEMBER}:" in key and account.state("orders") == ("ACTIVE", None)
    assert [(outcome["stream"], outcome["status"], outcome["key"]) for outcome in answer["outcomes"]] == [(stream["StreamARN"], "encrypted", key)]

    (refused,) = enforcer.invoke(happened_in(STRANGER))["outcomes"]
    assert refused["error"]["code"] == "ForeignAccount"
    (own,) = enforcer.invoke(happened_in(ACCOUNT))["outcomes"]
    assert (own["status"], account.state("orders")) == ("encrypted", ("ACTIVE", account.key))


@pytest.mark.emulators("moto-of-several-accounts")
def test_a_schedule_looks_at_the_streams_of_every_account(account, function):
    for number, member in enumerate([MEMBER, STRANGER], start=1):
        kinesis, kms = account.member(member, ROLE)
        kms.create_alias(AliasName=ALIAS, TargetKeyId=kms.create_key(KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["Arn"])
        for index in range(number):
            kinesis.create_stream(StreamName=f"stream-{index}", ShardCount=1)
    account.create_stream("orders")
    members = {"MEMBER_ROLE_NAME": ROLE, "MEMBER_ACCOUNTS": f"{MEMBER},{STRANGER}", "MEMBER_EXTERNAL_ID": "orders-7"}

    answer = function(ENFORCEMENT_MODE="audit", **members).invoke(event("scheduled"))

    assert answer["summary"] == {"would-encrypt": 4}
    accounts = [outcome["stream"].split(":")[4] for outcome in answer["outcomes"]]
    assert sorted(accounts) == [ACCOUNT, MEMBER, STRANGER, STRANGER]
    assert all(outcome["stream"].startswith(f"arn:aws:kinesis:{REGION}:") for outcome in answer["outcomes"])


def happened_in(account_id):
    """events/stream-created.json, as another account forwards it."""
    return json.loads(json.dumps(event("stream-created")).replace(ACCOUNT, account_id))
