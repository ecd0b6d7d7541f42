"""Tables whose rows change: the newest of each key, however old what it replaces."""

from __future__ import annotations

import random

import pytest

from local.stack import Stack
from tests.variations import slow
from tests.workbench import DAY, HOUR, Workbench, batches_of, limit_slices, row


@pytest.mark.parametrize("rows", [1000, *slow(10_000)])
def test_many_rows_of_which_a_tenth_change(stack: Stack, rows: int) -> None:
    """A tenth is changed, a tenth of that twice: Aito holds the newest of each, sent once; a second
    run sends nothing.
    """
    dice = random.Random(3)
    bench = Workbench(stack, f"merge_many_{rows}", "merge")
    bench.put([row(f"k{i:05}", bench.now - 3 * DAY - i) for i in range(rows)])
    bench.run_ok()
    changed = dice.sample(range(rows), rows // 10)
    twice = changed[: rows // 100]
    bench.put([row(f"k{i:05}", bench.now - DAY + n, "changed") for n, i in enumerate(changed)])
    bench.put([row(f"k{i:05}", bench.now - 5000 + n, "twice") for n, i in enumerate(twice)])
    stack.aito.reset_stats()
    assert bench.run_ok().uploaded == len(changed)
    values = [r["value"] for r in bench.aito_rows()]
    numbers = [values.count(v) for v in ("v", "changed", "twice")]
    assert numbers == [rows - len(changed), len(changed) - len(twice), len(twice)]
    stack.aito.reset_stats()
    report = bench.run_ok()
    assert (report.uploaded, stack.aito.total("writes")) == (0, 0)


def test_which_row_is_the_newest(stack: Stack) -> None:
    """Within one second the later microsecond wins, in whatever order the rows reach BigQuery.

    A row whose content changed under the same time, within the lookback, is compared whole. When
    the newest row of a key is withdrawn, an older one counts again.
    """
    bench = Workbench(stack, "merge_fine", "merge")
    at = bench.now - 500
    bench.put(
        [
            row("a", at + 0.9, "last"),
            row("a", at + 0.1, "first"),
            row("b", at + 0.2, "one"),
            row("c", at),
            row("same time", at),
            row("backwards", at - 500, "old"),
            row("backwards", at + 480, "new"),
        ]
    )
    bench.run_ok()
    bench.put([row("b", at + 0.000002, "older"), row("c", at + 0.000001, "newer")])
    bench.delete_from_source(["same time", "backwards"])
    bench.put([row("same time", at, "other"), row("backwards", at - 500, "old")])
    assert bench.run_ok().warnings == []
    assert {r["id"]: r["value"] for r in bench.aito_rows()} == {
        "a": "last",
        "b": "one",
        "c": "newer",
        "same time": "other",
        "backwards": "old",
    }


def test_the_answer_of_a_replacement_is_lost(stack: Stack) -> None:
    """A replacement is one step, so that repeating it does no harm."""
    bench = Workbench(stack, "merge_lost", "merge", settings=batches_of(20))
    bench.put([row(f"k{i:02}", bench.now - 9000 - i) for i in range(50)])
    bench.run_ok()
    bench.put([row(f"k{i:02}", bench.now - 100 - i, "changed") for i in range(50)])
    for what in ("cut", "error", "html"):
        stack.aito.fail(what, on="modify", apply="all")
    bench.run_ok()


def test_numbers_as_keys(stack: Stack) -> None:
    """Keys of type Int, negative ones too, are looked up, replaced and deleted as numbers."""
    bench = Workbench(stack, "merge_numbers", "merge", numbered=True)
    bench.put([row(i, bench.now - 900 - i) for i in range(-20, 20)])
    bench.run_ok()
    bench.put([row(i, bench.now - 100 - i, "changed") for i in range(-5, 5)])
    bench.delete_from_source([17, 18])
    bench.run_ok()
    stack.aito.double_rows("merge_numbers", {"id": -7})
    bench.run_ok(full_refresh=True)


def test_no_reader_sees_a_key_twice(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change later than all that Aito holds replaces the older row in the same step, and is not
    added beside it.
    """
    bench = Workbench(stack, "merge_one_step", "merge")
    bench.put([row("a", bench.now - 900), row("b", bench.now - 800)])
    bench.run_ok()
    limit_slices(monkeypatch, 1)  # a slice of which Aito can hold nothing
    bench.now += DAY
    bench.put([row("a", bench.now - 60, "changed"), row("c", bench.now - 50)])
    stack.aito.reset_stats()
    report = bench.run_ok()
    assert (report.uploaded, report.repaired) == (2, 0)
    assert stack.aito.total(on="insert") == 0


def test_a_row_that_is_there_twice(stack: Stack) -> None:
    """Compared whole, two equal rows are not one: they are replaced where they are met."""
    bench = Workbench(stack, "merge_twice", "merge")
    bench.put([row("a", bench.now - 900), row("b", bench.now - 800)])
    bench.run_ok()
    stack.aito.double_rows(bench.name, {"id": "a"})
    report = bench.run_ok()
    assert (report.uploaded, report.skipped, report.repaired) == (1, 1, 0)


def load_and_take_back(bench: Workbench, at: float) -> None:
    """A key of two days ago comes again, is brought to Aito, and is deleted in the source."""
    bench.put(
        [
            row("a", bench.now - 2 * DAY, "old"),
            *(row(f"k{i}", bench.now - 60 * i - 60) for i in range(4)),
        ]
    )
    bench.run_ok()
    bench.put([row("a", at, "new")])
    bench.run_ok()
    bench.sql(f"DELETE FROM `{bench.source}` WHERE id = 'a' AND value = 'new'")
    bench.source_rows = [r for r in bench.source_rows if r["value"] != "new"]


def test_a_key_is_never_missing(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest row of a key was deleted in the source within the lookback. It stays until the
    older one replaces it, which is far behind the lookback.

    A run that is stopped before that leaves it, and the next run replaces it.
    """
    bench = Workbench(stack, "merge_broken_off", "merge")
    bench.put([row(f"o{i}", bench.now - 3 * DAY - HOUR * i) for i in range(2)])
    load_and_take_back(bench, bench.now - 90)
    limit_slices(monkeypatch, 2)
    values: set[str] = set()

    def stopped() -> bool:
        values.update(r["value"] for r in bench.aito_rows() if r["id"] == "a")
        assert values
        return len(values) > 1

    assert bench.run(stopped=stopped).status == "partial"
    report = bench.run_ok()
    assert report.watermark_after == max(r["unix"] for r in bench.aito_rows())
