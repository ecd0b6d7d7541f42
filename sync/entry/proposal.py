"""Proposes the settings of tables from what was counted of their sources. Pure.

Every choice carries its reason, which `init` prints as a comment.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sync.base.words import counted
from sync.config.settings import SOURCE_COLUMN, STAR
from sync.model.inspection import (
    KEY_TYPES,
    ColumnFacts,
    Inspection,
    KeyCandidate,
    LinkCandidate,
    LinkFacts,
    TableFacts,
)

DAY = 86_400
INT_32 = (-(2**31), 2**31 - 1)  # Aito's Int
EPOCH_1990 = 631_152_000  # no INT64 of an epoch counts less seconds
UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000}
LINK_SHARE = 0.8  # of the values must be keys of the other table
TEXT_WORDS = 3.0  # mean words of a Text
TEXT_VALUES = 50  # fewer values are categories, however long they are
FEW_VALUES = (2, 50)  # of a column that is worth predicting
MAX_GIVEN = 6
MAX_PARTS = 4  # columns of one key
PART_COLUMNS = 7  # the likeliest parts, which are combined
MAX_COMBINATIONS = 40  # that one query counts
APPROXIMATE = 1.1  # a number of values may be counted too low by so much
# Words of columns that tell rows of one thing apart.
PART_WORDS = {
    *("line", "position", "pos", "seq", "sequence", "index", "item", "row", "rank", "version"),
    *("step", "hour", "day", "date", "week", "month", "year", "revision", "part"),
}
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
TIMES = ("TIMESTAMP", "DATETIME", "DATE")

UPDATED = {"updated", "modified", "changed", "edited", "update", "modification"}
ARRIVED = {"received", "loaded", "ingested", "inserted", "synced", "extracted"}
HAPPENED = {"created", "timestamp", "time", "ts", "event", "occurred", "at", "date", "sent", "day"}
EPOCH_WORDS = UPDATED | ARRIVED | HAPPENED | {"unix", "epoch", "seconds", "millis", "micros"}
# Times of something else than the row's own writing.
OTHER_TIMES = {
    *("expires", "expiry", "expired", "due", "birth", "birthday", "born", "end", "ends", "until"),
    *("deleted", "scheduled", "valid", "delivery", "delivered", "start", "starts", "first"),
}
# Words that some systems run together, as in `lastmodifieddate`.
RUN_TOGETHER = ("updated", "modified", "created", "received", "timestamp")
# Columns that a replicator adds to each table. It writes a row again when the row changes.
REPLICATED = re.compile(r"_(fivetran|airbyte|sdc|dlt|hevo|stitch|rivery|estuary)_", re.IGNORECASE)
WORTH_PREDICTING = {
    *("status", "state", "type", "category", "kind", "source", "plan", "label", "class", "tier"),
    *("outcome", "result", "segment", "churned", "converted", "priority", "reason", "method"),
}


@dataclass(frozen=True)
class Choice:
    """A value and why it was chosen."""

    value: str
    reason: str


@dataclass(frozen=True)
class KeyChoice:
    """The column or the columns that identify a row, and why they were chosen."""

    parts: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class CursorChoice:
    """What tells new rows from old ones. unit: of an INT64, otherwise None."""

    source: str
    unit: str | None
    column: str
    reason: str


@dataclass(frozen=True)
class ColumnChoice:
    """A column of the Aito table. What is None is derived from the source.

    left_out: of STAR, which is all other columns, those that are not taken.
    """

    name: str
    sql: str | None = None
    type: str | None = None
    link: str | None = None
    reason: str = ""
    left_out: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether everything is derived from the source column of this name."""
        return not (self.sql or self.type or self.link)


@dataclass(frozen=True)
class EvaluationChoice:
    """A column to predict and the columns to predict it from."""

    name: str
    predict: str
    given: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class TableProposal:
    """The settings of one table.

    columns: None when every source column is taken as it is. notes: what a person should know.
    """

    name: str
    source: str
    mode: Choice
    key: KeyChoice | None
    cursor: CursorChoice | None
    keep: Choice | None
    lookback: Choice | None
    columns: tuple[ColumnChoice, ...] | None
    evaluation: EvaluationChoice | None
    notes: tuple[str, ...] = ()


