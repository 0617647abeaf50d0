#!/usr/bin/env python3
"""Makes a bill of materials fit to be published, and holds it to what is true: `sbom.py FROM TO`.

cargo-cyclonedx calls the package by where it lies on this machine; here it is called by its name. The result must obey CycloneDX's schema, and
must name what `cargo tree` names, no crate more and none less: cargo-cyclonedx asks `cargo metadata`, which cannot tell apart what only the tests
turn on.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parents[1]


def tree():
    """What the function is built of: what is linked, the procedural macros, and what the build scripts need."""
    command = ["cargo", "tree", "--locked", "--no-default-features", "--edges", "normal,build", "--prefix", "none", "--target", "x86_64-unknown-linux-gnu"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.splitlines()
    found = {tuple(re.match(r"(\S+) v(\S+)", line).groups()) for line in lines if line}
    return {crate for crate in found if crate[0] != "kinesis-encryption-enforcer"}


def main():
    source, target = sys.argv[1:]
    text = Path(source).read_text()
    text = re.sub(r'path\+file://[^"#]*#(kinesis-encryption-enforcer@)?', "pkg:cargo/kinesis-encryption-enforcer@", text)
    text = re.sub(r"\?download_url=file://[^\"#]*", "", text)
    if str(ROOT) in text:
        sys.exit(f"{source} names {ROOT}")

    bill = json.loads(text)
    about = bill["metadata"]["component"]
    about["components"] = [target for target in about["components"] if target["name"] in ("bootstrap", "kinesis_encryption_enforcer")]
    expected = tree()
    bill["components"] = [component for component in bill["components"] if (component["name"], component["version"]) in expected]
    missing = expected - {(component["name"], component["version"]) for component in bill["components"]}
    if missing:
        sys.exit(f"missing: {sorted(missing)}")
    left = {component["bom-ref"] for component in bill["components"]} | {about["bom-ref"]}
    bill["dependencies"] = [
        {**entry, "dependsOn": [ref for ref in entry.get("dependsOn", []) if ref in left]} for entry in bill["dependencies"] if entry["ref"] in left
    ]
    text = json.dumps(bill, indent=2) + "\n"
    problem = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
    if problem:
        sys.exit(f"{source} does not obey CycloneDX 1.5: {problem}")
    without = [component["name"] for component in bill["components"] if not component.get("hashes") or not component.get("licenses")]
    if without:
        sys.exit(f"without a hash or a licence: {without}")
    Path(target).write_text(text)
    print(f"{target}: {len(expected)} crates, CycloneDX 1.5")


if __name__ == "__main__":
    main()
