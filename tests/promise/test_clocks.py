"""Any clock: DATETIME and DATE in a zone, numbers in a wrong unit, rows of the future, text."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from local.stack import Stack
from sync.bigquery.stage import Stages
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
    limit_slices(monkeypatch, 25)
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
    monkeypatch.setattr(Stages, "can_hold", lambda *_: False)  # slices are cut by the source
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


def test_a_cursor_that_is_none(stack: Stack) -> None:
    """A type that tells no moment is refused with what would be right, also in the plan."""
    bench = Workbench(stack, "clock_none", now=SUMMER_TIME_ENDS)
    refused: list[tuple[str, object, Row, str]] = [
        ("TIMESTAMP", "2026-10-24T00:00:00Z", {"zone": "Asia/Tokyo"}, "is TIMESTAMP, and cursor.z"),
        ("TIMESTAMP", "2026-10-24T00:00:00Z", {"unit": "ms"}, "is TIMESTAMP, and cursor.unit is"),
        ("STRING", "2026-10-24", {}, "REPLACE(TIMESTAMP(`ts`) AS `ts`) FROM `{d}.{t}`"),
        ("STRING", "1772366400", {}, "where it holds an epoch, CAST(... AS INT64) instead"),
        ("FLOAT64", 1.5, {}, "it must be TIMESTAMP, DATETIME, DATE or INT64 of an epoch"),
        ("NUMERIC", 1.5, {}, "REPLACE(CAST(`ts` AS INT64) AS `ts`) FROM `{d}.{t}`"),
    ]
    tables = []
    for number, (kind, value, cursor, _) in enumerate(refused):
        source = f"typed_{number}"
        bench.load_source(source, {"id": "STRING", "ts": kind}, [{"id": "a", "ts": value}])
        tables.append(cursor_table(bench, source, **cursor) | {"name": source})
    for dry_run in (True, False):
        reports = bench.run(*tables, dry_run=dry_run).tables
        for report, (_, _, _, says) in zip(reports, refused, strict=True):
            assert report.http_status == 500
            assert says.format(d=bench.dataset, t=report.table) in (report.error or "")


# -- numbers in another unit


UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000}


FEW_UNITS = [("s", "ms", "90d"), ("ms", "s", None)]


@pytest.mark.parametrize(
    ("mode", "units"),
    [("merge", FEW_UNITS), *slow(("merge", [("s", "us", None)]), ("append", FEW_UNITS))],
)
def test_a_wrong_unit_on_the_first_night(
    stack: Stack, mode: str, units: list[tuple[str, str, str | None]]
) -> None:
    """It is refused with the unit that fits, in the plan as in the run; nothing is loaded."""
    bench = Workbench(stack, f"clock_units_{mode}", mode)
    tables = []
    for said, held, keep in units:
        source = f"numbers_{held}"
        moments = [(bench.now - 60 - i * 600) * UNITS[held] for i in range(30)]
        rows = [{"id": f"k{i}", "ts": moment} for i, moment in enumerate(moments)]
        bench.load_source(source, {"id": "STRING", "ts": "INT64"}, rows)
        more = {"name": f"clock_{said}_{held}_{mode}", "keep": keep}
        tables.append(cursor_table(bench, source, unit=said) | more)
    for dry_run in (True, False):
        reports = bench.run(*tables, dry_run=dry_run).tables
        for report, (_, held, _) in zip(reports, units, strict=True):
            error = str(report.error)
            assert report.http_status == 500
            assert f"30 rows hold {UNIT_NAMES[held]} in ts, and cursor.unit says" in error
            assert f"set `unit: {held}`" in error
            loaded = report.table in bench.aito.schema() and bench.aito.rows(report.table)
            assert not loaded
    for table, (_, held, _) in zip(tables, units, strict=True):
        table["cursor"]["unit"] = held
    assert [report.uploaded for report in bench.run(*tables).tables] == [30] * len(units)


def test_numbers_without_a_unit(stack: Stack) -> None:
    """They are refused with the expression that makes a time of them, which can be pasted."""
    bench = Workbench(stack, "clock_other_numbers")
    moments = [bench.now - DAY - i * HOUR for i in range(20)]
    days = [int(f"{datetime.fromtimestamp(moment, UTC):%Y%m%d}") for moment in moments]
    nanoseconds = [moment * 10**9 for moment in moments]
    kinds = [("us", nanoseconds, "hold nanoseconds in ts"), ("s", days, "hold days")]
    tables = []
    for unit, numbers, _ in kinds:
        source = f"other_{unit}"
        rows = [{"id": f"k{i}", "ts": number} for i, number in enumerate(numbers)]
        bench.load_source(source, {"id": "STRING", "ts": "INT64"}, rows)
        tables.append(cursor_table(bench, source, unit=unit) | {"name": f"clock_{source}"})
    for dry_run in (True, False):
        told = [str(report.error) for report in bench.run(*tables, dry_run=dry_run).tables]
        for error, (_, _, says) in zip(told, kinds, strict=True):
            assert f"20 rows {says}" in error
    for table, error in zip(tables, told, strict=True):
        made = error.partition("makes a time of them by ")[2].partition(", with")[0]
        table["query"] = f"SELECT * REPLACE ({made}) FROM `{table.pop('source')}`"
    reports = bench.run(*tables).tables
    assert [(report.status, report.uploaded) for report in reports] == [("ok", 20), ("ok", 20)]


@pytest.mark.parametrize("mode", ["merge", *slow("append")])
def test_a_unit_that_changes(stack: Stack, mode: str) -> None:
    """Numbers of another unit from the second night on are said each night, and mend by SQL.

    Zeros and small numbers are no other unit.
    """
    bench = Workbench(stack, f"clock_change_{mode}", mode)
    schema = {"id": "STRING", "ts": "INT64"}
    rows = [{"id": f"k{i}", "ts": bench.now - 60 - i * HOUR} for i in range(60)]
    zeros = [{"id": f"zero{i}", "ts": 0} for i in range(120)]
    bench.load_source("changing", schema, rows + zeros)
    table = cursor_table(bench, "changing")
    assert bench.run_ok(table).warnings == []
    assert len(bench.aito_rows()) == 60
    bench.now += DAY
    rows = [{"id": f"new{i}", "ts": (bench.now - 60 - i * HOUR) * 1000} for i in range(20)]
    bench.load_source("changing", schema, rows)
    (warning,) = bench.run_ok(table).warnings
    assert warning.code == "cursor_unit"
    assert warning.message.startswith("20 rows hold milliseconds in ts, and cursor.unit says sec")


# -- the future


@pytest.mark.parametrize("mode", ["append", *slow("merge")])
def test_a_cursor_that_is_the_time_of_reading(stack: Stack, mode: str) -> None:
    """CURRENT_TIMESTAMP() as the cursor is refused, also where Aito has rows; these stay."""
    bench = Workbench(stack, f"clock_reading_{mode}", mode)
    rows = [{"id": f"k{i}", "ts": iso(bench.now - 60 - i)} for i in range(20)]
    bench.load_source("read_now", {"id": "STRING", "ts": "TIMESTAMP"}, rows)
    table = cursor_table(bench, "read_now")
    query = f"SELECT id, CURRENT_TIMESTAMP() AS ts FROM `{bench.dataset}.read_now`"
    changed = {**table, "source": None, "query": query}
    for before in (0, 20):
        if before:
            bench.run_ok(table)
        for dry_run in (True, False):
            (report,) = bench.run(changed, dry_run=dry_run).tables
            assert report.http_status == 500
            assert "all 20 rows are dated at the moment of reading them" in str(report.error)
        assert len(bench.aito_rows()) == before


@pytest.mark.parametrize("mode", ["merge", *slow("append")])
def test_a_table_that_is_built_anew_each_night(stack: Stack, mode: str) -> None:
    """All its rows have the time of the last build. Each key stays once, and none is lost."""
    bench = Workbench(stack, f"clock_anew_{mode}", mode)
    table = {**cursor_table(bench, "built"), "keep": None}
    for night in range(2):
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
