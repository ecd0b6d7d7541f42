"""Every answer Aito may give to every kind of call: the documented reaction, so many requests and
no more.

The first half asks the adapter alone, over real sockets; the second half runs the core and holds it
to its promise.
"""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from time import monotonic, sleep
from typing import Any, ClassVar

import pytest
import trustme

from local.aito.server import Aito
from local.stack import Stack
from sync.aito.transport import ATTEMPTS, LONGEST_PAUSE, Pace, Transport
from sync.aito.v1 import Target
from sync.base.clock import Clock, Deadline
from sync.base.errors import (
    AccessDenied,
    ActionRequired,
    OutcomeUnknown,
    Refused,
    SyncError,
    Unavailable,
)
from sync.gcp.secret import Secret
from sync.model import batches
from tests.workbench import DAY, Workbench, batches_of, limit_slices, row

# answer -> (error in the end, requests for what may be repeated, requests for what may not)
REACTIONS: dict[str, tuple[type[SyncError], int, int]] = {
    "contention": (Unavailable, ATTEMPTS, ATTEMPTS),
    "throttled": (Unavailable, ATTEMPTS, ATTEMPTS),
    "migrating": (Unavailable, 1, 1),
    "quota": (ActionRequired, 1, 1),
    "row_limit": (ActionRequired, 1, 1),
    "unauthorized": (AccessDenied, 1, 1),
    "forbidden": (AccessDenied, 1, 1),
    "missing": (Refused, 1, 1),
    "refused": (Refused, 1, 1),
    "too_large": (Refused, 1, 1),
    "error": (OutcomeUnknown, ATTEMPTS, 1),
    "unavailable": (OutcomeUnknown, ATTEMPTS, 1),
    "bad_gateway": (OutcomeUnknown, ATTEMPTS, 1),
    "gateway_timeout": (OutcomeUnknown, ATTEMPTS, 1),
    "garbage": (OutcomeUnknown, ATTEMPTS, 1),
    "html": (OutcomeUnknown, ATTEMPTS, 1),
    "empty": (OutcomeUnknown, ATTEMPTS, 1),
    "truncated": (OutcomeUnknown, ATTEMPTS, 1),
    "short": (OutcomeUnknown, ATTEMPTS, 1),
    "cut": (OutcomeUnknown, ATTEMPTS, 1),
    "hang": (OutcomeUnknown, ATTEMPTS, 1),
}
BATCH = batches.of(['{"id": "a"}', '{"id": "b"}'])
# kind of call -> (how it is made, whether it may be repeated when its outcome is unknown)
CALLS: dict[str, tuple[Callable[[Target], Any], bool]] = {
    "insert": (lambda t: t.insert("t", BATCH), False),
    "search": (lambda t: t.count("t"), True),
    "delete": (lambda t: t.delete("t", {"id": "held"}), True),
    "schema": (lambda t: t.schema(), True),
    "schema.write": (lambda t: t.create("new", {"id": {"type": "String"}}), True),
    "modify": (lambda t: t.replace("t", "id", ["a", "b"], BATCH), False),
    "optimize": (lambda t: t.optimize("t"), True),
    "rename": (lambda t: t.rename("t", "renamed"), False),
    "job.start": (lambda t: t.start_job("_evaluate", {}), False),
}


