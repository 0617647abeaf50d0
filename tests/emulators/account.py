"""The AWS account that the tests act in, by one of four emulators of AWS."""

import json
import os
import pathlib
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from process import Process, free_port

PROJECT = pathlib.Path(__file__).parents[2]
TOOLS = PROJECT / ".tools" / "emulators"

# Who plays AWS. The sandbox is this project's own; it is served as `enforcer sandbox`. kinesis-local has only Kinesis, and moto beside it the rest.
EMULATORS = ["sandbox", "kinesis-local", "moto", "ministack"]

# Account, Region, key, alias and stream of the files in events/.
ACCOUNT = "111122223333"
REGION = "us-east-1"
EXAMPLE_KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
ALIAS = "alias/streams"
STREAM = "orders"

# kinesis-local reads the account out of the access key id.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": "secret"}


def event(name, *, key=None, stream=None):
    """The payload of events/`name`.json; where it names the example key, `key` (an ARN) is named instead, and `stream` where it names orders."""
    text = (PROJECT / "events" / f"{name}.json").read_text()
    if stream is not None:
        assert STREAM in text, f"events/{name}.json names no stream"
        text = text.replace(STREAM, stream)
    if key is not None:
        assert EXAMPLE_KEY in text, f"events/{name}.json names no key"
        text = text.replace(EXAMPLE_KEY, key.rsplit("/", 1)[1])
    return json.loads(text)


def moto(*, several=False):
    """Everything; streams and their encryption without transitions. Of one account whoever calls, or of `several`, told apart by the credentials that its
    STS gave."""
    port = free_port()
    environment = {} if several else {"MOTO_ACCOUNT_ID": ACCOUNT}
    return _at(port, Process("moto", [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port], port=port, environment=environment))


