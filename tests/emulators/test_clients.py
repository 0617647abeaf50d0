"""`enforcer sandbox` as a person uses it: boto3 with the variables of the printed `export` line, and nothing else."""

import datetime
import os
import re
import subprocess

import boto3
import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def client(enforcer_binary, monkeypatch, tmp_path):
    """Makes clients of the services of a sandbox with its key, its stream and its queue."""
    process = subprocess.Popen([enforcer_binary, "sandbox", "--port", "0", "--creating", "0", "--updating", "0", "--history", "0"], stdout=subprocess.PIPE, text=True, env={})
    try:
        export = next(line for line in process.stdout if "export " in line)
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in re.findall(r"(\w+)=(\S+)", export):
            monkeypatch.setenv(name, value)
        # Nothing of whoever runs the tests.
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.setenv(name, str(tmp_path / "none"))
        yield boto3.Session().client
    finally:
        process.kill()
        process.wait(timeout=5)


def test_what_everybody_types_first_is_answered(client):
    assert client("sts").get_caller_identity()["Account"] == "111122223333"
    kms, kinesis, sqs = client("kms"), client("kinesis"), client("sqs")
    (key,) = [key["KeyArn"] for page in kms.get_paginator("list_keys").paginate() for key in page["Keys"]]
    (alias,) = [alias["AliasName"] for page in kms.get_paginator("list_aliases").paginate(KeyId=key) for alias in page["Aliases"]]
    assert alias == "alias/streams"
    assert kms.describe_key(KeyId=alias)["KeyMetadata"]["Arn"] == key
    assert [name for page in kinesis.get_paginator("list_streams").paginate() for name in page["StreamNames"]] == ["orders"]
    stream = kinesis.describe_stream(StreamName="orders")["StreamDescription"]
    assert (stream["EncryptionType"], len(stream["Shards"])) == ("NONE", 1)
    (url,) = [url for page in sqs.get_paginator("list_queues").paginate() for url in page["QueueUrls"]]
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]["ApproximateNumberOfMessages"] == "0"
    assert client("resourcegroupstaggingapi").get_resources()["ResourceTagMappingList"] == []


def test_records_are_read_shard_by_shard(client):
    kinesis = client("kinesis")
    kinesis.create_stream(StreamName="clicks", ShardCount=2)
    stored = kinesis.put_records(StreamName="clicks", Records=[{"Data": b"%d" % number, "PartitionKey": str(number)} for number in range(20)])
    assert {record["ShardId"] for record in stored["Records"]} == {"shardId-000000000000", "shardId-000000000001"}
    read = []
    for shard in ("shardId-000000000000", "shardId-000000000001"):
        iterator = kinesis.get_shard_iterator(StreamName="clicks", ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        first = kinesis.get_records(ShardIterator=iterator, Limit=1)
        rest = kinesis.get_records(ShardIterator=first["NextShardIterator"])
        read += [int(record["Data"]) for record in first["Records"] + rest["Records"]]
    assert sorted(read) == list(range(20))


def test_calls_are_in_the_event_history_and_parameters_have_versions(client):
    kms, ssm = client("kms"), client("ssm")
    key = kms.create_key(Description="another")["KeyMetadata"]["KeyId"]
    kms.disable_key(KeyId=key)
    since = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=1)
    events = client("cloudtrail").lookup_events(LookupAttributes=[{"AttributeKey": "EventSource", "AttributeValue": "kms.amazonaws.com"}], StartTime=since)["Events"]
    assert [event["EventName"] for event in events] == ["DisableKey", "CreateKey"]
    assert ssm.put_parameter(Name="/enforcer/policy", Value="{}", Type="String")["Version"] == 1
    with pytest.raises(ssm.exceptions.ParameterAlreadyExists):
        ssm.put_parameter(Name="/enforcer/policy", Value="[]", Type="String")
    assert ssm.put_parameter(Name="/enforcer/policy", Value="[]", Overwrite=True)["Version"] == 2
    assert ssm.get_parameter(Name="/enforcer/policy")["Parameter"]["Value"] == "[]"


@pytest.mark.parametrize("service, operation, arguments, says", [
    ("kms", "encrypt", {"KeyId": "alias/streams", "Plaintext": b"x"}, "does not support kms:Encrypt; it supports: CancelKeyDeletion, "),
    ("sts", "get_session_token", {}, "does not support sts:GetSessionToken; it supports: AssumeRole, GetCallerIdentity"),
    ("iam", "list_users", {}, "does not support iam; it supports: cloudtrail, "),
    ("lambda", "list_functions", {}, "does not support lambda; it supports: cloudtrail, "),
    ("s3", "list_buckets", {}, "does not support s3; it supports: cloudtrail, "),
])
def test_an_unsupported_call_fails_with_those_that_are_supported(client, service, operation, arguments, says):
    with pytest.raises(ClientError) as refused:
        getattr(client(service), operation)(**arguments)
    assert says in refused.value.response["Error"]["Message"]
