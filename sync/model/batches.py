"""A batch: finished JSON documents. They are sent as they are, and read only where needed. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

# JSON text holds no raw line feed. So the documents that BigQuery has joined can be split again.
SEPARATOR = ",\n"
DELETES = -1  # in the place of a fault: the row deletes its key


@dataclass(frozen=True)
class Row:
    """One document, read.

    fault: index of the reason why it may not be sent (SourceTable.reject_reasons); None for a good
        row, DELETES for one that deletes its key.
    """

    document: str
    values: dict[str, Any]
    fault: int | None = None

    @property
    def deletes(self) -> bool:
        """Whether the row deletes its key instead of being stored."""
        return self.fault == DELETES

    @property
    def text(self) -> str:
        """The row as it stands in a batch."""
        return self.document if self.fault is None else f"{self.fault}\n{self.document}"

    def key(self, column: str | None) -> str | None:
        """The key as text, as BigQuery's CAST to STRING gives it."""
        value = self.values.get(column) if column else None
        return None if value is None else str(value)


@dataclass(frozen=True)
class Batch:
    """Documents that are sent together.

    body: their JSON array, as the bytes that are sent. As text, one emoji would make four bytes of
        each character.
    rows: how many they are. newest: the newest cursor among them, epoch seconds; None: none has
        one.
    """

    body: bytes
    rows: int
    newest: int | None
    flagged: int = 0  # documents that may not be sent: they are at fault, or delete their key

    @property
    def text(self) -> str:
        """The array as text."""
        return self.body.decode()

    @property
    def last(self) -> str:
        """The last document, without taking the others apart."""
        separator = SEPARATOR.encode()
        return self.body[max(1, self.body.rfind(separator) + len(separator)) : -1].decode()

    def documents(self) -> list[str]:
        """The documents one by one, in order."""
        return self.text[1:-1].split(SEPARATOR) if self.rows else []

    def read(self) -> list[Row]:
        """The documents, parsed."""
        return [_row(text) for text in self.documents()]


def _row(text: str) -> Row:
    if text[0] == "{":
        return Row(text, json.loads(text))
    index, document = text.split("\n", 1)
    return Row(document, json.loads(document), int(index))


def of(documents: Sequence[str], newest: int | None = None) -> Batch:
    """A batch of finished documents, flagged ones among them or not."""
    flagged = sum(not document.startswith("{") for document in documents)
    return Batch(f"[{SEPARATOR.join(documents)}]".encode(), len(documents), newest, flagged)


def halves(batch: Batch) -> tuple[Batch, Batch]:
    """Two batches of half the rows each, in order."""
    documents = batch.documents()
    middle = len(documents) // 2
    return of(documents[:middle], batch.newest), of(documents[middle:], batch.newest)


def within(batch: Batch, size: int) -> Iterator[Batch]:
    """The batch in parts of at most `size` bytes, where a single document allows it."""
    if batch.rows <= 1 or len(batch.body) <= size:
        yield batch
        return
    for half in halves(batch):
        yield from within(half, size)
