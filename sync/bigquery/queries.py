"""The text of every query that reads a source, with typed parameters. Pure.

All of them begin with the same two steps:

    sync_picked   the source's columns under their Aito names, filtered by predicates that prune
    sync_timed    the same rows with the key as text and the cursor in epoch seconds

Values are parameters and identifiers are quoted. The only text of a user's is what the
configuration declares to be SQL (`query:` and `sql:`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sync.bigquery import facts
from sync.bigquery.predicates import (
    Predicates,
    cursor_between,
    cursor_column,
    cursor_is_not_null,
    cursor_moment,
    cursor_second,
    cursor_since,
    is_partitioned_by_cursor,
    moment_second,
    partition_since,
)
from sync.bigquery.table import DOCUMENT_BYTES, BigQueryTable
from sync.bigquery.types import exact_integer, quoted
from sync.config import BatchSettings, TableSettings
from sync.model.batches import DELETES
from sync.model.sql import Parameter, Query
from sync.model.window import BEGINNING, HOUR, MINUTE, Slice, Window

# An integer of 60 bits, which is never negative.
HASH = "CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5({0})), 1, 15)) AS INT64)"
# Rows of a key share a shard. Those without a key are spread by their documents.
SHARD_HASH = HASH.format("IFNULL(sync_key, sync_document)")
MAX_PLACE = 2**62
NO_PREDICATES = Predicates()
DELETED_ROWS = Parameter("deletes", "INT64", DELETES)
KEY_AND_SECOND = "CONCAT(sync_key, ' ', CAST(sync_second AS STRING))"


# -- the steps that every query begins with


def _from(table: BigQueryTable) -> str:
    """The source, under a name of ours: its own name would hide a column of the same name."""
    if table.path:
        return f"FROM {quoted(table.path)} AS sync_source"
    # On lines of its own, because it may end in a comment.
    return f"FROM (\n{table.settings.query}\n) AS sync_source"


def _expression(table: BigQueryTable, name: str) -> str:
    """SQL of a column's source value."""
    settings = table.settings.named.get(name)
    if settings and settings.sql:
        return f"(\n{settings.sql}\n)"
    return quoted(name)


def _selected(table: BigQueryTable, name: str) -> str:
    """A column in a SELECT under its Aito name. One that is taken as it is has that name."""
    expression = _expression(table, name)
    column = quoted(name)
    return column if expression == column else f"{expression} AS {column}"


def _picked(table: BigQueryTable, names: Iterable[str], predicates: Predicates) -> str:
    columns = [_selected(table, name) for name in names]
    columns += _extra_columns(table)
    return f"SELECT {', '.join(columns)} {_from(table)} {_where(table, predicates)}"


def _extra_columns(table: BigQueryTable) -> list[str]:
    """The cursor, and whether the row deletes its key, where the configuration names them."""
    columns = []
    if table.settings.cursor:
        columns.append(f"{cursor_moment(table)} AS sync_cursor")
    if table.settings.deletes:
        columns.append(f"IFNULL({_deletes(table)}, FALSE) AS sync_deleted")
    return columns


def _deletes(table: BigQueryTable) -> str:
    """SQL of the condition of rows that delete their key."""
    return f"(\n{table.settings.deletes}\n)"


def _timed(table: BigQueryTable) -> str:
    second = _second(table)
    return f"SELECT *, {table.key_text} AS sync_key, {second} AS sync_second FROM sync_picked"


def _second(table: BigQueryTable) -> str:
    """SQL of the cursor in whole epoch seconds."""
    return "0" if table.cursor is None else moment_second(table, "sync_cursor")


def _where(table: BigQueryTable, predicates: Predicates) -> str:
    """The WHERE clause: the predicates, and the condition that the configuration gives."""
    if table.settings.where:
        predicates += Predicates((f"(\n{table.settings.where}\n)",))
    return predicates.where


# -- shape


def listed(table: TableSettings) -> list[str]:
    """The columns that a query must list, without the cursor's.

    Where all source columns are taken, only those that are made by SQL are listed beside them.
    """
    cursor = table.cursor.column if table.cursor else None
    named = table.named.items()
    return [name for name, made in named if name != cursor and (made.sql or not table.takes_all)]


