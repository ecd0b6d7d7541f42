"""Columns: what each BigQuery type becomes, what is refused, and how a difference to Aito's table
is reported.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from sync.aito.schema import RELAXED, column_json, compare
from sync.base.errors import SchemaMismatch
from sync.bigquery.columns import SqlColumn
from sync.bigquery.columns import columns as columns_of
from sync.bigquery.types import Field, unknown_scalars
from sync.config import TableSettings, parse
from sync.model.columns import Column, SchemaDifference
from tests.workbench import table

RECORD = Field(
    "r",
    "RECORD",
    fields=(Field("a", "INTEGER"), Field("b", "GEOGRAPHY"), Field("c", "STRING", True)),
)


def settings(columns: dict[str, Any] | None = None, **more: Any) -> TableSettings:
    """A table as the configuration gives it."""
    asked = {**table("t", "d.s"), **({} if columns is None else {"columns": columns}), **more}
    whole = {
        "aito": {"url": "http://127.0.0.1:1", "api_key_secret": "k"},
        "ledger": "l",
        "tables": [asked],
    }
    return parse(json.dumps(whole)).tables[0]


def made(field: Field, **asked: Any) -> SqlColumn:
    """The column that a field becomes."""
    columns = columns_of(settings({"id": {}, field.name: asked}), [Field("id", "STRING"), field])
    return next(column for column in columns if column.name == field.name)


def refusal(*fields: Field, columns: dict[str, Any] | None = None, **more: Any) -> str:
    """The message with which a source is refused."""
    with pytest.raises(SchemaMismatch) as error:
        columns_of(settings(columns, **more), fields)
    return str(error.value)


@pytest.mark.parametrize(
    ("kind", "aito_type"),
    [
        ("STRING", "String"),
        ("BYTES", "String"),
        ("INTEGER", "Int"),
        ("FLOAT", "Decimal"),
        ("NUMERIC", "Decimal"),
        ("BIGNUMERIC", "Decimal"),
        ("BOOLEAN", "Boolean"),
        ("DATE", "String"),
        ("DATETIME", "String"),
        ("TIME", "String"),
        ("TIMESTAMP", "String"),
        ("JSON", "Json"),
        ("GEOGRAPHY", "String"),
        ("INTERVAL", "String"),
        ("RECORD", "Json"),
    ],
)
def test_default_types(kind: str, aito_type: str) -> None:
    """Each BigQuery type, alone and as an array."""
    inner = (Field("a", "STRING"),) if kind == "RECORD" else ()
    assert made(Field("x", kind, fields=inner)).column.type == aito_type
    array = "Json" if aito_type == "Json" else f"{aito_type}[]"
    assert made(Field("x", kind, repeated=True, fields=inner)).column.type == array


def test_a_key_of_several_columns() -> None:
    """One String column is made of them. A part that is NULL is a fault that names the part."""
    fields = [Field("order_id", "STRING"), Field("Line", "INTEGER"), Field("v", "FLOAT")]
    found = {each.name: each for each in columns_of(settings(key=["order_id", "line"]), fields)}
    assert list(found) == ["order_id", "Line", "v", "sync_key", "at"]
    assert found["sync_key"].column == Column("sync_key", "String", nullable=False)
    assert [found[name].column.nullable for name in ("order_id", "Line", "v")] == [
        False,
        False,
        True,
    ]
    assert [fault.reason for fault in found["order_id"].faults] == [
        "order_id: NULL in a column that is not nullable"
    ]


def test_parts_that_make_no_key() -> None:
    """A part without a stable text is refused with what would be right."""
    fields = [
        *(Field("price", "FLOAT"), Field("tags", "STRING", True), Field("line", "INTEGER")),
        Field("SYNC_KEY", "STRING"),
    ]
    told = refusal(*fields, key=["price", "tags", "lines"])
    assert "price: a column of type FLOAT cannot be a part of the key" in told
    assert "tags: a column of type ARRAY<STRING> cannot be a part of the key" in told
    assert "lines: the key is not a column of the source; it has price, tags, line" in told
    assert "sync_key: the source has a column of this name" in told
    assert "give key_column another name" in told


def test_geography_is_text() -> None:
    """As WKT, alone, in arrays and inside a STRUCT.

    The emulator cannot run it: this is the SQL that BigQuery gets.
    """
    assert made(Field("x", "GEOGRAPHY")).value == "ST_ASTEXT(`x`)"
    assert (
        "SELECT ST_ASTEXT(sync_element) FROM UNNEST(`x`) AS sync_element"
        in made(Field("x", "GEOGRAPHY", True)).value
    )
    assert "ST_ASTEXT(`r`.`b`) AS `b`" in made(RECORD).value


def test_arrays_inside_arrays_have_names_of_their_own() -> None:
    """An element of an array inside another element is not mistaken for the outer one."""
    inner = Field("b", "RECORD", True, fields=(Field("c", "INTEGER", True),))
    value = made(Field("x", "RECORD", True, fields=(inner,))).value
    for name, array in (("", "`x`"), ("1", "sync_element.`b`"), ("2", "sync_element1.`c`")):
        assert f"UNNEST({array}) AS sync_element{name} WITH OFFSET AS sync_place{name} " in value


def test_the_text_of_nested_arrays_grows_with_their_depth() -> None:
    """Not by its power: each further depth adds as much text as the one before."""
    field = Field("leaf", "FLOAT", True)
    lengths = []
    for depth in range(12):
        inner = (Field("number", "INTEGER"), field)
        field = Field(f"level{depth:02}", "RECORD", True, fields=inner)
        lengths.append(len(made(field).value))
    steps = {after - before for before, after in itertools.pairwise(lengths)}
    assert max(steps) < 1.2 * min(steps)


@pytest.mark.parametrize(
    ("field", "asked", "expected"),
    [
        (
            Field("x", "STRING"),
            {"analyzer": "en", "type": "Text"},
            {"type": "Text", "nullable": True, "analyzer": "en"},
        ),
        (Field("x", "STRING", required=True), {}, {"type": "String", "nullable": False}),
        (
            Field("x", "STRING", required=True),
            {"nullable": True},
            {"type": "String", "nullable": True},
        ),
        (Field("x", "STRING"), {"nullable": False}, {"type": "String", "nullable": False}),
        (
            Field("x", "STRING"),
            {"link": "p.id"},
            {"type": "String", "nullable": True, "link": "p.id"},
        ),
    ],
)
def test_definitions(field: Field, asked: dict[str, Any], expected: dict[str, Any]) -> None:
    """What Aito's schema API is sent."""
    assert column_json(made(field, **asked).column) == expected


