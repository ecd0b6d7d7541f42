"""What BigQuery says of a query, in the words of the file."""

from __future__ import annotations

import pytest

from sync.bigquery import explain


@pytest.mark.parametrize(
    ("words", "place", "told"),
    [
        (
            "Unrecognized name: updated at [1:8]",
            ("cursor", "source"),
            "no column 'updated'; correct the name",
        ),
        (
            "Unrecognized name: att; Did you mean at? at [1:8]",
            ("query",),
            "no column 'att'; did you mean 'at'?",
        ),
        ("Syntax error: Expected end at [3:7]", ("columns", "x", "sql"), " at [2:7]"),
        ("Syntax error: Expected end at [1:7]", ("where",), "Expected end"),
        ("Bad type at [3:7]", ("cursor", "source"), "Bad type"),
    ],
)
def test_positions(words: str, place: tuple[str, ...], told: str) -> None:
    """A position stays where it is one of the file's own text, and counts from its first line."""
    assert explain._own_words(words, place, ()).endswith(told)


def test_the_nearest_column() -> None:
    """The source's columns are listed after a name that is none of them."""
    told = explain._own_words("Unrecognized name: tag at [1:1]", ("where",), ["tags", "id"])
    assert told == "no column 'tag'; did you mean 'tags'?"
