"""Delivers batches to one target table so that each row arrives once, or is recorded as a reject.

Nothing else writes rows. Each outcome of a write has its consequence here:

    done            the rows count as uploaded
    unknown         look which rows are there, wait, look again, send only the missing ones
    rows refused    halve the batch until the rows at fault are found, reject them, send the rest
    too large       the same, and send smaller batches from now on
    server error    as unknown; when it repeats, halve the batch. A single row is only suspected:
                    once the target has taken another row, it is sent once more, and rejected if
                    it fails again. If the target takes no row, it is ill
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from sync.base.backoff import Backoff
from sync.base.errors import OutcomeUnknown, Refusal, Refused, Unavailable, Unknown
from sync.model import batches
from sync.model.batches import Batch, Row
from sync.model.columns import MAX_INT, MIN_INT, key_type
from sync.model.conditions import OneOf
from sync.model.ports import SourceTable
from sync.pipeline.arrived import look
from sync.pipeline.rejects import Reject, RejectBook
from sync.pipeline.suspects import Suspect, Suspects
from sync.pipeline.table_run import TableRun
from sync.pipeline.writer import Writer

DELETE_KEYS = 500  # keys in the condition of one delete


@dataclass(frozen=True)
class Attempt:
    """How a batch is sent. taken_before: rows that the target had taken when it first refused.

    part: the batch is a part of a refused one, so a server error needs no second try.
    """

    upsert: bool
    taken_before: int
    part: bool = False


class Delivery:
    """The way into one target table for one run."""

    def __init__(
        self, run: TableRun, rejects: RejectBook, source: SourceTable, table: str = ""
    ) -> None:
        """source: where the rows come from. table: default the configured one."""
        self._run = run
        self._rejects = rejects
        self._reject_reasons = source.reject_reasons
        self._key_is_int = key_type(source, run.table.key_name) == "Int"
        self._table = table or run.name
        self._max_bytes = run.settings.batch.bytes
        self._writer = Writer(run, self._table)
        self._suspects = Suspects(run, self._table, self._writer, rejects, self._reject_suspects)
        self._backoff = Backoff()
        self.deleted = 0  # rows that were deleted because the source says so

    @property
    def taken(self) -> int:
        """Rows that the target took."""
        return self._writer.taken

    @property
    def unsettled_since(self) -> int | None:
        """The earliest cursor of a row whose write may still be applied later."""
        return self._writer.unsettled_since

    def send(self, batch: Batch, *, upsert: bool = False) -> None:
        """Deliver a batch. upsert: rows that the target holds under the same keys are replaced, and
        deleted where the batch says so.

        Raises TooManyRejects, LeaseLost, Unavailable, AccessDenied.
        """
        if batch.flagged:
            batch = self._without_flagged(batch, upsert=upsert)
        for piece in batches.within(batch, self._max_bytes):
            self._deliver(piece, Attempt(upsert, self.taken))

    def probe_with(self, document: str) -> None:
        """Remember a document that the target holds in exactly this state."""
        self._writer.probe = document

    def finish(self) -> None:
        """Decide about rows that are still suspected. Raises Unavailable where it cannot."""
        self._suspects.decide()

    # -- rows that the source has flagged

    def _without_flagged(self, batch: Batch, *, upsert: bool) -> Batch:
        """Reject or delete the rows that the source has flagged. Returns the rest."""
        rows = batch.read()
        flagged = [
            Reject(row, self._reject_reasons[row.fault])
            for row in rows
            if row.fault is not None and not row.deletes
        ]
        self._reject(flagged, upsert=upsert)
        self._delete([row for row in rows if row.deletes], upsert=upsert)
        good = [row.document for row in rows if row.fault is None]
        return batches.of(good, batch.newest)

    def _delete(self, rows: Sequence[Row], *, upsert: bool) -> None:
        """Delete what the target holds under the keys of rows that delete them.

        upsert: the target may hold such rows. A repetition finds none.
        """
        deleted = 0
        keys = [row.values[self._run.key] for row in rows] if upsert else []
        held_keys = [key for key in keys if self._can_be_held(key)]
        for first in range(0, len(held_keys), DELETE_KEYS):
            some = OneOf(self._run.key, tuple(held_keys[first : first + DELETE_KEYS]))
            deleted += self._writer.delete(some)
        self.deleted += deleted
        self._run.progress.add_deletions(deleted)
        self._run.progress.skipped += max(0, len(rows) - deleted)

    # -- batches

    def _deliver(self, batch: Batch, how: Attempt) -> None:
        """Send a batch until each of its rows is stored, rejected or suspected."""
        for attempt in itertools.count(1):  # as long as there is a pause before the next one
            if not batch.rows:
                return
            try:
                self._writer.write(batch, upsert=how.upsert)
            except Refused as error:
                self._handle_refusal(batch, error, how)
                return
            except OutcomeUnknown as error:
                batch = self._after_unknown(batch, error, how, attempt)
            else:
                self._took(batch.rows, batch.last)
                return

    def _after_unknown(
        self, batch: Batch, error: OutcomeUnknown, how: Attempt, attempt: int
    ) -> Batch:
        """What is left to send of a batch whose outcome is unknown, after a pause.

        A batch of which a server error keeps all rows out is halved and delivered here.
        Raises the error when there is no further attempt.
        """
        is_server_error = error.cause is Unknown.SERVER_ERROR
        self._writer.enter_unsettled(batch.read())
        left = self._left(batch, how)
        if not left.rows:
            return left
        server_errors_before_halving = 1 if how.part and batch.rows > 1 else 2
        nothing_taken = left.rows == batch.rows
        if nothing_taken and is_server_error and attempt >= server_errors_before_halving:
            self._halve(batch, error, how)
            return batches.of([])
        if not self._wait(attempt, error):
            raise error
        # The request may have been applied during the pause.
        return self._left(left, how)

    def _left(self, batch: Batch, how: Attempt) -> Batch:
        """What is to be sent again after an unknown outcome. An upsert is repeated as a whole."""
        return batch if how.upsert else self._missing(batch)

    def _missing(self, batch: Batch) -> Batch:
        """The rows of a batch with an unknown outcome that the target does not hold.

        Rows that are there count as uploaded.
        """
        arrived = look(self._run, self._table, batch, taken=self.taken)
        if arrived.here:
            self._took(len(arrived.here), arrived.here[-1])
        return batches.of(arrived.missing, batch.newest)

    def _took(self, rows: int, last: str) -> None:
        """Count rows that the target took, and decide about suspects: the target is not ill."""
        self._writer.count_taken(rows, last)
        self._suspects.try_again()

    def _wait(self, attempt: int, error: OutcomeUnknown) -> bool:
        """Wait before the next attempt. Returns False when there is none, or no time for it."""
        if not self._backoff.pause(attempt, self._run.deadline):
            return False
        self._run.events(
            "batch_retried",
            f"{self._table}: {error}; looked, and sending what is missing",
            "WARNING",
            table=self._run.name,
            attempt=attempt,
        )
        return True

    # -- rows at fault

    def _handle_refusal(self, batch: Batch, error: Refused, how: Attempt) -> None:
        if error.cause is Refusal.TOO_LARGE:
            self._max_bytes = len(batch.body) // 2
        elif error.cause is not Refusal.ROWS:
            raise Unavailable(
                f"{self._table}: {error}; the next run looks at the table again"
            ) from error
        self._halve(batch, error, how)

    def _halve(self, batch: Batch, error: Refused | OutcomeUnknown, how: Attempt) -> None:
        if batch.rows > 1:
            part = Attempt(how.upsert, how.taken_before, part=True)
            for half in batches.halves(batch):
                self._deliver(half, part)
            return
        (row,) = batch.read()
        reject = Reject(row, error.reason)
        if isinstance(error, Refused):
            self._reject([reject], upsert=how.upsert)
            return
        another_row_was_taken = self.taken > how.taken_before
        self._suspects.add(Suspect(reject, how.upsert), target_works=another_row_was_taken)

    def _reject(self, rejects: list[Reject], *, upsert: bool) -> None:
        self._rejects.add(rejects)
        if upsert:
            self._delete_outdated([reject.row for reject in rejects])
        self._rejects.check_share()

    def _reject_suspects(self, guilty: Sequence[Suspect]) -> None:
        self._rejects.add([suspect.reject for suspect in guilty])
        self._delete_outdated([suspect.reject.row for suspect in guilty if suspect.upsert])
        self._rejects.check_share()

    def _delete_outdated(self, rows: list[Row]) -> None:
        """Delete what the target holds under rejected rows' keys: it is no longer true."""
        found = (row.values.get(self._run.key) for row in rows)
        keys = tuple(key for key in found if self._can_be_held(key))
        if keys:
            deleted = self._writer.delete(OneOf(self._run.key, keys))
            self._run.progress.add_outdated(deleted)

    def _can_be_held(self, key: object) -> bool:
        """Whether the target's column can hold this key at all."""
        if isinstance(key, int) and self._key_is_int:
            return MIN_INT <= key <= MAX_INT
        return key is not None
