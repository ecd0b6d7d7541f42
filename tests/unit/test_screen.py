"""Colour and live lines on a terminal."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from sync.entry.screen import Counted, LiveTables, style_of

ROOT = Path(__file__).parents[2]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_a_live_line_for_each_table() -> None:
    """Rows done, rows a second and the time left. The line goes when the table is done."""
    screen = Terminal()
    live = LiveTables(screen)
    live({"event": "table_planned", "message": "web: 10 rows", "table": "web", "rows": 10, **INFO})
    live.progress("web", 5)
    live.stop()
    assert "web: 10 rows" in screen.getvalue()
    assert "5 of 10 rows" in screen.getvalue()
    assert "rows/s" in screen.getvalue()
    live({"event": "table_done", "message": "web: ok", "table": "web", **INFO})
    assert "web: ok" not in screen.getvalue()  # the result says it


INFO = {"severity": "INFO"}


@pytest.mark.parametrize(
    ("line", "style"),
    [
        ("aito-sync: sync.yaml: 1 mistake", "bold red"),
        ("  ok      Aito         2 tables", "green"),
        ("  failed  Aito         403", "bold red"),
        ("  + 3 rows to read", "green"),
        ("  - 3 rows to purge, older than keep", "red"),
        ("  ! 3 rows have no id, the key", "yellow"),
        ("  x the source is missing", "bold red"),
        ("  web: failed; no source", "bold red"),
        ("    3.0 MB read", ""),
    ],
)
def test_the_style_of_a_line(line: str, style: str) -> None:
    """The sign at its beginning decides."""
    assert style_of(line) == style


def test_the_function_imports_none_of_it() -> None:
    """A cold start does not pay for the command line."""
    code = "import main, sys; print({'rich', 'sync.entry.screen'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_many_changed_columns_are_counted() -> None:
    """Three of a kind are shown, and the others counted, before the next event is shown."""
    shown: list[str] = []
    grouped = Counted(lambda record: shown.append(record["message"]))
    lost = {"event": "column_changed", "table": "web", "change": "lost", **INFO}
    for number in range(5):
        grouped({**lost, "message": f"column {number} is gone"})
    grouped({"event": "table_planned", "message": "3 rows", "table": "web", **INFO})
    grouped({**lost, "message": "column 6 is gone"})
    grouped.stop()
    gone = [f"column {number} is gone" for number in range(3)]
    more = "web: 2 more columns gone from the source"
    assert shown == [*gone, more, "3 rows", "column 6 is gone"]
