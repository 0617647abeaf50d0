"""How calls look in events, as EventBridge delivers them, and in CloudTrail's history."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from verify.experiments.base import EVENTS, KMS, TRAIL, Experiment, decided, undecided
from verify.experiments.permissions import sees
from verify.lab import Lab, allow, names_of, refusal
from verify.question import Finding, Question, Verdict

Event = dict[str, Any]
BY_EVENTBRIDGE = f"{EVENTS}/eb-service-event-cloudtrail.html"


def call(name: str, *, by: str | None = None, failed: bool | None = None, **parameters: str) -> Callable[[Event], bool]:
    """Matches a call by its name, its caller's role, whether it failed, and its request parameters."""

    def matches(event: Event) -> bool:
        detail = event.get("detail", {})
        given = detail.get("requestParameters") or {}
        issuer = str(detail.get("userIdentity", {}).get("sessionContext", {}).get("sessionIssuer", {}).get("arn", ""))
        return (
            detail.get("eventName") == name
            and (by is None or issuer.endswith(f"/{by}"))
            and (failed is None or failed == ("errorCode" in detail))
            and all(given.get(key) == value for key, value in parameters.items())
        )

    return matches


class ByEvents(Experiment):
    """Waits for the events of what was prepared."""

    by_events = True
    # How long it took from the call until the event was received is a part of the answer.
    _caused: float = 0

    def wanted(self, lab: Lab) -> dict[str, Callable[[Event], bool]]:
        """The events, by the name of the file that each is recorded in."""
        raise NotImplementedError

    def answer(self, events: dict[str, Event]) -> Finding:
        raise NotImplementedError

    def observe(self, lab: Lab) -> Finding:
        deadline = (self._caused or time.monotonic()) + lab.patience.event
        found = {name: lab.recorder.find(wanted, deadline) for name, wanted in self.wanted(lab).items()}
        events = {name: event for name, event in found.items() if event is not None}
        missing = sorted(found.keys() - events.keys())
        if missing:
            finding = undecided(f"These events did not arrive within {lab.patience.event:.0f} s: {', '.join(missing)}.")
        else:
            finding = self.answer(events)
        finding.events = events
        return finding


class StreamEvents(ByEvents):
    """Creates, encrypts and decrypts a stream, and tags it."""

    question = Question(
        "stream-events",
        "How do the events of CreateStream, StartStreamEncryption, StopStreamEncryption and tag changes look today?",
        "The function finds the stream in them.",
        "`requestParameters` has `streamName` or `streamARN`, as the caller sent it, and `errorCode` is absent "
        "after a success.",
        "It takes either, sends an event that it does not understand to the dead-letter queue, and the schedule "
        "finds the stream.",
        (BY_EVENTBRIDGE, "https://docs.aws.amazon.com/streams/latest/dev/logging-using-cloudtrail.html"),
    )

    def prepare(self, lab: Lab) -> None:
        self._stream = lab.create_stream("events")
        lab.encrypt(self._stream, lab.keys["second"])
        arn = lab.stream_arn(self._stream)
        lab.kinesis.stop_stream_encryption(StreamARN=arn, EncryptionType="KMS", KeyId=lab.keys["second"])
        lab.wait_until_active(self._stream)
        lab.kinesis.add_tags_to_stream(StreamName=self._stream, Tags={"stage": "verification"})
        self._caused = time.monotonic()

    def wanted(self, lab: Lab) -> dict[str, Callable[[Event], bool]]:
        return {
            "stream-created": call("CreateStream", streamName=self._stream),
            "encryption-changed": call("StartStreamEncryption", streamName=self._stream),
            "encryption-stopped": call("StopStreamEncryption", streamARN=lab.stream_arn(self._stream)),
            "tags-added": call("AddTagsToStream", streamName=self._stream),
        }

    def answer(self, events: dict[str, Event]) -> Finding:
        seconds = round(time.monotonic() - self._caused)
        failed = [name for name, event in events.items() if "errorCode" in event["detail"]]
        versions = ", ".join(sorted({event["detail"]["eventVersion"] for event in events.values()}))
        answer = f"They name the stream as it was given; eventVersion {versions}."
        return decided(not failed, answer, secondsAtMost=seconds)


