"""BigQuery: a source of tables, and the session on which the ledger keeps its own tables."""

from sync.bigquery.client import BigQueryClient, identity, make_client
from sync.bigquery.session import BigQuerySession
from sync.bigquery.source import BigQuerySource
from sync.bigquery.stage import Stages

__all__ = [
    "BigQueryClient",
    "BigQuerySession",
    "BigQuerySource",
    "Stages",
    "identity",
    "make_client",
]
