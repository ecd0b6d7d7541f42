"""Out of time, and what then: the state is good, the answer says so, and calling again goes on
from there.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from local.stack import Function, Stack
from sync.base.clock import Clock
from sync.model.report import RunReport
from tests.promise.ends import HOUR, Ends, row

TOPIC = "projects/local-project/topics/rest"
ROWS = 200_000
FLAT_MB = 60  # a process may grow by this much after its first call; the rows alone are more


def generated(ends: Ends, count: int) -> None:
    """Rows made by BigQuery itself, one a second, ending now: `count` of them by the hundred
    thousand.
    """
    end = int(ends.now) - 1
    ends.sql(
        f"INSERT INTO `{ends.source}` SELECT CONCAT('k', CAST(n AS STRING)),"
        f" TIMESTAMP_SECONDS({end} - n), REPEAT('v', 200) FROM UNNEST(GENERATE_ARRAY(0,"
        f" {count - 1})) AS n"
    )
    ends.rows += [row(f"k{n}", end - n, "v" * 200) for n in range(count)]


def megabytes(function: Function) -> float:
    """Resident memory of the function's process and its children."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            if os.getpgid(int(status.parent.name)) == function.pid:
                total += int(status.read_text().split("VmRSS:")[1].split()[0])
        except (OSError, IndexError):
            continue
    return total / 1024


def call(function: Function, body: Any = None) -> tuple[int, dict[str, Any], int | None]:
    """-> (status, answer, Retry-After)."""
    answer = requests.post(function.url, json=body, timeout=120)
    after = answer.headers.get("Retry-After")
    return answer.status_code, answer.json(), int(after) if after else None


@pytest.mark.slow
def test_two_hundred_thousand_rows_five_seconds_at_a_time(stack: Stack) -> None:
    """Repeated calls finish a first load; the watermark only grows; memory stays flat; nothing is
    sent twice.
    """
    ends = Ends(stack, "budget_large", keep=None, settings={"time_budget_seconds": 5})
    generated(ends, ROWS)
    stack.aito.fail(
        "slow", on="insert", times=None, seconds=0.1
    )  # 20 s in all, however fast the machine
    with Function(stack.environ(ends.path)) as function:
        watermarks, memory, status = [-1], [], 503
        while status != 200:
            status, answer, after = call(function)
            (table,) = answer["tables"]
            assert status == 200 or (status, table["status"], after) == (503, "partial", 1), answer
            assert table["watermark"]["after"] > watermarks[-1] or status == 200
            watermarks.append(table["watermark"]["after"])
            memory.append(megabytes(function))
            assert len(watermarks) < 100
    print(f"{len(memory)} calls, {memory[0]:.0f} MB after the first, at most {max(memory):.0f} MB")
    stack.aito.heal()
    assert len(memory) > 2
    assert max(memory) < memory[0] + FLAT_MB
    assert table["verified"]
    assert stack.aito.total("rows", "insert") == ROWS
    ends.now += 1
    ends.assert_equal()


@pytest.fixture
def slow(stack: Stack) -> Ends:
    """A table of 30 batches of which each takes a while, and a second of time."""
    settings = {"time_budget_seconds": 2, "batch": {"rows": 100, "bytes": 5_000_000}}
    name = f"budget_{time.monotonic_ns()}"
    ends = Ends(stack, name, keep=None, settings=settings)
    ends.put([row(f"k{i:04}", ends.now - 4000 + i) for i in range(3000)])
    stack.aito.fail("slow", on="insert", times=None, seconds=0.2)
    return ends


def test_without_a_topic_the_caller_continues(stack: Stack, slow: Ends) -> None:
    """503 with Retry-After until it is done; each call brings something."""
    with Function(stack.environ(slow.path)) as function:
        status, answer, after = call(function)
        assert (status, answer["status"], after) == (503, "partial", 1)
        assert (
            "time_budget_seconds is spent; the next call continues" in answer["tables"][0]["error"]
        )
        before = len(slow.held())
        assert 0 < before < 3000
        assert call(function)[0] == 503
        assert len(slow.held()) > before
        stack.aito.heal()
        while call(function)[0] == 503:
            pass
    slow.assert_equal()


