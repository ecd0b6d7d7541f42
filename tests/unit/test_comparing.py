"""Both ends compared and repaired: by counts, by keys, by contents; over slices and rounds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from sync.base.errors import (
    DeleteRefused,
    EmptySource,
    OutcomeUnknown,
    OutOfTime,
    Refusal,
    Refused,
    Unavailable,
    Unknown,
)
from sync.model.conditions import AllOf, Between, OneOf
from sync.model.plan import Plan
from sync.model.records import OpenReject, RowId
from sync.pipeline import compare as comparing
from sync.pipeline.deliver import Delivery
from sync.pipeline.reconcile import reconcile
from sync.pipeline.rejects import Reject
from sync.pipeline.repair import Repairer, SliceRepair
from sync.pipeline.verify import Verifier
from tests.memory import HOUR, NAME, NOW, WITH_CURSOR, Memory, Row, batch_of, row

MERGE = f"mode: merge\n    {WITH_CURSOR}"
START = NOW - 240 * HOUR  # of the window
OLDEST = NOW - 720 * HOUR  # of what is kept


def at(hours: int) -> int:
    """The cursor of a row of so many hours of age."""
    return NOW - hours * HOUR - 60


def hourly(count: int) -> list[Row]:
    """Rows k00, k01, ..., one in each hour, the newest first."""
    return [row(f"k{n:02}", at(n)) for n in range(count)]


class Ends:
    """A run whose both ends hold hourly rows, in slices of `size` rows, and what compares them."""

    def __init__(self, count: int, *, size: int = 100, table: str = WITH_CURSOR, **more: Any):
        self.memory = Memory(table, **more)
        self.memory.described = self.memory.described.__class__(
            self.memory.described.columns, slice_rows=size, sorted_rows=size
        )
        self.source, self.target = self.memory.source, self.memory.target
        self.progress, self.loaded = self.memory.progress, self.memory.loaded
        self.memory.both(hourly(count))
        self.delivery = Delivery(self.memory.run, self.memory.rejects, self.memory.described)
        self.repairer = Repairer(self.memory.run, self.delivery, self.memory.rejects, self.loaded)
        self.verifier = Verifier(self.memory.run, self.memory.rejects, self.repairer, self.loaded)

    def plan(self, start: int = START, **fields: Any) -> Plan:
        """The plan of the window."""
        return self.memory.plan(start, **fields)

    def lose(self, *keys: Any) -> None:
        """Delete rows in the target."""
        self.target.held[NAME] = [each for each in self.target.held[NAME] if each["id"] not in keys]

    def forget(self, *keys: Any) -> None:
        """Delete rows in the source."""
        self.source.rows = [each for each in self.source.rows if each["id"] not in keys]

    def repair(self, *, delete: bool = True, contents: bool = False, **fields: Any) -> SliceRepair:
        """Repair the window's only slice, and delete what is extra."""
        plan = self.plan(**fields)
        (part,) = plan.slices
        found = self.repairer.repair(plan, part, delete=delete, contents=contents)
        self.repairer.delete_extra(plan)
        return found

    @property
    def equal(self) -> bool:
        """Whether both ends hold the same keys and cursors."""
        both = (self.source.rows, self.target.held[NAME])
        one, other = (sorted((str(r["id"]), r["unix"]) for r in rows) for rows in both)
        return one == other

    @property
    def figures(self) -> tuple[int, int, int, int]:
        """Rows that were repaired, changed, deleted, and deleted by the source's word."""
        progress = self.progress
        return (
            progress.repaired,
            progress.changed,
            progress.deleted,
            progress.deleted_by_condition,
        )


# -- repair of one slice


def test_equal_ends_need_nothing() -> None:
    """No write, and no mark that something was repaired."""
    ends = Ends(5)
    assert ends.repair() == SliceRepair(0, 5)
    assert (ends.target.log, ends.figures, ends.loaded.repaired_from) == ([], (0, 0, 0, 0), None)
    assert not ends.repairer.waits_for_moved_rows


def test_what_is_missing_is_sent() -> None:
    """An append table holds no row of the keys: it is an insert. Merge always replaces."""
    for table, kind in ((WITH_CURSOR, "insert"), (MERGE, "upsert")):
        ends = Ends(5, table=table, batch_rows=2)
        ends.lose("k01", "k03")
        assert ends.repair(delete=False) == SliceRepair(2, 5)
        assert ends.target.log == [(kind, ["k03"]), (kind, ["k01"])]
        assert (ends.equal, ends.figures) == (True, (2, 0, 0, 0))
        assert ends.loaded.repaired_from == START


