"""No worker of BigQuery sorts more than 256 MB of documents, whatever the table looks like."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sync.bigquery.columns import columns
from sync.bigquery.sizes import document_bytes
from sync.bigquery.types import Field
from sync.model import window
from sync.model.window import HOUR, Bucket, Window
from tests.sources import settings

LIMIT = 256_000_000
ROWS_OF_AN_HOUR = 200_000  # four slices of narrow rows
ELEMENTS = 20


def wide(count: int) -> tuple[list[Field], dict[str, Any], float]:
    """A table of many columns of which 15 are filled, a document of it, and its stored bytes."""
    names = [f"some_property_{number}" for number in range(count - 1)]
    fields = [Field("id", "STRING"), *(Field(name, "STRING") for name in names)]
    filled = dict.fromkeys(names[:14], "x" * 8)
    return fields, {"id": "k" * 20, **dict.fromkeys(names), **filled}, 22 + 14 * 10


def long_rows() -> tuple[list[Field], dict[str, Any], None]:
    """Rows of 20 kB behind a view, whose size BigQuery does not tell."""
    return [Field("id", "STRING"), Field("text", "STRING")], {"id": "k", "text": "x" * 20_000}, None


def narrow() -> tuple[list[Field], dict[str, Any], float]:
    """Few columns of short values, among them times, which grow as text."""
    fields = [Field("id", "INTEGER"), Field("seen", "TIMESTAMP"), Field("ok", "BOOLEAN")]
    return fields, {"id": 2**31 - 1, "seen": "2026-03-01T12:00:00.000000Z", "ok": False}, 17


def nested() -> tuple[list[Field], dict[str, Any], float]:
    """An array of structs with long names and short values, as GA4 exports events."""
    value = Field(
        "value",
        "RECORD",
        fields=(
            Field("string_value", "STRING"),
            Field("int_value", "INTEGER"),
            Field("float_value", "FLOAT"),
            Field("double_value", "FLOAT"),
        ),
    )
    parameters = Field("event_params", "RECORD", True, fields=(Field("key", "STRING"), value))
    values = {"string_value": None, "int_value": 12, "float_value": None, "double_value": None}
    element = {"key": "ga_session_number", "value": values}
    stored = 20 + ELEMENTS * (19 + 8)
    fields = [Field("id", "STRING"), parameters]
    return fields, {"id": "k" * 18, "event_params": [element] * ELEMENTS}, stored


@pytest.mark.parametrize(
    ("fields", "document", "row_bytes"),
    [
        pytest.param(*wide(300), id="300 columns"),
        pytest.param(*wide(1_000), id="1000 columns"),
        pytest.param(*long_rows(), id="20 kB behind a view"),
        pytest.param(*narrow(), id="narrow"),
        pytest.param(*nested(), id="nested"),
    ],
)
def test_the_largest_partition(
    fields: list[Field], document: dict[str, Any], row_bytes: float | None
) -> None:
    """Hours of four slices, and one second that holds as much, are cut so that each part fits."""
    names: dict[str, Any] = {field.name: {} for field in fields}
    made = columns(settings(columns=names), fields)
    assumed = document_bytes(made, fields, row_bytes)
    true_bytes = len(json.dumps({**document, "at": 1_772_366_400}, separators=(",", ":")))
    assert true_bytes <= assumed, "rather too many than too few"
    rows = window.sorted_rows(assumed)
    slice_rows = window.slice_rows(assumed)
    parts = window.slices(Window(0, 3 * HOUR), counted(rows), slice_rows, rows)
    assert sum(part.rows for part in parts) == 2 * ROWS_OF_AN_HOUR
    assert window.partition_bytes(parts, true_bytes) <= LIMIT
    assert window.partition_bytes(parts, assumed) <= LIMIT


def counted(rows_sorted: int) -> list[Bucket]:
    """Two hours as the histogram counts them: one spread evenly, one in a single second."""
    seconds = range(0, HOUR, HOUR // 100)
    even = dict.fromkeys(seconds, ROWS_OF_AN_HOUR // 100)
    assert max(even.values()) <= rows_sorted
    heavy = {HOUR + 5: ROWS_OF_AN_HOUR}
    counts = {**even, **heavy}
    return [Bucket(start, rows, rows, 0, start, 0) for start, rows in counts.items()]
