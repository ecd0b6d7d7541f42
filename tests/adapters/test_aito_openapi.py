"""The sync's requests and the stand-in's answers, held against Aito's own OpenAPI description.

The description is test data that is not shipped: the tests that need it are skipped without it. The
paths and fields that matter are asserted without it as well.

Where the description and recordings of real instances disagree, both are accepted (`_loosened`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import jsonschema
import pytest
import yaml

from local._http import Request, Response
from local.aito.server import Aito
from sync.aito import AitoTarget, RateLimiter, Transport
from sync.base.clock import Clock, Deadline
from sync.base.errors import Refused
from sync.model import batches
from sync.model.columns import Column
from sync.model.conditions import AllOf, Before, Between, OneOf

DESCRIPTION = Path(__file__).parents[2].parent / "shared" / "aito-openapi.yaml"
COLUMNS = [
    Column("id", "String", nullable=False),
    Column("at", "Int", nullable=False),
    Column("words", "Text", analyzer="en"),
    Column("price", "Decimal"),
    Column("new", "Boolean"),
    Column("more", "Json"),
    Column("tags", "String[]"),
    Column("up", "String", link="t.id"),
]
ROWS = [json.dumps({"id": f"k{n}", "at": n, "words": "so many words"}) for n in range(40)]
EVALUATION = {
    "test": {"$index": {"$mod": [10, 0]}},
    "evaluate": {"from": "t", "where": {"words": {"$get": "words"}}, "predict": "id"},
}
NEWEST = {
    "testSource": {"from": "t", "where": {"at": {"$gte": 30}}, "limit": 5},
    "train": {"at": {"$lt": 30}},
    "evaluate": EVALUATION["evaluate"],
}


@dataclass(frozen=True)
class Exchange:
    """A request and its answer."""

    method: str
    path: str
    body: Any
    status: int
    answer: Any


class Recording(Aito):
    """A stand-in that keeps what it was sent and what it said."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        super().__init__()

    def _answer(self, request: Request) -> Response:
        response = super()._answer(request)
        body = json.loads(request.body) if request.body else None
        answer = json.loads(response.body)
        self.exchanges.append(Exchange(request.method, request.path, body, response.status, answer))
        return response


class FixedKey:
    """The stand-in's key."""

    origin = "a test"

    def __init__(self, key: str) -> None:
        self.key = key

    def get(self) -> str:
        """The key."""
        return self.key

    def renew(self, refused: str) -> bool:
        """There is no other."""
        return False


def every_call(target: AitoTarget) -> None:
    """Each call that the sync makes, with each kind of condition."""
    target.create("t", COLUMNS)
    target.add_column("t", Column("late", "Int"))
    target.schema()
    target.insert("t", batches.of(ROWS))
    target.upsert("t", "id", ["k1", "k2"], batches.of(ROWS[1:3]))
    both = AllOf((Between("at", 1, 20), OneOf("id", ("k1", "k30"))))
    assert target.count("t") == 40
    assert target.count("t", both) == 1
    assert len(list(target.rows("t", both, "id", ["id", "at"]))) == 1
    assert target.newest("t", "at", 100) == (39, 40)
    target.optimize("t")
    assert target.delete("t", Before("at", 2)) == 2
    for query in (EVALUATION, NEWEST):
        job = target.start_evaluation(query)
        until = monotonic() + 5
        while not target.evaluation_status(job).has_ended and monotonic() < until:
            sleep(0.01)
        target.evaluation_answer(job)
    target.create("fresh", COLUMNS[:2])
    target.rename("fresh", "renamed")
    target.drop("renamed")
    with pytest.raises(Refused):
        target.insert("renamed", batches.of(ROWS[:1]))


@pytest.fixture(scope="module")
def exchanges() -> Iterator[list[Exchange]]:
    """What was sent and answered during every call."""
    with Recording() as aito:
        clock = Clock()
        key = FixedKey(aito.api_key)
        deadline = Deadline.after(clock, 100)
        transport = Transport(aito.url, key, 10, RateLimiter(1e6, clock), deadline)
        every_call(AitoTarget(transport))
        yield aito.exchanges


# -- without the description

