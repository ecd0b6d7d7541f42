"""The likeliest errors of a running BigQuery, by its recorded words: what a user reads of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local._http import Request, Response, Server
from sync.base.errors import (
    AccessDenied,
    ActionRequired,
    NotFound,
    SyncError,
    TooManyBytes,
    Unavailable,
)
from sync.bigquery import BigQuerySession, make_client, session
from sync.bigquery.client import RETRY
from sync.bigquery.inspect import Inspector
from sync.config import BigQuerySettings
from sync.model.sql import Query

QUERY = Query("SELECT x FROM d.t")
DML = Query("UPDATE d.leases SET x = 1 WHERE TRUE")
DENIED = "Access Denied: Dataset p:d: Permission denied on dataset p:d (or it may not exist)."
JOB = "; see the job: `bq show --location=EU -j p:job1`"
TOO_MANY = "Resources exceeded during query execution: Too many DML statements outstanding"
Failure = tuple[int, str, str]  # HTTP status, reason, message


def failed(failure: Failure) -> Response:
    """A request that BigQuery refuses."""
    status, reason, message = failure
    errors = [{"reason": reason, "message": message}]
    body = {"error": {"code": status, "message": message, "errors": errors}}
    return Response(status, json.dumps(body).encode())


class Failing:
    """A BigQuery whose jobs fail, and whose dry runs do or not. It keeps the jobs' configurations.

    failures: of one job each; the last one is that of all later jobs. None: the job succeeds.
    """

    def __init__(
        self, *failures: Failure | None, dry: Failure | None = None, dataset: Failure | None = None
    ) -> None:
        self.failures = list(failures)
        self.dry = dry
        self.dataset = dataset
        self.jobs: list[dict[str, Any]] = []

    def __call__(self, request: Request) -> Response:
        if request.method == "GET" and "/datasets/" in request.path:
            found = {"datasetReference": {"projectId": "p", "datasetId": "d"}}
            return (
                failed(self.dataset) if self.dataset else Response(200, json.dumps(found).encode())
            )
        if request.method == "GET":
            return Response(200, json.dumps(self._result()).encode())
        config = json.loads(request.body)["configuration"]
        if config.get("dryRun"):
            return failed(self.dry) if self.dry else Response(200, json.dumps(self._job()).encode())
        self.jobs.append(config)
        failure = self.failures[min(len(self.jobs), len(self.failures)) - 1]
        return Response(200, json.dumps(self._job(failure)).encode())

    def _job(self, failure: Failure | None = None) -> dict[str, Any]:
        status: dict[str, Any] = {"state": "DONE"}
        if failure:
            _, reason, message = failure
            status["errorResult"] = {"reason": reason, "message": message}
        return {
            "jobReference": {"projectId": "p", "jobId": "job1", "location": "EU"},
            "configuration": {"query": {"query": QUERY.text}},
            "statistics": {"query": {"statementType": "SELECT", "numDmlAffectedRows": "3"}},
            "status": status,
        }

    def _result(self) -> dict[str, Any]:
        reference = self._job()["jobReference"]
        return {"jobReference": reference, "jobComplete": True, "totalRows": "0", "schema": {}}


@pytest.fixture
def session_on(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[Failing], BigQuerySession]]:
    """Makes a session that talks to such a BigQuery, and never sleeps."""
    servers = []

    def make(answers: Failing) -> BigQuerySession:
        server = Server(answers)
        server.start()
        servers.append(server)
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        settings = BigQuerySettings(project="p", location="EU")
        return BigQuerySession(make_client(settings), settings, "run", "sync", lambda _: None)

    yield make
    for server in servers:
        server.stop()


Make = Callable[[Failing], BigQuerySession]


@pytest.mark.parametrize(
    ("failure", "kind", "says"),
    [
        (
            (400, "resourcesExceeded", "Resources exceeded during query execution: memory"),
            ActionRequired,
            "Resources exceeded during query execution: memory; see the job",
        ),
        (
            (403, "responseTooLarge", "Response too large to return."),
            ActionRequired,
            "Response too large to return.; see the job",
        ),
        (
            (
                500,
                "bytesBilledLimitExceeded",
                "Query exceeded limit for bytes billed: 10737418240. 53687091200 or higher"
                " required.",
            ),
            TooManyBytes,
            "it reads up to 53.7 GB, 0.31 USD; raise bigquery.max_bytes_billed",
        ),
        ((403, "quotaExceeded", "Quota exceeded: p"), Unavailable, "Quota exceeded: p; see"),
        ((200, "stopped", "Job timed out after 300s"), Unavailable, "Job timed out after 300s"),
    ],
)
def test_bigquerys_own_words(
    session_on: Make, failure: Failure, kind: type[SyncError], says: str
) -> None:
    """Where a reason's message holds no value it is shown, with the command that shows the job."""
    with pytest.raises(SyncError) as found:
        session_on(Failing(failure)).read(QUERY, "t")
    assert type(found.value) is kind
    assert says in str(found.value)
    assert "`bq show --location=EU -j p:job1`" in str(found.value)


