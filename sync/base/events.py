"""One event, one line of JSON on stdout, from a fixed vocabulary. Never a row's value, a key or a
token.

Cloud Logging reads `severity` and `message` from such a line
(https://cloud.google.com/logging/docs/structured-logging). Lines are written here and not through
`logging`, so that no library's handler can add, drop or reformat one.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from typing import Any, Literal

Event = Literal[
    "run_started",
    "table_planned",
    "slice_done",
    "batch_retried",
    "row_rejected",
    "table_done",
    "purge_refused",
    "evaluation_started",
    "evaluation_skipped",
    "evaluation_finished",
    "evaluation_failed",
    "freshness",
    "run_done",
]
Severity = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Sink = Callable[[dict[str, Any]], None]
Watcher = Callable[[str, int], None]  # (table, rows read so far), for a person who waits

_one_line_at_a_time = threading.Lock()


def to_stdout(record: dict[str, Any]) -> None:
    """Write one record as one line, whole, whatever other threads write."""
    line = json.dumps(record, ensure_ascii=False, default=str) + "\n"
    with _one_line_at_a_time:
        sys.stdout.write(line)
        sys.stdout.flush()


class Log:
    """The log of one run: every line carries its `run_id`."""

    def __init__(self, run_id: str, sink: Sink = to_stdout, watcher: Watcher | None = None) -> None:
        self._run_id = run_id
        self._sink = sink
        self._watcher = watcher

    def __call__(
        self, event: Event, message: str, severity: Severity = "INFO", **fields: Any
    ) -> None:
        """Emit one event; `fields` are numbers, names and texts of ours, never a row's values."""
        self._sink(
            {
                "severity": severity,
                "message": message,
                "event": event,
                "run_id": self._run_id,
                **fields,
            }
        )

    def progress(self, table: str, rows: int) -> None:
        """Tell whoever waits how many rows were read so far. No event: nothing is logged."""
        if self._watcher:
            self._watcher(table, rows)
