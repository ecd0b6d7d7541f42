"""A stage: rows of a source that were read in one go, and from which slices are read."""

from __future__ import annotations

from dataclasses import dataclass

from sync.model.window import Slice, Window


@dataclass(frozen=True)
class StagePlan:
    """What a stage is for. It is kept with the rows, for a run that reads on.

    token: who may read on; see pipeline.definition.token. None: nobody.
    window, slices, cursorless: of the load, as they were counted. Cursors are epoch seconds.
    first: the first of the slices whose rows were staged, up to the last one.
    """

    token: str | None
    window: Window
    slices: tuple[Slice, ...]
    first: int = 0
    cursorless: int = 0

    @property
    def staged(self) -> tuple[Slice, ...]:
        """The slices whose rows are in the stage."""
        return self.slices[self.first :]
