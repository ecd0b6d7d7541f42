"""What the statements of a run name: tables, columns and bytes of the source."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest
import requests
import sqlglot
from sqlglot import exp


class Heard:
    """The queries that BigQuery was sent, the dry runs excluded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        send = requests.Session.send

        def send_and_hear(
            session: requests.Session, request: requests.PreparedRequest, **more: Any
        ) -> requests.Response:
            if request.method == "POST" and (request.url or "").split("?")[0].endswith("/jobs"):
                self._hear(json.loads(request.body or b"{}")["configuration"])
            return send(session, request, **more)

        monkeypatch.setattr(requests.Session, "send", send_and_hear)

    def _hear(self, configuration: dict[str, Any]) -> None:
        if "query" in configuration and not configuration.get("dryRun"):
            self.texts.append(configuration["query"]["query"])

    def of_source(self, source: str) -> list[exp.Expr]:
        """The statements that read a table, dataset.table."""
        parsed = [tree(text) for text in self.texts]
        return [each for each in parsed if source in tables_of(each)]


@lru_cache
def tree(text: str) -> exp.Expr:
    """A statement as BigQuery reads it. Its tree is shared: do not change it."""
    (parsed,) = sqlglot.parse(text, read="bigquery")
    assert parsed is not None
    return parsed


def tables_of(statement: exp.Expr) -> set[str]:
    """The tables that a statement reads, as dataset.table."""
    return {f"{table.db}.{table.name}" for table in statement.find_all(exp.Table)}


def columns_of(statement: exp.Expr, source: str) -> set[str]:
    """The columns of a table that a statement names. Each is read once."""
    found = set()
    for table in statement.find_all(exp.Table):
        select = table.find_ancestor(exp.Select)
        if f"{table.db}.{table.name}" == source and select:
            found |= {column.name for column in select.find_all(exp.Column)}
    return found


class Metered:
    """Lets the emulator tell bytes, and refuse a query by its dry run, as BigQuery does.

    source: dataset.table, the only one that has bytes. widths: bytes of each column's value, of
    `rows` rows. share: of its dry run's bytes that a query really reads.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        source: str,
        widths: dict[str, int],
        rows: int,
        share: float,
    ) -> None:
        self._source, self._widths, self._rows = source, widths, rows
        self.share = share
        self.refused: list[str] = []  # statements
        self._read: dict[str, int] = {}  # by job
        send = requests.Session.send

        def send_and_meter(
            session: requests.Session, request: requests.PreparedRequest, **more: Any
        ) -> requests.Response:
            path = (request.url or "").partition("?")[0]
            if request.method == "POST" and path.endswith("/jobs"):
                return self._job(request, lambda: send(session, request, **more))
            answer = send(session, request, **more)
            job = path.rpartition("/")[2]
            if job in self._read:
                self._tell(answer, self._read[job])
            return answer

        monkeypatch.setattr(requests.Session, "send", send_and_meter)

    def size(self, text: str) -> int:
        """Bytes that the dry run of a statement tells."""
        named = columns_of(tree(text), self._source)
        return self._rows * sum(self._widths.get(name, 0) for name in named)

    def _job(
        self, request: requests.PreparedRequest, send: Callable[[], requests.Response]
    ) -> requests.Response:
        body = json.loads(request.body or b"{}")
        configuration = body["configuration"]
        if "query" not in configuration:
            return send()
        text = configuration["query"]["query"]
        size = self.size(text)
        limit = int(configuration["query"].get("maximumBytesBilled", size))
        if size > limit:
            self.refused.append(text)
            words = f"Query exceeded limit for bytes billed: {limit}. {size} or higher required."
            return failed_job(request, "bytesBilledLimitExceeded", words)
        answer = send()
        if not configuration.get("dryRun"):
            size = round(size * self.share)
            self._read[body["jobReference"]["jobId"]] = size
        self._tell(answer, size)
        return answer

    @staticmethod
    def _tell(answer: requests.Response, size: int) -> None:
        """Put the bytes where the client looks for them."""
        body = answer.json()
        body["totalBytesProcessed"] = str(size)
        figures = body.setdefault("statistics", {})
        figures["totalBytesProcessed"] = str(size)
        figures.setdefault("query", {})["totalBytesProcessed"] = str(size)
        answer._content = json.dumps(body).encode()


def fail_jobs(
    monkeypatch: pytest.MonkeyPatch, part: str, reason: str, message: str, times: int | None = None
) -> None:
    """Let BigQuery fail the jobs whose statement holds a text, and refuse their dry runs.

    times: how many jobs fail; None: all of them.
    """
    send = requests.Session.send
    left = [times]

    def send_or_fail(
        session: requests.Session, request: requests.PreparedRequest, **more: Any
    ) -> requests.Response:
        if request.method != "POST" or not (request.url or "").partition("?")[0].endswith("/jobs"):
            return send(session, request, **more)
        body = json.loads(request.body or b"{}")
        configuration = body["configuration"]
        if part not in configuration.get("query", {}).get("query", "") or left[0] == 0:
            return send(session, request, **more)
        if configuration.get("dryRun"):
            return _answer(request, 400, {"error": {"code": 400, **_error(reason, message)}})
        left[0] = None if left[0] is None else left[0] - 1
        return failed_job(request, reason, message)

    monkeypatch.setattr(requests.Session, "send", send_or_fail)


def failed_job(request: requests.PreparedRequest, reason: str, message: str) -> requests.Response:
    """The answer to a request for a job that BigQuery did not run."""
    error = _error(reason, message)
    body = json.loads(request.body or b"{}")
    status = {"state": "DONE", "errorResult": error, "errors": [error]}
    return _answer(request, 200, {**body, "status": status})


def _error(reason: str, message: str) -> dict[str, Any]:
    return {
        "reason": reason,
        "message": message,
        "errors": [{"reason": reason, "message": message}],
    }


def _answer(
    request: requests.PreparedRequest, status: int, body: dict[str, Any]
) -> requests.Response:
    answer = requests.Response()
    answer.request = request
    answer.status_code = status
    answer.headers["Content-Type"] = "application/json"
    answer._content = json.dumps(body).encode()
    return answer
