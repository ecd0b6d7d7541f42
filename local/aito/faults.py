"""Misbehaviour on demand: each fault the real service is known for, so many times, on one kind of
call.

    aito.fail("contention", on="insert", times=3, retry_after=1)
    aito.fail("cut", on="insert", apply="all")            # stored, and the answer lost
    aito.fail("error", on="insert", apply="half")         # half of the batch stored, then a 500
    aito.fail("hang", on="any", times=None, probability=0.05, seed=7)
    aito.fail("gateway", on="insert", apply="late")       # a 500, and stored by aito.land()

`on` names a kind of call (`insert`, `search`, `delete`, `schema`, `modify`, `optimize`, `rename`,
`evaluate`, `job`), one of its parts (`schema.write`, `job.result`, ...) or `any`. `apply` says what
happens to the data first: `none`, `all`, `half`, which keeps the first half of an insert (and
nothing of any other call), or `late`, which keeps the whole call back until `Aito.land()`.
"""

import json
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from local._http import Response
from local.aito.schema import Json

Apply = Literal["none", "all", "half", "late"]

_HTML = (
    b"<html><head><title>Bad gateway</title></head><body><h1>The upstream gave no"
    b" answer</h1></body></html>"
)


def _error(status: int, message: str, code: str | None = None, **headers: str) -> Response:
    body = {"message": message, "status": status} | ({"error": code} if code else {})
    return Response(status, json.dumps(body).encode(), headers)


def _gateway(status: int) -> Response:
    return Response(status, _HTML, content_type="text/html")


def _truncated(normal: Response) -> Response:
    return Response(200, normal.body[: len(normal.body) // 2], normal.headers)


def _short(normal: Response) -> Response:
    return Response(
        200, normal.body[: len(normal.body) // 2], normal.headers, promised=len(normal.body) + 1
    )


_FREE_MODE = "row_limit_exceeded"
ANSWERS: dict[str, Response | Callable[[Response], Response]] = {
    "contention": _error(
        409, "Another write to the table won; nothing was committed", "write.contention"
    ),
    "migrating": _error(409, "The environment is being migrated", "env.migrating"),
    "throttled": _error(429, "Too many requests", **{"x-error-cause": "Throttled"}),
    "quota": _error(429, "The quota of the plan is used up", **{"x-error-cause": "Quota Exceeded"}),
    "row_limit": _error(429, "Free mode takes no more rows", _FREE_MODE),
    "error": _error(500, "There was an internal server error."),
    "gateway": _error(500, "Gateway Timeout"),  # *.aito.app says so of what took over 30 s
    "unavailable": _error(503, "The service is unavailable"),
    "bad_gateway": _gateway(502),
    "gateway_timeout": _gateway(504),
    "unauthorized": _error(401, "The API key is read-only"),
    "forbidden": Response(403, b'{"message": "not authorized"}'),
    "missing": _error(404, "The requested resource could not be found."),
    "refused": _error(400, "The request was refused"),
    "too_large": _error(413, "The message is too large"),
    "garbage": Response(200, b"\x00\xff not json at all <"),
    "html": Response(200, _HTML, content_type="text/html"),
    "empty": Response(200, b""),
    "ignored": Response(200, b"{}"),  # it says yes, and does nothing
    "truncated": _truncated,
    "short": _short,
    "cut": Response(cut=True),
    "hang": Response(cut=True),
    "slow": lambda normal: normal,
}


@dataclass
class Fault:
    """One order to misbehave. See `Faults.add` for the fields."""

    what: str
    on: str = "any"
    apply: Apply = "none"
    times: int | None = 1
    skip: int = 0
    probability: float = 1.0
    table: str | None = None
    retry_after: float | None = None
    seconds: float = 1.0
    over_bytes: int = 0
    dice: random.Random = field(default_factory=random.Random, repr=False)
    later: float | None = None

    def wants(self, kind: str, table: str | None, size: int) -> bool:
        """Does this call get the fault? Counts down `skip` and `times` when it is one of those
        meant.
        """
        if not (
            _is(kind, self.on)
            and self.table in (None, table)
            and size > self.over_bytes
            and self.times != 0
        ):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.dice.random() >= self.probability:
            return False
        self.times = None if self.times is None else self.times - 1
        return True

    def answer(self, normal: Response) -> Response:
        """What the client gets in place of the normal answer."""
        wanted = ANSWERS[self.what]
        response = wanted if isinstance(wanted, Response) else wanted(normal)
        if self.retry_after is None:
            return response
        return Response(
            response.status,
            response.body,
            {**response.headers, "Retry-After": f"{self.retry_after:g}"},
            response.content_type,
        )

    def shown(self) -> dict[str, Json]:
        """What is left of it, for the admin endpoint."""
        return {
            "what": self.what,
            "on": self.on,
            "apply": self.apply,
            "times": self.times,
            "skip": self.skip,
        }


class Faults:
    """The orders that wait for their call.

    The first that fits is taken, in the order in which they were given.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._release = threading.Event()

    def add(
        self,
        what: str,
        *,
        on: str = "any",
        apply: Apply = "none",
        times: int | None = 1,
        skip: int = 0,
        probability: float = 1.0,
        seed: int = 0,
        table: str | None = None,
        retry_after: float | None = None,
        seconds: float = 1.0,
        over_bytes: int = 0,
    ) -> Fault:
        """Order a fault.

        what: a key of ANSWERS. times: how often; None = for ever. skip: so many fitting calls go
        through first. probability, seed: of each fitting call, for chaos that can be repeated.
        table: only calls on this table. retry_after: seconds, as a header of the answer. seconds:
        how slow `slow` is. over_bytes: only messages larger than this, for a lower limit with
        `too_large`.
        """
        if what not in ANSWERS:
            raise ValueError(f"no fault {what!r}; there are {', '.join(ANSWERS)}")
        if what in ("slow", "truncated", "short") and apply == "none":
            apply = "all"  # these need the true answer
        dice = random.Random(seed)
        fault = Fault(
            what, on, apply, times, skip, probability, table, retry_after, seconds, over_bytes, dice
        )
        with self._lock:
            self._faults.append(fault)
        return fault

    def take(self, kind: str, table: str | None, size: int) -> Fault | None:
        """The fault for this call, if there is one. Spent ones are forgotten."""
        with self._lock:
            taken = next((fault for fault in self._faults if fault.wants(kind, table, size)), None)
            self._faults = [fault for fault in self._faults if fault.times != 0]
            return taken

    def clear(self) -> None:
        """Behave again; calls that hang are cut."""
        with self._lock:
            self._faults.clear()
        self.release()

    def release(self) -> None:
        """Cut the calls that hang now."""
        released, self._release = self._release, threading.Event()
        released.set()

    def hang(self, peer_gone: Callable[[], bool]) -> None:
        """Wait until the client gives up or `release`."""
        released = self._release
        while not released.wait(0.02) and not peer_gone():
            pass

    def pause(self, seconds: float) -> None:
        """Wait this long, or until `release`."""
        self._release.wait(seconds)

    def waiting(self) -> list[dict[str, Json]]:
        """The orders not yet carried out."""
        with self._lock:
            return [fault.shown() for fault in self._faults]


def first_half(body: bytes) -> bytes:
    """The first half of a batch, as a body of its own."""
    rows = json.loads(body)
    return json.dumps(rows[: len(rows) // 2] if isinstance(rows, list) else []).encode()


def _is(kind: str, wanted: str) -> bool:
    return wanted == "any" or kind == wanted or kind.startswith(f"{wanted}.")
