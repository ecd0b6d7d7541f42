"""Rejects: rows that the target will not take. They are recorded before any later row is sent.

So the watermark never passes a row that nobody knows of.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sync.base import reasons
from sync.base.errors import TooManyRejects
from sync.base.redact import redact
from sync.base.words import counted
from sync.config import TableSettings
from sync.model.batches import Row
from sync.model.ports import SourceTable
from sync.model.records import OpenReject, RejectRecord, RowId
from sync.pipeline.outcome import MAX_REASONS
from sync.pipeline.table_run import TableRun

NOBODY = RowId(None, None)  # what rows without a cursor are recorded under
# An open reject is written anew before its partition expires: Terraform keeps those for 90 days.
RENEW_AFTER = timedelta(days=60)
MIN_REJECTS = 10  # so few bad rows do not stop a table, whatever their share
MAX_DOCUMENT_LENGTH = 500_000  # characters; each may take 12 bytes once it is escaped


@dataclass(frozen=True)
class Reject:
    """A row and the reason why it is not taken. The reason may quote a value."""

    row: Row
    reason: str


class RejectBook:
    """Records the rejects of one table in one run, and stops the table when they are too many."""

    def __init__(self, run: TableRun, source: SourceTable, count_rows: Callable[[], int]) -> None:
        """count_rows: how many rows the run will read. It is called when there are many rejects."""
        self._run = run
        self._source = source
        self._count_rows = functools.cache(count_rows)
        self._known: dict[RowId, OpenReject] | None = None  # read once there is a reject
        self._new = 0  # rejects that no successful run has met before
        self._ids: set[RowId] = set()
        self._recorded: set[RowId] = set()  # of these: recorded in this run
        self._names = frozenset([run.name, *(column.name for column in source.columns)])
        run.progress.names |= self._names

    def add(self, rejects: Sequence[Reject]) -> None:
        """Record rejects in the ledger, each once over all runs, and again with a new reason."""
        new: list[RejectRecord] = []
        for reject in rejects:
            row_id = self.row_id(reject.row)
            self._run.progress.rejected += 1
            self._run.progress.reject_reasons[reject.reason] += 1
            self._ids.add(row_id)
            known = self._known_reject(row_id)
            if known is None or self._is_outdated(known, reject):
                new.append(self._record(row_id, reject, known))
                self._recorded.add(row_id)
            self._new += known is None or not known.excused
        self._run.ledger.record_rejects(new)

    def foresee(self, reject: Reject) -> None:
        """Count a row that a run would reject. Records nothing."""
        self._run.progress.rejected += 1
        self._run.progress.reject_reasons[reject.reason] += 1
        self._ids.add(self.row_id(reject.row))

    def recall(self, start: int, end: int) -> None:
        """Count the rejects of earlier runs with a cursor in [start, end) as those of this run.

        It reads on where one of them stopped.
        """
        for each in self.earlier():
            cursor = each.row_id.cursor
            if cursor is not None and start <= cursor < end:
                self._ids.add(each.row_id)

    def add_cursorless(self, rows: int) -> None:
        """Record rows without a cursor. They belong to no window, so each run reports them."""
        progress = self._run.progress
        reason = reasons.rows_without_cursor(rows, self._run.cursor)
        progress.fetched += rows
        progress.rejected += rows
        progress.reject_reasons[reason] += rows
        self._ids.add(NOBODY)
        self._run.ledger.record_rejects([_summary(self._run, reason)])

    def check_share(self) -> None:
        """Raises TooManyRejects past `rejects.max_share`."""
        if self._new < MIN_REJECTS:
            return
        rows = max(self._count_rows(), self._run.progress.fetched)
        if is_too_many(self._run.table, self._new, rows):
            raise self.too_many(self._new, rows)

    def too_many(self, rejected: int, rows: int) -> TooManyRejects:
        """The error of a table that is stopped. It names every column at fault at once."""
        run = self._run
        faults = run.source.faults(self._source, run.progress.window)
        found = Counter(dict(faults.by_reason))
        for reason, count in run.progress.reject_reasons.items():
            shown = redact(reason, self._names)
            if shown not in faults.by_reason:
                found[shown] += count
        return too_many(run.table, rejected, rows, found)

    def holds(self, row_id: RowId) -> bool:
        """Whether a row was rejected in this run."""
        return row_id in self._ids

    def keys(self) -> set[str]:
        """The keys of which a row was rejected in this run."""
        return {row_id.key for row_id in self._ids if row_id.key is not None}

    def is_new(self, row: Row) -> bool:
        """Whether no run before this one has rejected the row."""
        return self._known_reject(self.row_id(row)) is None

    def count_between(self, start: int, end: int) -> int:
        """How many rows of this run with a cursor in [start, end) and a key were rejected."""
        return sum(
            start <= row_id.cursor < end
            for row_id in self._ids
            if row_id.key is not None and row_id.cursor is not None
        )

    def earlier(self) -> Sequence[OpenReject]:
        """The rejects that were open before this run."""
        if self._known is None:
            run = self._run
            found = run.ledger.open_rejects(run.name, run.clock.utc())
            self._known = {each.row_id: each for each in found}
        return list(self._known.values())

    def met_but_not_excused(self) -> list[OpenReject]:
        """The earlier rejects that this run met, did not record again, and no good run has met."""
        met = self._ids - self._recorded
        return [each for each in self.earlier() if each.row_id in met and not each.excused]

    def row_id(self, row: Row) -> RowId:
        """Key and cursor, by which a row is recognised again."""
        table = self._run.table
        cursor = row.values.get(self._run.cursor) if table.cursor else None
        return RowId(row.key(table.key_name), cursor)

    def _known_reject(self, row_id: RowId) -> OpenReject | None:
        """The open reject of an earlier run. A row without a key cannot be recognised."""
        if row_id.key is None:
            return None
        self.earlier()
        assert self._known is not None
        return self._known.get(row_id)

    def _is_outdated(self, known: OpenReject, reject: Reject) -> bool:
        """Whether the record is old, or the reason differs by more than the values it quotes."""
        reasons_differ = redact(known.reason, self._names) != redact(reject.reason, self._names)
        return reasons_differ or is_old(known, self._run.clock.utc())

    def _document(self, row: Row) -> str | None:
        """The document to keep in the ledger; None when the configuration leaves it out."""
        keeps_document = self._run.table.rejects.keep_document
        return _storable(row.document) if keeps_document else None

    def _record(self, row_id: RowId, reject: Reject, known: OpenReject | None) -> RejectRecord:
        return RejectRecord(
            run_id=self._run.run_id,
            table=self._run.name,
            key=row_id.key,
            cursor=row_id.cursor,
            document=self._document(reject.row),
            reason=reject.reason,
            rejected_at=after(known, self._run.clock.utc()).isoformat(),
        )


def after(known: OpenReject | None, now: datetime) -> datetime:
    """Now, or just after an earlier record: the latest one of a key counts."""
    return now if known is None else max(now, known.rejected_at + timedelta(microseconds=1))


def is_old(reject: OpenReject, now: datetime) -> bool:
    """Whether the record of an open reject may soon expire."""
    return now - reject.rejected_at > RENEW_AFTER


def _summary(run: TableRun, reason: str) -> RejectRecord:
    return RejectRecord(run.run_id, run.name, None, None, None, reason, run.clock.timestamp())


def _storable(document: str) -> str:
    """A document as a streaming insert can take it: those end at 10 MB."""
    if len(document) <= MAX_DOCUMENT_LENGTH:
        return document
    beginning = {"first_characters": document[:MAX_DOCUMENT_LENGTH], "of": len(document)}
    return json.dumps(beginning, ensure_ascii=False)


def is_too_many(table: TableSettings, rejected: int, rows: int) -> bool:
    """Whether a table must stop because of its rejects. Few of them never stop it."""
    return rejected >= MIN_REJECTS and rejected > table.rejects.max_share * rows


def too_many(
    table: TableSettings, rejected: int, rows: int, by_reason: Counter[str]
) -> TooManyRejects:
    """The error of a table that is stopped because of its rejects."""
    frequent = by_reason.most_common(MAX_REASONS)
    listed = "; ".join(f"{reason} ({counted(count, 'row')})" for reason, count in frequent)
    return TooManyRejects(
        f"{table.name}: {rejected:,} of {rows:,} rows were rejected, more than rejects.max_share "
        f"{table.rejects.max_share:g} allows: {listed}. Correct the source or the columns in the "
        "configuration, or raise rejects.max_share"
    )
