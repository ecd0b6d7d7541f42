"""Which columns may identify a row: one alone, or several together. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from sync.entry.proposal.names import ARRIVED, HAPPENED, UPDATED, aito_name, table_stems, words
from sync.model.inspection import KEY_TYPES, ColumnFacts, KeyCandidate, TableFacts

TEXT_WORDS = 3.0  # mean words of a Text
MAX_PARTS = 4  # columns of one key
PART_COLUMNS = 7  # the likeliest parts, which are combined
MAX_COMBINATIONS = 40  # that one query counts
APPROXIMATE = 1.1  # a number of values may be counted too low by so much
# Words of columns that tell rows of one thing apart.
PART_WORDS = {
    *("line", "position", "pos", "seq", "sequence", "index", "item", "row", "rank", "version"),
    *("step", "hour", "day", "date", "week", "month", "year", "revision", "part"),
}
TIMES = ("TIMESTAMP", "DATETIME", "DATE")


def key_column(facts: TableFacts) -> ColumnFacts | None:
    """The column that identifies a row: unique and never NULL, or an `id` with versions."""
    candidates = [column for column in facts.columns if column.may_be_key]
    ranked = sorted(candidates, key=lambda column: _key_rank(facts, column))
    for column in ranked:
        if _is_unique(facts, column):
            return column
    for column in ranked:
        if _has_versions(facts, column):
            return column
    return None


def key_candidates(facts: TableFacts) -> tuple[KeyCandidate, ...]:
    """Columns that may identify a row together, few ones and likely ones first.

    A column that is named after the table, such as `ticket` of `tickets`, is tried alone. None for
    daily tables, when an identifier does so alone, and when nothing was counted.
    """
    if facts.is_sharded or facts.not_counted or not facts.rows or key_column(facts):
        return ()
    parts = sorted(filter(_may_be_part, facts.columns), key=_part_rank)[:PART_COLUMNS]
    alone = [(each,) for each in facts.columns if _is_named_like(each, facts.table)]
    sizes = range(2, MAX_PARTS + 1)
    together = (each for size in sizes for each in itertools.combinations(parts, size))
    combined = itertools.chain(alone, together)
    plausible = (each for each in combined if _may_identify(each, facts.rows))
    first = itertools.islice(plausible, MAX_COMBINATIONS)
    return tuple(_in_order(facts, each) for each in first)


def _key_rank(facts: TableFacts, column: ColumnFacts) -> int:
    name = column.name.lower()
    own = {f"{stem}_id" for stem in table_stems(facts.table)}
    own |= {f"{stem}id" for stem in table_stems(facts.table)}
    groups = ({"id"}, {"uuid", "guid"}, own)
    for rank, group in enumerate(groups):
        if name in group:
            return rank
    is_identifier = name.endswith(("id", "uuid", "guid"))
    return len(groups) if is_identifier else len(groups) + 1


def _is_unique(facts: TableFacts, column: ColumnFacts) -> bool:
    if facts.not_counted or not facts.rows:
        return _key_rank(facts, column) <= 2
    return column.nulls == 0 and column.distinct == facts.rows


def _has_versions(facts: TableFacts, column: ColumnFacts) -> bool:
    """Whether the table's own id is there more than once, as in a log of changes."""
    is_own = _key_rank(facts, column) <= 2
    return is_own and column.nulls == 0 and (column.distinct or 0) * 2 >= (facts.rows or 0)


def _may_be_part(column: ColumnFacts) -> bool:
    """Whether a column may be a part of a key. One that changes with its row may not."""
    if column.repeated or column.nulls or column.distinct == 1:
        return False
    named = words(column.name)
    if named & (UPDATED | ARRIVED) or aito_name(column.name) != column.name:
        return False
    if column.type == "INTEGER":
        return column.may_be_key or bool(named & (PART_WORDS | HAPPENED))
    if column.type == "STRING":
        return (column.mean_words or 0) < TEXT_WORDS
    return column.type in TIMES


def _is_named_like(column: ColumnFacts, table: str) -> bool:
    """Whether a column is named after its table, and may be a key by its type."""
    is_scalar = column.type in KEY_TYPES and not column.repeated and not column.nulls
    return is_scalar and column.name.lower() in table_stems(table)


def _part_rank(column: ColumnFacts) -> tuple[bool, bool, bool, int]:
    """Less is better: positions and dates, then identifiers, then categories, then times."""
    has_word = bool(words(column.name) & PART_WORDS)
    is_time = column.type in ("TIMESTAMP", "DATETIME")
    return not has_word, not column.may_be_key, is_time, -(column.distinct or 0)


def _in_order(facts: TableFacts, columns: Sequence[ColumnFacts]) -> KeyCandidate:
    """A candidate with its columns in the order of the table."""
    chosen = [column.name for column in facts.columns if column in columns]
    return KeyCandidate(facts.source, tuple(chosen))


def _may_identify(columns: Sequence[ColumnFacts], rows: int) -> bool:
    """Whether the columns have enough values for so many rows."""
    counts = [rows if each.distinct is None else each.distinct for each in columns]
    return math.prod(counts) * APPROXIMATE >= rows
