"""Retention studies in whole runs: begun, continued, killed and resumed, concluded and shown."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from local.stack import Function
from tests.workbench import DAY, Clock, Workbench, iso, table
from tests.workbench import facts as product_facts

PAGES = {"id": "STRING", "ts": "TIMESTAMP", "path": "STRING", "source": "STRING"}
DAYS = 372
MAX_JOBS, MAX_CALLS = 14, 60
SOURCES = ("ads", "mail", "search")


def pages(days: int, now: int, *, changed: int = 0) -> list[dict[str, Any]]:
    """60 rows in each of the last days, six in one hour of each before the test rows.

    The source follows from the path. Before `changed` days ago it followed otherwise.
    """
    dice = random.Random(7)
    made = []
    test = min(7 * DAY, days * DAY // 10)
    middays = range(test + DAY // 2, days * DAY, DAY)
    earlier = [midday + seconds for midday in middays for seconds in range(6)]
    ages = [*range(0, test, DAY // 60), *earlier]
    for n, age in enumerate(ages):
        path = dice.randrange(3)
        kind = path + (1 if changed and age > changed * DAY else 0)
        source = kind if dice.random() < 0.8 else dice.randrange(3)
        row = {"id": f"p{n:05}", "ts": iso(now - 60 - age), "path": f"/{path}"}
        made.append({**row, "source": SOURCES[source % 3]})
    return made


@pytest.fixture
def jobs(bench: Workbench) -> Iterator[Workbench]:
    """A bench whose jobs behave, before and after. Jobs of other tests are not there."""
    bench.aito.job_seconds, bench.aito.job_result_seconds = 0, 900
    bench.aito.lose_jobs()
    yield bench
    bench.aito.job_seconds, bench.aito.job_result_seconds = 0, 900
    bench.aito.lose_jobs()
    bench.aito.fail_jobs(0)


def web(bench: Workbench, **more: Any) -> dict[str, Any]:
    """A table with two evaluations."""
    asked = [
        {"name": "source", "predict": "source", "given": ["path"], "cases": 500},
        {"name": "path", "predict": "path", "given": ["source"], "cases": 20},
    ]
    return table(f"{bench.name}_web", f"{bench.dataset}.pages", evaluate=asked, **more)


def loaded(bench: Workbench, days: int = DAYS, changed: int = 0, **more: Any) -> dict[str, Any]:
    """The table, synced, and its evaluations of the night collected. Aito's log is empty then."""
    bench.load_source("pages", PAGES, pages(days, bench.now, changed=changed))
    configured = web(bench, **more)
    bench.run_ok(configured)
    clock = waiting(bench)
    bench.wait(configured, clock=clock)
    bench.aito.reset_stats()
    return configured


def waiting(bench: Workbench) -> Clock:
    """A clock that a sleep moves, with Aito's. Each job takes as long as it is set to."""
    passed = [0.0]

    def sleep(seconds: float) -> None:
        passed[0] += seconds
        bench.aito.advance(seconds)

    return Clock(lambda: bench.now + passed[0], lambda: passed[0], sleep)


def retention(bench: Workbench, configured: dict[str, Any]) -> dict[str, Any]:
    """What the page, `status` and the command show of the table's study."""
    (found,) = json.loads(json.dumps(product_facts(bench.services(configured))))["tables"]
    return dict(found["retention"])


def begun(bench: Workbench, configured: dict[str, Any], **request: Any) -> dict[str, Any]:
    """Call the action. -> the study in the answer."""
    report = bench.run(configured, action="retention", **request)
    assert report.http_status == 200, report.tables[0].error
    assert report.tables[0].study
    return report.tables[0].study