def shape(table: BigQueryTable) -> Query:
    """A query whose result columns are the table's columns, the cursor as `sync_cursor`, and
    `deletes` as `sync_deleted`.

    All source columns come first, where they are taken, then those of `listed`. These have other
    names here: BigQuery refuses some characters in a result's names that Aito allows.
    It is for a dry run only. It has the predicates that BigQuery may require: the cursor may be the
    partition column of a table behind a view.
    """
    predicates = partition_since(table, BEGINNING)
    if table.settings.cursor:
        predicates += cursor_is_not_null(table)
    select = ["*"] if table.settings.takes_all else []
    for place, name in enumerate(listed(table.settings)):
        select.append(f"{_expression(table, name)} AS sync_column_{place}")
    select += _shape_columns(table)
    where = _where(table, predicates)
    text = f"SELECT {', '.join(select)} {_from(table)} {where} LIMIT 0"
    return Query(text, predicates.parameters)


def parts(table: BigQueryTable) -> Iterator[tuple[str, Query]]:
    """What a table is made of, a query each, with the name of its setting. For dry runs only."""
    predicates = _required(table)
    rest = f"{_from(table)} {_where(table, predicates)} LIMIT 0"
    origin = "where" if table.settings.where else "query" if table.path is None else "source"
    selected = [(origin, "1")]
    if table.settings.cursor:
        selected.append(("cursor.source", cursor_column(table)))
    if table.settings.deletes:
        selected.append(("deletes", _deletes(table)))
    selected += [(f"columns.{name}", _expression(table, name)) for name in listed(table.settings)]
    for setting, expression in selected:
        yield setting, Query(f"SELECT {expression} {rest}", predicates.parameters)


def first_row(table: BigQueryTable, since: int = BEGINNING) -> Query:
    """A query that finds a row if the source shows any. It reads no column of a table.

    A table behind a view may require a condition on its cursor. since: of daily tables those from
    then on are looked at, epoch seconds.
    """
    predicates = _required(table)
    if table.settings.is_sharded:
        predicates = partition_since(table, since)
    elif table.settings.cursor and (table.is_view or table.path is None):
        predicates = cursor_is_not_null(table)
    return Query(
        f"SELECT 1 {_from(table)} {_where(table, predicates)} LIMIT 1", predicates.parameters
    )


def row_count(table: BigQueryTable) -> Query:
    """A query that counts the rows that the source shows."""
    predicates = _required(table)
    text = f"SELECT COUNT(*) {_from(table)} {_where(table, predicates)}"
    return Query(text, predicates.parameters)


def range_count(table: BigQueryTable, start: int, end: int) -> Query:
    """A query that counts the rows of a range by their cursor. It reads no other column."""
    predicates = cursor_between(table, start, end) + partition_since(table, start)
    text = f"SELECT COUNT(*) {_from(table)} {_where(table, predicates)}"
    return Query(text, predicates.parameters)


def _required(table: BigQueryTable) -> Predicates:
    """The predicates that BigQuery may require of a query over everything."""
    predicates = partition_since(table, BEGINNING)
    if is_partitioned_by_cursor(table):
        predicates += cursor_is_not_null(table)
    return predicates


def _shape_columns(table: BigQueryTable) -> list[str]:
    """The cursor and the condition of deleting rows as they are, so that their types are seen."""
    columns = []
    if table.settings.cursor:
        columns.append(f"{cursor_column(table)} AS sync_cursor")
    if table.settings.deletes:
        columns.append(f"{_deletes(table)} AS sync_deleted")
    return columns


# -- histogram

# Whether the last of several rows deletes the key. Of rows at one moment, the deletion is the last.
_ENDS_DELETED = """\
IFNULL(MAX(IF({rows} AND sync_deleted, sync_cursor, NULL))
    >= MAX(IF({rows} AND NOT sync_deleted, sync_cursor, NULL)),
    LOGICAL_AND(sync_deleted OR NOT ({rows})))"""

_GROUPED = """\
SELECT sync_key, sync_second, COUNT(*) AS n, {ends_deleted} AS is_deleted
  FROM sync_timed GROUP BY sync_key, sync_second"""

_RANKED = """\
SELECT *, MAX(sync_second) OVER (PARTITION BY sync_key) AS newest FROM grouped"""

_FINGERPRINT = f"""\
BIT_XOR(IF(is_latest AND sync_second <= @watermark,
    {HASH.format(KEY_AND_SECOND)}, 0)) AS fingerprint"""

