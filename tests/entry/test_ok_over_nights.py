"""What takes several nights, another key or another name, from outside: HTTP and command line."""

from __future__ import annotations

import json
from typing import Any

from local import bigquery
from local.stack import Function
from tests.entry.test_ok_means_it import (
    MODES,
    SCHEMA,
    WITH_CURSOR,
    by_table,
    command,
    hourly,
    said,
)
from tests.workbench import Workbench

PLAIN = {"id": None, "value": None}
CURSOR = {"source": "at", "column": "unix"}


def configure(bench: Workbench, *tables: dict[str, Any]) -> dict[str, str]:
    """Write a configuration of these tables. Returns the environment of the program."""
    plain = {"key": "id", "source": bench.source, "columns": PLAIN, "cursor": CURSOR}
    return bench.environment(*({**plain, **table} for table in tables))


def test_erosion_over_nights(bench: Workbench) -> None:
    """Each night a few rows leave the source. Once a week of nights is over the share, it stops."""
    names = ["erosion_append", "erosion_merge"]
    bigquery.load(bench.client, bench.source, SCHEMA, hourly(100))
    table = {"lookback": "30d"}
    tables = [{**table, "name": f"erosion_{mode}", "mode": mode} for mode in WITH_CURSOR]
    environ = configure(bench, *tables)
    nights = []
    with Function(environ) as function:
        function.post({})
        for night in range(3):
            gone = ", ".join(f"'k{4 * night + i:03}'" for i in range(4))
            bench.sql(f"DELETE FROM `{bench.source}` WHERE id IN ({gone})")
            nights.append(by_table(function.post({})[1]))
    planned = by_table(json.loads(command(environ, "check", "--json")))
    before = [bench.aito.count(name) for name in names]
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
        assert bench.aito.count(name) == 88
    assert before == [92, 92]


def test_a_table_under_another_name(bench: Workbench) -> None:
    """It is said that it is a new one, and what stays in Aito; once."""
    bigquery.load(bench.client, bench.source, SCHEMA, hourly(5))
    old = [{"name": f"old_{mode}", "mode": mode} for mode in WITH_CURSOR]
    new = [{"name": f"new_{mode}", "mode": mode} for mode in WITH_CURSOR]
    command(configure(bench, *old), "sync")
    environ = configure(bench, *new)
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
        assert (bench.aito.count(f"old_{mode}"), bench.aito.count(f"new_{mode}")) == (5, 5)


def test_a_key_that_may_only_read(bench: Workbench) -> None:
    """What `sync` refuses, the plan refuses, and nothing is written. In each mode."""
    names = [f"read_only_{mode}" for mode in MODES]
    bigquery.load(bench.client, bench.source, SCHEMA, hourly(5))
    tables: list[dict[str, Any]] = [
        {"name": name, "mode": mode} for name, mode in zip(names, MODES, strict=True)
    ]
    tables[-1]["cursor"] = None
    configured = configure(bench, *tables)
    environ = {**configured, "AITO_API_KEY": bench.aito.read_only_key}
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
    assert not bench.aito.schema().keys() & set(names)


def test_a_key_that_differs_in_each_reading(bench: Workbench) -> None:
    """It is recognised before the first row is stored, by the plan and by the run."""
    names = [f"unstable_{mode}" for mode in WITH_CURSOR]
    bigquery.load(bench.client, bench.source, SCHEMA, hourly(20))
    query = f"SELECT GENERATE_UUID() AS id, `at`, value FROM `{bench.source}`"
    tables = [
        {"name": name, "source": None, "query": query, "mode": mode}
        for name, mode in zip(names, WITH_CURSOR, strict=True)
    ]
    environ = configure(bench, *tables)
    planned = by_table(json.loads(command(environ, "check", "--json")))
    with Function(environ) as function:
        status, answer = function.post({})
    assert status == 500
    for name in names:
        for report in (planned[name], by_table(answer)[name]):
            assert report["status"] == "failed"
            assert "GENERATE_UUID()" in said(report)
        assert bench.aito.schema().get(name) is None or bench.aito.count(name) == 0