def until(true: Callable[[], bool]) -> None:
    """Wait for what happens in another process."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def jobs_of(bench: Workbench) -> Counter[tuple[str, int]]:
    """How many jobs Aito was given for each evaluation and history."""
    rows = bench.ledger_rows("evaluations")
    found = {(r["job_id"], r["name"], r["history_seconds"]) for r in rows if r["history_seconds"]}
    return Counter((name, history) for job, name, history in found if job)


def test_a_whole_study(jobs: Workbench) -> None:
    """7 histories and 2 evaluations: 14 jobs, at most 60 calls, one at a time, one test for all."""
    configured = loaded(jobs)
    jobs.aito.job_seconds = 100
    study = begun(jobs, configured)
    assert study["histories"] == ["7d", "14d", "30d", "60d", "90d", "180d", "365d"]
    assert (study["jobs"], study["expected_aito_calls"]) == (MAX_JOBS, 49)
    jobs.wait_for_study(configured, name=configured["name"], clock=waiting(jobs))
    calls = [entry.kind for entry in jobs.aito.log]
    assert calls.count("job.start") == MAX_JOBS
    assert len(calls) <= MAX_CALLS
    assert set(jobs_of(jobs).values()) == {1}
    found = retention(jobs, configured)["latest"]
    assert (found["jobs"], found["aito_calls"]) == (MAX_JOBS, len(calls) + 1)  # and /version
    source, path = found["evaluations"]
    assert source["history"] <= 30 * DAY
    assert source["kind"] == "enough"
    assert {point["cases"] for point in source["points"]} == {420}
    assert len({point["cases"] for point in path["points"]}) == 1
    assert [point["train_rows"] for point in source["points"]] == [
        days * 6 for days in (7, 14, 30, 60, 90, 180, 365)
    ]


def test_old_rows_mislead(jobs: Workbench) -> None:
    """A relation that changed 45 days ago: a short `keep`, the line to change, and what it does."""
    days = 100
    configured = loaded(jobs, days=days, changed=45)
    begun(jobs, configured, evaluations=("source",))
    jobs.wait_for_study(configured, name=configured["name"], clock=waiting(jobs))
    found = retention(jobs, configured)["latest"]
    assert found["history"] <= 60 * DAY
    assert "old rows mislead" in found["reason"]
    change = found["change"]
    assert change["yaml"] == f"keep: {found['history'] // DAY}d    # was: everything is kept"
    rows = len(pages(days, jobs.now))
    assert change["rows"] == rows - 420 - (found["history"] // DAY - 7) * 6
    assert change["allow"] == "purge"


@pytest.mark.slow  # tests/unit/test_retention_runs.py holds both in memory
def test_continued_by_watches(jobs: Workbench) -> None:
    """Each watch collects a job and starts the next. An expired result is asked again once."""
    configured = loaded(jobs, days=35)
    assert begun(jobs, configured, evaluations=("source",))["histories"] == ["7d", "14d", "30d"]
    jobs.aito.advance(1000)  # the first result is gone
    for _ in range(4):
        jobs.now += 600
        jobs.run(configured, action="watch")
    assert jobs_of(jobs) == {
        ("source", 7 * DAY): 2,
        ("source", 14 * DAY): 1,
        ("source", 30 * DAY): 1,
    }
    messages = [each["message"] for each in jobs.events if each["event"] == "evaluation_finished"]
    assert messages[-1].endswith("keep: 7d")
    assert retention(jobs, configured)["running"] is None
    starts = jobs.aito.total("requests", "job.start")
    jobs.run(configured, action="watch")
    assert jobs.aito.total("requests", "job.start") == starts


def test_a_second_call_goes_on(jobs: Workbench) -> None:
    """While a study runs, another call begins none, and starts no job beside the running one."""
    configured = loaded(jobs, days=35)
    jobs.aito.job_seconds = 300
    first = begun(jobs, configured)
    second = begun(jobs, configured)
    assert first["study_id"] == second["study_id"]
    assert jobs.aito.total("requests", "job.start") == 1
    assert retention(jobs, configured)["running"]["jobs_ended"] == 0


@pytest.mark.slow  # tests/unit/test_retention_runs.py holds it in memory
def test_a_night_comes_first(jobs: Workbench) -> None:
    """A sync waits for no study. Its evaluations are started before the study's next job."""
    configured = loaded(jobs, days=35)
    jobs.aito.job_seconds = 300
    begun(jobs, configured)
    jobs.now += DAY
    jobs.load_source("pages", PAGES, [{**pages(1, jobs.now)[0], "id": "new"}])
    report = jobs.run_ok(configured)
    assert (report.uploaded, report.verified) == (1, True)
    jobs.aito.job_seconds = 0
    for _ in range(4):
        jobs.now += 600
        jobs.run(configured, action="watch")
    started = [
        (row["started_at"], row["study_id"] is None)
        for row in jobs.ledger_rows("evaluations")
        if row["state"] == "started" and row["job_id"]
    ]
    assert [is_night for _, is_night in sorted(started)][-4:] == [True, True, False, False]
    assert jobs.aito.total("requests", "job.start") == 5


