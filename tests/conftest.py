"""The stack that all tests share: real servers on free ports, started once in each worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.stack import Stack


@pytest.fixture(scope="session")
def _running_stack() -> Iterator[Stack]:
    with Stack() as running:
        yield running


@pytest.fixture
def stack(_running_stack: Stack) -> Iterator[Stack]:
    """The local stack, in good health. A test uses dataset and table names of its own."""
    _heal(_running_stack)
    yield _running_stack
    _heal(_running_stack)


def _heal(stack: Stack) -> None:
    stack.aito.heal()
    stack.aito.reset_stats()
