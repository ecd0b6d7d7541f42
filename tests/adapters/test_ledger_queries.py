"""The ledger's questions about evaluations and for the status page, asked of a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.cloud import bigquery

from local import bigquery as emulator
from local.stack import Stack
from sync.ledger import checkpoints, evaluations, rejects, status_queries
from sync.ledger.evaluations import evaluation_insert_id, evaluation_row
from sync.model.checkpoint import Checkpoint, KnownTable
from sync.model.records import EvaluationRecord, LastSync
from sync.model.sql import Parameter

DEFINITIONS = Path(evaluations.__file__).parent
TABLES = ("runs", "rejects", "evaluations", "leases", "checkpoints")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


class Records:
    """A ledger's tables in a dataset of their own."""

    def __init__(self, stack: Stack, dataset: str) -> None:
        self._client = stack.bigquery.client()
        self._dataset = dataset
        self.asked = 0
        for name in TABLES:
            emulator.load(self._client, f"{dataset}.{name}", columns(name), [])

    def put(self, table: str, *rows: dict[str, Any]) -> None:
        path = f"{self._dataset}.{table}"
        emulator.load(self._client, path, columns(table), list(rows))

    def read(self, text: str, parameters: Sequence[Parameter]) -> list[dict[str, Any]]:
        self.asked += 1
        names = {name: f"`{self._client.project}.{self._dataset}.{name}`" for name in TABLES}
        config = bigquery.QueryJobConfig(query_parameters=[_typed(each) for each in parameters])
        job = self._client.query(text.format(**names), job_config=config)
        return [dict(row) for row in job.result()]


def _typed(parameter: Parameter) -> Any:
    name, kind, value = parameter.name, parameter.type, parameter.value
    if kind.startswith("ARRAY"):
        return bigquery.ArrayQueryParameter(name, kind[6:-1], value)
    return bigquery.ScalarQueryParameter(name, kind, value)


def columns(table: str) -> list[bigquery.SchemaField]:
    """The columns that the ledger's definition names."""
    definition = json.loads((DEFINITIONS / f"{table}.json").read_text())
    return [bigquery.SchemaField.from_api_repr(column) for column in definition]


@pytest.fixture
def records(stack: Stack, request: pytest.FixtureRequest) -> Records:
    """An empty ledger."""
    return Records(stack, re.sub(r"\W+", "_", request.node.name))


def evaluation(number: int, state: str = "started", **more: Any) -> EvaluationRecord:
    values: dict[str, Any] = {
        "evaluation_id": f"r{number}-web-source",
        "run_id": f"r{number}",
        "table": "web",
        "name": "source",
        "job_id": f"j{number}",
        "state": state,
        "started_at": NOON - number * DAY,
    }
    return EvaluationRecord(**{**values, **more})


def run(number: int, **more: Any) -> dict[str, Any]:
    started = NOON - number * DAY
    return {
        "run_id": f"r{number}",
        "table": "web",
        "action": "sync",
        "status": "ok",
        "started_at": started.isoformat(),
        "finished_at": (started + timedelta(minutes=1)).isoformat(),
        "uploaded": 7,
        "rejected": 0,
        "purged": 0,
        "watermark_after": 1000 - number,
        **more,
    }


def test_the_furthest_state_counts(records: Records) -> None:
    """One record per evaluation, oldest first. Of two ends `finished` counts."""
    figures = {"test_samples": 50, "accuracy": 0.75, "base_accuracy": 0.5}
    written = [
        evaluation(1),
        evaluation(2),
        evaluation(2, "lost", finished_at=NOON),
        evaluation(2, "finished", finished_at=NOON, figures={**figures, "mean_rank": 0.5}),
        evaluation(200),
    ]
    records.put("evaluations", *(evaluation_row(record) for record in written))
    found = evaluations.read_evaluations(records.read, NOON - 100 * DAY)
    nothing = dict.fromkeys(figures)
    assert found == [evaluation(2, "finished", figures=figures), evaluation(1, figures=nothing)]


def test_an_end_is_stored_once() -> None:
    """The insert id is made of evaluation and state."""
    lost = evaluation(1, "lost")
    assert evaluation_insert_id(lost) == "r1-web-source-lost"


def test_a_watch_is_one_query(records: Records) -> None:
    """Evaluations, the last good sync of each table and the newest watermark come together."""
    records.put("evaluations", evaluation_row(evaluation(1)))
    records.put(
        "runs",
        run(3),
        run(2),
        run(1, status="failed", watermark_after=None),
        run(0, status="busy", watermark_after=None),
        run(1, table="other", status="partial"),
        run(1, table="removed"),
    )
    found = evaluations.read_watch(records.read, ["web", "other", "new"], NOON - 9 * DAY, NOON)
    assert records.asked == 1
    assert [record.evaluation_id for record in found.evaluations] == ["r1-web-source"]
    started = NOON - 2 * DAY
    assert found.syncs == {
        "web": LastSync(started, started + timedelta(minutes=1), 998, NOON - 3 * DAY, True),
        "other": LastSync(None, None, 999, NOON - DAY, True),
    }


