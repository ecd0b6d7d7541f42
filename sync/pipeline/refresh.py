"""Why a run reads the whole keep range, and whether it goes on with what another has begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sync.model.checkpoint import Checkpoint, KnownTable
from sync.model.columns import TargetSchema
from sync.pipeline import definition
from sync.pipeline.column_changes import ColumnChange
from sync.pipeline.table_run import TableRun

# What was processed longer ago is processed again. More than a day, because a caller may come
# once a night.
RESUME_SECONDS = 3 * 86_400


@dataclass(frozen=True)
class Situation:
    """What a plan starts from.

    has_crashed: the run before ended without a checkpoint, so nobody knows what it has written.
    """

    schema: TargetSchema
    known: KnownTable
    has_crashed: bool = False

    @property
    def checkpoint(self) -> Checkpoint:
        """The table's last checkpoint."""
        return self.known.checkpoint


@dataclass(frozen=True)
class Refresh:
    """Why the whole keep range is read, and by what a later run recognises that it may resume.

    is_range: the request names the range.
    changed: the configuration makes rows in another way.
    """

    reason: str
    token: str
    is_range: bool = False
    changed: bool = False


def refresh_of(
    run: TableRun, situation: Situation, current: str, columns: Sequence[ColumnChange]
) -> Refresh | None:
    """Why the whole keep range is read; None: it is not."""
    request, known = run.request, situation.checkpoint.definition
    if request.since is not None or request.until is not None:
        token = definition.token("range", request.since, request.until, current)
        return Refresh("the range was requested", token, is_range=True)
    if request.action == "reconcile":
        return Refresh("reconcile", definition.token("reconcile", request.deep, current))
    if request.full_refresh:
        return Refresh("full_refresh was requested", definition.token("refresh", current))
    if known is None or run.name not in situation.schema:
        return None
    changed = definition.changes(known, current)
    if not changed:
        return None
    reason = f"the configuration changed: {', '.join(changed)}"
    if columns and definition.OF_COLUMNS.issuperset(changed):
        listed = ", ".join(f"{change.column} is {change.kind}" for change in columns)
        reason = f"the source's columns changed: {listed}"
    return Refresh(reason, definition.token("refresh", current), changed=True)


def is_rekeyed(run: TableRun, situation: Situation, current: str) -> bool:
    """Whether the target may hold rows whose keys were made in another way.

    Only keys of several columns are made. Where another column has become the key, the target's
    rows have it already.
    """
    known = situation.checkpoint.definition
    if known is None or not run.table.has_composite_key:
        return False
    return definition.is_rekeyed(known, current)


def resumes_before(run: TableRun, refresh: Refresh, checkpoint: Checkpoint) -> bool:
    """Whether an earlier run of the same request has processed a part of it."""
    if run.request.dry_run or checkpoint.covered_until is None:
        return False
    return checkpoint.resume_token == refresh.token and is_recent(run, checkpoint)


def is_recent(run: TableRun, checkpoint: Checkpoint, seconds: int = RESUME_SECONDS) -> bool:
    """Whether what was processed then need not be processed again."""
    if checkpoint.updated_at is None:
        return False
    return run.clock.now() - checkpoint.updated_at.timestamp() <= seconds
