"""A batch that is checked while it is parsed is taken, refused and stored as one that Python looks
at.
"""

import json
from typing import Any

import pytest

from local.aito.parse import parse_rows
from local.aito.schema import Refusal, encode_rows, parse_table

TYPES = (
    *("String", "Text", "Int", "Long", "Decimal", "Boolean", "Json"),
    *("String[]", "Int[]", "Decimal[]", "Boolean[]"),
)
TEXTS = (
    *("null", "true", "false", "1", "-0", "-0.0", "1.0", "1e2", "1.5", "1e16", "2.5e-7"),
    *("2147483647", "2147483648", "-2147483648", "-2147483649", "9007199254740993"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "1e308", "1e999"),
    *("1" + "0" * 30, "1" + "0" * 400, "NaN", "-Infinity", '"NaN"', '"1"', '"true"', '""'),
    *('"\\u00e9 \\ud83d\\ude00 é"', '"\\ud800"', '"\\u0000"', '"a\tb"', '"2026-03-01"'),
    *("[]", '["a"]', "[1]", "[1, 2.5]", "[true]", "[null]", "[[1]]", '["a", 1]', "{}"),
    *('{"b": 1, "a": [1.0, null, {"c": "é"}]}', '{"a": 1, "a": 2}', '{"a": 1' + "0" * 30 + "}"),
    *("[1,]", "01", "'a'", "[" * 2000 + "]" * 2000),
)
ROWS = (
    *("[]", "{}", "null", "[{}]", "[[]]", "[null]", '[{"a": "x"}]', '[{"a": "x", "b": "y"}]'),
    *('[{"a": "x", "B": "y"}]', '[{"a": "x"}, {"b": "y"}]', '[{"a": "x", "a": "y"}]', "[1", ""),
    *('[{"a": "x", "c0": "y"}]', '[{"b": "y", "\\u0061": "x"}] ', '[{"a": "x"}] 1'),
)


def slowly(spec: dict[str, Any], body: bytes) -> list[list[Any]] | None:
    """The rows as Python reads them. None: they are refused."""
    try:
        rows = json.loads(body, parse_constant=int)  # int("NaN") is a ValueError
        assert isinstance(rows, list)
        encoded = encode_rows("pages", parse_table("pages", "t", spec), rows)
        for text in (value for row in encoded for value in row if isinstance(value, str)):
            text.encode()
    except (Refusal, ValueError, RecursionError, AssertionError):
        return None
    return [[int(value) if type(value) is bool else value for value in row] for row in encoded]


def of(columns: dict[str, Any]) -> dict[str, Any]:
    """The schema of a table."""
    return {"type": "table", "columns": columns}


def same(spec: dict[str, Any], text: str) -> bool:
    """Whether the parser stores the same. -> whether it stores."""
    body = text.encode()
    quick = parse_rows(parse_table("pages", "t", spec).columns, body)
    slow = slowly(spec, body)
    assert quick is None or repr(quick) == repr(slow), text[:80]
    return quick is not None


@pytest.mark.parametrize("nullable", [False, True])
@pytest.mark.parametrize("kind", TYPES)
def test_parser_is_as_strict_as_python(kind: str, nullable: bool) -> None:
    """What the parser takes, Python takes, and both store the same."""
    spec = of({"a": {"type": kind, "nullable": nullable}})
    taken = [text for text in TEXTS if same(spec, f'[{{"a": {text}}}]')]
    assert taken
    assert ("null" in taken) == nullable


def test_parser_reads_rows_as_python_does() -> None:
    """Missing and unknown columns, the order of columns, and texts that hold no rows."""
    spec = of({"a": {"type": "String"}, "b": {"type": "String", "nullable": True}})
    taken = [text for text in ROWS if same(spec, text)]
    assert '[{"b": "y", "\\u0061": "x"}] ' in taken


def test_parser_takes_what_is_sent_each_night() -> None:
    """The parser itself takes a right row of all types. It need not fall back on Python."""
    values = {
        "String": "é",
        "Text": "a b",
        "Int": -1,
        "Long": 2**53 + 1,
        "Decimal": 2,
        "Boolean": True,
        "Json": {"a": [1]},
        "String[]": ["x"],
        "Int[]": [1],
        "Decimal[]": [1, 2.5],
        "Boolean[]": [False],
    }
    spec = of({f"a {kind}é".replace(" ", "-"): {"type": kind} for kind in values})
    row = dict(zip(spec["columns"], values.values(), strict=True))
    assert same(spec, json.dumps([row]))
