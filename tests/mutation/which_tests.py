"""Which tests run a line, how long each takes, and in what order a fault is given to them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

import coverage

from tests.mutation.faults import ROOT, Fault

MAP = ROOT / "build" / "mutation.coverage"
SECONDS = ROOT / "build" / "mutation.seconds"
OVERHEAD_SECONDS = 0.3  # of a test, beside its call
WEIGHT_OF_A_FIND = 4


def make_map(tests: Sequence[str]) -> int:
    """Run the tests once, and remember the lines that each runs, and its seconds."""
    MAP.parent.mkdir(exist_ok=True)
    settings = MAP.with_suffix(".ini")
    settings.write_text(f"[run]\nsource = sync\ndynamic_context = test_function\ndata_file = {MAP}")
    command = [sys.executable, "-m", "coverage", "run", f"--rcfile={settings}", "-m", "pytest"]
    plugin = ["-p", "tests.mutation.timings"]
    options = ["-n", "0", "-q", "-m", "not slow", "-p", "no:cacheprovider", *plugin]
    SECONDS.unlink(missing_ok=True)
    return subprocess.run([*command, *options, *tests], cwd=ROOT).returncode


class Map:
    """Which tests run a line, and how long each takes.

    A test that found faults of a module is a likely finder of the next one.
    """

    def __init__(self) -> None:
        self._data = coverage.CoverageData(str(MAP))
        self._data.read()
        self._tests: dict[str, dict[str, float]] = {}
        for entry in SECONDS.read_text().splitlines():
            seconds, _, node = entry.partition(" ")
            self._tests.setdefault(_function(node), {})[node] = float(seconds)
        self._lines: dict[str, dict[int, list[str]]] = {}
        self._finds: Counter[tuple[str, str]] = Counter()

    def all_tests(self) -> Iterator[str]:
        """All tests that were run for the map."""
        for variations in self._tests.values():
            yield from variations

    def add_find(self, module: str, test: str) -> None:
        """Remember that a test found a fault of a module."""
        self._finds[module, _function(test)] += 1

    def tests(self, fault: Fault, most_seconds: float) -> dict[str, float]:
        """The tests that run the fault's line, each with its seconds, the likely finders first.

        Others are left out once there are tests for `most_seconds`. A line that runs when its
        module is loaded is run by every test of the module.
        """
        lines = self._lines.get(fault.module)
        if lines is None:
            lines = self._data.contexts_by_lineno(str(ROOT / fault.module))
            self._lines[fault.module] = lines
        functions = set(lines.get(fault.line, [])) - {""}
        if not functions:
            functions = {name for names in lines.values() for name in names} - {""}
        ranked: list[tuple[float, str, float]] = []
        for name in functions:
            finds = self._finds[fault.module, name]
            timed = sorted(self._tests.get(name, {}).items(), key=lambda item: item[1])
            # The first variation of a test says more than the second.
            for variation, (node, seconds) in enumerate(timed, start=1):
                cost = (OVERHEAD_SECONDS + seconds) * variation / (1 + WEIGHT_OF_A_FIND * finds)
                ranked.append((cost, node, seconds))
        chosen: dict[str, float] = {}
        for _, node, seconds in sorted(ranked):
            if chosen and sum(chosen.values()) + seconds > most_seconds:
                continue
            chosen[node] = seconds
        return chosen


def _function(node: str) -> str:
    """The name that coverage has for a test: dotted, without its parameters."""
    path, _, name = node.partition("[")[0].partition("::")
    module = path.removesuffix(".py").replace("/", ".")
    return f"{module}.{name.replace('::', '.')}"
