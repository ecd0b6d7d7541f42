"""Rows that a server error was answered to, until it is known whether they are at fault."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sync.base.errors import OutcomeUnknown, Refused, Unavailable, Unknown
from sync.base.words import counted
from sync.model import batches
from sync.pipeline.rejects import Reject, RejectBook
from sync.pipeline.table_run import TableRun
from sync.pipeline.writer import Writer

MAX_SUSPECTS = 10  # rows that fail while none is taken: then the target is ill, not the rows


@dataclass(frozen=True)
class Suspect:
    """A row that a server error was answered to.

    upsert: the target may hold another row under its key.
    """

    reject: Reject
    upsert: bool


class Suspects:
    """The suspected rows of one delivery.

    reject: records rows that are at fault, and deletes what the target holds under the keys of
    those that were to replace something.
    """

    def __init__(
        self,
        run: TableRun,
        table: str,
        writer: Writer,
        book: RejectBook,
        reject: Callable[[Sequence[Suspect]], None],
    ) -> None:
        self._run = run
        self._table = table
        self._writer = writer
        self._book = book
        self._reject = reject
        self._suspects: list[Suspect] = []

    def add(self, suspect: Suspect, *, target_works: bool) -> None:
        """Suspect a row. target_works: the target took another row of the same batch.

        Raises Unavailable when so many rows fail that the target is ill.
        """
        self._suspects.append(suspect)
        if target_works:
            self.try_again()
        elif self._writer.probe is not None:
            self.decide()
        elif self._new() >= MAX_SUSPECTS:
            raise Unavailable(f"{self._table}: Aito answers 500 to every row; try again later")

    def decide(self) -> None:
        """Decide about all suspects. Raises Unavailable when that is impossible.

        Probe with a row known to be stored: if it succeeds, reject the suspects. Without such a
        row, reject only what earlier runs have rejected.
        """
        if not self._suspects:
            return
        if self._writer.probe is not None and self._run.table.key_name is not None:
            self._writer.send_probe()
        elif self._new() and not self._writer.taken:
            raise Unavailable(
                f"{self._table}: Aito answers 500 to {counted(len(self._suspects), 'row')} and "
                "took no other; try again"
            )
        self.try_again()

    def try_again(self) -> None:
        """Send each suspect once more, and reject those that fail again."""
        suspects, self._suspects = self._suspects, []
        guilty = [suspect for suspect in suspects if not self._is_taken_now(suspect)]
        if guilty:
            self._reject(guilty)

    def _new(self) -> int:
        """How many suspects no earlier run has rejected."""
        return sum(self._book.is_new(suspect.reject.row) for suspect in self._suspects)

    def _is_taken_now(self, suspect: Suspect) -> bool:
        """Send a suspect once more. Returns whether the target took it."""
        batch = batches.of([suspect.reject.row.document])
        try:
            self._writer.write(batch, upsert=suspect.upsert)
        except Refused:
            return False
        except OutcomeUnknown as error:
            if error.cause is not Unknown.SERVER_ERROR:
                raise
            return False
        self._writer.count_taken(1, batch.last)
        return True
