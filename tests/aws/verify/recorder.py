"""A rule and a queue of the run's own, by which the events about its resources arrive as EventBridge delivers them.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from verify.account import Account
from verify.names import Names


class Recorder:
    """Receives the events about the streams, keys, aliases and roles of the run, and no others."""

    def __init__(self, account: Account, names: Names, number: str, partition: str) -> None:
        self._account, self._names, self._number, self._partition = account, names, number, partition
        self._queue = ""
        self._events: list[dict[str, Any]] = []

    def start(self, keys: list[str]) -> None:
        name, sqs = self._names.of("events"), self._account.client("sqs")
        arn = f"arn:{self._partition}:sqs:{self._account.region}:{self._number}:{name}"
        rule = f"arn:{self._partition}:events:{self._account.region}:{self._number}:rule/{name}"
        allowed = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        attributes = {"MessageRetentionPeriod": "86400", "SqsManagedSseEnabled": "true", "Policy": document}
        self._queue = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        events = self._account.client("events")
        # Denied calls for a producer or consumer are read-only events, which only rules in this
        # state receive:
        # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html
        events.put_rule(
            Name=name,
            EventPattern=json.dumps(self.pattern(keys)),
            State="ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS",
            Description="make verify-aws records events about its own resources",
        )
        events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])

    def pattern(self, keys: list[str]) -> dict[str, Any]:
        """What names a resource of the run, in any of the places where events name one."""
        prefix = f"{self._names.prefix}-"
        stream = f"arn:{self._partition}:kinesis:{self._account.region}:{self._number}:stream/{prefix}"
        role = f"arn:{self._partition}:iam::{self._number}:role/{prefix}"
        named = [{"prefix": each} for each in (prefix, stream)]
        ids = keys + [key.rsplit("/", 1)[1] for key in keys]
        return {
            "source": ["aws.kinesis", "aws.kms"],
            "$or": [
                {"resources": keys},
                {"detail": {"requestParameters": {"streamName": named}}},
                {"detail": {"requestParameters": {"streamARN": named}}},
                {"detail": {"requestParameters": {"resourceARN": named}}},
                {"detail": {"requestParameters": {"aliasName": [{"prefix": f"alias/{prefix}"}]}}},
                {"detail": {"requestParameters": {"keyId": ids}}},
                {"detail": {"requestParameters": {"encryptionContext": {"aws:kinesis:arn": named}}}},
                {"detail": {"resources": {"ARN": keys}}},
                {"detail": {"userIdentity": {"sessionContext": {"sessionIssuer": {"arn": [{"prefix": role}]}}}}},
            ],
        }

    def find(self, wanted: Callable[[dict[str, Any]], bool], deadline: float) -> dict[str, Any] | None:
        """The first event that is wanted, as soon as it has arrived."""
        while True:
            self._receive()
            for event in self._events:
                if wanted(event):
                    return event
            if time.monotonic() >= deadline:
                return None

    def _receive(self) -> None:
        sqs = self._account.client("sqs")
        wait = 0 if self._account.endpoint else 5
        received = sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10, WaitTimeSeconds=wait).get(
            "Messages", []
        )
        for message in received:
            self._events.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        if not received and self._account.endpoint:
            time.sleep(0.05)


def why_no_events(account: Account) -> str | None:
    """Why CloudTrail's events cannot reach a rule: without a trail that logs management events, none do.

    https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_GetEventSelectors.html
    """
    cloudtrail = account.client("cloudtrail")
    for trail in cloudtrail.describe_trails(includeShadowTrails=True)["trailList"]:
        try:
            if not cloudtrail.get_trail_status(Name=trail["TrailARN"]).get("IsLogging"):
                continue
            selectors = cloudtrail.get_event_selectors(TrailName=trail["TrailARN"])
        except cloudtrail.exceptions.ClientError:
            # The trail of an organization may be hidden from its accounts. It may log these events.
            return None
        basic = any(
            each.get("IncludeManagementEvents")
            and "kms.amazonaws.com" not in each.get("ExcludeManagementEventSources", [])
            for each in selectors.get("EventSelectors", [])
        )
        if basic or any(_management(each) for each in selectors.get("AdvancedEventSelectors", [])):
            return None
    return (
        "no trail of this account and Region logs management events, those of KMS included; "
        "without one, EventBridge receives no calls"
    )


def _management(selector: dict[str, Any]) -> bool:
    fields = {each["Field"]: each for each in selector["FieldSelectors"]}
    return fields.get("eventCategory", {}).get("Equals") == ["Management"] and "eventSource" not in fields