@pytest.mark.parametrize(
    ("words", "rest"),
    [
        ("Unrecognized name: x at [1:8]", ""),
        (
            "Cannot query over table 'd.t' without a filter over column(s) 'ts'",
            f"{JOB}; give such a filter by `where`",
        ),
    ],
)
def test_a_fault_of_the_text_is_told(session_on: Make, words: str, rest: str) -> None:
    """A failure that may quote a row is hidden. A dry run says what is wrong with the text."""
    failure = (400, "invalidQuery", words)
    with pytest.raises(ActionRequired) as found:
        session_on(Failing(failure, dry=failure)).read(QUERY, "t")
    assert str(found.value) == f"t: {words}{rest}"


@pytest.mark.parametrize("dry", [None, (400, "invalidQuery", "Bad int64 value: canary")])
def test_a_fault_of_a_value_is_hidden(session_on: Make, dry: Failure | None) -> None:
    """Whatever the dry run says: only what is about the text is shown."""
    failure = (400, "invalidQuery", "Bad int64 value: canary")
    with pytest.raises(
        ActionRequired, match=r"may hold a row's value\); see the job: `bq"
    ) as found:
        session_on(Failing(failure, dry=dry)).read(QUERY, "t")
    assert "canary" not in str(found.value)


@pytest.mark.parametrize("words", [TOO_MANY, "Could not serialize access to table p:d.leases"])
def test_a_statement_that_others_held_up_is_repeated(session_on: Make, words: str) -> None:
    """It changed nothing, so that it is safe to run again; after four times the caller may."""
    failure = (400, "resourcesExceeded", words)
    passing = Failing(failure, failure, None)
    assert session_on(passing).change(DML, "ledger") == 3
    assert len(passing.jobs) == 3
    stuck = Failing(failure)
    with pytest.raises(Unavailable, match=words):
        session_on(stuck).change(DML, "ledger")
    assert len(stuck.jobs) == 4


def test_other_failures_are_not_repeated(session_on: Make) -> None:
    """What BigQuery would answer again is told at once."""
    failing = Failing((400, "invalidQuery", "Syntax error"))
    with pytest.raises(ActionRequired):
        session_on(failing).change(DML, "ledger")
    assert len(failing.jobs) == 1


def test_a_dataset_that_may_be_missing_is_looked_for(session_on: Make) -> None:
    """BigQuery denies access to what does not exist. Only where it exists is that the message."""
    denied = (403, "accessDenied", DENIED)
    missing = (404, "notFound", "Not found: Dataset p:d")
    with pytest.raises(NotFound, match=r"dataset p\.d does not exist"):
        session_on(Failing(denied, dataset=missing)).read(QUERY, "t")
    for dataset in (None, denied):
        with pytest.raises(AccessDenied, match="Permission denied on dataset p:d"):
            session_on(Failing(denied, dataset=dataset)).read(QUERY, "t")


def test_a_server_that_is_gone_is_said_soon(
    session_on: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checking a query ends with our own patience, not after the client's ten minutes."""
    patience = RETRY.with_timeout(0.2)
    monkeypatch.setattr(session, "RETRY", patience)
    unreachable = session_on(Failing(None))
    unreachable._client._connection.API_BASE_URL = "http://127.0.0.1:1"
    with pytest.raises(Unavailable, match="did not answer"):
        unreachable.dry_run(QUERY, "t")


def test_init_names_the_roles_it_needs(session_on: Make) -> None:
    """BigQuery's words name the permission and the table; the roles that hold it follow."""
    denied = (403, "accessDenied", "Access Denied: Table p:d.t: bigquery.tables.get denied")
    with pytest.raises(AccessDenied) as found:
        Inspector(session_on(Failing(None, dataset=denied)), 10**9).tables(["p.d.t"])
    assert "Table p:d.t: bigquery.tables.get denied" in str(found.value)
    assert "(roles/bigquery.dataViewer) on the dataset" in str(found.value)
    assert "(roles/bigquery.jobUser) in the project p" in str(found.value)


def test_a_job_ends_by_itself(session_on: Make) -> None:
    """BigQuery stops a job that nobody waits for any more."""
    answers = Failing((400, "invalidQuery", "Syntax error"))
    with pytest.raises(ActionRequired):
        session_on(answers).read(QUERY, "t")
    assert answers.jobs[0]["jobTimeoutMs"] == "300000"
