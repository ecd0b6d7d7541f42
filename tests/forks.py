"""Processes of the program that are forked, and not started from nothing.

To import the program takes a process about a second. Here one process for each worker of tests
imports it, and forks a child for each function under test. The child has an environment, a working
folder, a process group, sockets and output of its own. `multiprocessing` brings the fork server.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import IO

from local.stack import ROOT, Process, start_python

# `main` comes last: it takes what is imported by then out of the garbage collector's sight.
IMPORTED = (
    "functions_framework._cli",
    "functions_framework._http.gunicorn",
    "gunicorn.arbiter",
    "gunicorn.glogging",
    "tests.forks",
    "main",
)


def start(module: str, arguments: Sequence[str], environ: Mapping[str, str], cwd: Path) -> Process:
    """Run a module of this repository as `python -m` does, in a group of its own.

    A module of another folder starts from nothing, because that folder may hold other code.
    """
    if cwd != ROOT:
        return start_python(module, arguments, environ, cwd)
    return Forked(module, arguments, environ)


@dataclass(frozen=True)
class Order:
    """What a child runs, and the pipes that it writes to."""

    module: str
    arguments: tuple[str, ...]
    environ: dict[str, str]
    out: Connection
    err: Connection
    ready: Connection


class Forked:
    """A child of the fork server, as a `Process`."""

    def __init__(self, module: str, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        context = _context()
        out, out_end = context.Pipe(duplex=False)
        err, err_end = context.Pipe(duplex=False)
        ready, ready_end = context.Pipe(duplex=False)
        order = Order(module, tuple(arguments), dict(environ), out_end, err_end, ready_end)
        self._process = context.Process(target=_run, args=(order,))
        with contextlib.chdir(ROOT):  # the fork server finds the modules here
            self._process.start()
        for end in (out_end, err_end, ready_end):
            end.close()
        with contextlib.suppress(EOFError):  # the child has ended
            ready.recv_bytes()
        ready.close()
        self.stdout: IO[str] | None = _text(out)
        self.stderr: IO[str] | None = _text(err)

    @property
    def pid(self) -> int:
        """The child's, and its process group's."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._process.exitcode

    def wait(self) -> int:
        """Wait for the end. -> the exit status."""
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal. One that has ended gets none."""
        if self.poll() is None:
            os.kill(self.pid, number)


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    return context


def _text(pipe: Connection) -> IO[str]:
    """What comes out of a pipe, as text."""
    text = os.fdopen(os.dup(pipe.fileno()), "r", encoding="utf-8")
    pipe.close()
    return text


def _run(order: Order) -> None:
    """In the child: become a process that was started for this module."""
    os.setsid()
    os.environ.clear()
    os.environ.update(order.environ)
    for number, pipe in ((1, order.out), (2, order.err)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # until its end
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    order.ready.send_bytes(b"ready")
    order.ready.close()
    sys.argv = [order.module, *order.arguments]
    runpy.run_module(order.module, run_name="__main__", alter_sys=True)
