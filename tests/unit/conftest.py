"""Tests in this folder need no server."""

from __future__ import annotations

import pytest


@pytest.fixture
def stack() -> None:
    """Refuse the stack to a test in this folder, and with it the workbench."""
    pytest.fail("a unit test starts no server; move it to tests/adapters or tests/promise")
