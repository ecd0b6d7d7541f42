"""What a study found: points, verdicts and a recommendation in words, as JSON. Pure.

The ledger keeps it, and the command, the page and `status` show it. It holds no row's value.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sync.base.words import counted
from sync.config import spell_duration
from sync.evaluation.points import of_record
from sync.evaluation.recommend import MARGIN, Point, Verdict, recommend
from sync.evaluation.study import Study, Subject
from sync.model.records import EvaluationRecord
from sync.model.statistics import interval

ENDS = {
    "rises": "the curve still rises at its end: more history might help",
    "falls": "the curve falls at its end: old rows mislead",
    "level": "",
}
NOT_ENOUGH = "not enough evidence"

Json = dict[str, Any]


def conclude(study: Study, records: Sequence[EvaluationRecord]) -> Json:
    """The conclusion from the ends of the study's jobs. records: the last attempt of each job."""
    found = [
        _subject(subject, [each for each in records if each.name == subject.name])
        for subject in study.subjects
    ]
    return {"margin": MARGIN, "evaluations": found, **_recommendation(found)}


def _subject(subject: Subject, records: Sequence[EvaluationRecord]) -> Json:
    points = [point for record in records if (point := of_record(record))]
    missing = [
        {"history": record.history_seconds, "state": record.state}
        for record in records
        if of_record(record) is None
    ]
    verdict = recommend(points) if points else None
    return {
        "name": subject.name,
        "definition": subject.definition,
        "history": verdict.history if verdict else None,
        "kind": verdict.kind if verdict else "none",
        "trend": verdict.trend if verdict else "level",
        "needed_cases": verdict.needed_cases if verdict else None,
        "why": _why(verdict, points) if verdict else f"{NOT_ENOUGH}: no job has a result",
        "points": [_point(point, verdict) for point in points],
        "missing": missing,
    }


def _point(point: Point, verdict: Verdict | None) -> Json:
    low, high = interval(point.accuracy, point.cases)
    return {
        "history": point.history,
        "accuracy": point.accuracy,
        "low": low,
        "high": high,
        "base_accuracy": point.base_accuracy,
        "cases": point.cases,
        "train_rows": None if point.train_rows is None else round(point.train_rows),
        "mean_ms": point.mean_ms,
        "standing": verdict.standings[point.history] if verdict else "undecided",
    }


# -- words


def _why(verdict: Verdict, points: Sequence[Point]) -> str:
    """Why a history is recommended, or none is."""
    sentences = {
        "enough": _why_enough,
        "longest": _why_longest,
        "guessing": _why_guessing,
        "undecided": _why_undecided,
        "single": _why_single,
    }
    end = ENDS[verdict.trend]
    return "; ".join(part for part in (sentences[verdict.kind](verdict, points), end) if part)


def _why_enough(verdict: Verdict, points: Sequence[Point]) -> str:
    chosen = _of(points, verdict.history)
    compared = f"less than {_points(MARGIN)} below every other history, by more than chance"
    return f"accuracy {_percent(chosen.accuracy)} is {compared}"


def _why_longest(verdict: Verdict, points: Sequence[Point]) -> str:
    chosen = _of(points, verdict.history)
    worse = _named(verdict, "worse")
    text = f"accuracy {_percent(chosen.accuracy)}; {worse} is shown to be less accurate"
    others = [history for history in _with(verdict, "undecided") if history != verdict.history]
    if not others:
        return text
    spelled = _spelled(others)
    return f"{text}; whether {spelled} is as good is open{_needed(verdict)}"


def _why_guessing(verdict: Verdict, points: Sequence[Point]) -> str:
    best = _of(points, verdict.best)
    base = _percent(best.base_accuracy or 0.0)
    text = f"the best accuracy {_percent(best.accuracy)} does not exceed {base}, which is guessing,"
    return f"{NOT_ENOUGH}: {text} by more than chance"


def _why_undecided(verdict: Verdict, points: Sequence[Point]) -> str:
    cases = _of(points, verdict.best).cases
    text = f"{counted(cases, 'test row')} cannot show a difference of {_points(MARGIN)}"
    return f"{NOT_ENOUGH}: {text}{_needed(verdict)}"


def _why_single(verdict: Verdict, points: Sequence[Point]) -> str:
    only = _of(points, verdict.best)
    return f"{NOT_ENOUGH}: only the history of {spell_duration(only.history)} has a result"


def _needed(verdict: Verdict) -> str:
    if verdict.needed_cases is None:
        return ""
    return f" (about {_round(verdict.needed_cases):,} test rows would tell: see `cases`)"


def _round(number: int) -> int:
    """Two digits are enough for an estimate."""
    size = int(10 ** max(0, len(str(number)) - 2))
    return round(number / size) * size


def _of(points: Sequence[Point], history: int | None) -> Point:
    (found,) = [point for point in points if point.history == history]
    return found


def _with(verdict: Verdict, standing: str) -> list[int]:
    return [history for history, each in verdict.standings.items() if each == standing]


def _named(verdict: Verdict, standing: str) -> str:
    return _spelled(_with(verdict, standing))


def _spelled(histories: Iterable[int]) -> str:
    return ", ".join(spell_duration(each) for each in histories)


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _points(share: float) -> str:
    return f"{share * 100:g} points"


# -- the table's recommendation


def _recommendation(found: Sequence[Json]) -> Json:
    """The history that suits every evaluation: the longest of theirs.

    An evaluation that only guesses has no say. One that is undecided forbids a recommendation,
    because a shorter `keep` could cost it accuracy.
    """
    having_a_say = [each for each in found if each["kind"] not in ("guessing", "none")]
    undecided = [each for each in having_a_say if each["history"] is None]
    if not having_a_say or undecided:
        names = ", ".join(each["name"] for each in undecided or found)
        return {"history": None, "reason": f"{NOT_ENOUGH} ({names})"}
    chosen = max(having_a_say, key=lambda each: each["history"])
    return {"history": chosen["history"], "reason": f"{chosen['name']}: {chosen['why']}"}
