"""What the checks of conformance use: throw-away tables, plain requests, a limit on calls."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from sync.aito.answers import Answer, Reaction, reaction
from sync.aito.transport import Transport
from sync.base.backoff import Backoff
from sync.base.clock import Clock

PREFIX = "sync_conformance_"
TABLE = re.compile(rf"{PREFIX}(\d+)_[0-9a-f]+_\w+")
MAX_CALLS = 150
ATTEMPTS = 3  # of a request that Aito refuses only for the moment
JOB_SECONDS = 60.0  # that a job over a few rows may take
Row = Mapping[str, Any]
T = TypeVar("T")


class Unclear(Exception):
    """A check could not find out. The message says why."""


class Probe:
    """One run of the checks. Its tables have a prefix, the time of its start and a random part."""

    def __init__(self, transport: Transport, clock: Clock, wait: bool = False) -> None:
        """wait: whether to wait for the expiry of a job's result, 15 minutes."""
        self._transport = transport
        self._backoff = Backoff(attempts=ATTEMPTS)
        self._begin = transport.calls
        self._mark = f"{PREFIX}{int(clock.now())}_{secrets.token_hex(3)}_"
        self._began = clock.monotonic()
        self.clock = clock
        self.wait = wait
        self.made: list[str] = []
        self._known: dict[str, Any] = {}

    @property
    def calls(self) -> int:
        """Requests so far."""
        return self._transport.calls - self._begin

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return self.clock.monotonic() - self._began

    def table(self, short: str) -> str:
        """The whole name of a throw-away table."""
        return self._mark + short

    def key_header(self) -> dict[str, str]:
        """The header that carries the key."""
        return self._transport.key_header()

    def once(self, name: str, find: Callable[[], T]) -> T:
        """What `find` returns. It is called once; checks that need the same share it."""
        if name not in self._known:
            self._known[name] = find()
        known: T = self._known[name]
        return known

    @property
    def is_at_limit(self) -> bool:
        """Whether only so many calls are left as the clean-up needs."""
        return self.calls + len(self.made) >= MAX_CALLS

    # -- requests

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Row | None = None,
        version: str = "v1",
    ) -> Answer:
        """Send a request. What Aito refuses for the moment is repeated, nothing else.

        body: bytes as they are, or anything that becomes JSON. headers: in place of the key.
        version: of the API.
        Raises Unclear when the limit on calls is reached or no answer came.
        """
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        attempt = 1
        while True:
            if self.is_at_limit:
                raise Unclear(f"the limit of {MAX_CALLS} calls is reached")
            answer = self._transport.attempt(method, f"/api/{version}/{path}", data, headers)
            again = reaction(answer) is Reaction.REPEAT
            deadline = self._transport.deadline
            if not again or not self._backoff.pause(attempt, deadline, answer.retry_after):
                break
            attempt += 1
        if not answer.status:
            raise Unclear(f"{method} {path}: {answer}")
        return answer

    def need(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer that must be a success. Raises Unclear."""
        answer = self.ask(method, path, body)
        if not succeeded(answer):
            raise Unclear(f"{method} {path}: {described(answer)}")
        return answer.body

    # -- tables and rows

    def put(self, short: str, columns: Row) -> Answer:
        """Make a table."""
        name = self.table(short)
        if name not in self.made:
            self.made.append(name)
        return self.ask("PUT", f"schema/{name}", {"type": "table", "columns": dict(columns)})

    def make(self, short: str, columns: Row, rows: Sequence[Row] = ()) -> str:
        """Make a table with rows and return its whole name. Raises Unclear."""
        answer = self.put(short, columns)
        if not succeeded(answer):
            raise Unclear(f"the table could not be made: {described(answer)}")
        if rows:
            self.need("POST", f"data/{self.table(short)}/batch", list(rows))
        return self.table(short)

    def insert(self, table: str, rows: Sequence[Row]) -> Answer:
        """Send rows."""
        return self.ask("POST", f"data/{table}/batch", list(rows))

    def search(self, table: str, **query: Any) -> tuple[int, list[Row]]:
        """Total and hits. Raises Unclear."""
        body = self.need("POST", "_search", {"from": table, **query})
        total = body.get("total") if isinstance(body, dict) else None
        hits = body.get("hits") if isinstance(body, dict) else None
        if not isinstance(total, int) or not isinstance(hits, list):
            raise Unclear("_search: the answer has no total and hits")
        return total, hits

    def count(self, table: str, where: Row | None = None) -> int:
        """How many rows match. Raises Unclear."""
        return self.search(table, where=where or {}, limit=0)[0]

    # -- jobs

    def finished(self, job_id: str) -> Row:
        """The status of a job after its end. Raises Unclear when it does not end."""
        ends = self.clock.monotonic() + JOB_SECONDS
        pause = 0.5
        while self.clock.monotonic() + pause < ends:
            self.clock.sleep(pause)
            status = self.need("GET", f"jobs/{quote(job_id, safe='')}")
            if isinstance(status, dict) and status.get("finishedAt"):
                return status
            pause = min(2 * pause, 8.0)
        raise Unclear(f"the job did not end within {JOB_SECONDS:g} s")

    # -- the end

    def drop(self, tables: Iterable[str]) -> list[str]:
        """Remove tables, those first that were made last. Returns the names that remain."""
        left = list(tables)
        for _ in range(2):  # A link from another table that is to go holds a table once at most.
            left = [name for name in left if not self._dropped(name)]
        return left

    def _dropped(self, name: str) -> bool:
        answer = self._transport.attempt("DELETE", f"/api/v1/schema/{name}")
        return succeeded(answer) or answer.status == 404


def succeeded(answer: Answer) -> bool:
    """Whether the request did what it says."""
    return reaction(answer) is Reaction.DONE


def described(answer: Answer) -> str:
    """An answer in a few words. The rows that it may quote are the checks' own."""
    return " ".join(f"{answer} {answer.words}".split())[:200]
