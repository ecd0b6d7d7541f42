"""After a run that did not finish, what it left behind is found, however far back it lies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from google.cloud.bigquery import SchemaField

from local import bigquery
from local.stack import Stack
from sync.app import Services, run
from sync.bigquery import BigQuerySession
from sync.ledger import LeaseTable, LedgerTables
from sync.ledger.leases import Taken
from sync.model.report import RunReport
from sync.model.request import Request

SCHEMA = [SchemaField("id", "STRING"), SchemaField("happened", "TIMESTAMP")]
NAME = "unfinished"


@pytest.fixture
def services(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Services:
    """A sparse source: 40 rows over 20 days, read in batches of ten with a lookback of an hour."""
    now = datetime.now(UTC)
    rows = [
        {"id": f"k{i:02}", "happened": (now - timedelta(hours=12 * (40 - i))).isoformat()}
        for i in range(40)
    ]
    bigquery.load(stack.bigquery.client(), "unfinished.rows", SCHEMA, rows, truncate=True)
    if NAME in stack.aito.schema():
        stack.aito.drop_table(NAME)
    table = {
        "name": NAME,
        "source": "unfinished.rows",
        "key": "id",
        "cursor": {"source": "happened", "column": "unix"},
    }
    config = stack.configure(
        name="unfinished.yaml", tables=[table], ledger="unfinished_ledger", batch={"rows": 10}
    )
    for name, value in stack.environ(config).items():
        monkeypatch.setenv(name, value)
    stack.bigquery.client().delete_dataset(
        "unfinished_ledger", delete_contents=True, not_found_ok=True
    )
    return Services.from_environment()


def sync(services: Services) -> RunReport:
    """One run, its log thrown away."""
    return run(services, Request(), sink=lambda _: None)


def expire(stack: Stack) -> None:
    """Time passes until the lease of a killed run has run out."""
    bigquery.sql(
        stack.bigquery.client(),
        "UPDATE unfinished_ledger.leases SET expires_at = '2001-01-01' WHERE TRUE",
    )


@pytest.mark.parametrize("damage", ["doubled", "missing"])
def test_damage_far_behind_the_watermark(stack: Stack, services: Services, damage: str) -> None:
    """A killed run left a doubled row, or a hole, ten days before the watermark: the next run
    mends it.
    """
    assert sync(services).http_status == 200
    where = {"id": "k20"}
    session = BigQuerySession(services.bigquery, services.settings.bigquery, "killed", "sync")
    killed = LeaseTable(LedgerTables(session, services.settings.ledger))
    bigquery.sql(
        stack.bigquery.client(), "DELETE FROM unfinished_ledger.runs WHERE TRUE"
    )  # it was the first load
    assert killed.take([NAME], "killed", 60) == Taken(frozenset([NAME]))
    if damage == "doubled":
        stack.aito.double_rows(NAME, where)
    else:
        stack.aito.delete_rows(NAME, where)
    assert sync(services).http_status == 409, "the killed run's lease still holds"
    expire(stack)
    report = sync(services)
    assert report.http_status == 200
    assert report.tables[0].repaired == 1
    assert sorted(row["id"] for row in stack.aito.rows(NAME)) == [f"k{i:02}" for i in range(40)]


def test_a_run_that_finished_is_believed(stack: Stack, services: Services) -> None:
    """After an ok run the lease is given back, and the next run asks the ledger nothing."""
    assert sync(services).http_status == 200
    assert sync(services).http_status == 200
    found = bigquery.sql(
        stack.bigquery.client(),
        "SELECT state FROM unfinished_ledger.leases",
    )
    assert [row["state"] for row in found] == ["done"]


def test_a_failed_run_is_seen_by_the_next(stack: Stack, services: Services) -> None:
    """A run that failed leaves its lease as run out, so that the next one looks at what it did."""
    stack.aito.fail("unavailable", on="insert", times=None, skip=2)
    assert sync(services).http_status == 503
    stack.aito.heal()
    found = bigquery.sql(
        stack.bigquery.client(),
        "SELECT state FROM unfinished_ledger.leases",
    )
    assert [row["state"] for row in found] == ["unfinished"]
    stack.aito.double_rows(NAME, {"id": "k03"})
    report = sync(services)
    assert report.http_status == 200
    assert len(stack.aito.rows(NAME)) == 40


def test_a_table_that_was_made_anew(stack: Stack, services: Services) -> None:
    """What an earlier ok run proved was another table's: after a load that failed half-way, all of
    it is looked at.
    """
    assert sync(services).http_status == 200
    stack.aito.drop_table(NAME)
    stack.aito.fail("unavailable", on="insert", times=None, skip=2)
    assert sync(services).http_status == 503
    stack.aito.heal()
    stack.aito.double_rows(NAME, {"id": "k03"})
    report = sync(services)
    assert (report.http_status, report.tables[0].repaired) == (200, 1)
    assert sorted(row["id"] for row in stack.aito.rows(NAME)) == [f"k{i:02}" for i in range(40)]
