"""The Aito adapter alone, against the stand-in: each answer to each call, and what follows.

Each answer has its documented reaction, and costs so many requests and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Any

import pytest

from local.aito.server import Aito
from sync.aito import AitoTarget, RateLimiter, Transport
from sync.base.backoff import ATTEMPTS
from sync.base.clock import Clock, Deadline
from sync.base.errors import (
    AccessDenied,
    ActionRequired,
    OutcomeUnknown,
    Refusal,
    Refused,
    RowsLost,
    SyncError,
    Unavailable,
    Unknown,
)
from sync.model import batches
from sync.model.columns import Column
from sync.model.conditions import AllOf, Before, Between, OneOf

# answer -> (error in the end, requests for what may be repeated, requests for what may not)
REACTIONS: dict[str, tuple[type[SyncError], int, int]] = {
    "contention": (Unavailable, ATTEMPTS, ATTEMPTS),
    "throttled": (Unavailable, ATTEMPTS, ATTEMPTS),
    "migrating": (Unavailable, 1, 1),
    "quota": (ActionRequired, 1, 1),
    "row_limit": (ActionRequired, 1, 1),
    "unauthorized": (AccessDenied, 1, 1),
    "forbidden": (AccessDenied, 1, 1),
    "missing": (Refused, 1, 1),
    "refused": (Refused, 1, 1),
    "too_large": (Refused, 1, 1),
    "error": (OutcomeUnknown, ATTEMPTS, 1),
    "unavailable": (OutcomeUnknown, ATTEMPTS, 1),
    "bad_gateway": (OutcomeUnknown, ATTEMPTS, 1),
    "gateway_timeout": (OutcomeUnknown, ATTEMPTS, 1),
    "garbage": (OutcomeUnknown, ATTEMPTS, 1),
    "html": (OutcomeUnknown, ATTEMPTS, 1),
    "empty": (OutcomeUnknown, ATTEMPTS, 1),
    "truncated": (OutcomeUnknown, ATTEMPTS, 1),
    "short": (OutcomeUnknown, ATTEMPTS, 1),
    "cut": (OutcomeUnknown, ATTEMPTS, 1),
    "hang": (OutcomeUnknown, ATTEMPTS, 1),
}
CAUSES: dict[str, Refusal | Unknown] = {
    "missing": Refusal.NOT_FOUND,
    "refused": Refusal.ROWS,
    "too_large": Refusal.TOO_LARGE,
    "error": Unknown.SERVER_ERROR,
    "unavailable": Unknown.NO_ANSWER,
    "bad_gateway": Unknown.NO_ANSWER,
    "gateway_timeout": Unknown.NO_ANSWER,
    "garbage": Unknown.UNREADABLE,
    "empty": Unknown.UNREADABLE,
    "cut": Unknown.NO_ANSWER,
    "hang": Unknown.NO_ANSWER,
}
BATCH = batches.of(['{"id": "a"}', '{"id": "b"}'])
ID = Column("id", "String", nullable=False)
HELD = OneOf("id", ("held",))
# kind of call -> (how it is made, whether it may be repeated when its outcome is unknown)
CALLS: dict[str, tuple[Callable[[AitoTarget], Any], bool]] = {
    "insert": (lambda t: t.insert("t", BATCH), False),
    "search": (lambda t: t.count("t"), True),
    "delete": (lambda t: t.delete("t", HELD), True),
    "schema.read": (lambda t: t.schema(), True),
    "schema.write": (lambda t: t.create("new", [ID]), False),
    "modify": (lambda t: t.modify("t", OneOf("id", ("a", "b")), BATCH), False),
    "optimize": (lambda t: t.optimize("t"), False),
    "rename": (lambda t: t.rename("t", "renamed"), False),
    "job.start": (lambda t: t.start_evaluation({}), False),
}


class Time:
    """A clock for tests: sleeping moves it, and is remembered."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Move the clock."""
        self.slept.append(seconds)
        self.seconds += seconds

    @property
    def clock(self) -> Clock:
        """It as the sync sees it."""
        return Clock(monotonic=lambda: self.seconds, sleep=self.sleep)


