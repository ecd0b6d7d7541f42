"""Aito's schema, read and compared by meaning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sync.aito import schema
from sync.model.columns import Column, SchemaDifference

WANTED = (
    Column("id", "String", nullable=False),
    Column("n", "Int"),
    Column("words", "Text", analyzer="en"),
    Column("parent", "String", link="t.id"),
    Column("tags", "String[]"),
)


def columns(entries: dict[str, Any]) -> dict[str, Column]:
    """Columns as they are read from Aito's answer."""
    answer = {"schema": {"t": {"type": "table", "columns": entries}}}
    return dict(schema.read_schema(answer)["t"].columns)


def read_back(**changes: dict[str, Any]) -> dict[str, Any]:
    """What Aito shows of the table that was made of WANTED, written in another way."""
    entries = schema.table_json(WANTED)["columns"]
    return {name: {**entry, **changes.get(name, {})} for name, entry in entries.items()}


def test_nullable_is_always_sent() -> None:
    """Its default is disputed between Aito's sources."""
    for entry in schema.table_json(WANTED)["columns"].values():
        assert isinstance(entry["nullable"], bool)


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"words": {"analyzer": "english"}},
        {"words": {"analyzer": "English"}},
        {"words": {"analyzer": {"type": "language", "language": "english"}}},
        {"words": {"analyzer": {"type": "Language", "language": "en", "customStopWords": []}}},
        {"n": {"type": "int"}, "tags": {"type": "STRING[]"}, "words": {"type": "text"}},
        {"parent": {"link": "this.id"}},
    ],
)
def test_a_table_equals_itself_however_it_is_written(written: dict[str, dict[str, Any]]) -> None:
    """Each form of read-back that Aito's sources show is no difference."""
    held = columns(read_back(**written))
    alphabetical = {name: held[name] for name in sorted(held)}
    assert schema.compare("t", WANTED, held) == SchemaDifference()
    assert schema.compare("t", WANTED, alphabetical) == SchemaDifference()


def test_nullable_false_may_be_left_out() -> None:
    """A column without `nullable` holds no nulls where others are written to hold them."""
    entries = read_back()
    del entries["id"]["nullable"]
    held = columns(entries)
    assert schema.compare("t", WANTED, held) == SchemaDifference()
    assert not held["id"].nullable
    assert not columns({"id": {"type": "String"}})["id"].nullable


def test_nullable_true_may_be_left_out() -> None:
    """As a default that the OpenAPI names: where `false` is written, what is left out is true."""
    entries = read_back()
    for name in ("n", "words", "parent", "tags"):
        del entries[name]["nullable"]
    held = columns(entries)
    assert schema.compare("t", WANTED, held) == SchemaDifference()
    assert not held["id"].nullable


def test_a_link_to_this_may_be_wanted() -> None:
    """Self links compare in both directions."""
    wanted = [replace(WANTED[3], link="this.id")]
    held = {"parent": replace(WANTED[3], link="t.id")}
    assert schema.compare("t", wanted, held) == SchemaDifference()
    held = columns(read_back(parent={"link": "this.id"}))
    assert schema.compare("u", [replace(WANTED[3], link="u.id")], held).problems


def test_a_missing_nullable_column_can_be_added() -> None:
    """It is listed as such; a column that is not nullable is a problem."""
    held = {"id": WANTED[0]}
    missing = Column("late", "Int")
    difference = schema.compare("t", [WANTED[0], missing], held)
    assert difference == SchemaDifference(missing=(missing,))
    difference = schema.compare("t", [WANTED[0], replace(missing, nullable=False)], held)
    assert difference.missing == ()
    assert difference.problems == ("late: not in Aito, and only a nullable column can be added",)


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("n", {"type": "Long"}, "n: type is Long in Aito and Int here"),
        ("n", {"nullable": False}, f"n: {schema.RELAXED}"),
        ("parent", {"link": "u.id"}, "parent: link is u.id in Aito and t.id here"),
        ("n", {"link": "u.id"}, "n: link is u.id in Aito and none here"),
        ("words", {"analyzer": "fi"}, "words: analyzer is fi in Aito and en here"),
        (
            "words",
            {"analyzer": {"type": "language", "language": "en", "useDefaultStopWords": True}},
            "words: analyzer is {'type': 'language', 'language': 'en',"
            " 'useDefaultStopWords': True} in Aito and en here",
        ),
    ],
)
def test_real_differences_are_problems(name: str, change: dict[str, Any], problem: str) -> None:
    """What a person must decide, in words."""
    held = columns(read_back(**{name: change}))
    assert schema.compare("t", WANTED, held).problems == (problem,)