PATHS = {
    ("GET", "/api/v1/schema"),
    ("PUT", "/api/v1/schema/t"),
    ("PUT", "/api/v1/schema/t/late"),
    ("PUT", "/api/v1/schema/fresh"),
    ("DELETE", "/api/v1/schema/renamed"),
    ("POST", "/api/v1/schema/_rename"),
    ("POST", "/api/v1/data/t/batch"),
    ("POST", "/api/v1/data/renamed/batch"),
    ("POST", "/api/v1/data/_modify"),
    ("POST", "/api/v1/data/_delete"),
    ("POST", "/api/v1/jobs/data/t/optimize"),
    ("POST", "/api/v1/_search"),
    ("POST", "/api/v1/jobs/_evaluate"),
    ("GET", "/api/v1/jobs/JOB"),
    ("GET", "/api/v1/jobs/JOB/result"),
}
# Members of an evaluation's answer that the description requires and no recording has.
UNRECORDED = ("meanNs", "meanUs", "medianNs", "medianUs")
JOB = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


def test_the_paths_of_the_sync(exchanges: list[Exchange]) -> None:
    """These and no others."""
    assert {(each.method, JOB.sub("JOB", each.path)) for each in exchanges} == PATHS


def find(exchanges: list[Exchange], method: str, path: str) -> Exchange:
    """The first exchange on a path."""
    return next(
        each
        for each in exchanges
        if (each.method, JOB.sub("JOB", each.path)) == (method, f"/api/v1/{path}")
    )


def test_the_fields_of_the_sync(exchanges: list[Exchange]) -> None:
    """What Aito reads of a request."""
    table = find(exchanges, "PUT", "schema/t").body
    assert table["type"] == "table"
    assert table["columns"]["id"] == {"type": "String", "nullable": False}
    assert table["columns"]["up"] == {"type": "String", "nullable": True, "link": "t.id"}
    assert find(exchanges, "PUT", "schema/t/late").body == {"type": "Int", "nullable": True}
    assert isinstance(find(exchanges, "POST", "data/t/batch").body, list)
    rename = find(exchanges, "POST", "schema/_rename").body
    assert rename == {"from": "fresh", "rename": "renamed", "replace": True}
    delete = find(exchanges, "POST", "data/_delete").body
    assert delete == {"from": "t", "where": {"at": {"$lt": 2}}}
    first, second = find(exchanges, "POST", "data/_modify").body["operations"]
    assert first == {"from": "t", "delete": {"id": {"$or": ["k1", "k2"]}}}
    assert (second["into"], len(second["insert"])) == ("t", 2)
    assert find(exchanges, "POST", "jobs/data/t/optimize").body == {}
    assert find(exchanges, "POST", "jobs/_evaluate").body == EVALUATION
    searches = [each.body for each in exchanges if each.path.endswith("/_search")]
    assert {"from": "t", "limit": 0} in searches
    known = {"from", "where", "orderBy", "select", "offset", "limit"}
    assert all(set(search) <= known for search in searches)
    orders = [search["orderBy"] for search in searches if "orderBy" in search]
    assert orders
    assert all(set(order) <= {"$asc", "$desc"} for order in orders)


def test_the_fields_of_the_stand_in(exchanges: list[Exchange]) -> None:
    """What the sync reads of an answer."""
    assert find(exchanges, "POST", "data/t/batch").answer == {"entries": 40, "status": "ok"}
    assert find(exchanges, "POST", "data/_delete").answer == {"total": 2}
    assert find(exchanges, "POST", "schema/_rename").answer == {}
    assert find(exchanges, "DELETE", "schema/renamed").answer == {"deleted": ["renamed"]}
    created = find(exchanges, "POST", "jobs/_evaluate")
    assert created.status == 201
    assert set(created.answer) == {"id", "path", "startedAt"}
    statuses = [each.answer for each in exchanges if JOB.search(each.path)]
    assert any({"finishedAt", "expiresAt"} <= set(status) for status in statuses)
    search = find(exchanges, "POST", "_search").answer
    assert set(search) == {"offset", "total", "hits"}
    refused = [each for each in exchanges if each.status >= 400]
    assert refused
    assert all({"message", "status"} <= set(each.answer) for each in refused)


# -- with it


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    """The description as JSON Schema."""
    if not DESCRIPTION.is_file():
        pytest.skip("Aito's OpenAPI description is not here: it is not shipped")
    loaded: dict[str, Any] = _loosened(yaml.safe_load(DESCRIPTION.read_text()))
    evaluation = loaded["components"]["schemas"]["EvaluateResponse"]
    evaluation["required"] = [each for each in evaluation["required"] if each not in UNRECORDED]
    return loaded


def _loosened(part: Any) -> Any:
    """OpenAPI 3.0 as JSON Schema, without what recordings of real instances contradict.

    Alternatives overlap, so any may fit. Types of columns have no case. `required: null` is
    nothing. `discriminator` is no JSON Schema.
    """
    if isinstance(part, list):
        return [_loosened(each) for each in part]
    if not isinstance(part, dict):
        return part
    loose: dict[str, Any] = {}
    for name, value in part.items():
        if value is None or name in ("discriminator", "example", "examples"):
            continue
        loose["anyOf" if name == "oneOf" else str(name)] = _loosened(value)
    return loose


