"""Every BigQuery type through the real path: emulator -> the sync -> the Aito stand-in, each value
checked there.

GEOGRAPHY cannot run on the emulator here (DuckDB's spatial extension is a download): its SQL is
checked in test_schema.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from google.cloud import bigquery

from tests.workbench import NOW, QUICK, Workbench, table

ABSENT = None
MEGABYTE = 1_000_000
INT_32 = 2**31 - 1
INT_64 = 2**63 - 1
AWKWARD = (
    "a \"quoted\" 'text' \\ back`tick\n,\n{next}\r\ttab \u2028\u2029 \x01 \x7f äöü 漢字 👩‍👩‍👧"
    " </script> [1,\n2]"
)


@dataclass(frozen=True)
class Case:
    """A source column: its BigQuery type, what the configuration asks for, and SQL literals with
    what Aito holds.
    """

    name: str
    kind: str
    values: list[tuple[str, Any]]
    asked: dict[str, Any] = field(default_factory=dict)


# A text as SQL in which nothing needs an escape: the emulator's own lexer is not what is tested.
TEXT = f"SAFE_CONVERT_BYTES_TO_STRING(FROM_BASE64('{base64.b64encode(AWKWARD.encode()).decode()}'))"

FITS = [
    Case(
        "string",
        "STRING",
        [
            (TEXT, AWKWARD),
            ("''", ""),
            (f"REPEAT('x', {MEGABYTE})", "x" * MEGABYTE),
            ("'null'", "null"),
            ("',\\n'", ",\n"),
            ("'{}'", "{}"),
        ],
    ),
    Case(
        "string_text", "STRING", [(TEXT, AWKWARD), ("''", "")], {"type": "Text", "analyzer": "en"}
    ),
    Case(
        "bytes",
        "BYTES",
        [
            ("b''", ""),
            ("FROM_HEX('00ff10')", "AP8Q"),
            ("FROM_HEX('0a2c0a')", "CiwK"),
            ("CAST(REPEAT('y', 3000) AS BYTES)", "eXl5" * 1000),
        ],
    ),
    Case("bytes_text", "BYTES", [("FROM_HEX('00ff10')", "AP8Q")], {"type": "Text"}),
    Case("int64", "INT64", [("0", 0), (f"{INT_32}", INT_32), (f"-{INT_32 + 1}", -INT_32 - 1)]),
    Case(
        "int64_long",
        "INT64",
        [
            (f"{INT_32 + 1}", INT_32 + 1),
            (f"{2**53 + 1}", 2**53 + 1),
            (f"{INT_64}", INT_64),
            ("(-9223372036854775807 - 1)", -INT_64 - 1),
            ("-1", -1),
        ],
        {"type": "Long"},
    ),
    Case("int64_string", "INT64", [(f"{INT_64}", str(INT_64)), ("-5", "-5")], {"type": "String"}),
    Case("int64_text", "INT64", [("7", "7")], {"type": "Text"}),
    Case(
        "int64_decimal",
        "INT64",
        [("3", 3.0), (f"{2**53}", 2.0**53), (f"-{2**53}", -(2.0**53))],
        {"type": "Decimal"},
    ),
    Case("int64_json", "INT64", [("3", 3), (f"{INT_64}", INT_64)], {"type": "Json"}),
    Case(
        "float64",
        "FLOAT64",
        [
            ("1.5", 1.5),
            ("0.1", 0.1),
            ("1e300", 1e300),
            ("5e-324", 5e-324),
            ("0.0", 0.0),
            ("1.7976931348623157e308", 1.7976931348623157e308),
            ("CAST('nan' AS FLOAT64)", ABSENT),
            ("CAST('inf' AS FLOAT64)", ABSENT),
            ("CAST('-inf' AS FLOAT64)", ABSENT),
            ("2", 2.0),
            ("-1.7976931348623157e308", -1.7976931348623157e308),
            ("-5e-324", -5e-324),
        ],
    ),
    Case("float64_string", "FLOAT64", [("1.5", "1.5")], {"type": "String"}),
    Case(
        "numeric",
        "NUMERIC",
        [
            ("PARSE_NUMERIC('1.25')", 1.25),
            ("PARSE_NUMERIC('-99999999999999999999999999999.999999999')", -1e29),
            ("PARSE_NUMERIC('99999999999999999999999999999.999999999')", 1e29),
            ("PARSE_NUMERIC('0.000000001')", 1e-9),
        ],
    ),
    Case(
        "numeric_string",
        "NUMERIC",
        [("PARSE_NUMERIC('12345678901234567890.123456789')", "12345678901234567890.123456789")],
        {"type": "String"},
    ),
    Case("bool", "BOOL", [("TRUE", True), ("FALSE", False)]),
    Case("bool_string", "BOOL", [("TRUE", "true"), ("FALSE", "false")], {"type": "String"}),
    Case(
        "date",
        "DATE",
        [
            ("DATE '2026-03-01'", "2026-03-01"),
            ("DATE '0001-01-01'", "0001-01-01"),
            ("DATE '9999-12-31'", "9999-12-31"),
            ("DATE '1969-12-31'", "1969-12-31"),
        ],
    ),
    Case(
        "date_int",
        "DATE",
        [("DATE '1970-01-02'", 86_400), ("DATE '1969-12-31'", -86_400)],
        {"type": "Int"},
    ),
    Case(
        "datetime",
        "DATETIME",
        [
            ("DATETIME '2026-03-01 01:02:03'", "2026-03-01T01:02:03.000000"),
            ("DATETIME '1969-12-31 23:59:59.999999'", "1969-12-31T23:59:59.999999"),
            ("DATETIME '9999-12-31 23:59:59.999999'", "9999-12-31T23:59:59.999999"),
            ("DATETIME '0001-01-01 00:00:00'", "0001-01-01T00:00:00.000000"),
        ],
    ),
    Case(
        "datetime_long",
        "DATETIME",
        [
            ("DATETIME '1970-01-01 00:01:00.9'", 60),
            ("DATETIME '1969-12-31 23:59:59.5'", -1),
            ("DATETIME '9999-12-31 23:59:59'", 253_402_300_799),
        ],
        {"type": "Long"},
    ),
    Case(
        "time",
        "TIME",
        [("TIME '00:00:00'", "00:00:00.000000"), ("TIME '23:59:59.999999'", "23:59:59.999999")],
    ),
    Case(
        "timestamp",
        "TIMESTAMP",
        [
            ("TIMESTAMP '2026-03-01 01:02:03+02:00'", "2026-02-28T23:02:03.000000Z"),
            ("TIMESTAMP '1969-12-31 23:59:59.999999+00'", "1969-12-31T23:59:59.999999Z"),
            ("TIMESTAMP '0001-01-01 00:00:00+00'", "0001-01-01T00:00:00.000000Z"),
            ("TIMESTAMP '9999-12-31 23:59:59.999999+00'", "9999-12-31T23:59:59.999999Z"),
        ],
    ),
    Case(
        "timestamp_int",
        "TIMESTAMP",
        [
            ("TIMESTAMP '2026-03-01 12:00:00.999999+00'", 1_772_366_400),
            ("TIMESTAMP '1969-12-31 23:59:59.5+00'", -1),
        ],
        {"type": "Int"},
    ),
    Case(
        "timestamp_long",
        "TIMESTAMP",
        [("TIMESTAMP '2100-01-01 00:00:00+00'", 4_102_444_800)],
        {"type": "Long"},
    ),
    Case(
        "json",
        "JSON",
        [
            (
                'JSON \'{"a": [1, null, "x\\\\n,\\\\n"], "b": {}}\'',
                {"a": [1, None, "x\n,\n"], "b": {}},
            ),
            ("JSON '[]'", []),
            ("JSON '\"text\"'", "text"),
            ("JSON '1.5'", 1.5),
            ("JSON 'true'", True),
            ("JSON 'null'", ABSENT),
        ],
    ),
    Case("json_string", "JSON", [("JSON '[1]'", "[1]")], {"type": "String"}),
    Case(
        "struct",
        "STRUCT<a INT64, b STRING, c STRUCT<d FLOAT64, e TIMESTAMP>>",
        [
            (
                (
                    f"STRUCT({INT_64} AS a, {TEXT} AS b, STRUCT(1.5 AS d, TIMESTAMP '2026-03-01"
                    " 00:00:00+00' AS e) AS c)"
                ),
                {"a": INT_64, "b": AWKWARD, "c": {"d": 1.5, "e": "2026-03-01T00:00:00.000000Z"}},
            ),
            (
                (
                    "STRUCT(CAST(NULL AS INT64) AS a, 'x' AS b, "
                    "STRUCT(CAST('nan' AS FLOAT64) AS d, CAST(NULL AS TIMESTAMP) AS e) AS c)"
                ),
                {"a": None, "b": "x", "c": {"d": None, "e": None}},
            ),
        ],
    ),
    Case(
        "strings",
        "ARRAY<STRING>",
        [(f"[{TEXT}, '', 'b']", [AWKWARD, "", "b"]), ("CAST([] AS ARRAY<STRING>)", [])],
    ),
    Case("ints", "ARRAY<INT64>", [(f"[3, 1, {INT_32}, 1]", [3, 1, INT_32, 1])]),
    Case("ints_json", "ARRAY<INT64>", [(f"[1, {INT_64}]", [1, INT_64])], {"type": "Json"}),
    Case(
        "ints_strings",
        "ARRAY<INT64>",
        [(f"[1, {INT_64}]", ["1", str(INT_64)])],
        {"type": "String[]"},
    ),
    Case(
        "floats",
        "ARRAY<FLOAT64>",
        [("[1.5, CAST('nan' AS FLOAT64), CAST('inf' AS FLOAT64), -2.5]", [1.5, -2.5])],
    ),
    Case("numerics", "ARRAY<NUMERIC>", [("[NUMERIC '1.5', NUMERIC '2']", [1.5, 2.0])]),
    Case("bools", "ARRAY<BOOL>", [("[TRUE, FALSE]", [True, False])]),
    Case("bytess", "ARRAY<BYTES>", [("[FROM_HEX('00ff10')]", ["AP8Q"])]),
    Case("dates", "ARRAY<DATE>", [("[DATE '2026-03-01']", ["2026-03-01"])]),
    Case(
        "datetimes",
        "ARRAY<DATETIME>",
        [("[DATETIME '2026-03-01 01:02:03']", ["2026-03-01T01:02:03.000000"])],
    ),
    Case("times", "ARRAY<TIME>", [("[TIME '01:02:03']", ["01:02:03.000000"])]),
    Case(
        "timestamps",
        "ARRAY<TIMESTAMP>",
        [("[TIMESTAMP '2026-03-01 01:02:03+00']", ["2026-03-01T01:02:03.000000Z"])],
    ),
    Case(
        "jsons", "ARRAY<JSON>", [("[JSON '{\"a\": 1}', JSON '2']", [{"a": 1}, 2])], {"type": "Json"}
    ),  # the emulator calls such a result ARRAY<STRING>
    Case(
        "structs",
        "ARRAY<STRUCT<a INT64, b ARRAY<STRING>>>",
        [
            (
                (
                    f"[STRUCT({2**53 + 1} AS a, ['x', 'y'] AS b), STRUCT(2 AS a, CAST([] AS"
                    " ARRAY<STRING>) AS b)]"
                ),
                [{"a": 2**53 + 1, "b": ["x", "y"]}, {"a": 2, "b": []}],
            )
        ],
    ),
    # The emulator's own words; BigQuery writes 1-2 3 4:5:6.
    Case(
        "interval",
        "INTERVAL",
        [("INTERVAL '1-2 3 4:5:6' YEAR TO SECOND", "1 year 2 months 3 days 04:05:06")],
    ),
]


UNFIT = [
    ("int_high", "INT64", str(INT_32 + 1), {}, "type: Long"),
    ("int_low", "INT64", str(-INT_32 - 2), {}, "type: Long"),
    ("int_extreme", "INT64", str(INT_64), {}, "type: Long"),
    ("int_nearly_exact", "INT64", str(2**53 + 1), {"type": "Decimal"}, "type: String"),
    ("moment", "TIMESTAMP", "TIMESTAMP '2038-01-19 03:14:08+00'", {"type": "Int"}, "type: Long"),
    ("day", "DATE", "DATE '9999-12-31'", {"type": "Int"}, "type: Long"),
    ("ints_high", "ARRAY<INT64>", f"[1, {INT_32 + 1}]", {}, "type: String[]"),
    ("ints_inexact", "ARRAY<INT64>", f"[1, -{2**53 + 1}]", {"type": "Decimal[]"}, "type: String[]"),
    ("needed", "STRING", "NULL", {"nullable": False}, "NULL in a column that is not nullable"),
    ("needed_number", "FLOAT64", "CAST('nan' AS FLOAT64)", {"nullable": False}, "not nullable"),
]


def source_field(name: str, kind: str) -> bigquery.SchemaField:
    """A column of the source from its type as SQL writes it."""
    if kind.startswith("ARRAY<"):
        inner = source_field(name, kind[6:-1])
        return bigquery.SchemaField(name, inner.field_type, "REPEATED", fields=inner.fields)
    if kind.startswith("STRUCT<"):
        members = [part.strip().split(" ", 1) for part in split(kind[7:-1])]
        return bigquery.SchemaField(
            name, "STRUCT", fields=[source_field(*member) for member in members]
        )
    return bigquery.SchemaField(name, kind)


def split(members: str) -> list[str]:
    """`a INT64, b ARRAY<...>` at the commas of the outermost level."""
    parts, depth = [""], 0
    for character in members:
        depth += {"<": 1, ">": -1}.get(character, 0)
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def make(
    bench: Workbench, source: str, columns: dict[str, str], rows: list[dict[str, str]]
) -> None:
    """A source table with `id` and `ts`: one row per dict of SQL literals, in the order given; the
    rest is NULL.
    """
    bench.client.create_dataset(bench.name, exists_ok=True)
    kinds = {"id": "INT64", "ts": "TIMESTAMP", **columns}
    path = f"{bench.client.project}.{bench.name}.{source}"
    bench.client.create_table(
        bigquery.Table(path, [source_field(name, kind) for name, kind in kinds.items()]),
        retry=QUICK,
    )
    for number, row in enumerate(rows):
        values = {"id": str(number), "ts": "TIMESTAMP '2026-03-01 11:00:00+00'", **row}
        names = ", ".join(f"`{name}`" for name in values)
        bench.sql(f"INSERT INTO {{d}}.{source} ({names}) SELECT {', '.join(values.values())}")


def test_every_value_that_fits_arrives(bench: Workbench) -> None:
    """Each type with NULL, extremes and awkward values, as its default and as each type that may
    be declared.
    """
    depth = max(len(case.values) for case in FITS)
    rows = [{c.name: c.values[n][0] for c in FITS if n < len(c.values)} for n in range(depth)]
    make(bench, "source", {case.name: case.kind for case in FITS}, [*rows, {}])
    names = {"id": {}, **{case.name: case.asked for case in FITS}}
    report = bench.run_ok(table("types_fit", f"{bench.name}.source", columns=names))
    assert (report.uploaded, report.rejected, report.verified) == (depth + 1, 0, True)
    found = {row["id"]: row for row in bench.aito.rows("types_fit")}
    wrong = [
        (c.name, n, c.values[n][0][:80], str(found[n].get(c.name))[:200])
        for c in FITS
        for n in range(len(c.values))
        if not same(found[n].get(c.name), c.values[n][1])
    ]
    assert wrong == []
    assert found[depth] == {
        "id": depth,
        "at": NOW - 3600,
        **{c.name: [] for c in FITS if c.kind.startswith("ARRAY")},
    }


def same(held: Any, expected: Any) -> bool:
    """Equal and of the same JSON type."""
    return json.dumps(held, sort_keys=True) == json.dumps(expected, sort_keys=True)


def test_what_does_not_fit_is_reported(bench: Workbench) -> None:
    """An integer, a time or a NULL that the column cannot hold is in the ledger, whole and with
    the remedy.
    """
    make(bench, "source", {name: kind for name, kind, *_ in UNFIT}, [{u[0]: u[2]} for u in UNFIT])
    filled = {"needed": "'x'", "needed_number": "1.0"}
    for number, (name, *_) in enumerate(UNFIT):
        for other in filled.keys() - {name}:
            bench.sql(f"UPDATE {{d}}.source SET {other} = {filled[other]} WHERE id = {number}")
    columns = {"id": {}, **{name: asked for name, _, _, asked, _ in UNFIT}}
    report = bench.run_ok(
        table("types_unfit", f"{bench.name}.source", columns=columns, rejects={"max_share": 1})
    )
    assert (report.fetched, report.uploaded, report.rejected) == (len(UNFIT), 0, len(UNFIT))
    entries = {entry["key"]: entry for entry in bench.ledger_rows("rejects")}
    for number, (name, _, value, _, remedy) in enumerate(UNFIT):
        entry = entries[str(number)]
        assert name in entry["reason"], entry
        assert remedy in entry["reason"], entry
        if name.startswith("int_"):
            assert str(json.loads(entry["document"])[name]) == value, "the row is kept as it was"


def test_bignumeric(bench: Workbench) -> None:
    """By a query: the emulator takes the type in SQL and not in a table's definition."""
    query = """SELECT 1 AS id, TIMESTAMP '2026-03-01 11:00:00+00' AS ts, BIGNUMERIC '-2.125' AS big,
      [BIGNUMERIC '1.5', BIGNUMERIC '2'] AS bigs, CAST(NULL AS BIGNUMERIC) AS none"""
    asked = {
        "name": "types_big",
        "query": query,
        "key": "id",
        "cursor": {"source": "ts", "column": "at"},
    }
    bench.run_ok({**asked, "columns": {"id": {}, "big": {}, "bigs": {}, "none": {}}})
    (row,) = bench.aito.rows("types_big")
    assert row == {"id": 1, "at": NOW - 3600, "big": -2.125, "bigs": [1.5, 2.0]}


