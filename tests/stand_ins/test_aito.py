"""The Aito stand-in is as strict as the engine it stands for."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import aito.v1.api as sdk
import pytest
import requests
from aito.v1 import AitoClient
from aito.v1.client import RequestError
from aito.v1.requests import Delete, Insert, Update

from local.aito.server import KEY, READ_ONLY_KEY, Aito

USERS: dict[str, Any] = {"id": {"type": "String"}, "device": {"type": "String", "nullable": True}}
PAGES: dict[str, Any] = {
    "id": {"type": "String"},
    "user": {"type": "String", "link": "users.id"},
    "n": {"type": "Int"},
    "title": {"type": "Text", "nullable": True},
}


class Caller:
    """A client that hides nothing: status and body of every call."""

    def __init__(self, url: str, key: str | None = KEY) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.headers.update({"x-api-key": key} if key else {})

    def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        data = json.dumps(body).encode() if body is not None else options.pop("data", None)
        answer = self.session.request(
            method, f"{self.url}/api/v1/{path}", data=data, timeout=10, **options
        )
        return answer.status_code, answer.json()

    def search(self, **query: Any) -> dict[str, Any]:
        status, answer = self("POST", "_search", {"from": "pages", **query})
        assert status == 200, answer
        return dict(answer)

    def total(self, where: Any) -> int:
        return int(self.search(where=where, limit=0)["total"])

    def refusal(self, **query: Any) -> str:
        status, answer = self("POST", "_search", {"from": "pages", **query})
        assert status == answer["status"] == 400
        return str(answer["message"])


@pytest.fixture(scope="module")
def server() -> Iterator[Aito]:
    with Aito() as aito:
        yield aito


@pytest.fixture
def aito(server: Aito) -> Iterator[Aito]:
    """An empty users table and a pages table of 30 rows that links to it, three users, one without
    a device.
    """
    server.create_table("users", USERS)
    server.create_table("pages", PAGES)
    server.insert(
        "users", [{"id": "a", "device": "mobile"}, {"id": "b", "device": "desktop"}, {"id": "c"}]
    )
    server.insert("pages", [_page(n) for n in range(30)])
    server.reset_stats()
    yield server
    server.heal()
    for table in ("copy", "fresh", "pages", "users", "types"):
        if table in server.schema():
            server._api.store.drop_table(table)


@pytest.fixture
def call(aito: Aito) -> Caller:
    return Caller(aito.url)


@pytest.fixture
def client(aito: Aito) -> AitoClient:
    return AitoClient(aito.url, KEY)


def _page(n: int) -> dict[str, Any]:
    title = {"title": f"Page {n}"} if n % 2 else {}
    return {"id": f"p{n}", "user": "abc"[n % 3], "n": n, **title}


# -- doors


def test_version_needs_no_key_and_says_what_this_is(aito: Aito) -> None:
    """Nobody can take the stand-in for the real one."""
    answer = requests.get(f"{aito.url}/version", timeout=10).json()
    assert "version" in answer
    assert "not Aito's" in answer["standIn"]
    assert requests.get(f"{aito.url}/db/mine/version", timeout=10).status_code == 404


@pytest.mark.parametrize(("key", "status"), [(None, 400), ("wrong", 403), (READ_ONLY_KEY, 401)])
def test_writing_needs_the_read_write_key(aito: Aito, key: str | None, status: int) -> None:
    """No key 400, a wrong one 403, a read-only one 401, and nothing is written."""
    answered, body = Caller(aito.url, key)("POST", "data/users/batch", [{"id": "d"}])
    assert answered == status
    assert aito.count("users") == 3
    if key == "wrong":
        assert body == {"message": "not authorized"}


def test_reading_takes_either_key(aito: Aito) -> None:
    """The read-only key searches and evaluates."""
    assert Caller(aito.url, READ_ONLY_KEY).total({}) == 30


def test_a_rotated_key_is_refused(aito: Aito, call: Caller) -> None:
    """From the moment of rotation the old key is wrong and the new one right."""
    aito.api_key = "new"
    try:
        assert call("GET", "schema")[0] == 403
        assert Caller(aito.url, "new")("GET", "schema")[0] == 200
    finally:
        aito.api_key = KEY


def test_shared_instances_have_the_database_in_the_path(aito: Aito) -> None:
    """`/db/<name>` in front of the API leads to the same place, for the SDK as well."""
    client = AitoClient(f"{aito.url}/db/mine", KEY)
    assert sdk.get_existing_tables(client) == ["users", "pages"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("DELETE", "data/pages", 405),
        ("POST", "data/pages/delete", 404),
        ("DELETE", "data/pages/delete", 404),
        ("POST", "nothing", 404),
        ("GET", "_search", 405),
    ],
)
def test_wrong_doors(call: Caller, method: str, path: str, status: int) -> None:
    """What the API does not have is a 404, what it has under another method a 405."""
    assert call(method, path, {})[0] == status


def test_ten_megabytes_are_the_limit(aito: Aito, call: Caller) -> None:
    """A larger message is a 413 and stores nothing; the connection lives on."""
    status, _ = call("POST", "data/users/batch", [{"id": "x" * 10_000_000}])
    assert status == 413
    assert call("POST", "data/users/batch", [{"id": "x" * 9_999_000}])[0] == 200
    assert aito.count("users") == 4


def test_keep_alive(aito: Aito) -> None:
    """A hundred calls travel over one connection."""
    before = aito.connections
    call = Caller(aito.url)
    for _ in range(100):
        call("GET", "schema")
    assert aito.connections == before + 1


# -- schema


def test_schema_writes_defaults_out(call: Caller) -> None:
    """Reading a table back shows nullable and the analyzer."""
    _, table = call("GET", "schema/pages")
    assert table["columns"]["id"] == {"type": "String", "nullable": False}
    assert table["columns"]["title"] == {"type": "Text", "nullable": True, "analyzer": "standard"}
    assert table["columns"]["user"]["link"] == "users.id"


def test_missing_table_has_the_documented_answer(call: Caller) -> None:
    """404 with the table's name."""
    assert call("GET", "schema/none") == (404, {"message": "No such table: none", "status": 404})
    assert call("POST", "data/none/batch", [])[0] == 404


