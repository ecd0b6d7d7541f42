"""Finds out which rows of a batch with an unknown outcome the target holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sync.base.errors import Unavailable
from sync.model.batches import Batch, Row
from sync.model.conditions import OneOf
from sync.pipeline.table_run import TableRun


@dataclass(frozen=True)
class Arrived:
    """The documents of a batch: those that the target holds, and those that it lacks."""

    here: Sequence[str]
    missing: Sequence[str]


def look(run: TableRun, table: str, batch: Batch, *, taken: int) -> Arrived:
    """Ask the target which rows of the batch it holds. taken: rows that it took of earlier ones.

    Raises Unavailable when nobody can tell.
    """
    if run.table.key_name is None:
        return _look_by_count(run, table, batch, taken)
    columns = [run.key]
    if run.table.cursor:
        columns.append(run.cursor)
    rows = batch.read()
    stored = _stored(run, table, rows, columns)
    here: list[str] = []
    missing: list[str] = []
    for row in rows:
        values = tuple(row.values.get(column) for column in columns)
        if values in stored:
            here.append(row.document)
        else:
            missing.append(row.document)
    return Arrived(here, missing)


def _look_by_count(run: TableRun, table: str, batch: Batch, taken: int) -> Arrived:
    """The same for a table without a key, by a count: the target holds all rows or none.

    Nothing but this run writes to the table. Raises Unavailable when it holds some of them.
    """
    documents = [row.document for row in batch.read()]
    stored = run.target.count(table) - taken
    if not stored:
        return Arrived([], documents)
    if stored == batch.rows:
        return Arrived(documents, [])
    raise Unavailable(
        f"{table}: the outcome of an insert is unknown: {stored} of {batch.rows} rows "
        "are there, and without a key it is not known which; try again"
    )


def _stored(
    run: TableRun, table: str, rows: Sequence[Row], columns: Sequence[str]
) -> set[tuple[object, ...]]:
    """The values of the columns, of the rows that the target holds under the rows' keys."""
    keys = tuple(row.values[run.key] for row in rows)
    hits = run.target.rows(table, OneOf(run.key, keys), run.key, columns)
    return {tuple(hit.get(column) for column in columns) for hit in hits}
