"""Source tables as the adapter describes them, in every layout, for tests without a server.

And every statement that the ledger can run.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
from collections.abc import Iterator
from typing import Any

import sync.ledger
from sync.bigquery import queries as sql
from sync.bigquery import stage_queries
from sync.bigquery.columns import columns
from sync.bigquery.table import BigQueryTable, Partitioning
from sync.bigquery.types import Field
from sync.config import BatchSettings, TableSettings, parse
from sync.ledger.definitions import PARTITIONED_BY
from sync.model.sql import Query
from sync.model.window import Chunk, Slice, Window

LIMITS = BatchSettings(rows=1000, bytes=5_000_000)
START, END = 1_772_000_000, 1_772_366_400
SPAN = Window(START, END)
PART = Slice(START, END, rows=1000, max_cursor=END + 500)
NEXT = Slice(END, END + 3_600, rows=10)
CHUNKED = dataclasses.replace(
    PART, latest_per_key=90, chunks=(Chunk(START, 0), Chunk(START + 3_600, 40))
)
MANY = dataclasses.replace(PART, parts=3)
DAY = 86_400
CURSORS = {"TIMESTAMP": "TIMESTAMP", "DATETIME": "DATETIME", "DATE": "DATE", "INTEGER": "INT64"}
COLUMNS = {
    "id": {},
    "from": {},
    "select": {"type": "Text"},
    "Ünï-çødé'x": {},
    "page": {"sql": "LOWER(`from`)"},
}


def settings(**more: Any) -> TableSettings:
    """A table as the configuration gives it."""
    asked = {
        "name": "t",
        "source": "my-project-1.shop.pages",
        "key": "id",
        "cursor": {"source": "ts", "column": "at"},
        "columns": COLUMNS,
        **more,
    }
    if "query" in more:
        del asked["source"]
    whole = {
        "aito": {"url": "http://127.0.0.1:1", "api_key_secret": "k"},
        "ledger": "l",
        "tables": [asked],
    }
    return parse(json.dumps(whole)).tables[0]


def described(
    kind: str = "TIMESTAMP", parts: Partitioning | None = None, prune: bool = True, **more: Any
) -> BigQueryTable:
    """A source whose cursor has the type `kind`."""
    table = settings(**more)
    fields = [Field(name, "STRING") for name in table.named or table.key_parts]
    return BigQueryTable(
        table, table.source, Field("sync_cursor", kind), parts, prune, columns(table, fields)
    )


DAILY = "my-project-1.shop.events_*"
PSEUDO = {**COLUMNS, "day": {"sql": "_TABLE_SUFFIX"}, "row": {"sql": "TO_JSON_STRING(sync_source)"}}
INGESTED = {**COLUMNS, "loaded": {"sql": "_PARTITIONTIME"}}
INGESTION = Partitioning(None, "DAY", False)
ON_CURSOR = Partitioning(Field("ts", "TIMESTAMP"), "DAY", True)
ON_OTHER = Partitioning(Field("loaded", "DATE"), "MONTH", True)
IN_FOLDERS = Partitioning(Field("note", "STRING"), "DAY", True)  # of files
ON_RANGE = Partitioning(Field("customer", "INTEGER"), "RANGE", True)
LAYOUTS: dict[str, Partitioning | None] = {
    "unpartitioned": None,
    "by the cursor, required": ON_CURSOR,
    "by another column": dataclasses.replace(ON_OTHER, required=False),
    "by another column, required": ON_OTHER,
    "by a range": dataclasses.replace(ON_RANGE, required=False),
    "by a range, required": ON_RANGE,
    "by ingestion": INGESTION,
    "by ingestion, required": dataclasses.replace(INGESTION, required=True),
}
COMMENTED = (
    "SELECT id, ts, `from`, `select`, `Ünï-çødé'x` FROM shop.pages WHERE note = 'a;b' -- the"
    " comment"
)


def of_integers() -> BigQueryTable:
    """A source with integers whose type the data decides, and a number as cursor."""
    clock = {"source": "ts", "unit": "ms", "column": "at"}
    table = settings(columns={"*": {}, "id": {}}, cursor=clock)
    fields = (Field("id", "STRING"), Field("customer", "INTEGER"), Field("tags", "INTEGER", True))
    return BigQueryTable(
        table,
        table.source,
        Field("sync_cursor", "INTEGER"),
        sql_columns=columns(table, fields),
        fields=fields,
    )


def queries(of: BigQueryTable) -> dict[str, Query]:
    """Every query that reads this source."""
    integers = of.open_integers
    ranges = {"ranges": sql.ranges(of, integers)} if integers else {}
    return {
        **ranges,
        "shape": sql.shape(of),
        "first row": sql.first_row(of),
        "histogram": sql.histogram(of, SPAN, END, 1000),
        "histogram with ranges": sql.histogram(of, SPAN, END, 1000, integers),
        "range count": sql.range_count(of, SPAN.start, SPAN.end),
        "batches": sql.batches(of, PART, LIMITS),
        "batches of a part": sql.batches(of, MANY, LIMITS, shard=2),
        "everything": sql.batches(of, None, LIMITS),
        "totals": sql.totals(of),
        "distinct rows": sql.distinct_rows(of, SPAN),
        "distinct rows of everything": sql.distinct_rows(of, None),
        "faults": sql.faults(of, SPAN),
        "faults of everything": sql.faults(of, None),
        "faults of parts": sql.faults(of, SPAN, [SPAN, Window(END + 1, END + 9)]),
        **({"deleted keys": sql.deleted_keys(of, SPAN)} if of.settings.deletes else {}),
        "unfit keys": sql.unfit_keys(of, SPAN, [SPAN]),
        "stage": stage_queries.select(of, [PART, NEXT], "{}"),
        "batches of chunks": sql.batches(of, CHUNKED, LIMITS),
        "stage of shards": stage_queries.select(of, [CHUNKED, MANY, NEXT], "{}"),
    }


def every_table() -> Iterator[tuple[str, BigQueryTable]]:
    """Each layout with each cursor type, and a query of the user's own."""
    for layout, parts in LAYOUTS.items():
        for kind in CURSORS:
            if parts is not None and parts.column and parts.column.name == "ts":
                parts = dataclasses.replace(parts, column=Field("ts", kind))
            yield f"{layout}, {kind}", described(kind, parts)
    for kind in ("DATETIME", "DATE"):
        for zone in ("Europe/Helsinki", "+02:00"):
            cursor = {"source": "ts", "zone": zone, "column": "at"}
            yield f"in {zone}, {kind}", described(kind, ON_CURSOR, cursor=cursor)
    for intraday in (False, True):
        clock = {"source": "ts", "unit": "us", "column": "at"}
        daily = described("INTEGER", source=DAILY, intraday=intraday, cursor=clock, columns=PSEUDO)
        yield f"daily tables, {intraday}", dataclasses.replace(daily, read_at=END)
    recent = "_PARTITIONTIME IS NOT NULL"
    yield "time of ingestion", described(parts=INGESTION, columns=INGESTED, where=recent)
    clock = {"source": "_PARTITIONTIME", "column": "at"}
    yield "by time of ingestion", described(parts=INGESTION, cursor=clock, where=recent)
    yield "files in folders", described(parts=IN_FOLDERS)
    yield "query", described(query=COMMENTED)
    star = {"*": {"except": ["note"]}, "id": {}, "page": {"sql": "LOWER(`from`)"}}
    yield "all columns", described(columns=star)
    yield "integers", of_integers()
    yield "no columns named", described(columns=None)
    yield "deleting rows", described(deletes="note = 'x' -- all of them")
    yield "key of several columns", described(key=["ID", "from"])


TABLES = dict(every_table())


def ledger_statements() -> Iterator[tuple[str, str]]:
    """Every statement that a module of sync/ledger defines, by its name there."""
    tables = {kind: f"`p.ledger.{kind}`" for kind in PARTITIONED_BY}
    for found in pkgutil.iter_modules(sync.ledger.__path__):
        module = importlib.import_module(f"sync.ledger.{found.name}")
        for name, text in vars(module).items():
            is_part = name.startswith("_")
            if not is_part and isinstance(text, str) and any(f"{{{t}}}" in text for t in tables):
                yield f"{found.name}.{name}", text.format(**tables)


LEDGER_STATEMENTS = dict(ledger_statements())
