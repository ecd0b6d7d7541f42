"""Nulls, Json, arrays and empty texts, with an Aito that leaves nulls out and one that does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from local.stack import Stack
from tests.variations import slow
from tests.workbench import Workbench, iso, table

SCHEMA = {"id": "STRING", "ts": "TIMESTAMP", "flag": "BOOL", "text": "STRING", "data": "JSON"}


@pytest.fixture
def switched(stack: Stack) -> Iterator[Stack]:
    """The stack, whose switches are turned back at the end."""
    yield stack
    stack.aito.switches.reset()


def loaded(bench: Workbench, mode: str) -> dict[str, Any]:
    """A source of four rows. Returns the configuration of its table."""
    bench.load_source("odd", SCHEMA, [])
    values = [
        "'yes', TRUE, '', JSON '{\"a\": [1, null]}', ['', 'x']",
        "'no', FALSE, 'text', JSON '[]', []",
        "'null', NULL, NULL, NULL, []",
        "'more', NULL, '', JSON '\"\"', ['y']",
    ]
    bench.sql("ALTER TABLE {d}.odd ADD COLUMN words ARRAY<STRING>")
    moment = iso(bench.now - 60)
    for number, each in enumerate(values):
        key, rest = each.split(", ", 1)
        bench.sql(
            "INSERT INTO {d}.odd (id, ts, flag, text, data, words)"
            f" VALUES ({key}, TIMESTAMP_ADD('{moment}', INTERVAL {number} SECOND), {rest})"
        )
    return table(f"{bench.name}_odd", f"{bench.dataset}.odd", mode=mode)


def held(bench: Workbench, configured: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What Aito shows of each row, without key and times."""
    query = {"from": configured["name"], "orderBy": {"$asc": "id"}, "limit": 10}
    hits = bench.aito._api.store.search(query)["hits"]
    return {
        hit["id"]: {name: hit[name] for name in hit if name not in ("id", "ts", "at")}
        for hit in hits
    }


@pytest.mark.parametrize(
    ("mode", "reads"),
    [
        *(("append", "left out"), ("merge", "false")),
        *slow(("append", "false"), ("merge", "left out")),
    ],
)
def test_values_come_back(
    switched: Stack, bench: Workbench, monkeypatch: pytest.MonkeyPatch, reads: Any, mode: str
) -> None:
    """Each value is what it was, and a second look at the content writes nothing.

    Where a null reads as false, one warning says so when it is found out.
    """
    switched.aito.switches.null_booleans = reads
    configured = loaded(bench, mode)
    false: dict[str, Any] = {} if reads == "left out" else {"flag": False}
    first = bench.run_ok(configured)
    assert held(bench, configured) == {
        "yes": {"flag": True, "text": "", "data": {"a": [1, None]}, "words": ["", "x"]},
        "no": {"flag": False, "text": "text", "data": [], "words": []},
        "null": {"words": [], **false},
        "more": {"text": "", "data": "", "words": ["y"], **false},
    }
    codes = ["null_booleans"] if false else []
    assert [warning.code for warning in first.warnings] == codes
    switched.aito.reset_stats()
    again = bench.run_ok(configured, full_refresh=mode == "append")
    assert (again.uploaded, bench.aito_writes()) == (0, 0)
    assert bench.run_ok(configured, action="reconcile", deep=True).repaired == 0
    assert [warning.code for warning in again.warnings] == codes


def test_a_false_that_becomes_null(switched: Stack, bench: Workbench) -> None:
    """Where nulls are left out, such a row is sent again, and no warning comes."""
    configured = loaded(bench, "merge")
    bench.run_ok(configured)
    bench.sql("UPDATE {d}.odd SET flag = NULL WHERE id = 'no'")
    report = bench.run_ok(configured)
    assert (report.uploaded, report.warnings) == (1, [])
    assert "flag" not in held(bench, configured)["no"]


def test_a_table_of_an_earlier_version(switched: Stack, bench: Workbench) -> None:
    """The first comparison by content sends such rows once more, and finds it out by that."""
    switched.aito.switches.null_booleans = "false"
    configured = loaded(bench, "merge")
    bench.run_ok(configured)
    bench.sql(f"UPDATE `{bench.ledger}.checkpoints` SET null_reads_false = NULL WHERE TRUE")
    report = bench.run_ok(configured)
    assert (report.uploaded, [each.code for each in report.warnings]) == (2, ["null_booleans"])
    assert bench.run_ok(configured).uploaded == 0
