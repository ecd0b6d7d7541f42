"""What a sync depends on, and whether it was reached. Values for the command `check`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sync.base.errors import SyncError


@dataclass(frozen=True)
class Part:
    """One part that a sync depends on, such as BigQuery.

    detail: what was found. error: why it could not be used; None: it could.
    """

    name: str
    detail: str = ""
    error: SyncError | None = None

    def to_json(self) -> dict[str, str | bool]:
        """The part for a program that reads `check --json`."""
        text = self.detail if self.error is None else str(self.error)
        return {"part": self.name, "ok": self.error is None, "detail": text}


@dataclass
class Parts:
    """Looks at one part after the other. A part that fails does not stop the next one."""

    on_part: Callable[[Part], None] = lambda _: None
    found: list[Part] = field(default_factory=list)

    def look(self, name: str, describe: Callable[[], str]) -> bool:
        """Look at one part. Returns whether it can be used.

        describe: reaches the part and says what it found. Raises SyncError when it cannot.
        """
        try:
            part = Part(name, describe())
        except SyncError as error:
            part = Part(name, error=error)
        self.found.append(part)
        self.on_part(part)
        return part.error is None

    @property
    def errors(self) -> list[SyncError]:
        """Why parts could not be used."""
        return [part.error for part in self.found if part.error is not None]
