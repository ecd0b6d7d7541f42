"""Neighbours of the cases of public reports, through the function, in append and in merge.

test_cases.py shows one input of each kind. Here are others of the same kinds: other tables, names,
types and orders. A dry run comes before each run, and foresees it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local import bigquery
from local.stack import Function, Stack
from tests.workbench import FAST

Row = dict[str, Any]

DATASET = "neighbours"
MODES = ("append", "merge")
NOW = datetime.now(UTC)
TODAY, YESTERDAY = (f"{NOW - timedelta(days=age):%Y%m%d}" for age in (0, 1))
ODD_NAMES = ("select", "Grün", "a-b", "from", "element", "place", "100%", "a'b", "日本")
ODD: Row = dict.fromkeys(ODD_NAMES, "[1, 2]")
CURSOR = {"source": "ts", "column": "at"}
YEAR_1 = "TIMESTAMP '0001-01-01 00:00:00+00'"  # stands for an unknown time in some exports


def at(seconds: int) -> str:
    """A moment so many seconds ago, in SQL."""
    return f"TIMESTAMP '{NOW - timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}+00'"


def select(*rows: Row) -> str:
    """A SELECT of these rows, whose values are SQL."""
    each = [", ".join(f"{value} AS `{name}`" for name, value in row.items()) for row in rows]
    return " UNION ALL ".join(f"SELECT {row}" for row in each)


def event(user: str, number: int, seconds: int, operation: str = "INSERT") -> Row:
    """A row of a log of changes."""
    return {"user": text(user), "n": number, "op": text(operation), "ts": at(seconds)}


def row(name: str, seconds: int = 60, **more: Any) -> Row:
    """A row with an id and a time."""
    return {"id": text(name), "ts": at(seconds), **more}


def text(value: str) -> str:
    """A text in SQL."""
    return f"'{value}'"


def create(name: str, *rows: Row) -> str:
    """The statement that makes a table of these rows, over the one that is there."""
    return f"CREATE OR REPLACE TABLE {DATASET}.{name} AS {select(*rows)}"


@dataclass(frozen=True)
class Neighbour:
    """A source, and the keys that Aito must hold after each of two nights.

    make, change: statements. columns: how Aito shows some columns of the first key at the end.
    """

    source: str
    make: tuple[str, ...]
    first: list[str]
    change: tuple[str, ...] = ()
    second: list[str] | None = None
    settings: Row = field(default_factory=dict)
    columns: Row = field(default_factory=dict)


PLAIN = (row("a", 900), row("b", 800))
OLD = 9 * 86_400
LOG = f"log_{YESTERDAY}"
CHANGES = f"changes_{YESTERDAY}"
DELETED = (
    event("a", 1, 600, "DELETE"),
    event("a", 1, 600),  # at the same moment: the deletion is the last
    event("b", 1, 500, "DELETE"),
    event("b", 1, 400),
    event("c", 1, 300, "DELETE"),  # before its row comes, which is older
    event("c", 1, 700),
    event("d", 1, 200, "DELETE"),
    event("d", 1, 200, "DELETE"),
)
NEIGHBOURS = {
    "snapshot": Neighbour(
        "snapshot", (f"CREATE SNAPSHOT TABLE {DATASET}.snapshot CLONE {DATASET}.plain",), ["a", "b"]
    ),
    "clone": Neighbour(
        "cloned", (f"CREATE TABLE {DATASET}.cloned CLONE {DATASET}.plain",), ["a", "b"]
    ),
    "materialized": Neighbour(
        "materialized",
        (f"CREATE MATERIALIZED VIEW {DATASET}.materialized AS SELECT id, ts FROM {DATASET}.plain",),
        ["a", "b"],
    ),
    "view_over_days": Neighbour(
        "all_days",
        (
            create(LOG, *PLAIN),
            f"CREATE VIEW {DATASET}.all_days AS"
            f" SELECT *, _TABLE_SUFFIX AS day FROM `{DATASET}.log_*`",
        ),
        ["a", "b"],
        (create(f"log_{TODAY}", row("c")),),
        ["a", "b", "c"],
        columns={"day": YESTERDAY},
    ),
    "days_with_deletes": Neighbour(
        "changes_*",
        (create(CHANGES, event("a", 1, 900), event("d", 1, 800)),),
        ["a|1", "d|1"],
        (create(f"changes_{TODAY}", *DELETED),),
        ["b|1"],
        {"key": ["user", "n"], "deletes": "op = 'DELETE'", "lookback": "1d", "keep": "5d"},
    ),
    "odd_names": Neighbour(
        "odd",
        (create("odd", row("a", **ODD)),),
        ["a"],
        columns={name: [1, 2] for name in ODD_NAMES},
    ),
    "name_with_a_space": Neighbour(
        "spaced",
        (create("spaced", {"Row ID": text("a"), "Seen At": at(60)}),),
        ["a"],
        settings={
            "cursor": {"source": "Seen At", "column": "at"},
            "columns": {"id": {"sql": "`Row ID`"}},
        },
    ),
    "moments_beyond_32_bits": Neighbour(
        "beyond",
        (create("beyond", row("a") | {"ts": YEAR_1}, row("b")),),
        ["a", "b"],
        (f"INSERT INTO {DATASET}.beyond (id, ts) VALUES ('c', {at(30)})",),
        ["a", "b", "c"],
        settings={"columns": {"*": None, "at": {"type": "Long"}}},
        columns={"at": -62_135_596_800},
    ),
    "numeric_key": Neighbour(
        "numeric",
        (create("numeric", {"id": "NUMERIC '2.5'", "ts": at(60)}),),
        ["2.500000000"],  # the emulator shows all digits
        settings={"columns": {"*": None, "id": {"type": "String"}}},
    ),
    "large_integers_in_arrays": Neighbour(
        "arrays",
        (create("arrays", row("a", ids=f"[1, {2**40}]", few="[1]")),),
        ["a"],
        columns={"ids": ["1", str(2**40)], "few": [1]},
    ),
    "member_of_a_struct": Neighbour(
        "members",
        (create("members", row("a", OLD, s="STRUCT(1 AS x)"), row("b", s="NULL")),),
        ["a", "b"],
        (create("members", row("a", OLD, s="STRUCT(1 AS x, 'new' AS y)"), row("b", s="NULL")),),
        ["a", "b"],
        columns={"s": {"x": 1, "y": "new"}},
    ),
}


def tables() -> Iterator[Row]:
    """Each neighbour in each mode."""
    for name, each in NEIGHBOURS.items():
        for mode in MODES:
            yield {
                "name": f"{name}_{mode}",
                "source": f"{DATASET}.{each.source}",
                "mode": mode,
                "key": "id",
                "cursor": CURSOR,
                **each.settings,
            }


@pytest.fixture
def neighbours(stack: Stack) -> Stack:
    """The stack with all sources."""
    client = stack.bigquery.client()
    for name in (DATASET, f"{DATASET}_ledger"):
        client.delete_dataset(name, delete_contents=True, not_found_ok=True)
    client.create_dataset(DATASET)
    run(stack, create("plain", *PLAIN))
    for each in NEIGHBOURS.values():
        run(stack, *each.make)
    return stack


def run(stack: Stack, *statements: str) -> None:
    """Run statements on the emulator."""
    for statement in statements:
        bigquery.sql(stack.bigquery.client(), statement)


# Twenty tables, planned and loaded twice, take the emulator twenty seconds.
@pytest.mark.slow
def test_neighbours(neighbours: Stack) -> None:
    """Each night holds what it must, and the dry run before it has foreseen it."""
    asked = list(tables())
    settings = {"ledger": f"{DATASET}_ledger", "aito": FAST}
    path = neighbours.configure(name="neighbours.yaml", tables=asked, **settings)
    with Function(neighbours.environ(path)) as function:
        first = night(function, neighbours, {name: n.first for name, n in NEIGHBOURS.items()})
        assert all(report["uploaded"] for report in first.values())
        for each in NEIGHBOURS.values():
            run(neighbours, *each.change)
        held = {name: each.second or each.first for name, each in NEIGHBOURS.items()}
        second = night(function, neighbours, held)
        quiet = night(function, neighbours, held)
    for name, each in NEIGHBOURS.items():
        for mode in MODES:
            table = f"{name}_{mode}"
            if not each.change:
                assert second[table]["uploaded"] == 0, table
            assert (quiet[table]["uploaded"], quiet[table]["deleted"]) == (0, 0), table
            found = next(r for r in neighbours.aito.rows(table) if key(r) == held[name][0])
            assert {column: found[column] for column in each.columns} == each.columns, table


def night(function: Function, stack: Stack, expected: dict[str, list[str]]) -> dict[str, Row]:
    """A dry run and a run, which must be ok and leave these keys in Aito. -> the run's reports."""
    _, plan = function.post({"dry_run": True})
    status, answer = function.post({})
    planned = {report["table"]: report for report in plan["tables"]}
    reports = {report["table"]: report for report in answer["tables"]}
    wrong = [report["error"] for report in reports.values() if report["status"] != "ok"]
    assert (status, wrong) == (200, [])
    for table, report in reports.items():
        assert (planned[table]["status"], report["verified"]) == ("ok", True), table
        codes = [
            [warning["code"] for warning in each["warnings"]] for each in (planned[table], report)
        ]
        assert codes[0] == codes[1], table
    for name, keys in expected.items():
        for mode in MODES:
            assert sorted(key(held) for held in stack.aito.rows(f"{name}_{mode}")) == keys, name
    return reports


def codes(report: Row) -> list[str]:
    """The codes of a report's warnings."""
    return [warning["code"] for warning in report["warnings"]]


def key(held: Row) -> str:
    """A row's key, of one column or of several."""
    return str(held.get("sync_key") or held["id"])