@pytest.mark.parametrize(
    ("field", "asked", "told"),
    [
        (
            Field("x", "RANGE"),
            {},
            "RANGE has no counterpart in Aito; use `sql:` with RANGE_START or RANGE_END",
        ),
        (Field("x", "RANGE", True), {}, "RANGE has no counterpart"),
        (
            Field("x", "RECORD", fields=(Field("y", "PROTO"),)),
            {},
            "y (PROTO) inside it cannot be converted; use `sql:`",
        ),
        (Field("x", "PROTO"), {}, "BigQuery type PROTO is not known; use `sql:`"),
        (
            Field("x", "STRING"),
            {"type": "Int"},
            "STRING cannot become Int; leave `type` out for String,"
            ' or write such as sql: "SAFE_CAST(`x` AS INT64)"',
        ),
        (Field("x", "BOOLEAN"), {"type": "Int"}, "BOOL cannot become Int"),
        (Field("x", "FLOAT"), {"type": "Long"}, "FLOAT64 cannot become Long"),
        (Field("x", "STRING"), {"type": "String[]"}, "STRING cannot become String[]"),
        (
            Field("x", "STRING", True),
            {"type": "String"},
            "ARRAY<STRING> cannot become String; leave `type` out for Str",
        ),
        (
            Field("x", "INTEGER", True),
            {"type": "Boolean[]"},
            "ARRAY<INT64> cannot become Boolean[]",
        ),
        (RECORD, {"type": "String"}, "STRUCT cannot become String; leave `type` out for Json"),
    ],
)
def test_refused_conversions(field: Field, asked: dict[str, Any], told: str) -> None:
    """Each names the column, what it is, and what to write instead."""
    message = refusal(Field("id", "STRING"), field, columns={"id": {}, field.name: asked})
    assert f".columns.{field.name}: " in message
    assert told in message


def test_the_scalars_without_an_aito_type() -> None:
    """Each is found, however deep it is inside a column. `init` leaves such a column out."""
    inner = Field("b", "RECORD", fields=(Field("c", "PROTO"), Field("d", "STRING")))
    column = Field("a", "RECORD", repeated=True, fields=(inner, Field("e", "PROTO")))
    assert [each.name for each in unknown_scalars(column)] == ["c", "e"]
    assert unknown_scalars(RECORD) == []


