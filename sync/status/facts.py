"""What the status page shows, as facts from the ledger. Pure but for the ledger's answer.

The facts hold no value of a row: rejects are counted by their reasons, without the values that a
reason may quote.
"""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sync.base.clock import Clock
from sync.base.redact import redact
from sync.config import EvaluationSettings, Settings, TableSettings
from sync.model.ports import Ledger
from sync.model.records import EVALUATION_PATIENCE, StatusRecords
from sync.status import retention
from sync.status.console import Console

MAX_REASONS = 12  # reasons of rejects that are shown of a table; the ledger has all
RECENT_BARS = 8  # bars that tell how often a table is synced
COMPARING = ("sync", "reconcile")  # actions that compare both ends
RECENT_SYNCS = 8  # syncs that tell when the next one is to be expected
DAY = timedelta(days=1).total_seconds()

Row = Mapping[str, Any]
Facts = dict[str, Any]


def facts(
    settings: Settings, ledger: Ledger, clock: Clock, console: Console | None = None
) -> Facts:
    """Everything that the page shows, as JSON. Raises what the ledger raises.

    console: what the facts link to; None outside of Google Cloud.
    """
    now = clock.now()
    names = [table.name for table in settings.parents_first() if table.enabled]
    found = describe(settings, ledger.status(names, now), now)
    return found if console is None else _with_links(found, console)


def describe(settings: Settings, records: StatusRecords, now: float) -> Facts:
    """The facts that the ledger's records give of the enabled tables. now: epoch seconds."""
    enabled = [table for table in settings.parents_first() if table.enabled]
    tables = [_Table(settings, table, records, now) for table in enabled]
    return {
        "generated_at": _json_time(datetime.fromtimestamp(now, UTC)),
        "tables": [table.describe() for table in tables],
        "links": {},
    }


def _with_links(found: Facts, console: Console) -> Facts:
    """The facts with links to the log and to BigQuery's jobs."""
    tables = [{**table, "log": console.log(table["table"])} for table in found["tables"]]
    links = {"log": console.log(), "bigquery_jobs": console.jobs}
    return {**found, "tables": tables, "links": links}


class _Table:
    """One table's share of the records."""

    def __init__(
        self, settings: Settings, table: TableSettings, records: StatusRecords, now: float
    ) -> None:
        self._settings = settings
        self._table = table
        self._now = now
        self._runs = _of_table(records.last_runs, table.name)
        self._bars = _of_table(records.rows, table.name)
        self._points = _of_table(records.accuracy, table.name)
        self._evaluations = _of_table(records.last_evaluations, table.name)
        self._rejects = _of_table(records.rejects, table.name)
        self._studies = _of_table(records.studies, table.name)
        self._leases = _of_table(records.leases, table.name)

    def describe(self) -> Facts:
        """State, runs, freshness, evaluations and rejects."""
        running = self._leases[0]["run_id"] if self._leases else None
        runs = [_describe_run(row) for row in self._runs]
        return {
            "table": self._table.name,
            "log": None,
            "state": self._state(running),
            "running": running,
            "last_run": runs[0] if runs else None,
            "warnings": _warnings(self._runs),
            "runs": runs,
            "next_run": self._next_run(),
            "freshness": self._freshness(),
            "rows": self._bars,
            "evaluations": [self._evaluation(each) for each in self._table.evaluate],
            "retention": retention.describe(
                self._settings, self._table, self._studies, self._runs, self._now
            ),
            "rejects": _describe_rejects(self._rejects, _known_names(self._table)),
        }

    def _state(self, running: str | None) -> str:
        if running:
            return "running"
        return self._runs[0]["status"] if self._runs else "never"

    def _freshness(self) -> Facts:
        """Ages in seconds of the newest row and of the last sync that ended ok; None: not known."""
        newest = self._runs[0]["newest"] if self._runs else None
        ok_at = self._runs[0]["ok_at"] if self._runs else None
        age = None if newest is None else int(self._now - newest)
        ok_age = None if ok_at is None else int(self._now - ok_at.timestamp())
        newest_at = None if newest is None else datetime.fromtimestamp(newest, UTC)
        is_late = ok_age is None or ok_age > _longest_pause(self._bars)
        return {
            "newest_row_at": _json_time(newest_at),
            "age_seconds": age,
            "ok_at": _json_time(ok_at),
            "ok_age_seconds": ok_age,
            **self._verified(),
            "stale": bool(self._runs) and is_late,
        }

    def _verified(self) -> Facts:
        """When a run last found both ends equal: no sync or reconcile ends ok otherwise."""
        compared = [row for row in self._runs if row["action"] in COMPARING]
        equal = next((row for row in compared if row["status"] == "ok"), None)
        at = None if equal is None else equal["finished_at"]
        age = None if at is None else int(self._now - at.timestamp())
        return {"verified_at": _json_time(at), "verified_age_seconds": age}

    def _next_run(self) -> Facts | None:
        """When the next sync is to be expected; in_seconds is negative when it is overdue."""
        at = _next_sync(self._runs)
        if at is None:
            return None
        return {"at": _json_time(at), "in_seconds": int(at.timestamp() - self._now)}

    def _evaluation(self, settings: EvaluationSettings) -> Facts:
        """Whether it runs, its last result, and its last failure if that came later."""
        latest = {row["state"]: row for row in self._evaluations if row["name"] == settings.name}
        points = [row for row in self._points if row["name"] == settings.name]
        finished = latest.get("finished")
        figures = ("started_at", "accuracy", "base_accuracy", "test_samples")
        return {
            "name": settings.name,
            "predict": settings.predict,
            "min_accuracy": settings.min_accuracy,
            "running": _pick(self._open(latest), "started_at", "job_id"),
            "latest": _pick(finished, *figures),
            "failure": _pick(_last_failure(latest), "state", "started_at", "reason"),
            "accuracy": [_without(row, "name") for row in points],
        }

    def _open(self, latest: Mapping[str, Row]) -> Row | None:
        """The start whose end is not on record.

        A watch gives an evaluation up after EVALUATION_PATIENCE. One that is older by a day is
        watched by nobody.
        """
        started = latest.get("started")
        if started is None:
            return None
        age = self._now - started["started_at"].timestamp()
        return started if age <= EVALUATION_PATIENCE.total_seconds() + DAY else None


