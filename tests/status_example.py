"""Facts with everything in them, for tests of the status page."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

from tests.workbench import DAY, NOW

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}"


def study(name: str) -> dict[str, Any]:
    """A study that runs, and one that has ended."""
    accuracies = (0.62, 0.7, 0.74, 0.75, 0.71, 0.6, 0.55)
    days = (7, 14, 30, 60, 90, 180, 365)
    points = [
        {
            "history": each * DAY,
            "accuracy": accuracy,
            "low": accuracy - 0.04,
            "high": accuracy + 0.04,
            "base_accuracy": 0.42,
            "cases": 500,
            "train_rows": each * 900,
            "mean_ms": 1.5,
            "standing": "enough" if each in (30, 60) else "worse",
        }
        for each, accuracy in zip(days, accuracies, strict=True)
    ]
    why = "accuracy 74.0 % is less than 2 points below every other history, by more than chance"
    return {
        "running": {
            "study_id": "s",
            "started_at": "2026-03-01T02:03:00+00:00",
            "jobs_ended": 3,
            "jobs": 14,
        },
        "given_up": name,
        "latest": {
            "study_id": "s",
            "finished_at": "2025-11-01T02:03:00+00:00",
            "age_seconds": 120 * DAY,
            "outdated": ["it is 120 days old; measure again", name],
            "keep": 90 * DAY,
            "history": 30 * DAY,
            "reason": f"{name}: {why}; the curve falls at its end: old rows mislead",
            "margin": 0.02,
            "jobs": 14,
            "aito_calls": 48,
            "seconds": 1500,
            "change": {
                "yaml": "keep: 30d    # was: 90d",
                "what": "purged",
                "rows": 54_000,
                "share": 0.66,
                "bytes": 0,
                "aito_calls": 6,
                "minutes": 1,
                "allow": "purge",
            },
            "evaluations": [
                {
                    "name": name,
                    "history": 30 * DAY,
                    "kind": "enough",
                    "trend": "falls",
                    "needed_cases": None,
                    "why": why,
                    "points": points,
                    "missing": [],
                },
                {
                    "name": "new",
                    "history": None,
                    "kind": "none",
                    "trend": "level",
                    "needed_cases": None,
                    "why": name,
                    "points": [],
                    "missing": [{"history": 7 * DAY, "state": "lost"}],
                },
            ],
        },
    }


def example(name: str = "aito_segment_web", **more: Any) -> dict[str, Any]:
    """Facts with everything in them."""
    spans = [
        {
            "start": NOW // DAY * DAY - (30 - n) * DAY,
            "seconds": DAY,
            "runs": 1,
            "not_ok": int(n == 9),
            "uploaded": 8_000 + 2_000 * (n % 7),
            "rejected": 14 * (n == 20),
            "purged": 7,
        }
        for n in range(30)
    ]
    points = [
        {**span, "accuracy": 0.78 - 0.02 * (n % 3), "base_accuracy": 0.42, "test_samples": 900}
        for n, span in enumerate(spans)
    ]
    one = {
        "table": name,
        "log": None,
        "state": "failed",
        "running": None,
        "rows": spans,
        "last_run": {
            "run_id": name,
            "action": "sync",
            "status": "failed",
            "started_at": "2026-03-01T02:00:00+00:00",
            "finished_at": None,
            "fetched": 10,
            "uploaded": 9,
            "skipped": 1,
            "rejected": 0,
            "repaired": 0,
            "purged": 0,
            "deleted": 2,
            "seconds": 83.2,
            "bytes_processed": 12_345_678,
            "version": "0.1.0",
            "error": name,
        },
        "warnings": [{"code": "rows_deleted", "message": name}],
        "next_run": {"at": "2026-03-02T02:00:00+00:00", "in_seconds": 50_400},
        "freshness": {
            "newest_row_at": "2026-03-01T01:59:00+00:00",
            "age_seconds": 36_060,
            "ok_at": "2026-02-28T02:03:00+00:00",
            "ok_age_seconds": 122_220,
            "stale": False,
        },
        "evaluations": [
            {
                "name": name,
                "predict": name,
                "min_accuracy": 0.9,
                "running": {"started_at": "2026-03-01T02:03:00+00:00", "job_id": "j"},
                "latest": {
                    "started_at": "2026-02-28T02:03:00+00:00",
                    "accuracy": 0.78,
                    "base_accuracy": 0.42,
                    "test_samples": 900,
                },
                "failure": {
                    "state": "lost",
                    "started_at": "2026-03-01T02:03:00+00:00",
                    "reason": name,
                },
                "accuracy": points,
            },
            {
                "name": "new",
                "predict": None,
                "min_accuracy": None,
                "running": None,
                "latest": None,
                "failure": None,
                "accuracy": [],
            },
        ],
        "retention": study(name),
        "rejects": [{"reason": name, "rows": 3, "last_at": "2026-03-01T02:00:00+00:00"}],
        **more,
    }
    one["runs"] = [one["last_run"]] * 20
    plain: dict[str, Any] = {
        **one,
        "table": "aito_segment_user",
        "state": "ok",
        "warnings": [],
        "evaluations": [],
        "retention": None,
        "rejects": [],
    }
    return {
        "generated_at": "2026-03-01T12:00:00+00:00",
        "links": {},
        "tables": [
            one,
            {
                **plain,
                "last_run": {**one["last_run"], "status": "ok", "error": None, "action": "sync"},
            },
        ],
    }


def two_months() -> dict[str, Any]:
    """Two months of two tables, as a deployment has them: for docs/status-page.png."""
    web = example()["tables"][0]
    dice = random.Random(1)
    visits = _nights(dice, 9_500, rejected=(14, 22, 23, 39, 45))
    visitors = _nights(dice, 480, rejected=())
    campaign = {
        **web["evaluations"][0],
        "name": "campaign-source",
        "predict": "context_campaign_source",
        "min_accuracy": 0.6,
        "failure": None,
        "accuracy": [_accuracy(dice, night) for night in visits],
    }
    reason = "campaign_id: an integer that does not fit Int; declare `type: Long`"
    plain: dict[str, Any] = {
        "state": "ok",
        "freshness": {
            **web["freshness"],
            "ok_at": "2026-03-01T02:01:23+00:00",
            "ok_age_seconds": 35_917,
        },
        "evaluations": [],
        "retention": None,
        "warnings": [],
        "rejects": [],
    }
    tables = [
        {
            **web,
            **plain,
            **_last_runs(visits),
            "evaluations": [campaign],
            "warnings": [{"code": "rejects", "message": f"12 rows were rejected: {reason}"}],
            "rejects": [{"reason": reason, "rows": 12, "last_at": "2026-03-01T02:00:00+00:00"}],
        },
        {**web, **plain, **_last_runs(visitors), "table": "aito_segment_user"},
    ]
    return {**example(), "tables": tables}


def _nights(dice: random.Random, size: int, rejected: tuple[int, ...]) -> list[dict[str, Any]]:
    first = NOW // DAY * DAY - 59 * DAY
    rhythm = (1, 1.05, 1, 0.95, 1.05, 0.55, 0.5)  # fewer visits on two days of the week
    return [
        {
            "start": first + n * DAY,
            "seconds": DAY,
            "runs": 1,
            "not_ok": int(n in (11, 47)),
            "uploaded": 0 if n in (11, 47) else int(size * rhythm[n % 7] * dice.uniform(0.9, 1.15)),
            "rejected": size // 30 if n in rejected else 0,
            "purged": int(size * 0.9),
        }
        for n in range(60)
    ]


def _accuracy(dice: random.Random, night: dict[str, Any]) -> dict[str, Any]:
    accuracy, base = dice.gauss(0.78, 0.01), dice.gauss(0.42, 0.01)
    return {**night, "accuracy": accuracy, "base_accuracy": base, "test_samples": 900}


def _last_runs(nights: list[dict[str, Any]]) -> dict[str, Any]:
    """The bars, the last 20 runs and the last one of a table."""
    runs = [
        {
            **example()["tables"][1]["last_run"],
            "status": "failed" if night["not_ok"] else "ok",
            "started_at": datetime.fromtimestamp(night["start"] + 7_200, UTC).isoformat(),
            "fetched": night["uploaded"] + night["rejected"] + 159,
            "uploaded": night["uploaded"],
            "skipped": 159,
            "deleted": 0,
            "rejected": night["rejected"],
            "purged": night["purged"],
            "bytes_processed": night["uploaded"] * 1_300,
        }
        for night in reversed(nights[-20:])
    ]
    return {"rows": nights, "runs": runs, "last_run": runs[0]}
