"""How many rows the evaluations of a table will predict, for a plan that writes nothing."""

from __future__ import annotations

from typing import Any

from sync.config import EvaluationSettings, TableSettings
from sync.evaluation import question
from sync.model.ports import Target


def planned_cases(
    target: Target, table: TableSettings, newest: int | None, rows: int | None
) -> list[dict[str, Any]]:
    """Name and about how many cases of each evaluation. None: its own query decides.

    newest: the newest cursor in the target, epoch seconds; None: it has no rows of the table.
    rows: rows that the next sync reads; None: not known, and the most is assumed.
    Costs one request for each evaluation.
    """
    return [
        {"name": each.name, "cases": _cases(target, table, each, newest, rows)}
        for each in table.evaluate
    ]


def _cases(
    target: Target,
    table: TableSettings,
    evaluation: EvaluationSettings,
    newest: int | None,
    rows: int | None,
) -> int | None:
    if evaluation.query is not None:
        return None
    if newest is None:
        return evaluation.cases if rows is None else min(rows, evaluation.cases)
    sample = question.sample(table, evaluation, newest)
    return sample.predicted(target.count(table.name, sample.counted), evaluation.cases)
