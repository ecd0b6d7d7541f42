"""Runs commands of the command line for the tests of this folder."""

from __future__ import annotations

import subprocess

import pytest

from sync.entry import commands


class Inside:
    """Runs a command in this process: quicker, for commands that set no signal handler."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(
        self, environ: dict[str, str], *arguments: str
    ) -> subprocess.CompletedProcess[str]:
        """The exit status and what was printed."""
        for name, value in environ.items():
            self._monkeypatch.setenv(name, value)
        self._capsys.readouterr()
        status = commands.main(arguments)
        printed = self._capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, printed.out, printed.err)


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    """Runs a command in this process."""
    return Inside(monkeypatch, capsys)
