"""How the tests take a statement apart."""

from __future__ import annotations

import pytest

from tests.sources import TABLES, queries
from tests.sql_steps import Step, steps, uses

ODD = r"""
WITH a AS (SELECT ')' AS x, "(" AS y, `(` -- )
  FROM t /* ( */ WHERE f('\')')),
b2 AS (SELECT (1))
SELECT x FROM a, b2"""


def test_texts_names_and_comments_hold_no_brackets() -> None:
    """Only brackets of the statement itself count."""
    first, second, last = steps(ODD)
    assert first.name == "a"
    assert first.body.endswith(r"WHERE f('\')')")
    assert second == Step("b2", "SELECT (1)")
    assert last.body.strip() == "SELECT x FROM a, b2"
    assert list(steps("SELECT 1")) == [Step("", "SELECT 1")]
    with pytest.raises(ValueError, match="not closed"):
        list(steps("WITH a AS (SELECT 1"))


def test_no_text_is_lost() -> None:
    """The steps of a statement make its text again."""
    for table in TABLES.values():
        for query in queries(table).values():
            *named, last = steps(query.text)
            heads = [f"{step.name} AS ({step.body})" for step in named]
            whole = f"WITH {', '.join(heads)}{last.body}" if named else last.body
            assert "".join(whole.split()) == "".join(query.text.split())


def test_what_a_step_uses() -> None:
    """A name inside another name is none."""
    assert uses("SELECT * FROM made", "made")
    assert not uses("SELECT made_at FROM remade", "made")
    assert uses("x = @end", "@end")
    assert not uses("x = @end_second", "@end")