def test_what_is_held_in_another_way_is_replaced() -> None:
    """A row that is there twice, and one with another cursor."""
    ends = Ends(5)
    ends.lose("k02")
    ends.target.store([row("k01", at(1)), row("k02", at(2) + 5)])
    assert ends.repair() == SliceRepair(2, 5)
    assert ends.target.log == [("upsert", ["k02", "k01"])]
    assert (ends.equal, ends.figures) == (True, (2, 2, 0, 0))


def test_the_first_repair_is_remembered() -> None:
    """Its slice begins where the next run has to look."""
    ends = Ends(6, size=2)
    ends.lose("k01", "k03")
    plan = ends.plan()
    for part in plan.slices:
        ends.repairer.repair(plan, part, delete=True)
    assert ends.loaded.repaired_from == plan.slices[1].start > START


def test_a_reject_of_this_run_is_not_sent_again() -> None:
    """Nor is it missing. A row that deletes its key is none to store."""
    ends = Ends(5)
    ends.lose("k01")
    ends.progress.rejected = 7
    (lost,) = batch_of([ends.source.rows[1]]).read()
    ends.memory.rejects.add([Reject(lost, "bad")])
    ends.source.rows.append(row("gone", at(2), fault=-1))
    assert ends.repair() == SliceRepair(0, 4)
    assert (ends.target.log, ends.progress.repaired) == ([], 0)


def test_a_row_that_is_refused_now() -> None:
    """It counts as rejected, and neither as repaired nor as stored."""
    ends = Ends(5)
    ends.lose("k01", "k02")
    ends.progress.rejected = 7

    def answer(kind: str, rows: Any) -> None:
        if any(each["id"] == "k01" for each in rows):
            raise Refused("no", Refusal.ROWS)

    ends.target.answer = answer
    assert ends.repair() == SliceRepair(2, 4)
    assert (ends.progress.repaired, ends.progress.rejected) == (1, 8)


def outage(*keys: str) -> Callable[[str, Any], None]:
    """Answer 500 to each write that holds one of these keys."""

    def answer(kind: str, rows: Any) -> None:
        if kind != "delete" and any(each["id"] in keys for each in rows):
            raise OutcomeUnknown("500", Unknown.SERVER_ERROR)

    return answer


def test_a_row_beside_it_is_the_probe() -> None:
    """Aito answers 500 to the only missing row. A row that it holds is sent again and taken."""
    ends = Ends(3)
    ends.lose("k00")
    ends.target.answer = outage("k00")
    assert ends.repair() == SliceRepair(1, 2)
    assert (ends.progress.rejected, ends.progress.repaired) == (1, 0)
    assert ("upsert", ["k01"]) in ends.target.log
    flagged = Ends(1)
    flagged.source.rows[0]["fault"] = 1
    flagged.memory.both([])
    flagged.source.rows.append(row("bad", at(0) + 1))
    flagged.target.answer = outage("bad")
    with pytest.raises(Unavailable, match="took no other"):
        flagged.repair()


def test_a_suspect_is_decided_about_before_the_slice_ends() -> None:
    """An earlier run has rejected the row already: it is rejected again."""
    ends = Ends(1)
    ends.lose("k00")
    known = OpenReject(RowId("k00", at(0)), "bad", datetime.now(UTC), True)
    ends.memory.ledger.open = [known]
    ends.target.answer = outage("k00")
    assert ends.repair() == SliceRepair(1, 0)


def test_a_dry_run_counts() -> None:
    """It writes nothing, and waits for no moved row, as none will come."""
    ends = Ends(15, dry_run=True)
    ends.lose("k01")
    ends.forget("k02")
    ends.target.store([row("k03", START + 1)])
    ends.source.rows[2] = row("k03", at(0) + 5)
    ends.repair()
    assert ends.target.log == []
    assert ends.figures == (2, 1, 1, 0)


def test_a_missing_table_holds_nothing() -> None:
    """Nobody asks it."""
    ends = Ends(3, dry_run=True)
    ends.target.drop(NAME)
    assert ends.repair(exists=False) == SliceRepair(3, 3)
    assert ends.repair(exists=False, contents=True) == SliceRepair(3, 3)


# -- contents