def test_schema_through_the_sdk(client: AitoClient) -> None:
    """The SDK makes, reads, renames, copies and drops tables here."""
    sdk.create_table(client, "types", {"type": "table", "columns": {"id": {"type": "String"}}})
    assert (
        sdk.get_table_schema(client, "types").to_json_serializable()["columns"]["id"]["type"]
        == "String"
    )
    sdk.copy_table(client, "types", "copy")
    with pytest.raises(RequestError, match="already exists"):
        sdk.rename_table(client, "types", "copy")
    sdk.rename_table(client, "types", "copy", replace=True)
    assert set(sdk.get_existing_tables(client)) == {"users", "pages", "copy"}
    sdk.delete_table(client, "copy")
    assert set(sdk.get_existing_tables(client)) == {"users", "pages"}


def test_rename_over_a_table_keeps_rows_and_links(aito: Aito, call: Caller) -> None:
    """`_rename` with replace swaps a table in one step; those that link to its name see the new
    rows.
    """
    aito.create_table("fresh", USERS)
    aito.insert("fresh", [{"id": "a", "device": "watch"}])
    assert (
        call("POST", "schema/_rename", {"from": "fresh", "rename": "users", "replace": True})[0]
        == 200
    )
    assert aito.rows("users") == [{"id": "a", "device": "watch"}]
    assert call.total({"user.device": "watch"}) == 10


def test_linked_tables_stay(aito: Aito, call: Caller) -> None:
    """A linked table is not renamed away, nor replaced by one without the linked column."""
    assert call("POST", "schema/_rename", {"from": "users", "rename": "fresh"})[0] == 400
    aito.create_table("fresh", {"key": {"type": "String"}})
    assert (
        call("POST", "schema/_rename", {"from": "fresh", "rename": "users", "replace": True})[0]
        == 400
    )
    assert (aito.count("users"), aito.count("fresh")) == (3, 0)


def test_copy_is_independent(aito: Aito, call: Caller) -> None:
    """A copy has the rows, and a life of its own."""
    assert call("POST", "schema/_copy", {"from": "users", "copy": "copy"})[0] == 200
    aito.delete_rows("users", {"id": "a"})
    assert (aito.count("copy"), aito.count("users")) == (3, 2)


