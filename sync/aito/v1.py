"""Aito as a target, in version 1 of its API. Implements sync.model.ports.Target."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from aito.v1.requests import (
    AitoRequest,
    BaseRequest,
    CreateJobRequest,
    GetJobResultRequest,
    GetJobStatusRequest,
)

from sync.aito import schema
from sync.aito.conditions import where
from sync.aito.parts import Parts, number_of_values
from sync.aito.transport import Transport
from sync.aito.upsert import Upserts
from sync.aito.version import build
from sync.base.errors import (
    ActionRequired,
    OutcomeUnknown,
    Refusal,
    Refused,
    SyncError,
    Unavailable,
    Unknown,
)
from sync.base.words import counted
from sync.model.batches import Batch
from sync.model.columns import Column, SchemaDifference, TargetSchema, TargetTable
from sync.model.conditions import Before, Condition
from sync.model.records import JobStatus

PAGE_ROWS = 10_000  # of one answer. Aito's own examples use it.
# No source names the largest limit. One that is refused is tried again with a smaller one.
PAGE_LIMITS = (PAGE_ROWS, 1_000, 100)
VERSION_2_SECONDS = 10.0  # It is no loss when version 2 does not answer.
OPTIMIZE_SECONDS = 10.0  # Optimizing goes on without its caller.
BASE = "/api/v1"


class AitoTarget:
    """One Aito database. One object serves one run."""

    page_rows = PAGE_ROWS

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._upserts = Upserts(self)
        self._parts = Parts()
        self._builds: list[str | None] = []
        self._hidden_kinds: dict[str, str | None] = {}
        self._page_limits: tuple[int, ...] = PAGE_LIMITS
        self._unknown_deletes = 0

    @property
    def calls(self) -> int:
        """How many requests Aito may have received so far."""
        return self._transport.calls + len(self._builds)

    def engine(self) -> str | None:
        """The engine's build; None when it is not reported. It is requested once a run."""
        if not self._builds:
            self._builds.append(build(self._transport.url))
        return self._builds[0]

    @property
    def unknown_deletes(self) -> int:
        """How many deletes got no trustworthy answer. Each may be applied yet."""
        return self._unknown_deletes

    # -- rights

    def check_writable(self) -> None:
        """Raises AccessDenied when the key may only read.

        A modification of no operations changes nothing, and needs a key that may write. Any other
        refusal says nothing about the key.
        """
        try:
            self._post("data/_modify", {"operations": []}, once=True)
        except (Refused, OutcomeUnknown):
            return

    # -- schema

    def schema(self) -> TargetSchema:
        """Everything that the database holds, by name. Raises Unavailable when unreadable."""
        return schema.read_schema(self._perform(BaseRequest("GET", f"{BASE}/schema")))

    def hidden_kind(self, name: str) -> str | None:
        """What version 2 of the API has under a name. None: nothing, a table, or nobody can tell.

        No source says whether `GET /schema` of version 1 lists collections. It is asked once.
        """
        if name not in self._hidden_kinds:
            self._hidden_kinds[name] = self._kind_in_version_2(name)
        return self._hidden_kinds[name]

    def _kind_in_version_2(self, name: str) -> str | None:
        path = f"/api/v2/schema/{_name(name)}"
        try:
            answer = self._transport.send(
                "GET", path, once=True, repeat=False, seconds=VERSION_2_SECONDS
            )
        except SyncError:  # such as an Aito without version 2
            return None
        kind = answer.get("type") if isinstance(answer, dict) else None
        return kind if isinstance(kind, str) and kind.lower() != "table" else None

    def compare(
        self,
        table: str,
        wanted: Sequence[Column],
        held: TargetTable,
    ) -> SchemaDifference:
        """How the wanted columns differ from a table, judged by meaning and not by spelling."""
        return schema.compare(table, wanted, held.columns)

    def create(self, table: str, columns: Sequence[Column]) -> None:
        """Make a table. The tables that its links point to must exist.

        Sent once: a PUT over a table deletes its rows, and a repeated one might come late.
        """
        body = _encoded(schema.table_json(columns))
        try:
            self._transport.send("PUT", _schema_path(table), body, once=True)
        except OutcomeUnknown:
            if not self._is_created(table, columns):
                raise

    def _is_created(self, table: str, columns: Sequence[Column]) -> bool:
        held = self.schema().get(table)
        if held is None or not held.is_table:
            return False
        return self.compare(table, columns, held) == SchemaDifference()

    def add_column(self, table: str, column: Column) -> None:
        """Add a nullable column. Existing rows read it as absent.

        Sent once: a PUT over a column may delete its values, and a repeated one might come late.
        """
        body = _encoded(schema.column_json(column))
        try:
            self._transport.send("PUT", _schema_path(table, column.name), body, once=True)
        except OutcomeUnknown:
            if not self._has_column(table, column):
                raise

    def _has_column(self, table: str, column: Column) -> bool:
        held = self.schema().get(table)
        return held is not None and column.name in held.columns

    def drop(self, table: str) -> None:
        """Remove a table and its rows.

        A missing table is no error: a request whose answer was lost may have removed it.
        """
        try:
            self._transport.send("DELETE", _schema_path(table))
        except Refused as error:
            if error.cause is not Refusal.NOT_FOUND:
                raise

    def rename(self, table: str, new: str) -> None:
        """Rename a table over another one, which is removed.

        Sent once: the second time the table is no longer there.
        """
        body = {"from": table, "rename": new, "replace": True}
        self._post("schema/_rename", body, once=True)

    # -- reading

    def count(self, table: str, condition: Condition | None = None) -> int:
        """How many rows match."""
        query: dict[str, Any] = {"from": table, "limit": 0}
        if condition is None:
            return self._search(query)[0]
        return sum(self._parts.each(condition, lambda part: self._count(query, part)))

    def _count(self, query: Mapping[str, Any], condition: Condition) -> int:
        return self._search({**query, "where": where(condition)})[0]

    def newest(self, table: str, cursor: str, before: int) -> tuple[int | None, int]:
        """The newest cursor before a second, None if there is none; and the rows before it."""
        query = {
            "from": table,
            "where": {cursor: {"$lt": before}},
            "orderBy": {"$desc": cursor},
            "select": [cursor],
            "limit": 1,
        }
        total, hits = self._search(query)
        if not hits:
            return None, total
        value = hits[0].get(cursor)
        if not isinstance(value, int):
            raise Unavailable(f"Aito: POST {BASE}/_search: {table}: the hit has no {cursor}")
        return value, total

    def oldest(self, table: str, cursor: str) -> int | None:
        """The oldest cursor; None when the table has no row with one."""
        query = {
            "from": table,
            "orderBy": {"$asc": cursor},
            "select": [cursor],
            "limit": 1,
        }
        return self._first_cursor(query, cursor)

    def cursor_at(self, table: str, cursor: str, before: int, rows: int) -> int | None:
        """The cursor of the row that has so many rows before it, among those before a second."""
        query = {
            "from": table,
            "where": where(Before(cursor, before)),
            "orderBy": {"$asc": cursor},
            "select": [cursor],
            "offset": rows,
            "limit": 1,
        }
        return self._first_cursor(query, cursor)

    def _first_cursor(self, query: Mapping[str, Any], cursor: str) -> int | None:
        """The cursor of a query's first hit; None when it has none."""
        _, hits = self._search(query)
        value = hits[0].get(cursor) if hits else None
        return value if isinstance(value, int) else None

    def rows(
        self, table: str, condition: Condition, key: str, columns: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """The given columns of every row that matches.

        Pages are ordered by the key: without an order they may overlap.
        """
        query = {
            "from": table,
            "orderBy": {"$asc": key},
            "select": list(columns),
        }
        if number_of_values(condition) < 2:
            yield from self._pages({**query, "where": where(condition)})
            return
        pages = self._parts.each(
            condition, lambda part: list(self._pages({**query, "where": where(part)}))
        )
        for hits in pages:
            yield from hits

    def _pages(self, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The hits of a query, page by page."""
        offset = 0
        while True:
            total, hits = self._page({**query, "offset": offset})
            yield from hits
            offset += len(hits)
            if not hits or offset >= total:
                return

    def _page(self, query: Mapping[str, Any]) -> tuple[int, list[dict[str, Any]]]:
        """One page of a query, with the largest limit that Aito takes."""
        refusal: Refused | None = None
        for limit in self._page_limits:
            try:
                page = self._search({**query, "limit": min(limit, self.page_rows)})
            except Refused as error:
                if error.cause is not Refusal.ROWS:
                    raise
                refusal = refusal or error
            else:
                self._page_limits = (limit,)
                return page
        assert refusal
        raise refusal

    def _search(self, query: Mapping[str, Any]) -> tuple[int, list[dict[str, Any]]]:
        """The number of rows that match, and the hits."""
        answer = self._post("_search", query)
        total = answer.get("total") if isinstance(answer, dict) else None
        hits = answer.get("hits", []) if isinstance(answer, dict) else None
        if not isinstance(total, int) or not isinstance(hits, list):
            raise Unavailable(f"Aito: POST {BASE}/_search: the answer has no total and hits")
        return total, hits

    # -- writing

    def insert(self, table: str, batch: Batch) -> None:
        """Store the rows of a batch."""
        path = f"{BASE}/data/{_name(table)}/batch"
        answer = self._transport.send("POST", path, batch.body, once=True)
        stored = answer.get("entries") if isinstance(answer, dict) else None
        if stored != batch.rows:
            sent = counted(batch.rows, "row")
            text = f"Aito: POST {path}: {sent} sent, {stored} confirmed"
            raise OutcomeUnknown(text, Unknown.UNREADABLE)

    def upsert(self, table: str, key: str, keys: Sequence[Any], batch: Batch) -> None:
        """Delete the rows with these keys and store the batch.

        In one step where Aito can do that (see upsert.py), so it may be repeated.
        """
        self._upserts.send(table, key, keys, batch)

    @property
    def upserts_in_two_steps(self) -> bool:
        """Whether rows are replaced by a delete and an insert, since one step went wrong."""
        return self._upserts.in_two_steps

    def upsert_in_two_steps(self) -> None:
        """Replace rows by a delete and an insert from now on: in an earlier run one step was wrong.

        The one step is not tried again.
        """
        self._upserts.in_two_steps = True

    @property
    def rows_lost_by_upsert(self) -> int:
        """How many other rows the first upsert of this run has removed. They must be restored."""
        return self._upserts.rows_lost

    def modify(self, table: str, condition: Condition, batch: Batch) -> int | None:
        """Delete the rows that match and store the batch, in one step as Aito promises.

        Returns how many rows were stored by the answer; None: it does not say.
        It may be repeated. Raises OutcomeUnknown all the same: a server error that repeats means
        a bad row, and the caller looks for it.
        """
        body = _modification(table, condition, batch)
        path = f"{BASE}/data/_modify"
        answer = self._transport.send("POST", path, body, once=True)
        inserted = answer.get("insertedCount") if isinstance(answer, dict) else None
        return inserted if isinstance(inserted, int) else None

    def delete(self, table: str, condition: Condition) -> int:
        """Delete the rows that match. Returns how many were deleted, by counts before and after.

        Some builds answer with an error although the rows are gone. So the count is believed.
        After an unknown outcome it is counted, waited, and counted again before it is sent again.
        """
        return sum(self._parts.each(condition, lambda part: self._delete(table, part)))

    def _delete(self, table: str, condition: Condition) -> int:
        before = left = self.count(table, condition)
        attempt = 1
        while left:
            failure = self._delete_once(table, condition)
            left = self.count(table, condition)
            if not left:
                break
            if failure is None:
                text = f"Aito: {table}: {left:,} of {before:,} rows are still there after _delete"
                raise ActionRequired(text)
            if not self._transport.pause("POST data/_delete", str(failure), attempt):
                raise failure
            attempt += 1
            left = self.count(table, condition)  # it may have been applied meanwhile
        return before

    def _delete_once(self, table: str, condition: Condition) -> OutcomeUnknown | None:
        """Send one delete. Returns the error when its outcome is unknown."""
        body = _encoded({"from": table, "where": where(condition)})
        path = f"{BASE}/data/_delete"
        try:
            self._transport.send("POST", path, body, once=True)
        except OutcomeUnknown as error:
            self._unknown_deletes += 1
            return error
        return None

    def optimize(self, table: str) -> None:
        """Have the table's segments joined, so that reads are fast.

        As a job, sent once and not waited for: after a large load it takes minutes.
        """
        path = f"data/{_name(table)}/optimize"
        try:
            self._ask_once(f"{BASE}/jobs/{path}")
        except Refused as error:
            if error.cause is not Refusal.NOT_FOUND:
                raise
            self._ask_once(f"{BASE}/{path}")

    def _ask_once(self, path: str) -> None:
        self._transport.send("POST", path, b"{}", once=True, seconds=OPTIMIZE_SECONDS, repeat=False)

    # -- evaluations

    def start_evaluation(self, query: Mapping[str, Any]) -> str:
        """Start an evaluation as a job. Returns the job's id.

        Sent once: an evaluation too many costs the user.
        """
        request = CreateJobRequest(f"{BASE}/jobs/_evaluate", dict(query))
        answer = self._perform(request, once=True)
        job_id = answer.get("id") if isinstance(answer, dict) else None
        if not job_id:
            text = f"Aito: POST {request.endpoint}: the answer has no job id"
            raise OutcomeUnknown(text, Unknown.UNREADABLE)
        return str(job_id)

    def evaluation_status(self, job_id: str) -> JobStatus:
        """Whether a job has ended. Raises Refused (NOT_FOUND) when the job is not known.

        Requested once: whoever watches a job requests it again anyway.
        """
        request = GetJobStatusRequest(_name(job_id))
        answer = self._perform(request, once=True)
        if not isinstance(answer, dict):
            text = f"Aito: GET {request.endpoint}: the answer is no job's status"
            raise OutcomeUnknown(text, Unknown.UNREADABLE)
        has_ended = bool(answer.get("finishedAt"))
        return JobStatus(has_ended, _moment(answer.get("expiresAt")))

    def evaluations_since(self, since: datetime) -> list[str]:
        """The ids of the evaluations that were started since then, whoever started them."""
        listed = self._transport.send("GET", f"{BASE}/jobs/")
        # A recording shows a list, the OpenAPI one object.
        jobs = listed if isinstance(listed, list) else [listed]
        return [str(job["id"]) for job in jobs if _is_evaluation(job, since)]

    def evaluation_answer(self, job_id: str) -> Any:
        """What an ended evaluation answered. Raises Refused or OutcomeUnknown when it failed.

        Requested once: a failed job answers 500, and that does not improve.
        """
        return self._perform(GetJobResultRequest(_name(job_id)), once=True)

    # -- requests

    def _post(self, path: str, body: Any, *, once: bool = False) -> Any:
        return self._transport.send("POST", f"{BASE}/{path}", _encoded(body), once=once)

    def _perform(self, request: AitoRequest, *, once: bool = False) -> Any:
        """Send one of the SDK's requests and return the JSON of its answer."""
        body = None if request.query is None else _encoded(request.query)
        return self._transport.send(request.method, request.endpoint, body, once=once)


def _is_evaluation(job: Any, since: datetime) -> bool:
    """Whether an entry of the list of jobs is an evaluation that was started since then."""
    if not isinstance(job, dict) or not job.get("id"):
        return False
    if not str(job.get("path", "")).endswith("_evaluate"):
        return False
    started_at = _moment(job.get("startedAt"))
    return started_at is None or started_at >= since


def _moment(text: Any) -> datetime | None:
    """A time of Aito's. None for anything that is no ISO 8601 time with a zone."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None


def _encoded(body: Any) -> bytes:
    return json.dumps(body).encode()


def _name(name: str) -> str:
    """A name as one part of a path: `victim#eu` must not reach `victim`."""
    return quote(name, safe="").replace(".", "%2E")


def _schema_path(*names: str) -> str:
    return "/".join([f"{BASE}/schema", *map(_name, names)])


def _modification(table: str, condition: Condition, batch: Batch) -> bytes:
    """A `_modify` of two operations. The batch's bytes are sent as they are."""
    delete = _encoded({"from": table, "delete": where(condition)})
    into = _encoded(table)
    return b'{"operations": [%s, {"into": %s, "insert": %s}]}' % (delete, into, batch.body)
