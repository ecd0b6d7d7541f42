"""One exchange with Aito over real sockets: time limits, proxies, certificates, odd servers."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any

import pytest
import trustme

from sync.aito import AitoTarget, RateLimiter, Transport
from sync.aito.wire import CA_VARIABLES, Wire, retry_after
from sync.base.backoff import Backoff
from sync.base.clock import Clock, Deadline
from sync.base.errors import (
    ActionRequired,
    OutcomeUnknown,
    Refused,
    Unavailable,
)
from sync.model import batches

KEY = "the-key-of-this-test"
BATCH = batches.of(['{"id": "a"}', '{"id": "b"}'])
PROXY_VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
Talk = Callable[[socket.socket], None]


class FixedKey:
    """A key that is never renewed."""

    origin = "a test"

    def get(self) -> str:
        """The key."""
        return KEY

    def renew(self, refused: str) -> bool:
        """There is no other."""
        return False


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no certificate of the machine that runs the tests."""
    for name in (*PROXY_VARIABLES, *map(str.lower, PROXY_VARIABLES), *CA_VARIABLES):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def serving(talk: Talk, secured: ssl.SSLContext | None = None) -> Iterator[int]:
    """A port on which each connection is handed to `talk`. secured: behind TLS."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                connection = self.request
                if secured:
                    connection = secured.wrap_socket(connection, server_side=True)
                talk(connection)
                connection.close()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def read_request(connection: socket.socket) -> bytes:
    """One request: head and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def response(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """An answer that ends its connection."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def answering(answer: bytes, seen: list[bytes] | None = None) -> Talk:
    """Answers every request alike, and notes it."""

    def talk(connection: socket.socket) -> None:
        request = read_request(connection)
        if request and seen is not None:
            seen.append(request)
        connection.sendall(answer)

    return talk


def target(url: str, *, seconds: float = 5, attempts: int = 1) -> AitoTarget:
    """The adapter, with no pauses between attempts."""
    clock = Clock(sleep=lambda _: None)
    backoff = Backoff(attempts=attempts)
    deadline = Deadline.after(clock, 1000)
    limiter = RateLimiter(1e6, clock)
    return AitoTarget(
        Transport(url, FixedKey(), seconds, limiter, deadline, lambda *_: None, backoff)
    )


def contexts() -> tuple[trustme.CA, ssl.SSLContext]:
    """An authority, and a server that it vouches for."""
    authority, secured = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(secured)
    return authority, secured


# -- time


def drip(connection: socket.socket, data: bytes) -> None:
    """Send a byte every 20 ms."""
    never = threading.Event()
    for place in range(len(data)):
        connection.sendall(data[place : place + 1])
        never.wait(0.02)


@pytest.mark.parametrize("where", ["head", "body"])
def test_the_time_limit_is_for_the_whole_answer(where: str) -> None:
    """A server that sends a byte now and then is not waited for beyond the time limit."""
    answer = response(b'{"total": 1, "hits": []}' + b" " * 200)
    at_once = 0 if where == "head" else answer.index(b"\r\n\r\n") + 4

    def talk(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer[:at_once])
        drip(connection, answer[at_once:])

    with serving(talk) as port:
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown, match=r"no answer within 0\.3 s"):
            target(f"http://127.0.0.1:{port}", seconds=0.3).count("t")
        assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("secure", [False, True])
def test_the_time_limit_is_for_sending_as_well(
    monkeypatch: pytest.MonkeyPatch, secure: bool
) -> None:
    """A server that does not read is not waited for beyond the time limit."""
    released = threading.Event()
    authority, secured = contexts()
    body = b'"' + b"x" * 20_000_000 + b'"'

    def talk(connection: socket.socket) -> None:
        released.wait(10)

    with (
        serving(talk, secured if secure else None) as port,
        authority.cert_pem.tempfile() as bundle,
    ):
        monkeypatch.setenv("SSL_CERT_FILE", bundle)
        wire = Wire(f"https://localhost:{port}" if secure else f"http://127.0.0.1:{port}")
        began = time.monotonic()
        answer = wire.exchange("POST", "/x", body, {}, 0.3)
        assert time.monotonic() - began < 2
        released.set()
    assert (answer.status, answer.sent, answer.cause) == (0, True, "no answer within 0.3 s")


@pytest.mark.parametrize("secure", [False, True])
def test_a_slow_line_is_not_cut(monkeypatch: pytest.MonkeyPatch, secure: bool) -> None:
    """Sending 5 MB may take longer than connecting may."""
    monkeypatch.setattr("sync.aito.wire.CONNECT_SECONDS", 0.2)
    authority, secured = contexts()
    pause = threading.Event()
    sizes: list[int] = []

    def talk(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        size, ends = 0, time.monotonic() + 0.7
        while time.monotonic() < ends:
            size += len(connection.recv(16384))
            pause.wait(0.01)
        while size < 5_000_000:
            size += len(connection.recv(65536))
        sizes.append(size)
        connection.sendall(response(b'{"entries": 2}'))

    with (
        serving(talk, secured if secure else None) as port,
        authority.cert_pem.tempfile() as bundle,
    ):
        monkeypatch.setenv("SSL_CERT_FILE", bundle)
        wire = Wire(f"https://localhost:{port}" if secure else f"http://127.0.0.1:{port}")
        answer = wire.exchange("POST", "/x", b" " * 5_000_000, {}, 20)
    assert answer.body == {"entries": 2}
    assert answer.seconds > 0.5
    assert sizes[0] >= 5_000_000


def test_a_handshake_that_hangs_was_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the connection is secure nothing of the request is on its way."""
    monkeypatch.setattr("sync.aito.wire.CONNECT_SECONDS", 0.1)
    released = threading.Event()

    def talk(_connection: socket.socket) -> None:
        released.wait(10)

    with serving(talk) as port:
        answer = Wire(f"https://localhost:{port}").exchange("POST", "/x", b"{}", {}, 5)
        released.set()
    assert (answer.status, answer.sent) == (0, False)


# -- Retry-After


def test_retry_after_in_both_forms() -> None:
    """Seconds or a date. Anything else is as if the header were not there."""
    assert retry_after("7") == 7
    assert retry_after(" 7 ") == 7
    soon = retry_after(formatdate(time.time() + 100, usegmt=True))
    assert soon is not None
    assert 90 < soon <= 100
    assert retry_after(formatdate(time.time() - 100, usegmt=True)) == 0
    for odd in ("", "²", "-3", "soon", "1.5", "Wed, 99 Foo 2026", "9" * 5000, "\u0663"):
        assert retry_after(odd) is None, odd


@pytest.mark.parametrize("header", ["²", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_an_odd_retry_after_is_no_error(header: str) -> None:
    """The request is repeated, whatever the header says."""
    answers = iter(
        [
            response(b'{"error": "write.contention"}', "409 Conflict", f"Retry-After: {header}"),
            response(b'{"entries": 2}'),
        ]
    )

    def talk(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(next(answers))

    with serving(talk) as port:
        target(f"http://127.0.0.1:{port}", attempts=2).insert("t", BATCH)


# -- who gets the key


def proxy(seen: list[bytes]) -> Talk:
    """A proxy for CONNECT. It notes all that it can read."""

    def talk(connection: socket.socket) -> None:
        head = read_request(connection)
        seen.append(head)
        host, _, port = head.split()[1].decode().rpartition(":")
        with socket.create_connection((host, int(port)), 5) as upstream:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            pump(connection, upstream, seen)

    return talk


def pump(left: socket.socket, right: socket.socket, seen: list[bytes]) -> None:
    """Carry bytes both ways until one side ends."""
    while True:
        readable, _, _ = select.select([left, right], [], [], 5)
        for end in readable:
            data = end.recv(65536)
            if not data:
                return
            seen.append(data)
            (right if end is left else left).sendall(data)
        if not readable:
            return


@pytest.mark.parametrize("user", ["", "us%40er:pass@"])
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
def test_a_proxy_carries_what_it_cannot_read(
    monkeypatch: pytest.MonkeyPatch, user: str, variable: str
) -> None:
    """HTTPS goes through the proxy's CONNECT: it sees the host, and never the key."""
    authority, secured = contexts()
    seen: list[bytes] = []
    asked: list[bytes] = []
    answer = answering(response(b'{"total": 7}'), asked)
    with (
        serving(answer, secured) as port,
        serving(proxy(seen)) as proxy_port,
        authority.cert_pem.tempfile() as bundle,
    ):
        monkeypatch.setenv("SSL_CERT_FILE", bundle)
        monkeypatch.setenv(variable, f"http://{user}127.0.0.1:{proxy_port}")
        assert target(f"https://localhost:{port}").count("t") == 7
    assert KEY.encode() in asked[0]
    assert seen[0].startswith(f"CONNECT localhost:{port} ".encode())
    assert (b"proxy-authorization: basic " in seen[0].lower()) is bool(user)
    assert b"proxy-authorization" not in asked[0].lower()
    assert not [data for data in seen if KEY.encode() in data]


def test_no_proxy_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host of NO_PROXY is reached directly."""
    authority, secured = contexts()
    seen: list[bytes] = []
    with (
        serving(answering(response(b'{"total": 7}')), secured) as port,
        serving(proxy(seen)) as proxy_port,
        authority.cert_pem.tempfile() as bundle,
    ):
        monkeypatch.setenv("SSL_CERT_FILE", bundle)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy_port}")
        monkeypatch.setenv("NO_PROXY", "example.com,localhost")
        assert target(f"https://localhost:{port}").count("t") == 7
    assert seen == []


def test_plain_http_never_uses_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key would be readable there."""
    seen: list[bytes] = []
    with (
        serving(answering(response(b'{"total": 7}'))) as port,
        serving(answering(response(b"{}"), seen)) as proxy_port,
    ):
        for name in PROXY_VARIABLES[:3]:
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy_port}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy_port}")
        assert target(f"http://127.0.0.1:{port}").count("t") == 7
    assert seen == []


def test_a_proxy_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent to Aito, and the message names the variable."""
    seen: list[bytes] = []
    with serving(answering(response(b"", "407 Who are you"), seen)) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{port}")
        with pytest.raises(Unavailable, match="HTTPS_PROXY") as caught:
            target("https://aito.invalid").insert("t", BATCH)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert len(seen) == 1
    assert KEY.encode() not in seen[0]


@pytest.mark.parametrize("odd", ["socks5://127.0.0.1:1080", "http://"])
def test_a_proxy_variable_that_is_wrong(monkeypatch: pytest.MonkeyPatch, odd: str) -> None:
    """A person must correct it."""
    monkeypatch.setenv("HTTPS_PROXY", odd)
    with pytest.raises(ActionRequired, match="HTTPS_PROXY"):
        target("https://aito.invalid")


@pytest.mark.parametrize("variable", [*CA_VARIABLES, None])
def test_certificates_come_from_the_usual_variables(
    monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    """Whoever cannot prove to be Aito never sees the key."""
    authority, secured = contexts()
    seen: list[bytes] = []
    with (
        serving(answering(response(b'{"total": 7}'), seen), secured) as port,
        authority.cert_pem.tempfile() as bundle,
    ):
        if variable:
            monkeypatch.setenv(variable, bundle)
            assert target(f"https://localhost:{port}").count("t") == 7
        else:
            with pytest.raises(Unavailable, match="certificate verify failed") as caught:
                target(f"https://localhost:{port}").insert("t", BATCH)
            assert not isinstance(caught.value, OutcomeUnknown)
    assert len(seen) == (1 if variable else 0)


@pytest.mark.parametrize("variable", CA_VARIABLES)
def test_certificates_that_are_not_there(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """The message names the variable and the place."""
    monkeypatch.setenv(variable, "/no/such/file.pem")
    with pytest.raises(ActionRequired, match=rf"{variable}.*/no/such/file\.pem"):
        target("https://aito.invalid")


def test_a_redirect_is_not_followed() -> None:
    """Whoever answers for Aito cannot send the key on."""
    seen: list[bytes] = []
    with serving(answering(response(b'{"total": 7}'), seen)) as elsewhere:
        location = f"Location: http://127.0.0.1:{elsewhere}/"
        away = answering(response(b"", "307 Temporary Redirect", location))
        with serving(away) as port, pytest.raises(Refused):
            target(f"http://127.0.0.1:{port}").count("t")
    assert seen == []


# -- answers of another shape

ODD = [b"[]", b"2", b'"ok"', b"null", b"{}", b'{"schema": []}']
ODD_TABLES: list[Any] = [
    [],
    {},
    {"type": 7},
    {"type": "table"},
    {"type": "table", "columns": []},
    {"type": "table", "columns": {"id": "String"}},
]


@pytest.mark.parametrize("body", ODD)
def test_a_schema_of_another_shape(body: bytes) -> None:
    """A 200 with other JSON is an Aito that does not work, and no traceback."""
    with serving(answering(response(body))) as port, pytest.raises(Unavailable, match="schema"):
        target(f"http://127.0.0.1:{port}").schema()


@pytest.mark.parametrize("table", ODD_TABLES)
def test_a_table_of_another_shape(table: Any) -> None:
    """It is something else than a table, and stops no other one."""
    body = json.dumps({"schema": {"t": table}}).encode()
    with serving(answering(response(body))) as port:
        assert not target(f"http://127.0.0.1:{port}").schema()["t"].is_table


@pytest.mark.parametrize("body", [*ODD[:5], b'{"total": "7"}', b'{"total": 7, "hits": {}}'])
def test_a_search_of_another_shape(body: bytes) -> None:
    """The same of searches."""
    with serving(answering(response(body))) as port, pytest.raises(Unavailable):
        target(f"http://127.0.0.1:{port}").count("t")


@pytest.mark.parametrize("body", [*ODD[:5], b'{"id": ""}'])
def test_a_job_of_another_shape(body: bytes) -> None:
    """The same of jobs."""
    with serving(answering(response(body))) as port:
        client = target(f"http://127.0.0.1:{port}")
        with pytest.raises(OutcomeUnknown):
            client.start_evaluation({})
        if body in ODD[:4]:
            with pytest.raises(OutcomeUnknown):
                client.evaluation_status("j")


@pytest.mark.parametrize("body", [b'{"entries": 1}', b'{"entries": 3}', *ODD[:5]])
def test_what_was_stored_is_counted(body: bytes) -> None:
    """An answer that does not confirm each row sent, no more and no less, is no success."""
    with serving(answering(response(body))) as port, pytest.raises(OutcomeUnknown):
        target(f"http://127.0.0.1:{port}").insert("t", BATCH)
    with serving(answering(response(b'{"entries": 2}'))) as port:
        target(f"http://127.0.0.1:{port}").insert("t", BATCH)


def test_json_that_is_too_deep() -> None:
    """It cannot be read, and ends nothing else."""
    deep = b"[" * 100_000
    with serving(answering(response(deep))) as port, pytest.raises(OutcomeUnknown):
        target(f"http://127.0.0.1:{port}").count("t")
