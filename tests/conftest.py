"""The stack that all tests share: real servers on free ports, started once in each worker."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # the process that only hands out tests imports nothing of the program
    from local.stack import Stack
    from tests.workbench import Workbench

gc.disable()  # nothing is dropped while tests are collected; a tenth of that time

# Files whose tests wait for time limits, or are long. At the end they would keep one process busy.
FIRST = {"test_unreachable.py", "test_chaos.py", "test_launcher.py", "test_ok_means_it.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that wait: others run meanwhile."""
    items.sort(key=lambda item: item.path.name not in FIRST)


@pytest.fixture(scope="session", autouse=True)
def _few_collections() -> None:
    """Spare the garbage collector the modules, and let it look less often: a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _forked_functions() -> None:
    """Fork the functions under test from a process that has imported the program."""
    from local.stack import Function
    from tests import forks

    Function.start_process = staticmethod(forks.start)


@pytest.fixture
def from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the functions of this test as the cloud does: nothing is imported before."""
    from local.stack import Function, start_python

    monkeypatch.setattr(Function, "start_process", staticmethod(start_python))


@pytest.fixture(scope="session")
def _running_stack() -> Iterator[Stack]:
    from local.stack import Stack

    with Stack(threads=1) as running:
        yield running


@pytest.fixture
def stack(_running_stack: Stack) -> Iterator[Stack]:
    """The local stack, in good health. A test uses dataset and table names of its own."""
    _heal(_running_stack)
    yield _running_stack
    _heal(_running_stack)


@pytest.fixture
def bench(stack: Stack, request: pytest.FixtureRequest) -> Workbench:
    """A workbench on the stack, named after the test. Its clock stands at NOW."""
    from tests.workbench import NOW, Workbench

    return Workbench(stack, re.sub(r"\W+", "_", request.node.name), now=NOW)


def _heal(stack: Stack) -> None:
    stack.aito.heal()
    stack.aito.reset_stats()
