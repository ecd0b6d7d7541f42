"""What a table's runs must know of each other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Checkpoint:
    """A table's state that outlives a run. Cursors are epoch seconds.

    definition: fingerprint of the configuration at the last complete refresh; None: not known.
    action: what is being resumed: `sync` (a refresh) or `reconcile`; None: nothing. `removed`: the
        table left the configuration, and that was reported.
    resume_token: fingerprint of the request and configuration that may resume.
    covered_until: end of the range that the resumed action has gone through.
    unsettled_since: start of the range in which a write with an unknown outcome may still be
        applied or doubled; None: nothing is unsettled.
    """

    table: str
    definition: str | None = None
    action: str | None = None
    resume_token: str | None = None
    covered_until: int | None = None
    unsettled_since: int | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True)
class KnownTable:
    """What the ledger knows of a table when a run begins. open_rejects: rows of earlier runs."""

    checkpoint: Checkpoint
    open_rejects: int = 0
