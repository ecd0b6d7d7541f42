"""What the command `retention` prints for a person: recommendation, curve, and what to change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sync.base.errors import BadRequest
from sync.base.words import counted
from sync.config import duration, spell_duration
from sync.entry.terminal import ago
from sync.model.report import TableReport
from sync.model.request import Request
from sync.status.retention import headline
from sync.status.wording import age, bytes_

Facts = Mapping[str, Any]

HEAD = ("history", "accuracy", "95 % interval", "base", "learned from", "ms a row", "")
WORDS = {"enough": "enough", "worse": "worse", "undecided": "open"}


def with_choice(wanted: Request, histories: Sequence[str], evaluations: Sequence[str]) -> Request:
    """The request with the histories and evaluations of the command line. Raises BadRequest."""
    try:
        seconds = tuple(duration(each) for each in histories)
    except ValueError as error:
        raise BadRequest(f"'--keep' {error}") from error
    if 0 in seconds:
        raise BadRequest("'--keep' must be longer than 0")
    return replace(wanted, histories=seconds, evaluations=tuple(evaluations))


def is_running(table: Facts) -> bool:
    """Whether the table's study has not ended."""
    return bool(table["retention"] and table["retention"]["running"])


def plan_text(table: TableReport) -> str:
    """What a study is going to try, and its price; or why there is none."""
    if table.study is None:
        return f"{table.table}: {table.status}; {table.error}"
    study = table.study
    histories = ", ".join(study["histories"])
    rows = ", ".join(f"{name} {count:,}" for name, count in study["test_rows"].items())
    return "\n".join(
        [
            f"{table.table}: a study of the histories {histories}",
            f"  evaluations and test rows: {rows}",
            f"  {study['jobs']} jobs, one at a time: about {study['expected_aito_calls']} Aito"
            f" calls, {study['expected_minutes']} min of Aito's time",
        ]
    )


def text(table: Facts) -> str:
    """The state of a table's study, and the last conclusion."""
    return "\n".join(_lines(table["table"], table["retention"]))


def _lines(table: str, found: Facts | None) -> Iterator[str]:
    if found is None:
        yield f"{table}: no study yet"
        return
    running = found["running"]
    if running:
        yield (
            f"{table}: a study runs since {running['started_at']}: {running['jobs_ended']} of"
            f" {running['jobs']} jobs have ended; `watch` continues it"
        )
    if found["given_up"]:
        yield f"{table}: the last study was given up: {found['given_up']}"
    if found["latest"]:
        yield from _conclusion(table, found["latest"])


def _conclusion(table: str, latest: Facts) -> Iterator[str]:
    yield f"{table}: {headline(latest)}"
    yield f"  {latest['reason']}"
    for outdated in latest["outdated"]:
        yield f"  careful: {outdated}"
    for evaluation in latest["evaluations"]:
        yield ""
        yield from _curve(evaluation, latest)
    yield ""
    yield from _change(table, latest)
    yield (
        f"  Measured {ago(latest['age_seconds'])} by {latest['jobs']} jobs with"
        f" {latest['aito_calls']} Aito calls in {age(latest['seconds'])}."
    )


def _curve(evaluation: Facts, latest: Facts) -> Iterator[str]:
    points = evaluation["points"]
    cases = f", {counted(points[0]['cases'], 'test row')}" if points else ""
    yield f"  {evaluation['name']}{cases}: {evaluation['why']}"
    rows = [HEAD, *(_row(point, latest) for point in points)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEAD))]
    for number, row in enumerate(rows):
        is_chosen = number > 0 and points[number - 1]["history"] == evaluation["history"]
        mark = ">" if is_chosen else " "
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        yield f"  {mark} {'  '.join([*cells[:-1], row[-1]])}".rstrip()
    for missing in evaluation["missing"]:
        yield f"    {spell_duration(missing['history'])}: no result ({missing['state']})"


def _row(point: Facts, latest: Facts) -> tuple[str, ...]:
    base, learned, ms = point["base_accuracy"], point["train_rows"], point["mean_ms"]
    now = ", as now" if point["history"] == latest["keep"] else ""
    return (
        spell_duration(point["history"]),
        f"{point['accuracy'] * 100:.1f} %",
        f"{point['low'] * 100:.1f} to {point['high'] * 100:.1f} %",
        "-" if base is None else f"{base * 100:.1f} %",
        "-" if learned is None else counted(learned, "row"),
        "-" if ms is None else f"{ms:.1f}",
        f"{WORDS[point['standing']]}{now}",
    )


def _change(table: str, latest: Facts) -> Iterator[str]:
    change = latest["change"]
    if change is None:
        return
    yield f"  To change in sync.yaml, under `name: {table}`:"
    yield ""
    yield f"    {change['yaml']}"
    yield ""
    share = "" if change["share"] is None else f" ({change['share']:.0%} of the table)"
    yield (
        f"  The next sync then: about {change['rows']:,} rows {change['what']}{share},"
        f" {bytes_(change['bytes'])} of BigQuery, {change['aito_calls']:,} Aito calls,"
        f" {change['minutes']} min."
    )
    if change["allow"]:
        yield f"  So many rows are purged only when that sync has --allow {change['allow']}."