def _lower_types(part: Any) -> Any:
    """Types of columns in the description's spelling: lower case, but not of arrays."""
    if isinstance(part, list):
        return [_lower_types(each) for each in part]
    if not isinstance(part, dict):
        return part
    written = part.get("type")
    changed = {name: _lower_types(value) for name, value in part.items()}
    if isinstance(written, str) and not written.endswith("[]"):
        changed["type"] = written.lower()
    return changed


def _operation(description: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
    """The operation of a request. Jobs are described for query paths, and taken for others too."""
    path = JOB.sub("{uuid}", exchange.path)
    fixed = description["paths"]
    if path not in fixed:
        path = next(
            each
            for each in sorted(fixed, key=lambda each: each.count("{"))
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+" if "jobs" not in each else ".+", each), path)
        )
    operation: dict[str, Any] = fixed[path][exchange.method.lower()]
    return operation


def _check(description: dict[str, Any], part: Any, value: Any) -> None:
    schema = {**part["content"]["application/json"]["schema"]}
    schema["components"] = description["components"]
    jsonschema.Draft202012Validator(schema).validate(value)


def _spelled(exchange: Exchange, value: Any) -> Any:
    return _lower_types(value) if "/schema" in exchange.path else value


def _table_schemas(value: Any) -> Iterator[Any]:
    """The parts of a schema that the description names by a placeholder."""
    if isinstance(value, dict) and "schema" in value:
        yield from value["schema"].values()
    if isinstance(value, dict) and "columns" in value:
        yield value


def test_every_request_validates(exchanges: list[Exchange], description: dict[str, Any]) -> None:
    """Path, method and body of what the sync sends."""
    for exchange in exchanges:
        operation = _operation(description, exchange)
        body = _spelled(exchange, exchange.body)
        if "requestBody" in operation:
            if exchange.path.endswith("/_modify"):
                body = _single_inserts(body)
            _check(description, operation["requestBody"], body)
        _check_columns(description, body)


def _single_inserts(body: Any) -> Any:
    """The description knows `insert` of one row; the SDK, which is newer, of several."""
    operations = []
    for operation in body["operations"]:
        rows = operation.get("insert")
        if isinstance(rows, list):
            operations += [{**operation, "insert": row} for row in rows]
        else:
            operations.append(operation)
    return {"operations": operations}


def _check_columns(description: dict[str, Any], value: Any) -> None:
    """The description names tables and columns by placeholders, so each is checked by itself."""
    part = {
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ColumnType"}}}
    }
    for table in _table_schemas(value):
        for column in table["columns"].values():
            _check(description, part, column)


def test_every_answer_validates(exchanges: list[Exchange], description: dict[str, Any]) -> None:
    """Status and body of what the stand-in answers."""
    seen = set()
    for exchange in exchanges:
        if exchange.status >= 400:
            continue
        responses = _operation(description, exchange)["responses"]
        status = exchange.status
        if exchange.path.startswith("/api/v1/jobs/") and status == 201:
            status = 200  # recorded: 201
        part = responses.get(status) or responses[str(status)]
        if exchange.path.endswith("/_modify"):
            continue  # described as the request itself; what it is was recorded nowhere
        answer = _without_nan(_spelled(exchange, exchange.answer))
        _check(description, part, answer)
        _check_columns(description, answer)
        seen.add(JOB.sub("JOB", exchange.path))
    assert len(seen) > 10


def _without_nan(answer: Any) -> Any:
    """Recorded: `h`, `baseGmp` and `geomMeanLift` of an evaluation may be the text NaN."""
    if not isinstance(answer, dict):
        return answer
    return {name: 0 if value == "NaN" else value for name, value in answer.items()}


def test_the_description_can_object(exchanges: list[Exchange], description: dict[str, Any]) -> None:
    """A request that is wrong does not validate, so the tests above can fail."""
    search = find(exchanges, "POST", "_search")
    operation = _operation(description, search)
    wrongs: list[Any] = [{"where": {}}, {"from": 7}, {"from": "t", "limit": "all"}, []]
    for wrong in wrongs:
        with pytest.raises(jsonschema.ValidationError):
            _check(description, operation["requestBody"], wrong)
    operation = _operation(description, find(exchanges, "PUT", "schema/t/late"))
    with pytest.raises(jsonschema.ValidationError):
        _check(description, operation["requestBody"], {"type": "timestamp"})
