"""Where the ledger is made: beside the sources, because it holds copies of rejected rows."""

from __future__ import annotations

import pytest
from google.cloud import bigquery

from tests.workbench import Workbench, iso, table

COLUMNS = {"id": "STRING", "ts": "TIMESTAMP"}


@pytest.fixture
def in_finland(bench: Workbench) -> Workbench:
    """A source in europe-north1, and no `bigquery.location` in the configuration."""
    bench.dataset = "place"
    for name in (bench.dataset, bench.ledger):
        bench.client.delete_dataset(name, delete_contents=True, not_found_ok=True)
    made = bigquery.Dataset(f"{bench.stack.project}.{bench.dataset}")
    made.location = "europe-north1"
    bench.client.create_dataset(made)
    bench.load_source("rows", COLUMNS, [{"id": "a", "ts": iso(bench.now - 60)}])
    return bench


def test_the_ledger_is_made_beside_the_source(in_finland: Workbench) -> None:
    """The source's dataset is asked."""
    in_finland.run_ok(table(in_finland.name, f"{in_finland.dataset}.rows"))
    assert in_finland.client.get_dataset(in_finland.ledger).location == "europe-north1"


def test_a_configured_location_comes_first(in_finland: Workbench) -> None:
    """`bigquery.location` says where, and nothing is asked."""
    where = {"bigquery": {"location": "US"}}
    in_finland.run(table(in_finland.name, f"{in_finland.dataset}.rows"), settings=where)
    assert in_finland.client.get_dataset(in_finland.ledger).location == "US"


def test_no_location_is_assumed(in_finland: Workbench) -> None:
    """A source that is not there says nothing: the error asks for the setting."""
    report = in_finland.run(table(in_finland.name, "no_such_dataset.rows"))
    assert report.http_status == 500
    assert "set `bigquery.location`" in (report.tables[0].error or "")
