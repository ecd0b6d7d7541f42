"""Which rows a run is about.

Times are epoch seconds. Windows and slices are half-open: [start, end).

The window starts at the watermark less the lookback, but never before now - keep. On an empty table
it starts at now - keep. It ends now.

Slices are the window, cut at the edges of histogram buckets into parts of about `rows` rows. They
come in time's order and have no gaps between them. So rows that Aito holds and the source does not
are seen too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

BEGINNING = -62_135_596_800  # 0001-01-01, the first moment BigQuery knows
# Large enough that the requests of a slice do not count, small enough to be compared at once.
SLICE_ROWS = 50_000
SLICE_BYTES = 2_500_000_000  # of documents: the same bound for tables with large rows
SORTED_BYTES = 256_000_000  # of documents that one worker sorts: see Slice.chunks
SHARD_FILL = 0.8  # shards are cut by a hash, which fills some of them more than others
# What numbers of a cursor may count. The configuration takes the first three.
UNIT_NAMES = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "days": "days written as YYYYMMDD",
}
HOUR = 3600
MINUTE = 60


@dataclass(frozen=True)
class Window:
    """[start, end) in epoch seconds."""

    start: int
    end: int


@dataclass(frozen=True)
class Bucket:
    """What the source holds in the hour, or the finer span, that begins at `start`.

    latest_per_key: rows that are the newest of their key in the whole window. keyless: rows
    without a key. max_cursor: the newest cursor of any of its keys. fingerprint: XOR of the hashes
    of (key, cursor) over those newest rows, up to the watermark. deletions: keys whose newest row
    deletes them; it counts as no row in latest_per_key and fingerprint.
    """

    start: int
    rows: int
    latest_per_key: int
    keyless: int
    max_cursor: int
    fingerprint: int
    deletions: int = 0


@dataclass(frozen=True)
class ClockFacts:
    """What the source holds after the window's end, and what its numbers may count.

    ahead: rows from the window's end on; ahead_first, ahead_last: their oldest and newest cursor.
    units: of a cursor that is a number, unit -> rows whose number is a probable time in it.
    """

    ahead: int = 0
    ahead_first: int | None = None
    ahead_last: int | None = None
    units: Mapping[str, int] = field(default_factory=dict)


NOTHING_KNOWN = ClockFacts()


@dataclass(frozen=True)
class Histogram:
    """What the source holds in a window. cursorless: rows that have no cursor at all.

    wide: those of the named columns that hold an integer beyond 32 bits.
    """

    buckets: tuple[Bucket, ...]
    cursorless: int = 0
    clock: ClockFacts = NOTHING_KNOWN
    wide: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Totals:
    """Rows and distinct keys of a whole source. keyless: rows without a key."""

    rows: int
    keys: int
    keyless: int


@dataclass(frozen=True)
class Faults:
    """What makes rows of a source unfit to be sent, of the newest row of each key.

    rows: so many are unfit. by_reason: rows by each reason; a row may have several.
    """

    rows: int = 0
    by_reason: Mapping[str, int] = field(default_factory=dict)


class Chunk(NamedTuple):
    """A part of a slice that one worker sorts.

    start: its first cursor. first: how many rows to send come before it in the slice.
    """

    start: int
    first: int


class ChunkPlaces(NamedTuple):
    """The places of a chunk's rows in their slice: [first, end), from 0 on.

    start: the chunk's first cursor. end: None for the last chunk, which also takes rows that came
    after the count.
    """

    start: int
    first: int
    end: int | None


@dataclass(frozen=True)
class Slice:
    """A part of the window that is read, sent and verified as one. Counts as in Bucket."""

    start: int
    end: int
    rows: int = 0
    latest_per_key: int = 0
    keyless: int = 0
    deletions: int = 0
    fingerprint: int = 0
    # rows at or after `end` hold newer versions of keys of this slice when max_cursor >= end
    max_cursor: int = BEGINNING
    # It is read in so many shards, by a hash of the key: one second may hold more rows than one
    # worker sorts.
    parts: int = 1
    chunks: tuple[Chunk, ...] = ()  # empty: one worker sorts the whole slice

    @property
    def superseded_after(self) -> int | None:
        """End of the range that holds newer versions of this slice's keys, or None when there are
        none.
        """
        return self.max_cursor + 1 if self.max_cursor >= self.end else None

    @property
    def kept_rows(self) -> int:
        """Rows that are the newest of their key, and those without a key."""
        return self.latest_per_key + self.deletions + self.keyless

    @property
    def places(self) -> list[ChunkPlaces]:
        """The places of each chunk's rows in the slice."""
        chunks = self.chunks or (Chunk(self.start, 0),)
        ends = [chunk.first for chunk in chunks[1:]]
        both = itertools.zip_longest(chunks, ends)
        return [ChunkPlaces(chunk.start, chunk.first, end) for chunk, end in both]


