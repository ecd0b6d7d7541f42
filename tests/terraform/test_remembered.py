"""What Terraform did is played again, where nothing that it depends on has changed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.terraform.remembered import Done, Remembered


class Shell:
    """Scripts in a folder of a repository, of which the results are remembered."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs = 0

    def run(self, copy: str, script: str, tools: str = "1.0") -> Done:
        """Run it in the folder of this copy, which is made when it is missing."""
        folder = self.root / copy / "terraform"
        folder.mkdir(parents=True, exist_ok=True)

        def run() -> Done:
            self.runs += 1
            command = ["sh", "-c", script]
            return subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False)

        return Remembered(tools, self.root / "kept").run(folder, script, run)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell that remembers nothing yet."""
    return Shell(tmp_path)


def test_a_result_is_played_again(shell: Shell) -> None:
    """Exit status, output and written files are those of the first run."""
    script = "mkdir -p a; echo plan >a/plan; echo said; echo wrong >&2; exit 3"
    first, second = shell.run("one", script), shell.run("two", script)
    assert shell.runs == 1
    assert (second.returncode, second.stdout, second.stderr) == (3, "said\n", "wrong\n")
    assert (first.returncode, first.stdout, first.stderr) == (3, "said\n", "wrong\n")
    assert (shell.root / "two" / "terraform" / "a" / "plan").read_text() == "plan\n"


def test_what_it_depends_on(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another script, file, version or TF_ variable is another result."""
    shell.run("one", "true")
    shell.run("one", "echo")
    shell.run("one", "true", tools="1.1")
    monkeypatch.setenv("TF_VAR_region", "europe-west1")
    shell.run("one", "true")
    monkeypatch.delenv("TF_VAR_region")
    (shell.root / "one" / "main.py").write_text("# the code")
    shell.run("one", "true")
    assert shell.runs == 5


def test_a_failure_of_the_machine_is_tried_again(shell: Shell) -> None:
    """A refusal of the deployment is kept; a time-out of the provider is not."""
    for _ in range(2):
        shell.run("one", "echo Error: Invalid value; exit 1")
        shell.run("one", "echo Error: timeout while waiting for plugin; exit 1")
    assert shell.runs == 3


def test_a_script_that_removes_a_file_is_not_kept(shell: Shell) -> None:
    """A result holds the files that were written, and none that are gone."""
    for copy in ("one", "two"):
        (shell.root / copy).mkdir()
        (shell.root / copy / "main.py").write_text("# the code")
        shell.run(copy, "rm ../main.py")
    assert shell.runs == 2
