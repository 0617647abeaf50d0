"""What StartStreamEncryption does, and what a stream shows of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from verify.experiments.base import API, KMS, STREAMS, Experiment, decided, undecided
from verify.lab import Lab, names_of, refusal
from verify.question import Finding, Question

START = f"{API}/API_StartStreamEncryption.html"
SUMMARY = f"{API}/API_StreamDescriptionSummary.html"
# One more than AWS allows in 24 hours.
ONE_TOO_MANY = 26


class AliasShown(Experiment):
    """Encrypts a stream with a customer alias and looks at its KeyId."""

    question = Question(
        "alias-shown",
        "Which KeyId does a stream show that was encrypted with a customer alias?",
        "The function compares the stream's key with the configured one.",
        "The stream may show the alias, a key ID or a key ARN.",
        "It resolves both keys with DescribeKey before it compares them, and applies a key by its ARN only.",
        (START, SUMMARY),
    )
    emulators_show = True

    def observe(self, lab: Lab) -> Finding:
        stream, alias = lab.create_stream("alias-shown"), lab.names.alias("shown")
        lab.kms.create_alias(AliasName=alias, TargetKeyId=lab.keys["second"])
        shown = lab.encrypt(stream, alias)["KeyId"]
        lab.delete_stream(stream)
        forms = {
            alias: "the alias name as it was given",
            lab.keys["second"]: "the ARN of the key",
            lab.keys["second"].rsplit("/", 1)[1]: "the key ID",
        }
        form = forms.get(shown, "the ARN of the alias" if shown.endswith(f":{alias}") else None)
        if form is None:
            return undecided(f"It shows `{shown}`.", keyId=shown)
        return decided(True, f"It shows {form}.", keyId=shown)


class AliasRepointed(Experiment):
    """Points the alias of an encrypted stream to another key, and looks at which key the stream shows and uses."""

    question = Question(
        "alias-repointed",
        "What does a stream that was encrypted with an alias do when the alias points to another key?",
        "The event of UpdateAlias makes the function check every stream.",
        "Nothing: such a stream may show and use the old key, or the new one.",
        "It looks at every stream when the configured alias changes, and applies the new key by its ARN. "
        "Streams that it encrypted do not depend on an alias.",
        (START, f"{KMS}/alias-update.html", f"{STREAMS}/costs-performance.html"),
    )

    def prepare(self, lab: Lab) -> None:
        self._stream, alias = lab.create_stream("alias-repointed"), lab.names.alias("repointed")
        lab.kms.create_alias(AliasName=alias, TargetKeyId=lab.keys["second"])
        self._before = lab.encrypt(self._stream, alias)["KeyId"]
        lab.kinesis.put_record(StreamName=self._stream, Data=b"before", PartitionKey="1")
        lab.kms.update_alias(AliasName=alias, TargetKeyId=lab.keys["applied"])

    def observe(self, lab: Lab) -> Finding:
        # Data keys are kept for minutes; the record after that needs a new one.
        lab.watch(lambda: None, lab.patience.data_key, pause=lab.patience.data_key)
        after = lab.stream(self._stream)["KeyId"]
        lab.kinesis.put_record(StreamName=self._stream, Data=b"after", PartitionKey="1")
        arn = lab.stream_arn(self._stream)

        def for_the_stream(event: dict[str, Any]) -> bool:
            context = (event.get("requestParameters") or {}).get("encryptionContext") or {}
            return event["eventName"] == "GenerateDataKey" and context.get("aws:kinesis:arn") == arn

        used = lab.look_up("ResourceName", names_of(lab.keys["applied"]), for_the_stream)
        lab.delete_stream(self._stream)
        shows = "the KeyId that it showed before" if after == self._before else "another KeyId than before"
        found = {"before": self._before, "after": after, "records": used[:3]}
        if not used:
            return undecided(f"It shows {shows}; CloudTrail's history shows no use of the new key for it.", **found)
        return decided(True, f"It shows {shows}, and encrypts with the new key.", **found)


class SameKeyAgain(Experiment):
    """Applies the same key to one stream until AWS refuses, 26 times at most."""

    question = Question(
        "same-key-quota",
        "Does applying the same key again count against the 25 applications in 24 hours?",
        "A function that repeats a call could use up the quota of a stream.",
        "It counts.",
        "It never applies the key to a compliant stream, counts every application of anybody against "
        "`MAX_APPLIES_PER_DAY`, and leaves two of the 25.",
        (START, f"{STREAMS}/service-sizes-and-limits.html"),
    )

    def observe(self, lab: Lab) -> Finding:
        stream = lab.create_stream("quota")
        same, refused = applications(lab, stream, [lab.keys["second"]])
        if refused:
            return decided(
                True,
                f"It counts: application {same + 1} was refused with {refused['code']}.",
                accepted=same,
                refusal=refused,
            )
        others, refused = applications(lab, stream, [lab.keys["applied"], lab.keys["second"]])
        if refused:
            accepted = f"{same} applications of the same key were accepted, and {others} more of alternating keys"
            answer = f"It does not count: {accepted} until a refusal."
            return decided(False, answer, accepted=same, alternating=others, refusal=refused)
        return undecided(
            f"{same + others} applications were accepted, and none was refused.", accepted=same, alternating=others
        )


class QuotaPerStream(Experiment):
    """After a stream has used up its applications, applies the key to another stream."""

    question = Question(
        "quota-per-stream",
        "Do the 25 applications count for each stream, or for the account and Region?",
        "If they counted for the account, a sweep of more than 25 streams could not be finished in a day.",
        "They count for each stream.",
        "A used-up quota ends in one dead letter for each stream, with the time at which the window opens; "
        "nothing is retried in between.",
        (START, f"{STREAMS}/service-sizes-and-limits.html"),
    )
    after = "same-key-quota"

    def observe(self, lab: Lab) -> Finding:
        used_up = refusal(lambda: lab.start(lab.names.of("quota"), lab.keys["second"]))
        stream = lab.create_stream("quota-other")
        other = refusal(lambda: lab.start(stream, lab.keys["second"]))
        if not used_up or used_up["code"] != "LimitExceededException":
            return undecided(
                "No stream has used up its applications, so there is nothing to compare with.",
                first=used_up,
                second=other,
            )
        if other:
            return decided(False, f"Another stream is refused too, with {other['code']}.", first=used_up, second=other)
        return decided(True, "Another stream is accepted while the first one is refused.", first=used_up, second=other)


def applications(lab: Lab, stream: str, keys: list[str]) -> tuple[int, dict[str, str] | None]:
    """How often these keys in turn could be applied, and the refusal that ended it."""
    for number in range(ONE_TOO_MANY):

        def apply(key: str = keys[number % len(keys)]) -> dict[str, str] | None:
            return refusal(lambda: lab.start(stream, key))

        refused = apply()
        if refused:
            # A used-up quota has the same code as throttling, which is over after a minute.
            lab.watch(lambda: None, lab.patience.watch, pause=lab.patience.watch)
            refused = apply()
        if refused:
            return number, refused
        lab.wait_until_active(stream)
    return ONE_TOO_MANY, None


class SameKeyRestarts(Experiment):
    """Applies the same key again and looks at the stream's status."""

    question = Question(
        "same-key-restarts",
        "Is applying the same key again accepted, and does the stream become UPDATING again?",
        "A lost response must not lead to a second application.",
        "It is accepted, and the stream is UPDATING again.",
        "It looks at the stream before it applies a key, and again after a lost response.",
        (START,),
    )

    def observe(self, lab: Lab) -> Finding:
        stream = lab.create_stream("again")
        lab.encrypt(stream, lab.keys["second"])
        refused = refusal(lambda: lab.start(stream, lab.keys["second"]))
        status = lab.stream(stream)["StreamStatus"]
        lab.wait_until_active(stream)
        if refused:
            return decided(False, f"It is refused with {refused['code']}.", refusal=refused, status=status)
        return decided(
            status == "UPDATING", f"It is accepted, and the stream is {status} directly afterwards.", status=status
        )


