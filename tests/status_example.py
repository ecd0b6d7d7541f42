"""Facts with everything in them, for tests of the status page."""

from __future__ import annotations

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
        "tables": [
            one,
            {
                **plain,
                "last_run": {**one["last_run"], "status": "ok", "error": None, "action": "sync"},
            },
        ],
    }
