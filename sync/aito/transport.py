"""One request to Aito: what every answer means, what may be repeated, and how fast.

`Transport` is the SDK's own client with another `request`: a pool of connections, a time-out, and
this policy. The SDK's request and response classes work over it unchanged. The pool is urllib3's,
on which `requests` builds: that prepares each request anew, which takes longer than to send a batch
of 600 kB.

    answer                                    reaction
    2xx with JSON                             done
    2xx with anything else                    unknown
    409 write.contention, 429 throttled       repeat: nothing was committed
    409 env.migrating                         unavailable: try the run later
    other 409, 429 quota, row_limit_exceeded  a person must act
    401, 403                                  load the key again, once; then a person must act
    400, 404, 405, 413, 422, other 4xx        refused: nothing is stored of it
    5xx, HTML of a gateway                    unknown
    connection refused, not connected in time repeat: it was never sent
    time-out, cut connection                  unknown

Unknown means that it may have been applied. What may be sent twice without harm is repeated;
anything else is the caller's to look into (errors.OutcomeUnknown).
"""

from __future__ import annotations

import collections
import enum
import json
import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import certifi
import urllib3
from aito.v1 import AitoClient
from aito.v1.requests import AitoRequest
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

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

CONNECT_SECONDS = (
    3.0  # five attempts and their pauses: within 30 s a run says that Aito cannot be reached
)
ATTEMPTS = (
    5  # with the pauses below about eight seconds: a hiccup passes, an outage is the next run's
)
PAUSE_SECONDS = 0.5  # doubles with each attempt, with full jitter
LONGEST_PAUSE = 15.0  # and the most that a Retry-After is obeyed

logging.getLogger("AitoClient").addHandler(
    logging.NullHandler()
)  # it logs every error it builds, bodies included
logging.getLogger("AitoClient").propagate = False


class Reaction(enum.Enum):
    """What an answer asks for."""

    DONE = "done"
    REPEAT = "repeat"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    DENIED = "denied"
    LATER = "later"
    PERSON = "person"


@dataclass(frozen=True)
class Answer:
    """An answer, or the lack of one (status 0): body is None when it was not JSON."""

    status: int
    body: Any = None
    retry_after: float | None = None
    cause: str = ""  # x-error-cause, or what went wrong on the wire

    @property
    def code(self) -> str:
        """Aito's error code, where it gives one."""
        return str(self.body.get("error", "")) if isinstance(self.body, dict) else ""

    @property
    def reaction(self) -> Reaction:
        """The table at the top of this module."""
        if self.status == 0:
            return Reaction.REPEAT if self.cause == NOT_SENT else Reaction.UNKNOWN
        if self.status < 300:
            return Reaction.DONE if self.body is not None else Reaction.UNKNOWN
        if self.status == 409:
            return {"write.contention": Reaction.REPEAT, "env.migrating": Reaction.LATER}.get(
                self.code, Reaction.PERSON
            )
        if self.status == 429:
            final = "quota" in self.cause.lower() or self.code == "row_limit_exceeded"
            return Reaction.PERSON if final else Reaction.REPEAT
        if self.status in (401, 403):
            return Reaction.DENIED
        return Reaction.REFUSED if self.status < 500 else Reaction.UNKNOWN

    @property
    def reason(self) -> str:
        """Aito's own words, or what came instead. After a write they may quote a row's value."""
        return self.words or str(self)

    @property
    def words(self) -> str:
        """Aito's own words alone."""
        message = self.body.get("message") if isinstance(self.body, dict) else None
        return " ".join(str(message or "").split())[:500]

    def __str__(self) -> str:
        return " ".join(f"{self.status or ''} {self.code} {self.cause}".split())


NOT_SENT = "it could not be reached"