def test_another_definition_ends_it(jobs: Workbench) -> None:
    """A study under a definition that was changed is given up, and one that ended says so."""
    configured = loaded(jobs, days=35)
    wanted: dict[str, Any] = {"evaluations": ("source",), "histories": (7 * DAY, 14 * DAY)}
    begun(jobs, configured, **wanted)
    columns = {"id": {}, "source": {}, "path": {"sql": "LOWER(path)"}}
    changed = web(jobs, columns=columns)
    jobs.now += 600
    jobs.run(changed, action="watch")
    assert "was redefined while the study ran" in retention(jobs, changed)["given_up"]
    begun(jobs, configured, **wanted)
    jobs.wait_for_study(configured, name=configured["name"], clock=waiting(jobs))
    assert retention(jobs, configured)["latest"]["outdated"] == []
    assert "another definition" in retention(jobs, changed)["latest"]["outdated"][0]
    jobs.now += 91 * DAY
    assert "days old" in retention(jobs, configured)["latest"]["outdated"][0]


def test_nothing_is_recorded(jobs: Workbench) -> None:
    """What cannot be tried is said. A dry run plans and estimates. Neither writes anything."""
    configured = loaded(jobs, days=35)
    before = len(jobs.ledger_rows("evaluations"))
    cannot: list[tuple[dict[str, Any], str]] = [
        ({"histories": (400 * DAY, 7 * DAY)}, "a history of 400d cannot be measured"),
        ({"evaluations": ("nobody",)}, "no evaluation nobody; the table has source, path"),
    ]
    for more, says in cannot:
        report = jobs.run(configured, action="retention", **more)
        assert says in str(report.tables[0].error)
        assert len(jobs.ledger_rows("evaluations")) == before
    jobs.aito.reset_stats()
    assert begun(jobs, configured, dry_run=True)["jobs"] == 6
    assert len(jobs.ledger_rows("evaluations")) == before
    assert jobs.aito.total("requests", "job") == 0


def test_killed_between_a_start_and_its_record(jobs: Workbench) -> None:
    """kill -9 after Aito has the job and before its id is written: it is found, not doubled."""
    jobs.now = int(time.time())  # as in the other process
    configured = loaded(jobs, days=35)
    jobs.aito.fail("hang", on="job.start", apply="all")
    with Function(jobs.environment(configured)) as function, ThreadPoolExecutor(1) as caller:
        body = {"action": "retention", "tables": [configured["name"]]}
        asking = caller.submit(function.post, body)
        until(lambda: requests.get(f"{jobs.aito.url}/_local/faults", timeout=5).json() == [])
        function.kill()
        assert isinstance(asking.exception(), requests.RequestException)
    jobs.aito.release()
    jobs.now = int(time.time()) + 600
    for _ in range(8):
        jobs.run(configured, action="watch")
        jobs.now += 600
    assert set(jobs_of(jobs).values()) == {1}
    assert jobs.aito.total("requests", "job.start") == 6
    assert retention(jobs, configured)["latest"]["jobs"] == 6
