"""What the ledger's statements of a sync cost."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from sync.ledger import checkpoints, evaluations, leases, rejects
from sync.ledger.tables import LedgerTables
from sync.model.price import MIN_BILLED
from sync.model.sql import Parameter

# Of leases, a table of a few rows. Rows of the other tables are streamed, which is nearly free.
CHANGES = (leases.TAKE_DONE, leases.RELEASE)
TABLE = re.compile(r"\{(\w+)\}")


def bytes_of_sync(tables: LedgerTables, now: datetime, evaluations_since: datetime | None) -> int:
    """Bytes that are billed for the ledger of one sync in good order, however many tables it has.

    BigQuery bills at least 10 MB for each table of a statement. evaluations_since: from when on
    evaluations are read. None: no table has any.
    """
    changes = sum(_least(text) for text in CHANGES)
    known = _read(tables, checkpoints.KNOWN, [rejects.since(now)])
    if evaluations_since is None:
        return changes + known
    since = Parameter("since", "TIMESTAMP", evaluations_since)
    return changes + known + _read(tables, evaluations.LATEST, [since])


def _read(tables: LedgerTables, text: str, parameters: Sequence[Parameter]) -> int:
    return max(tables.bytes_read(text, parameters), _least(text))


def _least(text: str) -> int:
    return MIN_BILLED * len(set(TABLE.findall(text)))
