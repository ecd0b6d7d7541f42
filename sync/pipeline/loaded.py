"""What a step with a table has come to, also when it ends early."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Loaded:
    """The result of a load or a reconcile. Cursors are epoch seconds; None: nothing.

    covered_until: end of what a run over everything has processed.
    unsettled_since: the earliest row of which a write may still be applied later.
    repaired_from: start of the first slice that was repaired.
    null_reads_false: the target was found to read a null in a Boolean column as false.
    verify_from: start of what the closing comparison has not compared, once it has begun.
    compared_from: it has compared all from here to `verify_from`, in this run or earlier ones.
    stage: from which slices are read. on_stage: is called when it was made.
    """

    covered_until: int | None = None
    unsettled_since: int | None = None
    repaired_from: int | None = None
    verify_from: int | None = None
    compared_from: int | None = None
    null_reads_false: bool = False
    stage: str | None = None
    on_stage: Callable[[str], None] = lambda _: None
