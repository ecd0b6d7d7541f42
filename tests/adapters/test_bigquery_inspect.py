"""The queries of `init` are accepted by Google's own analyzer, whatever the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.cloud import bigquery

from local.bigquery import load
from local.stack import Stack
from sync.base.errors import ActionRequired
from sync.bigquery.client import make_client
from sync.bigquery.inspect import Inspector, count_query
from sync.bigquery.session import BigQuerySession
from sync.bigquery.types import DEFAULTS
from sync.config import BigQuerySettings
from sync.model.inspection import ColumnFacts, LinkCandidate, TableFacts

if TYPE_CHECKING:
    from tests.googlesql import GoogleSql

PATH = "my-project-1.shop.orders"
SQL_NAMES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
TYPES = {f"c_{kind}": SQL_NAMES.get(kind, kind) for kind in DEFAULTS}
COLUMNS = {**TYPES, "select": "STRING", "id": "INT64", "_PARTITIONTIME": "TIMESTAMP"}
FACTS = TableFacts(
    "shop.orders",
    "TABLE",
    (
        *(ColumnFacts(f"c_{kind}", kind) for kind in DEFAULTS),
        ColumnFacts("select", "STRING"),
        ColumnFacts("id", "INTEGER"),
    ),
)


def by_time(**partitioning: str) -> dict[str, Any]:
    """A table that is partitioned by time, as the API describes it."""
    return {"timePartitioning": {"type": "DAY", **partitioning}, "requirePartitionFilter": True}


BY_RANGE = {"rangePartitioning": {"field": "id"}, "requirePartitionFilter": True}


@pytest.mark.parametrize(
    ("layout", "column", "predicate"),
    [
        ({}, None, None),
        (by_time(), None, "_PARTITIONTIME >= TIMESTAMP"),
        (by_time(field="c_DATE"), "c_DATE", "`c_DATE` >= DATE"),
        (by_time(field="c_DATETIME"), "c_DATETIME", "`c_DATETIME` >= DATETIME"),
        (by_time(field="c_TIMESTAMP"), "c_TIMESTAMP", "`c_TIMESTAMP` >= TIMESTAMP"),
        (BY_RANGE, None, "`id` >= -9223372036854775808"),
    ],
)
def test_the_count_of_a_table(
    googlesql: GoogleSql, layout: dict[str, Any], column: str | None, predicate: str | None
) -> None:
    """One query counts columns of every type, also where a partition filter is required."""
    reference = {"projectId": "my-project-1", "datasetId": "shop", "tableId": "orders"}
    metadata = bigquery.Table.from_api_repr({"tableReference": reference, **layout})
    facts = TableFacts(FACTS.source, FACTS.kind, FACTS.columns, partition_column=column)
    query = count_query(facts, metadata, PATH)
    googlesql.analyze(query.text, {PATH: COLUMNS})
    assert (" WHERE " in query.text) is (predicate is not None)
    assert predicate is None or predicate in query.text


def test_a_table_beyond_the_limit(stack: Stack) -> None:
    """It is described, but not counted. Nothing is read, and the reason is kept."""
    client = stack.bigquery.client()
    schema = [bigquery.SchemaField("id", "STRING")]
    load(client, "inspect_limit.rows", schema, [{"id": "1"}], truncate=True)
    session = BigQuerySession(client, BigQuerySettings(), "init", "init")
    inspector = Inspector(session, max_bytes=-1)
    (facts,) = inspector.tables(["inspect_limit.rows"])
    assert (facts.rows, facts.columns) == (None, (ColumnFacts("id", "STRING"),))
    assert facts.not_counted.startswith("counting would read")
    candidate = LinkCandidate("inspect_limit.rows", "id", "inspect_limit.rows", "id")
    assert inspector.links([candidate]) == ()
    assert inspector.result((facts,), (), now=0).queries == 0


def test_no_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client without a project raises an error that says where to name one."""

    def refuse(**_: Any) -> None:
        raise OSError("Project was not passed and could not be determined from the environment.")

    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST", raising=False)
    monkeypatch.setattr(bigquery, "Client", refuse)
    with pytest.raises(ActionRequired, match="set GOOGLE_CLOUD_PROJECT"):
        make_client(BigQuerySettings())
