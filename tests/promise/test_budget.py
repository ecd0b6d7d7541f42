"""Runs that are out of time: the state is good, the answer says so, and the next call resumes."""

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
from tests.workbench import HOUR, NOW, Clock, RunReport, Workbench, batches_of, limit_page, row

TOPIC = "projects/local-project/topics/rest"
ROWS = 200_000
FLAT_MB = 60  # a process may grow by this much after its first call; the rows alone are more


def generate_rows(bench: Workbench, count: int) -> None:
    """Let BigQuery make so many rows, one for each second before now."""
    bench.put([])
    end = bench.now - 1
    bench.sql(
        f"INSERT INTO `{bench.source}` SELECT CONCAT('k', CAST(n AS STRING)),"
        f" TIMESTAMP_SECONDS({end} - n), REPEAT('v', 200) FROM UNNEST(GENERATE_ARRAY(0,"
        f" {count - 1})) AS n"
    )
    bench.source_rows += [row(f"k{n}", end - n, "v" * 200) for n in range(count)]


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
@pytest.mark.usefixtures("from_nothing")  # its own memory is measured
def test_two_hundred_thousand_rows_five_seconds_at_a_time(stack: Stack) -> None:
    """Repeated calls finish a first load; the watermark only grows; memory stays flat; nothing is
    sent twice.
    """
    bench = Workbench(stack, "budget_large", keep=None, settings={"time_budget_seconds": 5})
    generate_rows(bench, ROWS)
    stack.aito.fail(
        "slow", on="insert", times=None, seconds=0.1
    )  # 20 s in all, however fast the machine
    with Function(bench.environment()) as function:
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
    bench.now += 1
    bench.assert_both_ends_equal()


@pytest.fixture
def slow_table(stack: Stack) -> Workbench:
    """A table of 15 batches that take 0.2 s each, and a budget of a second."""
    settings = {"time_budget_seconds": 1, **batches_of(100)}
    name = f"budget_{time.monotonic_ns()}"
    bench = Workbench(stack, name, keep=None, settings=settings)
    bench.put([row(f"k{i:04}", bench.now - 4000 + i) for i in range(1500)])
    stack.aito.fail("slow", on="insert", times=None, seconds=0.2)
    return bench


def test_without_a_topic_the_caller_continues(stack: Stack, slow_table: Workbench) -> None:
    """503 with Retry-After until all is loaded. Each call loads more."""
    with Function(slow_table.environment()) as function:
        status, answer, after = call(function)
        assert (status, answer["status"], after) == (503, "partial", 1)
        assert (
            "time_budget_seconds is spent; the next call continues" in answer["tables"][0]["error"]
        )
        before = len(slow_table.aito_rows())
        assert 0 < before < 1500
        assert call(function)[0] == 503
        assert len(slow_table.aito_rows()) > before
        stack.aito.heal()
        while call(function)[0] == 503:
            pass
    slow_table.assert_both_ends_equal()


def test_with_a_topic_the_rest_is_asked_for(stack: Stack, slow_table: Workbench) -> None:
    """The answer is 202 and one message is published. Pushed to the function, it resumes the load.

    The last answer is 200. While the topic is not there, the message cannot be published: 503 with
    Retry-After, so that the caller calls again.
    """
    slow_table.settings = {**(slow_table.settings or {}), "topic": TOPIC}
    stack.pubsub.messages.clear()
    with Function(slow_table.environment()) as function:
        stack.pubsub.missing.add(TOPIC)
        try:
            status, answer, after = call(function)
        finally:
            stack.pubsub.missing.clear()
        assert (status, answer["status"], after) == (503, "partial", 1)
        assert stack.pubsub.messages == []
        status, answer, after = call(function)
        assert (status, answer["status"], after) == (202, "partial", None)
        calls = 1
        while status == 202:
            assert len(stack.pubsub.messages) == calls
            message = stack.pubsub.messages[-1]
            assert message.topic == TOPIC
            assert json.loads(message.data) == {"action": "sync", "tables": [slow_table.name]}
            stack.aito.heal()
            pushed = {
                "message": {"data": base64.b64encode(message.data).decode(), "messageId": "1"},
                "subscription": "s",
            }
            status, answer, _ = call(function, pushed)
            calls += 1
        assert (status, len(stack.pubsub.messages)) == (200, calls - 1)
    slow_table.assert_both_ends_equal()


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something that processes do."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_sigterm_ends_a_run_after_its_batch(stack: Stack, slow_table: Workbench) -> None:
    """SIGTERM ends a run after its batch: partial, with a good state and the lease given back."""
    slow_table.settings = {**(slow_table.settings or {}), "time_budget_seconds": 100}
    answers: list[Any] = []
    with Function(slow_table.environment()) as function:
        caller = threading.Thread(target=lambda: answers.append(call(function)))
        caller.start()
        wait_until(lambda: len(slow_table.aito_rows()) >= 200)
        os.killpg(function.pid, signal.SIGTERM)
        caller.join(30)
        ((status, answer, after),) = answers
    assert (status, answer["status"], after) == (503, "partial", 1)
    assert (
        "the process was requested to stop; the next call continues" in answer["tables"][0]["error"]
    )
    assert len(slow_table.aito_rows()) < 1500
    stack.aito.heal()
    slow_table.run_until_ok(1)


