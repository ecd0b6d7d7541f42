"""Which evaluation is started, when it is collected, and what becomes of one that is lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

from sync.base.clock import Clock, Deadline
from sync.base.errors import OutcomeUnknown, Refusal, Refused, SyncError, Unavailable, Unknown
from sync.base.events import EventLog
from sync.config import CursorSettings, EvaluationSettings, TableSettings
from sync.evaluation import (
    EvaluationContext,
    LoadedTable,
    collect,
    launch,
    resume,
    wait_for,
)
from sync.evaluation.watch import MAX_STARTS
from sync.model.columns import Column, TargetSchema, TargetTable
from sync.model.conditions import Condition
from sync.model.ports import Ledger, Target
from sync.model.records import EvaluationRecord, JobStatus, LastSync, WatchRecords

MINUTE, HOUR = 60, 3600
NOON = 1_772_366_400  # 2026-03-01T12:00:00Z
KEPT = 15 * MINUTE  # how long Aito keeps a result
CURSOR = CursorSettings(source="ts", column="at")


def table(name: str, *evaluations: str) -> TableSettings:
    evaluate = tuple(EvaluationSettings(name=each, predict="path") for each in evaluations)
    return TableSettings(name=name, source="d.t", key="id", cursor=CURSOR, evaluate=evaluate)


@dataclass
class MemoryLedger:
    """The part of the ledger that evaluations use, in memory."""

    now: datetime
    rows: dict[str, EvaluationRecord] = field(default_factory=dict)
    syncs: dict[str, LastSync] = field(default_factory=dict)
    reads: int = 0
    error: SyncError | None = None

    def record_evaluation(self, record: EvaluationRecord) -> None:
        self.rows[record.evaluation_id] = record

    def evaluations(self, since: datetime) -> list[EvaluationRecord]:
        self.reads += 1
        if self.error:
            raise self.error
        return sorted(self.rows.values(), key=lambda record: record.started_at)

    def watch_records(self, tables: Sequence[str], since: datetime, now: datetime) -> WatchRecords:
        return WatchRecords(self.evaluations(since), self.syncs)

    def states(self) -> list[str]:
        return [record.state for record in self.evaluations(self.now)]


@dataclass
class JobsOnly:
    """A target whose jobs take `seconds` and whose results are gone after KEPT."""

    clock: Clock
    seconds: int = 5 * MINUTE
    started: dict[str, float] = field(default_factory=dict)
    requests: int = 0
    most_at_once: int = 0
    start_errors: list[SyncError] = field(default_factory=list)
    answer_errors: list[SyncError] = field(default_factory=list)

    def schema(self) -> TargetSchema:
        self.requests += 1
        columns = {"path": Column("path", "String")}
        return {name: TargetTable(columns) for name in ("web", "user")}

    def count(self, name: str, condition: Condition | None = None) -> int:
        self.requests += 1
        return 100

    def engine(self) -> str:
        return "1.0"

    def start_evaluation(self, query: Mapping[str, Any]) -> str:
        self.requests += 1
        if self.start_errors:
            raise self.start_errors.pop(0)
        job_id = f"j{len(self.started)}"
        self.started[job_id] = self.clock.now()
        running = [job for job in self.started if not self._has_ended(job)]
        self.most_at_once = max(self.most_at_once, len(running))
        return job_id

    def evaluation_status(self, job_id: str) -> JobStatus:
        self.requests += 1
        end = self.started[job_id] + self.seconds
        if not self._has_ended(job_id):
            return JobStatus(has_ended=False)
        return JobStatus(has_ended=True, expires_at=datetime.fromtimestamp(end + KEPT, UTC))

    def evaluation_answer(self, job_id: str) -> Any:
        self.requests += 1
        if self.answer_errors:
            raise self.answer_errors.pop(0)
        if self.clock.now() > self.started[job_id] + self.seconds + KEPT:
            raise Refused("Aito: no result", Refusal.NOT_FOUND)
        return {"accuracy": 0.8, "baseAccuracy": 0.4, "testSamples": 50}

    def _has_ended(self, job_id: str) -> bool:
        return self.clock.now() >= self.started[job_id] + self.seconds


class World:
    """Ledger, target and time. `events` are the log of all runs."""

    def __init__(self, *tables: TableSettings) -> None:
        self.tables = tables
        self.seconds = float(NOON)
        self.clock = Clock(lambda: self.seconds, lambda: self.seconds, self.sleep)
        self.ledger = MemoryLedger(self.clock.utc())
        self.target = JobsOnly(self.clock)
        self.events: list[dict[str, Any]] = []
        self.runs = 0

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def context(self) -> EvaluationContext:
        """The context of one more run."""
        self.runs += 1
        run_id = f"r{self.runs}"
        return EvaluationContext(
            run_id=run_id,
            target=cast(Target, self.target),
            ledger=cast(Ledger, self.ledger),
            events=EventLog(run_id, self.events.append),
            clock=self.clock,
            deadline=Deadline.after(self.clock, HOUR),
        )

    def sync(self) -> list[str]:
        """Load all tables, collect and launch. -> the names of what was started."""
        context, now = self.context(), self.clock.utc()
        known = collect(context, self.tables, everything=True)
        loaded = [LoadedTable(each, NOON) for each in self.tables]
        started = launch(context, loaded, self.target.schema(), known)
        self.ledger.syncs = {each.name: LastSync(now, now, NOON) for each in self.tables}
        return [each.name for each in started]

    def watch(self) -> list[str]:
        """Look at what is open. -> the names of what was started."""
        context = self.context()
        records = self.ledger.watch_records([], self.clock.utc(), self.clock.utc())
        return [each.name for each in resume(context, self.tables, records)]

    def named(self, event: str) -> list[str]:
        """The messages of an event."""
        return [each["message"] for each in self.events if each["event"] == event]


# -- one at a time


def test_one_at_a_time() -> None:
    """A sync starts one. Watches start the others, each after the one before has ended."""
    world = World(table("user", "one", "two"), table("web", "three"))
    started = world.sync()
    for _ in range(6):
        world.sleep(10 * MINUTE)
        started += world.watch()
    assert started == ["one", "two", "three"]
    assert world.target.most_at_once == 1
    assert world.ledger.states() == ["finished"] * 3


def test_a_running_one_is_not_joined() -> None:
    """While a job runs neither a sync nor a watch starts another. The sync reports it."""
    world = World(table("web", "one", "two"))
    world.sync()
    world.events.clear()
    world.sleep(MINUTE)
    assert world.sync() == []
    assert world.watch() == []
    assert len(world.target.started) == 1
    assert [("still runs" in message) for message in world.named("evaluation_skipped")] == [
        True,
        False,
    ]
    assert world.named("evaluation_started") == []


def test_the_longest_wait_comes_first() -> None:
    """Where nobody watches, one evaluation runs a night, each in its turn."""
    world = World(table("web", "one", "two", "three"))
    started = []
    for _ in range(6):
        started += world.sync()
        world.sleep(10 * MINUTE)
    assert started == ["one", "two", "three"] * 2


def test_nothing_is_due_twice() -> None:
    """After one sync each evaluation is started once."""
    world = World(table("web", "one", "two"))
    started = world.sync()
    for _ in range(30):
        world.sleep(10 * MINUTE)
        started += world.watch()
    assert started == ["one", "two"]


def test_a_watch_with_nothing_to_do() -> None:
    """Nothing open and nothing due: one read of the ledger, and no request."""
    world = World(table("web", "one"))
    world.sync()
    world.sleep(10 * MINUTE)
    world.watch()
    requests, reads = world.target.requests, world.ledger.reads
    world.watch()
    assert world.target.requests == requests
    assert world.ledger.reads == reads + 1


def test_a_table_that_was_never_synced() -> None:
    """A watch starts nothing for a table without a good sync."""
    world = World(table("web", "one"))
    assert world.watch() == []
    assert world.target.requests == 0


def test_an_unknown_start_is_lost() -> None:
    """After a start without an answer no other one is started beside it. It is tried again."""
    world = World(table("web", "one", "two"))
    world.target.start_errors = [OutcomeUnknown("no answer")]
    assert world.sync() == []
    assert world.ledger.states() == ["lost"]
    world.sleep(10 * MINUTE)
    assert world.watch() == ["two"]
    world.sleep(10 * MINUTE)
    assert world.watch() == ["one"]


def test_without_the_ledger_nothing_starts() -> None:
    """What runs is not known, so nothing is started, and each is reported."""
    world = World(table("web", "one", "two"))
    world.ledger.error = Unavailable("no ledger")
    assert world.sync() == []
    assert len(world.named("evaluation_skipped")) == 2
    assert world.target.started == {}


# -- results arrive


def look_until_the_end(world: World, start_minute: int, job_minutes: int, pause: int) -> list[str]:
    """One sync at a minute of the hour, then looks at every multiple of `pause` minutes.

    Returns the states of the evaluations once a result is there, or the starts are used up.
    """
    world.target.seconds = job_minutes * MINUTE
    world.sleep(start_minute * MINUTE)
    world.sync()
    while "finished" not in (states := world.ledger.states()):
        if states.count("lost") == MAX_STARTS:
            break
        past = (world.seconds - NOON) % (pause * MINUTE)
        world.sleep(pause * MINUTE - past)
        world.watch()
    return world.ledger.states()


def simulate(pause: int, job_lengths: Iterable[int]) -> tuple[int, int]:
    """A sync at every minute between two looks, for each length of a job in minutes.

    Returns how many simulations lost a result, and how many there were.
    """
    cases = [(start, minutes) for start in range(pause) for minutes in job_lengths]
    lost = 0
    for start_minute, job_minutes in cases:
        world = World(table("web", "one"))
        lost += "lost" in look_until_the_end(world, start_minute, job_minutes, pause)
    return lost, len(cases)


def test_no_result_is_lost_with_frequent_looks() -> None:
    """A look every ten minutes comes before Aito forgets the result, whatever the start is."""
    assert simulate(pause=10, job_lengths=range(1, 61)) == (0, 600)


def test_results_are_lost_with_hourly_looks() -> None:
    """An hourly look comes too late for three of four results."""
    lost, simulated = simulate(pause=60, job_lengths=range(1, 61, 10))
    assert lost > 0.7 * simulated


def test_the_expiry_of_a_result_is_recorded() -> None:
    """The end of an evaluation has it. One whose result cannot be read now stays open with it."""
    world = World(table("web", "one"))
    world.sync()
    world.sleep(10 * MINUTE)
    world.target.answer_errors = [OutcomeUnknown("no answer", Unknown.NO_ANSWER)]
    world.watch()
    (record,) = world.ledger.rows.values()
    assert record.is_open
    assert record.expires_at == datetime.fromtimestamp(NOON + 5 * MINUTE + KEPT, UTC)
    assert "can be read until 12:20 UTC" in world.named("evaluation_failed")[0]
    world.watch()
    (finished,) = world.ledger.rows.values()
    assert (finished.state, finished.expires_at) == ("finished", record.expires_at)


def test_an_unread_result_is_lost_when_it_has_expired() -> None:
    """It is not waited for a day when Aito has said that the result is gone by then."""
    world = World(table("web", "one"))
    world.sync()
    world.sleep(10 * MINUTE)
    world.target.answer_errors = [OutcomeUnknown("no answer", Unknown.NO_ANSWER)] * 2
    world.watch()
    world.sleep(11 * MINUTE)
    assert world.watch() == ["one"]
    assert world.ledger.states() == ["lost", "started"]
    assert "expired at 12:20 UTC" in world.named("evaluation_failed")[-1]


def test_an_expired_result_is_lost_and_restarted() -> None:
    """The reason says that the result has expired. The same watch starts the evaluation again."""
    world = World(table("web", "one"))
    world.sync()
    world.sleep(HOUR)
    assert world.watch() == ["one"]
    assert world.ledger.states() == ["lost", "started"]
    assert "expired" in world.named("evaluation_failed")[0]


def test_restarts_are_limited() -> None:
    """Who looks once an hour loses each result. The evaluation is not started for ever."""
    world = World(table("web", "one"))
    world.sync()
    for _ in range(24):
        world.sleep(HOUR)
        world.watch()
    assert world.ledger.states() == ["lost"] * MAX_STARTS
    assert len(world.target.started) == MAX_STARTS


# -- waiting


def test_wait() -> None:
    """Waiting collects and starts evaluations until none is open or due."""
    world = World(table("web", "one", "two"), table("user", "three"))
    world.sync()
    began = world.seconds
    records = wait_for(world.context(), world.tables, HOUR)
    assert [record.state for record in records] == ["finished"] * 3
    assert world.ledger.states() == ["finished"] * 3
    assert world.target.most_at_once == 1
    assert world.seconds - began < 3 * (5 * MINUTE + 30)


def test_wait_for_named_tables() -> None:
    """Others are not waited for, but one that runs is let end before the named one starts."""
    world = World(table("user", "slow", "later"), table("web", "named"))
    assert world.sync() == ["slow"]
    wait_for(world.context(), world.tables, HOUR, ["web"])
    states = {record.name: record.state for record in world.ledger.rows.values()}
    assert states == {"slow": "finished", "named": "finished"}
    before = world.seconds
    wait_for(world.context(), world.tables, HOUR, ["web"])
    assert world.seconds == before


def test_wait_judges_evaluations_of_other_tables() -> None:
    """One of a table that is not named is judged by its own settings all the same."""
    strict = EvaluationSettings(name="strict", predict="path", min_accuracy=0.9)
    user = table("user").model_copy(update={"evaluate": (strict,)})
    world = World(user, table("web", "named"))
    world.sync()
    wait_for(world.context(), world.tables, HOUR, ["web"])
    finished = [each for each in world.events if each["event"] == "evaluation_finished"]
    assert [bool(each["finding"]) for each in finished] == [True, False]


def test_wait_ends_with_its_time() -> None:
    """What has not ended by then stays open."""
    world = World(table("web", "one"))
    world.target.seconds = 2 * HOUR
    world.sync()
    (record,) = wait_for(world.context(), world.tables, HOUR)
    assert record.is_open
    assert world.seconds == NOON + HOUR


def test_wait_without_evaluations() -> None:
    """Nothing open and nothing due: no request and no pause."""
    world = World(table("web"))
    world.sync()
    requests = world.target.requests
    assert wait_for(world.context(), world.tables, HOUR) == []
    assert world.target.requests == requests
    assert world.seconds == NOON


def test_wait_ends_when_the_process_is_stopped() -> None:
    """Ctrl-C ends the wait within two seconds."""
    world = World(table("web", "one"))
    world.target.seconds = 2 * HOUR
    world.sync()
    context = world.context()
    stopped = replace(context.deadline, stopped=lambda: world.seconds > NOON + 10 * MINUTE)
    wait_for(replace(context, deadline=stopped), world.tables, 2 * HOUR)
    assert world.seconds <= NOON + 10 * MINUTE + 2
