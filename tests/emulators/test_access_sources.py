"""`enforcer access` with services that boto3 configures: who uses a stream is found where AWS's own clients put it."""

import io
import json
import os
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from account import ACCOUNT, ALIAS, REGION

PARTNER = "arn:aws:iam::444455556666:role/partner"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:elsewhere"


@pytest.fixture
def client(account):
    """Makes clients of the account's services."""

    def make(service):
        return boto3.client(service, region_name=REGION, endpoint_url=account.endpoints["AWS_ENDPOINT_URL"],
                            aws_access_key_id=account.credentials["AWS_ACCESS_KEY_ID"], aws_secret_access_key=account.credentials["AWS_SECRET_ACCESS_KEY"])

    return make


@pytest.fixture
def access(account, enforcer_binary):
    """Runs `enforcer access --json` for a key: the exit code and what it prints."""

    def run(key):
        environment = account.credentials | account.endpoints | {"AWS_REGION": REGION, "PATH": os.environ["PATH"]}
        ran = subprocess.run([enforcer_binary, "access", "--key", key, "--json"], env=environment, capture_output=True, text=True, timeout=300)
        assert ran.stdout, ran.stderr
        return ran.returncode, json.loads(ran.stdout)

    return run


def role(client, name):
    """A role with a path, which sessions do not name: its ARN."""
    statement = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = {"Version": "2012-10-17", "Statement": [statement]}
    return client("iam").create_role(RoleName=name, Path="/app/", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]


def code():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("handler.py", "")
    return packed.getvalue()


def with_users(client):
    """The stream orders with a user of every kind that moto knows, each with a role of its own. Returns what has to be found: principal, action and how
    it is known."""
    # docs/contributing/EMULATORS.md: `no-table-destinations`. No table, then.
    kinesis = client("kinesis")
    kinesis.create_stream(StreamName="orders", ShardCount=1)
    stream = kinesis.describe_stream_summary(StreamName="orders")["StreamDescriptionSummary"]["StreamARN"]
    roles = {name: role(client, name) for name in
             ("function", "pipe-reader", "pipe-writer", "firehose", "destination", "filter", "rule")}

    client("lambda").create_function(FunctionName="fn", Runtime="python3.12", Role=roles["function"], Handler="handler.x", Code={"ZipFile": code()})
    client("lambda").create_event_source_mapping(EventSourceArn=stream, FunctionName="fn", StartingPosition="LATEST")
    client("pipes").create_pipe(Name="from-orders", Source=stream, Target=QUEUE, RoleArn=roles["pipe-reader"],
                                SourceParameters={"KinesisStreamParameters": {"StartingPosition": "LATEST"}})
    client("pipes").create_pipe(Name="to-orders", Source=QUEUE, Target=stream, RoleArn=roles["pipe-writer"])
    client("firehose").create_delivery_stream(
        DeliveryStreamName="archive", DeliveryStreamType="KinesisStreamAsSource",
        KinesisStreamSourceConfiguration={"KinesisStreamARN": stream, "RoleARN": roles["firehose"]},
        ExtendedS3DestinationConfiguration={"RoleARN": roles["firehose"], "BucketARN": "arn:aws:s3:::archive"})
    client("logs").put_destination(destinationName="others", targetArn=stream, roleArn=roles["destination"])
    client("logs").create_log_group(logGroupName="/shop")
    client("logs").put_subscription_filter(logGroupName="/shop", filterName="all", filterPattern="", destinationArn=stream, roleArn=roles["filter"])
    client("events").put_rule(Name="paid", EventPattern=json.dumps({"source": ["shop"]}))
    client("events").put_targets(Rule="paid", Targets=[{"Id": "1", "Arn": stream, "RoleArn": roles["rule"]}])
    kinesis.register_stream_consumer(StreamARN=stream, ConsumerName="fan-out")
    kinesis.put_resource_policy(ResourceARN=stream, Policy=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": PARTNER}, "Action": "kinesis:PutRecords", "Resource": stream}]}))
    return {
        (roles["function"], "kms:Decrypt", "event-source-mapping fn"),
        (roles["pipe-reader"], "kms:Decrypt", "pipe from-orders"),
        (roles["pipe-writer"], "kms:GenerateDataKey", "pipe to-orders"),
        (roles["firehose"], "kms:Decrypt", "firehose archive"),
        (roles["destination"], "kms:GenerateDataKey", "logs-destination others"),
        (roles["filter"], "kms:GenerateDataKey", "subscription-filter /shop"),
        (roles["rule"], "kms:GenerateDataKey", "rule paid"),
        ("readers as fan-out", "kms:Decrypt", "consumer fan-out"),
        (PARTNER, "kms:GenerateDataKey", "stream-policy"),
    }


def found(answers):
    """The users of the only stream."""
    (stream,) = answers["streams"]
    known = {(user["principal"], user["action"]): user["knownBy"] for user in stream["users"]}
    return {(*user, " ".join(f"{by['source']} {by.get('name', '')}".strip() for by in known_by)) for user, known_by in known.items()}


def reasons(answers):
    """The answer for every principal, and why."""
    return {user["principal"]: (user["answer"], user.get("because")) for stream in answers["streams"] for user in stream["users"]}


@pytest.mark.emulators("moto")
def test_every_user_is_found_and_what_moto_cannot_say_is_unknown_with_the_reason(client, access):
    expected = with_users(client)
    # Status 500 is retried for a while: both at the same time.
    with ThreadPoolExecutor() as both:
        (code, of_customer), (managed_code, of_aws) = both.map(access, (ALIAS, "alias/aws/kinesis"))

    assert (code, found(of_customer)) == (3, expected)
    # docs/contributing/EMULATORS.md: `no-channels`.
    assert of_customer["notRead"] == ["the channels of orders: UnreadableAnswer (kinesis:ListChannels)"]
    # docs/contributing/EMULATORS.md: `policy-name`.
    answered = reasons(of_customer)
    assert answered.pop("readers as fan-out") == ("unknown", "no policy names this caller")
    assert set(answered.values()) == {("unknown", "the key policy cannot be read: NotFoundException")}
    assert [of_customer[answer] for answer in ("yes", "no", "unknown")] == [0, 0, len(expected)]

    # The policy of the AWS managed key need not be read, but the principals' own policies have to be. docs/contributing/EMULATORS.md: `no-simulation`.
    assert (managed_code, found(of_aws)) == (3, expected)
    answered = reasons(of_aws)
    assert answered.pop("readers as fan-out")[0] == "unknown"
    assert answered.pop(PARTNER) == ("no", "aws-managed-key")
    assert set(answered.values()) == {("unknown", "its IAM policies cannot be simulated: UnreadableAnswer (iam:SimulatePrincipalPolicy)")}
    assert of_aws["yes"] == 0
