"""What is kept on disk for the next process."""

from __future__ import annotations

import os
import time
from pathlib import Path

from local._kept import KEPT_SECONDS, Kept

KEY = Kept.key(b"a statement", b"a version")


def test_another_process_finds_it(tmp_path: Path) -> None:
    """What one keeps, another gets; what nobody kept is not there."""
    Kept(tmp_path / "texts").keep(KEY, b"SELECT 1")
    another = Kept(tmp_path / "texts")
    assert another.get(KEY) == b"SELECT 1"
    assert another.get(Kept.key(b"a statement", b"another version")) is None


def test_parts_do_not_run_together() -> None:
    """The same bytes in other parts have another key."""
    assert Kept.key(b"ab", b"c") != Kept.key(b"a", b"bc")


def test_what_nobody_reads_is_removed(tmp_path: Path) -> None:
    """After a month. What was read since stays."""
    kept = Kept(tmp_path)
    other = Kept.key(b"another statement")
    for key in (KEY, other):
        kept.keep(key, b"SELECT 1")
        long_ago = time.time() - KEPT_SECONDS - 1
        os.utime(tmp_path / key, (long_ago, long_ago))
    kept.get(KEY)
    (tmp_path / "pruned").unlink()
    assert Kept(tmp_path).get(KEY) == b"SELECT 1"
    assert kept.get(other) is None


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Nothing is kept, and nothing fails."""
    (tmp_path / "file").touch()
    kept = Kept(tmp_path / "file" / "texts")
    kept.keep(KEY, b"SELECT 1")
    assert kept.get(KEY) is None
