#!/usr/bin/env python3
"""Says how much of the library's lines the tests run: `coverage.py LCOV [--lines]`.

What follows `#[cfg(test)]` is not counted: tests run themselves. Exits with 1 when a part falls below its least share.
"""

import sys
from pathlib import Path

SRC = Path(__file__).resolve().parents[1] / "src"
# The part of a file, by where it lies, and the least share of its lines. main.rs and bin/ run in processes of their own, beside these tests.
LEAST = {"function": 95.0, "sandbox": 90.0, "terminal program": 85.0}


def part(name):
    if name == "main.rs" or name.startswith("bin/") or name.endswith("tests.rs"):
        return None
    return {"sandbox": "sandbox", "cli": "terminal program"}.get(name.split("/")[0], "function")


def read(path):
    """The lines of each file, each with how often it ran."""
    files, lines = {}, {}
    for row in Path(path).read_text().splitlines():
        key, _, value = row.partition(":")
        if key == "SF":
            lines = files.setdefault(Path(value).resolve(), {})
        elif key == "DA":
            number, count = value.split(",")[:2]
            lines[int(number)] = max(lines.get(int(number), 0), int(count))
    return files


def ranges(numbers):
    found = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return [str(first) if first == last else f"{first}-{last}" for first, last in found]


def main():
    wanted = "--lines" in sys.argv[2:]
    totals = {name: [0, 0] for name in LEAST}
    files = read(sys.argv[1])
    for path in sorted(SRC.rglob("*.rs")):
        name = path.relative_to(SRC).as_posix()
        if part(name) is None:
            continue
        text = path.read_text().splitlines()
        end = next((number for number, line in enumerate(text, 1) if line.startswith("#[cfg(test)]")), len(text) + 1)
        counts = {number: count for number, count in files.get(path, {}).items() if number < end}
        missed = sorted(number for number, count in counts.items() if count == 0)
        total = totals[part(name)]
        total[0] += len(counts) - len(missed)
        total[1] += len(counts)
        if counts:
            share = 100 * (1 - len(missed) / len(counts))
            print(f"{share:6.1f} %  {name:32} {len(counts):5} lines" + (f"  not run: {', '.join(ranges(missed))}" if missed else ""))
            if wanted:
                for number in missed:
                    print(f"{number:12}: {text[number - 1]}")
    below = False
    print()
    for name, (covered, counted) in totals.items():
        if counted == 0:
            sys.exit(f"nothing was counted of the {name}")
        share = 100 * covered / counted
        below |= share < LEAST[name]
        print(f"{share:6.1f} %  {name} ({counted} lines; at least {LEAST[name]} %)")
    sys.exit(below)


if __name__ == "__main__":
    main()
