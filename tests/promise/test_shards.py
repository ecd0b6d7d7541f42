"""Sources of one table a day, as GA4 exports them: late, rewritten, and beside intraday tables."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
import yaml
from google.cloud.bigquery import SchemaField, Table

from local import bigquery
from local.stack import Stack
from tests.variations import slow
from tests.workbench import DAY, NOW, Row, Workbench, hear_statements, iso, table

PARAMS = [
    SchemaField("key", "STRING"),
    SchemaField(
        "value",
        "RECORD",
        fields=[SchemaField("string_value", "STRING"), SchemaField("int_value", "INT64")],
    ),
]
EVENTS = [
    SchemaField("event_date", "STRING"),
    SchemaField("event_timestamp", "INT64"),
    SchemaField("event_name", "STRING"),
    SchemaField("user_pseudo_id", "STRING"),
    SchemaField("event_params", "RECORD", "REPEATED", fields=PARAMS),
]
KEYS = {
    # A rewritten row keeps its key, or gets another one.
    "merge": "CONCAT(user_pseudo_id, '/', CAST(event_timestamp AS STRING))",
    "append": "TO_HEX(MD5(CONCAT(user_pseudo_id, event_name, CAST(event_timestamp AS STRING))))",
}
RANGE = re.compile(r"_TABLE_SUFFIX BETWEEN '(\w+)' AND '(\w+)'")


def day_of(seconds: int) -> str:
    """The day of a moment as the name of its table ends."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y%m%d}"


def event(day: str, at: int, number: int, name: str = "page_view") -> Row:
    """An event of a GA4 export. at: epoch seconds."""
    params = [
        {"key": "page_location", "value": {"string_value": f"/p{number % 7}", "int_value": None}},
        {"key": "session", "value": {"string_value": None, "int_value": number + 2**40}},
    ]
    return {
        "event_date": day,
        "event_timestamp": at * 1_000_000 + number,
        "event_name": name,
        "user_pseudo_id": f"user{number}",
        "event_params": params,
    }


class Export:
    """A property's export, and what Aito must hold of it."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self.days: dict[str, list[Row]] = {}

    def write(self, day: str, rows: Iterable[Row], beginning: str = "events_") -> None:
        """Write a day's table, over the one that is there."""
        table = f"{self.bench.dataset}.{beginning}{day}"
        bigquery.load(self.bench.client, table, EVENTS, list(rows), truncate=True)

    def put(self, day: str, rows: Iterable[Row]) -> None:
        """Add rows to a day and write its table."""
        self.days.setdefault(day, []).extend(rows)
        self.write(day, self.days[day])

    def rewrite(self, day: str, share: int) -> None:
        """Give each `share`-th event of a day another name, and write its table."""
        for row in self.days[day][::share]:
            row["event_name"] = f"{row['event_name']}_again"
        self.write(day, self.days[day])

    def expected(self) -> dict[str, Row]:
        """Each row as Aito shows it, by key."""
        rows = [row for day in self.days.values() for row in day]
        return {self._key(row): self._shown(row) for row in rows}

    def _key(self, row: Row) -> str:
        user, name, at = row["user_pseudo_id"], row["event_name"], row["event_timestamp"]
        if self.bench.mode == "merge":
            return f"{user}/{at}"
        return hashlib.md5(f"{user}{name}{at}".encode()).hexdigest()

    def _shown(self, row: Row) -> Row:
        return {
            "key": self._key(row),
            "day": row["event_date"],
            "event_name": row["event_name"],
            "event_params": row["event_params"],
            "unix": row["event_timestamp"] // 1_000_000,
        }


def table_of(bench: Workbench, **more: object) -> Row:
    """The export as a table of the configuration."""
    return {
        "name": bench.name,
        "source": f"{bench.dataset}.events_*",
        "mode": bench.mode,
        "key": "key",
        "cursor": {"source": "event_timestamp", "unit": "us", "column": "unix"},
        "keep": "30d",
        "lookback": "3d",
        "columns": {
            "key": {"sql": KEYS[bench.mode]},
            "day": {"sql": "_TABLE_SUFFIX"},
            "event_name": None,
            "event_params": None,
        },
        **more,
    }


