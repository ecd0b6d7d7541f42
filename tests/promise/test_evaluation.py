"""Evaluations in whole runs: started and not waited for, collected later, harmless to a sync."""

from __future__ import annotations

import functools
import json
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from local.stack import Function
from tests.variations import slow
from tests.workbench import DAY, Clock, Workbench, iso, table

PAGES = {
    "id": "STRING",
    "ts": "TIMESTAMP",
    "visitor": "STRING",
    "path": "STRING",
    "source": "STRING",
}
VISITORS = {"id": "STRING", "ts": "TIMESTAMP", "device": "STRING"}


def pages(count: int, now: int, *, shuffled: bool = False, seed: int = 1) -> list[dict[str, Any]]:
    """Page views whose source follows from the path and from the visitor's device, three times of
    four.
    """
    dice = random.Random(seed)
    made = []
    for n in range(count):
        kind = dice.randrange(3)
        source = kind if dice.random() < 0.75 else dice.randrange(3)
        made.append(
            {
                "id": f"p{n:05}",
                "ts": iso(now - count * 600 + n * 600),
                "visitor": f"v{kind}",
                "path": f"/{kind}",
                "source": ("ads", "mail", "search")[source],
            }
        )
    if shuffled:
        sources = [row["source"] for row in made]
        dice.shuffle(sources)
        made = [{**row, "source": source} for row, source in zip(made, sources, strict=True)]
    return made


@pytest.fixture
def jobs(bench: Workbench) -> Iterator[Workbench]:
    """A bench whose jobs behave, before and after."""
    bench.aito.job_seconds, bench.aito.job_result_seconds = 0, 900
    yield bench
    bench.aito.job_seconds, bench.aito.job_result_seconds = 0, 900
    bench.aito.lose_jobs()
    bench.aito.fail_jobs(0)