class DeniedStart(ByEvents):
    """Starts encryption as a role that may not."""

    question = Question(
        "denied-start-event",
        "Has the event of a denied StartStreamEncryption request parameters, and which `errorCode`?",
        "A denied call changes nothing and must not start work.",
        "`requestParameters` is null, and `errorCode` is `AccessDenied`.",
        "The rules do not match events with an `errorCode`, and the function ignores them.",
        (BY_EVENTBRIDGE, f"{TRAIL}/userguide/cloudtrail-event-reference-record-contents.html"),
    )

    def prepare(self, lab: Lab) -> None:
        stream = lab.create_stream("not-allowed")
        may = [allow("kinesis:DescribeStreamSummary", lab.stream_arn(stream))]
        self._role = lab.names.of("not-allowed")
        role = lab.role("not-allowed", may, sees(stream))
        refusal(lambda: lab.start(stream, lab.keys["second"], role))
        lab.wait_until_active(stream)
        lab.delete_stream(stream)
        self._caused = time.monotonic()

    def wanted(self, lab: Lab) -> dict[str, Callable[[Event], bool]]:
        return {"encryption-change-denied": call("StartStreamEncryption", by=self._role)}

    def answer(self, events: dict[str, Event]) -> Finding:
        detail = events["encryption-change-denied"]["detail"]
        parameters, error = detail.get("requestParameters"), detail.get("errorCode")
        answer = f"`requestParameters` is {'null' if parameters is None else 'present'}, `errorCode` is `{error}`."
        return decided(parameters is None and error == "AccessDenied", answer)


class DeniedKmsCall(ByEvents):
    """Finds the denied calls to KMS of the producer and the consumer of `denied-caller`."""

    question = Question(
        "denied-kms-event",
        "How does a call look in events that Kinesis makes for a caller and KMS denies: `invokedBy`, "
        "`sourceIPAddress`, `userAgent`,"
        "`requestParameters`, `errorCode`?",
        "The rule for denied calls matches them, and the report names who is cut off from what.",
        "One of the first three is `kinesis.amazonaws.com`; `errorCode` is `AccessDenied` or `AccessDeniedException`.",
        "The rule matches any of the three fields or the encryption context, and the function takes both codes; "
        "without request parameters it reports the key and no stream.",
        (BY_EVENTBRIDGE, f"{KMS}/logging-using-cloudtrail.html", f"{KMS}/services-kinesis.html"),
    )
    after = "denied-caller"

    def prepare(self, lab: Lab) -> None:
        self._caused = time.monotonic()

    def wanted(self, lab: Lab) -> dict[str, Callable[[Event], bool]]:
        return {
            "access-denied-producer": call("GenerateDataKey", by=lab.names.of("producer"), failed=True),
            "access-denied-consumer": call("Decrypt", by=lab.names.of("consumer"), failed=True),
        }

    def answer(self, events: dict[str, Event]) -> Finding:
        shown, holds = {}, True
        for name, event in events.items():
            detail = event["detail"]
            services = [
                detail.get("userIdentity", {}).get("invokedBy"),
                detail.get("sourceIPAddress"),
                detail.get("userAgent"),
            ]
            context = (detail.get("requestParameters") or {}).get("encryptionContext")
            shown[name] = {
                "services": services,
                "encryptionContext": context,
                "errorCode": detail.get("errorCode"),
                "message": detail.get("errorMessage"),
            }
            service = "kinesis.amazonaws.com" in services or bool(context)
            holds = holds and service and detail.get("errorCode") in ("AccessDenied", "AccessDeniedException")
        first = next(iter(shown.values()))
        context = "with" if first["encryptionContext"] else "without"
        caller = f"invokedBy, sourceIPAddress, userAgent: {first['services']}"
        answer = f"{caller}; `errorCode` is `{first['errorCode']}`; {context} an encryption context."
        return decided(holds, answer, shown=shown)