def held(bench: Workbench) -> dict[str, Row]:
    """Aito's rows by key."""
    rows = bench.aito_rows()
    by_key = {row["key"]: row for row in rows}
    assert len(by_key) == len(rows), "each key is there once"
    return by_key


@pytest.mark.parametrize(("mode", "nights"), [("merge", 4), *slow(("merge", 10), ("append", 10))])
def test_days_of_an_export(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, mode: str, nights: int
) -> None:
    """Both ends are equal after each night; only tables of window and lookback are read.

    Each night a day is complete, events of the three days before come late, and one in a hundred of
    these days is written anew.
    """
    bench = Workbench(stack, f"shards_{mode}", mode, now=NOW)
    export, statements = Export(bench), list[str]()
    hear_statements(monkeypatch, statements.append)
    for night in range(nights):
        bench.now += DAY
        statements.clear()
        yesterday = day_of(bench.now - DAY)
        start = bench.now - DAY - bench.now % DAY
        export.put(yesterday, [event(yesterday, start + n * 600, n) for n in range(60)])
        today = day_of(bench.now)
        export.write(today, [event(today, bench.now - 60, 999)], "events_intraday_")
        for late in range(2, 5):
            day = day_of(bench.now - late * DAY)
            if day in export.days:
                export.put(day, [event(day, start - (late - 1) * DAY + 77, 100 * night + late)])
                export.rewrite(day, 100 - night)
        report = bench.run_ok(table_of(bench))
        assert report.verified
        assert held(bench) == export.expected()
        assert night == 0 or report.deleted + report.repaired + report.uploaded > 60
        assert_only_named(bench, statements, report.start)
    assert report.fetched < 400, "no night reads what lies behind the lookback"
    assert bench.run_ok(table_of(bench)).uploaded == 0
    assert bench.run_ok(table_of(bench), action="reconcile").deleted == 0
    assert held(bench) == export.expected()


def assert_only_named(bench: Workbench, statements: list[str], start: int | None) -> None:
    """All queries of the source name their tables by constants, from the window on."""
    assert start is not None
    of_source = [text for text in statements if "events_*" in text]
    assert of_source
    for text in of_source:
        ranges = RANGE.findall(text)
        assert len(ranges) == text.count("events_*")
        for first, last in ranges:
            assert first >= day_of(start - DAY)
            assert last == day_of(bench.now + DAY)


