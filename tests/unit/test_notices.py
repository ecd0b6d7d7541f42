"""Messages of other systems that say "data is ready", and the tables that are synced then."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from sync import config
from sync.entry import message, notices

SETTINGS = config.parse("""
aito: {url: https://my-db.aito.app}
ledger: my-project.aito_sync
tables:
  - {name: pages, source: site.pages, key: id, cursor: {source: t, column: u}}
  - {name: users, source: my-project.site.users, key: id, cursor: {source: t, column: u}}
  - {name: day, source: site.events_20251101, key: id, cursor: {source: t, column: u}}
  - name: joined
    query: "SELECT * FROM `my-project.site.pages` JOIN other.users USING (id)"
    mode: replace
""")
ALL = ["pages", "users", "day", "joined"]


def transfer_run(state: str = "SUCCEEDED", **parts: Any) -> dict[str, Any]:
    """What BigQuery publishes when a scheduled query has finished."""
    return {
        "dataSourceId": "scheduled_query",
        "destinationDatasetId": "site",
        "name": "projects/1/locations/eu/transferConfigs/2/runs/3",
        "params": {"query": "SELECT 1", "destination_table_name_template": "pages"},
        "runTime": "2025-11-01T00:00:00Z",
        "state": state,
        **parts,
    }


def table_name(dataset: str, table: str) -> str:
    return f"projects/my-project/datasets/{dataset}/tables/{table}"


def job(destination: str, state: str = "DONE", **status: Any) -> dict[str, Any]:
    """What an audit log entry says of a load job."""
    made = {
        "jobConfig": {"type": "IMPORT", "loadConfig": {"destinationTable": destination}},
        "jobStatus": {"jobState": state, **status},
    }
    return entry(metadata={"jobChange": {"after": state, "job": made}})


def entry(**payload: Any) -> dict[str, Any]:
    """A log entry of the audit log."""
    return {
        "insertId": "1",
        "logName": "projects/my-project/logs/cloudaudit.googleapis.com%2Fdata_access",
        "protoPayload": {"serviceName": "bigquery.googleapis.com", "status": {}, **payload},
    }


def old_job(dataset: str, table: str, **status: Any) -> dict[str, Any]:
    """The same in the older format."""
    destination = {"projectId": "my-project", "datasetId": dataset, "tableId": table}
    made = {
        "jobConfiguration": {"load": {"destinationTable": destination}},
        "jobStatus": {"state": "DONE", "error": {}, **status},
    }
    return entry(serviceData={"jobCompletedEvent": {"job": made}})


def dbt(status: str = "Success", kind: str = "job.run.completed") -> dict[str, Any]:
    """What dbt posts when a job has run."""
    return {"accountId": 1, "eventId": "e", "eventType": kind, "data": {"runStatus": status}}


STORAGE_OBJECT = {"kind": "storage#object", "bucket": "b", "name": "o", "generation": "1"}

# a message's content, and the tables to sync; or a piece of the reason why none is
READY: dict[str, tuple[dict[str, Any], list[str] | str]] = {
    "a scheduled query": (transfer_run(), ["pages", "joined"]),
    "a failed query": (transfer_run("FAILED"), "a scheduled query: its state is FAILED"),
    "a cancelled query": (transfer_run("CANCELLED"), "its state is CANCELLED"),
    "a query without destination": (
        transfer_run(destinationDatasetId="", params={"query": "CALL p()"}),
        ALL,
    ),
    "a transfer of a whole dataset": (
        transfer_run(dataSourceId="google_ads", params={}),
        ["pages", "users", "day", "joined"],
    ),
    "a query into a table a day": (
        transfer_run(params={"destination_table_name_template": "events_{run_date}"}),
        ["day"],
    ),
    "a table that nobody names": (
        transfer_run(params={"destination_table_name_template": "staging"}),
        ALL,
    ),
    "a load job": (job(table_name("site", "users")), ["users"]),
    "a load job into a partition": (job(table_name("site", "pages$20251101")), ["pages", "joined"]),
    "a load job into a shard": (job(table_name("site", "events_20251101")), ["day"]),
    "a table of another dataset": (job(table_name("other", "users")), ["joined"]),
    "a job that runs": (job(table_name("site", "users"), "RUNNING"), "its state is RUNNING"),
    "a job that failed": (
        job(table_name("site", "users"), errorResult={"code": 11, "message": "m"}),
        "a BigQuery job: it failed",
    ),
    "a query that only reads": (job(table_name("_0123abc", "anon1")), "it wrote no table"),
    "the sync's own ledger": (job(table_name("aito_sync", "runs")), "wrote to the ledger"),
    "rows streamed into a table": (
        entry(
            metadata={"tableDataChange": {"insertedRowsCount": "1"}},
            resourceName=table_name("site", "users"),
        ),
        ["users"],
    ),
    "a table made by a query": (
        entry(
            metadata={"tableCreation": {"reason": "QUERY"}},
            resourceName=table_name("site", "users"),
        ),
        ["users"],
    ),
    "an empty table": (
        entry(
            metadata={"tableCreation": {"reason": "TABLE_INSERT_REQUEST"}},
            resourceName=table_name("site", "users"),
        ),
        "does not report a job",
    ),
    "a call that failed": (
        entry(status={"code": 7}, metadata={"tableDataChange": {}}),
        "the call that it reports failed",
    ),
    "an entry of something else": (
        entry(metadata={"tableDataRead": {}}),
        "does not report a job",
    ),
    "an old load job": (old_job("site", "users"), ["users"]),
    "an old load job that failed": (old_job("site", "users", error={"code": 1}), "it failed"),
    "an object": (STORAGE_OBJECT, ALL),
    "an object's audit log entry": (entry(methodName="storage.objects.create"), ALL),
    "a dbt job": (dbt(), ALL),
    "a dbt job that failed": (dbt("Error"), "a dbt job: its status is Error"),
    "a dbt job that begins": (dbt(kind="job.run.started"), "the event is job.run.started"),
    "an entry of nonsense": ({"protoPayload": 7}, "does not report a job"),
    "a transfer of nonsense": (
        {"dataSourceId": [], "state": {}, "params": 1},
        "a transfer: its state is {}",
    ),
}


def envelope(content: Any, attributes: Mapping[str, str] | None = None) -> bytes:
    """A Pub/Sub push around a message."""
    data = base64.b64encode(json.dumps(content).encode()).decode() if content else ""
    return json.dumps({"message": {"data": data, "attributes": attributes or {}}}).encode()


def outcome(received: message.Message) -> list[str] | str:
    """The tables to sync after a message, or why there is nothing to sync."""
    assert received.notice is not None
    if reason := notices.nothing_to_do(SETTINGS, received.notice):
        return reason
    found = notices.readers(SETTINGS, received.notice)
    return ALL if found is None else list(found)


@pytest.mark.parametrize("name", READY)
def test_what_is_synced_after_a_notice(name: str) -> None:
    """The tables that name what changed; all when none does; none when nothing changed."""
    content, expected = READY[name]
    for body in (json.dumps(content).encode(), envelope(content)):
        found = outcome(message.read({}, body))
        if isinstance(expected, str):
            assert expected in found
            assert "nothing was run" in found
        else:
            assert found == expected


def test_storage_says_it_in_the_attributes() -> None:
    """Cloud Storage sends the event as an attribute, with or without a text."""
    made = {"eventType": "OBJECT_FINALIZE", "bucketId": "b", "objectId": "o"}
    gone = {**made, "eventType": "OBJECT_DELETE"}
    for content in (None, STORAGE_OBJECT):
        assert outcome(message.read({}, envelope(content, made))) == ALL
        assert "OBJECT_DELETE" in outcome(message.read({}, envelope(content, gone)))


def test_storage_by_eventarc() -> None:
    """Eventarc sends the event as the CloudEvent's type."""
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "//storage.googleapis.com/b"}
    body = json.dumps({"bucket": "b", "name": "o"}).encode()
    for event, expected in (("finalized", ALL), ("deleted", "the event is deleted")):
        kind = f"google.cloud.storage.object.v1.{event}"
        received = message.read(
            {**headers, "ce-type": kind, "content-type": "application/json"}, body
        )
        found = outcome(received)
        assert expected in found if isinstance(expected, str) else found == expected


