"""What became of a source's columns, told from two definitions."""

from __future__ import annotations

import pytest

from sync.pipeline.column_changes import column_changes

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


def test_an_older_definition_knows_no_columns() -> None:
    """Nothing is said of what is not known, nor of columns that the configuration lists."""
    assert column_changes("source=1;keep=None", BEFORE, takes_all=True) == []
    assert column_changes(None, BEFORE, takes_all=True) == []
    fewer = "source=1;types=id:STRING,n:STRING"
    found = column_changes(BEFORE, fewer, takes_all=False)
    assert [(change.column, change.kind) for change in found] == [("n", "retyped")]