def propose(inspection: Inspection) -> tuple[TableProposal, ...]:
    """The settings of every table that was looked at."""
    names = _names(inspection.tables)
    links = _links(inspection)
    longs = _longs(inspection.tables, links)
    return tuple(
        _Table(facts, names, links, longs, inspection.now).proposal() for facts in inspection.tables
    )


def link_candidates(tables: Sequence[TableFacts]) -> tuple[LinkCandidate, ...]:
    """The columns that may hold keys of another table, by type and name.

    Numbers of one table are often within the range of another's: their name must say it, too.
    """
    tables = [facts for facts in tables if not facts.is_sharded and not facts.not_counted]
    keys = {facts.source: key_column(facts) for facts in tables}
    found = []
    for child in tables:
        for parent in tables:
            key = keys[parent.source]
            if parent.source == child.source or key is None:
                continue
            if parent.location != child.location:  # no query reads both
                continue
            own_key = keys[child.source]
            for column in child.columns:
                if column != own_key and _may_link(column, parent, key):
                    found.append(LinkCandidate(child.source, column.name, parent.source, key.name))
    return tuple(found)


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


# -- names


def words(name: str) -> set[str]:
    """The words of a name such as `updatedAt`, `updated_at` or `lastupdated`, in lower case."""
    found = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
    return found | {word for word in RUN_TOGETHER if word in name.lower()}


def aito_name(name: str) -> str:
    """A name that Aito takes."""
    return re.sub(r"""[/".$\s`\\]+""", "_", name)


def _names(tables: Sequence[TableFacts]) -> dict[str, str]:
    """The Aito table of each source. Two tables of one name get their dataset's in front."""
    short = [aito_name(facts.table) for facts in tables]
    names = {}
    for facts, name in zip(tables, short, strict=True):
        dataset = facts.source.split(".")[-2]
        is_unique = short.count(name) == 1
        names[facts.source] = name if is_unique else f"{dataset}_{name}"
    return names


def _stems(table: str) -> set[str]:
    """What a column that points to a table may be called: users_view -> users, user."""
    name = re.sub(r"^(dim|fact|fct|stg|raw|tbl)_|_(view|table|raw|latest|dim)$", "", table.lower())
    stems = {name}
    if name.endswith("ies"):
        stems.add(f"{name[:-3]}y")
    if name.endswith("s"):
        stems |= {name[:-1], name.removesuffix("es")}
    return stems


# -- key


def _key_rank(facts: TableFacts, column: ColumnFacts) -> int:
    name = column.name.lower()
    own = {f"{stem}_id" for stem in _stems(facts.table)}
    own |= {f"{stem}id" for stem in _stems(facts.table)}
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
    return is_scalar and column.name.lower() in _stems(table)


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


# -- cursor


def unit_of(column: ColumnFacts, now: int) -> str | None:
    """What an INT64 counts when its range is that of an epoch: s, ms or us."""
    if column.minimum is None or column.maximum is None:
        return None
    for unit, scale in UNITS.items():
        is_late = column.minimum >= EPOCH_1990 * scale
        if is_late and column.maximum <= (now + DAY) * scale:
            return unit
    return None


def _cursor_column(facts: TableFacts, now: int) -> ColumnFacts | None:
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


# -- links


def _may_link(column: ColumnFacts, parent: TableFacts, key: ColumnFacts) -> bool:
    if column.repeated or column.type != key.type:
        return False
    if is_named_after(column.name, parent.table, key.name):
        return True
    return column.type == "STRING" and column.may_be_key


def is_named_after(column: str, table: str, key: str) -> bool:
    """Whether a column's name says that it holds keys of a table: user_id -> users.id."""
    name = column.lower().replace("_", "")
    own = key.lower().replace("_", "")
    if own not in ("id", "uuid", "guid", "key", "code") and name.endswith(own):
        return True
    stems = {stem.replace("_", "") for stem in _stems(table)}
    endings = ("", own, "id", "uuid", "key", "code", "ref")
    return any(name.endswith(f"{stem}{ending}") for stem in stems for ending in endings)


