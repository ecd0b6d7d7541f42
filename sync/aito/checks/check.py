"""One assumption about Aito, with the function that tries it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sync.aito.probe import Probe

# None: Aito does as is assumed. Otherwise words about what it does instead.
Finding = str | None
Try = Callable[[Probe], Finding]


@dataclass(frozen=True)
class Check:
    """One assumption.

    assumed: what Aito does. where: what relies on it. otherwise: what the sync does if it differs.
    run: tries it, and raises Unclear when it cannot find out.
    reads_only: whether a read-only key is enough and no table is made.
    """

    name: str
    assumed: str
    where: str
    otherwise: str
    run: Try
    reads_only: bool = False


def check(
    name: str, *, assumed: str, where: str, otherwise: str, reads_only: bool = False
) -> Callable[[Try], Check]:
    """Make a check of a function. The texts are those of `Check`."""

    def decorate(run: Try) -> Check:
        return Check(name, assumed, where, otherwise, run, reads_only)

    return decorate
