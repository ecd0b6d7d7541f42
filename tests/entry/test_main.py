"""The door: statuses and bodies that a caller may rely on, and never a traceback."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud.bigquery import SchemaField

from local import bigquery
from local.stack import Function, Stack

SCHEMA = [SchemaField("id", "STRING"), SchemaField("happened", "TIMESTAMP")]
ROWS = [{"id": str(i), "happened": f"2024-01-0{i + 1}T00:00:00Z"} for i in range(3)]


def table(name: str, source: str, **more: Any) -> dict[str, Any]:
    """A table's settings."""
    return {
        "name": name,
        "source": source,
        "key": "id",
        "cursor": {"source": "happened", "column": "unix"},
        **more,
    }


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the function reads its configuration; tests write it."""
    return tmp_path_factory.mktemp("main") / "sync.yaml"


@pytest.fixture
def write(stack: Stack, config: Path) -> Any:
    """Writes a configuration over the stack and loads three rows."""

    def write(*tables: dict[str, Any], **settings: Any) -> None:
        bigquery.load(stack.bigquery.client(), "door.rows", SCHEMA, ROWS, truncate=True)
        made = stack.configure(
            name="door.yaml", tables=list(tables), ledger="door_ledger", **settings
        )
        config.write_text(made.read_text())

    return write


@pytest.fixture
def function(stack: Stack, config: Path, write: Any) -> Iterator[Function]:
    """A fresh process of the function."""
    write(table("door_good", "door.rows"))
    with Function(stack.environ(config)) as running:
        yield running


def test_one_bad_table_does_not_stop_the_others(
    stack: Stack, function: Function, write: Any
) -> None:
    """The status is the worst of all tables; the good one is loaded all the same, and each says
    how it ended.
    """
    write(table("door_bad", "door.nothing"), table("door_good", "door.rows"))
    status, answer = function.post({})
    by_name = {t["table"]: t for t in answer["tables"]}
    assert (status, answer["status"]) == (500, "failed")
    assert by_name["door_good"]["status"] == "ok"
    assert stack.aito.count("door_good") == 3
    assert (
        "door.nothing" in by_name["door_bad"]["error"] or "nothing" in by_name["door_bad"]["error"]
    )
    runs = stack.bigquery.client().query("SELECT `table`, status FROM door_ledger.runs").result()
    assert {(row["table"], row["status"]) for row in runs} >= {
        ("door_bad", "failed"),
        ("door_good", "ok"),
    }


def test_a_disabled_table_and_another_address(function: Function, write: Any) -> None:
    """It is not ignored without a word. A request that names no table leaves it alone.

    There is one address.
    """
    off = table("door_off", "door.rows", enabled=False)
    write(off, table("door_good", "door.rows"))
    status, answer = function.post({"tables": ["door_off", "door_good"]})
    assert status == 400
    assert "'door_off' has `enabled: false`" in answer["error"]
    status, answer = function.post({})
    assert (status, [each["table"] for each in answer["tables"]]) == (200, ["door_good"])
    for path in ("/elsewhere", "/favicon.ico"):
        assert function.get(path)[0] == 404


def test_a_broken_configuration_is_told_until_it_is_mended(
    function: Function, config: Path, write: Any
) -> None:
    """Every mistake in the answer, status 500, no traceback; once mended, the same process goes
    on.

    Scheduler and Pub/Sub show nobody an answer: a broken configuration and a broken request are
    lines of the log, too.
    """
    config.write_text("aito: {}\nledger: 7\ntables: []\nmore: 1\n")
    status, answer = function.post({})
    assert status == 500
    assert answer["status"] == "failed"
    assert all(word in answer["error"] for word in ("aito", "ledger", "tables", "more"))
    status, answer = function.post({"tables": 7})
    assert (status, list(answer)) == (400, ["error"]), "the caller's own mistake comes first"
    assert function.post({"action": "dance"})[0] == 400
    write(table("door_good", "door.rows"))
    assert function.post({})[0] == 200
    function.terminate()
    assert "Traceback" not in "".join(function.errors + function.lines)
    told = [line for line in function.logs if line["message"].startswith("not run: ")]
    assert [(line["event"], line["severity"], line["http_status"]) for line in told] == [
        ("run_done", "ERROR", 500),
        ("run_done", "WARNING", 400),
        ("run_done", "WARNING", 400),
    ]
    assert "tables" in told[0]["message"]


def test_no_package_is_called_as_ours_is() -> None:
    """The framework appends the source folder to the path: an installed package called `sync`
    would win.
    """
    provided = importlib.metadata.packages_distributions()
    assert "sync" not in provided
    assert "main" not in provided


@pytest.mark.usefixtures("from_nothing")
def test_the_key_may_come_from_the_environment(stack: Stack, config: Path, write: Any) -> None:
    """AITO_API_KEY is used instead of Secret Manager, which is then not asked."""
    write(table("door_good", "door.rows"))
    before = stack.secrets.accesses
    with Function({**stack.environ(config), "AITO_API_KEY": stack.aito.api_key}) as function:
        assert function.post(b"")[0] == 200
    assert stack.secrets.accesses == before
