"""What takes several nights, another key or another name, from outside: HTTP and command line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local import bigquery
from local.stack import Function, Stack
from tests.entry.test_ok_means_it import SCHEMA, by_table, command, hourly, said
from tests.workbench import FAST

PLAIN = {"id": None, "value": None}
CURSOR = {"source": "at", "column": "unix"}


def configure(stack: Stack, name: str, *tables: dict[str, Any]) -> dict[str, str]:
    """Write a configuration of these tables. Returns the environment of the program."""
    files: dict[str, Any] = {"name": f"{name}.yaml", "ledger": f"{name}_ledger", "aito": FAST}
    plain = [{"key": "id", "columns": PLAIN, "cursor": CURSOR, **table} for table in tables]
    return stack.environ(stack.configure(tables=plain, **files))


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_erosion_over_nights(stack: Stack, mode: str) -> None:
    """Each night a few rows leave the source. Once a week of nights is over the share, it stops."""
    name = f"erosion_{mode}"
    client = stack.bigquery.client()
    bigquery.load(client, f"{name}.rows", SCHEMA, hourly(100))
    table = {"name": name, "source": f"{name}.rows", "mode": mode, "lookback": "30d"}
    environ = configure(stack, name, table)
    reports = []
    with Function(environ) as function:
        function.post({})
        for night in range(3):
            gone = ", ".join(f"'k{4 * night + i:03}'" for i in range(4))
            bigquery.sql(client, f"DELETE FROM `{name}.rows` WHERE id IN ({gone})")
            reports.append(by_table(function.post({})[1])[name])
    assert [(each["status"], each["deleted"]) for each in reports] == [
        ("ok", 4),
        ("ok", 4),
        ("failed", 0),
    ]
    assert "delete.max_share" in said(reports[-1])
    planned = by_table(json.loads(command(environ, "check", "--json")))[name]
    assert "--allow delete" in said(planned)
    assert stack.aito.count(name) == 92
    allowed = by_table(json.loads(command(environ, "sync", "--allow", "delete", "--json")))[name]
    assert (allowed["status"], allowed["deleted"]) == ("ok", 4)
    assert stack.aito.count(name) == 88


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_a_table_under_another_name(stack: Stack, mode: str) -> None:
    """It is said that it is a new one, and what stays in Aito; once."""
    old, new = f"old_{mode}", f"new_{mode}"
    bigquery.load(stack.bigquery.client(), f"{old}.rows", SCHEMA, hourly(5))
    table = {"source": f"{old}.rows", "mode": mode}
    command(configure(stack, old, {"name": old, **table}), "sync")
    environ = configure(stack, old, {"name": new, **table})
    planned = json.loads(command(environ, "check", "--json"))
    with Function(environ) as function:
        first, second = (function.post({})[1] for _ in range(2))
    for answer in (planned, first):
        (warning,) = answer["warnings"]
        assert warning["code"] == "table_removed"
        assert f"{old} is no longer in the configuration" in warning["message"]
        assert "5 rows" in warning["message"]
        assert f"{new} has the same source and columns" in warning["message"]
    assert second.get("warnings", []) == []
    assert (stack.aito.count(old), stack.aito.count(new)) == (5, 5)


@pytest.mark.parametrize("mode", ["append", "merge", "replace"])
def test_a_key_that_may_only_read(stack: Stack, mode: str) -> None:
    """What `sync` refuses, the plan refuses, and nothing is written."""
    name = f"read_only_{mode}"
    bigquery.load(stack.bigquery.client(), f"{name}.rows", SCHEMA, hourly(5))
    table: dict[str, Any] = {"name": name, "source": f"{name}.rows", "mode": mode}
    if mode == "replace":
        table["cursor"] = None
    environ = {**configure(stack, name, table), "AITO_API_KEY": stack.aito.read_only_key}
    printed = command(environ, "check")
    with Function(environ) as function:
        planned = function.post({"dry_run": True})[1]
        report = function.post({})[1]
    assert "read-write key" in printed
    assert "read-write key" in json.dumps(planned)
    assert "read-write key" in json.dumps(report)
    assert (planned["status"], report["status"]) == ("failed", "failed")
    assert name not in stack.aito.schema()


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_a_key_that_differs_in_each_reading(stack: Stack, mode: str) -> None:
    """It is recognised before the first row is stored, by the plan and by the run."""
    name = f"unstable_{mode}"
    bigquery.load(stack.bigquery.client(), f"{name}.rows", SCHEMA, hourly(20))
    query = f"SELECT GENERATE_UUID() AS id, `at`, value FROM `{name}.rows`"
    environ = configure(stack, name, {"name": name, "query": query, "mode": mode})
    planned = by_table(json.loads(command(environ, "check", "--json")))[name]
    with Function(environ) as function:
        status, answer = function.post({})
    assert status == 500
    for report in (planned, by_table(answer)[name]):
        assert report["status"] == "failed"
        assert "GENERATE_UUID()" in said(report)
    assert stack.aito.schema().get(name) is None or stack.aito.count(name) == 0
