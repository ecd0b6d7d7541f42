"""Small faults in the modules that decide about rows, and which of them no test finds.

    python -m tests.mutation --map [TEST ...]    run tests once, and remember which line each runs
    python -m tests.mutation [MODULE ...]        make the faults, each alone
    python -m tests.mutation --sample 20 --seed 1 sync/pipeline/load.py

Without names it takes TESTS and MODULES.

A fault turns one comparison, sign, condition, constant or statement of a module into another. It is
made in the memory of a process of its own, which then runs the tests that run its line, the quick
ones first. A survivor is shown with its line: either a test is missing, or the fault does no harm.

HARMLESS names the survivors that were looked at, and why they do no harm.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.machinery
import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import coverage
import pytest

from tests.harmless import HARMLESS

ROOT = Path(__file__).parent.parent
MODULES = (
    "sync/bigquery/queries.py",
    "sync/ledger/lease.py",
    "sync/ledger/leases.py",
    "sync/model/window.py",
    "sync/pipeline/arrived.py",
    "sync/pipeline/compare.py",
    "sync/pipeline/delete_guard.py",
    "sync/pipeline/deliver.py",
    "sync/pipeline/load.py",
    "sync/pipeline/purge.py",
    "sync/pipeline/reconcile.py",
    "sync/pipeline/repair.py",
    "sync/pipeline/suspects.py",
    "sync/pipeline/swap.py",
    "sync/pipeline/verify.py",
    "sync/pipeline/writer.py",
)
TESTS = (
    "tests/unit/test_window.py",
    "tests/unit/test_lease.py",
    "tests/unit/test_queries.py",
    "tests/unit/test_sizes.py",
    "tests/adapters/test_bigquery_source.py",
    "tests/adapters/test_ledger_queries.py",
    "tests/adapters/test_googlesql_chain.py",
    "tests/promise",
)
MAP = ROOT / "build" / "mutation.coverage"
SECONDS = ROOT / "build" / "mutation.seconds"
MOST_SECONDS = 90.0  # of tests for one fault, as they take without it
PATIENCE = 3  # a fault that makes the tests so many times slower is found

# Loaded before the faults are made, since their modules are not changed. None has threads by then.
LOADED_BEFORE = (
    "flask",
    "functions_framework",
    "google.cloud.bigquery",
    "google.cloud.pubsub_v1",
    "hypothesis",
    "pydantic",
    "requests",
    "yaml",
)

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
SIGNS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
}


@dataclass(frozen=True)
class Fault:
    """A fault: the line, what stands there with it, and the module's whole text with it."""

    module: str
    line: int
    code: str
    text: str


# -- faults


def places(tree: ast.Module) -> list[int]:
    """The numbers of the nodes, in the order of `ast.walk`, that can be changed.

    The value of a named constant is a choice, and left alone.
    """
    chosen = {id(node) for each in tree.body if _is_constant(each) for node in ast.walk(each)}
    nodes = enumerate(ast.walk(tree))
    return [
        number
        for number, node in nodes
        if id(node) not in chosen and changed(copy.deepcopy(node)) is not None
    ]


def _is_constant(node: ast.stmt) -> bool:
    """Whether a statement names a number, such as RENEW_SECONDS."""
    if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
        return False
    return node.targets[0].id.isupper()


def changed(node: ast.AST) -> ast.AST | None:
    """The node with a small fault, made in place. None when there is none for it."""
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in COMPARISONS:
            node.ops = [COMPARISONS[type(operator)]()]
        case ast.BinOp(op=operator) if type(operator) in SIGNS:
            node.op = SIGNS[type(operator)]()
        case ast.BoolOp(op=operator):
            node.op = ast.Or() if isinstance(operator, ast.And) else ast.And()
        case ast.IfExp():
            node.body, node.orelse = node.orelse, node.body
        case ast.If(test=test):
            node.test = ast.UnaryOp(ast.Not(), test)
        case ast.Expr(value=ast.Call()):
            node.value = ast.Constant(None)
        case ast.Constant(value=bool() as value):
            node.value = not value
        case ast.Constant(value=int() as value):
            node.value = value + 1
        case _:
            return None
    return node


def faults(module: str, sample: int | None, dice: random.Random) -> Iterator[Fault]:
    """The faults of a module, or a sample of them, in the order of its lines."""
    text = (ROOT / module).read_text()
    numbers = places(ast.parse(text))
    if sample is not None:
        numbers = dice.sample(numbers, min(sample, len(numbers)))
    found = [_fault(module, text, number) for number in numbers]
    yield from sorted(found, key=lambda fault: fault.line)


def _fault(module: str, text: str, number: int) -> Fault:
    tree = ast.parse(text)
    node = list(ast.walk(tree))[number]
    line = getattr(node, "lineno", 0)
    before = ast.unparse(node)
    changed(node)
    ast.fix_missing_locations(tree)
    return Fault(module, line, f"{before[:60]} -> {ast.unparse(node)[:60]}", ast.unparse(tree))


# -- which tests run a line


