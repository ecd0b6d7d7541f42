"""Reading alone: the function's own plan and queries, and nothing is done with what they bring."""

import os
import time

from sync import config
from sync.bigquery import client as warehouse
from sync.bigquery.source import Source
from sync.model import window

settings = config.load(os.environ["SYNC_CONFIG"])
client = warehouse.client(settings.bigquery)
source = Source(warehouse.Warehouse(client, settings.bigquery, "bench", "read"), client.project)
(table,) = settings.tables
origin, row_bytes = source.origin(table)
span = window.window(int(time.time()), None, table.lookback, table.keep)
rows = window.slice_rows(row_bytes)
for part in window.slices(
    span, source.histogram(origin, span, window.BEGINNING - 1, rows).buckets, rows
):
    for batch in source.batches(origin, part, settings.batch.rows, settings.batch.bytes):
        assert batch.rows