class FixedKey:
    """Keys one after the other, each after the one before was refused."""

    origin = "a test"

    def __init__(self, *keys: str) -> None:
        self.keys = list(keys)

    def get(self) -> str:
        """The key in use."""
        return self.keys[0]

    def renew(self, refused: str) -> bool:
        """Take the next one."""
        if len(self.keys) > 1 and self.keys[0] == refused:
            del self.keys[0]
        return self.keys[0] != refused


@pytest.fixture(scope="module")
def server() -> Iterator[Aito]:
    """One stand-in for all tests."""
    with Aito() as aito:
        yield aito


@pytest.fixture
def aito(server: Aito) -> Iterator[Aito]:
    """A table `t` with one row."""
    for table in server.schema():
        server.drop_table(table)
    server.create_table("t", {"id": {"type": "String"}})
    server.insert("t", [{"id": "held"}])
    server.reset_stats()
    yield server
    server.heal()


@pytest.fixture
def time() -> Time:
    """A clock that only sleeping moves."""
    return Time()


def transport(aito: Aito, time: Time, *, left: float = 1000, url: str = "") -> Transport:
    """A transport to the stand-in, or to another URL."""
    deadline = Deadline.after(time.clock, left)
    limiter = RateLimiter(1e6, time.clock)
    return Transport(url or aito.url, FixedKey(aito.api_key), 0.1, limiter, deadline)


def came_in(aito: Aito, call: str, wanted: int) -> bool:
    """Whether so many requests came in; one that hangs is only counted when it ends."""
    deadline = monotonic() + 5
    while aito.total(on=call) < wanted and monotonic() < deadline:
        sleep(0.005)
    return aito.total(on=call) == wanted


@pytest.mark.parametrize("call", CALLS)
def test_each_answer_to_each_call(aito: Aito, time: Time, call: str) -> None:
    """An answer that does not go away: the error of the table in answers.py, after so many
    requests.
    """
    make, repeatable = CALLS[call]
    for what, (error, again, once) in REACTIONS.items():
        if call == "delete" and what in ("truncated", "short"):
            continue  # They have their effect, and for a delete the count after it is believed.
        if call == "schema.write" and what in ("truncated", "short"):
            continue  # They have their effect, and for a new table the schema is believed.
        aito.reset_stats()
        aito.fail(what, on=call, times=None, apply="none")
        with pytest.raises(error) as caught:
            make(AitoTarget(transport(aito, time)))
        assert type(caught.value) is error, what
        expected = again if repeatable else once
        expected = 1 if call == "optimize" else expected
        # A job that is not known is tried as a plain call.
        expected += call == "optimize" and what == "missing"
        assert came_in(aito, call, expected), what
        assert caught.value.status == error.status
        if what in CAUSES:
            assert getattr(caught.value, "cause", None) is CAUSES[what], what
        aito.heal()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("what", ["contention", "throttled"])
def test_what_was_not_committed_is_sent_again(aito: Aito, time: Time, call: str, what: str) -> None:
    """Two refusals of the moment cost two requests, whatever the call."""
    if call in ("job.start", "optimize"):
        pytest.skip("an empty evaluation is refused anyway, and optimize is never sent again")
    aito.fail(what, on=call, times=2)
    CALLS[call][0](AitoTarget(transport(aito, time)))
    assert aito.total(on=call) == 3
    assert len(time.slept) == 2


def test_pauses_double_with_full_jitter(aito: Aito, time: Time) -> None:
    """Anything up to half a second, one, two, four."""
    aito.fail("throttled", on="search", times=None)
    with pytest.raises(Unavailable):
        AitoTarget(transport(aito, time)).count("t")
    longest = (0.5, 1, 2, 4)
    assert len(time.slept) == len(longest)
    assert all(0 <= pause <= most for pause, most in zip(time.slept, longest, strict=True))


def test_repetitions_are_reported(aito: Aito, time: Time) -> None:
    """The caller hears what is repeated, why, and after which attempt."""
    heard: list[tuple[str, str, int]] = []
    deadline = Deadline.after(time.clock, 1000)
    limiter = RateLimiter(1e6, time.clock)

    def hear(what: str, answer: str, attempt: int) -> None:
        heard.append((what, answer, attempt))

    client = Transport(aito.url, FixedKey(aito.api_key), 1, limiter, deadline, hear)
    aito.fail("contention", on="insert", times=2)
    AitoTarget(client).insert("t", BATCH)
    what = "POST /api/v1/data/t/batch"
    assert heard == [(what, "409 write.contention", 1), (what, "409 write.contention", 2)]


