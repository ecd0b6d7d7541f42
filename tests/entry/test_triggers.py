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
