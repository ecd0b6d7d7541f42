"""Which variations of a test run in `make test`."""

from __future__ import annotations

from typing import Any

import pytest


def slow(*variations: Any) -> list[Any]:
    """Variations that run in `make test-slow` alone. What they assert stands in a quick one, too.

    Each is the value of a parameter, or a tuple of the values of several.
    """
    return [
        pytest.param(*(each if isinstance(each, tuple) else (each,)), marks=pytest.mark.slow)
        for each in variations
    ]
