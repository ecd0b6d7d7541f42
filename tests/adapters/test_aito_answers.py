"""Whole runs while Aito misbehaves: a bounded number of requests, and both ends equal after all."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from local.stack import Stack
from tests.workbench import DAY, Workbench, batches_of, limit_slices, row

KINDS = ("insert", "search", "delete", "schema", "modify", "optimize")
LOST: list[tuple[str, Any]] = [
    *itertools.product(("cut", "hang", "error", "garbage"), ("none", "all")),
    *(
        ("cut", "half"),
        ("error", "half"),
        ("truncated", "all"),
        ("short", "all"),
        ("html", "all"),
        ("empty", "all"),
    ),
    *((what, "all") for what in ("bad_gateway", "gateway_timeout", "unavailable")),
    *(
        (what, "none")
        for what in ("contention", "throttled", "migrating", "quota", "row_limit", "forbidden")
    ),
    *((what, "none") for what in ("unauthorized", "missing", "refused", "too_large")),
]

QUICK = (
    ("cut", "all"),
    ("error", "none"),
    ("error", "half"),
    ("contention", "none"),
    ("refused", "none"),
)
FOR_EVER = ("error", "cut", "contention", "refused", "forbidden")


@pytest.fixture(scope="module")
def nights() -> dict[str, Workbench]:
    """One table for all the tests below: emulators are slow to make tables."""
    return {}


def night(nights: dict[str, Workbench], stack: Stack, mode: str) -> Workbench:
    """A table as it stands before a night's run: rows to load, to replace, to leave alone and to
    purge.
    """
    if mode not in nights:
        settings = {"aito": {"timeout_seconds": 0.1}, **batches_of(20)}
        bench = nights[mode] = Workbench(
            stack, f"retry_{mode}", mode, 10 * DAY, dataset=f"retry_{mode}", settings=settings
        )
        bench.put([row(f"k{i:02}", bench.now - 7200 - i) for i in range(30)])
        bench.run_ok()
        bench.put([row(f"k{i:02}", bench.now - 3000 - i, "again") for i in range(5)])
        bench.put([row(f"n{i:02}", bench.now - 60 - i) for i in range(30)])
        nights[f"{mode} rows"] = bench.aito_rows()  # type: ignore[assignment]
    bench = nights[mode]
    old: list[dict[str, Any]] = [
        {"id": f"old{i}", "at": "", "value": "", "unix": int(bench.now - 11 * DAY)} for i in (1, 2)
    ]
    bench.start_over([*nights[f"{mode} rows"], *old])  # type: ignore[misc]
    stack.aito.reset_stats()
    return bench


@pytest.mark.parametrize(
    ("what", "apply"),
    [pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow) for case in LOST],
)
def test_one_of_each_call_fails(
    stack: Stack, nights: dict[str, Workbench], what: str, apply: str
) -> None:
    """Whatever happens once to each kind of call in one run: both ends are equal after at most
    three more.
    """
    bench = night(nights, stack, "merge")
    for kind in KINDS:
        stack.aito.fail(what, on=kind, apply=apply, times=1)
    first = bench.run()
    stack.aito.heal()
    assert stack.aito.total() < 150
    if first.status == "ok":
        bench.assert_both_ends_equal()
    bench.run_until_ok(3)
    assert not [r for r in bench.aito_rows() if r["id"].startswith("old")], (
        "and the purge is made up for"
    )


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        pytest.param(kind, what, marks=() if what == "error" else pytest.mark.slow)
        for kind in KINDS
        for what in FOR_EVER
    ],
)
def test_one_kind_of_call_fails_for_ever(
    stack: Stack, nights: dict[str, Workbench], kind: str, what: str
) -> None:
    """A bounded number of requests, one clear status, no 200 that is not true; then it passes, and
    all is well.
    """
    bench = night(nights, stack, "append" if kind == "insert" else "merge")
    stack.aito.fail(what, on=kind, times=None)
    report = bench.run()
    requests = stack.aito.total()
    stack.aito.heal()
    assert requests < 250
    assert report.http_status in ((200,) if kind == "optimize" else (500, 503)), report.tables[
        0
    ].error
    assert report.tables[0].error is None if kind == "optimize" else report.tables[0].error
    bench.run_until_ok(3)


@pytest.mark.parametrize("apply", ["none", "half", "all"])
def test_the_answer_of_every_insert_is_lost(
    stack: Stack, nights: dict[str, Workbench], apply: str
) -> None:
    """Each batch is looked for, and only what is not there is sent again: equal in one run, and
    nothing doubled.
    """
    bench = night(nights, stack, "append")
    for skip in range(10):
        stack.aito.fail("cut", on="insert", apply=apply, skip=skip, times=1)
    report = bench.run_ok()
    assert report.uploaded == 35
    assert stack.aito.total("rows", "insert") <= 35


def test_a_key_that_came_again_and_a_lost_answer(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Aito holds an older row of the key, further back in the window: the newer one is not taken
    to have arrived.
    """
    limit_slices(monkeypatch, 1)
    bench = Workbench(stack, "retry_again", table={"lookback": "2d"})
    bench.put([row(f"k{i:02}", bench.now - 60 - i * 3600) for i in range(20)])
    bench.run_ok()
    bench.now += 3 * 3600
    bench.put([row("k05", bench.now - 60, "again"), row("new", bench.now - 50)])
    stack.aito.fail("cut", on="insert", apply="none")
    report = bench.run_ok()
    assert (report.uploaded, report.repaired) == (
        2,
        1,
    ), "the older row is removed, and nothing had to be sent again"
