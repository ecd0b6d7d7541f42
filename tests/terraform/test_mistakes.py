"""The deliberate mistakes of terraform/tests/mistakes.yaml, each in a copy: every one is caught, by
what the list says.

Run with -s to see what each catcher said.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.terraform.rules import RULES
from tests.terraform.tools import ROOT, copy_to, offline, plan_script, read_plan, ready, terraform

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Mistake:
    """What somebody might write, and what stops it."""

    what: str
    file: str
    old: str
    new: str
    caught: str


MISTAKES = [
    Mistake(**m)
    for m in yaml.safe_load((ROOT / "terraform" / "tests" / "mistakes.yaml").read_text())
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository without a mistake, ready to plan."""
    folder = copy_to(tmp_path_factory.mktemp("sound"))
    (folder.parent / "tests").mkdir()
    (folder.parent / "tests" / "test_nothing.py").write_text("# what must not be deployed\n")
    ready(folder)
    return folder


def catcher(folder: Path, test: str = "", *, formatted: bool = False) -> tuple[str, str]:
    """Who catches what is wrong in a folder, and what they say; ("nobody", "") for a sound one.

    test: `file/run`, the one of terraform's own tests that is run if nobody else cries: all of them
    take minutes. formatted: take it that the format is right, as an editor would have seen to.
    """
    script = (
        f"{'true' if formatted else 'terraform fmt -check -recursive >/dev/null'} || {{ echo CAUGHT"
        f" fmt; exit 1; }}\n{INIT_AGAIN} || {{ echo CAUGHT init; cat said.txt; exit 1;"
        f" }}\n({plan_script()}) >said.txt 2>&1 && exit 0\nterraform validate -no-color >valid.txt"
        " 2>&1 && echo CAUGHT plan || echo CAUGHT validate\ncat said.txt; exit 1\n"
    )
    done = terraform(folder, script)
    if done.returncode:
        found = re.search(r"CAUGHT (\w+)(.*)", done.stdout, re.S)
        assert found, done.stdout + done.stderr
        return found[1], first_error(found[2])
    plan = read_plan(folder)
    for rule in RULES:
        try:
            rule(plan)
        except Exception as error:  # noqa: BLE001  # a rule that trips over nonsense has caught it too
            return f"rule {rule.__name__}", str(error).split("\n")[0]
    if test and f'run "{test.split("/")[1]}"... fail' in (
        said := said_of(folder, *test.split("/"))
    ):
        return f"test {test}", first_error(said)
    return "nobody", ""


def said_of(folder: Path, file: str, run: str) -> str:
    """What `terraform test` says of one run of a file: it can be asked for whole files alone."""
    path = folder / "tests" / f"{file}.tftest.hcl"
    others = re.compile(rf'^run "(?!{run}")\w+" {{\n.*?^}}\n', re.M | re.S)
    path.write_text(others.sub("", path.read_text()))
    done = terraform(folder, f"terraform test -no-color -filter=tests/{file}.tftest.hcl")
    assert f'run "{run}"... ' in done.stdout, done.stdout + done.stderr
    return done.stdout + done.stderr


INIT_AGAIN = "terraform init -input=false -no-color >said.txt 2>&1"


def first_error(text: str) -> str:
    """The first error of terraform's, in one line."""
    found = re.search(r"Error: (.*)", text, re.S)
    return " ".join((found[1] if found else text).split())[:160]


def test_a_sound_deployment_is_caught_by_nobody(sound: Path) -> None:
    """Without a mistake nothing cries, so a cry means something."""
    assert catcher(sound) == ("nobody", "")


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.what)
def test_every_mistake_is_caught(mistake: Mistake, sound: Path, tmp_path: Path) -> None:
    """Each mistake is stopped by what the list says."""
    shutil.copytree(sound.parent, tmp_path / "repository")
    folder = tmp_path / "repository" / "terraform"
    text = (folder / mistake.file).read_text()
    assert mistake.old in text, f"{mistake.file} no longer holds {mistake.old!r}"
    (folder / mistake.file).write_text(text.replace(mistake.old, mistake.new, 1))
    test = mistake.caught.removeprefix("test ") if mistake.caught.startswith("test ") else ""
    who, said = catcher(folder, test, formatted=mistake.caught != "fmt")
    print(f"\n{mistake.what}: {who}: {said}")
    # The registry's provider leaves to Google some limits that the offline check knows; then a rule
    # catches it.
    assert who == mistake.caught if offline() else who != "nobody"
