"""The deployment's repository as an operator has it: a clone, and upstream beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.terraform.tools import ROOT

HELD = ("main.py", "requirements.txt", "sync.yaml", "terraform/providers.tf", "sync")
WHO = {
    f"GIT_{role}_{what}": "o@example.com"
    for role in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}
WITHOUT_SETTINGS = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


class Repository:
    """`upstream`, where releases are made, and `clone`, where the operator types."""

    def __init__(self, folder: Path) -> None:
        self.upstream, self.clone = folder / "upstream", folder / "clone"
        for name in HELD:
            _copy(ROOT / name, self.upstream / name)
        self._run(self.upstream, "init", "-q", "-b", "main")
        self._commit(self.upstream, "The first release")
        self._run(folder, "clone", "-q", str(self.upstream), str(self.clone))

    def git(self, *words: str) -> str:
        """Run git where the operator stands; what it printed. Fails as git fails."""
        return self._run(self.clone, *words)

    def release(self, name: str, old: str, new: str) -> str:
        """Change a file upstream, and commit it. Returns the commit."""
        _edit(self.upstream / name, old, new)
        return self._commit(self.upstream, f"Change {name}")

    def commit(self, name: str, text: str) -> str:
        """Write a file in the clone, and commit it. Returns the commit."""
        (self.clone / name).write_text(text)
        return self._commit(self.clone, f"Change {name}")

    def _commit(self, folder: Path, subject: str) -> str:
        self._run(folder, "add", "-A")
        self._run(folder, "commit", "-q", "-m", subject)
        return self._run(folder, "rev-parse", "HEAD").strip()

    def _run(self, folder: Path, *words: str) -> str:
        known = {name: os.environ[name] for name in ("PATH", "HOME")}
        done = subprocess.run(
            ["git", *words],
            cwd=folder,
            env={**known, **WHO, **WITHOUT_SETTINGS},
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, f"git {' '.join(words)}: {done.stderr}"
        return done.stdout


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path} does not hold {old!r}"
    path.write_text(text.replace(old, new, 1))
