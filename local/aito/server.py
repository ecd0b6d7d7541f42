"""A stand-in for an Aito database, over HTTP, as strict as the real one. ITS PREDICTIONS ARE NOT
AITO'S.

    with Aito() as aito:                       # in this process, on a free port
        run(aito.url, aito.api_key)
        assert aito.count("pages") == 300
    python -m local.aito --port 9005           # in a process of its own

It speaks version 1 of the API: schema, data, queries, evaluation, jobs. `fail` makes it misbehave
(faults.py), `switches` turns what builds differ in (switches.py), `stats` and `log` tell what it
got. Other processes do the same below `/_local/`, which is open to anybody on this machine:
POST|GET|DELETE /_local/faults, /_local/switches, GET|DELETE /_local/stats, GET /_local/log,
POST /_local/release, /_local/land, /_local/advance {"seconds": 900}.
"""

import argparse
import json
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from local._http import Request, Response, Server
from local.aito.api import VERSION, Api, Call, Result, below_prefix, find, refused
from local.aito.faults import Fault, Faults, first_half
from local.aito.schema import Json, Refusal
from local.aito.switches import Switches
from local.aito.tables import Document

KEY = "local-read-write-key"
NO_OPERATIONS = b'{"operations": []}'  # a modification that changes nothing
READ_ONLY_KEY = "local-read-only-key"

_STAND_IN = {"x-stand-in": "not Aito"}


@dataclass
class Tally:
    """What came in of one kind.

    `rows`: stored, removed or shown; `writes`: requests that may change something.
    """

    requests: int = 0
    rows: int = 0
    bytes: int = 0
    writes: int = 0


@dataclass(frozen=True)
class Entry:
    """One request in the log, in the order in which they ended.

    `fault`: what was done to it, if anything.
    """

    kind: str
    table: str | None
    status: int
    rows: int
    fault: str | None


