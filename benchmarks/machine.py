"""What the numbers hang on: the machine, and the versions of what ran."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.contest import python

PACKAGES = {
    "function": ("functions-framework", "google-cloud-bigquery", "aitoai", "pydantic", "requests"),
    "classic": ("google-cloud-bigquery", "aitoai", "pandas", "pyarrow"),
    "dlt": ("google-cloud-bigquery", "dlt", "pyarrow"),
}
_VERSIONS = (
    "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in"
    " sys.argv[1:]}))"
)


def described() -> dict[str, Any]:
    """Machine and versions by virtual environment."""
    return {
        "machine": _machine(),
        "versions": {venv: _versions(venv, names) for venv, names in PACKAGES.items()},
    }


def _machine() -> dict[str, Any]:
    return {
        "system": (
            f"{platform.system()} {platform.release().partition('-')[0]} {platform.machine()}"
        ),
        "processor": _field("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory": _field("/proc/meminfo", "MemTotal"),
        "python": platform.python_version(),
        "load": round(
            os.getloadavg()[1], 1
        ),  # of the last five minutes, before anything was started: 0 is idle
    }


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "unknown"


def _versions(venv: str, names: tuple[str, ...]) -> dict[str, str]:
    told = subprocess.run(
        [python(venv), "-c", _VERSIONS, *names], check=True, capture_output=True, text=True
    )
    return dict(json.loads(told.stdout))
