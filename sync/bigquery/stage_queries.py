"""The text of the statements on stages. Pure.

Every window function is partitioned by the shard first. A shard is a slice, or a part of it where
one second is too large. Rows are numbered chunk by chunk, so no worker sorts more than a chunk.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from sync.bigquery.predicates import Predicates, cursor_between, partition_since
from sync.bigquery.queries import (
    BATCH,
    SHARD_HASH,
    TEXT,
    Chunks,
    chosen,
    documents,
    limit_parameters,
)
from sync.bigquery.table import BigQueryTable
from sync.bigquery.types import quoted
from sync.config import BatchSettings
from sync.model.sql import Parameter, Query
from sync.model.window import BEGINNING, Slice

EXPIRY_HOURS = 48
# Of one table. BigQuery allows 10,000, of which one statement may write 4,000.
MAX_PARTITIONS = 4_000
PLAN_SHARD = -1  # where the plan is kept

_CREATE = """\
CREATE TABLE {path}
PARTITION BY RANGE_BUCKET(shard, GENERATE_ARRAY({first}, {end}, {step}))
OPTIONS (expiration_timestamp = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL {hours} HOUR))
AS {select}"""

_ACROSS_SHARDS = "sync_key, IF(sync_key IS NULL, sync_shard, NULL)"

_KEPT = f"""\
SELECT sync_shard, sync_key, sync_second, sync_problem, {{chunk}}
    {TEXT}
  FROM {{rows}}"""

_NUMBERED = """\
SELECT sync_shard, sync_second, sync_problem, sync_text,
    {place} AS place
  FROM kept"""

_BATCHED = """\
SELECT *, DIV(place, @batch_rows) AS by_rows,
    DIV(SUM(BYTE_LENGTH(sync_text)) OVER (
      PARTITION BY sync_shard, DIV(place, @batch_rows) ORDER BY place ROWS UNBOUNDED PRECEDING),
      @batch_bytes) AS by_bytes
  FROM numbered"""

_BATCHES = f"""\
SELECT sync_shard AS shard, by_rows, by_bytes, {BATCH}
FROM batched GROUP BY sync_shard, by_rows, by_bytes
UNION ALL SELECT {PLAN_SHARD}, 0, 0, 0, 0, NULL, @plan"""


def create(
    table: BigQueryTable, path: str, slices: Sequence[Slice], limits: BatchSettings, plan: str
) -> Query:
    """The statement that makes a stage of these slices. plan: the text to keep with it."""
    shards = sum(part.parts for part in slices)
    rows = select(table, slices, limits, plan)
    text = _CREATE.format(
        path=quoted(path),
        first=PLAN_SHARD,
        end=shards,
        step=-(-shards // MAX_PARTITIONS),
        hours=EXPIRY_HOURS,
        select=rows.text,
    )
    return Query(text, rows.parameters)


def select(
    table: BigQueryTable, slices: Sequence[Slice], limits: BatchSettings, plan: str
) -> Query:
    """The rows of a stage: finished batches, each with its shard and its place in it."""
    inside = _inside(table, slices)
    shard = _shard(table, slices)
    within_shard = chosen(table, "sharded", "sync_shard, sync_key")
    chunks = Chunks(slices)
    rows = "chosen"
    across = ""
    if any(part.superseded_after is not None for part in slices):
        rows = "latest"
        across = f"latest AS ({chosen(table, 'chosen', _ACROSS_SHARDS)}),\n"
    text = f"""
WITH {documents(table, inside, Predicates())},
sliced AS (SELECT *, {_slice(table)} AS sync_slice FROM sized),
sharded AS (SELECT *, {shard.conditions[0]} AS sync_shard FROM sliced),
chosen AS ({within_shard}),
{across}kept AS ({_KEPT.format(rows=rows, chunk=chunks.column)}),
numbered AS ({_NUMBERED.format(place=chunks.place("sync_shard"))}),
batched AS ({_BATCHED})
{_BATCHES}"""
    parameters = (
        *inside.parameters,
        *limit_parameters(table, limits),
        *shard.parameters,
        *chunks.parameters,
        Parameter("plan", "STRING", plan),
    )
    return Query(text, parameters)


def _inside(table: BigQueryTable, slices: Sequence[Slice]) -> Predicates:
    """The rows of these slices, which have no gap between them."""
    if table.settings.cursor is None:
        return partition_since(table, BEGINNING)
    start, end = slices[0].start, slices[-1].end
    return cursor_between(table, start, end) + partition_since(table, start)


def _slice(table: BigQueryTable) -> str:
    """SQL of the number of a row's slice, from 1 on."""
    return "RANGE_BUCKET(sync_second, @starts)" if table.settings.cursor else "1"


def _shard(table: BigQueryTable, slices: Sequence[Slice]) -> Predicates:
    """SQL of a row's shard, and its parameters."""
    counts = [part.parts for part in slices]
    if table.settings.cursor is None:
        shard = f"MOD({SHARD_HASH}, @shards)"
        return Predicates((shard,), (Parameter("shards", "INT64", sum(counts)),))
    starts = Parameter("starts", "ARRAY<INT64>", [part.start for part in slices])
    if max(counts) == 1:
        return Predicates(("sync_slice - 1",), (starts,))
    firsts = list(itertools.accumulate(counts[:-1], initial=0))
    within = f"MOD({SHARD_HASH}, @counts[ORDINAL(sync_slice)])"
    shard = f"@firsts[ORDINAL(sync_slice)] + {within}"
    parameters = (
        starts,
        Parameter("firsts", "ARRAY<INT64>", firsts),
        Parameter("counts", "ARRAY<INT64>", counts),
    )
    return Predicates((shard,), parameters)


def batches(path: str, shard: int) -> Query:
    """The finished batches of a shard, in order. The columns are those of queries.batches."""
    text = f"""
SELECT n_rows, flagged, newest, documents FROM {quoted(path)}
WHERE shard = @shard ORDER BY by_rows, by_bytes"""
    return Query(text, (Parameter("shard", "INT64", shard),))


def plan(path: str) -> Query:
    """The text that was kept with a stage."""
    text = f"SELECT documents FROM {quoted(path)} WHERE shard = @shard"
    return Query(text, (Parameter("shard", "INT64", PLAN_SHARD),))
