"""The demo: one's own rows become tables, and a shell can work against what it keeps running."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local import demo, own_data
from local.stack import ROOT, Stack
from tests.workbench import Workbench


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None, 2], "INT64"),
        ([1, 2.5], "FLOAT64"),
        ([2**70], "FLOAT64"),
        ([True, False], "BOOL"),
        ([True, 1], "STRING"),
        (["2024-01-31", "2024-02-01"], "DATE"),
        (["2024-01-31T12:00:00Z", "2024-01-31 12:00:00+02:00"], "TIMESTAMP"),
        (["2024-01-31T12:00:00"], "DATETIME"),
        (["2024-01-31", "soon"], "STRING"),
        (["2024-99-99"], "STRING"),
        ([[1], {"a": 1}], "STRING"),
        ([None], "STRING"),
    ],
)
def test_the_type_of_a_column(values: list[Any], kind: str) -> None:
    """All values of a column fit its type."""
    assert own_data.kind(values) == kind


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("rows.csv", "a,b", "there is no NAME.ndjson or NAME.ndjson.gz"),
        ("rows.ndjson", "", "the file is empty"),
        ("rows.ndjson", '{"a": 1}\n{"a": ', "line 2 is no JSON"),
        ("rows.ndjson", "[1]", "line 1 is no JSON object"),
    ],
)
def test_a_folder_that_cannot_be_loaded(
    stack: Stack, tmp_path: Path, name: str, text: str, says: str
) -> None:
    """The message names the file and the line."""
    (tmp_path / name).write_text(text)
    with pytest.raises(own_data.BadFolder, match=says):
        own_data.load(stack.bigquery.client(), tmp_path, "own_bad")


def test_own_rows_become_tables(stack: Stack, tmp_path: Path) -> None:
    """A table for each file, packed or not. Lists and objects are arrays and structs."""
    orders = [
        {"id": 1, "tags": ["a"], "buyer": {"name": "Ann", "phones": [1, 2]}, "mixed": ["a", 1]},
        {"id": 2, "lines": [{"sku": "x"}, {"sku": "y", "n": 2}], "mixed": [["b"]]},
    ]
    lines = "\n\n".join(json.dumps(order) for order in orders)
    (tmp_path / "orders.ndjson").write_text(lines)
    (tmp_path / "users.ndjson.gz").write_bytes(gzip.compress(b'{"id": "u"}'))
    client = stack.bigquery.client()
    assert own_data.load(client, tmp_path, "own_rows") == {"orders": 2, "users": 1}
    columns = "id, tags, buyer, mixed, ARRAY(SELECT l.sku FROM UNNEST(lines) AS l) AS skus"
    query = f"SELECT {columns} FROM own_rows.orders ORDER BY id"
    assert [dict(row) for row in client.query(query).result()] == [
        {
            "id": 1,
            "tags": ["a"],
            "buyer": {"name": "Ann", "phones": [1, 2]},
            "mixed": '["a", 1]',
            "skus": [],
        },
        {"id": 2, "tags": [], "buyer": None, "mixed": '[["b"]]', "skus": ["x", "y"]},
    ]


def test_sql_on_the_kept_stack(stack: Stack) -> None:
    """`python -m local.bigquery` runs a statement on the BigQuery of a kept demo."""
    environ = {"BIGQUERY_EMULATOR_HOST": stack.bigquery.url, "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "local.bigquery", "SELECT 1 AS n, 'a' AS text"]
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, '{"n": 1, "text": "a"}\n')


def test_the_line_to_source(bench: Workbench) -> None:
    """A shell that has sourced the file works against the stack that keeps running."""
    config = bench.configure()
    path = demo.write_environment(bench.stack, config)
    command = f"source {path} && {sys.executable} -m sync status"
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{bench.name}: never" in done.stdout


def test_sigterm_leaves_nothing() -> None:
    """A demo that is ended from outside removes its folder."""
    lines = [
        "from threading import Event",
        "from local import demo, stack",
        "demo.end_on_sigterm()",
        "with stack.Stack() as made:",
        "    print(made.folder, flush=True)",
        "    Event().wait()",
    ]
    command = [sys.executable, "-c", "\n".join(lines)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        folder = Path(process.stdout.readline().strip())
        assert folder.is_dir()
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    assert not folder.exists()
