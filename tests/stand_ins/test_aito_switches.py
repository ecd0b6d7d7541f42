"""What Aito's builds differ in: each switch of the stand-in does what its name says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from local.aito.jobs import Jobs
from local.aito.server import KEY, Aito

EVALUATION = {
    "test": {"$index": {"$mod": [4, 0]}},
    "evaluate": {"from": "t", "where": {"n": {"$get": "n"}}, "predict": "id"},
}


class Caller:
    """Status and body of each call."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.headers.update({"x-api-key": KEY})

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        url = path if path.startswith("http") else f"{self.url}/api/v1/{path}"
        answer = self.session.request(method, url, json=body, timeout=10)
        return answer.status_code, answer.json()

    def hits(self, table: str, **query: Any) -> list[Any]:
        """The hits of a search."""
        hits: list[Any] = self("POST", "_search", {"from": table, **query})[1]["hits"]
        return hits


@pytest.fixture(scope="module")
def server() -> Iterator[Aito]:
    """One stand-in for all tests."""
    with Aito() as aito:
        yield aito


@pytest.fixture
def aito(server: Aito) -> Iterator[Aito]:
    """A table `t` with rows 0 to 9."""
    columns: dict[str, Any] = {
        "n": {"type": "Int"},
        "id": {"type": "String", "nullable": True},
    }
    server.create_table("t", columns)
    server.insert("t", [{"n": n, "id": f"k{n}"} for n in range(10)])
    server.reset_stats()
    yield server
    server.heal()
    server.forget_late()
    server.switches.reset()
    server.job_seconds = 0
    server._api.store.drop_all()


@pytest.fixture
def call(aito: Aito) -> Caller:
    """A client."""
    return Caller(aito.url)


def until(true: Callable[[], bool]) -> None:
    """Wait for what happens in another thread."""
    deadline = time.monotonic() + 5
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert true()


def table(**columns: Any) -> dict[str, Any]:
    """The body of a PUT."""
    return {"type": "table", "columns": columns}


# -- schema


def test_a_put_may_empty_a_table(aito: Aito, call: Caller) -> None:
    """The OpenAPI says that a PUT deletes the rows. Engineers saw a refusal, the default."""
    body = table(n={"type": "Int"})
    assert call("PUT", "schema/t", body)[0] == 400
    assert aito.count("t") == 10
    aito.switches.put_over_rows = "empty"
    assert call("PUT", "schema/t", body)[0] == 200
    assert aito.count("t") == 0


def test_a_missing_table_may_be_dropped(aito: Aito, call: Caller) -> None:
    """A 404 was recorded; the SDK's own tests drop tables twice and expect no error."""
    assert call("DELETE", "schema/none")[0] == 404
    aito.switches.drop_missing = "ok"
    assert call("DELETE", "schema/none") == (200, {"deleted": []})
    assert call("DELETE", "schema/t") == (200, {"deleted": ["t"]})


def test_columns_are_read_back_in_alphabetical_order(aito: Aito, call: Caller) -> None:
    """In whatever order they were made."""
    assert list(call("GET", "schema/t")[1]["columns"]) == ["id", "n"]
    assert list(call("GET", "schema")[1]["schema"]["t"]["columns"]) == ["id", "n"]
    aito.switches.columns = "as made"
    assert list(call("GET", "schema/t")[1]["columns"]) == ["n", "id"]


def test_types_have_no_case(aito: Aito, call: Caller) -> None:
    """They are taken in any case, and read back in one."""
    assert call("PUT", "schema/u", table(a={"type": "iNt"}, b={"type": "STRING[]"}))[0] == 200
    columns = call("GET", "schema/u")[1]["columns"]
    assert [columns[name]["type"] for name in "ab"] == ["Int", "String[]"]
    aito.switches.types = "lower"
    assert call("GET", "schema/u/a")[1]["type"] == "int"


