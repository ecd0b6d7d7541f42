"""Aito as a target, in our words: tables, counts, keys, inserts, replacements, deletes.

Speaks v1 through the SDK.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aito.v1.requests import BaseRequest, CreateJobRequest, GetJobResultRequest, GetJobStatusRequest

from sync.aito.transport import Transport
from sync.base.errors import ActionRequired, OutcomeUnknown, Refused, SyncError, Unavailable
from sync.model.batches import Batch
from sync.model.ports import PAGE, Columns, Where, one_of

NOT_FOUND = 404


class Target:
    """One Aito database."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _post(self, path: str, body: Any, *, once: bool = False) -> Any:
        return self._transport.send("POST", f"/api/v1/{path}", json.dumps(body).encode(), once=once)

    # -- schema

    def schema(self) -> dict[str, dict[str, Any]]:
        """Columns by table and name.

        Read as plain JSON: the SDK's classes refuse a database that holds a Long.
        """
        answer = self._transport.request(request_obj=BaseRequest("GET", "/api/v1/schema")).json
        tables = answer.get("schema", {})
        return {
            name: table.get("columns", {})
            for name, table in tables.items()
            if table.get("type") == "table"
        }

    def create(self, table: str, columns: Columns) -> None:
        """Make a table; the tables that its links point to must be there."""
        body = json.dumps({"type": "table", "columns": columns}).encode()
        self._transport.send("PUT", f"/api/v1/schema/{table}", body)

    def add_column(self, table: str, name: str, column: Mapping[str, Any]) -> None:
        """Add a nullable column to a table; its rows read it as absent."""
        self._transport.send("PUT", f"/api/v1/schema/{table}/{name}", json.dumps(column).encode())

    def drop(self, table: str) -> None:
        """Remove a table and its rows.

        That it is not there is no error: an answer lost before may have done it.
        """
        try:
            self._transport.send("DELETE", f"/api/v1/schema/{table}")
        except Refused as error:
            if error.http_status != NOT_FOUND:
                raise

    def rename(self, table: str, new: str) -> None:
        """Rename a table over another, which is gone then.

        Not repeated blindly: the second time it is not there.
        """
        self._post("schema/_rename", {"from": table, "rename": new, "replace": True}, once=True)

    # -- reading

    def search(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of one query: total and hits."""
        answer = self._post("_search", query)
        if not isinstance(answer, dict) or not isinstance(answer.get("total"), int):
            raise Unavailable("Aito: POST /api/v1/_search: the answer has no total")
        return answer

    def count(self, table: str, where: Where | None = None) -> int:
        """How many rows match."""
        query = {"from": table, "limit": 0, **({"where": where} if where else {})}
        return int(self.search(query)["total"])

    def newest(self, table: str, cursor: str, before: int) -> tuple[int | None, int]:
        """(newest cursor before the given second or None, number of rows before it)."""
        answer = self.search(
            {
                "from": table,
                "where": {cursor: {"$lt": before}},
                "orderBy": {"$desc": cursor},
                "select": [cursor],
                "limit": 1,
            }
        )
        hits = answer["hits"]
        return (int(hits[0][cursor]) if hits else None), int(answer["total"])

    def rows(
        self, table: str, where: Where, key: str, select: Sequence[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Every row that matches, page by page in the key's order: without an order pages may
        overlap.
        """
        query: dict[str, Any] = {
            "from": table,
            "where": where,
            "orderBy": {"$asc": key},
            "limit": PAGE,
        }
        if select:
            query["select"] = list(select)
        offset = 0
        while True:
            answer = self.search({**query, "offset": offset})
            yield from answer["hits"]
            offset += len(answer["hits"])
            if not answer["hits"] or offset >= answer["total"]:
                return

    # -- writing

    def insert(self, table: str, batch: Batch) -> None:
        """Store the rows of a batch.

        Raises OutcomeUnknown when they may or may not be stored, Refused when not.
        """
        answer = self._transport.send("POST", f"/api/v1/data/{table}/batch", batch.body, once=True)
        stored = answer.get("entries") if isinstance(answer, dict) else None
        if stored != batch.rows:
            raise OutcomeUnknown(
                f"Aito: POST /api/v1/data/{table}/batch: {batch.rows} rows sent, {stored} confirmed"
            )

    def replace(self, table: str, key: str, values: Sequence[Any], batch: Batch | None) -> None:
        """In one step delete the rows with these keys and store the batch, so that repeating it is
        harmless.

        Raises OutcomeUnknown all the same: a server error that repeats means a bad row, and the
        caller halves.
        """
        delete = json.dumps({"from": table, "delete": one_of(key, values)})
        insert = f', {{"into": {json.dumps(table)}, "insert": {batch.text}}}' if batch else ""
        self._transport.send(
            "POST",
            "/api/v1/data/_modify",
            f'{{"operations": [{delete}{insert}]}}'.encode(),
            once=True,
        )

    def delete(self, table: str, where: Where) -> int:
        """Delete the rows that match and return how many that were.

        Believes the count after, not the answer.
        """
        before = self.count(table, where)
        if not before:
            return 0
        failure: SyncError | None = None
        try:
            self._post("data/_delete", {"from": table, "where": where})
        except OutcomeUnknown as error:  # some builds answer 500 although the rows are gone
            failure = error
        left = self.count(table, where)
        if left:
            raise failure or ActionRequired(
                f"Aito: {left} of {before} rows of {table} are still there after _delete"
            )
        return before

    def optimize(self, table: str) -> None:
        """Have the table's segments joined, so that reads are fast and probabilities settled."""
        self._post(f"data/{table}/optimize", {})

    # -- jobs

    def start_job(self, path: str, query: Mapping[str, Any]) -> str:
        """Start a query as a job and return its id.

        Not repeated when unknown: a job too many costs the user.
        """
        request = CreateJobRequest(f"/api/v1/jobs/{path}", dict(query))
        answer = self._transport.send(
            request.method, request.endpoint, json.dumps(request.query).encode(), once=True
        )
        if not isinstance(answer, dict) or not answer.get("id"):
            raise OutcomeUnknown(f"Aito: POST {request.endpoint}: the answer has no job id")
        return str(answer["id"])

    def job(self, job_id: str) -> Mapping[str, Any]:
        """A job's status; `finishedAt` is there when it has ended.

        Asked once: who watches a job asks again anyway.
        """
        request = GetJobStatusRequest(job_id)
        answer = self._transport.send(request.method, request.endpoint, once=True)
        if not isinstance(answer, dict):
            raise OutcomeUnknown(
                f"Aito: GET {request.endpoint}: the answer is no job's status", 200
            )
        return answer

    def job_result(self, job_id: str) -> Any:
        """What a finished job's query answered, its errors included, which is why a 500 is not
        asked for again.
        """
        request = GetJobResultRequest(job_id)
        return self._transport.send(request.method, request.endpoint, once=True)
