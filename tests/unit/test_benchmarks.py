"""The benchmark's words and picture are those of its results; its sink counts truly.

Nothing is timed here.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import plot, readme, summary
from benchmarks.__main__ import RESULTS
from benchmarks.sink import Sink
from local._http import Request


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    """What was measured and committed."""
    found: dict[str, Any] = json.loads((RESULTS / "results.json").read_text(encoding="utf-8"))
    return found


def test_the_readme_claims_what_the_files_show(results: dict[str, Any]) -> None:
    """README.md is the text made from the results: nothing was measured or written since."""
    assert readme.PATH.read_text(encoding="utf-8") == readme.text(results)


def test_the_plot_shows_the_results(results: dict[str, Any]) -> None:
    """The plot is the one drawn from the results."""
    assert (RESULTS / "cost.svg").read_text(encoding="utf-8") == plot.drawn(results["contest"])


def test_numbers() -> None:
    """Medians, spreads and ratios; what was not measured is None."""
    runs = [
        {"side": side, "seconds": s}
        for side, all_of in (("a", (3, 1, 2)), ("b", (4, 4, 9)))
        for s in all_of
    ]
    assert summary.number(runs, "seconds", side="a") == summary.Number(2, 1, 3)
    assert summary.ratio(runs, "seconds", {"side": "a"}, {"side": "b"}) == 0.5
    assert summary.ratio(runs, "seconds", {"side": "a"}, {"side": "c"}) is None


def ask(sink: Sink, path: str, body: Any) -> Any:
    """One request to a sink."""
    data = json.dumps(body).encode()
    return json.loads(sink.answer(Request("POST", path, {}, data, len(data))).body)


def test_the_sink_counts_by_cursor() -> None:
    """Totals are true for every range, whatever the order of arrival, so that a verification
    cannot pass by itself.
    """
    sink = Sink()
    for batch in ([5, 3], [9]):
        ask(sink, "/api/v1/data/t/batch", [{"unix_timestamp": second} for second in batch])
    between = {"$and": [{"unix_timestamp": {"$gte": 3}}, {"unix_timestamp": {"$lt": 9}}]}
    assert ask(sink, "/api/v1/_search", {"from": "t", "where": between, "limit": 0})["total"] == 2
    newest = ask(
        sink, "/api/v1/_search", {"from": "t", "where": {"unix_timestamp": {"$lt": 9}}, "limit": 1}
    )
    assert newest == {"offset": 0, "total": 2, "hits": [{"unix_timestamp": 5}]}
    assert ask(sink, "/stats", {"pause": 0})["rows"] == 3
    assert ask(sink, "/api/v1/_search", {"from": "t", "limit": 0})["total"] == 0
