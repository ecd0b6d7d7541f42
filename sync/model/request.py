"""What a caller requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Action = Literal["sync", "reconcile", "watch", "retention"]


@dataclass(frozen=True)
class Request:
    """A request. tables None: all.

    allow: guards that are lifted for this run: `purge`, `delete`, `empty_source`.
    since, until: the cursor range to process instead, epoch seconds, `until` excluded.
    histories, evaluations: what a retention study tries, seconds and names; empty: the usual ones.
    """

    action: Action = "sync"
    tables: tuple[str, ...] | None = None
    dry_run: bool = False
    full_refresh: bool = False
    deep: bool = False
    allow: frozenset[str] = frozenset()
    since: int | None = None
    until: int | None = None
    histories: tuple[int, ...] = ()
    evaluations: tuple[str, ...] = ()

    @property
    def everything(self) -> bool:
        """Whether the whole keep range is processed, whatever the watermark."""
        return self.full_refresh or self.action == "reconcile"
