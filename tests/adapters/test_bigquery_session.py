"""The session: queries and the ledger's tables, on the emulator and against recorded answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.cloud.bigquery import Client

from local._http import Request, Response, Server
from local.stack import Stack
from sync.base.errors import AccessDenied, ActionRequired, NotFound, UnknownColumn
from sync.bigquery import BigQuerySession, make_client
from sync.config import BigQuerySettings
from sync.model.sql import Parameter, Query, SqlSession

WHAT = "ledger shop"
COLUMNS = [
    {"name": "name", "type": "STRING", "mode": "REQUIRED", "description": "A name"},
    {"name": "at", "type": "TIMESTAMP", "mode": "REQUIRED"},
]
NEW_COLUMN = {"name": "n", "type": "INTEGER", "mode": "REQUIRED", "description": "A number"}
ROW = {"name": "a", "at": "2026-03-01T00:00:00+00:00"}


def session_at(url: str, monkeypatch: pytest.MonkeyPatch) -> BigQuerySession:
    """A session that talks to the BigQuery at `url`."""
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", url)
    settings = BigQuerySettings(project="local-project", location="EU")
    return BigQuerySession(make_client(settings), settings, "run", "sync")


@pytest.fixture
def session(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> BigQuerySession:
    """A session on the emulator."""
    return session_at(stack.bigquery.url, monkeypatch)


@pytest.fixture
def dataset(session: BigQuerySession, request: pytest.FixtureRequest) -> str:
    """A new dataset, named after the test."""
    name = f"{session.project}.{request.node.name}"
    session.ensure_dataset(name, WHAT)
    return name


def rows(session: BigQuerySession, path: str) -> list[dict[str, Any]]:
    """What a table holds."""
    return session.read(Query(f"SELECT * FROM `{path}`"), WHAT)


def test_it_is_a_session_of_the_model(session: BigQuerySession) -> None:
    """The ledger needs nothing but the port."""
    port: SqlSession = session
    assert port.project == "local-project"


def test_a_dataset_is_made_where_the_configuration_says(
    session: BigQuerySession, dataset: str, stack: Stack
) -> None:
    """It has the configured location, and making it again changes nothing."""
    session.ensure_dataset(dataset, WHAT)
    assert stack.bigquery.client().get_dataset(dataset).location == "EU"


def test_rows_are_appended_and_changed(session: BigQuerySession, dataset: str) -> None:
    """A table that was made takes streamed rows and loaded ones. A DML statement counts them."""
    path = f"{dataset}.runs"
    session.ensure_table(path, COLUMNS, "at", WHAT)
    session.insert(path, [ROW], ["1"], WHAT)
    session.load(path, [ROW, ROW], WHAT)
    assert [row["name"] for row in rows(session, path)] == ["a", "a", "a"]
    rename = f"UPDATE `{path}` SET name = @name WHERE TRUE"
    assert session.change(Query(rename, (Parameter("name", "STRING", "b"),)), WHAT) == 3
    assert {row["name"] for row in rows(session, path)} == {"b"}


def test_many_rows_are_inserted_in_parts(session: BigQuerySession, dataset: str) -> None:
    """More rows than one request of BigQuery takes arrive all."""
    path = f"{dataset}.runs"
    session.ensure_table(path, COLUMNS, None, WHAT)
    session.insert(path, [ROW] * 1001, [str(n) for n in range(1001)], WHAT)
    assert len(rows(session, path)) == 1001


def test_a_missing_table_is_not_found(session: BigQuerySession, dataset: str) -> None:
    """Reading, changing and inserting say so alike, and name the table."""
    missing = f"{dataset}.none"
    with pytest.raises(NotFound, match="none"):
        rows(session, missing)
    with pytest.raises(NotFound, match="none"):
        session.change(Query(f"DELETE FROM `{missing}` WHERE TRUE"), WHAT)
    with pytest.raises(NotFound, match="none"):
        session.insert(missing, [ROW], ["1"], WHAT)


def test_columns_are_added(session: BigQuerySession, dataset: str, stack: Stack) -> None:
    """A column that a table lacks is named, and is added as a nullable one. The rows stay."""
    path = f"{dataset}.runs"
    session.ensure_table(path, COLUMNS, "at", WHAT)
    session.insert(path, [ROW], ["1"], WHAT)
    with pytest.raises(UnknownColumn, match=r"lacks the columns n$"):
        session.insert(path, [{**ROW, "n": 1}], ["2"], WHAT)
    session.ensure_table(path, [*COLUMNS, NEW_COLUMN], "at", WHAT)
    session.insert(path, [{**ROW, "n": 1}], ["2"], WHAT)
    assert sorted(row["n"] or 0 for row in rows(session, path)) == [0, 1]
    schema = stack.bigquery.client().get_table(path).schema
    assert [(field.name, field.mode) for field in schema][-1] == ("n", "NULLABLE")


def test_columns_are_compared_without_case(session: BigQuerySession, dataset: str) -> None:
    """BigQuery takes `Name` for `name`, and refuses to add it."""
    path = f"{dataset}.runs"
    upper = [{**column, "name": column["name"].upper()} for column in COLUMNS]
    session.ensure_table(path, COLUMNS, "at", WHAT)
    session.ensure_table(path, upper, "at", WHAT)
    session.insert(path, [ROW], ["1"], WHAT)
    assert set(rows(session, path)[0]) == {"name", "at"}


def test_a_dry_run_tells_the_columns(session: BigQuerySession) -> None:
    """Names, types and order of a SELECT's result."""
    result = session.dry_run(Query("SELECT 1 AS a, 'x' AS b"), "t")
    assert [(f.name, f.field_type) for f in result.fields] == [("a", "INTEGER"), ("b", "STRING")]


