"""Conditions on rows of the target, as values. Each target translates them for its queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Between:
    """Rows whose `column` lies in [start, end). Both bounds are epoch seconds.

    wide: whether the column holds integers beyond 32 bits.
    """

    column: str
    start: int
    end: int
    wide: bool = False


@dataclass(frozen=True)
class Before:
    """Rows whose `column` is less than `end`, epoch seconds. wide: as of Between."""

    column: str
    end: int
    wide: bool = False


@dataclass(frozen=True)
class OneOf:
    """Rows whose `column` equals one of `values`. There is at least one value."""

    column: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class AllOf:
    """Rows that meet every one of `conditions`."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class AnyOf:
    """Rows that meet at least one of `conditions`."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Native:
    """Rows that meet a condition of the target's own query language. The configuration gave it."""

    query: Mapping[str, Any]


Condition = Between | Before | OneOf | AllOf | AnyOf | Native