def test_table_with_rows_is_not_replaced(call: Caller) -> None:
    """PUT over a table is refused in the engine's words while it holds rows."""
    status, answer = call("PUT", "schema/users", {"type": "table", "columns": USERS})
    assert status == 400
    assert answer["message"].startswith(
        "Cannot replace table `users` schema. The table contains data"
    )


def test_empty_table_is_replaced(aito: Aito, call: Caller) -> None:
    """PUT over an empty table changes it."""
    aito.create_table("types", {"id": {"type": "Int"}})
    assert (
        call("PUT", "schema/types", {"type": "table", "columns": {"key": {"type": "String"}}})[0]
        == 200
    )
    assert list(aito.schema()["types"]["columns"]) == ["key"]


def test_column_added_to_rows_must_be_nullable(aito: Aito, call: Caller) -> None:
    """A new nullable column reads as absent in old rows; a required one is refused, as is another
    type.
    """
    assert call("PUT", "schema/users/age", {"type": "Int", "nullable": True})[0] == 200
    assert aito.rows("users")[0] == {"id": "a", "device": "mobile"}
    assert call("PUT", "schema/users/size", {"type": "Int"})[0] == 400
    assert call("PUT", "schema/users/age", {"type": "String", "nullable": True})[0] == 400
    assert call("PUT", "schema/users/age", {"type": "Int", "nullable": True})[0] == 200
    aito.insert("users", [{"id": "d", "age": 7}])
    assert call("DELETE", "schema/users/age")[0] == 200
    assert aito.rows("users")[-1] == {"id": "d"}


def test_links_need_their_target(call: Caller) -> None:
    """A link's table must exist first, and is not dropped while it is linked to."""
    column = {"type": "String", "link": "nowhere.id"}
    assert call("PUT", "schema/types", {"type": "table", "columns": {"id": column}})[0] == 400
    status, answer = call("DELETE", "schema/users")
    assert status == 400
    assert "pages.user" in answer["message"]
    assert call("DELETE", "schema/users/id")[0] == 400


@pytest.mark.parametrize("name", ["a b", "a.b", "a$", 'a"b'])
def test_names(call: Caller, name: str) -> None:
    """Names hold no / " . $ and no white space."""
    body = {"type": "table", "columns": {name: {"type": "String"}}}
    assert call("PUT", "schema/types", body)[0] == 400


@pytest.mark.parametrize(
    "column",
    [
        {"type": "Timestamp"},
        {},
        {"type": "String", "analyzer": "en"},
        {"type": "Int", "unique": True},
        "Int",
    ],
)
def test_columns_that_do_not_exist(call: Caller, column: Any) -> None:
    """Unknown types and keys are refused."""
    assert call("PUT", "schema/types", {"type": "table", "columns": {"id": column}})[0] == 400


def test_column_names_are_case_sensitive(aito: Aito) -> None:
    """`id` and `ID` are two columns."""
    aito.create_table("types", {"id": {"type": "Int"}, "ID": {"type": "Int"}})
    aito.insert("types", [{"id": 1, "ID": 2}])
    assert aito.rows("types") == [{"id": 1, "ID": 2}]


# -- types

GOOD = [
    ("String", ""),
    ("String", "é\n\"'\\ \x00 🙂"),
    ("Text", "some words"),
    ("Int", 2**31 - 1),
    ("Int", -(2**31)),
    ("Long", 2**63 - 1),
    ("Long", -(2**63)),
    ("Decimal", 1),
    ("Decimal", 0.1),
    ("Decimal", -1e308),
    ("Boolean", True),
    ("Boolean", False),
    ("Json", {"a": [1, None, {"b": "c"}]}),
    ("Json", 1),
    ("Json", "text"),
    ("Json", []),
    ("String[]", []),
    ("String[]", ["a", ""]),
    ("Int[]", [1, 2]),
    ("Decimal[]", [1, 0.5]),
    ("Boolean[]", [True]),
]
BAD = [
    ("String", 1),
    ("String", True),
    ("String", ["a"]),
    ("Text", {}),
    ("Int", 2**31),
    ("Int", -(2**31) - 1),
    ("Int", 1.0),
    ("Int", "1"),
    ("Int", True),
    ("Long", 2**63),
    ("Long", 1.5),
    ("Decimal", "0.1"),
    ("Decimal", True),
    ("Decimal", 10**400),
    ("Boolean", 1),
    ("Boolean", 0),
    ("Boolean", "true"),
    ("String[]", "a"),
    ("String[]", [1]),
    ("String[]", [None]),
    ("Int[]", [True]),
    ("Boolean[]", [0]),
]