# -- runs


def _describe_run(row: Row) -> Facts:
    shown = _without(row, "newest", "ok_at", "warnings")
    return {name: _json_time(value) for name, value in shown.items()}


def _warnings(runs: Sequence[Row]) -> list[Facts]:
    """The warnings of the last run: code and message."""
    text = runs[0]["warnings"] if runs else None
    if not text:
        return []
    return [
        {"code": warning["code"], "message": warning["message"]} for warning in json.loads(text)
    ]


def _next_sync(runs: Sequence[Row]) -> datetime | None:
    """When the next sync is to be expected: after the median pause between good syncs."""
    syncs = [row for row in runs if row["action"] == "sync"]
    good = [row["started_at"] for row in syncs if row["status"] == "ok"][:RECENT_SYNCS]
    if len(good) < 3:
        return None
    pauses = [later - earlier for later, earlier in itertools.pairwise(good)]
    pause = statistics.median(pause.total_seconds() for pause in pauses)
    last: datetime = syncs[0]["started_at"]
    return last + timedelta(seconds=pause)


def _longest_pause(bars: Sequence[Row]) -> float:
    """Seconds that a table may go without a good sync.

    Three times as long as the median pause of late, and two days at least. A bar may stand for
    weeks and for many syncs.
    """
    good = [bar for bar in bars if bar["good_syncs"]][-RECENT_BARS:]
    pauses = [
        (later["start"] - earlier["start"]) / earlier["good_syncs"]
        for earlier, later in itertools.pairwise(good)
    ]
    if not pauses:
        return 2 * DAY
    return max(2 * DAY, 3 * float(statistics.median(pauses)))


# -- evaluations


def _last_failure(latest: Mapping[str, Row]) -> Row | None:
    """The last failed or lost evaluation; None when a later one has finished.

    latest: the last evaluation in each state.
    """
    failures = [latest[state] for state in ("failed", "lost") if state in latest]
    if not failures:
        return None
    failure = max(failures, key=lambda row: row["started_at"])
    finished = latest.get("finished")
    if finished and failure["started_at"] < finished["started_at"]:
        return None
    return failure


# -- rejects


def _describe_rejects(rows: Iterable[Row], names: frozenset[str]) -> list[Facts]:
    """Reasons with their number of rows, most first.

    Reasons that differ only by the values they quote are one.
    """
    merged: dict[str, Facts] = {}
    for row in rows:
        reason = redact(row["reason"], names)
        first = {"reason": reason, "rows": 0, "last_at": row["last_at"]}
        known = merged.setdefault(reason, first)
        known["rows"] += row["n_rows"]
        known["last_at"] = max(known["last_at"], row["last_at"])
    ordered = sorted(merged.values(), key=lambda each: (-each["rows"], each["reason"]))
    shown = ordered[:MAX_REASONS]
    return [{**each, "last_at": _json_time(each["last_at"])} for each in shown]


def _known_names(table: TableSettings) -> frozenset[str]:
    """The names of tables and columns that the configuration mentions. A reason may show them."""
    names = [table.name, *table.named]
    names += table.key_columns
    if table.cursor:
        names.append(table.cursor.column)
    for evaluation in table.evaluate:
        names += [evaluation.predict or "", *evaluation.given]
    return frozenset(names)


# -- rows


def _of_table(rows: Iterable[Row], table: str) -> list[Facts]:
    """A table's rows, without its name."""
    return [_without(row, "table") for row in rows if row["table"] == table]


def _pick(row: Row | None, *names: str) -> Facts | None:
    if row is None:
        return None
    return {name: _json_time(row[name]) for name in names}


def _without(row: Row, *names: str) -> Facts:
    return {name: value for name, value in row.items() if name not in names}


def _json_time(value: Any) -> Any:
    """A time as text, to the second; anything else as it is."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds")
    return value
