"""One HTTP exchange with Aito: its time limit, its proxy, its certificates. No policy.

urllib3 bounds each single read and write. Here the whole exchange is bounded, because the safety
margin of a lease counts on it: `_Timed` gives each socket operation what is left of the exchange.

The usual variables are honoured: HTTPS_PROXY and NO_PROXY, SSL_CERT_FILE and REQUESTS_CA_BUNDLE.
Plain HTTP is only for this machine and never goes through a proxy. So a proxy sees no key: it gets
a CONNECT and then the encrypted stream.
"""

from __future__ import annotations

import http.client
import io
import os
import socket
import ssl
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import getproxies_environment, proxy_bypass

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InvalidHeader,
    LocationValueError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ProxySchemeUnknown,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util.retry import Retry

from sync.aito.answers import Answer
from sync.base.errors import ActionRequired

# Five attempts and their pauses end within 30 s. Then a run says that Aito cannot be reached.
CONNECT_SECONDS = 3.0
PIECE_BYTES = 65_536  # of a body, sent under one socket time-out
TEXT_CHARACTERS = 1000  # of an answer that is no JSON: enough to know a gateway's page
HEADERS = {
    "content-type": "application/json",
    "accept-encoding": "gzip",
    "user-agent": "bigquery-to-aito",
}
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")

# When the exchange of this thread must end, on the monotonic clock. urllib3 offers no argument that
# reaches its connections.
_ends: ContextVar[float] = ContextVar("_ends")


class Wire:
    """A pool of connections to one Aito."""

    def __init__(self, url: str, setting: str = "aito.url") -> None:
        """url: the base URL. setting: where it is written.

        Raises ActionRequired when a proxy or certificate variable is bad.
        """
        parts = urlsplit(url)
        self._base = parts.path.rstrip("/")
        proxy = _proxy(url)
        self._manager = _manager(proxy)
        through = " through the proxy of HTTPS_PROXY" if proxy else ""
        self.host = parts.netloc.rpartition("@")[2]
        self._unreached = f"{self.host} could not be reached{through}"
        self._remedy = f"check {setting}"
        origin = urlunsplit((parts.scheme, parts.netloc, "", "", ""))
        self._pool = self._manager.connection_from_url(origin)
        secure = parts.scheme == "https"
        connections: Any = _TimedHttps if secure else _TimedHttp
        self._pool.ConnectionCls = connections

    def exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], seconds: float
    ) -> Answer:
        """Send one request and read its answer, within `seconds` altogether. Never raises."""
        began = time.monotonic()
        _ends.set(began + seconds)
        try:
            response = self._request(method, path, body, headers, seconds)
        except HTTPError as error:
            return self._failure(error, seconds)
        return _answer(response, time.monotonic() - began)

    def _request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], seconds: float
    ) -> urllib3.BaseHTTPResponse:
        connect = min(CONNECT_SECONDS, seconds)
        return self._pool.urlopen(
            method,
            self._base + path,
            body=body,
            headers={**HEADERS, **headers},
            timeout=urllib3.Timeout(connect=connect, read=seconds),
            retries=False,
            redirect=False,
        )

    def _failure(self, error: HTTPError, seconds: float) -> Answer:
        """What an exception of urllib3 means. Every foreign error is translated here."""
        match error:
            case NewConnectionError() | ConnectTimeoutError() | ProxyError():
                cause = f"{self._unreached}{_why(error)}; {self._remedy}"
                return Answer(0, cause=cause, sent=False)
            case SSLError():
                trusted = not isinstance(error.args[0], ssl.SSLCertVerificationError)
                return Answer(0, cause=f"the secure connection failed: {error}", sent=trusted)
            case ReadTimeoutError():
                return Answer(0, cause=_late(seconds))
            case ProtocolError() if any(isinstance(inner, TimeoutError) for inner in error.args):
                return Answer(0, cause=_late(seconds))
            case ProtocolError():
                return Answer(0, cause="the connection was cut")
            case _:
                return Answer(0, cause=f"the answer was damaged ({type(error).__name__})")


