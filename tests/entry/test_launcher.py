"""`./aito-sync`: the command line from a fresh clone, without a word of Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Stands for the package: prints its arguments and ends with 3.
PROGRAM = "import sys; print(sys.argv[1:]); sys.exit(3)"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with a package of one line that needs nothing, so that nothing is downloaded."""
    root = tmp_path / "a clone"
    (root / "sync").mkdir(parents=True)
    (root / "sync" / "__main__.py").write_text(PROGRAM)
    (root / "requirements.txt").write_text("# nothing\n")
    (root / "requirements-cli.txt").write_text("# nothing\n")
    shutil.copy(ROOT / "aito-sync", root)
    return root


def launch(
    clone: Path, *arguments: str, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it from another folder, which has a `sync` of its own."""
    elsewhere = clone.parent / "elsewhere"
    (elsewhere / "sync").mkdir(parents=True, exist_ok=True)
    (elsewhere / "sync" / "__main__.py").write_text("raise SystemExit('the wrong one')")
    environ = {**os.environ, **({} if path is None else {"PATH": path})}
    return subprocess.run(
        [clone / "aito-sync", *arguments],
        cwd=elsewhere,
        env=environ,
        capture_output=True,
        text=True,
        timeout=180,
    )


def test_a_fresh_clone(clone: Path) -> None:
    """The first call makes the environment and says so; arguments and exit status pass through.

    The second call finds it. A link to the launcher works too.
    """
    first = launch(clone, "check", "--tables", "a b")
    assert (first.returncode, first.stdout) == (3, "['check', '--tables', 'a b']\n"), first.stderr
    assert f"makes a Python environment in {clone / '.venv'}" in first.stderr
    second = launch(clone, "--version")
    assert (second.stdout, second.stderr) == ("['--version']\n", "")
    (clone / "requirements.txt").write_text("# nothing more\n")
    assert "installs what requirements.txt and requirements-cli.txt name" in launch(clone).stderr
    (clone.parent / "aito-sync").symlink_to(clone / "aito-sync")
    assert launch(clone.parent).returncode == 3


def test_the_environment_of_make(clone: Path) -> None:
    """What `make demo` has installed is used, and brought up to date by make alone."""
    venv.create(clone / ".venv", symlinks=True, with_pip=False)
    (clone / ".venv" / ".installed").touch()
    (clone / "Makefile").write_text(".venv/.installed: pyproject.toml\n\t@echo updated; touch $@\n")
    (clone / "pyproject.toml").touch()
    os.utime(clone / ".venv" / ".installed", (1, 1))
    first = launch(clone, "check")
    assert (first.returncode, first.stdout, first.stderr) == (3, "['check']\n", "updated\n")
    assert launch(clone, "check").stderr == ""


def test_without_python(clone: Path, tmp_path: Path) -> None:
    """Without a Python that fits, it says which would."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "env", "dirname", "readlink", "cat", "cmp"):
        (tools / name).symlink_to(str(shutil.which(name)))
    done = launch(clone, "check", path=str(tools))
    assert done.returncode == 2
    assert "needs Python 3.11, 3.12 or 3.13" in done.stderr