def test_contents() -> None:
    """A value that differs is found by contents alone."""
    ends = Ends(4)
    ends.target.held[NAME][1] |= {"value": "other"}
    assert ends.repair() == SliceRepair(0, 4)
    assert ends.repair(contents=True) == SliceRepair(0, 4), "it is no column of the table"
    ends.target.held[NAME][1] |= {"yes": True}
    assert ends.repair() == SliceRepair(0, 4)
    assert ends.repair(contents=True) == SliceRepair(1, 4)
    assert ends.figures == (1, 1, 0, 0)
    assert ends.repair(contents=True) == SliceRepair(0, 4)


def test_contents_of_nulls_that_read_as_false() -> None:
    """They are equal where the target is known to do so, and a true stays a true."""
    ends = Ends(2)
    ends.source.rows[0]["yes"] = None
    ends.target.held[NAME][0]["yes"] = False
    ends.source.rows[1]["yes"] = ends.target.held[NAME][1]["yes"] = True
    assert ends.repair(contents=True, null_reads_false=True) == SliceRepair(0, 2)
    assert ends.repair(contents=True) == SliceRepair(1, 2)


def test_contents_of_a_row_that_the_source_rejects() -> None:
    """What the target holds of it is an earlier state, which goes. Keys alone do not tell."""
    ends = Ends(2)
    ends.source.rows[0] |= {"fault": 1}
    assert ends.repair() == SliceRepair(0, 2)
    assert ends.repair(contents=True) == SliceRepair(1, 1)
    assert (ends.memory.rejected, ends.target.keys) == (["k00"], ["k01"])
    assert (ends.progress.changed, ends.progress.deleted) == (0, 1)


@pytest.mark.parametrize("contents", [False, True])
def test_a_dry_run_foresees_rejects(contents: bool) -> None:
    """It counts them, and what the target would delete for them."""
    ends = Ends(2, dry_run=True)
    ends.source.rows[0] |= {"fault": 1}
    ends.lose(*[] if contents else ["k00"])
    assert ends.repair(contents=contents) == SliceRepair(1, 1)
    assert (ends.progress.rejected, ends.progress.deleted) == (1, int(contents))
    assert (ends.target.log, ends.memory.rejected) == ([], [])


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"a": 1.0, "b": None}, {"a": 1}, True),
        ({"a": [1.0, {"b": 2.0}]}, {"a": [1, {"b": 2}]}, True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1.5}, {"a": 1}, False),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"b": 1}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": "\ud800"}, {"a": "\ud800"}, True),
        ({"a": "1"}, {"a": 1}, False),
    ],
)
def test_the_hash_of_a_document(one: Row, other: Row, equal: bool) -> None:
    """Nulls do not count, nor does the order of names; a whole number is an integer."""
    hashes = [comparing.content_hash(each) for each in (one, other)]
    assert (hashes[0] == hashes[1]) is equal


def test_the_fingerprint_of_keys_and_cursors() -> None:
    """60 bits of a hash that BigQuery knows, joined by XOR."""
    digests = [hashlib.md5(text).hexdigest() for text in (b"a 1", b"b -2")]
    one, other = (int(digest[:15], 16) for digest in digests)
    assert comparing.fingerprint({"a": [1]}) == one
    assert comparing.fingerprint({"a": [1], "b": [-2]}) == one ^ other
    assert comparing.fingerprint({"a": [1, 1]}) == comparing.fingerprint({}) == 0


def test_slices_after_the_watermark_are_not_looked_at() -> None:
    """The target holds nothing of them. It may hold rows of the one that begins with it."""
    ends = Ends(6, size=2)
    part = ends.plan().slices[1]
    asked = []
    for watermark in (None, part.start - 1, part.start):
        index = comparing.index_to_match(ends.memory.run, ends.plan(watermark=watermark), part)
        asked.append((index is not None, len(ends.target.read)))
    assert asked == [(False, 0), (False, 0), (True, 1)]


# -- rows that only the target holds


def test_rows_that_are_gone_are_deleted() -> None:
    """In their slice alone, and after the guard has looked at all of them."""
    ends = Ends(5)
    ends.forget("k01", "k03")
    assert ends.repair() == SliceRepair(0, 3)
    inside = Between("unix", START, NOW)
    assert ends.target.log == [("delete", AllOf((OneOf("id", ("k01", "k03")), inside)))]
    assert (ends.equal, ends.figures, ends.loaded.repaired_from) == (True, (0, 0, 2, 0), START)
    assert ends.source.asked_if_empty == 1


def test_without_leave_nothing_is_deleted() -> None:
    """What a pruned reading has not seen may still exist."""
    ends = Ends(5)
    ends.forget("k01")
    ends.repair(delete=False)
    assert (ends.target.log, ends.loaded.repaired_from) == ([], None)


