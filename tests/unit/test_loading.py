"""The load of one table: which slices are read, what is sent of them, and where it may stop."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sync.base.errors import OutcomeUnknown, OutOfTime, Refusal, Refused, Unknown
from sync.model.columns import Column
from sync.model.conditions import AnyOf, Before, Between, OneOf
from sync.model.plan import Changes, Plan
from sync.model.records import OpenReject, RowId
from sync.pipeline import load as loading
from sync.pipeline.load import load
from tests.memory import HOUR, NAME, NOW, WITH_CURSOR, Memory, MemoryTable, Row, row

MERGE = f"mode: merge\n    {WITH_CURSOR}"
START = NOW - 240 * HOUR  # of the window
YES = (Column("id", "String"), Column("unix", "Int"), Column("yes", "Boolean"))


def at(hours: int) -> int:
    """The cursor of a row of so many hours of age."""
    return NOW - hours * HOUR - 60


def hourly(count: int) -> list[Row]:
    """Rows k00, k01, ..., one in each hour, the oldest first."""
    return [row(f"k{n:02}", at(count - 1 - n)) for n in range(count)]


def filled(
    count: int, *, held: int = 0, size: int = 2, table: str = WITH_CURSOR, **more: Any
) -> Memory:
    """Hourly rows in slices of `size`. held: so many of the oldest are in the target."""
    memory = Memory(table, **more)
    memory.described = MemoryTable(YES, slice_rows=size, sorted_rows=size)
    rows = hourly(count)
    memory.both(rows[:held])
    memory.source.rows += rows[held:]
    return memory


def loaded(memory: Memory, **fields: Any) -> Plan:
    """The plan of a load after it has run."""
    plan = memory.plan(**fields)
    load(memory.run, plan, memory.loaded)
    return plan


def stopped(memory: Memory, **fields: Any) -> Plan:
    """The plan of a load whose time is over from the start, after it has stopped."""
    memory.at = 1000.0
    plan = memory.plan(**fields)
    with pytest.raises(OutOfTime):
        load(memory.run, plan, memory.loaded)
    return plan


def counts(memory: Memory) -> tuple[int, int, int]:
    """Rows that were fetched, uploaded and skipped."""
    progress = memory.progress
    return progress.fetched, progress.uploaded, progress.skipped


# -- new slices


def test_a_first_load() -> None:
    """Row by row in the cursor's order, and one count at the end. It is read in one go."""
    memory = filled(5, batch_rows=1)
    memory.source.stage_name = "stage"
    stages: list[str] = []
    memory.loaded.on_stage = stages.append
    plan = loaded(memory, cursorless=0, stage_token="token")
    assert memory.target.log == [("insert", [f"k{n:02}"]) for n in range(5)]
    assert (counts(memory), memory.progress.verified) == ((5, 5, 0), True)
    assert memory.target.read == [Between("unix", START, NOW)]
    (staged,) = memory.source.stages
    assert staged is not None
    assert (staged.token, staged.slices, staged.first) == ("token", plan.slices, 0)
    assert (stages, memory.loaded.stage) == (["stage"], "stage")
    assert memory.progress.watermark_after == at(0)
    assert (memory.loaded.covered_until, memory.progress.slices_done) == (NOW, 3)
    assert memory.shown == [1, 2, 3, 4, 5]
    assert (memory.loaded.unsettled_since, memory.loaded.repaired_from) == (None, None)
    assert (memory.progress.rejected, memory.rejected) == (0, [])


def test_nothing_is_staged_twice() -> None:
    """A run that reads on from a stage makes none, and a source may decline to."""
    memory = filled(5)
    memory.loaded.stage = "earlier"
    loaded(memory)
    assert (memory.source.stages, memory.loaded.stage) == ([], "earlier")
    changed = filled(6, held=1)
    plan = loaded(changed, watermark=at(1))
    (staged,) = changed.source.stages
    assert staged is not None
    assert (staged.first, len(plan.slices)) == (0, 3)
    plain = filled(5)
    plain.loaded.on_stage = lambda _: pytest.fail("there is none")
    loaded(plain)
    assert plain.loaded.stage is None


