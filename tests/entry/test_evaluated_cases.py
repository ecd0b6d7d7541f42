"""How many rows an evaluation predicts, over HTTP: `cases` limits both ways to choose them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from local.stack import Function, Stack
from tests.workbench import DAY, Workbench, row

FORMS: dict[str, dict[str, Any]] = {"share": {}, "newest": {"test": "newest 7d"}}
DOUBLINGS = 9  # of 2,000 rows: a million


def evaluated(bench: Workbench, function: Function) -> dict[str, int]:
    """The rows that each form has predicted. A sync starts the first, each watch the next one."""
    status, answer = function.post({"action": "sync"})
    assert status == 200, answer
    found: dict[str, int] = {}
    deadline = time.monotonic() + 240
    while len(found) < len(FORMS):
        assert time.monotonic() < deadline, function.logs[-5:]
        assert function.post({"action": "watch"})[0] == 200
        rows = bench.ledger_rows("evaluations")
        finished = [each for each in rows if each["state"] == "finished"]
        found = {each["name"]: each["test_samples"] for each in finished}
    return found


def configured(bench: Workbench, **more: Any) -> dict[str, Any]:
    """The own table, with an evaluation of each form. more: of each evaluation."""
    entries = [{"name": name, "predict": "value", **form, **more} for name, form in FORMS.items()]
    return {**bench.table_config(), "evaluate": entries}


def filled(stack: Stack, name: str, rows: int) -> Workbench:
    """A source whose rows lie ten minutes apart."""
    bench = Workbench(stack, name, keep=None)
    bench.put(row(f"k{n:04}", bench.now - 600 * (n + 1), f"v{n % 3}") for n in range(rows))
    return bench


@pytest.mark.slow  # a process of its own; test_evaluation.py holds the same in this one
def test_of_3000_rows(stack: Stack) -> None:
    """With `cases: 50`, 40 to 60 are predicted, of a share of all rows and of the newest ones."""
    bench = filled(stack, "cases_of_thousands", 3_000)
    with Function(bench.environment(configured(bench, cases=50))) as function:
        found = evaluated(bench, function)
    assert all(40 <= predicted <= 60 for predicted in found.values()), found


@pytest.mark.slow
def test_of_a_million_rows(stack: Stack) -> None:
    """With the default of 500 cases, at most 550 are predicted, and not many fewer."""
    bench = filled(stack, "cases_of_a_million", 2_000)
    bench.run_ok()
    for _ in range(DOUBLINGS):
        stack.aito.double_rows(bench.name, {"unix": {"$lt": bench.now - DAY}})
    assert stack.aito.count(bench.name) > 900_000
    with Function(bench.environment(configured(bench))) as function:
        found = evaluated(bench, function)
    assert all(450 <= predicted <= 550 for predicted in found.values()), found
