"""Chaos inside this process: what no fault of a server can show.

A round has a table of its own. In each of its nights a few of these are thrown: a source that
changes before every query, a write that is applied up to two runs late, a process that sleeps
between its lease check and the socket while another run comes and goes, a changed configuration, a
second lease row, a run that is stopped again and again. A round may also be one over twelve tables
of which each call has time for a few. After each night comes a quiet run, and both ends are equal.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from local.stack import Stack
from sync.aito.wire import Wire
from tests.faults import before_every_query
from tests.workbench import DAY, HOUR, LONG_AGO, Clock, Row, RunReport, Workbench, batches_of, row

MOST_WITHOUT_PROGRESS = 20  # calls in a row
MOST_CALLS = 150  # until a run is ok
FAULTS = ("error", "cut", "unavailable", "gateway", "contention", "html", "too_large")
UNKNOWN = ("error", "cut", "unavailable", "gateway", "html")  # may be applied later
KINDS = ("insert", "modify", "search", "delete", "any")


class Stuck(Exception):
    """Both ends differ after a quiet run, or calls bring nothing for too long."""


@dataclass
class ChangingBench(Workbench):
    """A workbench whose configuration may change: `suffix` is appended to each value."""

    suffix: str = ""

    def table_config(self) -> Row:
        """The own table, with a column that is made by SQL once there is a suffix."""
        config = super().table_config()
        if self.suffix:
            made = {"sql": f"CONCAT(value, '{self.suffix}')"}
            config["columns"] = {"id": None, "at": None, "value": made}
        return config

    def expected_row(self, source_row: Row) -> Row:
        """A row as Aito shows it with this configuration."""
        expected = super().expected_row(source_row)
        return {**expected, "value": expected["value"] + self.suffix}


@dataclass
class Dice:
    """Plays rounds, and counts what happened."""

    stack: Stack
    thrown: dict[str, int] = field(default_factory=dict)
    calls: int = 0

    def round(self, dice: random.Random, name: str) -> None:
        """One round. Raises Stuck."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sync.model.window.SLICE_ROWS", dice.choice((5, 20, 50_000)))
            if dice.random() < 0.12:
                self._twelve_tables(dice, name)
            else:
                self._one_table(dice, name)

    # -- one table

    def _one_table(self, dice: random.Random, name: str) -> None:
        moves = dice.random() < 0.4
        # What changes further back than the lookback is found by a reconcile, and not by a sync.
        lookback = "30d" if moves else dice.choice(("1s", "1h", "2d"))
        bench = ChangingBench(
            self.stack,
            name,
            dice.choice(("append", "merge", "merge")),
            dice.choice((None, 40 * DAY)),
            dataset=name,
            numbered=dice.random() < 0.3,
            table={"lookback": lookback, "delete": {"max_share": 1.0}},
            settings=batches_of(dice.choice((7, 50))),
        )
        keys = itertools.count()
        bench.put(_rows(dice, bench, keys, dice.randrange(5, 60)))
        for _ in range(dice.randrange(2, 5)):
            self._night(dice, bench, keys, moves=moves)
            bench.now += dice.choice((60, HOUR, DAY))
            bench.put(_rows(dice, bench, keys, dice.randrange(15)))
        self._quiet(bench)
        bench.aito.forget_late()
        bench.aito.drop_table(bench.name)

    def _night(
        self, dice: random.Random, bench: ChangingBench, keys: Iterator[int], *, moves: bool
    ) -> None:
        """Some runs with whatever the dice show, then a quiet one."""
        request: Row = {}
        if dice.random() < 0.25:
            self._count("configuration")
            bench.suffix = dice.choice(("", "!", "?"))
        if dice.random() < 0.2:
            request = dice.choice(({"full_refresh": True}, {"action": "reconcile"}))
            self._count(next(iter(request)))
        if dice.random() < 0.15:
            self._count("two lease rows")
            self._second_lease(bench)
        for _ in range(dice.randrange(4)):
            self._fault(dice, bench)
        with pytest.MonkeyPatch.context() as patch:
            if moves and dice.random() < 0.8:
                self._count("moving source")
                before_every_query(patch, _reads(bench), lambda: _change(dice, bench, keys))
            if dice.random() < 0.3:
                self._count("sleeping process")
                self._run_asleep(dice, bench, patch, request)
            elif dice.random() < 0.4:
                self._count("stopped")
                self._stopped(dice, bench, request)
            else:
                self._call(bench, **request)
        if dice.random() < 0.5:
            self._late(bench)
        bench.aito.heal()
        bench.expire_leases()
        self._quiet(bench)
        if self._late(bench):
            self._quiet(bench)

    def _quiet(self, bench: Workbench) -> None:
        """Runs without any trouble, until one is ok. Both ends are equal then.

        A row that was moved behind the window comes in its turn: a minute has passed.
        """
        bench.now += 60
        errors = []
        for _ in range(4):
            report = self._call(bench)
            if report.status == "ok":
                differences = bench.differences()
                if differences:
                    raise Stuck(f"{len(differences)} differences: {differences[:5]}")
                return
            errors.append(report.tables[0].error)
        raise Stuck(f"a quiet run is not ok: {errors}")

    def _call(self, bench: Workbench, *tables: Row, **options: Any) -> RunReport:
        self.calls += 1
        return bench.run(*tables, **options)

    def _count(self, what: str) -> None:
        self.thrown[what] = self.thrown.get(what, 0) + 1

    # -- what the dice show

    def _fault(self, dice: random.Random, bench: Workbench) -> None:
        apply = dice.choice(("none", "half", "all", "late", "late"))
        self._count(f"fault {apply}")
        kind, what = dice.choice(KINDS), dice.choice(FAULTS)
        if apply == "late":
            kind, what = dice.choice(("insert", "modify")), dice.choice(UNKNOWN)
        bench.aito.fail(what, on=kind, apply=apply, skip=dice.randrange(6))

    def _late(self, bench: Workbench) -> int:
        """Apply the writes that were kept back."""
        landed = bench.aito.land()
        if landed:
            self._count("late write")
        return landed

    def _second_lease(self, bench: Workbench) -> None:
        if bench.name in bench.aito.schema():
            bench.insert_lease("dead", LONG_AGO)

    def _run_asleep(
        self, dice: random.Random, bench: Workbench, patch: pytest.MonkeyPatch, request: Row
    ) -> None:
        """A run sleeps between a lease check and its socket. Another run comes and goes meanwhile.

        The clock runs on, so the sleeper knows when it wakes. Its write is sent all the same.
        """
        sent = itertools.count()
        sleeps_at = dice.randrange(12)
        seconds = [0.0]
        exchange = Wire.exchange

        def slow_exchange(wire: Wire, method: str, path: str, *rest: Any) -> Any:
            if "/data/" in path and next(sent) == sleeps_at:
                seconds[0] = 1000.0
                bench.expire_leases()
                self._call(bench)
            return exchange(wire, method, path, *rest)

        patch.setattr(Wire, "exchange", slow_exchange)
        clock = Clock(now=lambda: bench.now, monotonic=lambda: seconds[0], sleep=lambda _: None)
        bench.settings = {**(bench.settings or {}), "time_budget_seconds": 3000}
        self._call(bench, clock=clock, **request)
        patch.setattr(Wire, "exchange", exchange)

    def _stopped(self, dice: random.Random, bench: Workbench, request: Row) -> None:
        """Calls that are stopped after a few looks at the clock, until one is ok."""
        patience = dice.randrange(4)
        watch = Watch(bench)
        for _ in range(MOST_CALLS):
            looks = itertools.count()
            report = self._call(bench, stopped=lambda i=looks: next(i) > patience, **request)
            bench.now += 1
            if report.tables[0].status != "partial":
                return
            watch.look()
        raise Stuck(f"partial after {MOST_CALLS} calls: {report.tables[0].error}")

    # -- twelve tables

    def _twelve_tables(self, dice: random.Random, name: str) -> None:
        """Each call has time for a few tables, and the first ones always have news."""
        self._count("twelve tables")
        benches = [
            Workbench(
                self.stack,
                f"{name}_{number:02}",
                dice.choice(("append", "merge")),
                dataset=f"{name}_{number:02}",
                shared_ledger=f"{name}_ledger",
                settings=batches_of(4),
            )
            for number in range(12)
        ]
        for bench in benches:
            bench.put([row(f"k{i}", bench.now - 60 - i) for i in range(dice.randrange(1, 12))])
        tables = [bench.table_config() for bench in benches]
        first = benches[0]
        watch = Watch(*benches)
        for number in range(60):
            looks, patience = itertools.count(), dice.randrange(1, 40)
            first.put([row(f"n{number}", first.now - 40)])
            for bench in benches:
                bench.now += 1
            report = self._call(first, *tables, stopped=lambda i=looks, n=patience: next(i) > n)
            watch.look()
            reached = [bench for bench in benches if bench.aito_rows()]
            if report.status == "ok" or (len(reached) == 12 and number > 12):
                break
        else:
            raise Stuck(f"{12 - len(reached)} of twelve tables are never reached")
        for bench in benches:
            bench.now += 1
        if self._call(first, *tables).status != "ok":
            raise Stuck("a quiet run over twelve tables is not ok")
        for bench in benches:
            if differences := bench.differences():
                raise Stuck(f"{bench.name}: {differences[:5]}")
            bench.aito.drop_table(bench.name)


