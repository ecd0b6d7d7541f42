"""Hears SIGTERM without owning the signal.

The server's main thread owns signal handlers, requests run in others, and `signal.signal` works in
the main thread alone. `faulthandler.register` works in any: it writes a line to a file of ours and
then lets the server's own handler do its work. The file's size is the flag.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import tempfile


class Termination:
    """Reports whether the process was requested to end since this object was made."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        faulthandler.register(signal.SIGTERM, file=self._file, all_threads=False, chain=True)

    def __call__(self) -> bool:
        return os.fstat(self._file.fileno()).st_size > 0