@pytest.mark.parametrize(
    ("written", "form", "read"),
    [
        ("en", "long name", "english"),
        ("English", "long name", "English"),
        ("whitespace", "long name", "whitespace"),
        ("en", "as sent", "en"),
        ("en", "object", {"type": "language", "language": "english"}),
        ("standard", "object", "standard"),
    ],
)
def test_analyzers_are_read_back(
    aito: Aito, call: Caller, written: str, form: Any, read: Any
) -> None:
    """Under their long name, as they were sent, or as an object."""
    aito.switches.analyzers = form
    call("PUT", "schema/u", table(a={"type": "Text", "analyzer": written}))
    assert call("GET", "schema/u/a")[1]["analyzer"] == read


def test_links_to_the_own_table(aito: Aito, call: Caller) -> None:
    """`this` is taken as the own table, and may be read back."""
    columns = {"id": {"type": "String"}, "up": {"type": "String", "link": "this.id"}}
    assert call("PUT", "schema/u", table(**columns))[0] == 200
    assert call("GET", "schema/u/up")[1]["link"] == "u.id"
    aito.switches.self_links = "this"
    assert call("GET", "schema/u/up")[1]["link"] == "this.id"


def test_nullable_false_may_be_left_out(aito: Aito, call: Caller) -> None:
    """Written by default."""
    assert call("GET", "schema/t/n")[1]["nullable"] is False
    aito.switches.nullable_false = "left out"
    assert "nullable" not in call("GET", "schema/t/n")[1]
    assert call("GET", "schema/t/id")[1]["nullable"] is True


def test_a_new_column_may_bring_a_value(aito: Aito, call: Caller) -> None:
    """Rows that are there get it, so that the column need not be nullable."""
    assert call("PUT", "schema/t/x", {"type": "Int"})[0] == 400
    assert call("PUT", "schema/t/x", {"type": "Int", "value": "seven"})[0] == 400
    assert call("PUT", "schema/t/x", {"type": "Int", "value": 7})[0] == 200
    assert {row["x"] for row in aito.rows("t")} == {7}
    assert call("GET", "schema/t/x")[1] == {"type": "Int", "nullable": False}


def test_collections_are_no_tables(aito: Aito, call: Caller) -> None:
    """They are listed, and nothing of version 1 can be done to them."""
    aito.switches.collections = ["c"]
    assert call("GET", "schema")[1]["schema"]["c"] == {"type": "collection"}
    assert call("PUT", "schema/c", table(n={"type": "Int"}))[0] == 400
    assert call("POST", "data/c/batch", [{"n": 1}])[0] == 400
    assert call("POST", "schema/_rename", {"from": "t", "rename": "c", "replace": True})[0] == 400


def test_a_type_may_be_unknown(aito: Aito, call: Caller) -> None:
    """Long is named by one source only."""
    aito.switches.long_type = False
    assert call("PUT", "schema/u", table(n={"type": "Long"}))[0] == 400
    assert call("PUT", "schema/t/long", {"type": "Long", "nullable": True})[0] == 400


def test_a_linked_table_may_be_kept_from_a_rename(aito: Aito, call: Caller) -> None:
    """Whether a rename may replace a table that others link to."""
    call("PUT", "schema/new", table(id={"type": "String"}))
    call("PUT", "schema/child", table(t={"type": "String", "link": "t.id"}))
    rename = {"from": "new", "rename": "t", "replace": True}
    aito.switches.rename_over_linked = False
    assert call("POST", "schema/_rename", rename)[0] == 400
    aito.switches.rename_over_linked = True
    assert call("POST", "schema/_rename", rename) == (200, {})


# -- data


def test_dangling_links_may_be_refused(aito: Aito, call: Caller) -> None:
    """They are taken by default."""
    call("PUT", "schema/child", table(t={"type": "String", "link": "t.id"}))
    assert call("POST", "data/child/batch", [{"t": "nobody"}])[0] == 200
    aito.switches.dangling_links = False
    assert call("POST", "data/child/batch", [{"t": "nobody"}])[0] == 400
    assert call("POST", "data/child/batch", [{"t": "k1"}])[0] == 200


