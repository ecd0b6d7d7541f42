"""Saves checkpoints."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sync.base.clock import Clock
from sync.model.checkpoint import Checkpoint
from sync.model.ports import Ledger


def save(ledger: Ledger, clock: Clock, before: Checkpoint, after: Checkpoint) -> None:
    """Append `after`, with a time later than that of `before`, unless it says the same.

    The latest row of a table counts, so the time must grow even if the clock is set back.
    """
    if after == before:
        return
    now = clock.utc()
    if before.updated_at is not None:
        now = max(now, before.updated_at + timedelta(microseconds=1))
    ledger.save_checkpoint(replace(after, updated_at=now))
