"""Windows and slices: half-open, without gaps or overlaps, and no bucket is lost."""

from __future__ import annotations

import functools
import itertools
import operator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.model import window
from sync.model.window import (
    BEGINNING,
    HOUR,
    SLICE_ROWS,
    Bucket,
    ClockFacts,
    Faults,
    Histogram,
    Slice,
    Window,
)

NOW = 1_772_366_400
DAY = 86_400


@pytest.mark.parametrize(
    ("watermark", "lookback", "keep", "start"),
    [
        (None, HOUR, None, BEGINNING),  # an empty table, everything kept
        (None, HOUR, 90 * DAY, NOW - 90 * DAY),  # an empty table, what is kept
        (NOW - 100, HOUR, None, NOW - 100 - HOUR),  # behind the watermark
        (NOW - 100, 0, None, NOW - 100),  # the watermark's own second is always read again
        (NOW - 89 * DAY, 2 * DAY, 90 * DAY, NOW - 90 * DAY),  # never before what is kept
        (
            NOW - 200 * DAY,
            HOUR,
            90 * DAY,
            NOW - 90 * DAY,
        ),  # a watermark that is older than what is kept
        (NOW - 1, HOUR, 2 * HOUR, NOW - 1 - HOUR),
        (
            NOW + 5 * DAY,
            HOUR,
            None,
            NOW,
        ),  # a watermark in the future: an empty window, not one turned round
        (-5 * DAY, HOUR, None, -5 * DAY - HOUR),  # before 1970
    ],
)
def test_window(watermark: int | None, lookback: int, keep: int | None, start: int) -> None:
    """[watermark - lookback, now), never before now - keep; from there on where Aito holds
    nothing.
    """
    assert window.window(NOW, watermark, lookback, keep) == Window(start, NOW)


@given(
    st.none() | st.integers(BEGINNING, NOW + DAY),
    st.integers(0, 400 * DAY),
    st.none() | st.integers(1, 36_500 * DAY),
)
def test_windows_are_never_turned_round(
    watermark: int | None, lookback: int, keep: int | None
) -> None:
    """They end now, begin no later, hold the watermark's second where it is kept, and nothing that
    is purged.
    """
    span = window.window(NOW, watermark, lookback, keep)
    assert span.start <= span.end == NOW
    if keep is not None:
        assert span.start >= NOW - keep
    if watermark is not None and watermark < NOW and (keep is None or watermark >= NOW - keep):
        assert span.start <= watermark


def bucket(
    start: int,
    rows: int,
    latest: int | None = None,
    keyless: int = 0,
    max_cursor: int | None = None,
) -> Bucket:
    """A bucket whose fingerprint is its start."""
    return Bucket(
        start,
        rows,
        rows - keyless if latest is None else latest,
        keyless,
        max_cursor or start,
        abs(start),
    )


SPANS = st.tuples(st.integers(-50, 50), st.integers(1, 60)).map(
    lambda s: Window(s[0] * 7_000, (s[0] + s[1]) * 7_000)
)


@st.composite
def histograms(draw: st.DrawFn) -> tuple[Window, list[Bucket]]:
    """A span, and buckets of hours and of seconds in it.

    The first hour may begin before the span does.
    """
    span = draw(SPANS)
    first, last = span.start // HOUR, (span.end - 1) // HOUR
    hours = draw(st.sets(st.integers(first, last), max_size=20))
    fine = draw(st.sets(st.sampled_from(sorted(hours)), max_size=3)) if hours else set()
    starts = [hour * HOUR for hour in hours - fine]
    for hour in fine:
        starts += [
            s
            for s in draw(st.sets(st.integers(hour * HOUR, hour * HOUR + HOUR - 1), max_size=5))
            if span.start <= s < span.end
        ]
    sizes = st.integers(0, 300)
    return span, [
        bucket(start, draw(sizes), max_cursor=draw(st.none() | st.integers(start, span.end)))
        for start in starts
    ]


@settings(max_examples=60, deadline=None)
@given(histograms(), st.integers(1, 120))
def test_slices_tile_the_window(drawn: tuple[Window, list[Bucket]], rows: int) -> None:
    """They begin and end with it, each where the one before ends, in time's order, none turned
    round.
    """
    span, buckets = drawn
    parts = window.slices(span, buckets, rows)
    assert (parts[0].start, parts[-1].end) == (span.start, span.end)
    assert all(before.end == after.start for before, after in itertools.pairwise(parts))
    assert all(part.start < part.end for part in parts)


