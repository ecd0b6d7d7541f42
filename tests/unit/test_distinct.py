"""What a person reads once: rows that one warning tells of are not told again as rejects."""

from __future__ import annotations

from typing import Any

from sync.base import reasons
from sync.entry import distinct

CURSOR = reasons.rows_without_cursor(1, "at")
KEY = reasons.null_not_allowed("id")
OTHER = reasons.null_not_allowed("amount")


def table(*rejected: str) -> dict[str, Any]:
    """A table that warns of its rows without cursor and key, with rejects of these reasons."""
    warnings = [
        {"code": "rows_without_cursor", "message": "1 row has no cursor: ..."},
        {"code": "rows_without_key", "message": "1 row has no id, the key; ..."},
        {"code": "rejects", "message": "2 rows were rejected; ..."},
    ]
    rejects = [{"reason": reason, "rows": 1} for reason in rejected]
    return {"warnings": warnings, "rejects": rejects}


def test_rows_without_cursor_and_key_are_told_once() -> None:
    """Neither their rejects nor the warning about rejects comes beside their own warnings."""
    found = table(CURSOR, KEY)
    assert distinct.rejects(found) == []
    codes = [each["code"] for each in distinct.warnings(found)]
    assert codes == ["rows_without_cursor", "rows_without_key"]


def test_another_reject_is_told() -> None:
    """A NULL in another column is distinct, with the warning that says what to type."""
    found = table(CURSOR, OTHER)
    assert [each["reason"] for each in distinct.rejects(found)] == [OTHER]
    assert [each["code"] for each in distinct.warnings(found)][-1] == "rejects"


def test_a_warning_without_rejects_stays() -> None:
    """A plan warns of rejects whose reasons it does not know."""
    assert len(distinct.warnings(table())) == 3
