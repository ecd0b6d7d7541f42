"""Real page views through the real function: every row once, every field equal, nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local import sample
from local.sample import Sample
from local.stack import Function, Stack
from tests import sessions

REAL = Path(__file__).parents[2].parent / "shared" / "data"
CANARY = "canary-key-5f1d7c"
ROTATED = "rotated-key-8a2e90"


@pytest.fixture
def views() -> tuple[Sample, Sample]:
    """Page views of two days: real ones where they are at hand, else the sample."""
    now = datetime.now(UTC)
    if REAL.exists():
        return sample.read(REAL, now).split(now - timedelta(hours=6))
    first = sample.day_one(now)
    return first, sample.day_two(now, first, keep=sessions.KEEP)


@pytest.fixture
def function(stack: Stack) -> Iterator[Function]:
    """The function over two linked tables, with a key that must show up nowhere."""
    client = stack.bigquery.client()
    client.delete_dataset(sample.DATASET, delete_contents=True, not_found_ok=True)
    client.delete_dataset("real_ledger", delete_contents=True, not_found_ok=True)
    for table in (sessions.WEB, sessions.USER):
        if table in stack.aito.schema():
            stack.aito.drop_table(table)
    stack.aito.api_key, before = CANARY, stack.aito.api_key
    stack.secrets.add(f"projects/{stack.project}/secrets/canary", CANARY)
    fast = {"api_key_secret": "canary", "requests_per_second": 1000}
    config = stack.configure(
        name="real.yaml", tables=sessions.TABLES, aito=fast, ledger="real_ledger"
    )
    with Function(stack.environ(config)) as running:
        yield running
    stack.aito.api_key = before


def counts(answer: dict[str, Any], name: str) -> dict[str, int]:
    """One number of each table of an answer."""
    return {table["table"]: table[name] for table in answer["tables"]}


def changed(
    before: dict[str, sample.Row], after: dict[str, sample.Row], made: Any, since: int = 0
) -> int:
    """Of how many keys the newest row makes another document than before; rows older than `since`
    left out.
    """
    return sum(
        made(row) != (made(before[key]) if key in before else None)
        for key, row in after.items()
        if sessions.seconds(row.get("timestamp") or row["received_at"]) >= since
    )


def ledger(stack: Stack, query: str) -> list[dict[str, Any]]:
    """Rows of a query over the ledger."""
    return [dict(row) for row in stack.bigquery.client().query(query).result()]


def test_three_nights(stack: Stack, function: Function, views: tuple[Sample, Sample]) -> None:
    """A first load brings every row, a second run nothing, a third exactly what came since;
    documents are equal.
    """
    first, second = views
    client = stack.bigquery.client()
    sample.load(client, first)
    stack.aito.reset_stats()

    status, answer = function.post()
    assert (status, answer["status"]) == (200, "ok")
    assert all(table["verified"] for table in answer["tables"])
    assert sessions.compare(stack, first, answer)
    made = [
        entry.table
        for entry in stack.aito.log
        if entry.kind == "schema.write" and entry.status == 200
    ]
    assert made[-2:] == [sessions.USER, sessions.WEB], "parents are made first"

    status, answer = function.post({"action": "sync"})
    assert status == 200
    assert counts(answer, "uploaded") == {sessions.USER: 0, sessions.WEB: 0}
    assert sessions.compare(stack, first, answer)

    sample.load(client, second)
    status, answer = function.post({"action": "sync", "tables": [sessions.WEB, sessions.USER]})
    assert status == 200
    oldest = answer["tables"][-1]["window"]["end"] - int(sessions.KEEP.total_seconds())
    views_before, views_now = (
        sample.newest(each.pages, "timestamp") for each in (first, first + second)
    )
    users_before, users_now = (
        sample.newest(each.users, "received_at") for each in (first, first + second)
    )
    assert counts(answer, "uploaded") == {
        sessions.WEB: changed(views_before, views_now, sessions.view, oldest),
        sessions.USER: changed(users_before, users_now, sessions.visitor),
    }
    assert sessions.compare(stack, first + second, answer)

    runs = ledger(stack, "SELECT `table`, status, uploaded, watermark_after FROM real_ledger.runs")
    assert len(runs) == 6
    assert {run["status"] for run in runs} == {"ok"}
    assert (
        ledger(stack, "SELECT * FROM real_ledger.leases WHERE expires_at > CURRENT_TIMESTAMP()")
        == []
    )


def test_the_key(stack: Stack, function: Function, views: tuple[Sample, Sample]) -> None:
    """A key that was changed is loaded again once, and the run goes on.

    The key is in no log line, answer or ledger row; values of rows are in no log line.
    """
    sample.load(stack.bigquery.client(), views[0])
    answers = [function.post()]
    accesses = stack.secrets.accesses
    stack.aito.api_key = ROTATED
    stack.secrets.add(f"projects/{stack.project}/secrets/canary", ROTATED)
    answers += [
        function.post({"action": "reconcile", "deep": True}),
        function.post({"acton": "sync"}),
    ]
    assert stack.secrets.accesses == accesses + 1, "and the key is read once an instance otherwise"
    stack.aito.api_key = "another"
    answers.append(function.post())
    assert [status for status, _ in answers] == [200, 200, 400, 500]
    told = "".join(function.lines) + "".join(function.errors)
    rows = ledger(stack, "SELECT TO_JSON_STRING(r) AS row FROM real_ledger.runs AS r")
    everything = told + str(answers) + str(rows)
    assert CANARY not in everything
    assert ROTATED not in everything
    views_values = {
        str(row[name]) for row in views[0].pages[:200] for name in ("id", "url", "anonymous_id")
    }
    assert not [value for value in views_values if value in told]
    assert "Traceback" not in told + str(answers)
