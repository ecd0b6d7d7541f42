"""What takes several nights, another key or another name, from outside: HTTP and command line."""

from __future__ import annotations

import json
from typing import Any

from local import bigquery
from local.stack import Function, Stack
from tests.entry.test_ok_means_it import (
    MODES,
    SCHEMA,
    WITH_CURSOR,
    by_table,
    command,
    hourly,
    said,
)
from tests.workbench import FAST

PLAIN = {"id": None, "value": None}
CURSOR = {"source": "at", "column": "unix"}


def configure(stack: Stack, name: str, *tables: dict[str, Any]) -> dict[str, str]:
    """Write a configuration of these tables. Returns the environment of the program."""
    files: dict[str, Any] = {"name": f"{name}.yaml", "ledger": f"{name}_ledger", "aito": FAST}
    plain = [{"key": "id", "columns": PLAIN, "cursor": CURSOR, **table} for table in tables]
    return stack.environ(stack.configure(tables=plain, **files))


def test_erosion_over_nights(stack: Stack) -> None:
    """Each night a few rows leave the source. Once a week of nights is over the share, it stops."""
    names = ["erosion_append", "erosion_merge"]
    client = stack.bigquery.client()
    bigquery.load(client, "erosion.rows", SCHEMA, hourly(100))
    table = {"source": "erosion.rows", "lookback": "30d"}
    tables = [{**table, "name": f"erosion_{mode}", "mode": mode} for mode in WITH_CURSOR]
    environ = configure(stack, "erosion", *tables)
    nights = []
    with Function(environ) as function:
        function.post({})
        for night in range(3):
            gone = ", ".join(f"'k{4 * night + i:03}'" for i in range(4))
            bigquery.sql(client, f"DELETE FROM `erosion.rows` WHERE id IN ({gone})")
            nights.append(by_table(function.post({})[1]))
    planned = by_table(json.loads(command(environ, "check", "--json")))
    before = [stack.aito.count(name) for name in names]
    allowed = by_table(json.loads(command(environ, "sync", "--allow", "delete", "--json")))
    for name in names:
        reports = [night[name] for night in nights]
        assert [(each["status"], each["deleted"]) for each in reports] == [
            ("ok", 4),
            ("ok", 4),
            ("failed", 0),
        ]
        assert "delete.max_share" in said(reports[-1])
        assert "--allow delete" in said(planned[name])
        assert (allowed[name]["status"], allowed[name]["deleted"]) == ("ok", 4)
        assert stack.aito.count(name) == 88
    assert before == [92, 92]


def test_a_table_under_another_name(stack: Stack) -> None:
    """It is said that it is a new one, and what stays in Aito; once."""
    bigquery.load(stack.bigquery.client(), "renamed.rows", SCHEMA, hourly(5))
    table = {"source": "renamed.rows"}
    old = [{**table, "name": f"old_{mode}", "mode": mode} for mode in WITH_CURSOR]
    new = [{**table, "name": f"new_{mode}", "mode": mode} for mode in WITH_CURSOR]
    command(configure(stack, "renamed", *old), "sync")
    environ = configure(stack, "renamed", *new)
    planned = json.loads(command(environ, "check", "--json"))
    with Function(environ) as function:
        first, second = (function.post({})[1] for _ in range(2))
    for answer in (planned, first):
        told = {warning["message"].split()[0]: warning for warning in answer["warnings"]}
        for mode in WITH_CURSOR:
            warning = told.pop(f"old_{mode}")
            assert warning["code"] == "table_removed"
            assert f"old_{mode} is no longer in the configuration" in warning["message"]
            assert "5 rows" in warning["message"]
            assert f"new_{mode} has the same source and columns" in warning["message"]
        assert told == {}
    assert second.get("warnings", []) == []
    for mode in WITH_CURSOR:
        assert (stack.aito.count(f"old_{mode}"), stack.aito.count(f"new_{mode}")) == (5, 5)


def test_a_key_that_may_only_read(stack: Stack) -> None:
    """What `sync` refuses, the plan refuses, and nothing is written. In each mode."""
    names = [f"read_only_{mode}" for mode in MODES]
    bigquery.load(stack.bigquery.client(), "read_only.rows", SCHEMA, hourly(5))
    tables: list[dict[str, Any]] = [
        {"name": name, "source": "read_only.rows", "mode": mode}
        for name, mode in zip(names, MODES, strict=True)
    ]
    tables[-1]["cursor"] = None
    configured = configure(stack, "read_only", *tables)
    environ = {**configured, "AITO_API_KEY": stack.aito.read_only_key}
    printed = command(environ, "check")
    with Function(environ) as function:
        planned = function.post({"dry_run": True})[1]
        report = function.post({})[1]
    assert "read-write key" in printed
    for answer in (planned, report):
        assert answer["status"] == "failed"
        for name in names:
            table = by_table(answer)[name]
            assert table["status"] == "failed"
            assert "read-write key" in said(table)
    assert not stack.aito.schema().keys() & set(names)


def test_a_key_that_differs_in_each_reading(stack: Stack) -> None:
    """It is recognised before the first row is stored, by the plan and by the run."""
    names = [f"unstable_{mode}" for mode in WITH_CURSOR]
    bigquery.load(stack.bigquery.client(), "unstable.rows", SCHEMA, hourly(20))
    query = "SELECT GENERATE_UUID() AS id, `at`, value FROM `unstable.rows`"
    tables = [
        {"name": name, "query": query, "mode": mode}
        for name, mode in zip(names, WITH_CURSOR, strict=True)
    ]
    environ = configure(stack, "unstable", *tables)
    planned = by_table(json.loads(command(environ, "check", "--json")))
    with Function(environ) as function:
        status, answer = function.post({})
    assert status == 500
    for name in names:
        for report in (planned[name], by_table(answer)[name]):
            assert report["status"] == "failed"
            assert "GENERATE_UUID()" in said(report)
        assert stack.aito.schema().get(name) is None or stack.aito.count(name) == 0
