"""Check a configuration with the code that the function reads it with: every rule, every mistake.

    python3 terraform/validate.py [FILE] [--real]     FILE: sync.yaml of the repository

The plan checks the same file against sync.schema.json, without Python; this adds the rules between
settings. Exit status: 0 good, 2 mistakes, 3 not checked (the function's packages are not here).

--real: then plan each table in the real project, as the command `check` does. It writes nothing.
What these credentials may not read is printed as not checked, and does not fail: a first
deployment has no key yet. Exit status 1: a table would fail.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Reasons that say nothing about the configuration: these credentials, or this moment.
NOT_CHECKED = {"AccessDenied", "NotFound", "Unavailable", "OutcomeUnknown", "OutOfTime", "Busy"}


def main(arguments: list[str]) -> int:
    """Check one file; say what is wrong with it."""
    names = [argument for argument in arguments if argument != "--real"]
    path = Path(names[0]) if names else ROOT / "sync.yaml"
    sys.path.insert(0, str(ROOT))
    try:
        from sync import config
        from sync.base.errors import ConfigError
    except ImportError as error:
        return _with_our_packages(path, str(error.name), arguments)
    try:
        settings = config.load(path)
    except ConfigError as error:
        print(error)
        return 2
    except OSError as error:
        print(f"{path}: {error.strerror}")
        return 2
    print(f"{path}: {len(settings.tables)} tables, no mistakes")
    return in_the_project(path) if "--real" in arguments else 0


def _with_our_packages(path: Path, missing: str, arguments: list[str]) -> int:
    """Run again with the packages that `./aito-sync` has installed; say it where it has not."""
    python = ROOT / ".venv" / "bin" / "python"
    if python.exists() and Path(sys.executable) != python:
        command = [python, __file__, *arguments]
        return subprocess.run(command, check=False).returncode  # noqa: S603 - this file again
    print(f"{path}: not checked, {missing} is not installed; run `./aito-sync --version` once")
    return 3


def in_the_project(path: Path) -> int:
    """Plan every table with the credentials of this machine; say how each would end."""
    from sync.app import Services, run
    from sync.base.errors import SyncError
    from sync.model.request import Request

    os.environ["SYNC_CONFIG"] = str(path)
    events: list[dict[str, Any]] = []
    try:
        run(Services.from_environment(), Request(dry_run=True), events.append)
    except SyncError as error:
        print(f"not checked in the project: {error}")
        return 0
    planned = [event for event in events if event["event"] == "table_done"]
    return max([_said(event) for event in planned], default=0)


def _said(planned: dict[str, Any]) -> int:
    """Print how a table would end; 1 when it would fail for a person."""
    if planned["code"] in NOT_CHECKED:
        print(f"{planned['table']}: not checked in the project: {planned['error']}")
        return 0
    print(planned["message"])
    return 0 if planned["code"] is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