def test_a_source_without_rows_deletes_nothing() -> None:
    """It was emptied after it was counted."""
    ends = Ends(5)
    plan = ends.plan()
    ends.forget(*(each["id"] for each in hourly(5)))
    ends.repairer.repair(plan, plan.slices[0], delete=True)
    with pytest.raises(EmptySource):
        ends.repairer.delete_extra(plan)
    assert ends.target.log == []


def test_guards_count_over_the_run() -> None:
    """Nine rows may go, and then no nine others. Nothing is deleted then."""
    ends = Ends(40, table=f"{WITH_CURSOR}\n    delete: {{max_share: 0.1}}")
    ends.forget(*(f"k{n:02}" for n in range(9)))
    ends.repair()
    assert (ends.progress.deleted, len(ends.target.keys)) == (9, 31)
    ends.forget(*(f"k{n:02}" for n in range(9, 18)))
    with pytest.raises(DeleteRefused, match="18 of 40 rows"):
        ends.repair()
    assert (ends.progress.deleted, len(ends.target.keys)) == (9, 31)


def test_rows_whose_keys_were_made_in_another_way() -> None:
    """They count as repaired, as far as the source has rows for them."""
    ends = Ends(3)
    ends.source.rows = [row("new1", at(0)), row("new2", at(1))]
    ends.repair(rekeyed=True)
    assert (ends.equal, ends.figures) == (True, (2 + 2, 0, 1, 0))
    same = Ends(3)
    same.source.rows = [row(f"new{n}", at(n)) for n in range(3)]
    same.repair(rekeyed=True)
    assert (same.equal, same.figures) == (True, (3 + 3, 0, 0, 0))
    assert same.source.asked_if_empty == 0


def test_rows_that_the_source_deletes() -> None:
    """The last row of the key says so: no guard counts them."""
    ends = Ends(30, table=f"{WITH_CURSOR}\n    deletes: gone")
    for number in range(20):
        ends.source.rows.append(row(f"k{number:02}", at(0) + 30, fault=-1))
    ends.repair()
    assert (ends.figures, len(ends.target.keys)) == ((0, 0, 20, 20), 10)
    assert ends.source.asked_if_empty == 0


def test_the_older_row_of_a_key_goes_once_the_other_is_there() -> None:
    """It is found in another slice than the key's row of the source."""
    ends = Ends(6, size=2)
    plan = ends.plan()
    ends.target.store([row("k05", at(0) + 1)])
    newest = plan.slices[-1]
    ends.repairer.repair(plan, newest, delete=True)
    ends.repairer.delete_extra(plan)
    inside = Between("unix", newest.start, NOW)
    assert ends.target.log == [("delete", AllOf((OneOf("id", ("k05",)), inside)))]
    assert (ends.equal, ends.figures) == (True, (1, 0, 0, 0))
    assert ends.source.asked_if_empty == 0


def test_the_older_row_of_a_key_waits_for_the_other() -> None:
    """Else the key would be absent for a while. It is counted as a row that stays."""
    ends = Ends(6, size=2)
    plan = ends.plan()
    newest = plan.slices[-1]
    ends.lose("k05")
    ends.target.store([row("k05", at(0) + 1)])
    ends.repairer.repair(plan, newest, delete=True)
    ends.repairer.delete_extra(plan)
    assert (ends.target.log, ends.figures) == ([], (0, 0, 0, 0))
    assert ends.repairer.waits_for_moved_rows
    stays = [(at(0) + 1, NOW), (at(0), at(0) + 1), (at(0) + 1, at(0) + 2), (at(0) + 2, NOW)]
    assert [ends.repairer.kept_between(*span) for span in stays] == [1, 0, 1, 0]
    ends.target.store([row("k05", at(5))])
    ends.repairer.repair(plan, newest, delete=True)
    ends.repairer.delete_extra(plan)
    assert (ends.equal, ends.repairer.waits_for_moved_rows) == (True, False)
    assert ends.repairer.kept_between(START, NOW) == 0


def test_the_older_row_of_a_key_whose_other_is_rejected() -> None:
    """The other never comes: the old one is no longer true, and goes."""
    ends = Ends(6, size=2)
    plan = ends.plan()
    ends.lose("k05")
    ends.target.store([row("k05", at(0) + 1)])
    (lost,) = batch_of([ends.source.rows[5]]).read()
    ends.memory.rejects.add([Reject(lost, "bad")])
    ends.repairer.repair(plan, plan.slices[-1], delete=True)
    ends.repairer.delete_extra(plan)
    assert (len(ends.target.keys), ends.figures) == (5, (0, 0, 1, 0))


