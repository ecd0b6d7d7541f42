"""The door: a request or an event -> run -> answer. Nothing else."""

from __future__ import annotations

import functools
import gc

import flask
import functions_framework

from sync.base.errors import BadRequest, SyncError
from sync.base.events import Log, Severity
from sync.base.termination import Termination
from sync.entry import request as requests
from sync.model.report import Request, RunReport
from sync.pipeline.run import Services, facts, run, unforeseen

services = functools.cache(
    Services.from_environment
)  # made when first needed; a mistake is not kept
termination = functools.cache(Termination)


@functions_framework.http
def sync(request: flask.Request) -> flask.Response:
    """Answer one HTTP request: POST runs, GET shows."""
    try:
        if request.path != "/":
            return _answer(
                404,
                {"error": f"nothing at {request.path[:80]!r}; POST / runs, GET / shows the status"},
            )
        if request.method == "POST":
            return _run(request)
        if request.method in ("GET", "HEAD"):
            return _show(request)
        return _answer(
            405,
            {"error": f"{request.method} is not known here; POST / runs, GET / shows the status"},
        )
    except BadRequest as error:
        _told(error, "WARNING")
        return _answer(error.status, {"error": str(error)})
    except SyncError as error:
        return _not_run(error)
    except Exception as error:  # noqa: BLE001 - the edge: no traceback reaches a caller
        return _not_run(unforeseen(error))


def _run(request: flask.Request) -> flask.Response:
    body = request.get_data()
    requests.parse(
        dict(request.headers), body
    )  # the caller's mistake is told before the configuration's
    settings = services().settings
    asked = requests.parse(dict(request.headers), body, [t.name for t in settings.tables])
    report = run(services(), asked, stopped=termination())
    return _answer(report.http_status, report.to_json(), report.retry_after)


def _show(request: flask.Request) -> flask.Response:
    if request.args.get("format") == "json":
        return _answer(200, facts(services()))
    from sync.status import page  # its template engine is for those who look, not for every run

    try:
        return flask.Response(page.render(facts(services())), headers=page.HEADERS)
    except SyncError as error:
        _told(error, "ERROR")
        return flask.Response(page.trouble(str(error)), status=error.status, headers=page.HEADERS)


def _not_run(error: SyncError) -> flask.Response:
    report = RunReport("", Request(), [], error=str(error))
    _told(error, "ERROR")
    return _answer(error.status, report.to_json())


def _told(error: SyncError, severity: Severity) -> None:
    """Say it in the log too: neither Scheduler nor Pub/Sub shows anybody the answer."""
    Log("")("run_done", f"not run: {error}", severity, status="failed", http_status=error.status)


def _answer(status: int, body: object, retry_after: int | None = None) -> flask.Response:
    response = flask.jsonify(body)
    response.status_code = status
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


# imports live for ever: the server forks after them, and a collector that touches them would copy
# them
gc.freeze()
