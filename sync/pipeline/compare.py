"""Compares a slice of the source with what the target holds of it, by count or by keys."""

from __future__ import annotations

import hashlib

from sync.base.errors import ActionRequired
from sync.model.conditions import Between
from sync.model.window import Slice
from sync.pipeline.rejects import RejectBook
from sync.pipeline.table_run import TableRun

TargetIndex = dict[str, list[int]]  # key as text -> cursors of the target's rows with this key
FINGERPRINT_HEX_DIGITS = 15  # 60 bits, as the source's query takes them


def count_rows(run: TableRun, part: Slice) -> int:
    """How many rows the target holds of the slice."""
    return run.target.count(run.name, Between(run.cursor, part.start, part.end))


def expected_rows(part: Slice, rejects: RejectBook) -> int:
    """How many rows the target should hold of the slice."""
    return part.latest_per_key - rejects.count_between(part.start, part.end)


def read_index(run: TableRun, part: Slice) -> TargetIndex:
    """Keys and cursors of the rows that the target holds of the slice."""
    index: TargetIndex = {}
    condition = Between(run.cursor, part.start, part.end)
    for hit in run.target.rows(run.name, condition, run.key, [run.key, run.cursor]):
        if run.key not in hit:
            raise ActionRequired(
                f"{run.name}: Aito holds rows without {run.key}, the key; delete them there"
            )
        index.setdefault(str(hit[run.key]), []).append(hit[run.cursor])
    return index


def matches(part: Slice, index: TargetIndex) -> bool:
    """Whether the target holds exactly the keys and cursors that the source counted."""
    pairs = [(key, cursor) for key, cursors in index.items() for cursor in cursors]
    if len(pairs) != part.latest_per_key:
        return False
    fingerprint = 0
    for key, cursor in pairs:
        fingerprint ^= _hash(f"{key} {cursor}")
    return fingerprint == part.fingerprint


def _hash(text: str) -> int:
    """The hash that the source's fingerprint is made of."""
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return int(digest[:FINGERPRINT_HEX_DIGITS], 16)