def test_with_a_topic_the_rest_is_asked_for(stack: Stack, slow: Ends) -> None:
    """202 and one message, which, pushed to the function, continues; the last answer is 200."""
    slow.settings = {**(slow.settings or {}), "topic": TOPIC}
    slow.path = slow.write_config()
    stack.pubsub.messages.clear()
    with Function(stack.environ(slow.path)) as function:
        status, answer, after = call(function)
        assert (status, answer["status"], after) == (202, "partial", None)
        calls = 1
        while status == 202:
            assert len(stack.pubsub.messages) == calls
            message = stack.pubsub.messages[-1]
            assert message.topic == TOPIC
            assert json.loads(message.data) == {"action": "sync", "tables": [slow.name]}
            stack.aito.heal()
            pushed = {
                "message": {"data": base64.b64encode(message.data).decode(), "messageId": "1"},
                "subscription": "s",
            }
            status, answer, _ = call(function, pushed)
            calls += 1
        assert (status, len(stack.pubsub.messages)) == (200, calls - 1)
    slow.assert_equal()


def test_a_topic_that_is_not_there(stack: Stack, slow: Ends) -> None:
    """The rest could not be asked for: 503 with Retry-After, so that the caller does."""
    slow.settings = {**(slow.settings or {}), "topic": TOPIC}
    slow.path = slow.write_config()
    stack.pubsub.missing.add(TOPIC)
    try:
        with Function(stack.environ(slow.path)) as function:
            status, answer, after = call(function)
    finally:
        stack.pubsub.missing.clear()
    assert (status, answer["status"], after) == (503, "partial", 1)


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something that processes do."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_told_to_end(stack: Stack, slow: Ends) -> None:
    """SIGTERM ends a run at the next edge:
    partial, with the state good and the lease given back.
    """
    slow.settings = {**(slow.settings or {}), "time_budget_seconds": 100}
    slow.path = slow.write_config()
    answers: list[Any] = []
    with Function(stack.environ(slow.path)) as function:
        caller = threading.Thread(target=lambda: answers.append(call(function)))
        caller.start()
        until(lambda: len(slow.held()) >= 200)
        os.killpg(function.pid, signal.SIGTERM)
        caller.join(30)
        ((status, answer, after),) = answers
    assert (status, answer["status"], after) == (503, "partial", 1)
    assert "the process was told to stop; the next call continues" in answer["tables"][0]["error"]
    assert len(slow.held()) < 3000
    stack.aito.heal()
    slow.until_ok(1)


