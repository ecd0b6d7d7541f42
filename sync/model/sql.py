"""A query as a value, and the session that runs it. Used by the source and by the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

ParameterType = Literal[
    "TIMESTAMP", "DATETIME", "DATE", "INT64", "STRING", "ARRAY<INT64>", "ARRAY<STRING>"
]


@dataclass(frozen=True)
class Parameter:
    """A typed query parameter."""

    name: str
    type: ParameterType
    value: Any


@dataclass(frozen=True)
class Query:
    """A query's text and its parameters."""

    text: str
    parameters: tuple[Parameter, ...] = ()


class SqlSession(Protocol):
    """The connection on which the ledger keeps its tables.

    `what` names the subject of an error message, such as "ledger project.dataset". Every method
    raises NotFound when a dataset or table is missing, AccessDenied, ActionRequired or Unavailable.
    """

    @property
    def project(self) -> str:
        """The project of names that name none."""
        ...

    def read(self, query: Query, what: str) -> list[dict[str, Any]]:
        """All rows of a query, by column name.

        Raises UnknownColumn when the query names a column that is missing.
        """
        ...

    def bytes_read(self, query: Query, what: str) -> int:
        """Bytes that a SELECT would read, by a dry run."""
        ...

    def change(self, query: Query, what: str) -> int:
        """Run a DML statement. Returns the number of rows that it changed."""
        ...

    def insert(
        self, path: str, rows: Sequence[Mapping[str, Any]], ids: Sequence[str], what: str
    ) -> None:
        """Stream rows into the table at `path`. A repeated id is stored once.

        Raises UnknownColumn when the table lacks a column of the rows.
        """
        ...

    def load(self, path: str, rows: Sequence[Mapping[str, Any]], what: str) -> None:
        """Append rows by a load job, which also works on a table that was made a moment ago."""
        ...

    def ensure_dataset(self, dataset: str, what: str, sources: Sequence[str] = ()) -> None:
        """Make the dataset if it is missing.

        It is made in the configured location; without one where the sources are, which is asked.
        sources: datasets ("project.dataset") and queries. Raises NotFound when none says where.
        """
        ...

    def ensure_table(
        self,
        path: str,
        columns: Sequence[Mapping[str, Any]],
        partitioned_by: str | None,
        what: str,
    ) -> None:
        """Make the table if it is missing, else add the columns that it lacks.

        columns: in the form of BigQuery's API (name, type, mode, description).
        """
        ...