def test_a_dry_run_takes_only_a_select(session: BigQuerySession, dataset: str) -> None:
    """Any other statement is refused before it runs."""
    path = f"{dataset}.runs"
    session.ensure_table(path, COLUMNS, None, WHAT)
    with pytest.raises(ActionRequired, match="must be one SELECT, not DELETE"):
        session.dry_run(Query(f"DELETE FROM `{path}` WHERE TRUE"), "t")


# -- what only BigQuery answers, by its recorded words


class Recorded:
    """A BigQuery that answers each request by its method with a status and an error."""

    def __init__(self, answers: dict[str, tuple[int, str, str]]) -> None:
        self.answers = answers

    def __call__(self, request: Request) -> Response:
        status, reason, message = self.answers[request.method]
        error = {"reason": reason, "message": message}
        body = {"error": {"code": status, "message": message, "errors": [error]}}
        return Response(status, json.dumps(body).encode())


class Running:
    """Answers a query as BigQuery does: it still runs when it has been started."""

    def __init__(self) -> None:
        self.results = 0

    def __call__(self, request: Request) -> Response:
        """The job, or its result."""
        job = {"projectId": "local-project", "jobId": "job", "location": "EU"}
        body: dict[str, Any] = {"jobReference": job}
        if "/queries/" in request.path:
            self.results += 1
            fields = [{"name": "n", "type": "INTEGER", "mode": "NULLABLE"}]
            body |= {"jobComplete": True, "schema": {"fields": fields}, "totalRows": "1"}
            if "maxResults=0" not in request.path:
                body["rows"] = [{"f": [{"v": "7"}]}]
        else:
            body["status"] = {"state": "DONE" if self.results else "RUNNING"}
            body["configuration"] = {"jobType": "QUERY", "query": {"query": "SELECT 7 AS n"}}
        return Response(200, json.dumps(body).encode())


def test_the_first_page_comes_with_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request that waits for the end of a query brings a small result with it."""
    bigquery = Running()
    server = Server(bigquery)
    server.start()
    try:
        read = session_at(server.url, monkeypatch).read(Query("SELECT 7 AS n"), WHAT)
    finally:
        server.stop()
    assert read == [{"n": 7}]
    assert bigquery.results == 1


@pytest.fixture
def forbidding(monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQuerySession]:
    """A session whose account may read, and create nothing."""
    missing = (404, "notFound", "Not found: Dataset p:shop")
    denied = (403, "accessDenied", "Access Denied: Project p: User does not have permission")
    server = Server(Recorded({"GET": missing, "POST": denied}))
    server.start()
    yield session_at(server.url, monkeypatch)
    server.stop()


def test_what_to_grant_is_told(forbidding: BigQuerySession) -> None:
    """Whoever may not create the dataset or a table reads what to create, and the role to grant."""
    with pytest.raises(AccessDenied, match=r"dataset p\.shop is missing.*terraform apply.*Editor"):
        forbidding.ensure_dataset("p.shop", WHAT)
    with pytest.raises(AccessDenied, match=r"table p\.shop\.runs.*terraform apply.*dataEditor"):
        forbidding.ensure_table("p.shop.runs", COLUMNS, None, WHAT)


@pytest.mark.parametrize("drive", [False, True])
def test_access_to_sheets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, drive: bool) -> None:
    """The scope of Google Drive is asked for only if the configuration says so."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {
        "type": "service_account",
        "project_id": "p",
        "private_key": pem,
        "client_email": "sync@p.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    path = tmp_path / "account.json"
    path.write_text(json.dumps(account))
    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    client = make_client(BigQuerySettings(project="p", drive=drive))
    scopes = client._credentials.scopes
    assert ("https://www.googleapis.com/auth/drive.readonly" in scopes) is drive
    assert set(Client.SCOPE) <= set(scopes)
