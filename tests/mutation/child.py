"""Runs tests with one fault, in a process of its own."""

from __future__ import annotations

import gc
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import CodeType, FunctionType, ModuleType
from typing import NoReturn

import pytest

from local import bigquery
from tests.mutation.faults import ROOT, Fault

PATIENCE = 3  # a fault that makes a test so many times slower is found
SPARE_SECONDS = 30.0  # of a test, beside that
TOO_LONG = "took too long"


def load_tests(tests: Iterator[str]) -> None:
    """Load the modules of tests, and with them the sync, before processes are forked."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for path in sorted({test.partition("::")[0] for test in tests}):
        importlib.import_module(path.removesuffix(".py").replace("/", "."))
    gc.collect()
    gc.freeze()


def finder(fault: Fault | None, tests: Mapping[str, float], emulator: str) -> str | None:
    """The test that fails with the fault, or TOO_LONG. None when all pass.

    tests: their seconds without a fault. emulator: the URL of BigQuery.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.close(read)
        os._exit(_run(fault, list(tests), emulator, write))
    os.close(write)
    try:
        return _listen(read, tests)
    finally:
        os.close(read)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _listen(pipe: int, tests: Mapping[str, float]) -> str | None:
    """What the process reports, line by line: the test that began, and how it all ended."""
    test, heard = "", b""
    end = time.monotonic() + SPARE_SECONDS
    while (left := end - time.monotonic()) > 0:
        if not select.select([pipe], [], [], left)[0]:
            break
        got = os.read(pipe, 65_536)
        if not got:
            if not test:
                raise SystemExit("the process of a fault died before its first test")
            return test  # the process died in it
        *lines, heard = (heard + got).split(b"\n")
        for line in map(bytes.decode, lines):
            word, _, test = line.partition(" ")
            if word == "passed":
                return None
            if word == "failed":
                return test
            end = time.monotonic() + SPARE_SECONDS + PATIENCE * tests.get(test, 0.0)
    return TOO_LONG


class Reporter:
    """A plugin of pytest: writes into a pipe which test begins, and which has failed."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def say(self, word: str, test: str) -> None:
        """Write a line."""
        os.write(self._pipe, f"{word} {test}\n".encode())

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins."""
        self.say("begins", nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test has ended, or a part of it."""
        if report.failed:
            self.say("failed", report.nodeid)


def _run(fault: Fault | None, tests: list[str], emulator: str, pipe: int) -> int:
    """Run the tests with the fault, against this emulator."""
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    bigquery.BigQuery.start = lambda self: self  # type: ignore[method-assign] # it is started
    bigquery.BigQuery.stop = lambda self: None  # type: ignore[method-assign]
    bigquery.BigQuery.url = emulator  # type: ignore[assignment]
    if fault is not None:
        _make(fault)
    reporter = Reporter(pipe)
    options = ["-q", "-x", "-p", "no:cacheprovider"]
    code = int(pytest.main([*options, *tests], plugins=[reporter]))
    reporter.say("failed" if code else "passed", "as a whole")
    return code


# -- the fault


def _make(fault: Fault) -> None:
    """Make the fault in this process.

    A function gets its code with the fault. What is outside of functions was run when the module
    was loaded, so that all modules of the sync and of the tests are loaded again.
    """
    name = fault.module.removesuffix(".py").replace("/", ".")
    if fault.function:
        _replace_code(sys.modules[name], fault.text)
        return
    for loaded in list(sys.modules):
        if loaded.split(".")[0] in ("sync", "tests") and not loaded.startswith(__package__):
            del sys.modules[loaded]
    sys.meta_path.insert(0, Loader(fault, name))


def _replace_code(module: ModuleType, text: str) -> None:
    """Give each function of a module the code that it has in the text."""
    codes = dict(_codes(compile(text, str(module.__file__), "exec")))
    for function in _functions(module):
        function.__code__ = codes[function.__qualname__]


def _codes(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    """The codes inside of a code, each with its dotted name."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant.co_qualname, constant
            if "<locals>" not in constant.co_qualname:
                yield from _codes(constant)


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    """The functions and methods that are defined in a module."""
    own = [each for each in vars(module).values() if _is_of(each, module)]
    for owner in (module, *filter(inspect.isclass, own)):
        for member in list(vars(owner).values()):
            found = getattr(member, "fget", None) or getattr(member, "__func__", member)
            function = inspect.unwrap(found) if callable(found) else None
            if not isinstance(function, FunctionType) or not _is_of(function, module):
                continue
            if function.__code__.co_filename == module.__file__:  # else made by a dataclass
                yield function


def _is_of(member: object, module: ModuleType) -> bool:
    """Whether something is defined in the module."""
    return getattr(member, "__module__", None) == module.__name__


class Loader(importlib.machinery.SourceFileLoader):
    """Loads one module with a fault, in place of its file."""

    def __init__(self, fault: Fault, name: str) -> None:
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
