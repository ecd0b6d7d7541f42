"""Ends a run from a shell in good order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable


def stop_on_signal() -> Callable[[], bool]:
    """Whether Ctrl-C or SIGTERM came since this call. A run that asks ends at the next batch.

    The second signal ends the process at once.
    """
    stop = threading.Event()

    def handler(number: int, _: object) -> None:
        stop.set()
        second = signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler
        signal.signal(number, second)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)
    return stop.is_set
