"""Why a row is rejected before it is sent. Each sentence is made here and recognised here.

These sentences hold names and types, never a row's value, so they may be shown as they are.
"""

from __future__ import annotations

import re

from sync.base.words import counted

_NO_FIT = "{column}: an integer that does not fit {type}; declare `type: {wider}`"
_NULL = "{column}: NULL in a column that is not nullable"
_CURSOR = "{column}: the cursor does not fit Int (it must lie between the years 1901 and 2038)"
_NO_CURSOR = "{rows} no cursor ({column} would be NULL) and {verb} not loaded"
_TOO_LARGE = (
    "the row is larger than {limit} bytes as a document; "
    "leave columns out, or shorten them with `sql:`"
)
_TEMPLATES = (_NO_FIT, _NULL, _CURSOR, _NO_CURSOR, _TOO_LARGE)


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"{\w+}", template)
    return re.compile(".+".join(re.escape(part) for part in parts), re.DOTALL)


_PATTERNS = tuple(_pattern(template) for template in _TEMPLATES)


def integer_does_not_fit(column: str, aito_type: str, wider: str) -> str:
    """An integer is outside the range of its target type. wider: a type that would hold it."""
    return _NO_FIT.format(column=column, type=aito_type, wider=wider)


def null_not_allowed(column: str) -> str:
    """A column that is not nullable has no value."""
    return _NULL.format(column=column)


def cursor_does_not_fit(column: str) -> str:
    """The cursor is outside the range of a 32-bit Int."""
    return _CURSOR.format(column=column)


def rows_without_cursor(rows: int, column: str) -> str:
    """So many rows of the source have no cursor."""
    found = counted(rows, "row has", "rows have")
    return _NO_CURSOR.format(rows=found, column=column, verb="is" if rows == 1 else "are")


def row_too_large(limit: int) -> str:
    """A row's document has more bytes than a request may hold."""
    return _TOO_LARGE.format(limit=limit)


def says_no_cursor(reason: str) -> bool:
    """Whether a reason is that of `rows_without_cursor`."""
    return _pattern(_NO_CURSOR).fullmatch(reason) is not None


def null_column(reason: str) -> str | None:
    """The column of a reason that `null_not_allowed` has made; None: it is another one."""
    column, _, rest = reason.partition(": ")
    return column if null_not_allowed(column) == f"{column}: {rest}" else None


def is_ours(reason: str) -> bool:
    """Whether a reason is one of the sentences above."""
    return any(pattern.fullmatch(reason) for pattern in _PATTERNS)
