"""The body of an evaluate request, and what is read from its answer."""

from __future__ import annotations

import json
import math
from typing import Any, cast

import pytest

from sync.base.errors import ActionRequired
from sync.config import CursorSettings, EvaluationSettings, TableSettings
from sync.evaluation import planned_cases
from sync.evaluation.question import body, check_columns, read_answer, sample
from sync.model.columns import Column, TargetTable
from sync.model.conditions import Between, Native
from sync.model.ports import Target

CURSOR = CursorSettings(source="ts", column="at")
WEB = TableSettings(name="web", source="d.t", key="id", cursor=CURSOR)


def target_table(**links: str | None) -> TargetTable:
    """A table whose columns are String. links: column -> where it points, or None."""
    return TargetTable({name: Column(name, "String", link=link) for name, link in links.items()})


SCHEMA = {
    "web": target_table(id=None, at=None, user="user.id", path=None),
    "user": target_table(id=None, device=None),
}


def settings(**more: Any) -> EvaluationSettings:
    return EvaluationSettings(name="e", predict="path", **more)


def made(newest: int | None = None, rows: int = 100, **more: Any) -> dict[str, Any]:
    """The body of an evaluation with these settings, for so many rows to choose from."""
    evaluation = settings(**more)
    return body(WEB, evaluation, sample(WEB, evaluation, newest).limited(rows, evaluation.cases))


def test_body() -> None:
    """By default every tenth row is predicted. `given` becomes a proposition with `$get`."""
    found = made(given=("user.device", "user"))
    assert found["test"] == {"$index": {"$mod": [10, 0]}}
    assert "train" not in found
    where = {"user.device": {"$get": "user.device"}, "user": {"$get": "user"}}
    assert found["evaluate"] == {"from": "web", "where": where, "predict": "path"}
    assert "cases" not in found["select"]
    assert made()["evaluate"] == {"from": "web", "predict": "path"}


def test_newest_rows() -> None:
    """The newest rows are predicted, and only older rows are learned from."""
    found = made(1_000_000, test="newest 7d")
    assert found["test"] == {"at": {"$gte": 395_200}}
    assert found["train"] == {"at": {"$lt": 395_200}}
    assert sample(WEB, settings(test="newest 7d"), 1_000_000).counted == Between(
        "at", 395_200, 1_000_001
    )


def test_newest_rows_of_an_empty_table() -> None:
    """Without a row there is nothing to predict."""
    with pytest.raises(ActionRequired, match="no rows yet"):
        sample(WEB, settings(test="newest 7d"), None)


@pytest.mark.parametrize(
    ("rows", "cases"), [(3_000, 50), (1_000_000, 500), (10_000_000, 500), (7_777, 1), (501, 500)]
)
@pytest.mark.parametrize("step", [1, 2, 10])
def test_cases_limit_a_share_of_all_rows(rows: int, cases: int, step: int) -> None:
    """Never more rows than `cases`, and not much fewer where there are many times as many."""
    found = made(rows=rows, cases=cases, test={"$index": {"$mod": [step, 0]}})
    divisor, remainder = found["test"]["$index"]["$mod"]
    predicted = math.ceil((rows - remainder) / divisor)
    assert predicted <= cases
    if rows > 10 * step * cases:
        assert predicted >= 0.9 * cases


def test_few_rows_are_not_limited() -> None:
    """A test that predicts fewer rows than `cases` is sent as it is."""
    condition = {"path": "/a"}
    assert made(rows=500, test=condition)["test"] == condition
    assert made(rows=5_000, test={"$index": {"$mod": [10, 3]}})["test"] == {
        "$index": {"$mod": [10, 3]}
    }


def test_cases_limit_the_newest_rows() -> None:
    """Of the newest rows every n-th is predicted. What is learned from stays the same."""
    found = made(1_000_000, rows=3_000, cases=50, test="newest 7d")
    assert found["test"] == {"$and": [{"at": {"$gte": 395_200}}, {"$index": {"$mod": [60, 0]}}]}
    assert found["train"] == {"at": {"$lt": 395_200}}


def test_cases_limit_a_condition() -> None:
    """Rows of the condition that are not predicted are not learned from either."""
    condition = {"path": "/a"}
    found = made(rows=1_000, test=condition)
    assert found["test"] == {"$and": [condition, {"$index": {"$mod": [2, 0]}}]}
    assert found["train"] == {"$not": condition}
    assert sample(WEB, settings(test=condition), None).counted == Native(condition)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ("device", "given: Aito's table web has no column 'device'; it has id, at, user, path"),
        ("user.age", "table user has no column 'age'"),
        ("path.x", "web.path is no link, so 'path.x' leads nowhere"),
    ],
)
def test_missing_columns(given: str, missing: str) -> None:
    """A column that Aito lacks is named with its table."""
    with pytest.raises(ActionRequired, match=missing):
        check_columns(WEB, settings(given=(given,)), SCHEMA)


def test_columns_that_are_there() -> None:
    """A column, and a column behind a link."""
    check_columns(WEB, settings(given=("id", "user.device")), SCHEMA)


def test_odd_figures() -> None:
    """Whole numbers are rounded. Words and infinities are null. Rows are left out."""
    read = read_answer(
        {
            "testSamples": 12.0,
            "trainSamples": 7,
            "accuracy": "0.5",
            "error": "NaN",
            "meanRank": float("inf"),
            "baseAccuracy": True,
            "cases": [{"a": "secret"}],
            "h": "NaN",
            "note": "NaN!",
        }
    )
    assert read is not None
    figures = read.figures
    assert figures["test_samples"] == 12
    assert isinstance(figures["test_samples"], int)
    assert (figures["train_samples"], figures["accuracy"]) == (7.0, 0.5)
    for name in ("error_rate", "mean_rank", "base_accuracy", "geom_mean_p"):
        assert figures[name] is None
    assert "secret" not in read.result
    assert json.loads(read.result)["h"] is None


@pytest.mark.parametrize("answer", [None, [], "text", 7, {}, {"message": "no", "status": 500}])
def test_no_answer_of_an_evaluation(answer: Any) -> None:
    """Anything without figures is no answer of an evaluation."""
    assert read_answer(answer) is None


@pytest.mark.parametrize(
    ("test", "cases", "at_most"),
    [
        ({"$index": {"$mod": [10, 0]}}, 30, False),
        ({"path": "/a"}, 300, True),
        ("newest 7d", 300, True),
    ],
)
def test_the_plan_of_a_first_load(test: Any, cases: int, at_most: bool) -> None:
    """A share of the rows to come is known. How many a condition chooses is not."""
    table = WEB.model_copy(update={"evaluate": (settings(test=test, cases=500),)})
    (planned,) = planned_cases(cast(Target, None), table, None, 300)
    assert (planned["cases"], planned["at_most"]) == (cases, at_most)
