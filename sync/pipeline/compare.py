"""Compares a slice of both ends: by count, by keys, or by contents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sync.base.errors import ActionRequired
from sync.model.columns import MAX_INT, MIN_INT, NUMBER_TYPES, key_type
from sync.model.conditions import OneOf
from sync.model.plan import Plan
from sync.model.records import RowId
from sync.model.window import Slice
from sync.pipeline.rejects import RejectBook
from sync.pipeline.table_run import TableRun

TargetIndex = dict[str, list[int]]  # key as text -> cursors of the target's rows with this key
Hashes = dict[RowId, bytes]  # hash of the row's content
MAX_KEYS = 500  # in one condition
CONTENT_HASH_BYTES = 16
FINGERPRINT_HEX_DIGITS = 15  # 60 bits, as the source's query takes them


def count_rows(run: TableRun, part: Slice) -> int:
    """How many rows the target holds of the slice."""
    return run.target.count(run.name, run.cursor_between(part.start, part.end))


def with_keys(run: TableRun, plan: Plan, keys: Iterable[str]) -> Iterator[OneOf]:
    """Conditions that together mean these keys, given as text. Keys that do not fit are left out:
    the target cannot hold them.
    """
    values: list[Any] = list(keys)
    kind = key_type(plan.source, run.key)
    if kind in NUMBER_TYPES:
        values = [int(key) for key in values]
    if kind == "Int":
        values = [key for key in values if MIN_INT <= key <= MAX_INT]
    for first in range(0, len(values), MAX_KEYS):
        yield OneOf(run.key, tuple(values[first : first + MAX_KEYS]))


def expected_rows(part: Slice, rejects: RejectBook) -> int:
    """How many rows the target should hold of the slice."""
    return part.latest_per_key - rejects.count_between(part.start, part.end)


def read_index(run: TableRun, part: Slice) -> TargetIndex:
    """Keys and cursors of the rows that the target holds of the slice."""
    index: TargetIndex = {}
    condition = run.cursor_between(part.start, part.end)
    for hit in run.target.rows(run.name, condition, run.key, [run.key, run.cursor]):
        index.setdefault(_key_of(run, hit), []).append(hit[run.cursor])
    return index


def _key_of(run: TableRun, hit: Mapping[str, Any]) -> str:
    if run.key not in hit:
        raise ActionRequired(
            f"{run.name}: Aito holds rows without {run.key}, the key; delete them there"
        )
    return str(hit[run.key])


def read_contents(run: TableRun, part: Slice, columns: Sequence[str]) -> tuple[TargetIndex, Hashes]:
    """The index of a slice, and the hash of each row's content by its key and cursor."""
    index: TargetIndex = {}
    hashes: Hashes = {}
    condition = run.cursor_between(part.start, part.end)
    for hit in run.target.rows(run.name, condition, run.key, columns):
        key, cursor = _key_of(run, hit), hit[run.cursor]
        index.setdefault(key, []).append(cursor)
        hashes[RowId(key, cursor)] = content_hash(hit)
    return index, hashes


def content_hash(values: Mapping[str, object]) -> bytes:
    """A hash of a document. Nulls do not count, and 1.0 is 1."""
    present = {name: _plain(value) for name, value in values.items() if value is not None}
    text = json.dumps(present, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=CONTENT_HASH_BYTES).digest()


def _plain(value: object) -> object:
    """A value with each whole number as an integer, as JSON does not tell them apart."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return value


def index_to_match(run: TableRun, plan: Plan, part: Slice) -> TargetIndex | None:
    """The index of a slice whose rows are compared by key and cursor. None: they are not."""
    is_after_watermark = plan.watermark is None or part.start > plan.watermark
    by_whole_row = plan.whole_rows or part.parts > 1
    if is_after_watermark or by_whole_row:
        return None
    return read_index(run, part)


def needs_no_reading(part: Slice, index: TargetIndex | None) -> bool:
    """Whether a load does not read a slice, because the target holds its keys and cursors."""
    has_more = part.keyless or part.deletions
    return index is not None and not has_more and matches(part, index)


def matches(part: Slice, index: TargetIndex) -> bool:
    """Whether the target holds exactly the keys and cursors that the source counted."""
    rows = sum(len(cursors) for cursors in index.values())
    return rows == part.latest_per_key and fingerprint(index) == part.fingerprint


def fingerprint(index: TargetIndex) -> int:
    """The fingerprint of keys and cursors, as the source's count makes it."""
    found = 0
    for key, cursors in index.items():
        for cursor in cursors:
            found ^= _hash(f"{key} {cursor}")
    return found


def _hash(text: str) -> int:
    """The hash that the source's fingerprint is made of."""
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return int(digest[:FINGERPRINT_HEX_DIGITS], 16)
