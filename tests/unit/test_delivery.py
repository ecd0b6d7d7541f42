"""The delivery by itself: each outcome of a write has its consequence, and no row is sent twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from sync.base.backoff import ATTEMPTS
from sync.base.errors import (
    OutcomeUnknown,
    OutOfTime,
    Refusal,
    Refused,
    TooManyRejects,
    Unavailable,
    Unknown,
)
from sync.model.conditions import OneOf
from sync.model.records import OpenReject, RowId
from sync.pipeline.deliver import DELETE_KEYS, Delivery
from tests.memory import NOW, WITH_CURSOR, Memory, Row, batch_of, row

MERGE = f"mode: merge\n    {WITH_CURSOR}"
LOOSE = f"{MERGE}\n    rejects: {{max_share: 1.0}}"
KEYLESS = "mode: replace"
OUTAGE = OutcomeUnknown("Aito answers 500", Unknown.SERVER_ERROR, "it failed")
SILENCE = OutcomeUnknown("no answer")


def rows_of(keys: str) -> list[Row]:
    """A row for each letter, the first one the oldest."""
    return [row(key, NOW - 1000 + number) for number, key in enumerate(keys)]


def refusing(bad: str, error: Exception) -> Callable[[str, Any], None]:
    """Refuse each write that holds one of these rows."""

    def answer(kind: str, rows: Any) -> None:
        if kind != "delete" and any(each["id"] in bad for each in rows):
            raise error

    return answer


def failing(memory: Memory, *outcomes: str) -> None:
    """Let the writes fail in order: `lost` without an answer, `applied` too, `500`, or `ok`."""
    left = list(outcomes)

    def answer(kind: str, rows: Any) -> None:
        outcome = left.pop(0) if left else "ok"
        if outcome == "applied":
            memory.target.store(rows, upsert=kind == "upsert")
        if outcome == "half":
            memory.target.store(rows[: len(rows) // 2])
        if outcome != "ok":
            raise OUTAGE if outcome == "500" else SILENCE

    memory.target.answer = answer


def delivery_of(memory: Memory, table: str = "") -> Delivery:
    """A delivery into the table."""
    return Delivery(memory.run, memory.rejects, memory.described, table)


def sent(memory: Memory, keys: str, *, upsert: bool = False) -> Delivery:
    """The delivery after it has sent a row for each letter."""
    delivery = delivery_of(memory)
    delivery.send(batch_of(rows_of(keys)), upsert=upsert)
    delivery.finish()
    return delivery


def test_rows_arrive_in_one_request() -> None:
    """They count as uploaded. Nothing is left open."""
    memory = Memory()
    delivery = sent(memory, "abcd")
    assert memory.target.log == [("insert", ["a", "b", "c", "d"])]
    assert (delivery.taken, memory.progress.uploaded, delivery.deleted) == (4, 4, 0)
    assert delivery.unsettled_since is None
    assert (memory.progress.skipped, memory.progress.deleted, memory.slept) == (0, 0, [])


def test_another_table() -> None:
    """A swap sends to a table of another name."""
    memory = Memory(KEYLESS)
    memory.target.create("fresh", ())
    delivery_of(memory, "fresh").send(batch_of(rows_of("a")))
    assert (len(memory.target.held["fresh"]), memory.target.keys) == (1, [])


def test_upserts_in_two_steps() -> None:
    """The target does it in two steps: that is said once. An insert is one step."""
    memory = Memory(MERGE)
    memory.target.upserts_in_two_steps = True
    delivery = sent(memory, "ab")
    assert memory.progress.warnings == []
    for _ in range(2):
        delivery.send(batch_of(rows_of("cd")), upsert=True)
    assert [warning.code for warning in memory.progress.warnings] == ["upsert_in_two_steps"]
    quiet = Memory(MERGE)
    delivery_of(quiet).send(batch_of(rows_of("cd")), upsert=True)
    assert quiet.progress.warnings == []


# -- refused


def test_refused_rows_are_found_by_halving() -> None:
    """They are rejected with the target's words. The others arrive, in their order."""
    memory = Memory()
    memory.target.answer = refusing("c", Refused("no", Refusal.ROWS, "bad c"))
    delivery = sent(memory, "abcd")
    assert memory.target.written == [list("abcd"), ["a", "b"], ["c", "d"], ["c"], ["d"]]
    assert (memory.target.keys, memory.rejected) == (["a", "b", "d"], ["c"])
    assert memory.ledger.recorded[0].reason == "bad c"
    assert (delivery.taken, delivery.unsettled_since, memory.slept) == (3, None, [])
    assert not [kind for kind, _ in memory.target.log if kind == "delete"]


