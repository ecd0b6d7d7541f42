"""`ok` means it: what would surprise weeks later is done, warned of, or refused at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from local.stack import Stack
from tests.variations import slow
from tests.workbench import (
    DAY,
    HOUR,
    Row,
    Workbench,
    civil,
    hear_counts,
    limit_noticeable_bytes,
    row,
)

PLAIN = {"id": None, "at": None}


def codes(bench: Workbench) -> list[str]:
    """The codes of the warnings that the last run has logged."""
    return [event["code"] for event in bench.events if event["event"] == "table_warning"]


def hourly(bench: Workbench, count: int, first: int = 0) -> list[dict[str, object]]:
    """Rows that are an hour apart, the newest first."""
    return [row(f"k{i:03}", bench.now - 60 - i * HOUR) for i in range(first, first + count)]


def stop_after(calls: int) -> Callable[[], bool]:
    """Ask the run to end when it has looked so often."""
    looks = itertools.count(1)
    return lambda: next(looks) > calls


# -- a changed configuration


@pytest.mark.parametrize("mode", ["merge", *slow("append")])
def test_columns_that_were_changed_or_added(stack: Stack, mode: str) -> None:
    """The next sync reads all rows again. Other SQL of a column makes other values of all rows, and
    a column that was added is filled in the old rows.
    """
    columns: Row = {**PLAIN, "v": {"sql": "value", "type": "String"}}
    bench = Workbench(stack, f"surprise_column_{mode}", mode, table={"columns": columns})
    bench.put(hourly(bench, 60))
    assert bench.run().status == "ok"
    columns = {**PLAIN, "v": {"sql": "CONCAT(value, '!')", "type": "String"}}
    bench.table = {"columns": columns}
    assert bench.run().status == "ok"
    assert [held["v"] for held in bench.aito_rows()] == ["v!"] * 60
    columns = {**columns, "loud": {"sql": "UPPER(value)", "type": "String", "nullable": True}}
    bench.table = {"columns": columns}
    planned = bench.run(dry_run=True).tables[0]
    assert planned.estimate
    assert planned.estimate["rows"] == 60
    assert planned.estimate["refresh"] == "the configuration changed: columns"
    assert bench.run().status == "ok"
    assert [held["loud"] for held in bench.aito_rows()] == ["V"] * 60
    again = bench.run()
    assert (again.status, again.tables[0].uploaded) == ("ok", 0)
    assert again.tables[0].fetched < 60, "the refresh is over"


def test_settings_that_make_no_other_rows(bench: Workbench) -> None:
    """They are no refresh, and neither is another way to write the same columns."""
    bench.table = {"columns": {**PLAIN, "value": None}}
    bench.put(hourly(bench, 20))
    bench.run_ok()
    bench.table = {
        "lookback": "2h",
        "evaluate": [{"name": "guess", "predict": "value"}],
        "purge": {"max_share": 1},
        "delete": {"max_share": 1},
        "rejects": {"max_share": 1, "keep_document": False},
        "columns": {"*": None},
    }
    planned = bench.run_ok(dry_run=True).estimate
    assert planned
    assert planned["refresh"] is None
    assert planned["rows"] < 20


def test_settings_that_make_other_rows(bench: Workbench) -> None:
    """Each is a refresh, also after a range or a reconcile that came before it.

    A refresh that is over is no reason of the next one.
    """
    columns = {**PLAIN, "value": None}
    bench.table = {"columns": columns}
    bench.put(hourly(bench, 20))
    bench.run_ok()
    since = {"since": bench.now - 9 * HOUR}
    reconcile = {"action": "reconcile"}
    sql_of_value = {"columns": {**PLAIN, "value": {"sql": "id"}}}
    lost = "the source's columns changed: value is lost"
    changed: list[tuple[Row, str, Row | None]] = [
        ({"where": "TRUE"}, "the configuration changed: source", since),
        ({"deletes": "value = 'x'"}, "the configuration changed: deletes", reconcile),
        ({"columns": {"*": {"except": ["value"]}}}, lost, since),
        (sql_of_value, "the configuration changed: columns", None),
        ({"mode": "merge"}, "the configuration changed: mode", None),
    ]
    for change, reason, request in changed:
        bench.table |= change
        if request is not None:
            bench.run(**request)
            assert codes(bench) == ["refresh_pending"], change
            assert reason.rpartition(": ")[2].partition(" ")[0] in str(bench.events), change
        assert bench.run().tables[0].fetched == 20, change
        assert codes(bench) == [], change
        assert bench.event("table_planned")["refresh"] == reason, change
    bench.run()
    assert bench.event("table_planned")["refresh"] is None


@pytest.mark.parametrize("mode", ["append", *slow("merge")])
def test_a_cursor_in_another_zone(stack: Stack, mode: str) -> None:
    """The cursor of every row is made anew, and none is lost or doubled."""
    bench = Workbench(stack, f"surprise_zone_{mode}", mode)
    schema = {"id": "STRING", "at": "DATETIME"}
    rows = [{"id": f"k{i}", "at": civil(bench.now - 60 - i * HOUR)} for i in range(30)]
    bench.load_source("civil", schema, rows)
    cursor = {"source": "at", "column": "unix"}
    config = {"name": bench.name, "source": f"{bench.dataset}.civil", "mode": mode, "key": "id"}
    bench.run_ok({**config, "cursor": cursor})
    before = {held["id"]: held["unix"] for held in bench.aito_rows()}
    bench.run_ok({**config, "cursor": {**cursor, "zone": "Asia/Tokyo"}})
    after = [(held["id"], held["unix"]) for held in bench.aito_rows()]
    assert sorted(after) == sorted((key, unix - 9 * HOUR) for key, unix in before.items())


@pytest.mark.parametrize("mode", ["merge", *slow("append")])
def test_a_change_that_makes_rows_unfit(stack: Stack, mode: str) -> None:
    """Rows that do not fit their new form are rejected and leave Aito; the others are changed."""
    number = {"sql": "LENGTH(value)", "type": "Int"}
    guard = {"rejects": {"max_share": 1}}
    name = f"surprise_unfit_{mode}"
    bench = Workbench(stack, name, mode, table={"columns": {**PLAIN, "n": number}, **guard})
    bench.put(hourly(bench, 20))
    assert bench.run().status == "ok"
    number = {"sql": "IF(id < 'k004', 1099511627776, 7)", "type": "Int"}
    bench.table = {"columns": {**PLAIN, "n": number}, **guard}
    for dry_run in (True, False):
        (table,) = bench.run(dry_run=dry_run).tables
        assert (table.status, table.rejected, codes(bench)) == ("ok", 4, ["rejects"])
    assert [held["n"] for held in bench.aito_rows()] == [7] * 16
    assert len(bench.rejects()) == 4


def test_a_keep_that_is_raised_during_a_refresh(stack: Stack) -> None:
    """The refresh begins anew and goes through the longer range; a later change back is another.

    A refresh that does not fit the budget goes on where it stopped, and ends.
    """
    bench = Workbench(stack, "surprise_raised", keep=3 * DAY, settings={"batch": {"rows": 2}})
    bench.put([row(f"k{i:02}", bench.now - 60 - i * 4 * HOUR) for i in range(36)])
    bench.run_ok()
    old = {**PLAIN, "value": None}
    bench.table = {"columns": {**PLAIN, "value": {"sql": "CONCAT(value, '!')", "type": "String"}}}
    assert bench.run(stopped=stop_after(4)).status == "partial"
    bench.keep = 6 * DAY
    assert bench.run(stopped=stop_after(4)).status == "partial"
    for _ in range(20):
        report = bench.run(stopped=stop_after(12))
        if report.status == "ok":
            break
        assert report.status == "partial", report.tables[0].error
    assert report.status == "ok"
    assert [held["value"] for held in bench.aito_rows()] == ["v!"] * 36
    bench.table = {"columns": old}
    bench.run_ok()
    assert {held["value"] for held in bench.aito_rows()} == {"v"}


def test_a_ledger_without_definitions(stack: Stack) -> None:
    """A ledger of an earlier version takes the present definition over, without a refresh."""
    bench = Workbench(stack, "surprise_takeover")
    bench.put(hourly(bench, 50))
    bench.run_ok()
    bench.sql(f"DROP TABLE `{bench.ledger}.checkpoints`")
    assert bench.run_ok().fetched < 50
    assert len(bench.ledger_rows("checkpoints")) == 1


# -- keys, cursors and empty tables


def test_a_key_that_rows_share(stack: Stack) -> None:
    """Of six rows three replace others: that is said with numbers. A single row that came twice is
    not.
    """
    bench = Workbench(stack, "surprise_key")
    bench.put([row(f"page{i % 3}", bench.now - 2 * HOUR * i - 60, f"{i}") for i in range(6)])
    (warning,) = bench.run_ok().warnings
    assert warning.code == "keys_collapsed"
    assert "6 rows of the source have only 3 keys; 3 rows (50%)" in warning.message
    assert "page" not in warning.message
    (run,) = bench.ledger_rows("runs")
    assert "keys_collapsed" in run["warnings"]
    bench.now += 2 * DAY
    bench.put([row("twice", bench.now - 60 - i, f"device{i}") for i in range(2)])
    assert not bench.run_ok().warnings


@pytest.mark.parametrize("mode", ["append", *slow("merge", "replace")])
def test_rows_that_are_equal(stack: Stack, mode: str) -> None:
    """Rows that were delivered twice are no loss, however many they are."""
    bench = Workbench(stack, f"surprise_equal_{mode}", mode)
    rows = hourly(bench, 40)
    bench.put([*rows, *rows])
    bench.run_ok()
    assert codes(bench) == []
    bench.put([row("k000", bench.now - 60, f"other {i}") for i in range(12)])
    bench.run()
    assert codes(bench) == ["keys_collapsed"]
    assert "12 rows (" in bench.event("table_warning")["message"]


def test_nothing_has_ever_been_loaded(stack: Stack) -> None:
    """A table without any row is ok with a warning, and `freshness` says that it is empty."""
    bench = Workbench(stack, "surprise_empty")
    bench.put([row("tomorrow", bench.now + DAY)])
    (table,) = bench.run().tables
    assert (table.status, codes(bench)) == ("ok", ["no_rows"])
    bench.run(action="watch")
    assert bench.event("freshness")["empty"] is True


@pytest.mark.parametrize("mode", ["merge", *slow("append", "replace")])
def test_ordinary_nights_have_no_warning(stack: Stack, mode: str) -> None:
    """Ties, late rows, rows that come twice, a purge and, in `merge`, newer rows of some keys are
    nothing to warn of, in the plan, the sync, and the reconcile after them.
    """
    bench = Workbench(stack, f"surprise_ordinary_{mode}", mode, keep=6 * DAY)
    bench.put(hourly(bench, 5 * 24))
    for night in range(3):
        bench.now += DAY
        fresh = [row(f"n{night}-{i}", bench.now - 60 - i // 2 * 600) for i in range(60)]
        late = [row(f"late{night}", bench.now - DAY - 600)]
        newer = [row(f"k{i:03}", bench.now - 90, f"{night}") for i in range(4)]
        bench.put([*fresh, *late, *fresh, *(newer if mode == "merge" else [])])
        if night == 2:
            bench.run_ok(dry_run=True)
            assert codes(bench) == []
        bench.run_ok()
        assert codes(bench) == []
    bench.run_ok(action="reconcile")
    assert codes(bench) == []


@pytest.mark.parametrize(("unit", "scale"), [("us", 1_000_000), *slow(("s", 1), ("ms", 1000))])
def test_the_unit_of_a_cursor(stack: Stack, unit: str, scale: int) -> None:
    """An INT64 cursor in the unit that the configuration names is read as seconds."""
    bench = Workbench(stack, f"surprise_unit_{unit}")
    schema = {"id": "STRING", "made": "INT64"}
    rows = [{"id": f"k{i}", "made": (bench.now - 60 - i * 600) * scale + i} for i in range(20)]
    bench.load_source("counted", schema, rows)
    table = {
        "name": bench.name,
        "source": f"{bench.dataset}.counted",
        "key": "id",
        "cursor": {"source": "made", "unit": unit, "column": "unix"},
        "keep": "3h",
        "columns": {"id": None},
    }
    report = bench.run_ok(table)
    assert (report.uploaded, report.verified) == (18, True)
    wanted = {f"k{i}": (bench.now - 60 - i * 600) + (i if unit == "s" else 0) for i in range(18)}
    assert {held["id"]: held["unix"] for held in bench.aito_rows()} == wanted
    assert bench.run_ok(table).uploaded == 0


def test_a_condition_beside_the_source(stack: Stack) -> None:
    """`where` leaves rows out, in the count as in the batches."""
    bench = Workbench(stack, "surprise_condition", table={"where": "value != 'test' -- no tests"})
    bench.put(
        [row(f"k{i:02}", bench.now - 60 - i, "test" if i % 4 == 0 else "v") for i in range(40)]
    )
    (table,) = bench.run().tables
    assert (table.status, table.uploaded, table.verified) == ("ok", 30, True)
    assert {held["value"] for held in bench.aito_rows()} == {"v"}


# -- rows that are gone from the source


@pytest.mark.parametrize(
    ("mode", "request_of"),
    [
        ("merge", "reconcile"),
        *slow(("append", "sync"), ("merge", "sync"), ("append", "reconcile")),
    ],
)
def test_a_source_that_was_emptied(stack: Stack, mode: str, request_of: str) -> None:
    """It deletes nothing and fails with words, in the plan, too; the request may allow it once."""
    name = f"surprise_emptied_{mode}_{request_of}"
    bench = Workbench(stack, name, mode, table={"lookback": "10d"})
    bench.put(hourly(bench, 30))
    bench.run_ok()
    bench.sql(f"DELETE FROM `{bench.source}` WHERE TRUE")
    bench.source_rows.clear()
    for dry_run in (True, False):
        (table,) = bench.run(action=request_of, dry_run=dry_run).tables
        assert (table.status, table.http_status) == ("failed", 500)
        assert "the source shows no rows, and Aito holds 30" in (table.error or "")
    assert len(bench.aito_rows()) == 30
    allowed = frozenset(["empty_source", "delete"])
    bench.run(action="reconcile", allow=allowed)
    assert bench.aito_rows() == []


@pytest.mark.parametrize(
    ("mode", "action"),
    [
        ("replace", "sync"),
        *slow(*((mode, each) for mode in ("append", "merge") for each in ("sync", "reconcile"))),
        *slow(("replace", "reconcile")),
    ],
)
def test_a_source_that_is_emptied_during_the_run(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, mode: str, action: str
) -> None:
    """It was counted before it was emptied: nothing is deleted, however few rows there are."""
    bench = Workbench(stack, f"surprise_during_{mode}_{action}", mode)
    bench.put([row(f"k{i}", bench.now - 60 - i) for i in range(5)])
    bench.run_ok()
    bench.put([row("new", bench.now - 30)])

    def empty(_: bool) -> None:
        bench.sql(f"DELETE FROM `{bench.source}` WHERE TRUE")

    hear_counts(monkeypatch, empty)
    (table,) = bench.run(action=action).tables
    assert (table.status, table.code) == ("failed", "EmptySource")
    assert "the source shows no rows, and Aito holds 5" in (table.error or "")
    assert len(bench.aito_rows()) == 5


@pytest.mark.parametrize("mode", ["append", *slow("merge")])
def test_a_source_that_hides_rows(stack: Stack, mode: str) -> None:
    """As a row access policy does, of most rows or of all: whatever looks at the hidden rows
    refuses to delete them.

    When the table behind a view was dropped, each action fails with its name.
    """
    bench = Workbench(stack, f"surprise_hides_{mode}", mode)
    bench.put(hourly(bench, 100))
    bench.sql(f"CREATE OR REPLACE VIEW `{bench.dataset}.v` AS SELECT * FROM `{bench.source}`")
    bench.table = {"source": f"{bench.dataset}.v", "lookback": "10d"}
    bench.run_ok()
    bench.sql(f"DELETE FROM `{bench.source}` WHERE id >= 'k005'")
    requests: list[Row] = [
        {"action": "reconcile"},
        {"full_refresh": True, "dry_run": True},
        {"full_refresh": True},
    ]
    for request in requests:
        (table,) = bench.run(**request).tables
        assert (table.status, table.code) == ("failed", "DeleteRefused")
        assert "95 of 100 rows are gone from the source" in (table.error or "")
    bench.sql(f"DELETE FROM `{bench.source}` WHERE TRUE")
    for dry_run in (True, False):
        (table,) = bench.run(dry_run=dry_run).tables
        assert (table.status, table.http_status) == ("failed", 500)
        assert "the source shows no rows, and Aito holds 100" in (table.error or "")
    bench.sql(f"DROP TABLE `{bench.source}`")
    for action in ("sync", "reconcile"):
        (table,) = bench.run(action=action).tables
        assert table.status == "failed"
        assert bench.source in (table.error or "")
    assert len(bench.aito_rows()) == 100


@pytest.mark.parametrize("mode", ["merge", *slow("append")])
def test_keys_that_become_null(stack: Stack, mode: str) -> None:
    """A few are counted, warned of and rejected; many are refused by the plan and by the run."""
    table_config = {"lookback": "9d", "rejects": {"max_share": 1}}
    bench = Workbench(stack, f"surprise_null_{mode}", mode, table=table_config)
    bench.put(hourly(bench, 40))
    bench.run_ok()
    bench.sql(f"UPDATE `{bench.source}` SET id = NULL WHERE id < 'k003'")
    (table,) = bench.run().tables
    assert (table.status, table.deleted, table.rejected) == ("ok", 3, 3)
    assert codes(bench) == ["rows_without_key", "rows_deleted", "rejects"]
    bench.sql(f"UPDATE `{bench.source}` SET id = NULL WHERE id < 'k030'")
    for dry_run in (True, False):
        (table,) = bench.run(dry_run=dry_run).tables
        assert (table.code, len(bench.aito_rows())) == ("DeleteRefused", 37)


def test_a_swap_that_shrinks(stack: Stack) -> None:
    """Rows that a swap loses are counted and warned of, in the plan too; `delete` may refuse it."""
    bench = Workbench(stack, "surprise_shrinks", "replace")
    bench.put(hourly(bench, 100))
    bench.run_ok()
    bench.delete_from_source([f"k{i:03}" for i in range(5, 100)])
    bench.table = {"delete": {"max_share": 0.1}}
    for dry_run in (True, False):
        (table,) = bench.run(dry_run=dry_run).tables
        assert (table.code, len(bench.aito_rows())) == ("DeleteRefused", 100)
        assert "95 of 100 rows are gone from the source" in (table.error or "")
    bench.table = None
    for dry_run in (True, False):
        (table,) = bench.run(dry_run=dry_run).tables
        assert (table.status, table.deleted, codes(bench)) == ("ok", 95, ["rows_deleted"])
    assert len(bench.aito_rows()) == 5


@pytest.mark.slow  # test_swapping holds it
def test_an_emptied_source_of_a_swap(stack: Stack) -> None:
    """An empty table is not swapped in. The request may allow it once."""
    bench = Workbench(stack, "surprise_swap", "replace")
    bench.put(hourly(bench, 5))
    bench.run_ok()
    bench.sql(f"DELETE FROM `{bench.source}` WHERE TRUE")
    bench.source_rows.clear()
    for dry_run in (True, False):
        (table,) = bench.run(dry_run=dry_run).tables
        assert "the source shows no rows, and Aito holds 5" in (table.error or "")
    assert len(bench.aito_rows()) == 5
    bench.run_ok(allow=frozenset(["empty_source"]))
    assert bench.aito_rows() == []


def test_erosion_over_several_nights_adds_up(stack: Stack) -> None:
    """Each night loses little, and the week is what is guarded.

    Rows gone from the source are counted apart from repairs, in the answer, the ledger and the log.
    """
    bench = Workbench(stack, "surprise_erosion")
    bench.put([row(f"k{i:03}", bench.now - 60 - i * 600) for i in range(400)])
    bench.run_ok()
    deleted = 0
    for night in range(6):
        bench.now += 3600
        bench.delete_from_source([f"k{i:03}" for i in range(night * 30, night * 30 + 30)])
        (table,) = bench.run(action="reconcile").tables
        deleted += table.deleted
        if table.status == "failed":
            break
        assert (table.deleted, table.repaired) == (30, 0)
        assert bench.event("table_done")["deleted"] == 30
    assert table.status == "failed"
    assert deleted == 30
    assert len(bench.aito_rows()) == 400 - deleted
    runs = [each for each in bench.ledger_rows("runs") if each["action"] == "reconcile"]
    first = min(runs, key=lambda each: each["started_at"])
    assert (first["deleted"], first["repaired"]) == (30, 0)


# -- a range of time


def test_a_requested_range(stack: Stack) -> None:
    """since and until bound what is gone through; the watermark stays."""
    bench = Workbench(stack, "surprise_range")
    bench.put(hourly(bench, 100))
    before = bench.run_ok().watermark_after
    stack.aito.delete_rows(bench.name, {"id": "k020"})
    stack.aito.delete_rows(bench.name, {"id": "k080"})
    bench.run(since=bench.now - 30 * HOUR, until=bench.now - 10 * HOUR)
    assert len(bench.aito_rows()) == 99, "only the row within the range is back"
    (table,) = bench.run(action="reconcile", since=bench.now - 90 * HOUR).tables
    assert (table.status, table.repaired) == ("ok", 1)
    assert bench.run_ok().watermark_after == before


@pytest.mark.parametrize(
    ("action", "loaded_before"),
    [*(("sync", 0), ("reconcile", 50)), *slow(("sync", 50), ("reconcile", 0))],
)
def test_a_range_that_passes_rows_over(stack: Stack, action: str, loaded_before: int) -> None:
    """Rows between the watermark and the range are named by a warning, and the next sync loads
    them, although the newest row of the range is the watermark then.
    """
    name = f"surprise_passed_over_{action}_{loaded_before}"
    bench = Workbench(stack, name)
    bench.put(hourly(bench, 50, first=50))
    if loaded_before:
        bench.run_ok()
    bench.put(hourly(bench, 50))
    bench.run(action=action, since=bench.now - 10 * HOUR)
    assert codes(bench) == ["refresh_pending"]
    assert len(bench.aito_rows()) == loaded_before + 10
    bench.run_ok()
    assert len(bench.aito_rows()) == 100
    assert codes(bench) == []


# -- late writes


@pytest.mark.parametrize("mode", ["merge", *slow("append")])
def test_a_write_that_is_applied_after_the_run(stack: Stack, mode: str) -> None:
    """An insert without an answer is applied after the run has ended: the next run removes it."""
    bench = Workbench(stack, f"surprise_late_{mode}", mode)
    bench.put([row(f"k{i:03}", bench.now - 60 - i) for i in range(50)])
    stack.aito.fail("cut", on="insert", times=1, apply="none")
    bench.run_ok()
    stack.aito.insert(bench.name, [held for held in bench.aito_rows() if held["id"] < "k020"])
    assert len(bench.aito_rows()) == 70
    bench.now += DAY
    bench.run_ok()
    assert len(bench.aito_rows()) == 50
    assert unsettled_since(bench) is not None, "it may be applied once more"
    bench.now += DAY
    bench.run_ok()
    assert unsettled_since(bench) is None


def unsettled_since(bench: Workbench) -> int | None:
    """What the last checkpoint says."""
    (*_, last) = sorted(bench.ledger_rows("checkpoints"), key=lambda each: each["updated_at"])
    since: int | None = last["unsettled_since"]
    return since


# -- what a night costs, and what Aito predicts


def test_a_source_that_is_read_whole(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that is not partitioned by its cursor is warned of, in the plan and in each run."""
    bench = Workbench(stack, "surprise_whole")
    schema = {"id": "STRING", "at": "TIMESTAMP"}
    rows = [{"id": f"k{i}", "at": row("", bench.now - 60 - i * HOUR)["at"]} for i in range(50)]
    bench.load_source("whole", schema, rows)
    bench.load_source("by_day", schema, rows, partition_by="at")
    cursor = {"source": "at", "column": "unix"}
    tables = [
        {"name": source, "source": f"{bench.dataset}.{source}", "key": "id", "cursor": cursor}
        for source in ("whole", "by_day")
    ]

    def warned() -> list[tuple[str, str]]:
        told = [event for event in bench.events if event["event"] == "table_warning"]
        return [(event["table"], event["code"]) for event in told]

    limit_noticeable_bytes(monkeypatch, 0)
    bench.run_ok(*tables)
    assert warned() == [], "the first load reads everything"
    for request in ({"tables": ("whole",), "dry_run": True}, {}):
        bench.run_ok(*tables, **request)
        assert warned() == [("whole", "not_incremental")]
    limit_noticeable_bytes(monkeypatch, 2**30)
    bench.run_ok(*tables, tables=("whole",))
    assert warned() == [], "a small table is not worth a word"


def test_an_evaluation_that_says_something(stack: Stack) -> None:
    """Low accuracy and a failed job are warnings of the sync that learns of them."""
    evaluate = [{"name": "guess", "predict": "value", "given": ["id"], "min_accuracy": 1.0}]
    bench = Workbench(stack, "surprise_evaluation", table={"evaluate": evaluate})
    bench.put([row(f"k{i}", bench.now - 60 - i * 60, f"v{i % 3}") for i in range(60)])
    bench.run_ok()
    assert codes(bench) == []
    (table,) = bench.run().tables
    (warning,) = table.warnings
    assert warning.code == "evaluation"
    assert warning.message.startswith("evaluation guess: accuracy 0.")
    assert "is below min_accuracy 1" in warning.message
    stack.aito.lose_jobs()
    bench.run_ok()
    assert codes(bench) == ["evaluation"]
    assert "lost" in bench.event("table_warning")["message"]