def test_calls_are_counted(aito: Aito, time: Time) -> None:
    """Each request counts, repeated ones too; those that reached nobody do not."""
    client = transport(aito, time)
    aito.fail("contention", on="insert", times=2)
    target = AitoTarget(client)
    target.insert("t", BATCH)
    target.count("t")
    assert (client.calls, target.calls) == (4, 4)
    with Aito() as gone:
        url = gone.url
    client = transport(aito, time, url=url)
    with pytest.raises(Unavailable):
        AitoTarget(client).count("t")
    assert client.calls == 0


def test_never_past_the_deadline(aito: Aito, time: Time) -> None:
    """A pause that would end after the run's time is not begun."""
    aito.fail("contention", on="insert", retry_after=10, times=None)
    with pytest.raises(Unavailable):
        AitoTarget(transport(aito, time, left=9)).insert("t", BATCH)
    assert (aito.total(on="insert"), time.slept) == (1, [])


def test_refused_connections_were_never_sent(aito: Aito, time: Time) -> None:
    """Nobody listens: even an insert may be repeated, and its outcome is known."""
    with Aito() as gone:
        url = gone.url
    with pytest.raises(Unavailable) as caught:
        AitoTarget(transport(aito, time, url=url)).insert("t", BATCH)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert len(time.slept) == ATTEMPTS - 1


def test_a_key_that_was_changed_is_read_again(aito: Aito, time: Time) -> None:
    """A rotated key costs one refused request."""
    deadline = Deadline.after(time.clock, 100)
    key = FixedKey("old", aito.api_key)
    client = Transport(aito.url, key, 1, RateLimiter(1e6, time.clock), deadline)
    assert AitoTarget(client).count("t") == 1
    assert aito.total(on="search") == 2


def test_a_missing_table_is_dropped_all_the_same(aito: Aito, time: Time) -> None:
    """The answer of the first request was lost, the second finds no table: as was wanted."""
    aito.fail("cut", on="schema.write", apply="all")
    AitoTarget(transport(aito, time)).drop("t")
    assert "t" not in aito.schema()


def test_a_table_whose_answer_was_lost_is_looked_for(aito: Aito, time: Time) -> None:
    """A PUT is sent once: over a table with rows it would delete them. The schema tells."""
    aito.fail("cut", on="schema.write", apply="all")
    AitoTarget(transport(aito, time)).create("new", [ID])
    assert aito.total(on="schema.write") == 1
    assert "new" in aito.schema()


def test_a_column_whose_answer_was_lost_is_looked_for(aito: Aito, time: Time) -> None:
    """A PUT is sent once: over a column with values it may delete them. The schema tells."""
    aito.switches.put_over_column = "empty"
    aito.fail("cut", on="schema.write", apply="all")
    target = AitoTarget(transport(aito, time))
    target.add_column("t", Column("late", "Int"))
    assert aito.total(on="schema.write") == 1
    assert "late" in target.schema()["t"].columns
    aito.fail("cut", on="schema.write", apply="late")
    with pytest.raises(OutcomeUnknown):
        target.add_column("t", Column("later", "Int"))
    assert aito.total(on="schema.write") == 2
    aito.forget_late()


def test_a_delete_is_believed_by_its_effect(aito: Aito, time: Time) -> None:
    """A 500 although the rows are gone is no error, and a 200 that left some is one."""
    aito.fail("error", on="delete", apply="all")
    assert AitoTarget(transport(aito, time)).delete("t", HELD) == 1
    aito.insert("t", [{"id": "held"}])
    aito.fail("contention", on="delete", times=4)
    assert AitoTarget(transport(aito, time)).delete("t", HELD) == 1
    assert AitoTarget(transport(aito, time)).delete("t", HELD) == 0
    assert aito.count("t") == 0


