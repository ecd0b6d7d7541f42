"""The zip as Cloud Functions would run it: unpacked, with only its own requirements, under
functions-framework.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local import sample
from local.stack import Function, Stack
from tests.terraform.tools import EXAMPLE, Plan, copy_to, plan

pytestmark = pytest.mark.slow

TABLES = [
    {
        "name": "users",
        "source": f"{sample.DATASET}.users",
        "mode": "merge",
        "key": "id",
        "cursor": {"source": "received_at", "column": "updated_unix"},
    }
]


WHEN_FAILED = {"code", "retryable"}  # fields of a line whose table failed


def interpreter(runtime: str) -> str:
    """The Python that the function runs ("python313"), or the one of these tests where that is not
    installed.
    """
    command = f"{runtime[:7]}.{runtime[7:]}"
    found = shutil.which(command)
    works = (
        found and subprocess.run([found, "-c", "import venv"], capture_output=True).returncode == 0
    )
    return found if found and works else sys.executable


def clean_environment(folder: Path, requirements: Path, runtime: str) -> Path:
    """A new virtual environment with nothing but the requirements; answers its interpreter."""
    python, base = folder / "bin" / "python", interpreter(runtime)
    if shutil.which("uv"):
        build = [["uv", "venv", "-q", "--python", base, str(folder)]]
        build += [["uv", "pip", "install", "-q", "--python", str(python), "-r", str(requirements)]]
    else:
        # A pip from elsewhere: to make one for each environment takes as long as the packages.
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q"]
        build = [[base, "-m", "venv", "--without-pip", str(folder)]]
        build += [[*pip, "--no-compile", "-r", str(requirements)]]
    for command in build:
        done = subprocess.run(command, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return python


def fields_read(made: Plan, event: str) -> set[str]:
    """The fields of an event's line that metrics and alarms read."""
    settings = [
        r.values
        for r in made.resources
        if r.type.startswith(("google_logging_", "google_monitoring_alert_"))
    ]
    about = [
        text
        for text in (json.dumps(s).replace("\\", "") for s in settings)
        if f'event="{event}"' in text
    ]
    return {field for text in about for field in re.findall(r"jsonPayload\.(\w+)", text)}


def test_the_unpacked_zip_serves_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planned, unpacked and started as the plan says, the function loads a table, and its log
    never shows the key.
    """
    with Stack() as stack:
        visits = sample.day_one(datetime.now(UTC), pages=20, users=30)
        sample.load(stack.bigquery.client(), visits)
        folder = copy_to(tmp_path / "repository", whole=True)
        configured = stack.configure(tables=TABLES)
        made = plan(
            folder,
            f"-var-file={EXAMPLE}",
            f"-var=project_id={stack.project}",
            f"-var=config_file={configured}",
            "-var=ledger_location=EU",
        )

        deployed = tmp_path / "workspace"
        zipfile.ZipFile(folder / ".terraform" / "source.zip").extractall(deployed)
        cloud = made.one("google_cloudfunctions2_function.sync")
        runtime = cloud["build_config"][0]["runtime"]
        python = clean_environment(tmp_path / "venv", deployed / "requirements.txt", runtime)
        imported = subprocess.run(
            [python, "-c", "import main, sync; print(sync.__file__)"],
            cwd=deployed,
            text=True,
            capture_output=True,
        )
        assert imported.stdout.strip() == str(deployed / "sync" / "__init__.py"), imported.stderr

        # What the plan sets, and for everything else the way to the local stack instead of Google.
        environment = cloud["service_config"][0]["environment_variables"]
        function = Function({**stack.environ(), **environment}, source=deployed / "main.py")
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(python))
            function.start()
        try:
            status, answer = function.post({"action": "sync"})
            assert (status, answer["status"]) == (200, "ok"), json.dumps(answer)
            assert answer["tables"][0]["uploaded"] == len({u["id"] for u in visits.users})
        finally:
            function.terminate()  # its last lines are read then
        assert {"run_started", "table_done", "run_done"} <= {
            line.get("event") for line in function.logs
        }
        done = next(line for line in function.logs if line.get("event") == "table_done")
        read = fields_read(made, "table_done") - WHEN_FAILED
        assert read <= set(done), "the metrics read what the line has"
        assert stack.aito.api_key not in "".join([*function.lines, *function.errors])
        assert os.listdir(deployed / "sync")
