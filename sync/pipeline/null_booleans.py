"""Whether the target reads a null in a Boolean column as false. Some builds of Aito do.

Comparisons by content must know it: such a row would differ for ever. It is found out by reading
one row back, and the checkpoint remembers it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from sync.model.batches import Batch, Row
from sync.model.plan import Plan
from sync.pipeline.table_run import TableRun

Values = Mapping[str, object]
ReadBack = Callable[[Row], Values | None]
NULL = b'":null'  # what follows the name of a member that is null


class NullBooleans:
    """One table in one run. reads_false: nulls are known to read as false."""

    def __init__(self, run: TableRun, plan: Plan) -> None:
        self._run = run
        columns = [each for each in plan.source.columns if each.type == "Boolean" and each.nullable]
        self._names = [column.name for column in columns]
        self._look = bool(columns and plan.changes.create)  # whether to read a row back
        self._is_warned = False
        self.reads_false = plan.null_reads_false

    def is_equal(self, wanted: Values, held: Values) -> bool:
        """Whether the target holds the wanted row. wanted: without its nulls."""
        if wanted == held:
            return True
        read_false = {name: False for name in self._names if name not in wanted}
        if not read_false or {**wanted, **read_false} != held:
            return False
        if not self.reads_false:
            # It may be a false that became null. Send the row, then look what became of it.
            self._look = True
            return False
        self._warn()
        return True

    def after(self, batch: Batch, read_back: ReadBack) -> None:
        """Look at a row of a batch that was sent, if it is not known yet how nulls read.

        read_back: the row as the target holds it; None: it does not.
        """
        if not self._look or self.reads_false:
            return
        row = self._row_with_null(batch)
        held = read_back(row) if row else None
        if row is None or held is None:
            return
        self._look = False
        nulls = [name for name in self._names if row.values.get(name) is None]
        if any(held.get(name) is False for name in nulls):
            self.reads_false = True
            self._warn()

    def _row_with_null(self, batch: Batch) -> Row | None:
        """A good row of the batch that has a null in a Boolean column."""
        wanted = {name.encode() for name in self._names}
        if not any(name in wanted for name in null_members(batch.body)):
            return None
        for row in batch.read():
            has_null = any(row.values.get(name) is None for name in self._names)
            if row.fault is None and has_null:
                return row
        return None

    def _warn(self) -> None:
        if self._is_warned:
            return
        self._is_warned = True
        names = ", ".join(self._names)
        self._run.warn(
            "null_booleans",
            f"this Aito reads null as false in Boolean columns ({names}); such rows count as "
            "equal. If the difference matters, declare `type: String` for the column",
        )


def null_members(body: bytes) -> Iterator[bytes]:
    """The name of each member that is null in a JSON text without spaces.

    The text is read once, however many columns a table has. A null within a text may be among them.
    """
    end = body.find(NULL)
    while end >= 0:
        begin = body.rfind(b'"', 0, end) + 1
        yield body[begin:end]
        end = body.find(NULL, end + len(NULL))
