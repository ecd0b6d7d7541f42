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
from tests.workbench import Workbench, table

WEB, LEDGER, DATASET = "price_web", "price_ledger", "price"
QUERIES, CALLS = 4, 4  # a table and night with nothing new: lease twice, checkpoint, count
USD_PER_TIB = 6.25


@pytest.fixture
def function(stack: Stack) -> Iterator[Function]:
    """The function over one append table, with `keep` as most have it."""
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


def test_a_first_load_and_a_night_with_nothing_new(stack: Stack, function: Function) -> None:
    """The answer and the ledger carry what BigQuery processed; a dry run tells bytes and money,
    and writes nothing.

    An append table that has nothing new costs at most 4 queries and 4 calls, and is verified all
    the same.
    """
    stack.aito.reset_stats()
    planned = answered(function, dry_run=True)
    assert planned["estimate"]["rows"] == len(sample.day_one(datetime.now(UTC)).pages)
    assert planned["estimate"]["usd"] == pytest.approx(
        planned["estimate"]["bytes"] / 2**40 * USD_PER_TIB, abs=1e-6
    )
    assert stack.aito.total("writes") == 0
    assert WEB not in stack.aito.schema()
    loaded = answered(function)
    assert loaded["uploaded"] > 0
    told = loaded["bytes_processed"]
    assert isinstance(told, int)
    runs = stack.bigquery.client().query(f"SELECT bytes_processed FROM {LEDGER}.runs").result()
    assert [row.bytes_processed for row in runs] == [told]

    before = queries(stack)
    stack.aito.reset_stats()
    night = answered(function)
    assert (night["uploaded"], night["verified"]) == (0, True)
    asked = queries(stack) - before
    assert 1 <= asked.total() <= QUERIES, asked
    assert len(stack.aito.log) <= CALLS, [entry.kind for entry in stack.aito.log]


ROWS = {"id": "STRING", "ts": "TIMESTAMP"}


def many_rows(bench: Workbench, rows: int) -> dict[str, Any]:
    """A source of so many small rows, made by SQL. Returns the configuration of its table."""
    bench.load_source("many", ROWS, [])
    moment = f"TIMESTAMP_SECONDS({bench.now} - 60 - i)"
    numbers = f"UNNEST(GENERATE_ARRAY(1, {rows})) AS i"
    select = f"SELECT CONCAT('k', CAST(i AS STRING)), {moment} FROM {numbers}"
    bench.sql(f"INSERT INTO {{d}}.many (id, ts) {select}")
    return table(f"{bench.name}_many", f"{bench.dataset}.many", keep="90d")


@pytest.mark.parametrize(
    ("rows", "row_bytes", "calls"),
    [
        (3_000, None, 9),
        pytest.param(100_000, 20.0, 110, marks=pytest.mark.slow),
        pytest.param(100_000, None, 122, marks=pytest.mark.slow),
    ],
)
def test_calls_of_a_first_load(
    bench: Workbench,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    row_bytes: float | None,
    calls: int,
) -> None:
    """A thousand rows a call, and at most ten calls more.

    row_bytes: what BigQuery tells of a table, and the emulator does not. Of a view it is not told:
    its slices are smaller, and each may end with a small batch.
    """
    monkeypatch.setattr("sync.bigquery.describe.row_bytes", lambda _: row_bytes)
    configured = many_rows(bench, rows)
    bench.aito.reset_stats()
    report = bench.run_ok(configured)
    assert (report.uploaded, report.verified) == (rows, True)
    assert bench.aito.total() <= calls, bench.aito.stats()
    assert report.aito_calls == bench.aito.total()


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_calls_of_a_night_with_nothing_new(bench: Workbench, mode: str) -> None:
    """At most 4 a table, with `keep` and rows within the lookback, also of several tables."""
    configured = [
        {**many_rows(bench, 30), "mode": mode},
        table(f"{bench.name}_other", f"{bench.dataset}.many", keep="30d", mode=mode),
    ]
    bench.run_ok(*configured)
    bench.aito.reset_stats()
    bench.run_ok(*configured)
    assert bench.aito.total() <= 4 * len(configured), [entry.kind for entry in bench.aito.log]
    bench.sql(f"INSERT INTO {{d}}.many (id, ts) VALUES ('new', TIMESTAMP_SECONDS({bench.now} - 1))")
    bench.aito.reset_stats()
    bench.run_ok(*configured)
    # A batch, the comparison of the window, and optimize; once a run an upsert is read back.
    read_back = 5 if mode == "merge" else 0
    calls = 7 * len(configured) + read_back
    assert bench.aito.total() <= calls, [entry.kind for entry in bench.aito.log]
    bench.aito.reset_stats()
    bench.run_ok(*configured, action="watch")
    assert bench.aito.total() == 0
