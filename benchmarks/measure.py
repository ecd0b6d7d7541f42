"""One side, from start to exit: wall time, CPU of the whole process tree, peak memory."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

CHILD = Path(__file__).with_name("child.py")
SAMPLE_SECONDS = 0.1


class SideFailed(Exception):
    """A side that ended otherwise than it should measures nothing."""


def measured(
    command: Sequence[str], environ: Mapping[str, str], folder: Path, meanwhile: Callable[[int], None] | None = None
) -> dict[str, Any]:
    """Run a command to its end. meanwhile: gets its process id and makes it end. -> what it used."""
    starter = subprocess.Popen(
        [sys.executable, "-I", "-S", str(CHILD), *command],
        env=dict(environ), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    told = _Told(starter)
    tree = _Memory(told.first()["pid"])
    tree.start()
    try:
        if meanwhile:
            meanwhile(tree.pid)
    finally:
        starter.wait()
        tree.ended.set()
    used = told.last()
    if used["status"] != 0:
        raise SideFailed(f"{command}: exit status {used['status']}\n{told.errors()}")
    return {**used, "peak_bytes": max(used["peak_bytes"], tree.peak)}


class _Told:
    """What a child writes: its own JSON lines among others; read all the time, so that no pipe fills."""

    def __init__(self, starter: subprocess.Popen[str]) -> None:
        self._lines: list[str] = []
        self._starter = starter
        assert starter.stdout
        self._first = starter.stdout.readline()
        self._readers = [threading.Thread(target=self._gather, args=(s,)) for s in (starter.stdout, starter.stderr)]
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


class _Memory(threading.Thread):
    """Samples the memory of a process tree: pages that several processes share count once (PSS).

    For one process the kernel's own high-water mark is exact; this is for sides of several.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.peak = 0
        self.ended = threading.Event()

    def run(self) -> None:
        """Sample until the end."""
        while not self.ended.wait(SAMPLE_SECONDS):
            processes = _tree(self.pid)
            if len(processes) > 1:
                self.peak = max(self.peak, sum(map(_pss, processes)))


def _tree(pid: int) -> list[int]:
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *(below for child in children for below in _tree(int(child)))]
    return []


def _pss(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
