#!/usr/bin/env python3
"""Puts the terminal program into an archive: `archive.py ARCHIVE PROGRAM TEXTS [PATH…]`, where TEXTS is a folder with man pages and completions.

The archive's bytes depend on what is in it and on SOURCE_DATE_EPOCH: sorted names, no owner, fixed modes, compressed by a pinned zopfli. A program
that names one of the PATHs of this machine is refused: it would be another one elsewhere.
"""

import io
import os
import sys
import tarfile
from pathlib import Path

from zopfli import gzip

ROOT = Path(__file__).resolve().parents[1]
NEEDED = {"enforcer", "LICENSE", "README.md", "completions/_enforcer", "completions/enforcer.bash", "completions/enforcer.fish", "man/enforcer.1"}


def packed(folder, contents, time):
    """A tar archive of one folder: name to content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in sorted(contents.items()):
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mtime = len(content), time
            entry.mode = 0o755 if name == "enforcer" else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def main():
    target, program, texts, *paths = sys.argv[1:]
    contents = {"enforcer": Path(program).read_bytes()}
    for path in paths:
        if path.encode() in contents["enforcer"]:
            sys.exit(f"{program} names {path}")
    contents |= {name: (ROOT / name).read_bytes() for name in ("LICENSE", "README.md")}
    files = [path for path in Path(texts).rglob("*") if path.is_file()]
    contents |= {path.relative_to(texts).as_posix(): path.read_bytes() for path in files}
    missing = sorted(name for name in NEEDED if not contents.get(name))
    if missing:
        sys.exit(f"{target} would lack {', '.join(missing)}")

    folder = Path(target).name.removesuffix(".tar.gz")
    tar = packed(folder, contents, int(os.environ["SOURCE_DATE_EPOCH"]))
    # Five rounds, as for the function's packages: more gains nothing.
    Path(target).write_bytes(gzip.compress(tar, numiterations=5))
    with tarfile.open(target) as archive:
        read = {entry.name.removeprefix(f"{folder}/"): archive.extractfile(entry).read() for entry in archive}
    if read != contents:
        sys.exit(f"{target} does not hold what was put into it")


if __name__ == "__main__":
    main()
