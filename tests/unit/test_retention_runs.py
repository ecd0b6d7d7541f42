"""A study killed at any point, and one that two runs continue: no job twice, none lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

import pytest

from sync.base.clock import Clock, Deadline
from sync.base.errors import OutcomeUnknown, Refusal, Refused
from sync.base.events import EventLog
from sync.config import CursorSettings, EvaluationSettings, TableSettings
from sync.evaluation import EvaluationContext, Wanted, begin_study, resume, wait_for_study
from sync.model.columns import Column, TargetSchema, TargetTable
from sync.model.conditions import Condition
from sync.model.ports import Ledger, Target
from sync.model.records import EvaluationRecord, JobStatus, LastSync, StudyRecords, WatchRecords

MINUTE, DAY = 60, 86_400
NOON = 1_772_366_400  # 2026-03-01T12:00:00Z
TABLE = TableSettings(
    name="web",
    source="d.t",
    key="id",
    cursor=CursorSettings(source="ts", column="at"),
    evaluate=(
        EvaluationSettings(name="one", predict="path"),
        EvaluationSettings(name="two", predict="path", given=("id",)),
    ),
)
HISTORIES = (7 * DAY, 14 * DAY, 30 * DAY)


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Points:
    """Counts the points at which a process may be killed, and kills at one of them."""

    kill_at: int | None = None
    passed: int = 0

    def __call__(self) -> None:
        self.passed += 1
        if self.passed == self.kill_at:
            raise Killed


@dataclass
class MemoryLedger:
    """Every row of the ledger, in memory."""

    point: Points
    rows: list[EvaluationRecord] = field(default_factory=list)
    synced: datetime | None = None

    def record_evaluation(self, record: EvaluationRecord) -> None:
        self.point()
        self.rows.append(record)
        self.point()

    def furthest(self) -> list[EvaluationRecord]:
        """As the ledger's query orders them."""
        found: dict[str, EvaluationRecord] = {}
        for row in sorted(self.rows, key=_state_order, reverse=True):
            found[row.evaluation_id] = row
        return sorted(found.values(), key=lambda row: (row.started_at, row.evaluation_id))

    def watch_records(self, tables: Sequence[str], since: datetime, now: datetime) -> WatchRecords:
        syncs = {"web": LastSync(self.synced, self.synced, NOON)} if self.synced else {}
        return WatchRecords(self.furthest(), syncs, {})

    def study(self, study_id: str, since: datetime) -> StudyRecords:
        (plan,) = [r for r in self.rows if r.evaluation_id == study_id and r.state == "started"]
        jobs = [r for r in self.furthest() if r.study_id == study_id and not r.is_study]
        return StudyRecords(plan.result or "", jobs)

    def claims(self, evaluation_id: str, since: datetime) -> list[str]:
        rows = [r for r in self.rows if r.evaluation_id == evaluation_id]
        return sorted({r.run_id for r in rows if r.state == "started" and r.job_id is None})


def _state_order(row: EvaluationRecord) -> tuple[bool, bool, bool, bool, int]:
    return (
        row.state == "started",
        row.state != "finished",
        row.expires_at is None,
        row.job_id is None,
        -(row.aito_calls or 0),
    )


@dataclass
class Jobs:
    """A target whose jobs take five minutes and whose results are kept for 15."""

    clock: Clock
    point: Points
    calls: int = 0
    started: dict[str, tuple[float, str]] = field(default_factory=dict)  # when, and what was asked
    most_at_once: int = 0
    before_start: Callable[[], None] = lambda: None
    lose_answer: bool = False

    def schema(self) -> TargetSchema:
        self.calls += 1
        return {"web": TargetTable({n: Column(n, "String") for n in ("id", "at", "path")})}

    def newest(self, table: str, cursor: str, before: int) -> tuple[int | None, int]:
        self.calls += 1
        return NOON - 1, 1000

    def oldest(self, table: str, cursor: str) -> int | None:
        self.calls += 1
        return NOON - 31 * DAY

    def count(self, table: str, condition: Condition | None = None) -> int:
        self.calls += 1
        return 100

    def engine(self) -> str | None:
        self.calls += 1
        return "1.0"

    def start_evaluation(self, query: Mapping[str, Any]) -> str:
        self.before_start()
        self.point()
        self.calls += 1
        job_id = f"j{len(self.started)}"
        running = [job for job in self.started if not self._has_ended(job)]
        self.most_at_once = max(self.most_at_once, 1 + len(running))
        asked = json.dumps([query.get("train"), query["evaluate"]])
        self.started[job_id] = (self.clock.now(), asked)
        self.point()
        if self.lose_answer:
            self.lose_answer = False
            raise OutcomeUnknown("no answer")
        return job_id

    def evaluation_status(self, job_id: str) -> JobStatus:
        self.calls += 1
        return JobStatus(self._has_ended(job_id), None)

    def evaluation_answer(self, job_id: str) -> Any:
        self.calls += 1
        self.point()
        if self.clock.now() > self.started[job_id][0] + 20 * MINUTE:
            raise Refused("no result", Refusal.NOT_FOUND)
        right = list(range(80))
        return {
            "accuracy": 0.8,
            "baseAccuracy": 0.4,
            "testSamples": 100,
            "accurateOffsets": right,
            "errorOffsets": list(range(80, 100)),
        }

    def evaluations_since(self, since: datetime) -> list[str]:
        self.calls += 1
        return [job for job, (at, _) in self.started.items() if at >= since.timestamp()]

    def _has_ended(self, job_id: str) -> bool:
        return self.clock.now() >= self.started[job_id][0] + 5 * MINUTE


