"""What the count of a window tells beside its rows, as SQL aggregates: see queries.histogram. Pure.

The facts are one JSON object: rows without a cursor, rows dated after the window, what a number
may count, and which integers need more than 32 bits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sync.bigquery.predicates import (
    LEAST_INTEGER,
    Predicates,
    cursor_column,
    cursor_since,
    day_text,
)
from sync.bigquery.predicates import is_partitioned_by_cursor as by_cursor
from sync.bigquery.table import CURSOR_UNITS, BigQueryTable
from sync.bigquery.types import quoted
from sync.model.columns import MAX_INT, MIN_INT
from sync.model.sql import Parameter
from sync.model.window import UNIT_NAMES, ClockFacts

EARLIEST = 631_152_000  # 1990: a number that is dated before this counts something else
BEYOND = f"NOT BETWEEN {MIN_INT} AND {MAX_INT}"  # of an integer that is too large for Int
SCALES = {**CURSOR_UNITS, "ns": 1_000_000_000}  # how many of a unit are a second
LATEST = 315_360_000  # ten years after the window's end, in seconds


def outside(table: BigQueryTable, end: int) -> Predicates:
    """Rows without a cursor, and rows from the window's end on.

    Of a cursor that is a number all rows: the unit of each may be another one.
    """
    column = cursor_column(table)
    if not _is_number(table):
        ahead = cursor_since(table, end, "ahead_")
        condition = f"({column} IS NULL OR ({' AND '.join(ahead.conditions)}))"
        return Predicates((condition,), ahead.parameters)
    if not by_cursor(table):
        return Predicates()
    least = Parameter("ahead_start", "INT64", LEAST_INTEGER)
    return Predicates((f"({column} IS NULL OR {column} >= @ahead_start)",), (least,))


def of_cursor(table: BigQueryTable) -> str:
    """SQL of the facts of `sync_cursor` and `sync_second`."""
    is_ahead = "sync_second >= @window_end"
    parts = [
        "COUNTIF(sync_cursor IS NULL) AS cursorless",
        f"COUNTIF({is_ahead}) AS ahead",
        f"MIN(IF({is_ahead}, sync_second, NULL)) AS ahead_first",
        f"MAX(IF({is_ahead}, sync_second, NULL)) AS ahead_last",
    ]
    if _is_number(table):
        parts += _units()
    return _object(parts)


def of_integers(table: BigQueryTable, names: Sequence[str]) -> str:
    """SQL that says of each column whether a value needs more than 32 bits."""
    arrays = {field.name for field in table.fields if field.repeated}
    parts = []
    for place, name in enumerate(names):
        condition = f"{quoted(name)} {BEYOND}"
        if name in arrays:
            rows = f"UNNEST({quoted(name)}) AS element"
            condition = f"EXISTS(SELECT 1 FROM {rows} WHERE element {BEYOND})"
        parts.append(f"COUNTIF({condition}) AS wide_{place}")
    return _object(parts)


def parameters(table: BigQueryTable, end: int) -> tuple[Parameter, ...]:
    """The parameters of `of_cursor`. end: of the window, epoch seconds."""
    moments = {"window_end": end}
    if _is_number(table):
        for unit in UNIT_NAMES:
            moments[f"earliest_{unit}"] = _number(EARLIEST, unit)
            moments[f"latest_{unit}"] = _number(end + LATEST, unit)
    return tuple(Parameter(name, "INT64", value) for name, value in moments.items())


def read(texts: Iterable[str]) -> dict[str, Any]:
    """The facts of all rows that hold some."""
    found: dict[str, Any] = {}
    for text in texts:
        found |= json.loads(text)
    return found


def clock(found: Mapping[str, Any]) -> ClockFacts:
    """What was found of the cursor. JSON of BigQuery quotes large numbers."""
    first, last = found.get("ahead_first"), found.get("ahead_last")
    return ClockFacts(
        ahead=int(found.get("ahead") or 0),
        ahead_first=None if first is None else int(first),
        ahead_last=None if last is None else int(last),
        units={unit: int(found[unit]) for unit in UNIT_NAMES if unit in found},
    )


def wide(found: Mapping[str, Any], names: Sequence[str]) -> frozenset[str]:
    """The columns that need more than 32 bits."""
    return frozenset(name for place, name in enumerate(names) if int(found[f"wide_{place}"]))


def _units() -> Iterator[str]:
    for unit in UNIT_NAMES:
        yield f"COUNTIF(sync_cursor BETWEEN @earliest_{unit} AND @latest_{unit}) AS {unit}"


def _number(seconds: int, unit: str) -> int:
    """A moment as a number of this unit."""
    if unit == "days":
        return int(day_text(seconds))
    return seconds * SCALES[unit]


def _is_number(table: BigQueryTable) -> bool:
    return table.cursor is not None and table.cursor.type == "INTEGER"


def _object(parts: Iterable[str]) -> str:
    return f"TO_JSON_STRING(STRUCT({', '.join(parts)}))"