def test_a_delete_whose_every_answer_is_an_error(aito: Aito, time: Time) -> None:
    """Some builds answer 500 each time although the rows are gone: the count is believed.

    At once, with no pause.
    """
    aito.fail("error", on="delete", apply="all", times=None)
    assert AitoTarget(transport(aito, time)).delete("t", HELD) == 1
    assert aito.count("t") == 0
    assert time.slept == []


def test_a_delete_that_is_confirmed_and_not_applied(aito: Aito, time: Time) -> None:
    """It needs a person: to send it again would change nothing."""
    aito.fail("ignored", on="delete", times=None)
    with pytest.raises(ActionRequired, match="1 of 1 rows are still there after _delete"):
        AitoTarget(transport(aito, time)).delete("t", HELD)
    assert aito.total(on="delete") == 1


def test_every_page_once(aito: Aito, time: Time) -> None:
    """Aito promises no order of its own. Pages are ordered by the key: none is left out."""
    keys = [f"k{n:02}" for n in range(20)]
    aito.insert("t", [{"id": key} for key in keys])
    target = AitoTarget(transport(aito, time))
    target.page_rows = 3
    found = target.rows("t", OneOf("id", tuple(keys)), "id", ["id"])
    assert [hit["id"] for hit in found] == keys
    assert aito.total() == 7


def test_conditions_select_their_rows(aito: Aito, time: Time) -> None:
    """Each kind of condition, over rows at its bounds."""
    aito.create_table("c", {"id": {"type": "String"}, "at": {"type": "Int"}})
    aito.insert("c", [{"id": f"k{n}", "at": n} for n in range(6)])
    target = AitoTarget(transport(aito, time))

    def keys(condition: Any) -> list[str]:
        return [hit["id"] for hit in target.rows("c", condition, "id", ["id"])]

    assert keys(Between("at", 1, 3)) == ["k1", "k2"]
    assert keys(Before("at", 2)) == ["k0", "k1"]
    assert keys(OneOf("id", ("k5", "k0"))) == ["k0", "k5"]
    both = AllOf((OneOf("id", ("k0", "k3", "k5")), Between("at", 0, 5)))
    assert keys(both) == ["k0", "k3"]
    assert target.count("c", both) == 2


def test_newest_is_before_a_second(aito: Aito, time: Time) -> None:
    """A row of the future is not the newest, and an empty table has none."""
    aito.create_table("c", {"at": {"type": "Int"}})
    target = AitoTarget(transport(aito, time))
    assert target.newest("c", "at", 5) == (None, 0)
    aito.insert("c", [{"at": 3}, {"at": 4}, {"at": 5}])
    assert target.newest("c", "at", 5) == (4, 2)


@pytest.mark.parametrize("name", ["victim#eu", "victim?x", "a%23b", "ä ö", "a+b", ".."])
def test_names_are_quoted(aito: Aito, time: Time, name: str) -> None:
    """A name with a sign that means something in a URL never reaches another table."""
    aito.create_table("victim", {"id": {"type": "String"}})
    target = AitoTarget(transport(aito, time))
    target.drop(name)
    assert set(aito.schema()) == {"t", "victim"}
    with pytest.raises(Refused):
        target.insert(name, BATCH)
    assert aito.count("victim") == 0


def test_a_name_with_signs_is_a_table(aito: Aito, time: Time) -> None:
    """What Aito takes as a name works in every call."""
    target, name = AitoTarget(transport(aito, time)), "käse#1?&%+"
    target.create(name, [ID])
    target.add_column(name, Column("ö#", "Int"))
    target.insert(name, BATCH)
    target.optimize(name)
    assert target.count(name) == 2
    assert list(target.schema()[name].columns) == ["id", "ö#"]
    target.rename(name, "other")
    target.drop("other")
    assert set(aito.schema()) == {"t"}


def test_optimize_is_a_job_sent_once(aito: Aito, time: Time) -> None:
    """It is not waited for. Where there are no jobs, the plain call is made, once."""
    aito.job_seconds = 600
    target = AitoTarget(transport(aito, time))
    target.optimize("t")
    assert aito.total(on="optimize.job") == aito.total() == 1
    aito.fail("missing", on="optimize.job")
    target.optimize("t")
    assert aito.total() == 3
    aito.job_seconds = 0


