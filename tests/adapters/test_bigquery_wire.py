"""Large answers: read as any client reads them, over a socket."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import requests

from local._http import Request, Response, Server
from sync.bigquery.wire import PIECE_BYTES, LargePieces

DOCUMENT = {"title": 'a "quoted" \\ päätöspuu 決定木 🌲', "n": 2**53, "none": None}
ANSWERS = {
    "/small": json.dumps(DOCUMENT).encode(),
    "/raw": json.dumps(DOCUMENT, ensure_ascii=False).encode(),
    "/large": json.dumps([DOCUMENT] * 40_000).encode(),  # several pieces
    "/lenient": rb'{"n": Infinity, "half": "\ud83d"}',  # what strict readers refuse
    "/html": b"<html>",
    "/cut": json.dumps(DOCUMENT).encode()[:-1],
    "/none": b"",
}


@pytest.fixture
def url() -> Iterator[str]:
    """A server of ANSWERS."""

    def answer(request: Request) -> Response:
        return Response(body=ANSWERS[request.path])

    server = Server(answer)
    server.start()
    yield server.url
    server.stop()


def got(url: str) -> requests.Response:
    """An answer, off the wire in large pieces."""
    with requests.Session() as session:
        session.mount("http://", LargePieces())
        return session.get(url, timeout=10)


@pytest.mark.parametrize("path", ["/small", "/raw", "/large", "/lenient"])
def test_json(url: str, path: str) -> None:
    """The same as the standard library reads."""
    answer = got(url + path)
    assert answer.content == ANSWERS[path]
    assert answer.json() == json.loads(ANSWERS[path])


def test_the_large_one_is_large() -> None:
    """Several pieces."""
    assert len(ANSWERS["/large"]) > 2 * PIECE_BYTES


@pytest.mark.parametrize("path", ["/html", "/cut", "/none"])
def test_no_json(url: str, path: str) -> None:
    """The error is the one that BigQuery's client and ours know."""
    with pytest.raises(requests.exceptions.JSONDecodeError):
        got(url + path).json()
