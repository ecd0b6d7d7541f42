"""Terraform's own tests (terraform/tests/*.tftest.hcl), in pieces that two processes can share."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.terraform.tools import ROOT, another, terraform

pytestmark = pytest.mark.slow

FILES = sorted(path.name for path in (ROOT / "terraform" / "tests").glob("*.tftest.hcl"))
RUN = re.compile(r'^run "(\w+)" {\n.*?^}\n', re.M | re.S)
PIECE = 14  # runs; each plans anew, and takes about a second


def pieces() -> list[tuple[str, int]]:
    """Each file, and where each of its pieces starts. Only plans are cut: an apply leaves state."""
    found = []
    for name in FILES:
        text = (ROOT / "terraform" / "tests" / name).read_text()
        size = len(RUN.findall(text)) if "command = apply" in text else PIECE
        found += [(name, start) for start in range(0, len(RUN.findall(text)), size)]
    return found


@pytest.mark.parametrize(("name", "start"), pieces())
def test_terraforms_own_tests_pass(name: str, start: int, sound: Path, tmp_path: Path) -> None:
    """Every run of every file passes."""
    folder = another(sound, tmp_path / "repository")
    path = folder / "tests" / name
    text = path.read_text()
    runs = [found[0] for found in RUN.finditer(text)]
    kept = runs if "command = apply" in text else runs[start : start + PIECE]
    path.write_text(RUN.sub("", text) + "".join(kept))
    done = terraform(folder, f"terraform test -no-color -filter=tests/{name}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Success! {len(kept)} passed, 0 failed." in done.stdout
