"""Resets a table: drops it in the target and forgets its checkpoint.

The next sync finds no table, so it makes it and loads the whole keep range.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sync.base.errors import ActionRequired
from sync.config import TableSettings
from sync.model.checkpoint import Checkpoint
from sync.model.columns import NUMBER_TYPES, TargetSchema, TargetTable
from sync.pipeline import checkpoints
from sync.pipeline.context import RunContext
from sync.pipeline.swap import SUFFIX


@dataclass(frozen=True)
class ResetPlan:
    """What a reset of a table removes.

    rows: in the target; None: the target has no such table.
    watermark: the newest cursor in the target, epoch seconds; None: there is none.
    checkpoint: the last one; None: there is none, or it was forgotten before.
    fresh: the table that a swap has left behind, which is dropped too; None: there is none.
    """

    table: str
    rows: int | None
    watermark: int | None
    checkpoint: Checkpoint | None
    fresh: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        return self.rows is None and self.checkpoint is None and self.fresh is None

    def to_json(self) -> dict[str, Any]:
        """The plan as the command line prints it."""
        return {
            "table": self.table,
            "rows": self.rows,
            "watermark": self.watermark,
            "checkpoint": self.checkpoint and self.checkpoint.to_row(),
        }


def plan_reset(context: RunContext, name: str) -> ResetPlan:
    """What a reset of a table would remove. Writes nothing. The configuration may lack the table.

    Raises ActionRequired when the name is no table, or another table links to it.
    """
    schema = context.target.schema()
    configured = {table.name: table for table in context.settings.tables}
    held = schema.get(name)
    _check_kind(name, held)
    _check_links(name, schema, configured)
    known = context.ledger.known_tables(context.clock.utc()).get(name)
    fresh = name + SUFFIX
    is_left_behind = fresh in schema and fresh not in configured
    return ResetPlan(
        table=name,
        rows=None if held is None else context.target.count(name),
        watermark=_watermark(context, configured.get(name), held),
        checkpoint=_known(known.checkpoint if known else None),
        fresh=fresh if is_left_behind else None,
    )


def reset_table(context: RunContext, name: str) -> ResetPlan:
    """Drop a table in the target and forget its checkpoint, under its lease.

    Returns what was removed. Raises Busy when another run holds the table, LeaseLost, and what
    `plan_reset` raises.
    """
    busy = context.lease.take([name])
    if busy:
        raise busy[name]
    unfinished = {name}
    with context.lease.kept(unfinished):
        plan = plan_reset(context, name)
        _drop(context, plan)
        _forget(context, plan)
        unfinished.discard(name)
    return plan


def _drop(context: RunContext, plan: ResetPlan) -> None:
    # The fresh table may link to the old one, so it goes first.
    present = [plan.fresh, None if plan.rows is None else plan.table]
    for name in present:
        if name is not None:
            context.lease.check()
            context.target.drop(name)


def _forget(context: RunContext, plan: ResetPlan) -> None:
    """Append an empty checkpoint.

    After the drop: a sync that finds no table loads all of it, whatever the checkpoint says.
    """
    if plan.checkpoint is None:
        return
    empty = Checkpoint(plan.table)
    checkpoints.save(context.ledger, context.clock, plan.checkpoint, empty)


def _known(checkpoint: Checkpoint | None) -> Checkpoint | None:
    """The checkpoint; None for one that says nothing."""
    if checkpoint is None:
        return None
    no_state = Checkpoint(
        checkpoint.table, run_id=checkpoint.run_id, updated_at=checkpoint.updated_at
    )
    if checkpoint == no_state:
        return None
    return checkpoint


def _watermark(
    context: RunContext, table: TableSettings | None, held: TargetTable | None
) -> int | None:
    """The newest cursor in the target. The table may be of another shape than configured."""
    if held is None or table is None or table.cursor is None:
        return None
    column = held.columns.get(table.cursor.column)
    if column is None or column.type not in NUMBER_TYPES:
        return None
    newest, _ = context.target.newest(table.name, column.name, context.now)
    return newest


def _check_kind(name: str, held: TargetTable | None) -> None:
    if held is not None and not held.is_table:
        raise ActionRequired(
            f"{name}: Aito has a {held.kind} of this name, and reset drops only tables; "
            "give the table another `name`"
        )


def _check_links(name: str, schema: TargetSchema, configured: Collection[str]) -> None:
    """Raises ActionRequired when another table links to this one: Aito would refuse to drop it."""
    links = _links_to(name, schema, configured)
    if not links:
        return
    owners = dict.fromkeys(owner for owner in links.values())
    remedies = [_remedy(owner, configured) for owner in owners]
    raise ActionRequired(
        f"{name}: {_listed(links)} to it, and Aito drops no table that others link to. "
        f"First {', '.join(remedies)}"
    )


def _links_to(name: str, schema: TargetSchema, configured: Collection[str]) -> Mapping[str, str]:
    """Each column that links to a table, as table.column, and the table that must go first.

    A table that a swap has left behind goes with its own table.
    """
    links = {}
    for other, held in schema.items():
        owner = other if other in configured else other.removesuffix(SUFFIX)
        for column in held.columns.values():
            if column.link and column.link.partition(".")[0] == name and owner != name:
                links[f"{other}.{column.name}"] = owner
    return links


def _listed(links: Mapping[str, str]) -> str:
    verb = "links" if len(links) == 1 else "link"
    return f"{', '.join(links)} {verb}"


def _remedy(owner: str, configured: Collection[str]) -> str:
    if owner in configured:
        return f"run `./aito-sync reset {owner}`"
    return f"drop {owner} in Aito, which the configuration does not have"
