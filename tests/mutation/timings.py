"""A plugin of pytest: enters the seconds of each test in the file SECONDS, for the map."""

from __future__ import annotations

import pytest

from tests.mutation.which_tests import SECONDS


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Enter a test that passed."""
    if report.when == "call" and report.passed:
        with SECONDS.open("a") as file:
            file.write(f"{report.duration:.3f} {report.nodeid}\n")
