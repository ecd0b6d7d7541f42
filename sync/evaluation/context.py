"""What the evaluation of a run works with, and what it returns."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from sync.base.clock import Clock, Deadline
from sync.base.events import EventLog
from sync.config import TableSettings
from sync.model.ports import Ledger, Target
from sync.model.records import EvaluationRecord, EvaluationStateName

# The furthest state of each recent evaluation, oldest first. None: the ledger could not be read.
Known = Sequence[EvaluationRecord] | None


@dataclass(frozen=True)
class Finding:
    """Something about an evaluation that a person should look at: the message says what."""

    table: str
    name: str
    message: str


@dataclass(frozen=True)
class EvaluationContext:
    """What a run lends to its evaluations. No new job starts after the deadline.

    tables: all of the configuration. findings: what the run adds to while it evaluates.
    """

    run_id: str
    target: Target
    ledger: Ledger
    events: EventLog
    clock: Clock
    deadline: Deadline
    tables: Sequence[TableSettings] = ()
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class LoadedTable:
    """A table whose rows are up to date.

    newest: the newest cursor in the target, epoch seconds; None: no rows, or no cursor.
    """

    table: TableSettings
    newest: int | None


@dataclass(frozen=True)
class StartedEvaluation:
    """An evaluation that was started as a job of the target."""

    table: str
    name: str
    job_id: str

    @classmethod
    def of(cls, record: EvaluationRecord) -> StartedEvaluation:
        """From the record of its start."""
        return cls(record.table, record.name, record.job_id or "")


def ended(
    context: EvaluationContext,
    record: EvaluationRecord,
    state: EvaluationStateName,
    reason: str | None = None,
) -> EvaluationRecord:
    """The evaluation in its last state. reason: why it has no figures."""
    result = None if reason is None else json.dumps({"reason": reason})
    return dataclasses.replace(
        record, run_id=context.run_id, state=state, finished_at=context.clock.utc(), result=result
    )