def test_outdated_rows_of_rejects_are_deleted() -> None:
    """What the target holds under the key of a rejected row is no longer true."""
    memory = Memory(MERGE)
    memory.target.store([row("a", 1), row("c", 1), row("z", 1)])
    memory.target.answer = refusing("c", Refused("no", Refusal.ROWS))
    sent(memory, "abc", upsert=True)
    assert memory.target.keys == ["a", "b", "z"]


def test_too_many_refused_rows_stop_the_table() -> None:
    """At once, and not after each row was sent."""
    memory = Memory()
    memory.target.answer = refusing("abcdefghijklmnop", Refused("no", Refusal.ROWS))
    with pytest.raises(TooManyRejects):
        sent(memory, "abcdefghijklmnop")
    assert len(memory.rejected) == 11


def test_too_large_requests_become_smaller() -> None:
    """The batch is halved. The next one is smaller from the start."""
    memory = Memory()

    def answer(kind: str, rows: Any) -> None:
        if len(rows) > 2:
            raise Refused("no", Refusal.TOO_LARGE)

    memory.target.answer = answer
    delivery = delivery_of(memory)
    delivery.send(batch_of(rows_of("abcd")))
    delivery.send(batch_of(rows_of("efgh")))
    assert memory.target.written == [list("abcd"), *map(list, ("ab", "cd", "ef", "gh"))]


def test_a_row_that_is_too_large_by_itself() -> None:
    """It is rejected."""
    memory = Memory()
    memory.target.answer = refusing("a", Refused("no", Refusal.TOO_LARGE))
    sent(memory, "ab")
    assert (memory.target.keys, memory.rejected) == (["b"], ["a"])


def test_a_refusal_of_the_request_itself() -> None:
    """No row is at fault: nothing is halved, nothing is rejected."""
    memory = Memory()
    memory.target.answer = refusing("a", Refused("gone", Refusal.NOT_FOUND))
    with pytest.raises(Unavailable, match="gone; the next run looks at the table again"):
        sent(memory, "ab")
    assert (memory.target.written, memory.rejected) == ([["a", "b"]], [])


# -- outcome unknown


def test_a_lost_request_is_sent_again() -> None:
    """After a pause, and a line in the log. The next run looks at its rows once more."""
    memory = Memory()
    failing(memory, "lost")
    delivery = sent(memory, "abcd")
    assert memory.target.written == [list("abcd")] * 2
    assert (memory.target.keys, delivery.taken) == (list("abcd"), 4)
    assert delivery.unsettled_since == NOW - 1000
    assert len(memory.slept) == 1
    (event,) = memory.events
    assert (event["event"], event["table"], event["attempt"]) == ("batch_retried", "t", 1)


def test_a_lost_answer() -> None:
    """The rows are there: they count as uploaded, and are not sent again."""
    memory = Memory()
    failing(memory, "applied")
    delivery = sent(memory, "abcd")
    assert memory.target.written == [list("abcd")]
    assert (delivery.taken, memory.slept, memory.events) == (4, [], [])
    assert delivery.unsettled_since == NOW - 1000


def test_only_what_is_missing_is_sent_again() -> None:
    """A part of a batch was applied."""
    memory = Memory()
    failing(memory, "half")
    delivery = sent(memory, "abc")
    assert memory.target.written == [list("abc"), ["b", "c"]]
    assert (delivery.taken, memory.target.keys) == (3, list("abc"))


def test_another_row_of_the_key_is_not_the_one_that_was_sent() -> None:
    """A row is recognised by its key and its cursor."""
    memory = Memory()
    memory.target.store([row("a", 1)])
    failing(memory, "lost")
    sent(memory, "a")
    assert memory.target.written == [["a"], ["a"]]


