"""The same from a shell: `python -m sync sync|reconcile|watch|check`, with the same settings and
the same engine.

Exit status: 0 ok, 1 failed, 2 wrong request or configuration, 3 partial or busy: calling again
continues.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

from sync.app import Services, run
from sync.base.errors import BadRequest, ConfigError, SyncError
from sync.entry.request import request as asked_for
from sync.model.report import RunReport, TableReport
from sync.model.request import Request

EXIT = {200: 0, 202: 3, 409: 3, 503: 3}
PROG = "python -m sync"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        services = Services.from_environment()
        screen = Progress(sys.stderr) if sys.stderr.isatty() and not options.json else None
        asked = _request(options, services)
        report = run(
            services,
            asked,
            screen or _to_stderr,
            _interruptible(),
            screen.progress if screen else None,
        )
    except (BadRequest, ConfigError) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return 2
    except SyncError as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return 1
    print(
        json.dumps(report.to_json(), indent=2)
        if options.json
        else _summary(report, options.command)
    )
    return EXIT.get(report.http_status, 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        PROG, description="Keep Aito fed from BigQuery. Settings: sync.yaml, or SYNC_CONFIG."
    )
    parser.add_argument(
        "command",
        choices=("sync", "reconcile", "watch", "check"),
        help="check writes nothing anywhere",
    )
    parser.add_argument("--tables", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument(
        "--dry-run", action="store_true", help="plan, estimate and compare; write nothing"
    )
    parser.add_argument(
        "--full-refresh",
        action="store_true",
        help="sync: forget the watermark, re-read the whole keep range",
    )
    parser.add_argument(
        "--deep", action="store_true", help="reconcile: compare keys in every slice"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the answer as JSON; the log goes to stderr"
    )
    return parser


def _request(options: argparse.Namespace, services: Services) -> Request:
    check = options.command == "check"
    asked: dict[str, Any] = {
        "action": "sync" if check else options.command,
        "dry_run": options.dry_run or check,
    }
    asked |= {"full_refresh": options.full_refresh, "deep": options.deep}
    asked |= {"tables": options.tables} if options.tables else {}
    return asked_for(asked, [t.name for t in services.settings.tables])


def _interruptible() -> Any:
    """Ctrl-C and SIGTERM end the run at the next batch, with the state good; a second Ctrl-C ends
    it at once.
    """
    stop = threading.Event()

    def handler(number: int, _: object) -> None:
        stop.set()
        signal.signal(
            number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        )

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)
    return stop.is_set


def _to_stderr(record: dict[str, Any]) -> None:
    print(json.dumps(record, ensure_ascii=False, default=str), file=sys.stderr, flush=True)


class Progress:
    """Shows a run on a terminal: rows done, rows a second, time left."""

    def __init__(self, screen: TextIO) -> None:
        self._screen = screen
        self._planned: dict[str, int] = {}
        self._begun: dict[str, float] = {}

    def __call__(self, record: dict[str, Any]) -> None:
        """Take one log event."""
        event, table = record["event"], record.get("table", "")
        if event == "table_planned":
            self._planned[table], self._begun[table] = record["rows"], time.monotonic()
        if event not in ("run_started", "slice_done"):
            self._screen.write(f"\r\033[K{record['message']}\n")
            self._screen.flush()

    def progress(self, table: str, rows: int) -> None:
        """Take the number of rows read so far."""
        self._screen.write(f"\r\033[K{table}: {self._pace(table, rows)}")
        self._screen.flush()

    def _pace(self, table: str, done: int) -> str:
        planned, seconds = (
            self._planned.get(table, done),
            time.monotonic() - self._begun.get(table, time.monotonic()),
        )
        rate = done / seconds if seconds else 0.0
        left = (planned - done) / rate if rate else 0.0
        return f"{done:,} of {planned:,} rows, {rate:,.0f} rows/s, {max(0.0, left):.0f} s left"


def _summary(report: RunReport, command: str) -> str:
    lines = [f"{command}: {report.status} in {report.seconds:.1f} s (run {report.run_id})"]
    for table in report.tables:
        counts = (
            ", ".join(f"{count:,} {name}" for name, count in table.counts().items() if count)
            or "nothing to do"
        )
        verified = ", verified" if table.verified else ""
        lines.append(
            f"  {table.table}: {table.status}{verified};"
            f" {table.error or _estimate(table) or counts}"
        )
    return "\n".join(lines)


def _estimate(table: TableReport) -> str:
    if (estimate := table.estimate) is None or table.start is None or table.end is None:
        return ""
    start, end = (f"{moment(second):%Y-%m-%d %H:%M}" for second in (table.start, table.end))
    changes = "".join(f"; {change}" for change in estimate["schema"]) or "; Aito's table fits"
    return (
        f"{estimate['rows']:,} rows to read, of {start} to {end}, "
        f"{estimate['bytes'] / 1e6:,.1f} MB, ${estimate['usd']:.4f}{changes}"
    )


def moment(second: int) -> datetime:
    """Epoch seconds as a time, the beginning of time included."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)


if __name__ == "__main__":
    sys.exit(main())
