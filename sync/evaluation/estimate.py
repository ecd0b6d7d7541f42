"""How many rows the evaluations of a table will predict, for a plan that writes nothing."""

from __future__ import annotations

from typing import Any

from sync.config import EvaluationSettings, TableSettings
from sync.evaluation import question
from sync.model.ports import Target


def planned_cases(
    target: Target, table: TableSettings, newest: int | None, rows: int
) -> list[dict[str, Any]]:
    """Name and about how many cases of each evaluation. None: its own query decides.

    newest: the newest cursor in the target, epoch seconds; None: it has no rows of the table, or
    all of them are replaced. rows: keys that the next sync reads.
    at_most: the rows to choose from are not in the target yet, so it is not known how many are.
    Costs one request for each evaluation, where the target has rows.
    """
    return [
        {
            "name": each.name,
            "cases": _cases(target, table, each, newest, rows),
            "at_most": newest is None and _depends_on_rows(table, each),
        }
        for each in table.evaluate
    ]


def _depends_on_rows(table: TableSettings, evaluation: EvaluationSettings) -> bool:
    """Whether a condition chooses the rows to predict, not a share of all rows."""
    if evaluation.query is not None:
        return False
    if evaluation.newest_seconds is not None:
        return True
    return question.sample(table, evaluation, None).counted is not None


def _cases(
    target: Target,
    table: TableSettings,
    evaluation: EvaluationSettings,
    newest: int | None,
    rows: int,
) -> int | None:
    if evaluation.query is not None:
        return None
    if newest is None and _depends_on_rows(table, evaluation):
        return min(rows, evaluation.cases)
    sample = question.sample(table, evaluation, newest)
    if newest is None:
        return sample.predicted(rows, evaluation.cases)
    return sample.predicted(target.count(table.name, sample.counted), evaluation.cases)
