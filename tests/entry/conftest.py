"""Runs commands of the command line for the tests of this folder."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sync.entry import commands

HANDLED = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def own_handlers() -> Iterator[None]:
    """Take back the signal handlers that a command sets."""
    handlers = {each: signal.getsignal(each) for each in HANDLED}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class Inside:
    """Runs a command in this process: quicker than a process of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(
        self, environ: dict[str, str], *arguments: str
    ) -> subprocess.CompletedProcess[str]:
        """The exit status and what was printed."""
        for name, value in environ.items():
            self._monkeypatch.setenv(name, value)
        self._capsys.readouterr()
        with own_handlers():
            status = commands.main(arguments)
        printed = self._capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, printed.out, printed.err)


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    """Runs a command in this process."""
    return Inside(monkeypatch, capsys)
