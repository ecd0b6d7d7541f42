"""Reading alone: the source's own plan and queries. The batches are not used."""

import os
import time

from sync import config
from sync.bigquery import BigQuerySession, BigQuerySource, make_client
from sync.model import window

settings = config.load(os.environ["SYNC_CONFIG"])
client = make_client(settings.bigquery)
source = BigQuerySource(BigQuerySession(client, settings.bigquery, "bench", "read"))
(table,) = settings.tables
described = source.describe(table)
span = window.window(int(time.time()), None, table.lookback, table.keep)
rows = described.sorted_rows
histogram = source.histogram(described, span, window.BEGINNING - 1, rows)
for part in window.slices(span, histogram.buckets, described.slice_rows, rows):
    for batch in source.batches(described, part, settings.batch):
        assert batch.rows
