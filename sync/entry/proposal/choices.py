"""The settings that `init` proposes, each with the reason why. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """A value and why it was chosen."""

    value: str
    reason: str


@dataclass(frozen=True)
class KeyChoice:
    """The column or the columns that identify a row, and why they were chosen."""

    parts: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class CursorChoice:
    """What tells new rows from old ones. unit: of an INT64, otherwise None."""

    source: str
    unit: str | None
    column: str
    reason: str


@dataclass(frozen=True)
class ColumnChoice:
    """A column of the Aito table. What is None is derived from the source.

    left_out: of STAR, which is all other columns, those that are not taken.
    """

    name: str
    sql: str | None = None
    type: str | None = None
    link: str | None = None
    reason: str = ""
    left_out: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether everything is derived from the source column of this name."""
        return not (self.sql or self.type or self.link)


@dataclass(frozen=True)
class EvaluationChoice:
    """A column to predict and the columns to predict it from."""

    name: str
    predict: str
    given: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class TableProposal:
    """The settings of one table.

    columns: None when every source column is taken as it is. notes: what a person should know.
    """

    name: str
    source: str
    mode: Choice
    key: KeyChoice | None
    cursor: CursorChoice | None
    keep: Choice | None
    lookback: Choice | None
    columns: tuple[ColumnChoice, ...] | None
    evaluation: EvaluationChoice | None
    notes: tuple[str, ...] = ()