def _why(error: BaseException) -> str:
    """Why no connection was made, in the words of the operating system. Empty: not known."""
    cause = error.__cause__ or error.__context__
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, TimeoutError):
        return f": no connection within {CONNECT_SECONDS:g} s"
    if isinstance(cause, OSError) and cause.strerror:
        return f": {cause.strerror.lower()}"
    return ""


def _late(seconds: float) -> str:
    return f"no answer within {seconds:g} s"


def _answer(response: urllib3.BaseHTTPResponse, seconds: float) -> Answer:
    try:
        body, text = response.json(), ""
    except (ValueError, RecursionError):
        body, text = None, response.data[:TEXT_CHARACTERS].decode(errors="replace")
    return Answer(
        response.status,
        body,
        text,
        retry_after(response.headers.get("Retry-After", "")),
        response.headers.get("x-error-cause", ""),
        seconds,
    )


def retry_after(header: str) -> float | None:
    """Seconds that a Retry-After names, as a number or as a date. None for anything else."""
    if not header:
        return None
    try:
        return float(Retry().parse_retry_after(header))
    except (InvalidHeader, ValueError, OverflowError):
        return None


# -- the environment


def _manager(proxy: str | None) -> urllib3.PoolManager:
    options = _certificates()
    if proxy is None:
        return urllib3.PoolManager(**options)
    try:
        address = urllib3.util.parse_url(proxy)
        if not address.host:
            raise LocationValueError
        headers = _credentials(address.auth)
        return urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
    except (ProxySchemeUnknown, LocationValueError, ValueError):
        right = "http://proxy.example.com:3128"
        raise ActionRequired(
            f"HTTPS_PROXY: is not the URL of an HTTP proxy; right would be {right}"
        ) from None


def _proxy(url: str) -> str | None:
    """The proxy for a URL. None: connect directly."""
    parts = urlsplit(url)
    proxy = getproxies_environment().get("https", "")
    if parts.scheme != "https" or not proxy or proxy_bypass(parts.netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _credentials(user: str | None) -> dict[str, str]:
    return dict(urllib3.make_headers(proxy_basic_auth=unquote(user))) if user else {}


def _certificates() -> dict[str, Any]:
    """Where the trusted certificates are: a file or a folder."""
    for variable in CA_VARIABLES:
        place = os.environ.get(variable)
        if place and os.path.isdir(place):
            return {"ca_cert_dir": place}
        if place and os.path.isfile(place):
            return {"ca_certs": place}
        if place:
            raise ActionRequired(f"{variable}: there is no file or folder {place}")
    return {"ca_certs": certifi.where()}


# -- time


def _left() -> float:
    """Seconds left of this thread's exchange. Raises TimeoutError when there are none."""
    left = _ends.get() - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _TimedReader(io.RawIOBase):
    """Reads a socket. Each read may take what is left of the exchange."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read some bytes. Raises TimeoutError."""
        self._sock.settimeout(_left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Let go of the socket."""
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    """An answer that is read within the exchange's time."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_TimedReader(sock))


class _Timed(HTTPConnection):
    """A connection that keeps the exchange's time. The connect time-out is for connecting alone."""

    response_class = _TimedResponse

    def connect(self) -> None:
        """Connect. Raises NewConnectionError: what fails here is no lost answer."""
        try:
            super().connect()
        except ssl.SSLError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise NewConnectionError(self, str(error)) from error

    def send(self, data: Any) -> None:
        """Send bytes, piece by piece. Raises TimeoutError."""
        if self.sock is None:
            self.connect()
        view = memoryview(data)
        for start in range(0, len(view), PIECE_BYTES):
            self.sock.settimeout(_left())
            super().send(view[start : start + PIECE_BYTES])


class _TimedHttp(_Timed):
    """Without encryption: this machine alone."""


class _TimedHttps(_Timed, HTTPSConnection):
    """Encrypted."""
