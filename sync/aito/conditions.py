"""Conditions on rows -> Aito's `where`. Pure."""

from __future__ import annotations

from typing import Any

from sync.model.conditions import AllOf, Before, Between, Condition, Native, OneOf


def where(condition: Condition) -> dict[str, Any]:
    """The condition in Aito's query language.

    Two bounds on one column are two conditions of an `$and`: every known build takes that form.
    """
    match condition:
        case Between(column, start, end):
            return {"$and": [{column: {"$gte": start}}, {column: {"$lt": end}}]}
        case Before(column, end):
            return {column: {"$lt": end}}
        case Native(query):
            return dict(query)
        case OneOf(column, values):
            return {column: {"$or": list(values)}}
        case AllOf(conditions):
            return {"$and": [where(inner) for inner in conditions]}