def make_map(tests: Sequence[str]) -> int:
    """Run the tests once, and remember the lines that each runs, and its seconds."""
    MAP.parent.mkdir(exist_ok=True)
    settings = MAP.with_suffix(".ini")
    settings.write_text(f"[run]\nsource = sync\ndynamic_context = test_function\ndata_file = {MAP}")
    command = [sys.executable, "-m", "coverage", "run", f"--rcfile={settings}", "-m", "pytest"]
    options = ["-n", "0", "-q", "-m", "not slow", "-p", "no:cacheprovider", "-p", "tests.mutation"]
    SECONDS.unlink(missing_ok=True)
    return subprocess.run([*command, *options, *tests], cwd=ROOT).returncode


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Enter the seconds of each test in the file SECONDS. Used when the map is made."""
    if report.when == "call" and report.passed:
        with SECONDS.open("a") as file:
            file.write(f"{report.duration:.3f} {report.nodeid}\n")


class Map:
    """Which tests run a line, and how long each takes."""

    def __init__(self) -> None:
        self._data = coverage.CoverageData(str(MAP))
        self._data.read()
        self._tests: dict[str, dict[str, float]] = {}
        for entry in SECONDS.read_text().splitlines():
            seconds, _, node = entry.partition(" ")
            self._tests.setdefault(_function(node), {})[node] = float(seconds)
        self._lines: dict[str, dict[int, list[str]]] = {}

    def tests(self, fault: Fault) -> list[str]:
        """The tests that run the fault's line, the quick ones first, MOST_SECONDS of them.

        A line that runs when its module is loaded is run by every test of the module.
        """
        lines = self._lines.get(fault.module)
        if lines is None:
            lines = self._data.contexts_by_lineno(str(ROOT / fault.module))
            self._lines[fault.module] = lines
        functions = set(lines.get(fault.line, [])) - {""}
        if not functions:
            functions = {name for names in lines.values() for name in names} - {""}
        timed = [item for name in functions for item in self._tests.get(name, {}).items()]
        chosen: list[str] = []
        total = 0.0
        for node, seconds in sorted(timed, key=lambda item: item[1]):
            total += seconds
            if total > MOST_SECONDS and chosen:
                break
            chosen.append(node)
        return chosen


def _function(node: str) -> str:
    """The name that coverage has for a test: dotted, without its parameters."""
    path, _, name = node.partition("[")[0].partition("::")
    module = path.removesuffix(".py").replace("/", ".")
    return f"{module}.{name.replace('::', '.')}"


# -- one fault


class Loader(importlib.machinery.SourceFileLoader):
    """Loads one module with a fault, in place of its file."""

    def __init__(self, fault: Fault) -> None:
        name = fault.module.removesuffix(".py").replace("/", ".")
        super().__init__(name, str(ROOT / fault.module))
        self._text = fault.text

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The specification of the module with the fault; of another module None."""
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self)

    def get_data(self, path: object) -> bytes:
        """The module's text with the fault."""
        return self._text.encode()

    def path_stats(self, path: object) -> NoReturn:
        """Without a date, Python takes no compiled module from its cache."""
        raise OSError


def is_found(fault: Fault, tests: list[str], emulator: str, number: int) -> bool:
    """Whether one of the tests fails with the fault."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os._exit(_run(fault, tests, emulator, number, "-x"))
    end = time.monotonic() + PATIENCE * MOST_SECONDS
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) != 0
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def _run(fault: Fault | None, tests: list[str], emulator: str, number: int, *options: str) -> int:
    """Run the tests with the fault, against this emulator, in a project of their own.

    Modules that start threads are loaded here, after the fork.
    """
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    if fault is not None:
        sys.meta_path.insert(0, Loader(fault))
    from local import bigquery, stack

    bigquery.BigQuery.start = lambda self: self  # type: ignore[method-assign] # it is started
    bigquery.BigQuery.stop = lambda self: None  # type: ignore[method-assign]
    bigquery.BigQuery.url = emulator  # type: ignore[assignment]
    stack.Stack.__init__.__defaults__ = (f"fault-{number}",)
    return int(pytest.main(["-q", "-n", "0", "-p", "no:cacheprovider", *options, *tests]))


def main() -> int:
    """Try the faults. Returns the exit code: 0 when at most 5 % survive."""
    parser = argparse.ArgumentParser(description="Small faults, and which of them no test finds.")
    parser.add_argument("names", nargs="*", help="modules, or tests for --map")
    parser.add_argument("--map", action="store_true", help="find out which tests run which line")
    parser.add_argument("--sample", type=int, help="so many faults of each module")
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    if wanted.map:
        return make_map(wanted.names or TESTS)
    known = Map()
    for name in LOADED_BEFORE:
        importlib.import_module(name)
    tried = survivors = harmless = 0
    with Emulator() as emulator:
        for module in wanted.names or MODULES:
            for fault in faults(module, wanted.sample, random.Random(wanted.seed)):
                tried += 1
                tests = known.tests(fault)
                if tests and is_found(fault, tests, emulator, tried):
                    continue
                is_harmless = (fault.module, fault.code) in HARMLESS
                harmless += is_harmless
                survivors += not is_harmless
                state = "harmless" if is_harmless else "SURVIVED"
                print(
                    f"{state} {module}:{fault.line}: {fault.code} ({len(tests)} tests)", flush=True
                )
            print(f"{module}: done, {tried} faults so far", flush=True)
    print(f"{tried} faults: {survivors} survived, {harmless} do no harm")
    return 0 if survivors <= 0.05 * tried else 1


class Emulator:
    """The BigQuery emulator that all faults share, in a process of its own. Gives its URL."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> str:
        command = [sys.executable, "-W", "ignore", "-m", "local._bqemulator", "0.0"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout is not None
        word, _, port = self._process.stdout.readline().strip().partition(" ")
        if word != "ready":
            raise SystemExit("the BigQuery emulator did not start")
        return f"http://127.0.0.1:{port}"

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


if __name__ == "__main__":
    sys.exit(main())
