"""Conditions on rows -> Aito's `where`. Pure."""

from __future__ import annotations

from typing import Any

from sync.model.columns import MAX_INT, MIN_INT
from sync.model.conditions import AllOf, AnyOf, Before, Between, Condition, Native, OneOf


def where(condition: Condition) -> dict[str, Any]:
    """The condition in Aito's query language.

    Two bounds on one column are two conditions of an `$and`: every known build takes that form.
    """
    match condition:
        case Between(column, start, end, wide):
            bounds = {"$gte": _bound(start, wide=wide)}, {"$lt": _bound(end, wide=wide)}
            return {"$and": [{column: bound} for bound in bounds]}
        case Before(column, end, wide):
            return {column: {"$lt": _bound(end, wide=wide)}}
        case Native(query):
            return dict(query)
        case OneOf(column, values):
            return {column: {"$or": list(values)}}
        case AllOf(conditions):
            return {"$and": [where(inner) for inner in conditions]}
        case AnyOf(conditions):
            return {"$or": [where(inner) for inner in conditions]}


def _bound(seconds: int, *, wide: bool) -> int:
    """A bound that a column can be compared with. For an Int the beginning of time is none."""
    return seconds if wide else min(max(seconds, MIN_INT), MAX_INT)
