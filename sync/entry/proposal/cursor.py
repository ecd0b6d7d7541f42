"""Which column tells new rows from old ones, and in which unit. Pure."""

from __future__ import annotations

import re

from sync.config.settings import SOURCE_COLUMN
from sync.entry.proposal.keys import TIMES
from sync.entry.proposal.names import ARRIVED, HAPPENED, UPDATED, words
from sync.model.inspection import ColumnFacts, TableFacts

DAY = 86_400
EPOCH_1990 = 631_152_000  # no INT64 of an epoch counts less seconds
UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000}
EPOCH_WORDS = UPDATED | ARRIVED | HAPPENED | {"unix", "epoch", "seconds", "millis", "micros"}
# Times of something else than the row's own writing.
OTHER_TIMES = {
    *("expires", "expiry", "expired", "due", "birth", "birthday", "born", "end", "ends", "until"),
    *("deleted", "scheduled", "valid", "delivery", "delivered", "start", "starts", "first"),
}


def unit_of(column: ColumnFacts, now: int) -> str | None:
    """What an INT64 counts when its range is that of an epoch: s, ms or us."""
    if column.minimum is None or column.maximum is None:
        return None
    for unit, scale in UNITS.items():
        is_late = column.minimum >= EPOCH_1990 * scale
        if is_late and column.maximum <= (now + DAY) * scale:
            return unit
    return None


def cursor_column(facts: TableFacts, now: int) -> ColumnFacts | None:
    candidates = [column for column in facts.columns if _may_be_cursor(column, now)]
    if not candidates:
        return None
    return min(candidates, key=lambda column: _cursor_rank(facts, column))


def _may_be_cursor(column: ColumnFacts, now: int) -> bool:
    if column.repeated or column.nulls or not re.fullmatch(SOURCE_COLUMN, column.name):
        return False
    if words(column.name) & OTHER_TIMES:
        return False
    if column.type == "INTEGER":
        return bool(words(column.name) & EPOCH_WORDS) and unit_of(column, now) is not None
    is_future = column.maximum is not None and column.maximum > now + DAY
    return column.type in TIMES and not is_future


def _cursor_rank(facts: TableFacts, column: ColumnFacts) -> tuple[int, int]:
    """Less is better: what sees changes, then what is cheap to read, then arrival, then event."""
    named = words(column.name)
    is_partition = column.name.lower() == (facts.partition_column or "").lower()
    signs = (
        bool(named & UPDATED),
        is_partition,
        bool(named & ARRIVED),
        bool(named & HAPPENED),
        True,
    )
    types = ("TIMESTAMP", "DATETIME", "INTEGER", "DATE")
    return signs.index(True), types.index(column.type)
