"""About how many requests to Aito a run costs, and a month. Plans of Aito limit both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

from sync.model.plan import Plan
from sync.model.records import CallHistory
from sync.model.report import MonthlyCalls, TableWarning
from sync.pipeline.context import RunContext
from sync.pipeline.load import COUNTED_BATCHES
from sync.pipeline.table_run import TableRun

# What Terraform sets by default: a sync each night, a reconcile each week.
DAYS_A_MONTH = 30.4
RECONCILES_A_MONTH = DAYS_A_MONTH / 7
# Of a night with nothing new: newest row, keys or rows of the lookback, rows that are too old.
QUIET_CALLS = 3
SCHEMA_CALLS = 1  # of a run, for all its tables
CREATE_CALLS = 2  # of a table: it is looked for in version 2 of the API before
OPTIMIZE_CALLS = 1  # of a table that has changed
# Rows to test on, start, two looks, result; and the schema when a watch starts it.
EVALUATION_CALLS = 6
HISTORY = timedelta(days=30)
MIN_HISTORY = timedelta(days=7)  # a shorter one says little about a month
SANDBOX_CALLS = 5_000  # a month, on Aito's smallest plan
NEAR = 0.8  # of that


def planned_calls(run: TableRun, plan: Plan) -> int:
    """About how many requests the sync of a table will send."""
    batches = math.ceil(plan.rows / run.settings.batch.rows)
    made = len(plan.changes.add) + CREATE_CALLS * bool(plan.changes.create)
    finds = QUIET_CALLS if plan.exists else 1  # rows that are too old are counted anyway
    sends = _sending_calls(batches, len(plan.slices)) if plan.rows else 0
    return SCHEMA_CALLS + made + finds + sends


def _sending_calls(batches: int, slices: int) -> int:
    """Requests that send so many full batches. About half of the slices end with a small one."""
    counts = batches // COUNTED_BATCHES + 1
    return batches + slices // 2 + counts + OPTIMIZE_CALLS


def monthly_calls(context: RunContext, tables: Sequence[TableRun]) -> MonthlyCalls:
    """About how many requests a month costs, by the runs of the last weeks if they are known."""
    names = [run.name for run in tables]
    now = context.clock.utc()
    history = context.ledger.call_history(names, now - HISTORY)
    number = sum(len(run.table.evaluate) for run in tables)
    evaluations = DAYS_A_MONTH * EVALUATION_CALLS * number
    if history.began_at is None or now - history.began_at < MIN_HISTORY:
        calls = _by_default_schedule(len(tables)) + evaluations
        return _monthly(calls, "with a sync each night and a reconcile each week")
    days = (now - history.began_at) / timedelta(days=1)
    calls = _by_history(history, days) + evaluations
    return _monthly(calls, f"by the runs of the last {days:.0f} days")


def limit_warnings(month: MonthlyCalls | None) -> list[TableWarning]:
    """A warning where a month comes near what a sandbox of Aito allows."""
    if month is None or not month.near_limit:
        return []
    message = (
        f"{month.sentence}; a sandbox of Aito has {SANDBOX_CALLS:,}: sync less often, evaluate "
        "less, or use a larger plan"
    )
    return [TableWarning("aito_calls", message)]


def _by_default_schedule(tables: int) -> float:
    sync = SCHEMA_CALLS + tables * (QUIET_CALLS + _sending_calls(1, 1))
    reconcile = SCHEMA_CALLS + tables * QUIET_CALLS
    return DAYS_A_MONTH * sync + RECONCILES_A_MONTH * reconcile


def _by_history(history: CallHistory, days: float) -> float:
    return history.calls * DAYS_A_MONTH / days


def _monthly(calls: float, basis: str) -> MonthlyCalls:
    rounded = round(calls, -1)
    return MonthlyCalls(int(rounded), basis, near_limit=rounded >= NEAR * SANDBOX_CALLS)