def test_what_arrives_during_the_pause() -> None:
    """It is looked for once more before it is sent again."""
    memory = Memory()
    failing(memory, "lost")
    memory.on_sleep = lambda: memory.target.store(rows_of("ab"))
    delivery = sent(memory, "abcd")
    assert memory.target.written == [list("abcd"), ["c", "d"]]
    assert (delivery.taken, memory.target.keys) == (4, list("abcd"))


def test_an_upsert_is_repeated_as_a_whole() -> None:
    """Old rows under its keys look like its own."""
    memory = Memory(MERGE)
    failing(memory, "applied")
    delivery = sent(memory, "abcd", upsert=True)
    assert memory.target.log == [("upsert", list("abcd"))] * 2
    assert (delivery.taken, memory.target.keys) == (4, list("abcd"))


def test_attempts_end() -> None:
    """The run fails then, and the next one looks at the rows."""
    memory = Memory()
    failing(memory, *["lost"] * 9)
    delivery = delivery_of(memory)
    with pytest.raises(OutcomeUnknown):
        delivery.send(batch_of(rows_of("abcd")))
    assert memory.target.written == [list("abcd")] * ATTEMPTS
    assert (len(memory.slept), delivery.unsettled_since) == (ATTEMPTS - 1, NOW - 1000)


def test_no_time_for_another_attempt() -> None:
    """The error is raised at once when the pause would end after the deadline."""
    memory = Memory()
    memory.at = 1000.0
    failing(memory, "lost")
    with pytest.raises(OutcomeUnknown):
        sent(memory, "ab")
    assert (len(memory.target.written), memory.slept) == (1, [])


def test_without_a_key_rows_are_counted() -> None:
    """All are there or none. When some are, nobody can tell which."""
    memory = Memory(KEYLESS)
    delivery = delivery_of(memory)
    delivery.send(batch_of(rows_of("ab")))
    failing(memory, "applied")
    delivery.send(batch_of(rows_of("cd")))
    failing(memory, "lost")
    delivery.send(batch_of(rows_of("ef")))
    assert memory.target.written == [["a", "b"], ["c", "d"], ["e", "f"], ["e", "f"]]
    assert (delivery.taken, delivery.unsettled_since) == (6, None)
    failing(memory, "half")
    with pytest.raises(Unavailable, match="1 of 2 rows are there"):
        delivery.send(batch_of(rows_of("gh")))


# -- server errors


def test_a_server_error_that_passes() -> None:
    """The batch is sent once more as a whole."""
    memory = Memory()
    failing(memory, "500")
    delivery = sent(memory, "abcd")
    assert memory.target.written == [list("abcd")] * 2
    assert delivery.unsettled_since == NOW - 1000


def test_a_row_that_gets_server_errors() -> None:
    """The batch is halved at the second error, a part of it at the first, a row at its second."""
    memory = Memory()
    memory.target.answer = refusing("c", OUTAGE)
    delivery = sent(memory, "abcd")
    expected = [list("abcd"), list("abcd"), ["a", "b"], ["c", "d"], ["c"], ["c"], ["c"], ["d"]]
    assert memory.target.written == expected, "the suspect once more, as others were taken"
    assert (memory.target.keys, memory.rejected) == (["a", "b", "d"], ["c"])
    assert memory.ledger.recorded[0].reason == "it failed"
    assert delivery.unsettled_since == NOW - 1000


def test_a_suspect_is_tried_once_the_target_takes_a_row() -> None:
    """It was the target's fault: the row is stored, and nothing is rejected."""
    memory = Memory()
    delivery = delivery_of(memory)
    failing(memory, "500", "500")
    delivery.send(batch_of(rows_of("a")))
    assert memory.target.keys == []
    delivery.send(batch_of([row("b", NOW - 5)]))
    assert memory.target.written == [["a"], ["a"], ["b"], ["a"]], "before later rows are sent"
    delivery.finish()
    assert (memory.target.keys, memory.rejected, delivery.taken) == (["a", "b"], [], 2)
    assert len(memory.target.log) == 4


