"""What a dry run says of a plan: what would be made and read, and what it would cost."""

from __future__ import annotations

import math
from typing import Any

from sync.evaluation import planned_cases
from sync.model.columns import Column
from sync.model.plan import Changes, Plan
from sync.model.ports import SourceTable
from sync.model.price import usd
from sync.model.window import Totals
from sync.pipeline.calls import planned_calls
from sync.pipeline.swap import SwapPlan
from sync.pipeline.table_run import TableRun

# Aito's engineers saw 200 to 900 rows a second. It depends on the columns.
ROWS_A_SECOND = 400
SWAP_CALLS = 4  # of a swap beside the batches: schema, table, count, rename


def estimate(run: TableRun, plan: Plan) -> None:
    """Enter what the plan of a table with a cursor would do and cost into the progress."""
    size = run.source.estimate(plan.source, plan.window, plan.slices)
    if plan.key_sample:
        size += run.source.estimate(plan.source, plan.key_sample, ())
    reason = run.source.why_not_staged(plan.source, plan.slices)
    if reason:
        run.warn("not_staged", _not_staged(reason, len(plan.slices), size))
    keys = sum(part.latest_per_key for part in plan.slices)
    run.progress.estimate = {
        "rows": plan.rows,
        "keys": keys,
        "bytes": size,
        "usd": _usd(size),
        "schema": plan.changes.sentences(run.name),
        "columns": _with_cursor(run, _columns(plan.source, plan.changes)),
        "cursor": plan.source.cursor_text,
        "refresh": plan.refresh if run.request.action == "sync" else None,
        "aito_calls": planned_calls(run, plan),
        "seconds": round(plan.rows / ROWS_A_SECOND),
        "evaluations": _evaluations(run, plan.watermark, keys),
    }
    if run.table.deletes:
        run.progress.estimate["deletions"] = plan.deletions


def estimate_swap(run: TableRun, plan: SwapPlan, totals: Totals) -> None:
    """Enter what the swap of a table would do and cost into the progress. totals: of the source."""
    new = Changes() if plan.old_exists else Changes(create=plan.source.columns)
    size = run.source.estimate_whole(plan.source)
    run.progress.estimate = {
        "rows": totals.rows,
        "keys": totals.keys,
        "bytes": size,
        "usd": _usd(size),
        "schema": [plan.sentence],
        "columns": _columns(plan.source, new),
        "refresh": None,
        "aito_calls": math.ceil(totals.rows / run.settings.batch.rows) + SWAP_CALLS,
        "seconds": round(totals.rows / ROWS_A_SECOND),
        "evaluations": _evaluations(run, None, totals.keys),
    }


def _not_staged(reason: str, slices: int, size: int) -> str:
    return (
        f"{reason}, so each of the {slices:,} slices of this load reads the source anew: "
        f"{size / 1e9:,.1f} GB and {usd(size):.2f} USD together; set `ledger` to a dataset in the "
        "source's location"
    )


def _usd(size: int) -> float:
    return round(usd(size), 6)


def _columns(source: SourceTable, changes: Changes) -> list[dict[str, str]]:
    """Each column with both types. change: `add` when Aito lacks the column."""
    new = {column.name for column in (*changes.create, *changes.add)}
    return [_column(column, source, column.name in new) for column in source.columns]


def _with_cursor(run: TableRun, columns: list[dict[str, str]]) -> list[dict[str, str]]:
    """The columns; that of the cursor says which source column it is made of."""
    cursor = run.table.cursor
    for column in columns:
        if cursor and column["name"] == cursor.column:
            column["cursor"] = cursor.source
    return columns


def _column(column: Column, source: SourceTable, is_new: bool) -> dict[str, str]:
    described = {"name": column.name, "type": column.type, "change": "add" if is_new else "keep"}
    if origin := source.origins.get(column.name):
        described["source_type"] = origin
    if column.link:
        described["link"] = column.link
    return described


def _evaluations(run: TableRun, newest: int | None, rows: int) -> list[dict[str, Any]]:
    """The evaluations that follow a sync, and about how many rows each predicts."""
    if run.request.action != "sync":
        return []
    return planned_cases(run.target, run.table, newest, rows)
