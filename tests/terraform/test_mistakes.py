"""The deliberate mistakes of terraform/tests/mistakes.yaml, each in a copy: every one is caught, by
what the list says.

Run with -s to see what each catcher said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.terraform.rules import RULES, Rule
from tests.terraform.tools import ROOT, another, offline, plan_script, read_plan, terraform

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


INIT = "terraform init -input=false -no-color >said.txt 2>&1"
CHECKS = {
    "fmt": "terraform fmt -check -recursive >said.txt 2>&1",
    "init": INIT,
    "validate": "terraform validate -no-color >said.txt 2>&1",
    "plan": "",  # plan_script, which asks how the providers are reached
}
BY_NAME = {rule.__name__: rule for rule in RULES}


def caught(check: str, folder: Path) -> str:
    """What a check says of a folder; "" when it finds nothing wrong.

    check: a key of CHECKS, or `rule NAME`, or `test FILE/RUN`, one of terraform's own tests.
    """
    kind, _, name = check.partition(" ")
    if kind == "rule":
        return _broken([BY_NAME[name]], folder)
    if kind == "test":
        said = said_of(folder, *name.split("/"))
        return first_error(said) if f'run "{name.split("/")[1]}"... fail' in said else ""
    script = CHECKS[check] or f"({plan_script()}) >said.txt 2>&1"
    done = terraform(folder, f"{script} || {{ cat said.txt; exit 1; }}")
    return first_error(done.stdout + done.stderr) if done.returncode else ""


def _broken(rules: list[Rule], folder: Path) -> str:
    """The first of some rules that the folder's plan breaks, and how; "" for none."""
    done = terraform(folder, plan_script())
    assert done.returncode == 0, done.stdout + done.stderr
    plan = read_plan(folder)
    for rule in rules:
        try:
            rule(plan)
        except Exception as error:  # noqa: BLE001  # a rule that trips over nonsense has caught it too
            return f"{rule.__name__}: {error or type(error).__name__}".split("\n")[0]
    return ""


def said_of(folder: Path, file: str, run: str) -> str:
    """What `terraform test` says of one run of a file: it can be asked for whole files alone."""
    path = folder / "tests" / f"{file}.tftest.hcl"
    others = re.compile(rf'^run "(?!{run}")\w+" {{\n.*?^}}\n', re.M | re.S)
    path.write_text(others.sub("", path.read_text()))
    done = terraform(folder, f"terraform test -no-color -filter=tests/{file}.tftest.hcl")
    assert f'run "{run}"... ' in done.stdout, done.stdout + done.stderr
    return done.stdout + done.stderr


def first_error(text: str) -> str:
    """The first error of terraform's, in one line."""
    found = re.search(r"Error: (.*)", text, re.S)
    return " ".join((found[1] if found else text).split())[:160] or "an error without a word"


def test_a_sound_deployment_is_caught_by_nobody(sound: Path, tmp_path: Path) -> None:
    """Without a mistake nothing cries, so a cry means something.

    terraform's own tests are run on the sound deployment in test_own.py.
    """
    folder = another(sound, tmp_path / "repository")
    assert [caught(check, folder) for check in CHECKS] == [""] * len(CHECKS)
    assert _broken(RULES, folder) == ""


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.what)
def test_every_mistake_is_caught(mistake: Mistake, sound: Path, tmp_path: Path) -> None:
    """Each mistake is stopped by what the list says. Only that is run."""
    folder = another(sound, tmp_path / "repository")
    text = (folder / mistake.file).read_text()
    assert mistake.old in text, f"{mistake.file} no longer holds {mistake.old!r}"
    (folder / mistake.file).write_text(text.replace(mistake.old, mistake.new, 1))
    said = caught(mistake.caught, folder)
    if not said and not offline():
        # The registry's provider leaves to Google some limits that the offline check knows.
        said = caught("plan", folder) or _broken(RULES, folder)
    print(f"\n{mistake.what}: {mistake.caught}: {said}")
    assert said
