"""Google's own SQL engine, loaded once in each worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # the engine's package may not load here
    from tests.googlesql import GoogleSql


@pytest.fixture(scope="session")
def googlesql() -> GoogleSql:
    """The real GoogleSQL. Tests that need it are skipped where it cannot load."""
    try:
        from tests.googlesql import GoogleSql
    except (ImportError, OSError) as error:
        pytest.skip(f"GoogleSQL (the package zetasql) cannot load here: {error}")
    return GoogleSql()