@pytest.mark.parametrize("asked", [{"full_refresh": True}, {"action": "reconcile", "deep": True}])
def test_a_run_over_everything_resumes(
    stack: Stack, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is stopped after each batch or slice is resumed by the next call, until it
    ends.
    """
    limit_page(monkeypatch, 50)  # rows in a slice that is compared by keys
    settings = batches_of(50)
    bench = Workbench(
        stack, f"budget_{'deep' if 'deep' in asked else 'full'}", settings=settings, now=NOW
    )
    bench.put([row(f"k{i:04}", bench.now - 40 * HOUR + 400 * (i // 3)) for i in range(100)])
    bench.run_ok()
    damaged = bench.aito_rows()[:20] + bench.aito_rows()[-20:]
    stack.aito.delete_rows(bench.name, {"id": {"$or": [each["id"] for each in damaged]}})
    reports: list[RunReport] = []
    while not reports or reports[-1].status != "ok":
        bench.now += 1
        reports.append(bench.run(stopped=lambda: True, **asked))
        assert reports[-1].tables[0].status in ("ok", "partial"), reports[-1].tables[0].error
        assert len(reports) < 30
    starts = [report.tables[0].start or 0 for report in reports]
    assert len(starts) > 1
    assert starts == sorted(starts)
    assert starts[0] < starts[-1]
    bench.assert_both_ends_equal()
    bench.now += 1
    assert (bench.run_ok(**asked).start or 0) - starts[0] == len(reports), (
        "after one that came to its end all is gone through again"
    )


def test_a_refresh_of_several_calls_removes_what_is_gone(stack: Stack) -> None:
    """Rows deleted in the source, in the part that an earlier call has gone through, are
    deleted.
    """
    bench = Workbench(stack, "budget_gone", settings=batches_of(50), now=NOW)
    bench.put([row(f"k{i:04}", bench.now - 40 * HOUR + 400 * i) for i in range(150)])
    bench.run_ok()
    bench.delete_from_source([f"k{i:04}" for i in range(10)])
    reports: list[RunReport] = []
    while not reports or reports[-1].status == "partial":
        bench.now += 1
        reports.append(bench.run(stopped=lambda: True, full_refresh=True))
    assert len(reports) > 2
    assert reports[-1].tables[0].verified
    bench.assert_both_ends_equal()


def test_a_table_that_no_call_has_started(stack: Stack) -> None:
    """The call that resumes the run finds no checkpoint of this table, and starts it."""
    bench = Workbench(stack, "budget_first")
    bench.put([row("a", bench.now - 5)])
    first = bench.table_config()
    both = [first, {**first, "name": "budget_second"}]
    report = bench.run(*both, stopped=lambda: True, full_refresh=True)
    assert [table.status for table in report.tables] == ["ok", "partial"]
    report = bench.run(*both, full_refresh=True, tables=("budget_second",))
    assert (report.status, report.tables[0].uploaded) == ("ok", 1), report.tables[0].error


def test_a_changed_configuration_starts_over(stack: Stack) -> None:
    """A full refresh resumes only with the same request and the same configuration."""
    bench = Workbench(stack, "budget_other", settings=batches_of(50), now=NOW)
    bench.put([row(f"k{i:04}", bench.now - 4000 + i) for i in range(300)])
    bench.run_ok()
    starts = []
    other = {"columns": {"id": None, "at": None, "value": {"sql": "UPPER(value)"}}}
    for table in (None, None, other):
        bench.now += 1
        bench.table = table
        report = bench.run(stopped=lambda: True, full_refresh=True)
        starts.append(report.tables[0].start or 0)
    assert starts[1] > starts[0] + 10
    assert starts[2] == starts[0] + 2


def test_a_swap_that_never_fits_the_budget(stack: Stack) -> None:
    """Each call would start over. So the run fails and says what to do. Readers keep the old
    rows.
    """
    settings = {"time_budget_seconds": 50, **batches_of(10)}
    bench = Workbench(stack, "budget_replace", mode="replace", settings=settings)
    bench.put([row("a", bench.now - 5)])
    bench.run_ok()
    bench.put([row(f"k{i:04}", bench.now - 4000 + i) for i in range(300)])
    seconds = [0.0]

    def arrives(_: Any) -> None:
        seconds[0] += 1

    stack.aito.refuse(arrives)
    report = bench.run(clock=Clock(now=lambda: bench.now, monotonic=lambda: seconds[0]))
    stack.aito.refuse(None)
    assert (report.http_status, report.tables[0].status) == (500, "failed")
    assert "raise time_budget_seconds, or give the table a cursor and mode merge" in str(
        report.tables[0].error
    )
    assert [each["id"] for each in bench.aito_rows()] == ["a"]


def test_every_call_loads_a_batch(stack: Stack) -> None:
    """However little time there is, each call loads one batch, also behind a long lookback."""
    settings = batches_of(50)
    bench = Workbench(stack, "budget_standstill", settings=settings)
    bench.put([row(f"k{i:04}", bench.now - 500 + i) for i in range(200)])
    for number in range(3):
        report = bench.run(stopped=lambda: True)
        assert report.tables[0].uploaded == 50, report.tables[0].error
        assert len(bench.aito_rows()) == 50 * (number + 1)
    bench.run_ok()


def test_no_table_starts_after_the_deadline(stack: Stack) -> None:
    """A run without time loads one batch, and not one for each table."""
    bench = Workbench(stack, "budget_one")
    bench.put([row("a", bench.now - 5)])
    first = bench.table_config()
    configured = [first, {**first, "name": "budget_two"}, {**first, "name": "budget_three"}]
    done = []
    for _ in configured:
        report = bench.run(*configured, stopped=lambda: True)
        done.append([table.status for table in report.tables].count("ok"))
    assert done == [1, 2, 3]
