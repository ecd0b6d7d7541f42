"""Prediction and evaluation in the Aito stand-in: naive Bayes with Laplace smoothing, and figures
that are true of it.

THESE ARE NOT AITO'S PREDICTIONS. Aito's inference is its own and better; the shape of the answers
is Aito's, and the numbers are what this small model really achieves on held-out rows, so that a
relation that is there shows and one that is not does not. Choices of our own: a missing value of
the predicted field is a value like any other, a missing given one is no evidence, Text counts by
its words.
"""

import math
import re
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from local.aito.schema import Column, Json, Refusal
from local.aito.store import Store, number

NOTE = "local stand-in: naive Bayes, not Aito's predictions"
_NOBODY = "NaN"  # how Aito writes a figure that does not exist
_BINS = 10

Feature = tuple[int, Hashable]
Class = Hashable


@dataclass(frozen=True)
class Case:
    """One test row: its position, what was given and what came out."""

    offset: int
    given: list[Feature]
    truth: Class
    row: dict[str, Json]


class NaiveBayes:
    """P(class | features) from counts:
    each feature's share among a class's rows, smoothed by one.
    """

    def __init__(self, samples: Sequence[tuple[list[Feature], Class]]) -> None:
        self.classes: Counter[Class] = Counter(truth for _, truth in samples)
        self.seen: dict[Feature, Counter[Class]] = defaultdict(Counter)
        for features, truth in samples:
            for feature in features:
                self.seen[feature][truth] += 1
        values = Counter(place for place, _ in self.seen)
        self._sizes = {
            place: size + 1 for place, size in values.items()
        }  # one more for a value never seen
        self.total = len(samples)

    def prior(self, truth: Class) -> float:
        """Share of the class among the training rows; 0 for one never seen."""
        return self.classes[truth] / self.total if self.total else 0.0

    @property
    def unseen(self) -> float:
        """What is left for a class that no training row had:
        as if it came with the very next row.
        """
        return 1 / (self.total + 2)

    def ranked(self, given: Sequence[Feature]) -> list[tuple[Class, float]]:
        """Classes with their probabilities, most probable first; equals in a fixed order."""
        scores = {each: math.log(n) - self._missing(n, given) for each, n in self.classes.items()}
        for feature in given:
            for each, n in self.seen.get(feature, {}).items():
                scores[each] += math.log(n + 1)
        return _normalised(scores)

    def _missing(self, n: int, given: Sequence[Feature]) -> float:
        return math.fsum(math.log(n + self._sizes.get(place, 1)) for place, _ in given)


def evaluate(store: Store, body: Json) -> dict[str, Json]:
    """`_evaluate`: train on one part of the rows, predict the other, and say how well that went."""
    started = time.perf_counter()
    task = _task(body)
    fields = [*(name for name, _ in task.given), task.predict]
    tested = store.head(_test_query(body, task), fields)
    held_out = {position for position, _ in tested} if _same_table(body, task) else set()
    training = store.head({"from": task.table, "where": body.get("train", {})}, fields)
    read = _Reader(store, task)
    model = NaiveBayes(
        [read.sample(values) for position, values in training if position not in held_out]
    )
    cases = [read.case(position, values) for position, values in tested]
    warm = _milliseconds(started)
    return _chosen(_figures(model, cases, warm, task.predict), body.get("select"))


def predict(store: Store, body: Json) -> dict[str, Json]:
    """`_predict`: the values of a field, most probable first, for a `where` of plain values."""
    task = _task(
        {"evaluate": {key: body.get(key) for key in ("from", "where", "predict")}} if body else body
    )
    read = _Reader(store, task)
    rows = store.head({"from": task.table}, [*(name for name, _ in task.given), task.predict])
    model = NaiveBayes([read.sample(values) for _, values in rows])
    given = read.features([constant for _, constant in task.given])
    hits = [{"$p": p, "field": task.predict, "feature": each} for each, p in model.ranked(given)]
    offset, limit = number(body, "offset", 0), number(body, "limit", 10)
    return {"offset": offset, "total": len(hits), "hits": hits[offset : offset + limit]}


@dataclass(frozen=True)
class _Task:
    """`given`: field names with the constant they are compared with, or None where each row gives
    its own value.
    """

    table: str
    predict: str
    given: list[tuple[str, Json]]


