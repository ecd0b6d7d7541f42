"""Each form of trigger, broken and right, through the framework that serves the function."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.cloud.bigquery import SchemaField

from local.bigquery import load
from local.stack import Function, Stack
from tests.unit.test_request import (
    BINARY,
    BROKEN,
    EVENT,
    JSON_TYPE,
    RIGHT,
    STRUCTURED,
    TABLES,
    encoded,
    pushed,
)
from tests.workbench import table


@pytest.fixture
def function(stack: Stack) -> Iterator[Function]:
    """The function over two small tables."""
    client = stack.bigquery.client()
    client.delete_dataset("request_source", delete_contents=True, not_found_ok=True)
    fields = [SchemaField("id", "STRING"), SchemaField("ts", "TIMESTAMP")]
    for name in TABLES:
        load(client, f"request_source.{name}", fields, [{"id": "a", "ts": "2026-01-01T00:00:00Z"}])
    tables = [table(name, f"request_source.{name}") for name in TABLES]
    fast = {"requests_per_second": 1000}
    config = stack.configure(name="request.yaml", ledger="request_ledger", tables=tables, aito=fast)
    with Function(stack.environ(config)) as running:
        yield running


def test_through_the_framework(stack: Stack, function: Function) -> None:
    """Broken requests: 400 with the same message, nothing written.

    Then each form of trigger runs, and loads.
    """
    for name, (body, headers, told) in BROKEN.items():
        status, answer = function.post(encoded(body), headers=headers)
        assert (status, list(answer)) == (400, ["error"]), name
        assert [part for part in told if part not in answer["error"]] == [], name
    assert stack.aito.total("requests") == 0
    datasets = [found.dataset_id for found in stack.bigquery.client().list_datasets()]
    assert "request_ledger" not in datasets
    assert "Traceback" not in "".join(function.errors + function.lines)

    for name in (
        "a message",
        "a binary event",
        "a structured event",
        "a structured event in base64",
    ):
        body, headers, _ = RIGHT[name]
        status, answer = function.post(encoded(body), headers=headers)
        assert (status, answer["status"], answer["dry_run"]) == (200, "ok", True), name
    assert stack.aito.total("writes") == 0

    one = {"tables": ["request_web"]}
    for body, headers, uploaded in (
        (pushed(one), JSON_TYPE, 1),
        ({**EVENT, "data": pushed({"tables": ["request_user"]})}, STRUCTURED, 1),
        (pushed(one), BINARY, 0),
        (b"", {}, 0),
    ):
        status, answer = function.post(encoded(body), headers=headers)
        assert status == 200
        assert sum(t["uploaded"] for t in answer["tables"]) == uploaded
    assert {name: stack.aito.count(name) for name in TABLES} == dict.fromkeys(TABLES, 1)
    started = [event for event in function.logs if event["event"] == "run_started"]
    assert len(started) == 8, "a refused request is no run"


def test_a_body_without_end(stack: Stack, function: Function) -> None:
    """Megabytes of unknown table names get a short answer that says the limit, and are no run."""
    names = [f"no_such_table_{number:010d}" for number in range(75_000)]
    body = encoded({"tables": names})
    assert len(body) > 2_000_000
    status, answer = function.post(body)
    assert (status, list(answer)) == (400, ["error"])
    assert "longer than 1,000,000 bytes" in answer["error"]
    status, answer = function.post(encoded({"tables": names[:30_000]}))
    assert status == 400
    assert "and 29997 more unknown tables" in answer["error"]
    assert len(answer["error"]) < 400
    assert stack.aito.total("requests") == 0


def test_data_is_ready(stack: Stack, function: Function) -> None:
    """A finished scheduled query runs the tables that read what it wrote; a failed one runs none.

    The answer to the failed one is a 200, so that Pub/Sub does not send it again.
    """
    finished = {
        "dataSourceId": "scheduled_query",
        "destinationDatasetId": "request_source",
        "params": {"destination_table_name_template": "request_user"},
        "state": "SUCCEEDED",
    }
    status, answer = function.post(pushed(finished))
    assert (status, [table["table"] for table in answer["tables"]]) == (200, ["request_user"])
    assert stack.aito.count("request_user") == 1
    stack.aito.reset_stats()
    status, answer = function.post(pushed({**finished, "state": "FAILED"}))
    assert (status, answer["status"], answer["tables"]) == (200, "ok", [])
    assert "a scheduled query: its state is FAILED" in answer["skipped"]
    assert stack.aito.total("requests") == 0


def test_a_query_string_is_not_ignored(stack: Stack, function: Function) -> None:
    """`POST /?dry_run=true` writes nothing, and a wrong query string is a 400."""
    status, answer = function.post(b"", path="/?dry_run=true&tables=request_web")
    assert (status, answer["dry_run"]) == (200, True)
    assert [table["table"] for table in answer["tables"]] == ["request_web"]
    assert stack.aito.total("writes") == 0
    assert function.post(b"", path="/?dryrun=true")[0] == 400
