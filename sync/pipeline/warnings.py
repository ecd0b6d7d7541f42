"""What a plan warns of. Each message has its numbers, and says what to do. None holds a value."""

from __future__ import annotations

from sync.base.words import counted
from sync.config.problems import quote, suggest
from sync.evaluation import named_columns
from sync.model.columns import TargetSchema
from sync.model.plan import Plan
from sync.model.ports import SourceTable
from sync.model.price import usd
from sync.model.window import Totals, Window
from sync.pipeline.clock import rows_ahead, warn_of_clock
from sync.pipeline.table_run import TableRun

NOTICEABLE_BYTES = 2**30  # a run that reads less costs under a cent, whatever it reads
COLLAPSED_SHARE = 0.1  # of the rows may share their keys with others, and is not worth a warning
COLLAPSED_ROWS = 10  # neither are fewer rows, unless they are half of all
FEW_COLLAPSED_ROWS = 2  # a row that was written twice within a night is nothing to tell


def warn_of_plan(run: TableRun, plan: Plan) -> None:
    """Warn of rows that are not loaded, and of rows that replace each other."""
    if plan.cursorless:
        run.warn(
            "rows_without_cursor",
            f"{counted(plan.cursorless, 'row has', 'rows have')} no cursor: "
            "such rows are not loaded; correct them at the source, or leave them out with `where`",
        )
    if not plan.rows and not plan.target_rows:
        ahead = rows_ahead(run, plan)
        warn_of_no_rows(run, ahead)
    warn_of_clock(run, plan)
    latest = sum(part.latest_per_key for part in plan.slices)
    totals = Totals(plan.rows, latest, plan.keyless)
    warn_of_keys(run, plan.source, plan.window, totals)


def warn_of_no_rows(run: TableRun, ahead: int = 0) -> None:
    """Warn that the table never had a row. ahead: rows that are dated in the future."""
    found = "the source shows no row"
    if run.table.keep is not None:
        found = f"{found} of the `keep` range"
    if ahead:
        rows = counted(ahead, "row is", "rows are")
        found = f"{rows} dated in the future; is it the right cursor?"
    run.warn("no_rows", f"nothing has ever been loaded: {found}")


def warn_of_keys(run: TableRun, source: SourceTable, window: Window | None, totals: Totals) -> None:
    """Warn of rows without a key, and of many rows that share their keys.

    Rows that are equal in every column are no loss: they are counted once, and only where there is
    something to warn of, since that reads every column. window None: the whole source.
    """
    if totals.keyless:
        run.warn("rows_without_key", _without_key(run, totals.keyless))
    if run.table.deletes:
        return  # a log of changes has many rows of a key
    folded = totals.rows - totals.keyless - totals.keys
    if _is_noticeable(folded, totals):
        folded = run.source.distinct_rows(source, window) - totals.keys
    if _is_noticeable(folded, totals):
        run.warn(
            "keys_collapsed",
            f"{totals.rows:,} rows of the source have only {counted(totals.keys, 'key')}; "
            f"{folded:,} rows "
            f"({folded / totals.rows:.0%}) are folded into others of the same "
            f"{' and '.join(run.table.key_parts)}. "
            "Is it the right `key`?",
        )


def _is_noticeable(folded: int, totals: Totals) -> bool:
    if folded >= COLLAPSED_ROWS:
        return folded > COLLAPSED_SHARE * totals.rows
    return folded >= FEW_COLLAPSED_ROWS and 2 * folded >= totals.rows


def _without_key(run: TableRun, rows: int) -> str:
    remedy = "such rows are rejected; correct them at the source, or leave them out with `where`"
    found = counted(rows, "row has", "rows have")
    *first, last = run.table.key_parts
    if not first:
        return f"{found} no {last}, the key; {remedy}"
    parts = f"{', '.join(first)} or {last}, which make the key"
    value = f"give a part a value by `sql`, such as IFNULL({last}, '')"
    return f"{found} no value in {parts}; {remedy}, or {value}"


def warn_if_not_incremental(run: TableRun, plan: Plan) -> None:
    """Warn when a run of a part of the rows has read the whole source, and that is worth a word."""
    size = run.source.bytes_processed
    if plan.refresh or plan.watermark is None or size < NOTICEABLE_BYTES:
        return
    if run.source.prunes(plan.source, plan.window):
        return
    run.warn(
        "not_incremental",
        f"each run reads the whole source: {size / 1e9:,.1f} GB and {usd(size):.2f} USD this "
        f"time, for {counted(plan.rows, 'row')} of the window; partition the source by the cursor, "
        "read a "
        "table that is, or let the view keep the cursor's column as it is",
    )


def warn_of_unknown_columns(run: TableRun, source: SourceTable, schema: TargetSchema) -> None:
    """Warn of evaluations that name a column which neither the source nor Aito's table has.

    Only in a dry run: a run tells when it starts the evaluation. No evaluation stops a load, so it
    is a warning. `check` ends with an error because of it.
    """
    if not run.request.dry_run:
        return
    held = schema.get(run.name)
    made = [column.name for column in source.columns]
    known = dict.fromkeys([*made, *(held.columns if held else ())])
    for number, evaluation in enumerate(run.table.evaluate):
        for path, name in named_columns(evaluation):
            own, _, _ = name.partition(".")
            if own not in known:
                place = run.table.at("evaluate", number, *path)
                hint = suggest(own, known, "the table has")
                run.warn("evaluation", f"{place}: no column {quote(own)}; {hint}")