@pytest.mark.parametrize("many", [50, *slow(400)])
def test_the_number_of_tables_changes_no_statement(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    """A night of an export of 10 days and of many reads the same tables, thus the same bytes."""
    bench = Workbench(stack, "shards_many", "merge", now=NOW)
    columns = {"key": {"sql": KEYS["merge"]}, "event_name": None}
    table, fields = table_of(bench, columns=columns), EVENTS[:4]
    days = [day_of(bench.now - age * DAY) for age in range(many)]
    for age, day in enumerate(days[:10]):
        row = event(day, bench.now - age * DAY - 3600, age)
        del row["event_params"]
        bigquery.load(bench.client, f"{bench.dataset}.events_{day}", fields, [row])
    bench.run_ok(table)
    statements: list[str] = []
    hear_statements(monkeypatch, statements.append)
    bench.run_ok(table)
    few = [text for text in statements if "events_*" in text]
    for day in days[10:]:
        path = f"{bench.client.project}.{bench.dataset}.events_{day}"
        bench.client.create_table(Table(path, schema=fields))
    statements.clear()
    bench.run_ok(table)
    assert [text for text in statements if "events_*" in text] == few
    assert all(tables_named(text, days) == set(days[:5]) for text in few)


def tables_named(text: str, days: list[str]) -> set[str]:
    """The days whose tables a statement reads, by the constants that it compares with."""
    return {day for first, last in RANGE.findall(text) for day in days if first <= day <= last}


def test_intraday_tables_are_read_if_asked_for(stack: Stack) -> None:
    """`events_*` means the daily tables; `intraday` or a source of its own reads the others."""
    bench = Workbench(stack, "shards_intraday", now=NOW)
    export = Export(bench)
    yesterday, today = day_of(bench.now - DAY), day_of(bench.now)
    export.put(yesterday, [event(yesterday, bench.now - DAY, 1)])
    export.write(today, [event(today, bench.now - 60, 2)], "events_intraday_")
    export.write(f"{today}_copy", [event(today, bench.now - 90, 3)])
    columns = {"key": {"sql": "user_pseudo_id"}, "day": {"sql": "_TABLE_SUFFIX"}}
    bench.run_ok(table_of(bench, columns=columns))
    assert [row["day"] for row in bench.aito_rows()] == [yesterday]
    bench.run_ok(table_of(bench, columns=columns, intraday=True))
    days = sorted(row["day"] for row in bench.aito_rows())
    assert days == [yesterday, f"intraday_{today}"]
    alone = table_of(bench, columns=columns, source=f"{bench.dataset}.events_intraday_*")
    bench.name = alone["name"] = "shards_intraday_alone"
    bench.run_ok(alone)
    assert [row["key"] for row in bench.aito_rows()] == ["user2"]


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_tables_of_other_names(stack: Stack, mode: str) -> None:
    """A wildcard that fits no table of a day is refused with the names that it fits."""
    bench = Workbench(stack, f"shards_other_{mode}", "append", now=NOW)
    Export(bench).write("eu", [event("eu", bench.now - 60, 1)])
    table = table_of(bench)
    if mode == "replace":
        table = {"name": bench.name, "source": table["source"], "mode": mode}
    (report,) = bench.run(table, dry_run=True).tables
    assert (report.status, report.http_status) == ("failed", 500)
    assert "no table of this beginning ends in a day YYYYMMDD; found events_eu" in str(report.error)
    table["source"] = f"{bench.dataset}.visits_*"
    (report,) = bench.run(table).tables
    assert report.http_status == 500


@pytest.mark.parametrize("suffixes", [("2026022813", "2026022814"), *slow((("202601", "202602"),))])
def test_tables_of_an_hour_or_a_month(stack: Stack, suffixes: tuple[str, ...]) -> None:
    """They are refused with the query that reads them, which can be pasted."""
    bench = Workbench(stack, f"shards_of_{len(suffixes[0])}", now=NOW)
    for number, suffix in enumerate(suffixes):
        row = {"id": f"k{number}", "ts": iso(bench.now - 60 - number)}
        bench.load_source(f"log_{suffix}", {"id": "STRING", "ts": "TIMESTAMP"}, [row])
    asked = table(bench.name, f"{bench.dataset}.log_*")
    told = str(bench.run(asked).tables[0].error)
    assert f"found log_{suffixes[0]}, log_{suffixes[1]}" in told
    del asked["source"]
    bench.run_ok(asked | yaml.safe_load(told.partition("instead of `source`  ")[2]))
    assert {row["part"] for row in bench.aito_rows()} == set(suffixes)


def test_a_day_as_cursor(stack: Stack) -> None:
    """The text of a day is refused with the kind of column that is right."""
    bench = Workbench(stack, "shards_by_text", now=NOW)
    day = day_of(bench.now - DAY)
    Export(bench).put(day, [event(day, bench.now - DAY, 1)])
    asked = table_of(bench, cursor={"source": "event_date", "column": "unix"})
    told = str(bench.run(asked).tables[0].error)
    assert "event_date is STRING" in told
    assert "such as event_timestamp with `unit: us`" in told


def test_every_column_and_the_whole_table(stack: Stack) -> None:
    """Without `columns`, and in `replace`, the columns of all tables are there, and no other."""
    bench = Workbench(stack, "shards_whole", "replace", now=NOW)
    export = Export(bench)
    for age in (1, 2):
        day = day_of(bench.now - age * DAY)
        export.put(day, [event(day, bench.now - age * DAY, age)])
    bench.run_ok({"name": bench.name, "source": f"{bench.dataset}.events_*", "mode": "replace"})
    rows = bench.aito_rows()
    assert len(rows) == 2
    assert set(rows[0]) == {field.name for field in EVENTS}
