"""Sends batches to one Aito table so that each row arrives once, or is recorded as a reject.
Nothing else writes rows.

Every answer of an insert has its consequence here:
    done       the rows count as uploaded
    unknown    look which keys are there, send only the others
    refused    halve the batch down to the rows at fault, record them, send the rest; 413 halves the batch size, too
    500 again  like refused, but a row is only blamed once another was taken: else it is Aito that
    is ill
A refused row is in the ledger before any later row is sent: the watermark never passes a row that
nobody knows of.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from sync.base.errors import OutcomeUnknown, Refused, TooManyRejects, Unavailable
from sync.bigquery.queries import Parameter
from sync.model import batches
from sync.model.batches import Batch, Row
from sync.model.ports import Work, one_of
from sync.model.window import BEGINNING

ATTEMPTS = 5
PAUSE_SECONDS = 0.5  # doubles with each attempt
SUSPECTS = 10  # so many rows refused with 500, none taken and none there yet: not the rows are bad
TOO_LARGE = 413
DOCUMENT_LENGTH = 500_000  # characters, each of up to 12 bytes once escaped
ABOUT_ROWS = (
    400,
    TOO_LARGE,
    422,
)  # any other refusal is about the table or the address, and blames no row
Reject = tuple[Row, str]  # and why
Known = dict[tuple[str | None, int | None], bool]
# Rejects that are on record; `excused` where a run that did not fail met them, so that they are no
# sign of worse.
KNOWN = """
SELECT key, cursor, LOGICAL_OR(run_id NOT IN (SELECT run_id FROM {runs} WHERE `table` = @table AND status = 'failed'))
  AS excused
