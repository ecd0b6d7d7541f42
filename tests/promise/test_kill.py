"""A run killed after any of its writes: the next runs reach the promised state, and are ok only
then.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from local.stack import Stack
from tests.faults import KillAfter, Killed
from tests.variations import slow
from tests.workbench import DAY, HOUR, Row, Workbench, batches_of, row

ROWS = 60
STEPS = 60  # more than any run here takes


def day_one(now: float) -> list[Row]:
    """Rows until two hours ago, a few of them sent twice."""
    rows = [row(f"k{i:03}", now - 2 * HOUR - i * 600) for i in range(ROWS)]
    return rows + [dict(each) for each in rows[:3]]


def day_two(now: float, mode: str) -> list[Row]:
    """What came since: new rows, ties, late ones within the lookback, and keys that come again."""
    dice = random.Random(2)
    rows = [row(f"n{i:03}", now - 1 - dice.randrange(2 * HOUR - 1)) for i in range(ROWS)]
    rows += [row(f"t{i}", now - 2 * HOUR) for i in range(5)]
    rows += [row(f"l{i}", now - 2 * HOUR - 60 * i) for i in range(5)]
    rows += [row(f"k{i:03}", now - 100 - i, "again") for i in range(4)]
    if mode == "merge":
        rows += [row(f"k{i:03}", now - 200 - i, "changed") for i in range(20, 40)]
    return rows


def killed_after_each_step(bench: Workbench, each: int = 1, **asked: Any) -> int:
    """Kill the run after its n-th step, for every n, or for each `each`-th one.

    -> how many steps it has.
    """
    before = bench.aito_rows()
    for step in range(1, STEPS, each):
        bench.start_over(before)
        with KillAfter(request=step) as kill:
            try:
                bench.run(**asked)
            except Killed:
                pass
            else:
                return step - 1
        bench.expire_leases()
        try:
            bench.run_until_ok(2, **asked)
        except AssertionError as error:
            raise AssertionError(
                f"killed after step {step}, {kill.sent[step - 1]}: {error}"
            ) from error
    raise AssertionError(f"the run takes over {STEPS} steps")


@pytest.mark.parametrize(("mode", "each"), [("append", 5), *slow(("append", 1), ("merge", 1))])
def test_killed_while_loading(stack: Stack, mode: str, each: int) -> None:
    """Killed between any two requests of a night's run, no row is lost or doubled."""
    bench = Workbench(stack, f"killed_{mode}", mode, settings=batches_of(25))
    bench.put(day_one(bench.now))
    bench.run_ok()
    bench.put(day_two(bench.now, mode))
    assert killed_after_each_step(bench, each) > 10


@pytest.mark.slow
def test_killed_while_replacing(stack: Stack) -> None:
    """The old table stays until the new one is complete. A table left by a dead run does no
    harm.
    """
    bench = Workbench(stack, "killed_replace", "replace", settings=batches_of(25))
    bench.put(day_one(bench.now))
    bench.run_ok()
    bench.put([row(f"n{i}", bench.now) for i in range(10)])
    assert killed_after_each_step(bench) > 10


@pytest.mark.slow
def test_killed_while_reconciling(stack: Stack) -> None:
    """A repair that dies half-way leaves rows to repair, and no new damage."""
    bench = Workbench(stack, "killed_reconcile", settings=batches_of(25))
    bench.put(day_one(bench.now))
    bench.run_ok()
    bench.stack.aito.double_rows(bench.name, {"id": "k003"})
    bench.stack.aito.delete_rows(bench.name, {"id": "k004"})
    bench.delete_from_source(["k005", "k006"])
    bench.put([row("late", bench.now - 30 * DAY)])
    assert killed_after_each_step(bench, action="reconcile") > 10


@pytest.mark.parametrize("step", [3, 6, 12, *slow(9, 15)])
def test_killed_during_the_first_load(stack: Stack, step: int) -> None:
    """At first there is neither table nor ledger. A ledger that was half made is completed."""
    bench = Workbench(stack, f"killed_first_{step}", settings=batches_of(25))
    bench.drop_ledger()
    bench.put(day_one(bench.now))
    with KillAfter(request=step), pytest.raises(Killed):
        bench.run()
    bench.expire_leases()
    bench.run_until_ok(2)
