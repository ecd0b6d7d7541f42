"""The source on the emulator: what it says of a table, what it counts, and the batches it gives."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from google.auth.transport.requests import AuthorizedSession
from google.cloud.bigquery import SchemaField

from local import bigquery
from local._http import Request, Response, Server
from local.stack import Stack
from sync.base.errors import ActionRequired, NotFound, SchemaMismatch
from sync.bigquery import BigQuerySession, BigQuerySource, make_client
from sync.config import BatchSettings, BigQuerySettings
from sync.model.ports import Source, SourceTable
from sync.model.window import BEGINNING, SLICE_ROWS, Slice, Window, slices
from tests.sources import settings

NOON = 1_772_366_400  # 2026-03-01T12:00:00Z
HOUR = 3600
DAY = 86_400
LIMITS = BatchSettings(rows=2, bytes=5_000_000)
SCHEMA = [
    SchemaField("id", "STRING"),
    SchemaField("ts", "TIMESTAMP"),
    SchemaField("n", "INTEGER"),
]
ROWS: list[dict[str, Any]] = [
    {"id": "a", "ts": "2026-03-01T10:00:00Z", "n": 1},
    {"id": "b", "ts": "2026-03-01T10:30:00Z", "n": 2},
    {"id": "a", "ts": "2026-03-01T11:00:00Z", "n": 3},
    {"id": None, "ts": "2026-03-01T11:30:00Z", "n": 4},
    {"id": "c", "ts": None, "n": 5},
]


REQUIRED = {"id": "STRING", "ts": "TIMESTAMP", "n": "INTEGER", "f": "FLOAT"}


class Shop:
    """A dataset of one test, and a source that reads its tables."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.name = name
        self._client = stack.bigquery.client()
        configured = BigQuerySettings(project="local-project")
        session = BigQuerySession(make_client(configured), configured, "run", "sync")
        self.source = BigQuerySource(session)

    def load(self, rows: Iterable[dict[str, Any]], **layout: Any) -> None:
        """Fill the table `pages`."""
        bigquery.load(self._client, f"{self.name}.pages", SCHEMA, rows, **layout)

    def describe(self, *, prune: bool = True, **more: Any) -> SourceTable:
        """The description of a table, by default of `pages` with all its columns."""
        asked = {"source": f"{self.name}.pages", "columns": None, **more}
        port: Source = self.source
        return port.describe(settings(**asked), prune=prune)

    def documents(self, table: SourceTable, part: Slice | None) -> list[list[dict[str, Any]]]:
        """The rows of each batch."""
        batches = self.source.batches(table, part, LIMITS)
        return [[row.values for row in batch.read()] for batch in batches]


