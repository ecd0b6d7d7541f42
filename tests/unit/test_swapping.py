"""Mode `replace`: a fresh table is filled beside the old one, and renamed over it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sync.base.errors import (
    ActionRequired,
    DeleteRefused,
    EmptySource,
    LeaseLost,
    OutcomeUnknown,
    OutOfTime,
    Refusal,
    Refused,
    TooManyRejects,
    Unavailable,
    Unknown,
)
from sync.model.checkpoint import Checkpoint, KnownTable
from sync.model.columns import Column, TargetTable
from sync.model.records import OpenReject, RowId
from sync.model.window import Totals
from sync.pipeline.definition import definition
from sync.pipeline.swap import SwapPlan, claim_fresh, count_keys, plan_swap, rows_gone, swap
from tests.memory import NAME, NOW, Memory, MemoryTable, row

FRESH = f"{NAME}__fresh"
KEYED = "mode: replace\n    key: id"
KEYLESS = "mode: replace"
COLUMNS = (Column("id", "String"), Column("unix", "Int"))


def replacing(new: str, old: str = "", *, table: str = KEYED, **more: Any) -> Memory:
    """A table of which the source has rows of these keys, and the target others."""
    memory = Memory(table, **more)
    memory.described = memory.source.described = MemoryTable(COLUMNS)
    memory.source.rows = [row(key, NOW - 100 + n) for n, key in enumerate(new)]
    memory.target.tables.clear()
    memory.target.held.clear()
    if old:
        memory.target.create(NAME, COLUMNS)
        memory.target.store([row(key, NOW - 200) for key in old])
    return memory


def plan_of(memory: Memory, **known: Any) -> SwapPlan:
    """The plan of its swap."""
    checkpoint = Checkpoint(NAME, **known)
    return plan_swap(memory.run, dict(memory.target.schema()), KnownTable(checkpoint))


def planned(memory: Memory, **facts: Any) -> SwapPlan:
    """A plan over an old table, with other facts where they are given."""
    usual = {"old_exists": True, "fresh_exists": False, "open_rejects": 0}
    return SwapPlan(memory.described, **{**usual, "definition": "", "rekeyed": False, **facts})


def swapped(memory: Memory, plan: SwapPlan | None = None) -> dict[str, TargetTable]:
    """Swap. Returns the schema that the run knows after it."""
    schema = dict(memory.target.schema())
    swap(memory.run, plan or plan_of(memory), schema)
    return schema


# -- the plan


def test_what_is_planned() -> None:
    """Whether there is a table, and whether one is left of a run that died."""
    for old, sentence in (("", "the table is made"), ("a", "the table is swapped")):
        plan = plan_of(replacing("a", old))
        assert (plan.old_exists, plan.fresh_exists, plan.sentence) == (bool(old), False, sentence)
        assert (plan.open_rejects, plan.rekeyed) == (0, False)
    memory = replacing("a", "a")
    memory.target.create(FRESH, COLUMNS)
    assert plan_of(memory).fresh_exists


def test_a_name_that_stands_for_something_else() -> None:
    """It cannot be swapped."""
    memory = replacing("a", "a")
    memory.target.tables[NAME] = TargetTable({}, kind="collection")
    with pytest.raises(ActionRequired, match="a collection of this name"):
        plan_of(memory)


def test_a_column_that_came() -> None:
    """It is in the log. The key is the same."""
    memory = replacing("a", "a")
    memory.described = memory.source.described = MemoryTable(
        COLUMNS, source_types={"id": "STRING", "more": "INT64"}
    )
    older = MemoryTable(COLUMNS, source_types={"id": "STRING"})
    plan = plan_of(memory, definition=definition(memory.run.table, older))
    assert [event["event"] for event in memory.events] == ["column_changed"]
    assert not plan.rekeyed


def test_another_key() -> None:
    """Without a definition nothing is known of it."""
    memory = replacing("a", "a")
    other = Memory("mode: replace\n    key: other")
    before = definition(other.run.table, memory.described)
    assert plan_of(memory, definition=before).rekeyed
    assert not plan_of(memory).rekeyed


@pytest.mark.parametrize(
    ("fresh_exists", "action", "refused"),
    [(False, None, False), (False, "swap", False), (True, "swap", False), (True, "sync", True)],
)
def test_a_fresh_table_that_may_be_anothers(
    fresh_exists: bool, action: str | None, refused: bool
) -> None:
    """Only one that a swap has claimed is dropped. The claim is recorded."""
    memory = replacing("a")
    plan = planned(memory, fresh_exists=fresh_exists)
    before = Checkpoint(NAME, action=action)
    if refused:
        with pytest.raises(ActionRequired, match=f"has a table {FRESH}, which this sync did not"):
            claim_fresh(memory.run, plan, before)
        assert memory.ledger.checkpoints == []
    else:
        assert claim_fresh(memory.run, plan, before).action == "swap"
        assert len(memory.ledger.checkpoints) == (action is None)


# -- the swap


def test_a_table_is_swapped() -> None:
    """The new rows are there, and the old ones gone. What is left of a dead run is dropped."""
    memory = replacing("abcd", "cdefg", batch_rows=3)
    memory.target.create(FRESH, COLUMNS)
    memory.target.store([row("x", 1)], table=FRESH)
    schema = swapped(memory)
    kinds = [kind for kind, _ in memory.target.log]
    assert kinds == ["drop", "insert", "insert", "rename"]
    assert (memory.target.keys, list(memory.target.held)) == (list("abcd"), [NAME])
    assert list(schema) == [NAME]
    assert set(schema[NAME].columns) == {"id", "unix"}
    progress = memory.progress
    assert (progress.fetched, progress.uploaded, progress.deleted) == (4, 4, 1)
    assert (progress.verified, progress.slices_planned, progress.slices_done) == (True, 1, 1)
    assert (memory.source.stages, progress.warnings) == ([None], [])
    assert memory.shown == []


def test_a_first_swap() -> None:
    """There is no old table, and nothing is gone."""
    memory = replacing("ab")
    swapped(memory)
    assert (memory.target.keys, memory.progress.deleted) == (["a", "b"], 0)
    assert [kind for kind, _ in memory.target.log] == ["insert", "rename"]


def test_more_rows_than_before() -> None:
    """None is gone."""
    memory = replacing("abc", "a")
    swapped(memory)
    assert memory.progress.deleted == 0


def test_rows_that_share_a_key() -> None:
    """They were read as well, and the newest is stored. Many of them are worth a warning."""
    memory = replacing("ab" * 30, "ab")
    for number, each in enumerate(memory.source.rows):
        each["number"] = number
    swapped(memory)
    assert (memory.progress.fetched, memory.progress.uploaded) == (60, 2)
    assert [warning.code for warning in memory.progress.warnings] == ["keys_collapsed"]


def test_the_table_must_hold_what_was_taken() -> None:
    """Otherwise the old one stays."""
    memory = replacing("ab", "c")

    def answer(kind: str, rows: Any) -> None:
        rows.pop()

    memory.target.answer = answer
    with pytest.raises(Unavailable, match="1 of 2 rows arrived; the old table stays"):
        swapped(memory)
    assert memory.target.keys == ["c"]


def test_a_suspect_is_decided_about_before_the_swap() -> None:
    """The first row of the fresh table gets 500, and the last one."""
    memory = replacing("ab", "c", batch_rows=1)

    def answer(kind: str, rows: Any) -> None:
        if kind != "rename" and rows[0]["id"] == "b":
            raise OutcomeUnknown("500", Unknown.SERVER_ERROR)

    memory.target.answer = answer
    swapped(memory)
    assert (memory.target.keys, memory.rejected) == (["a"], ["b"])
    assert memory.progress.deleted == 0, "a rejected row is in the source"


def test_a_suspect_that_was_rejected_before() -> None:
    """No row is there to show that the target works. It is rejected again."""
    memory = replacing("b")
    known = OpenReject(RowId("b", None), "bad", memory.run.clock.utc(), True)
    memory.ledger.open = [known]

    def answer(kind: str, rows: Any) -> None:
        if kind != "rename":
            raise OutcomeUnknown("500", Unknown.SERVER_ERROR)

    memory.target.answer = answer
    swapped(memory)
    assert (memory.progress.rejected, memory.progress.warnings) == (1, [])


def test_nothing_is_made_without_the_lease() -> None:
    """Another run may be at work on the same fresh table."""
    memory = replacing("a", "b")
    memory.target.create(FRESH, COLUMNS)
    plan = plan_of(memory)

    def check() -> None:
        raise LeaseLost("it ran out")

    memory.lease.check = check  # type: ignore[method-assign]
    with pytest.raises(LeaseLost):
        swapped(memory, plan)
    assert memory.target.log == []


def refuse(bad: str) -> Callable[[str, Any], None]:
    """Refuse each row of these keys."""

    def answer(kind: str, rows: Any) -> None:
        if kind != "rename" and any(each["id"] in bad for each in rows):
            raise Refused("no", Refusal.ROWS)

    return answer


def test_too_many_rejects() -> None:
    """The old table stays, also when the share is known at the end alone."""
    keys = "abcdefghijklmnopqrstuvwxyz"
    for table in (KEYED, KEYLESS):
        memory = replacing(keys, "0", table=table)
        memory.target.answer = refuse(keys[:10])
        with pytest.raises(TooManyRejects, match="10 of 26 rows were rejected"):
            swapped(memory)
        assert memory.target.keys == ["0"]
    few = replacing(keys, "0")
    few.target.answer = refuse(keys[:9])
    swapped(few)
    assert len(few.target.keys) == 17


def test_rejects_that_are_over_are_closed() -> None:
    """A swap reads everything."""
    memory = replacing("a", "a")
    bad = OpenReject(RowId("z", None), "bad", memory.run.clock.utc(), True)
    memory.ledger.open = [bad]
    swapped(memory, planned(memory, open_rejects=1))
    assert [each.key for each in memory.ledger.recorded] == ["z"]
    quiet = replacing("a", "a")
    quiet.ledger.open = [bad]
    swapped(quiet)
    assert quiet.ledger.recorded == []


def test_a_parent_must_be_there() -> None:
    """A link to a table that is missing is no column to make."""
    link = "mode: replace\n    key: id\n    columns: {id: {link: parent.id}}"
    memory = Memory(link)
    with pytest.raises(ActionRequired, match=r"parent\.id"):
        swapped(memory, planned(memory))
    assert FRESH not in memory.target.tables


# -- the rename


@pytest.mark.parametrize("happened", [False, True])
def test_the_answer_of_the_rename_is_lost(happened: bool) -> None:
    """The schema tells whether it happened."""
    memory = replacing("a", "b")

    def answer(kind: str, what: Any) -> None:
        if kind == "rename":
            if happened:
                memory.target.tables[NAME] = memory.target.tables.pop(FRESH)
            raise OutcomeUnknown("no answer")

    memory.target.answer = answer
    if happened:
        swapped(memory)
        assert memory.progress.verified
    else:
        with pytest.raises(OutcomeUnknown):
            swapped(memory)
        assert not memory.progress.verified


# -- time


@pytest.mark.parametrize(
    ("begins", "stopped", "error"),
    [
        (0.0, False, ActionRequired),
        (0.0, True, OutOfTime),
        (99.0, False, ActionRequired),
        (100.0, False, OutOfTime),
        (101.0, False, OutOfTime),
    ],
)
def test_a_table_that_takes_too_long(begins: float, stopped: bool, error: Any) -> None:
    """One that had nearly the whole budget will not fit the next time. The old rows stay."""
    memory = replacing("ab", "c", batch_rows=1)
    memory.at = begins

    def answer(kind: str, rows: Any) -> None:
        memory.at = 1000.0

    memory.target.answer = answer
    if stopped:
        is_stopped = iter([False])  # when the swap begins
        object.__setattr__(memory.run.deadline, "stopped", lambda: next(is_stopped, True))
    with pytest.raises(error) as raised:
        swapped(memory)
    assert type(raised.value) is error
    assert memory.target.keys == ["c"]
    if error is ActionRequired:
        assert "time_budget_seconds 1000 was spent after 1 row;" in str(raised.value)


# -- rows that are gone


def test_a_source_that_shows_no_row() -> None:
    """It is refused while the table has rows, and a warning where it never had any."""
    memory = replacing("", "ab")
    with pytest.raises(EmptySource, match="Aito holds 2 rows"):
        swapped(memory)
    assert (memory.target.keys, memory.progress.warnings) == (["a", "b"], [])
    allowed = replacing("", "ab", allow=frozenset(["empty_source"]))
    swapped(allowed)
    assert (allowed.target.keys, allowed.progress.deleted) == ([], 2)
    new = replacing("")
    swapped(new)
    assert [warning.code for warning in new.progress.warnings] == ["no_rows"]
    empty = replacing("", "a")
    empty.target.held[NAME].clear()
    swapped(empty)
    assert [warning.code for warning in empty.progress.warnings] == ["no_rows"]


def test_a_guard_only_where_it_is_configured() -> None:
    """A table of mode replace may change as a whole."""
    old = "abcdefghijklmnopqrst"
    swapped(replacing("a", old))
    guarded = replacing("a", old, table=f"{KEYED}\n    delete: {{max_share: 0.5}}")
    with pytest.raises(DeleteRefused, match="19 of 20 rows"):
        swapped(guarded)
    assert len(guarded.target.keys) == 20


def test_rows_gone_of_another_key() -> None:
    """Keys may be fewer then, although no row is gone."""
    memory = replacing("ab", "abcde")
    for rekeyed, gone in ((False, 3), (True, 1)):
        plan = planned(memory, rekeyed=rekeyed)
        assert rows_gone(memory.run, plan, 4, 2) == gone


def test_a_table_without_a_key() -> None:
    """Only a dry run counts its rows before. A real run reads them all."""
    for dry_run, rows in ((False, 0), (True, 3)):
        memory = replacing("aab", "c", table=KEYLESS, dry_run=dry_run)
        assert count_keys(memory.run, plan_of(memory)) == Totals(rows, rows, 0)
    keyed = replacing("aab", "c")
    assert count_keys(keyed.run, plan_of(keyed)) == Totals(3, 2, 0)


@pytest.mark.parametrize("table", [KEYED, KEYLESS])
def test_rejects_of_the_first_rows(table: str) -> None:
    """Their share is one of all rows, and not of those that were read so far."""
    keys = "abcdefghijklmnopqrstuvwxyz"
    loose = f"{table}\n    rejects: {{max_share: 0.5}}"
    memory = replacing(keys, "0", table=loose, batch_rows=13)
    memory.target.answer = refuse(keys[:10])
    swapped(memory)
    assert len(memory.target.keys) == 16
