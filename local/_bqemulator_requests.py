"""Answers the emulator's most frequent requests without its web framework.

The framework takes longer to route such a request, and to check the types of its parameters, than
most of them take to be answered. The endpoints and the handlers of errors are the emulator's own.
"""

import asyncio
import json
import logging
import re
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import orjson

Message = dict[str, Any]  # of ASGI
Scope = dict[str, Any]

PAGE_ROWS = 10_000  # of a result, where the caller names no number
PROJECT = r"/bigquery/v2/projects/([^/]+)"
TABLE = rf"{PROJECT}/datasets/([^/]+)/tables/([^/]+)"
PAGE = re.compile(rf"{PROJECT}/queries/([^/]+)")
JOBS = re.compile(rf"{PROJECT}/jobs")
QUERIES = re.compile(rf"{PROJECT}/queries")
INSERT = re.compile(rf"{TABLE}/insertAll")
ONE_TABLE = re.compile(TABLE)
EMPTY = re.compile(rf"{PROJECT}/datasets/([^/]+)/empty")  # of this stack alone; see `_empty`
CONTENT_TYPE = (b"content-type", b"application/json")


class _Asked:
    """A request as an endpoint reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def json(self) -> Any:
        """The body."""
        return json.loads(self._body)


class Aside:
    """Serves the pages of results after `pause` seconds, and everything else in an event loop of
    its own.

    The emulator runs its queries inside its event loop and answers nobody meanwhile; BigQuery does
    both at once.

    app: the emulator's application. loop: not yet running.
    """

    def __init__(self, app: Any, pause: float, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._pause = pause
        self._loop = loop
        threading.Thread(target=loop.run_forever, daemon=True).start()

    async def __call__(
        self,
        scope: Scope,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        page = PAGE.fullmatch(scope["path"]) if scope["method"] == "GET" else None
        if page:
            if self._pause:
                await asyncio.sleep(self._pause)
            messages = _page(page, scope)
            if messages is None:
                await self._app(scope, receive, send)
                return
        else:
            messages = await self._elsewhere(scope, receive)
        for message in messages:
            await send(message)

    async def _elsewhere(
        self, scope: Scope, receive: Callable[[], Awaitable[Message]]
    ) -> list[Message]:
        """The answer, from the other event loop.

        It is passed between the loops as one: a message of its own for each part takes longer than
        a small query.
        """
        asked = [await receive()]
        while asked[-1].get("more_body"):
            asked.append(await receive())
        answer = asyncio.run_coroutine_threadsafe(self._answer(scope, asked), self._loop)
        return await asyncio.wrap_future(answer)

    async def _answer(self, scope: Scope, asked: list[Message]) -> list[Message]:
        body = b"".join(message.get("body", b"") for message in asked)
        endpoint = self._endpoint(scope, body)
        if endpoint is None:
            return await self._answer_of_framework(scope, asked)
        try:
            return _messages(200, orjson.dumps(await endpoint))
        except Exception as error:  # noqa: BLE001 - the emulator has a handler for each
            return await self._refusal(error)

    def _endpoint(self, scope: Scope, body: bytes) -> Awaitable[Any] | None:
        """The call of the endpoint that answers. None: the framework must find it."""
        headers = dict(scope["headers"])
        if b"content-encoding" in headers:
            return None
        from bqemulator.api.routes import jobs, tabledata, tables
        from bqemulator.row_access.identity import resolve_caller_from_headers
        from starlette.datastructures import Headers

        context = self._app.state.context
        path, method = scope["path"], scope["method"]
        if method == "POST" and (asked := JOBS.fullmatch(path)):
            caller = resolve_caller_from_headers(Headers(scope=scope))
            return jobs.insert_job(asked[1], _request(body), context, caller)
        if method == "POST" and (asked := QUERIES.fullmatch(path)):
            caller = resolve_caller_from_headers(Headers(scope=scope))
            return jobs.query(asked[1], _request(body), context, caller)
        if method == "POST" and (asked := INSERT.fullmatch(path)):
            project, dataset, table = asked.groups()
            return tabledata.insert_all(project, dataset, table, _request(body), context)
        if method == "GET" and (asked := ONE_TABLE.fullmatch(path)):
            return _later(tables.get_table, *asked.groups(), context)
        if method == "POST" and (asked := EMPTY.fullmatch(path)):
            return _later(_empty, *asked.groups(), context)
        return None

    async def _answer_of_framework(self, scope: Scope, asked: list[Message]) -> list[Message]:
        answered: list[Message] = []
        parts: Iterator[Message] = iter(asked)

        async def receive() -> Message:
            return next(parts)

        async def send(message: Message) -> None:
            answered.append(message)

        await self._app(scope, receive, send)
        return answered

    async def _refusal(self, error: Exception) -> list[Message]:
        """The answer of the handler that the emulator has for an error."""
        handlers = self._app.exception_handlers
        kind = next(kind for kind in type(error).__mro__ if kind in handlers)
        if kind is Exception:
            logging.getLogger("uvicorn.error").error(
                "Exception in ASGI application", exc_info=error
            )
        response = await handlers[kind](None, error)
        return _messages(response.status_code, response.body)


async def _later(call: Callable[..., Any], *arguments: Any) -> Any:
    return call(*arguments)


def _empty(project: str, dataset: str, context: Any) -> dict[str, Any]:
    """Delete all rows of a dataset's tables. -> their names. BigQuery takes a statement for each,
    and a test cannot begin before.
    """
    from bqemulator.storage.sql_identifiers import quoted_table_ref

    tables = context.catalog.list_tables(project, dataset)
    for table in tables:
        context.engine.execute(f"DELETE FROM {quoted_table_ref(project, dataset, table.table_id)}")
        context.catalog.update_table(table.model_copy(update={"num_rows": 0}))
    return {"tables": [table.table_id for table in tables]}


def _request(body: bytes) -> Any:
    return _Asked(body)


def _messages(status: int, body: bytes) -> list[Message]:
    headers = [CONTENT_TYPE, (b"content-length", str(len(body)).encode())]
    return [
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": body},
    ]


def _page(asked: re.Match[str], scope: Scope) -> list[Message] | None:
    """The page of a result that is asked for. None: there is no such result.

    Half of all requests are these.
    """
    from bqemulator.api.routes import jobs

    api: Any = jobs
    project, job = asked.groups()
    if job not in api.JOB_RESULTS:
        return None
    options = dict(parse_qsl(scope["query_string"].decode()))
    answer = api.get_query_results(
        project,
        job,
        None,
        int(options.get("maxResults", PAGE_ROWS)),
        int(options.get("startIndex", 0)),
        options.get("pageToken"),
    )
    return _messages(200, orjson.dumps(answer))
