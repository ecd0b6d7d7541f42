"""Waits for evaluations (`--wait`).

Aito keeps a result for about 15 minutes. So the wait looks much more often.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sync.base.clock import Clock

SECONDS_BETWEEN_LOOKS = 20
MAX_SECONDS = 7_200  # an evaluation that takes longer is collected by a later `watch`

Facts = Mapping[str, Any]  # what GET /?format=json answers


def wait_for_evaluations(
    collect: Callable[[], None],
    look: Callable[[], Facts],
    stopped: Callable[[], bool],
    clock: Clock,
) -> Facts:
    """Call `collect` and `look` until `look` shows no evaluation that runs. Returns what it shows.

    Returns earlier when `stopped` says so, or after MAX_SECONDS. Raises what the calls raise.
    """
    end = clock.monotonic() + MAX_SECONDS
    while True:
        collect()
        found = look()
        if not is_running(found) or stopped() or clock.monotonic() >= end:
            return found
        _pause(stopped, clock)


def is_running(found: Facts) -> bool:
    """Whether any evaluation runs."""
    return any(each["running"] for table in found["tables"] for each in table["evaluations"])


def _pause(stopped: Callable[[], bool], clock: Clock) -> None:
    """A pause that a signal ends within a second."""
    for _ in range(SECONDS_BETWEEN_LOOKS):
        if stopped():
            return
        clock.sleep(1)