class Time:
    """A clock for tests: sleeping moves it, and is remembered."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds

    @property
    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.seconds, sleep=self.sleep)


@pytest.fixture(scope="module")
def server() -> Iterator[Aito]:
    with Aito() as aito:
        yield aito


@pytest.fixture
def aito(server: Aito) -> Iterator[Aito]:
    """A table `t` with one row."""
    for table in server.schema():
        server.drop_table(table)
    server.create_table("t", {"id": {"type": "String"}})
    server.insert("t", [{"id": "held"}])
    server.reset_stats()
    yield server
    server.heal()


@pytest.fixture
def time() -> Time:
    return Time()


def transport(
    aito: Aito, time: Time, *, left: float = 1000, url: str = "", key: str = ""
) -> Transport:
    deadline = Deadline.after(time.clock, left)
    secret = Secret(lambda: key or aito.api_key)
    return Transport(url or aito.url, secret, 0.1, Pace(1e6, time.clock), deadline)


def came_in(aito: Aito, call: str, wanted: int) -> bool:
    """Whether so many requests came in; one that hangs is only counted when it bench."""
    deadline = monotonic() + 5
    while aito.total(on=call) < wanted and monotonic() < deadline:
        sleep(0.005)
    return aito.total(on=call) == wanted


@pytest.mark.parametrize("call", CALLS)
def test_each_answer_to_each_call(aito: Aito, time: Time, call: str) -> None:
    """An answer that does not go away: the error of the table in sync/transport.py, after so many
    requests.
    """
    make, repeatable = CALLS[call]
    target = Target(transport(aito, time))
    for what, (error, again, once) in REACTIONS.items():
        if call == "delete" and what in ("truncated", "short"):
            # these have their effect, and for a delete the count after it is what is believed
            continue
        aito.reset_stats()
        aito.fail(what, on=call, times=None, apply="none")
        with pytest.raises(error) as caught:
            make(target)
        assert type(caught.value) is error, what
        assert came_in(aito, call, again if repeatable else once), what
        assert caught.value.status == error.status
        aito.heal()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("what", ["contention", "throttled"])
def test_what_was_not_committed_is_sent_again(aito: Aito, time: Time, call: str, what: str) -> None:
    """Two refusals of the moment cost two requests, whatever the call."""
    if call == "job.start":
        pytest.skip("an empty evaluation is refused anyway")
    aito.fail(what, on=call, times=2)
    CALLS[call][0](Target(transport(aito, time)))
    assert aito.total(on=call) == 3
    assert len(time.slept) == 2


def test_pauses_double_with_jitter(aito: Aito, time: Time) -> None:
    """Half a second, one, two, four: each at least half of it, so that callers do not come back in
    step.
    """
    aito.fail("throttled", on="search", times=None)
    with pytest.raises(Unavailable):
        Target(transport(aito, time)).count("t")
    assert [
        longest / 2 <= pause <= longest
        for pause, longest in zip(time.slept, (0.5, 1, 2, 4), strict=True)
    ]


@pytest.mark.parametrize(("asked", "waited"), [(3, 3.0), (0, 0.0), (86_400, LONGEST_PAUSE)])
def test_retry_after_is_obeyed_up_to_a_limit(
    aito: Aito, time: Time, asked: float, waited: float
) -> None:
    """What the header asks for is waited, but never a day."""
    aito.fail("contention", on="insert", retry_after=asked)
    Target(transport(aito, time)).insert("t", BATCH)
    assert time.slept == [waited]


def test_never_past_the_deadline(aito: Aito, time: Time) -> None:
    """A pause that would end after the run's time is not begun."""
    aito.fail("contention", on="insert", retry_after=10, times=None)
    with pytest.raises(Unavailable):
        Target(transport(aito, time, left=9)).insert("t", BATCH)
    assert (aito.total(on="insert"), time.slept) == (1, [])


def test_refused_connections_were_never_sent(aito: Aito, time: Time) -> None:
    """Nobody listens: even an insert may be repeated, and its outcome is known."""
    with Aito() as gone:
        url = gone.url
    with pytest.raises(Unavailable) as caught:
        Target(transport(aito, time, url=url)).insert("t", BATCH)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert len(time.slept) == ATTEMPTS - 1


def test_a_key_that_was_changed_is_read_again(aito: Aito, time: Time) -> None:
    """A rotated key costs one refused request."""
    keys = iter(["old", aito.api_key])
    secret = Secret(lambda: next(keys))
    client = Transport(aito.url, secret, 1, Pace(1e6, time.clock), Deadline.after(time.clock, 100))
    assert Target(client).count("t") == 1
    assert aito.total(on="search") == 2


def test_a_missing_table_is_dropped_all_the_same(aito: Aito, time: Time) -> None:
    """The answer of the first request was lost, the second finds no table: that is what was
    wanted.
    """
    aito.fail("cut", on="schema.write", apply="all")
    Target(transport(aito, time)).drop("t")
    assert "t" not in aito.schema()


def test_a_delete_is_believed_by_its_effect(aito: Aito, time: Time) -> None:
    """A 500 although the rows are gone is no error, and a 200 that left some is one."""
    aito.fail("error", on="delete", apply="all")
    assert Target(transport(aito, time)).delete("t", {"id": "held"}) == 1
    aito.insert("t", [{"id": "held"}])
    aito.fail("contention", on="delete", times=4)
    assert Target(transport(aito, time)).delete("t", {"id": "held"}) == 1
    assert Target(transport(aito, time)).delete("t", {"id": "held"}) == 0, (
        "and nothing to delete needs no request"
    )
    assert aito.count("t") == 0


