"""The endpoints of the Aito stand-in: who may call, what kind of call it is, and what it answers.
No sockets here.

Where the documentation is silent the choice is the stricter one: an unknown table is a 404 on data
and schema and a 400 in a query, an unknown key of a query is a 400.
"""

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import unquote

from local.aito import evaluate as aito_evaluate
from local.aito.jobs import Jobs, Outcome
from local.aito.schema import Json, Refusal
from local.aito.store import Store
from local.aito.switches import Switches

VERSION = {
    "version": "1.0.0-local",
    "standIn": "a local stand-in for tests; its predictions are not Aito's",
}
MESSAGE_BYTES = 10_000_000  # of a whole message, headers included

_PREFIX = re.compile(r"(?:/db/[^/]+)?/api/(?:v1/|(?=v2/))(.+)")


@dataclass(frozen=True)
class Call:
    """A request as this module sees it.

    `path`: below /api/v1, or below /api; `size`: bytes of the whole message.
    """

    method: str
    path: str
    body: bytes
    key: str | None
    size: int = 0


@dataclass(frozen=True)
class Result:
    """An answer. `rows`: rows stored, removed or shown."""

    status: int
    body: Json
    rows: int = 0


Endpoint = Callable[["Api", "Asked"], Result]


@dataclass(frozen=True)
class Route:
    """`kind`: the name under which faults and counters know it; `writes`: needs the read-write
    key.
    """

    method: str
    pattern: re.Pattern[str]
    kind: str
    writes: bool
    endpoint: Endpoint


