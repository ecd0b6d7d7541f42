"""Any clock: DATETIME and DATE in a zone, numbers in a wrong unit, rows of the future, text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from local.stack import Stack
from sync.model.window import UNIT_NAMES
from tests.variations import slow
from tests.workbench import DAY, HOUR, Row, Workbench, civil, iso, limit_slices

SUMMER_TIME_ENDS = 1_792_891_200  # 2026-10-25T01:20:00Z: clocks in Helsinki show 03:20 twice

SUMMER_TIME_BEGINS = 1_774_746_000  # 2026-03-29T01:00:00Z: clocks in Helsinki skip from 03:00


def cursor_table(bench: Workbench, source: str, kind: str = "ts", **cursor: str) -> Row:
    """A table whose cursor is the column `ts`."""
    return {
        "name": bench.name,
        "source": f"{bench.dataset}.{source}",
        "mode": bench.mode,
        "key": "id",
        "cursor": {"source": kind, "column": "unix", **cursor},
        "keep": "3d",
    }


# -- zones


@pytest.mark.parametrize("mode", ["append", *slow("merge")])
def test_a_datetime_at_home_in_a_zone(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Its moments are those of the zone, also in the night in which summer time ends."""
    limit_slices(monkeypatch, 10)
    bench = Workbench(stack, f"clock_zone_{mode}", mode, now=SUMMER_TIME_ENDS)
    # Clocks in Helsinki are three hours ahead, and from 01:00Z on two.
    clocks = [bench.now + 3 * HOUR - 60 - i * 1200 for i in range(60)]
    rows = [{"id": f"k{i:02}", "ts": civil(clock)} for i, clock in enumerate(clocks)]
    bench.load_source("local_times", {"id": "STRING", "ts": "DATETIME"}, rows)
    table = cursor_table(bench, "local_times", zone="Europe/Helsinki")
    bench.run_ok(table)
    moment = "UNIX_SECONDS(TIMESTAMP(ts, 'Europe/Helsinki'))"
    known = bench.sql(f"SELECT id, {moment} AS unix FROM `{{d}}.local_times`")
    wanted = {each["id"]: each["unix"] for each in known if each["unix"] < bench.now}
    assert len(wanted) > 50
    assert {held["id"]: held["unix"] for held in bench.aito_rows()} == wanted
    bench.now += DAY
    assert bench.run_ok(table).uploaded == len(known) - len(wanted)
    assert len(bench.aito_rows()) == 60