class Elsewhere(BaseHTTPRequestHandler):
    """A server that is not Aito: it notes who asks, and sends him on to `address`, or tells him
    `body`.
    """

    address = ""
    body = b""
    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.asked.append(self.headers.get("x-api-key", ""))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200 if self.body else 307)
        self.send_header("Location", self.address)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """Its address."""
    with served() as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def served(secured: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port that Elsewhere listens on; secured: behind TLS."""
    Elsewhere.asked.clear()
    Elsewhere.body = b""
    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server, ThreadPoolExecutor(1) as threads:
        if secured:
            server.socket = secured.wrap_socket(server.socket, server_side=True)
        threads.submit(server.serve_forever, 0.01)
        yield server.server_address[1]
        server.shutdown()


def test_a_proxy_is_not_used(
    aito: Aito, time: Time, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key goes to Aito and nowhere else, whatever the environment says."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, elsewhere)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert Target(transport(aito, time)).count("t") == 1
    assert Elsewhere.asked == []


def test_a_redirect_is_not_followed(aito: Aito, time: Time, elsewhere: str) -> None:
    """Whoever answers for Aito cannot send the key on."""
    Elsewhere.address = f"{aito.url}/api/v1/_search"
    with pytest.raises(Refused):
        Target(transport(aito, time, url=elsewhere)).count("t")
    assert len(Elsewhere.asked) == 1
    assert aito.total() == 0


@pytest.mark.parametrize("trusted", [True, False])
def test_a_certificate_is_checked(
    aito: Aito, time: Time, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    """Whoever cannot prove to be Aito never sees the key."""
    authority, secured = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(secured)
    with served(secured) as port, authority.cert_pem.tempfile() as bundle:
        Elsewhere.body = b'{"total": 7}'
        if trusted:
            monkeypatch.setattr("certifi.where", lambda: bundle)
        target = Target(transport(aito, time, url=f"https://localhost:{port}"))
        if trusted:
            assert target.count("t") == 7
        else:
            with pytest.raises(OutcomeUnknown, match="certificate verify failed"):
                target.count("t")
    assert Elsewhere.asked == ([aito.api_key] if trusted else [])


@pytest.mark.parametrize(
    "body", [b'{"entries": 1}', b'{"entries": 3}', b"{}", b"[]", b"2", b'"ok"']
)
def test_what_was_stored_is_counted(time: Time, aito: Aito, elsewhere: str, body: bytes) -> None:
    """An answer that does not confirm each row sent, no more and no less, is no success."""
    Elsewhere.body = body
    with pytest.raises(OutcomeUnknown):
        Target(transport(aito, time, url=elsewhere)).insert("t", BATCH)
    Elsewhere.body = b'{"entries": 2}'
    Target(transport(aito, time, url=elsewhere)).insert("t", BATCH)
    assert len(Elsewhere.asked) == 2


def test_every_page_once(aito: Aito, time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    """Aito promises no order of its own: pages are asked for in the key's, and none is left out or
    overlaps.
    """
    monkeypatch.setattr("sync.aito.v1.PAGE", 3)
    keys = [f"k{n:02}" for n in range(20)]
    aito.insert("t", [{"id": key} for key in keys])
    found = Target(transport(aito, time)).rows("t", {"id": {"$gte": "k"}}, "id")
    assert [hit["id"] for hit in found] == keys
    assert aito.total() == 7


def test_the_ceiling_of_requests(time: Time) -> None:
    """Never more than ten in any one second, and no slower than that."""
    pace, sent = Pace(10, time.clock), []
    for _ in range(35):
        pace.wait()
        sent.append(time.seconds)
    assert all(later - first >= 1 for first, later in zip(sent, sent[10:], strict=False))
    assert sent[-1] - sent[0] < 4


def test_one_connection_for_all(aito: Aito, time: Time) -> None:
    """A fresh connection for each call would cost most of its time."""
    before, target = aito.connections, Target(transport(aito, time))
    for _ in range(20):
        target.count("t")
    assert aito.connections == before + 1


# -- the core

KINDS = ("insert", "search", "delete", "schema", "modify", "optimize")
LOST: list[tuple[str, Any]] = [
    *itertools.product(("cut", "hang", "error", "garbage"), ("none", "all")),
    *(
        ("cut", "half"),
        ("error", "half"),
        ("truncated", "all"),
        ("short", "all"),
        ("html", "all"),
        ("empty", "all"),
    ),
    *((what, "all") for what in ("bad_gateway", "gateway_timeout", "unavailable")),
    *(
        (what, "none")
        for what in ("contention", "throttled", "migrating", "quota", "row_limit", "forbidden")
    ),
    *((what, "none") for what in ("unauthorized", "missing", "refused", "too_large")),
]

QUICK = (
    ("cut", "all"),
    ("error", "none"),
    ("error", "half"),
    ("contention", "none"),
    ("refused", "none"),
)
FOR_EVER = ("error", "cut", "contention", "refused", "forbidden")


@pytest.fixture(scope="module")
def nights() -> dict[str, Workbench]:
    """One table for all the tests below: emulators are slow to make tables."""
    return {}


def night(nights: dict[str, Workbench], stack: Stack, mode: str) -> Workbench:
    """A table as it stands before a night's run: rows to load, to replace, to leave alone and to
    purge.
    """
    if mode not in nights:
        settings = {"aito": {"timeout_seconds": 0.1}, **batches_of(20)}
        bench = nights[mode] = Workbench(stack, f"retry_{mode}", mode, 10 * DAY, settings=settings)
        bench.put([row(f"k{i:02}", bench.now - 7200 - i) for i in range(30)])
        bench.run_ok()
        bench.put([row(f"k{i:02}", bench.now - 3000 - i, "again") for i in range(5)])
        bench.put([row(f"n{i:02}", bench.now - 60 - i) for i in range(30)])
        nights[f"{mode} rows"] = bench.aito_rows()  # type: ignore[assignment]
    bench = nights[mode]
    old: list[dict[str, Any]] = [
        {"id": f"old{i}", "at": "", "value": "", "unix": int(bench.now - 11 * DAY)} for i in (1, 2)
    ]
    bench.start_over([*nights[f"{mode} rows"], *old])  # type: ignore[misc]
    stack.aito.reset_stats()
    return bench


@pytest.mark.parametrize(
    ("what", "apply"),
    [pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow) for case in LOST],
)
def test_one_of_each_call_fails(
    stack: Stack, nights: dict[str, Workbench], what: str, apply: str
) -> None:
    """Whatever happens once to each kind of call in one run: both ends are equal after at most
    three more.
    """
    bench = night(nights, stack, "merge")
    for kind in KINDS:
        stack.aito.fail(what, on=kind, apply=apply, times=1)
    first = bench.run()
    stack.aito.heal()
    assert stack.aito.total() < 150
    if first.status == "ok":
        bench.assert_both_ends_equal()
    bench.run_until_ok(3)
    assert not [r for r in bench.aito_rows() if r["id"].startswith("old")], (
        "and the purge is made up for"
    )


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        pytest.param(kind, what, marks=() if what == "error" else pytest.mark.slow)
        for kind in KINDS
        for what in FOR_EVER
    ],
)
def test_one_kind_of_call_fails_for_ever(
    stack: Stack, nights: dict[str, Workbench], kind: str, what: str
) -> None:
    """A bounded number of requests, one clear status, no 200 that is not true; then it passes, and
    all is well.
    """
    bench = night(nights, stack, "append" if kind == "insert" else "merge")
    stack.aito.fail(what, on=kind, times=None)
    report = bench.run()
    requests = stack.aito.total()
    stack.aito.heal()
    assert requests < 250
    assert report.http_status in ((200,) if kind == "optimize" else (500, 503)), report.tables[
        0
    ].error
    assert report.tables[0].error is None if kind == "optimize" else report.tables[0].error
    bench.run_until_ok(3)


@pytest.mark.parametrize("apply", ["none", "half", "all"])
def test_the_answer_of_every_insert_is_lost(
    stack: Stack, nights: dict[str, Workbench], apply: str
) -> None:
    """Each batch is looked for, and only what is not there is sent again: equal in one run, and
    nothing doubled.
    """
    bench = night(nights, stack, "append")
    for skip in range(10):
        stack.aito.fail("cut", on="insert", apply=apply, skip=skip, times=1)
    report = bench.run_ok()
    assert report.uploaded == 35
    assert stack.aito.total("rows", "insert") <= 35


def test_a_key_that_came_again_and_a_lost_answer(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Aito holds an older row of the key, further back in the window: the newer one is not taken
    to have arrived.
    """
    limit_slices(monkeypatch, 1)
    bench = Workbench(stack, "retry_again", table={"lookback": "2d"})
    bench.put([row(f"k{i:02}", bench.now - 60 - i * 3600) for i in range(20)])
    bench.run_ok()
    bench.now += 3 * 3600
    bench.put([row("k05", bench.now - 60, "again"), row("new", bench.now - 50)])
    stack.aito.fail("cut", on="insert", apply="none")
    report = bench.run_ok()
    assert (report.uploaded, report.repaired) == (
        2,
        1,
    ), "the older row is removed, and nothing had to be sent again"
