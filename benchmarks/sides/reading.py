"""Reading alone: the source's own plan, stage and queries. The batches are not used."""

import os
import time

from sync import config
from sync.bigquery import BigQuerySession, BigQuerySource, Stages, make_client
from sync.model import window
from sync.model.stage import StagePlan

settings = config.load(os.environ["SYNC_CONFIG"])
client = make_client(settings.bigquery)
client.create_dataset(settings.ledger, exists_ok=True)  # stages live there
session = BigQuerySession(client, settings.bigquery, "bench", "read")
run_id = time.strftime("%Y%m%dT%H%M%S-0")
source = BigQuerySource(session, stages=Stages(session, settings.ledger, run_id))
(table,) = settings.tables
described = source.describe(table)
span = window.window(int(time.time()), None, table.lookback, table.keep)
rows = described.sorted_rows
histogram = source.histogram(described, span, window.BEGINNING - 1, rows)
slices = window.slices(span, histogram.buckets, described.slice_rows, rows)
source.stage(described, StagePlan(None, span, tuple(slices)))
for part in slices:
    for batch in source.batches(described, part, settings.batch):
        assert batch.rows
source.drop_stages(table)
