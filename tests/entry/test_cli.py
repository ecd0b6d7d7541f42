"""The same engine from a shell: progress for a person, JSON for a program, an exit status for a
script.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.cloud.bigquery import SchemaField

from local import bigquery
from local.stack import Stack
from sync.__main__ import Progress

ROOT = Path(__file__).parents[2]
SCHEMA = [SchemaField("id", "STRING"), SchemaField("at", "TIMESTAMP")]
TABLE = {
    "name": "cli_table",
    "source": "cli.rows",
    "key": "id",
    "cursor": {"source": "at", "column": "at_unix"},
}


@pytest.fixture
def environ(stack: Stack) -> dict[str, str]:
    """A source of three rows and a configuration for it."""
    rows = [{"id": str(i), "at": f"2024-01-0{i + 1}T00:00:00Z"} for i in range(3)]
    bigquery.load(stack.bigquery.client(), "cli.rows", SCHEMA, rows, truncate=True)
    return stack.environ(stack.configure(name="cli.yaml", tables=[TABLE], ledger="cli_ledger"))


def shell(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a person would."""
    return subprocess.run(
        [sys.executable, "-m", "sync", *arguments],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_check_then_sync(stack: Stack, environ: dict[str, str]) -> None:
    """`check` prints plan and price and writes nothing; `sync --json` loads and prints the
    contract's answer.
    """
    writes = stack.aito.total("writes")
    checked = shell(environ, "check")
    assert checked.returncode == 0, checked.stderr
    assert "3 rows to read" in checked.stdout
    assert "columns is made" in checked.stdout
    assert "$" in checked.stdout
    assert stack.aito.total("writes") == writes

    done = shell(environ, "sync", "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["tables"][0]["uploaded"] == 3
    assert stack.aito.count("cli_table") == 3
    events = [
        json.loads(line)["event"] for line in done.stderr.splitlines() if line.startswith("{")
    ]
    assert events[0] == "run_started"
    assert events[-1] == "run_done"


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (
            ("sync", "--tables", "nowhere"),
            2,
            "no table 'nowhere' in the configuration; it has cli_table",
        ),
        (("watch", "--deep"), 2, "'deep' goes with the action reconcile"),
        (("reconcile", "--full-refresh"), 2, "'full_refresh' goes with the action sync"),
    ],
)
def test_wrong_requests(
    environ: dict[str, str], arguments: tuple[str, ...], status: int, says: str
) -> None:
    """A wrong request ends with 2 and a sentence, not with a traceback."""
    done = shell(environ, *arguments)
    assert done.returncode == status
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_configuration(environ: dict[str, str], tmp_path: Path) -> None:
    """A wrong file ends with 2 and every mistake; a missing one says where it was looked for."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("aito: {url: ftp://x}\nledger: l\ntabels: []\n")
    done = shell({**environ, "SYNC_CONFIG": str(wrong)}, "check")
    assert done.returncode == 2
    assert "tabels" in done.stderr
    assert "aito.url" in done.stderr
    missing = shell({**environ, "SYNC_CONFIG": str(tmp_path / "none.yaml")}, "check")
    assert missing.returncode == 2
    assert "none.yaml" in missing.stderr


def test_failure_ends_with_one(stack: Stack, environ: dict[str, str]) -> None:
    """A table that failed ends with 1, a run that can be continued with 3."""
    stack.aito.fail("forbidden", on="any", times=None)
    assert shell(environ, "sync").returncode == 1
    stack.aito.heal()
    stack.aito.fail("migrating", on="any", times=None)
    assert shell(environ, "sync").returncode == 3


def test_progress() -> None:
    """On a terminal: rows done, rows a second and the time left, on one line."""
    screen = io.StringIO()
    progress = Progress(screen)
    progress({"event": "table_planned", "message": "t: 10 rows", "table": "t", "rows": 10})
    progress.progress("t", 5)
    assert "t: 5 of 10 rows" in screen.getvalue()
    assert "s left" in screen.getvalue()
