"""Every fault of Aito on every kind of write, applied at once, by half, late, or not at all.

One run meets the fault. Then what was kept back is applied, and the following run must reach the
promise: no row lost, none doubled, none rejected that is good.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from local.aito.faults import ANSWERS
from local.stack import Stack
from tests.workbench import DAY, Workbench, batches_of, row

KEEP = 10 * DAY
# After these the call may have been applied, now or later.
UNKNOWN = (
    "error",
    "gateway",
    "unavailable",
    "bad_gateway",
    "gateway_timeout",
    "garbage",
    "html",
    "empty",
    "cut",
    "hang",
)
WITH_THE_TRUE_ANSWER = ("truncated", "short", "slow")
# These answers say that rows are bad. A row that is alone in its request becomes a reject then, and
# the following run closes it.
AGAINST_ROWS = ("refused", "too_large")
CALLS = 4  # until 200. One may meet the rest of a fault

Change = Callable[[Workbench, int], dict[str, Any]]


def insert(bench: Workbench, number: int) -> dict[str, Any]:
    """New rows, in two batches."""
    bench.put([row(f"i{number:03}{n}", bench.now - 30 + n) for n in range(6)])
    return {}


def update(bench: Workbench, number: int) -> dict[str, Any]:
    """Newer states of rows that Aito holds, and a new row."""
    changed = [row(f"k{n}", bench.now - 30 + n, f"v{number}") for n in range(5)]
    bench.put([*changed, row(f"u{number:03}", bench.now - 9)])
    return {}


def delete(bench: Workbench, number: int) -> dict[str, Any]:
    """Rows that the source has no more."""
    keys = [f"d{number:03}{n}" for n in range(4)]
    bench.put([row(key, bench.now - 40) for key in keys])
    bench.run_ok()
    bench.delete_from_source(keys[:3])
    return {"action": "reconcile", "allow": frozenset({"delete"})}


def purge(bench: Workbench, number: int) -> dict[str, Any]:
    """Rows that become older than `keep`."""
    bench.put([row(f"p{number:03}{n}", bench.now - KEEP + 20 + n) for n in range(4)])
    bench.run_ok(full_refresh=True)
    bench.now += 60
    bench.put([row(f"q{number:03}", bench.now - 3)])
    return {}


# Kind of call -> mode of the table, and what leads to such a call.
CHANGES: dict[str, tuple[str, Change]] = {
    "insert": ("append", insert),
    "modify": ("merge", update),
    "delete": ("append", delete),
    "delete of old rows": ("append", purge),
    "optimize": ("append", insert),
}


@pytest.fixture(scope="module")
def benches() -> dict[str, Workbench]:
    """A table for each mode and kind of call."""
    return {}


def bench_of(stack: Stack, benches: dict[str, Workbench], kind: str) -> tuple[Workbench, Change]:
    """A loaded table, and what leads to a call of the kind."""
    mode, change = CHANGES[kind]
    if kind not in benches:
        name = f"faults_{kind.replace(' ', '_')}"
        limits = {"aito": {"timeout_seconds": 1}, **batches_of(4)}
        bench = Workbench(stack, name, mode, KEEP, dataset=name, settings=limits)
        bench.put([row(f"k{n}", bench.now - 900 + n) for n in range(5)])
        bench.run_ok()
        benches[kind] = bench
    return benches[kind], change


def rejected(bench: Workbench) -> list[Any]:
    """The keys whose newest record among the rejects does not close them."""
    newest: dict[Any, Any] = {}
    for record in sorted(bench.rejects(), key=lambda record: record["rejected_at"]):
        newest[record["key"]] = record["closed_at"]
    return [key for key, closed_at in newest.items() if closed_at is None]


def meet(bench: Workbench, change: Change, kind: str, number: int, fault: str, apply: str) -> None:
    """One change under a fault, and the following runs without one."""
    bench.now += 60
    rejects = len(bench.rejects())
    request = change(bench, number)
    bench.aito.fail(fault, on=kind.partition(" ")[0], apply=apply, times=2)
    bench.run(**request)
    bench.aito.heal()
    bench.aito.land()
    try:
        bench.run_until_ok(CALLS, **request)
    except AssertionError as error:
        raise AssertionError(f"{fault}, applied {apply}: {error}") from error
    assert rejected(bench) == [], (fault, apply)
    if fault not in AGAINST_ROWS:
        assert len(bench.rejects()) == rejects, (fault, apply)
    old = {"unix": {"$lt": bench.now - KEEP}}
    assert request or bench.aito.count(bench.name, old) == 0, (fault, apply)


@pytest.mark.parametrize("kind", CHANGES)
def test_a_gateway_that_applies_late(
    stack: Stack, benches: dict[str, Workbench], kind: str
) -> None:
    """It answers 500, and what it was asked is done after the run."""
    bench, change = bench_of(stack, benches, kind)
    meet(bench, change, kind, 0, "gateway", "late")


@pytest.mark.slow  # 45 faults on each kind of call: minutes
@pytest.mark.parametrize("kind", CHANGES)
def test_all_faults(stack: Stack, benches: dict[str, Workbench], kind: str) -> None:
    """The table of all faults."""
    bench, change = bench_of(stack, benches, kind)
    number = 0
    for fault in ANSWERS:
        ways = ["all"] if fault in WITH_THE_TRUE_ANSWER else ["none"]
        if fault in UNKNOWN:
            ways += ["half", "all", "late"]
        for apply in ways:
            number += 1
            meet(bench, change, kind, number, fault, apply)
