"""Columns and tables of the target, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

NUMBER_TYPES = ("Int", "Long")
MIN_INT, MAX_INT = -(2**31), 2**31 - 1  # what a column of type Int can hold
# What a column becomes that holds integers beyond that. Aito has no array of Long.
WIDER = {"Int": "Long", "Int[]": "String[]"}


@dataclass(frozen=True)
class Column:
    """A column of a target table.

    type: String, Text, Int, Long, Decimal, Boolean, Json, or one of the array types.
    link: "table.column" of the row that the value points to.
    analyzer: how a Text column is cut into words; a name or a mapping.
    """

    name: str
    type: str
    nullable: bool = True
    link: str | None = None
    analyzer: Any = None


class HasColumns(Protocol):
    """Anything that has columns, such as a source table."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Its columns."""
        ...


def key_type(table: HasColumns, key: str | None) -> str | None:
    """The type of the key column; None when there is no such column."""
    for column in table.columns:
        if column.name == key:
            return column.type
    return None


@dataclass(frozen=True)
class TargetTable:
    """What the target holds under one name. kind: `table`, or what else the name stands for."""

    columns: Mapping[str, Column]
    kind: str = "table"

    @property
    def is_table(self) -> bool:
        """Whether rows can be synced into it."""
        return self.kind == "table"


TargetSchema = Mapping[str, TargetTable]  # by name


@dataclass(frozen=True)
class SchemaDifference:
    """How the wanted columns differ from those of a target table.

    missing: columns that can be added. problems: sentences about what a person must decide.
    """

    missing: tuple[Column, ...] = ()
    problems: tuple[str, ...] = ()
