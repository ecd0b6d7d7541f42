"""BigQuery as a source: describes a table, counts its rows by time, reads them as batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import pybase64

from sync.base.errors import SyncError, TooManyBytes
from sync.bigquery import facts, queries, stage_queries
from sync.bigquery.describe import SMALLEST_BATCHES, Describer
from sync.bigquery.predicates import is_partitioned_by_cursor
from sync.bigquery.really_read import Range, ReallyRead
from sync.bigquery.session import PAGE_ROWS, BigQuerySession
from sync.bigquery.stage import Stage, Stages, whole
from sync.bigquery.table import BigQueryTable
from sync.bigquery.wire import trim_heap
from sync.config import BatchSettings, TableSettings
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

# Of documents in a page: memory holds several copies of one.
PAGE_BYTES = 1_500_000
WHOLE_SHARE = 0.9  # of the bytes of everything: a run that has read so much has read all
MAX_KEYS = 50_000  # in one query: BigQuery takes requests of 10 MB
ESTIMATED_SLICES = 8  # slices that are estimated by a dry run; the others cost as much
TRIM_EVERY = 5  # batches


class BigQuerySource:
    """Reads one table in one run. Implements Source."""

    def __init__(
        self, session: BigQuerySession, now: int | None = None, stages: Stages | None = None
    ) -> None:
        """now: when the run began, epoch seconds.

        stages: where slices may be staged. None: each is read by a query of its own.
        """
        self._session = session
        self._describer = Describer(session, now)
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
        return self._describer.describe(table, prune=prune)

    def check_key(self, source: SourceTable) -> None:
        """Raises SchemaMismatch when the text of a view behind the source shows an unstable key.

        `describe` has looked at the source's own text.
        """
        self._describer.check_key(_own(source))

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
            self._describer.check_days(table)
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

    def faults(
        self, source: SourceTable, window: Window | None, spans: Sequence[Window] | None = None
    ) -> Faults:
        """Count the rows that may not be sent. window None: of the whole source.

        spans: parts of the window that do not touch; only the newest rows of a key that lie in one
        of them count.
        """
        table = _own(source)
        if not table.faults:
            return Faults()
        span = Range(window.start, window.end) if window else None
        (row,) = self._rows(table, queries.faults(table, window, spans), span=span)
        rows, *counts = row
        reasons = (fault.reason for fault in table.faults)
        found = {reason: n for reason, n in zip(reasons, counts, strict=True) if n}
        return Faults(rows, found)

    def unfit_keys(
        self, source: SourceTable, window: Window, spans: Sequence[Window] | None
    ) -> list[str]:
        """The keys of the rows that `faults` counts, as text."""
        table = _own(source)
        if not table.faults:
            return []
        query = queries.unfit_keys(table, window, spans)
        span = Range(window.start, window.end)
        return [key for (key,) in self._rows(table, query, span=span)]

    def deleted_keys(self, source: SourceTable, window: Window, most: int) -> list[str]:
        """Keys whose last row of the window deletes them, as text. At most so many of them."""
        table = _own(source)
        rows = self._rows(
            table, queries.deleted_keys(table, window), span=Range(window.start, window.end)
        )
        return [key for (key,) in itertools.islice(rows, most)]

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

    def stage(self, source: SourceTable, plan: StagePlan | None) -> str | None:
        """Read the plan's slices in one go, if reading them one by one would take several queries.

        plan None: the whole source. Returns the stage's name, None when there is none.
        """
        table = _own(source)
        if plan is None:
            plan = StagePlan(None, Window(BEGINNING, BEGINNING), (self._whole(table),))
        if self._stages is None or not self._is_staged(table, plan.staged):
            return None
        try:
            self._stage, size = self._stages.create(table, plan)
        except TooManyBytes as error:
            allowed = self._really_read.allow(table, _range(table, plan.staged), error)
            self._stage, size = self._stages.create(table, plan, allowed)
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
        in_page = _batches_in_page(table, limits)
        for query in self._reads(table, part, limits):
            rows = self._rows(table, query, in_page, span)
            for number, (count, flagged, newest, documents) in enumerate(rows):
                if number % TRIM_EVERY == 0:
                    trim_heap()
                yield Batch(pybase64.b64decode(documents), count, newest, flagged)

    def _reads(self, table: BigQueryTable, part: Slice, limits: BatchSettings) -> Iterator[Query]:
        """The queries that read a slice, from the stage where it is staged."""
        if self._stage and part in self._stage.shards:
            yield from self._stage.queries(table, part, limits)
            return
        for shard in range(part.parts):
            yield queries.batches(table, part, limits, shard)

    def _rows(
        self,
        table: BigQueryTable,
        query: Query,
        page_size: int = PAGE_ROWS,
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
            staged = stage_queries.select(table, slices, "")
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
            staged = stage_queries.select(table, slices, "")
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


def _batches_in_page(table: BigQueryTable, limits: BatchSettings) -> int:
    """How many batches a page holds. A request for a page takes as long as sending a batch."""
    batch_bytes = min(limits.bytes, limits.rows * table.document_bytes)
    return max(1, int(PAGE_BYTES / batch_bytes))


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


def _key_state(*, in_window: bool, is_deleted: bool) -> KeyState:
    if not in_window:
        return KeyState.LATER
    return KeyState.DELETED if is_deleted else KeyState.PRESENT
