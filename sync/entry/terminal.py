"""What the command line prints for a person."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sync.base.words import counted
from sync.entry import distinct
from sync.model.report import COUNTS, RunReport, TableReport
from sync.pipeline import ResetPlan
from sync.status.retention import headline

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE, HOUR, DAY = 60, 3_600, 86_400

Facts = Mapping[str, Any]  # what GET /?format=json answers, or one table of it


def print_event(record: dict[str, Any]) -> None:
    """One log event as a line of JSON on stderr."""
    line = json.dumps(record, ensure_ascii=False, default=str)
    print(line, file=sys.stderr, flush=True)


# --- the end of a run


def summary(report: RunReport, command: str) -> str:
    """What a run did, a line for each table."""
    head = f"{command}: {report.status} in {report.seconds:.1f} s (run {report.run_id})"
    tables = [line for table in report.tables for line in _table_lines(table)]
    warnings = [f"  warning: {warning.message}" for warning in report.warnings]
    return "\n".join([head, *tables, *warnings])


def _table_lines(table: TableReport) -> Iterable[str]:
    body = table.to_json()
    verified = ", verified" if table.verified else ""
    result = table.error or _counts(table.counts()) or "nothing to do"
    yield f"  {table.table}: {table.status}{verified}; {result}"
    for warning in distinct.warnings(body):
        yield f"    warning: {warning['message']}"
    for reject in distinct.rejects(body):
        yield f"    {counted(reject['rows'], 'row')} rejected: {reject['reason']}"


def _counts(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def _time(second: int) -> datetime:
    """Epoch seconds as a time, also far in the past, which datetime.fromtimestamp refuses."""
    return EPOCH + timedelta(seconds=second)


# --- what the ledger knows


def status(facts: Facts) -> str:
    """State and freshness of each table, its evaluations and its open rejects."""
    return "\n".join(line for table in facts["tables"] for line in _status_lines(table))


def _status_lines(table: Facts) -> Iterable[str]:
    fresh = table["freshness"]
    parts = []
    if fresh["newest_row_at"]:  # a table without a cursor has none
        parts.append(f"newest row {ago(fresh['age_seconds'])}")
    parts.append(f"last good sync {ago(fresh['ok_age_seconds'])}")
    if fresh["verified_at"]:
        parts.append(f"verified {ago(fresh['verified_age_seconds'])}")
    if fresh["stale"]:
        parts.append("stale: a sync is overdue")
    yield f"{table['table']}: {table['state']}; {', '.join(parts)}"
    last = table["last_run"]
    if last and last["error"]:
        yield f"  {last['error']}"
    warnings = distinct.warnings(table)
    for warning in warnings:
        yield f"  warning: {warning['message']}"
    for evaluation in table["evaluations"]:
        yield f"  evaluation {evaluation['name']}: {_evaluation_result(evaluation)}"
    yield from _retention_lines(table["retention"])
    rejected = sum(reject["rows"] for reject in distinct.rejects(table))
    if rejected and "rejects" not in {each["code"] for each in warnings}:
        yield f"  {counted(rejected, 'row')} rejected: see `rejects`"


def _retention_lines(study: Facts | None) -> Iterable[str]:
    """The last recommendation with its age, and the study that runs."""
    if study is None:
        return
    if study["running"]:
        running = study["running"]
        jobs = counted(running["jobs"], "job")
        yield f"  retention: a study runs, {running['jobs_ended']} of {jobs} ended"
    latest = study["latest"]
    if latest:
        outdated = "".join(f"; {each}" for each in latest["outdated"])
        yield f"  retention: {headline(latest)}, measured {ago(latest['age_seconds'])}{outdated}"


def evaluations(facts: Facts) -> list[dict[str, Any]]:
    """Every evaluation with the name of its table."""
    return [
        {"table": table["table"], **evaluation}
        for table in facts["tables"]
        for evaluation in table["evaluations"]
    ]


def any_evaluation_runs(facts: Facts) -> bool:
    """Whether the end of any evaluation is not on record."""
    return any(each["running"] for each in evaluations(facts))


def evaluation_lines(facts: Facts) -> str:
    """What is known of each evaluation, a line each."""
    lines = [
        f"  {each['table']}: evaluation {each['name']}: {_evaluation_result(each)}"
        for each in evaluations(facts)
    ]
    return "\n".join(lines) or "  no evaluation is configured"


def _evaluation_result(evaluation: Facts) -> str:
    """What is known of an evaluation."""
    latest = evaluation["latest"]
    parts = []
    if evaluation["running"]:
        parts.append("running")
    if latest and latest["accuracy"] is not None:
        parts.append(_accuracy(latest))
    if evaluation["failure"]:
        parts.append(f"{evaluation['failure']['state']}: {evaluation['failure']['reason']}")
    return "; ".join(parts) or "no result yet"


def _accuracy(latest: Facts) -> str:
    base = latest["base_accuracy"]
    guessed = "" if base is None else f" ({base:.3f} by guessing the most frequent value)"
    cases = counted(latest["test_samples"], "case")
    return f"accuracy {latest['accuracy']:.3f}{guessed} of {cases}"


def runs(facts: Facts) -> str:
    """The last runs of each table, the newest first."""
    return "\n".join(line for table in facts["tables"] for line in _run_lines(table))


def _run_lines(table: Facts) -> Iterable[str]:
    if not table["runs"]:
        yield f"{table['table']}: no run yet"
        return
    yield f"{table['table']}:"
    for row in table["runs"]:
        counts = _counts({name: row.get(name) for name in COUNTS})
        result = row["error"] or counts or "nothing to do"
        head = f"{row['started_at']} {row['action']} {row['status']} (run {row['run_id']})"
        yield f"  {head}: {result}"


def rejects(facts: Facts) -> str:
    """The reasons of rejected rows, most rows first. Values are left out."""
    lines = [
        f"{table['table']}: {counted(reject['rows'], 'row')}, last {reject['last_at']}:"
        f" {reject['reason']}"
        for table in facts["tables"]
        for reject in table["rejects"]
    ]
    return "\n".join(lines) or "no open rejects"


# --- reset


def reset_question(plan: ResetPlan, *, configured: bool = True) -> str:
    """What a reset would remove."""
    removed = " and ".join(_removed(plan))
    after = (
        "The next sync loads the table anew; rows that the source no longer has do not come back."
    )
    if not configured:
        after = "The configuration lacks the table, so no sync loads it again."
    return f"{plan.table}: a reset removes {removed}. {after}"


def _removed(plan: ResetPlan) -> Iterable[str]:
    if plan.rows is not None:
        newest = ""
        if plan.watermark is not None:
            newest = f" (watermark {_time(plan.watermark):%Y-%m-%d %H:%M} UTC)"
        yield f"Aito's table with {counted(plan.rows, 'row')}{newest}"
    if plan.checkpoint is not None and plan.checkpoint.updated_at is not None:
        yield f"its checkpoint of {plan.checkpoint.updated_at:%Y-%m-%d %H:%M} UTC"
    if plan.fresh is not None:
        yield f"{plan.fresh}, which a broken-off run left behind"


def reset_done(plan: ResetPlan, *, configured: bool = True) -> str:
    """What a reset has removed."""
    if plan.is_empty:
        return f"{plan.table}: nothing to reset; Aito has no such table, and no checkpoint is known"
    if not configured:
        return f"{plan.table}: reset; no sync loads it again"
    return f"{plan.table}: reset; the next sync loads it anew"


def ago(seconds: float | None) -> str:
    """An age in words."""
    if seconds is None:
        return "never"
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s ago"
    if seconds < 2 * HOUR:
        return f"{seconds / MINUTE:.0f} min ago"
    if seconds < 2 * DAY:
        return f"{seconds / HOUR:.0f} h ago"
    return f"{seconds / DAY:.0f} days ago"
