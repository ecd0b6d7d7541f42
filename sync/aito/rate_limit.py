"""A ceiling on requests per second."""

from __future__ import annotations

import collections
import threading

from sync.base.clock import Clock


class RateLimiter:
    """Allows at most `per_second` requests in any one second of this process. Safe for threads."""

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._span = 1.0 if per_second >= 1 else 1 / per_second
        self._recent: collections.deque[float] = collections.deque(maxlen=max(1, int(per_second)))
        self._clock = clock
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when the next request may be sent."""
        with self._lock:
            now = self._clock.monotonic()
            turn = self._next_turn(now)
            self._recent.append(turn)
        if turn > now:
            self._clock.sleep(turn - now)

    def _next_turn(self, now: float) -> float:
        if len(self._recent) < (self._recent.maxlen or 1):
            return now
        return max(now, self._recent[0] + self._span)
