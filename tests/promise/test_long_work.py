"""Work of several calls ends: progress is kept, tables take turns, and a standstill is no loop."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest

from local.stack import Stack
from sync.base.errors import OutOfTime
from tests.faults import before_every_query
from tests.workbench import (
    HOUR,
    NOW,
    RunReport,
    Workbench,
    batches_of,
    limit_calls_without_progress,
    limit_slices,
    replace_load,
    row,
)

TOPIC = "projects/local-project/topics/rest"
TABLES = 3  # chaos plays it with twelve


def out_of_time() -> bool:
    """A run that is asked to stop at once."""
    return True


@pytest.fixture
def bench(stack: Stack, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A merge table of 15 rows, loaded in one go. From now on they are in three slices."""
    name = re.sub(r"\W+", "_", request.node.name)
    bench = Workbench(stack, name, "merge", settings=batches_of(5), now=NOW)
    bench.put([row(f"k{i:02}", bench.now - 60 - i * HOUR) for i in range(15)])
    bench.run_ok()
    limit_slices(monkeypatch, 5)
    return bench


def until_ok(bench: Workbench, most: int, **request: Any) -> list[RunReport]:
    """Calls that are out of time at once, until one is ok."""
    reports: list[RunReport] = []
    while not reports or reports[-1].status != "ok":
        assert len(reports) < most, [each.tables[0].error for each in reports]
        reports.append(bench.run(stopped=out_of_time, **request))
        assert reports[-1].tables[0].status in ("ok", "partial"), reports[-1].tables[0].error
    bench.assert_both_ends_equal()
    return reports


def killed(stack: Stack, name: str, *, rows: int, batch: int, lookback: str = "30d") -> Workbench:
    """A loaded merge table, after a run that died."""
    table, settings = {"lookback": lookback}, batches_of(batch)
    bench = Workbench(stack, name, "merge", table=table, settings=settings, now=NOW)
    bench.put([row(f"k{i:02}", bench.now - 60 - i * HOUR) for i in range(rows)])
    bench.run_ok()
    bench.hold_lease("killed")
    bench.expire_leases()
    return bench


@pytest.mark.parametrize(("lookback", "rows"), [("1h", 20), ("30d", 15)])
def test_the_closing_comparison_comes_to_an_end(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, lookback: str, rows: int
) -> None:
    """After a run that died everything is compared, a slice a call, and never from the start.

    No call compares all keys of a long lookback again.
    """
    bench = killed(stack, f"closing_{lookback}", rows=rows, batch=5, lookback=lookback)
    limit_slices(monkeypatch, 5)
    newest = max(bench.aito_rows(), key=lambda each: each["unix"])
    bench.aito.double_rows(bench.name, {"id": newest["id"]})
    reports = until_ok(bench, 15)
    assert len(reports) > 3


