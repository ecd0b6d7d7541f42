"""Every conversion on extremes, evaluated by Google's own reference implementation.

Values go through the query that makes batches. What the emulator computes alike is in
tests/conversions.py; the cases here are those that it gets wrong or cannot express.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from sync.bigquery import queries
from sync.bigquery.columns import columns
from sync.bigquery.table import BigQueryTable
from sync.bigquery.types import DEFAULTS, Field
from sync.model.batches import Batch, Row
from sync.model.sql import Parameter
from sync.model.window import Slice
from tests.conversions import FITS, INT_32, INT_64, Case
from tests.sources import LIMITS, settings

if TYPE_CHECKING:
    from tests.googlesql import GoogleSql

TIMESTAMP = "TIMESTAMP '2026-03-01 11:00:00+00'"
PART = Slice(1_772_000_000, 1_773_000_000)
API_NAMES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}
LEAST_INT_64 = "(-9223372036854775807 - 1)"
EVERY_CHARACTER = "".join(
    chr(code) for code in (*range(0x3000), *range(0xFFF0, 0x10010)) if not 0xD800 <= code < 0xE000
)
ENCODED = base64.b64encode(EVERY_CHARACTER.encode()).decode()
LARGEST = "578960446186580977117854925043439539266.34992332820282019728792003956564819967"

EXTREMES = [
    Case(
        "every_character",
        "STRING",
        [(f"SAFE_CONVERT_BYTES_TO_STRING(FROM_BASE64('{ENCODED}'))", EVERY_CHARACTER)],
    ),
    Case(
        "long",
        "INT64",
        [(f"{INT_64}", INT_64), (LEAST_INT_64, -INT_64 - 1), (f"{2**53 + 1}", 2**53 + 1)],
        {"type": "Long"},
    ),
    Case("number_text", "INT64", [(LEAST_INT_64, str(-INT_64 - 1))], {"type": "String"}),
    Case("inner_number", "INT64", [(LEAST_INT_64, -INT_64 - 1)], {"type": "Json"}),
    Case(
        "float",
        "FLOAT64",
        [
            ("2.2250738585072014e-308", 2.2250738585072014e-308),
            ("0.1 + 0.2", 0.1 + 0.2),
            ("1e21", 1e21),
            ("123456789012345680.0", 123456789012345680.0),
        ],
    ),
    Case(
        "float_text",
        "FLOAT64",
        [
            ("CAST('nan' AS FLOAT64)", "nan"),
            ("CAST('-inf' AS FLOAT64)", "-inf"),
            ("1e300", "1e+300"),
            ("2.0", "2"),
        ],
        {"type": "String"},
    ),
    Case(
        "big",
        "BIGNUMERIC",
        [(f"BIGNUMERIC '{LARGEST}'", float(LARGEST)), ("BIGNUMERIC '1e-38'", 1e-38)],
    ),
    Case(
        "big_text",
        "BIGNUMERIC",
        [(f"BIGNUMERIC '{LARGEST}'", LARGEST), ("BIGNUMERIC '2'", "2")],
        {"type": "String"},
    ),
    Case(
        "datetime_seconds",
        "DATETIME",
        [
            ("DATETIME '1969-12-31 23:59:59.999999'", -1),
            ("DATETIME '0001-01-01 00:00:00.5'", -62_135_596_800),
            ("DATETIME '9999-12-31 23:59:59.999999'", 253_402_300_799),
        ],
        {"type": "Long"},
    ),
    Case(
        "timestamp_seconds",
        "TIMESTAMP",
        [
            ("TIMESTAMP '1969-12-31 23:59:58.999999+00'", -2),
            ("TIMESTAMP '0001-01-01 00:00:00.000001+00'", -62_135_596_800),
            ("TIMESTAMP '9999-12-31 23:59:59.999999+00'", 253_402_300_799),
        ],
        {"type": "Long"},
    ),
    Case(
        "date_seconds",
        "DATE",
        [("DATE '0001-01-01'", -62_135_596_800), ("DATE '9999-12-31'", 253_402_214_400)],
        {"type": "Long"},
    ),
    Case(
        "moment",
        "TIMESTAMP",
        [("TIMESTAMP '0001-01-01 00:00:00.000001+00'", "0001-01-01T00:00:00.000001Z")],
    ),
    Case(
        "json",
        "JSON",
        [
            (f"JSON '{INT_64}'", INT_64),
            ("JSON '18446744073709551615'", 2**64 - 1),
            (f"TO_JSON({INT_64})", INT_64),
            ("JSON 'null'", None),
        ],
    ),
    Case(
        "json_text",
        "JSON",
        [("JSON '[1]'", "[1]"), ("JSON 'null'", None), ("JSON '\"null\"'", '"null"')],
        {"type": "String"},
    ),
    Case(
        "interval",
        "INTERVAL",
        [
            ("INTERVAL '1-2 3 4:5:6' YEAR TO SECOND", "1-2 3 4:5:6"),
            ("INTERVAL -5 MONTH", "-0-5 0 0:0:0"),
        ],
    ),
    Case("with_nulls", "ARRAY<STRING>", [("['a', NULL, 'b']", ["a", "b"])]),
    Case(
        "deep",
        "ARRAY<STRUCT<x STRUCT<y ARRAY<STRUCT<z ARRAY<INT64>, w FLOAT64>>>>>",
        [
            (
                f"[STRUCT(STRUCT([STRUCT([1, {INT_64}] AS z, CAST('nan' AS FLOAT64) AS w)] AS y)"
                " AS x)]",
                [{"x": {"y": [{"z": [1, INT_64], "w": None}]}}],
            )
        ],
    ),
    Case(
        "struct_of_null",
        "STRUCT<a INT64, c STRUCT<d FLOAT64>>",
        [
            ("STRUCT(1 AS a, CAST(NULL AS STRUCT<d FLOAT64>) AS c)", {"a": 1, "c": None}),
            ("CAST(NULL AS STRUCT<a INT64, c STRUCT<d FLOAT64>>)", None),
        ],
    ),
]
# The emulator's own words of an interval are in FITS.
CASES = [*(case for case in FITS if case.kind != "INTERVAL"), *EXTREMES]


def field_of(name: str, kind: str) -> Field:
    """A field of the type that SQL writes as `kind`."""
    from tests.googlesql import split

    outer, _, inner = kind.partition("<")
    inner = inner.removesuffix(">")
    if outer == "ARRAY":
        element = field_of(name, inner)
        return Field(name, element.type, repeated=True, fields=element.fields)
    if outer == "STRUCT":
        members = [member.strip().split(" ", 1) for member in split(inner)]
        return Field(name, "RECORD", fields=tuple(field_of(*member) for member in members))
    return Field(name, API_NAMES.get(kind, kind))


def described(
    fields: Sequence[Field], rows: Sequence[str], asked: dict[str, Any], **more: Any
) -> BigQueryTable:
    """A table whose source is a query with these SELECTs."""
    table = settings(query="SELECT 1", columns=asked, **more)
    table = table.model_copy(update={"query": " UNION ALL ".join(rows)})
    cursor = Field("sync_cursor", "TIMESTAMP")
    return BigQueryTable(table, None, cursor, sql_columns=columns(table, fields))


def read(
    googlesql: GoogleSql, table: BigQueryTable, zone: str = "UTC", document_bytes: int = 5_000_000
) -> list[Row]:
    """The rows of all batches. document_bytes: as if this were the limit of a document."""
    query = queries.batches(table, PART, LIMITS)
    limit = Parameter("document_bytes", "INT64", document_bytes)
    parameters = [limit if each.name == limit.name else each for each in query.parameters]
    found = googlesql.rows(query.text, parameters, zone)
    batches = [
        Batch(base64.b64decode(row["documents"]), row["n_rows"], row["newest"], row["flagged"])
        for row in found
    ]
    assert [len(batch.documents()) for batch in batches] == [batch.rows for batch in batches]
    return [row for batch in batches for row in batch.read()]


def converted(googlesql: GoogleSql, case: Case, zone: str = "UTC") -> list[Any]:
    """The value of each literal, and that of NULL, as a document has it."""
    literals = [literal for literal, _ in case.values]
    rows = [f"SELECT {n} AS id, {TIMESTAMP} AS ts, {each} AS x" for n, each in enumerate(literals)]
    rows.append(f"SELECT {len(rows)}, {TIMESTAMP}, CAST(NULL AS {case.kind})")
    fields = [Field("id", "INTEGER"), field_of("x", case.kind)]
    table = described(fields, rows, {"id": {}, "x": case.asked})
    found = {row.values["id"]: row for row in read(googlesql, table, zone)}
    assert all(row.fault is None and "\n" not in row.document for row in found.values())
    return [found[n].values["x"] for n in range(len(rows))]


def same(held: Any, expected: Any) -> bool:
    """Equal and of the same JSON type. 1 and 1.0 are one number."""
    if isinstance(expected, list) and isinstance(held, list):
        pairs = zip(held, expected, strict=False)
        return len(held) == len(expected) and all(same(*pair) for pair in pairs)
    is_number = isinstance(expected, int | float) and not isinstance(expected, bool)
    if is_number and isinstance(held, int | float) and not isinstance(held, bool):
        return bool(held == expected)
    return json.dumps(held, sort_keys=True) == json.dumps(expected, sort_keys=True)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_values(googlesql: GoogleSql, case: Case) -> None:
    """Each value arrives as it is to be in Aito; NULL is absent, a NULL array is empty."""
    *values, null = converted(googlesql, case)
    wrong = [
        (literal[:80], str(value)[:200])
        for (literal, expected), value in zip(case.values, values, strict=True)
        if not same(value, expected)
    ]
    assert wrong == []
    assert null == ([] if case.kind.startswith("ARRAY<") else None)


def test_every_type_has_a_case() -> None:
    """GEOGRAPHY alone has none: the engine does not know its functions."""
    kinds = {field_of("x", case.kind).type for case in CASES}
    assert set(DEFAULTS) - kinds == {"GEOGRAPHY"}


@pytest.mark.parametrize("kind", ["TIMESTAMP", "DATETIME", "DATE"])
@pytest.mark.parametrize("aito_type", ["String", "Long"])
def test_the_sessions_zone_changes_nothing(googlesql: GoogleSql, kind: str, aito_type: str) -> None:
    """A project's default time zone may be any: each conversion names its own."""
    literal = "TIMESTAMP '2026-03-01 23:30:00+00'"
    value = literal if kind == "TIMESTAMP" else f"{kind}({literal}, 'UTC')"
    case = Case("x", kind, [(value, None)], {"type": aito_type})
    assert converted(googlesql, case) == converted(googlesql, case, "Asia/Tokyo")