class StateWhileUpdating(Experiment):
    """Reads the stream all the time from StartStreamEncryption until ACTIVE."""

    question = Question(
        "state-while-updating",
        "Does an UPDATING stream show its old or its new encryption?",
        "A stream that shows the new key too early would count as encrypted.",
        "The old encryption.",
        "It evaluates no stream that is CREATING or UPDATING.",
        (START, SUMMARY),
    )

    def observe(self, lab: Lab) -> Finding:
        stream = lab.create_stream("updating")
        seen: list[tuple[str, str, bool]] = []
        lab.start(stream, lab.keys["second"])

        def active() -> bool:
            summary = lab.stream(stream)
            seen.append((summary["StreamStatus"], summary["EncryptionType"], "KeyId" in summary))
            return bool(summary["StreamStatus"] == "ACTIVE")

        began = time.monotonic()
        lab.watch(active, lab.patience.stream, pause=min(lab.patience.pause, 0.2))
        seconds = round(time.monotonic() - began, 1)
        lab.delete_stream(stream)
        shown = sorted({kind for status, kind, _ in seen if status == "UPDATING"})
        if not shown:
            return undecided("It was never seen UPDATING.", seen=seen)
        answer = f"While UPDATING, EncryptionType is {' and '.join(shown)}; ACTIVE after {seconds} s."
        return decided(shown == ["NONE"], answer, seen=seen, seconds=seconds)


