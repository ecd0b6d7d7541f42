"""The sides, each a whole process from start to exit, with the environment it is measured in."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import measured
from benchmarks.stage import ROOT, Stage, checked

SCRIPTS = Path(__file__).parent / "sides"
VENVS = ROOT / ".venv-bench"
GOOGLE = "google-cloud-bigquery"
START_SECONDS = 60
LONG = 3600


@dataclass(frozen=True)
class Side:
    """One way to bring the rows across.

    script None: the function behind its door; sends: whether the rows arrive.
    """

    name: str
    title: str
    venv: str
    script: str | None
    sizes: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    sends: bool = True


SIDES = (
    Side("function", "this function", "function", None, (10_000, 100_000, 300_000, 1_000_000)),
    Side("classic", "classic script (DataFrame, records, SDK upload)", "classic", "classic.py"),
    Side("dlt_rows", "dlt, rows as dicts", "dlt", "dlt_rows.py", (10_000, 100_000)),
    Side("dlt_arrow", "dlt, Arrow, documents joined as strings", "dlt", "dlt_arrow.py"),
    Side("floor", "plain code: pages of documents, one session", "function", "floor.py"),
    Side(
        "reading", "reading alone (the function's queries)", "function", "reading.py", sends=False
    ),
    Side("sending", "sending alone (finished batches)", "function", "sending.py"),
)


def requirements(venv: str) -> list[str]:
    """What a virtual environment holds; the function's pins are everybody's."""
    pinned = [
        line.split("#")[0].strip() for line in (ROOT / "requirements.in").read_text().splitlines()
    ]
    pins = {line.split("==")[0]: line for line in pinned if line}
    return {
        "function": list(pins.values()),
        "classic": [pins[GOOGLE].replace(GOOGLE, f"{GOOGLE}[pandas]"), pins["aitoai"]],
        "dlt": [pins[GOOGLE], "dlt", "pyarrow", "requests"],
    }[venv]


def python(venv: str) -> str:
    """The interpreter of a virtual environment, which is made when it is missing or its
    requirements have changed.
    """
    folder, wanted = VENVS / venv, json.dumps(requirements(venv))
    stamp = folder / "requirements.json"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        _install(folder, requirements(venv))
        stamp.write_text(wanted)
    return str(folder / "bin" / "python")


def _install(folder: Path, packages: list[str]) -> None:
    if uv := shutil.which("uv"):
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True)
        subprocess.run(
            [uv, "pip", "install", "-q", "--python", folder / "bin/python", *packages], check=True
        )
    else:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin/python", "-m", "pip", "install", "-q", *packages], check=True)


def play(side: Side, stage: Stage, *, pause: float = 0.0) -> dict[str, Any]:
    """Run a side on a stage. -> wall_seconds, cpu_seconds, peak_bytes, requests, bytes_sent."""
    stage.swept(pause)
    environ = {**stage.environ, "BENCH_ROWS": str(stage.rows)}
    if side.script:
        used = measured([python(side.venv), str(SCRIPTS / side.script)], environ, stage.folder)
    else:
        used = _function(stage, environ)
    got = stage.swept()
    return used | (
        checked(side.name, got, stage.rows) if side.sends else {"requests": 0, "bytes_sent": 0}
    )


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def function_command(port: int) -> list[str]:
    """functions-framework as in the cloud."""
    source = ["--source", str(ROOT / "main.py"), "--host", "127.0.0.1", "--port", str(port)]
    return [python("function"), "-m", "functions_framework", "--target", "sync", *source]


def _function(stage: Stage, environ: dict[str, str]) -> dict[str, Any]:
    """The function starts, answers one POST, and is told to stop."""
    port = free_port()
    answers: list[tuple[int, dict[str, Any]]] = []
    used = measured(function_command(port), environ, ROOT, lambda: answers.append(post(port)))
    ((status, answer),) = answers
    (table,) = answer["tables"]
    if not (status == 200 and table["verified"] and table["uploaded"] == stage.rows):
        raise RuntimeError(f"the function's answer: {status} {answer}")
    return {**used, "run_seconds": answer["seconds"]}


def post(port: int, body: bytes = b"{}") -> tuple[int, dict[str, Any]]:
    """The answer to one POST, as soon as anybody listens."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/", body, {"content-type": "application/json"}
    )
    patience = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=LONG) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            if time.monotonic() > patience:
                raise
            time.sleep(0.01)
