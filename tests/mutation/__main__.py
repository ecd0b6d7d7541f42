"""Makes the faults, and prints the survivors: see the package."""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import chain

from local.bigquery import PROJECT, BigQuery
from tests.mutation.child import TOO_LONG, finder, load_tests
from tests.mutation.faults import ROOT, Fault, faults
from tests.mutation.harmless import HARMLESS
from tests.mutation.which_tests import Map, make_map

MODULES = (
    "sync/pipeline/verify.py",
    "sync/pipeline/deliver.py",
    "sync/pipeline/load.py",
    "sync/pipeline/reconcile.py",
    "sync/pipeline/repair.py",
    "sync/pipeline/purge.py",
    "sync/pipeline/swap.py",
    "sync/pipeline/suspects.py",
    "sync/pipeline/delete_guard.py",
    "sync/pipeline/compare.py",
    "sync/pipeline/writer.py",
    "sync/pipeline/arrived.py",
    "sync/ledger/lease.py",
    "sync/ledger/leases.py",
    "sync/model/window.py",
    "sync/bigquery/queries.py",
)
TESTS = (
    "tests/unit/test_comparing.py",
    "tests/unit/test_delete_guard.py",
    "tests/unit/test_delivery.py",
    "tests/unit/test_lease.py",
    "tests/unit/test_leases.py",
    "tests/unit/test_loading.py",
    "tests/unit/test_purging.py",
    "tests/unit/test_queries.py",
    "tests/unit/test_sizes.py",
    "tests/unit/test_swapping.py",
    "tests/unit/test_window.py",
    "tests/adapters/test_bigquery_source.py",
)
RESULTS = ROOT / "build" / "mutation.results"
UNIT = "tests/unit/"  # these tests need no server
MOST_SECONDS = 90.0  # of tests for one fault, as they take without it
MOST_SURVIVORS = 0.05
FAULTS_OF_AN_EMULATOR = 60  # then it is started anew, since it remembers what it was given
KEPT_DATASETS = ("bench", "bench_ledger")  # a workbench empties them itself, which is cheaper


class Results:
    """The faults that were found, each with the test that finds it. Kept in a file."""

    def __init__(self) -> None:
        RESULTS.parent.mkdir(exist_ok=True)
        lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
        self.finders: dict[str, list[str]] = {}
        for line in lines:
            digest, *found = json.loads(line)
            self.finders[digest] = found

    def add(self, fault: Fault, test: str) -> None:
        """Remember that a test finds the fault."""
        with RESULTS.open("a") as file:
            file.write(json.dumps([fault.digest, fault.module, test]) + "\n")


class Tester:
    """Gives faults to tests."""

    def __init__(self, known: Map, most_seconds: float, only_with: list[str]) -> None:
        """only_with: tests to take in place of the map's."""
        self._known = known
        self._most_seconds = most_seconds
        self._only_with = dict.fromkeys(only_with, 0.0)
        self._emulator = Emulator()
        self._trusted: dict[str, bool] = {}  # tests, and whether they pass without a fault
        self._tried = 0

    def finder(self, fault: Fault) -> str | None:
        """The test that finds the fault. None when it survives."""
        tests = self._only_with or self._known.tests(fault, self._most_seconds)
        tests = {test: seconds for test, seconds in tests.items() if self._trusted.get(test, True)}
        while tests:
            found = self._run(fault, tests)
            if found is None or found == TOO_LONG or self._is_trusted(found, tests):
                return found
            tests.pop(found, None)
            if self._only_with:
                raise SystemExit(f"{found} fails without a fault, too")
        return None

    def stop(self) -> None:
        """End the emulator."""
        self._emulator.stop()

    def _run(self, fault: Fault | None, tests: dict[str, float]) -> str | None:
        if all(test.startswith(UNIT) for test in tests):
            return finder(fault, tests, "")
        if self._tried % FAULTS_OF_AN_EMULATOR == 0:
            self._emulator.start()
        self._tried += 1
        self._emulator.empty()
        return finder(fault, tests, self._emulator.url)

    def _is_trusted(self, test: str, tests: dict[str, float]) -> bool:
        """Whether a test passes without a fault, when it runs as here."""
        if test not in self._trusted:
            alone = {test: tests[test]} if test in tests else tests
            self._trusted[test] = self._run(None, alone) is None
        return self._trusted[test]


def main() -> int:
    """Try the faults. Returns the exit code: 0 when at most 5 % survive."""
    parser = argparse.ArgumentParser(description="Small faults, and which of them no test finds.")
    parser.add_argument("names", nargs="*", help="modules, or tests for --map")
    parser.add_argument("--map", action="store_true", help="find out which tests run which line")
    parser.add_argument("--sample", type=int, help="so many faults of each module")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="faults whose code has this text in it")
    parser.add_argument("--with", dest="tests", nargs="+", default=[], help="tests to run")
    parser.add_argument("--seconds", type=float, default=MOST_SECONDS, help="of tests for a fault")
    wanted = parser.parse_args()
    if wanted.map:
        return make_map(wanted.names or TESTS)
    known = Map()
    load_tests(chain(known.all_tests(), wanted.tests))
    tester = Tester(known, wanted.seconds, wanted.tests)
    total: Counter[str] = Counter()
    try:
        for module in wanted.names or MODULES:
            chosen = [fault for fault in faults(module) if wanted.only in fault.code]
            if wanted.sample is not None:
                dice = random.Random(wanted.seed)
                chosen = dice.sample(chosen, min(wanted.sample, len(chosen)))
            counted = Counter(_try(chosen, known, tester))
            print(f"{module}: {_figures(counted)}", flush=True)
            total += counted
    finally:
        tester.stop()
    print(_figures(total))
    return 0 if total["survived"] + total["harmless"] <= MOST_SURVIVORS * total.total() else 1


def _try(chosen: list[Fault], known: Map, tester: Tester) -> Iterator[str]:
    """What became of each fault: found, survived or harmless. Prints those that were not found."""
    results = Results()
    for fault in chosen:
        found = results.finders.get(fault.digest)
        if found is not None:
            known.add_find(*found)
            yield "found"
            continue
        if fault.name in HARMLESS:
            yield "harmless"
            continue
        test = tester.finder(fault)
        if test is None:
            place = f"{fault.module}:{fault.line}: {fault.function}"
            print(f"SURVIVED {place}: {fault.code}", flush=True)
            yield "survived"
            continue
        known.add_find(fault.module, test)
        results.add(fault, test)
        yield "found"


def _figures(counted: Counter[str]) -> str:
    named = ", ".join(f"{counted[name]} {name}" for name in ("found", "harmless", "survived"))
    return f"{counted.total()} faults: {named}"


class Emulator:
    """The BigQuery emulator that faults share."""

    def __init__(self) -> None:
        self._running: BigQuery | None = None
        self.url = ""

    def start(self) -> None:
        """Start it, or start it anew."""
        self.stop()
        self._running = BigQuery().start()
        self.url = self._running.url

    def empty(self) -> None:
        """Delete what the tests of the fault before have left there."""
        assert self._running is not None
        client = self._running.client()
        for dataset in client.list_datasets(PROJECT):
            if dataset.dataset_id not in KEPT_DATASETS:
                client.delete_dataset(dataset.reference, delete_contents=True, not_found_ok=True)
        client.close()

    def stop(self) -> None:
        """End it."""
        if self._running is not None:
            self._running.stop()


if __name__ == "__main__":
    sys.exit(main())