class Aito:
    """The server, and the ways a test looks behind it."""

    def __init__(
        self, api_key: str = KEY, read_only_key: str = READ_ONLY_KEY, port: int = 0
    ) -> None:
        self._api = Api(api_key, read_only_key)
        self._faults = Faults()
        self._lock = threading.Lock()
        self._tallies: dict[str, Tally] = {}
        self._late: list[Call] = []
        self.log: list[Entry] = []
        self._server = Server(self._answer, port)
        self.url = self._server.url

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def stop(self) -> None:
        """Go away; calls that hang are cut."""
        self._faults.clear()
        self._server.stop()

    # -- settings: may be changed while it runs

    @property
    def api_key(self) -> str:
        """The read-write key. Setting it rotates it: the old one is refused from now on."""
        return self._api.api_key

    @api_key.setter
    def api_key(self, key: str) -> None:
        self._api.api_key = key

    @property
    def read_only_key(self) -> str:
        """The key that may read only."""
        return self._api.read_only_key

    @property
    def refusal_status(self) -> int:
        """What a batch with a wrong row is answered with: 400, or 500 as on some builds."""
        return self._api.refusal_status

    @refusal_status.setter
    def refusal_status(self, status: int) -> None:
        self._api.refusal_status = status

    @property
    def switches(self) -> Switches:
        """What Aito's builds differ in."""
        return self._api.switches

    def refuse(self, objection: Callable[[Document], str | None] | None) -> None:
        """Refuse rows that their schema allows: what a real engine may do for reasons of its own.

        None = none.
        """
        self._api.store.objection = objection

    @property
    def job_seconds(self) -> float:
        """A job takes at least this long; counts for those already running as well."""
        return self._api.jobs.seconds

    @job_seconds.setter
    def job_seconds(self, seconds: float) -> None:
        self._api.jobs.seconds = seconds

    @property
    def job_result_seconds(self) -> float:
        """How long a job's result can be had after its end."""
        return self._api.jobs.result_seconds

    @job_result_seconds.setter
    def job_result_seconds(self, seconds: float) -> None:
        self._api.jobs.result_seconds = seconds

    def advance(self, seconds: float) -> None:
        """Let the clock of jobs run ahead: results expire 900 s after their job's end.

        Jobs that end by then have their result.
        """
        self._api.jobs.advance(seconds)

    # -- misbehaviour

    def fail(self, what: str, **order: Any) -> Fault:
        """Misbehave; see `Faults.add` for what can be ordered."""
        return self._faults.add(what, **order)

    def heal(self) -> None:
        """Forget every fault that was ordered; calls that hang are cut. Switches stay."""
        self._faults.clear()

    def land(self) -> int:
        """Apply the calls that were kept back, in their order. -> how many."""
        with self._lock:
            late, self._late = self._late, []
        for call in late:
            self._api.handle(call)
        return len(late)

    def forget_late(self) -> None:
        """Drop the calls that were kept back."""
        with self._lock:
            self._late.clear()

    def release(self) -> None:
        """Cut the calls that hang now."""
        self._faults.release()

    def lose_jobs(self) -> int:
        """Forget every job. -> how many there were."""
        return self._api.jobs.lose()

    def fail_jobs(self, times: int = 1) -> None:
        """Let the next jobs end in an error."""
        self._api.jobs.fail_next(times)

    # -- what came in

    @property
    def connections(self) -> int:
        """How many connections clients have opened so far."""
        return self._server.connections

    def stats(self) -> dict[str, Tally]:
        """What came in since the last reset, by kind of call."""
        with self._lock:
            return {kind: replace(tally) for kind, tally in self._tallies.items()}

    def total(self, field: str = "requests", on: str = "any") -> int:
        """Sum of a field over a kind of call with its parts: `total("writes")`, `total("rows",
        "insert")`.
        """
        chosen = [
            tally
            for kind, tally in self.stats().items()
            if on in ("any", kind, kind.partition(".")[0])
        ]
        return sum(int(getattr(tally, field)) for tally in chosen)

    def reset_stats(self) -> None:
        """Begin to count and to log anew."""
        with self._lock:
            self._tallies.clear()
            self.log.clear()

    # -- behind the client's back

    def schema(self) -> dict[str, Document]:
        """Tables by name, as `GET /schema` shows them."""
        tables: dict[str, Document] = self._api.store.schema()["schema"]
        return tables

    def rows(self, table: str) -> list[Document]:
        """Every row in the order of insertion, nulls left out."""
        return self._api.store.documents(table)

    def count(self, table: str, where: Json = None) -> int:
        """How many rows match an Aito `where`."""
        return self._api.store.count(table, where)

    def create_table(self, table: str, columns: dict[str, Document]) -> None:
        """Make a table."""
        self._api.store.put_table(table, {"type": "table", "columns": columns})

    def drop_table(self, table: str) -> None:
        """Remove a table that no other links to."""
        self._api.store.drop_table(table)

    def insert(self, table: str, rows: Sequence[Document]) -> int:
        """Add rows. -> how many."""
        return self._api.store.insert(table, rows)

    def delete_rows(self, table: str, where: Json) -> int:
        """Remove the rows that match. -> how many."""
        return self._api.store.delete(table, where)

    def double_rows(self, table: str, where: Json) -> int:
        """Store the rows that match once more. -> how many."""
        return self._api.store.double(table, where)

    # -- requests

    def _answer(self, request: Request) -> Response:
        path = request.path.partition("?")[0]
        if path == "/version" and request.method == "GET":
            return _json(200, VERSION)
        if path.startswith("/_local/"):
            return self._admin(request.method, path.removeprefix("/_local/"), request.body)
        below = below_prefix(path)
        if below is None:
            return _plain(refused(Refusal(404, "The requested resource could not be found."), b""))
        headers = {name.lower(): value for name, value in request.headers.items()}
        return self._call(
            Call(request.method, below, request.body, headers.get("x-api-key"), request.size),
            request,
        )

    def _call(self, call: Call, request: Request) -> Response:
        kind, writes = _kind(call)
        fault = self._faults.take(kind, _table(call), call.size) or self._gateway(kind)
        result = self._applied(call, fault)
        response = _plain(result)
        if fault is not None:
            self._wait(fault, request)
            response = fault.answer(response)
        what = fault.what if fault else None
        entry = Entry(kind, _table(call), response.status, result.rows, what)
        self._note(kind, entry, call.size, writes)
        return response

    def _gateway(self, kind: str) -> Fault | None:
        """A call that takes its time, and what a gateway in front makes of it."""
        seconds = self.switches.slow.get(kind, 0.0)
        patience = self.switches.gateway_seconds
        if patience is not None and seconds > patience:
            return Fault("gateway", apply="late", seconds=patience, later=seconds - patience)
        return Fault("slow", apply="all", seconds=seconds) if seconds else None

    def _applied(self, call: Call, fault: Fault | None) -> Result:
        """Let the call through to the data, or half of it, or nothing, as the fault says."""
        if fault is None or fault.apply == "all":
            return self._api.handle(call)
        if fault.apply == "late":
            self._keep_back(call, fault.later)
        if fault.apply == "half" and call.path.endswith("/batch"):
            return self._api.handle(replace(call, body=first_half(call.body)))
        return Result(200, {})

    def _keep_back(self, call: Call, seconds: float | None) -> None:
        """Apply the call after so many seconds; None: by `land`."""
        if seconds is None:
            with self._lock:
                self._late.append(call)
            return
        timer = threading.Timer(seconds, self._api.handle, (call,))
        timer.daemon = True
        timer.start()

    def _wait(self, fault: Fault, request: Request) -> None:
        if fault.what == "hang":
            self._faults.hang(request.peer_gone)
        if fault.what == "slow" or fault.later is not None:
            self._faults.pause(fault.seconds)

    def _note(self, kind: str, entry: Entry, size: int, writes: bool) -> None:
        with self._lock:
            tally = self._tallies.setdefault(kind, Tally())
            tally.requests += 1
            tally.rows += entry.rows
            tally.bytes += size
            tally.writes += writes
            self.log.append(entry)

    def _admin(self, method: str, path: str, body: bytes) -> Response:
        match method, path:
            case "POST", "faults":
                return self._order(json.loads(body))
            case "GET", "faults":
                return _json(200, self._faults.waiting())
            case "DELETE", "faults":
                self.heal()
            case "POST", "release":
                self.release()
            case "POST", "land":
                self.land()
            case "POST", "advance":
                self.advance(float(json.loads(body)["seconds"]))
            case "POST", "switches":
                return self._turn(json.loads(body))
            case "GET", "switches":
                return _json(200, self.switches.shown())
            case "DELETE", "switches":
                self.switches.reset()
            case "GET", "stats":
                return _json(200, {kind: asdict(tally) for kind, tally in self.stats().items()})
            case "DELETE", "stats":
                self.reset_stats()
            case "GET", "log":
                return _json(200, [asdict(entry) for entry in self.log])
            case _:
                return _json(404, {"message": "no such thing below /_local/"})
        return _json(200, {})

    def _turn(self, changes: Json) -> Response:
        try:
            self.switches.turn(**changes)
        except (TypeError, ValueError) as error:
            return _json(400, {"message": str(error)})
        return _json(200, self.switches.shown())

    def _order(self, orders: Json) -> Response:
        try:
            for order in orders if isinstance(orders, list) else [orders]:
                self.fail(**order)
        except (TypeError, ValueError) as error:
            return _json(400, {"message": str(error)})
        return _json(200, self._faults.waiting())


