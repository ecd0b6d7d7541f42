"""Leaves out what a person would read twice: rejects that a warning reports already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sync.base import reasons

Fact = Mapping[str, Any]  # a warning (code, message) or a reject (reason, rows) of a table


def rejects(table: Fact) -> list[Fact]:
    """The rejects of a table that none of its warnings reports already."""
    warnings = table["warnings"]
    return [each for each in table["rejects"] if not _is_reported(each["reason"], warnings)]


def warnings(table: Fact) -> list[Fact]:
    """The warnings of a table, without `rejects` if other warnings report all its rejects."""
    found: Sequence[Fact] = table["warnings"]
    if not table["rejects"] or rejects(table):
        return list(found)
    return [each for each in found if each["code"] != "rejects"]


def _is_reported(reason: str, found: Sequence[Fact]) -> bool:
    """Whether a warning says why these rows were rejected."""
    messages = {each["code"]: each["message"] for each in found}
    if "rows_without_cursor" in messages and reasons.says_no_cursor(reason):
        return True
    column = reasons.null_column(reason)
    return column is not None and f"no {column}, the key" in messages.get("rows_without_key", "")
