#!/usr/bin/env python3
"""Puts the function's binary into a deployment package: `zip.py BINARY ZIP [PATH…]`.

The package's bytes depend on the binary only: one entry, its time the first that a zip can tell, its mode rwxr-xr-x, compressed by a pinned
zopfli, since zlib's bytes differ from one build of it to the next. A binary that names one of the PATHs of this machine is refused: it would
be another one elsewhere.
"""

import binascii
import struct
import sys
import zipfile
from pathlib import Path

from zopfli import zlib

NAME = b"bootstrap"
# APPNOTE.TXT of the zip format: version 2.0, no flags, deflate, 1 January 1980, 00:00:00.
COMMON = struct.pack("<HHHHH", 20, 0, 8, 0, 1 << 5 | 1)
UNIX = 3 << 8 | 20
MODE = 0o100755


def packed(content):
    # A zlib stream is two bytes, the deflated data, and a checksum of four.
    data = zlib.compress(content, numiterations=5)[2:-4]
    sizes = struct.pack("<III", binascii.crc32(content), len(data), len(content))
    local = b"PK\x03\x04" + COMMON + sizes + struct.pack("<HH", len(NAME), 0) + NAME
    central = b"PK\x01\x02" + struct.pack("<H", UNIX) + COMMON + sizes + struct.pack("<HHHHHII", len(NAME), 0, 0, 0, 0, MODE << 16, 0) + NAME
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local) + len(data), 0)
    return local + data + central + end


def main():
    binary, package, *paths = sys.argv[1:]
    content = Path(binary).read_bytes()
    for path in paths:
        if path.encode() in content:
            sys.exit(f"{binary} names {path}")

    Path(package).write_bytes(packed(content))
    with zipfile.ZipFile(package) as archive:
        (entry,) = archive.infolist()
        if archive.testzip() or archive.read("bootstrap") != content or entry.external_attr >> 16 != MODE:
            sys.exit(f"{package} does not hold what was put into it")


if __name__ == "__main__":
    main()
