"""Keeps every request and response of the experiments, by the hooks of botocore.

https://boto3.amazonaws.com/v1/documentation/api/latest/guide/events.html
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator
from typing import Any

# Others have nothing to do with a question, or hold credentials (STS).
SERVICES = ("kinesis", "kms", "cloudtrail", "lambda", "resourcegroupstaggingapi")
# A poll says nothing after this many responses.
LONGEST = 400


def now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Evidence:
    """What was sent and received, by experiment."""

    def __init__(self, own: Callable[[str], bool] = lambda _: True) -> None:
        """`own`: whether an event of CloudTrail's history is about the run. Those of others are
        nobody's business, and not kept."""
        self._own = own
        self._calls: dict[str, list[dict[str, Any]]] = {}
        self._current: str | None = None

    @contextlib.contextmanager
    def of(self, experiment: str) -> Iterator[None]:
        """Whatever is called inside belongs to this experiment."""
        before, self._current = self._current, experiment
        try:
            yield
        finally:
            self._current = before

    def calls(self, experiment: str) -> list[dict[str, Any]]:
        return self._calls.get(experiment, [])

    def listen(self, client: Any, actor: str) -> None:
        """Has the calls of a client recorded as those of `actor`."""
        service = client.meta.service_model.service_name
        if service not in SERVICES:
            return

        def sent(params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
            context["verification"] = {
                "at": now(),
                "by": actor,
                "call": f"{service}:{model.name}",
                "request": dict(params),
            }

        def received(parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
            call = context.get("verification")
            calls = self._calls.setdefault(self._current, []) if self._current else []
            if call is None or len(calls) >= LONGEST:
                return
            status = parsed.get("ResponseMetadata", {}).get("HTTPStatusCode")
            calls.append({**call, "answered": now(), "status": status, "response": self._kept(parsed)})

        client.meta.events.register(f"provide-client-params.{service}", sent)
        client.meta.events.register(f"after-call.{service}", received)

    def _kept(self, response: dict[str, Any]) -> dict[str, Any]:
        kept = {
            name: value
            for name, value in response.items()
            if name not in ("ResponseMetadata", "NextToken") and not hasattr(value, "read")
        }
        if "Events" in kept:
            own = [event for event in kept["Events"] if self._own(event.get("CloudTrailEvent", ""))]
            kept |= {"Events": own[:5], "eventsOfOthers": len(kept["Events"]) - len(own)}
        return kept
