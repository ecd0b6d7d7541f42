"""Does a real Aito behave as the sync assumes? The checks, run, and their document.

Writes go to throw-away tables only. Their names begin with a prefix and the second of the start;
those that a killed run left behind are swept by the next run after an hour.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sync.aito.checks import CHECKS, Check
from sync.aito.probe import MAX_CALLS, PREFIX, TABLE, Probe, Unclear
from sync.aito.schema import read_schema
from sync.aito.transport import Transport
from sync.base.clock import Clock
from sync.base.errors import ActionRequired, SyncError

SWEEP_SECONDS = 3600.0  # A run of the checks takes minutes: what is older was left behind.
WHOLE_SECONDS = 1500.0  # for everything: the checks, the wait for an expiry, the clean-up
MAX_SECONDS = 300.0  # for the checks, without the wait for an expiry


class Outcome(enum.Enum):
    """What a check found."""

    PASS = "PASS"  # noqa: S105 - no password
    DIFFERS = "DIFFERS"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class CheckResult:
    """A check and what it found. found: words, empty for PASS."""

    check: Check
    outcome: Outcome
    found: str = ""

    @property
    def line(self) -> str:
        """The result in one line, for a terminal."""
        if self.outcome is Outcome.PASS:
            return f"PASS     {self.check.name}: {self.check.assumed}"
        if self.outcome is Outcome.UNKNOWN:
            return f"UNKNOWN  {self.check.name}: {self.found}"
        return f"DIFFERS  {self.check.name}: {self.found}. {self.check.otherwise}"

    def to_json(self) -> dict[str, str]:
        """The result for a program."""
        return {
            "check": self.check.name,
            "outcome": self.outcome.value,
            "assumed": self.check.assumed,
            "found": self.found,
            "otherwise": self.check.otherwise,
        }


@dataclass(frozen=True)
class ConformanceReport:
    """All results. build: as Aito names it. date: ISO 8601, when the checks began."""

    url: str
    build: str
    date: str
    results: tuple[CheckResult, ...]

    @property
    def differs(self) -> bool:
        """Whether Aito behaves otherwise than assumed."""
        return any(result.outcome is Outcome.DIFFERS for result in self.results)

    @property
    def summary(self) -> str:
        """How many checks came to which outcome, and where and when."""
        counts = Counter(result.outcome for result in self.results)
        numbers = ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome)
        return f"{numbers}; {self.url}, build {self.build}, {self.date}"

    def to_json(self) -> dict[str, Any]:
        """The report for a program."""
        return {
            "url": self.url,
            "build": self.build,
            "date": self.date,
            "differs": self.differs,
            "checks": [result.to_json() for result in self.results],
        }


def run_conformance(
    transport: Transport,
    configured: Collection[str],
    *,
    read_only: bool = False,
    wait: bool = False,
    clock: Clock | None = None,
    on_result: Callable[[CheckResult], None] = lambda _: None,
) -> list[CheckResult]:
    """Run the checks and return their results in order.

    configured: names of the configured tables, which are never touched.
    read_only: make no table, for a read-only key. wait: for the expiry of a result, 15 minutes.
    on_result: is called after each check.
    Raises ActionRequired when a configured name begins with the prefix, or the key is wrong.
    """
    refuse_configured(configured)
    probe = Probe(transport, clock or Clock(), wait)
    if read_only:
        return _results([check for check in CHECKS if check.reads_only], probe, on_result)
    _sweep(transport, probe)
    with _cleaned(probe):
        return _results(CHECKS, probe, on_result)


def _results(
    checks: Sequence[Check], probe: Probe, on_result: Callable[[CheckResult], None]
) -> list[CheckResult]:
    results = []
    for check in checks:
        result = _result(check, probe)
        on_result(result)
        results.append(result)
    return results


def refuse_configured(configured: Collection[str]) -> None:
    """Raises ActionRequired when a configured table could be taken for a throw-away one."""
    taken = [name for name in configured if name.startswith(PREFIX)]
    if taken:
        raise ActionRequired(
            f"{taken[0]}: names that begin with {PREFIX} are those of throw-away tables;"
            " give the table another name"
        )


def _result(check: Check, probe: Probe) -> CheckResult:
    if probe.is_at_limit:
        return CheckResult(check, Outcome.UNKNOWN, f"the limit of {MAX_CALLS} calls is near")
    if probe.seconds > MAX_SECONDS:
        return CheckResult(check, Outcome.UNKNOWN, f"{MAX_SECONDS:g} s are over")
    try:
        found = check.run(probe)
    except Unclear as error:
        return CheckResult(check, Outcome.UNKNOWN, str(error))
    except SyncError as error:
        return CheckResult(check, Outcome.UNKNOWN, str(error))
    if found is None:
        return CheckResult(check, Outcome.PASS)
    return CheckResult(check, Outcome.DIFFERS, found)


def _sweep(transport: Transport, probe: Probe) -> None:
    """Remove the throw-away tables of runs that were killed. Raises AccessDenied, Unavailable."""
    held = read_schema(transport.send("GET", "/api/v1/schema"))
    oldest = probe.clock.now() - SWEEP_SECONDS
    stale = [name for name in held if _begun(name) is not None and (_begun(name) or 0) < oldest]
    probe.drop(reversed(stale))


def _begun(name: str) -> int | None:
    """When the run began that made a throw-away table. None for any other table."""
    match = TABLE.fullmatch(name)
    return int(match.group(1)) if match else None


@contextmanager
def _cleaned(probe: Probe) -> Iterator[None]:
    """Remove the tables of this run, whatever happens."""
    try:
        yield
    finally:
        probe.drop(reversed(probe.made))


# -- the document

HEAD = """# What the sync assumes of Aito

Generated from the checks in `sync/aito/checks/`. `./aito-sync conformance` tries each of them
against your own Aito, with throw-away tables and at most {calls} calls.
"""


def assumptions() -> str:
    """The document of assumptions, in Markdown."""
    parts = [HEAD.format(calls=MAX_CALLS)]
    for check in CHECKS:
        parts.append(
            f"## {check.name}\n\n"
            f"- Assumed: {check.assumed}\n"
            f"- Where it matters: {check.where}\n"
            f"- Otherwise: {check.otherwise}\n"
        )
    return "\n".join(parts)
