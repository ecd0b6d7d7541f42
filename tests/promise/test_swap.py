"""Small tables swapped as a whole."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import requests

from local.stack import Stack
from tests.faults import BAD, refuse_bad_rows
from tests.variations import slow
from tests.workbench import Workbench, batches_of, row


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
    bench = Workbench(stack, "replace_readers", "replace", settings=batches_of(50))
    bench.put([row(f"k{i:03}", bench.now, "old") for i in range(300)])
    bench.run_ok()

    def swap() -> None:
        bench.delete_from_source([f"k{i:03}" for i in range(300)])
        bench.put([row(f"n{i:03}", bench.now, "new") for i in range(200)])
        stack.aito.fail("cut", on="rename", apply="all")
        bench.run_ok()

    seen = readers(stack, bench.name, swap)
    assert set(seen) == {"200 {'old': 300}", "200 {'new': 200}"}
    assert sum(seen.values()) > 50


@pytest.mark.parametrize(
    ("what", "apply"),
    [
        *(("cut", "all"), ("error", "none"), ("html", "all")),
        *slow(("cut", "none"), ("error", "all"), ("html", "none")),
    ],
)
def test_the_answer_of_the_swap_is_lost(stack: Stack, what: str, apply: str) -> None:
    """The schema tells whether it happened: ok when it did, 503 and the old table when not."""
    bench = Workbench(stack, f"replace_lost_{what}_{apply}", "replace")
    bench.put([row("a", bench.now)])
    bench.run_ok()
    bench.put([row("b", bench.now)])
    stack.aito.fail(what, on="rename", apply=apply)
    report = bench.run()
    if apply == "all":
        assert report.status == "ok"
    else:
        assert report.http_status == 503
        assert [r["id"] for r in bench.aito_rows()] == ["a"]
    bench.run_ok()
    assert set(stack.aito.schema()) & {f"{bench.name}__fresh"} == set()


def test_the_old_table_stays_until_the_new_one_is_whole(stack: Stack) -> None:
    """Too many rejects, a missing row, a doubled one: no swap, the reason, and readers see the old
    table.
    """
    bench = Workbench(stack, "replace_stays", "replace")
    bench.put([row(f"k{i}", bench.now) for i in range(10)])
    bench.run_ok()
    bench.put([row(f"bad{i}", bench.now, BAD) for i in range(10)])
    refuse_bad_rows(stack.aito)
    report = bench.run()
    stack.aito.refuse(None)
    assert report.http_status == 500
    assert "10 of 20 rows were rejected" in str(report.tables[0].error)
    assert len(bench.aito_rows()) == 10
    bench.delete_from_source([f"bad{i}" for i in range(1, 10)])
    bench.run_ok()
    bench.put([row("c", bench.now)])

    def double(document: dict[str, Any]) -> None:
        if document["id"] == "k0":
            stack.aito.insert(f"{bench.name}__fresh", [{**document, "id": "x"}])

    stack.aito.refuse(double)
    report = bench.run()
    stack.aito.refuse(None)
    assert report.http_status == 503
    assert len(bench.aito_rows()) == 11
    bench.run_ok()


def test_a_batch_whose_answer_is_lost(stack: Stack) -> None:
    """What arrived is looked up by key; without a key the whole table is loaded anew."""
    keyed = Workbench(stack, "replace_keyed", "replace", settings=batches_of(5))
    keyed.put([row(f"k{i:02}", keyed.now) for i in range(20)])
    stack.aito.fail("error", on="insert", apply="half", times=2)
    keyed.run_ok()
    keyless = Workbench(stack, "replace_keyless", "replace", dataset="keyless", table={"key": None})
    keyless.put([row(f"k{i:02}", keyless.now) for i in range(20)])
    stack.aito.fail("cut", on="insert", apply="half")
    assert keyless.run().http_status == 503
    keyless.run_ok()


def test_rows_without_a_key_may_be_twins(stack: Stack) -> None:
    """A table without a key holds what the source holds, equal rows included."""
    bench = Workbench(stack, "replace_twins", "replace", table={"key": None})
    bench.put([row("a", bench.now), row("a", bench.now)])
    assert bench.run().status == "ok"
    assert len(bench.aito_rows()) == 2


def test_many_bad_rows_stop_the_load(stack: Stack) -> None:
    """More than rejects.max_share of all rows are bad: the load ends before it has tried each."""
    bench = Workbench(stack, "replace_all_bad", "replace")
    bench.put([row(f"k{i:04}", bench.now, BAD) for i in range(1000)])
    refuse_bad_rows(stack.aito)
    report = bench.run()
    stack.aito.refuse(None)
    assert report.http_status == 500
    assert "11 of 1,000 rows were rejected" in str(report.tables[0].error)
    assert stack.aito.total(on="insert") < 60


def test_server_errors_without_a_key(stack: Stack) -> None:
    """A row that Aito answers 500 to is found by counts, and rejected. The others are loaded."""
    table = {"key": None, "rejects": {"max_share": 0.5}}
    bench = Workbench(stack, "replace_500", "replace", table=table)
    bench.put([row(f"k{i}", bench.now, BAD if i == 3 else "v") for i in range(10)])
    refuse_bad_rows(stack.aito)
    stack.aito.refusal_status = 500
    try:
        report = bench.run().tables[0]
    finally:
        stack.aito.refuse(None)
        stack.aito.refusal_status = 400
    assert (report.status, report.rejected, len(bench.aito_rows())) == ("ok", 1, 9), report.error


def test_a_fresh_table_of_somebody_else(stack: Stack) -> None:
    """A table of this name that the sync did not make is not dropped. Its own leftover is."""
    bench = Workbench(stack, "replace_theirs", "replace")
    bench.put([row("a", bench.now)])
    stack.aito.create_table(f"{bench.name}__fresh", {"id": {"type": "String", "nullable": False}})
    report = bench.run()
    assert report.http_status == 500
    assert "which this sync did not make" in str(report.tables[0].error)
    assert f"{bench.name}__fresh" in stack.aito.schema()
    stack.aito.drop_table(f"{bench.name}__fresh")
    stack.aito.fail("error", on="rename", times=1)
    assert bench.run().http_status == 503
    assert f"{bench.name}__fresh" in stack.aito.schema()
    bench.run_ok()
