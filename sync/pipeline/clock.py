"""Judges the cursor by what the source holds: a wrong unit, the moment of reading, the future."""

from __future__ import annotations

from sync.base.errors import ActionRequired
from sync.base.words import counted
from sync.model.plan import Plan
from sync.model.window import HOUR, UNIT_NAMES
from sync.pipeline.table_run import TableRun

# What makes a cursor of numbers that the configuration has no unit for.
MADE_BY = {
    "ns": "DIV(`{0}`, 1000) AS `{0}`",
    "days": "PARSE_DATE('%Y%m%d', CAST(`{0}` AS STRING)) AS `{0}`",
}
AHEAD_SHARE = 0.1  # of the rows may be dated in the future, and is not worth a warning
AHEAD_ROWS = 10  # neither are so few rows


def check_clock(run: TableRun, plan: Plan) -> None:
    """Raises ActionRequired when the cursor cannot tell new rows from old ones."""
    unit = _other_unit(run, plan)
    units = plan.clock.units
    if unit and run.table.cursor and units[unit] > units[run.table.cursor.unit]:
        remedy = _remedy(run, unit)
        raise ActionRequired(f"{run.name}: {_unit_text(run, plan, unit)}; {remedy}")
    if _is_moment_of_reading(run, plan):
        raise ActionRequired(
            f"{run.name}: all {plan.clock.ahead:,} rows are dated at the moment of reading them. A"
            " cursor such as CURRENT_TIMESTAMP() cannot tell new rows from old ones: take a column"
            " that says when a row was written, or mode replace"
        )


def warn_of_clock(run: TableRun, plan: Plan) -> None:
    """Warn of rows that the cursor keeps out."""
    unit = _other_unit(run, plan)
    if unit:
        text = f"{_unit_text(run, plan, unit)}; they are not loaded until the source is corrected"
        run.warn("cursor_unit", text)
    ahead = rows_ahead(run, plan)
    share = ahead / (plan.rows + ahead) if ahead else 0
    if ahead >= AHEAD_ROWS and share > AHEAD_SHARE:
        run.warn(
            "rows_ahead",
            f"{ahead:,} rows ({share:.0%}) are dated in the future; each is loaded when its time"
            " has come",
        )


def rows_ahead(run: TableRun, plan: Plan) -> int:
    """Rows dated in the future, without those whose number is of another unit.

    Of a range that ends in the past nothing is known: later rows are not in the future then.
    """
    if plan.window.end != run.now or run.table.cursor is None:
        return 0
    own = run.table.cursor.unit
    others = sum(rows for unit, rows in plan.clock.units.items() if unit != own)
    return max(0, plan.clock.ahead - others)


def _other_unit(run: TableRun, plan: Plan) -> str | None:
    """The unit that most numbers have which are not of the configured one."""
    own = run.table.cursor.unit if run.table.cursor else None
    others = {unit: rows for unit, rows in plan.clock.units.items() if unit != own and rows}
    return max(others, key=lambda unit: others[unit]) if others else None


def _unit_text(run: TableRun, plan: Plan, unit: str) -> str:
    assert run.table.cursor
    cursor = run.table.cursor
    rows = plan.clock.units[unit]
    return (
        f"{counted(rows, 'row holds', 'rows hold')} {UNIT_NAMES[unit]} in {cursor.source}, and"
        f" cursor.unit says {UNIT_NAMES[cursor.unit]}"
    )


def _remedy(run: TableRun, unit: str) -> str:
    """What to do about numbers that count another unit."""
    assert run.table.cursor
    made = MADE_BY.get(unit)
    if made is None:
        return f"set `unit: {unit}` in `cursor`"
    expression = made.format(run.table.cursor.source)
    and_unit = "" if unit == "days" else ", with `unit: us`"
    return f"write a `query` that makes a time of them by {expression}{and_unit}"


def _is_moment_of_reading(run: TableRun, plan: Plan) -> bool:
    """Whether all rows have one time, which is that of the query: it began after the run."""
    first = plan.clock.ahead_first
    if plan.rows or plan.window.end != run.now or first is None or plan.clock.ahead < 2:
        return False
    return first == plan.clock.ahead_last and first < run.now + HOUR
