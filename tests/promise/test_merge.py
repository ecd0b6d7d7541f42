"""Tables whose rows change: the newest of each key, however old what it replaces."""

from __future__ import annotations

import random

import pytest

from local.stack import Stack
from tests.promise.ends import DAY, HOUR, Ends, row


def test_ten_thousand_of_which_a_thousand_change(stack: Stack) -> None:
    """1,000 changed, 100 of them twice: Aito holds the newest of each, sent once; a second run
    sends nothing.
    """
    dice = random.Random(3)
    ends = Ends(stack, "merge_large", "merge")
    ends.put([row(f"k{i:05}", ends.now - 3 * DAY - i) for i in range(10_000)])
    ends.ok()
    changed = dice.sample(range(10_000), 1000)
    ends.put([row(f"k{i:05}", ends.now - DAY + n, "changed") for n, i in enumerate(changed)])
    ends.put([row(f"k{i:05}", ends.now - 100 + n, "twice") for n, i in enumerate(changed[:100])])
    stack.aito.reset_stats()
    assert ends.ok().uploaded == 1000
    values = [r["value"] for r in ends.held()]
    assert [values.count(v) for v in ("v", "changed", "twice")] == [9000, 900, 100]
    stack.aito.reset_stats()
    report = ends.ok()
    assert (report.uploaded, stack.aito.total("writes")) == (0, 0)


def test_the_same_second_and_finer(stack: Stack) -> None:
    """Within one second the later microsecond wins, in whatever order the rows reach BigQuery."""
    ends = Ends(stack, "merge_fine", "merge")
    at = ends.now - 500
    ends.put(
        [
            row("a", at + 0.9, "last"),
            row("a", at + 0.1, "first"),
            row("b", at + 0.2, "one"),
            row("c", at),
        ]
    )
    ends.ok()
    ends.put([row("b", at + 0.000002, "older"), row("c", at + 0.000001, "newer")])
    ends.ok()
    assert {r["id"]: r["value"] for r in ends.held()} == {"a": "last", "b": "one", "c": "newer"}


def test_a_change_without_a_later_time(stack: Stack) -> None:
    """A row whose content changed under the same time, within the lookback, is compared whole."""
    ends = Ends(stack, "merge_same", "merge")
    ends.put([row("a", ends.now - 500), row("b", ends.now - 400)])
    ends.ok()
    ends.take(["a"])
    ends.put([row("a", ends.now - 500, "other")])
    ends.ok()
    assert {r["id"]: r["value"] for r in ends.held()} == {"a": "other", "b": "v"}


def test_the_answer_of_a_replacement_is_lost(stack: Stack) -> None:
    """A replacement is one step, so that repeating it does no harm."""
    ends = Ends(stack, "merge_lost", "merge", settings={"batch": {"rows": 20, "bytes": 5_000_000}})
    ends.put([row(f"k{i:02}", ends.now - 9000 - i) for i in range(50)])
    ends.ok()
    ends.put([row(f"k{i:02}", ends.now - 100 - i, "changed") for i in range(50)])
    for what in ("cut", "error", "html"):
        stack.aito.fail(what, on="modify", apply="all")
    ends.ok()


def test_a_cursor_that_moves_backwards(stack: Stack) -> None:
    """The newest row of a key is withdrawn, and an older one counts again."""
    ends = Ends(stack, "merge_back", "merge")
    ends.put([row("a", ends.now - 1000, "old"), row("b", ends.now - 10)])
    ends.put([row("a", ends.now - 20, "new")])
    ends.ok()
    ends.take(["a"])
    ends.put([row("a", ends.now - 1000, "old")])
    ends.ok()
    assert {r["id"]: r["value"] for r in ends.held()} == {"a": "old", "b": "v"}


def test_numbers_as_keys(stack: Stack) -> None:
    """Keys of type Int, negative ones too, are looked up, replaced and deleted as numbers."""
    ends = Ends(stack, "merge_numbers", "merge", numbered=True)
    ends.put([row(i, ends.now - 900 - i) for i in range(-20, 20)])
    ends.ok()
    ends.put([row(i, ends.now - 100 - i, "changed") for i in range(-5, 5)])
    ends.take([17, 18])
    ends.ok()
    stack.aito.double_rows("merge_numbers", {"id": -7})
    ends.ok(full_refresh=True)


def test_no_reader_sees_a_key_twice(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change later than all that Aito holds replaces the older row in the same step, and is not
    added beside it.
    """
    monkeypatch.setattr(
        "sync.plan.window.slice_rows", lambda _: 1
    )  # a slice of which Aito can hold nothing
    ends = Ends(stack, "merge_one_step", "merge")
    ends.put([row("a", ends.now - 900), row("b", ends.now - 800)])
    ends.ok()
    ends.now += DAY
    ends.put([row("a", ends.now - 60, "changed"), row("c", ends.now - 50)])
    stack.aito.reset_stats()
    report = ends.ok()
    assert (report.uploaded, report.repaired) == (2, 0)
    assert stack.aito.total(on="insert") == 0


def test_a_row_that_is_there_twice(stack: Stack) -> None:
    """Compared whole, two equal rows are not one: they are replaced where they are met."""
    ends = Ends(stack, "merge_twice", "merge")
    ends.put([row("a", ends.now - 900), row("b", ends.now - 800)])
    ends.ok()
    stack.aito.double_rows(ends.name, {"id": "a"})
    report = ends.ok()
    assert (report.uploaded, report.skipped, report.repaired) == (1, 1, 0)


def taken_back(ends: Ends, at: float) -> None:
    """A key of two days ago comes again, is brought to Aito, and is deleted in the source."""
    ends.put(
        [
            row("a", ends.now - 2 * DAY, "old"),
            *(row(f"k{i}", ends.now - 60 * i - 60) for i in range(9)),
        ]
    )
    ends.ok()
    ends.put([row("a", at, "new")])
    ends.ok()
    ends.sql(f"DELETE FROM `{ends.source}` WHERE id = 'a' AND value = 'new'")
    ends.rows = [r for r in ends.rows if r["value"] != "new"]


def test_the_newest_row_is_taken_back(stack: Stack) -> None:
    """Deleted in the source within the lookback: the older row of the key, far behind it, is the
    newest left.
    """
    ends = Ends(stack, "merge_taken_back", "merge")
    taken_back(ends, ends.now - 30)
    report = ends.ok()
    assert report.watermark_after == max(r["unix"] for r in ends.held())


def test_broken_off_before_the_older_row_is_back(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest row of a key was taken back and is deleted; the next run brings the older one,
    however old.
    """
    monkeypatch.setattr("sync.plan.window.slice_rows", lambda _: 2)
    ends = Ends(stack, "merge_broken_off", "merge")
    ends.put([row(f"o{i}", ends.now - 3 * DAY - HOUR * i) for i in range(5)])
    taken_back(ends, ends.now - 90)
    report = ends.run(stopped=lambda: "new" not in {r["value"] for r in ends.held()})
    assert report.status == "partial"
    assert "a" not in {r["id"] for r in ends.held()}
    ends.ok()
