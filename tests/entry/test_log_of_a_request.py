"""What the log says of an HTTP request: its trace, and how bad it is that nothing ran."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import flask
import pytest

from sync.app import Services
from sync.base.errors import AccessDenied, BadRequest, ConfigError, SyncError, Unavailable
from sync.entry import http
from sync.entry.trace import FIELD
from tests.workbench import Workbench, row

TRACE = "105445aa7843bc8bf206b12000100000"


def lines_of(
    services: Any, capsys: pytest.CaptureFixture[str], **headers: str
) -> list[dict[str, Any]]:
    """The lines that one POST writes."""
    capsys.readouterr()
    app = flask.Flask("log")
    with app.test_request_context("/", method="POST", data=b"{}", headers=headers):
        http.handle(flask.request, services, lambda: lambda: False)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Cloud-Trace-Context", f"{TRACE}/1;o=1"),
        ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01"),
    ],
)
def test_each_line_names_the_trace(
    bench: Workbench,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
) -> None:
    """Cloud Logging shows all lines of a run under Cloud Run's own line of the request."""
    bench.put([row("a", bench.now - 60)])
    for variable, setting in bench.environment().items():
        monkeypatch.setenv(variable, setting)
    lines = lines_of(Services.from_environment, capsys, **{name: value})
    assert {line[FIELD] for line in lines} == {f"projects/{bench.stack.project}/traces/{TRACE}"}
    assert {"run_started", "table_done", "run_done"} <= {line["event"] for line in lines}


@pytest.mark.parametrize(
    ("error", "severity"),
    [
        (ConfigError("line 12"), "ERROR"),
        (AccessDenied("no grant"), "ERROR"),
        (Unavailable("no answer"), "WARNING"),
        (BadRequest("unknown field"), "WARNING"),
    ],
)
def test_what_passes_by_itself_is_no_error(
    capsys: pytest.CaptureFixture[str], error: SyncError, severity: str
) -> None:
    """A run that could not begin is an ERROR only when a person is needed. No trace: no field."""

    def fail() -> NoReturn:
        raise error

    [line] = lines_of(fail, capsys)
    assert (line["event"], line["severity"], line["status"]) == ("run_done", severity, "failed")
    assert FIELD not in line
