"""The plan of a retention study: which histories are tried, on which test rows. Pure.

All jobs of an evaluation predict the same test rows: the newest ones. A job with a history of 30
days learns from the rows of the 30 days before them. So it measures what Aito would have known at
that time with `keep: 30d`.

The plan is kept in the ledger as JSON. Whoever continues a study asks the same as who began it.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync.base.errors import ActionRequired
from sync.config import EvaluationSettings, TableSettings, spell_duration
from sync.evaluation.question import SELECT, task
from sync.model.conditions import AllOf, Between, Condition, Native

DAY = 86_400  # seconds
LADDER = tuple(days * DAY for days in (7, 14, 30, 60, 90, 180, 365))
MAX_HISTORIES = 12
LONGEST_TEST = 7 * DAY  # a week, so that each weekday is tested
TEST_SHARE = 10  # the test rows are those of at most this part of the time that the data covers
# Which of the test rows were predicted right: their places in the table, and no row's value.
OFFSETS = ("accurateOffsets", "errorOffsets")
# Requests of a study: of its beginning, then of each job: start, one look at it, its result.
CALLS_BEFORE, CALLS_A_JOB = 5, 3
# Aito's own figures: 50 cases take 5 to 11 s on 128,000 rows.
SECONDS_A_CASE, MEASURED_ROWS = 0.16, 128_000
SMALLEST_SIZE = 0.1  # a small table takes no less than this part of it
JobKey = tuple[str, int]  # evaluation, history


@dataclass(frozen=True)
class Span:
    """What the target's table holds. Cursors are epoch seconds. rows: in the table."""

    oldest: int
    newest: int
    rows: int

    @property
    def seconds(self) -> int:
        """The time that the rows cover."""
        return self.newest + 1 - self.oldest


@dataclass(frozen=True)
class Subject:
    """One evaluation in a study.

    test_rows: rows to choose the test rows from. step: each of so many is predicted.
    condition: of the configuration, on the test rows. train: of a whole query.
    evaluate: the evaluate body's part of this name. definition: the query, of which columns.
    """

    name: str
    cases: int
    evaluate: Mapping[str, Any]
    definition: str
    condition: Mapping[str, Any] | None = None
    train: Mapping[str, Any] | None = None
    test_rows: int = 0

    @property
    def step(self) -> int:
        """Each row of so many is predicted."""
        return max(1, math.ceil(self.test_rows / self.cases))

    @property
    def predicted(self) -> int:
        """About how many rows are predicted."""
        return self.test_rows // self.step

    def counted(self, cursor: str, span: tuple[int, int]) -> Condition:
        """The condition by which the test rows to choose from are counted."""
        newest = Between(cursor, *span)
        return newest if self.condition is None else AllOf((newest, Native(self.condition)))


@dataclass(frozen=True)
class Study:
    """A retention study of one table. Cursors are epoch seconds, durations seconds.

    start: of the test rows. keep: in the configuration when the study began.
    """

    study_id: str
    table: str
    cursor: str
    start: int
    span: Span
    keep: int | None
    engine: str | None
    histories: tuple[int, ...]
    subjects: tuple[Subject, ...]

    @property
    def keys(self) -> list[JobKey]:
        """Evaluation and history of each job, in their order."""
        return [(subject.name, history) for subject in self.subjects for history in self.histories]

    @property
    def expected_calls(self) -> int:
        """About how many requests the study takes."""
        return CALLS_BEFORE + len(self.subjects) + CALLS_A_JOB * len(self.keys)

    @property
    def expected_seconds(self) -> int:
        """About how long its jobs take, one after the other."""
        found = 0.0
        for subject in self.subjects:
            for history in self.histories:
                share = min(1.0, history / max(1, self.span.seconds))
                size = max(SMALLEST_SIZE, share * self.span.rows / MEASURED_ROWS)
                found += subject.predicted * SECONDS_A_CASE * size
        return math.ceil(found)

    def summary(self) -> dict[str, Any]:
        """What it tries, and what that is expected to take."""
        return {
            "study_id": self.study_id,
            "histories": [spell_duration(each) for each in self.histories],
            "evaluations": [subject.name for subject in self.subjects],
            "test_rows": {subject.name: subject.predicted for subject in self.subjects},
            "jobs": len(self.keys),
            "expected_aito_calls": self.expected_calls,
            "expected_minutes": math.ceil(self.expected_seconds / 60),
        }

    def subject(self, name: str) -> Subject:
        """The subject of this name."""
        (found,) = [subject for subject in self.subjects if subject.name == name]
        return found

    def job_id(self, key: JobKey, attempt: int) -> str:
        """The evaluation_id of a job. attempt: from 1 on."""
        name, history = key
        again = "" if attempt == 1 else f"-{attempt}"
        return f"{self.study_id}-{name}-{spell_duration(history)}{again}"

    def body(self, key: JobKey) -> dict[str, Any]:
        """The evaluate body of a job."""
        name, history = key
        subject = self.subject(name)
        return {
            "test": self._test(subject),
            "train": self._train(subject, history),
            "evaluate": dict(subject.evaluate),
            "select": [*SELECT, *OFFSETS],
        }

    def _test(self, subject: Subject) -> dict[str, Any]:
        parts: list[Mapping[str, Any]] = [
            {self.cursor: {"$gte": self.start}},
            {self.cursor: {"$lt": self.span.newest + 1}},
        ]
        if subject.condition is not None:
            parts.append(subject.condition)
        if subject.step > 1:
            parts.append({"$index": {"$mod": [subject.step, 0]}})
        return {"$and": parts}

    def _train(self, subject: Subject, history: int) -> dict[str, Any]:
        """The rows that the history leaves, before the test rows."""
        parts: list[Mapping[str, Any]] = [
            {self.cursor: {"$gte": self.start - history}},
            {self.cursor: {"$lt": self.start}},
        ]
        if subject.train is not None:
            parts.append(subject.train)
        return {"$and": parts}

    # -- JSON

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, text: str) -> Study:
        """The study of a text of `to_json`."""
        found = json.loads(text)
        return cls(
            **{
                **found,
                "span": Span(**found["span"]),
                "histories": tuple(found["histories"]),
                "subjects": tuple(Subject(**subject) for subject in found["subjects"]),
            }
        )


