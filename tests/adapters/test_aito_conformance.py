"""The checks of conformance, against the stand-in as it is and with each switch turned."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from local.aito.server import Aito
from sync.aito import RateLimiter, Transport
from sync.aito.checks import CHECKS
from sync.aito.conformance import (
    CheckResult,
    Outcome,
    assumptions,
    run_conformance,
)
from sync.aito.probe import MAX_CALLS, PREFIX
from sync.aito.version import build
from sync.base.clock import Clock, Deadline
from sync.base.errors import AccessDenied, ActionRequired
from tests.variations import slow

EXPIRY = "expiry"  # the one check that waits 15 minutes
FEW, MANY = 2_000, 10_000  # rows in the checks of long answers; MANY: as in the command


class FixedKey:
    """One key."""

    origin = "a test"

    def __init__(self, key: str) -> None:
        self.key = key

    def get(self) -> str:
        """The key."""
        return self.key

    def renew(self, refused: str) -> bool:
        """There is no other."""
        return False


class Time:
    """A clock that can be moved, and moves the stand-in's jobs along."""

    def __init__(self, aito: Aito) -> None:
        self.ahead = 0.0
        self._aito = aito

    def sleep(self, seconds: float) -> None:
        """Short pauses are for jobs in other threads; long ones are not waited for."""
        if seconds < 10:
            time.sleep(min(seconds, 0.02))
        self.ahead += seconds
        if seconds >= 10:
            self._aito.advance(seconds)

    @property
    def clock(self) -> Clock:
        """It as the sync sees it."""
        return Clock(
            now=lambda: time.time() + self.ahead,
            monotonic=lambda: time.monotonic() + self.ahead,
            sleep=self.sleep,
        )


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer rows in the checks of long answers."""
    monkeypatch.setattr("sync.aito.checks.tables.MANY", FEW)


@pytest.fixture(scope="module")
def server() -> Iterator[Aito]:
    """One stand-in for all tests."""
    with Aito() as aito:
        yield aito


@pytest.fixture
def aito(server: Aito) -> Iterator[Aito]:
    """A database with somebody's table."""
    server.create_table("mine", {"id": {"type": "String"}})
    server.insert("mine", [{"id": "a"}])
    server.reset_stats()
    yield server
    server.heal()
    server.switches.reset()
    server.refusal_status = 400
    server._api.store.drop_all()


def transport(aito: Aito, key: str = "") -> Transport:
    """A transport to the stand-in."""
    clock = Clock(sleep=lambda _: None)
    deadline = Deadline.after(clock, 600)
    limiter = RateLimiter(1e6, clock)
    return Transport(aito.url, FixedKey(key or aito.api_key), 10, limiter, deadline)


def run(aito: Aito, key: str = "", **options: Any) -> list[CheckResult]:
    """All checks."""
    clock = Time(aito).clock
    return run_conformance(transport(aito, key), ["mine"], clock=clock, **options)


def names(results: list[CheckResult], outcome: Outcome) -> list[str]:
    """The checks with an outcome."""
    return [result.check.name for result in results if result.outcome is outcome]