def test_rows_that_arrived_show_that_the_target_works() -> None:
    """A lost answer is as good as one that came: the suspects are tried."""
    memory = Memory()
    delivery = delivery_of(memory)
    failing(memory, "500", "500", "applied")
    delivery.send(batch_of(rows_of("a")))
    delivery.send(batch_of([row("b", NOW - 5), row("c", NOW - 4)]))
    assert memory.target.keys == ["a", "b", "c"]


def test_a_suspect_is_rejected_when_a_probe_succeeds() -> None:
    """The target holds a row: that is sent again, and shows that the suspect is at fault.

    What the target holds under the suspect's key is deleted, as it is no longer true.
    """
    memory = Memory(MERGE)
    memory.target.store([row("a", 1), row("held", 5)])
    delivery = delivery_of(memory)
    delivery.probe_with('{"id": "held", "unix": 5}')
    memory.target.answer = refusing("ab", OUTAGE)
    delivery.send(batch_of(rows_of("a")), upsert=True)
    assert memory.target.written == [["a"], ["a"], ["held"], ["a"]]
    assert (memory.target.keys, memory.rejected) == (["held"], ["a"])


def test_a_probe_that_fails_rejects_nothing() -> None:
    """The target is ill, and what it holds stays."""
    memory = Memory(MERGE)
    memory.target.store([row("a", 1), row("held", 5)])
    delivery = delivery_of(memory)
    delivery.probe_with('{"id": "held", "unix": 5}')
    memory.target.answer = refusing("a held", OUTAGE)
    with pytest.raises(OutcomeUnknown):
        delivery.send(batch_of(rows_of("a")), upsert=True)
    assert (memory.target.keys, memory.rejected) == (["a", "held"], [])


def test_an_outage_ends_after_ten_rows() -> None:
    """Nothing is rejected, and not every row is sent."""
    memory = Memory()
    memory.target.answer = refusing("abcdefghijklmnop", OUTAGE)
    with pytest.raises(Unavailable, match="500 to every row"):
        sent(memory, "abcdefghijklmnop")
    assert memory.rejected == []
    alone = [keys[0] for keys in memory.target.written if len(keys) == 1]
    assert sorted(set(alone)) == list("abcdefghij")


def test_no_probe_and_no_other_row() -> None:
    """Nobody can tell whether the only row is at fault."""
    memory = Memory()
    memory.target.answer = refusing("a", OUTAGE)
    with pytest.raises(Unavailable, match="500 to 1 row and took no other"):
        sent(memory, "a")
    assert memory.rejected == []


def test_rows_that_earlier_runs_have_rejected() -> None:
    """They are no sign of an outage, and are rejected again without a probe."""
    memory = Memory()
    memory.ledger.open = [
        OpenReject(RowId(each["id"], each["unix"]), "it failed", datetime.now(UTC), True)
        for each in rows_of("abcdefghijkl")
    ]
    memory.target.answer = refusing("abcdefghijkl", OUTAGE)
    sent(memory, "abcdefghijkl")
    assert (memory.progress.rejected, memory.rejected) == (12, [])


def test_a_suspect_without_a_key() -> None:
    """There is no probe of a table without a key. That it took other rows decides."""
    for order in ("ab", "ba"):
        memory = Memory(KEYLESS)
        delivery = delivery_of(memory)
        memory.target.answer = refusing("a", OUTAGE)
        for key in order:
            delivery.send(batch_of(rows_of(key)))
        delivery.finish()
        assert (memory.target.keys, len(memory.rejected)) == (["b"], 1)
    alone = Memory(KEYLESS)
    alone.target.answer = refusing("a", OUTAGE)
    with pytest.raises(Unavailable, match="took no other"):
        sent(alone, "a")


def test_a_suspect_whose_last_outcome_is_unknown() -> None:
    """It may be stored yet: it is not rejected."""
    memory = Memory()
    delivery = delivery_of(memory)
    failing(memory, "500", "500", "ok", "lost")
    delivery.send(batch_of(rows_of("a")))
    with pytest.raises(OutcomeUnknown):
        delivery.send(batch_of([row("b", NOW - 5)]))
    assert memory.rejected == []