def test_an_evaluation_from_start_to_answer(aito: Aito, time: Time) -> None:
    """Started, seen to end, and its answer read. A job that is not known says so."""
    aito.create_table("e", {"a": {"type": "String"}, "b": {"type": "String"}})
    aito.insert("e", [{"a": str(n % 2), "b": str(n % 2)} for n in range(40)])
    target = AitoTarget(transport(aito, time))
    predict = {"from": "e", "where": {"a": {"$get": "a"}}, "predict": "b"}
    job = target.start_evaluation({"test": {"$index": {"$mod": [10, 0]}}, "evaluate": predict})
    wait_until = monotonic() + 5
    while not target.evaluation_status(job).has_ended and monotonic() < wait_until:
        sleep(0.01)
    assert target.evaluation_answer(job)["accuracy"] == 1.0
    expires_at = target.evaluation_status(job).expires_at
    assert expires_at is not None
    assert 800 < (expires_at - datetime.now(UTC)).total_seconds() <= 900
    with pytest.raises(Refused) as caught:
        target.evaluation_status("no/such#job")
    assert caught.value.cause is Refusal.NOT_FOUND


def test_a_failed_evaluation_is_an_error(aito: Aito, time: Time) -> None:
    """The answer of a failed job is requested once."""
    aito.fail_jobs()
    target = AitoTarget(transport(aito, time))
    job = target.start_evaluation({"evaluate": {"from": "t", "predict": "id"}})
    with pytest.raises((OutcomeUnknown, Refused)):
        target.evaluation_answer(job)
    assert aito.total(on="job.result") == 1


def test_no_row_value_in_an_error(aito: Aito, time: Time) -> None:
    """Aito's words after a write may quote a row. They are kept apart from the message."""
    aito.refuse(lambda row: f"the value {row['id']} is wrong")
    with pytest.raises(Refused) as caught:
        AitoTarget(transport(aito, time)).insert("t", batches.of(['{"id": "secret"}']))
    aito.refuse(None)
    assert "secret" not in str(caught.value)
    assert "secret" in caught.value.reason


def test_the_ceiling_of_requests(time: Time) -> None:
    """Never more than ten in any one second, and no slower than that."""
    limiter, sent = RateLimiter(10, time.clock), []
    for _ in range(35):
        limiter.wait()
        sent.append(time.seconds)
    assert all(later - first >= 1 for first, later in zip(sent, sent[10:], strict=False))
    assert sent[-1] - sent[0] < 4


def test_one_connection_for_all(aito: Aito, time: Time) -> None:
    """A fresh connection for each call would cost most of its time."""
    before, target = aito.connections, AitoTarget(transport(aito, time))
    for _ in range(20):
        target.count("t")
    assert aito.connections == before + 1


# -- upsert


def keyed(aito: Aito) -> None:
    """A table `k` with rows a to d of version 1."""
    aito.create_table("k", {"id": {"type": "String"}, "v": {"type": "Int"}})
    aito.insert("k", [{"id": key, "v": 1} for key in "abcd"])
    aito.reset_stats()


def versions(aito: Aito) -> list[tuple[str, int]]:
    """The rows of `k`."""
    return sorted((row["id"], row["v"]) for row in aito.rows("k"))


NEW = batches.of(['{"id": "b", "v": 2}', '{"id": "x", "v": 2}'])


def test_the_first_upsert_is_read_back(aito: Aito, time: Time) -> None:
    """Keys there once and other rows untouched: checked once a run, then not again."""
    keyed(aito)
    target = AitoTarget(transport(aito, time))
    target.upsert("k", "id", ["b", "x"], NEW)
    assert versions(aito) == [("a", 1), ("b", 2), ("c", 1), ("d", 1), ("x", 2)]
    assert not target.upserts_in_two_steps
    assert (aito.total(on="modify"), aito.total(on="search")) == (1, 4)
    target.upsert("k", "id", ["b", "x"], NEW)
    assert (aito.total(on="modify"), aito.total(on="search")) == (2, 4)


def test_a_first_upsert_of_new_keys_is_sent_twice(aito: Aito, time: Time) -> None:
    """Only the second one shows whether deleting works."""
    keyed(aito)
    target = AitoTarget(transport(aito, time))
    target.upsert("k", "id", ["x"], batches.of(['{"id": "x", "v": 2}']))
    assert versions(aito) == [("a", 1), ("b", 1), ("c", 1), ("d", 1), ("x", 2)]
    assert aito.total(on="modify") == 2