@dataclass(frozen=True)
class Asked:
    """A call on its way to an endpoint: the names in its path, and its body."""

    call: Call
    names: tuple[str, ...]

    def json(self) -> Json:
        """The body as JSON; NaN and the like are none."""
        try:
            return json.loads(self.call.body, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise Refusal(400, "The request content was malformed: it is not valid JSON") from None

    def object(self) -> dict[str, Json]:
        """The body where an object is needed."""
        body = self.json()
        if not isinstance(body, dict):
            raise Refusal(400, "The request content was malformed: expected an object")
        return body


@dataclass
class Api:
    """The database behind its endpoints.

    Keys may be changed while it runs; so may what a refused row answers.
    """

    api_key: str
    read_only_key: str
    switches: Switches = field(default_factory=Switches)
    refusal_status: int = 400  # some builds answer 500 to a row of the wrong type
    store: Store = field(init=False)
    jobs: Jobs = field(init=False)

    def __post_init__(self) -> None:
        self.store = Store(self.switches)
        self.jobs = Jobs(self.switches)

    def handle(self, call: Call) -> Result:
        """Answer one call; every refusal becomes its documented body."""
        try:
            route, names = find(call.method, call.path)
            self._check_size(call)
            self._check_key(call, route.writes)
            return route.endpoint(self, Asked(call, decoded(route, names)))
        except Refusal as refusal:
            return refused(refusal, call.body)

    def _check_size(self, call: Call) -> None:
        if call.size > MESSAGE_BYTES:
            raise Refusal(
                413, f"The message has {call.size} bytes; at most {MESSAGE_BYTES} are taken"
            )

    def _check_key(self, call: Call, writes: bool) -> None:
        if call.key is None:
            raise Refusal(400, "Request is missing required HTTP header 'x-api-key'")
        if call.key not in (self.api_key, self.read_only_key):
            raise Refusal(403, "not authorized")
        if writes and call.key != self.api_key:
            raise Refusal(401, "The API key is read-only")


def refused(refusal: Refusal, body: bytes) -> Result:
    """A refusal's answer; one that points at text says where that is, as Aito does."""
    if refusal.message == "not authorized":
        return Result(403, {"message": refusal.message})
    answer: dict[str, Json] = {"message": refusal.message, "status": refusal.status}
    if refusal.at is not None:
        text = body.decode(errors="replace")
        place = max(text.find(f'"{refusal.at}"'), 0)
        line = text.count("\n", 0, place) + 1
        column = place - (text.rfind("\n", 0, place) + 1) + 1
        answer |= {
            "message": f"{line}:{column}: {refusal.message}",
            "charOffset": place,
            "lineNumber": line,
            "columnNumber": column,
            "messageLines": [refusal.message],
        }
    if refusal.code is not None:
        answer["error"] = refusal.code
    return Result(refusal.status, answer)


def below_prefix(path: str) -> str | None:
    """The part of a URL's path below /api/v1, with or without /db/<name> before it.

    Of version 2 it is the part below /api.
    """
    match = _PREFIX.fullmatch(path)
    return match.group(1) if match else None


def find(method: str, path: str) -> tuple[Route, tuple[str, ...]]:
    """The route of a path, or 405 where only the method is wrong, or 404."""
    matching = [(route, match) for route in ROUTES if (match := route.pattern.fullmatch(path))]
    for route, match in matching:
        if route.method == method:
            return route, match.groups()
    if matching or (method == "DELETE" and re.fullmatch(r"data/[^/]+", path)):
        raise Refusal(405, f"HTTP method not allowed: {method}")
    raise Refusal(404, "The requested resource could not be found.")


def decoded(route: Route, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names in a path. What a job is to run stays a path."""
    return names if route.kind == "job.start" else tuple(unquote(name) for name in names)


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("not JSON")


# -- schema


def _get_schema_of_version_2(api: Api, _asked: Asked) -> Result:
    return Result(200, api.store.schema_of_version_2())


def _get_entry_of_version_2(api: Api, asked: Asked) -> Result:
    (name,) = asked.names
    shown = api.store.schema_of_version_2()["schema"]
    if name not in shown:
        raise Refusal(404, f"No such table: {name}")
    return Result(200, shown[name])


def _get_schema(api: Api, _asked: Asked) -> Result:
    return Result(200, api.store.schema())


def _put_schema(api: Api, asked: Asked) -> Result:
    body = asked.object()
    api.store.put_database(body.get("schema"))
    return Result(200, body)


def _delete_schema(api: Api, _asked: Asked) -> Result:
    return Result(200, {"deleted": api.store.drop_all()})


def _get_table(api: Api, asked: Asked) -> Result:
    return Result(200, api.store.spec(asked.names[0]))


def _put_table(api: Api, asked: Asked) -> Result:
    body = asked.object()
    api.store.put_table(asked.names[0], body)
    return Result(200, body)


def _delete_table(api: Api, asked: Asked) -> Result:
    name = asked.names[0]
    if api.switches.drop_missing == "ok" and not api.store.has(name):
        return Result(200, {"deleted": []})
    api.store.drop_table(name)
    return Result(200, {"deleted": [name]})


def _get_column(api: Api, asked: Asked) -> Result:
    return Result(200, api.store.column_spec(*asked.names))


def _put_column(api: Api, asked: Asked) -> Result:
    body = asked.object()
    table, column = asked.names
    api.store.put_column(table, column, body)
    return Result(200, body)


def _delete_column(api: Api, asked: Asked) -> Result:
    api.store.drop_column(*asked.names)
    return Result(200, {"deleted": [asked.names[1]]})


def _rename(api: Api, asked: Asked) -> Result:
    old, new, replace = _names(asked.object(), "rename")
    api.store.rename(old, new, replace)
    return Result(200, {})


def _copy(api: Api, asked: Asked) -> Result:
    old, new, replace = _names(asked.object(), "copy")
    api.store.copy(old, new, replace)
    return Result(200, {})


def _names(body: dict[str, Json], key: str) -> tuple[str, str, bool]:
    match body:
        case {"from": str(old), **rest} if rest.keys() <= {key, "replace"} and isinstance(
            rest.get(key), str
        ):
            return old, rest[key], rest.get("replace") is True
    raise Refusal(400, f'The body must be {{"from": ..., "{key}": ..., "replace": true|false}}')


# -- data


def _insert_batch(api: Api, asked: Asked) -> Result:
    stored = _insert_quickly(api, asked)
    if stored is not None:
        return _inserted(stored)
    rows = asked.json()
    if not isinstance(rows, list):
        raise Refusal(400, "The request content was malformed: expected an array of entries")
    return _insert(api, asked.names[0], rows)


def _insert_one(api: Api, asked: Asked) -> Result:
    """Recorded: the answer is the row itself."""
    row = asked.object()
    return Result(200, row, _insert(api, asked.names[0], [row]).rows)


def _upload(api: Api, asked: Asked) -> Result:
    """The first step of an upload. There is nowhere to upload to, so no second one."""
    api.store.table(asked.names[0])
    if not api.switches.file_upload:
        raise Refusal(400, "File upload is not available")
    place = {"id": str(uuid.uuid4()), "url": "https://files.invalid/upload", "method": "PUT"}
    return Result(200, place)


def _insert(api: Api, table: str, rows: list[Json]) -> Result:
    api.store.table(table)
    try:
        stored = api.store.insert(table, rows)
    except Refusal as refusal:
        raise Refusal(api.refusal_status, refusal.message) from None
    return _inserted(stored)


def _insert_quickly(api: Api, asked: Asked) -> int | None:
    """Store a batch whose rows are all right. None: it needs a closer look."""
    (table,) = asked.names
    return api.store.insert_text(table, asked.call.body) if api.store.has(table) else None


def _inserted(stored: int) -> Result:
    return Result(200, {"entries": stored, "status": "ok"}, stored)


def _delete(api: Api, asked: Asked) -> Result:
    match asked.object():
        case {"from": str(table), "where": dict(where), **rest} if not rest:
            total = api.store.delete(table, where)
            return Result(200, {"total": total}, total)
    raise Refusal(400, "A delete takes from and where")


def _modify(api: Api, asked: Asked) -> Result:
    body = asked.object()
    operations = body.get("operations", [body])
    if not isinstance(operations, list):
        raise Refusal(400, "operations takes an array", at="operations")
    done = api.store.modify(operations)
    counts = {
        "insertedCount": done.inserted,
        "modifiedCount": done.modified,
        "deletedCount": done.deleted,
    }
    return Result(200, counts, sum(counts.values()))


def _optimize(api: Api, asked: Asked) -> Result:
    asked.object()
    api.store.table(asked.names[0])
    return Result(200, {})


# -- queries


def _search(api: Api, asked: Asked) -> Result:
    answer = api.store.search(asked.object())
    return Result(200, answer, len(answer["hits"]))


def _aggregate(api: Api, asked: Asked) -> Result:
    return Result(200, api.store.aggregate(asked.object()))


def _evaluate(api: Api, asked: Asked) -> Result:
    return Result(200, aito_evaluate.evaluate(api.store, asked.object()))


def _predict(api: Api, asked: Asked) -> Result:
    return Result(200, aito_evaluate.predict(api.store, asked.object()))


def _batch(api: Api, asked: Asked) -> Result:
    """Searches only; one that is wrong fails all."""
    queries = asked.json()
    if not isinstance(queries, list):
        raise Refusal(400, "A batch is an array of queries")
    answers = [api.store.search(query) for query in queries]
    return Result(200, answers, sum(len(answer["hits"]) for answer in answers))


# -- jobs


def _start_job(api: Api, asked: Asked) -> Result:
    inner = Call("POST", asked.names[0], asked.call.body, asked.call.key, asked.call.size)
    route, _ = find("POST", inner.path)
    is_lacking = route.writes and not api.switches.data_jobs
    if route.kind.startswith("job") or is_lacking:
        raise Refusal(404, "The requested resource could not be found.")
    api._check_key(inner, route.writes)

    def run() -> Outcome:
        result = api.handle(inner)
        return result.status, result.body

    return Result(api.switches.job_created, api.jobs.start(inner.path, run))


def _job_list(api: Api, _asked: Asked) -> Result:
    return Result(200, api.jobs.statuses())


def _job_status(api: Api, asked: Asked) -> Result:
    return Result(200, api.jobs.status(asked.names[0]))


def _job_result(api: Api, asked: Asked) -> Result:
    return Result(*api.jobs.result(asked.names[0]))


def _routes(*rows: tuple[str, str, str, bool, Any]) -> list[Route]:
    return [
        Route(method, re.compile(path), kind, writes, endpoint)
        for method, path, kind, writes, endpoint in rows
    ]


ROUTES = _routes(
    ("GET", r"v2/schema", "v2.schema", False, _get_schema_of_version_2),
    ("GET", r"v2/schema/([^/]+)", "v2.schema", False, _get_entry_of_version_2),
    ("GET", r"schema", "schema.read", False, _get_schema),
    ("PUT", r"schema", "schema.write", True, _put_schema),
    ("DELETE", r"schema", "schema.write", True, _delete_schema),
    ("POST", r"schema/_rename", "rename", True, _rename),
    ("POST", r"schema/_copy", "rename.copy", True, _copy),
    ("GET", r"schema/([^/]+)", "schema.read", False, _get_table),
    ("PUT", r"schema/([^/]+)", "schema.write", True, _put_table),
    ("DELETE", r"schema/([^/]+)", "schema.write", True, _delete_table),
    ("GET", r"schema/([^/]+)/([^/]+)", "schema.read", False, _get_column),
    ("PUT", r"schema/([^/]+)/([^/]+)", "schema.write", True, _put_column),
    ("DELETE", r"schema/([^/]+)/([^/]+)", "schema.write", True, _delete_column),
    ("POST", r"data/_delete", "delete", True, _delete),
    ("POST", r"data/_modify", "modify", True, _modify),
    ("POST", r"data/([^/]+)/batch", "insert", True, _insert_batch),
    ("POST", r"data/([^/]+)/optimize", "optimize", True, _optimize),
    ("POST", r"data/([^/]+)/file", "upload", True, _upload),
    ("POST", r"data/([^/]+)", "insert", True, _insert_one),
    ("POST", r"_(?:search|query)", "search", False, _search),
    ("POST", r"_aggregate", "search.aggregate", False, _aggregate),
    ("POST", r"_batch", "search.batch", False, _batch),
    ("POST", r"_evaluate", "evaluate", False, _evaluate),
    ("POST", r"_predict", "predict", False, _predict),
    ("POST", r"jobs/(.+)", "job.start", False, _start_job),
    ("GET", r"jobs/?", "job.list", False, _job_list),
    ("GET", r"jobs/([^/]+)", "job.status", False, _job_status),
    ("GET", r"jobs/([^/]+)/result", "job.result", False, _job_result),
)
