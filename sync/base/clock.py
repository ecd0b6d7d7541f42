"""Time as an argument: what a run needs of the clock, and how much of its budget is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sync.base.errors import OutOfTime


@dataclass(frozen=True)
class Clock:
    """`now`: epoch seconds; `monotonic`: seconds that never jump; `sleep`:
    waits so many seconds.
    """

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def timestamp(self) -> str:
        """Now, as the text of a TIMESTAMP."""
        return datetime.fromtimestamp(self.now(), UTC).isoformat()


@dataclass(frozen=True)
class Deadline:
    """The end of a run's time. `stopped` tells whether the process was asked to end sooner."""

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
        """Seconds left; 0 when it is over or the process was told to stop."""
        return 0.0 if self.stopped() else max(0.0, self.at - self.clock.monotonic())

    @property
    def over(self) -> bool:
        """Whether to stop at the next edge."""
        return self.left <= 0

    def check(self, where: str) -> None:
        """Raises OutOfTime when it is over."""
        if self.over:
            why = (
                "the process was told to stop" if self.stopped() else "time_budget_seconds is spent"
            )
            raise OutOfTime(f"{where}: {why}; the next call continues")