def test_status_of_an_empty_ledger(records: Records) -> None:
    """Every query answers with no rows."""
    found = status_queries.read_status(records.read, ["web"], NOON.timestamp())
    assert not any(vars(found).values())


def test_status_of_many_runs(records: Records) -> None:
    """The last 20 runs of each table, newest first, and at most 90 bars."""
    records.put("runs", *(run(n) for n in range(200)), *(run(n, table="other") for n in range(3)))
    found = status_queries.read_status(records.read, ["web", "other"], NOON.timestamp() + 60)
    web = [row["run_id"] for row in found.last_runs if row["table"] == "web"]
    assert web == [f"r{n}" for n in range(20)]
    assert found.last_runs[0]["ok_at"] == NOON + timedelta(minutes=1)
    assert found.last_runs[0]["newest"] == 1000
    assert sum(row["runs"] for row in found.rows if row["table"] == "web") == 200
    assert len([row for row in found.rows if row["table"] == "web"]) <= 90


def test_when_a_table_was_served(records: Records) -> None:
    """A reconcile and a failed sync serve a table, but neither is a sync that ended ok. A run that
    had no time for the table leaves it waiting.
    """
    records.put("runs", run(3), run(2, action="reconcile"), run(1, status="failed"))
    records.put("runs", run(0, status="partial"))
    found = checkpoints.read_known(records.read, NOON)["web"]
    assert found.ok_at == NOON - 3 * DAY
    assert found.served_at == NOON - DAY
    assert found.is_waiting


def test_rejects_count_once(records: Records) -> None:
    """An open key counts under its last reason; rows without a key count each, once."""
    put_rejects(
        records,
        ("a", 1, "old", 2),
        ("a", 2, "new", 1),
        ("b", 1, "new", 40),
        (None, 5, "no key", 3),
        (None, 5, "no key", 1),
        (None, 5, "no key", 1),
        ("closed", 1, "new", 3),
        ("closed", 1, CLOSED, 2),
        (None, 6, "no key", 3),
        (None, 6, CLOSED, 2),
        ("again", 1, "new", 4),
        ("again", 1, CLOSED, 3),
        ("again", 1, "worse", 2),
    )
    found = status_queries.read_status(records.read, ["web"], NOON.timestamp())
    counts = [(row["reason"], row["n_rows"]) for row in found.rejects]
    assert counts == [("new", 2), ("no key", 2), ("worse", 1)]
    known = checkpoints.read_known(records.read, NOON)
    assert known == {"web": KnownTable(Checkpoint("web"), 5)}
    watched = evaluations.read_watch(records.read, ["web"], NOON - DAY, NOON)
    assert watched.open_rejects == {"web": 5}


def test_rejects_of_failed_runs(records: Records) -> None:
    """A reject is excused once a run that did not fail has met it, whatever its last reason."""
    put_rejects(records, ("a", 1, "old", 2), ("a", 1, "new", 1), ("b", 1, "new", 1))
    records.put("runs", run(1, status="failed"))
    found = {each.row_id.key: each for each in rejects.read_open(records.read, "web", NOON)}
    assert (found["a"].reason, found["a"].excused) == ("new", True)
    assert not found["b"].excused


CLOSED = "closed"


def put_rejects(records: Records, *made: tuple[str | None, int, str, int]) -> None:
    """Rejects as key, cursor, reason, and how many days ago. Run `r1` is that of a day ago."""
    rows = []
    for key, cursor, reason, days in made:
        at = (NOON - days * DAY).isoformat()
        row = {"table": "web", "run_id": f"r{days}", "key": key, "cursor": cursor}
        row |= {"reason": reason, "rejected_at": at}
        rows.append({**row, "closed_at": at if reason == CLOSED else None})
    records.put("rejects", *rows)


RESERVED = """
all and any array as asc at between by case cast collate contains create cross cube current default
define desc distinct else end enum escape except exclude exists extract false fetch following for
from full group grouping groups hash having if ignore in inner intersect interval into is join
lateral left like limit lookup merge natural new no not null nulls of on or order outer over
partition preceding proto qualify range recursive respect right rollup rows select set some struct
tablesample then to treat true unbounded union unnest using when where window with within"""


@pytest.mark.parametrize(
    "text",
    [
        evaluations.LATEST,
        evaluations.WATCH,
        status_queries.LAST_RUNS,
        status_queries.ROWS,
        status_queries.ACCURACY,
        status_queries.LAST_EVALUATIONS,
        status_queries.REJECTS,
        status_queries.LEASES,
    ],
)
def test_queries_fit_bigquery(text: str) -> None:
    """No name is a word that BigQuery reserves; the emulator allows them. Every table is pruned."""
    made = re.findall(r"\bAS (\w+)|(\w+) AS \(", text)
    assert not {name.lower() for pair in made for name in pair} & set(RESERVED.split())
    tables = len(re.findall(r"FROM \{\w+\}", text))
    assert len(re.findall(r"(started_at|rejected_at|expires_at) >= ", text)) == tables
