"""Which rows a run is about, in epoch seconds; every window and slice is half-open: [start, end).

window: start = the watermark less the lookback, never before now - keep; on an empty table now -
keep; end = now. slices: the window cut at the edges of histogram buckets into parts of about `rows`
rows, in time's order, without gaps, so that what Aito holds and the source does not is seen as
well.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

BEGINNING = -62_135_596_800  # 0001-01-01, the first moment BigQuery knows
# one worker sorts a slice: small enough to sort, large enough that its query's cost does not count
SLICE_ROWS = 50_000
SLICE_BYTES = 256_000_000  # of documents: the same bound for tables with large rows
SHARD_FILL = 0.8  # shards are cut by a hash, which fills some of them more than others
UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds"}  # of a cursor
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
    # read in so many shards by a hash of the key: one second may hold more rows than one worker
    # sorts
    parts: int = 1

    @property
    def superseded_after(self) -> int | None:
        """End of the range that holds newer versions of this slice's keys, or None when there are
        none.
        """
        return self.max_cursor + 1 if self.max_cursor >= self.end else None


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


def shards(total: int, rows: int) -> int:
    """Into how many shards a slice of `total` rows is cut. rows: what a slice should hold."""
    return 1 if total <= rows else math.ceil(total / max(1, int(rows * SHARD_FILL)))


def partition_bytes(slices: Iterable[Slice], document_bytes: float) -> float:
    """Bytes of documents in the largest part of the slices that one worker sorts.

    A shard counts as filled more than its share; see SHARD_FILL.
    """
    rows = [
        each.rows if each.parts == 1 else each.rows / each.parts / SHARD_FILL for each in slices
    ]
    return max(rows, default=0) * document_bytes


def slices(span: Window, buckets: Sequence[Bucket], rows: int = SLICE_ROWS) -> list[Slice]:
    """Cut `span` into slices. They tile it, whatever the buckets are, and come in time's order."""
    groups: list[list[Bucket]] = []
    held = 0  # rows of the last group
    for bucket in sorted(buckets, key=lambda b: b.start):
        held += bucket.rows
        if groups and held <= rows:
            groups[-1].append(bucket)
        else:
            groups.append([bucket])
            held = bucket.rows
    edges = [span.start, *(max(span.start, g[0].start) for g in groups[1:]), span.end]
    spans = itertools.pairwise(edges)
    return [
        _joined(start, end, group, rows)
        for (start, end), group in zip(spans, groups or [[]], strict=True)
    ]


def _joined(start: int, end: int, group: Sequence[Bucket], rows: int) -> Slice:
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
        parts=shards(total, rows),
    )
