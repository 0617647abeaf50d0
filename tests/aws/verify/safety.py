"""Proves with `enforcer plan` that the settings of the deployment change the run's own stream and no other."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import tempfile
from typing import Any

from verify.deployment import Refused, rules
from verify.lab import Lab

# A stream that was deleted since it was listed cannot be changed.
UNTOUCHED = ("exempt", "gone")
States = dict[str, Any]


def plan(lab: Lab, enforcer: pathlib.Path) -> list[dict[str, Any]]:
    """The plan for every stream of the account and Region."""
    with tempfile.TemporaryDirectory() as folder:
        policy = pathlib.Path(folder) / "policy.json"
        policy.write_text(rules(lab), encoding="utf-8")
        command = [
            str(enforcer),
            "plan",
            "--json",
            "--policy",
            str(policy),
            "--key",
            lab.keys["applied"],
            "--region",
            lab.account.region,
        ]
        ran = subprocess.run(command, env=environment(lab), capture_output=True, text=True, check=False)
    # 0, 1 and 3 are answers: docs/REFERENCE.md.
    if ran.returncode not in (0, 1, 3):
        raise Refused(f"`enforcer plan` failed with {ran.returncode}: {ran.stderr.strip()}")
    answer = json.loads(ran.stdout)
    if answer["failedRegions"]:
        raise Refused(f"`enforcer plan` could not read the streams: {ran.stderr.strip()}")
    return list(answer["streams"])


def environment(lab: Lab) -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "AWS_CA_BUNDLE", "SSL_CERT_FILE", "HTTPS_PROXY", "NO_PROXY")
    return {name: os.environ[name] for name in kept if name in os.environ} | lab.account.environment()


def check(lab: Lab, enforcer: pathlib.Path, own: str) -> States:
    """Refuses to go on unless the plan encrypts `own` and leaves all others alone: the encryption of the others."""
    planned = plan(lab, enforcer)
    statuses = {each["stream"]: each["outcome"]["status"] for each in planned}
    others = {name: status for name, status in statuses.items() if not lab.names.owns(name)}
    touched = {name: status for name, status in others.items() if status not in UNTOUCHED}
    if touched:
        shown = ", ".join(f"{name} ({status})" for name, status in sorted(touched.items())[:10])
        raise Refused(f"the plan does not leave all other streams alone: {shown}")
    if statuses.get(own) != "would-encrypt":
        raise Refused(f"the plan does not encrypt the stream {own}, but: {statuses.get(own, 'does not contain it')}")
    return others_of(lab, planned)


def others_of(lab: Lab, planned: list[dict[str, Any]]) -> States:
    return {each["stream"]: each.get("presentKey") for each in planned if not lab.names.owns(each["stream"])}


def changed(before: States, after: States) -> list[str]:
    """Foreign streams whose encryption is not what it was. Others may have changed them."""
    return sorted(name for name, key in before.items() if name in after and after[name] != key)