def test_a_dry_run_waits_for_no_row() -> None:
    """It sends none. What a real run would do in the end is counted."""
    ends = Ends(6, size=2, dry_run=True)
    plan = ends.plan()
    ends.lose("k05")
    ends.target.store([row("k05", at(0) + 1)])
    ends.repairer.repair(plan, plan.slices[-1], delete=True)
    ends.repairer.delete_extra(plan)
    assert (ends.target.log, ends.figures) == ([], (1, 0, 0, 0))
    assert not ends.repairer.waits_for_moved_rows


def test_rows_that_come_after_the_window() -> None:
    """Their key is tomorrow's. What the target holds of it stays until then."""
    ends = Ends(3)
    ends.source.rows[1] = row("k01", NOW)
    ends.repair()
    assert (ends.target.log, ends.target.keys) == ([], ["k00", "k01", "k02"])
    assert not ends.repairer.waits_for_moved_rows
    assert ends.repairer.kept_between(START, NOW) == 1


@pytest.mark.parametrize(("table", "left"), [(WITH_CURSOR, 2), (MERGE, 3)])
def test_a_key_whose_row_is_older_than_the_comparison(table: str, left: int) -> None:
    """In merge it counts again when a newer row is taken back. Append rows never change."""
    ends = Ends(3, table=table)
    ends.source.rows[1] = row("k01", START - HOUR)
    ends.repair()
    assert len(ends.target.keys) == left
    assert ends.repairer.waits_for_moved_rows is (left == 3)