@settings(max_examples=60, deadline=None)
@given(histograms(), st.integers(1, 120), st.randoms())
def test_no_bucket_is_lost(drawn: tuple[Window, list[Bucket]], rows: int, random: object) -> None:
    """Counts and fingerprints of the slices are those of the buckets that begin in them."""
    span, buckets = drawn
    random.shuffle(buckets)  # type: ignore[attr-defined]
    parts = window.slices(span, buckets, rows)
    for part in parts:
        mine = [b for b in buckets if part.start <= max(b.start, span.start) < part.end]
        assert part.rows == sum(b.rows for b in mine)
        assert (part.latest_per_key, part.keyless) == (
            sum(b.latest_per_key for b in mine),
            sum(b.keyless for b in mine),
        )
        assert part.fingerprint == functools.reduce(operator.xor, (b.fingerprint for b in mine), 0)
        assert part.max_cursor == max((b.max_cursor for b in mine), default=BEGINNING)
        assert part.rows <= rows or len(mine) == 1, "only what cannot be cut is larger"
    assert sum(part.rows for part in parts) == sum(b.rows for b in buckets)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], [0]),
        ([0, 0], [0]),
        ([5, 5], [10]),
        ([5, 5, 1], [10, 1]),
        ([11, 1], [11, 1]),
        ([1, 11, 1], [1, 11, 1]),
        ([10, 10, 10], [10, 10, 10]),
        ([3, 3, 3, 3], [9, 3]),
    ],
)
def test_slices_close_at_their_rows(sizes: list[int], expected: list[int]) -> None:
    """With ten rows a slice: buckets are put together while they fit."""
    buckets = [bucket(n * HOUR, rows) for n, rows in enumerate(sizes)]
    assert [part.rows for part in window.slices(Window(0, 10 * HOUR), buckets, 10)] == expected


@pytest.mark.parametrize(("rows", "parts"), [(1, 1), (10, 1), (11, 2), (16, 2), (17, 3), (95, 12)])
def test_heavy_seconds_are_read_in_shards(rows: int, parts: int) -> None:
    """What holds more than a slice's rows and cannot be cut by time is cut by its keys.

    A hash fills shards unevenly, so that each has room left.
    """
    cut = window.slices(Window(0, 10), [bucket(5, rows)], 10)
    assert [part.parts for part in cut] == [parts]
    assert window.partition_bytes(cut, 7) <= 70


def test_a_slice_is_sorted_in_chunks() -> None:
    """Ten rows a slice, of which a worker sorts four. Each chunk knows its first place."""
    rows = [1, 3, 2, 2, 2, 9]
    buckets = [bucket(n * HOUR, n_rows) for n, n_rows in enumerate(rows)]
    first, second = window.slices(Window(-5, 10 * HOUR), buckets, 10, 4)
    assert first.chunks == ((-5, 0), (2 * HOUR, 4), (4 * HOUR, 8))
    assert first.places == [(-5, 0, 4), (2 * HOUR, 4, 8), (4 * HOUR, 8, None)]
    assert (second.rows, second.parts, second.chunks) == (9, 3, ())
    assert window.partition_bytes([first, second], 7) <= 4 * 7


@pytest.mark.parametrize(
    ("end", "reach", "after"),
    [(100, 99, None), (100, 100, 101), (100, 250, 251), (100, BEGINNING, None)],
)
def test_superseded(end: int, reach: int, after: int | None) -> None:
    """A row at the slice's end belongs to the next: newer versions lie in [end, reach], and none
    before.
    """
    assert Slice(0, end, max_cursor=reach).superseded_after == after


@pytest.mark.parametrize(
    ("document_bytes", "rows"),
    [(0.0, SLICE_ROWS), (100.0, SLICE_ROWS), (51_200.0, 5_000), (1e12, 1)],
)
def test_large_rows_make_short_slices(document_bytes: float, rows: int) -> None:
    """A worker sorts few of them. A slice, too, is bounded by its bytes."""
    assert window.sorted_rows(document_bytes) == rows
    assert window.slice_rows(document_bytes) == min(
        SLICE_ROWS, max(1, int(2.5e9 // max(1, document_bytes)))
    )


def test_what_was_not_counted_is_nothing() -> None:
    """An edge of time alone makes a slice, which is read as a whole."""
    part = Slice(0, 10)
    assert (part.rows, part.latest_per_key, part.keyless, part.deletions) == (0, 0, 0, 0)
    assert (part.fingerprint, part.parts, part.superseded_after) == (0, 1, None)
    assert part.places == [(0, 0, None)]
    counted = Slice(0, 10, latest_per_key=4, keyless=1, deletions=2)
    assert (part.kept_rows, counted.kept_rows) == (0, 7)
    assert (Histogram(()).cursorless, ClockFacts().ahead, Faults().rows) == (0, 0, 0)


def test_parts_of_few_rows() -> None:
    """A worker that sorts one row at a time gets one. No slices have no bytes."""
    assert (window.shards(5, 1), window.shards(1, 1)) == (5, 1)
    assert window.partition_bytes([Slice(0, 1, rows=10)], 3.0) == 30
    assert window.partition_bytes([], 3.0) == 0
    assert window.partition_bytes([Slice(0, 1, rows=10, parts=2)], 1.0) == 10 / 2 / 0.8


def hours(*rows: int) -> list[Bucket]:
    """A bucket an hour. Of five rows two are the newest, two have no key, one deletes its key."""
    of_five = [(n, count, 2, 2, 0, 0, 1) for n, count in enumerate(rows)]
    return [Bucket(HOUR * n, *more) for n, *more in of_five]


def test_hours_that_one_worker_sorts() -> None:
    """They share a slice, each a chunk. Larger ones are slices of their own."""
    (together,) = window.slices(Window(0, 2 * HOUR), hours(5, 5), 100, 5)
    assert together.chunks == ((0, 0), (HOUR, 5))
    apart = window.slices(Window(0, 3 * HOUR), hours(1, 6, 1), 100, 5)
    assert [part.start for part in apart] == [0, HOUR, 2 * HOUR]