def ministack(directory):
    """Everything; streams and their encryption without transitions."""
    port = free_port()
    environment = {"MINISTACK_ACCOUNT_ID": ACCOUNT, "MINISTACK_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "IOT_MTLS_ENABLED": "0", "TMPDIR": str(directory)}
    command = [sys.executable, "-m", "hypercorn", "ministack.app:app", "--bind", f"127.0.0.1:{port}"]
    return _at(port, Process("ministack", command, port=port, environment=environment))


def sandbox(program, *, creating, updating):
    """The sandbox, with streams CREATING for `creating` seconds and UPDATING for `updating` seconds."""
    port = free_port()
    command = [program, "sandbox", "--port", port, "--region", REGION, "--account", ACCOUNT, "--empty", "--creating", creating, "--updating", updating]
    return _at(port, Process("enforcer sandbox", command, port=port))


def kinesis_local(*, creating, updating):
    """Kinesis, with streams CREATING for `creating` seconds and UPDATING for `updating` seconds."""
    port = free_port()
    package = TOOLS / "node_modules" / "kinesis-local"
    environment = {
        "AWS_ACCOUNT_ID": ACCOUNT,
        "AWS_REGION": REGION,
        "KINESIS_MOCK_CERT_PATH": str(package / "server.json"),
        "KINESIS_MOCK_PLAIN_PORT": str(port),
        "KINESIS_MOCK_TLS_PORT": str(free_port()),
        "CREATE_STREAM_DURATION": f"{creating * 1000:.0f}ms",
        # docs/contributing/EMULATORS.md: `stop-duration`.
        "STOP_STREAM_ENCRYPTION_DURATION": f"{updating * 1000:.0f}ms",
        "SHARD_LIMIT": "1000",
    }
    command = ["node", "--require", pathlib.Path(__file__).parent / "loopback.js", package / "main.js"]
    return _at(port, Process("kinesis-local", command, port=port, environment=environment))


def _at(port, process):
    process.endpoint = f"http://127.0.0.1:{port}"
    return process


def session(endpoint, account_id, role):
    """Credentials of a role in an account, as Lambda and STS give them; moto asks nobody whether there is such a role."""
    answer = _client("sts", endpoint, CREDENTIALS).assume_role(RoleArn=f"arn:aws:iam::{account_id}:role/{role}", RoleSessionName="preparing")
    given = answer["Credentials"]
    return {"AWS_ACCESS_KEY_ID": given["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"], "AWS_SESSION_TOKEN": given["SessionToken"]}


def batch_of(messages, queue_arn):
    """The event that Lambda's event source mapping makes of messages of that queue, as SQS hands them out with all attributes."""
    return {"Records": [{
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": REGION,
    } for message in messages]}


class Account:
    """What a person would look at and change with the AWS CLI."""

    def __init__(self, aws, kinesis=None, history=None, credentials=CREDENTIALS):
        """An account by the emulator `aws`, with the streams of the emulator `kinesis` and the event history of `history` where these are others."""
        kinesis, history = kinesis or aws, history or aws
        self.credentials = credentials
        self.endpoints = {"AWS_ENDPOINT_URL": aws.endpoint, "AWS_ENDPOINT_URL_KINESIS": kinesis.endpoint, "AWS_ENDPOINT_URL_CLOUDTRAIL": history.endpoint}
        self.kinesis, self.kms, self.sqs = (_client(service, emulator.endpoint, credentials) for service, emulator in
                                            [("kinesis", kinesis), ("kms", aws), ("sqs", aws)])
        self.key = self.create_key()
        self.kms.create_alias(AliasName=ALIAS, TargetKeyId=self.key)
        self.queue = self.sqs.create_queue(QueueName="failures")["QueueUrl"]
        self.work = self.sqs.create_queue(QueueName="work", Attributes={
            "VisibilityTimeout": "60",
            "RedrivePolicy": json.dumps({"deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:failures", "maxReceiveCount": 5}),
        })["QueueUrl"]

    def member(self, account_id, role):
        """Kinesis and KMS of another account, for whoever has taken on this role there."""
        endpoint = self.endpoints["AWS_ENDPOINT_URL"]
        credentials = session(endpoint, account_id, role)
        return (_client(service, endpoint, credentials) for service in ("kinesis", "kms"))

    def create_key(self):
        """A new symmetric encryption key: its ARN."""
        # docs/contributing/EMULATORS.md: `key-usage`.
        return self.kms.create_key(KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["Arn"]

    # docs/contributing/EMULATORS.md: `disable-by-id`.

    def disable_key(self):
        self.kms.disable_key(KeyId=self.key.rsplit("/", 1)[1])

    def enable_key(self):
        self.kms.enable_key(KeyId=self.key.rsplit("/", 1)[1])

    def create_stream(self, name="orders", *, key=None):
        """A stream that is ACTIVE, encrypted if there is a `key`: its ARN."""
        self.begin_stream(name)
        self._settle(name)
        if key is not None:
            self.kinesis.start_stream_encryption(StreamName=name, EncryptionType="KMS", KeyId=key)
            self._settle(name)
        return self.stream(name)["StreamARN"]

    def begin_stream(self, name="orders"):
        """A stream that may still be CREATING."""
        give_up = time.monotonic() + 30
        while True:
            try:
                return self.kinesis.create_stream(StreamName=name, ShardCount=1)
            except self.kinesis.exceptions.LimitExceededException:
                # AWS makes five a second, and so does the embedded one.
                assert time.monotonic() < give_up, f"{name} is not made after 30 s"
                time.sleep(0.1)

    def stop_encryption(self, name="orders"):
        self.kinesis.stop_stream_encryption(StreamName=name, EncryptionType="KMS", KeyId=self.stream(name)["KeyId"])
        self._settle(name)

    def stream(self, name="orders"):
        return self.kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]

    def state(self, name="orders"):
        """Its status, and the key that it is encrypted with."""
        stream = self.stream(name)
        return stream["StreamStatus"], stream.get("KeyId") if stream["EncryptionType"] == "KMS" else None

    def letters(self):
        """Takes all messages out of the dead-letter queue: their bodies, with the attributes added as `attributes`."""
        letters = []
        while messages := self.sqs.receive_message(QueueUrl=self.queue, MessageAttributeNames=["All"], MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                attributes = {name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()}
                letters.append((json.loads(message["Body"]), attributes))
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return letters

    def batch(self):
        """Takes up to ten messages off the work queue, as the event that Lambda's event source mapping makes of them; None if there is none."""
        messages = self.sqs.receive_message(QueueUrl=self.work, AttributeNames=["All"], MaxNumberOfMessages=10).get("Messages", [])
        return batch_of(messages, f"arn:aws:sqs:{REGION}:{ACCOUNT}:work") if messages else None

    def settle(self, batch, answer):
        """Deletes from the work queue what the function settled of a batch."""
        failed = {item["itemIdentifier"] for item in answer["batchItemFailures"]}
        for record in batch["Records"]:
            if record["messageId"] not in failed:
                self.sqs.delete_message(QueueUrl=self.work, ReceiptHandle=record["receiptHandle"])

    def drain(self, enforcer):
        """Works until the work queue has nothing to receive: how many batches there were."""
        batches = 0
        while batch := self.batch():
            self.settle(batch, enforcer.invoke(batch))
            batches += 1
        return batches

    def _settle(self, name):
        give_up = time.monotonic() + 30
        while self.stream(name)["StreamStatus"] != "ACTIVE":
            assert time.monotonic() < give_up, f"{name} is not ACTIVE after 30 s"
            time.sleep(0.1)


def _client(service, endpoint, credentials):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        **{name.lower(): value for name, value in credentials.items()},
        # A person whose calls are throttled waits a moment.
        config=Config(retries={"total_max_attempts": 5, "mode": "standard"}, connect_timeout=5, read_timeout=10, proxies={}),
    )