def test_number_keys_in_many_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many keys in each as the target takes, and as numbers."""
    monkeypatch.setattr(comparing, "MAX_KEYS", 2)
    ends = Ends(0, key_type="Int", table=f"{WITH_CURSOR}\n    delete: {{max_share: 1.0}}")
    ends.memory.both([row(number, at(number)) for number in range(8)])
    ends.forget(1, 2, 3, 4, 5)
    ends.target.store([row(0, at(7) - 1)])
    ends.target.store([row(2**31, at(6))])  # no column of the type can hold it
    ends.repair()
    sizes = [len(condition.conditions[0].values) for _, condition in ends.target.log[1:]]
    assert sizes == [2, 2, 1]
    assert ends.target.keys == [0, 6, 7, 2**31]


# -- slices that were just sent


def test_sent_slices_are_counted_together() -> None:
    """One request tells that all arrived, or more than was expected."""
    ends = Ends(6, size=2)
    plan = ends.plan()
    for extra in ([], [row("extra", at(4))]):
        ends.target.store(extra)
        ends.target.read.clear()
        ends.verifier.complete_slices(plan, plan.slices[:2])
        assert ends.target.read == [Between("unix", START, plan.slices[1].end)]
    assert (ends.source.read, ends.target.log) == ([], [])


def test_what_is_missing_of_sent_slices() -> None:
    """Only the slices that lack rows are read again. Nothing is deleted."""
    ends = Ends(8, size=2)
    plan = ends.plan()
    ends.lose("k03", "k02", "k00")
    ends.target.store([row("extra", at(3))])
    ends.verifier.complete_slices(plan, plan.slices[1:3])
    assert ends.source.read == [plan.slices[2]]
    ends.repairer.delete_extra(plan)
    assert ends.target.keys == ["extra", *(f"k0{n}" for n in range(1, 8))]


def test_a_single_sent_slice() -> None:
    """Rejects of this run are not expected."""
    ends = Ends(4, size=2)
    plan = ends.plan()
    ends.lose("k03")
    (lost,) = batch_of([ends.source.rows[3]]).read()
    ends.memory.rejects.add([Reject(lost, "bad")])
    ends.verifier.complete_slices(plan, plan.slices[:1])
    assert ends.source.read == []


# -- the comparison at the end


def verified(ends: Ends, **fields: Any) -> list[tuple[bool, int]]:
    """Verify, and return each count of the source: whether recent rows only, and its start."""
    ends.verifier.verify_and_repair(ends.plan(**fields))
    assert ends.progress.verified
    return [(recent, window.start) for recent, window in ends.source.counted]


def test_equal_counts_are_enough() -> None:
    """One request to the target, and none to the source."""
    ends = Ends(6, size=2)
    assert verified(ends) == []
    assert ends.target.read == [Between("unix", START, NOW)]


def test_a_lookback_before_the_window_is_counted_too() -> None:
    """Recent rows alone."""
    ends = Ends(6, size=2)
    since = START - 24 * HOUR
    assert verified(ends, verify_since=since) == [(True, since)]
    assert ends.target.read == [Between("unix", since, NOW)]


def test_missing_rows_are_found_among_recent_ones() -> None:
    """Mostly it is rows that came during the load: old partitions are not read."""
    ends = Ends(6, size=2)
    ends.lose("k03")
    ends.target.held[NAME][2]["yes"] = True  # contents are not compared
    assert verified(ends) == [(True, START)]
    assert (ends.equal, len(ends.source.read), ends.target.written) == (True, 1, [["k03"]])


def test_extra_rows_are_deleted_by_a_whole_reading() -> None:
    """Never by one of recent rows alone."""
    ends = Ends(6, size=2)
    ends.forget("k03")
    assert verified(ends) == [(True, START), (False, START)]
    assert (ends.equal, ends.progress.deleted) == (True, 1)


def test_keys_tell_what_counts_hide() -> None:
    """One row is missing and one is there twice. Recent rows first, then all."""
    ends = Ends(6, size=2)
    ends.lose("k03")
    ends.target.store([row("k02", at(2))])
    assert verified(ends, keys_since=START) == [(True, START), (False, START)]
    assert ends.equal


def test_keys_of_a_source_that_is_read_whole() -> None:
    """One round is enough."""
    ends = Ends(6, size=2)
    ends.lose("k03")
    ends.target.store([row("k02", at(2))])
    counted = verified(ends, keys_since=START, source=ends.memory.described.whole())
    assert (ends.equal, counted) == (True, [(False, START)])


def test_rows_that_the_target_never_shows() -> None:
    """After three rounds the run fails."""
    ends = Ends(6, size=2)
    ends.lose("k03")
    ends.target.store = lambda *_, **__: None  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="still differ after 3 repairs"):
        ends.verifier.verify_and_repair(ends.plan())
    assert not ends.progress.verified
    assert [recent for recent, _ in ends.source.counted] == [True, False, False]


def test_a_row_that_was_taken_back_to_before_the_window() -> None:
    """The target lacks it, so the newer one waits. The whole keep range is compared then."""
    ends = Ends(6, size=2, table=MERGE)
    ends.source.rows[3] = row("k03", START - 100 * HOUR)
    counted = verified(ends, source=ends.memory.described.whole(), keys_since=START)
    assert (False, OLDEST) in counted
    assert (ends.equal, ends.target.log[-1]) == (True, ("upsert", ["k03"]))


def test_a_row_that_was_taken_back_to_where_nobody_looks() -> None:
    """A reading of recent rows does not show it, so their count cannot tell."""
    ends = Ends(6, size=2, table=MERGE)
    ends.source.rows[3] = row("k03", START - 100 * HOUR)
    ends.source.unread = {"k03"}
    verified(ends)
    assert ends.equal


class Waiting(Repairer):
    """A repairer for which the key of some row has always moved."""

    @property
    def waits_for_moved_rows(self) -> bool:
        return True


def test_rows_that_move_while_they_are_compared() -> None:
    """After three rounds the run ends, and the next one compares everything by keys."""
    ends = Ends(6, size=2, table=MERGE)
    repairer = Waiting(ends.memory.run, ends.delivery, ends.memory.rejects, ends.loaded)
    ends.verifier = Verifier(ends.memory.run, ends.memory.rejects, repairer, ends.loaded)
    late = (row(f"late{number}", at(3) + number) for number in range(99))
    ends.source.on_count = lambda: ends.source.rows.append(next(late))
    whole = ends.memory.described.whole()
    counted = verified(ends, source=whole, keys_since=START)
    assert ends.loaded.verify_from == OLDEST
    assert counted == [(False, START), *[(False, OLDEST)] * 5]


def compare(ends: Ends, **fields: Any) -> Plan:
    """The plan of a comparison by keys from the fourth of six slices on, and its outcome."""
    plan = ends.plan(source=ends.memory.described.whole(), **fields)
    try:
        ends.verifier.verify_and_repair(plan)
    except OutOfTime:
        assert not ends.progress.verified
    return plan


def six_slices(**more: Any) -> Ends:
    """Twelve rows in six slices of two."""
    return Ends(12, size=2, **more)


def spans(plan: Plan) -> list[Between]:
    """The slices as conditions."""
    return [Between("unix", part.start, part.end) for part in plan.slices]


def test_keys_from_a_moment_on() -> None:
    """One count tells of all slices before it that they need no look."""
    ends = six_slices()
    middle = ends.plan().slices[3].start
    plan = compare(ends, keys_since=middle)
    each = spans(plan)
    assert ends.target.read == [Between("unix", START, middle), *each[3:]]


def test_slices_before_that_moment_come_last() -> None:
    """When their count differs, their keys are compared, too."""
    ends = six_slices()
    ends.lose("k11")
    middle = ends.plan().slices[3].start
    plan = compare(ends, keys_since=middle)
    each = spans(plan)
    assert ends.target.read[:5] == [Between("unix", START, middle), *each[3:], each[0]]
    assert ends.equal


def test_slices_that_interrupted_runs_have_compared() -> None:
    """They are left to the next run, else a source that always changes would have no end."""
    for since, left in ((START, True), (START - 1, True), (START + 1, False), (None, False)):
        ends = six_slices()
        ends.lose("k11")
        middle = ends.plan().slices[3].start
        compare(ends, keys_since=middle, compared_from=since)
        assert (ends.loaded.verify_from == START) is left
        assert ends.equal is not left


def stop_after(ends: Ends, reads: int) -> None:
    """Let the time end with the so-manieth request for rows of the target."""

    def read() -> None:
        if len(ends.target.read) >= reads:
            ends.memory.at = 1000.0

    ends.target.on_read = read


def test_an_interrupted_comparison() -> None:
    """The next run goes on at the slice that was not compared. At least one slice was."""
    for reads, number in ((1, 1), (2, 2), (6, 6)):
        ends = six_slices()
        stop_after(ends, reads)
        plan = compare(ends, keys_since=START)
        if number == 6:
            assert ends.progress.verified
            continue
        assert ends.loaded.verify_from == plan.slices[number].start
        assert ends.loaded.compared_from == START


def test_an_interrupted_comparison_of_later_slices() -> None:
    """Those before the moment follow: all later ones are done then."""
    ends = six_slices()
    ends.lose("k11")
    middle = ends.plan().slices[3].start
    stop_after(ends, 2)
    plan = compare(ends, keys_since=middle)
    assert ends.loaded.verify_from == plan.slices[4].start
    assert ends.loaded.compared_from == middle
    again = six_slices()
    again.lose("k07")  # in the third slice
    stop_after(again, 5)
    plan = compare(again, keys_since=middle, compared_from=START + 5)
    assert again.loaded.verify_from == plan.slices[1].start
    assert again.loaded.compared_from == START
    earlier = six_slices()
    stop_after(earlier, 2)
    compare(earlier, keys_since=middle, compared_from=START + 5)
    assert earlier.loaded.compared_from == START + 5


def test_an_interrupted_comparison_of_the_first_earlier_slice() -> None:
    """Only the last slice was to be compared by keys. It was."""
    ends = six_slices()
    ends.lose("k11")
    stop_after(ends, 2)
    plan = compare(ends, keys_since=ends.plan().slices[5].start)
    assert ends.loaded.verify_from == plan.slices[0].start
    assert ends.loaded.compared_from == START


def test_an_interrupted_comparison_of_all_that_is_kept() -> None:
    """A moved row cannot be older than it."""
    ends = six_slices(table=MERGE)
    repairer = Waiting(ends.memory.run, ends.delivery, ends.memory.rejects, ends.loaded)
    ends.verifier = Verifier(ends.memory.run, ends.memory.rejects, repairer, ends.loaded)
    stop_after(ends, 2)
    plan = compare(ends, start=OLDEST, keys_since=OLDEST)
    assert ends.loaded.verify_from == plan.slices[2].start


def test_an_interrupted_comparison_deletes_what_it_found() -> None:
    """A slice that was repaired, and holds what was read of it, is done."""
    ends = six_slices()
    ends.forget("k10")
    ends.lose("k08")
    stop_after(ends, 3)
    plan = compare(ends, keys_since=START)
    assert ends.progress.deleted == 1
    assert ends.loaded.verify_from is not None
    assert ends.loaded.verify_from > plan.slices[0].start


def test_an_interrupted_comparison_of_a_slice_that_lost_rows_again() -> None:
    """It is not done, although it was repaired."""
    ends = six_slices()
    ends.lose("k10")
    ends.target.store = lambda *_, **__: None  # type: ignore[method-assign]
    stop_after(ends, 3)
    plan = compare(ends, keys_since=START)
    assert ends.loaded.verify_from == plan.slices[0].start


def test_an_interrupted_comparison_that_waits_for_a_moved_row() -> None:
    """The row that the target lacks may be older than all that was compared."""
    ends = six_slices(table=MERGE)
    ends.source.rows[10] = row("k10", START - 100 * HOUR)
    stop_after(ends, 3)
    compare(ends, keys_since=START)
    assert ends.loaded.verify_from == OLDEST
    quiet = six_slices(table=MERGE)
    stop_after(quiet, 3)
    plan = compare(quiet, keys_since=START)
    assert quiet.loaded.verify_from == plan.slices[3].start


def test_a_row_that_stays_is_expected() -> None:
    """A row whose key is tomorrow's is in the target, and no longer in the window."""
    ends = Ends(6, size=2)
    ends.source.rows[3] = row("k03", NOW)
    assert verified(ends) == [(True, START), (False, START)]
    assert (ends.target.log, ends.progress.repaired) == ([], 0)
    assert ends.target.read[-1] != Between("unix", START, NOW), "no third round"
    again = Ends(6, size=2)
    again.source.rows[3] = row("k03", NOW)
    reconciled(again)
    assert (again.source.counted, again.progress.verified) == ([], True)


