"""`watch` collects evaluations and reports how fresh each table is.

It loads nothing, takes no lease and waits for no other run.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from local.stack import Function
from tests.workbench import DAY, Workbench, iso, table

COLUMNS = {"id": "STRING", "ts": "TIMESTAMP", "kind": "STRING"}


def rows(count: int, newest: int) -> list[dict[str, Any]]:
    return [{"id": f"r{n}", "ts": iso(newest - n * 60), "kind": "ab"[n % 2]} for n in range(count)]


def freshness(bench: Workbench) -> dict[str, tuple[Any, Any]]:
    """(age_seconds, ok_age_seconds) by table, of the last run's events."""
    told = [event for event in bench.events if event["event"] == "freshness"]
    return {event["table"]: (event["age_seconds"], event["ok_age_seconds"]) for event in told}


def test_ages(bench: Workbench) -> None:
    """The age of Aito's newest row that is not of the future, and of the last good sync: one event
    per table. A failed sync does not make a table fresh, and neither does a reconcile.
    """
    bench.load_source("rows", COLUMNS, rows(10, bench.now - 500))
    configured = table(f"{bench.name}_web", f"{bench.dataset}.rows")
    bench.run_ok(configured)
    bench.now += DAY
    bench.aito.insert(configured["name"], [{"id": "future", "at": bench.now + 60}])
    report = bench.run_ok(configured, action="watch")
    assert freshness(bench) == {configured["name"]: (DAY + 500, DAY)}
    assert report.watermark_after == bench.now - DAY - 500
    assert bench.event("freshness")["severity"] == "INFO"
    bench.aito.delete_rows(configured["name"], {"id": "future"})
    bench.run_ok(configured, action="reconcile")
    assert bench.run({**configured, "columns": {"id": {}, "nowhere": {}}}).status == "failed"
    bench.now += 1000
    bench.run_ok(configured, action="watch")
    assert freshness(bench)[configured["name"]][1] == DAY + 1000


def test_ages_that_are_not_known(bench: Workbench) -> None:
    """Null for a table that is not in Aito, that is empty, that has no cursor, or was never synced
    well.
    """
    bench.load_source("rows", COLUMNS, rows(10, bench.now))
    bench.load_source("none", COLUMNS, [])
    small = {"name": f"{bench.name}_small", "source": f"{bench.dataset}.rows", "mode": "replace"}
    empty = table(f"{bench.name}_empty", f"{bench.dataset}.none")
    absent = table(f"{bench.name}_absent", f"{bench.dataset}.rows")
    bench.run_ok(small, empty)
    bench.run_ok(small, empty, absent, action="watch")
    assert freshness(bench) == {
        small["name"]: (None, 0),
        empty["name"]: (None, 0),
        absent["name"]: (None, None),
    }


def test_nothing_was_ever_loaded(bench: Workbench) -> None:
    """The event carries `empty` and the age of the first run, until there is a row."""
    bench.load_source("none", COLUMNS, [])
    small = {"name": f"{bench.name}_small", "source": f"{bench.dataset}.none", "mode": "replace"}
    large = table(f"{bench.name}_large", f"{bench.dataset}.none")

    def empty() -> list[tuple[Any, Any]]:
        bench.run_ok(small, large, action="watch")
        told = [event for event in bench.events if event["event"] == "freshness"]
        return [(event.get("empty"), event.get("empty_seconds")) for event in told]

    assert empty() == [(True, None)] * 2
    bench.run_ok(small, large)
    bench.now += DAY
    bench.run_ok(small, large)
    bench.now += DAY
    assert empty() == [(True, 2 * DAY)] * 2
    bench.load_source("none", COLUMNS, rows(5, bench.now - 60))
    bench.run_ok(small, large)
    assert empty() == [(None, None)] * 2


