"""Conditions over many values, in parts."""

from __future__ import annotations

import pytest

from sync.aito.parts import Parts, number_of_values, split
from sync.base.errors import Refusal, Refused
from sync.model.conditions import AllOf, Between, Condition, OneOf

TIME = Between("at", 0, 10)


def keys(number: int, first: int = 0) -> OneOf:
    """So many keys."""
    return OneOf("id", tuple(range(first, first + number)))


def test_split() -> None:
    """Parts have no value in common, and keep the other conditions."""
    assert split(keys(5), None) == [keys(5)]
    assert split(keys(5), 2) == [keys(2), keys(2, 2), keys(1, 4)]
    both = AllOf((TIME, keys(3)))
    assert split(both, 2) == [AllOf((keys(2), TIME)), AllOf((keys(1, 2), TIME))]
    assert split(TIME, 1) == [TIME]


def test_a_refused_condition_is_halved() -> None:
    """Until it is taken. The number is remembered."""
    parts, sent = Parts(), []

    def call(condition: Condition) -> int:
        values = number_of_values(condition)
        sent.append(values)
        if values > 3:
            raise Refused("too many", Refusal.ROWS)
        return values

    assert sum(parts.each(keys(10), call)) == 10
    assert sent[:2] == [10, 5]
    sent.clear()
    assert sum(parts.each(keys(10), call)) == 10
    assert max(sent) <= 3


def test_a_value_at_fault_is_no_limit() -> None:
    """What is refused alone is refused, and the next condition is sent whole."""
    parts, sent = Parts(), []

    def call(condition: Condition) -> int:
        assert isinstance(condition, OneOf)
        sent.append(len(condition.values))
        if 0 in condition.values:
            raise Refused("bad value", Refusal.ROWS)
        return 1

    with pytest.raises(Refused):
        list(parts.each(keys(8), call))
    sent.clear()
    assert list(parts.each(keys(8, 1), call)) == [1]
    assert sent == [8]
