"""How the command line prints: colour and live lines on a terminal, plain lines otherwise.

The function never imports this module. `rich` is only needed on a terminal.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

import click

from sync.base.events import ProgressWatcher, Sink
from sync.base.words import counted

# Events that the printed result repeats, or that come once for each slice.
QUIET = {"run_started", "slice_done", "table_done", "run_done", "table_warning", "row_rejected"}
STYLES: Mapping[str, str] = {"WARNING": "yellow", "ERROR": "bold red"}
SHOWN_COLUMNS = 3  # of a table that changed alike; the others are counted
CHANGES = {
    "new": "new in the source",
    "lost": "gone from the source",
    "renamed": "renamed in the source",
    "retyped": "of another type now",
}
# The first match decides how a line is coloured.
LINES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), style)
    for pattern, style in (
        (r"^aito-sync: ", "bold red"),
        (r"^  ok  ", "green"),
        (r"^  failed  ", "bold red"),
        (r"^  x ", "bold red"),
        (r"^ *! |^ +warning: ", "yellow"),
        (r"^  \+ ", "green"),
        (r"^  ~ ", "yellow"),
        (r"^  - ", "red"),
        (r"^\S+: failed|^  \S+: failed", "bold red"),
        (r"^  \S+: (partial|busy)", "yellow"),
        (r"^  \S+: ok", "green"),
        (r"^\S+: ", "bold"),
    )
)


def has_rich(stream: TextIO) -> bool:
    """Whether colour and live lines can be shown on a stream."""
    return stream.isatty() and importlib.util.find_spec("rich") is not None


def show(text: str, *, err: bool = False) -> None:
    """Print text, with a colour for each line that has a meaning."""
    stream = sys.stderr if err else sys.stdout
    if not has_rich(stream):
        click.echo(text, err=err)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False, soft_wrap=True)
    for line in text.split("\n"):
        console.print(Text(line, style_of(line)))


def style_of(line: str) -> str:
    """The style of a printed line. Empty: none."""
    for pattern, style in LINES:
        if pattern.search(line):
            return style
    return ""


def watch_plan() -> tuple[Sink, ProgressWatcher | None, Callable[[], None]]:
    """The same for a run that only plans: the plan tells what its events would repeat."""
    grouped = Counted(only_problems)
    return grouped, None, grouped.stop


def only_problems(record: dict[str, Any]) -> None:
    """One event in one plain line on stderr, when something is wrong."""
    if record["severity"] != "INFO" and record["event"] != "table_planned":
        plain(record)


def watch_run() -> tuple[Sink, ProgressWatcher | None, Callable[[], None]]:
    """Where the events and the progress of a run go, and what ends the display."""
    if not has_rich(sys.stderr):
        grouped = Counted(plain)
        return grouped, None, grouped.stop
    live = LiveTables(sys.stderr)
    grouped = Counted(live)

    def stop() -> None:
        grouped.stop()
        live.stop()

    return grouped, live.progress, stop


class Counted:
    """Passes events on. Of many changed columns of a table it shows some, and counts the others."""

    def __init__(self, show: Sink) -> None:
        self._show = show
        self._group: tuple[Any, ...] | None = None
        self._found: list[dict[str, Any]] = []

    def __call__(self, record: dict[str, Any]) -> None:
        """Take one log event."""
        group = tuple(record.get(name) for name in ("event", "table", "change", "severity"))
        if group != self._group:
            self.stop()
            self._group = group
        if record["event"] != "column_changed":
            self._show(record)
            return
        self._found.append(record)
        if len(self._found) <= SHOWN_COLUMNS:
            self._show(record)

    def stop(self) -> None:
        """Count what was not shown."""
        more = len(self._found) - SHOWN_COLUMNS
        if more > 0:
            last = self._found[-1]
            change = f"{counted(more, 'more column')} {CHANGES[last['change']]}"
            self._show({**last, "message": f"{last['table']}: {change}"})
        self._found = []


def plain(record: dict[str, Any]) -> None:
    """One event in one plain line on stderr, unless the result repeats it."""
    if record["event"] in QUIET:
        return
    prefix = "" if record["severity"] == "INFO" else f"{record['severity'].lower()}: "
    print(f"{prefix}{record['message']}", file=sys.stderr, flush=True)


class LiveTables:
    """One live line for each table: rows, rows a second, time left."""

    def __init__(self, stream: TextIO) -> None:
        from rich import progress
        from rich.console import Console

        class Rate(progress.ProgressColumn):
            """Rows a second."""

            def render(self, task: progress.Task) -> str:
                return f"{task.finished_speed or task.speed or 0:,.0f} rows/s"

        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._bars = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=20),
            progress.TextColumn("{task.completed:,.0f} of {task.total:,.0f} rows"),
            Rate(),
            progress.TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._tasks: dict[str, Any] = {}

    def __call__(self, record: dict[str, Any]) -> None:
        """Take one log event."""
        event = record["event"]
        if event == "table_planned" and record["rows"]:
            self._begin(record["table"], record["rows"])
        elif event == "table_done":
            self._end(record["table"])
        if event not in QUIET:
            style = STYLES.get(record["severity"], "dim")
            self._console.print(record["message"], style=style, markup=False)

    def _begin(self, table: str, rows: int) -> None:
        self._bars.start()
        self._tasks[table] = self._bars.add_task(table, total=rows)

    def _end(self, table: str) -> None:
        if table in self._tasks:
            self._bars.remove_task(self._tasks.pop(table))

    def progress(self, table: str, rows: int) -> None:
        """Take the number of rows read so far."""
        if table in self._tasks:
            self._bars.update(self._tasks[table], completed=rows)

    def stop(self) -> None:
        """Remove the live lines."""
        self._bars.stop()
