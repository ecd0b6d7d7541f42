"""One side, from start to exit: wall time, CPU of the whole process tree, peak memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

CHILD = Path(__file__).with_name("child.py")


class SideFailed(Exception):
    """A side that ended otherwise than it should measures nothing."""


def measured(
    command: Sequence[str],
    environ: Mapping[str, str],
    folder: Path,
    ask: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Run a command to its end.

    ask: what is wanted of a server, which is told to stop after it. -> what it used.
    """
    starter = subprocess.Popen(
        [sys.executable, "-I", "-S", str(CHILD), *command],
        env=dict(environ),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    told = _Told(starter)
    peak = _asked(told.first()["pid"], ask) if ask else 0
    starter.wait()
    used = told.last()
    if used["status"] != 0:
        raise SideFailed(f"{command}: exit status {used['status']}\n{told.errors()}")
    return {**used, "peak_bytes": max(used["peak_bytes"], peak)}


def _asked(server: int, ask: Callable[[], None]) -> int:
    """Ask, and stop the server. -> the peak of its processes' memory until then."""
    try:
        ask()
        return sum(map(_peak, _tree(server)))
    finally:
        with suppress(ProcessLookupError):
            os.kill(server, signal.SIGTERM)


class _Told:
    """What a child writes: its own JSON lines among others; read all the time, so that no pipe
    fills.
    """

    def __init__(self, starter: subprocess.Popen[str]) -> None:
        self._lines: list[str] = []
        self._starter = starter
        assert starter.stdout
        self._first = starter.stdout.readline()
        self._readers = [
            threading.Thread(target=self._gather, args=(s,))
            for s in (starter.stdout, starter.stderr)
        ]
        for reader in self._readers:
            reader.start()

    def _gather(self, stream: Any) -> None:
        self._lines.extend(stream)

    def first(self) -> Any:
        return json.loads(self._first)

    def last(self) -> Any:
        for reader in self._readers:
            reader.join()
        return next(json.loads(line) for line in reversed(self._lines) if '"peak_bytes"' in line)

    def errors(self) -> str:
        return "".join(self._lines[-20:])


def _tree(pid: int) -> list[int]:
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *(below for child in children for below in _tree(int(child)))]
    return []


def _peak(pid: int) -> int:
    """A process's share of memory, pages of several processes parted among them, and what it once
    had more than now.
    """
    share = _read(pid, "smaps_rollup")["Pss"]
    now = _read(pid, "status")
    return share + now["VmHWM"] - now["VmRSS"]


def _read(pid: int, file: str) -> dict[str, int]:
    """The lines of a file of the kernel that tell bytes."""
    lines = [
        line.split()
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines()
        if line.endswith(" kB")
    ]
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines}
