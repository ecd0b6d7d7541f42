"""Time as an argument: what a run needs of the clock, and how much of its budget is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sync.base.errors import OutOfTime


def _boot_time() -> float:
    """Seconds since the machine started. Runs on while the machine sleeps, where the OS can."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


@dataclass(frozen=True)
class Clock:
    """The clocks of a run, all in seconds.

    now: epoch seconds. monotonic: never jumps and runs on while the machine sleeps.
    sleep: waits so many seconds.
    """

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = _boot_time
    sleep: Callable[[float], None] = time.sleep

    def timestamp(self) -> str:
        """Now, as the text of a TIMESTAMP."""
        return datetime.fromtimestamp(self.now(), UTC).isoformat()

    def utc(self) -> datetime:
        """Now, as an aware datetime."""
        return datetime.fromtimestamp(self.now(), UTC)


@dataclass(frozen=True)
class Deadline:
    """The end of a run's time. `stopped` says whether the process was requested to end sooner."""

    clock: Clock
    at: float  # on the monotonic clock
    stopped: Callable[[], bool] = field(default=lambda: False)

    @classmethod
    def after(
        cls, clock: Clock, seconds: float, stopped: Callable[[], bool] = lambda: False
    ) -> Deadline:
        """A deadline `seconds` from now."""
        return cls(clock, clock.monotonic() + seconds, stopped)

    @property
    def left(self) -> float:
        """Seconds left; 0 when the time is over or the process was requested to stop."""
        if self.stopped():
            return 0.0
        return max(0.0, self.at - self.clock.monotonic())

    @property
    def over(self) -> bool:
        """Whether to stop at the next possible point."""
        return self.left <= 0

    def check(self, what: str) -> None:
        """Raises OutOfTime when the time is over. what: the work that would begin now."""
        if not self.over:
            return
        stopped = self.stopped()
        why = "the process was requested to stop" if stopped else "time_budget_seconds is spent"
        raise OutOfTime(f"{what}: {why}; the next call continues")
