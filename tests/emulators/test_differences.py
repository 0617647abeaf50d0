"""docs/contributing/EMULATORS.md and the tests know the same differences between emulators and AWS."""

import pathlib
import re

from account import EMULATORS, PROJECT

HERE = pathlib.Path(__file__).parent


def rows():
    """The table of differences: the emulators of a row, by its name."""
    table = (PROJECT / "docs" / "contributing" / "EMULATORS.md").read_text().split("| row | emulators |")[1].split("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert all(len(row) == 4 and all(row) for row in cells), cells
    return {name.strip("`"): set(emulators.split(", ")) for name, emulators, *_ in cells}


def sources():
    return "\n".join(path.read_text() for path in sorted(HERE.iterdir()) if path.suffix in (".py", ".js") and path != pathlib.Path(__file__))


def marks():
    """What `differs` marks say: the emulators, by the name of the row."""
    found = {}
    for emulators, row in re.findall(r'pytest\.mark\.differs\("([a-z -]+)", "([a-z0-9-]+)"\)', sources()):
        found.setdefault(row, set()).update(emulators.split())
    return found


def remarks():
    """The rows that are named where something is done otherwise."""
    return {row for line in re.findall(r"docs/contributing/EMULATORS\.md: (.+)", sources()) for row in re.findall("`([a-z0-9-]+)`", line)}


def test_every_mark_has_a_row_with_its_emulators():
    table = rows()
    for row, emulators in marks().items():
        assert emulators <= set(EMULATORS)
        assert table[row] == emulators, row


def test_every_row_is_a_mark_or_named_where_something_is_done_otherwise():
    assert marks().keys() | remarks() == rows().keys()


def test_the_embedded_aws_differs_in_nothing():
    assert not [row for row, emulators in rows().items() if "sandbox" in emulators]


def test_the_versions_are_those_that_are_pinned():
    text = (PROJECT / "docs" / "contributing" / "EMULATORS.md").read_text()
    pins = "\n".join((HERE / name).read_text() for name in ("requirements.in", "emulators.in"))
    for package in ("moto", "ministack", "aws-sam-cli", "cargo-lambda"):
        (version,) = re.findall(rf"^{package}(?:\[.*\])?==(\S+)$", pins, re.MULTILINE)
        assert f"{package} {version}" in text, package
    (version,) = re.findall(r'"kinesis-local": "(\S+)"', (HERE / "package.json").read_text())
    assert f"kinesis-local {version}" in text
