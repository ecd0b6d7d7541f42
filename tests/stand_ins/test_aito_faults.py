"""The Aito stand-in misbehaves exactly as it is told to, and no longer."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from local.aito.server import KEY, Aito

HEADERS = {"x-api-key": KEY}
ROWS = [{"id": n} for n in range(10)]


@pytest.fixture(scope="module")
def server() -> Iterator[Aito]:
    with Aito() as aito:
        aito.create_table("t", {"id": {"type": "Int"}})
        aito.create_table("other", {"id": {"type": "Int"}})
        yield aito


@pytest.fixture
def aito(server: Aito) -> Iterator[Aito]:
    """An empty table `t`."""
    server.delete_rows("t", {})
    server.reset_stats()
    yield server
    server.heal()


def insert(aito: Aito, table: str = "t", timeout: float = 5) -> requests.Response:
    url = f"{aito.url}/api/v1/data/{table}/batch"
    return requests.post(url, data=json.dumps(ROWS), headers=HEADERS, timeout=timeout)


def search(aito: Aito, timeout: float = 5) -> requests.Response:
    return requests.post(
        f"{aito.url}/api/v1/_search", json={"from": "t"}, headers=HEADERS, timeout=timeout
    )


@pytest.mark.parametrize(
    ("what", "status", "body", "header"),
    [
        ("contention", 409, '"error": "write.contention"', ""),
        ("migrating", 409, '"error": "env.migrating"', ""),
        ("throttled", 429, "", "Throttled"),
        ("quota", 429, "", "Quota Exceeded"),
        ("row_limit", 429, "row_limit_exceeded", ""),
        ("error", 500, '"status": 500', ""),
        ("bad_gateway", 502, "<html>", ""),
        ("gateway_timeout", 504, "<html>", ""),
        ("unavailable", 503, '"status": 503', ""),
        ("unauthorized", 401, '"status": 401', ""),
        ("forbidden", 403, '{"message": "not authorized"}', ""),
        ("missing", 404, '"status": 404', ""),
        ("refused", 400, '"status": 400', ""),
        ("too_large", 413, '"status": 413', ""),
        ("garbage", 200, "not json", ""),
        ("html", 200, "<html>", ""),
        ("empty", 200, "", ""),
    ],
)
def test_answers(aito: Aito, what: str, status: int, body: str, header: str) -> None:
    """Each error answer comes once, with nothing stored, and the next call is normal."""
    aito.fail(what, on="insert")
    answer = insert(aito)
    assert answer.status_code == status
    assert body in answer.text
    assert answer.headers.get("x-error-cause", "") == header
    assert aito.count("t") == 0
    assert insert(aito).json() == {"entries": 10, "status": "ok"}


@pytest.mark.parametrize(("apply", "stored"), [("none", 0), ("half", 5), ("all", 10)])
@pytest.mark.parametrize("what", ["error", "cut"])
def test_what_is_stored_is_told(aito: Aito, what: str, apply: Any, stored: int) -> None:
    """An answer can be lost before the data is stored, half-way, or after."""
    aito.fail(what, on="insert", apply=apply)
    if what == "cut":
        with pytest.raises(requests.ConnectionError):
            insert(aito)
    else:
        assert insert(aito).status_code == 500
    assert aito.count("t") == stored


@pytest.mark.parametrize("apply", ["none", "all"])
def test_delete_that_answers_500(aito: Aito, apply: Any) -> None:
    """The answer does not tell whether the rows are gone."""
    insert(aito)
    aito.fail("error", on="delete", apply=apply)
    body = {"from": "t", "where": {"id": {"$lt": 4}}}
    assert (
        requests.post(
            f"{aito.url}/api/v1/data/_delete", json=body, headers=HEADERS, timeout=5
        ).status_code
        == 500
    )
    assert aito.count("t") == (10 if apply == "none" else 6)


@pytest.mark.parametrize("apply", ["none", "all"])
def test_hanging_until_the_client_gives_up(aito: Aito, apply: Any) -> None:
    """No answer comes; the server is free again as soon as the client has gone."""
    aito.fail("hang", on="insert", apply=apply)
    with pytest.raises(requests.Timeout):
        insert(aito, timeout=0.1)
    assert aito.count("t") == (0 if apply == "none" else 10)
    _until(lambda: aito.total(on="insert") == 1)


def test_hanging_until_released(aito: Aito) -> None:
    """`release` cuts whoever waits."""
    aito.fail("hang", on="search")
    threading.Timer(0.1, aito.release).start()
    with pytest.raises(requests.ConnectionError):
        search(aito)


@pytest.mark.parametrize("what", ["truncated", "short"])
def test_broken_bodies(aito: Aito, what: str) -> None:
    """A 200 whose JSON stops in the middle, with and without a matching length; the data is
    stored.
    """
    aito.fail(what, on="insert")
    with pytest.raises(requests.RequestException):
        insert(aito).json()
    assert aito.count("t") == 10


def test_slow(aito: Aito) -> None:
    """The right answer, late."""
    aito.fail("slow", on="insert", seconds=0.2)
    started = time.monotonic()
    assert insert(aito).status_code == 200
    assert time.monotonic() - started >= 0.2


def test_retry_after(aito: Aito) -> None:
    """The header is there only when ordered."""
    aito.fail("throttled", retry_after=1)
    aito.fail("throttled")
    assert [insert(aito).headers.get("Retry-After") for _ in range(2)] == ["1", None]


def test_times_and_skip(aito: Aito) -> None:
    """So many calls pass, then so many fail."""
    aito.fail("error", on="insert", skip=2, times=2)
    assert [insert(aito).status_code for _ in range(6)] == [200, 200, 500, 500, 200, 200]


def test_for_ever_until_healed(aito: Aito) -> None:
    """times=None lasts until `heal`."""
    aito.fail("error", times=None)
    assert {insert(aito).status_code for _ in range(5)} == {500}
    aito.heal()
    assert insert(aito).status_code == 200


def test_probability_is_reproducible(aito: Aito) -> None:
    """The same seed fails the same calls."""
    runs = []
    for _ in range(2):
        aito.heal()
        aito.fail("error", times=None, probability=0.5, seed=3)
        runs.append([search(aito).status_code for _ in range(20)])
    assert runs[0] == runs[1]
    assert {200, 500} == set(runs[0])


def test_only_the_kind_and_table_meant(aito: Aito) -> None:
    """Other calls and other tables are left alone; `schema` means reading and writing it."""
    aito.fail("error", on="insert", table="other")
    aito.fail("missing", on="schema")
    assert search(aito).status_code == 200
    assert insert(aito).status_code == 200
    assert insert(aito, "other").status_code == 500
    assert requests.get(f"{aito.url}/api/v1/schema", headers=HEADERS, timeout=5).status_code == 404


def test_a_lower_limit_of_size(aito: Aito) -> None:
    """Only messages over the limit are refused."""
    aito.fail("too_large", on="insert", times=None, over_bytes=2000)
    assert insert(aito).status_code == 200
    padded = {**HEADERS, "x-padding": "x" * 2000}
    url = f"{aito.url}/api/v1/data/t/batch"
    assert requests.post(url, json=ROWS, headers=padded, timeout=5).status_code == 413


def test_unknown_fault(aito: Aito) -> None:
    """A misspelt order is an error at once."""
    with pytest.raises(ValueError, match="no fault 'eror'"):
        aito.fail("eror")


def test_from_another_process(aito: Aito) -> None:
    """The admin endpoint takes the same orders, and tells the same counts."""
    orders = [{"what": "error", "on": "insert"}, {"what": "throttled", "on": "search", "times": 2}]
    assert len(requests.post(f"{aito.url}/_local/faults", json=orders, timeout=5).json()) == 2
    assert insert(aito).status_code == 500
    assert [search(aito).status_code for _ in range(3)] == [429, 429, 200]
    assert requests.get(f"{aito.url}/_local/faults", timeout=5).json() == []
    assert requests.get(f"{aito.url}/_local/stats", timeout=5).json()["search"]["requests"] == 3
    assert requests.get(f"{aito.url}/_local/log", timeout=5).json()[0]["fault"] == "error"
    requests.delete(f"{aito.url}/_local/stats", timeout=5)
    assert aito.total() == 0
    assert (
        requests.post(f"{aito.url}/_local/faults", json={"what": "eror"}, timeout=5).status_code
        == 400
    )


def _until(true: Any) -> None:
    deadline = time.monotonic() + 5
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert true()