def test_a_refused_batch_may_leave_rows(aito: Aito, call: Caller) -> None:
    """Nothing by default; those before the bad one with the switch."""
    rows = [{"n": 20}, {"n": 21}, {"n": "bad"}, {"n": 22}]
    assert call("POST", "data/t/batch", rows)[0] == 400
    assert aito.count("t") == 10
    aito.switches.refused_rows = "before"
    assert call("POST", "data/t/batch", rows)[0] == 400
    assert [row["n"] for row in aito.rows("t")[10:]] == [20, 21]


def test_null_booleans_may_read_false(aito: Aito, call: Caller) -> None:
    """Left out by default, as every null."""
    call("PUT", "schema/u", table(b={"type": "Boolean", "nullable": True}))
    aito.insert("u", [{"b": None}, {"b": True}])
    assert call.hits("u", orderBy={"$asc": "b"}) == [{}, {"b": True}]
    aito.switches.null_booleans = "false"
    assert call.hits("u", orderBy={"$asc": "b"}) == [{"b": False}, {"b": True}]


@pytest.mark.parametrize(
    ("way", "status", "left"),
    [
        ("atomic", 200, {"k0": 100, "k1": 1}),
        ("inserts first", 200, {"k1": 1}),
        ("no delete", 200, {"k0": 100, "k1": 1}),
        ("wrong row", 200, {"k0": 100}),
        ("missing", 404, {"k0": 0, "k1": 1}),
    ],
)
def test_modify_may_do_something_else(
    aito: Aito, call: Caller, way: Any, status: int, left: dict[str, int]
) -> None:
    """A delete and an insert of one key, on each kind of build."""
    aito.switches.modify = way
    aito.delete_rows("t", {"n": {"$gte": 2}})
    delete = {"from": "t", "delete": {"id": "k0"}}
    insert = {"into": "t", "insert": [{"n": 100, "id": "k0"}]}
    assert call("POST", "data/_modify", {"operations": [delete, insert]})[0] == status
    assert {row["id"]: row["n"] for row in aito.rows("t")} == left
    doubled = way in ("no delete", "wrong row")
    assert (aito.count("t", {"id": "k0"}) == 2) is doubled


def test_one_row_is_echoed(call: Caller) -> None:
    """Recorded of the insert of a single row."""
    assert call("POST", "data/t", {"n": 7}) == (200, {"n": 7})


def test_file_upload(aito: Aito, call: Caller) -> None:
    """Refused, unless switched on."""
    assert call("POST", "data/t/file")[0] == 400
    aito.switches.file_upload = True
    assert set(call("POST", "data/t/file")[1]) == {"id", "url", "method"}


# -- queries


def test_insertion_order(aito: Aito, call: Caller) -> None:
    """None is promised; the SDK's own tests need it."""
    assert [hit["n"] for hit in call.hits("t")] != list(range(10))
    aito.switches.insertion_order = True
    assert [hit["n"] for hit in call.hits("t")] == list(range(10))


def test_limits(aito: Aito, call: Caller) -> None:
    """Of hits in an answer, and of values in an `$or`."""
    aito.switches.turn(max_limit=3, max_or=2)
    assert len(call.hits("t", limit=100)) == 3
    query = {"from": "t", "where": {"id": {"$or": ["k1", "k2", "k3"]}}}
    assert call("POST", "_search", query)[0] == 400


# -- jobs


def test_results_are_gone_after_900_seconds(aito: Aito, call: Caller) -> None:
    """`expiresAt` says when. The status stays, or goes too."""
    status, job = call("POST", "jobs/_evaluate", EVALUATION)
    assert (status, job["path"]) == (201, "_evaluate")
    path = f"jobs/{job['id']}"
    until(lambda: "finishedAt" in call("GET", path)[1])
    ended = call("GET", path)[1]
    assert ended["expiresAt"] > ended["finishedAt"]
    aito.advance(899)
    assert call("GET", f"{path}/result")[0] == 200
    aito.advance(2)
    assert call("GET", f"{path}/result")[0] == 404
    assert call("GET", path)[1] == ended
    aito.switches.expired_jobs = "job"
    assert call("GET", path)[0] == 404


