"""The conditions on source rows by which BigQuery prunes partitions. Pure.

A condition prunes when a bare column stands on its left and a parameter on its right. Its
parameter has the column's own type, thus nothing is converted row by row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sync.bigquery.table import BigQueryTable
from sync.bigquery.types import epoch_seconds, moment, quoted
from sync.model.sql import Parameter, ParameterType
from sync.model.window import BEGINNING

HOUR = 3600
DAY = 86_400
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LEAST_INTEGER = -(2**63)  # of INT64: an integer partition column may hold anything
PARTITION_SECONDS = {"HOUR": HOUR, "DAY": DAY, "MONTH": 31 * DAY, "YEAR": 366 * DAY}
# A row of an ingestion-partitioned table is found if it is dated at most so much later than it
# arrived. Rows that are dated further ahead are found by `reconcile`, which does not prune.
MAX_AHEAD = DAY
LAST_DAY = "99991231"
INTRADAY = "intraday_"  # of tables that GA4 replaces by daily ones


@dataclass(frozen=True)
class Predicates:
    """Conditions, all of which must hold, and the parameters that they use."""

    conditions: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()

    def __add__(self, other: Predicates) -> Predicates:
        return Predicates(self.conditions + other.conditions, self.parameters + other.parameters)

    @property
    def where(self) -> str:
        """The WHERE clause, empty without conditions."""
        return f"WHERE {' AND '.join(self.conditions)}" if self.conditions else ""


def cursor_column(table: BigQueryTable) -> str:
    """The cursor's source column, quoted. The table must have a cursor."""
    assert table.settings.cursor
    return quoted(table.settings.cursor.source)


def cursor_moment(table: BigQueryTable) -> str:
    """SQL by which rows are put in order of time: the newest of a key is the greatest.

    In a zone with summer time a clock that is put forward skips an hour. A DATETIME of that hour is
    a later moment than some that are greater, thus the moment counts there.
    """
    column = cursor_column(table)
    if table.cursor is None or table.cursor_zone == "UTC":
        return column
    return moment(table.cursor, column, table.cursor_zone)


def moment_second(table: BigQueryTable, expression: str) -> str:
    """SQL of the cursor in whole epoch seconds. expression: of a value of `cursor_moment`."""
    if table.cursor is None or table.cursor_zone == "UTC":
        return cursor_second(table, expression)
    return epoch_seconds(replace(table.cursor, type="TIMESTAMP"), expression)


def cursor_second(table: BigQueryTable, expression: str) -> str:
    """SQL of the cursor in whole epoch seconds. expression: of the cursor's source column."""
    assert table.cursor
    units = table.cursor_units
    if units == 1:
        return epoch_seconds(table.cursor, expression, table.cursor_zone)
    # Rounded down before 1970, too: the remainder of DIV has the sign of the cursor.
    remainder = f"MOD(MOD({expression}, {units}) + {units}, {units})"
    return f"DIV(({expression} - {remainder}), {units})"


def cursor_between(table: BigQueryTable, start: int, end: int, prefix: str = "") -> Predicates:
    """Rows whose cursor lies in [start, end), epoch seconds. prefix: of the parameters' names."""
    return cursor_since(table, start, prefix) + cursor_before(table, end, prefix)


def cursor_since(table: BigQueryTable, start: int, prefix: str = "") -> Predicates:
    """Rows whose cursor is `start`, epoch seconds, or later. prefix: of the parameter's name."""
    return _compared(table, ">=", start, f"{prefix}start", -DAY)


def cursor_before(table: BigQueryTable, end: int, prefix: str = "") -> Predicates:
    """Rows whose cursor is before `end`, epoch seconds. prefix: of the parameter's name."""
    return _compared(table, "<", end, f"{prefix}end", DAY)


def _compared(
    table: BigQueryTable, operator: str, seconds: int, name: str, margin: int
) -> Predicates:
    """The cursor compared with a moment.

    In a zone with summer time, order by the clock is not the order of moments. There the bare
    column is compared with a day to spare, so that it prunes, and the moment itself as well.
    """
    column = cursor_column(table)
    if table.cursor_zone == "UTC":
        return Predicates((f"{column} {operator} @{name}",), (_cursor(table, name, seconds),))
    spared = max(seconds + margin, BEGINNING)
    moment = cursor_second(table, column)
    return Predicates(
        (f"{column} {operator} @{name}", f"{moment} {operator} @{name}_second"),
        (_cursor(table, name, spared), Parameter(f"{name}_second", "INT64", seconds)),
    )