@pytest.mark.parametrize("mode", ["merge", *slow("append")])
def test_the_hour_that_summer_time_skips(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """A DATETIME of that hour is a later moment than greater ones: it is the newest of its key."""
    limit_slices(monkeypatch, 2)
    bench = Workbench(stack, f"clock_skipped_{mode}", mode, now=SUMMER_TIME_BEGINS + 2 * HOUR)
    schema = {"id": "STRING", "ts": "DATETIME", "v": "STRING", "gone": "BOOL"}
    before, skipped, after = (f"2026-03-29T{clock}:00" for clock in ("02:50", "03:30", "04:10"))
    rows: list[Row] = [
        {"id": "a", "ts": skipped, "v": "newest", "gone": False},
        {"id": "a", "ts": after, "v": "older", "gone": False},
        {"id": "b", "ts": skipped, "gone": True},
        {"id": "b", "ts": after, "v": "deleted", "gone": False},
        {"id": "c", "ts": before, "gone": True},
        {"id": "c", "ts": after, "v": "newest", "gone": False},
    ]
    bench.load_source("skipped", schema, rows)
    table = cursor_table(bench, "skipped", zone="Europe/Helsinki") | {"deletes": "gone"}
    table["columns"] = {"id": None, "v": None}
    for _ in range(2):
        assert bench.run_ok(table).verified
        held = [(each["id"], each["v"], each["unix"]) for each in bench.aito_rows()]
        assert sorted(held) == [
            ("a", "newest", SUMMER_TIME_BEGINS + 1800),
            ("c", "newest", SUMMER_TIME_BEGINS + 600),
        ]


def test_a_date_at_home_in_a_zone(stack: Stack) -> None:
    """A day begins at the midnight of the zone; the calendar's ends do not overflow."""
    bench = Workbench(stack, "clock_date", now=SUMMER_TIME_ENDS)
    days = ["2026-10-24", "2026-10-23", "0001-01-01", "9999-12-31"]
    rows = [{"id": day, "ts": day} for day in days]
    bench.load_source("days", {"id": "STRING", "ts": "DATE"}, rows)
    table = cursor_table(bench, "days", zone="America/Bogota")  # five hours behind
    planned = bench.run(table, dry_run=True).tables[0].estimate or {}
    assert planned["cursor"] == "ts, DATE, read as America/Bogota (cursor.zone)"
    bench.run_ok(table)
    assert {held["id"]: held["unix"] for held in bench.aito_rows()} == {
        "2026-10-24": 1_792_818_000,
        "2026-10-23": 1_792_731_600,
    }


@pytest.mark.parametrize("mode", ["append", *slow("merge")])
def test_moments_beyond_32_bits(stack: Stack, mode: str) -> None:
    """A cursor's column of type Long holds any moment, such as the year 1 for an unknown time."""
    bench = Workbench(stack, f"clock_beyond_{mode}", mode, now=SUMMER_TIME_ENDS)
    moments = ["0001-01-01T00:00:00Z", "1900-01-01T00:00:00Z", iso(bench.now - DAY)]
    rows = [{"id": moment, "ts": moment} for moment in moments]
    bench.load_source("beyond", {"id": "STRING", "ts": "TIMESTAMP"}, rows)
    columns = {"*": None, "unix": {"type": "Long"}}
    table = cursor_table(bench, "beyond") | {"columns": columns}
    del table["keep"]
    assert bench.run_ok(table).uploaded == 3
    for action in ("sync", "reconcile"):
        report = bench.run_ok(table, action=action)
        assert (report.verified, report.uploaded, report.repaired) == (True, 0, 0)
    assert len(bench.aito_rows()) == 3
    bench.run_ok(table | {"keep": "30d", "purge": {"max_share": 1}})
    assert bench.aito_keys() == moments[2:]


@pytest.mark.parametrize(
    ("kind", "value", "cursor", "says"),
    [
        ("TIMESTAMP", "2026-10-24T00:00:00Z", {"zone": "Asia/Tokyo"}, "is TIMESTAMP, and cursor.z"),
        ("TIMESTAMP", "2026-10-24T00:00:00Z", {"unit": "ms"}, "is TIMESTAMP, and cursor.unit is"),
        ("STRING", "2026-10-24", {}, "REPLACE(TIMESTAMP(`ts`) AS `ts`) FROM `{d}.{t}`"),
        ("STRING", "1772366400", {}, "where it holds an epoch, CAST(... AS INT64) instead"),
        ("FLOAT64", 1.5, {}, "it must be TIMESTAMP, DATETIME, DATE or INT64 of an epoch"),
        ("NUMERIC", 1.5, {}, "REPLACE(CAST(`ts` AS INT64) AS `ts`) FROM `{d}.{t}`"),
    ],
)
def test_a_cursor_that_is_none(
    stack: Stack, kind: str, value: object, cursor: Row, says: str
) -> None:
    """A type that tells no moment is refused with what would be right, also in the plan."""
    bench = Workbench(stack, "clock_none", now=SUMMER_TIME_ENDS)
    source = f"typed_{kind.lower()}"
    bench.load_source(source, {"id": "STRING", "ts": kind}, [{"id": "a", "ts": value}])
    table = cursor_table(bench, source, **cursor)
    for dry_run in (True, False):
        (report,) = bench.run(table, dry_run=dry_run).tables
        assert report.http_status == 500
        assert says.format(d=bench.dataset, t=source) in (report.error or "")


# -- numbers in another unit


UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000}


@pytest.mark.parametrize("mode", ["merge", *slow("append")])
@pytest.mark.parametrize(
    ("said", "held", "keep"), [("s", "ms", "90d"), ("s", "us", None), ("ms", "s", None)]
)
def test_a_wrong_unit_on_the_first_night(
    stack: Stack, mode: str, said: str, held: str, keep: str | None
) -> None:
    """It is refused with the unit that fits, in the plan as in the run; nothing is loaded."""
    bench = Workbench(stack, f"clock_{said}_{held}_{mode}", mode)
    schema = {"id": "STRING", "ts": "INT64"}
    rows = [{"id": f"k{i}", "ts": (bench.now - 60 - i * 600) * UNITS[held]} for i in range(30)]
    bench.load_source("numbers", schema, rows)
    table = {**cursor_table(bench, "numbers", unit=said), "keep": keep}
    for dry_run in (True, False):
        (report,) = bench.run(table, dry_run=dry_run).tables
        assert report.http_status == 500
        assert f"30 rows hold {UNIT_NAMES[held]} in ts, and cursor.unit says" in str(report.error)
        assert f"set `unit: {held}`" in str(report.error)
    assert bench.aito_rows() == []
    table["cursor"]["unit"] = held
    assert bench.run_ok(table).uploaded == 30


@pytest.mark.parametrize(
    ("held", "says", "unit"),
    [
        (lambda at: at * 10**9, "20 rows hold nanoseconds in ts", "us"),
        (lambda at: int(f"{datetime.fromtimestamp(at, UTC):%Y%m%d}"), "20 rows hold days", "s"),
    ],
    ids=["nanoseconds", "days"],
)
def test_numbers_without_a_unit(
    stack: Stack, held: Callable[[int], int], says: str, unit: str
) -> None:
    """They are refused with the expression that makes a time of them, which can be pasted."""
    bench = Workbench(stack, f"clock_other_numbers_{unit}")
    rows = [{"id": f"k{i}", "ts": held(bench.now - DAY - i * HOUR)} for i in range(20)]
    bench.load_source(f"other_{unit}", {"id": "STRING", "ts": "INT64"}, rows)
    table = cursor_table(bench, f"other_{unit}", unit=unit)
    for dry_run in (True, False):
        told = str(bench.run(table, dry_run=dry_run).tables[0].error)
        assert says in told
    made = told.partition("makes a time of them by ")[2].partition(", with")[0]
    query = f"SELECT * REPLACE ({made}) FROM `{table['source']}`"
    assert bench.run_ok({**table, "source": None, "query": query}).uploaded == 20


