"""BigQuery as a source: describes a table, counts its rows by time, reads them as batches."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from google.cloud import bigquery

from sync.base.errors import (
    AccessDenied,
    ActionRequired,
    NotFound,
    SchemaMismatch,
    SyncError,
    TooManyBytes,
)
from sync.bigquery import explain, facts, queries, stage_queries, views
from sync.bigquery.columns import check_names, columns, is_same_name
from sync.bigquery.predicates import INTRADAY, is_partitioned_by_cursor
from sync.bigquery.really_read import Range, ReallyRead
from sync.bigquery.session import BigQuerySession, DryRun
from sync.bigquery.sizes import document_bytes
from sync.bigquery.stage import Stage, Stages, whole
from sync.bigquery.table import BigQueryTable, Partitioning
from sync.bigquery.types import CURSOR_TYPES, Field, quoted
from sync.bigquery.unstable import plain, sampling, unstable_column, unstable_function
from sync.bigquery.wire import trim_heap
from sync.config import BatchSettings, CursorSettings, TableSettings
from sync.config.problems import close, quote, suggest
from sync.model.batches import Batch
from sync.model.keys import KeyState
from sync.model.ports import SourceTable
from sync.model.sql import Query
from sync.model.stage import StagePlan
from sync.model.window import (
    BEGINNING,
    SLICE_ROWS,
    Bucket,
    Faults,
    Histogram,
    Slice,
    Totals,
    Window,
)

# Batches in a page. A batch may be 5 MB, and four times as much while it is text with an emoji.
PAGE_BATCHES = 1
WHOLE_SHARE = 0.9  # of the bytes of everything: a run that has read so much has read all
MAX_KEYS = 50_000  # in one query: BigQuery takes requests of 10 MB
ESTIMATED_SLICES = 8  # slices that are estimated by a dry run; the others cost as much
TRIM_EVERY = 5  # batches
# BigQuery's API reports some types under a second name.
API_NAMES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}
# What BigQuery calls a column, or a member of a struct, that has no name.
UNNAMED_COLUMN = r"f\d+_"
UNNAMED_MEMBER = r"(_field_\d+)?"
# What `deletes` may mean when it is a column of another type.
DELETE_CONDITIONS = {"STRING": "{0} = 'true'", "INTEGER": "{0} != 0"}
VIEWS = ("VIEW", "MATERIALIZED_VIEW", "EXTERNAL")
FRACTIONS = ("FLOAT", "NUMERIC", "BIGNUMERIC")
SHOWN_TABLES = 5  # in a message
# For an estimate: the limits of a batch do not change what is read.
SMALLEST_BATCHES = BatchSettings(rows=1, bytes=1)


class BigQuerySource:
    """Reads one table in one run. Implements Source."""

    def __init__(
        self, session: BigQuerySession, now: int | None = None, stages: Stages | None = None
    ) -> None:
        """now: when the run began, epoch seconds.

        stages: where slices may be staged. None: each is read by a query of its own.
        """
        self._session = session
        self._now = now
        self._stages = stages
        self._stage: Stage | None = None
        self._counted: int | None = None  # rows of the whole source
        self._bytes_processed = 0
        self._really_read = ReallyRead(session)

    @property
    def bytes_processed(self) -> int:
        """Bytes that BigQuery has processed for this object so far."""
        return self._bytes_processed + self._really_read.bytes_processed

    # -- describe

    def describe(self, table: TableSettings, *, prune: bool = True) -> BigQueryTable:
        """Describe a table by its metadata and a dry run.

        prune: reading may leave out partitions that hold no recent row.
        Raises SchemaMismatch with every column that cannot be synced; NotFound.
        """
        check_names(table)
        metadata = self._metadata(table)
        _check_key_is_stable(table, metadata)
        described = _layout(table, metadata, prune)
        if table.is_sharded:
            described = self._daily_tables(table, prune)
        result = self._shape(described, metadata)
        fields = [_field(each) for each in result.fields]
        own_fields = [each for each in fields if each.name not in ("sync_cursor", "sync_deleted")]
        _check_deletes(table, fields)
        own_fields = list(_named(table, own_fields, _required(metadata)))
        made = columns(table, own_fields)
        described = replace(
            described,
            cursor=_cursor(table, fields),
            sql_columns=made,
            fields=tuple(own_fields),
            document_bytes=document_bytes(made, own_fields, _row_bytes(metadata)),
            location=(metadata and metadata.location) or result.location,
        )
        self._check_unnamed(described, own_fields)
        return described

    def _shape(self, table: BigQueryTable, metadata: bigquery.Table | None) -> DryRun:
        """The columns of a table. Raises ActionRequired that names what BigQuery refuses."""
        name = table.settings.name
        try:
            return self._session.dry_run(queries.shape(table), name)
        except AccessDenied:
            raise
        except ActionRequired as error:
            if table.settings.is_sharded:
                self._check_days(table)
            if isinstance(error, NotFound):
                raise
            names = [field.name for field in metadata.schema] if metadata else []
            failing = explain.failing_parts(self._session, table, names)
            if not failing:
                raise
            lines = "\n".join(f"  - {each}" for each in failing)
            raise ActionRequired(f"{name}: BigQuery refuses the source:\n{lines}") from error

    def _metadata(self, table: TableSettings) -> bigquery.Table | None:
        """The metadata of a `source:`; None for a `query:` and for daily tables."""
        if not table.source or table.is_sharded:
            return None
        path = self._path(table.source)
        what = f"{table.name}: {table.at('source')}: {path}"
        try:
            return self._session.metadata(path, what)
        except NotFound as error:
            reason = explain.missing_source(self._session, path, what)
            raise NotFound(f"{what}: {reason}") from error

    def _path(self, source: str) -> str:
        """A source with its project."""
        return source if source.count(".") > 1 else f"{self._session.project}.{source}"

    def _daily_tables(self, table: TableSettings, prune: bool) -> BigQueryTable:
        """Tables of one day each. What they hold tells the dry run; they have no metadata."""
        described = BigQueryTable(
            table, self._path(str(table.source)), prune=prune, read_at=self._now
        )
        if table.mode == "replace":  # whose rows are not counted before they are read
            self._check_days(described)
        return described

    def _check_days(self, table: BigQueryTable) -> None:
        """Raises ActionRequired when no table of the source's beginning ends in a day."""
        dataset, _, beginning = str(table.path).removesuffix("*").rpartition(".")
        listed = self._tables_of(table, dataset)
        names = [name for name in listed if name.startswith(beginning)]
        ending = rf"(?:{INTRADAY})?[0-9]{{8}}" if table.settings.intraday else r"[0-9]{8}"
        if any(re.fullmatch(ending, name.removeprefix(beginning)) for name in names):
            return
        settings = table.settings
        place = settings.at("source")
        if not names:
            daily = explain.daily_sources(listed)
            hint = suggest(f"{beginning}*", daily or listed, "it has")
            raise ActionRequired(
                f"{settings.name}: {place}: the dataset {dataset} has no table that begins with"
                f" {quote(beginning)}; {hint}"
            )
        shown = ", ".join(sorted(names)[:SHOWN_TABLES])
        raise ActionRequired(
            f"{settings.name}: {place}: {settings.source}: no table of this beginning"
            f" ends in a day YYYYMMDD; found {shown}. For other names write instead of `source`  "
            f'query: "SELECT *, _TABLE_SUFFIX AS part FROM `{settings.source}`"'
        )

    def _tables_of(self, table: BigQueryTable, dataset: str) -> list[str]:
        """The names of a dataset's tables. Raises NotFound with the nearest name of a dataset."""
        what = f"{table.settings.name}: {table.settings.at('source')}"
        try:
            return [each.table_id for each in self._session.list_tables(dataset, what)]
        except NotFound as error:
            reason = explain.missing_source(self._session, str(table.path), what)
            raise NotFound(f"{what}: {reason}") from error

    def _check_unnamed(self, table: BigQueryTable, fields: Sequence[Field]) -> None:
        """Raises SchemaMismatch when the source has columns without a name.

        A dry run reports such a column under a name that no query can use. A column may also be
        called so, thus a dry run with these names decides.
        """
        unnamed = _unnamed(fields) if table.settings.takes_all else _unnamed_members(fields)
        if not unnamed:
            return
        try:
            self._estimated(table, queries.batches(table, None, SMALLEST_BATCHES))
        except AccessDenied:
            raise
        except ActionRequired as error:
            lines = "\n".join(f"  - {each}" for each in unnamed)
            remedy = "give each a name in the source: `SELECT COUNT(*) AS visits`, `STRUCT(1 AS n)`"
            raise SchemaMismatch(
                f"{table.settings.name}: the source has columns without a name:\n{lines}\n"
                f"Remedy: {remedy}."
            ) from error

    def check_key(self, source: SourceTable) -> None:
        """Raises SchemaMismatch when the text of a view behind the source shows an unstable key.

        `describe` has looked at the source's own text.
        """
        table = _own(source)
        settings = table.settings
        own = settings.query or f"SELECT * FROM `{table.path}`"
        if table.settings.is_sharded or not table.keys_may_change:
            return
        behind = views.texts_behind(self._session, own, self._session.project, settings.name)
        text = " ".join(f"({each})" for each in (own, *behind))
        for part in settings.key_parts:
            made = _with_own_sql(settings, part, text)
            _check_made_by(settings, part, unstable_column(made, part))

    # -- count

    def histogram(
        self,
        source: SourceTable,
        window: Window,
        watermark: int,
        rows: int,
        integers: Sequence[str] = (),
    ) -> Histogram:
        """Count rows and keys in the window. Fingerprints cover rows up to `watermark`.

        rows: an hour of more rows is counted in finer buckets. integers: columns whose range is
        looked at.
        """
        table = _own(source)
        query = queries.histogram(table, window, watermark, rows, integers)
        buckets = []
        texts = []
        span = Range(window.start, window.end, with_all_cursors=True)
        for row in self._rows(table, query, span=span):
            start, n_rows, latest_per_key, keyless, max_cursor, fingerprint, deletions, text = row
            if start is None:
                texts.append(text)
                continue
            newest = BEGINNING if max_cursor is None else max_cursor
            bucket = Bucket(start, n_rows, latest_per_key, keyless, newest, fingerprint, deletions)
            buckets.append(bucket)
        found = facts.read(texts)
        cursorless = int(found["cursorless"])
        if table.settings.is_sharded and not buckets and not cursorless:
            self._check_days(table)
        wide = facts.wide(found, integers)
        return Histogram(tuple(buckets), cursorless, facts.clock(found), wide)

    def wide_integers(self, source: SourceTable, integers: Sequence[str]) -> frozenset[str]:
        """Those of the columns that hold an integer beyond 32 bits."""
        if not integers:
            return frozenset()
        table = _own(source)
        texts = [text for (text,) in self._rows(table, queries.ranges(table, integers))]
        return facts.wide(facts.read(texts), integers)

    def count(self, source: SourceTable) -> int:
        """How many rows the source shows altogether."""
        table = _own(source)
        if self._counted is None:
            ((self._counted,),) = self._rows(table, queries.row_count(table))
        return self._counted

    def totals(self, source: SourceTable) -> Totals:
        """Count rows and keys of a table that has a key and no cursor."""
        table = _own(source)
        (row,) = self._rows(table, queries.totals(table))
        totals = Totals(*row)
        self._counted = totals.rows
        return totals

    def distinct_rows(self, source: SourceTable, window: Window | None) -> int:
        """How many different rows have a key. window None: of the whole source."""
        table = _own(source)
        span = Range(window.start, window.end) if window else None
        ((rows,),) = self._rows(table, queries.distinct_rows(table, window), span=span)
        return int(rows)

    def faults(self, source: SourceTable, window: Window | None) -> Faults:
        """Count the rows that may not be sent. window None: of the whole source."""
        table = _own(source)
        if not table.faults:
            return Faults()
        span = Range(window.start, window.end) if window else None
        (row,) = self._rows(table, queries.faults(table, window), span=span)
        rows, *counts = row
        reasons = (fault.reason for fault in table.faults)
        found = {reason: n for reason, n in zip(reasons, counts, strict=True) if n}
        return Faults(rows, found)

    def prunes(self, source: SourceTable, window: Window) -> bool:
        """Whether reading the window reads less than reading the whole source.

        What BigQuery has processed is compared with a dry run over everything. The dry run of a
        clustered table says too much, and what was processed is right.
        """
        table = _own(source)
        if is_partitioned_by_cursor(table):
            return True
        everything = Window(BEGINNING, window.end)
        query = queries.histogram(table, everything, BEGINNING, table.slice_rows)
        return self._bytes_processed < WHOLE_SHARE * self._estimated(table.whole(), query)

    def is_empty(self, source: SourceTable, since: int) -> bool:
        """Whether the source shows no row at all; of daily tables, none from `since` on."""
        table = _own(source)
        return not list(self._rows(table, queries.first_row(table, since)))

    def keys_since(
        self, source: SourceTable, window: Window, keys: Sequence[str]
    ) -> dict[str, KeyState]:
        """The keys of which a row exists from the window's start on, each with its state."""
        table = _own(source)
        found: dict[str, KeyState] = {}
        for first in range(0, len(keys), MAX_KEYS):
            query = queries.keys_since(table, window, keys[first : first + MAX_KEYS])
            for key, in_window, is_deleted in self._rows(table, query):
                found[key] = _key_state(in_window=in_window, is_deleted=is_deleted)
        return found

    # -- stage

    def stage(
        self, source: SourceTable, plan: StagePlan | None, limits: BatchSettings
    ) -> str | None:
        """Read the plan's slices in one go, if reading them one by one would take several queries.

        plan None: the whole source. Returns the stage's name, None when there is none.
        """
        table = _own(source)
        if plan is None:
            plan = StagePlan(None, Window(BEGINNING, BEGINNING), (self._whole(table),))
        if self._stages is None or not self._is_staged(table, plan.staged):
            return None
        try:
            self._stage, size = self._stages.create(table, plan, limits)
        except TooManyBytes as error:
            allowed = self._really_read.allow(table, _range(table, plan.staged), error)
            self._stage, size = self._stages.create(table, plan, limits, allowed)
        self._bytes_processed += size
        return self._stage.name

    def _is_staged(self, table: BigQueryTable, slices: Sequence[Slice]) -> bool:
        """Whether the slices are read in one go."""
        several = sum(part.parts for part in slices) > 1
        return self._stages is not None and several and self._stages.can_hold(table)

    def why_not_staged(self, source: SourceTable, slices: Sequence[Slice]) -> str | None:
        """Why each of several slices is read by a query of its own. None: they are not."""
        table = _own(source)
        several = sum(part.parts for part in slices) > 1
        if self._stages is None or not several or self._stages.can_hold(table):
            return None
        return f"the source is in {table.location} and the ledger in {self._stages.location}"

    def staged(self, source: SourceTable, name: str, token: str) -> StagePlan | None:
        """The plan of a stage that an earlier run has made, which is read from now on.

        None when there is no such stage any more, or when it is for another token.
        """
        found = self._stages and self._stages.find(_own(source).settings.name, name)
        if not found or found[1].token != token:
            return None
        self._stage, plan = found
        return plan

    def drop_stages(self, table: TableSettings, keep: str | None = None) -> None:
        """Drop the stages of a table but the one called `keep`, and all that are past their time.

        Nothing depends on it: a stage that stays expires by itself.
        """
        if self._stages is None:
            return
        with suppress(SyncError):
            self._stages.drop_left(table.name, keep)

    def _whole(self, table: BigQueryTable) -> Slice:
        """The whole source as a slice, in so many shards that a worker can sort each."""
        rows = table.rows
        if rows is None or self._counted is not None:
            rows = self.count(table)
        return whole(rows, table.sorted_rows)

    # -- read

    def batches(
        self, source: SourceTable, part: Slice | None, limits: BatchSettings
    ) -> Iterator[Batch]:
        """The rows of a slice as finished batches, in (cursor, key) order.

        One row per key: the one with the newest cursor. part None: the whole source.
        """
        table = _own(source)
        part = part or self._whole(table)
        span = _range(table, (part,))
        for query in self._reads(table, part, limits):
            rows = self._rows(table, query, PAGE_BATCHES, span)
            for number, (count, flagged, newest, documents) in enumerate(rows):
                if number % TRIM_EVERY == 0:
                    trim_heap()
                yield Batch(documents.encode(), count, newest, flagged)

    def _reads(self, table: BigQueryTable, part: Slice, limits: BatchSettings) -> Iterator[Query]:
        """The queries that read a slice, from the stage where it is staged."""
        if self._stage and part in self._stage.shards:
            yield from self._stage.queries(part)
            return
        for shard in range(part.parts):
            yield queries.batches(table, part, limits, shard)

    def _rows(
        self,
        table: BigQueryTable,
        query: Query,
        page_size: int | None = None,
        span: Range | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        """The result's rows, page by page. span: the range that the query reads, if it is known."""
        name = table.settings.name
        try:
            result = self._session.pages(query, name, page_size)
        except TooManyBytes as error:
            allowed = self._really_read.allow(table, span, error)
            result = self._session.pages(query, name, page_size, allowed)
        self._bytes_processed += result.total_bytes_processed or 0
        with self._session.running(query, name):
            for row in result:
                yield row.values()

    # -- estimate

    def estimate(self, source: SourceTable, window: Window, slices: Sequence[Slice]) -> int:
        """Bytes that BigQuery would read to count the window and to load its slices.

        Those of a stage are read once more, from there: about as many bytes as its columns have.
        """
        table = _own(source)
        count = self._estimated(table, queries.histogram(table, window, BEGINNING, SLICE_ROWS))
        if not slices:
            return count
        if self._is_staged(table, slices):
            staged = stage_queries.select(table, slices, SMALLEST_BATCHES, "")
            return count + 2 * self._estimated(table, staged)
        sample = _sample(slices)
        load = 0
        for part in sample:
            query = queries.batches(table, part, SMALLEST_BATCHES)
            load += self._estimated(table, query) * part.parts
        return count + load * len(slices) // len(sample)

    def check_bytes(self, source: SourceTable, slices: Sequence[Slice] | None) -> None:
        """Raises TooManyBytes when a query that loads the slices would be refused.

        slices None: the whole source.
        """
        table = _own(source)
        for query, span in self._loads(table, slices):
            self._really_read.check(table, span, self._estimated(table, query))

    def _loads(
        self, table: BigQueryTable, slices: Sequence[Slice] | None
    ) -> Iterator[tuple[Query, Range | None]]:
        """The queries that load slices, or some of many, with what each reads."""
        if slices is None:
            yield queries.batches(table, None, SMALLEST_BATCHES), None
        elif self._is_staged(table, slices):
            staged = stage_queries.select(table, slices, SMALLEST_BATCHES, "")
            yield staged, _range(table, slices)
        else:
            for part in _sample(slices):
                yield queries.batches(table, part, SMALLEST_BATCHES), _range(table, (part,))

    def estimate_whole(self, source: SourceTable) -> int:
        """Bytes that BigQuery would read to count and to load everything."""
        table = _own(source)
        part = self._whole(table)
        count = self._estimated(table, queries.row_count(table))
        load = self._estimated(table, queries.batches(table, None, SMALLEST_BATCHES))
        times = 2 if self._is_staged(table, (part,)) else part.parts
        return count + times * load

    def _estimated(self, table: BigQueryTable, query: Query) -> int:
        return self._session.dry_run(query, table.settings.name).bytes_processed


def _sample(slices: Sequence[Slice]) -> Sequence[Slice]:
    """Some of the slices. The others cost as much."""
    step = max(1, -(-len(slices) // ESTIMATED_SLICES))
    return slices[::step]


def _range(table: BigQueryTable, slices: Sequence[Slice]) -> Range | None:
    """What is read to load slices, later rows of the same keys included. None: everything."""
    if table.cursor is None:
        return None
    ends = [part.superseded_after or part.end for part in slices]
    return Range(slices[0].start, max(ends))


def _own(source: SourceTable) -> BigQueryTable:
    """The description that `describe` of this adapter made."""
    assert isinstance(source, BigQueryTable), "a source reads only what it has described itself"
    return source


def _named(table: TableSettings, fields: Sequence[Field], required: set[str]) -> Iterator[Field]:
    """The fields under their Aito names. A dry run does not say which columns are REQUIRED."""
    names = queries.listed(table)
    first = len(fields) - len(names)
    yield from _of_star(table, fields[:first], required)
    for field, name in zip(fields[first:], names, strict=True):
        is_source_column = table.named[name].sql is None
        yield replace(field, name=name, required=is_source_column and name.lower() in required)


def _of_star(table: TableSettings, fields: Sequence[Field], required: set[str]) -> Iterator[Field]:
    """All source columns less those that are left out or made by SQL.

    Raises SchemaMismatch when the configuration names a column that the source lacks.
    """
    _check_star(table, [field.name for field in fields])
    left_out = {name.lower() for name in table.left_out}
    named = {name.lower(): name for name in table.named}
    for field in fields:
        key = field.name.lower()
        name = named.get(key, field.name)
        is_made = name in table.named and table.named[name].sql is not None
        if key not in left_out and not is_made:
            yield replace(field, name=name, required=key in required)


def _check_star(table: TableSettings, names: Sequence[str]) -> None:
    """Raises SchemaMismatch for columns that the source lacks.

    One that is left out may be gone from the source, unless its name is almost another one's.
    """
    if not table.takes_all:
        return
    known = {name.lower() for name in names}
    settled = {name.lower() for name in (*table.named, *table.left_out)}
    others = [name for name in names if name.lower() not in settled]
    cursor = table.cursor.column if table.cursor else None
    problems = [
        f"{table.at('columns', name)}: not a column of the source; {suggest(name, others)}"
        for name, made in table.named.items()
        if made.sql is None and name != cursor and name.lower() not in known
    ]
    problems += [
        f"{table.at('columns', '*')}: except {name}: not a column of the source;"
        f" {suggest(name, others)}"
        for name in table.left_out
        if name.lower() not in known and close(name, others)
    ]
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise SchemaMismatch(f"{table.name}: `columns` and the source differ:\n{lines}")


def _unnamed(fields: Sequence[Field]) -> list[str]:
    """Columns and struct members without a name."""
    columns_without = [
        f"column {place} (BigQuery calls it {field.name})"
        for place, field in enumerate(fields, 1)
        if re.fullmatch(UNNAMED_COLUMN, field.name)
    ]
    return columns_without + _unnamed_members(fields)


def _unnamed_members(fields: Sequence[Field]) -> list[str]:
    found = []
    for field in fields:
        for place, member in enumerate(field.fields, 1):
            if re.fullmatch(UNNAMED_MEMBER, member.name):
                found.append(f"member {place} of the struct {field.name}")
        found += _unnamed_members(field.fields)
    return found


def _field(field: bigquery.SchemaField) -> Field:
    return Field(
        name=field.name,
        type=API_NAMES.get(field.field_type, field.field_type),
        repeated=field.mode == "REPEATED",
        required=field.mode == "REQUIRED",
        fields=tuple(_field(inner) for inner in field.fields),
    )


def _key_state(*, in_window: bool, is_deleted: bool) -> KeyState:
    if not in_window:
        return KeyState.LATER
    return KeyState.DELETED if is_deleted else KeyState.PRESENT


def _check_deletes(table: TableSettings, fields: Sequence[Field]) -> None:
    """Raises SchemaMismatch when `deletes` is no condition."""
    if table.deletes is None:
        return
    found = next(field for field in fields if field.name == "sync_deleted")
    if found.type == "BOOLEAN" and not found.repeated:
        return
    right = DELETE_CONDITIONS.get(found.type, "{0} IS NOT NULL").format(table.deletes)
    kind = f"ARRAY<{found.type}>" if found.repeated else found.type
    raise SchemaMismatch(
        f"{table.name}: deletes is {kind}; it must be a condition or a BOOL column, such as"
        f' "{right}"'
    )


def _cursor(table: TableSettings, fields: Sequence[Field]) -> Field | None:
    """The cursor's field. Raises SchemaMismatch when it is no moment, or not as configured."""
    if table.cursor is None:
        return None
    found = next(field for field in fields if field.name == "sync_cursor")
    problem = _cursor_problem(table, table.cursor, found)
    if problem:
        place = table.at("cursor", "source")
        raise SchemaMismatch(f"{table.name}: {place}: {table.cursor.source} {problem}")
    return found


def _cursor_problem(table: TableSettings, cursor: CursorSettings, found: Field) -> str | None:
    """Why a column cannot be the cursor, and what would be right."""
    if found.type == "STRING" and not found.repeated:
        right = _made_by(table, cursor.source, "TIMESTAMP({0})")
        number = "" if table.is_sharded else "; where it holds an epoch, CAST(... AS INT64) instead"
        return f"is STRING, which tells no order of time; {right}{number}"
    if found.type in FRACTIONS and not found.repeated:
        right = _made_by(table, cursor.source, "CAST({0} AS INT64)")
        return (
            f"is {found.sql_type}; it must be TIMESTAMP, DATETIME, DATE or INT64 of an epoch. Where"
            f" it holds an epoch, {right}"
        )
    if found.type not in CURSOR_TYPES or found.repeated:
        return f"is {found.sql_type}; it must be TIMESTAMP, DATETIME, DATE or INT64 of an epoch"
    if cursor.unit != "s" and found.type != "INTEGER":
        return f"is {found.type}, and cursor.unit is for an INT64; leave `unit` out"
    if cursor.zone != "UTC" and found.type not in ("DATETIME", "DATE"):
        return f"is {found.type}, and cursor.zone is for a DATETIME or DATE; leave `zone` out"
    return None


def _made_by(table: TableSettings, column: str, expression: str) -> str:
    """How to make a cursor of a column by an expression."""
    name = quoted(column)
    if table.is_sharded:  # a query would read all its tables
        return "take a column that tells the moment, such as event_timestamp with `unit: us`"
    if table.query:
        return f"write `{expression.format(column)} AS {column}` into the query"
    where = f" WHERE {table.where}" if table.where else ""
    made = expression.format(name)
    select = f"SELECT * REPLACE({made} AS {name}) FROM `{table.source}`{where}"
    return f'instead of `source` write  query: "{select}"'


def _layout(table: TableSettings, metadata: bigquery.Table | None, prune: bool) -> BigQueryTable:
    """What the metadata says, without the columns."""
    if metadata is None:
        return BigQueryTable(table, path=None, prune=prune, skips_blocks=not table.is_sharded)
    path = f"{metadata.project}.{metadata.dataset_id}.{metadata.table_id}"
    rows = None if table.where else metadata.num_rows  # None for a view
    return BigQueryTable(
        table,
        path,
        partitioning=_partitioning(metadata),
        prune=prune,
        is_view=metadata.table_type in VIEWS,
        rows=rows or None,
        skips_blocks=_skips_blocks(table, metadata),
    )


def _skips_blocks(table: TableSettings, metadata: bigquery.Table) -> bool:
    """Whether BigQuery may skip blocks by the cursor. Of a view nobody knows."""
    if metadata.table_type in VIEWS:
        return True
    clustered = [name.lower() for name in metadata.clustering_fields or ()]
    return table.cursor is not None and table.cursor.source.lower() in clustered


def _check_key_is_stable(table: TableSettings, metadata: bigquery.Table | None) -> None:
    """Raises SchemaMismatch when the text of a SELECT shows a key that changes by itself."""
    if table.mode == "replace":
        return  # all rows are made anew together
    text = table.query or views.text_of(metadata)
    condition = f"WHERE {table.where}" if table.where else ""
    _check_not_sampled(table, sampling(f"{text} {condition}"))
    for part in table.key_parts:
        sql = table.named[part].sql if part in table.named else None
        _check_made_by(table, part, unstable_function(plain(sql)) if sql else "")
        _check_made_by(table, part, unstable_column(_with_own_sql(table, part, text), part))


def _check_not_sampled(table: TableSettings, found: str) -> None:
    """Raises SchemaMismatch when the source shows other rows at each reading."""
    if found:
        column = table.key_parts[0]
        raise SchemaMismatch(
            f"{table.name}: {found} shows other rows at each reading, so each run would load and"
            " delete some. Choose rows by their key, such as"
            f" MOD(ABS(FARM_FINGERPRINT(CAST({column} AS STRING))), 10) = 0"
        )


def _with_own_sql(table: TableSettings, part: str, text: str) -> str:
    """A SELECT with a column of the configuration in front."""
    sql = table.named[part].sql if part in table.named else None
    return f"SELECT ({sql}) AS {part} FROM ({text})" if sql else text


def _check_made_by(table: TableSettings, part: str, found: str) -> None:
    """Raises SchemaMismatch when a function was found that makes the key another one each time."""
    if found:
        raise SchemaMismatch(
            f"{table.name}: the key {part} is made by {found}. It is another one at each"
            " reading, so each run would load rows again. Take columns that stay with the row,"
            " such as key: [order_id, line]"
        )


def _required(metadata: bigquery.Table | None) -> set[str]:
    """Names of the REQUIRED columns, in small letters."""
    if metadata is None:
        return set()
    return {field.name.lower() for field in metadata.schema if field.mode == "REQUIRED"}


def _row_bytes(metadata: bigquery.Table | None) -> float | None:
    """Mean stored bytes of a row, where BigQuery knows them: not of a view."""
    if metadata is None or not metadata.num_rows or not metadata.num_bytes:
        return None
    return float(metadata.num_bytes / metadata.num_rows)


def _partitioning(metadata: bigquery.Table) -> Partitioning | None:
    """How a table is partitioned. BigQuery compares names of columns without case."""
    time, span = metadata.time_partitioning, metadata.range_partitioning
    if time:
        column = _column_of(metadata, time.field) if time.field else None
        return Partitioning(column, time.type_ or "DAY", _requires_filter(metadata))
    if span:
        column = _column_of(metadata, span.field)
        return Partitioning(column, "RANGE", _requires_filter(metadata))
    return None


def _column_of(metadata: bigquery.Table, name: str) -> Field:
    """The column of this name, whatever its case."""
    return next(_field(each) for each in metadata.schema if is_same_name(each.name, name))


def _requires_filter(metadata: bigquery.Table) -> bool:
    """Older tables say it in their time partitioning."""
    time = metadata.time_partitioning
    of_time = time.to_api_repr().get("requirePartitionFilter") if time else False
    return bool(metadata.require_partition_filter or of_time)
