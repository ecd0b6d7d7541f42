"""Random sequences of configuration changes, data changes and runs.

After each `ok` without `refresh_pending` the promise holds for the configuration of that moment.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.stack import Stack
from tests.workbench import DAY, HOUR, Row, Workbench, row

NAMES = itertools.count()
LOOKBACK = 2 * HOUR
GUARDS = frozenset(["purge", "delete", "empty_source"])


@dataclass(frozen=True)
class Step:
    """What happens before a run, and the run.

    keep: days. loud: the value has another expression. hides: `where` leaves rows out.
    extra: a further column. new, late, changed, gone: rows that the source gets, gets late, changes
    (in `merge`) and loses. hours: until the run. looks: after so many looks at the clock the run
    is asked to end. allowed: the guards are lifted. since: the request names a range that begins so
    many hours ago; None: it names none.
    """

    keep: int
    loud: bool
    hides: bool
    extra: bool
    new: int
    late: int
    changed: int
    gone: int
    hours: int
    looks: int
    reconciles: bool
    allowed: bool
    since: int | None


STEPS = st.builds(
    Step,
    keep=st.sampled_from([2, 4, 7]),
    loud=st.booleans(),
    hides=st.booleans(),
    extra=st.booleans(),
    new=st.integers(0, 12),
    late=st.integers(0, 2),
    changed=st.integers(0, 3),
    gone=st.sampled_from([0, 0, 0, 2]),
    hours=st.sampled_from([1, 12, 30]),
    looks=st.sampled_from([2, 5, 1000, 1000]),
    reconciles=st.booleans(),
    allowed=st.sampled_from([True, True, False]),
    since=st.sampled_from([None, None, None, 3, 60]),
)
SEQUENCES = st.tuples(st.sampled_from(["append", "merge"]), st.lists(STEPS, min_size=2, max_size=4))


class Play:
    """One sequence on a table of its own."""

    def __init__(self, stack: Stack, mode: str) -> None:
        settings = {"batch": {"rows": 5}}
        self.bench = Workbench(stack, f"sequence_{next(NAMES)}", mode, settings=settings)
        self._numbers = itertools.count()
        self._step: Step | None = None
        self.bench.put(self._fresh(40, 5 * DAY))

    def take(self, step: Step) -> None:
        """Change data and configuration, run, and hold the promise."""
        bench = self.bench
        self._step = step
        bench.now += step.hours * HOUR
        bench.put(self._fresh(step.new, step.hours * HOUR) + self._late(step) + self._changed(step))
        bench.keep = step.keep * DAY
        bench.table = self._config(step)
        reconciles = step.reconciles or self._lose(step)
        report = bench.run(
            action="reconcile" if reconciles else "sync",
            allow=GUARDS if step.allowed else frozenset(),
            stopped=_after(step.looks),
            since=None if step.since is None else bench.now - step.since * HOUR,
        )
        (table,) = report.tables
        codes = {warning.code for warning in table.warnings}
        if table.status == "ok" and "refresh_pending" not in codes:
            assert self.held() == self.expected(), (step, table)

    def _fresh(self, count: int, seconds: int) -> list[Row]:
        gap = seconds // (count + 1)
        moments = [self.bench.now - 1 - gap * place for place in range(count)]
        return [self._row(moment) for moment in moments]

    def _row(self, moment: int) -> Row:
        number = next(self._numbers)
        return row(f"k{number:04}", moment, "hidden" if number % 12 == 7 else f"v{number % 5}")

    def _late(self, step: Step) -> list[Row]:
        """Rows that are not further behind than `lookback`, whatever the watermark is."""
        held = [each["unix"] for each in self.bench.aito_rows()]
        newest = max(held, default=self.bench.now)
        start = min(newest, self.bench.now) - LOOKBACK // 2
        return [self._row(start + place) for place in range(step.late)]

    def _changed(self, step: Step) -> list[Row]:
        """A newer row of a key that is there."""
        if self.bench.mode != "merge":
            return []
        known = [each["id"] for each in self.bench.source_rows][: step.changed]
        return [row(str(key), self.bench.now - 30, "changed") for key in dict.fromkeys(known)]

    def _lose(self, step: Step) -> bool:
        """Delete rows at the source. A reconcile of everything finds that."""
        loses = step.gone and step.since is None
        keys = [each["id"] for each in self.bench.source_rows[-step.gone :]] if loses else []
        if keys:
            self.bench.delete_from_source(keys)
        return bool(keys)

    def _config(self, step: Step) -> Row:
        sql = "CONCAT(value, '!')" if step.loud else "value"
        columns: dict[str, Any] = {"id": None, "value": {"sql": sql, "type": "String"}}
        if step.extra:
            columns["extra"] = {"sql": "UPPER(value)", "type": "String", "nullable": True}
        config: Row = {"columns": columns, "lookback": f"{LOOKBACK}s"}
        return {**config, "where": "value != 'hidden'"} if step.hides else config

    def held(self) -> dict[str, tuple[object, ...]]:
        """What Aito holds of the keep range, by key. Raises when a key is doubled."""
        start = self.bench.now - (self.bench.keep or 0)
        rows = [each for each in self.bench.aito_rows() if start <= each["unix"] < self.bench.now]
        found: dict[str, tuple[object, ...]] = {
            each["id"]: (each["unix"], each["value"], self._extra(each)) for each in rows
        }
        assert len(found) == len(rows), "a key is doubled"
        return found

    def _extra(self, held: Row) -> object:
        assert self._step
        return held.get("extra") if self._step.extra else None

    def expected(self) -> dict[str, tuple[object, ...]]:
        """The same of the source, by the configuration of now."""
        step, start = self._step, self.bench.now - (self.bench.keep or 0)
        assert step
        newest: dict[str, tuple[object, ...]] = {}
        for each in sorted(self.bench.source_rows, key=lambda each: str(each["at"])):
            second = int(datetime.fromisoformat(str(each["at"])).timestamp())
            is_hidden = step.hides and each["value"] == "hidden"
            if is_hidden or not start <= second < self.bench.now:
                continue
            value = str(each["value"])
            shown = f"{value}!" if step.loud else value
            newest[str(each["id"])] = (second, shown, value.upper() if step.extra else None)
        return newest


def _after(looks: int) -> Callable[[], bool]:
    """Ask the run to end when it has looked so often."""
    counted = itertools.count(1)
    return lambda: next(counted) > looks


def play(stack: Stack, sequence: tuple[str, list[Step]]) -> None:
    """Take all steps of a sequence."""
    mode, steps = sequence
    played = Play(stack, mode)
    for step in steps:
        played.take(step)


ENDLESS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


@settings(max_examples=2, deadline=None, derandomize=True, suppress_health_check=ENDLESS)
@given(sequence=SEQUENCES)
def test_a_few_sequences(stack: Stack, sequence: tuple[str, list[Step]]) -> None:
    """The same few each time."""
    play(stack, sequence)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=ENDLESS)
@given(sequence=SEQUENCES)
def test_many_sequences(stack: Stack, sequence: tuple[str, list[Step]]) -> None:
    """200 others each time."""
    play(stack, sequence)
