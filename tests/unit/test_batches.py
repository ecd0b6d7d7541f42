"""Batches are joined and taken apart by text alone:
nothing of a document may be lost on the way.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.model import batches
from sync.model.batches import Batch

TEXTS = st.text() | st.sampled_from(
    [",\n", "\n", "],\n[", '{"a":1},\n{', "\u2028", "\r\n", "\\", '"', "3\n{}"]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=4,
)
DOCUMENTS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=3), max_size=8)
BRIEF = settings(max_examples=30, deadline=None)


def written(values: list[dict[str, Any]]) -> list[str]:
    """Documents as BigQuery writes them: JSON without a raw line feed."""
    return [json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in values]


@BRIEF
@given(DOCUMENTS)
def test_join_and_split(values: list[dict[str, Any]]) -> None:
    """Whatever the documents hold, they come out as they went in, and what is sent is a JSON array
    of them.
    """
    documents = written(values)
    batch = batches.of(documents, 7)
    assert batch.documents() == documents
    assert (batch.rows, batch.newest, batch.flagged) == (len(values), 7, 0)
    assert json.loads(batch.text) == values
    assert [row.values for row in batch.read()] == values


@BRIEF
@given(DOCUMENTS, st.data())
def test_flagged_rows_stand_among_the_others(
    values: list[dict[str, Any]], data: st.DataObject
) -> None:
    """A row at fault carries the fault's number; it is told apart from any document, and its text
    restores it.
    """
    faults = data.draw(
        st.lists(st.none() | st.integers(0, 99), min_size=len(values), max_size=len(values))
    )
    documents = written(values)
    texts = [d if f is None else f"{f}\n{d}" for d, f in zip(documents, faults, strict=True)]
    batch = batches.of(texts)
    rows = batch.read()
    assert [(row.document, row.fault) for row in rows] == list(zip(documents, faults, strict=True))
    assert [row.text for row in rows] == texts
    assert batch.flagged == sum(fault is not None for fault in faults)


@BRIEF
@given(DOCUMENTS)
def test_halves(values: list[dict[str, Any]]) -> None:
    """Two batches with the same rows in the same order, as even as can be."""
    batch = batches.of(written(values), 3)
    first, second = batches.halves(batch)
    assert first.documents() + second.documents() == batch.documents()
    assert 0 <= second.rows - first.rows <= 1
    assert first.newest == second.newest == 3


@BRIEF
@given(DOCUMENTS, st.integers(1, 200))
def test_within(values: list[dict[str, Any]], size: int) -> None:
    """No part is larger than asked unless it is one row; rows and order stay."""
    batch = batches.of(written(values))
    parts = list(batches.within(batch, size))
    assert [d for part in parts for d in part.documents()] == batch.documents()
    assert all(part.rows <= 1 or len(part.body) <= size for part in parts)


@pytest.mark.parametrize("size", [1, 2, 100])
def test_nothing_stays_nothing(size: int) -> None:
    """An empty batch has no documents and ends at once, however small the limit."""
    empty = batches.of([])
    assert (empty.text, empty.documents(), empty.read()) == ("[]", [], [])
    assert list(batches.within(empty, size)) == [empty]


def test_body_is_utf8() -> None:
    """Sizes are bytes, not characters."""
    assert len(batches.of(['{"a":"👩"}']).body) == len('[{"a":""}]') + 4


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ('{"id":5}', "5"),
        ('{"id":"x"}', "x"),
        ('{"id":null}', None),
        ("{}", None),
        (f'{{"id":{2**63 - 1}}}', f"{2**63 - 1}"),
    ],
)
def test_keys_as_text(document: str, key: str | None) -> None:
    """As BigQuery's CAST to STRING gives them."""
    (row,) = Batch(f"[{document}]".encode(), 1, None).read()
    assert row.key("id") == key
    assert row.key(None) is None
