"""The calls to Aito that the month's arithmetic reckons with are those of real runs."""

from __future__ import annotations

import importlib.util
import re
import sys
from types import ModuleType

import pytest

from sync.ledger import lease
from tests.terraform.tools import ROOT
from tests.workbench import Workbench, batches_of, hear_statements, row


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cost", ROOT / "terraform" / "cost.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["cost"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


cost = _load()


def test_the_calls_of_a_night_and_a_week(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync of three batches in one slice, a reconcile that finds nothing, and a watch send no
    more requests than the arithmetic says, and at most two fewer. Their queries read as many tables
    of the ledger.
    """
    statements: list[str] = []
    hear_statements(monkeypatch, statements.append)
    settings = batches_of(10)
    bench.put([row("first", bench.now - 3600)])
    bench.run_ok(settings=settings)
    bench.put([row(f"k{n}", bench.now - 60 - n) for n in range(29)])  # and the newest again
    load = cost.Load(tables=1, rows=30, batch_rows=10, slices=1)
    actions = {"sync": cost.nightly_calls(load), "reconcile": cost.weekly_calls(load), "watch": 0}
    real, reads = {}, {}
    for action in actions:
        statements.clear()
        assert bench.run(action=action, settings=settings).status == "ok"
        real[action] = bench.event("run_done")["aito_calls"]
        reads[action] = sum(len(set(_ledger_tables(bench, text))) for text in statements)
    assert real["watch"] == 0
    wrong = {name for name, calls in actions.items() if not calls - 2 <= real[name] <= calls}
    assert not wrong, f"reckoned {actions}, real {real}"
    run = cost.RUN_READS
    assert reads == {"sync": run, "reconcile": run, "watch": cost.WATCH_READS}


def _ledger_tables(bench: Workbench, statement: str) -> list[str]:
    """The tables of the ledger that a statement names."""
    return re.findall(rf"{bench.ledger}\.(\w+)", statement)


def test_the_lease_is_renewed_as_reckoned() -> None:
    """A run reads the lease again each time that it renews it."""
    assert cost.RENEWAL_SECONDS == lease.RENEW_SECONDS
