"""How long to wait before a request is sent again. The one policy for every caller.

The pause doubles with each attempt, with full jitter: a random part of it is waited, so that
callers that failed together do not come back together.
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from sync.base.clock import Deadline

ATTEMPTS = (
    5  # With the pauses below at most about eight seconds. A longer outage is the next run's.
)
FIRST_SECONDS = 0.5  # the longest first pause
LONGEST_SECONDS = 15.0  # the longest pause, and the most that a Retry-After is obeyed


@dataclass(frozen=True)
class Backoff:
    """The policy. `attempts` counts the first request too. `uniform` draws between two seconds."""

    attempts: int = ATTEMPTS
    first_seconds: float = FIRST_SECONDS
    longest_seconds: float = LONGEST_SECONDS
    uniform: Callable[[float, float], float] = random.uniform

    def pause(self, attempt: int, deadline: Deadline, retry_after: float | None = None) -> bool:
        """Wait before the attempt that follows `attempt`, which counts from 1.

        retry_after: seconds that the server named, which replace the drawn pause.
        Returns False, without waiting, when no attempt is left or when the pause would end after
        the deadline.
        """
        if attempt >= self.attempts:
            return False
        seconds = self._seconds(attempt, retry_after)
        if seconds >= deadline.left:
            return False
        deadline.clock.sleep(seconds)
        return True

    def _seconds(self, attempt: int, retry_after: float | None) -> float:
        if retry_after is not None:
            return min(max(0.0, retry_after), self.longest_seconds)
        doubled = self.first_seconds * 2 ** (attempt - 1)
        return self.uniform(0.0, min(doubled, self.longest_seconds))