class KeyEvents(ByEvents):
    """Creates, points and deletes an alias; disables, enables and rotates a key."""

    question = Question(
        "key-events",
        "How do the events of aliases, of a disabled and enabled key, and of a rotation look today?",
        "The function finds the key or the alias in them.",
        "`requestParameters` has `aliasName` and `targetKeyId`, or `keyId`; a rotation is an event of its own, "
        "with `key-id`.",
        "It takes IDs, ARNs and names, and sends an event that it does not understand to the dead-letter queue.",
        (f"{KMS}/logging-using-cloudtrail.html", f"{KMS}/kms-events.html"),
    )

    def prepare(self, lab: Lab) -> None:
        alias, key, other = lab.names.alias("events"), lab.keys["rotated"], lab.keys["spare"]
        lab.kms.create_alias(AliasName=alias, TargetKeyId=key)
        lab.kms.update_alias(AliasName=alias, TargetKeyId=lab.keys["second"])
        lab.kms.delete_alias(AliasName=alias)
        # https://docs.aws.amazon.com/kms/latest/APIReference/API_RotateKeyOnDemand.html
        rotated = refusal(lambda: lab.kms.rotate_key_on_demand(KeyId=key))
        if rotated:
            lab.say(f"  the key could not be rotated: {rotated['code']}")
        # Another one, since a rotation takes a while.
        lab.kms.disable_key(KeyId=other)
        lab.kms.enable_key(KeyId=other)
        self._key, self._alias = other, alias
        self._caused = time.monotonic()

    def wanted(self, lab: Lab) -> dict[str, Callable[[Event], bool]]:
        return {
            "alias-created": call("CreateAlias", aliasName=self._alias),
            "alias-repointed": call("UpdateAlias", aliasName=self._alias),
            "alias-deleted": call("DeleteAlias", aliasName=self._alias),
            "key-disabled": call("DisableKey", keyId=self._key),
            "key-enabled": call("EnableKey", keyId=self._key),
            "key-rotated": lambda event: event.get("detail-type") == "KMS CMK Rotation",
        }

    def answer(self, events: dict[str, Event]) -> Finding:
        rotation = sorted(events["key-rotated"]["detail"])
        return decided(
            "key-id" in rotation, f"They name the key or alias as it was given; the rotation has {', '.join(rotation)}."
        )


class HistoryByKey(Experiment):
    """Looks up the key of `denied-caller` in CloudTrail's history."""

    after = "denied-caller"

    question = Question(
        "history-by-key",
        "Does LookupEvents by the key's ARN or ID show the calls that Kinesis makes for producers and consumers?",
        "`enforcer access` finds callers in the history.",
        "It shows them, after up to 15 minutes.",
        "`enforcer access` reads several sources and says which of them it could not read.",
        (f"{TRAIL}/APIReference/API_LookupEvents.html", f"{TRAIL}/userguide/view-cloudtrail-events.html"),
    )

    def observe(self, lab: Lab) -> Finding:
        def by_kinesis(event: Event) -> bool:
            return event["eventName"] in ("GenerateDataKey", "Decrypt") and "kinesis.amazonaws.com" in str(event)

        found = lab.look_up("ResourceName", names_of(lab.keys["second"]), by_kinesis)
        if not found:
            return decided(False, f"It shows none within {lab.patience.history:.0f} s.")
        names = sorted({event["eventName"] for event in found})
        return decided(True, f"It shows {', '.join(names)}.", records=found[:3])


class HistoryOfStart(Experiment):
    """Looks up StartStreamEncryption in CloudTrail's history."""

    question = Question(
        "history-of-start",
        "Does LookupEvents by the call's name show who applied a key to which stream?",
        "The function finds out from it who undoes its work.",
        "It does, after up to 15 minutes.",
        "It also remembers its own applications; if the history cannot be read, it backs off for 15 minutes.",
        (f"{TRAIL}/APIReference/API_LookupEvents.html", f"{TRAIL}/userguide/view-cloudtrail-events.html"),
    )

    def prepare(self, lab: Lab) -> None:
        self._stream = lab.create_stream("history")
        lab.encrypt(self._stream, lab.keys["second"])

    def observe(self, lab: Lab) -> Finding:
        def wanted(event: Event) -> bool:
            return (event.get("requestParameters") or {}).get("streamName") == self._stream

        found = lab.look_up("EventName", ["StartStreamEncryption"], wanted)
        lab.delete_stream(self._stream)
        if not found:
            return decided(False, f"It does not within {lab.patience.history:.0f} s.")
        identity = found[0].get("userIdentity", {})
        complete = "type" in identity and "eventTime" in found[0]
        return Finding(
            Verdict.HOLDS if complete else Verdict.FAILS,
            f"It shows the call of a caller of type {identity.get('type')}.",
            {"record": found[0]},
        )