def _links(inspection: Inspection) -> dict[tuple[str, str], LinkFacts]:
    """(source, column) -> the best link of the column. A link that closes a circle is left out."""
    good = [link for link in inspection.links if link.share >= LINK_SHARE]
    tables = {facts.source: facts.table for facts in inspection.tables}

    def rank(link: LinkFacts) -> tuple[bool, float]:
        each = link.candidate
        return not is_named_after(each.column, tables[each.parent], each.key), -link.share

    chosen: dict[tuple[str, str], LinkFacts] = {}
    for link in sorted(good, key=rank):
        each = link.candidate
        place = (each.source, each.column)
        if place not in chosen and not _reaches(chosen, each.parent, each.source):
            chosen[place] = link
    return chosen


def _reaches(links: Mapping[tuple[str, str], LinkFacts], start: str, goal: str) -> bool:
    """Whether following links from one table leads to another."""
    waiting, seen = [start], set()
    while waiting:
        source = waiting.pop()
        if source == goal:
            return True
        if source in seen:
            continue
        seen.add(source)
        waiting += [link.candidate.parent for (child, _), link in links.items() if child == source]
    return False


def _longs(
    tables: Sequence[TableFacts], links: Mapping[tuple[str, str], LinkFacts]
) -> set[tuple[str, str]]:
    """(source, column) of the whole numbers beyond 32 bits, and of what is linked to them."""
    found = {
        (facts.source, column.name)
        for facts in tables
        for column in facts.columns
        if column.type == "INTEGER" and _is_long(column)
    }
    for _ in links:  # a key may have several links, so the type spreads step by step
        for place, link in links.items():
            ends = {place, (link.candidate.parent, link.candidate.key)}
            if ends & found:
                found |= ends
    return found


def _is_long(column: ColumnFacts) -> bool:
    if column.minimum is None or column.maximum is None:
        return False
    return column.minimum < INT_32[0] or column.maximum > INT_32[1]


# -- one table


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
        self._cursor = _cursor_column(facts, now)

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
        if column.repeated or _is_mark(column) or self._is_time_or_key(column):
            return False
        if self._is_text(column):
            return True
        is_value = column.type in ("STRING", "BOOLEAN", "INTEGER")
        rows = self._facts.rows or 0
        return is_value and 2 <= (column.distinct or 0) <= rows // 2

    def _is_own(self, column: ColumnFacts) -> bool:
        """Whether a column is key, time or link: nothing that is worth predicting."""
        is_link = (self._facts.source, column.name) in self._links
        return column.repeated or is_link or _is_mark(column) or self._is_time_or_key(column)

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
        marks = [column.name for column in facts.columns if _marks_deleted(column)]
        if marks and self._mode().value != "replace":
            yield f"deletes: {aito_name(marks[0])}   # would remove rows that are marked so"
        cursor = self._cursor
        has_none = self._mode().value == "replace" or self._keep() is not None
        if cursor and cursor.minimum is not None and not has_none:
            yield _keep_note(cursor.minimum // self._scale(cursor), self._now)


def _is_mark(column: ColumnFacts) -> bool:
    """Whether a column tells of the row itself, and nothing of what it is about."""
    return REPLICATED.match(column.name) is not None or bool(words(column.name) & {"deleted"})


def _marks_deleted(column: ColumnFacts) -> bool:
    """Whether a column is a flag that says of a row that it is gone."""
    is_flag = column.type == "BOOLEAN" and not column.repeated
    return is_flag and "deleted" in words(column.name) and column.name == aito_name(column.name)


def _keep_note(oldest: int, now: int) -> str:
    days = max(1, (now - oldest) // DAY)
    date = datetime.fromtimestamp(max(oldest, 0), UTC).date()
    return f"keep: {days + 1}d   # would purge older rows; the oldest is of {date}"
