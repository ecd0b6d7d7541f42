"""What each BigQuery job of a run carries: whose it is, what it may cost, and where it runs."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from local.stack import Stack
from tests.workbench import DAY, Workbench, label, row

CEILING = 123_456_789


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Every query job that is asked for, as it goes over the wire."""
    found: list[dict[str, Any]] = []
    send = requests.Session.send

    def listening(
        session: requests.Session, request: requests.PreparedRequest, **more: Any
    ) -> requests.Response:
        if request.method == "POST" and (request.url or "").partition("?")[0].endswith("/jobs"):
            found.append(json.loads(request.body or b"{}"))
        return send(session, request, **more)

    monkeypatch.setattr(requests.Session, "send", listening)
    return found


@pytest.mark.parametrize(
    "asked", [{}, {"action": "reconcile", "deep": True}, {"action": "watch"}, {"dry_run": True}]
)
def test_labels_ceiling_and_location(
    stack: Stack, jobs: list[dict[str, Any]], asked: dict[str, Any]
) -> None:
    """Every job names run, action and table, so that its cost can be found; none may read more
    than is allowed.
    """
    name = f"jobs_{asked.get('action', 'sync')}_{len(asked)}"
    bench = Workbench(
        stack, name, settings={"bigquery": {"location": "US", "max_bytes_billed": CEILING}}
    )
    bench.put([row(f"k{i}", bench.now - 9 - i * DAY) for i in range(5)])
    if asked:
        bench.run_ok()
    jobs.clear()
    report = bench.run(**asked)
    assert report.status == "ok"
    seen = [job for job in jobs if "query" in job["configuration"]]
    assert seen
    for job in seen:
        configuration = job["configuration"]
        labels = configuration["labels"]
        assert (labels["sync_run"], labels["sync_action"]) == (
            label(report.run_id),
            asked.get("action", "sync"),
        )
        assert labels["sync_table"] in (
            name,
            label(f"ledger {bench.client.project}.{bench.ledger}"),
        )
        assert job["jobReference"]["location"] == "US"
        if not configuration.get("dryRun"):
            assert configuration["query"]["maximumBytesBilled"] == str(CEILING)
