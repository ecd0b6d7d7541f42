"""Rows that are hard to load once each: ties, late ones, doubled ones, keyless ones, and runs that
end half-way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from tests.variations import slow
from tests.workbench import (
    DAY,
    HOUR,
    NOW,
    Clock,
    Workbench,
    batches_of,
    civil,
    iso,
    limit_slices,
    table,
)

SCHEMA = {"id": "STRING", "ts": "TIMESTAMP", "n": "INT64"}


def rows(*pairs: tuple[str | None, float | None], n: int = 0) -> list[dict[str, Any]]:
    """Rows of (key, epoch seconds)."""
    return [{"id": key, "ts": None if at is None else iso(at), "n": n} for key, at in pairs]


def generate_rows(bench: Workbench, count: int, at: str) -> None:
    """So many rows in `rows`, made by SQL; `at` is the SQL of their time over `i`."""
    bench.load_source("rows", SCHEMA, [])
    bench.sql(
        f"""INSERT INTO {{d}}.rows (id, ts, n)
      SELECT CONCAT('k', CAST(i AS STRING)), {at}, i FROM UNNEST(GENERATE_ARRAY(1, {count})) AS i"""
    )


def assert_each_key_once(bench: Workbench, name: str, count: int) -> None:
    """Aito holds so many rows, no key twice."""
    held = Counter(row["id"] for row in bench.aito.rows(name))
    assert [key for key, times in held.items() if times > 1] == []
    assert len(held) == count


@pytest.mark.parametrize("thousands", [1, *slow(30)])
def test_one_second_killed_half_way(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, thousands: int
) -> None:
    """A bulk load stamps 30 batches of rows alike.

    Slices and batches are smaller than that, the first run dies: each is once.
    """
    count, batch = 1000 * thousands, 1000 * thousands // 30
    limit_slices(monkeypatch, 5 * batch)
    generate_rows(bench, count, "TIMESTAMP_SECONDS(1772360000)")
    asked = table("load_second", f"{bench.dataset}.rows", lookback="0s")
    bench.aito.fail("cut", on="insert", apply="half", times=None, skip=13)
    report = bench.run(asked, settings=batches_of(batch))
    assert (report.status, report.http_status) == ("failed", 503)
    assert 13 * batch < len(bench.aito.rows("load_second")) < count
    bench.aito.heal()
    finished = bench.run_ok(asked, settings=batches_of(batch))
    assert finished.verified
    assert_each_key_once(bench, "load_second", count)


@pytest.mark.parametrize("count", [1_000, *slow(20_000)])
def test_seven_slices(bench: Workbench, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Batches of a hundred; then ties with the last second, late rows, and doubled keys: exactly
    those are new.
    """
    limit_slices(monkeypatch, count * 3 // 20)
    first, last = NOW - 7 * HOUR, count - 1
    generate_rows(
        bench, count, f"TIMESTAMP_SECONDS({first} + DIV((i - 1) * {7 * HOUR - 1}, {last}))"
    )
    asked = table("load_slices", f"{bench.dataset}.rows", lookback="2h")
    report = bench.run_ok(asked, settings=batches_of(100))
    assert (report.slices_planned, report.slices_done, report.uploaded) == (7, 7, count)
    assert report.watermark_after == NOW - 1
    done = [event for event in bench.events if event["event"] == "slice_done"]
    assert [e["slice_start"] for e in done] == sorted(e["slice_start"] for e in done)
    assert bench.run_ok(asked, settings=batches_of(100)).uploaded == 0
    ties = [(f"tie{n}", NOW - 1.0) for n in range(150)]
    late = [(f"late{n}", NOW - 2 * HOUR + 10.0 + n) for n in range(150)]
    bench.load_source("rows", SCHEMA, rows(*ties, *late, *ties[:70], *late[:70]))
    bench.now = NOW + 60
    assert bench.run_ok(asked, settings=batches_of(100)).uploaded == 300
    assert_each_key_once(bench, "load_slices", count + 300)


@pytest.mark.parametrize(
    ("most", "requests"), [(10_000, (10,)), (500, range(40, 60))], ids=["by rows", "by bytes"]
)
def test_a_batch_closes_at_its_own_limits(
    bench: Workbench, most: int, requests: Sequence[int]
) -> None:
    """200 rows of about 40 bytes by twenties: bytes count within a batch, and are no reason to
    part the next one.
    """
    generate_rows(bench, 200, f"TIMESTAMP_SECONDS({NOW - 1000} + i)")
    asked = table(f"load_limits_{most}", f"{bench.dataset}.rows")
    before = bench.aito.total(on="insert")
    assert bench.run_ok(asked, settings={"batch": {"rows": 20, "bytes": most}}).uploaded == 200
    assert bench.aito.total(on="insert") - before in requests


def test_rows_that_share_the_watermarks_second(bench: Workbench) -> None:
    """Those that come later are neither lost nor doubled, even without a lookback and with
    fractions of a second.
    """
    asked = table("load_ties", f"{bench.dataset}.rows", lookback="0s")
    bench.load_source(
        "rows", SCHEMA, rows(("a", NOW - 50), ("b", NOW - 10), ("c", NOW - 10 + 0.75))
    )
    assert bench.run_ok(asked).uploaded == 3
    bench.load_source(
        "rows", SCHEMA, rows(("d", NOW - 10), ("e", NOW - 10 + 0.5), ("f", NOW - 10 + 0.999999))
    )
    report = bench.run_ok(asked)
    assert (report.fetched, report.uploaded, report.skipped) == (5, 3, 2)
    assert bench.aito_keys("load_ties") == ["a", "b", "c", "d", "e", "f"]


def test_the_oldest_rows_first(bench: Workbench) -> None:
    """Whatever their keys: a load that ends half-way leaves a watermark behind which nothing is
    missing.
    """
    bench.load_source("rows", SCHEMA, rows(*((f"k{99 - n}", NOW - 5000.0 + n) for n in range(50))))
    asked = table("load_order", f"{bench.dataset}.rows", lookback="0s")
    bench.aito.fail("unavailable", on="insert", times=None, skip=2)
    assert bench.run(asked, settings=batches_of(10)).http_status == 503
    assert bench.aito_keys("load_order") == [f"k{99 - n}" for n in reversed(range(20))]
    bench.aito.heal()
    assert bench.run_ok(asked, settings=batches_of(10)).repaired == 0
    assert_each_key_once(bench, "load_order", 50)


def test_rows_that_are_late(bench: Workbench) -> None:
    """By less than `lookback` they arrive with the next run; by more, with `reconcile`."""
    asked = table("load_late", f"{bench.dataset}.rows", lookback="1h")
    bench.load_source("rows", SCHEMA, rows(("a", NOW - DAY), ("b", NOW - 10)))
    bench.run_ok(asked)
    bench.load_source(
        "rows",
        SCHEMA,
        rows(("edge", NOW - 10 - HOUR), ("late", NOW - 1000), ("lost", NOW - 11 - HOUR)),
    )
    assert bench.run_ok(asked).uploaded == 2
    assert bench.aito_keys("load_late") == ["a", "b", "edge", "late"]
    assert bench.run_ok(asked, action="reconcile").repaired == 1
    assert bench.aito_keys("load_late") == ["a", "b", "edge", "late", "lost"]


def test_doubled_keys(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest row of a key counts, in one slice and across slices; equal ones are one."""
    limit_slices(monkeypatch, 2)
    bench.load_source(
        "rows",
        SCHEMA,
        [
            *rows(("a", NOW - 5 * HOUR), ("b", NOW - 5 * HOUR), ("c", NOW - 3 * HOUR), n=1),
            *rows(("a", NOW - 100), ("b", NOW - 5 * HOUR + 1), n=2),
            *rows(("c", NOW - 3 * HOUR), n=1),
        ],
    )
    asked = table("load_doubled", f"{bench.dataset}.rows")
    report = bench.run_ok(asked)
    assert report.slices_planned > 1
    held = {row["id"]: (row["n"], row["at"]) for row in bench.aito.rows("load_doubled")}
    assert held == {"a": (2, NOW - 100), "b": (2, NOW - 5 * HOUR + 1), "c": (1, NOW - 3 * HOUR)}
    assert_each_key_once(bench, "load_doubled", 3)
    assert bench.run_ok(asked).uploaded == 0


@pytest.mark.parametrize("mode", ["merge", *slow("append")])
def test_the_newest_row_of_a_key_not_the_largest(bench: Workbench, mode: str) -> None:
    """Of two rows of a key in one slice the later counts, to the microsecond, whatever their
    documents' texts are.
    """
    older, newer = (
        rows(("a", NOW - 900), ("b", NOW - 900.75), n=9),
        rows(("a", NOW - 800), ("b", NOW - 900.25), n=1),
    )
    bench.load_source("rows", SCHEMA, [*newer, *older])
    columns: dict[str, Any] = {
        "id": {},
        "n": {},
    }  # the time is no part of the document but for its second, which comes last
    bench.run_ok(table(f"load_newest_{mode}", f"{bench.dataset}.rows", columns=columns, mode=mode))
    assert {row["id"]: row["n"] for row in bench.aito.rows(f"load_newest_{mode}")} == {
        "a": 1,
        "b": 1,
    }


def test_a_key_that_comes_again_within_the_lookback(bench: Workbench) -> None:
    """Behind the watermark, with another time: as many rows as before, and the newer one is the
    row that counts.
    """
    asked = table("load_again_late", f"{bench.dataset}.rows")
    bench.load_source(
        "rows", SCHEMA, rows(("a", NOW - 900), ("b", NOW - 800), ("newest", NOW - 10), n=1)
    )
    bench.run_ok(asked)
    bench.load_source("rows", SCHEMA, rows(("a", NOW - 100), ("b", NOW - 950), n=2))
    assert bench.run_ok(asked).uploaded == 1
    held = {row["id"]: (row["n"], row["at"]) for row in bench.aito.rows("load_again_late")}
    assert held == {"a": (2, NOW - 100), "b": (1, NOW - 800), "newest": (1, NOW - 10)}


def test_awkward_keys(bench: Workbench) -> None:
    """Quotes, line feeds, emoji, an empty text: looked up after a lost answer, known again,
    replaced, deleted.
    """
    keys = [
        "",
        " ",
        "a b",
        "a b ",
        'a "quote"',
        "it's",
        "back\\slash",
        "line\nfeed",
        ",\n",
        "null",
        "{}",
        "[1]",
        "漢字",
        "👩‍👩‍👧",
        "\u2028",
        "$and",
        "k" * 1500,
    ]
    asked = table("load_keys", f"{bench.dataset}.rows", delete={"max_share": 1})
    bench.load_source("rows", SCHEMA, rows(*((key, NOW - 100.0 - n) for n, key in enumerate(keys))))
    bench.aito.fail("cut", on="insert", apply="half")
    assert bench.run_ok(asked).uploaded == len(keys)
    assert_each_key_once(bench, "load_keys", len(keys))
    bench.aito.reset_stats()
    report = bench.run_ok(asked)
    assert (report.skipped, bench.aito_writes()) == (len(keys), 0)
    bench.sql("UPDATE {d}.rows SET n = 7 WHERE TRUE")
    assert bench.run_ok(asked, full_refresh=True).uploaded == len(keys)
    assert [row["n"] for row in bench.aito.rows("load_keys")] == [7] * len(keys)
    bench.sql("DELETE FROM {d}.rows WHERE id != 'a b'")
    assert bench.run_ok(asked, action="reconcile").deleted == len(keys) - 1
    assert bench.aito_keys("load_keys") == ["a b"]


def test_rows_without_key_or_cursor(bench: Workbench) -> None:
    """They are counted, logged and recorded in the ledger. The plan counts the same.

    A night with nothing new counts and records them once more.
    """
    good = [(f"k{n}", NOW - 100.0 - n) for n in range(20)]
    bench.load_source(
        "rows",
        SCHEMA,
        rows(*good, (None, NOW - 5), (None, NOW - 6), ("x", None), ("y", None), (None, None)),
    )
    asked = table("load_null", f"{bench.dataset}.rows", rejects={"max_share": 0.5})
    foreseen = bench.run_ok(asked, dry_run=True)
    report = bench.run_ok(asked)
    assert (report.fetched, report.uploaded, report.rejected) == (25, 20, 5)
    assert (foreseen.rejected, foreseen.rejects) == (5, report.rejects)
    planned = bench.event("table_planned")
    assert (planned["severity"], planned["keyless"], planned["cursorless"]) == ("WARNING", 2, 3)
    for nights in (1, 2):
        if nights == 2:
            assert bench.run_ok(asked).rejected == 5
        reasons = Counter(entry["reason"] for entry in bench.ledger_rows("rejects"))
        assert reasons == {
            "id: NULL in a column that is not nullable": 2 * nights,
            "3 rows have no cursor (at would be NULL) and are not loaded": nights,
        }
    assert_each_key_once(bench, "load_null", 20)


def test_a_second_without_keys(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heavy second is read in parts, by a hash of the key. A row without a key is in a part
    too.
    """
    limit_slices(monkeypatch, 15)
    good = [(f"k{n}", NOW - 9.0) for n in range(40)]
    bench.load_source("rows", SCHEMA, rows(*good, *[(None, NOW - 9.0)] * 3))
    report = bench.run_ok(table("load_parts", f"{bench.dataset}.rows", rejects={"max_share": 0.5}))
    assert (report.fetched, report.uploaded, report.rejected) == (43, 40, 3)
    assert len(bench.ledger_rows("rejects")) == 3


def test_too_many_rows_without_a_key_stop_the_table(bench: Workbench) -> None:
    """Past rejects.max_share it is the source that is wrong:
    500, with the figures and the remedy.
    """
    bench.load_source(
        "rows", SCHEMA, rows(("a", NOW - 9), *((None, NOW - 5.0 - n) for n in range(12)))
    )
    report = bench.run(table("load_stopped", f"{bench.dataset}.rows"))
    assert report.http_status == 500
    error = report.tables[0].error or ""
    assert "rejects.max_share" in error
    assert "raise" in error


def test_rows_dated_in_the_future(bench: Workbench) -> None:
    """They wait until their time comes, and never move the watermark."""
    asked = table("load_future", f"{bench.dataset}.rows")
    bench.load_source(
        "rows", SCHEMA, rows(("now", NOW - 1), ("this second", NOW), ("future", NOW + DAY))
    )
    assert bench.run_ok(asked).watermark_after == NOW - 1
    assert bench.aito_keys("load_future") == ["now"]
    bench.now = NOW + 10
    assert bench.run_ok(asked).watermark_after == NOW
    bench.load_source("rows", SCHEMA, rows(("b", NOW + 5)))
    bench.now = NOW + DAY + 1
    assert bench.run_ok(asked).uploaded == 2
    assert bench.aito_keys("load_future") == ["b", "future", "now", "this second"]


CURSORS: dict[str, tuple[str, Any]] = {
    "DATE": ("DATE", lambda at: civil(at)[:10]),
    "DATETIME": ("DATETIME", civil),
    "INT64": ("INT64", lambda at: at),
    "TIMESTAMP": ("TIMESTAMP", iso),
}


def test_cursor_types(bench: Workbench) -> None:
    """Each type of cursor, from before 1970 on; a second run brings what came since, and nothing
    else.
    """
    midnight = NOW - NOW % DAY
    times = {"old": -30 * DAY, "y": midnight - DAY, "t": midnight, "future": midnight + DAY}
    later = {"tie": midnight, "late": midnight - DAY}

    def put(moments: dict[str, int]) -> None:
        for kind, (sql_type, spelled) in CURSORS.items():
            made = [{"id": key, "ts": spelled(at)} for key, at in moments.items()]
            bench.load_source(f"by_{kind.lower()}", {"id": "STRING", "ts": sql_type}, made)

    def uploaded() -> dict[str, int]:
        report = bench.run(*tables)
        assert report.status == "ok", [each.error for each in report.tables]
        return {each.table: each.uploaded for each in report.tables}

    names = [f"load_{kind.lower()}" for kind in CURSORS]
    sources = [f"{bench.dataset}.by_{kind.lower()}" for kind in CURSORS]
    tables = [table(*each, lookback="1d") for each in zip(names, sources, strict=True)]
    put(times)
    assert uploaded() == dict.fromkeys(names, 3)
    for name in names:
        held = {row["id"]: row["at"] for row in bench.aito.rows(name)}
        assert held == {key: at for key, at in times.items() if key != "future"}, name
    put(later)
    assert uploaded() == dict.fromkeys(names, 2)
    assert uploaded() == dict.fromkeys(names, 0)
    for name in names:
        assert_each_key_once(bench, name, 5)


def test_a_table_partitioned_by_ingestion(bench: Workbench) -> None:
    """Segment's layout: rows are found by their own time, whatever day they arrived."""
    bench.load_source("rows", SCHEMA, rows(("a", NOW - 40 * DAY), ("b", NOW - 10)), partition_by="")
    asked = table("load_ingested", f"{bench.dataset}.rows")
    assert bench.run_ok(asked).uploaded == 2
    bench.load_source("rows", SCHEMA, rows(("c", NOW - 5)))
    assert bench.run_ok(asked).uploaded == 1
    assert_each_key_once(bench, "load_ingested", 3)


def test_a_table_partitioned_by_its_cursor(bench: Workbench) -> None:
    """The same by a column."""
    bench.load_source(
        "rows", SCHEMA, rows(("a", NOW - 40 * DAY), ("b", NOW - 10)), partition_by="ts"
    )
    assert (
        bench.run_ok(table("load_partitioned", f"{bench.dataset}.rows", keep="30d")).uploaded == 1
    )


def test_a_view_and_a_query(bench: Workbench) -> None:
    """A view, and a query of the user's own that ends in a comment."""
    bench.load_source("rows", SCHEMA, rows(("a", NOW - 10), ("b", NOW - 5)))
    bench.sql("CREATE VIEW {d}.seen AS SELECT id, ts, n AS number FROM {d}.rows")
    assert bench.run_ok(table("load_view", f"{bench.dataset}.seen")).uploaded == 2
    asked = table("load_query", "")
    del asked["source"]
    query = (
        f"SELECT UPPER(id) AS id, ts FROM {bench.dataset}.rows WHERE id != ';' -- no semicolons; no"
        " more"
    )
    assert bench.run_ok({**asked, "query": query}).uploaded == 2
    assert bench.aito_keys("load_query") == ["A", "B"]


@pytest.mark.parametrize(
    ("kind", "first", "second"), [("BYTES", "AP8=", "Cg=="), ("INT64", 2**62, -5)]
)
def test_keys_of_other_types(bench: Workbench, kind: str, first: Any, second: Any) -> None:
    """A key is compared by what Aito holds of it; a second run knows every row again."""
    column = {"type": "Long"} if kind == "INT64" else {}
    bench.load_source("rows", {"id": kind, "ts": "TIMESTAMP"}, [])
    for number, key in enumerate((first, second)):
        value = f"FROM_BASE64('{key}')" if kind == "BYTES" else key
        bench.sql(
            f"INSERT INTO {{d}}.rows (id, ts) SELECT {value},"
            f" TIMESTAMP_SECONDS({NOW - 10 - number})"
        )
    asked = table(f"load_key_{kind.lower()}", f"{bench.dataset}.rows", columns={"id": column})
    assert bench.run_ok(asked).uploaded == 2
    report = bench.run_ok(asked)
    assert (report.uploaded, report.skipped) == (0, 2)
    assert bench.aito_keys(asked["name"]) == sorted([first, second])
    assert bench.aito.total("requests", "insert") == 1


def test_full_refresh(bench: Workbench) -> None:
    """The watermark is forgotten: what was lost long ago comes back, what changed is replaced."""
    asked = table("load_again", f"{bench.dataset}.rows")
    bench.load_source(
        "rows", SCHEMA, rows(("a", NOW - 9 * DAY), ("b", NOW - 8 * DAY), ("c", NOW - 10))
    )
    bench.run_ok(asked)
    bench.aito.delete_rows("load_again", {"id": "a"})
    bench.sql("UPDATE {d}.rows SET n = 7 WHERE id = 'b'")
    assert bench.run_ok(asked).uploaded == 0
    report = bench.run_ok(asked, full_refresh=True)
    assert report.uploaded == 2
    assert {row["id"]: row["n"] for row in bench.aito.rows("load_again")} == {
        "a": 0,
        "b": 7,
        "c": 0,
    }


def test_out_of_time_is_partial_and_goes_on(bench: Workbench) -> None:
    """At least one batch a run, however little time: the state is good, the answer 503, and
    calling again continues.
    """
    bench.load_source("rows", SCHEMA, rows(*((f"k{n}", NOW - 100.0 + n) for n in range(30))))
    asked = table("load_slow", f"{bench.dataset}.rows")
    seconds = [0.0]

    def arrives(_: Any) -> None:
        seconds[0] += 6

    clock = Clock(now=lambda: bench.now, monotonic=lambda: seconds[0])
    settings = {**batches_of(10), "time_budget_seconds": 50}
    bench.aito.refuse(arrives)
    report = bench.run(asked, settings=settings, clock=clock)
    bench.aito.refuse(None)
    assert (report.status, report.http_status, report.retry_after is not None) == (
        "partial",
        503,
        True,
    )
    assert 0 < len(bench.aito.rows("load_slow")) < 30
    assert bench.run_ok(asked, settings=batches_of(10)).verified
    assert_each_key_once(bench, "load_slow", 30)


def test_optimized_after_it_was_written_to(bench: Workbench) -> None:
    """After rows came or went, once, and not after a night with nothing new."""
    bench.load_source("rows", SCHEMA, rows(("a", NOW - 10), ("b", NOW - 5), ("c", NOW - 3)))
    asked = table("load_optimized", f"{bench.dataset}.rows", keep="30d")
    bench.run_ok(asked)
    assert bench.aito.total(on="optimize") == 1
    bench.run_ok(asked)
    assert bench.aito.total(on="optimize") == 1
    bench.aito.insert("load_optimized", [{"id": "old", "ts": "", "n": 0, "at": NOW - 31 * DAY}])
    assert bench.run_ok(asked).purged == 1
    assert bench.aito.total(on="optimize") == 2