def cursor_is_null(table: BigQueryTable) -> Predicates:
    """Rows without a cursor."""
    return Predicates((f"{cursor_column(table)} IS NULL",))


def cursor_is_not_null(table: BigQueryTable) -> Predicates:
    """Rows with a cursor."""
    return Predicates((f"{cursor_column(table)} IS NOT NULL",))


def partition_since(table: BigQueryTable, start: int) -> Predicates:
    """The condition on the partition column, where it prunes or where BigQuery requires one.

    start: rows with an earlier cursor are not wanted, epoch seconds.
    A partition column tells nothing of the cursor, thus it is bounded by the least value that it
    can have. The time of ingestion does: see MAX_AHEAD. So does the day of a daily table.
    """
    if table.settings.is_sharded:
        return _shards_since(table, start)
    parts = table.partitioning
    if parts is None or is_partitioned_by_cursor(table):
        return Predicates()
    if parts.column and not parts.required:
        return Predicates()
    column = quoted(parts.column.name) if parts.column else "_PARTITIONTIME"
    kind = parts.column.type if parts.column else "TIMESTAMP"
    condition = f"({column} >= @partition_start OR {column} IS NULL)"
    if kind == "STRING":  # of files in folders
        return Predicates((condition,), (Parameter("partition_start", "STRING", ""),))
    since = LEAST_INTEGER if kind == "INTEGER" else _oldest_partition(table, start)
    return Predicates((condition,), (_moment("partition_start", kind, since),))


def _shards_since(table: BigQueryTable, start: int) -> Predicates:
    """Daily tables from the day before `start` on: their days are those of another time zone.

    BigQuery prunes them by constants only, thus these are no parameters. Names that are longer than
    a date, such as 20260301_backup, are no daily tables.
    """
    first = day_text(max(start - DAY, BEGINNING))
    last = LAST_DAY if table.read_at is None else day_text(table.read_at + DAY)
    between = f"_TABLE_SUFFIX BETWEEN '{first}' AND '{last}'"
    lengths = "8"
    if table.settings.intraday:
        more = f"_TABLE_SUFFIX BETWEEN '{INTRADAY}{first}' AND '{INTRADAY}{last}'"
        between = f"({between} OR {more})"
        lengths = f"8, {8 + len(INTRADAY)}"
    return Predicates((between, f"LENGTH(_TABLE_SUFFIX) IN ({lengths})"))


def day_text(seconds: int) -> str:
    """The day of a moment as the names of daily tables have it, such as 20260301."""
    day = date(1970, 1, 1) + timedelta(days=seconds // DAY)
    return day.isoformat().replace("-", "")


def is_partitioned_by_cursor(table: BigQueryTable) -> bool:
    """Whether the cursor's source column is the partition column."""
    parts, cursor = table.partitioning, table.settings.cursor
    if parts is None or parts.column is None or cursor is None:
        return False
    return parts.column.name.lower() == cursor.source.lower()


def _oldest_partition(table: BigQueryTable, start: int) -> int:
    """When the oldest partition begins that may hold rows from `start` on, epoch seconds."""
    if not table.reads_recent_only:
        return BEGINNING
    assert table.partitioning
    length = PARTITION_SECONDS.get(table.partitioning.granularity, DAY)
    return max(start - MAX_AHEAD - length, BEGINNING)


def _cursor(table: BigQueryTable, name: str, seconds: int) -> Parameter:
    """Epoch seconds as a parameter that the cursor's source column compares with."""
    assert table.cursor
    return _moment(name, table.cursor.type, seconds * table.cursor_units)


def _moment(name: str, kind: str, seconds: int) -> Parameter:
    """Epoch seconds as a parameter of a column's type."""
    type_, value = _value(kind, seconds)
    return Parameter(name, type_, value)


def _value(kind: str, seconds: int) -> tuple[ParameterType, Any]:
    if kind == "INTEGER":
        return "INT64", seconds
    if kind == "DATE":
        # A date is its midnight: it lies after `seconds` from the next day on.
        days = -(-seconds // DAY)
        return "DATE", date(1970, 1, 1) + timedelta(days=days)
    moment = EPOCH + timedelta(seconds=seconds)
    if kind == "TIMESTAMP":
        return "TIMESTAMP", moment
    # As text: the client library writes the year 1 of a datetime as `1`, which is no year.
    return "DATETIME", moment.replace(tzinfo=None).isoformat()
