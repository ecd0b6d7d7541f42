"""Failures that a person must fix or wait for: each has one clear message, the right status and an
answer within seconds, and shows no secret.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local._http import Response, Server
from local.stack import SECRET, Function, Stack
from tests.workbench import Workbench, row

KEY = "canary-key-7d2f"
SECONDS = 30


def closed_port() -> str:
    """An address of this machine at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def silent_port() -> Iterator[str]:
    """An address that answers no connection: its queue is full, so it neither accepts nor
    refuses.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        queue = [socket.socket() for _ in range(4)]
        for waiting in queue:
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for waiting in queue:
                waiting.close()


@pytest.fixture
def bench(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Workbench]:
    """A table, and a key that no message may show."""
    made = Workbench(stack, re.sub(r"\W+", "_", request.node.name))
    made.put([row("a", made.now - 60)])
    before, stack.aito.api_key = stack.aito.api_key, KEY
    yield made
    stack.aito.api_key = before


def call_once(
    bench: Workbench, environ: dict[str, str] | None = None, key: str = KEY, **aito: Any
) -> tuple[int, str]:
    """One call to a fresh process.

    -> (status, the one message). Held to 30 seconds, to no traceback and no key.
    """
    bench.settings = {"aito": {"api_key_secret": "canary", **aito}}
    bench.stack.secrets.add(f"projects/{bench.stack.project}/secrets/canary", key)
    with Function({**bench.environment(), **(environ or {})}) as function:
        begun = time.monotonic()
        status, answer = function.post({"action": "sync"}, timeout=60)
        assert time.monotonic() - begun < SECONDS
        function.kill()
        told = json.dumps(answer) + "".join(function.lines + function.errors)
    assert "Traceback" not in told
    assert key not in told
    messages = {answer.get("error"), *(t["error"] for t in answer.get("tables", []))} - {None}
    assert len(messages) == 1, answer
    return status, messages.pop()


def test_a_wrong_key(bench: Workbench) -> None:
    """403 of Aito: a person must look at the secret."""
    bench.stack.aito.api_key = "another"
    status, message = call_once(bench)
    assert status == 500
    assert "403" in message
    assert "check that the secret holds the read-write key of this database" in message


def test_a_read_only_key(bench: Workbench) -> None:
    """401 of Aito at the first write; the same advice."""
    status, message = call_once(bench, key=bench.stack.aito.read_only_key)
    assert status == 500
    assert "401" in message
    assert "read-write key" in message


@pytest.mark.parametrize("how", ["refused", pytest.param("silent", marks=pytest.mark.slow)])
def test_aito_out_of_reach(bench: Workbench, how: str) -> None:
    """Nobody listens, or nobody answers: 503, to be tried again."""
    with silent_port() as silent:
        status, message = call_once(bench, url=closed_port() if how == "refused" else silent)
    assert status == 503
    assert re.search(
        r"Aito: GET /api/v1/schema: 127.0.0.1:\d+ could not be reached; check aito.url", message
    )


@pytest.mark.parametrize("how", ["refused", pytest.param("silent", marks=pytest.mark.slow)])
def test_bigquery_out_of_reach(bench: Workbench, how: str) -> None:
    """The same at the other end."""
    with silent_port() as silent:
        status, message = call_once(
            bench, {"BIGQUERY_EMULATOR_HOST": closed_port() if how == "refused" else silent}
        )
    assert status == 503
    assert "BigQuery did not answer" in message


def test_another_answers_for_bigquery(bench: Workbench) -> None:
    """A page of a proxy, with 200, is no answer of BigQuery's."""
    proxy = Server(lambda _: Response(body=b"<html>log in first</html>", content_type="text/html"))
    proxy.start()
    status, message = call_once(bench, {"BIGQUERY_EMULATOR_HOST": proxy.url})
    proxy.stop()
    assert status == 503
    assert "BigQuery did not answer" in message


@pytest.mark.slow
def test_several_tables_do_not_wait_in_turn(bench: Workbench) -> None:
    """With BigQuery out of reach, the run waits for it once and reports the error of every
    table.
    """
    tables = [{"name": f"t{i}", "source": bench.source, "mode": "replace"} for i in range(5)]
    path = bench.stack.configure(name="several.yaml", tables=tables, ledger="several_ledger")
    with Function(
        {**bench.stack.environ(path), "BIGQUERY_EMULATOR_HOST": closed_port()}
    ) as function:
        begun = time.monotonic()
        status, answer = function.post(timeout=60)
    assert (status, len({t["error"] for t in answer["tables"]})) == (503, 1)
    assert time.monotonic() - begun < SECONDS


def test_no_secret(bench: Workbench) -> None:
    """The message names it and says how to add it."""
    status, message = call_once(bench, api_key_secret="nowhere")
    assert status == 500
    assert f"projects/{bench.stack.project}/secrets/nowhere/versions/latest is not there" in message
    assert "gcloud secrets versions add" in message


def test_a_secret_that_may_not_be_read(bench: Workbench) -> None:
    """The message names the role that is missing."""
    name = f"projects/{bench.stack.project}/secrets/{SECRET}"
    bench.stack.secrets.forbidden.add(name)
    try:
        status, message = call_once(bench, api_key_secret=SECRET)
    finally:
        bench.stack.secrets.forbidden.discard(name)
    assert status == 500
    assert "roles/secretmanager.secretAccessor" in message


@pytest.mark.parametrize(
    ("source", "named"), [("nowhere.rows", "nowhere"), ("{}.nothing", "{} has no table nothing")]
)
def test_no_source(bench: Workbench, source: str, named: str) -> None:
    """A dataset or a table that is not there is named."""
    source, named = source.format(bench.dataset), named.format(bench.dataset)
    bench.table = {"source": source}
    status, message = call_once(bench)
    assert status == 500
    assert named in message
    assert re.search("has no table|not found", message)
