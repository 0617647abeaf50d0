#!/usr/bin/env python3
"""Finds the words and phrases in rules.py, and Markdown lines that are not one sentence.

`make prose` checks the places in ENFORCED.
`tests/prose/check.py PLACE…` checks other places, and `tests/prose/check.py all` checks every place.
Exits with 1 when anything is found.
"""

import os
import subprocess
import sys
from pathlib import Path

import texts
from rules import RULES

ROOT = Path(__file__).resolve().parents[2]
# Documents for contributors, who may read about tests.
FOR_CONTRIBUTORS = {
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/contributing/DEPENDENCIES.md",
    "docs/contributing/EMULATORS.md",
    "docs/contributing/PERFORMANCE.md",
    "docs/contributing/ROADMAP.md",
    "docs/contributing/TESTING.md",
    "docs/contributing/VERIFYING.md",
    "docs/contributing/VERSIONING.md",
}


def files(reader, *patterns, without=()):
    """The texts of all files that match one of the patterns."""
    paths = sorted({path for pattern in patterns for path in ROOT.glob(pattern)})
    names = [path.relative_to(ROOT).as_posix() for path in paths]
    contents = {name: (ROOT / name).read_text(encoding="utf-8") for name in names if name not in without}
    return [text for name, content in contents.items() for text in reader(name, content)]


def changes(path, text):
    return texts.markdown(path, texts.unreleased(path, text))


def documents():
    return (
        files(
            texts.markdown,
            "README.md",
            "CODE_OF_CONDUCT.md",
            "CONTRIBUTING.md",
            "SECURITY.md",
            ".github/*.md",
            "docs/**/*.md",
            "events/README.md",
        )
        + files(changes, "CHANGELOG.md")
        + files(texts.yaml, ".github/**/*.yml")
    )


def help_of_the_program():
    subprocess.run(
        [os.environ.get("CARGO", "cargo"), "build", "--locked", "--quiet", "--bin", "enforcer"],
        cwd=ROOT,
        check=True,
    )
    return texts.help_texts(ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug" / "enforcer")


def source():
    tests = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("src/**/tests.rs")]
    return files(texts.source, "src/**/*.rs", "src/**/*.js", without=tests)


# Every place, and what reads its texts.
PLACES = {
    "documents": documents,
    "architecture": lambda: files(texts.markdown, "ARCHITECTURE.md"),
    "help": help_of_the_program,
    "template": lambda: files(texts.yaml, "template.yaml", "deploy/*.yaml"),
    "source": source,
    "build": lambda: files(texts.comments, "Makefile", "*.toml", ".cargo/*.toml", "deploy/**/*.tf"),
}
# The places that `make prose` checks.
ENFORCED = ["documents", "architecture", "help", "template", "build", "source"]


def phrases(text):
    """What the rules find in a text: line, message."""
    masked = text.masked()
    for rule in RULES:
        if rule.for_users_only and (not text.path.endswith(".md") or text.path in FOR_CONTRIBUTORS):
            continue
        for match in rule.expression.finditer(masked):
            yield text.lines[
                match.start()
            ], f"write “{rule.write}”, not “{text.value[match.start() : match.end()]}”"


def findings(place):
    """Everything that is wrong in a place, as path, line and message."""
    read = PLACES[place]()
    found = {(text.path, line, message) for text in read for line, message in phrases(text)}
    for path in {text.path for text in read if text.path.endswith(".md")}:
        content = (ROOT / path).read_text(encoding="utf-8")
        if path == "CHANGELOG.md":
            content = texts.unreleased(path, content)
        found |= {(path, line, message) for line, message in texts.sentences(path, content)}
    return sorted(found)


def main(places):
    total = 0
    for place in places:
        found = findings(place)
        for path, line, message in found:
            print(f"{path}:{line}: {message}")
        total += len(found)
        print(f"{place}: {len(found)} findings")
    return 1 if total else 0


if __name__ == "__main__":
    chosen = sys.argv[1:] or ENFORCED
    sys.exit(main(list(PLACES) if chosen == ["all"] else chosen))
