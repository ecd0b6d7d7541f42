"""An Aito that only parses and counts, in a process of its own: `python -m benchmarks.sink` prints
`ready <port>`.

It keeps of each row the cursor alone, so that counts by range are true; keys and values are not
kept. Whatever a first load does not ask is refused with 501. `/stats` tells what came in and
forgets it; `pause` is what a batch takes at least: its parsing is part of that, so that the sink is
no slower when others need this machine, like one elsewhere.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from array import array
from bisect import bisect_left
from typing import Any

import orjson

from local._http import Request, Response, Server

CURSOR = "unix_timestamp"


class Sink:
    """Counts by cursor, and what came over the wire."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.pause = 0.0  # seconds that each batch takes at least, as if rows took work to store
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.requests = self.bytes = 0
        self.cursors = array("q")
        self.in_order = True  # so far; sorting again for each count would be work that no Aito has
        self.tables: dict[str, Any] = {}

    def answer(self, request: Request) -> Response:
        """One request."""
        path = request.path.removeprefix("/api/v1/")
        if request.path == "/stats":
            return self._stats(request)
        with self._lock:
            self.requests += 1
            self.bytes += request.size
        if path == "schema" or path.startswith("schema/"):
            return self._schema(request, path)
        if path.endswith("/batch"):
            return self._insert(request)
        if path == "_search":
            return self._search(json.loads(request.body))
        return _json({}) if path.endswith("/optimize") else _json({"message": "not here"}, 501)

    def _stats(self, request: Request) -> Response:
        if request.body:
            self.pause = float(json.loads(request.body)["pause"])
        told = {"requests": self.requests, "bytes": self.bytes, "rows": len(self.cursors)}
        self.forget()
        return _json(told)

    def _schema(self, request: Request, path: str) -> Response:
        name = path.removeprefix("schema").strip("/")
        if request.method == "PUT" and "/" not in name:
            self.tables[name] = json.loads(request.body)
        return _json({"schema": self.tables} if not name else self.tables.get(name, {}))

    def _insert(self, request: Request) -> Response:
        begun = time.monotonic()
        rows = orjson.loads(request.body)
        cursors = [row[CURSOR] for row in rows]
        with self._lock:
            latest = [*self.cursors[-1:], *cursors]
            self.in_order = self.in_order and latest == sorted(latest)
            self.cursors.extend(cursors)
        threading.Event().wait(begun + self.pause - time.monotonic())
        return _json({"entries": len(rows), "status": "ok"})

    def _search(self, query: dict[str, Any]) -> Response:
        if query.get("limit", 10) > 1:
            return _json({"message": "only counts and the newest"}, 501)
        first, end = self._range(query.get("where", {}))
        hits = [{CURSOR: self.cursors[end - 1]}] if query["limit"] and end > first else []
        return _json({"offset": 0, "total": end - first, "hits": hits})

    def _range(self, where: dict[str, Any]) -> tuple[int, int]:
        """Places in the sorted cursors between which every row matches."""
        with self._lock:
            if not self.in_order:
                self.cursors, self.in_order = array("q", sorted(self.cursors)), True
        first, end = 0, len(self.cursors)
        for condition in where.get("$and", [where] if where else []):
            for operator, second in condition[CURSOR].items():
                place = bisect_left(self.cursors, second)
                first, end = (
                    (max(first, place), end) if operator == "$gte" else (first, min(end, place))
                )
        return first, max(first, end)


def _json(body: Any, status: int = 200) -> Response:
    return Response(status, json.dumps(body).encode())


def main() -> None:
    """Serve until stdin closes."""
    server = Server(Sink().answer)
    server.start()
    print(f"ready {server.url.rpartition(':')[2]}", flush=True)
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
