"""What the experiments have in common: streams, roles, keys, and waiting for AWS."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from verify.account import Account, pages
from verify.names import TAG, Names
from verify.recorder import Recorder

Seen = TypeVar("Seen")


@dataclass(frozen=True)
class Patience:
    """How long to wait for what AWS does later, in seconds."""

    # Streams: seconds, and minutes at worst.
    # https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html
    stream: float = 600
    # A new role.
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
    role: float = 120
    # CloudTrail's events by EventBridge, of which AWS states no delay.
    event: float = 900
    # https://docs.aws.amazon.com/awscloudtrail/latest/userguide/view-cloudtrail-events.html says 15
    # minutes.
    history: float = 1200
    # Kinesis fetches a data key about every five minutes.
    # https://docs.aws.amazon.com/streams/latest/dev/costs-performance.html
    data_key: float = 420
    # The Resource Groups Tagging API, of which AWS states no delay.
    tags: float = 600
    # Records after ACTIVE: longer than the 5 s that AWS documents.
    records: float = 20
    # How long to watch something that may change.
    watch: float = 60
    # Between two looks.
    pause: float = 1


# An emulator does everything at once, or never.
PATIENCE_WITH_EMULATOR = Patience(
    stream=30, role=5, event=1, history=1, data_key=0.2, tags=0.5, records=0.5, watch=0.5, pause=0.05
)


class TimedOut(Exception):
    """AWS did not do in time what an experiment waits for."""


@dataclass
class Lab:
    """The account, and what the run created in it."""

    account: Account
    number: str
    partition: str
    names: Names
    patience: Patience
    recorder: Recorder
    say: Callable[[str], None]
    # Why no event can arrive, if it is known.
    no_events: str | None = None
    # Name of the deployed function.
    function: str = ""
    # The ARNs of the run's keys: the one that the function applies, a second one, and one to
    # disable and delete.
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def kinesis(self) -> Any:
        return self.account.client("kinesis", once=True)

    @property
    def kms(self) -> Any:
        return self.account.client("kms", once=True)

    def stream_arn(self, name: str) -> str:
        return f"arn:{self.partition}:kinesis:{self.account.region}:{self.number}:stream/{name}"

    def create_key(self, suffix: str) -> str:
        """A key of this run: its ARN. Its policy is the default one: who may use it is decided in IAM.

        https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
        """
        tags = [{"TagKey": TAG, "TagValue": self.names.prefix}]
        description = self.names.description(suffix)
        arn: str = self.kms.create_key(KeyUsage="ENCRYPT_DECRYPT", Description=description, Tags=tags)["KeyMetadata"][
            "Arn"
        ]
        self.keys[suffix] = arn
        self.until(
            f"key {arn}",
            lambda: self.kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "Enabled",
            self.patience.role,
        )
        return arn

    def create_stream(self, suffix: str, *, wait: bool = True) -> str:
        """A stream with one shard: its name."""
        name = self.names.of(suffix)
        # Five calls a second; an account may have five streams CREATING.
        self.until(f"CreateStream of {name}", lambda: self._created(name), self.patience.stream)
        if wait:
            self.wait_until_active(name)
        return name

    def _created(self, name: str) -> bool:
        try:
            self.kinesis.create_stream(StreamName=name, ShardCount=1)
        except ClientError as error:
            if code(error) != "LimitExceededException":
                raise
            return False
        return True

    def delete_stream(self, name: str) -> None:
        self.kinesis.delete_stream(StreamName=name, EnforceConsumerDeletion=True)

    def stream(self, name: str) -> dict[str, Any]:
        answer = self.account.client("kinesis").describe_stream_summary(StreamName=name)
        return dict(answer["StreamDescriptionSummary"])

    def wait_until_active(self, name: str) -> dict[str, Any]:
        def active() -> dict[str, Any] | None:
            seen = self.stream(name)
            return seen if seen["StreamStatus"] == "ACTIVE" else None

        return self.until(f"ACTIVE of {name}", active, self.patience.stream)

    def start(self, name: str, key: str, account: Account | None = None) -> None:
        """StartStreamEncryption, once."""
        kinesis = (account or self.account).client("kinesis", once=True)
        kinesis.start_stream_encryption(StreamName=name, EncryptionType="KMS", KeyId=key)

    def encrypt(self, name: str, key: str) -> dict[str, Any]:
        """Applies a key and waits for it."""
        self.start(name, key)
        return self.wait_until_active(name)

    def role(self, suffix: str, statements: list[dict[str, Any]], ready: Callable[[Account], object]) -> Account:
        """The account as a new role with these permissions sees it, once `ready`, a call that it may
        make, succeeds."""
        name, iam = self.names.of(suffix), self.account.client("iam")
        trust = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:{self.partition}:iam::{self.number}:root"},
            "Action": "sts:AssumeRole",
        }
        created = iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=policy([trust]), Description="make verify-aws"
        )
        iam.put_role_policy(RoleName=name, PolicyName="verification", PolicyDocument=policy(statements))

        def usable() -> Account | None:
            try:
                account = self.account.assume(created["Role"]["Arn"], name)
                ready(account)
            except ClientError as error:
                # What a service answers that does not know the role, or its session, yet.
                if not denied(error) and code(error) not in ("UnrecognizedClientException", "InvalidClientTokenId"):
                    raise
                return None
            return account

        return self.until(f"permissions of {name}", usable, self.patience.role)

    def look_up(
        self, attribute: str, values: list[str], wanted: Callable[[dict[str, Any]], bool]
    ) -> list[dict[str, Any]]:
        """The wanted events of CloudTrail's history with one of these values of an attribute, once there is one.

        https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
        """
        cloudtrail = self.account.client("cloudtrail")

        def found() -> list[dict[str, Any]]:
            for value in values:
                attributes = [{"AttributeKey": attribute, "AttributeValue": value}]
                events = pages(
                    cloudtrail,
                    "lookup_events",
                    "Events",
                    LookupAttributes=attributes,
                    PaginationConfig={"MaxItems": 200},
                )
                records = [json.loads(event["CloudTrailEvent"]) for event in events]
                if matching := [record for record in records if wanted(record)]:
                    return matching
            return []

        # Two calls a second are allowed, and others need them too.
        return self.watch(found, self.patience.history, pause=max(self.patience.pause, 0.05) * 20) or []

    def until(self, what: str, seen: Callable[[], Seen | None], seconds: float) -> Seen:
        """What `seen` returns as soon as it is true."""
        result = self.watch(seen, seconds)
        if not result:
            raise TimedOut(f"{what}: not seen within {seconds:.0f} s")
        return result

    def watch(self, seen: Callable[[], Seen | None], seconds: float, pause: float | None = None) -> Seen | None:
        """The same; what it returned last if it was never true."""
        end = time.monotonic() + seconds
        while not (result := seen()) and time.monotonic() < end:
            time.sleep(pause or self.patience.pause)
        return result


def policy(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def allow(actions: str | list[str], resources: str | list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources}


def code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def denied(error: ClientError) -> bool:
    """Whether IAM, or a key policy by way of Kinesis, refused the call."""
    return "AccessDenied" in code(error)


def refusal(call: Callable[[], object]) -> dict[str, str] | None:
    """Code and message with which a call was refused; none if it was not."""
    try:
        call()
    except ClientError as error:
        return {"code": code(error), "message": str(error.response["Error"].get("Message", ""))}
    return None


def names_of(key: str) -> list[str]:
    """Under which a history may list a key: its ARN, and its ID alone."""
    return [key, key.rsplit("/", 1)[1]]