def test_a_null_of_json_is_null(googlesql: GoogleSql) -> None:
    """SQL's NULL and JSON's are both rejected where a column is not nullable."""
    rows = [
        f"SELECT {n} AS id, {TIMESTAMP} AS ts, {value} AS x"
        for n, value in enumerate(["JSON '1'", "JSON 'null'", "CAST(NULL AS JSON)"])
    ]
    for asked in ({}, {"type": "String"}):
        columns_asked = {"id": {}, "x": {**asked, "nullable": False}}
        fields = [Field("id", "INTEGER"), Field("x", "JSON")]
        found = read(googlesql, described(fields, rows, columns_asked))
        assert [row.fault is None for row in found] == [True, False, False]


def test_a_key_beyond_exact_floats_is_a_number(googlesql: GoogleSql) -> None:
    """Rows are compared and deleted by their keys: as a quoted text it would match nothing."""
    keys = [2**53 + 1, INT_64, INT_32 + 1, 5]
    rows = [f"SELECT {key} AS id, {TIMESTAMP} AS ts" for key in keys]
    fields = [Field("id", "INTEGER")]
    for asked, fitting in (({}, [5]), ({"type": "Long"}, keys)):
        found = read(googlesql, described(fields, rows, {"id": asked}, mode="merge"))
        assert {row.values["id"] for row in found} == set(keys)
        assert {row.key("id") for row in found} == {str(key) for key in keys}
        assert {row.values["id"] for row in found if row.fault is None} == set(fitting)