class Pace:
    """At most `per_second` requests in any one second of this process. Safe for threads."""

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._span = 1.0 if per_second >= 1 else 1 / per_second
        self._recent: collections.deque[float] = collections.deque(maxlen=max(1, int(per_second)))
        self._clock = clock
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when the next request may go."""
        with self._lock:
            now = self._clock.monotonic()
            turn = now
            if len(self._recent) == self._recent.maxlen:
                turn = max(now, self._recent[0] + self._span)
            self._recent.append(turn)
        if turn > now:
            self._clock.sleep(turn - now)


class Transport(AitoClient):  # type: ignore[misc]  # the SDK ships no types
    """See the top of this module.

    `on_repeat` hears of every repetition (what, answer, attempt) and may forbid it.
    """

    def __init__(
        self,
        url: str,
        secret: Secret,
        timeout: float,
        pace: Pace,
        deadline: Deadline,
        on_repeat: Callable[[str, str, int], None] = lambda *_: None,
    ) -> None:
        super().__init__(url, "", check_credentials=False, write_contention_retries=0)
        self._secret = secret
        self._timeout = timeout
        self._pace = pace
        self._deadline = deadline
        self._on_repeat = on_repeat
        # It looks into no environment for a proxy or a .netrc: the key goes to Aito and nowhere
        # else.
        self._pool = urllib3.PoolManager(
            headers={
                "content-type": "application/json",
                "accept-encoding": "gzip",
                "user-agent": "bigquery-to-aito",
            },
            ca_certs=certifi.where(),
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=timeout),
            retries=False,  # the policy above is all there is; redirects are not followed either
        )

    def __repr__(self) -> str:
        return f"Transport({self.instance_url})"

    def request(self, *, request_obj: AitoRequest, **_: Any) -> Any:  # the SDK's seam
        """Send one of the SDK's requests that may be repeated without harm, and read its answer."""
        body = None if request_obj.query is None else json.dumps(request_obj.query).encode()
        return request_obj.response_cls(self.send(request_obj.method, request_obj.endpoint, body))

    def send(
        self, method: str, endpoint: str, body: bytes | None = None, *, once: bool = False
    ) -> Any:
        """Send a request, repeat it as the policy allows, and return the JSON of its answer.

        once: it must not be applied twice, so an unknown outcome is raised and not repeated.
        Raises OutcomeUnknown, Refused, AccessDenied, ActionRequired, Unavailable.
        """
        what = f"{method} {endpoint}"
        renewed = False
        for attempt in range(1, ATTEMPTS + 1):
            key = self._secret.get()
            answer = self._exchange(method, endpoint, body, key)
            reaction = answer.reaction
            if reaction is Reaction.DONE:
                return answer.body
            if reaction is Reaction.DENIED and not renewed and self._secret.renew(key):
                renewed = True
                continue
            if reaction not in (Reaction.REPEAT, Reaction.UNKNOWN) or (
                once and reaction is Reaction.UNKNOWN
            ):
                raise _error(what, answer)
            if attempt == ATTEMPTS or not self._pause(what, answer, attempt):
                break
        raise _error(what, answer)

    def _exchange(self, method: str, endpoint: str, body: bytes | None, key: str) -> Answer:
        self._pace.wait()
        headers = {**self._pool.headers, "x-api-key": key}
        try:
            response = self._pool.request(
                method, self.instance_url + endpoint, body=body, headers=headers
            )
        except (NewConnectionError, ConnectTimeoutError):
            return Answer(0, cause=NOT_SENT)
        except ReadTimeoutError:
            return Answer(0, cause=f"no answer within {self._timeout:g} s")
        except ProtocolError:
            return Answer(0, cause="the connection was cut")
        except SSLError as error:
            return Answer(0, cause=f"the secure connection failed: {error}")
        except HTTPError as error:
            return Answer(0, cause=f"the answer was damaged ({type(error).__name__})")
        return _read(response)

    def _pause(self, what: str, answer: Answer, attempt: int) -> bool:
        """Wait before the next attempt; False when that would end after the deadline."""
        longest = PAUSE_SECONDS * 2 ** (attempt - 1)
        pause = (
            answer.retry_after
            if answer.retry_after is not None
            else longest * random.uniform(0.5, 1)
        )
        pause = min(pause, LONGEST_PAUSE)
        if pause >= self._deadline.left:
            return False
        self._deadline.clock.sleep(pause)
        self._on_repeat(what, str(answer), attempt)
        return True


def _read(response: urllib3.BaseHTTPResponse) -> Answer:
    try:
        body = response.json()
    except ValueError:
        body = None
    after = response.headers.get("Retry-After", "")
    retry_after = float(after) if after.replace(".", "", 1).isdigit() else None
    return Answer(response.status, body, retry_after, response.headers.get("x-error-cause", ""))


def _error(what: str, answer: Answer) -> SyncError:
    quiet = "/data/" in what or what.endswith(
        "/_search"
    )  # what was sent held rows or keys, and may be quoted
    text = f"Aito: {what}: {answer}{'' if quiet or not answer.words else f' {answer.words}'}"
    match answer.reaction:
        case Reaction.UNKNOWN:
            return OutcomeUnknown(text, answer.status, answer.reason)
        case Reaction.REFUSED:
            return Refused(text, answer.status, answer.reason)
        case Reaction.DENIED:
            return AccessDenied(
                f"{text}; check that the secret holds this database's read-write key"
            )
        case Reaction.PERSON:
            return ActionRequired(text)
        case _:
            return Unavailable(text)
