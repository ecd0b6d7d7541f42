"""Values of every BigQuery type as SQL, and what Aito is to hold of them."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

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
    ("int_high", "INT64", str(INT_32 + 1), {"type": "Int"}, "type: Long"),
    ("int_low", "INT64", str(-INT_32 - 2), {"type": "Int"}, "type: Long"),
    ("int_extreme", "INT64", str(INT_64), {"type": "Int"}, "type: Long"),
    ("int_nearly_exact", "INT64", str(2**53 + 1), {"type": "Decimal"}, "type: String"),
    ("moment", "TIMESTAMP", "TIMESTAMP '2038-01-19 03:14:08+00'", {"type": "Int"}, "type: Long"),
    ("day", "DATE", "DATE '9999-12-31'", {"type": "Int"}, "type: Long"),
    ("ints_high", "ARRAY<INT64>", f"[1, {INT_32 + 1}]", {"type": "Int[]"}, "type: String[]"),
    ("ints_inexact", "ARRAY<INT64>", f"[1, -{2**53 + 1}]", {"type": "Decimal[]"}, "type: String[]"),
    ("needed", "STRING", "NULL", {"nullable": False}, "NULL in a column that is not nullable"),
    ("needed_number", "FLOAT64", "CAST('nan' AS FLOAT64)", {"nullable": False}, "not nullable"),
]
