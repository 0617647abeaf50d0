"""What an experiment is."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

from verify.lab import Lab
from verify.question import Finding, Question, Verdict

API = "https://docs.aws.amazon.com/kinesis/latest/APIReference"
STREAMS = "https://docs.aws.amazon.com/streams/latest/dev"
KMS = "https://docs.aws.amazon.com/kms/latest/developerguide"
TRAIL = "https://docs.aws.amazon.com/awscloudtrail/latest"
EVENTS = "https://docs.aws.amazon.com/eventbridge/latest/userguide"


class Experiment(abc.ABC):
    """One question, asked of AWS with resources of the run's own.

    All experiments are prepared before the first one is observed, so that events arrive while others are observed.
    """

    question: ClassVar[Question]
    # Whether emulators imitate what is asked. If not, a run with one records only that the steps
    # work.
    emulators_show: ClassVar[bool] = False
    # Whether the answer is in events, which need a trail.
    by_events: ClassVar[bool] = False
    # The question whose experiment causes what this one observes, if it is another one.
    after: ClassVar[str | None] = None

    def prepare(self, lab: Lab) -> None:
        """Causes what is observed later."""

    @abc.abstractmethod
    def observe(self, lab: Lab) -> Finding:
        """Observes, and answers the question."""


def decided(holds: bool, answer: str, **observed: Any) -> Finding:
    return Finding(Verdict.HOLDS if holds else Verdict.FAILS, answer, observed)


def undecided(answer: str, **observed: Any) -> Finding:
    return Finding(Verdict.UNDECIDED, answer, observed)