class Watch:
    """Whether calls bring anything: rows in Aito, or another checkpoint, or another turn."""

    def __init__(self, *benches: Workbench) -> None:
        self._benches = benches
        self._begun = benches[0].now
        self._last: object = None
        self._idle = 0

    def look(self) -> None:
        """After a call. Raises Stuck after too many that brought nothing."""
        checkpoints = sorted(self._benches[0].ledger_rows("checkpoints"), key=_moment)[-20:]
        seen = repr(
            [
                [self._position(each) for each in checkpoints],
                [sorted(map(repr, bench.aito_rows())) for bench in self._benches],
            ]
        )
        self._idle = self._idle + 1 if seen == self._last else 0
        self._last = seen
        if self._idle > MOST_WITHOUT_PROGRESS:
            raise Stuck(f"{self._idle} calls in a row brought nothing")

    def _position(self, checkpoint: Row) -> list[object]:
        """How far a checkpoint says that the work has come.

        A window ends later in each call. What was gone through counts up to the first call alone.
        """
        names = ("table", "action", "resume_token", "verify_from", "compared_from")
        covered = checkpoint["covered_until"]
        reached = covered if covered is None else min(covered, int(self._begun))
        return [*(checkpoint[name] for name in names), reached]


def _moment(checkpoint: Row) -> Any:
    return checkpoint["updated_at"]