def test_the_stand_in_passes(aito: Aito, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every check but the one that waits. Nothing is left, and nothing else is touched."""
    monkeypatch.setattr("sync.aito.checks.tables.MANY", MANY)
    results = run(aito)
    assert names(results, Outcome.DIFFERS) == []
    assert names(results, Outcome.UNKNOWN) == [EXPIRY]
    assert len(results) == len(CHECKS)
    assert set(aito.schema()) == {"mine"}
    assert aito.rows("mine") == [{"id": "a"}]
    assert aito.total() <= MAX_CALLS
    assert all(entry.table in (None, "mine") or PREFIX in entry.table for entry in aito.log)


def test_the_wait_for_an_expiry(aito: Aito) -> None:
    """With `wait` the last check runs too."""
    assert names(run(aito, wait=True), Outcome.PASS)[-1] == EXPIRY
    aito.switches.expired_jobs = "job"
    assert names(run(aito, wait=True), Outcome.DIFFERS) == [EXPIRY]


# Differences, and the lines that report them. Those of a group do not hide each other.
TOGETHER: list[list[tuple[dict[str, Any], str]]] = [
    [
        ({"put_over_rows": "empty"}, "PUT over a table with rows"),
        ({"drop_missing": "ok"}, "DELETE of a missing table"),
        ({"columns": "as made"}, "order of columns"),
        ({"types": "lower"}, "spelling of types"),
        ({"analyzers": "as sent"}, "spelling of analyzers"),
        ({"self_links": "this"}, "spelling of links"),
        ({"nullable_false": "left out"}, "spelling of nullable"),
        ({"put_over_column": "empty"}, "PUT over a column"),
        ({"long_type": False}, "type Long"),
        ({"collections": ["c"]}, "schema lists tables"),
        ({"new_columns": "with a value"}, "new column"),
        ({"rename_over_linked": False}, "_rename over a linked table"),
        ({"dangling_links": False}, "dangling link"),
        ({"refused_rows": "before"}, "rows of a refused batch"),
        ({"null_booleans": "false"}, "null in a Boolean column"),
        ({"modify": "inserts first"}, "_modify"),
        ({"file_upload": True}, "file upload"),
        ({"insertion_order": True}, "no order"),
        ({"max_limit": 1000}, "limit 10,000"),
        ({"max_or": 100}, "$or"),
        ({"job_created": 200}, "answer of a new job"),
        ({"data_jobs": False}, "writes as jobs"),
        ({"failed_jobs": "told"}, "failed job"),
        ({"slow": {"optimize": 0.1}, "gateway_seconds": 0.05}, "optimize"),
    ],
    [
        ({"analyzers": "object"}, "spelling of analyzers"),
        ({"nullable_true": "left out"}, "spelling of nullable"),
        ({"hidden_collections": ["c"]}, "collections of version 2"),
        ({"new_columns": "without a value"}, "new column with a value"),
        ({"modify": "no delete"}, "_modify"),
        ({"refused_limit": 1000}, "limit 10,000"),
    ],
    [({"modify": "wrong row"}, "_modify")],
    [({"modify": "missing"}, "_modify")],
]


@pytest.mark.parametrize("group", TOGETHER, ids=len)
def test_each_switch_is_one_line(aito: Aito, group: list[tuple[dict[str, Any], str]]) -> None:
    """A stand-in that differs in many things differs on a line for each, and on no other. The
    tables are removed.
    """
    for switches, _ in group:
        aito.switches.turn(**switches)
    results = run(aito)
    assert sorted(names(results, Outcome.DIFFERS)) == sorted(line for _, line in group)
    assert names(results, Outcome.UNKNOWN) == [EXPIRY]
    assert set(aito.schema()) - {"c"} == {"mine"}


@pytest.mark.slow  # the same one by one: no line is there because of another switch
@pytest.mark.parametrize("switch", [*TOGETHER[0], *TOGETHER[1]])
def test_a_switch_alone(aito: Aito, switch: tuple[dict[str, Any], str]) -> None:
    """A stand-in that differs in one thing differs on one line."""
    test_each_switch_is_one_line(aito, [switch])


def test_results_of_another_age(aito: Aito) -> None:
    """Kept for another time than 900 s: one line as well."""
    aito.job_result_seconds = 60
    assert names(run(aito), Outcome.DIFFERS) == ["result of a job"]
    aito.job_result_seconds = 900


def test_a_bad_row_may_be_a_500(aito: Aito) -> None:
    """As on some builds."""
    aito.refusal_status = 500
    assert names(run(aito), Outcome.DIFFERS) == ["bad row"]


def test_a_line_tells_what_follows(aito: Aito) -> None:
    """What was found, and what the sync does then. A line each."""
    aito.switches.put_over_rows = "empty"
    lines = [result.line for result in run(aito)]
    line = next(line for line in lines if line.startswith("DIFFERS"))
    assert "2 of 2 are gone" in line
    assert "loads them again" in line
    assert not [line for line in lines if "\n" in line]


def test_read_only(aito: Aito) -> None:
    """A read-only key is enough, and nothing is written."""
    results = run(aito, aito.read_only_key, read_only=True)
    assert names(results, Outcome.PASS) == [check.name for check in CHECKS if check.reads_only]
    assert aito.total("writes") == 0


def test_a_wrong_key(aito: Aito) -> None:
    """It is refused at the beginning."""
    with pytest.raises(AccessDenied):
        run(aito, "wrong")


@pytest.mark.parametrize("name", [PREFIX + "x", f"{PREFIX}1763200000_abc123_types"])
def test_a_configured_table_with_the_prefix(aito: Aito, name: str) -> None:
    """Nothing is sent: the table could be swept."""
    with pytest.raises(ActionRequired, match=name):
        run_conformance(transport(aito), ["mine", name])
    assert aito.total() == 0


def test_what_a_killed_run_left_is_swept(aito: Aito) -> None:
    """After an hour by the next run, links and all. Younger ones and look-alikes stay."""
    old = f"{PREFIX}{int(time.time()) - 3700}_abc123_"
    young = f"{PREFIX}{int(time.time()) - 60}_abc123_types"
    column = {"type": "String"}
    aito.create_table(f"{old}a_parent", {"id": column})
    aito.create_table(f"{old}child", {"p": {**column, "link": f"{old}a_parent.id"}})
    for name in (young, f"{PREFIX}notes", f"{PREFIX}12_34"):
        aito.create_table(name, {"id": column})
    run(aito)
    assert set(aito.schema()) == {"mine", young, f"{PREFIX}notes", f"{PREFIX}12_34"}


class Killed(BaseException):
    """The process ends."""


def test_an_interrupted_run_cleans_up(aito: Aito) -> None:
    """As Ctrl-C does."""

    clock = Time(aito).clock
    client = transport(aito)
    attempt = client.attempt

    def interrupted(*arguments: Any, **options: Any) -> Any:
        if client.calls > 40 and arguments[0] != "DELETE":
            raise Killed
        return attempt(*arguments, **options)

    client.attempt = interrupted  # type: ignore[method-assign]  # a signal comes between two calls
    with pytest.raises(Killed):
        run_conformance(client, ["mine"], clock=clock)
    assert set(aito.schema()) == {"mine"}


@pytest.mark.parametrize("killed_after", [60, *slow(15, 110)])
def test_a_killed_run_is_cleaned_up_by_the_next_call(aito: Aito, killed_after: int) -> None:
    """As SIGKILL does: nothing is removed. The next call does it, once an hour is over."""
    client = transport(aito)
    attempt = client.attempt

    def killed(*arguments: Any, **options: Any) -> Any:
        if client.calls > killed_after:
            raise Killed
        return attempt(*arguments, **options)

    client.attempt = killed  # type: ignore[method-assign]  # the process ends between two calls
    with pytest.raises(Killed):
        run_conformance(client, ["mine"], clock=Time(aito).clock)
    left = set(aito.schema()) - {"mine"}
    assert left
    assert names(run(aito), Outcome.DIFFERS) == []
    assert set(aito.schema()) == {"mine", *left}
    clock = Time(aito)
    clock.ahead = 3700
    run_conformance(transport(aito), ["mine"], clock=clock.clock)
    assert set(aito.schema()) == {"mine"}


def test_the_limit_on_calls(aito: Aito) -> None:
    """An Aito that throttles all the time: checks are unknown, and the limit holds."""
    aito.fail("throttled", times=None, probability=0.5, seed=3)
    results = run(aito)
    assert aito.total() <= MAX_CALLS + 15
    assert names(results, Outcome.UNKNOWN)
    aito.heal()


def test_slow_jobs_keep_the_limit(aito: Aito) -> None:
    """Each job is looked for many times. The calls that the clean-up needs are kept for it."""
    aito.job_seconds = 0.3
    try:
        results = run(aito)
    finally:
        aito.job_seconds = 0
    assert names(results, Outcome.DIFFERS) == []
    assert aito.total() <= MAX_CALLS
    assert set(aito.schema()) == {"mine"}


def test_faults_are_unknown_and_not_different(aito: Aito) -> None:
    """An Aito that does not answer tells nothing about itself."""
    aito.fail("cut", on="modify", times=None)
    results = run(aito)
    assert names(results, Outcome.DIFFERS) == []
    assert names(results, Outcome.UNKNOWN) == ["_modify", EXPIRY]


def test_the_build(aito: Aito) -> None:
    """What Aito says of itself, at the root of its host."""
    assert build(aito.url) == "1.0.0-local"


def test_each_assumption_has_a_name_of_its_own() -> None:
    """The name is how a line of the command is found in the document."""
    text = assumptions()
    assert all(f"## {check.name}\n" in text for check in CHECKS)
    assert len({check.name for check in CHECKS}) == len(CHECKS)
