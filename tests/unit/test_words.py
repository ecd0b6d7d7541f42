"""Numbers with their nouns."""

from __future__ import annotations

import pytest

from sync.base.words import counted


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 rows are"), (1, "1 row is"), (2, "2 rows are"), (1234, "1,234 rows are")],
)
def test_one_is_singular(count: int, words: str) -> None:
    """One of a thing is said in the singular, and thousands have commas."""
    assert counted(count, "row is", "rows are") == words


def test_a_plural_is_an_s() -> None:
    """A plural that is not given is the noun with an s."""
    assert counted(3, "slice") == "3 slices"
