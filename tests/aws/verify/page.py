"""docs/VERIFIED.md, from the questions and the results."""

from __future__ import annotations

import pathlib

from verify.experiments import EXPERIMENTS, NOT_RUN
from verify.question import Question
from verify.results import Result, Results

PATH = pathlib.Path("docs/VERIFIED.md")
NEVER = "**Nothing on this page has been verified on AWS yet: no run of `make verify-aws` is recorded.**"
WITH_EMULATOR = "**This is a dry run with an emulator: it says nothing about AWS.**"


def page(results: Results, *, emulated: bool = False) -> str:
    """The whole document."""
    questions = [experiment.question for experiment in EXPERIMENTS]
    lines = [
        "# Verified on AWS",
        "",
        WITH_EMULATOR if emulated else (_state(results, len(questions)) if results else NEVER),
        "`make verify-aws` writes this page: [contributing/VERIFYING.md](contributing/VERIFYING.md).",
        "",
        "| question | answer | the program assumes | what makes either answer safe |",
        "| --- | --- | --- | --- |",
        *(
            _row(_named(question), _answer(results.get(question.id)), question.assumes, question.either)
            for question in questions
        ),
        "",
        "## Questions that the program does not ask",
        "",
        "| question | why not | the program assumes | what makes either answer safe |",
        "| --- | --- | --- | --- |",
        *(_row(_named(asked.question), asked.why, asked.question.assumes, asked.question.either) for asked in NOT_RUN),
    ]
    return "\n".join(lines) + "\n"


def _state(results: Results, total: int) -> str:
    dates = sorted({result.date for result in results.values()})
    days = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    holding = sum(result.verdict == "holds" for result in results.values())
    return f"{len(results)} of {total} questions were asked on AWS, {days}; {holding} assumptions hold."


def _answer(result: Result | None) -> str:
    if result is None:
        return "not run"
    files = [result.evidence, *result.events.values()]
    links = ", ".join(f"[{pathlib.PurePosixPath(file).stem}](../{file})" for file in files)
    return f"{result.answer} The assumption: **{result.verdict}** ({result.date}, {result.region}; {links})"


def _named(question: Question) -> str:
    """The question, with the page of AWS that leaves it open behind its id."""
    name = f"[`{question.id}`]({question.sources[0]})" if question.sources else f"`{question.id}`"
    return f"{name} {question.text}"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
