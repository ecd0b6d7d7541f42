"""Columns: what each BigQuery type becomes, what is refused, and how a difference to Aito's table
is told.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from sync.base.errors import SchemaMismatch
from sync.bigquery import types as schema
from sync.bigquery.types import Column, Field
from sync.config import TableSettings, parse
from tests.workbench import NOW, Workbench, iso, table

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


def made(field: Field, **asked: Any) -> Column:
    """The column that a field becomes."""
    columns = schema.columns(
        settings({"id": {}, field.name: asked}), [Field("id", "STRING"), field]
    )
    return next(column for column in columns if column.name == field.name)


def refusal(*fields: Field, columns: dict[str, Any] | None = None, **more: Any) -> str:
    """The message with which a source is refused."""
    with pytest.raises(SchemaMismatch) as error:
        schema.columns(settings(columns, **more), fields)
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
    assert made(Field("x", kind, fields=inner)).type == aito_type
    array = "Json" if aito_type == "Json" else f"{aito_type}[]"
    assert made(Field("x", kind, repeated=True, fields=inner)).type == array


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
    assert made(field, **asked).definition() == expected


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
            Field("x", "RECORD", fields=(Field("y", "RANGE"),)),
            {},
            "y (RANGE) inside it cannot be converted; use `sql:`",
        ),
        (Field("x", "PROTO"), {}, "BigQuery type PROTO is not known; use `sql:`"),
        (
            Field("x", "STRING"),
            {"type": "Int"},
            "STRING cannot become Int; leave `type` out for String, or use `sql:`",
        ),
        (Field("x", "BOOLEAN"), {"type": "Int"}, "BOOLEAN cannot become Int"),
        (Field("x", "FLOAT"), {"type": "Long"}, "FLOAT cannot become Long"),
        (Field("x", "STRING"), {"type": "String[]"}, "STRING cannot become String[]"),
        (
            Field("x", "STRING", True),
            {"type": "String"},
            "ARRAY<STRING> cannot become String; leave `type` out for Str",
        ),
        (
            Field("x", "INTEGER", True),
            {"type": "Boolean[]"},
            "ARRAY<INTEGER> cannot become Boolean[]",
        ),
        (RECORD, {"type": "String"}, "RECORD cannot become String; leave `type` out for Json"),
    ],
)
def test_refused_conversions(field: Field, asked: dict[str, Any], told: str) -> None:
    """Each names the column, what it is, and what to write instead."""
    message = refusal(Field("id", "STRING"), field, columns={"id": {}, field.name: asked})
    assert f"  - {field.name}: " in message
    assert told in message


def test_everything_wrong_is_told_at_once() -> None:
    """One message for all columns."""
    fields = [
        Field("id", "BOOLEAN"),
        Field("a", "RANGE"),
        Field("b c", "STRING"),
        Field("sync_key", "STRING"),
        Field("ok", "STRING"),
    ]
    message = refusal(*fields)
    assert message.splitlines()[0] == "t: the source does not fit Aito:"
    assert [line.split(":")[0] for line in message.splitlines()[1:]] == [
        "  - a",
        "  - b c",
        "  - sync_key",
        "  - id",
    ]
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
        key = schema.columns(settings({"id": asked}), [Field("id", kind)])[0]
        assert not key.nullable
        assert key.faults[-1][1] == "id: NULL in a column that is not nullable"
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
    *_, cursor = schema.columns(settings(), fields)
    assert (cursor.name, cursor.type, cursor.nullable, cursor.value) == (
        "at",
        "Int",
        False,
        "sync_second",
    )
    assert "between the years 1901 and 2038" in cursor.faults[0][1]
    *_, cursor = schema.columns(settings({"id": {}, "at": {"type": "Long"}}), fields[:1])
    assert (cursor.type, cursor.faults) == ("Long", ())
    assert "at: the source has a column of this name (STRING)" in refusal(
        Field("id", "STRING"), Field("at", "STRING")
    )


HELD = {
    "id": {"type": "String", "nullable": False},
    "a": {"type": "String", "nullable": True},
    "at": {"type": "Int", "nullable": False},
}
WANTED = (
    Column("id", "String", "", False),
    Column("a", "String", ""),
    Column("at", "Int", "", False),
)


def test_no_difference() -> None:
    """Equal; and what Aito allows beyond: nullable there and not here, a column of its own that
    may be absent.
    """
    assert schema.missing_columns("t", WANTED, HELD) == []
    wider = {
        **HELD,
        "id": {"type": "String", "nullable": True},
        "own": {"type": "Json", "nullable": True},
    }
    assert schema.missing_columns("t", WANTED, wider) == []
    text = (*WANTED, Column("b", "Text", ""))
    assert (
        schema.missing_columns(
            "t", text, {**HELD, "b": {"type": "Text", "nullable": True, "analyzer": "standard"}}
        )
        == []
    )


def test_nullable_columns_are_added() -> None:
    """Old rows read them as absent."""
    new = Column("b", "Text", "", analyzer="en")
    assert schema.missing_columns("t", (*WANTED, new), HELD) == [new]


def test_every_difference_in_one_message() -> None:
    """Each names both sides; the remedy stands at the end."""
    held = {
        **HELD,
        "a": {"type": "Int", "nullable": False, "link": "p.id"},
        "own": {"type": "Int", "nullable": False},
        "text": {"type": "Text", "nullable": True, "analyzer": "fi"},
    }
    wanted = (*WANTED, Column("text", "Text", "", analyzer="en"), Column("new", "Int", "", False))
    with pytest.raises(SchemaMismatch) as error:
        schema.missing_columns("t", wanted, held)
    assert str(error.value).splitlines() == [
        "t: Aito's table differs:",
        "  - a: type is Int in Aito and String here",
        "  - a: link is p.id in Aito and none here",
        "  - a: not nullable in Aito and nullable here",
        "  - text: analyzer is fi in Aito and en here",
        "  - new: not in Aito, and only a nullable column can be added",
        "  - own: not nullable in Aito and not in the source",
        "Remedy: change `columns` in the configuration to match, "
        "or drop the table in Aito and let the next sync make it.",
    ]


SOURCE = {"id": "STRING", "ts": "TIMESTAMP", "parent": "STRING", "extra": "STRING"}
ROWS = [
    {"id": f"k{n}", "ts": iso(NOW - 100 + n), "parent": "k1", "extra": f"e{n}"} for n in range(5)
]


def test_a_table_that_differs_fails_before_any_row_moves(bench: Workbench) -> None:
    """500, every difference told, nothing written; the other table is loaded all the same."""
    bench.load_source("rows", SOURCE, ROWS)
    bench.aito.create_table(
        "schema_odd", {"id": {"type": "Int"}, "at": {"type": "Int"}, "must": {"type": "Int"}}
    )
    columns = {"id": {}, "extra": {"nullable": False}}
    odd = table("schema_odd", f"{bench.name}.rows", columns=columns)
    report = bench.run(odd, table("schema_even", f"{bench.name}.rows"))
    assert (report.status, report.http_status) == ("failed", 500)
    failed, even = report.tables
    assert (failed.status, even.status, even.uploaded) == ("failed", "ok", 5)
    for part in (
        "id: type is Int in Aito and String here",
        "extra: not in Aito",
        "must: not nullable in Aito",
        "Remedy:",
    ):
        assert part in (failed.error or "")
    assert bench.aito.rows("schema_odd") == []
    assert not [
        e
        for e in bench.aito.log
        if e.table == "schema_odd" and e.kind in ("insert", "modify", "schema.write")
    ]
    assert bench.event("run_done")["severity"] == "ERROR"


def test_parents_are_made_first_and_columns_added(bench: Workbench) -> None:
    """The order of the file does not matter; a column asked for later is added, and old rows lack
    it.
    """
    bench.load_source("rows", SOURCE, ROWS)
    source = f"{bench.name}.rows"
    child = table(
        "schema_child", source, columns={"id": {}, "parent": {"link": "schema_parent.id"}}
    )
    bench.run_ok(child, table("schema_parent", source, columns={"id": {}}))
    made = [
        entry.table
        for entry in bench.aito.log
        if entry.kind == "schema.write" and entry.status == 200
    ]
    assert made == ["schema_parent", "schema_child"]
    assert bench.aito.schema()["schema_child"]["columns"]["parent"]["link"] == "schema_parent.id"
    wider = {**child, "columns": {**child["columns"], "extra": {"type": "Text", "analyzer": "en"}}}
    bench.load_source(
        "rows", SOURCE, [{"id": "k9", "ts": iso(NOW - 1), "parent": "k1", "extra": "new"}]
    )
    report = bench.run_ok(wider, table("schema_parent", source, columns={"id": {}}))
    assert report.uploaded == 1
    assert {row["id"]: row.get("extra") for row in bench.aito.rows("schema_child")}["k9"] == "new"
    assert sum("extra" in row for row in bench.aito.rows("schema_child")) == 1


def test_awkward_column_names(bench: Workbench) -> None:
    """Reserved words, our own queries' names and letters from everywhere are columns like any
    other.
    """
    names = [
        "select",
        "from",
        "order",
        "element",
        "place",
        "made",
        "later",
        "sync_cursors",
        "größe",
        "n_rows",
    ]
    bench.load_source(
        "rows",
        {"id": "STRING", "ts": "TIMESTAMP", **dict.fromkeys(names, "STRING")},
        [{"id": "a", "ts": iso(NOW - 5), **{name: name for name in names}}],
    )
    bench.run_ok(table("schema_names", f"{bench.name}.rows"))
    (row,) = bench.aito.rows("schema_names")
    assert {name: row.get(name) for name in names} == {name: name for name in names}