def test_time_waits_for_a_call() -> None:
    """A call that has the time to end has ended when the clock was let ahead, however slow it is.

    One that has not is not waited for.
    """
    jobs, may_end = Jobs(), threading.Event()
    jobs.seconds = 100
    job = jobs.start("_evaluate", lambda: (200, may_end.wait(60)))
    jobs.advance(50)
    assert "finishedAt" not in jobs.status(job["id"])
    threading.Timer(0.02, may_end.set).start()
    jobs.advance(60)
    assert "finishedAt" in jobs.status(job["id"])
    assert jobs.result(job["id"]) == (200, True)


def test_jobs_are_listed(aito: Aito, call: Caller) -> None:
    """`GET /jobs/` shows each."""
    aito.lose_jobs()
    ids = {call("POST", "jobs/_evaluate", EVALUATION)[1]["id"] for _ in range(2)}
    assert {job["id"] for job in call("GET", "jobs/")[1]} == ids


def test_jobs_may_answer_200_and_take_no_writes(aito: Aito, call: Caller) -> None:
    """The OpenAPI says 200. Whether writes can be jobs may depend on the build."""
    aito.switches.turn(job_created=200, data_jobs=False)
    assert call("POST", "jobs/_evaluate", EVALUATION)[0] == 200
    assert call("POST", "jobs/data/t/optimize", {})[0] == 404
    assert call("POST", "data/t/optimize", {})[0] == 200


# -- time


def test_a_gateway_cuts_what_takes_long(aito: Aito, call: Caller) -> None:
    """It answers 500 in its own words, and the call is applied when its time is over."""
    aito.switches.turn(slow={"insert": 0.15, "search": 0.01}, gateway_seconds=0.05)
    answer = call("POST", "data/t/batch", [{"n": 50}])
    assert answer == (500, {"message": "Gateway Timeout", "status": 500})
    assert aito.count("t") == 10
    assert len(call.hits("t")) == 10
    until(lambda: aito.count("t") == 11)


@pytest.mark.parametrize("what", ["gateway", "cut", "error"])
def test_a_call_that_is_applied_late(aito: Aito, call: Caller, what: str) -> None:
    """Its answer is lost now, and it takes effect when the test says so."""
    aito.fail(what, on="insert", apply="late")
    if what == "cut":
        with pytest.raises(requests.ConnectionError):
            call("POST", "data/t/batch", [{"n": 50}])
    else:
        assert call("POST", "data/t/batch", [{"n": 50}])[0] >= 500
    assert call("POST", "data/t/batch", [{"n": 51}])[0] == 200
    assert aito.count("t") == 11
    assert aito.land() == 1
    assert aito.land() == 0
    assert aito.rows("t")[-1]["n"] == 50


def test_optimize_may_be_slow(aito: Aito, call: Caller) -> None:
    """As after a large load; as a job it costs its caller nothing."""
    aito.switches.slow = {"optimize": 0.2}
    began = time.monotonic()
    assert call("POST", "data/t/optimize", {})[0] == 200
    assert time.monotonic() - began >= 0.2
    began = time.monotonic()
    assert call("POST", "jobs/data/t/optimize", {})[0] == 201
    assert time.monotonic() - began < 0.2


# -- from another process


def test_switches_over_http(aito: Aito, call: Caller) -> None:
    """Another process turns them below /_local/."""
    there = f"{aito.url}/_local/switches"
    assert call("POST", there, {"put_over_rows": "empty"})[1]["put_over_rows"] == "empty"
    assert call("GET", there)[1]["put_over_rows"] == "empty"
    assert call("POST", there, {"colour": "red"})[0] == 400
    call("DELETE", there)
    assert aito.switches.put_over_rows == "refuse"
    aito.fail("cut", on="insert", apply="late")
    with pytest.raises(requests.ConnectionError):
        call("POST", "data/t/batch", [{"n": 50}])
    call("POST", f"{aito.url}/_local/land")
    assert aito.count("t") == 11
    before = aito._api.jobs.ahead
    call("POST", f"{aito.url}/_local/advance", {"seconds": 60})
    assert aito._api.jobs.ahead == before + 60