@pytest.mark.parametrize(("kind", "value"), GOOD)
def test_values_come_back_as_they_were(aito: Aito, call: Caller, kind: str, value: Any) -> None:
    """What fits is stored and shown unchanged, and equals itself in a query."""
    aito.create_table("types", {"v": {"type": kind}})
    assert call("POST", "data/types/batch", [{"v": value}])[0] == 200
    _, answer = call("POST", "_search", {"from": "types"})
    assert answer["hits"] == [{"v": value}]
    assert type(answer["hits"][0]["v"]) is (float if kind == "Decimal" else type(value))


@pytest.mark.parametrize(("kind", "value"), BAD)
def test_nothing_is_coerced(aito: Aito, call: Caller, kind: str, value: Any) -> None:
    """A wrong type refuses the whole batch; the message names table and column, not the value."""
    aito.create_table("types", {"id": {"type": "Int"}, "v": {"type": kind}})
    good = next(good for each, good in GOOD if each == kind)
    status, answer = call("POST", "data/types/batch", [{"id": 1, "v": good}, {"id": 2, "v": value}])
    assert status == answer["status"] == 400
    assert "`types`" in answer["message"]
    assert "'v'" in answer["message"]
    assert aito.count("types") == 0


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"1e999", b'"\\ud800"', b"{", b""])
def test_text_that_is_not_json(aito: Aito, call: Caller, literal: bytes) -> None:
    """NaN, numbers beyond a double, halves of characters and torn JSON are refused."""
    aito.create_table("types", {"v": {"type": "String" if b"ud800" in literal else "Decimal"}})
    assert call("POST", "data/types/batch", data=b'[{"v": ' + literal + b"}]")[0] == 400
    assert aito.count("types") == 0


def test_refusals_can_be_500(aito: Aito, call: Caller) -> None:
    """Some builds answer 500 to a wrong type."""
    aito.refusal_status = 500
    try:
        assert call("POST", "data/users/batch", [{"id": 1}])[0] == 500
    finally:
        aito.refusal_status = 400


@pytest.mark.parametrize(
    "row", [{"device": "x"}, {"id": None}, {"id": "d", "colour": "red"}, "d", None]
)
def test_nullability_and_unknown_columns(aito: Aito, call: Caller, row: Any) -> None:
    """A missing or null value needs a nullable column; an unknown column is refused."""
    assert call("POST", "data/users/batch", [{"id": "e"}, row])[0] == 400
    assert aito.count("users") == 3


def test_null_and_absent_are_the_same(aito: Aito, call: Caller) -> None:
    """Both are stored as nothing and left out of hits."""
    call("POST", "data/users/batch", [{"id": "d", "device": None}, {"id": "e"}])
    assert aito.rows("users")[-2:] == [{"id": "d"}, {"id": "e"}]


def test_a_long_value_is_not_in_the_message(call: Caller) -> None:
    """Errors name the place and stay short."""
    _, answer = call("POST", "data/pages/batch", [{**_page(1), "n": "secret " * 1000}])
    assert "secret" not in answer["message"]
    assert len(answer["message"]) < 200


# -- data


def test_nothing_is_unique(aito: Aito, call: Caller) -> None:
    """A row sent twice is there twice."""
    for _ in range(2):
        assert call("POST", "data/users/batch", [{"id": "d"}]) == (
            200,
            {"entries": 1, "status": "ok"},
        )
    assert aito.count("users", {"id": "d"}) == 2
    assert call("POST", "data/users", {"id": "d"})[0] == 200
    assert aito.count("users", {"id": "d"}) == 3


def test_delete_counts(aito: Aito, call: Caller) -> None:
    """`_delete` says how many rows went; twice is none."""
    body = {"from": "pages", "where": {"n": {"$lt": 10}}}
    assert call("POST", "data/_delete", body) == (200, {"total": 10})
    assert call("POST", "data/_delete", body) == (200, {"total": 0})
    assert aito.count("pages") == 20


def test_delete_needs_a_where(aito: Aito, call: Caller) -> None:
    """A delete that names no rows is refused; `{}` means all of them."""
    assert call("POST", "data/_delete", {"from": "pages"})[0] == 400
    assert call("POST", "data/_delete", {"from": "pages", "where": {}}) == (200, {"total": 30})


