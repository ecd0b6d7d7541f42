"""The text of the statements on stages. Pure.

A stage holds documents. A shard is a slice, or a part of it where one second is too large. The
query that reads a shard makes batches of its documents, while the shard before it is sent.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from sync.bigquery.predicates import Predicates, cursor_between, partition_since
from sync.bigquery.queries import (
    SHARD_HASH,
    batches_of_documents,
    chosen,
    document_parameters,
    documents,
    parameter_of_deletes,
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
PARTITION BY RANGE_BUCKET(sync_shard, GENERATE_ARRAY({first}, {end}, {step}))
OPTIONS (expiration_timestamp = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL {hours} HOUR))
AS {select}"""

# Rows without a key are all kept. They stay apart, for a worker that gets all of them at once.
_ACROSS_SLICES = "sync_key, IF(sync_key IS NULL, sync_shard, NULL)"


def create(table: BigQueryTable, path: str, slices: Sequence[Slice], plan: str) -> Query:
    """The statement that makes a stage of these slices. plan: the text to keep with it."""
    shards = sum(part.parts for part in slices)
    rows = select(table, slices, plan)
    text = _CREATE.format(
        path=quoted(path),
        first=PLAN_SHARD,
        end=shards,
        step=-(-shards // MAX_PARTITIONS),
        hours=EXPIRY_HOURS,
        select=rows.text,
    )
    return Query(text, rows.parameters)


def select(table: BigQueryTable, slices: Sequence[Slice], plan: str) -> Query:
    """The rows of a stage: documents, each with its shard.

    Where a key may have rows in several slices, only its newest row is staged. Within a slice, the
    query that reads it chooses.
    """
    inside = _inside(table, slices)
    shard = _shard(table, slices)
    columns = ["sync_shard", "sync_key", "sync_second", "sync_problem", "sync_document"]
    of_plan = [str(PLAN_SHARD), "NULL", "0", "NULL", "@plan"]
    if table.settings.cursor:
        columns.append("sync_cursor")
        of_plan.append("NULL")
    rows = "sharded"
    if any(part.superseded_after is not None for part in slices):
        rows = f"({chosen(table, 'sharded', _ACROSS_SLICES)})"
    text = f"""
WITH {documents(table, inside, Predicates())},
sliced AS (SELECT *, {_slice(table)} AS sync_slice FROM sized),
sharded AS (SELECT *, {shard.conditions[0]} AS sync_shard FROM sliced)
SELECT {", ".join(columns)} FROM {rows}
UNION ALL SELECT {", ".join(of_plan)}"""
    parameters = (
        *inside.parameters,
        *document_parameters(table),
        *parameter_of_deletes(table),
        *shard.parameters,
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


def batches(
    table: BigQueryTable, path: str, shard: int, part: Slice, limits: BatchSettings
) -> Query:
    """The finished batches of a shard of a slice, in order. The result is that of
    queries.batches.
    """
    finished = batches_of_documents(table, part, limits)
    text = f"""
WITH sized AS (SELECT * FROM {quoted(path)} WHERE sync_shard = @shard),
{finished.text}"""
    parameters = (Parameter("shard", "INT64", shard), *finished.parameters)
    return Query(text, parameters)


def plan(path: str) -> Query:
    """The text that was kept with a stage."""
    text = f"SELECT sync_document AS plan FROM {quoted(path)} WHERE sync_shard = @shard"
    return Query(text, (Parameter("shard", "INT64", PLAN_SHARD),))