def test_a_megabyte_in_every_type_that_holds_text(bench: Workbench) -> None:
    """A row of several batches' size among small ones: whole, none lost for it, and known again."""
    text = AWKWARD * (MEGABYTE // len(AWKWARD))
    large = f"REPEAT({TEXT}, {MEGABYTE // len(AWKWARD)})"
    kinds = {
        "string": "STRING",
        "bytes": "BYTES",
        "list": "ARRAY<STRING>",
        "struct": "STRUCT<a STRING>",
    }
    values = {
        "string": large,
        "bytes": f"CAST(REPEAT('y', {MEGABYTE}) AS BYTES)",
        "list": f"[{large}]",
        "struct": f"STRUCT({large} AS a)",
    }
    make(bench, "source", kinds, [{}, values, {}])
    asked = table("types_large", f"{bench.name}.source")
    assert bench.run_ok(asked, settings={"batch": {"bytes": MEGABYTE}}).uploaded == 3
    expected = {
        "string": text,
        "bytes": base64.b64encode(b"y" * MEGABYTE).decode(),
        "list": [text],
        "struct": {"a": text},
    }
    found = {row["id"]: row for row in bench.aito.rows("types_large")}[1]
    assert [name for name in expected if found[name] != expected[name]] == []
    assert bench.run_ok(asked).uploaded == 0
