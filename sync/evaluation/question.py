"""What an evaluation asks Aito, and what its answer says. Pure.

`test: newest 7d` is honest about time: rows of the newest seven days are predicted by what older
rows teach, so that the accuracy is that of tomorrow's data. The usual tenth lets the model learn
from rows newer than those it predicts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from sync.base.errors import ActionRequired
from sync.config import EvaluationSettings, TableSettings

# Left to itself Aito answers with every case as well, which is every tested row: megabytes that
# nobody keeps.
SELECT = (
    "n",
    "testSamples",
    "trainSamples",
    "features",
    "accuracy",
    "error",
    "baseAccuracy",
    "baseError",
    "accuracyGain",
    "meanRank",
    "baseMeanRank",
    "rankGain",
    "informationGain",
    "mxe",
    "h",
    "geomMeanP",
    "baseGmp",
    "geomMeanLift",
    "meanMs",
    "medianMs",
    "warmingMs",
)
FIGURES = {
    "test_samples": "testSamples",
    "train_samples": "trainSamples",
    "accuracy": "accuracy",
    "base_accuracy": "baseAccuracy",
    "error_rate": "error",
    "mean_rank": "meanRank",
    "geom_mean_p": "geomMeanP",
}
RESULT_LENGTH = 100_000  # a figure nobody knows yet may be long; the ledger keeps facts, not rows

Schema = Mapping[str, Mapping[str, Mapping[str, Any]]]


def body(
    table: TableSettings, asked: EvaluationSettings, schema: Schema, newest: int | None
) -> dict[str, Any]:
    """The evaluate body of one entry. schema: Aito's; newest: the newest cursor in Aito.

    Raises ActionRequired when Aito's table lacks a column that is asked for, or has no rows.
    """
    if asked.query is not None:
        return dict(asked.query)
    if missing := _missing(table.name, asked, schema):
        raise ActionRequired(
            f"Aito has no column {', '.join(missing)}: mend predict or given in the configuration"
        )
    where = {"where": {field: {"$get": field} for field in asked.given}} if asked.given else {}
    task = {"from": table.name, **where, "predict": asked.predict}
    return {**_parts(table, asked, newest), "evaluate": task, "select": list(SELECT)}


def _parts(table: TableSettings, asked: EvaluationSettings, newest: int | None) -> dict[str, Any]:
    """Which rows are predicted, and which are learnt from."""
    if asked.newest_seconds is None:
        return {"test": asked.test}
    if newest is None or table.cursor is None:
        raise ActionRequired("Aito's table has no rows yet")
    edge = newest - asked.newest_seconds
    return {
        "test": {table.cursor.column: {"$gte": edge}},
        "train": {table.cursor.column: {"$lt": edge}},
    }


def _missing(table: str, asked: EvaluationSettings, schema: Schema) -> list[str]:
    """Fields that Aito does not have, as table.column."""
    found = [_field(table, field, schema) for field in (asked.predict or "", *asked.given)]
    return [name for name in found if name]


def _field(table: str, field: str, schema: Schema) -> str | None:
    """The column, or the one behind its link, that is not there."""
    own, _, behind = field.partition(".")
    column = schema.get(table, {}).get(own)
    if column is None:
        return f"{table}.{own}"
    if not behind:
        return None
    target = str(column.get("link", "")).partition(".")[0]
    if not target:
        return f"{table}.{field} ({own} is no link)"
    return None if behind in schema.get(target, {}) else f"{target}.{behind}"


def figures(answer: Any) -> dict[str, Any] | None:
    """The columns of the ledger that an answer fills; None when it is no evaluation's answer.

    Aito writes a figure that does not exist as the text "NaN"; it becomes null. Cases, which are
    rows, are left out.
    """
    if not isinstance(answer, dict) or not ({"accuracy", "testSamples"} & answer.keys()):
        return None
    found: dict[str, Any] = {name: number(answer.get(theirs)) for name, theirs in FIGURES.items()}
    tested = found["test_samples"] if "testSamples" in answer else number(answer.get("n"))
    found["test_samples"] = None if tested is None else round(tested)
    return {**found, "result": _kept(answer)}


def _kept(answer: Mapping[str, Any]) -> str:
    """The answer's plain figures as JSON: lists and objects are where the rows are."""
    plain = {name: value for name, value in answer.items() if not isinstance(value, dict | list)}
    real = {
        name: None if number(value) is None and _is_number(value) else value
        for name, value in plain.items()
    }
    text = json.dumps(real, ensure_ascii=False)
    return text if len(text) <= RESULT_LENGTH else json.dumps({"reason": "too long to keep"})


def _is_number(value: Any) -> bool:
    return (isinstance(value, float | int) and not isinstance(value, bool)) or value in (
        "NaN",
        "Infinity",
        "-Infinity",
    )


def number(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None