def test_a_document_that_is_too_large_is_a_reject(googlesql: GoogleSql) -> None:
    """It does not travel: what is known of it is its key, its cursor and its size."""
    large = "REPEAT('x', 9000)"
    rows = [f"SELECT {n} AS id, {TIMESTAMP} AS ts, {v} AS x" for n, v in ((1, "'y'"), (2, large))]
    fields = [Field("id", "INTEGER"), Field("x", "STRING")]
    for aito_type, key in (("Int", 2), ("Long", 2), ("String", "2")):
        table = described(fields, rows, {"id": {"type": aito_type}, "x": {}})
        good, reject = read(googlesql, table, document_bytes=9000)
        assert good.fault is None
        assert reject.fault is not None
        assert "larger than 9500000 bytes" in table.reject_reasons[reject.fault]
        assert reject.values["id"] == key
        assert reject.values["at"] == good.values["at"]
        assert reject.values["document_bytes"] > 9000


def test_an_earlier_fault_stays_the_reason(googlesql: GoogleSql) -> None:
    """A large row that has another fault is reported with that one."""
    row = f"SELECT CAST(NULL AS STRING) AS id, {TIMESTAMP} AS ts, REPEAT('x', 9000) AS x"
    fields = [Field("id", "STRING"), Field("x", "STRING")]
    table = described(fields, [row], {"id": {}, "x": {}})
    (reject,) = read(googlesql, table, document_bytes=9000)
    assert reject.fault == 0
    assert len(reject.document) < 1000


def test_names_that_bigquery_refuses_in_a_result(googlesql: GoogleSql) -> None:
    """A column of Aito may be called `price(eur)`: the dry run does not show that name."""
    row = f"SELECT 1 AS id, {TIMESTAMP} AS ts, 2 AS price"
    asked = {"id": {}, "price(eur)?": {"sql": "price"}}
    fields = [Field("id", "INTEGER"), Field("price(eur)?", "INTEGER")]
    table = described(fields, [row], asked)
    (found,) = read(googlesql, table)
    assert found.values["price(eur)?"] == 2
    query = queries.shape(table)
    names = list(googlesql.prepare(query.text, {}, query.parameters))
    assert names == ["sync_column_0", "sync_column_1", "sync_cursor"]


def test_the_keys_own_case(googlesql: GoogleSql) -> None:
    """A document has the key's name as the configuration writes it, not as the source does."""
    row = f"SELECT 1 AS id, {TIMESTAMP} AS ts"
    table = settings(query="SELECT 1", key="ID", columns=None)
    table = table.model_copy(update={"query": row})
    made = columns(table, [Field("id", "INTEGER")])
    cursor = Field("sync_cursor", "TIMESTAMP")
    (found,) = read(googlesql, BigQueryTable(table, None, cursor, sql_columns=made))
    assert list(found.values) == ["ID", "at"]