_SECONDS = f"""\
SELECT sync_second, SUM(n) AS n_rows, COUNTIF(is_latest) AS latest_per_key,
    SUM(IF(sync_key IS NULL, n, 0)) AS keyless,
    MAX(IF(sync_key IS NULL, NULL, newest)) AS max_cursor,
    {_FINGERPRINT},
    COUNTIF(is_last AND is_deleted) AS deletions
  FROM (
    SELECT *, is_last AND NOT is_deleted AS is_latest FROM (
      SELECT *, sync_key IS NOT NULL AND sync_second = newest AS is_last FROM ranked))
  GROUP BY sync_second"""

# Seconds are counted from the first one that exists: MOD of a negative number is negative.
_PLACED = """\
SELECT *, sync_second - MOD(sync_second - @beginning, @hour) AS sync_hour,
    sync_second - MOD(sync_second - @beginning, @minute) AS sync_minute
  FROM seconds"""

# No text is carried here: at most 3,600 numbers for an hour.
_WEIGHED = """\
SELECT *, SUM(n_rows) OVER (PARTITION BY sync_hour) AS hour_rows,
    SUM(n_rows) OVER (PARTITION BY sync_minute) AS minute_rows
  FROM placed"""

_CUT = """\
SELECT *, CASE WHEN hour_rows <= @rows THEN sync_hour
    WHEN minute_rows <= @rows THEN sync_minute ELSE sync_second END AS bucket
  FROM weighed"""

_BUCKETS = """\
SELECT bucket, SUM(n_rows) AS n_rows, SUM(latest_per_key) AS latest_per_key,
  SUM(keyless) AS keyless, MAX(max_cursor) AS max_cursor, BIT_XOR(fingerprint) AS fingerprint,
  SUM(deletions) AS deletions, CAST(NULL AS STRING) AS facts
FROM cut GROUP BY bucket"""


def histogram(
    table: BigQueryTable,
    window: Window,
    watermark: int,
    rows: int,
    integers: Sequence[str] = (),
) -> Query:
    """Count the window's rows by hour. The columns are the fields of window.Bucket, in order.

    An hour of over `rows` rows is counted by the minute, and such a minute by the second.
    Rows without a bucket hold facts as JSON: see facts.py. watermark: fingerprints cover rows up to
    it. integers: columns whose range is looked at.
    """
    partition = partition_since(table, window.start)
    inside = cursor_between(table, window.start, window.end) + partition
    outside = facts.outside(table, window.end)
    text = f"""
WITH sync_picked AS ({_picked(table, table.settings.key_parts, inside)}),
sync_timed AS ({_timed(table)}),
grouped AS ({_GROUPED.format(ends_deleted=_ends_deleted(table, "TRUE"))}),
ranked AS ({_RANKED}),
seconds AS ({_SECONDS}),
placed AS ({_PLACED}),
weighed AS ({_WEIGHED}),
cut AS ({_CUT})
{_BUCKETS}
UNION ALL SELECT NULL, 0, 0, 0, NULL, 0, 0, {facts.of_cursor(table)}
FROM ({_clock(table, outside + partition)}){_ranges(table, inside, integers)}
ORDER BY bucket"""
    parameters = (
        *inside.parameters,
        *outside.parameters,  # those of `partition` are among the ones of `inside`
        *facts.parameters(table, window.end),
        Parameter("watermark", "INT64", watermark),
        Parameter("beginning", "INT64", BEGINNING),
        Parameter("hour", "INT64", HOUR),
        Parameter("minute", "INT64", MINUTE),
        Parameter("rows", "INT64", rows),
    )
    return Query(text, parameters)


def _clock(table: BigQueryTable, predicates: Predicates) -> str:
    column = cursor_column(table)
    second = cursor_second(table, column)
    where = _where(table, predicates)
    return f"SELECT {column} AS sync_cursor, {second} AS sync_second {_from(table)} {where}"


def _ranges(table: BigQueryTable, predicates: Predicates, integers: Sequence[str]) -> str:
    """The part of a count that looks at the range of integers. Empty without any."""
    if not integers:
        return ""
    rows = f"FROM ({_picked(table, integers, predicates)})"
    found = facts.of_integers(table, integers)
    return f"\nUNION ALL SELECT NULL, 0, 0, 0, NULL, 0, 0, {found} {rows}"