class RecordsAfterActive(Experiment):
    """Writes records from the moment at which a stream is ACTIVE with its key."""

    question = Question(
        "records-after-active",
        "For how long after ACTIVE does PutRecord still answer `NONE`?",
        "`apply --probe` writes one record, 5 s after the stream became ACTIVE, and expects `KMS`.",
        "At most 5 s.",
        "The function takes the stream's description as the proof, and documents the 5 s; the probe reports a "
        "record that is not encrypted.",
        (START, f"{API}/API_PutRecord.html"),
    )

    def observe(self, lab: Lab) -> Finding:
        stream = lab.create_stream("records")
        lab.encrypt(stream, lab.keys["second"])
        began = time.monotonic()
        answers: list[tuple[float, str]] = []

        def write() -> bool:
            sent = round(time.monotonic() - began, 2)
            answer = lab.kinesis.put_record(StreamName=stream, Data=b"verification", PartitionKey=str(len(answers)))
            answers.append((sent, answer.get("EncryptionType", "absent")))
            return False

        lab.watch(write, lab.patience.records, pause=min(lab.patience.pause, 0.25))
        lab.delete_stream(stream)
        unencrypted = [sent for sent, kind in answers if kind != "KMS"]
        if not unencrypted:
            return decided(True, "Not at all: the first record is answered with `KMS`.", answers=answers)
        last = max(unencrypted)
        if answers[-1][1] != "KMS":
            return decided(False, f"For more than {last} s.", answers=answers)
        return decided(
            last <= 5, f"The last record without `KMS` was sent {last} s after ACTIVE was seen.", answers=answers
        )


class BusyStream(Experiment):
    """Applies a key to a stream that is UPDATING, and to one that is DELETING."""

    question = Question(
        "busy-stream",
        "How is StartStreamEncryption refused for a stream that is UPDATING or DELETING?",
        "The function waits for a stream that is in use, and gives up on one that is being deleted.",
        "With ResourceInUseException, or ResourceNotFoundException for one that is being deleted.",
        "After any refusal it looks at the stream again, and decides by its status and not by the code.",
        (START,),
    )

    def observe(self, lab: Lab) -> Finding:
        stream = lab.create_stream("busy")
        lab.start(stream, lab.keys["second"])
        updating = refusal(lambda: lab.start(stream, lab.keys["second"]))
        lab.wait_until_active(stream)
        lab.delete_stream(stream)
        deleting = refusal(lambda: lab.start(stream, lab.keys["second"]))
        codes = [each["code"] if each else "accepted" for each in (updating, deleting)]
        answer = f"UPDATING: {codes[0]}; DELETING: {codes[1]}."
        expected = codes[0] == "ResourceInUseException" and codes[1] in (
            "ResourceInUseException",
            "ResourceNotFoundException",
        )
        return decided(expected, answer, updating=updating, deleting=deleting)


class RefusedKeys(Experiment):
    """Applies a key that does not exist, one that is disabled, and one that is scheduled for deletion."""

    question = Question(
        "refused-keys",
        "With which codes does StartStreamEncryption refuse a missing, a disabled and a deleted key?",
        "The function reports the code with its remedy.",
        "KMSNotFoundException, KMSDisabledException and KMSInvalidStateException.",
        "It looks at the key with DescribeKey before, and applies no key that cannot be used; the codes have "
        "the same remedies.",
        (START, f"{KMS}/key-state.html"),
    )

    def observe(self, lab: Lab) -> Finding:
        stream, key = lab.create_stream("refused"), lab.keys["spare"]
        missing = key.rsplit("/", 1)[0] + "/00000000-0000-4000-8000-000000000000"
        expected = {
            "missing": "KMSNotFoundException",
            "disabled": "KMSDisabledException",
            "deleted": "KMSInvalidStateException",
        }
        causes: dict[str, Callable[[], object]] = {
            "missing": lambda: None,
            "disabled": lambda: lab.kms.disable_key(KeyId=key),
            "deleted": lambda: lab.kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7),
        }
        found: dict[str, str] = {}
        for state, cause in causes.items():
            cause()
            given = missing if state == "missing" else key
            # KMS shows a change with a delay:
            # https://docs.aws.amazon.com/kms/latest/developerguide/accessing-kms.html#programming-eventual-consistency
            refused = lab.watch(partial(self._settled, lab, stream, given, expected[state]), lab.patience.watch)
            found[state] = refused["code"] if refused else "another code, or accepted"
        lab.delete_stream(stream)
        answer = "; ".join(f"{state}: {code}" for state, code in found.items()) + "."
        return decided(found == expected, answer, found=found)

    @staticmethod
    def _settled(lab: Lab, stream: str, key: str, expected: str) -> dict[str, str] | None:
        refused = refusal(lambda: lab.start(stream, key))
        if refused is None:
            lab.wait_until_active(stream)
        return refused if refused and refused["code"] == expected else None