# -- reconcile


def reconciled(ends: Ends, **fields: Any) -> Plan:
    """The plan of a reconcile after it has run."""
    plan = ends.plan(source=ends.memory.described.whole(), **fields)
    reconcile(ends.memory.run, plan, ends.loaded)
    return plan


def counts(ends: Ends) -> tuple[int, int, int, int]:
    """Rows that were fetched, skipped, repaired and deleted."""
    progress = ends.progress
    return progress.fetched, progress.skipped, progress.repaired, progress.deleted


def test_a_quiet_reconcile() -> None:
    """It reads no row of the source, and every slice is done."""
    ends = Ends(6, size=2)
    plan = reconciled(ends)
    assert (counts(ends), ends.source.read, ends.progress.verified) == ((6, 6, 0, 0), [], True)
    assert (ends.loaded.covered_until, ends.progress.slices_done) == (NOW, len(plan.slices))


def test_a_reconcile_of_damage() -> None:
    """Missing, doubled and gone rows. Only the slices that differ are read."""
    ends = Ends(8, size=2)
    ends.lose("k07", "k06")
    ends.target.store([row("k04", at(4))])
    ends.forget("k02")
    plan = reconciled(ends)
    assert (ends.equal, counts(ends)) == (True, (7, 4, 3, 1))
    assert plan.slices[-1] not in ends.source.read