def test_watch_writes_nothing(bench: Workbench) -> None:
    """No write to Aito, no lease, no row in `runs`: rows that wait, and rows past `keep`, stay
    where they are.
    """
    bench.load_source("rows", COLUMNS, rows(10, bench.now - 60))
    configured = table(
        f"{bench.name}_web", f"{bench.dataset}.rows", keep="1d", purge={"max_share": 1}
    )
    bench.run_ok(configured)
    bench.load_source("rows", COLUMNS, [{"id": "new", "ts": iso(bench.now - 1), "kind": "a"}])
    bench.now += 2 * DAY
    bench.aito.reset_stats()
    before = bench.ledger_rows("runs"), bench.ledger_rows("leases")
    for dry_run in (False, True):
        bench.run_ok(configured, action="watch", dry_run=dry_run)
        assert bench.aito_writes() == 0
        assert len(bench.aito_keys(configured["name"])) == 10
        assert (bench.ledger_rows("runs"), bench.ledger_rows("leases")) == before


def test_before_anything_ran(bench: Workbench) -> None:
    """Without a ledger and without tables in Aito, both ages are null."""
    bench.load_source("rows", COLUMNS, rows(1, bench.now))
    configured = table(
        f"{bench.name}_web", f"{bench.dataset}.rows", evaluate=[{"name": "e", "predict": "kind"}]
    )
    bench.run_ok(configured, action="watch")
    assert freshness(bench) == {configured["name"]: (None, None)}


def test_aito_does_not_answer(bench: Workbench) -> None:
    """A watch without an open evaluation asks the ledger alone, so it does not need Aito."""
    bench.aito.fail("unavailable", on="any", times=None)
    report = bench.run(table(f"{bench.name}_web", f"{bench.dataset}.rows"), action="watch")
    assert (report.http_status, report.status) == (200, "ok")
    assert bench.aito.total() == 0


def test_a_finding_is_logged_as_an_error(bench: Workbench) -> None:
    """Accuracy below min_accuracy is logged every night, with the numbers that an alert needs."""
    asked = {"name": "kind", "predict": "kind", "min_accuracy": 0.99}
    bench.load_source("rows", COLUMNS, rows(100, bench.now))
    configured = table(f"{bench.name}_web", f"{bench.dataset}.rows", evaluate=[asked])
    for _ in range(2):
        bench.run_ok(configured)
        bench.run_ok(configured, action="watch")
        told = bench.event("evaluation_finished")
        assert told["severity"] == "ERROR"
        assert (told["table"], told["name"], told["test_samples"]) == (
            configured["name"],
            "kind",
            10,
        )
        assert told["accuracy"] == told["base_accuracy"] < 0.99
        assert "below min_accuracy 0.99" in told["finding"]
        bench.now += DAY


def test_it_answers_while_a_sync_runs(bench: Workbench) -> None:
    """In the same process, while a sync waits for Aito, `watch` and the page answer in under two
    seconds.
    """
    bench.load_source("rows", COLUMNS, rows(50, int(time.time()) - 60))
    configured = table(
        f"{bench.name}_web", f"{bench.dataset}.rows", evaluate=[{"name": "e", "predict": "kind"}]
    )
    config = bench.stack.configure(
        name=f"{bench.name}.yaml", ledger=bench.ledger, tables=[configured]
    )
    with Function(bench.stack.environ(config)) as function, ThreadPoolExecutor(1) as caller:
        assert function.post({"action": "sync"})[0] == 200
        bench.load_source("rows", COLUMNS, [{"id": "new", "ts": iso(time.time() - 1), "kind": "a"}])
        bench.aito.fail("hang", on="insert", apply="all")
        running = caller.submit(function.post, {"action": "sync"})
        while requests.get(f"{bench.aito.url}/_local/faults", timeout=5).json():
            time.sleep(0.01)
        began = time.monotonic()
        status, answer = function.post({"action": "watch"})
        watched = time.monotonic()
        assert (status, answer["status"], answer["action"]) == (200, "ok", "watch")
        shown = function.get("/")
        end = time.monotonic()
        assert shown[0] == 200
        assert not running.done()
        assert max(watched - began, end - watched) < 2
        bench.aito.release()
        assert running.result()[0] == 200
    assert bench.aito.count(configured["name"]) == 51