def test_an_audit_log_entry_by_eventarc() -> None:
    """The same entry as the data of a CloudEvent."""
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "//cloudaudit.googleapis.com/projects/p/logs/data_access",
        "type": "google.cloud.audit.log.v1.written",
        "data": job(table_name("site", "users")),
    }
    headers = {"Content-Type": "application/cloudevents+json"}
    assert outcome(message.read(headers, json.dumps(event).encode())) == ["users"]


@pytest.mark.parametrize("content", [{}, {"action": "sync"}, {"tables": ["pages"]}, {"state": "x"}])
def test_a_request_is_no_notice(content: dict[str, Any]) -> None:
    """What has the fields of a request is validated as one."""
    received = message.read({}, json.dumps(content).encode())
    assert (received.notice, received.fields) == (None, content)


DAILY = config.parse("""
aito: {url: https://my-db.aito.app}
ledger: my-project.aito_sync
tables:
  - {name: daily, source: ga.events_*, key: id, cursor: {source: t, column: u}}
  - {name: today, source: ga.events_*, intraday: true, key: id, cursor: {source: t, column: u}}
  - {name: only_today, source: p.ga.events_intraday_*, key: id, cursor: {source: t, column: u}}
  - {name: own, query: "SELECT * FROM `p.ga.events_*`", mode: replace}
  - {name: view, source: ga.sessions, key: id, cursor: {source: t, column: u}}
""")
DAILY_READERS = {
    "events_20260101": ["daily", "today", "own"],
    "events_20260101$20260101": ["daily", "today", "own"],
    "events_intraday_20260101": ["today", "only_today", "own"],
    "events_fresh_20260101": ["own"],
    "events_20260101_backup": ["own"],
    "events_202601": ["own"],
    "events_{run_date}": ["daily", "today", "own"],
    "events_2026{run_time|'%m%d'}": ["daily", "today", "own"],
    "events_intraday_{run_date}": ["today", "only_today", "own"],
    "sessions": ["view"],
}


