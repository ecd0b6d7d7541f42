"""The small inputs of public reports that failed once, through the function over HTTP.

Each stands for a kind. `ELSEWHERE` names the tests of those that other files hold.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from google.cloud.bigquery import SchemaField

from local import bigquery
from local._http import Request, Response, Server
from local.stack import ROOT, Function, Stack
from tests.adapters.test_aito_wire import contexts, proxy, pump, serving
from tests.unit.test_notices import job, table_name, transfer_run
from tests.unit.test_request import pushed
from tests.workbench import DATASET, FAST, Workbench, iso
from tests.workbench import table as configured

Row = dict[str, Any]

NOON = 1_795_000_000
MODES = ("append", "merge")
# Case -> file and test.
ELSEWHERE = {
    "01, an emptied source": "entry/test_ok_means_it.py::a_source_that_was_emptied",
    "01, erosion": "entry/test_ok_over_nights.py::test_erosion_over_nights",
    "02, folded rows": "entry/test_ok_means_it.py::a_key_that_many_rows_share",
    "02, more rows a key": "promise/test_composite_key.py::test_a_report_by_page_day_and_device",
    "03, wrong units": "promise/test_clocks.py::test_a_wrong_unit_on_the_first_night",
    "04, corrected rejects": "entry/test_ok_means_it.py::rejects_that_were_mended",
    "06, query string": "entry/test_triggers.py::test_a_query_string_is_not_ignored",
    "11, columns": "promise/test_columns_chosen.py::test_columns_that_come_and_go",
    "11, through the function": "entry/test_ok_means_it.py::a_column_is_added",
    "12, keys made anew": "promise/test_unstable_key.py::test_functions_in_the_text",
    "12, behind views": "promise/test_unstable_key.py::test_views",
    "13, data is ready": "entry/test_triggers.py::test_data_is_ready",
    "15, certificates and proxies": "adapters/test_aito_wire.py::test_no_proxy_is_honoured",
    "17, queries": "promise/test_columns_chosen.py::test_a_query_as_people_write_it",
    "19, deletes": "promise/test_deletes.py::test_a_log_of_changes",
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_cases_that_other_files_hold(case: str) -> None:
    """The test that a case names is there."""
    file, _, name = ELSEWHERE[case].partition("::")
    assert f"def {name}(" in Path(ROOT, "tests", file).read_text()


# -- tables that are loaded


IDS = [f"id_{place}" for place in range(6)]
OTHERS = [f"field_{place:02}" for place in range(59)]
SHOP = {
    "id": "INT64",
    "ts": "TIMESTAMP",
    **dict.fromkeys(IDS, "INT64"),
    **dict.fromkeys(OTHERS, "STRING"),
}
CHANGES = {"id": "STRING", "ts": "TIMESTAMP", "operation": "STRING", "is_deleted": "BOOL"}
PLAIN = {"id": "STRING", "ts": "TIMESTAMP"}
COMMENTED = f"SELECT id, ts FROM `{DATASET}.plain`;\n-- that is all; really"
PIPED = f"FROM `{DATASET}.plain` |> WHERE id != 'b' |> SELECT id, ts"


def change(key: str, at: int, operation: str) -> Row:
    """A row of a log of changes, which has the flag of another export as well."""
    is_deleted = operation == "DELETE"
    return {"id": key, "ts": iso(NOON + at), "operation": operation, "is_deleted": is_deleted}


def load(stack: Stack, name: str, schema: dict[str, str], rows: list[Row]) -> None:
    """Append rows to a table of the cases."""
    fields = [SchemaField(column, kind) for column, kind in schema.items()]
    bigquery.load(stack.bigquery.client(), f"{DATASET}.{name}", fields, rows)


def tables() -> Iterator[Row]:
    """What is synced. The files of ELSEWHERE hold each query and condition in both modes."""
    text = {"field_00": {"type": "Text"}}
    few = {"*": {"except": OTHERS[1:]}, **text}  # the emulator takes long for many columns
    for mode, shop in zip(MODES, ({"*": None, **text}, few), strict=True):
        yield configured(f"case08_{mode}", f"{DATASET}.shop", mode=mode, columns=shop)
    for mode, query in zip(MODES, (COMMENTED, PIPED), strict=True):
        asked = configured(f"case17_{mode}", "", mode=mode, query=query)
        del asked["source"]
        yield asked
    for mode, condition in zip(MODES, ("operation = 'DELETE'", "is_deleted"), strict=True):
        more = {"mode": mode, "deletes": condition}
        yield configured(f"case19_{mode}", f"{DATASET}.changes", **more)


@pytest.fixture
def cases(bench: Workbench) -> Stack:
    """The stack with the sources of the cases. Their dataset and the ledger were empty."""
    stack = bench.stack
    row = {"id": 5_000_000_001, "ts": iso(NOON), **dict.fromkeys(OTHERS, "x")}
    wide = {name: 6_000_000_000 + place for place, name in enumerate(IDS)}
    load(stack, "shop", SHOP, [row | wide])
    load(stack, "plain", PLAIN, [{"id": key, "ts": iso(NOON)} for key in "ab"])
    load(stack, "changes", CHANGES, [change(key, 0, "INSERT") for key in "ab"])
    return stack


def environment(stack: Stack, asked: list[Row], **aito: Any) -> dict[str, str]:
    """Of a function over these tables."""
    settings = {"ledger": f"{DATASET}_ledger", "aito": {**FAST, **aito}}
    return stack.environ(stack.configure(name="cases.yaml", tables=asked, **settings))


def test_what_is_loaded(cases: Stack) -> None:
    """08: ids beyond 32 bits become Long. 17: queries as people write them.

    19: what a log or a flag deletes goes the same night, in append and in merge.
    """
    with Function(environment(cases, list(tables()))) as function:
        status, answer = function.post({})
        assert (status, [table["error"] for table in answer["tables"]]) == (200, [None] * 6)
        for mode, columns in zip(MODES, (68, 10), strict=True):
            made = cases.aito.schema()[f"case08_{mode}"]["columns"]
            assert {made[name]["type"] for name in ("id", *IDS)} == {"Long"}
            assert (made["field_00"]["type"], len(made)) == ("Text", columns)
        assert keys(cases, "case17_append") == ["a", "b"]
        assert keys(cases, "case17_merge") == ["a"]
        load(cases, "changes", CHANGES, [change("a", 600, "DELETE"), change("c", 600, "INSERT")])
        status, answer = function.post({})
        assert (status, answer["status"]) == (200, "ok")
        for name in [f"case19_{mode}" for mode in MODES]:
            assert keys(cases, name) == ["b", "c"]
            (report,) = [table for table in answer["tables"] if table["table"] == name]
            assert (report["deleted"], report["verified"]) == (1, True)


def keys(stack: Stack, table: str) -> list[str]:
    """The keys in Aito, sorted."""
    return sorted(row["id"] for row in stack.aito.rows(table))


def test_a_query_string_and_triggers(cases: Stack) -> None:
    """06: `?dry_run=true` with an empty body writes nothing.

    13: a message that data is ready runs what reads it, one that it failed runs nothing, and a body
    that is no JSON says what would be.
    """
    asked = [configured("case13", f"{DATASET}.plain")]
    with Function(environment(cases, asked)) as function:
        status, answer = function.post(b"", path="/?dry_run=true")
        assert (status, answer["dry_run"], cases.aito.total("writes")) == (200, True, 0)
        status, answer = function.post(b"run")
        assert status == 400
        assert '{"action": "sync"}' in answer["error"]
        where: Row = {
            "destinationDatasetId": DATASET,
            "params": {"destination_table_name_template": "plain"},
        }
        failed = pushed(transfer_run("FAILED", **where))
        assert function.post(failed)[1]["tables"] == []
        assert "case13" not in cases.aito.schema()
        for ready in (transfer_run(**where), job(table_name(DATASET, "plain"))):
            status, answer = function.post(pushed(ready))
            assert (status, [each["table"] for each in answer["tables"]]) == (200, ["case13"])
        assert keys(cases, "case13") == ["a", "b"]


# -- sources that BigQuery refuses

REFUSED = {
    "billing": (
        403,
        "billingNotEnabled",
        "Billing has not been enabled for this project. Enable billing at https://console.cloud."
        "google.com/billing.",
    ),
    "resources": (
        400,
        "resourcesExceeded",
        "Resources exceeded during query execution: The query could not be executed in the allotted"
        " memory.",
    ),
    "perimeter": (
        403,
        "policyViolation",
        "VPC Service Controls: Request is prohibited by organization's policy.",
    ),
    "federated": (
        400,
        "invalidQuery",
        "Invalid table-valued function EXTERNAL_QUERY Connect to MySQL server failed: timed out",
    ),
    "sheet": (
        403,
        "accessDenied",
        "Access Denied: BigQuery BigQuery: Permission denied while getting Drive credentials.",
    ),
}


@contextmanager
def refusing(stack: Stack) -> Iterator[str]:
    """The emulator behind a server that fails each job over a table of REFUSED. -> its URL."""

    def answer(request: Request) -> Response:
        named = re.search(rb"\.refused_(\w+)`", request.body)
        if named and request.method == "POST":
            status, reason, message = REFUSED[named[1].decode()]
            errors = [{"reason": reason, "message": message}]
            error = {"code": status, "message": message, "errors": errors}
            return Response(status, json.dumps({"error": error}).encode())
        url = stack.bigquery.url + request.path
        kind = {"Content-Type": request.headers.get("Content-Type", "application/json")}
        found = requests.request(request.method, url, data=request.body, headers=kind, timeout=60)
        return Response(found.status_code, found.content)

    server = Server(answer)
    server.start()
    yield server.url
    server.stop()


def test_what_bigquery_refuses(cases: Stack) -> None:
    """07: BigQuery's sentence is in the answer. 14: a sheet says which setting is missing."""
    asked = []
    for name in REFUSED:
        load(cases, f"refused_{name}", PLAIN, [])
        asked.append(configured(f"case07_{name}", f"{DATASET}.refused_{name}"))
    environ = environment(cases, asked)
    with refusing(cases) as url, Function(environ | {"BIGQUERY_EMULATOR_HOST": url}) as function:
        status, answer = function.post({})
    assert status == 500
    told = {table["table"].removeprefix("case07_"): table["error"] for table in answer["tables"]}
    for name, (_, _, message) in REFUSED.items():
        assert message.rstrip(".") in told[name], name
    assert "set `drive: true` in `bigquery`" in told["sheet"]


# -- a person's network


def test_a_proxy_and_an_authority_of_ones_own(cases: Stack) -> None:
    """15: `HTTPS_PROXY` and `SSL_CERT_FILE` are honoured by the function."""
    authority, secured = contexts()
    seen: list[bytes] = []
    host, port = cases.aito.url.removeprefix("http://").split(":")

    def forward(connection: socket.socket) -> None:
        with socket.create_connection((host, int(port)), 5) as upstream:
            pump(connection, upstream, [])

    asked = [configured("case15", f"{DATASET}.plain")]
    with (
        serving(forward, secured) as secure_port,
        serving(proxy(seen)) as proxy_port,
        authority.cert_pem.tempfile() as bundle,
    ):
        environ = environment(cases, asked, url=f"https://localhost:{secure_port}")
        network = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy_port}", "SSL_CERT_FILE": bundle}
        with Function(environ | network) as function:
            status, answer = function.post({})
    assert (status, answer["tables"][0]["uploaded"]) == (200, 2)
    assert seen[0].startswith(f"CONNECT localhost:{secure_port} ".encode())
    assert keys(cases, "case15") == ["a", "b"]