def test_the_comparison_of_a_source_that_always_changes_comes_to_an_end(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call has time for one slice, and a row is late before each query.

    Each slice is compared once. What came to a slice after that is the next run's.
    """
    bench = killed(stack, "always_changes", rows=10, batch=50)
    limit_slices(monkeypatch, 5)
    numbers = itertools.count()

    def late() -> None:
        number = next(numbers)
        bench.put([row(f"late{number}", bench.now - 90 - (number * 7 % 10) * HOUR)])

    statuses: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        before_every_query(patch, lambda text: "WITH " in text and ".rows`" in text, late)
        while "ok" not in statuses and len(statuses) < 25:
            statuses.append(bench.run(stopped=out_of_time).status)
    assert statuses[:3] == ["partial"] * 3
    assert statuses[-1] == "ok"
    bench.now += 60
    bench.run_ok()


def test_an_interrupted_reconcile_deletes_what_it_found(bench: Workbench) -> None:
    """The next call goes on behind the slice. The rows are deleted once."""
    bench.delete_from_source(["k14", "k07"])
    reports = until_ok(bench, 15, action="reconcile")
    assert len(reports) > 3
    assert sum(each.tables[0].deleted for each in reports) == 2


def test_a_refresh_survives_other_runs(bench: Workbench) -> None:
    """A plain sync, one that fails, and a reconcile come between the calls of a refresh."""
    for each in bench.source_rows:
        each["value"] = "new"
    bench.sql(f"UPDATE `{bench.source}` SET value = 'new' WHERE TRUE")
    covered: list[int] = []
    for number in range(30):
        report = bench.run(stopped=out_of_time, full_refresh=True)
        covered.append(report.tables[0].start or 0)
        if report.status == "ok":
            break
        if number == 0:
            assert bench.run().status == "ok"
        elif number == 1:
            bench.aito.fail("unavailable", on="search", times=None)
            assert bench.run().http_status == 503
            bench.aito.heal()
        elif number == 2:
            bench.run(action="reconcile", stopped=out_of_time)
    assert report.status == "ok"
    assert len(covered) > 4, "calls of the refresh follow each of these runs"
    assert covered == sorted(covered)
    bench.assert_both_ends_equal()


def test_tables_take_turns(stack: Stack) -> None:
    """Every call has time for one table, and the first always has news. All tables are reached."""
    bench = Workbench(stack, "turn_0", now=NOW)
    bench.put([row("a", bench.now - 50)])
    bench.sql("CREATE TABLE {d}.others AS SELECT * FROM {d}.rows")
    first, source = bench.table_config(), f"{bench.dataset}.others"
    names = [f"turn_{number}" for number in range(TABLES)]
    configured = [first, *({**first, "name": name, "source": source} for name in names[1:])]
    for number in range(TABLES):
        bench.put([row(f"n{number}", bench.now - 40 + number)])
        bench.now += 1
        report = bench.run(*configured, stopped=out_of_time)
        assert [each.status for each in report.tables].count("ok") == 1 + number
    assert (report.status, report.http_status) == ("ok", 200)
    assert all(bench.aito_keys(name)[0] == "a" for name in names)


def test_calls_that_bring_nothing_end(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a topic each call would ask for the next one. After a few the table fails."""
    limit_calls_without_progress(monkeypatch, 2)
    bench = Workbench(stack, "no_progress", "merge", settings={"topic": TOPIC})
    bench.put([row("a", bench.now - 60)])
    bench.run_ok()
    stack.pubsub.messages.clear()

    def never_ends(*_: object) -> None:
        raise OutOfTime("the time is over")

    with monkeypatch.context() as patch:
        replace_load(patch, never_ends)
        statuses = [bench.run().http_status]
        while statuses[-1] == 202:
            statuses.append(bench.run().http_status)
            assert len(statuses) <= 20
        again = bench.run()
        error = str(again.tables[0].error)
    assert statuses == [202, 202, 500]
    assert again.http_status == 500, "a repeated message begins nothing"
    assert len(stack.pubsub.messages) == len(statuses) - 1
    assert "calls in a row made no progress" in error
    assert "raise time_budget_seconds" in error
    bench.run_ok()


def test_a_failed_table_publishes_no_message(stack: Stack) -> None:
    """Whoever gets an error calls again: that call continues, and a message would double it."""
    bench = Workbench(stack, "multiply", settings={"topic": TOPIC, **batches_of(5)})
    bench.put([row(f"k{i}", bench.now - 60 - i) for i in range(20)])
    good = bench.table_config()
    bad = {**good, "name": "multiply_bad", "source": f"{bench.dataset}.missing"}
    stack.pubsub.messages.clear()
    assert bench.run(bad, good, stopped=out_of_time).http_status == 500
    assert stack.pubsub.messages == []
    report = bench.run(bad, good, stopped=out_of_time)
    assert [each.status for each in report.tables] == ["partial", "partial"], "good had its turn"
    assert (report.http_status, len(stack.pubsub.messages)) == (202, 1)


def test_a_range_is_continued(stack: Stack) -> None:
    """The message repeats the range, and the next call goes on within it."""
    bench = Workbench(stack, "long_range", settings={"topic": TOPIC, **batches_of(5)})
    bench.put([row(f"k{i:02}", bench.now - 60 - i * HOUR) for i in range(20)])
    bench.run_ok()
    stack.aito.delete_rows(bench.name, {})
    since, until = bench.now - 12 * HOUR, bench.now - HOUR
    stack.pubsub.messages.clear()
    assert bench.run(since=since, until=until, stopped=out_of_time).http_status == 202
    message = json.loads(stack.pubsub.messages[-1].data)
    assert message["since"] < message["until"]
    assert bench.run(since=since, until=until).http_status == 200
    assert bench.aito_keys() == [f"k{i:02}" for i in range(1, 12)]