@pytest.mark.parametrize("table", DAILY_READERS)
def test_daily_tables_are_read_by_their_names(table: str) -> None:
    """A wildcard reads days, and those of today only where `intraday` says so."""
    content = job(table_name("ga", table))
    if "{" in table:
        params = {"destination_table_name_template": table}
        content = transfer_run(destinationDatasetId="ga", params=params)
    notice = message.read({}, json.dumps(content).encode()).notice
    assert notice is not None
    assert notices.nothing_to_do(DAILY, notice) is None
    assert notices.readers(DAILY, notice) == DAILY_READERS[table]


def test_what_daily_tables_leave_out_does_not_start_them() -> None:
    """Where no table names what has changed, those run that may read it by a view."""
    intraday = notices.Notice("a job", None, "ga", "events_intraday_20260101")
    other = notices.Notice("a job", None, "ga", "staging")
    daily, view = DAILY.tables[0], DAILY.tables[-1]
    both = DAILY.model_copy(update={"tables": (daily, view)})
    assert notices.readers(both, intraday) == ["view"]
    assert notices.readers(both, other) is None
    alone = DAILY.model_copy(update={"tables": (daily,)})
    reason = notices.nothing_to_do(alone, intraday)
    assert reason is not None
    assert "ga.events_intraday_20260101, which no table reads; nothing was run" in reason
    assert notices.nothing_to_do(alone, other) is None


DISABLED = config.parse("""
aito: {url: https://my-db.aito.app}
ledger: my-project.aito_sync
tables:
  - {name: a, source: site.pages, key: id, cursor: {source: t, column: u}, enabled: false}
  - {name: b, source: site.pages, key: id, cursor: {source: t, column: u}}
  - {name: c, source: site.users, key: id, cursor: {source: t, column: u}, enabled: false}
""")


def test_a_notice_leaves_disabled_tables_alone() -> None:
    """It syncs the enabled readers. When all readers are disabled, nothing is run."""
    pages = notices.Notice("a transfer", None, "site", "pages")
    users = notices.Notice("a transfer", None, "site", "users")
    assert notices.nothing_to_do(DISABLED, pages) is None
    assert notices.readers(DISABLED, pages) == ["b"]
    assert "`enabled: false`" in (notices.nothing_to_do(DISABLED, users) or "")