def test_a_suspect_that_is_refused() -> None:
    """The target says now that the row is at fault."""
    memory = Memory()
    delivery = delivery_of(memory)
    failing(memory, "500", "500")
    delivery.send(batch_of(rows_of("a")))
    memory.target.answer = refusing("a", Refused("no", Refusal.ROWS))
    delivery.send(batch_of([row("b", NOW - 5)]))
    assert (memory.target.keys, memory.rejected) == (["b"], ["a"])


def test_too_many_suspects_stop_the_table() -> None:
    """Rows that are at fault count against the share, whatever showed that they are."""
    memory = Memory()
    memory.target.answer = refusing("klmnopqrstuvwxyz", OUTAGE)
    with pytest.raises(TooManyRejects):
        sent(memory, "abcdefghijklmnopqrstuvwxyz")
    assert len(memory.rejected) == 11


# -- flagged rows


def test_flagged_rows() -> None:
    """Some are rejected by the source's word, some delete their key. The rest is sent."""
    memory = Memory(LOOSE)
    memory.target.store([row("b", 1), row("c", 1), row("d", 1)])
    rows = rows_of("abcde")
    rows[1]["fault"] = 1
    rows[2]["fault"] = rows[4]["fault"] = -1
    delivery = delivery_of(memory)
    delivery.send(batch_of(rows, NOW - 9), upsert=True)
    assert memory.target.log[-1] == ("upsert", ["a", "d"])
    assert memory.target.keys == ["a", "d"]
    assert (memory.rejected, memory.ledger.recorded[0].reason) == (["b"], "too large")
    progress = memory.progress
    assert (delivery.deleted, progress.deleted, progress.deleted_by_condition) == (1, 2, 1)
    assert (progress.skipped, progress.uploaded) == (1, 2), "the target held no row of e"


def test_a_new_table_holds_nothing_to_delete() -> None:
    """No request is made for rows that delete their key. They are skipped."""
    memory = Memory(LOOSE)
    rows = [{**each, "fault": -1} for each in rows_of("abc")]
    delivery = delivery_of(memory)
    delivery.send(batch_of(rows))
    assert (memory.target.log, delivery.deleted, memory.progress.skipped) == ([], 0, 3)


def test_many_deletions() -> None:
    """So many keys in a request that the target takes it."""
    memory = Memory(LOOSE)
    count = DELETE_KEYS + 3
    rows = [row(f"k{number:04}", NOW - count + number) for number in range(count)]
    memory.target.store(rows)
    flagged = [{**each, "fault": -1} for each in rows]
    delivery_of(memory).send(batch_of(flagged), upsert=True)
    sizes = [len(condition.values) for _, condition in memory.target.log]
    assert (sizes, memory.target.keys) == ([DELETE_KEYS, 3], [])
    assert (memory.progress.deleted, memory.progress.skipped) == (count, 0)


@pytest.mark.parametrize(("kind", "asked"), [("Int", (2**31 - 1, -(2**31))), ("Long", None)])
def test_keys_that_the_column_cannot_hold(kind: str, asked: tuple[int, ...] | None) -> None:
    """A row of theirs cannot be there: the target is not asked about it."""
    memory = Memory(LOOSE, key_type=kind)
    keys = (2**31 - 1, 2**31, -(2**31), -(2**31) - 1)
    rows = [{**row(key, NOW - 5 + n), "fault": -1} for n, key in enumerate(keys)]
    delivery = delivery_of(memory)
    delivery.send(batch_of([*rows, {**row(None, NOW - 9), "fault": 0}]), upsert=True)
    assert memory.target.log == [("delete", OneOf("id", asked or keys))]
    assert memory.rejected == [None]


def test_a_text_key_that_is_long() -> None:
    """Only numbers have bounds."""
    memory = Memory(LOOSE)
    delivery_of(memory).send(batch_of([{**row("9" * 30, NOW), "fault": -1}]), upsert=True)
    assert len(memory.target.log) == 1


def test_an_error_of_a_delete_is_raised() -> None:
    """Nothing is counted then."""
    memory = Memory(LOOSE)

    def answer(kind: str, rows: Any) -> None:
        raise OutOfTime("late")

    memory.target.answer = answer
    with pytest.raises(OutOfTime):
        delivery_of(memory).send(batch_of([{**row("a", NOW), "fault": -1}]), upsert=True)
    assert memory.progress.deleted == 0
