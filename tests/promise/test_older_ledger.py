"""A ledger of an earlier version is brought up to date by adding what it lacks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.stack import Stack
from tests.workbench import DAY, HOUR, Workbench, row

RUNS = """
CREATE TABLE `{ledger}.runs` (run_id STRING NOT NULL, `table` STRING NOT NULL,
  action STRING NOT NULL, status STRING NOT NULL, started_at TIMESTAMP NOT NULL,
  finished_at TIMESTAMP, window_start INT64, window_end INT64, fetched INT64, uploaded INT64,
  skipped INT64, rejected INT64, repaired INT64, purged INT64, watermark_after INT64,
  bytes_processed INT64, error STRING)"""
LEASES = """
CREATE TABLE `{ledger}.leases` (`table` STRING NOT NULL, run_id STRING NOT NULL,
  expires_at TIMESTAMP NOT NULL)"""


@pytest.fixture(autouse=True)
def _own_ledger(bench: Workbench) -> Iterator[None]:
    """Leave the ledger to no other test."""
    yield
    bench.drop_ledger()


def with_old_ledger(bench: Workbench, expires_at: str) -> None:
    """Load the table, then put the tables of version 0.1.0 into the ledger's place."""
    bench.put([row(f"k{i:03}", bench.now - 60 - i * HOUR) for i in range(100)])
    bench.run_ok()
    for table in ("runs", "leases", "checkpoints"):
        bench.sql(f"DROP TABLE `{bench.ledger}.{table}`")
    bench.sql(RUNS.format(ledger=bench.ledger))
    bench.sql(LEASES.format(ledger=bench.ledger))
    lease = f"INSERT INTO `{bench.ledger}.leases` VALUES ('{bench.name}', 'old', {expires_at})"
    bench.sql(lease)


def test_a_lease_that_was_given_back(stack: Stack) -> None:
    """The next run adds the columns and the table, reads no more than its window, and records."""
    bench = Workbench(stack, "older_done")
    with_old_ledger(bench, "TIMESTAMP_SECONDS(0)")
    report = bench.run_ok()
    assert report.fetched < 100
    assert [lease["state"] for lease in bench.ledger_rows("leases")] == ["done"]
    (run,) = bench.ledger_rows("runs")
    assert (run["deleted"], run["status"]) == (0, "ok")
    assert len(bench.ledger_rows("checkpoints")) == 1


def test_a_lease_of_a_run_that_did_not_finish(stack: Stack) -> None:
    """What it left behind far behind the watermark is found, as before."""
    bench = Workbench(stack, "older_unfinished")
    with_old_ledger(bench, "TIMESTAMP_SECONDS(1)")
    stack.aito.double_rows(bench.name, {"id": "k050"})
    bench.now += DAY
    bench.run_ok()
    assert len(bench.aito_rows()) == 100


EVALUATIONS = """
CREATE TABLE `{ledger}.evaluations` (evaluation_id STRING NOT NULL, run_id STRING NOT NULL,
  `table` STRING NOT NULL, name STRING NOT NULL, job_id STRING, state STRING NOT NULL,
  started_at TIMESTAMP NOT NULL, finished_at TIMESTAMP, test_samples INT64, train_samples FLOAT64,
  accuracy FLOAT64, base_accuracy FLOAT64, error_rate FLOAT64, mean_rank FLOAT64,
  geom_mean_p FLOAT64, result STRING)"""


def test_evaluations_without_a_basis(stack: Stack) -> None:
    """A watch adds the columns that it reads. What an earlier version started is collected."""
    bench = Workbench(stack, "older_evaluations")
    bench.table = {"evaluate": [{"name": "value", "predict": "value"}]}
    bench.put([row(f"k{i:03}", bench.now - 60 - i * HOUR) for i in range(20)])
    bench.run_ok()
    (started,) = bench.ledger_rows("evaluations")
    bench.sql(f"DROP TABLE `{bench.ledger}.evaluations`")
    bench.sql(EVALUATIONS.format(ledger=bench.ledger))
    bench.sql(
        f"INSERT INTO `{bench.ledger}.evaluations` (evaluation_id, run_id, `table`, name, job_id,"
        f" state, started_at) VALUES ('e', 'r', '{bench.name}', 'value', '{started['job_id']}',"
        f" 'started', TIMESTAMP '{started['started_at'].isoformat()}')"
    )
    assert bench.run(action="watch").status == "ok"
    finished = bench.event("evaluation_finished")
    assert (finished["name"], finished["test_samples"]) == ("value", 2)
    states = {each["state"]: each["definition"] for each in bench.ledger_rows("evaluations")}
    assert states == {"started": None, "finished": None}