def window(now: int, watermark: int | None, lookback: int, keep: int | None) -> Window:
    """The window of a run; see the top of this module. Times in epoch seconds, spans in seconds."""
    oldest = BEGINNING if keep is None else now - keep
    start = oldest if watermark is None else max(oldest, watermark - lookback)
    return Window(min(start, now), now)


def earliest(*moments: int | None) -> int | None:
    """The least of the moments that are known. None when none is."""
    return min((moment for moment in moments if moment is not None), default=None)


def slice_rows(document_bytes: float) -> int:
    """How many rows a slice should hold, given the mean size of their documents in bytes."""
    return max(1, min(SLICE_ROWS, int(SLICE_BYTES / max(document_bytes, 1))))


def sorted_rows(document_bytes: float) -> int:
    """How many rows one worker should sort, given the mean size of their documents in bytes."""
    return max(1, min(SLICE_ROWS, int(SORTED_BYTES / max(document_bytes, 1))))


def shards(total: int, rows: int) -> int:
    """Into how many shards a slice of `total` rows is cut. rows: what a worker should sort."""
    return 1 if total <= rows else math.ceil(total / max(1, int(rows * SHARD_FILL)))


def partition_bytes(slices: Iterable[Slice], document_bytes: float) -> float:
    """Bytes of documents in the largest part of the slices that one worker sorts.

    A shard counts as filled more than its share; see SHARD_FILL.
    """
    rows = [_largest_part(each) for each in slices]
    return max(rows, default=0) * document_bytes


def _largest_part(part: Slice) -> float:
    """Rows of the largest part that one worker sorts."""
    if part.parts > 1:
        return part.rows / part.parts / SHARD_FILL
    if not part.chunks:
        return part.rows
    edges = [*(chunk.first for chunk in part.chunks), part.kept_rows]
    return max(end - first for first, end in itertools.pairwise(edges))


def slices(
    span: Window,
    buckets: Sequence[Bucket],
    rows: int = SLICE_ROWS,
    rows_sorted: int | None = None,
) -> list[Slice]:
    """Cut `span` into slices. They tile it, whatever the buckets are, and come in time's order.

    rows_sorted: how many rows one worker should sort. None: a whole slice.
    """
    most = rows if rows_sorted is None else min(rows, rows_sorted)
    in_order = sorted(buckets, key=lambda b: b.start)
    groups = _grouped(in_order, rows, most) or [[]]
    later_starts = [max(span.start, group[0].start) for group in groups[1:]]
    edges = [span.start, *later_starts, span.end]
    spans = itertools.pairwise(edges)
    return [
        _joined(start, end, group, most) for (start, end), group in zip(spans, groups, strict=True)
    ]


def _grouped(buckets: Sequence[Bucket], rows: int, alone: int) -> list[list[Bucket]]:
    """Neighbours together, up to so many rows. alone: a bucket of more rows stays by itself."""
    groups: list[list[Bucket]] = []
    held = 0  # rows of the last group
    for bucket in buckets:
        held += bucket.rows
        is_heavy = bucket.rows > alone or (groups and groups[-1][0].rows > alone)
        if groups and held <= rows and not is_heavy:
            groups[-1].append(bucket)
        else:
            groups.append([bucket])
            held = bucket.rows
    return groups


def _chunks(start: int, group: Sequence[Bucket], rows: int) -> tuple[Chunk, ...]:
    """The chunks of a slice, each of so many rows at most. None where one worker sorts it all."""
    parts = _grouped(group, rows, rows)
    if len(parts) < 2:
        return ()
    starts = [start, *(part[0].start for part in parts[1:])]
    kept = [sum(b.latest_per_key + b.deletions + b.keyless for b in part) for part in parts]
    firsts = itertools.accumulate(kept[:-1], initial=0)
    return tuple(map(Chunk, starts, firsts))


def _joined(start: int, end: int, group: Sequence[Bucket], rows: int) -> Slice:
    """One slice of a group of buckets. rows: what a worker should sort."""
    fingerprint = 0
    for bucket in group:
        fingerprint ^= bucket.fingerprint
    total = sum(b.rows for b in group)
    return Slice(
        start=start,
        end=end,
        rows=total,
        latest_per_key=sum(b.latest_per_key for b in group),
        keyless=sum(b.keyless for b in group),
        deletions=sum(b.deletions for b in group),
        fingerprint=fingerprint,
        max_cursor=max((b.max_cursor for b in group), default=BEGINNING),
        parts=shards(total, rows) if len(group) == 1 else 1,
        chunks=_chunks(start, group, rows),
    )
