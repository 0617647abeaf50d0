"""Replaces what identifies an account, a person or a resource, the same value by the same placeholder everywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

ACCOUNT = "111122223333"
# AWS's documentation uses these for other accounts.
OTHERS = ("444455556666", "777788889999", "123456789012")

_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
_MULTI_REGION_KEY = re.compile(r"\bmrk-[0-9a-f]{32}\b")
_MATERIAL = re.compile(r"\b[0-9a-f]{64}\b")
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
_ACCESS_KEY = re.compile(r"\b(AKIA|ASIA|ABIA)[A-Z0-9]{12,}\b")
_PRINCIPAL = re.compile(r"\b(AROA|AIDA|AGPA|AIPA|ANPA|ANVA|APKA|ASCA)[A-Z0-9]{12,}\b")
_ORGANIZATION = re.compile(r"\bo-[a-z0-9]{10,32}\b")
_ENDPOINT = re.compile(r"\bvpce-[0-9a-f]{8,}\b")
_EMAIL = re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]+\b")
_ADDRESS = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_ADDRESS_6 = re.compile(r"(?<![\w:])(?:[0-9a-f]{1,4}:){4,7}[0-9a-f]{1,4}(?![\w:])", re.IGNORECASE)
# Also in host names and in names of buckets, but not in numbers, hashes, or the placeholder of a
# UUID.
_ACCOUNT_ID = re.compile(r"(?<![A-Za-z0-9])(?<!\d\.)(?<!-8000-)\d{12}(?![A-Za-z0-9])(?!\.\d)")
# Nothing in the values of these says anything about AWS; some are credentials.
_DROPPED = {
    "ResponseMetadata",
    "ShardIterator",
    "NextShardIterator",
    "ReceiptHandle",
    "SecretAccessKey",
    "SessionToken",
    "Credentials",
    "CiphertextBlob",
    "sharedEventID",
    "httpHeaders",
    "apiCallId",
}


class Scrubber:
    """Scrubs the texts of one run: two ids that differ stay different, and equal ones stay equal."""

    def __init__(self, account: str, secrets: Iterable[tuple[str, str]] = ()) -> None:
        """`secrets`: further values of this run that must not be written, such as the caller's name,
        each with its placeholder."""
        self._account = account
        # Whole words, longer ones first: a name may be a common word, or a part of another one.
        ordered = sorted(((value, shown) for value, shown in secrets if value), key=lambda pair: -len(pair[0]))
        self._secrets = [(re.compile(rf"(?<![\w-]){re.escape(value)}(?![\w-])"), shown) for value, shown in ordered]
        self._known: dict[str, dict[str, str]] = {}

    def text(self, text: str) -> str:
        for secret, shown in self._secrets:
            text = secret.sub(shown, text)
        text = _UUID.sub(
            lambda found: self._numbered("uuid", found[0].lower(), "00000000-0000-4000-8000-{:012d}"), text
        )
        text = text.replace(self._account, ACCOUNT)
        text = _MULTI_REGION_KEY.sub(lambda found: self._numbered("mrk", found[0], "mrk-{:032d}"), text)
        text = _MATERIAL.sub(lambda found: self._numbered("material", found[0], "{:064d}"), text)
        text = _ACCESS_KEY.sub(lambda found: f"{found[1]}IOSFODNN7EXAMPLE", text)
        text = _PRINCIPAL.sub(lambda found: self._numbered("principal", found[0], f"{found[1]}EXAMPLE{{:010d}}"), text)
        text = _ORGANIZATION.sub("o-exampleorgid", text)
        text = _ENDPOINT.sub("vpce-11223344556677889", text)
        text = _EMAIL.sub("person@example.com", text)
        text = _ADDRESS.sub("192.0.2.1", text)
        text = _ADDRESS_6.sub("2001:db8::1", text)
        return _ACCOUNT_ID.sub(lambda found: self._other_account(found[0]), text)

    def value(self, value: Any) -> Any:
        """The same for JSON."""
        match value:
            case dict():
                return {
                    self.text(str(name)): self._field(name, each)
                    for name, each in value.items()
                    if name not in _DROPPED
                }
            case list() | tuple():
                return [self.value(each) for each in value]
            case str():
                return self._json_inside(value)
            case bytes():
                return self.text(value.decode(errors="replace"))
            case None | bool() | int() | float():
                return value
        return self.text(str(value))

    def check(self, text: str) -> str:
        """The text, if nothing in it identifies the account."""
        # An emulator's account may be the placeholder itself.
        if (self._account != ACCOUNT and self._account in text) or any(
            secret.search(text) for secret, _ in self._secrets
        ):
            raise ValueError("a text that identifies the account was about to be written")
        return text

    def _field(self, name: str, value: Any) -> Any:
        # A program's name and version are of interest; what it says about the machine is not.
        if name == "userAgent" and isinstance(value, str):
            return self.text(value.split(" ")[0].strip("["))
        return self.value(value)

    def _json_inside(self, text: str) -> str:
        """CloudTrail puts an event into a string."""
        if text.startswith("{"):
            try:
                return json.dumps(self.value(json.loads(text)))
            except ValueError:
                pass
        return self.text(text)

    def _numbered(self, kind: str, value: str, form: str) -> str:
        known = self._known.setdefault(kind, {})
        if value in known.values():
            return value
        return known.setdefault(value, form.format(len(known) + 1))

    def _other_account(self, value: str) -> str:
        if value == ACCOUNT or value in OTHERS:
            return value
        known = self._known.setdefault("account", {})
        return known.setdefault(value, OTHERS[min(len(known), len(OTHERS) - 1)])
