"""Removes everything that a run created, found by its prefix: after a run, a failure, Ctrl-C, and for `--clean`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from verify.account import Account, pages
from verify.deployment import wait_for_stack
from verify.names import TAG, Names

# The shortest that KMS accepts:
# https://docs.aws.amazon.com/kms/latest/APIReference/API_ScheduleKeyDeletion.html
DAYS = 7


class Removal:
    """Each step looks for what is there, so it can be repeated, and goes on when another step fails."""

    def __init__(self, account: Account, names: Names, say: Callable[[str], None], pause: float = 1) -> None:
        self._account, self._names, self._say, self._pause = account, names, say, pause
        self.failed: list[str] = []
        self.deleted_later: list[str] = []

    def run(self) -> bool:
        """Whether nothing is left but keys that KMS deletes in a week."""
        self._say(f"removing everything that begins with {self._names.prefix}-")
        # The function first: it must not act on the rest. Aliases before keys, which they name.
        for step in (
            self._rule,
            self._stack,
            self._streams,
            self._queue,
            self._roles,
            self._aliases,
            self._keys,
            self._bucket,
        ):
            self._attempt(step.__name__.strip("_"), step)
        for key in self.deleted_later:
            self._say(f"  stays: {key}, which KMS deletes after {DAYS} days; it costs nothing until then")
        for failure in self.failed:
            self._say(f"  not removed: {failure}")
        return not self.failed

    def _attempt(self, what: str, step: Callable[[], None]) -> None:
        try:
            step()
        except (ClientError, BotoCoreError, TimeoutError) as error:
            self.failed.append(f"{what}: {error}")

    def _removed(self, what: str) -> None:
        self._say(f"  removed: {what}")

    def _rule(self) -> None:
        events = self._account.client("events")
        for rule in pages(events, "list_rules", "Rules", NamePrefix=self._names.of("")):
            # Those of the stack have its name first, and CloudFormation removes them.
            if rule["Name"] != self._names.of("events"):
                continue
            targets = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
            if targets:
                events.remove_targets(Rule=rule["Name"], Ids=[target["Id"] for target in targets])
            events.delete_rule(Name=rule["Name"])
            self._removed(f"rule {rule['Name']}")

    def _stack(self) -> None:
        name, cloudformation = self._names.of("stack"), self._account.client("cloudformation")
        if wait_for_stack(self._account, name, lambda _: True, self._pause) is None:
            return
        cloudformation.delete_stack(StackName=name)
        stack = wait_for_stack(
            self._account, name, lambda status: status in ("DELETE_COMPLETE", "DELETE_FAILED"), self._pause
        )
        if stack is not None and stack["StackStatus"] != "DELETE_COMPLETE":
            raise TimeoutError(f"{name} is {stack['StackStatus']}: {stack.get('StackStatusReason', 'see its events')}")
        self._removed(f"stack {name}")

    def _stream_names(self) -> list[str]:
        """Names come in order, so the run's own are a section. `NextToken` may be missing: some emulators have none.

        https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListStreams.html
        """
        kinesis, after, found = self._account.client("kinesis"), None, []
        while True:
            page = kinesis.list_streams(Limit=1000, **({"ExclusiveStartStreamName": after} if after else {}))
            found += [name for name in page["StreamNames"] if self._names.owns(name)]
            if not page["HasMoreStreams"] or not page["StreamNames"]:
                return found
            after = page["StreamNames"][-1]

    def _streams(self) -> None:
        kinesis, end = self._account.client("kinesis"), time.monotonic() + 600
        deleting: set[str] = set()
        while names := self._stream_names():
            for name in set(names) - deleting:
                try:
                    kinesis.delete_stream(StreamName=name, EnforceConsumerDeletion=True)
                    deleting.add(name)
                    self._removed(f"stream {name}")
                except kinesis.exceptions.ResourceNotFoundException:
                    deleting.add(name)
                except (kinesis.exceptions.ResourceInUseException, kinesis.exceptions.LimitExceededException):
                    # Still CREATING or UPDATING, or five calls in this second: the next round.
                    pass
            if time.monotonic() > end:
                raise TimeoutError(f"streams are left after ten minutes: {', '.join(names)}")
            time.sleep(self._pause)

    def _queue(self) -> None:
        sqs = self._account.client("sqs")
        name = self._names.of("events")
        for url in sqs.list_queues(QueueNamePrefix=name).get("QueueUrls", []):
            if url.rsplit("/", 1)[1] == name:
                sqs.delete_queue(QueueUrl=url)
                self._removed(f"queue {name}")

    def _roles(self) -> None:
        iam = self._account.client("iam")
        for role in pages(iam, "list_roles", "Roles"):
            name = role["RoleName"]
            # Those of the stack are CloudFormation's.
            if not self._names.owns(name) or name.startswith(self._names.of("stack")):
                continue
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
                iam.delete_role_policy(RoleName=name, PolicyName=policy)
            iam.delete_role(RoleName=name)
            self._removed(f"role {name}")

    def _aliases(self) -> None:
        kms = self._account.client("kms")
        for alias in pages(kms, "list_aliases", "Aliases"):
            if alias["AliasName"].startswith(self._names.alias("")):
                kms.delete_alias(AliasName=alias["AliasName"])
                self._removed(alias["AliasName"])

    def _own_keys(self) -> Iterator[dict[str, Any]]:
        kms = self._account.client("kms")
        for key in pages(kms, "list_keys", "Keys"):
            try:
                described = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
            except kms.exceptions.ClientError:
                # A key that the caller may not look at is not one that the caller created.
                continue
            if self._tagged(key["KeyId"]) or self._names.describes(described.get("Description", "")):
                yield described

    def _tagged(self, key: str) -> bool:
        kms = self._account.client("kms")
        try:
            return {"TagKey": TAG, "TagValue": self._names.prefix} in kms.list_resource_tags(KeyId=key)["Tags"]
        except kms.exceptions.ClientError:
            # The description says the same.
            return False

    def _keys(self) -> None:
        kms = self._account.client("kms")
        for key in self._own_keys():
            if key["KeyState"] != "PendingDeletion":
                kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=DAYS)
            self.deleted_later.append(key["Arn"])

    def _bucket(self) -> None:
        s3, bucket = self._account.client("s3"), self._names.of("code")
        if bucket not in {each["Name"] for each in s3.list_buckets()["Buckets"]}:
            return
        for item in pages(s3, "list_objects_v2", "Contents", Bucket=bucket):
            s3.delete_object(Bucket=bucket, Key=item["Key"])
        s3.delete_bucket(Bucket=bucket)
        self._removed(f"bucket {bucket}")
