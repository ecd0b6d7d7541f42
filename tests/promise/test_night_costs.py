"""What an ordinary night costs: so many BigQuery queries, so many Aito calls, and who is told of
it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from local import sample
from local.stack import Function, Stack

WEB, LEDGER, DATASET = "price_web", "price_ledger", "price"
QUERIES, CALLS = 4, 4  # a table and night with nothing new: lease twice, checkpoint, count
USD_PER_TIB = 6.25


@pytest.fixture
def function(stack: Stack) -> Iterator[Function]:
    """The function over one append table, loaded once, with `keep` as most have it."""
    sample.load(stack.bigquery.client(), sample.day_one(datetime.now(UTC)), DATASET)
    cursor = {"source": "timestamp", "column": "unix_timestamp"}
    table = {
        "name": WEB,
        "source": f"{DATASET}.pages",
        "key": "id",
        "cursor": cursor,
        "keep": "90d",
    }
    config = stack.configure(
        name="price.yaml", tables=[table], aito={"requests_per_second": 1000}, ledger=LEDGER
    )
    with Function(stack.environ(config)) as running:
        yield running
    stack.bigquery.client().delete_dataset(DATASET, delete_contents=True)
    stack.bigquery.client().delete_dataset(LEDGER, delete_contents=True, not_found_ok=True)
    if WEB in stack.aito.schema():
        stack.aito.drop_table(WEB)


def queries(stack: Stack) -> Counter[str]:
    """Queries that BigQuery ran so far, by kind. Dry runs are free and are no jobs."""
    jobs = stack.bigquery.client().list_jobs(
        all_users=True, max_results=100_000
    )  # the emulator has no second page
    return Counter(
        job.statement_type or "?" for job in jobs if job.job_type == "query" and not job.dry_run
    )


def answered(function: Function, **body: Any) -> dict[str, Any]:
    """The one table of a good answer."""
    status, answer = function.post(body)
    assert status == 200, answer
    (table,) = answer["tables"]
    return dict(table)


def test_a_night_with_nothing_new(stack: Stack, function: Function) -> None:
    """An append table that has nothing new costs at most 4 queries and 4 calls, and is verified
    all the same.
    """
    assert answered(function)["uploaded"] > 0
    before = queries(stack)
    stack.aito.reset_stats()
    night = answered(function)
    assert (night["uploaded"], night["verified"]) == (0, True)
    asked = queries(stack) - before
    assert 1 <= asked.total() <= QUERIES, asked
    assert len(stack.aito.log) <= CALLS, [entry.kind for entry in stack.aito.log]


def test_bytes_are_told(stack: Stack, function: Function) -> None:
    """The answer and the ledger carry what BigQuery processed; a dry run tells bytes and money,
    and writes nothing.
    """
    stack.aito.reset_stats()
    planned = answered(function, dry_run=True)
    assert planned["estimate"]["rows"] == len(sample.day_one(datetime.now(UTC)).pages)
    assert planned["estimate"]["usd"] == pytest.approx(
        planned["estimate"]["bytes"] / 2**40 * USD_PER_TIB, abs=1e-6
    )
    assert stack.aito.total("writes") == 0
    assert WEB not in stack.aito.schema()
    told = answered(function)["bytes_processed"]
    assert isinstance(told, int)
    runs = stack.bigquery.client().query(f"SELECT bytes_processed FROM {LEDGER}.runs").result()
    assert [row.bytes_processed for row in runs] == [told]