def test_everything_wrong_is_told_at_once() -> None:
    """One message for all columns."""
    fields = [
        Field("id", "BOOLEAN"),
        Field("a", "PROTO"),
        Field("b c", "STRING"),
        Field("sync_key", "STRING"),
        Field("ok", "STRING"),
    ]
    message = refusal(*fields)
    assert message.splitlines()[0] == "t: the configuration's columns do not fit the source:"
    *told, remedy = message.splitlines()[1:]
    assert [line.split(": ")[1].removeprefix("tables[0].columns.") for line in told] == [
        "a",
        "b c",
        "sync_key",
        "id",
    ]
    assert remedy.startswith("To leave out what is not needed, write  columns:")
    assert "another name with `sql:`" in message


@pytest.mark.parametrize(
    ("kind", "asked", "fits"),
    [
        ("STRING", {}, True),
        ("INTEGER", {}, True),
        ("INTEGER", {"type": "Long"}, True),
        ("BYTES", {}, True),
        ("TIMESTAMP", {}, True),
        ("BOOLEAN", {"type": "String"}, True),
        ("FLOAT", {}, False),
        ("BOOLEAN", {}, False),
        ("JSON", {}, False),
        ("NUMERIC", {}, False),
        ("NUMERIC", {"type": "String"}, True),
    ],
)
def test_key_types(kind: str, asked: dict[str, Any], fits: bool) -> None:
    """A key compares exactly: String, Int or Long. It is never nullable."""
    if fits:
        key = columns_of(settings({"id": asked}), [Field("id", kind)])[0]
        assert not key.column.nullable
        assert key.faults[-1].reason == "id: NULL in a column that is not nullable"
    else:
        assert "a key must be String, Int or Long" in refusal(
            Field("id", kind), columns={"id": asked}
        )


def test_a_key_that_is_not_there() -> None:
    """When columns are left out, only the source knows its columns."""
    assert "id: the key is not a column of the source; it has a, b" in refusal(
        Field("a", "STRING"), Field("b", "STRING")
    )


def test_the_cursors_column() -> None:
    """It is added as Int, or as declared; a source column of its name gives way if it may be the
    same, else is told.
    """
    fields = [Field("id", "STRING"), Field("at", "INTEGER")]
    *_, cursor = columns_of(settings(), fields)
    assert (cursor.name, cursor.column.type, cursor.column.nullable, cursor.value) == (
        "at",
        "Int",
        False,
        "sync_second",
    )
    assert "between the years 1901 and 2038" in cursor.faults[0].reason
    *_, cursor = columns_of(settings({"id": {}, "at": {"type": "Long"}}), fields[:1])
    assert (cursor.column.type, cursor.faults) == ("Long", ())
    assert "at: the source has a column of this name (STRING)" in refusal(
        Field("id", "STRING"), Field("at", "STRING")
    )


HELD = {
    "id": Column("id", "String", nullable=False),
    "a": Column("a", "String"),
    "at": Column("at", "Int", nullable=False),
}
WANTED = tuple(HELD.values())


def test_no_difference() -> None:
    """Equal; and what Aito allows beyond: nullable there and not here, a column of its own that
    may be absent.
    """
    assert compare("t", WANTED, HELD) == SchemaDifference()
    wider = {**HELD, "id": Column("id", "String"), "own": Column("own", "Json")}
    assert compare("t", WANTED, wider) == SchemaDifference()
    held = {**HELD, "b": Column("b", "Text", analyzer="standard")}
    assert compare("t", (*WANTED, Column("b", "Text")), held) == SchemaDifference()


def test_nullable_columns_are_added() -> None:
    """Old rows read them as absent."""
    new = Column("b", "Text", analyzer="en")
    assert compare("t", (*WANTED, new), HELD) == SchemaDifference(missing=(new,))


def test_every_difference_at_once() -> None:
    """Each problem names both sides."""
    held = {
        **HELD,
        "a": Column("a", "Int", nullable=False, link="p.id"),
        "own": Column("own", "Int", nullable=False),
        "text": Column("text", "Text", analyzer="fi"),
    }
    text = Column("text", "Text", analyzer="en")
    wanted = (*WANTED, text, Column("new", "Int", nullable=False))
    assert list(compare("t", wanted, held).problems) == [
        "a: type is Int in Aito and String here",
        "a: link is p.id in Aito and none here",
        f"a: {RELAXED}",
        "text: analyzer is fi in Aito and en here",
        "new: not in Aito, and only a nullable column can be added",
        "own: not nullable in Aito and not in the source",
    ]
