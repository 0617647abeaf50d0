"""The results of all runs, and the files in which they are kept: below `tests/aws/recorded`, without
anything that identifies the account."""

from __future__ import annotations

import datetime
import json
import pathlib
from dataclasses import asdict, dataclass
from typing import Any

from verify.question import Finding, Question
from verify.scrub import Scrubber

FOLDER = pathlib.Path("tests/aws/recorded")


@dataclass(frozen=True)
class Result:
    """The latest answer to a question."""

    answer: str
    verdict: str
    date: str
    region: str
    # Files, from the root of the project.
    evidence: str
    events: dict[str, str]


Results = dict[str, Result]


def load(root: pathlib.Path) -> Results:
    path = root / FOLDER / "results.json"
    if not path.exists():
        return {}
    return {name: Result(**fields) for name, fields in json.loads(path.read_text(encoding="utf-8")).items()}


class Store:
    """Writes what was found, scrubbed, below the root of the project or another folder."""

    def __init__(self, root: pathlib.Path, region: str, scrubber: Scrubber) -> None:
        self.root, self._region, self._scrubber = root, region, scrubber
        self.results = load(root)

    def keep(self, question: Question, finding: Finding, calls: list[dict[str, Any]]) -> None:
        """Writes the evidence of an experiment, its events, and its result."""
        events = {
            name: self._write(f"{self._region}/events/{name}.json", event) for name, event in finding.events.items()
        }
        today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
        answer = self._scrubber.text(finding.answer)
        evidence = {
            "question": question.text,
            "assumes": question.assumes,
            "answer": answer,
            "verdict": finding.verdict.value,
            "date": today,
            "region": self._region,
            "observed": finding.observed,
            "events": events,
            "calls": calls,
        }
        path = self._write(f"{self._region}/{question.id}.json", evidence)
        self.results[question.id] = Result(answer, finding.verdict.value, today, self._region, path, events)
        ordered = {name: asdict(result) for name, result in sorted(self.results.items())}
        self._write("results.json", ordered)

    def _write(self, name: str, content: Any) -> str:
        path = FOLDER / name
        text = self._scrubber.check(json.dumps(self._scrubber.value(content), indent=2, ensure_ascii=False) + "\n")
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text, encoding="utf-8")
        return path.as_posix()