def test_a_link_in_aito_that_is_missing_here() -> None:
    """A link is a difference in both directions."""
    held = {"parent": replace(WANTED[3], link=None)}
    problem = "parent: link is none in Aito and t.id here"
    assert schema.compare("t", [WANTED[3]], held).problems == (problem,)


def test_an_analyzer_that_nobody_names_may_be_any() -> None:
    """Only a wanted analyzer is compared."""
    wanted = [replace(WANTED[2], analyzer=None)]
    assert schema.compare("t", wanted, {"words": WANTED[2]}) == SchemaDifference()
    held = {"words": replace(WANTED[2], analyzer=None)}
    problem = "words: analyzer is standard in Aito and en here"
    assert schema.compare("t", [WANTED[2]], held).problems == (problem,)


def test_columns_that_only_aito_has() -> None:
    """One that may be null stays as it is; one that may not is a problem."""
    held = {"id": WANTED[0], "extra": Column("extra", "Int")}
    assert schema.compare("t", [WANTED[0]], held) == SchemaDifference()
    held["extra"] = replace(held["extra"], nullable=False)
    problem = "extra: not nullable in Aito and not in the source"
    assert schema.compare("t", [WANTED[0]], held).problems == (problem,)


def test_other_kinds_are_kept_under_their_name() -> None:
    """A name that stands for something else than a table is there."""
    answer = {
        "schema": {
            "t": {"type": "Table", "columns": {}},
            "c": {"type": "collection", "fields": {"x": {"type": "Vector"}}},
        }
    }
    held = schema.read_schema(answer)
    assert held["t"].is_table
    assert (held["c"].kind, held["c"].is_table) == ("collection", False)


@pytest.mark.parametrize(
    "entry", [None, [], {}, {"fields": {}}, {"type": "table"}, {"type": 1}, {"columns": {"x": 1}}]
)
def test_what_cannot_be_read_stops_no_other_table(entry: Any) -> None:
    """It is there under its name, and is no table. No source shows how a collection looks."""
    held = schema.read_schema({"schema": {"odd": entry, "t": {"type": "table", "columns": {}}}})
    assert held["t"].is_table
    assert not held["odd"].is_table


def test_a_table_may_leave_out_its_type() -> None:
    """The OpenAPI does not require it."""
    held = schema.read_schema({"schema": {"t": {"columns": {"id": {"type": "Int"}}}}})
    assert list(held["t"].columns) == ["id"]


def test_types_of_others_are_kept() -> None:
    """A type that this version does not know stops nothing: the table may be somebody else's."""
    held = columns({"v": {"type": "Vector", "nullable": True}, "l": {"type": "long"}})
    assert (held["v"].type, held["l"].type) == ("Vector", "Long")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("whitespace", {"type": "delimiter", "delimiter": " "}, True),
        ("whitespace", {"type": "delimiter", "delimiter": " ", "trimWhiteSpace": True}, True),
        ("Whitespace", {"type": "delimiter", "delimiter": " ", "trimWhitespace": False}, False),
        ("standard", None, True),
        ("pt-br", "brazilian", True),
        ("pt", "pt-br", False),
        ("my-own", "my-own", True),
        (
            {"type": "token-ngram", "source": "en", "minGram": 1, "maxGram": 2},
            {
                "type": "token-ngram",
                "source": {"type": "language", "language": "english"},
                "minGram": 1,
                "maxGram": 2,
                "tokenSeparator": " ",
            },
            True,
        ),
        (
            {"type": "char-ngram", "minGram": 2, "maxGram": 3},
            {"type": "char-ngram", "minGram": 2, "maxGram": 4},
            False,
        ),
    ],
)
def test_analyzers_by_meaning(one: Any, other: Any, same: bool) -> None:
    """Short names, long names and objects with their defaults."""
    meanings = schema.analyzer_meaning(one), schema.analyzer_meaning(other)
    assert (meanings[0] == meanings[1]) is same