@pytest.fixture
def shop(stack: Stack, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Shop:
    """A dataset named after the test."""
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", stack.bigquery.url)
    return Shop(stack, request.node.name)


def test_a_table_describes_itself(shop: Shop) -> None:
    """Its columns under their Aito types, the cursor's last, and why rows may be rejected."""
    shop.load(ROWS)
    table = shop.describe()
    assert [(c.name, c.type, c.nullable) for c in table.columns] == [
        ("id", "String", False),
        ("ts", "String", True),
        ("n", "Int", True),
        ("at", "Int", False),
    ]
    reasons = [reason.split(":")[0] for reason in table.reject_reasons]
    assert reasons[:-1] == ["id", "n", "at"]
    assert "larger than 9500000 bytes" in reasons[-1]
    assert 1 <= table.slice_rows <= SLICE_ROWS


@pytest.mark.parametrize(
    ("layout", "mode", "prune", "expected"),
    [
        ("", "append", True, True),
        ("", "append", False, False),
        ("", "merge", True, False),
        ("ts", "append", True, False),
        (None, "append", True, False),
    ],
)
def test_only_arrivals_are_pruned(
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
    layout: str | None,
    mode: str,
    prune: bool,
    expected: bool,
) -> None:
    """Old arrivals are left out of ingestion-partitioned tables whose rows never change."""
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", stack.bigquery.url)
    shop = Shop(stack, f"pruned_{layout}_{mode}_{prune}")
    shop.load(ROWS, partition_by=layout)
    table = shop.describe(mode=mode, prune=prune)
    assert table.reads_recent_only is expected
    assert table.whole().reads_recent_only is False


def test_rows_are_counted_by_the_hour(shop: Shop) -> None:
    """The newest row of each key, rows without a key, and rows without a cursor."""
    shop.load(ROWS)
    window = Window(NOON - DAY, NOON)
    found = shop.source.histogram(shop.describe(), window, NOON, SLICE_ROWS)
    counts = [(b.start, b.rows, b.latest_per_key, b.keyless, b.max_cursor) for b in found.buckets]
    assert counts == [
        (NOON - 2 * HOUR, 2, 1, 0, NOON - HOUR),
        (NOON - HOUR, 2, 1, 1, NOON - HOUR),
    ]
    assert found.cursorless == 1


def test_heavy_hours_are_counted_finer(shop: Shop) -> None:
    """An hour with more rows than a slice is counted by the minute, such a minute by the second.

    All in one query: the source is read once.
    """
    seconds = [*range(3), 60, 150, 3_600, 3_700]
    times = [datetime.fromtimestamp(NOON - 5 * HOUR + n, UTC).isoformat() for n in seconds]
    shop.load({"id": time, "ts": time, "n": 0} for time in times)
    window = Window(NOON - DAY, NOON)
    found = shop.source.histogram(shop.describe(), window, BEGINNING, rows=2)
    starts = [bucket.start - NOON + 5 * HOUR for bucket in found.buckets]
    assert starts == [0, 1, 2, 60, 120, 3_600]
    assert [bucket.rows for bucket in found.buckets] == [1, 1, 1, 1, 1, 2]
    assert [part.rows for part in slices(window, found.buckets, 2)] == [2, 2, 1, 2]


def test_batches_hold_one_row_per_key_in_order(shop: Shop) -> None:
    """The newest row of a key counts, a batch closes at its limit, and rows at fault are marked."""
    shop.load(ROWS)
    table = shop.describe(columns={"id": {}, "n": {}})
    part = Slice(NOON - DAY, NOON)
    batches = list(shop.source.batches(table, part, LIMITS))
    rows = [(row.values["id"], row.values["n"], row.fault) for b in batches for row in b.read()]
    assert rows == [("b", 2, None), ("a", 3, None), (None, 4, 0)]
    assert [(b.rows, b.newest, b.flagged) for b in batches] == [
        (2, NOON - HOUR, 0),
        (1, NOON - HOUR // 2, 1),
    ]
    assert table.reject_reasons[0] == "id: NULL in a column that is not nullable"


def test_a_page_holds_several_small_batches(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten batches of a hundred bytes come in one page; of large documents each has its own."""
    answers = []
    send: Any = AuthorizedSession.request

    def counted(session: Any, method: str, url: str, *rest: Any, **named: Any) -> Any:
        answers.append(url)
        return send(session, method, url, *rest, **named)

    shop.load({"id": f"k{n:02}", "ts": "2026-03-01T10:00:00Z", "n": n} for n in range(20))
    table = shop.describe(columns={"id": {}, "n": {}})
    monkeypatch.setattr(AuthorizedSession, "request", counted)
    assert len(shop.documents(table, Slice(NOON - DAY, NOON))) == 10
    assert len([url for url in answers if "/queries/" in url]) == 1
    answers.clear()
    monkeypatch.setattr("sync.bigquery.source.PAGE_BYTES", 1)
    assert len(shop.documents(table, Slice(NOON - DAY, NOON))) == 10
    assert len([url for url in answers if "/queries/" in url]) >= 10


def test_a_slice_leaves_out_keys_that_a_later_one_holds(shop: Shop) -> None:
    """A key whose newest row comes later is sent once, with the later slice."""
    shop.load(ROWS)
    table = shop.describe(columns={"id": {}, "n": {}})
    first = Slice(NOON - 2 * HOUR, NOON - HOUR, max_cursor=NOON - HOUR)
    ((row,),) = shop.documents(table, first)
    assert row == {"id": "b", "n": 2, "at": NOON - 2 * HOUR + HOUR // 2}


def test_the_shards_of_a_slice_hold_each_row_once(shop: Shop) -> None:
    """A slice that is too heavy for one worker is read in parts."""
    shop.load({"id": f"k{n}", "ts": "2026-03-01T10:00:00Z", "n": n} for n in range(20))
    table = shop.describe(columns={"id": {}, "n": {}})
    batches = shop.documents(table, Slice(NOON - DAY, NOON, parts=3))
    assert sorted(row["n"] for batch in batches for row in batch) == list(range(20))


def test_a_whole_source_is_read_without_a_cursor(shop: Shop) -> None:
    """`replace` reads every row."""
    shop.load(ROWS)
    table = shop.describe(mode="replace", cursor=None, key=None)
    assert len([row for batch in shop.documents(table, None) for row in batch]) == len(ROWS)


def test_a_query_is_a_source(shop: Shop) -> None:
    """Its result is described and read like a table."""
    shop.load(ROWS)
    query = f"SELECT id, ts, n * 10 AS ten FROM {shop.name}.pages WHERE n < 3 -- two rows"
    table = shop.describe(query=query, columns={"id": {}, "ten": {"type": "String"}})
    ((first, second),) = shop.documents(table, Slice(NOON - DAY, NOON))
    assert (first["ten"], second["ten"]) == ("10", "20")


def test_estimates_read_nothing(shop: Shop) -> None:
    """The estimate of a plan adds up dry runs. The emulator says 0 bytes to each."""
    shop.load(ROWS)
    parts = [Slice(NOON - HOUR * n, NOON - HOUR * (n - 1)) for n in range(1, 20)]
    window = Window(NOON - DAY, NOON)
    assert shop.source.estimate(shop.describe(), window, parts) == 0
    assert shop.source.bytes_processed == 0


def test_a_missing_source_is_not_found(shop: Shop) -> None:
    """The message names the table of the configuration and the source."""
    with pytest.raises(NotFound, match=rf"t: .*source: local-project\.{shop.name}\.pages: "):
        shop.describe()


def test_a_cursor_must_be_a_time(shop: Shop) -> None:
    """The message names the column, its type, and what would be right."""
    shop.load(ROWS)
    with pytest.raises(SchemaMismatch, match=r"cursor\.source: id is STRING, .*TIMESTAMP\(`id`\)"):
        shop.describe(cursor={"source": "id", "column": "at"})


def test_all_columns_and_some_named(shop: Shop) -> None:
    """Names are compared without case; a named column stands in its place under its new name."""
    shop.load(ROWS)
    columns = {"*": {"except": ["TS"]}, "N": {"type": "Long"}, "twice": {"sql": "n * 2"}}
    table = shop.describe(columns=columns)
    found = [(column.name, column.type) for column in table.columns]
    assert found == [("id", "String"), ("N", "Long"), ("twice", "Int"), ("at", "Int")]


def test_a_failure_shows_no_value(shop: Shop) -> None:
    """A query that fails while it runs may quote a row: the message does not."""
    shop.load(ROWS)
    table = shop.describe(columns={"id": {}, "x": {"sql": "ERROR(CONCAT('canary', id))"}})
    with pytest.raises(ActionRequired) as found:
        shop.documents(table, Slice(NOON - DAY, NOON))
    assert "canary" not in str(found.value)


# -- what a configuration or a source may hold that BigQuery does not take


def test_names_that_differ_by_case_only(shop: Shop) -> None:
    """BigQuery takes them for one column. The message names both, before anything runs."""
    with pytest.raises(SchemaMismatch, match=r"n and N: BigQuery compares names without case"):
        shop.describe(columns={"id": {}, "n": {}, "N": {"sql": "n + 1"}})
    with pytest.raises(SchemaMismatch, match="AT and at: BigQuery compares"):
        shop.describe(columns={"id": {}, "AT": {"sql": "n"}})


def test_the_key_may_have_another_case_than_the_source(shop: Shop) -> None:
    """It keeps the name that the configuration gives it."""
    shop.load(ROWS)
    table = shop.describe(key="ID")
    assert [column.name for column in table.columns] == ["ID", "ts", "n", "at"]


def test_required_columns_are_not_nullable(shop: Shop, stack: Stack) -> None:
    """The table's metadata says it. A FLOAT may be NaN, and then it is absent in Aito."""
    required = [SchemaField(name, kind, "REQUIRED") for name, kind in REQUIRED.items()]
    bigquery.create(stack.bigquery.client(), f"{shop.name}.strict", required)
    table = shop.describe(source=f"{shop.name}.strict")
    assert {column.name: column.nullable for column in table.columns} == {
        "id": False,
        "ts": False,
        "n": False,
        "f": True,
        "at": False,
    }
    made = shop.describe(source=f"{shop.name}.strict", columns={"id": {}, "n": {"sql": "n"}})
    assert {column.name: column.nullable for column in made.columns}["n"] is True


def test_columns_with_other_characters(shop: Shop) -> None:
    """Aito's names may hold characters that a result of BigQuery may not."""
    shop.load(ROWS)
    table = shop.describe(columns={"id": {}, "price(eur)?": {"sql": "n"}})
    ((first, _), _) = shop.documents(table, Slice(NOON - DAY, NOON))
    assert first["price(eur)?"] == 2


class Describing:
    """A BigQuery that answers dry runs with these columns, and refuses to read `refused`."""

    def __init__(self, fields: list[dict[str, Any]], refused: str) -> None:
        self.fields = fields
        self.refused = refused

    def __call__(self, request: Request) -> Response:
        body = json.loads(request.body)
        text = body["configuration"]["query"]["query"]
        if self.refused in text:
            message = f"Unrecognized name: {self.refused}"
            error = {"reason": "invalidQuery", "message": message}
            failed = {"error": {"code": 400, "message": message, "errors": [error]}}
            return Response(400, json.dumps(failed).encode())
        query = {"statementType": "SELECT", "schema": {"fields": self.fields}}
        answer = {
            "jobReference": {"projectId": "p", "jobId": "j"},
            "configuration": body["configuration"],
            "statistics": {"query": query, "totalBytesProcessed": "0"},
            "status": {"state": "DONE"},
        }
        return Response(200, json.dumps(answer).encode())


@pytest.mark.parametrize(
    ("fields", "name", "message"),
    [
        ([{"name": "f0_", "type": "INTEGER"}], "f0_", r"column 2 \(BigQuery calls it f0_\)"),
        (
            [{"name": "s", "type": "RECORD", "fields": [{"name": "_field_1", "type": "INTEGER"}]}],
            "_field_1",
            "member 1 of the struct s",
        ),
    ],
)
def test_columns_without_a_name(
    monkeypatch: pytest.MonkeyPatch, fields: list[dict[str, Any]], name: str, message: str
) -> None:
    """The message counts them and says how to name them. A column may also be called so."""
    cursor = {"name": "sync_cursor", "type": "TIMESTAMP"}
    described = [{"name": "id", "type": "STRING"}, *fields, cursor]
    for refused in (f"`{name}`", "nothing"):
        server = Server(Describing(described, refused))
        server.start()
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        configured = BigQuerySettings(project="p")
        session = BigQuerySession(make_client(configured), configured, "run", "sync")
        table = settings(query="SELECT id, ts, COUNT(*) FROM d.t", columns=None)
        if refused == "nothing":
            assert len(BigQuerySource(session).describe(table).columns) == 3
        else:
            with pytest.raises(SchemaMismatch, match=rf"{message}\nRemedy: give each a name"):
                BigQuerySource(session).describe(table)
        server.stop()
