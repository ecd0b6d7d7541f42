"""The ledger's tables. Their columns are defined in the *.json files beside this module."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

LedgerTable = Literal["runs", "rejects", "evaluations", "leases", "checkpoints"]
PARTITIONED_BY: Mapping[LedgerTable, str | None] = {
    "runs": "started_at",
    "rejects": "rejected_at",
    "evaluations": "started_at",
    "leases": None,
    "checkpoints": None,
}
_FOLDER = Path(__file__).parent


def columns(table: LedgerTable) -> list[dict[str, Any]]:
    """The columns of a table, in the form of BigQuery's API."""
    text = (_FOLDER / f"{table}.json").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = json.loads(text)
    return found