@pytest.mark.parametrize("way", ["inserts first", "no delete", "missing", "wrong row"])
@pytest.mark.parametrize("keys", [("b", "x"), ("x", "y")])
def test_a_modify_that_does_something_else(
    aito: Aito, time: Time, way: Any, keys: tuple[str, str]
) -> None:
    """This run deletes by key and inserts. A row that was lost by the attempt is told."""
    keyed(aito)
    aito.switches.modify = way
    target = AitoTarget(transport(aito, time))
    batch = batches.of([f'{{"id": "{key}", "v": 2}}' for key in keys])
    lost = way == "wrong row"
    with pytest.raises(RowsLost, match="next run") if lost else nullcontext():
        target.upsert("k", "id", keys, batch)
    assert target.upserts_in_two_steps
    assert target.rows_lost_by_upsert == (0 if not lost else 2 if keys[0] == "x" else 1)
    expected = {**dict.fromkeys("abcd", 1), **dict.fromkeys(keys, 2)}
    left = dict(versions(aito))
    assert {key: left[key] for key in keys} == dict.fromkeys(keys, 2)
    assert len(versions(aito)) == len(expected) - target.rows_lost_by_upsert
    before = aito.total(on="modify")
    target.upsert("k", "id", keys, batch)
    assert aito.total(on="modify") == before
    assert all(aito.count("k", {"id": key}) == 1 for key in keys)
    aito.switches.reset()


def test_one_step_is_not_tried_when_it_is_known_to_be_wrong(aito: Aito, time: Time) -> None:
    """What an earlier run found saves this one the attempt."""
    keyed(aito)
    aito.switches.modify = "wrong row"
    target = AitoTarget(transport(aito, time))
    target.upsert_in_two_steps()
    target.upsert("k", "id", ["b", "x"], NEW)
    assert versions(aito) == [("a", 1), ("b", 2), ("c", 1), ("d", 1), ("x", 2)]
    assert aito.total(on="modify") == 0
    aito.switches.reset()


def test_a_delete_that_is_applied_late(aito: Aito, time: Time) -> None:
    """After a lost answer it is counted, waited and counted again. Nothing is sent twice."""
    keyed(aito)
    aito.fail("cut", on="delete", apply="late")

    def land(seconds: float) -> None:
        time.seconds += seconds
        aito.land()

    clock = Clock(monotonic=lambda: time.seconds, sleep=land)
    limiter, deadline = RateLimiter(1e6, clock), Deadline.after(clock, 100)
    target = AitoTarget(Transport(aito.url, FixedKey(aito.api_key), 5, limiter, deadline))
    assert target.delete("k", OneOf("id", ("a", "b"))) == 2
    assert aito.total(on="delete") == 1
    assert target.unknown_deletes == 1


def test_an_upsert_in_two_steps_is_counted(aito: Aito, time: Time) -> None:
    """An insert whose rows are not all there is an unknown outcome."""
    keyed(aito)
    aito.switches.modify = "missing"
    target = AitoTarget(transport(aito, time))
    target.upsert("k", "id", ["b", "x"], NEW)
    aito.fail("cut", on="insert", apply="half")
    with pytest.raises(OutcomeUnknown):
        target.upsert("k", "id", ["b", "x"], NEW)
    target.upsert("k", "id", ["b", "x"], NEW)
    assert versions(aito) == [("a", 1), ("b", 2), ("c", 1), ("d", 1), ("x", 2)]
    aito.switches.reset()


def test_a_refused_row_in_an_upsert(aito: Aito, time: Time) -> None:
    """A bad row is refused, whether it is the first upsert or a later one."""
    keyed(aito)
    target = AitoTarget(transport(aito, time))
    bad = batches.of(['{"id": "b", "v": "bad"}'])
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            target.upsert("k", "id", ["b"], bad)
        assert caught.value.cause is Refusal.ROWS
        assert versions(aito)[1] == ("b", 1)
        target.upsert("k", "id", ["c"], batches.of(['{"id": "c", "v": 3}']))
    assert not target.upserts_in_two_steps
