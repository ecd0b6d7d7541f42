"""Tables of many columns: work and statements grow with their number, and no faster."""

from __future__ import annotations

import pytest

from sync.bigquery import queries as sql
from sync.bigquery.columns import columns
from sync.bigquery.table import BigQueryTable
from sync.bigquery.types import DEFAULTS, Field
from sync.pipeline.null_booleans import null_members
from tests.sources import END, LIMITS, PART, SPAN, settings

OVERRIDES = {"*": None, "c000": {"type": "Text"}, "c001": {"sql": "c001 + 1"}}
KINDS = tuple(DEFAULTS)


def wide(count: int) -> BigQueryTable:
    """A source of so many columns of all types, two of them overridden."""
    made = [Field(f"c{place:03}", KINDS[place % len(KINDS)]) for place in range(count)]
    fields = (Field("id", "STRING"), *made)
    table = settings(columns=OVERRIDES)
    return BigQueryTable(
        table,
        table.source,
        Field("sync_cursor", "TIMESTAMP"),
        sql_columns=columns(table, fields),
        fields=fields,
    )


def test_statements_grow_with_the_columns() -> None:
    """The statement of a slice has at most 200 characters a column; the others have none of them.

    BigQuery takes statements of a million characters.
    """
    few, many = wide(15), wide(900)
    lengths = [len(sql.batches(table, PART, LIMITS).text) for table in (few, many)]
    assert lengths[1] - lengths[0] < 885 * 200
    for one, other in zip(of_a_quiet_night(few), of_a_quiet_night(many), strict=True):
        assert one == other


def of_a_quiet_night(table: BigQueryTable) -> list[str]:
    """The statements of a night without new rows."""
    made = [sql.shape(table), sql.first_row(table), sql.histogram(table, SPAN, END, 1000)]
    return [query.text for query in made]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b'[{"a":1,"b":null},\n{"b":null,"c":{"d":null}}]', [b"b", b"b", b"d"]),
        ('[{"ä b":null,"c":"x"}]'.encode(), ["ä b".encode()]),
        (b'[{"c":"null","d":[null]}]', []),
        (rb'[{"c":"say \"flag\":null"}]', [b"flag\\"]),
        (b"[]", []),
    ],
)
def test_null_members(body: bytes, names: list[bytes]) -> None:
    """The names are found in one reading of the text; what stands in a text is no such name."""
    assert list(null_members(body)) == names
