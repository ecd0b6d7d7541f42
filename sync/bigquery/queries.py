"""The text of every query that reads a source, with typed parameters. Pure.

All of them stand on the same first step, `sync_picked`: the source's columns under their Aito
names, filtered by predicates on the bare cursor and partition columns, so that BigQuery prunes.
Values are parameters; identifiers are quoted; the only text of a user's that is pasted is what the
configuration declares to be SQL (`query:` and `sql:`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from sync.bigquery.types import Column, Field, epoch_seconds, quoted
from sync.config import TableSettings
from sync.model.window import BEGINNING, Slice, Window

HOUR = 3600
DAY = 86_400
LEAST_INTEGER = -(2**63)  # of INT64: an integer partition column may hold anything
PARTITION_SECONDS = {"HOUR": HOUR, "DAY": DAY, "MONTH": 31 * DAY, "YEAR": 366 * DAY}
# How much later than it arrived a row may be dated and still be found in an ingestion-partitioned
# table. What is dated further ahead is found by `reconcile`, which does not prune.
AHEAD = DAY
ParameterType = Literal[
    "TIMESTAMP", "DATETIME", "DATE", "INT64", "STRING", "ARRAY<INT64>", "ARRAY<STRING>"
]


@dataclass(frozen=True)
class Parameter:
    """A typed query parameter."""

    name: str
    type: ParameterType
    value: Any


@dataclass(frozen=True)
class Query:
    """A query's text and its parameters."""

    text: str
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True)
class Partitioning:
    """How a source table is partitioned. column None: by ingestion time."""

    column: Field | None
    granularity: str  # HOUR, DAY, MONTH, YEAR, or RANGE for integer ranges
    required: bool  # queries without a predicate on it are refused


@dataclass(frozen=True)
class Origin:
    """Where a table's rows come from: everything the queries need to know about it."""

    table: TableSettings
    path: str | None  # project.dataset.table of a `source:`
    cursor: Field | None
    partitioning: Partitioning | None = None
    prune: bool = True  # False: do not bound the ingestion time (reconcile)
    columns: tuple[Column, ...] = ()

    @property
    def by_arrival(self) -> bool:
        """Whether only what arrived lately is looked at, so that a row dated far ahead of its
        arrival is not seen.
        """
        by_ingestion = self.partitioning is not None and self.partitioning.column is None
        return self.prune and by_ingestion and self.table.mode == "append"