def ranges(table: BigQueryTable, integers: Sequence[str]) -> Query:
    """A query that looks at the range of integers in the whole source: see facts.py."""
    everything = partition_since(table, BEGINNING)
    rows = f"FROM ({_picked(table, integers, everything)})"
    found = facts.of_integers(table, integers)
    return Query(f"SELECT {found} AS facts {rows}", everything.parameters)


def _ends_deleted(table: BigQueryTable, rows: str) -> str:
    """SQL of whether the last row of a group, of those that meet a condition, deletes its key."""
    return _ENDS_DELETED.format(rows=rows) if table.settings.deletes else "FALSE"


# -- what is unfit


def totals(table: BigQueryTable) -> Query:
    """Count rows, distinct keys, and rows without a key, of a table without a cursor."""
    everything = _required(table)
    text = f"""
WITH sync_picked AS ({_picked(table, table.settings.key_parts, everything)}),
sync_timed AS ({_timed(table)})
SELECT COUNT(*) AS n_rows, COUNT(DISTINCT sync_key) AS n_keys, COUNTIF(sync_key IS NULL) AS keyless
FROM sync_timed"""
    return Query(text, everything.parameters)


def distinct_rows(table: BigQueryTable, window: Window | None) -> Query:
    """Count the different documents that the rows with a key make. It reads every column."""
    inside = _required(table)
    if window:
        inside = cursor_between(table, window.start, window.end)
        inside += partition_since(table, window.start)
    text = f"""
WITH sync_picked AS ({_picked(table, _document_names(table), inside)}),
sync_timed AS ({_timed(table)}),
made AS ({_made(table)})
SELECT COUNT(DISTINCT MD5(sync_document)) AS n_rows FROM made WHERE sync_key IS NOT NULL"""
    return Query(text, (*inside.parameters, *parameter_of_deletes(table)))


def faults(
    table: BigQueryTable, window: Window | None, spans: Sequence[Window] | None = None
) -> Query:
    """Count unfit rows: all of them, and those of each of `table.faults`, in their order.

    spans: parts of the window that do not touch; only the newest rows of a key that lie in one of
    them count.
    Only the columns that may be unfit are read. A row that deletes its key is not stored.
    """
    conditions = [fault.condition for fault in table.faults]
    counts = [f"COUNTIF({each}) AS fault_{number}" for number, each in enumerate(conditions)]
    select = f"COUNTIF({_is_unfit(table)}) AS n_rows, {', '.join(counts)}"
    return _of_latest(table, window, spans, select)


def unfit_keys(table: BigQueryTable, window: Window, spans: Sequence[Window] | None) -> Query:
    """The keys of the unfit rows that `faults` counts. The table must have a key."""
    is_unfit = Predicates((f"({_is_unfit(table)})", "sync_key IS NOT NULL"))
    return _of_latest(table, window, spans, "sync_key", is_unfit)


def deleted_keys(table: BigQueryTable, window: Window) -> Query:
    """The keys whose last row of the window deletes them. The table must have `deletes`."""
    inside = cursor_between(table, window.start, window.end) + partition_since(table, window.start)
    text = f"""
WITH sync_picked AS ({_picked(table, table.settings.key_parts, inside)}),
sync_timed AS ({_timed(table)})
SELECT sync_key FROM sync_timed WHERE sync_key IS NOT NULL GROUP BY sync_key
HAVING {_ends_deleted(table, "TRUE")}"""
    return Query(text, inside.parameters)


def _is_unfit(table: BigQueryTable) -> str:
    """SQL of whether a row has any of `table.faults`."""
    return " OR ".join(f"({fault.condition})" for fault in table.faults)


def _of_latest(
    table: BigQueryTable,
    window: Window | None,
    spans: Sequence[Window] | None,
    select: str,
    condition: Predicates = NO_PREDICATES,
) -> Query:
    """A query over the newest row of each key that is not deleted, and the rows without a key.

    window None: of the whole source. spans: see `faults`.
    """
    start = window.start if window else BEGINNING
    inside = partition_since(table, start)
    if window:
        inside = cursor_between(table, window.start, window.end) + inside
    newest_first = "sync_cursor DESC" if table.settings.cursor else "sync_key"
    counted = condition + _in_spans(spans)
    if table.settings.deletes:
        newest_first += ", IF(sync_deleted, 0, 1)"
        counted += Predicates(("(NOT sync_deleted OR sync_key IS NULL)",))
    text = f"""
WITH sync_picked AS ({_picked(table, _fault_names(table), inside)}),
sync_timed AS ({_timed(table)}),
latest AS (
  SELECT * FROM sync_timed WHERE TRUE
  QUALIFY sync_key IS NULL OR ROW_NUMBER() OVER (
    PARTITION BY sync_key ORDER BY {newest_first}) = 1)
SELECT {select} FROM latest {counted.where}"""
    return Query(text, (*inside.parameters, *counted.parameters))