def test_modify_through_the_sdk(aito: Aito, client: AitoClient) -> None:
    """Insert, update, upsert and delete, with their counts."""
    operations = [
        Insert("users", [{"id": "d"}, {"id": "e"}]),
        Update("users").where({"id": "d"}).set({"device": "tv"}),
        Update("users").where({"id": "f"}).set({"device": "car"}).upsert(),
        Delete("users", {"id": "a"}),
    ]
    answer = sdk.modify(client, operations)
    assert (answer.inserted_count, answer.modified_count, answer.deleted_count) == (3, 1, 1)
    assert {row["id"]: row.get("device") for row in aito.rows("users")} == {
        "b": "desktop",
        "c": None,
        "d": "tv",
        "e": None,
        "f": "car",
    }


def test_modify_is_atomic(aito: Aito, call: Caller) -> None:
    """When one operation is refused, none has happened."""
    before = aito.rows("users")
    delete, insert = (
        {"from": "users", "delete": {"id": "a"}},
        {"into": "users", "insert": [{"id": "a"}, {"id": 1}]},
    )
    assert call("POST", "data/_modify", {"operations": [delete, insert]})[0] == 400
    assert aito.rows("users") == before


def test_optimize_needs_a_body(call: Caller) -> None:
    """`{}` is enough; nothing at all is a 400."""
    assert call("POST", "data/pages/optimize", {}) == (200, {})
    assert call("POST", "data/pages/optimize")[0] == 400


# -- queries


@pytest.mark.parametrize(
    ("where", "total"),
    [
        ({}, 30),
        ({"id": "p7"}, 1),
        ({"user": "a", "n": {"$gte": 15}}, 5),
        ({"n": {"$gt": 27}}, 2),
        ({"n": {"$gte": 5, "$lt": 9}}, 4),
        ({"n": {"$lte": 3}}, 4),
        ({"$and": [{"n": {"$gte": 5}}, {"n": {"$lt": 9}}]}, 4),
        ({"n": {"$and": [{"$gte": 5}, {"$lt": 9}]}}, 4),
        ({"$or": [{"id": "p1"}, {"n": {"$gte": 28}}]}, 3),
        ({"id": {"$or": ["p1", "p2", "none"]}}, 2),
        ({"n": {"$or": [{"$lt": 2}, 7]}}, 3),
        ({"$or": []}, 0),
        ({"$not": {"user": "a"}}, 20),
        ({"user": {"$not": "a"}}, 20),
        ({"$not": {"title": "Page 1"}}, 29),
        ({"title": None}, 15),
        ({"$index": {"$mod": [10, 0]}}, 3),
        ({"$not": {"$index": {"$mod": [10, 0]}}}, 27),
        ({"user.device": "mobile"}, 10),
        ({"user.device": {"$or": ["mobile", "desktop"]}}, 20),
        ({"user.device": None}, 10),
    ],
)
def test_where(call: Caller, where: Any, total: int) -> None:
    """Every documented operator, links over one hop included."""
    assert call.total(where) == total


@pytest.mark.parametrize(
    "where",
    [
        {"id": {"$in": ["p1"]}},
        {"$in": []},
        {"n": "7"},
        {"user.device.name": "x"},
        {"n.device": "x"},
        {"$and": {}},
        {"$index": 3},
        [],
    ],
)
def test_what_where_does_not_know(call: Caller, where: Any) -> None:
    """What v1 does not document is refused, not guessed."""
    assert call.refusal(where=where)


def test_unknown_field_points_at_its_place(call: Caller) -> None:
    """The message starts with line and column, as the engine's."""
    status, answer = call("POST", "_search", {"from": "pages", "where": {"colour": "red"}})
    assert status == 400
    assert answer["message"].startswith("1:29: field 'colour' not found")
    assert (answer["charOffset"], answer["lineNumber"]) == (28, 1)
    assert "colour" in call.refusal(select=["colour"])
    assert "colour" in call.refusal(orderBy="colour")


def test_unknown_query_keys_are_refused(call: Caller) -> None:
    """A misspelt key is no silent no-op."""
    assert "orderby" in call.refusal(orderby="n")


