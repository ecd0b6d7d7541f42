"""The trace of a request: what ties the lines of the log to Cloud Run's line of the request.

Cloud Run adds the header `X-Cloud-Trace-Context: TRACE/SPAN;o=1`, or `traceparent`, and Cloud
Logging reads the field below (https://cloud.google.com/run/docs/logging#correlate-logs).
"""

from __future__ import annotations

import os
import re
from typing import Any

import flask

from sync.base.events import Sink, to_stdout

FIELD = "logging.googleapis.com/trace"
HEADERS = ("X-Cloud-Trace-Context", "traceparent")
_TRACE = re.compile(r"\b[0-9a-f]{32}\b")


def traced(request: flask.Request) -> Sink:
    """The sink of a request's log. Each line names the request's trace, where there is one."""
    project = os.environ.get("GOOGLE_CLOUD_PROJECT")
    found = [_TRACE.search(request.headers.get(name, "")) for name in HEADERS]
    traces = [match[0] for match in found if match]
    if not project or not traces:
        return to_stdout
    trace = f"projects/{project}/traces/{traces[0]}"

    def sink(record: dict[str, Any]) -> None:
        to_stdout({**record, FIELD: trace})

    return sink
