"""The facts of the status page, made from the ledger's records."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from sync.config import CursorSettings, EvaluationSettings, Settings, TableSettings
from sync.model.records import StatusRecords
from sync.status.facts import describe

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EVALUATION = EvaluationSettings(name="source", predict="source", given=("path",))
NOTHING = StatusRecords([], [], [], [], [], [])


def settings(**more: Any) -> Settings:
    cursor = CursorSettings(source="ts", column="at")
    web = TableSettings(
        name="web", source="d.t", key="id", cursor=cursor, evaluate=(EVALUATION,), **more
    )
    return Settings.model_validate(
        {"aito": {"url": "https://x.aito.app"}, "ledger": "l", "tables": (web,)}
    )


def run(hours_ago: float, **more: Any) -> dict[str, Any]:
    """A run that started so many hours ago."""
    started = NOON - hours_ago * HOUR
    return {
        "table": "web",
        "run_id": f"r{hours_ago}",
        "action": "sync",
        "status": "ok",
        "started_at": started,
        "finished_at": started + timedelta(minutes=1),
        "warnings": None,
        "error": None,
        "ok_at": NOON - HOUR,
        "newest": int((NOON - 2 * HOUR).timestamp()),
        **more,
    }


def evaluation(state: str, hours_ago: float, **more: Any) -> dict[str, Any]:
    """The last evaluation in a state, started so many hours ago."""
    return {
        "table": "web",
        "name": "source",
        "job_id": "j",
        "state": state,
        "started_at": NOON - hours_ago * HOUR,
        "accuracy": None,
        "base_accuracy": None,
        "test_samples": None,
        "reason": None,
        **more,
    }


def facts(**records: Any) -> dict[str, Any]:
    """The facts of the one table."""
    found = describe(settings(), StatusRecords(**{**vars(NOTHING), **records}), NOON.timestamp())
    json.dumps(found)
    (table,) = found["tables"]
    return dict(table)


def test_nothing_on_record() -> None:
    """A table that never ran is no concern."""
    table = facts()
    assert table["state"] == "never"
    assert (table["last_run"], table["runs"], table["next_run"]) == (None, [], None)
    assert not table["freshness"]["stale"]


def test_a_disabled_table_is_left_out() -> None:
    """It raises no alarm."""
    assert describe(settings(enabled=False), NOTHING, NOON.timestamp())["tables"] == []


def test_the_last_run_and_freshness() -> None:
    """The newest run counts. Ages are in seconds."""
    table = facts(last_runs=[run(1, status="partial"), run(25)])
    assert table["state"] == "partial"
    assert table["last_run"]["started_at"] == "2026-03-01T11:00:00+00:00"
    assert [each["run_id"] for each in table["runs"]] == ["r1", "r25"]
    freshness = table["freshness"]
    assert (freshness["age_seconds"], freshness["ok_age_seconds"]) == (7200, 3600)
    assert not freshness["stale"]


def test_a_lease_means_running() -> None:
    """The run that holds it is named."""
    table = facts(last_runs=[run(1)], leases=[{"table": "web", "run_id": "r9"}])
    assert (table["state"], table["running"]) == ("running", "r9")


def test_warnings_of_the_last_run() -> None:
    """Those of earlier runs are not shown."""
    warnings = json.dumps([{"code": "no_rows", "message": "nothing was ever loaded"}])
    assert facts(last_runs=[run(1, warnings=warnings), run(25)])["warnings"] == [
        {"code": "no_rows", "message": "nothing was ever loaded"}
    ]
    assert facts(last_runs=[run(1), run(25, warnings=warnings)])["warnings"] == []


def test_the_next_run() -> None:
    """The median pause between good syncs, after the last sync, whether that was good or not."""
    nights = [run(1, status="failed"), run(2, action="reconcile"), run(25), run(49), run(74)]
    assert facts(last_runs=nights)["next_run"] == {
        "at": "2026-03-02T11:30:00+00:00",
        "in_seconds": int(23.5 * 3600),
    }
    assert facts(last_runs=[run(1), run(25)])["next_run"] is None


def test_an_evaluation_that_runs() -> None:
    """Its start is shown for two days. Later nobody watches it."""
    (found,) = facts(last_evaluations=[evaluation("started", 47)])["evaluations"]
    assert found["running"]["job_id"] == "j"
    (found,) = facts(last_evaluations=[evaluation("started", 49)])["evaluations"]
    assert found["running"] is None


def test_a_failure_before_a_result_is_not_shown() -> None:
    """The later of a failure and a result counts; of two failures the later one."""
    lost = evaluation("lost", 5, reason="gone")
    failed = evaluation("failed", 9, reason="refused")
    (found,) = facts(last_evaluations=[failed, lost])["evaluations"]
    assert found["failure"]["reason"] == "gone"
    done = evaluation("finished", 1, accuracy=0.8, base_accuracy=0.4, test_samples=50)
    (found,) = facts(last_evaluations=[failed, lost, done])["evaluations"]
    assert found["failure"] is None
    assert found["latest"]["accuracy"] == 0.8


def test_rejects_without_values() -> None:
    """Reasons that differ only by a value are one. Names of the configuration may be shown."""
    rejects = []
    for age, name in ((5, "Anna"), (3, "Bert")):
        reason, last_at = f"field path: expected Int, got {name}", NOON - age * HOUR
        rejects.append({"table": "web", "reason": reason, "n_rows": 2, "last_at": last_at})
    assert facts(rejects=rejects)["rejects"] == [
        {
            "reason": "field path: expected Int, got …",
            "rows": 4,
            "last_at": "2026-03-01T09:00:00+00:00",
        }
    ]