class World:
    """Ledger, target and time. Each run has an id of its own."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.seconds = float(NOON)
        self.clock = Clock(lambda: self.seconds, lambda: self.seconds, self.sleep)
        self.point = Points(kill_at)
        self.ledger = MemoryLedger(self.point)
        self.target = Jobs(self.clock, self.point)
        self.events: list[dict[str, Any]] = []
        self.runs = 0

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def context(self) -> EvaluationContext:
        self.runs += 1
        run_id = f"r{self.runs}"
        return EvaluationContext(
            run_id=run_id,
            target=cast(Target, self.target),
            ledger=cast(Ledger, self.ledger),
            events=EventLog(run_id, self.events.append),
            clock=self.clock,
            deadline=Deadline.after(self.clock, DAY),
            tables=(TABLE,),
        )

    def call(self) -> None:
        """The action."""
        context = self.context()
        begin_study(context, TABLE, Wanted(HISTORIES), self.ledger.furthest())
        self._resume(context)

    def watch(self) -> None:
        self._resume(self.context())

    def _resume(self, context: EvaluationContext) -> None:
        resume(context, (TABLE,), self.ledger.watch_records([], self.clock.utc(), self.clock.utc()))

    def until_the_end(self) -> None:
        """Call the action, then watch every ten minutes. A killed run is not called again."""
        runs = [self.call, *[self.watch] * 30]
        for run in runs:
            try:
                run()
            except Killed:
                if not self.ledger.rows:  # nothing was begun: the caller saw no answer
                    self.call()
            self.sleep(10 * MINUTE)

    @property
    def asked(self) -> Counter[str]:
        """How often each question was asked."""
        return Counter(question for _, question in self.target.started.values())

    @property
    def conclusion(self) -> dict[str, Any]:
        """What the study found."""
        (end,) = [r for r in self.ledger.furthest() if r.is_study and r.state == "finished"]
        return dict(json.loads(end.result or ""))


def points_of_a_study() -> int:
    world = World()
    world.until_the_end()
    return world.point.passed


@pytest.mark.parametrize("kill_at", range(1, points_of_a_study() + 1))
def test_killed_at_any_point(kill_at: int) -> None:
    """Before and after each write and each start: every job is run once, one at a time."""
    world = World(kill_at)
    world.until_the_end()
    assert set(world.asked.values()) == {1}
    assert len(world.asked) == 2 * len(HISTORIES)
    assert world.target.most_at_once == 1
    assert [len(each["points"]) for each in world.conclusion["evaluations"]] == [3, 3]


def test_its_calls_are_counted() -> None:
    """The record says how many requests the study took, over all its runs."""
    world = World()
    world.until_the_end()
    assert world.conclusion["aito_calls"] == world.target.calls
    assert world.conclusion["jobs"] == 2 * len(HISTORIES)


def test_an_unknown_start_is_found() -> None:
    """After a start without an answer the job is looked for, and adopted."""
    world = World()
    world.target.lose_answer = True
    world.until_the_end()
    assert set(world.asked.values()) == {1}
    assert world.conclusion["aito_calls"] == world.target.calls - 1  # the start without an answer


def test_expired_results_are_asked_again_once() -> None:
    """Who looks every hour gets no result. Each job is started twice, and the study ends."""
    world = World()
    world.call()
    for _ in range(30):
        world.sleep(60 * MINUTE)
        world.watch()
    assert set(world.asked.values()) == {2}
    found = world.conclusion
    assert found["history"] is None
    assert found["evaluations"][0]["why"] == "not enough evidence: no job has a result"


def test_two_runs_at_once() -> None:
    """A watch that comes between the claim of a run and its start does not start the job, too."""
    world = World()

    def another() -> None:
        world.target.before_start = lambda: None
        world.watch()

    world.target.before_start = another
    world.call()
    assert set(world.asked.values()) == {1}
    assert world.target.most_at_once == 1


def test_a_night_comes_first() -> None:
    """While an evaluation is due no job of the study is started."""
    world = World()
    world.call()
    world.sleep(10 * MINUTE)
    world.ledger.synced = world.clock.utc()
    names = []
    for _ in range(4):
        world.watch()
        names.append(world.ledger.furthest()[-1].study_id is None)
        world.sleep(10 * MINUTE)
    assert names == [True, True, False, False]


def test_waiting_asks_seldom() -> None:
    """`--wait` looks at a job about when it ends: at most 60 calls for 14 jobs."""
    world = World()
    world.call()
    wait_for_study(world.context(), "web", DAY)
    assert world.conclusion["jobs"] == 6
    assert world.target.calls <= 6 * 3 + 7 + 8
    assert world.seconds - NOON < 6 * 10 * MINUTE