@pytest.mark.parametrize("mode", ["merge", *slow("append")])
def test_a_unit_that_changes(stack: Stack, mode: str) -> None:
    """Numbers of another unit from the second night on are said each night, and mend by SQL."""
    bench = Workbench(stack, f"clock_change_{mode}", mode)
    schema = {"id": "STRING", "ts": "INT64"}
    rows = [{"id": f"k{i}", "ts": bench.now - 60 - i * HOUR} for i in range(60)]
    bench.load_source("changing", schema, rows)
    table = cursor_table(bench, "changing")
    assert bench.run_ok(table).warnings == []
    bench.now += DAY
    rows = [{"id": f"new{i}", "ts": (bench.now - 60 - i * HOUR) * 1000} for i in range(20)]
    bench.load_source("changing", schema, rows)
    (warning,) = bench.run_ok(table).warnings
    assert warning.code == "cursor_unit"
    assert warning.message.startswith("20 rows hold milliseconds in ts, and cursor.unit says sec")


def test_few_numbers_of_old_times(stack: Stack) -> None:
    """Zeros and small numbers are no other unit."""
    bench = Workbench(stack, "clock_zeros")
    rows = [{"id": f"k{i}", "ts": 0 if i % 3 else bench.now - 60 - i} for i in range(30)]
    bench.load_source("zeros", {"id": "STRING", "ts": "INT64"}, rows)
    assert bench.run_ok(cursor_table(bench, "zeros")).warnings == []
    assert len(bench.aito_rows()) == 10


# -- the future


@pytest.mark.parametrize("mode", ["append", *slow("merge")])
@pytest.mark.parametrize("before", [0, 20])
def test_a_cursor_that_is_the_time_of_reading(stack: Stack, mode: str, before: int) -> None:
    """CURRENT_TIMESTAMP() as the cursor is refused, also where Aito has rows; these stay."""
    bench = Workbench(stack, f"clock_reading_{mode}_{before}", mode)
    rows = [{"id": f"k{i}", "ts": iso(bench.now - 60 - i)} for i in range(20)]
    bench.load_source("read_now", {"id": "STRING", "ts": "TIMESTAMP"}, rows)
    table = cursor_table(bench, "read_now")
    if before:
        bench.run_ok(table)
    query = f"SELECT id, CURRENT_TIMESTAMP() AS ts FROM `{bench.dataset}.read_now`"
    for dry_run in (True, False):
        changed = {**table, "source": None, "query": query}
        (report,) = bench.run(changed, dry_run=dry_run).tables
        assert report.http_status == 500
        assert "all 20 rows are dated at the moment of reading them" in str(report.error)
    assert len(bench.aito_rows()) == before


@pytest.mark.parametrize("mode", ["merge", *slow("append")])
def test_a_table_that_is_built_anew_each_night(stack: Stack, mode: str) -> None:
    """All its rows have the time of the last build. Each key stays once, and none is lost."""
    bench = Workbench(stack, f"clock_anew_{mode}", mode)
    table = {**cursor_table(bench, "built"), "keep": None}
    for night in range(3):
        built = [{"id": f"k{i}", "ts": iso(bench.now - 600)} for i in range(20 + night)]
        bench.load_source("built", {"id": "STRING", "ts": "TIMESTAMP"}, built, truncate=True)
        report = bench.run_ok(table)
        assert (report.verified, report.deleted, report.warnings) == (True, 0, [])
        held = bench.aito_rows()
        assert sorted(row["id"] for row in held) == sorted(row["id"] for row in built)
        assert {row["unix"] for row in held} == {bench.now - 600}
        bench.now += DAY


def test_rows_of_the_future_are_counted(stack: Stack) -> None:
    """Their share is a warning and part of the plan; few of them are ordinary."""
    bench = Workbench(stack, "clock_future")
    rows = [{"id": f"k{i}", "ts": iso(bench.now - 60 - i)} for i in range(40)]
    rows += [{"id": f"later{i}", "ts": iso(bench.now + (i + 1) * DAY)} for i in range(10)]
    bench.load_source("future", {"id": "STRING", "ts": "TIMESTAMP"}, rows)
    table = cursor_table(bench, "future")
    (warning,) = bench.run_ok(table).warnings
    assert (warning.code, warning.message.split(";")[0]) == (
        "rows_ahead",
        "10 rows (20%) are dated in the future",
    )
    assert bench.event("table_planned")["ahead"] == 10
    bench.now += 11 * DAY
    assert bench.run_ok({**table, "keep": "20d"}).uploaded == 10