def web(bench: Workbench, *evaluate: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The table of page views, with evaluations."""
    asked = evaluate or ({"name": "source", "predict": "source", "given": ["path"]},)
    settings: dict[str, Any] = {"evaluate": list(asked), **more}
    return table(f"{bench.name}_web", f"{bench.dataset}.pages", **settings)


def until(true: Callable[[], bool]) -> None:
    """Wait for what happens in another thread or process."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def settled(bench: Workbench) -> None:
    """Wait until every job that was started has ended."""
    headers = {"x-api-key": bench.aito.api_key}
    jobs = {row["job_id"] for row in bench.ledger_rows("evaluations") if row["job_id"]}
    for job in jobs:
        until(functools.partial(ended, f"{bench.aito.url}/api/v1/jobs/{job}", headers))


def ended(url: str, headers: dict[str, str]) -> bool:
    """Whether the job has ended, or is not known."""
    said = requests.get(url, headers=headers, timeout=5).json()
    return "finishedAt" in said or "startedAt" not in said


def latest(bench: Workbench) -> dict[str, dict[str, Any]]:
    """The furthest row of each evaluation, by its id."""
    rows = sorted(bench.ledger_rows("evaluations"), key=lambda row: row["state"] != "started")
    return {row["evaluation_id"]: row for row in rows}


def events(bench: Workbench, name: str) -> list[dict[str, Any]]:
    return [event for event in bench.events if event["event"] == name]


# -- launch and collect


def test_launched_then_collected(jobs: Workbench) -> None:
    """A sync starts the job and records it; the watch after its end writes what the stand-in's
    evaluation says. The next watch has nothing to ask, and reports freshness all the same.
    """
    jobs.load_source("pages", PAGES, pages(600, jobs.now))
    configured = web(jobs)
    report = jobs.run_ok(configured)
    (started,) = jobs.ledger_rows("evaluations")
    assert report.evaluations == [{"name": "source", "job_id": started["job_id"]}]
    assert (started["state"], started["finished_at"], started["accuracy"]) == (
        "started",
        None,
        None,
    )
    query = json.loads(started["result"])["query"]
    assert jobs.event("evaluation_started")["job_id"] == started["job_id"]

    settled(jobs)
    assert jobs.run_ok(configured, action="watch").status == "ok"
    (finished,) = (row for row in jobs.ledger_rows("evaluations") if row["state"] == "finished")
    headers = {"x-api-key": jobs.aito.api_key}
    said = requests.post(
        f"{jobs.aito.url}/api/v1/_evaluate", json=query, headers=headers, timeout=10
    ).json()
    assert {
        name: finished[name] for name in ("evaluation_id", "table", "name", "job_id", "started_at")
    } == {
        name: started[name] for name in ("evaluation_id", "table", "name", "job_id", "started_at")
    }
    assert finished["test_samples"] == said["testSamples"] == 60
    assert finished["expires_at"] > started["started_at"]
    for ours, theirs in (
        ("accuracy", "accuracy"),
        ("base_accuracy", "baseAccuracy"),
        ("error_rate", "error"),
        ("mean_rank", "meanRank"),
        ("geom_mean_p", "geomMeanP"),
        ("train_samples", "trainSamples"),
    ):
        assert finished[ours] == pytest.approx(said[theirs]), ours
    assert json.loads(finished["result"])["informationGain"] == pytest.approx(
        said["informationGain"]
    )
    assert "cases" not in finished["result"]
    told = jobs.event("evaluation_finished")
    assert (told["severity"], told["finding"], told["accuracy"]) == (
        "INFO",
        None,
        finished["accuracy"],
    )

    jobs.aito.reset_stats()
    jobs.run_ok(configured, action="watch")
    assert jobs.aito.total() == 0, "nothing is open or due, so Aito is asked nothing"
    assert jobs.event("freshness")["age_seconds"] == 600


def test_a_later_sync_collects_too(jobs: Workbench) -> None:
    """What no watch has collected, the next sync does before it starts again; then nothing is
    open. Neither a dry sync nor a dry watch touches evaluations.
    """
    jobs.load_source("pages", PAGES, pages(100, jobs.now))
    jobs.run_ok(web(jobs))
    settled(jobs)
    for action in ("sync", "watch"):
        jobs.run_ok(web(jobs), action=action, dry_run=True)
    assert [row["state"] for row in jobs.ledger_rows("evaluations")] == ["started"]
    jobs.now += DAY
    jobs.run_ok(web(jobs))
    assert sorted(row["state"] for row in jobs.ledger_rows("evaluations")) == [
        "finished",
        "started",
        "started",
    ]
    settled(jobs)
    jobs.run_ok(web(jobs), action="watch")
    jobs.run_ok(web(jobs), action="watch")
    assert [row["state"] for row in latest(jobs).values()] == ["finished", "finished"]
    assert len(jobs.ledger_rows("evaluations")) == 4


def test_a_watch_ends_in_four_minutes_when_aito_is_away(jobs: Workbench) -> None:
    """Each repetition takes 100 seconds here: a watch's time is spent after three, where a run of
    25 minutes repeats four times. It still reports how fresh the data is.
    """
    jobs.load_source("pages", PAGES, pages(100, jobs.now))
    two = [{"name": name, "predict": "source", "given": ["path"]} for name in ("first", "second")]
    jobs.run_ok(web(jobs, *two))
    settled(jobs)
    jobs.aito.fail("unavailable", on="schema", times=None)  # the second one is due
    waited: list[float] = []
    clock = Clock(now=lambda: jobs.now, monotonic=lambda: 100.0 * len(waited), sleep=waited.append)
    jobs.run(web(jobs, *two), action="watch", clock=clock)
    jobs.aito.heal()
    assert len([event for event in jobs.events if event["event"] == "request_retried"]) == 3
    assert jobs.event("freshness")["ok_age_seconds"] is not None


def test_a_relation_is_learnt_and_noise_is_not(jobs: Workbench) -> None:
    """Accuracy is well above the base where there is a relation, and not above it in the same rows
    shuffled.
    """
    gains = {}
    tables = []
    for shuffled in (False, True):
        jobs.load_source(f"pages_{shuffled}", PAGES, pages(600, jobs.now, shuffled=shuffled))
        asked = {"name": f"{shuffled}", "predict": "source", "given": ["path"]}
        source = f"{jobs.dataset}.pages_{shuffled}"
        tables.append(table(f"{jobs.name}_{shuffled}", source, evaluate=[asked]))
    jobs.run_ok(*tables)
    for _ in range(2):
        settled(jobs)
        jobs.run_ok(*tables, action="watch")
        told = jobs.event("evaluation_finished")
        gains[told["name"]] = told["accuracy"] - told["base_accuracy"]
    assert gains["False"] > 0.3
    assert gains["True"] < 0.05


def test_over_a_link(jobs: Workbench) -> None:
    """`visitor.device` predicts through the link to another table."""
    visitors = [
        {"id": f"v{n}", "ts": iso(jobs.now - DAY * 30), "device": "abc"[n]} for n in range(3)
    ]
    jobs.load_source("visitors", VISITORS, visitors)
    jobs.load_source("pages", PAGES, pages(600, jobs.now))
    parent = table(f"{jobs.name}_visitor", f"{jobs.dataset}.visitors")
    columns = {"id": {}, "source": {}, "visitor": {"link": f"{parent['name']}.id"}}
    child = web(
        jobs, {"name": "device", "predict": "source", "given": ["visitor.device"]}, columns=columns
    )
    jobs.run_ok(parent, child)
    settled(jobs)
    jobs.run_ok(parent, child, action="watch")
    told = jobs.event("evaluation_finished")
    assert told["accuracy"] > told["base_accuracy"] + 0.25


def test_newest_rows_are_tested_on_older_ones(jobs: Workbench) -> None:
    """`newest 1d` tests on the last day's rows, seen from the newest row, and trains on every
    older one.
    """
    jobs.load_source("pages", PAGES, pages(600, jobs.now - 5 * DAY))
    configured = web(
        jobs, {"name": "tomorrow", "predict": "source", "given": ["path"], "test": "newest 1d"}
    )
    jobs.run_ok(configured)
    settled(jobs)
    jobs.run_ok(configured, action="watch")
    (row,) = (row for row in jobs.ledger_rows("evaluations") if row["state"] == "finished")
    assert (row["test_samples"], row["train_samples"]) == (
        145,
        455,
    )  # a row each ten minutes, both ends included


def test_newest_rows_of_a_merge(jobs: Workbench) -> None:
    """Where rows change, a row that changed lately is one of the newest, and taught nothing as it
    was before.
    """
    jobs.load_source("pages", PAGES, pages(600, jobs.now - DAY))
    asked = {"name": "tomorrow", "predict": "source", "given": ["path"], "test": "newest 1d"}
    configured = web(jobs, asked, mode="merge")
    jobs.run_ok(configured)
    changed = [
        {**row, "ts": iso(jobs.now - 60), "source": "mail"}
        for row in pages(600, jobs.now - DAY)[:100]
    ]
    jobs.load_source("pages", PAGES, changed)
    settled(jobs)
    jobs.now += DAY  # and a night that brings nothing asks the same again
    for _ in range(2):
        jobs.run_ok(configured)
        settled(jobs)
        jobs.run_ok(configured, action="watch")
        told = [row for row in jobs.ledger_rows("evaluations") if row["state"] == "finished"]
        edge = jobs.now - DAY - 60 - DAY
        newer = [row for row in jobs.aito.rows(configured["name"]) if row["at"] >= edge]
        assert len(newer) >= 100
        last = max(told, key=lambda row: row["started_at"])
        assert (last["test_samples"], last["train_samples"]) == (len(newer), 600 - len(newer))
        jobs.now += 60


def test_a_table_that_is_swapped(jobs: Workbench) -> None:
    """A table in mode `replace` is evaluated under its own name, from its first night on."""
    jobs.load_source("pages", PAGES, pages(200, jobs.now))
    asked = {"name": "source", "predict": "source", "given": ["path"]}
    swapped = {
        "name": f"{jobs.name}_web",
        "source": f"{jobs.dataset}.pages",
        "mode": "replace",
        "evaluate": [asked],
    }
    for _ in range(2):
        assert len(jobs.run_ok(swapped).evaluations) == 1
        settled(jobs)
        jobs.run_ok(swapped, action="watch")
        assert jobs.event("evaluation_finished")["test_samples"] == 20


def test_after_load_optimize_and_purge(jobs: Workbench) -> None:
    """The job is the last request to Aito: it measures the table as the sync leaves it."""
    jobs.load_source("pages", PAGES, pages(100, jobs.now))
    configured = web(jobs, keep="8h", purge={"max_share": 1})
    jobs.run_ok(configured)
    jobs.now += 3600
    jobs.load_source("pages", PAGES, [{**pages(1, jobs.now - 60)[0], "id": "new"}])
    jobs.aito.reset_stats()
    assert jobs.run_ok(configured).purged > 0
    kinds = [entry.kind for entry in jobs.aito.log]
    assert kinds.index("insert") < kinds.index("delete") < len(kinds) - 1
    assert kinds[-1] == "job.start"


def test_whole_queries(jobs: Workbench) -> None:
    """`query` is sent as it is. `min_accuracy` holds for it too, also where it asks for nothing
    but the accuracy.
    """
    jobs.load_source("pages", PAGES, pages(100, jobs.now))
    predict = {"from": f"{jobs.name}_web", "predict": "source"}
    first = {"testSource": {"from": f"{jobs.name}_web", "limit": 7}, "evaluate": predict}
    test = {"$index": {"$mod": [10, 0]}}
    little = {"test": test, "evaluate": predict, "select": ["accuracy"]}
    selecting = {"name": "little", "query": little, "min_accuracy": 0.99}
    configured = web(jobs, {"name": "raw", "query": first}, selecting)
    jobs.run_ok(configured)
    assert json.loads(jobs.ledger_rows("evaluations")[0]["result"])["query"] == first
    told = []
    for _ in range(2):
        settled(jobs)
        jobs.run_ok(configured, action="watch")
        told.append(jobs.event("evaluation_finished"))
    assert (told[0]["name"], told[0]["test_samples"]) == ("raw", 7)
    assert (told[1]["severity"], told[1]["test_samples"]) == ("ERROR", None)
    assert "below min_accuracy" in told[1]["finding"]


def test_not_waited_for_and_not_started_twice(jobs: Workbench) -> None:
    """Jobs of 20 s cost a sync their launch calls and nothing else; one that runs is not started
    again, and said.

    A watch meanwhile writes nothing; the first one after their end writes the figures.
    """
    jobs.load_source("pages", PAGES, pages(200, jobs.now))
    jobs.aito.job_seconds = 20
    plain = table(f"{jobs.name}_web", f"{jobs.dataset}.pages")
    jobs.run_ok(plain)
    jobs.aito.reset_stats()
    began = time.monotonic()
    without = jobs.run_ok(plain)
    middle = time.monotonic()
    quiet = jobs.aito.total()
    jobs.aito.reset_stats()
    with_ = jobs.run_ok(web(jobs))
    end = time.monotonic()
    assert without.evaluations == []
    assert len(with_.evaluations) == 1
    assert jobs.aito.total("requests", "job") == 1
    assert jobs.aito.total() - quiet == 2  # the rows are counted, and the job is started
    assert (end - middle) - (middle - began) < 5
    assert jobs.run_ok(web(jobs)).evaluations == []
    skipped = jobs.event("evaluation_skipped")
    assert "still runs" in skipped["message"]
    assert events(jobs, "evaluation_started") == []
    jobs.run_ok(web(jobs), action="watch")
    assert [row["state"] for row in jobs.ledger_rows("evaluations")] == ["started"]
    jobs.aito.job_seconds = 0  # they end
    settled(jobs)
    jobs.run_ok(web(jobs), action="watch")
    assert latest(jobs)[jobs.ledger_rows("evaluations")[0]["evaluation_id"]]["test_samples"] == 20


def test_no_evaluations_no_questions(jobs: Workbench) -> None:
    """A night of tables without evaluations asks the ledger nothing about them,
    and Aito neither.
    """
    jobs.load_source("pages", PAGES, pages(50, jobs.now))
    jobs.run_ok(table(f"{jobs.name}_web", f"{jobs.dataset}.pages"))
    assert jobs.ledger_rows("evaluations") == []
    assert jobs.aito.total("requests", "job") == 0


# -- what goes wrong


def failing(bench: Workbench, state: str) -> dict[str, Any]:
    """One watch after a job has failed or was lost: the row that it wrote.

    A lost evaluation is started again by that watch, a failed one by the next sync.
    """
    bench.run_ok(web(bench), action="watch")
    event = bench.event("evaluation_failed")
    assert (event["severity"], event["state"]) == ("ERROR", state)
    (row,) = (row for row in bench.ledger_rows("evaluations") if row["state"] == state)
    assert row["finished_at"] is not None
    assert len(events(bench, "evaluation_started")) == (1 if state == "lost" else 0)
    if state == "failed":
        assert len(bench.run_ok(web(bench)).evaluations) == 1
    return row


def reason(row: dict[str, Any]) -> str:
    return str(json.loads(row["result"])["reason"])


@pytest.fixture
def launched(jobs: Workbench) -> Workbench:
    """A bench with one evaluation that has ended and is not collected."""
    jobs.load_source("pages", PAGES, pages(100, jobs.now))
    jobs.run_ok(web(jobs))
    settled(jobs)
    return jobs


def test_a_job_that_is_lost(launched: Workbench) -> None:
    """Aito no longer knows the job: `lost`, and started again."""
    launched.aito.lose_jobs()
    assert "No such job" in reason(failing(launched, "lost"))


@pytest.mark.slow  # tests/unit/test_evaluation_runs.py holds it in memory
def test_a_result_that_has_expired(launched: Workbench) -> None:
    """The job is known and its result is gone: `lost`, and started again."""
    launched.aito.job_result_seconds = -1
    assert "expired" in reason(failing(launched, "lost"))


def test_a_job_that_fails(jobs: Workbench) -> None:
    """The result is the failure's own answer: `failed` with its reason, and started again."""
    jobs.load_source("pages", PAGES, pages(100, jobs.now))
    jobs.run_ok(web(jobs, evaluate=[]))  # so that no job but the evaluation is started after it
    jobs.aito.fail_jobs()
    jobs.run_ok(web(jobs))
    settled(jobs)
    assert "internal server error" in reason(failing(jobs, "failed"))


@pytest.mark.parametrize("what", ["garbage", "refused", *slow("html", "truncated")])
def test_a_result_that_is_none(launched: Workbench, what: str) -> None:
    """HTML, garbage, half an answer or a refusal in the result's place: `failed`, never a crash."""
    launched.aito.fail(what, on="job.result")
    failing(launched, "failed")


@pytest.mark.parametrize(
    ("what", "on"),
    [
        *(("bad_gateway", "job.result"), ("garbage", "job.status")),
        *slow(("bad_gateway", "job.status"), ("unavailable", "job.result")),
        *slow(("cut", "job.result"), ("quota", "job.status")),
    ],
)
def test_an_outage_leaves_it_open(launched: Workbench, what: str, on: str) -> None:
    """When nothing can be told the row stays open, a sync does not start another, and the next
    look collects.
    """
    launched.aito.fail(what, on=on)
    assert launched.run_ok(web(launched)).evaluations == []
    assert launched.event("evaluation_failed")["severity"] == "WARNING"
    rows = launched.ledger_rows("evaluations")
    assert {row["state"] for row in rows} == {"started"}
    expiries = [row["expires_at"] for row in rows if row["expires_at"] is not None]
    assert len(expiries) == (on == "job.result")
    launched.run_ok(web(launched), action="watch")
    assert [row["state"] for row in latest(launched).values()] == ["finished"]


def test_a_job_that_never_ends(launched: Workbench) -> None:
    """After a day it counts as lost, whatever its status is."""
    launched.aito.job_seconds = 10**6
    launched.now += DAY
    launched.run_ok(web(launched), action="watch")
    assert [row["state"] for row in launched.ledger_rows("evaluations")] == ["started"]
    launched.now += 1
    assert "24 hours" in reason(failing(launched, "lost"))


def test_unreachable_for_a_day(launched: Workbench) -> None:
    """A job without an answer for a day counts as lost. The next one can start."""
    launched.now += DAY + 1
    launched.aito.fail("html", on="job.status")
    failing(launched, "lost")


def test_figures_that_are_words(jobs: Workbench) -> None:
    """Without a row to test on, every figure is "NaN": null in the ledger, and no finding."""
    jobs.load_source("pages", PAGES, pages(100, jobs.now))
    asked = {
        "name": "none",
        "predict": "source",
        "given": ["path"],
        "test": {"path": "nowhere"},
        "min_accuracy": 0.9,
    }
    jobs.run_ok(web(jobs, asked))
    settled(jobs)
    jobs.run_ok(web(jobs, asked), action="watch")
    (row,) = (row for row in jobs.ledger_rows("evaluations") if row["state"] == "finished")
    assert (row["test_samples"], row["accuracy"], row["base_accuracy"], row["geom_mean_p"]) == (
        0,
        None,
        None,
        None,
    )
    assert json.loads(row["result"])["h"] is None
    told = jobs.event("evaluation_finished")
    assert (told["severity"], told["finding"]) == ("WARNING", None)


def test_a_table_renamed(launched: Workbench) -> None:
    """A table with a new name is evaluated under that one; the job of the old name is collected
    all the same.
    """
    renamed = {**web(launched), "name": f"{launched.name}_new"}
    report = launched.run_ok(renamed)
    states = {(row["table"], row["state"]) for row in latest(launched).values()}
    assert states == {(f"{launched.name}_web", "finished"), (f"{launched.name}_new", "started")}
    assert len(report.evaluations) == 1


def test_a_table_that_evaluates_no_more(launched: Workbench) -> None:
    """What was started before its table left the configuration is collected by the next watch all
    the same.
    """
    other = table(f"{launched.name}_other", f"{launched.dataset}.pages")
    launched.run_ok(other)
    launched.run_ok(other, action="watch")
    assert [row["state"] for row in latest(launched).values()] == ["finished"]


def open_evaluations(bench: Workbench, names: list[str]) -> dict[str, Any]:
    """Several evaluations that run at once, as an earlier version started them. -> the table."""
    bench.load_source("pages", PAGES, pages(100, bench.now))
    configured = web(bench, *({"name": name, "predict": "source"} for name in names))
    bench.run_ok(configured)
    settled(bench)
    (started,) = bench.ledger_rows("evaluations")
    query = json.loads(started["result"])["query"]
    url, headers = f"{bench.aito.url}/api/v1/jobs/_evaluate", {"x-api-key": bench.aito.api_key}
    columns = ("run_id", "table", "state")
    same = {name: started[name] for name in columns}
    same["started_at"] = started["started_at"].isoformat()
    others = []
    for name in names[1:]:
        job = requests.post(url, json=query, headers=headers, timeout=10).json()["id"]
        own = {"evaluation_id": f"{started['evaluation_id']}{name}", "name": name, "job_id": job}
        others.append(same | own)
    bench.client.insert_rows_json(f"{bench.ledger}.evaluations", others)
    settled(bench)
    return configured


def test_looks_that_are_not_answered(jobs: Workbench) -> None:
    """Each request may cost a time-out. After two without an answer the look is over.

    A job whose result alone never passes the gateway stays open alone. The others are collected.
    """
    configured = open_evaluations(jobs, [f"e{n}" for n in range(4)])
    jobs.aito.fail("gateway_timeout", on="job.status", times=None)
    jobs.aito.reset_stats()
    jobs.run_ok(configured, action="watch")
    assert jobs.aito.total("requests", "job") == 2
    assert {row["state"] for row in latest(jobs).values()} == {"started"}

    jobs.aito.heal()
    jobs.aito.fail("gateway_timeout", on="job.result")
    jobs.run_ok(configured, action="watch")
    states = sorted(row["state"] for row in latest(jobs).values())
    assert states == ["finished", "finished", "finished", "started"]


@pytest.mark.slow  # tests/unit/test_evaluation_runs.py holds it in memory
def test_one_at_a_time(jobs: Workbench) -> None:
    """A sync starts one evaluation of the database. Each watch after its end starts the next."""
    jobs.load_source("pages", PAGES, pages(100, jobs.now))
    names = ["one", "two", "three"]
    first = web(jobs, *({"name": name, "predict": "source"} for name in names[:2]))
    other = {"name": "three", "predict": "source"}
    second = table(f"{jobs.name}_other", f"{jobs.dataset}.pages", evaluate=[other])
    jobs.run_ok(first, second)
    assert [event["name"] for event in events(jobs, "evaluation_started")] == ["one"]
    assert [event["name"] for event in events(jobs, "evaluation_skipped")] == ["two", "three"]
    for name in names[1:]:
        settled(jobs)
        jobs.run_ok(first, second, action="watch")
        assert jobs.event("evaluation_started")["name"] == name
        assert [row["name"] for row in latest(jobs).values() if row["state"] == "started"] == [name]
    settled(jobs)
    jobs.run_ok(first, second, action="watch")
    assert events(jobs, "evaluation_started") == []
    assert [row["state"] for row in latest(jobs).values()] == ["finished"] * 3


def test_a_wait_outlives_the_time_budget(jobs: Workbench) -> None:
    """`--wait` has a time of its own: it collects and starts what comes after the run's."""
    jobs.load_source("pages", PAGES, pages(60, jobs.now))
    names = ("one", "two")
    asked = [{"name": name, "predict": "source", "given": ["path"]} for name in names]
    configured = web(jobs, *asked)
    jobs.aito.job_seconds = 2000
    jobs.run_ok(configured)
    passed = [0.0]

    def sleep(seconds: float) -> None:
        passed[0] += seconds
        jobs.aito.advance(seconds)

    clock = Clock(lambda: jobs.now + passed[0], lambda: passed[0], sleep)
    jobs.wait(configured, clock=clock, time_budget_seconds=600)
    assert [each["state"] for each in latest(jobs).values()] == ["finished"] * 2
    assert 4000 < passed[0] < 4100
    assert [each["name"] for each in events(jobs, "evaluation_finished")] == ["one", "two"]


def test_cases_limit_an_evaluation(jobs: Workbench) -> None:
    """Of 1,000 rows, with `cases: 50`, 40 to 60 are predicted, however the test is given."""
    jobs.load_source("pages", PAGES, pages(1000, jobs.now))
    tests: list[dict[str, Any]] = [{}, {"test": "newest 5d"}, {"test": {"path": "/1"}}]
    asked = [
        {"name": f"e{n}", "predict": "source", "cases": 50, **test} for n, test in enumerate(tests)
    ]
    configured = web(jobs, *asked)
    before = (jobs.run_ok(configured, dry_run=True).estimate or {})["evaluations"]
    at_most = [(each["cases"], each["at_most"]) for each in before]
    assert at_most == [(50, bool(test)) for test in tests]
    jobs.run_ok(configured)
    planned = (jobs.run_ok(configured, dry_run=True).estimate or {})["evaluations"]
    assert [40 <= each["cases"] <= 60 for each in planned] == [True] * 3
    for each in asked:
        settled(jobs)
        jobs.run_ok(configured, action="watch")
        told = jobs.event("evaluation_finished")
        assert told["name"] == each["name"]
        assert 40 <= told["test_samples"] <= 60


@pytest.mark.parametrize("what", ["error", "quota", *slow("cut", "html", "refused")])
def test_a_launch_that_fails(jobs: Workbench, what: str) -> None:
    """The table is ok, the failure is reported, and the next sync starts the evaluation.

    Without an answer the job may have been started: it is recorded as lost.
    """
    jobs.load_source("pages", PAGES, pages(50, jobs.now))
    jobs.run_ok(web(jobs, evaluate=[]))  # so that no job but the evaluation is started after it
    jobs.aito.fail(what, on="job.start")
    assert jobs.run_ok(web(jobs)).evaluations == []
    final = what in ("refused", "quota")
    assert jobs.event("evaluation_failed")["severity"] == ("ERROR" if final else "WARNING")
    (row,) = jobs.ledger_rows("evaluations")
    assert (row["state"], row["job_id"]) == ("failed" if final else "lost", None)
    assert len(jobs.run_ok(web(jobs)).evaluations) == 1


def test_a_column_that_aito_lacks(jobs: Workbench) -> None:
    """Said by name and put on record; the other evaluations of the table start, and the table is
    ok.
    """
    jobs.load_source("pages", PAGES, pages(50, jobs.now))
    good = {"name": "good", "predict": "source"}
    bad = {"name": "bad", "predict": "colour", "given": ["path", "visitor.device", "smell"]}
    assert [e["name"] for e in jobs.run_ok(web(jobs, bad, good)).evaluations] == ["good"]
    (row,) = (row for row in jobs.ledger_rows("evaluations") if row["state"] == "failed")
    name = f"{jobs.name}_web"
    for said in (reason(row), jobs.event("evaluation_failed")["message"]):
        assert f"evaluate[0].predict: Aito's table {name} has no column 'colour'" in said
        assert f"{name}.visitor is no link, so 'visitor.device' leads nowhere" in said
        assert "has no column 'smell'" in said
    assert row["name"] == "bad"


def test_no_rows_yet(jobs: Workbench) -> None:
    """`newest` of an empty table has nothing to go by, which is said."""
    jobs.load_source("pages", PAGES, [])
    assert (
        jobs.run_ok(
            web(jobs, {"name": "tomorrow", "predict": "source", "test": "newest 1d"})
        ).evaluations
        == []
    )
    assert "no rows yet" in jobs.event("evaluation_failed")["message"]


def test_killed_between_launch_and_ledger(jobs: Workbench) -> None:
    """kill -9 after Aito has the job and before its row is written: the next sync starts one."""
    jobs.load_source("pages", PAGES, pages(50, jobs.now))
    jobs.run_ok(web(jobs, evaluate=[]))  # so that no job but the evaluation is started after it
    jobs.aito.fail("hang", on="job.start", apply="all")
    with Function(jobs.environment(web(jobs))) as function, ThreadPoolExecutor(1) as caller:
        asking = caller.submit(function.post)
        until(lambda: requests.get(f"{jobs.aito.url}/_local/faults", timeout=5).json() == [])
        function.kill()
        assert isinstance(asking.exception(), requests.RequestException)
    jobs.aito.release()
    jobs.expire_leases()
    assert jobs.ledger_rows("evaluations") == []
    assert len(jobs.run_ok(web(jobs)).evaluations) == 1
    assert jobs.aito.count(f"{jobs.name}_web") == 50
    settled(jobs)
    jobs.run_ok(web(jobs), action="watch")
    assert [row["state"] for row in latest(jobs).values()] == ["finished"]


def test_a_drop_names_the_column_that_was_redefined(jobs: Workbench) -> None:
    """The night after `path` lost its meaning, the finding says what changed with the accuracy."""
    jobs.load_source("pages", PAGES, pages(300, jobs.now))
    good: dict[str, Any] = {"id": {}, "source": {}, "path": {}}
    bad = {**good, "path": {"sql": "'/'"}}
    for columns in (good, good, bad):
        configured = web(jobs, columns=columns)
        assert jobs.run(configured).status == "ok"
        settled(jobs)
        jobs.run_ok(configured, action="watch")
        jobs.now += 60
    finding = jobs.event("evaluation_finished")["finding"]
    assert "accuracy dropped to 0." in finding
    assert "after column `path` was redefined" in finding
    rows = [row for row in jobs.ledger_rows("evaluations") if row["state"] == "finished"]
    assert {(row["engine"], row["table_rows"], row["cases"]) for row in rows} == {
        ("1.0.0-local", 300, 500)
    }
