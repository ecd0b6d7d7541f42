"""A run that is killed after any of its steps: the next runs reach the promised state, and say ok
only then.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from local.stack import Stack
from tests.promise.ends import DAY, HOUR, Ends, Killed, Row, Wire, row

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


def killed_after_each_step(ends: Ends, **asked: Any) -> int:
    """Kill the run after its n-th step, for every n. -> how many steps it has."""
    before = ends.held()
    for step in range(1, STEPS):
        ends.begin_again(before)
        with Wire(die_at=step) as wire:
            try:
                ends.run(**asked)
            except Killed:
                pass
            else:
                return step - 1
        ends.expire_leases()
        try:
            ends.until_ok(2, **asked)
        except AssertionError as error:
            raise AssertionError(
                f"killed after step {step}, {wire.sent[step - 1]}: {error}"
            ) from error
    raise AssertionError(f"the run takes over {STEPS} steps")


@pytest.mark.parametrize("mode", ["append", pytest.param("merge", marks=pytest.mark.slow)])
def test_killed_while_loading(stack: Stack, mode: str) -> None:
    """Between any two requests of a night's run: what is there is neither lost nor doubled."""
    ends = Ends(stack, f"killed_{mode}", mode, settings={"batch": {"rows": 25, "bytes": 5_000_000}})
    ends.put(day_one(ends.now))
    ends.ok()
    ends.put(day_two(ends.now, mode))
    assert killed_after_each_step(ends) > 10


@pytest.mark.slow
def test_killed_while_replacing(stack: Stack) -> None:
    """The old table stays until the new one is whole; what a dead run left beside it does not
    matter.
    """
    ends = Ends(
        stack, "killed_replace", "replace", settings={"batch": {"rows": 25, "bytes": 5_000_000}}
    )
    ends.put(day_one(ends.now))
    ends.ok()
    ends.put([row(f"n{i}", ends.now) for i in range(10)])
    assert killed_after_each_step(ends) > 10


@pytest.mark.slow
def test_killed_while_reconciling(stack: Stack) -> None:
    """A repair that dies half-way leaves work, never damage."""
    ends = Ends(stack, "killed_reconcile", settings={"batch": {"rows": 25, "bytes": 5_000_000}})
    ends.put(day_one(ends.now))
    ends.ok()
    ends.stack.aito.double_rows(ends.name, {"id": "k003"})
    ends.stack.aito.delete_rows(ends.name, {"id": "k004"})
    ends.take(["k005", "k006"])
    ends.put([row("late", ends.now - 30 * DAY)])
    assert killed_after_each_step(ends, action="reconcile") > 10


@pytest.mark.parametrize("step", [3, 6, 9, 12, 15])
def test_killed_during_the_first_load(stack: Stack, step: int) -> None:
    """With neither table nor ledger there at first: also a half-made ledger is completed."""
    ends = Ends(stack, f"killed_first_{step}", settings={"batch": {"rows": 25, "bytes": 5_000_000}})
    ends.put(day_one(ends.now))
    with Wire(die_at=step), pytest.raises(Killed):
        ends.run()
    ends.expire_leases()
    ends.until_ok(2)
