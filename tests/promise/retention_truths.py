"""Planted truths: `python -m tests.promise.retention_truths --seeds 200`.

A year of rows is made from a known truth, and a study is made of them: its plan, the bodies of its
jobs and its verdict are the product's. The answers are those of the stand-in's evaluation, called
in this process. Its predictions are not Aito's: what is tested is that a truth that an evaluation
sees becomes the right recommendation.

    stable    the relation never changes: a short history is enough
    changed   for half of the pages it changed 45 days ago: at most 60 days, and old rows mislead
    weak      it is weak, and each of many values is rare: the longest history
    noise     there is none: not enough evidence
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from local.aito.evaluate import evaluate
from local.aito.store import Store
from local.aito.switches import Switches
from sync.config import CursorSettings, EvaluationSettings, TableSettings
from sync.evaluation.points import point
from sync.evaluation.recommend import Point, Verdict, recommend
from sync.evaluation.study import DAY, Span, Study, histories, subjects, test_start

NOW = 1_772_366_400  # 2026-03-01T12:00:00Z
DAYS = 372  # of rows: a history of a year, and a week of test rows
ROWS_A_DAY, TEST_ROWS_A_DAY = 15, 65  # the newest week has more, to be tested
CASES = 500
CHANGED = 45 * DAY  # before now
CLASSES = ("ads", "mail", "search", "social")
SPEC = {
    "type": "table",
    "columns": {
        "at": {"type": "Int"},
        "page": {"type": "String"},
        "source": {"type": "String"},
    },
}
WEB = TableSettings(
    name="web",
    source="d.t",
    key="id",
    cursor=CursorSettings(source="ts", column="at"),
    evaluate=(EvaluationSettings(name="source", predict="source", given=("page",), cases=CASES),),
)


@dataclass(frozen=True)
class Truth:
    """A relation between page and source. truth(page, age in seconds, dice) -> the source.

    pages: how many there are. expected: what the verdict must say. least: share of the seeds.
    """

    pages: int
    source: Callable[[int, int, random.Random], str]
    expected: Callable[[Verdict], bool]
    least: float


def _mostly(wanted: int, share: float, dice: random.Random) -> str:
    """One class with this probability, otherwise any."""
    return CLASSES[wanted % 4] if dice.random() < share else dice.choice(CLASSES)


def _stable(page: int, age: int, dice: random.Random) -> str:
    return _mostly(page, 0.65, dice)


def _changed(page: int, age: int, dice: random.Random) -> str:
    moved = age > CHANGED and page % 2 == 0
    return _mostly(page + moved, 0.65, dice)


def _weak(page: int, age: int, dice: random.Random) -> str:
    return _mostly(page, 0.45, dice)


def _noise(page: int, age: int, dice: random.Random) -> str:
    return dice.choice(CLASSES)


TRUTHS = {
    "stable": Truth(12, _stable, lambda v: (v.history or DAYS * DAY) <= 30 * DAY, 0.9),
    "changed": Truth(
        12,
        _changed,
        lambda v: v.trend == "falls" and (v.history or DAYS * DAY) <= 60 * DAY,
        0.9,
    ),
    "weak": Truth(700, _weak, lambda v: v.history == 365 * DAY, 0.9),
    "noise": Truth(12, _noise, lambda v: v.history is None, 0.95),
}


def store_of(truth: Truth, seed: int) -> Store:
    """A database whose table `web` has a year of rows."""
    dice = random.Random(seed)
    store = Store(Switches())
    store.put_table("web", SPEC)
    tested = range(7 * DAY - 1, -1, -DAY // TEST_ROWS_A_DAY)
    older = range(DAYS * DAY - 1, 7 * DAY, -DAY // ROWS_A_DAY)
    ages = [*older, *tested]
    rows = []
    for age in ages:
        page = dice.randrange(truth.pages)
        source = truth.source(page, age, dice)
        rows.append({"at": NOW - age, "page": f"/{page}", "source": source})
    store.insert("web", rows)
    return store


def study_of(store: Store) -> Study:
    """The plan of a study, as the product makes it."""
    span = Span(NOW - DAYS * DAY, NOW, store.count("web"))
    start = test_start(span)
    found = []
    for subject in subjects(WEB, WEB.evaluate, {"source": "{}"}):
        rows = store.count("web", {"at": {"$gte": start}})
        found.append(replace(subject, test_rows=rows))
    tried = histories(WEB, span)
    return Study("s", "web", "at", start, span, None, None, tried, tuple(found))


def verdict_on(truth: Truth, seed: int) -> tuple[Verdict, list[Point]]:
    """The verdict of a study of such a table, and its points."""
    store = store_of(truth, seed)
    study = study_of(store)
    points = []
    for key in study.keys:
        answer: Any = evaluate(store, study.body(key))
        found = point(key[1], answer, synced="")
        assert found is not None
        points.append(found)
    return recommend(points), points


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every truth over so many seeds, and print how often the verdict was right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--truth", choices=list(TRUTHS), action="append")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args(arguments)
    met = True
    for name in options.truth or list(TRUTHS):
        met = _try(name, options.seeds, verbose=options.verbose) and met
    return 0 if met else 1


def _try(name: str, seeds: int, *, verbose: bool) -> bool:
    truth, said, right = TRUTHS[name], Counter[str](), 0
    for seed in range(seeds):
        verdict, points = verdict_on(truth, seed)
        right += truth.expected(verdict)
        days = "none" if verdict.history is None else f"{verdict.history // DAY}d"
        said[f"{verdict.kind} {days} {verdict.trend}"] += 1
        if verbose:
            print(seed, verdict.kind, days, verdict.trend, [round(p.accuracy, 3) for p in points])
    is_met = right >= truth.least * seeds
    print(f"{name}: {right} of {seeds} as expected, at least {truth.least:.0%}: ", end="")
    print("yes" if is_met else "NO", dict(said.most_common()), flush=True)
    return is_met


if __name__ == "__main__":
    sys.exit(main())
