"""Answers one HTTP request: POST runs, GET shows the status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO, cast

import flask

from sync.app import Services, facts, run
from sync.base.errors import BadRequest, SyncError
from sync.base.events import EventLog, Severity
from sync.config import Settings
from sync.entry import answer, message, notices
from sync.entry.answer import Answer
from sync.entry.request import request as validated
from sync.entry.request import request_for
from sync.entry.trace import traced
from sync.pipeline import unexpected
from sync.status import page

HELP = "POST / runs, GET / shows the status"
# A request is a few hundred bytes, a log entry at most 256 kB, and base64 adds a third.
MAX_BODY_BYTES = 1_000_000
# A body that is too long is read to its end, or else the caller sees a broken connection instead
# of the answer. Cloud Run takes at most 32 MiB.
MAX_DRAINED_BYTES = 32 * 2**20
CHUNK = 2**16

GetServices = Callable[[], Services]
GetStopped = Callable[[], Callable[[], bool]]


def handle(request: flask.Request, services: GetServices, stopped: GetStopped) -> flask.Response:
    """The response to one request. Never raises.

    `services` and `stopped` make their objects when they are first needed.
    """
    try:
        if request.path != "/":
            return _error(404, f"nothing at {request.path[:80]!r}; {HELP}")
        if request.method == "POST":
            return _response(_run(request, services, stopped))
        if request.method in ("GET", "HEAD"):
            return _show(request, services)
        return _error(405, f"{request.method[:20]} is not known here; {HELP}")
    except SyncError as error:
        return _not_run(request, error)
    except Exception as error:  # noqa: BLE001 - the edge: no traceback reaches a caller
        return _not_run(request, unexpected(error))


def _run(request: flask.Request, services: GetServices, stopped: GetStopped) -> Answer:
    query = request.args.to_dict(flat=False)
    received = message.read(dict(request.headers), _body(request), query)
    settings = _settings(services, received.fields)
    fields = received.fields
    if received.notice is not None:
        if reason := notices.nothing_to_do(settings, received.notice):
            EventLog("", traced(request))("run_done", reason, status="ok", http_status=200)
            return answer.of_nothing_to_do(reason)
        fields = {"tables": notices.readers(settings, received.notice), **fields}
    wanted = request_for(settings, fields)
    report = run(services(), wanted, traced(request), stopped())
    return answer.of_report(report)


def _settings(services: GetServices, fields: dict[str, Any]) -> Settings:
    """The configuration. When it is wrong and the request is wrong too, the request comes first."""
    try:
        return services().settings
    except SyncError:
        validated(fields)
        raise


def _body(request: flask.Request) -> bytes:
    """The body. Raises BadRequest when it is too long."""
    stream = cast("BinaryIO", request.stream)
    body = stream.read(MAX_BODY_BYTES + 1)
    if len(body) <= MAX_BODY_BYTES:
        return body
    left = MAX_DRAINED_BYTES
    while left > 0 and (chunk := stream.read(CHUNK)):
        left -= len(chunk)
    raise BadRequest(f"the body is longer than {MAX_BODY_BYTES:,} bytes; send less")


def _show(request: flask.Request, services: GetServices) -> flask.Response:
    if request.args.get("format") == "json":
        return _response(Answer(200, facts(services())))
    try:
        return flask.Response(page.render(facts(services())), headers=page.HEADERS)
    except SyncError as error:
        _log(request, error)
        return flask.Response(
            page.render_error(str(error)), status=error.status, headers=page.HEADERS
        )


def _not_run(request: flask.Request, error: SyncError) -> flask.Response:
    _log(request, error)
    return _response(answer.of_error(error))


def _log(request: flask.Request, error: SyncError) -> None:
    """Log it too: neither Scheduler nor Pub/Sub shows anybody the answer."""
    action_required = error.status == 500
    severity: Severity = "ERROR" if action_required else "WARNING"
    log = EventLog("", traced(request))
    log("run_done", f"not run: {error}", severity, status="failed", http_status=error.status)


def _error(status: int, text: str) -> flask.Response:
    return _response(Answer(status, {"error": text}))


def _response(made: Answer) -> flask.Response:
    response = flask.jsonify(made.body)
    response.status_code = made.status
    if made.retry_after is not None:
        response.headers["Retry-After"] = str(made.retry_after)
    return response
