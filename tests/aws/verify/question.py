"""A question about AWS, and what came of asking it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Question:
    """What is not known, and why the program may run nevertheless."""

    id: str
    text: str
    # What of the program depends on the answer.
    matters: str
    # What the program assumes.
    assumes: str
    # What it does so that either answer is safe.
    either: str
    # The pages of AWS that say something about it, or leave it open.
    sources: tuple[str, ...] = ()


class Verdict(enum.Enum):
    """Whether the program's assumption holds."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNDECIDED = "undecided"
    NOT_SHOWN = "not shown by the emulator"
    NOT_RUN = "not run"


@dataclass
class Finding:
    """The answer of one experiment."""

    verdict: Verdict
    answer: str
    # What was observed, beyond the calls, which are recorded anyway.
    observed: dict[str, Any] = field(default_factory=dict)
    # Events as EventBridge delivered them, by a name for the file of each.
    events: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class NotRun:
    """A question that this program does not ask, and the reason."""

    question: Question
    why: str
