"""A small threaded HTTP/1.1 server on loopback: keep-alive, no Nagle delay, one write per answer.

The stand-ins hand it one function from `Request` to `Response`. It can also misbehave at the level
of the connection, which no framework allows: cut it with a reset, or promise more bytes than it
sends.
"""

import os
import select
import socket
import struct
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Request:
    """One request as it came.

    `size`: bytes of line, headers and body; `peer_gone`: has the client hung up by now?
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    size: int
    peer_gone: Callable[[], bool] = field(repr=False, default=lambda: False)


@dataclass(frozen=True)
class Response:
    """One answer.

    `promised`: a Content-Length beyond the body, then the connection ends; `cut`: a reset instead.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=utf-8"
    promised: int | None = None
    cut: bool = False


Answer = Callable[[Request], Response]


class Server:
    """Serves `answer` on a port of 127.0.0.1 (0 = any free one) in background threads until
    `stop`.
    """

    def __init__(self, answer: Answer, port: int = 0) -> None:
        handler = type("Handler", (_Handler,), {"answer": staticmethod(answer)})
        self._server = _Listener((HOST, port), handler)
        self.url = f"http://{HOST}:{self._server.server_address[1]}"

    @property
    def connections(self) -> int:
        """How many connections clients have opened so far."""
        return self._server.connections

    def start(self) -> None:
        """Begin to answer."""
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def stop(self) -> None:
        """Stop listening and hang up on everybody, as a server that goes away does."""
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._open: set[socket.socket] = set()
        self.connections = 0

    def server_bind(self) -> None:
        # HTTPServer asks the resolver for this machine's name here, which can take seconds; nothing
        # needs it.
        socket.socket.bind(self.socket, self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        self.connections += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle is no news here."""

    def hang_up(self) -> None:
        for connection in list(self._open):
            self.shutdown_request(connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    answer: Answer

    def serve(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            self.close_connection = True
            self._write(Response(411))
            return
        request = self._request()
        try:
            response = self.answer(request)
        except Exception:  # noqa: BLE001 - a mistake in a stand-in must be seen, and must not look like a lost answer
            traceback.print_exc()
            response = Response(
                500, b'{"message": "the stand-in itself failed; see its stderr", "status": 500}'
            )
        self._write(response)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = serve  # noqa: N815 - http.server calls them by these names

    def _request(self) -> Request:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = dict(self.headers.items())
        head = [self.requestline, *(f"{name}: {value}" for name, value in headers.items()), ""]
        size = len("\r\n".join(head)) + 2 + len(body)
        return Request(self.command, self.path, headers, body, size, self._peer_gone)

    def _peer_gone(self) -> bool:
        waiting = select.poll()  # select() takes no descriptor beyond 1,023
        waiting.register(self.connection, select.POLLIN)
        return bool(waiting.poll(0)) and self.connection.recv(1, socket.MSG_PEEK) == b""

    def _write(self, response: Response) -> None:
        if response.cut:
            self._reset()
            return
        length = response.promised or len(response.body)
        self.close_connection = self.close_connection or response.promised is not None
        head = [f"HTTP/1.1 {response.status} {self.responses.get(response.status, ('',))[0]}"]
        head += [f"Content-Type: {response.content_type}", f"Content-Length: {length}"]
        head += [f"{name}: {value}" for name, value in response.headers.items()]
        head += ["Connection: close"] if self.close_connection else []
        body = b"" if self.command == "HEAD" else response.body
        self.wfile.write("\r\n".join([*head, "", ""]).encode("latin-1") + body)

    def _reset(self) -> None:
        """Close so that the client sees a reset and not an orderly end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the stand-ins keep their own log."""
