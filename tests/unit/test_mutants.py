"""The fifteen faults of tests.promise.mutants can still be made."""

from __future__ import annotations

import pytest

from tests.promise.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_its_place_is_found(mutant: Mutant) -> None:
    """The text that a fault replaces is in its file, once."""
    assert (ROOT / mutant.file).read_text().count(mutant.before) == 1
