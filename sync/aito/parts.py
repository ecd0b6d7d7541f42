"""Conditions over many values, in parts that Aito takes.

No source says how many values an `$or` may hold. So one that is refused is halved until it is
taken, and what was taken is the limit for the rest of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from sync.base.errors import Refusal, Refused
from sync.model.conditions import AllOf, Condition, OneOf

MAY_BE_TOO_MANY = (Refusal.ROWS, Refusal.TOO_LARGE)
T = TypeVar("T")


class Parts:
    """Makes a call for each part of a condition. The parts have no row in common."""

    def __init__(self) -> None:
        self._limit: int | None = None  # values that one condition may hold; None: any number

    def each(self, condition: Condition, call: Callable[[Condition], T]) -> Iterator[T]:
        """The results of the call. Raises what it raises; Refused only for a single value."""
        limit = self._limit
        waiting = split(condition, limit)
        while waiting:
            part = waiting.pop(0)
            try:
                result = call(part)
            except Refused as error:
                values = number_of_values(part)
                if error.cause not in MAY_BE_TOO_MANY or values < 2:
                    self._limit = limit  # The number of values was not at fault.
                    raise
                self._limit = values // 2
                waiting = [*split(part, self._limit), *waiting]
            else:
                yield result


def number_of_values(condition: Condition) -> int:
    """How many values it names. Those of a condition that cannot be split do not count."""
    match condition:
        case OneOf(_, values):
            return len(values)
        case AllOf(conditions):
            return max(map(number_of_values, conditions), default=0)
        case _:
            return 0


def split(condition: Condition, limit: int | None) -> list[Condition]:
    """The condition as parts that name at most so many values each."""
    if limit is None or number_of_values(condition) <= limit:
        return [condition]
    match condition:
        case OneOf(column, values):
            starts = range(0, len(values), limit)
            return [OneOf(column, values[start : start + limit]) for start in starts]
        case AllOf(conditions):
            return _split_one(conditions, limit)
        case _:
            return [condition]


def _split_one(conditions: tuple[Condition, ...], limit: int) -> list[Condition]:
    """All of these, with the first one that is too long in parts."""
    long = next(each for each in conditions if number_of_values(each) > limit)
    others = tuple(each for each in conditions if each is not long)
    parts = [AllOf((part, *others)) for part in split(long, limit)]
    return [smaller for part in parts for smaller in split(part, limit)]