def _task(body: Json) -> _Task:
    match body:
        case {"evaluate": {"from": str(table), "predict": str(predicted), "where": dict(where)}}:
            return _Task(table, predicted, [_given(name, value) for name, value in where.items()])
        case {"evaluate": {"from": str(table), "predict": str(predicted)}}:
            return _Task(table, predicted, [])
    raise Refusal(
        400,
        "an evaluation takes test or testSource, and evaluate with from, where and predict",
        at="evaluate",
    )


def _given(name: str, value: Json) -> tuple[str, Json]:
    """`{"f": {"$get": "f"}}`, or a constant."""
    match value:
        case {"$get": str(source), **rest} if not rest:
            return source, None
        case dict() | list():
            raise Refusal(
                400,
                f"field '{name[:80]}': this stand-in evaluates $get and plain values only",
                at=name,
            )
    return name, value


def _test_query(body: Json, task: _Task) -> dict[str, Json]:
    source, test = body.get("testSource"), body.get("test")
    if isinstance(source, dict) and isinstance(source.get("from"), str):
        return source
    if isinstance(test, dict):
        return {"from": task.table, "where": test}
    raise Refusal(400, "an evaluation needs test or testSource", at="test")


def _same_table(body: Json, task: _Task) -> bool:
    return "test" in body or body["testSource"]["from"] == task.table


class _Reader:
    """Turns the values of a row into features and a class."""

    def __init__(self, store: Store, task: _Task) -> None:
        self._columns = [store.field_column(task.table, name) for name, _ in task.given]
        self._names = [name for name, _ in task.given]
        self._constants = [constant for _, constant in task.given]

    def features(self, values: Sequence[Json]) -> list[Feature]:
        """Evidence: (which field, which value), several for a text or an array."""
        pairs = zip(self._columns, values, strict=True)
        return [
            (place, token)
            for place, (column, value) in enumerate(pairs)
            for token in _tokens(column, value)
        ]

    def sample(self, values: Sequence[Json]) -> tuple[list[Feature], Class]:
        """A training row."""
        return self.features(values[:-1]), _hashable(values[-1])

    def case(self, position: int, values: Sequence[Json]) -> Case:
        """A test row; a constant in `where` takes the place of the row's own value."""
        own = [
            value if fixed is None else fixed
            for fixed, value in zip(self._constants, values[:-1], strict=True)
        ]
        row = {
            name: value for name, value in zip(self._names, own, strict=True) if value is not None
        }
        return Case(position, self.features(own), _hashable(values[-1]), row)


def _tokens(column: Column, value: Json) -> list[Hashable]:
    if value is None:
        return []
    if column.type == "Text":
        return list(dict.fromkeys(re.findall(r"\w+", str(value).lower())))
    return [
        _hashable(each)
        for each in (value if isinstance(value, list) and column.type.endswith("[]") else [value])
    ]


def _hashable(value: Json) -> Hashable:
    return repr(value) if isinstance(value, dict | list) else value


def _normalised(scores: dict[Class, float]) -> list[tuple[Class, float]]:
    if not scores:
        return []
    top = max(scores.values())
    weights = {each: math.exp(score - top) for each, score in scores.items()}
    total = math.fsum(weights.values())
    ordered = sorted(weights.items(), key=lambda pair: (-pair[1], repr(pair[0])))
    return [(each, weight / total) for each, weight in ordered]


@dataclass(frozen=True)
class _Outcome:
    case: Case
    ranked: list[tuple[Class, float]]
    rank: int
    p: float
    milliseconds: float

    @property
    def right(self) -> bool:
        return self.rank == 0 and bool(self.ranked)


def _outcome(model: NaiveBayes, case: Case) -> _Outcome:
    started = time.perf_counter()
    ranked = model.ranked(case.given)
    rank = next((n for n, (each, _) in enumerate(ranked) if each == case.truth), len(ranked))
    p = ranked[rank][1] if rank < len(ranked) else model.unseen
    return _Outcome(case, ranked, rank, p, _milliseconds(started))