def test_search_shape_and_defaults(call: Caller) -> None:
    """Ten hits unless asked otherwise; `total` counts every match."""
    answer = call.search(where={"n": {"$gte": 10}})
    assert (answer["offset"], answer["total"], len(answer["hits"])) == (0, 20, 10)
    assert call.search(limit=0) == {"offset": 0, "total": 30, "hits": []}


def test_order_select_offset(call: Caller) -> None:
    """Ordering both ways, chosen fields only, and pages."""
    assert call.search(orderBy={"$desc": "n"}, select=["n"], limit=2)["hits"] == [
        {"n": 29},
        {"n": 28},
    ]
    assert call.search(orderBy="n", select=["id"], offset=28)["hits"] == [
        {"id": "p28"},
        {"id": "p29"},
    ]
    assert call.search(orderBy={"$asc": "n"}, select=["user.device"], limit=1)["hits"] == [
        {"user.device": "mobile"}
    ]


def test_no_order_is_promised(call: Caller) -> None:
    """Without orderBy rows come in another order than they went in, the same one each time, each
    once.
    """
    first, again = (call.search(limit=30, select=["n"])["hits"] for _ in range(2))
    assert first == again
    assert [hit["n"] for hit in first] != list(range(30))
    assert sorted(hit["n"] for hit in first) == list(range(30))


@pytest.mark.parametrize("form", ["field", "propositions"])
def test_a_thousand_keys(aito: Aito, call: Caller, form: str) -> None:
    """Looking a whole batch up by key takes one query in either form."""
    aito.create_table("types", {"id": {"type": "String"}})
    aito.insert("types", [{"id": f"key-{n}"} for n in range(5000)])
    keys = [f"key-{n}" for n in range(4500, 5500)]
    where = {"id": {"$or": keys}} if form == "field" else {"$or": [{"id": key} for key in keys]}
    assert call("POST", "_search", {"from": "types", "where": where, "limit": 0})[1]["total"] == 500


def test_aggregate(call: Caller) -> None:
    """Numbers only, over the rows that match."""
    query = {
        "from": "pages",
        "where": {"n": {"$lt": 4}},
        "aggregate": ["n.$max", "n.$sum", "n.$mean", "n.$min"],
    }
    assert call("POST", "_aggregate", query) == (
        200,
        {"n.$max": 3, "n.$sum": 6, "n.$mean": 1.5, "n.$min": 0},
    )
    assert call("POST", "_aggregate", {"from": "pages", "aggregate": ["id.$max"]})[0] == 400


def test_batch_of_queries(call: Caller) -> None:
    """Several queries in one call; a bad one fails all."""
    count = {"from": "pages", "limit": 0}
    status, answers = call("POST", "_batch", [count, {**count, "where": {"n": 1}}])
    assert (status, [answer["total"] for answer in answers]) == (200, [30, 1])
    assert call("POST", "_batch", [count, {"from": "none"}])[0] == 400


# -- watching it


def test_counters(aito: Aito, call: Caller) -> None:
    """Requests, rows, bytes and writes by kind; they can be set to zero."""
    call("POST", "data/users/batch", [{"id": "d"}, {"id": "e"}])
    call.total({})
    stats = aito.stats()
    assert (stats["insert"].requests, stats["insert"].rows, stats["insert"].writes) == (1, 2, 1)
    assert stats["insert"].bytes > 30
    assert aito.total("writes") == 1
    assert [entry.kind for entry in aito.log] == ["insert", "search"]
    aito.reset_stats()
    assert (aito.stats(), aito.log) == ({}, [])


def test_tampering(aito: Aito) -> None:
    """Tests can delete and double rows behind the client's back, uncounted."""
    assert aito.double_rows("pages", {"n": {"$lt": 3}}) == 3
    assert aito.delete_rows("pages", {"n": {"$gte": 20}}) == 10
    assert aito.count("pages") == 23
    assert aito.total() == 0


def test_as_a_process_of_its_own() -> None:
    """`python -m local.aito` serves on a free port and says whose predictions these are not."""
    with subprocess.Popen(
        [sys.executable, "-m", "local.aito", "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as it:
        try:
            assert it.stdout is not None
            line = it.stdout.readline()
            url = next(word for word in line.split() if word.startswith("http"))
            assert "not Aito's" in line
            assert requests.get(f"{url}/_local/stats", timeout=10).json() == {}
        finally:
            it.kill()
