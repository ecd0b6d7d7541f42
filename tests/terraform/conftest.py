"""What the tests of the deployment share: a ready copy, and the plan of the example values."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.terraform.tools import EXAMPLE, Plan, another, copy_to, plan, ready


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The deployment as it stands, ready to plan. Nobody changes it: take `another`."""
    folder = copy_to(tmp_path_factory.mktemp("sound"))
    (folder.parent / "tests").mkdir()
    (folder.parent / "tests" / "test_nothing.py").write_text("# what must not be deployed\n")
    ready(folder)
    return folder


@pytest.fixture(scope="session")
def planned(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The plan of the example values."""
    folder = another(sound, tmp_path_factory.mktemp("example"))
    return plan(folder, f"-var-file={EXAMPLE}")