def test_start(span: Span) -> int:
    """Where the test rows begin: a week before the newest row, or a tenth of the time covered."""
    return span.newest + 1 - min(LONGEST_TEST, max(1, span.seconds // TEST_SHARE))


def histories(table: TableSettings, span: Span, requested: Sequence[int] = ()) -> tuple[int, ...]:
    """The histories to try: those requested, or the usual ones that the data has.

    The longest one may lack the time of the test rows, as the present `keep` does. Raises
    ActionRequired when the data has fewer than two of them.
    """
    name = table.name
    available = span.seconds + DAY  # the newest row of a daily table is up to a day old
    too_long = [spell_duration(each) for each in requested if each > available]
    if too_long:
        raise ActionRequired(
            f"{name}: Aito holds the rows of {span.seconds / DAY:.1f} days; a history of "
            f"{', '.join(too_long)} cannot be measured"
        )
    ladder = [each for each in LADDER if each <= available and each <= (table.keep or each)]
    if table.keep and LADDER[0] < table.keep < LADDER[-1] and table.keep <= available:
        ladder.append(table.keep)
    chosen = tuple(sorted(set(requested or ladder)))
    if len(chosen) < 2:
        raise ActionRequired(
            f"{name}: Aito holds the rows of {span.seconds / DAY:.1f} days; a study compares at "
            "least two histories, such as --keep 1d --keep 2d; the shortest usual one is "
            f"{spell_duration(LADDER[0])}"
        )
    if len(chosen) > MAX_HISTORIES:
        raise ActionRequired(f"{name}: a study tries at most {MAX_HISTORIES} histories")
    return chosen


def subjects(
    table: TableSettings, evaluations: Sequence[EvaluationSettings], definitions: Mapping[str, str]
) -> Iterator[Subject]:
    """The evaluations of a table as subjects. Raises ActionRequired for one that cannot be one."""
    for evaluation in evaluations:
        yield _subject(table, evaluation, definitions[evaluation.name])


def _subject(table: TableSettings, evaluation: EvaluationSettings, definition: str) -> Subject:
    if evaluation.query is not None:
        return _of_query(table, evaluation, definition)
    condition = None
    match evaluation.test:
        case {"$index": _, **rest} if not rest:
            pass  # a share of all rows says nothing about which rows are of interest
        case dict(given):
            condition = given
    evaluate = task(table, evaluation)
    return Subject(evaluation.name, evaluation.cases, evaluate, definition, condition)


def _of_query(table: TableSettings, evaluation: EvaluationSettings, definition: str) -> Subject:
    """A whole query: its `evaluate` is sent; `test` and `train` narrow the rows."""
    query = evaluation.query or {}
    evaluate = query.get("evaluate")
    is_own_table = isinstance(evaluate, dict) and evaluate.get("from") == table.name
    if "testSource" in query or not isinstance(evaluate, dict) or not is_own_table:
        raise ActionRequired(
            f"{table.name}: evaluation {evaluation.name} cannot be studied: its `query` has a "
            "testSource, or asks another table"
        )
    test = query.get("test")
    is_share = isinstance(test, dict) and test.keys() == {"$index"}
    condition = test if isinstance(test, dict) and not is_share else None
    train = query.get("train")
    train = train if isinstance(train, dict) else None
    return Subject(evaluation.name, evaluation.cases, evaluate, definition, condition, train)
