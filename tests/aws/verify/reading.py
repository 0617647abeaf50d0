"""Has the program read the recorded events, in its sandbox: whether it understands them as they look today."""

from __future__ import annotations

import json
import pathlib
import subprocess

# Failed calls are understood, and ignored; so is a stream that the sandbox does not have.
UNDERSTOOD_BY_EXIT_CODE = (0, 1, 3)


def understood(enforcer: pathlib.Path, event: pathlib.Path) -> str:
    """`trigger.kind` of the event (docs/EVENTS.md); `unknown` if the program does not understand it."""
    command = [str(enforcer), "event", str(event), "--sandbox", "--dry-run", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if ran.returncode not in UNDERSTOOD_BY_EXIT_CODE:
        return f"not read: {ran.stderr.strip()[:200]}"
    return str(json.loads(ran.stdout)["trigger"]["kind"])
