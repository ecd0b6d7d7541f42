"""One assumption about Aito: what is tried, what is expected, and what follows otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sync.aito.answers import Answer
from sync.aito.checks.tables import filled, name_of
from sync.aito.probe import Probe, Row, described, succeeded

# None: Aito does as is assumed. Otherwise words about what it does instead.
Finding = str | None
Try = Callable[[Probe], Finding]
Sends = Callable[[Probe], Any]
Expects = Callable[[Any], bool]


@dataclass(frozen=True)
class Check:
    """One assumption.

    assumed: what Aito does. where: what relies on it. otherwise: what the sync does if it differs.
    tries: find out, one after the other, and raise Unclear when they cannot. The first one that
    finds a difference is the last.
    reads_only: whether a read-only key is enough and no table is made.
    """

    name: str
    assumed: str
    where: str
    otherwise: str
    tries: tuple[Try, ...]
    reads_only: bool = False

    def run(self, probe: Probe) -> Finding:
        """What Aito does instead of what is assumed; None: nothing else."""
        findings = (attempt(probe) for attempt in self.tries)
        return next((finding for finding in findings if finding is not None), None)


@dataclass(frozen=True)
class Step:
    """A try: what is sent, what is expected, and what was found otherwise.

    sends: asks Aito, and returns an answer or what was read of it.
    found: words; `{}` stands for what `sends` returned.
    """

    sends: Sends
    expects: Expects
    found: str

    def __call__(self, probe: Probe) -> Finding:
        """Send, and compare."""
        outcome = self.sends(probe)
        if self.expects(outcome):
            return None
        shown = described(outcome) if isinstance(outcome, Answer) else outcome
        return self.found.format(shown)


def each(*tries: Try) -> Try:
    """A try that makes all of these, also after a difference."""

    def all_of_them(probe: Probe) -> Finding:
        findings = [attempt(probe) for attempt in tries]
        return "; ".join(finding for finding in findings if finding) or None

    return all_of_them


# -- what is sent. A name in braces stands for a throw-away table, see tables.py.


def request(method: str, path: str, body: Any = None, headers: Row | None = None) -> Sends:
    """Send a request and return its answer. headers: in place of the key."""
    return lambda probe: probe.ask(method, filled(probe, path), filled(probe, body), headers)


def insert(table: str, *rows: Row) -> Sends:
    """Send rows and return the answer."""
    return request("POST", f"data/{{{table}}}/batch", rows)


def hits(table: str, **query: Any) -> Sends:
    """The hits of a search."""
    return lambda probe: probe.search(name_of(probe, table), **query)[1]


def count(table: str, where: Row | None = None) -> Sends:
    """How many rows match."""
    return lambda probe: probe.count(name_of(probe, table), where)


# -- what is expected


def equals(wanted: Any) -> Expects:
    """This and nothing else."""
    return lambda found: bool(found == wanted)


def status(*wanted: int) -> Expects:
    """An answer with one of these statuses."""
    return lambda answer: answer.status in wanted


taken: Expects = succeeded


def refused(answer: Answer) -> bool:
    """An answer that is no success."""
    return not succeeded(answer)
