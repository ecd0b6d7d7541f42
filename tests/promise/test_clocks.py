"""Any clock: DATETIME and DATE in a zone, numbers in a wrong unit, rows of the future, text."""

from __future__ import annotations

import pytest

from local.stack import Stack
from tests.workbench import DAY, HOUR, Row, Workbench, civil, limit_slices

SUMMER_TIME_ENDS = 1_792_891_200  # 2026-10-25T01:20:00Z: clocks in Helsinki show 03:20 twice


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


@pytest.mark.parametrize("mode", ["append", "merge"])
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


def test_a_date_at_home_in_a_zone(stack: Stack) -> None:
    """A day begins at the midnight of the zone; the calendar's ends do not overflow."""
    bench = Workbench(stack, "clock_date", now=SUMMER_TIME_ENDS)
    days = ["2026-10-24", "2026-10-23", "0001-01-01", "9999-12-31"]
    rows = [{"id": day, "ts": day} for day in days]
    bench.load_source("days", {"id": "STRING", "ts": "DATE"}, rows)
    table = cursor_table(bench, "days", zone="America/Bogota")  # five hours behind
    bench.run_ok(table)
    assert {held["id"]: held["unix"] for held in bench.aito_rows()} == {
        "2026-10-24": 1_792_818_000,
        "2026-10-23": 1_792_731_600,
    }


@pytest.mark.parametrize(
    ("kind", "value", "cursor", "says"),
    [
        ("TIMESTAMP", "2026-10-24T00:00:00Z", {"zone": "Asia/Tokyo"}, "is TIMESTAMP, and cursor.z"),
        ("TIMESTAMP", "2026-10-24T00:00:00Z", {"unit": "ms"}, "is TIMESTAMP, and cursor.unit is"),
        ("STRING", "2026-10-24", {}, "REPLACE(TIMESTAMP(`ts`) AS `ts`) FROM `{d}.{t}`"),
        ("FLOAT64", 1.5, {}, "it must be TIMESTAMP, DATETIME, DATE or INT64 of an epoch"),
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
