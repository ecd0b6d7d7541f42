"""Texts that were costly to make, on disk, for the next process.

A text is kept under a hash of all that it was made of, so that it never has to be thrown away
because it became wrong. It is removed when nobody has read it for a month.
"""

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

DAY_SECONDS = 86_400
KEPT_SECONDS = 30 * DAY_SECONDS


def cache_folder() -> Path:
    """The user's folder for what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


class Kept:
    """A folder with a file for each text. Processes may share it.

    Where the folder cannot be written, nothing is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pruned = folder / "pruned"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            self._prune()

    @staticmethod
    def key(*parts: bytes) -> str:
        """The name of what is made of these parts."""
        lengths = repr([len(part) for part in parts]).encode()
        return hashlib.sha256(lengths + b"".join(parts)).hexdigest()

    def get(self, key: str) -> bytes | None:
        """What is kept under a key."""
        path = self._folder / key
        try:
            content = path.read_bytes()
            if _age(path) > DAY_SECONDS:
                os.utime(path)
        except OSError:
            return None
        return content

    def keep(self, key: str, content: bytes) -> None:
        """Keep it whole, or not at all."""
        unfinished = self._folder / f"{key}.{os.getpid()}"
        with suppress(OSError):
            unfinished.write_bytes(content)
            unfinished.replace(self._folder / key)

    def _prune(self) -> None:
        """Remove what nobody reads, once a day."""
        if self._pruned.exists() and _age(self._pruned) < DAY_SECONDS:
            return
        self._pruned.touch()
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):  # another process was quicker
                if _age(path) > KEPT_SECONDS:
                    path.unlink()


def _age(path: Path) -> float:
    """Seconds since a file was touched."""
    return time.time() - path.stat().st_mtime