def _in_spans(spans: Sequence[Window] | None) -> Predicates:
    """Rows of `sync_timed` that lie in one of the spans, which do not touch. None: all rows."""
    if spans is None:
        return NO_PREDICATES
    edges = [edge for span in spans for edge in (span.start, span.end)]
    # A span begins at each edge with an even number, and ends at the next one.
    inside = "MOD(RANGE_BUCKET(sync_second, @span_edges), 2) = 1"
    return Predicates((inside,), (Parameter("span_edges", "ARRAY<INT64>", edges),))


def _fault_names(table: BigQueryTable) -> list[str]:
    """The source columns that may be unfit, and those of the key."""
    parts = {part.lower() for part in table.settings.key_parts}
    needed = {each.name for each in table.sql_columns if each.faults or each.name.lower() in parts}
    return [name for name in _document_names(table) if name in needed]


# -- keys


def keys_since(table: BigQueryTable, window: Window, keys: Sequence[str]) -> Query:
    """Which keys have a row from the window's start on, whether one lies in the window, and whether
    the last of those deletes the key.
    """
    start = window.start if table.settings.is_sharded else BEGINNING
    wanted = cursor_since(table, window.start) + partition_since(table, start)
    text = f"""
WITH sync_picked AS ({_picked(table, table.settings.key_parts, wanted)}),
sync_timed AS ({_timed(table)})
SELECT sync_key, LOGICAL_OR(sync_second < @window_end) AS in_window,
  {_ends_deleted(table, "sync_second < @window_end")} AS is_deleted
FROM sync_timed WHERE sync_key IN UNNEST(@keys) GROUP BY sync_key"""
    parameters = (
        *wanted.parameters,
        Parameter("window_end", "INT64", window.end),
        Parameter("keys", "ARRAY<STRING>", list(keys)),
    )
    return Query(text, parameters)


# -- batches

# A document that is too large to be sent is a reject, and does not travel either.
_SIZED = """\
SELECT sync_key, sync_second, {cursor}
    IF(sync_problem IS NULL AND BYTE_LENGTH(sync_document) > @document_bytes,
      @too_large, sync_problem) AS sync_problem,
    IF(BYTE_LENGTH(sync_document) > @document_bytes,
      {short_document}, sync_document) AS sync_document
  FROM made"""

# One row per key, that of the newest cursor. Rows without a key are all kept: they are rejects.
_CHOSEN = """\
SELECT * FROM {rows} WHERE TRUE
  QUALIFY sync_key IS NULL OR ROW_NUMBER() OVER (
    PARTITION BY {within} ORDER BY {by_cursor}sync_document DESC) = 1"""

# A row at fault is no document, but `<index of the fault> LF <document>`.
_KEPT = """\
SELECT sync_key, sync_second, sync_problem, {chunk}
    IF(sync_problem IS NULL, sync_document,
      CONCAT(CAST(sync_problem AS STRING), '\\n', sync_document)) AS sync_text
  FROM chosen {unless_later}"""

_NUMBERED = """\
SELECT sync_second, sync_problem, sync_text,
    {place} AS place
  FROM kept"""

_BATCHED = """\
SELECT *, DIV(place, @batch_rows) AS by_rows,
    DIV(SUM(BYTE_LENGTH(sync_text)) OVER (
      PARTITION BY DIV(place, @batch_rows) ORDER BY place ROWS UNBOUNDED PRECEDING),
      @batch_bytes) AS by_bytes
  FROM numbered"""

# JSON text holds no raw line feed, thus the array can be taken apart again at `,LF`.
# It travels as base64. Escaped as JSON within JSON, it takes half of the reader's time to parse,
# and each of some characters takes the place of six.
_BATCHES = """\
SELECT COUNT(*) AS n_rows, COUNT(sync_problem) AS flagged,
  MAX(IF(sync_problem = @deletes, NULL, sync_second)) AS newest,
  TO_BASE64(CAST(CONCAT('[', STRING_AGG(sync_text, ',\\n' ORDER BY place), ']') AS BYTES))
    AS documents
FROM batched GROUP BY by_rows, by_bytes ORDER BY by_rows, by_bytes"""


