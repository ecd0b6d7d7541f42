"""Rejects close: page, command and `freshness` count what is still open, by its last reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.stack import Stack
from tests.faults import BAD, refuse_bad_rows
from tests.variations import slow
from tests.workbench import DAY, HOUR, Workbench, facts, hear_statements, row

LOOSE = {"rejects": {"max_share": 1}}


@pytest.fixture(autouse=True)
def refuse_marked_rows(stack: Stack) -> Iterator[None]:
    """The stand-in refuses rows that are marked."""
    refuse_bad_rows(stack.aito)
    yield
    stack.aito.refuse(None)


def open_rejects(bench: Workbench) -> dict[str, int]:
    """What the page counts, by reason."""
    (table,) = facts(bench.services())["tables"]
    return {each["reason"]: each["rows"] for each in table["rejects"]}


def watched(bench: Workbench) -> int:
    """What the alarm sees."""
    bench.run(action="watch")
    number: int = bench.event("freshness")["open_rejects"]
    return number


def with_rejects(bench: Workbench) -> None:
    """Load ten rows that are an hour apart; two of them are refused."""
    bench.put(
        [row(f"k{i}", bench.now - 60 - i * HOUR, BAD if i in (0, 5) else "v") for i in range(10)]
    )
    bench.run_ok()
    assert watched(bench) == 2


def mend(bench: Workbench, key: str, value: str = "good") -> None:
    """Change a row at the source, which keeps its cursor."""
    bench.sql(f"UPDATE `{bench.source}` SET value = '{value}' WHERE id = '{key}'")
    for each in bench.source_rows:
        each["value"] = value if each["id"] == key else each["value"]


@pytest.mark.parametrize("mode", ["merge", *slow("append", "replace")])
def test_a_row_that_was_mended(stack: Stack, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """It is closed by the run that takes it, and recorded once.

    Where no reject is open, none is looked for.
    """
    bench = Workbench(stack, f"closed_mended_{mode}", mode, table=LOOSE)
    with_rejects(bench)
    assert sum(open_rejects(bench).values()) == 2
    bench.run_ok()
    assert watched(bench) == 2, "nothing changed"
    mend(bench, "k0")
    bench.run_ok()
    assert watched(bench) == 1
    mend(bench, "k5")
    bench.run_ok(action="reconcile")
    assert (open_rejects(bench), watched(bench)) == ({}, 0)
    recorded = [each for each in bench.rejects() if each["closed_at"] is None]
    assert sorted(each["key"] for each in recorded) == ["k0", "k5"]
    assert len(bench.rejects()) == 4
    statements: list[str] = []
    hear_statements(monkeypatch, statements.append)
    bench.run_ok()
    assert len(bench.rejects()) == 4, "closed once"
    assert len(statements) <= (4 if mode == "append" else 5), "append reads no rows"
    assert not [text for text in statements if ".rejects`" in text and "WITH latest" not in text]


def test_a_newer_row_of_the_key(stack: Stack) -> None:
    """The reject lies far behind the window, and a newer row of its key is taken."""
    bench = Workbench(stack, "closed_newer", "merge", table=LOOSE)
    with_rejects(bench)
    bench.now += HOUR
    bench.put([row("k5", bench.now - 60), row("k0", bench.now - 50, BAD)])
    bench.run_ok()
    assert watched(bench) == 1
    assert [each["key"] for each in bench.rejects() if each["closed_at"]] == ["k5"]


@pytest.mark.parametrize("mode", ["append", *slow("merge", "replace")])
def test_a_row_that_is_gone(stack: Stack, mode: str) -> None:
    """Its key left the source: the run that reads its place closes it."""
    bench = Workbench(stack, f"closed_gone_{mode}", mode, table=LOOSE)
    with_rejects(bench)
    bench.delete_from_source(["k0", "k5"])
    bench.run_ok()
    assert watched(bench) == (0 if mode == "replace" else 1)
    bench.run_ok(action="reconcile")
    assert watched(bench) == 0


def test_an_open_reject_outlives_its_partition(stack: Stack) -> None:
    """The ledger's partitions may expire after 90 days: what is still open is written anew.

    A row that is older than `keep` left the window, so nobody waits for it any more.
    """
    table = {**LOOSE, "purge": {"max_share": 1}}
    bench = Workbench(stack, "closed_late", keep=80 * DAY, table=table)
    with_rejects(bench)
    bench.now += 70 * DAY
    bench.put([row("new", bench.now - 60)])
    bench.run_ok()
    assert watched(bench) == 2
    assert len(bench.rejects()) == 4
    bench.run_ok()
    assert len(bench.rejects()) == 4
    bench.now += 10 * DAY - 2 * HOUR
    bench.put([row("newer", bench.now - 60)])
    bench.run_ok()
    assert watched(bench) == 1


def test_rows_without_a_cursor_or_a_key(stack: Stack) -> None:
    """A run that finds none any more closes their rejects."""
    bench = Workbench(stack, "closed_nameless", table=LOOSE)
    bench.put([row(f"k{i}", bench.now - 60 - i) for i in range(10)])
    bench.sql(f"INSERT INTO `{bench.source}` VALUES ('no cursor', NULL, 'v')")
    keyless = f"INSERT INTO `{bench.source}` SELECT NULL, `at`, 'v' FROM `{bench.source}`"
    bench.sql(f"{keyless} WHERE id IN ('k1', 'k2')")
    bench.run_ok()
    bench.run_ok()
    assert watched(bench) == 3
    bench.sql(f"DELETE FROM `{bench.source}` WHERE `at` IS NULL")
    bench.run_ok()
    assert watched(bench) == 2
    bench.sql(f"DELETE FROM `{bench.source}` WHERE id IS NULL")
    bench.run_ok()
    assert (watched(bench), open_rejects(bench)) == (0, {})


def test_the_last_reason(stack: Stack) -> None:
    """A reason is mended and another one comes: ledger, page and answer name the last one.

    columns are not declared, so that their names come from the source alone.
    """
    bench = Workbench(stack, "closed_reason")
    schema = {"id": "STRING", "ts": "TIMESTAMP", "a": "INT64", "b": "INT64"}
    at = bench.now - 60
    rows = [
        {"id": f"k{i}", "ts": f"{row('', at - i)['at']}", "a": 2**40 if i < 2 else 1, "b": 2}
        for i in range(9)
    ]
    bench.load_source("wide", schema, rows)
    table = {
        "name": bench.name,
        "source": f"{bench.dataset}.wide",
        "key": "id",
        "cursor": {"source": "ts", "column": "unix"},
        "columns": {"id": {}, "a": {"type": "Int"}, "b": {"type": "Int"}},
    }
    bench.run_ok(table)
    bench.sql("UPDATE `{d}.wide` SET b = a, a = 1 WHERE a > 1")
    bench.run_ok(table)
    (known,) = facts(bench.services(table))["tables"]
    (reason,) = known["rejects"]
    assert (reason["rows"], reason["reason"][:2]) == (2, "b:")
    assert bench.event("row_rejected")["reason"].startswith("b:")
    bench.run_ok(table)
    assert len(bench.rejects()) == 4, "each reason once"
    bench.sql("UPDATE `{d}.wide` SET b = 1 WHERE TRUE")
    bench.run_ok(table)
    (known,) = facts(bench.services(table))["tables"]
    assert known["rejects"] == []
