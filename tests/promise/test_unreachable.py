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
from unittest import mock

import flask
import pytest

from local._http import Response, Server
from local.stack import SECRET, Function, Stack
from sync.entry import http
from tests.workbench import Services, Workbench, row

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


class Caller:
    """Calls the function once, in this process. A call is held to 30 seconds, to no traceback and
    to no key in the answer and in the log.
    """

    def __init__(self, bench: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
        self._bench, self._capsys = bench, capsys

    def __call__(
        self, environ: dict[str, str] | None = None, key: str = KEY, **aito: Any
    ) -> tuple[int, str]:
        """-> (status, the one message)."""
        environ = {**self.environment(key, **aito), **(environ or {})}
        self._capsys.readouterr()
        begun = time.monotonic()
        with mock.patch.dict("os.environ", environ):
            response = answered({"action": "sync"})
        assert time.monotonic() - begun < SECONDS
        printed = self._capsys.readouterr()
        told = response.get_data(as_text=True) + printed.out + printed.err
        return response.status_code, the_one_message(response.get_json(), told, key)

    def environment(self, key: str = KEY, **aito: Any) -> dict[str, str]:
        """The environment of the function. `key`: what the secret holds."""
        self._bench.settings = {"aito": {"api_key_secret": "canary", **aito}}
        self._bench.stack.secrets.add("projects/local-project/secrets/canary", key)
        return self._bench.environment()


def answered(body: dict[str, str]) -> flask.Response:
    """The answer to a POST, by a function that has just started."""
    with flask.Flask("once").test_request_context("/", method="POST", json=body):
        return http.handle(flask.request, Services.from_environment, lambda: lambda: False)


def the_one_message(answer: Any, told: str, key: str) -> str:
    """The message of an answer. told: all that was answered and logged."""
    assert "Traceback" not in told
    assert key not in told
    messages = {answer.get("error"), *(t["error"] for t in answer.get("tables", []))} - {None}
    assert len(messages) == 1, answer
    message: str = messages.pop()
    return message


@pytest.fixture
def call(bench: Workbench, capsys: pytest.CaptureFixture[str]) -> Caller:
    """Calls the function once."""
    return Caller(bench, capsys)


def test_a_wrong_key(bench: Workbench, call: Caller) -> None:
    """403 of Aito: a person must look at the secret. Here in a process of the function."""
    bench.stack.aito.api_key = "another"
    with Function(call.environment()) as function:
        status, answer = function.post({"action": "sync"}, timeout=SECONDS)
        function.kill()
    told = json.dumps(answer) + "".join(function.lines + function.errors)
    message = the_one_message(answer, told, KEY)
    assert status == 500
    assert "403" in message
    assert "refused the key from" in message
    assert "check that this is the read-write key of this database" in message


def test_a_read_only_key(bench: Workbench, call: Caller) -> None:
    """401 of Aito at the first write; the same advice."""
    status, message = call(key=bench.stack.aito.read_only_key)
    assert status == 500
    assert "401" in message
    assert "read-write key" in message


@pytest.mark.parametrize("how", ["refused", pytest.param("silent", marks=pytest.mark.slow)])
def test_aito_out_of_reach(call: Caller, how: str) -> None:
    """Nobody listens, or nobody answers: 503, to be tried again."""
    with silent_port() as silent:
        status, message = call(url=closed_port() if how == "refused" else silent)
    assert status == 503
    assert re.search(
        r"Aito: GET /api/v1/schema: 127.0.0.1:\d+ could not be reached: "
        r"(connection refused|no connection within 3 s); check .* line \d+: aito.url",
        message,
    )


@pytest.mark.parametrize("how", ["refused", pytest.param("silent", marks=pytest.mark.slow)])
def test_bigquery_out_of_reach(call: Caller, how: str) -> None:
    """The same at the other end."""
    with silent_port() as silent:
        status, message = call(
            {"BIGQUERY_EMULATOR_HOST": closed_port() if how == "refused" else silent}
        )
    assert status == 503
    assert "BigQuery did not answer" in message


def test_another_answers_for_bigquery(call: Caller) -> None:
    """A page of a proxy, with 200, is no answer of BigQuery's."""
    proxy = Server(lambda _: Response(body=b"<html>log in first</html>", content_type="text/html"))
    proxy.start()
    status, message = call({"BIGQUERY_EMULATOR_HOST": proxy.url})
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


def test_no_secret(bench: Workbench, call: Caller) -> None:
    """The message names it and says how to add it."""
    status, message = call(api_key_secret="nowhere")
    assert status == 500
    assert f"projects/{bench.stack.project}/secrets/nowhere/versions/latest is not there" in message
    assert "gcloud secrets versions add" in message


def test_a_secret_that_may_not_be_read(bench: Workbench, call: Caller) -> None:
    """The message names the role that is missing."""
    name = f"projects/{bench.stack.project}/secrets/{SECRET}"
    bench.stack.secrets.forbidden.add(name)
    try:
        status, message = call(api_key_secret=SECRET)
    finally:
        bench.stack.secrets.forbidden.discard(name)
    assert status == 500
    assert "roles/secretmanager.secretAccessor" in message


@pytest.mark.parametrize(
    ("source", "named"), [("nowhere.rows", "nowhere"), ("{}.nothing", "{} has no table nothing")]
)
def test_no_source(bench: Workbench, call: Caller, source: str, named: str) -> None:
    """A dataset or a table that is not there is named."""
    source, named = source.format(bench.dataset), named.format(bench.dataset)
    bench.table = {"source": source}
    status, message = call()
    assert status == 500
    assert named in message
    assert re.search("has no table|has no dataset|not found", message)
