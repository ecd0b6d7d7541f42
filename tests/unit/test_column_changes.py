"""What became of a source's columns, told from two definitions."""

from __future__ import annotations

import pytest

from sync.pipeline.column_changes import column_changes
from sync.pipeline.definition import changes, value_kind

BEFORE = "source=1;columns=1;keep=None;types=id:STRING,a%3Bb:STRING,n:INTEGER,old:DATE"


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ("id:STRING,a%3Bb:STRING,n:INTEGER,old:DATE", []),
        ("id:STRING,a%3Bb:STRING,n:INTEGER,old:DATE,x:BOOLEAN", [("x", "new")]),
        ("id:STRING,a%3Bb:STRING,n:INTEGER", [("old", "lost")]),
        ("id:STRING,a%3Bb:STRING,n:INTEGER,day:DATE", [("day", "renamed")]),
        (
            "id:STRING,a%3Bb:STRING,n:INTEGER,d:DATE,e:DATE",
            [("d", "new"), ("e", "new"), ("old", "lost")],
        ),
        ("id:STRING,a%3Bb:STRING,n:STRING,old:DATE", [("n", "retyped")]),
        ("id:STRING,n:INTEGER,old:DATE", [("a;b", "lost")]),
    ],
)
def test_changes(types: str, expected: list[tuple[str, str]]) -> None:
    """New, lost, renamed (one of a type went and one came) and retyped."""
    found = column_changes(BEFORE, f"source=1;types={types}", takes_all=True)
    assert [(change.column, change.kind) for change in found] == expected


OF_STRUCTS = "types=id:STRING,s:RECORD,s.a:STRING,s.t:RECORD,s.t.x:DATE"


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ("id:STRING,s:RECORD,s.a:STRING,s.b:STRING,s.t:RECORD,s.t.x:DATE", [("s.b", "new")]),
        ("id:STRING,s:RECORD,s.a:STRING,s.t:RECORD,s.t.y:DATE", [("s.t.y", "renamed")]),
        ("id:STRING,s:RECORD,s.a:INTEGER,s.t:RECORD,s.t.x:DATE", [("s.a", "retyped")]),
        ("id:STRING,s:RECORD,s.a:STRING,x:DATE", [("x", "new"), ("s.t", "lost")]),
        ("id:STRING,s:STRING", [("s", "retyped")]),
        ("id:STRING,s:RECORD", []),
    ],
)
@pytest.mark.parametrize("takes_all", [True, False])
def test_members_of_structs(types: str, expected: list[tuple[str, str]], takes_all: bool) -> None:
    """They are told apart from columns; a struct that came or went is one change.

    An earlier version knew no members, and nothing is said of them then.
    """
    found = column_changes(OF_STRUCTS, f"types={types}", takes_all=takes_all)
    told = [(change.column, change.kind) for change in found]
    assert told == [each for each in expected if takes_all or "." in each[0] or each[0] == "s"]


def test_an_older_definition_knows_no_columns() -> None:
    """Nothing is said of what is not known, nor of columns that the configuration lists."""
    assert column_changes("source=1;keep=None", BEFORE, takes_all=True) == []
    assert column_changes(None, BEFORE, takes_all=True) == []
    fewer = "source=1;types=id:STRING,n:STRING"
    found = column_changes(BEFORE, fewer, takes_all=False)
    assert [(change.column, change.kind) for change in found] == [("n", "retyped")]


@pytest.mark.parametrize(
    ("aito_type", "before", "after", "is_same"),
    [
        ("Decimal", "INTEGER", "NUMERIC", True),
        ("Int[]", "ARRAY<INTEGER>", "ARRAY<INTEGER>", True),
        ("Decimal[]", "ARRAY<FLOAT>", "ARRAY<NUMERIC>", True),
        ("Long", "INTEGER", "TIMESTAMP", False),
        ("String", "INTEGER", "NUMERIC", False),
        ("String", "TIMESTAMP", "DATETIME", False),
    ],
)
def test_what_values_are_made_of(aito_type: str, before: str, after: str, is_same: bool) -> None:
    """Equal numbers are one value; texts and times depend on the source's type."""
    assert (value_kind(before, aito_type) == value_kind(after, aito_type)) is is_same


def test_members_that_an_earlier_version_did_not_know() -> None:
    """They are no change of the definition: an update alone reads nothing again."""
    before, after = "columns=1;keep=None;types=s:RECORD", "columns=1;members=2;keep=None;types="
    assert changes(before, after) == []
    assert changes(after, after.replace("members=2", "members=3")) == ["members"]
    assert changes(after, f"values=4;{after}") == []
    assert changes(f"values=3;{after}", f"values=4;{after}") == ["values"]