def _figures(model: NaiveBayes, cases: list[Case], warm: float, predicted: str) -> dict[str, Json]:
    """Every field of Aito's answer. Ranks count from 0; mxe, h and informationGain are in bits."""
    outcomes = [_outcome(model, case) for case in cases]
    base_order = [each for each, _ in model.ranked([])]
    base_ranks = [
        base_order.index(c.truth) if c.truth in model.classes else len(base_order) for c in cases
    ]
    accuracy, base = (
        _mean([o.right for o in outcomes]),
        _mean([bool(base_order) and rank == 0 for rank in base_ranks]),
    )
    mean_rank, base_mean_rank = _mean([o.rank for o in outcomes]), _mean(base_ranks)
    mxe, h = (
        _entropy([o.p for o in outcomes]),
        _entropy([model.prior(case.truth) for case in cases]),
    )
    times = [o.milliseconds for o in outcomes]
    figures: dict[str, float] = {
        "trainSamples": float(model.total),
        "features": float(len(model.seen)),
        "accuracy": accuracy,
        "error": 1 - accuracy,
        "baseAccuracy": base,
        "baseError": 1 - base,
        "accuracyGain": accuracy - base,
        "meanRank": mean_rank,
        "baseMeanRank": base_mean_rank,
        "rankGain": base_mean_rank - mean_rank,
        "mxe": mxe,
        "h": h,
        "informationGain": h - mxe,
        "geomMeanP": 2**-mxe,
        "baseGmp": 2**-h,
        "geomMeanLift": 2 ** (h - mxe),
        "meanMs": _mean(times),
        "medianMs": statistics.median(times) if times else math.nan,
        "warmingMs": warm,
    }
    shown = {name: value if math.isfinite(value) else _NOBODY for name, value in figures.items()}
    return {
        "n": len(cases),
        "testSamples": len(cases),
        **shown,
        **_details(outcomes, predicted),
        "note": NOTE,
    }


def _details(outcomes: list[_Outcome], predicted: str) -> dict[str, Json]:
    shown = [_shown(outcome, predicted) for outcome in outcomes]
    return {
        "allMs": [outcome.milliseconds for outcome in outcomes],
        "cases": shown,
        "accurateCases": [each for each in shown if each["accurate"]],
        "errorCases": [each for each in shown if not each["accurate"]],
        "accurateOffsets": [each["offset"] for each in shown if each["accurate"]],
        "errorOffsets": [each["offset"] for each in shown if not each["accurate"]],
        "alpha_binByTopScore": _bins(outcomes),
    }


def _shown(outcome: _Outcome, predicted: str) -> dict[str, Json]:
    top, p = outcome.ranked[0] if outcome.ranked else (None, 0.0)
    return {
        "offset": outcome.case.offset,
        "testCase": outcome.case.row,
        "accurate": outcome.right,
        "top": {"$p": p, "field": predicted, "feature": top},
        "correct": {"$p": outcome.p, "field": predicted, "feature": outcome.case.truth},
    }


def _bins(outcomes: list[_Outcome]) -> list[dict[str, Json]]:
    """Is the top score honest? Cases by their top probability, with the share that was right."""
    bins: dict[int, list[_Outcome]] = defaultdict(list)
    for outcome in outcomes:
        top = outcome.ranked[0][1] if outcome.ranked else 0.0
        bins[min(int(top * _BINS), _BINS - 1)].append(outcome)
    return [_bin(number, bins[number]) for number in sorted(bins)]


def _bin(number: int, outcomes: list[_Outcome]) -> dict[str, Json]:
    tops = [outcome.ranked[0][1] if outcome.ranked else 0.0 for outcome in outcomes]
    return {
        "minScore": number / _BINS,
        "maxScore": (number + 1) / _BINS,
        "n": len(outcomes),
        "meanScore": _mean(tops),
        "accuracy": _mean([outcome.right for outcome in outcomes]),
    }


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _entropy(probabilities: Sequence[float]) -> float:
    """Mean surprise in bits; undefined as soon as something impossible happened."""
    if any(p <= 0 for p in probabilities):
        return math.nan
    return _mean([-math.log2(p) for p in probabilities])


def _milliseconds(since: float) -> float:
    return (time.perf_counter() - since) * 1000


def _chosen(answer: dict[str, Json], select: Any) -> dict[str, Json]:
    if select is None:
        return answer
    if not isinstance(select, list):
        raise Refusal(400, "select takes an array", at="select")
    return {name: answer[name] for name in select if isinstance(name, str) and name in answer}