@pytest.mark.parametrize(
    ("table", "rows", "kind"),
    [
        (WITH_CURSOR, 5, "insert"),
        (MERGE, 0, "insert"),
        (MERGE, 1, "upsert"),
        (MERGE, 5, "upsert"),
    ],
)
def test_how_new_rows_are_sent(table: str, rows: int, kind: str) -> None:
    """In merge an older row of the key may be anywhere, unless the table is empty."""
    memory = filled(2, table=table)
    loaded(memory, target_rows=rows, watermark=START - 1)
    assert memory.target.log == [(kind, ["k00", "k01"])]


def test_replaced_rows_were_read_too() -> None:
    """They count as fetched, in each slice by itself."""
    memory = filled(4, table=MERGE)
    memory.source.rows += [row("k00", at(3) - 1), row("k02", at(1) - 1), row("k02", at(1) - 2)]
    loaded(memory)
    assert counts(memory) == (7, 4, 0)


def test_rows_without_cursor() -> None:
    """They belong to no slice. They are rejected together."""
    memory = filled(2, table=f"{WITH_CURSOR}\n    rejects: {{max_share: 1}}")
    loaded(memory, cursorless=3)
    assert (counts(memory), memory.progress.rejected) == ((5, 2, 0), 3)
    assert memory.rejected == [None]


def test_a_suspect_is_decided_about_with_its_slice() -> None:
    """Aito answers 500 to the only row. An earlier run has rejected it."""
    memory = filled(1)
    known = OpenReject(RowId("k00", at(0)), "bad", datetime(2026, 2, 28, tzinfo=UTC), True)
    memory.ledger.open = [known]

    def answer(kind: str, rows: Any) -> None:
        raise OutcomeUnknown("500", Unknown.SERVER_ERROR)

    memory.target.answer = answer
    loaded(memory)
    assert memory.progress.rejected == 1
    assert len(memory.target.log) == 3, "twice, and once more when the slice ends"