def test_a_dry_reconcile() -> None:
    """It counts, also where the table is missing."""
    ends = Ends(4, size=2, dry_run=True)
    ends.lose("k03")
    ends.forget("k00")
    reconciled(ends)
    assert (counts(ends), ends.target.log, ends.progress.verified) == ((3, 2, 1, 1), [], False)
    missing = Ends(3, size=1, dry_run=True)
    missing.target.drop(NAME)
    reconciled(missing, exists=False)
    assert counts(missing) == (3, 0, 3, 0)


def test_a_deep_reconcile() -> None:
    """Contents of all rows are compared. Rows without a key are fetched, and not skipped."""
    ends = Ends(4, size=2, deep=True)
    ends.target.held[NAME][1]["yes"] = True
    ends.source.rows.append(row(None, at(1)))
    plan = reconciled(ends)
    assert counts(ends) == (5, 3, 1, 0)
    assert set(ends.source.read) == set(plan.slices)


def test_an_interrupted_reconcile() -> None:
    """What was found extra is deleted, and the next run goes on behind the slice."""
    ends = Ends(6, size=2)
    ends.forget("k05")
    plan = ends.plan(source=ends.memory.described.whole())
    ends.memory.at = 1000.0
    with pytest.raises(OutOfTime):
        reconcile(ends.memory.run, plan, ends.loaded)
    assert (ends.equal, ends.progress.deleted) == (True, 1)
    assert ends.loaded.covered_until == plan.slices[0].end
    assert ends.progress.slices_done == 1


def test_a_reconcile_closes_rejects_and_remembers_lost_answers() -> None:
    """A row that earlier runs rejected is stored now."""
    ends = Ends(4)
    ends.lose("k02")
    bad = OpenReject(RowId("k02", at(2)), "bad", datetime(2026, 2, 28, tzinfo=UTC), True)
    ends.memory.ledger.open = [bad]
    lost = iter([True])

    def answer(kind: str, rows: Any) -> None:
        if next(lost, False):
            raise OutcomeUnknown("no answer")

    ends.target.answer = answer
    reconciled(ends, open_rejects=1)
    assert [each.closed_at is not None for each in ends.memory.ledger.recorded] == [True]
    assert (ends.loaded.unsettled_since, ends.equal) == (at(2), True)