@pytest.mark.parametrize("asked", [{"full_refresh": True}, {"action": "reconcile", "deep": True}])
def test_what_goes_through_everything_goes_on(
    stack: Stack, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told to stop after each batch or slice, the next call does not begin anew, and one of them
    is the last.
    """
    monkeypatch.setattr("sync.plan.PAGE", 100)  # rows in a slice that is compared by keys
    settings = {"batch": {"rows": 50, "bytes": 5_000_000}}
    ends = Ends(stack, f"budget_{'deep' if 'deep' in asked else 'full'}", settings=settings)
    ends.put([row(f"k{i:04}", ends.now - 40 * HOUR + 400 * (i // 3)) for i in range(900)])
    ends.ok()
    monkeyed = ends.held()[:40] + ends.held()[-40:]
    stack.aito.delete_rows(ends.name, {"id": {"$or": [each["id"] for each in monkeyed]}})
    reports: list[RunReport] = []
    while not reports or reports[-1].status != "ok":
        ends.now += 1
        reports.append(ends.run(stopped=lambda: True, **asked))
        assert reports[-1].tables[0].status in ("ok", "partial"), reports[-1].tables[0].error
        assert len(reports) < 30
    starts = [report.tables[0].start or 0 for report in reports]
    assert len(starts) > 1
    assert starts == sorted(starts)
    assert starts[0] < starts[-1]
    ends.assert_equal()
    ends.now += 1
    assert (ends.ok(**asked).start or 0) - starts[0] == len(reports), (
        "after one that came to its end all is gone through again"
    )


def test_a_refresh_of_several_calls_removes_what_is_gone(stack: Stack) -> None:
    """Rows that were deleted in the source long ago, in the part that an earlier call went
    through.
    """
    ends = Ends(stack, "budget_gone", settings={"batch": {"rows": 50, "bytes": 5_000_000}})
    ends.put([row(f"k{i:04}", ends.now - 40 * HOUR + 400 * i) for i in range(300)])
    ends.ok()
    ends.take([f"k{i:04}" for i in range(10)])
    reports: list[RunReport] = []
    while not reports or reports[-1].status == "partial":
        ends.now += 1
        reports.append(ends.run(stopped=lambda: True, full_refresh=True))
    assert len(reports) > 2
    assert reports[-1].tables[0].verified
    ends.assert_equal()


def test_a_table_that_no_call_has_come_to(stack: Stack) -> None:
    """The call that goes on with it finds no place to go on from, and begins."""
    tables = [
        Ends(stack, name, shared_ledger="budget_untouched")
        for name in ("budget_first", "budget_second")
    ]
    for ends in tables:
        ends.put([row("a", ends.now - 5)])
    first, second = tables
    first.path = stack.configure(
        name="budget_untouched.yaml",
        ledger=first.ledger,
        aito={"requests_per_second": 100_000},
        tables=[ends.described() for ends in tables],
    )
    report = first.run(stopped=lambda: True, full_refresh=True)
    assert [table.status for table in report.tables] == ["ok", "partial"]
    report = first.run(full_refresh=True, tables=(second.name,))
    assert (report.status, report.tables[0].uploaded) == ("ok", 1), report.tables[0].error


def test_another_question_begins_anew(stack: Stack) -> None:
    """A full refresh goes on only where the same was asked of the same configuration."""
    ends = Ends(stack, "budget_other", settings={"batch": {"rows": 50, "bytes": 5_000_000}})
    ends.put([row(f"k{i:04}", ends.now - 4000 + i) for i in range(300)])
    ends.ok()
    starts = []
    for rows in (50, 50, 60):
        ends.now += 1
        ends.settings = {"batch": {"rows": rows, "bytes": 5_000_000}}
        ends.write_config()
        starts.append(ends.run(stopped=lambda: True, full_refresh=True).tables[0].start or 0)
    assert starts[1] > starts[0] + 10
    assert starts[2] == starts[0] + 2


def test_a_replaced_table_that_never_fits(stack: Stack) -> None:
    """It would begin anew for ever: a person is told what to do, and readers keep the old rows."""
    settings = {"time_budget_seconds": 50, "batch": {"rows": 10, "bytes": 5_000_000}}
    ends = Ends(stack, "budget_replace", mode="replace", settings=settings)
    ends.put([row("a", ends.now - 5)])
    ends.ok()
    ends.put([row(f"k{i:04}", ends.now - 4000 + i) for i in range(300)])
    seconds = [0.0]

    def arrives(_: Any) -> None:
        seconds[0] += 1

    stack.aito.refuse(arrives)
    report = ends.run(Clock(now=lambda: ends.now, monotonic=lambda: seconds[0]))
    stack.aito.refuse(None)
    assert (report.http_status, report.tables[0].status) == (500, "failed")
    assert "raise time_budget_seconds, or give the table a cursor and mode merge" in str(
        report.tables[0].error
    )
    assert [each["id"] for each in ends.held()] == ["a"]


def test_no_standstill(stack: Stack) -> None:
    """However little time there is, each call brings one batch: also behind a lookback of many
    batches.
    """
    settings = {"batch": {"rows": 50, "bytes": 5_000_000}}
    ends = Ends(stack, "budget_standstill", settings=settings)
    ends.put([row(f"k{i:04}", ends.now - 500 + i) for i in range(300)])
    for number in range(6):
        report = ends.run(stopped=lambda: True)
        assert report.tables[0].uploaded == 50, report.tables[0].error
        assert len(ends.held()) == 50 * (number + 1)
    ends.ok()


def test_no_table_is_begun_when_time_is_over(stack: Stack) -> None:
    """One batch a run is brought whatever the time, not one for each table."""
    names = ("budget_one", "budget_two", "budget_three")
    tables = [Ends(stack, name, shared_ledger="budget_several") for name in names]
    for ends in tables:
        ends.put([row("a", ends.now - 5)])
    first = tables[0]
    first.path = stack.configure(
        name="budget_several.yaml",
        ledger=first.ledger,
        aito={"requests_per_second": 100_000},
        tables=[ends.described() for ends in tables],
    )
    done = []
    for _ in names:
        report = first.run(stopped=lambda: True)
        done.append([table.status for table in report.tables].count("ok"))
    assert done == [1, 2, 3]