def _moment(kind: str, seconds: int) -> tuple[ParameterType, Any]:
    """Epoch seconds as a value of a cursor's type; dates round up, for `>=` and `<` alike."""
    if kind == "INTEGER":
        return "INT64", seconds
    if kind == "DATE":
        days = -(-seconds // DAY)
        return "DATE", date(1970, 1, 1) + timedelta(days=days)
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    # As text, for the client library writes the year 1 of a datetime as `1`, which is none.
    return (
        ("TIMESTAMP", at)
        if kind == "TIMESTAMP"
        else ("DATETIME", at.replace(tzinfo=None).isoformat())
    )


def _from(origin: Origin) -> str:
    """Under a name of ours: a table's own name would hide a column of the same name, and mean the
    whole row.
    """
    if origin.path:
        return f"FROM {quoted(origin.path)} AS sync_source"
    query = (origin.table.query or "").strip().rstrip(";")
    return f"FROM (\n{query}\n) AS sync_source"


def _expression(origin: Origin, name: str) -> str:
    asked = (origin.table.columns or {}).get(name)
    return f"(\n{asked.sql}\n)" if asked and asked.sql else quoted(name)


def _cursor_name(origin: Origin) -> str:
    assert origin.table.cursor
    return quoted(origin.table.cursor.source)


def _range(
    origin: Origin, start: int, end: int, prefix: str = ""
) -> tuple[list[str], list[Parameter]]:
    """[start, end) on the bare cursor column."""
    if origin.cursor is None:
        return [], []
    column = _cursor_name(origin)
    parameters = [
        Parameter(f"{prefix}{name}", *_moment(origin.cursor.type, second))
        for name, second in (("start", start), ("end", end))
    ]
    return [f"{column} >= @{prefix}start", f"{column} < @{prefix}end"], parameters


def _partition(origin: Origin, start: int) -> tuple[list[str], list[Parameter]]:
    """The predicate on the partition column, where it prunes or where the table insists on one.

    A column other than the cursor tells nothing about the cursor, so it is only bounded by the
    beginning of time. The time of ingestion does: a row that never changes arrived at most AHEAD
    before the time it is dated.
    """
    parts, cursor = origin.partitioning, origin.table.cursor
    if parts is None or (
        parts.column and cursor and parts.column.name.lower() == cursor.source.lower()
    ):
        return [], []
    if parts.column and not parts.required:
        return [], []
    column = quoted(parts.column.name) if parts.column else "_PARTITIONTIME"
    kind = parts.column.type if parts.column else "TIMESTAMP"
    since = (
        start - AHEAD - PARTITION_SECONDS.get(parts.granularity, DAY)
        if origin.by_arrival
        else BEGINNING
    )
    since = LEAST_INTEGER if kind == "INTEGER" else max(since, BEGINNING)
    parameter = Parameter("partition_start", *_moment(kind, since))
    return [f"({column} >= @partition_start OR {column} IS NULL)"], [parameter]


def _where(predicates: Iterable[str]) -> str:
    text = " AND ".join(predicates)
    return f"WHERE {text}" if text else ""


def _picked(origin: Origin, names: Iterable[str], predicates: Iterable[str]) -> str:
    picked = [f"{_expression(origin, name)} AS {quoted(name)}" for name in names]
    if origin.table.cursor:
        picked.append(f"{_cursor_name(origin)} AS sync_cursor")
    return f"SELECT {', '.join(picked)} {_from(origin)} {_where(predicates)}"


def _timed(origin: Origin) -> str:
    """`sync_picked` with the key as text and the cursor in epoch seconds."""
    second = epoch_seconds(origin.cursor, "sync_cursor") if origin.cursor else "0"
    return f"SELECT *, {_key(origin)} AS sync_key, {second} AS sync_second FROM sync_picked"


def _key(origin: Origin) -> str:
    """The key as the text that it has in a document: a CAST of the source's value would not do for
    BYTES or times.
    """
    return next(
        (c.text for c in origin.columns if c.name == origin.table.key), "CAST(NULL AS STRING)"
    )


def declared(table: TableSettings) -> list[str]:
    """The columns the configuration names, less the cursor's, which is made from its source."""
    cursor = table.cursor.column if table.cursor else None
    return [name for name in table.columns or {} if name != cursor]


def shape(origin: Origin) -> Query:
    """A query whose dry run tells the columns and, as `sync_cursor`, the cursor's type.

    Only ever run dry.
    """
    predicates, parameters = _partition(origin, BEGINNING)
    if (
        origin.table.cursor
    ):  # it may be the partition column, perhaps of a table behind a view, that must be filtered
        predicates.append(f"{_cursor_name(origin)} IS NOT NULL")
    cursor = f", {_cursor_name(origin)} AS sync_cursor" if origin.table.cursor else ""
    every = f"SELECT *{cursor} {_from(origin)} {_where(predicates)}"
    picked = (
        every
        if origin.table.columns is None
        else _picked(origin, declared(origin.table), predicates)
    )
    return Query(f"{picked} LIMIT 0", tuple(parameters))


HASH = "CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5({0})), 1, 15)) AS INT64)"  # 60 bits: never negative
KEY_OR_NOTHING = "IFNULL(sync_key, '')"
KEY_AND_SECOND = "CONCAT(sync_key, ' ', CAST(sync_second AS STRING))"


def histogram(
    origin: Origin, span: Window, watermark: int, fine: Sequence[int] = (), unit: int = 1
) -> Query:
    """Rows per hour of the span: see window.Bucket. The row without a bucket counts rows without a
    cursor.

    watermark: fingerprints cover rows up to it; fine: starts of the hours to be counted by `unit`
    seconds.
    """
    inside, parameters = _range(origin, span.start, span.end)
    partition, more = _partition(origin, span.start)
    absent = _where([f"{_cursor_name(origin)} IS NULL", *partition])
    assert origin.table.key
    text = f"""
WITH sync_picked AS ({_picked(origin, [origin.table.key], [*inside, *partition])}),
sync_timed AS ({_timed(origin)}),
grouped AS (SELECT sync_key, sync_second, COUNT(*) AS n FROM sync_timed GROUP BY sync_key, sync_second),
ranked AS (SELECT sync_key, sync_second, n, MAX(sync_second) OVER (PARTITION BY sync_key) AS newest,
  sync_second - MOD(sync_second - @beginning, @hour) AS sync_hour FROM grouped),
placed AS (SELECT sync_key, sync_second, n, newest, sync_key IS NOT NULL AND sync_second = newest AS wins,
  IF(sync_hour IN UNNEST(@fine), sync_second - MOD(sync_second - @beginning, @unit), sync_hour) AS bucket FROM ranked)
SELECT bucket, SUM(n) AS n_rows, COUNTIF(wins) AS winners, SUM(IF(sync_key IS NULL, n, 0)) AS keyless,
  MAX(IF(sync_key IS NULL, NULL, newest)) AS reach,
  BIT_XOR(IF(wins AND sync_second <= @watermark, {HASH.format(KEY_AND_SECOND)}, 0)) AS fingerprint
FROM placed GROUP BY bucket
UNION ALL SELECT NULL, COUNT(*), 0, 0, NULL, 0 {_from(origin)} {absent}
ORDER BY bucket"""
    # Seconds are counted from the first that there is: MOD of a negative number is negative.
    numbers = {"watermark": watermark, "beginning": BEGINNING, "hour": HOUR, "unit": unit}
    typed = [Parameter(name, "INT64", value) for name, value in numbers.items()]
    return Query(text, (*parameters, *more, *typed, Parameter("fine", "ARRAY<INT64>", list(fine))))


def _later(origin: Origin, part: Slice) -> tuple[str, str, list[Parameter]]:
    """(CTE, condition, parameters) that leave out the keys of which a later slice holds the newest
    row.
    """
    if part.superseded_after is None:
        return "", "", []
    inside, parameters = _range(origin, part.end, part.superseded_after, prefix="later_")
    partition, _ = _partition(origin, part.start)
    assert origin.table.key
    keys = _picked(origin, [origin.table.key], [*inside, *partition])
    later = f"later AS (SELECT DISTINCT {_key(origin)} AS later_key FROM ({keys})),\n"
    return later, "LEFT JOIN later ON later_key = sync_key WHERE later_key IS NULL", parameters


def _problem(columns: Iterable[Column]) -> str:
    """SQL of the index of a row's first fault (see faults), NULL for a good row."""
    cases = " ".join(
        f"WHEN {condition} THEN {i}" for i, (condition, _) in enumerate(faults(columns))
    )
    return f"CASE {cases} END" if cases else "CAST(NULL AS INT64)"


def faults(columns: Iterable[Column]) -> list[tuple[str, str]]:
    """Every (condition, reason) that makes a row a reject before it is sent, in the order
    `batches` numbers them.
    """
    return [fault for column in columns for fault in column.faults]


def batches(origin: Origin, part: Slice | None, rows: int, size: int, which: int = 0) -> Query:
    """A slice's rows as ready-made batches, in (cursor, key) order, one row of the newest cursor
    per key.

    One result row is one batch: `n_rows`; `newest` cursor; `documents`: the JSON array to send, its
    elements parted by a comma and a line feed (JSON text holds no raw line feed, so it can be taken
    apart again); `flagged`: how many of them are no documents but `<index of the fault> LF
    <document>`.

    part None: the whole source (tables without a cursor). A batch closes at `rows` rows or at
    `size` bytes. which: the part of the slice to read, when it has several.
    """
    inside, parameters = _range(origin, part.start, part.end) if part else ([], [])
    partition, more = _partition(origin, part.start if part else BEGINNING)
    later, unless_later, later_parameters = _later(origin, part) if part else ("", "", [])
    document = ", ".join(f"{c.value} AS {quoted(c.name)}" for c in origin.columns)
    names = [
        c.name
        for c in origin.columns
        if not (origin.table.cursor and c.name == origin.table.cursor.column)
    ]
    mine = (
        f"WHERE MOD({HASH.format(KEY_OR_NOTHING)}, @parts) = @part"
        if part and part.parts > 1
        else ""
    )
    cursor, by_cursor = ("sync_cursor, ", "sync_cursor DESC, ") if origin.table.cursor else ("", "")
    text = f"""
WITH {later}sync_picked AS ({_picked(origin, names, [*inside, *partition])}),
sync_timed AS ({_timed(origin)}),
made AS (SELECT sync_key, sync_second, {cursor}{_problem(origin.columns)} AS sync_problem,
  TO_JSON_STRING(STRUCT({document})) AS sync_document FROM sync_timed {mine}),
chosen AS (SELECT * FROM made WHERE TRUE
  QUALIFY sync_key IS NULL OR ROW_NUMBER() OVER (
    PARTITION BY sync_key ORDER BY {by_cursor}sync_document DESC) = 1),
kept AS (SELECT sync_key, sync_second, sync_problem,
  IF(sync_problem IS NULL, sync_document, CONCAT(CAST(sync_problem AS STRING), '\\n', sync_document)) AS sync_text
  FROM chosen {unless_later}),
numbered AS (SELECT sync_second, sync_problem, sync_text,
  ROW_NUMBER() OVER (ORDER BY sync_second, sync_key, sync_text) - 1 AS place FROM kept),
batched AS (SELECT *, DIV(place, @batch_rows) AS by_rows, DIV(SUM(BYTE_LENGTH(sync_text)) OVER (
    PARTITION BY DIV(place, @batch_rows) ORDER BY place ROWS UNBOUNDED PRECEDING), @batch_bytes) AS by_bytes
  FROM numbered)
SELECT COUNT(*) AS n_rows, COUNT(sync_problem) AS flagged, MAX(sync_second) AS newest,
  CONCAT('[', STRING_AGG(sync_text, ',\\n' ORDER BY place), ']') AS documents
FROM batched GROUP BY by_rows, by_bytes ORDER BY by_rows, by_bytes"""
    typed = [Parameter("batch_rows", "INT64", rows), Parameter("batch_bytes", "INT64", size)]
    if mine and part:
        typed += [Parameter("parts", "INT64", part.parts), Parameter("part", "INT64", which)]
    return Query(text, (*parameters, *more, *later_parameters, *typed))
