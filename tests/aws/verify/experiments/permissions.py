"""Which permissions StartStreamEncryption, producers and consumers need."""

from __future__ import annotations

import time
from collections.abc import Callable

from verify.account import Account
from verify.experiments.base import API, KMS, STREAMS, Experiment, decided, undecided
from verify.lab import Lab, allow, refusal
from verify.question import Finding, Question

REFERENCE = "https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonkinesisdatastreams.html"


def starter(lab: Lab, suffix: str, stream: str, resources: list[str]) -> Account:
    """A role that may look at a stream, and start encryption of these resources: nothing else."""
    statements = [
        allow("kinesis:DescribeStreamSummary", lab.stream_arn(stream)),
        allow("kinesis:StartStreamEncryption", resources),
    ]
    return lab.role(suffix, statements, sees(stream))


def sees(stream: str) -> Callable[[Account], object]:
    """The call that shows that the permissions of a new role are in effect."""
    return lambda account: account.client("kinesis").describe_stream_summary(StreamName=stream)


class KeyArnAuthorised(Experiment):
    """Starts encryption as a role that is allowed the stream only, and as one that is allowed the
    stream and the key."""

    question = Question(
        "key-arn-authorised",
        "Is StartStreamEncryption authorised on the key's ARN as well as on the stream's?",
        "The role in the template allows the configured keys only, which restricts nothing if AWS does not "
        "check the key.",
        "It is, as the Service Authorization Reference says.",
        "The role allows the action on the streams and on the keys, and the function itself applies configured "
        "keys only.",
        (REFERENCE,),
    )

    def observe(self, lab: Lab) -> Finding:
        stream, key = lab.create_stream("key-arn"), lab.keys["second"]
        arn = lab.stream_arn(stream)
        only_stream = starter(lab, "stream-only", stream, [arn])
        both = starter(lab, "stream-and-key", stream, [arn, key])
        without_key = refusal(lambda: lab.start(stream, key, only_stream))
        lab.wait_until_active(stream)
        with_key = refusal(lambda: lab.start(stream, key, both))
        lab.wait_until_active(stream)
        lab.delete_stream(stream)
        found = {"streamOnly": without_key, "streamAndKey": with_key}
        if with_key:
            return undecided(f"Both were refused; the role with both resources with {with_key['code']}.", **found)
        if without_key is None:
            return decided(False, "It is not: a role that is allowed the stream alone may start encryption.", **found)
        return decided(
            "AccessDenied" in without_key["code"],
            f"It is: without the key's ARN the call fails with {without_key['code']}.",
            **found,
        )


class StartWithoutKms(Experiment):
    """Starts encryption as a role without any permission for KMS."""

    question = Question(
        "start-without-kms",
        "Does StartStreamEncryption need permissions for KMS of its caller?",
        "The function's role has no permission to use a key.",
        "It needs none.",
        "A refusal ends as `KMSAccessDeniedException` in a dead letter, whose remedy names the permission.",
        (f"{STREAMS}/permissions-user-key-KMS.html", REFERENCE),
    )

    def observe(self, lab: Lab) -> Finding:
        stream, key = lab.create_stream("no-kms"), lab.keys["second"]
        role = starter(lab, "no-kms", stream, [lab.stream_arn(stream), key])
        refused = refusal(lambda: lab.start(stream, key, role))
        lab.wait_until_active(stream)
        lab.delete_stream(stream)
        if refused:
            return decided(False, f"The call is refused with {refused['code']}.", refusal=refused)
        return decided(True, "It needs none: a role without permissions for KMS may start encryption.")


class DeniedCaller(Experiment):
    """Writes and reads an encrypted stream as roles that may not use its key."""

    question = Question(
        "denied-caller",
        "What do a producer and a consumer get that may not use the stream's key?",
        "The warning before enforcing, and the runbook, say how callers fail.",
        "KMSAccessDeniedException, at once.",
        "Audit mode, `enforcer access` and the checklist come before enforcement; halted sweeps limit the harm "
        "after it.",
        (
            f"{STREAMS}/permissions-user-key-KMS.html",
            f"{API}/API_PutRecord.html",
            f"{API}/API_GetRecords.html",
            f"{KMS}/services-kinesis.html",
        ),
    )

    def prepare(self, lab: Lab) -> None:
        self._stream = stream = lab.create_stream("denied")
        arn = lab.stream_arn(stream)
        lab.encrypt(stream, lab.keys["second"])
        lab.kinesis.put_record(StreamName=stream, Data=b"verification", PartitionKey="1")
        reading = [
            "kinesis:DescribeStreamSummary",
            "kinesis:ListShards",
            "kinesis:GetShardIterator",
            "kinesis:GetRecords",
        ]
        writing = ["kinesis:DescribeStreamSummary", "kinesis:PutRecord"]
        self._producer = lab.role("producer", [allow(writing, arn)], sees(stream))
        self._consumer = lab.role("consumer", [allow(reading, arn)], sees(stream))
        self._written = refusal(self._write)
        self._read_back = refusal(lambda: self._read(lab))

    def observe(self, lab: Lab) -> Finding:
        found = {"producer": self._written, "consumer": self._read_back}
        codes = {name: each["code"] if each else "accepted" for name, each in found.items()}
        answer = f"PutRecord: {codes['producer']}; GetRecords: {codes['consumer']}."
        return decided(set(codes.values()) == {"KMSAccessDeniedException"}, answer, **found)

    def _write(self) -> None:
        self._producer.client("kinesis", once=True).put_record(
            StreamName=self._stream, Data=b"verification", PartitionKey="1"
        )

    def _read(self, lab: Lab) -> None:
        kinesis = self._consumer.client("kinesis", once=True)
        shard = kinesis.list_shards(StreamName=self._stream)["Shards"][0]["ShardId"]
        iterator = kinesis.get_shard_iterator(StreamName=self._stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")[
            "ShardIterator"
        ]
        # A response may be empty although there are records:
        # https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html
        for _ in range(10):
            response = kinesis.get_records(ShardIterator=iterator)
            if response["Records"]:
                return
            iterator = response["NextShardIterator"]
            time.sleep(lab.patience.pause)
