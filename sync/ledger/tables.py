"""Reads and writes the ledger's tables, and makes what is missing.

Rows are appended by streaming inserts: they are visible at once and cost next to nothing, and
BigQuery stores a repeated insert id once. A table or column that was made a moment ago may not
take streamed rows yet, so a load job appends them then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sync.base.errors import AccessDenied, ActionRequired, NotFound, UnknownColumn
from sync.ledger.definitions import PARTITIONED_BY, LedgerTable, columns
from sync.model.sql import Parameter, Query, SqlSession


class LedgerTables:
    """The tables of one ledger dataset."""

    def __init__(self, session: SqlSession, dataset: str, sources: Sequence[str] = ()) -> None:
        """dataset: "dataset" or "project.dataset".

        sources: datasets and queries that are read: a missing ledger is made where they are.
        """
        self._session = session
        self._sources = sources
        self.dataset = dataset if "." in dataset else f"{session.project}.{dataset}"
        self._what = f"ledger {self.dataset}"

    def path(self, table: LedgerTable) -> str:
        """project.dataset.table."""
        return f"{self.dataset}.{table}"

    def append(
        self, table: LedgerTable, rows: Sequence[Mapping[str, Any]], ids: Sequence[str]
    ) -> None:
        """Append rows. ids: one for each row; a repetition of an id is stored once."""
        if not rows:
            return
        path, what = self.path(table), f"ledger {self.path(table)}"
        try:
            self._session.insert(path, rows, ids, what)
        except (NotFound, UnknownColumn):
            self.create()
            self._session.load(path, rows, what)

    def read(self, text: str, parameters: Sequence[Parameter] = ()) -> list[dict[str, Any]]:
        """The rows of a query. `{runs}` and its like stand for the tables' quoted paths.

        Nothing is found in a ledger that does not exist yet. Columns that a ledger of an earlier
        version lacks are added.
        """
        query = self._query(text, parameters)
        try:
            return self._session.read(query, self._what)
        except NotFound:
            return []
        except UnknownColumn:
            self.create()
            return self._session.read(query, self._what)

    def bytes_read(self, text: str, parameters: Sequence[Parameter]) -> int:
        """Bytes that a query would read: 0 in a ledger that does not exist yet, or is older."""
        try:
            return self._session.bytes_read(self._query(text, parameters), self._what)
        except (NotFound, ActionRequired):
            return 0

    def change(self, text: str, parameters: Sequence[Parameter]) -> int:
        """Run a DML statement. Returns how many rows it changed. Raises NotFound."""
        return self._session.change(self._query(text, parameters), self._what)

    def _query(self, text: str, parameters: Sequence[Parameter]) -> Query:
        names = {table: f"`{self.path(table)}`" for table in PARTITIONED_BY}
        return Query(text.format(**names), tuple(parameters))

    def create(self) -> None:
        """Make the dataset, tables and columns that are missing.

        Raises AccessDenied that says what to create.
        """
        try:
            self._session.ensure_dataset(self.dataset, self._what, self._sources)
            for table, partitioned_by in PARTITIONED_BY.items():
                self._session.ensure_table(
                    self.path(table), columns(table), partitioned_by, self._what
                )
        except AccessDenied as error:
            names = ", ".join(PARTITIONED_BY)
            raise AccessDenied(
                f"{self._what}: the dataset, one of its tables ({names}) or one of their columns "
                "is missing and may not be made here; create them with `terraform apply`, or grant "
                "roles/bigquery.dataEditor on the dataset"
            ) from error
