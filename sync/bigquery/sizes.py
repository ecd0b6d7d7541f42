"""How large documents are, as far as a table's description tells. Pure.

A slice is bounded by the bytes of its documents. These are more than the bytes that BigQuery
stores: a document repeats the names of its columns, and shows NULL as `null`.
"""

from __future__ import annotations

from collections.abc import Sequence

from sync.bigquery.columns import SqlColumn
from sync.bigquery.types import Field

# Of a row whose size BigQuery does not know: that of a view or a query. Few rows are larger.
UNKNOWN_ROW_BYTES = 20_000
# Quotes and line feeds take two bytes in a document instead of one.
ESCAPED = 2
# What a value needs beyond its stored bytes. A time has 8 of these, and 29 characters as text.
VALUE_BYTES = {"Int": 11, "Long": 20, "Decimal": 24, "Boolean": 5}
OTHER_VALUE_BYTES = 16
STORED_BYTES = 4  # of one member of a struct, at least as a mean


def document_bytes(
    columns: Sequence[SqlColumn], fields: Sequence[Field], row_bytes: float | None
) -> float:
    """Mean bytes of a row's document, rather too many than too few.

    fields: the source's columns. row_bytes: mean stored bytes of a row, None when not known.
    """
    stored = UNKNOWN_ROW_BYTES if row_bytes is None else row_bytes
    own = sum(_column_bytes(column) for column in columns)
    nested = sum(_nested_bytes(field, stored) for field in fields)
    return own + nested + stored * ESCAPED


def _column_bytes(column: SqlColumn) -> int:
    value = VALUE_BYTES.get(column.column.type, OTHER_VALUE_BYTES)
    return _name_bytes(column.name) + value


def _name_bytes(name: str) -> int:
    """Bytes of a name with its quotes, its colon and its comma."""
    return len(name.encode()) + 4


def _nested_bytes(field: Field, stored: float) -> float:
    """Bytes of the names inside a struct, once for each element of an array of structs."""
    if field.type != "RECORD":
        return 0
    names = _member_bytes(field)
    if not field.repeated:
        return names
    elements = stored / (STORED_BYTES * max(1, _leaves(field)))
    return max(1.0, elements) * names


def _member_bytes(field: Field) -> int:
    return sum(
        _name_bytes(member.name) + STORED_BYTES + _member_bytes(member) for member in field.fields
    )


def _leaves(field: Field) -> int:
    if field.type != "RECORD":
        return 1
    return sum(_leaves(member) for member in field.fields)
