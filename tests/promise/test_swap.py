"""Small tables swapped as a whole."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import requests

from local.stack import Stack
from tests.promise.ends import BAD, Ends, refuse_bad, row


def readers(stack: Stack, table: str, during: Callable[[], Any]) -> Counter[str]:
    """What four readers see who search all the time while something is done: what kinds of
    answers, how often.
    """
    seen: Counter[str] = Counter()
    over = threading.Event()

    def read() -> None:
        with requests.Session() as session:
            while not over.is_set():
                body = {"from": table, "limit": 1000, "select": ["value"]}
                headers = {"x-api-key": stack.aito.read_only_key}
                answer = session.post(
                    f"{stack.aito.url}/api/v1/_search", json=body, headers=headers, timeout=10
                )
                hits = answer.json().get("hits", [])
                kinds = Counter(hit["value"] for hit in hits)
                seen[f"{answer.status_code} {dict(kinds)}"] += 1

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        during()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    return seen


def test_readers_see_the_old_table_or_the_new_one(stack: Stack) -> None:
    """Never an empty one, never both mixed, never an error; also when the answer of the swap is
    lost.
    """
    ends = Ends(
        stack, "replace_readers", "replace", settings={"batch": {"rows": 50, "bytes": 5_000_000}}
    )
    ends.put([row(f"k{i:03}", ends.now, "old") for i in range(300)])
    ends.ok()

    def swap() -> None:
        ends.take([f"k{i:03}" for i in range(300)])
        ends.put([row(f"n{i:03}", ends.now, "new") for i in range(200)])
        stack.aito.fail("cut", on="rename", apply="all")
        ends.ok()

    seen = readers(stack, ends.name, swap)
    assert set(seen) == {"200 {'old': 300}", "200 {'new': 200}"}
    assert sum(seen.values()) > 50


@pytest.mark.parametrize("apply", ["none", "all"])
@pytest.mark.parametrize("what", ["cut", "error", "html"])
def test_the_answer_of_the_swap_is_lost(stack: Stack, what: str, apply: str) -> None:
    """The schema tells whether it happened: ok when it did, 503 and the old table when not."""
    ends = Ends(stack, f"replace_lost_{what}_{apply}", "replace")
    ends.put([row("a", ends.now)])
    ends.ok()
    ends.put([row("b", ends.now)])
    stack.aito.fail(what, on="rename", apply=apply)
    report = ends.run()
    if apply == "all":
        assert report.status == "ok"
    else:
        assert report.http_status == 503
        assert [r["id"] for r in ends.held()] == ["a"]
    ends.ok()
    assert set(stack.aito.schema()) & {f"{ends.name}__fresh"} == set()


def test_the_old_table_stays_until_the_new_one_is_whole(stack: Stack) -> None:
    """Too many rejects, a missing row, a doubled one: no swap, the reason, and readers see the old
    table.
    """
    ends = Ends(stack, "replace_stays", "replace")
    ends.put([row(f"k{i}", ends.now) for i in range(10)])
    ends.ok()
    ends.put([row("bad", ends.now, BAD)])
    refuse_bad(stack.aito)
    report = ends.run()
    stack.aito.refuse(None)
    assert report.http_status == 500
    assert "1 of 11 rows were rejected" in str(report.tables[0].error)
    assert len(ends.held()) == 10
    ends.ok()
    ends.put([row("c", ends.now)])

    def double(document: dict[str, Any]) -> None:
        if document["id"] == "k0":
            stack.aito.insert(f"{ends.name}__fresh", [{**document, "id": "x"}])

    stack.aito.refuse(double)
    report = ends.run()
    stack.aito.refuse(None)
    assert report.http_status == 503
    assert len(ends.held()) == 11
    ends.ok()


def test_a_batch_whose_answer_is_lost(stack: Stack) -> None:
    """What arrived is looked up by key; without a key the whole table is loaded anew."""
    keyed = Ends(
        stack, "replace_keyed", "replace", settings={"batch": {"rows": 5, "bytes": 5_000_000}}
    )
    keyed.put([row(f"k{i:02}", keyed.now) for i in range(20)])
    stack.aito.fail("error", on="insert", apply="half", times=2)
    keyed.ok()
    keyless = Ends(stack, "replace_keyless", "replace", table={"key": None})
    keyless.put([row(f"k{i:02}", keyless.now) for i in range(20)])
    stack.aito.fail("cut", on="insert", apply="half")
    assert keyless.run().http_status == 503
    keyless.ok()


def test_rows_without_a_key_may_be_twins(stack: Stack) -> None:
    """A table without a key holds what the source holds, equal rows included."""
    ends = Ends(stack, "replace_twins", "replace", table={"key": None})
    ends.put([row("a", ends.now), row("a", ends.now)])
    assert ends.run().status == "ok"
    assert len(ends.held()) == 2