def batches(
    table: BigQueryTable, part: Slice | None, limits: BatchSettings, shard: int = 0
) -> Query:
    """A slice's rows as finished batches, in (cursor, key) order, one row per key.

    Each result row is a batch: `n_rows`; `flagged`, how many of them are at fault; `newest`, the
    newest cursor in epoch seconds of rows that can be stored; `documents`, the JSON array to send,
    in base64.

    part None: the whole source. shard: which part of the slice to read when it has several.
    """
    start = part.start if part else BEGINNING
    inside = partition_since(table, start)
    if part and table.settings.cursor:
        inside = cursor_between(table, part.start, part.end) + inside
    in_shard = _in_shard(part, shard) if part else Predicates()
    later = _LaterKeys(table, part)
    made = documents(table, inside, in_shard)
    finished = batches_of_documents(table, part, limits, later.condition)
    parameters = (
        *inside.parameters,
        *later.parameters,
        *document_parameters(table),
        *in_shard.parameters,
        *finished.parameters,
    )
    return Query(f"\nWITH {later.step}{made},\n{finished.text}", parameters)


def batches_of_documents(
    table: BigQueryTable, part: Slice | None, limits: BatchSettings, unless_later: str = ""
) -> Query:
    """The steps that follow `sized`, which holds the documents of a slice or of a shard of it.

    unless_later: SQL that leaves out keys with a row in a later slice.
    """
    chunks = Chunks(part)
    text = f"""\
chosen AS ({chosen(table, "sized", "sync_key")}),
kept AS ({_KEPT.format(unless_later=unless_later, chunk=chunks.column)}),
numbered AS ({_NUMBERED.format(place=chunks.place)}),
batched AS ({_BATCHED})
{_BATCHES}"""
    parameters = (
        DELETED_ROWS,
        Parameter("batch_rows", "INT64", limits.rows),
        Parameter("batch_bytes", "INT64", limits.bytes),
        *chunks.parameters,
    )
    return Query(text, parameters)


def documents(table: BigQueryTable, inside: Predicates, in_shard: Predicates) -> str:
    """The steps that make a document of each row. The last one is called `sized`.

    inside: which rows of the source. in_shard: which of their documents.
    """
    picked = _picked(table, _document_names(table), inside)
    return f"""\
sync_picked AS ({picked}),
sync_timed AS ({_timed(table)}),
made AS ({_made(table)}),
sized AS ({_sized(table)} {in_shard.where})"""


def chosen(table: BigQueryTable, rows: str, within: str) -> str:
    """The step that keeps the newest row of each key. rows: the step before.

    within: SQL of the columns that the window function is partitioned by.
    """
    return _CHOSEN.format(rows=rows, within=within, by_cursor=_latest_first(table))


def document_parameters(table: BigQueryTable) -> tuple[Parameter, ...]:
    """The parameters of `documents` but those of `parameter_of_deletes`."""
    return (
        Parameter("document_bytes", "INT64", DOCUMENT_BYTES),
        Parameter("too_large", "INT64", len(table.faults)),
    )


def parameter_of_deletes(table: BigQueryTable) -> tuple[Parameter, ...]:
    """What marks a row that deletes its key, where the configuration names such rows."""
    return (DELETED_ROWS,) if table.settings.deletes else ()


def _document_names(table: BigQueryTable) -> list[str]:
    """The columns that are picked from the source. The cursor's is made from `sync_second`, and
    that of a key of several columns from `sync_key`.
    """
    settings = table.settings
    made = {settings.cursor.column} if settings.cursor else set()
    if settings.has_composite_key:
        made.add(settings.key_column)
    names = [column.name for column in table.sql_columns]
    return [name for name in names if name not in made]


def _made(table: BigQueryTable) -> str:
    """Each row with its document and the index of its first fault."""
    members = [f"{column.value} AS {quoted(column.name)}" for column in table.sql_columns]
    cursor = "sync_cursor, " if table.settings.cursor else ""
    return f"""\
SELECT sync_key, sync_second, {cursor}{_problem(table)} AS sync_problem,
    TO_JSON_STRING(STRUCT({", ".join(members)})) AS sync_document
  FROM sync_timed"""