FROM {rejects} WHERE `table` = @table AND cursor >= @start AND key IS NOT NULL GROUP BY key, cursor"""


class Sender:
    """The way into one Aito table for one run.

    `table`: its name there, for `replace` not the configured one.
    """

    def __init__(
        self,
        work: Work,
        columns_faults: Sequence[tuple[str, str]],
        planned: int,
        table: str | None = None,
    ) -> None:
        self._work = work
        self._faults = columns_faults
        self._planned = planned
        self._table = table or work.table.name
        self._size = work.settings.batch.bytes
        self._suspects: list[Reject] = []
        self._outdated: list[Row] = []  # suspects under whose keys Aito may hold another state
        self._taken = 0  # rows that Aito took
        self._witness: str | None = None  # a document that Aito holds
        self._known: Known = {}
        self._known_from: int | None = None  # the cursor from which on `_known` was read
        self._counted = 0  # rejects of this run, less those that a run before it was content with

    def send(self, batch: Batch, *, replace: bool = False) -> None:
        """Deliver a batch. replace: what Aito holds under the same keys goes in the same step.

        Raises TooManyRejects, LeaseLost, Unavailable, AccessDenied.
        """
        if batch.flagged:
            batch = self._without_flagged(batch, replace)
        for piece in batches.within(batch, self._size):
            self._deliver(piece, replace)

    def vouch(self, document: str) -> None:
        """Tell of a document that Aito holds just so."""
        self._witness = document

    def finish(self) -> None:
        """Settle rows that were refused with a server error, no row being taken after them. Raises
        Unavailable.

        A row that Aito holds is put in its own place once more: if that is taken, the others are to
        blame. Where none is known, those are that were to blame before.
        """
        if not self._suspects:
            return
        if self._witness is not None and self._work.table.key is not None:
            self._work.lease.check()
            self._write(batches.of([self._witness]), replace=True)
        elif self._new_suspects():
            raise Unavailable(
                f"{self._table}: Aito answers 500 to {len(self._suspects)} rows and took no other;"
                " try again"
            )
        self._blame()

    def _without_flagged(self, batch: Batch, replace: bool) -> Batch:
        rows = batch.read()
        self._reject(
            [(row, self._faults[row.fault][1]) for row in rows if row.fault is not None], replace
        )
        return batches.of([row.document for row in rows if row.fault is None], batch.newest)

    def _deliver(self, batch: Batch, replace: bool, taken: int | None = None) -> None:
        """taken: of a part of a refused batch, how many rows Aito had taken when it first refused
        that.
        """
        if not batch.rows:
            return
        enough = (
            1 if taken is not None and batch.rows > 1 else 2
        )  # server errors; the whole had its second chance
        taken = self._taken if taken is None else taken
        for attempt in range(1, ATTEMPTS + 1):
            self._work.lease.check()
            try:
                self._write(batch, replace)
            except Refused as error:
                if error.http_status not in ABOUT_ROWS:
                    raise Unavailable(
                        f"{self._table}: {error}; the next run looks at the table again"
                    ) from error
                self._halve(batch, error, replace, taken)
                return
            except OutcomeUnknown as error:
                left = batch if replace else self._missing(batch)
                if left.rows == batch.rows and error.http_status == 500 and attempt >= enough:
                    self._halve(batch, error, replace, taken)
                    return
                batch = left
                if attempt == ATTEMPTS or not self._pause(attempt, error):
                    raise
            else:
                self._took(batch.rows, batch.last)
                return
            if not batch.rows:
                return

    def _write(self, batch: Batch, replace: bool) -> None:
        if replace:
            keys = [row.values[self._work.key] for row in batch.read()]
            self._work.target.replace(self._table, self._work.key, keys, batch)
        else:
            self._work.target.insert(self._table, batch)

    def _took(self, rows: int, last: str) -> None:
        self._work.report.uploaded += rows
        self._taken += rows
        self._witness = last
        self._blame()

    def _blame(self) -> None:
        self._record(self._suspects)
        self._forget(self._outdated)
        self._check_share()
        self._suspects.clear()
        self._outdated.clear()

    def _missing(self, batch: Batch) -> Batch:
        """What of a batch with an unknown outcome is not in Aito.

        What is there counts as uploaded.
        """
        if self._work.table.key is None:
            raise Unavailable(
                f"{self._table}: the outcome of an insert is unknown, and without a key nothing can"
                " be looked up"
            )
        rows = batch.read()
        columns = [self._work.key] + ([self._work.cursor] if self._work.table.cursor else [])
        keys = [row.values[self._work.key] for row in rows]
        hits = self._work.target.rows(
            self._table, one_of(self._work.key, keys), self._work.key, columns
        )
        there = {tuple(hit.get(c) for c in columns) for hit in hits}
        here = [row.document for row in rows if tuple(row.values.get(c) for c in columns) in there]
        left = [
            row.document for row in rows if tuple(row.values.get(c) for c in columns) not in there
        ]
        if here:
            self._took(len(here), here[-1])
        return batches.of(left, batch.newest)

    def _pause(self, attempt: int, error: OutcomeUnknown) -> bool:
        pause = PAUSE_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1)  # noqa: S311 - jitter, no secret
        if pause >= self._work.deadline.left:
            return False
        self._work.log(
            "batch_retried",
            f"{self._table}: {error}; looked, and sending what is missing",
            "WARNING",
            table=self._work.table.name,
            attempt=attempt,
        )
        self._work.clock.sleep(pause)
        return True

    def _halve(
        self, batch: Batch, error: Refused | OutcomeUnknown, replace: bool, taken: int
    ) -> None:
        if error.http_status == TOO_LARGE:
            self._size = max(1, len(batch.body) // 2)
        if batch.rows > 1:
            for half in batches.halves(batch):
                self._deliver(half, replace, taken)
            return
        (row,) = batch.read()
        if isinstance(error, Refused) or self._taken > taken:
            self._reject([(row, error.reason)], replace)
        else:
            self._suspect(row, error, replace)

    def _suspect(self, row: Row, error: OutcomeUnknown, replace: bool) -> None:
        self._suspects.append((row, error.reason))
        if replace:
            self._outdated.append(row)
        if self._witness is not None:
            self.finish()
        elif self._new_suspects() >= SUSPECTS:
            raise Unavailable(
                f"{self._table}: Aito answers 500 to every row; try again later"
            ) from error

    def _new_suspects(self) -> int:
        """How many suspects no run before this one has found to blame."""
        return sum(self._excused(*self._place(row)) is None for row, _ in self._suspects)

    def _reject(self, found: Sequence[Reject], replace: bool) -> None:
        self._record(found)
        if replace:
            self._forget([row for row, _ in found])
        self._check_share()

    def _forget(self, rows: Sequence[Row]) -> None:
        """Remove what Aito holds under rejected rows' keys: an outdated row is worse than none."""
        keys = [key for row in rows if (key := row.values.get(self._work.key)) is not None]
        if keys:
            self._work.target.delete(self._table, one_of(self._work.key, keys))

    def _check_share(self) -> None:
        work = self._work
        rows = max(self._planned, work.report.fetched)
        if self._planned and self._counted > work.table.rejects.max_share * rows:
            raise TooManyRejects(too_many(work, self._counted, rows))

    def _record(self, found: Sequence[Reject]) -> None:
        """Count rejects and put those into the ledger that are not on record."""
        work, new = self._work, []
        for row, reason in found:
            key, cursor = self._place(row)
            work.report.rejected += 1
            if key is not None and cursor is not None:
                work.rejected.add((key, cursor))
            excused = self._excused(key, cursor)
            if excused is None:
                new.append((entry(work, reason, key, cursor, row.document), work.report.rejected))
            self._counted += not excused
        self._tell(new)

    def _tell(self, new: Sequence[tuple[dict[str, Any], int]]) -> None:
        """new: entries of the ledger, each with its number among the run's rejects."""
        work, table = self._work, self._work.report.table
        work.ledger.append(
            "rejects", [made for made, _ in new], [f"{work.run_id}-{table}-{n}" for _, n in new]
        )
        for _, number in new:
            work.log(
                "row_rejected",
                f"{table}: a row was rejected; its reason is in the rejects ledger",
                "WARNING",
                table=table,
                rejected=number,
            )

    def _place(self, row: Row) -> tuple[str | None, int | None]:
        """Key and cursor, by which a reject is known again."""
        work = self._work
        return row.key(work.table.key), row.values.get(work.cursor) if work.table.cursor else None

    def _excused(self, key: str | None, cursor: int | None) -> bool | None:
        """Whether a reject is on record of a run that was content with it; None: on no record at
        all.

        For the lookback reads rejects again. The record is read from the window's start on, and all
        of it once a row from before that comes (settle).
        """
        start = self._work.report.start or BEGINNING
        if cursor is not None and cursor < start:
            start = BEGINNING
        if self._known_from is None or start < self._known_from:
            table = Parameter("table", "STRING", self._work.table.name)
            found = self._work.ledger.rows(KNOWN, (table, Parameter("start", "INT64", start)))
            self._known = {(row["key"], row["cursor"]): row["excused"] for row in found}
            self._known_from = start
        return self._known.get((key, cursor))


def entry(
    work: Work,
    reason: str,
    key: str | None = None,
    cursor: int | None = None,
    document: str | None = None,
) -> dict[str, Any]:
    """A row of the ledger's rejects."""
    return {
        "run_id": work.run_id,
        "table": work.report.table,
        "key": key,
        "cursor": cursor,
        "document": None if document is None else _shown(document),
        "reason": reason,
        "rejected_at": work.clock.timestamp(),
    }


def _shown(document: str) -> str:
    """A document as the ledger can take it: BigQuery's streaming inserts, like Aito's, end at 10
    MB.
    """
    if len(document) <= DOCUMENT_LENGTH:
        return document
    return json.dumps(
        {"first_characters": document[:DOCUMENT_LENGTH], "of": len(document)}, ensure_ascii=False
    )


def too_many(work: Work, rejected: int, rows: int) -> str:
    """The message of a table that is stopped for its rejects."""
    return (
        f"{work.table.name}: {rejected} of {rows} rows were rejected, more than rejects.max_share"
        f" {work.table.rejects.max_share:g} allows; see the rejects ledger for the reasons, mend"
        " the source, or raise rejects.max_share"
    )
