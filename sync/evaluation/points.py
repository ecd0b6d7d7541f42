"""A study's answers as points of a curve. Pure.

Which test rows were predicted right is kept as bits: a case is a place in the table, and no value
of a row.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

from sync.evaluation.question import Answer, number, read_answer
from sync.evaluation.recommend import Point, right_rows
from sync.evaluation.study import OFFSETS
from sync.model.records import EvaluationRecord


def point(history: int, answer: Any, synced: str) -> Point | None:
    """The point of an answer; None when it has no accuracy. synced: see `with_cases`."""
    read = read_answer(answer)
    if read is None:
        return None
    return _point(history, read.figures, with_cases(read, answer, synced))


def with_cases(read: Answer, answer: Mapping[str, Any], synced: str) -> str:
    """The answer as JSON text, and which test rows were right.

    Rows are recognised by their places in the table, which no other row of the same test takes.
    Where a build counts the test rows themselves, from 0 on, a place says nothing about the row
    after a sync. There `synced`, which identifies the last sync, must be the same, too.
    """
    kept = json.loads(read.result)
    accurate, wrong = (_offsets(answer.get(name)) for name in OFFSETS)
    if accurate is not None and wrong is not None:
        bits, offsets = right_rows(accurate, wrong)
        kept["right"] = f"{bits:x}"
        counts_tests = offsets == list(range(len(offsets)))
        rows = (offsets, synced if counts_tests else "")
        kept["test"] = f"{zlib.crc32(repr(rows).encode()):08x}"
    return json.dumps(kept, ensure_ascii=False)


def _offsets(value: Any) -> list[int] | None:
    if not isinstance(value, list) or not all(isinstance(each, int) for each in value):
        return None
    return value


def of_record(record: EvaluationRecord) -> Point | None:
    """The point of a finished job; None when it predicted nothing."""
    if record.state != "finished" or record.history_seconds is None:
        return None
    return _point(record.history_seconds, record.figures, record.result or "{}")


def _point(history: int, figures: Mapping[str, Any], result: str) -> Point | None:
    accuracy, cases = figures.get("accuracy"), figures.get("test_samples")
    if accuracy is None or not cases:
        return None
    kept = json.loads(result)
    right, test = kept.get("right"), kept.get("test")
    is_reported = isinstance(right, str) and isinstance(test, str)
    return Point(
        history=history,
        accuracy=accuracy,
        base_accuracy=figures.get("base_accuracy"),
        cases=int(cases),
        right=int(right, 16) if is_reported else None,
        test=test if is_reported else "",
        train_rows=number(figures.get("train_samples")),
        mean_ms=number(kept.get("meanMs")),
    )