def _kind(call: Call) -> tuple[str, bool]:
    """What kind of call this is, and whether it may change something; jobs go by what they run."""
    try:
        route, names = find(call.method, call.path)
        if route.kind == "job.start" and names[0].startswith("data/"):
            inner, _ = find(call.method, names[0])
            return f"{inner.kind}.job", inner.writes
    except Refusal:
        return "other", False
    return route.kind, route.writes and call.body != NO_OPERATIONS


def _table(call: Call) -> str | None:
    """The table a call is about; None where it is about several or none."""
    in_path = re.match(r"(?:jobs/)?(?:data|schema)/([^/_][^/]*)", call.path)
    if in_path:
        return unquote(in_path.group(1))
    in_body = re.search(rb'"(?:from|into|update)"\s*:\s*"([^"]+)"', call.body)
    return in_body.group(1).decode(errors="replace") if in_body else None


def _plain(result: Result) -> Response:
    return _json(result.status, result.body)


def _json(status: int, body: Json) -> Response:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(status, text.encode(errors="surrogatepass"), _STAND_IN)


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(
        description="A local stand-in for an Aito database. Its predictions are not Aito's."
    )
    parser.add_argument(
        "--port",
        type=int,
        default=9005,
        help="default 9005, as the engine itself; 0 = any free one",
    )
    parser.add_argument("--api-key", default=KEY)
    parser.add_argument("--read-only-key", default=READ_ONLY_KEY)
    arguments = parser.parse_args()
    with Aito(arguments.api_key, arguments.read_only_key, arguments.port) as aito:
        print(
            f"Aito stand-in (its predictions are not Aito's): {aito.url}  key: {arguments.api_key}",
            flush=True,
        )
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()
