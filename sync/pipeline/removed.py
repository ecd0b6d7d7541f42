"""Tables that the ledger knows and the configuration no longer has: they are reported once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sync.base.errors import SyncError
from sync.base.summary import without_numbers
from sync.base.words import counted
from sync.model.checkpoint import Checkpoint, KnownTable
from sync.model.report import TableWarning
from sync.pipeline import checkpoints
from sync.pipeline.actions import RunState
from sync.pipeline.checkpoints import REMOVED
from sync.pipeline.context import RunContext


def report_removed(context: RunContext, state: RunState) -> list[TableWarning]:
    """A warning for each table that was taken out of the configuration since the last run.

    A dry run does not remember that it has reported. When an upstream fails, the next run reports.
    """
    configured = {table.name for table in context.settings.tables}
    removed = [
        known.checkpoint
        for name, known in state.known.items()
        if name not in configured and _is_news(known)
    ]
    try:
        return [_report(context, state, checkpoint) for checkpoint in removed]
    except SyncError:
        return []


def _is_news(known: KnownTable) -> bool:
    checkpoint = known.checkpoint
    return checkpoint.definition is not None and checkpoint.action != REMOVED


def _report(context: RunContext, state: RunState, checkpoint: Checkpoint) -> TableWarning:
    table = checkpoint.table
    message = f"{table} is no longer in the configuration and is not synced any more"
    held = state.schema.get(table)
    if held is None or not held.is_table:
        message = f"{message}; Aito does not have it either"
    else:
        rows = counted(context.target.count(table), "row")
        message = f"{message}; Aito keeps its {rows} until `./aito-sync reset {table}` drops it"
    same = _same_definition(checkpoint, state.made)
    if same is not None:
        message = (
            f"{message}. {same} has the same source and columns. If you have renamed the table: "
            f"Aito makes {same} as a new one, and all of its rows are loaded again"
        )
    if not context.request.dry_run:
        reported = replace(checkpoint, action=REMOVED)
        checkpoints.save(context.ledger, context.clock, checkpoint, reported)
    summary = without_numbers(message, frozenset({table}))
    fields = {"table": table, "code": "table_removed", "summary": summary}
    context.events("table_warning", message, "WARNING", **fields)
    return TableWarning("table_removed", message)


def _same_definition(checkpoint: Checkpoint, made: Mapping[str, str]) -> str | None:
    """A table that this run makes, and that has the definition of the removed one."""
    for name, definition in made.items():
        if definition == checkpoint.definition:
            return name
    return None
