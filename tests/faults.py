"""Faults that the stand-ins do not know: refused rows, races, and the death of this process."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests
import urllib3

from local.aito.server import Aito

BAD = "\x01bad"  # `refuse_bad_rows` refuses a row whose value begins with this


def refuse_bad_rows(aito: Aito) -> None:
    """Let Aito refuse rows marked BAD, for a reason that no schema gives."""

    def refusal(document: dict[str, Any]) -> str | None:
        return "the value is bad" if str(document.get("value", "")).startswith(BAD) else None

    aito.refuse(refusal)


def after_first_query(
    monkeypatch: pytest.MonkeyPatch, matches: Callable[[str], bool], then: Callable[[], object]
) -> None:
    """Do something right after BigQuery ran the first query that matches, and once only."""
    send = requests.Session.send
    waiting = [then]

    def send_and_do(
        session: requests.Session, request: requests.PreparedRequest, **more: Any
    ) -> requests.Response:
        answer = send(session, request, **more)
        if waiting and matches(_query(request)):
            waiting.pop()()
        return answer

    monkeypatch.setattr(requests.Session, "send", send_and_do)


def _query(request: requests.PreparedRequest) -> str:
    """The text of a query job. Empty for every other request."""
    path = (request.url or "").partition("?")[0]
    if request.method != "POST" or not path.endswith("/jobs"):
        return ""
    configuration = json.loads(request.body or b"{}").get("configuration", {})
    return str(configuration.get("query", {}).get("query", "")).strip()


class Killed(BaseException):
    """The process is dead. Nothing catches this, as nothing catches a SIGKILL."""


class KillAfter:
    """Kills the process, as far as its servers can tell, after its n-th request that writes.

    That request still reaches its server and has its effect. Its answer is never read, and nothing
    is sent after it. `sent` lists the requests, in order. A GET changes nothing, so it does not
    count.
    """

    def __init__(self, request: int) -> None:
        self.sent: list[str] = []
        self._last = request
        self._lock = threading.Lock()

    def __enter__(self) -> KillAfter:
        # BigQuery's client (by way of `requests`) and the client to Aito both send through urllib3.
        send = self._send = urllib3.HTTPConnectionPool.urlopen

        def send_or_die(
            pool: urllib3.HTTPConnectionPool, method: str, url: str, *rest: Any, **more: Any
        ) -> Any:
            number = self._number(method, f"{pool.host}:{pool.port}{url.partition('?')[0]}")
            if number < self._last:
                return send(pool, method, url, *rest, **more)
            if number == self._last and method != "GET":
                send(pool, method, url, *rest, **more)
            raise Killed

        urllib3.HTTPConnectionPool.urlopen = send_or_die  # type: ignore[method-assign, assignment]
        return self

    def __exit__(self, *_: object) -> None:
        urllib3.HTTPConnectionPool.urlopen = self._send  # type: ignore[method-assign]

    def _number(self, method: str, where: str) -> int:
        """Note the request. -> how many were sent that write."""
        with self._lock:
            if method != "GET":
                self.sent.append(f"{method} {where}")
            return len(self.sent)


def before_every_query(
    monkeypatch: pytest.MonkeyPatch, matches: Callable[[str], bool], then: Callable[[], object]
) -> None:
    """Do something right before BigQuery gets each query that matches. `then` may query, too."""
    send = requests.Session.send
    busy = threading.Lock()

    def do_and_send(
        session: requests.Session, request: requests.PreparedRequest, **more: Any
    ) -> requests.Response:
        if matches(_query(request)) and busy.acquire(blocking=False):
            try:
                then()
            finally:
                busy.release()
        return send(session, request, **more)

    monkeypatch.setattr(requests.Session, "send", do_and_send)