def _reads(bench: Workbench) -> Callable[[str], bool]:
    """Whether a query reads the workbench's source."""
    return lambda text: text.startswith("WITH") and f"{bench.dataset}.rows`" in text


def _rows(dice: random.Random, bench: Workbench, keys: Iterator[int], count: int) -> list[Row]:
    """New rows, none older than the newest. In `merge` some keys come again."""
    moments = [datetime.fromisoformat(each["at"]).timestamp() for each in bench.source_rows]
    newest = min(max(moments, default=bench.now - 20 * HOUR), bench.now - 1)
    made = []
    for _ in range(count):
        number = next(keys)
        key = number if bench.numbered else f"k{number:05}"
        made.append(row(key, dice.uniform(newest, bench.now), f"v{number}"))
    if bench.mode == "merge" and bench.source_rows:
        for each in dice.sample(bench.source_rows, min(3, len(bench.source_rows))):
            made.append(row(each["id"], dice.uniform(newest, bench.now), "changed"))
    return made


def _change(dice: random.Random, bench: Workbench, keys: Iterator[int]) -> None:
    """One change of the source while a run reads it."""
    kind = dice.choice(("late", "late", "deleted", "updated"))
    if kind == "late" or not bench.source_rows:
        bench.put(_late_row(dice, bench, next(keys)))
    elif kind == "deleted" or bench.mode == "append":
        bench.delete_from_source([dice.choice(bench.source_rows)["id"]])
    else:
        _update(dice, bench)


def _late_row(dice: random.Random, bench: Workbench, number: int) -> list[Row]:
    key = number if bench.numbered else f"k{number:05}"
    return [row(key, bench.now - dice.uniform(1, 30), f"late {number}")]


def _update(dice: random.Random, bench: Workbench) -> None:
    """Replace all rows of a key by one, which may come after the window."""
    key = dice.choice(bench.source_rows)["id"]
    bench.delete_from_source([key])
    bench.put([row(key, bench.now + dice.choice((-1, -20, 40)), "updated")])


@contextmanager
def played(stack: Stack) -> Iterator[Dice]:
    """Dice, and a healthy Aito after them."""
    dice = Dice(stack)
    try:
        yield dice
    finally:
        stack.aito.heal()
        stack.aito.forget_late()
