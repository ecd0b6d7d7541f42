"""One request to Aito: which key it carries, how fast it may come, and what may be repeated.

What an answer means is in answers.py, how long to wait in sync/base/backoff.py, and how bytes
travel in wire.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sync.aito.answers import Answer, Reaction, error, reaction
from sync.aito.rate_limit import RateLimiter
from sync.aito.wire import Wire
from sync.base.backoff import Backoff
from sync.base.clock import Deadline

OnRepeat = Callable[[str, str, int], None]


class Key(Protocol):
    """Where the API key comes from. origin: the same in words."""

    origin: str

    def get(self) -> str:
        """The key. Raises AccessDenied or Unavailable when it cannot be had."""
        ...

    def renew(self, refused: str) -> bool:
        """Load the key again after `refused` did not work. Returns whether there is another."""
        ...


class Transport:
    """Sends requests to one Aito database. Safe for threads."""

    def __init__(
        self,
        url: str,
        key: Key,
        timeout_seconds: float,
        limiter: RateLimiter,
        deadline: Deadline,
        on_repeat: OnRepeat = lambda *_: None,
        backoff: Backoff | None = None,
        setting: str = "aito.url",
    ) -> None:
        """url: the base URL, without /api. timeout_seconds: for one request from first to last.

        setting: where the URL is written, for messages.
        on_repeat(what, answer, attempt): called before each repetition.
        Raises ActionRequired when a variable for proxies or certificates is wrong.
        """
        self._url = url
        self._key = key
        self._timeout_seconds = timeout_seconds
        self._limiter = limiter
        self._deadline = deadline
        self._on_repeat = on_repeat
        self._backoff = backoff or Backoff()
        self._wire = Wire(url, setting)
        self._calls = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Transport({self._url})"

    @property
    def url(self) -> str:
        """The base URL."""
        return self._url

    @property
    def deadline(self) -> Deadline:
        """The end of the run's time."""
        return self._deadline

    @property
    def calls(self) -> int:
        """How many requests Aito may have received so far."""
        return self._calls

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        once: bool = False,
        seconds: float | None = None,
        repeat: bool = True,
    ) -> Any:
        """Send a request, repeat it as the policy allows, and return the JSON of its answer.

        path: with every name in it quoted. seconds: a shorter time limit.
        repeat: whether to send again what Aito refuses only for the moment.
        once: it must not be applied twice, so an unknown outcome is raised and not repeated.
        Raises OutcomeUnknown, Refused, AccessDenied, ActionRequired, Unavailable.
        """
        what = f"{method} {path}"
        limit = min(seconds or self._timeout_seconds, self._timeout_seconds)
        attempt = 1
        renewed = False
        while True:
            key = self._key.get()
            answer = self._sent(method, path, body, {"x-api-key": key}, limit)
            meaning = reaction(answer)
            if meaning is Reaction.DONE:
                return answer.body
            if meaning is Reaction.DENIED and not renewed and self._key.renew(key):
                renewed = True
                continue
            again = repeat and _repeatable(meaning, once)
            if not again or not self.pause(what, str(answer), attempt, answer.retry_after):
                denied = f"{self._wire.host} refused the key from {self._key.origin}"
                raise error(what, answer, denied)
            attempt += 1

    def pause(self, what: str, answer: str, attempt: int, retry_after: float | None = None) -> bool:
        """Wait before a request is sent again. Returns False when there is no further attempt.

        answer: what the last attempt got, in words. retry_after: seconds that Aito named.
        """
        if not self._backoff.pause(attempt, self._deadline, retry_after):
            return False
        self._on_repeat(what, answer, attempt)
        return True

    def attempt(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request once and return its answer, whatever it is. For checks of Aito itself.

        headers: in place of the key. Raises AccessDenied or Unavailable when there is no key.
        """
        chosen = self.key_header() if headers is None else headers
        return self._sent(method, path, body, chosen, self._timeout_seconds)

    def key_header(self) -> dict[str, str]:
        """The header that carries the key. Raises AccessDenied or Unavailable."""
        return {"x-api-key": self._key.get()}

    def _sent(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        seconds: float,
    ) -> Answer:
        self._limiter.wait()
        answer = self._wire.exchange(method, path, body, headers, seconds)
        if answer.sent:
            with self._lock:
                self._calls += 1
        return answer


def _repeatable(meaning: Reaction, once: bool) -> bool:
    return meaning is Reaction.REPEAT or (meaning is Reaction.UNKNOWN and not once)
