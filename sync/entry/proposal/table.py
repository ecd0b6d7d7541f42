"""Proposes the settings of each table from the facts that were counted. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from sync.base.words import counted
from sync.config.settings import STAR
from sync.entry.proposal.choices import (
    Choice,
    ColumnChoice,
    CursorChoice,
    EvaluationChoice,
    KeyChoice,
    TableProposal,
)
from sync.entry.proposal.cursor import DAY, UNITS, cursor_column, unit_of
from sync.entry.proposal.keys import TEXT_WORDS, key_column
from sync.entry.proposal.links import best_links, long_columns
from sync.entry.proposal.names import (
    ARRIVED,
    REPLICATED,
    UPDATED,
    aito_name,
    is_mark,
    marks_deleted,
    table_names,
    words,
)
from sync.model.inspection import ColumnFacts, Inspection, LinkFacts, TableFacts

TEXT_VALUES = 50  # fewer values are categories, however long they are
FEW_VALUES = (2, 50)  # of a column that is worth predicting
MAX_GIVEN = 6
ROW_KEY = "row_key"  # the key that is made for daily tables
# What together identifies an event of Google Analytics 4, where the table has it.
GA4_EVENT = (
    "event_timestamp",
    "event_name",
    "user_pseudo_id",
    "event_bundle_sequence_id",
    "batch_event_index",
    "event_params",
)
KEEP_DAYS = 30  # of daily tables
LATE = "3d"
SMALL_ROWS = 1_000_000  # so many rows are loaded again by each run without much thought
WORTH_PREDICTING = {
    *("status", "state", "type", "category", "kind", "source", "plan", "label", "class", "tier"),
    *("outcome", "result", "segment", "churned", "converted", "priority", "reason", "method"),
}


def propose(inspection: Inspection) -> tuple[TableProposal, ...]:
    """The settings of every table that was looked at."""
    names = table_names(inspection.tables)
    links = best_links(inspection)
    longs = long_columns(inspection.tables, links)
    return tuple(
        _Table(facts, names, links, longs, inspection.now).proposal() for facts in inspection.tables
    )


class _Table:
    """Makes the proposal of one table."""

    def __init__(
        self,
        facts: TableFacts,
        names: Mapping[str, str],
        links: Mapping[tuple[str, str], LinkFacts],
        longs: set[tuple[str, str]],
        now: int,
    ) -> None:
        self._facts = facts
        self._names = names
        self._links = links
        self._longs = longs
        self._now = now
        self._key = None if facts.is_sharded else key_column(facts)
        self._parts = () if self._key else facts.composite_key
        self._cursor = cursor_column(facts, now)

    def proposal(self) -> TableProposal:
        """The settings, with their reasons."""
        key, cursor = self._key_choice(), self._cursor
        is_incremental = key is not None and cursor is not None
        return TableProposal(
            name=self._names[self._facts.source],
            source=self._facts.source,
            mode=self._mode(),
            key=key,
            keep=self._keep(),
            lookback=self._lookback(),
            cursor=self._cursor_choice(cursor) if cursor and is_incremental else None,
            columns=self._columns(),
            evaluation=self._evaluation(),
            notes=tuple(self._notes()),
        )

    def _keep(self) -> Choice | None:
        if self._cursor is None or not self._facts.is_sharded or not self._is_recent():
            return None
        return Choice(f"{KEEP_DAYS}d", "older tables are not read and not paid for")

    def _lookback(self) -> Choice | None:
        if self._cursor is None or not self._facts.is_sharded or not self._is_recent():
            return None
        return Choice(LATE, "GA4 writes the tables of the last three days again")

    def _is_recent(self) -> bool:
        """Whether daily tables are still written."""
        cursor = self._cursor
        if cursor is None or cursor.maximum is None:
            return False
        return cursor.maximum // self._scale(cursor) > self._now - KEEP_DAYS * DAY

    def _scale(self, cursor: ColumnFacts) -> int:
        """Units of the cursor in a second. Times were counted in seconds."""
        if cursor.type != "INTEGER":
            return 1
        return UNITS[unit_of(cursor, self._now) or "s"]

    def _key_choice(self) -> KeyChoice | None:
        facts, key = self._facts, self._key
        if facts.is_sharded:
            reason = "a hash of columns: daily tables have no id in common"
            return KeyChoice((ROW_KEY,), reason)
        if self._parts:
            return KeyChoice(self._parts, self._parts_reason())
        if key is None:
            return None
        return KeyChoice((aito_name(key.name),), self._key_reason(key))

    def _parts_reason(self) -> str:
        rows = counted(self._facts.rows or 0, "row")
        if len(self._parts) == 1:
            return f"unique in {rows}, never NULL"
        return f"no column is unique; together they are, in {rows}"

    def _key_reason(self, key: ColumnFacts) -> str:
        facts = self._facts
        if facts.not_counted:
            return f"by its name; not counted: {facts.not_counted}"
        if not facts.rows:
            return "by its name; the table is empty"
        if key.distinct == facts.rows:
            return f"unique in {counted(facts.rows, 'row')}, never NULL"
        values = counted(key.distinct or 0, "value")
        return f"{values} in {counted(facts.rows, 'row')}: the newest row of a key wins"

    @property
    def _has_key(self) -> bool:
        return self._key is not None or bool(self._parts)

    def _cursor_choice(self, cursor: ColumnFacts) -> CursorChoice:
        unit = unit_of(cursor, self._now) if cursor.type == "INTEGER" else None
        reasons = [cursor.type if unit is None else f"INT64 epoch in {unit} by its range"]
        if cursor.type in ("DATETIME", "DATE"):
            reasons.append("read as UTC")
        if words(cursor.name) & UPDATED:
            reasons.append("its name says that rows are updated")
        elif words(cursor.name) & ARRIVED:
            reasons.append("when a row arrived")
        if cursor.name.lower() == (self._facts.partition_column or "").lower():
            reasons.append("the table is partitioned by it")
        return CursorChoice(cursor.name, unit, self._cursor_name(cursor), "; ".join(reasons))

    def _cursor_name(self, cursor: ColumnFacts) -> str:
        """A name that no source column has."""
        taken = {column.name.lower() for column in self._facts.columns}
        name = f"{aito_name(cursor.name)}_unix"
        while name.lower() in taken:
            name = f"sync_{name}"
        return name

    def _mode(self) -> Choice:
        if self._facts.is_sharded and self._cursor:
            if self._is_ga4:
                return Choice("merge", "GA4 writes the tables of the last three days again")
            return Choice("append", "nothing says that daily tables change; if they do: merge")
        if not self._has_key or self._cursor is None:
            missing = ", ".join(self._missing())
            return Choice("replace", f"{missing}: each run loads the whole table again")
        if words(self._cursor.name) & UPDATED:
            return Choice("merge", f"{self._cursor.name} says that rows change")
        if REPLICATED.match(self._cursor.name):
            return Choice("merge", "a replicator writes a row again when it changes")
        if self._key and self._facts.rows and self._key.distinct != self._facts.rows:
            return Choice("merge", f"{self._key.name} is there in several versions")
        return Choice("append", "nothing says that rows change; if they do: merge")

    def _missing(self) -> Iterator[str]:
        if not self._has_key and not self._facts.is_sharded:
            yield "no column without NULL is unique, nor are several together"
        if self._cursor is None:
            yield "no column for a cursor"

    # -- columns

    def _columns(self) -> tuple[ColumnChoice, ...] | None:
        """All columns and those that need a word, or None when each is taken as it is."""
        synced = [c for c in self._facts.columns if c.can_be_synced]
        chosen = [self._column(column) for column in synced]
        named = [choice for choice in chosen if not choice.is_plain]
        if self._facts.is_sharded:
            named.insert(0, self._row_key())
        left_out = [c.name for c in self._facts.columns if not c.can_be_synced]
        left_out += [c.name for c in synced if aito_name(c.name) != c.name]
        if not named and not left_out:
            return None
        return ColumnChoice(STAR, left_out=tuple(left_out)), *named

    @property
    def _is_ga4(self) -> bool:
        """Whether these are the daily tables of Google Analytics 4 or Firebase."""
        names = {column.name.lower() for column in self._facts.columns}
        return {"event_timestamp", "event_name", "user_pseudo_id"} <= names

    def _row_key(self) -> ColumnChoice:
        """A key of named columns: one that covered the whole row would change with a new column."""
        columns = [column.name for column in self._facts.columns]
        reason = "all columns of today; take those that identify a row, if fewer do"
        if self._is_ga4:
            columns = [name for name in columns if name.lower() in GA4_EVENT]
            reason = "these columns together identify an event"
        listed = ", ".join(f"`{name}`" for name in columns)
        sql = f"TO_HEX(SHA256(TO_JSON_STRING(STRUCT({listed}))))"
        return ColumnChoice(ROW_KEY, sql, reason=reason)

    def _column(self, column: ColumnFacts) -> ColumnChoice:
        name = aito_name(column.name)
        sql = f"`{column.name}`" if name != column.name else None
        place = (self._facts.source, column.name)
        is_long = place in self._longs
        link = self._links.get(place)
        if link:
            target = f"{self._names[link.candidate.parent]}.{aito_name(link.candidate.key)}"
            reason = f"{link.share:.0%} of {counted(link.values, 'value')} are keys there"
            return ColumnChoice(name, sql, "Long" if is_long else None, target, reason)
        if is_long:
            reason = f"{column.minimum:,} to {column.maximum:,}: beyond 32 bits"
            return ColumnChoice(name, sql, "Long", None, reason)
        if self._is_text(column):
            reason = f"{column.mean_words:.0f} words on average"
            return ColumnChoice(name, sql, "Text", None, reason)
        return ColumnChoice(name, sql)

    def _is_text(self, column: ColumnFacts) -> bool:
        """Whether a STRING is prose: its words tell more than the whole value does."""
        if column.type != "STRING" or column.repeated or column == self._key:
            return False
        has_words = (column.mean_words or 0) >= TEXT_WORDS
        return has_words and (column.distinct or 0) > TEXT_VALUES

    # -- evaluation

    def _evaluation(self) -> EvaluationChoice | None:
        candidates = [column for column in self._facts.columns if self._is_predictable(column)]
        if not candidates:
            return None
        best = min(candidates, key=self._predict_rank)
        given = [c for c in self._facts.columns if c != best and self._is_informative(c)]
        if not given:
            return None
        given.sort(key=self._given_rank)
        names = tuple(aito_name(column.name) for column in given[:MAX_GIVEN])
        predict = aito_name(best.name)
        reason = f"{best.distinct} values; leave out of `given` what repeats it"
        return EvaluationChoice(predict.replace("_", "-").strip("-"), predict, names, reason)

    def _given_rank(self, column: ColumnFacts) -> tuple[bool, bool, int]:
        """Less is better: filled columns, then those that are no flags, then few values."""
        is_empty = (column.nulls or 0) * 2 > (self._facts.rows or 0)
        return is_empty, column.type == "BOOLEAN", column.distinct or 0

    def _is_predictable(self, column: ColumnFacts) -> bool:
        few = FEW_VALUES[0] <= (column.distinct or 0) <= FEW_VALUES[1]
        rows = self._facts.rows or 0
        is_filled = (column.nulls or 0) * 2 <= rows
        is_repeated = (column.distinct or 0) * 5 <= rows
        is_category = column.type in ("STRING", "BOOLEAN", "INTEGER")
        return few and is_filled and is_repeated and is_category and not self._is_own(column)

    def _is_informative(self, column: ColumnFacts) -> bool:
        """Whether a column may tell something about another: its values, or its words, repeat."""
        if column.repeated or is_mark(column) or self._is_time_or_key(column):
            return False
        if column.may_be_key and not self._is_link(column):
            return False  # such as customer_id: it only repeats what else is known of a customer
        if self._is_text(column):
            return True
        is_value = column.type in ("STRING", "BOOLEAN", "INTEGER")
        rows = self._facts.rows or 0
        return is_value and 2 <= (column.distinct or 0) <= rows // 2

    def _is_own(self, column: ColumnFacts) -> bool:
        """Whether a column is key, time or link: nothing that is worth predicting."""
        is_other = column.repeated or self._is_link(column) or is_mark(column)
        return is_other or self._is_time_or_key(column)

    def _is_link(self, column: ColumnFacts) -> bool:
        return (self._facts.source, column.name) in self._links

    def _is_time_or_key(self, column: ColumnFacts) -> bool:
        is_epoch = column.type == "INTEGER" and unit_of(column, self._now) is not None
        is_single = self._parts == (column.name,)
        is_part = is_single or (column.name in self._parts and column.may_be_key)
        return is_epoch or is_part or column in (self._key, self._cursor)

    def _predict_rank(self, column: ColumnFacts) -> tuple[bool, bool, int]:
        is_named = bool(words(column.name) & WORTH_PREDICTING)
        return not is_named, column.type == "INTEGER", column.distinct or 0

    # -- notes

    def _dataset_has(self, table: str) -> bool:
        """Whether a table of the same dataset was looked at, too."""
        dataset = self._facts.source.rsplit(".", 1)[0]
        return f"{dataset}.{table}" in self._names

    def _notes(self) -> Iterator[str]:
        facts = self._facts
        if facts.not_counted:
            yield f"Nothing was counted: {facts.not_counted}."
        table = re.sub(r"_(view|latest|current)$", "", facts.table)
        if table != facts.table and self._dataset_has(table):
            yield f"{facts.table} may show the rows of {table}: then keep one of the two."
        if facts.is_sharded:
            yield (
                "Daily tables: the newest was counted. `intraday: true` reads those of today, too."
            )
        elif not self._has_key:
            yield "Several columns may identify a row together. Then:  key: [a, b]"
        if self._mode().value == "replace" and (facts.rows or 0) > SMALL_ROWS:
            yield f"{facts.rows:,} rows are many to load in each run: better with key and cursor."
        for column in facts.columns:
            if not column.can_be_synced:
                yield f"{column.name} is left out: Aito has no type for {column.type}."
        marks = [column.name for column in facts.columns if marks_deleted(column)]
        if marks and self._mode().value != "replace":
            yield f"deletes: {aito_name(marks[0])}   # would remove rows that are marked so"
        cursor = self._cursor
        has_none = self._mode().value == "replace" or self._keep() is not None
        if cursor and cursor.minimum is not None and not has_none:
            yield _keep_note(cursor.minimum // self._scale(cursor), self._now)


def _keep_note(oldest: int, now: int) -> str:
    days = max(1, (now - oldest) // DAY)
    date = datetime.fromtimestamp(max(oldest, 0), UTC).date()
    return f"keep: {days + 1}d   # would purge older rows; the oldest is of {date}"
