"""Count -> slices -> batches -> comparison, on random rows, against a model in Python.

The product's own queries run in Google's reference implementation, and its own functions cut the
slices, read the batches and compare the keys.
"""

from __future__ import annotations

import hashlib
import json
import random
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sync.bigquery import queries, stage_queries
from sync.bigquery.columns import columns
from sync.bigquery.table import BigQueryTable
from sync.bigquery.types import Field
from sync.config import BatchSettings
from sync.model.batches import Batch
from sync.model.batches import Row as Document
from sync.model.sql import Query
from sync.model.window import BEGINNING, Bucket, Slice, Window, slices
from sync.pipeline.compare import matches
from tests.sources import settings

if TYPE_CHECKING:
    from tests.googlesql import GoogleSql

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = 86_400
HOUR = 3600
MINUTE = 60
MICRO = 1_000_000
NOW = 1_772_366_400
SEEDS = range(8)
DELETED = "w"  # the value of rows that delete their key
SQL_NAMES = {"INTEGER": "INT64"}
# Type -> (SQL, text in a document) of its keys. A time's text is not its CAST to STRING.
KEYS = {
    "STRING": [
        (json.dumps(text), text) for text in ("", "a", "A", " a", "1 2", "ä", "\u2028", "k")
    ],
    "INTEGER": [(str(n), str(n)) for n in (-5, 0, 7, 2**53 + 1, 2**63 - 1)],
    "BYTES": [("b''", ""), ("FROM_HEX('00ff')", "AP8="), ("FROM_HEX('01ff')", "Af8=")],
    "TIMESTAMP": [
        (f"TIMESTAMP '196{n}-01-01 00:00:00.5+00'", f"196{n}-01-01T00:00:00.500000Z")
        for n in range(6)
    ],
}
LITERALS: dict[str, Callable[[datetime], str]] = {
    "TIMESTAMP": lambda at: f"TIMESTAMP '{at.replace(tzinfo=None).isoformat(' ')}+00'",
    "DATETIME": lambda at: f"DATETIME '{at.replace(tzinfo=None).isoformat(' ')}'",
    "DATE": lambda at: f"DATE '{at.date().isoformat()}'",
    "INTEGER": lambda at: str((at - EPOCH) // timedelta(seconds=1)),
}


@dataclass(frozen=True)
class Row:
    """A source row. key: its text. micros: its cursor at the precision that the type has."""

    key: str | None
    key_sql: str
    micros: int | None
    value: str

    @property
    def second(self) -> int:
        """The cursor in whole epoch seconds."""
        assert self.micros is not None
        return self.micros // MICRO


@dataclass(frozen=True)
class World:
    """Random rows, and a table whose source they are."""

    rows: Sequence[Row]
    table: BigQueryTable
    window: Window
    deletes: bool

    def between(self, start: int, end: int) -> list[Row]:
        """The rows with a cursor in [start, end)."""
        return [
            row
            for row in self.rows
            if row.micros is not None and start * MICRO <= row.micros < end * MICRO
        ]


def world(rng: random.Random) -> World:
    """Few keys, many versions, cursors close together, some rows without a key or a cursor."""
    key_type = rng.choice(list(KEYS))
    cursor_type = rng.choice(list(LITERALS))
    base = rng.choice([0, NOW, -3 * DAY])
    spread = rng.choice([5, 4000, 3 * DAY])
    rows = [random_row(rng, key_type, cursor_type, base, spread) for _ in range(40)]
    start = rng.choice([BEGINNING, base - spread // 2])
    asked = {
        "id": {"type": "Long"} if key_type == "INTEGER" else {},
        "v": {},
        "at": {"type": "Long"},
    }
    deletes = rng.random() < 0.5
    more = {"deletes": f"v = '{DELETED}'"} if deletes else {}
    table = settings(query="SELECT 1", mode="merge", columns=asked, **more)
    table = table.model_copy(update={"query": source(rows, key_type, cursor_type)})
    made = columns(table, [Field("id", key_type), Field("v", "STRING")])
    described = BigQueryTable(table, None, Field("sync_cursor", cursor_type), sql_columns=made)
    return World(rows, described, Window(start, base + spread // 2), deletes)


def random_row(rng: random.Random, key_type: str, cursor_type: str, base: int, spread: int) -> Row:
    key_sql, key = rng.choice(KEYS[key_type])
    value = rng.choice(["v", "w", "x,\ny"])
    micros = (base + rng.randint(-spread, spread)) * MICRO + rng.choice([0, 1, 999_999])
    precision = {"DATE": DAY * MICRO, "INTEGER": MICRO}.get(cursor_type, 1)
    micros -= micros % precision
    if rng.random() < 0.05:
        return Row(None, "NULL", micros, value)
    return Row(key, key_sql, None if rng.random() < 0.05 else micros, value)


def source(rows: Sequence[Row], key_type: str, cursor_type: str) -> str:
    """A query that gives these rows."""
    selects = []
    for row in rows:
        at = "NULL"
        if row.micros is not None:
            at = LITERALS[cursor_type](EPOCH + timedelta(microseconds=row.micros))
        key = f"CAST({row.key_sql} AS {SQL_NAMES.get(key_type, key_type)}) AS id"
        cursor = f"CAST({at} AS {SQL_NAMES.get(cursor_type, cursor_type)}) AS ts"
        selects.append(f"SELECT {key}, {cursor}, {json.dumps(row.value)} AS v")
    return " UNION ALL ".join(selects)


# -- the model


def newest_seconds(rows: Sequence[Row]) -> dict[str, int]:
    """The newest cursor of each key, in whole seconds."""
    newest: dict[str, int] = {}
    for row in rows:
        if row.key is not None:
            newest[row.key] = max(newest.get(row.key, row.second), row.second)
    return newest


def deleted_keys(rows: Sequence[Row]) -> set[str]:
    """The keys whose last row deletes them. Of rows at one moment, the deletion is the last."""
    last: dict[str, tuple[int, bool]] = {}
    for row in rows:
        if row.key is not None and row.micros is not None:
            moment = (row.micros, row.value == DELETED)
            last[row.key] = max(last.get(row.key, moment), moment)
    return {key for key, (_, is_deleted) in last.items() if is_deleted}


def begin(second: int, length: int) -> int:
    """When the hour or the minute begins in which a second lies."""
    return second - (second - BEGINNING) % length


def buckets_of(rows: Sequence[Row], slice_rows: int) -> dict[int, list[Row]]:
    """The rows by the hour, by the minute where an hour is too heavy, or by the second."""
    in_hour = Counter(begin(row.second, HOUR) for row in rows)
    in_minute = Counter(begin(row.second, MINUTE) for row in rows)
    found: dict[int, list[Row]] = {}
    for row in rows:
        start = row.second
        if in_minute[begin(row.second, MINUTE)] <= slice_rows:
            start = begin(row.second, MINUTE)
        if in_hour[begin(row.second, HOUR)] <= slice_rows:
            start = begin(row.second, HOUR)
        found.setdefault(start, []).append(row)
    return found


def counted(
    rows: Sequence[Row], watermark: int, slice_rows: int, *, deletes: bool
) -> dict[int, Bucket]:
    """What a count is to find."""
    newest = newest_seconds(rows)
    deleted = deleted_keys(rows) if deletes else set()
    found = {}
    for start, inside in buckets_of(rows, slice_rows).items():
        keys = {row.key for row in inside if row.key is not None}
        seconds = {row.second for row in inside}
        last = {key for key in keys if newest[key] in seconds}
        latest = last - deleted
        fingerprint = 0
        for key in latest:
            if newest[key] <= watermark:
                digest = hashlib.md5(f"{key} {newest[key]}".encode()).hexdigest()
                fingerprint ^= int(digest[:15], 16)
        found[start] = Bucket(
            start,
            len(inside),
            len(latest),
            sum(row.key is None for row in inside),
            max((newest[key] for key in keys), default=BEGINNING),
            fingerprint,
            len(last & deleted),
        )
    return found


def expected(made: World, part: Slice) -> dict[str, tuple[int, set[str]]]:
    """Key -> its cursor and the values that it may have, of the rows that a slice is to send."""
    later: set[str | None] = set()
    if part.superseded_after is not None:
        later = {row.key for row in made.between(part.end, part.superseded_after)}
    found: dict[str, tuple[int, set[str]]] = {}
    inside = made.between(part.start, part.end)
    for key in {row.key for row in inside if row.key is not None} - later:
        newest = max(row.micros or 0 for row in inside if row.key == key)
        values = {row.value for row in inside if (row.key, row.micros) == (key, newest)}
        assert key is not None
        if made.deletes and DELETED in values:
            values = {DELETED}
        found[key] = (newest // MICRO, values)
    return found


# -- the product


def run(googlesql: GoogleSql, query: Query) -> list[dict[str, Any]]:
    """The rows of one of the product's queries."""
    return googlesql.rows(query.text, query.parameters)


def from_stage(
    made: World, parts: Sequence[Slice], part: Slice, limits: BatchSettings
) -> list[Query]:
    """The queries that read a slice from a stage of all of these, each with the stage inside."""
    stage = stage_queries.select(made.table, parts, "{}")
    first = sum(each.parts for each in parts[: parts.index(part)])
    found = []
    for shard in range(first, first + part.parts):
        read = stage_queries.batches(made.table, "p.l.stage", shard, part, limits)
        text = read.text.replace("`p.l.stage`", f"({stage.text})")
        named = {each.name: each for each in (*stage.parameters, *read.parameters)}
        found.append(Query(text, tuple(named.values())))
    return found


def sent(googlesql: GoogleSql, reads: Sequence[Query], limits: BatchSettings) -> list[Document]:
    """The documents of a slice's batches. reads: one for each shard, which is in cursor order."""
    documents: list[Document] = []
    for query in reads:
        of_shard: list[Document] = []
        for row in run(googlesql, query):
            batch = Batch(b64decode(row["documents"]), row["n_rows"], row["newest"], row["flagged"])
            read = batch.read()
            assert len(read) == batch.rows <= limits.rows
            assert sum(each.fault is not None for each in read) == batch.flagged
            stored = [each.values["at"] for each in read if not each.deletes]
            assert batch.newest == max(stored, default=None)
            of_shard += read
        moments = [each.values["at"] for each in of_shard]
        assert moments == sorted(moments)
        documents += of_shard
    return documents


@pytest.mark.parametrize("seed", SEEDS)
def test_the_chain(googlesql: GoogleSql, seed: int) -> None:
    """The count is the model's, and each slice sends the newest row of each of its keys once."""
    rng = random.Random(seed)
    made = world(rng)
    window = made.window
    watermark = rng.choice([window.end, (window.end + max(window.start, 0)) // 2])
    slice_rows = rng.choice([3, 10, 1000])
    found = run(googlesql, queries.histogram(made.table, window, watermark, slice_rows))
    buckets = {row["bucket"]: tuple(row.values())[:-1] for row in found}
    buckets.pop(None)
    (text,) = [row["facts"] for row in found if row["facts"]]
    facts = json.loads(text)
    assert facts["cursorless"] == sum(row.micros is None for row in made.rows)
    moments = [row.micros for row in made.rows if row.micros is not None]
    assert facts["ahead"] == sum(micros >= window.end * MICRO for micros in moments)
    inside = made.between(window.start, window.end)
    model = counted(inside, watermark, slice_rows, deletes=made.deletes)
    assert {start: _bucket(values) for start, values in buckets.items()} == model

    everything: dict[str, int] = {}
    parts = [
        part if part.chunks else replace(part, parts=rng.choice([1, 3]))
        for part in slices(window, list(model.values()), 3 * slice_rows, slice_rows)
    ]
    is_staged = rng.randrange(len(parts[:5])) if parts else None
    for number, part in enumerate(parts[:5]):
        limits = BatchSettings(rows=rng.choice([1, 3, 1000]), bytes=rng.choice([50, 5_000_000]))
        shards = range(part.parts)
        reads = [queries.batches(made.table, part, limits, shard) for shard in shards]
        documents = sent(googlesql, reads, limits)
        if number == is_staged:
            staged = from_stage(made, parts, part, limits)
            assert sent(googlesql, staged, limits) == documents
        keyed = [each for each in documents if each.key("id") is not None]
        wanted = expected(made, part)
        keys = [each.key("id") for each in keyed]
        assert sorted(map(str, keys)) == sorted(wanted)
        for each in keyed:
            second, values = wanted[str(each.key("id"))]
            assert each.values["at"] == second
            assert each.values["v"] in values
            assert each.deletes == (made.deletes and values == {DELETED})
        assert len(documents) - len(keyed) == part.keyless
        stored = {
            key: [second]
            for key, (second, values) in wanted.items()
            if not made.deletes or values != {DELETED}
        }
        if watermark == window.end:
            assert matches(part, stored)
        assert not everything.keys() & wanted.keys(), "no key is sent by two slices"
        everything.update({key: second for key, (second, _) in wanted.items()})


def _bucket(values: tuple[Any, ...]) -> Bucket:
    start, rows, latest, keyless, newest, fingerprint, deletions = values
    max_cursor = BEGINNING if newest is None else newest
    return Bucket(start, rows, latest, keyless, max_cursor, fingerprint, deletions)
