"""The body of an evaluate request, and what its answer says. Pure.

`test: newest 7d` measures tomorrow's accuracy: the newest rows are predicted from older ones. With
a share of all rows, the model also learns from rows that are newer than those it predicts.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sync.base.errors import ActionRequired
from sync.config import EvaluationSettings, TableSettings
from sync.config.problems import quote, suggest
from sync.model.columns import TargetSchema
from sync.model.conditions import Between, Condition, Native

# Without `select` Aito also answers with every tested row, which can be megabytes.
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
# Column of the ledger -> field of the answer.
FIGURES = {
    "test_samples": "testSamples",
    "train_samples": "trainSamples",
    "accuracy": "accuracy",
    "base_accuracy": "baseAccuracy",
    "error_rate": "error",
    "mean_rank": "meanRank",
    "geom_mean_p": "geomMeanP",
}
MAX_RESULT_LENGTH = 100_000  # characters of an answer that the ledger keeps
NOT_A_NUMBER = ("NaN", "Infinity", "-Infinity")  # how Aito writes a figure that does not exist


# -- the request


@dataclass(frozen=True)
class Sample:
    """Which rows are predicted, and which rows the model learns from.

    condition: the rows to choose from, in Aito's query language; None: all rows of the table.
    counted: the same condition, for counting.
    train: the rows to learn from, in Aito's query language; None: all rows that are not predicted.
    step, remainder: of the rows to choose from, those whose index in the table, divided by `step`,
        leaves `remainder` are predicted.
    """

    condition: Mapping[str, Any] | None
    counted: Condition | None
    train: Mapping[str, Any] | None = None
    step: int = 1
    remainder: int = 0

    def limited(self, rows: int, cases: int) -> Sample:
        """The sample with about `cases` rows at most. rows: how many rows there are to choose."""
        step = math.ceil(rows / cases)
        return dataclasses.replace(self, step=max(self.step, step))

    def predicted(self, rows: int, cases: int) -> int:
        """About how many rows are predicted. rows: how many rows there are to choose."""
        return math.ceil(rows / max(1, self.limited(rows, cases).step))

    def to_json(self) -> dict[str, Any]:
        """The parts `test` and `train` of an evaluate body."""
        test, train = self._test(), self._train()
        return {"test": test} if train is None else {"test": test, "train": train}

    def _test(self) -> dict[str, Any]:
        spread = {"$index": {"$mod": [self.step, self.remainder]}}
        if self.condition is None:
            return spread
        if self.step == 1:
            return dict(self.condition)
        return {"$and": [dict(self.condition), spread]}

    def _train(self) -> dict[str, Any] | None:
        if self.train is not None:
            return dict(self.train)
        if self.condition is None or self.step == 1:
            return None
        # Rows of the condition that are not predicted must not be learned from either.
        return {"$not": dict(self.condition)}


def sample(table: TableSettings, evaluation: EvaluationSettings, newest: int | None) -> Sample:
    """The rows to predict, before `cases` limits them.

    newest: the newest cursor in Aito, epoch seconds. Raises ActionRequired when there is none and
    the newest rows are to be predicted.
    """
    seconds = evaluation.newest_seconds
    if seconds is not None:
        return _newest_rows(table, newest, seconds)
    match evaluation.test:
        case {"$index": {"$mod": [int(step), int(remainder)]}, **rest} if step > 0 and not rest:
            return Sample(None, None, step=step, remainder=remainder)
        case dict(condition):
            return Sample(condition, Native(condition))
    raise AssertionError("settings allow a condition or `newest`")


def _newest_rows(table: TableSettings, newest: int | None, seconds: int) -> Sample:
    if newest is None or table.cursor is None:
        raise ActionRequired("Aito's table has no rows yet")
    column, start = table.cursor.column, newest - seconds
    counted = Between(column, start, newest + 1)
    return Sample({column: {"$gte": start}}, counted, train={column: {"$lt": start}})


def body(table: TableSettings, evaluation: EvaluationSettings, rows: Sample) -> dict[str, Any]:
    """The evaluate body of an entry with `predict`."""
    return {**rows.to_json(), "evaluate": task(table, evaluation), "select": list(SELECT)}


def task(table: TableSettings, evaluation: EvaluationSettings) -> dict[str, Any]:
    """The part `evaluate` of the body: what is predicted from what."""
    found: dict[str, Any] = {"from": table.name, "predict": evaluation.predict}
    if evaluation.given:
        found["where"] = {field: {"$get": field} for field in evaluation.given}
    return found


def check_columns(
    table: TableSettings, evaluation: EvaluationSettings, schema: TargetSchema
) -> None:
    """Raises ActionRequired when the target lacks a column of `predict` or `given`."""
    problems = [
        f"{_place(table, evaluation, path)}: {problem}"
        for path, field in named_columns(evaluation)
        if (problem := _missing_column(table.name, field, schema))
    ]
    if problems:
        raise ActionRequired("; ".join(problems))


def named_columns(
    evaluation: EvaluationSettings,
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where an evaluation names a column, and the column."""
    if evaluation.predict:
        yield ("predict",), evaluation.predict
    for number, name in enumerate(evaluation.given):
        yield ("given", number), name


def _place(
    table: TableSettings, evaluation: EvaluationSettings, path: tuple[str | int, ...]
) -> str:
    known = evaluation in table.evaluate
    return table.at("evaluate", table.evaluate.index(evaluation), *path) if known else str(path[0])


def _missing_column(table: str, field: str, schema: TargetSchema) -> str | None:
    """The column that a field needs and the target lacks, with the nearest one; None: none.

    field: a column, or a link and a column of the table that it points to.
    """
    own, _, behind = field.partition(".")
    columns = schema[table].columns if table in schema else {}
    if own not in columns:
        return _no_column(table, own, columns)
    if not behind:
        return None
    link = columns[own].link
    if link is None:
        return f"{table}.{own} is no link, so {quote(field)} leads nowhere"
    linked = link.partition(".")[0]
    linked_columns = schema[linked].columns if linked in schema else {}
    return None if behind in linked_columns else _no_column(linked, behind, linked_columns)


def _no_column(table: str, name: str, columns: Collection[str]) -> str:
    hint = f"; {suggest(name, columns, 'it has')}" if columns else ""
    return f"Aito's table {table} has no column {quote(name)}{hint}"


# -- the answer


@dataclass(frozen=True)
class Answer:
    """What an evaluation found. figures: columns of the ledger. result: JSON text, without rows."""

    figures: Mapping[str, float | int | None]
    result: str


def read_answer(answer: Any) -> Answer | None:
    """The figures of an evaluate answer; None when it is no such answer."""
    if not isinstance(answer, dict) or not ({"accuracy", "testSamples"} & answer.keys()):
        return None
    figures: dict[str, float | int | None] = {
        column: number(answer.get(field)) for column, field in FIGURES.items()
    }
    tested = number(answer.get("testSamples", answer.get("n")))
    figures["test_samples"] = None if tested is None else round(tested)
    return Answer(figures, _plain_figures(answer))


def _plain_figures(answer: Mapping[str, Any]) -> str:
    """The answer as JSON text, without lists and objects, which hold rows."""
    kept = {
        name: _json_value(value)
        for name, value in answer.items()
        if not isinstance(value, dict | list)
    }
    text = json.dumps(kept, ensure_ascii=False)
    if len(text) > MAX_RESULT_LENGTH:
        return json.dumps({"reason": "the answer is too long to keep"})
    return text


def _json_value(value: Any) -> Any:
    """The value; null for a number that does not exist, which JSON cannot write."""
    if value in NOT_A_NUMBER:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def number(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None
