"""What a table's runs must know of each other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Checkpoint:
    """A table's state that outlives a run. Cursors are epoch seconds.

    definition: fingerprint of the configuration at the last complete refresh; None: not known.
    action: what is being resumed: `sync` (a refresh) or `reconcile`; None: nothing. `removed`: the
        table left the configuration, and that was reported.
    resume_token: fingerprint of the request and configuration that may resume.
    covered_until: end of the range that the resumed action, or the load from the stage, has
        processed.
    unsettled_since: start of the range in which a write with an unknown outcome may still be
        applied or doubled; None: nothing is unsettled.
    unsettled_at: when the last such write was sent.
    verify_from: start of what a run has left uncompared, because it was interrupted or because
        rows moved meanwhile. The next run compares from there; None: nothing is left.
    compared_from: interrupted runs have compared all rows from here to `verify_from`. They are
        not compared again, so a comparison ends although the source always changes.
    run_id: the run that wrote this. If that run is the last one of an unfinished table, it has
        recorded here all that the next run must look at.
    calls_without_progress: calls in a row that ended partial and made no progress.
    two_steps: an upsert in one step was found to go wrong, so it is not tried again.
    null_reads_false: the target was found to read a null in a Boolean column as false.
    stage: name of the source's stage that a load may read on from; None: there is none.
    staged_from: start of what the load from the stage has sent, and no run has compared. All its
        writes were answered, so a run that reads on from the stage compares counts. Any other run
        compares keys.
    """

    table: str
    definition: str | None = None
    action: str | None = None
    resume_token: str | None = None
    covered_until: int | None = None
    unsettled_since: int | None = None
    unsettled_at: datetime | None = None
    verify_from: int | None = None
    compared_from: int | None = None
    run_id: str | None = None
    calls_without_progress: int | None = None
    two_steps: bool | None = None
    null_reads_false: bool | None = None
    stage: str | None = None
    staged_from: int | None = None
    updated_at: datetime | None = None

    def to_row(self) -> dict[str, Any]:
        """What the ledger stores of it. Times are texts."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in vars(self).items()
        }


@dataclass(frozen=True)
class KnownTable:
    """What the ledger knows of a table when a run begins.

    open_rejects: rows of earlier runs. served_at: start of the last run that had time for the
    table. ok_at: start of the last sync that ended ok. is_waiting: whether the last run had no time
    for it.
    """

    checkpoint: Checkpoint
    open_rejects: int = 0
    served_at: datetime | None = None
    ok_at: datetime | None = None
    is_waiting: bool = False
