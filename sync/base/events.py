"""Log events: one JSON object a line on stdout, from a fixed vocabulary.

Cloud Logging reads `severity` and `message` from such a line
(https://cloud.google.com/logging/docs/structured-logging). Lines are written here and not through
`logging`, because a library's handler could add, drop or reformat them. An event never holds a
row's value, a key or a token.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from typing import Any, Literal

from sync import __version__

Event = Literal[
    "run_started",
    "table_planned",
    "column_changed",
    "slice_done",
    "batch_retried",
    "request_retried",
    "row_rejected",
    "table_warning",
    "table_done",
    "purge_refused",
    "optimize_failed",
    "evaluation_started",
    "evaluation_skipped",
    "evaluation_finished",
    "evaluation_failed",
    "continuation_failed",
    "freshness",
    "run_done",
]
Severity = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Sink = Callable[[dict[str, Any]], None]
ProgressWatcher = Callable[[str, int], None]  # (table, rows read so far)

_stdout_lock = threading.Lock()


def to_stdout(record: dict[str, Any]) -> None:
    """Write one record as one line. Lines of several threads do not mix."""
    line = json.dumps(record, ensure_ascii=False, default=str) + "\n"
    with _stdout_lock:
        sys.stdout.write(line)
        sys.stdout.flush()


class EventLog:
    """The log of one run. Every event carries its `run_id` and the version of the program."""

    def __init__(
        self, run_id: str, sink: Sink = to_stdout, watcher: ProgressWatcher | None = None
    ) -> None:
        self._run_id = run_id
        self._sink = sink
        self._watcher = watcher

    def __call__(
        self, event: Event, message: str, severity: Severity = "INFO", **fields: Any
    ) -> None:
        """Emit one event. `fields` are counts, names and sentences of ours."""
        record = {"severity": severity, "message": message, "event": event}
        self._sink({**record, "run_id": self._run_id, "version": __version__, **fields})

    def progress(self, table: str, rows: int) -> None:
        """Report to a waiting person how many rows were read so far. Nothing is logged."""
        if self._watcher:
            self._watcher(table, rows)
