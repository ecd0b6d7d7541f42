"""The `checkpoints` table: appended to, and the latest row of a table counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sync.model.checkpoint import Checkpoint

LATEST = """
SELECT `table`, definition, action, resume_token, covered_until, unsettled_since, updated_at
FROM {checkpoints} WHERE `table` IN UNNEST(@tables)
QUALIFY ROW_NUMBER() OVER (PARTITION BY `table` ORDER BY updated_at DESC) = 1"""


def from_row(row: Mapping[str, Any]) -> Checkpoint:
    """A checkpoint from a row of LATEST."""
    return Checkpoint(**row)


def to_row(checkpoint: Checkpoint) -> dict[str, Any]:
    """A checkpoint as a row to append. Its `updated_at` must be set."""
    assert checkpoint.updated_at
    return {**vars(checkpoint), "updated_at": checkpoint.updated_at.isoformat()}