def test_much_is_counted_while_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each four rows, and not after the last slice, which the comparison counts at once."""
    monkeypatch.setattr(loading, "COUNTED_BATCHES", 4)
    memory = filled(12, batch_rows=1)

    def answer(kind: str, rows: Any) -> None:
        if rows[0]["id"] == "k02" and len(memory.target.log) < 4:
            rows.clear()  # the target says that it took the row

    memory.target.answer = answer
    plan = loaded(memory)
    part = plan.slices
    pairs = [Between("unix", part[n].start, part[n + 1].end) for n in (0, 2)]
    whole = Between("unix", START, NOW)
    spans = [each for each in memory.target.read if each in (*pairs, whole)]
    assert spans == [*pairs, whole]
    assert ("insert", ["k02"]) in memory.target.log[4:6]
    assert memory.target.keys == [f"k{n:02}" for n in range(12)]


# -- where it may stop


def test_a_load_that_is_out_of_time() -> None:
    """One batch was sent. The next run goes on behind it."""
    memory = filled(5, batch_rows=1)
    stopped(memory)
    assert (memory.target.keys, memory.loaded.covered_until) == (["k00"], at(4))


def test_deletions_are_progress() -> None:
    """As rows that were taken are."""
    memory = filled(5, batch_rows=1, table=f"{WITH_CURSOR}\n    deletes: gone")
    memory.target.store([row("k00", START - 5)])
    memory.source.rows[0]["fault"] = -1
    stopped(memory, target_rows=5)
    assert (memory.target.keys, memory.progress.deleted) == ([], 1)


@pytest.mark.parametrize(
    ("tokens", "stage", "stops"),
    [
        ({}, None, False),
        ({"resume_token": "r"}, None, True),
        ({"stage_token": "s"}, None, False),
        ({"stage_token": "s"}, "stage", True),
        ({}, "stage", False),
    ],
)
def test_skipped_rows_are_progress_that_can_be_resumed(
    tokens: dict[str, Any], stage: str | None, stops: bool
) -> None:
    """Else the next run would begin at the start again, and there would be no end."""
    memory = filled(6, held=6, batch_rows=2)
    memory.at = 1000.0
    memory.loaded.stage = stage
    plan = memory.plan(whole_rows=True, watermark=NOW, **tokens)
    if stops:
        with pytest.raises(OutOfTime):
            load(memory.run, plan, memory.loaded)
        assert memory.loaded.covered_until == plan.slices[0].end
    else:
        load(memory.run, plan, memory.loaded)
        assert memory.progress.verified
    assert memory.target.log == []


def test_a_batch_that_was_sent_before_is_no_progress() -> None:
    """The one that an earlier run ended with is looked at again. The run goes on behind it."""
    memory = filled(3, held=3, size=9, batch_rows=1)
    resume = {"resume_token": "r", "whole_rows": True, "watermark": NOW}
    stopped(memory, **resume, done_until=at(2))
    assert (memory.loaded.covered_until, memory.progress.skipped) == (at(1), 2)
    first = filled(3, held=3, size=9, batch_rows=1)
    stopped(first, **resume)
    assert (first.loaded.covered_until, first.progress.skipped) == (at(2), 1)


def test_batches_that_an_earlier_run_has_sent() -> None:
    """They are not sent again. Its rejects are expected to be missing."""
    bad = OpenReject(RowId("k00", at(5)), "bad", datetime(2026, 2, 28, tzinfo=UTC), True)
    memory = filled(6, held=4, size=3, batch_rows=1)
    memory.target.held[NAME].pop(0)
    memory.ledger.open = [bad]
    done = at(2)  # the oldest row of the second slice, which is sent once more
    memory.target.held[NAME].pop()
    plan = loaded(memory, done_until=done, verify_since=START)
    assert memory.target.log == [("insert", ["k03"]), ("insert", ["k04"]), ("insert", ["k05"])]
    assert (memory.progress.verified, memory.source.read) == (True, [plan.slices[1]])
    later = filled(6, held=4, size=3, batch_rows=1)
    loaded(later, done_until=done + 1)
    assert later.target.log == [("insert", ["k04"]), ("insert", ["k05"])]


@pytest.mark.parametrize("rows", [4, 9])
def test_shards_are_not_in_order(rows: int) -> None:
    """A second of many rows is read in shards: no batch of it is known to be done."""
    memory = filled(0, size=3, batch_rows=1)
    memory.source.rows = [row(f"k{n}", at(0) + n) for n in range(rows)]
    plan = stopped(memory)
    assert plan.slices[-1].parts == (2 if rows == 4 else 5)
    assert (len(memory.target.keys), memory.loaded.covered_until) == (1, None)
    again = filled(0, size=3, batch_rows=1)
    again.source.rows = memory.source.rows
    loaded(again, done_until=at(0) + 2)
    assert (len(again.target.written), again.progress.repaired) == (rows, 0)


# -- slices of which the target may hold rows


def test_slices_that_are_equal_are_not_read() -> None:
    """Their keys tell. No count is needed after that."""
    memory = filled(6, held=6)
    plan = loaded(memory, watermark=at(0))
    assert memory.target.read == [Between("unix", s.start, s.end) for s in plan.slices]
    assert (counts(memory), memory.progress.verified) == ((6, 0, 6), True)
    assert (memory.source.read, memory.target.log, memory.source.stages) == ([], [], [])
    assert memory.progress.slices_done == 3


def test_a_range_before_the_window_is_compared_too() -> None:
    """Equal slices do not tell of it."""
    memory = filled(6, held=6)
    loaded(memory, watermark=at(0), verify_since=START - HOUR)
    assert memory.target.read[-1] == Between("unix", START - HOUR, NOW)


def test_the_slice_of_the_watermark() -> None:
    """It is looked at, also when it begins with it. Later ones hold nothing."""
    memory = filled(6, held=4)
    newest = memory.plan().slices[-1].start
    memory.source.rows[3]["unix"] = memory.target.held[NAME][3]["unix"] = newest - 5
    memory.both([row("edge", newest)])
    plan = loaded(memory, watermark=newest)
    assert memory.target.written == [["k04"], ["k05"]]
    assert memory.progress.verified
    assert newest in [part.start for part in plan.slices]


def test_what_a_known_slice_lacks() -> None:
    """It is sent alone. Rows of the keys in another state are replaced."""
    memory = filled(4, held=3)
    loaded(memory, watermark=at(1))
    assert memory.target.log == [("insert", ["k03"])]
    assert (counts(memory), memory.progress.verified) == ((4, 1, 3), True)
    assert memory.loaded.covered_until == NOW
    (staged,) = memory.source.stages
    assert staged is not None
    assert staged.first == 1
    changed = filled(4, held=4)
    changed.target.held[NAME][3]["unix"] += 1
    loaded(changed, watermark=at(0))
    assert changed.target.log == [("upsert", ["k03"])]
    merge = filled(4, held=3, table=MERGE)
    loaded(merge, watermark=at(1))
    assert merge.target.log == [("upsert", ["k03"])]


def test_a_load_that_changed_a_slice_is_verified() -> None:
    """All slices were known, and one differed."""
    memory = filled(4, held=4)
    del memory.target.held[NAME][0]
    loaded(memory, watermark=at(0))
    assert memory.target.read[-1] == Between("unix", START, NOW)


def test_slices_with_more_than_rows_to_store_are_read() -> None:
    """Rows without a key, and those that delete their key, are not in the fingerprint."""
    deletes = f"{WITH_CURSOR}\n    deletes: gone"
    for more in (row(None, at(0) + 1), row("k09", at(0) + 1, fault=-1)):
        memory = filled(2, held=2, table=deletes)
        memory.source.rows.append(more)
        plan = loaded(memory, watermark=NOW)
        assert memory.source.read == [plan.slices[-1]]


def test_a_flagged_row_of_a_known_slice() -> None:
    """It is rejected, and is none to compare."""
    memory = filled(3, held=2, size=3, table=f"{WITH_CURSOR}\n    rejects: {{max_share: 1}}")
    memory.source.rows[2]["fault"] = 0
    loaded(memory, watermark=NOW)
    assert (memory.rejected, counts(memory)) == (["k02"], (3, 0, 2))


@pytest.mark.parametrize("held", [1, 3])
def test_a_row_that_is_there_is_the_probe(held: int) -> None:
    """Aito answers 500 to the other one, which is rejected. The watermark is read anew then."""
    memory = filled(held + 1, held=held, size=9)
    bad = f"k{held:02}"

    def answer(kind: str, rows: Any) -> None:
        if kind != "delete" and any(each["id"] == bad for each in rows):
            raise OutcomeUnknown("500", Unknown.SERVER_ERROR)

    memory.target.answer = answer
    loaded(memory, watermark=NOW)
    assert (memory.rejected, memory.progress.watermark_after) == ([bad], at(1))
    assert Before("unix", NOW) in memory.target.read


def test_the_watermark_after_a_repair_or_a_deletion() -> None:
    """The newest row may be another one then."""
    memory = filled(4, held=4)
    del memory.target.held[NAME][3]
    loaded(memory, watermark=START - 1, slices=(), done_until=NOW)
    assert (memory.progress.repaired, memory.progress.watermark_after) == (1, at(0))
    gone = filled(4, held=4)
    gone.source.rows.pop()
    loaded(gone, watermark=START - 1, done_until=NOW)
    assert (gone.progress.deleted, gone.progress.watermark_after) == (1, at(1))
    quiet = filled(4, held=4)
    loaded(quiet, watermark=START - 1, done_until=NOW)
    assert quiet.progress.watermark_after is None


def test_the_watermark_never_goes_back() -> None:
    """Shards come in another order."""
    memory = filled(2)
    memory.progress.watermark_after = NOW + 5
    loaded(memory)
    assert memory.progress.watermark_after == NOW + 5


# -- whole rows


WHOLE = {"whole_rows": True, "watermark": NOW}


def test_contents_of_small_slices() -> None:
    """One request shows all rows of a slice, and so what the source lacks."""
    memory = filled(4, held=4, batch_rows=2)
    plan = loaded(memory, **WHOLE)
    assert memory.target.read == [Between("unix", s.start, s.end) for s in plan.slices]
    assert (counts(memory), memory.progress.verified) == ((4, 0, 4), True)
    assert memory.loaded.covered_until == NOW
    assert memory.progress.slices_done == 2
    merge = filled(2, held=2, batch_rows=2, table=MERGE)
    loaded(merge, **WHOLE)
    by_key = OneOf("id", ("k00", "k01"))
    assert merge.target.read == [AnyOf((Between("unix", START, NOW), by_key))]


def test_contents_that_differ() -> None:
    """The row is sent. What the source lacks is deleted by the comparison."""
    memory = filled(4, held=4, batch_rows=2)
    memory.target.held[NAME][3]["yes"] = True
    loaded(memory, **WHOLE)
    assert memory.target.log == [("upsert", ["k03"])]
    assert counts(memory) == (4, 1, 3)
    extra = filled(4, held=4, batch_rows=2)
    extra.target.store([row("extra", at(0))])
    loaded(extra, **WHOLE)
    assert (extra.target.keys, extra.progress.deleted) == (["k00", "k01", "k02", "k03"], 1)


def test_contents_of_larger_slices() -> None:
    """The rows of each batch are looked up by their keys."""
    memory = filled(3, held=3, size=9, batch_rows=2)
    loaded(memory, **WHOLE)
    found = [OneOf("id", ("k00", "k01")), OneOf("id", ("k02",)), Between("unix", START, NOW)]
    assert memory.target.read == found
    assert (counts(memory), memory.progress.verified) == ((3, 0, 3), True)


def test_contents_of_a_slice_with_rows_without_a_key() -> None:
    """Such a row is in neither. The slice is compared by keys."""
    memory = filled(2, held=2, size=9)
    memory.source.rows.append(row(None, at(0)))
    loaded(memory, **WHOLE)
    assert memory.target.read[0] == OneOf("id", ("k00", "k01"))


@pytest.mark.parametrize("whole", [False, True])
def test_shards_are_compared_by_content(whole: bool) -> None:
    """An index of so many rows would not fit."""
    memory = filled(0, size=3)
    memory.both([row(f"k{n}", at(0) + n) for n in range(4)])
    memory.target.held[NAME][2]["yes"] = True
    loaded(memory, whole_rows=whole, watermark=NOW)
    assert memory.target.read[0] == OneOf("id", ("k0", "k1", "k2", "k3"))
    assert memory.target.written == [["k2"]]


# -- what the run remembers


def test_a_lost_answer_is_remembered() -> None:
    """Also when the run fails after it."""
    memory = filled(2, batch_rows=1)
    outcomes = [OutcomeUnknown("no answer"), None, OutOfTime("late")]

    def answer(kind: str, rows: Any) -> None:
        error = outcomes.pop(0) if outcomes else None
        if error:
            raise error

    memory.target.answer = answer
    with pytest.raises(OutOfTime):
        load(memory.run, memory.plan(), memory.loaded)
    assert memory.loaded.unsettled_since == at(1)


def test_rejects_that_are_over_are_closed() -> None:
    """The row was taken now."""
    memory = filled(2)
    bad = OpenReject(RowId("k01", at(0)), "bad", datetime(2026, 2, 28, tzinfo=UTC), True)
    memory.ledger.open = [bad]
    loaded(memory, open_rejects=1, source=memory.described.whole())
    (record,) = memory.ledger.recorded
    assert (record.key, record.closed_at is not None) == ("k01", True)


@pytest.mark.parametrize("reads_false", [False, True])
def test_a_null_that_reads_as_false(reads_false: bool) -> None:
    """It is found out by reading a row back, when the table was made."""
    memory = filled(2, table=MERGE)
    for each in memory.source.rows:
        each["yes"] = None

    def answer(kind: str, rows: Any) -> None:
        for each in rows if reads_false else ():
            each["yes"] = False

    memory.target.answer = answer
    loaded(memory, changes=Changes(create=YES))
    assert memory.loaded.null_reads_false is reads_false
    assert memory.target.read[0] == OneOf("id", ("k00",))


def test_a_null_that_did_not_arrive() -> None:
    """Nothing is known then. The comparison sends the row."""
    memory = filled(1, table=MERGE)
    memory.source.rows[0]["yes"] = None

    def answer(kind: str, rows: Any) -> None:
        if len(memory.target.log) == 1:
            rows.clear()

    memory.target.answer = answer
    loaded(memory, changes=Changes(create=YES))
    assert (memory.loaded.null_reads_false, memory.target.keys) == (False, ["k00"])


def test_a_row_that_is_refused() -> None:
    """The rest of its batch arrives."""
    memory = filled(4, size=9)

    def answer(kind: str, rows: Any) -> None:
        if any(each["id"] == "k03" for each in rows):
            raise Refused("no", Refusal.ROWS)

    memory.target.answer = answer
    loaded(memory)
    assert (memory.rejected, memory.target.keys) == (["k03"], ["k00", "k01", "k02"])
    assert (memory.progress.watermark_after, memory.progress.verified) == (at(1), True)