def _problem(table: BigQueryTable) -> str:
    """SQL of the index of a row's first fault, NULL for a good row."""
    faults = enumerate(table.faults)
    cases = [f"WHEN {fault.condition} THEN {index}" for index, fault in faults]
    if table.settings.deletes:
        # Whatever else is wrong with such a row: only its key is needed.
        cases.insert(0, "WHEN sync_deleted AND sync_key IS NOT NULL THEN @deletes")
    return f"CASE {' '.join(cases)} END" if cases else "CAST(NULL AS INT64)"


def _latest_first(table: BigQueryTable) -> str:
    """The beginning of an order in which the row that counts is the first of its key."""
    if not table.settings.cursor:
        return ""
    deleted_first = "IF(sync_problem = @deletes, 0, 1), " if table.settings.deletes else ""
    return f"sync_cursor DESC, {deleted_first}"


def _sized(table: BigQueryTable) -> str:
    cursor = "sync_cursor, " if table.settings.cursor else ""
    return _SIZED.format(cursor=cursor, short_document=_short_document(table))


def _short_document(table: BigQueryTable) -> str:
    """SQL of a document that tells only which row it is, and how large its document was."""
    members = ["BYTE_LENGTH(sync_document) AS document_bytes"]
    for column in table.sql_columns:
        if column.name == table.settings.key_name:
            is_text = column.column.type == "String"
            key = "sync_key" if is_text else exact_integer("sync_key")
            members.append(f"{key} AS {quoted(column.name)}")
    if table.settings.cursor:
        members.append(f"sync_second AS {quoted(table.settings.cursor.column)}")
    return f"TO_JSON_STRING(STRUCT({', '.join(members)}))"


def _in_shard(part: Slice, shard: int) -> Predicates:
    """Documents of one shard of the slice."""
    if part.parts == 1:
        return Predicates()
    parameters = (Parameter("parts", "INT64", part.parts), Parameter("part", "INT64", shard))
    return Predicates((f"MOD({SHARD_HASH}, @parts) = @part",), parameters)


class Chunks:
    """Numbers the rows of a slice chunk by chunk, so that no worker sorts a whole slice.

    A chunk's first place is known from the count. Rows that came since share its last place, so
    that the order stays. column: SQL that tells a row's chunk; empty where there are no chunks.
    place: SQL of a row's place in its slice, from 0 on.
    """

    def __init__(self, part: Slice | None) -> None:
        self.column = ""
        self.parameters: tuple[Parameter, ...] = ()
        # A key comes once. Only rows without one are told apart by their text.
        order = "ORDER BY sync_second, sync_key, IF(sync_key IS NULL, sync_text, NULL)"
        self.place = f"ROW_NUMBER() OVER ({order}) - 1"
        if part is None or not part.chunks:
            return
        lasts = [MAX_PLACE if each.end is None else each.end - 1 for each in part.places]
        self.column = "RANGE_BUCKET(sync_second, @chunk_starts) AS sync_chunk,"
        number = f"ROW_NUMBER() OVER (PARTITION BY sync_chunk {order}) - 1"
        first, last = (f"@chunk_{name}[ORDINAL(sync_chunk)]" for name in ("firsts", "lasts"))
        self.place = f"LEAST({number} + {first}, {last})"
        self.parameters = (
            Parameter("chunk_starts", "ARRAY<INT64>", [each.start for each in part.places]),
            Parameter("chunk_firsts", "ARRAY<INT64>", [each.first for each in part.places]),
            Parameter("chunk_lasts", "ARRAY<INT64>", lasts),
        )


class _LaterKeys:
    """Leaves out the keys of a slice whose newest row lies in a later slice.

    step: the CTE that finds those keys; condition: what joins it. Both are empty when there is no
    such key.
    """

    def __init__(self, table: BigQueryTable, part: Slice | None) -> None:
        self.step = self.condition = ""
        self.parameters: tuple[Parameter, ...] = ()
        if part is None or part.superseded_after is None:
            return
        later = cursor_between(table, part.end, part.superseded_after, prefix="later_")
        # Its parameter is that of the slice's own rows.
        partition = partition_since(table, part.start)
        rows = _picked(table, table.settings.key_parts, later + partition)
        keys = f"SELECT DISTINCT {table.key_text} AS later_key FROM ({rows})"
        self.step = f"later AS ({keys}),\n"
        self.condition = "LEFT JOIN later ON later_key = sync_key WHERE later_key IS NULL"
        self.parameters = later.parameters
