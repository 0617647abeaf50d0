#!/usr/bin/env python3
"""What the function weighs, against bench/budgets.json: the program, its zip, the crates in it. `make budgets` also counts calls and waiting.

Sizes and counts only: they are the same wherever they are taken. Exits with 1 when a budget is exceeded.
"""

import json
import subprocess
import sys
import zlib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True).stdout


def program():
    """The path of the function, built as it is deployed."""
    built = cargo("build", "--locked", "--release", "--bin", "bootstrap", "--message-format", "json-render-diagnostics")
    return next(Path(path) for message in map(json.loads, built.splitlines()) if (path := message.get("executable")))


def deflated(content):
    """How large `content` is in a zip."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return len(compressor.compress(content) + compressor.flush())


def crates():
    """How many crates the function is built of, itself included; those that only run while building are not in it."""
    tree = cargo("tree", "--locked", "--no-default-features", "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}")
    return len({line.removesuffix(" (*)") for line in tree.splitlines() if line})


def main():
    content = program().read_bytes()
    spent = {"programBytes": len(content), "zipBytes": deflated(content), "crates": crates()}
    budgets = json.loads((PROJECT / "bench" / "budgets.json").read_text())["function"]
    if spent.keys() != budgets.keys():
        sys.exit(f"bench/budgets.json must budget exactly {', '.join(spent)}")
    print(f"{'the function':<20}{'spent':>12}{'budget':>12}")
    for what, number in spent.items():
        print(f"{what:<20}{number:>12,}{budgets[what]:>12,}")
    exceeded = [what for what, number in spent.items() if number > budgets[what]]
    if exceeded:
        sys.exit(f"over budget: {', '.join(exceeded)}")


if __name__ == "__main__":
    main()
