"""What the deployed stack does with a stream of its own."""

from __future__ import annotations

import json
import time
from typing import Any

from verify.experiments.base import API, EVENTS, Experiment, decided, undecided
from verify.lab import Lab
from verify.question import Finding, Question


def invoke(lab: Lab, stream: str) -> dict[str, Any]:
    """The function's answer to a request for a stream: docs/REFERENCE.md."""
    response = lab.account.client("lambda").invoke(
        FunctionName=lab.function, Payload=json.dumps({"stream": stream}).encode()
    )
    return dict(json.load(response["Payload"]))


def failed(body: dict[str, Any]) -> Finding:
    return decided(False, f"The invocation failed: {body.get('errorType')}: {body.get('errorMessage')}", response=body)


class FunctionEncrypts(Experiment):
    """Invokes the deployed function for a stream."""

    question = Question(
        "function-encrypts",
        "Does the deployed function encrypt a stream with the permissions of its role in the template?",
        "It is what the program is for.",
        "It does: the role has what the calls need.",
        "A missing permission ends in a dead letter that names it, and in an alarm.",
        ("https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html", f"{API}/API_StartStreamEncryption.html"),
    )
    emulators_show = True

    def observe(self, lab: Lab) -> Finding:
        stream = lab.create_stream("managed-invoked")
        body = invoke(lab, stream)
        if "outcomes" not in body:
            return failed(body)
        # The rule for new streams may be faster; a stream that takes longer than a minute comes
        # back through the work queue.
        shown = lab.watch(lambda: lab.wait_until_active(stream).get("KeyId"), lab.patience.stream)
        outcome = body["outcomes"][0]
        fine = outcome["status"] in ("encrypted", "compliant", "deferred") and shown == lab.keys["applied"]
        key = "the configured key" if shown == lab.keys["applied"] else "another key" if shown else "no key"
        return decided(
            fine, f"The outcome is `{outcome['status']}`, and the stream shows {key}.", response=body, keyId=shown
        )


class EventEncrypts(Experiment):
    """Creates a stream and waits for the function to encrypt it, by the event of CreateStream."""

    question = Question(
        "event-encrypts",
        "How long is a new stream unencrypted?",
        "CreateStream cannot encrypt, so there is a window.",
        "Seconds to minutes, by the event of CreateStream; EventBridge delivers on a best-effort basis.",
        "The schedule checks every stream.",
        (f"{EVENTS}/eb-service-event-cloudtrail.html", f"{API}/API_CreateStream.html"),
    )
    by_events = True

    def observe(self, lab: Lab) -> Finding:
        stream, created = lab.create_stream("managed-created"), time.monotonic()
        shown = lab.watch(lambda: lab.stream(stream).get("KeyId"), lab.patience.event)
        seconds = round(time.monotonic() - created, 1)
        if not shown:
            return decided(False, f"It was not encrypted within {lab.patience.event:.0f} s.")
        return decided(
            shown == lab.keys["applied"], f"For {seconds} s after it was ACTIVE.", seconds=seconds, keyId=shown
        )


class ForeignStream(Experiment):
    """Invokes the function for a stream that its policy exempts."""

    question = Question(
        "policy-exempts",
        "Does the deployed function leave a stream alone that its policy exempts?",
        "The policy is how a run of this program leaves all other streams alone.",
        "It does.",
        "A further policy of the role denies the call for every other stream, whatever the function does.",
    )
    emulators_show = True

    def observe(self, lab: Lab) -> Finding:
        stream = lab.create_stream("exempt")
        body = invoke(lab, stream)
        kind = lab.stream(stream)["EncryptionType"]
        lab.delete_stream(stream)
        if "outcomes" not in body:
            return failed(body)
        status = body["outcomes"][0]["status"]
        return decided(
            status == "exempt" and kind == "NONE",
            f"The outcome is `{status}`, and the stream's encryption is {kind}.",
            response=body,
        )


class TagLag(Experiment):
    """Tags a stream, removes the tag, and asks the Resource Groups Tagging API until it no longer shows the tag."""

    question = Question(
        "tag-lag",
        "For how long does the Resource Groups Tagging API show a tag that was removed?",
        "A sweep reads exemptions from it.",
        "For seconds to minutes.",
        "Before it touches a stream, the function reads the stream's own tags; a stream that is wrongly skipped "
        "is found by the next sweep.",
        ("https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html",),
    )

    def observe(self, lab: Lab) -> Finding:
        stream, tag = lab.create_stream("tags"), lab.names.of("tag")
        lab.kinesis.add_tags_to_stream(StreamName=stream, Tags={tag: "verification"})
        if not lab.watch(lambda: self._shown(lab, tag), lab.patience.tags):
            return undecided("It never showed the tag.")
        lab.kinesis.remove_tags_from_stream(StreamName=stream, TagKeys=[tag])
        removed = time.monotonic()
        gone = lab.watch(lambda: not self._shown(lab, tag), lab.patience.tags)
        lab.delete_stream(stream)
        if not gone:
            return decided(False, f"For more than {lab.patience.tags:.0f} s.")
        return decided(True, f"For {time.monotonic() - removed:.0f} s.", seconds=round(time.monotonic() - removed, 1))

    @staticmethod
    def _shown(lab: Lab, tag: str) -> bool:
        client = lab.account.client("resourcegroupstaggingapi")
        return bool(
            client.get_resources(TagFilters=[{"Key": tag}], ResourceTypeFilters=["kinesis"])["ResourceTagMappingList"]
        )
