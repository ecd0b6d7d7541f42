"""What all tables of one run share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sync.base.clock import Clock, Deadline
from sync.base.events import EventLog
from sync.config import Settings
from sync.model.ports import Lease, Ledger, Target
from sync.model.request import Request

Publish = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class RunContext:
    """What all tables of one run share.

    now: end of every window, epoch seconds. publish: asks for the rest of a run by a message, and
    raises Unavailable; None: no topic is configured. key_may_write: whether that is known; a dry
    run asks otherwise.
    """

    run_id: str
    now: int
    request: Request
    settings: Settings
    target: Target
    ledger: Ledger
    lease: Lease
    events: EventLog
    clock: Clock
    deadline: Deadline
    publish: Publish | None = None
    started: float = field(default=0.0)  # on the monotonic clock
    key_may_write: bool = False
