"""What one table's run is about: columns that fit, the window, and its slices.

Makes what is missing in Aito.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sync.base.errors import ActionRequired
from sync.bigquery import types as schema
from sync.bigquery.queries import Origin, Parameter
from sync.model import window
from sync.model.ports import PAGE, Columns, Work
from sync.model.window import BEGINNING, Slice, Window

CONTINUED_SECONDS = 86_400  # what was gone through longer ago is gone through again
LAST = """
SELECT run_id, status, window_end FROM {runs} WHERE `table` = @table AND action = @action AND started_at >= @since
  # NULL: that run did not come to this table
  AND window_end IS NOT NULL ORDER BY finished_at DESC LIMIT 1"""
NOTHING = (
    "none in Aito either; if the source has rows, is their cursor in the future, or not in epoch"
    " seconds?"
)
USD_PER_TIB = 6.25  # BigQuery on demand, https://cloud.google.com/bigquery/pricing


@dataclass(frozen=True)
class Plan:
    """watermark: newest cursor in Aito before the window's end; total: Aito's rows before it."""

    origin: Origin
    exists: bool
    span: Window
    watermark: int | None = None
    total: int = 0
    slices: tuple[Slice, ...] = ()
    cursorless: int = 0
    slice_rows: int = window.SLICE_ROWS


def plan(work: Work, now: int) -> Plan:
    """Plan a table with a cursor and bring Aito's schema into line. `now`: epoch seconds, the
    window's end.

    Raises SchemaMismatch with every difference before anything is written.
    """
    everything = work.request.everything
    origin, row_bytes = work.source.origin(work.table, prune=not everything)
    exists = prepare(work, origin)
    watermark, total = (
        work.target.newest(work.table.name, work.cursor, now) if exists else (None, 0)
    )
    span = window.window(
        now, None if everything else watermark, work.table.lookback, work.table.keep
    )
    if everything and not work.request.dry_run:
        span = _continued(work, span)
    known_until = now if everything else BEGINNING - 1 if watermark is None else watermark
    rows = window.slice_rows(row_bytes)
    if work.request.action == "reconcile":
        rows = min(rows, PAGE)  # the keys of such a slice cost one request, as its count would
    counted = work.source.histogram(origin, span, known_until, rows)
    parts = tuple(window.slices(span, counted.buckets, rows))
    made = Plan(origin, exists, span, watermark, total, parts, counted.cursorless, slice_rows=rows)
    _tell(work, made)
    return made


def _continued(work: Work, span: Window) -> Window:
    """The window less what the call before has gone through, if that one was asked the same and
    ran out of time.
    """
    asked = Parameter("action", "STRING", work.request.action)
    since = Parameter(
        "since", "TIMESTAMP", datetime.fromtimestamp(span.end - CONTINUED_SECONDS, UTC)
    )
    found = work.ledger.rows(LAST, (Parameter("table", "STRING", work.table.name), asked, since))
    same = (
        found
        and found[0]["status"] == "partial"
        and found[0]["run_id"].endswith(work.request.mark(work.settings))
    )
    work.report.covered = max(span.start, found[0]["window_end"]) if same else span.start
    return Window(min(work.report.covered, span.end), span.end)


def recounted(work: Work, plan: Plan, start: int | None = None, *, prune: bool = False) -> Plan:
    """The plan with the source counted anew, as it may have moved on meanwhile; `start`: from an
    earlier second on.

    prune: stay within the bounds on the time of ingestion, if the plan does. Nothing may be deleted
    by such a plan: a row that was not looked at is not gone.
    """
    span = plan.span if start is None else Window(start, plan.span.end)
    origin = replace(plan.origin, prune=prune and plan.origin.prune)
    counted = work.source.histogram(origin, span, span.end, plan.slice_rows)
    return replace(
        plan,
        origin=origin,
        span=span,
        slices=tuple(window.slices(span, counted.buckets, plan.slice_rows)),
    )


def prepare(work: Work, origin: Origin) -> bool:
    """Make Aito's table, or add the columns it lacks.

    Returns whether the table is there (a dry run makes nothing).
    """
    name = work.table.name
    _parents_are_there(work)
    if name not in work.schema:
        work.report.changes.append(f"table {name} with {len(origin.columns)} columns is made")
        if not work.request.dry_run:
            work.lease.check()
            columns = definition(origin)
            work.target.create(name, columns)
            work.schema[name] = {column: dict(held) for column, held in columns.items()}
        return not work.request.dry_run
    for column in schema.missing_columns(name, origin.columns, work.schema[name]):
        work.report.changes.append(f"column {column.name} ({column.type}) is added")
        if not work.request.dry_run:
            work.lease.check()
            work.target.add_column(name, column.name, column.definition())
            work.schema[name][column.name] = column.definition()
    return True


def definition(origin: Origin) -> Columns:
    """The columns as Aito's schema API takes them."""
    return {column.name: column.definition() for column in origin.columns}


def _parents_are_there(work: Work) -> None:
    absent = [
        f"{column} links to {table}.{there}"
        for column, (table, there) in work.table.links.items()
        if there not in work.schema.get(table, {})
    ]
    planned = {t.name for t in work.settings.tables} if work.request.dry_run else set()
    absent = [a for a in absent if a.split(" links to ")[1].split(".")[0] not in planned]
    if absent:
        raise ActionRequired(
            f"{work.table.name}: {'; '.join(absent)}, which Aito does not have; sync that table"
            " first"
        )


def _tell(work: Work, made: Plan) -> None:
    report = work.report
    report.start, report.end = made.span.start, made.span.end
    report.watermark_before = report.watermark_after = made.watermark
    report.slices_planned = len(made.slices)
    rows = sum(part.rows for part in made.slices)
    keyless = sum(part.keyless for part in made.slices)
    odd = [
        f"{keyless} without a key" if keyless else "",
        f"{made.cursorless} without a cursor" if made.cursorless else "",
        NOTHING if not rows and not made.total else "",
    ]
    note = ", ".join(o for o in odd if o)
    work.log(
        "table_planned",
        f"{report.table}: {rows} rows in {len(made.slices)} slices{f' ({note})' if note else ''}",
        "WARNING" if note else "INFO",
        table=report.table,
        rows=rows,
        slices=len(made.slices),
        window_start=made.span.start,
        window_end=made.span.end,
        watermark=made.watermark,
        keyless=keyless,
        cursorless=made.cursorless,
    )
    if work.request.dry_run:
        size = work.source.estimate(made.origin, made.span, made.slices)
        report.estimate = {
            "rows": rows,
            "bytes": size,
            "usd": round(size / 2**40 * USD_PER_TIB, 6),
            "schema": report.changes,
        }
