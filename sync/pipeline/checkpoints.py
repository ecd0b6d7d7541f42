"""Saves checkpoints."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sync.base.clock import Clock
from sync.model.checkpoint import Checkpoint
from sync.model.ports import Ledger


def save(ledger: Ledger, clock: Clock, before: Checkpoint, after: Checkpoint) -> Checkpoint:
    """Append `after`, with a time later than that of `before`, unless it says the same.

    The latest row of a table counts, so the time must grow even if the clock is set back.
    Returns what counts now.
    """
    if after == before:
        return before
    now = clock.utc()
    if before.updated_at is not None:
        now = max(now, before.updated_at + timedelta(microseconds=1))
    saved = replace(after, updated_at=now)
    ledger.save_checkpoint(saved)
    return saved
